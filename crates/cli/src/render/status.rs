//! Where a run stands, read from its directory alone.

use std::fmt::Write as _;

use runbook_core::danger::{Danger, dangers, past_no_return};
use runbook_core::exposure::exposed;
use runbook_core::journal::{Entry, History, Outcome};
use runbook_core::machine::{Machine, UnitState};
use runbook_core::names::{CategoryName, NodeName, RunId};
use runbook_core::plan::{Phase, PlanKind, SealedPlan, Unit};
use serde_json::{Value, json};

use super::wrap;
use crate::ui::{BAD, FAINT, GOOD, HEAD, WARN, clean_line, paint};

/// What is dangerous as long as a run stands where it does; `open` where it can go on.
pub(crate) fn dangers_in_words(plan: &SealedPlan, machine: &Machine, open: bool) -> Vec<String> {
    let dangers = dangers(plan, machine);
    dangers.iter().map(|one| in_words(one, open)).collect()
}

/// What a reboot of these nodes may do; none where there are none.
fn reboot_danger(exposed: &[NodeName], open: bool) -> Option<String> {
    let way = if open {
        "`resume` makes data nodes before anything else"
    } else {
        "`device; use NODE; set datanode yes; commit` in cmsh makes a data node"
    };
    (!exposed.is_empty()).then(|| {
        let nodes = list(exposed);
        let (are, them) = match exposed {
            [_] => ("it is no data node", "it"),
            _ => ("they are no data nodes", "them"),
        };
        format!(
            "a reboot may wipe restored data now: {nodes}; {are} yet, do not reboot {them}; {way}"
        )
    })
}

/// A danger in words; `open` where the run can go on.
fn in_words(danger: &Danger, open: bool) -> String {
    match danger {
        Danger::EtcdStopped => "etcd is stopped, or about to be: no API server has an etcd, kubectl does not work, what crashes is not rescheduled".to_owned(),
        Danger::Exposed(nodes) => reboot_danger(nodes, open).unwrap_or_default(),
        Danger::Lowered { nodes, categories } => {
            let of_category = categories.iter().map(|name| format!("category {name}"));
            let names: Vec<String> = nodes.iter().map(ToString::to_string).chain(of_category).collect();
            let (is, way) = if open {
                ("is", String::new())
            } else {
                ("was left", raised_by_hand(nodes, categories))
            };
            format!(
                "datanode {is} off for {}: a reboot with a changed disk, or a failed filesystem check, wipes such a node without asking; do not reboot it by hand{way}",
                names.join(", ")
            )
        }
        Danger::Marked(nodes) => format!(
            "nextinstallmode is FULL for {}: the next boot of such a node, whoever begins it, wipes its disk",
            list(nodes)
        ),
        Danger::Bare(nodes) => format!(
            "{}: the disk is wiped, or about to be, and has no guard yet: an EMPTY etcd would start there if anybody gave it the role{}",
            list(nodes),
            if open { "; `resume` sets the guard" } else { "" }
        ),
        Danger::Asking(nodes) => format!(
            "{}: in the installer, or on the way there, and it asks before it wipes; whoever confirms it wipes the disk",
            list(nodes)
        ),
        Danger::ToBeReset(nodes) => format!(
            "{}: to come out of the installer with its disk as it is; where it waits there, `device; power -n NODE reset` in cmsh with nextinstallmode SKIP brings it back; whoever confirms its FULL install wipes the old data",
            list(nodes)
        ),
        Danger::NoReturn => "the point of no return is passed: the way is forward, `undo` is refused".to_owned(),
    }
}

/// What a run that is over does not do any more.
fn raised_by_hand(nodes: &[NodeName], categories: &[CategoryName]) -> String {
    let nodes = nodes.iter().map(|node| format!("device; use {node}"));
    let categories = categories.iter().map(on_again);
    let on = nodes.map(|place| format!("`{place}; set datanode yes; commit`"));
    let commands: Vec<String> = on.chain(categories).collect();
    format!(
        "; this run does not set it on any more: {} in cmsh, where nobody has since",
        commands.join(", ")
    )
}

/// How to make the nodes of a category data nodes, in cmsh.
fn on_again(category: &CategoryName) -> String {
    format!("`category; use {category}; set datanode yes; commit`")
}

/// At the end of a run, of a category that it has found as an earlier one may have left it.
pub(crate) fn found_lowered(category: &CategoryName) -> String {
    format!(
        "datanode of category {category} was off when the plan was made, and this run has not set it on: a reboot may wipe its nodes without asking. Where an earlier run has lowered it: {} in cmsh",
        on_again(category)
    )
}

fn list(nodes: &[NodeName]) -> String {
    let nodes: Vec<&str> = nodes.iter().map(NodeName::as_str).collect();
    nodes.join(", ")
}

/// A run as it stands.
#[derive(Debug)]
pub(crate) struct Standing<'a> {
    pub(crate) plan: &'a SealedPlan,
    pub(crate) history: &'a History,
    pub(crate) machine: &'a Machine,
    /// Who works on it right now.
    pub(crate) working: Option<String>,
    /// Where its directory is.
    pub(crate) place: String,
    /// What is to be known of that place.
    pub(crate) remarks: Vec<String>,
    /// The undo that has begun to take it back, and the way on with that one.
    pub(crate) undone: Option<(RunId, String)>,
}

impl Standing<'_> {
    /// One word, or two.
    pub(crate) fn word(&self) -> &'static str {
        match (self.history.outcome(), &self.working) {
            (Some(Outcome::Completed), _) => "completed",
            (Some(Outcome::Undone(_)), _) => "undone",
            (Some(Outcome::Abandoned(_)), _) => "abandoned",
            (None, Some(_)) => "working",
            (None, None) => "open",
        }
    }

    /// Whether something was begun that no undo takes back.
    pub(crate) fn past_no_return(&self) -> bool {
        past_no_return(self.plan, self.machine).is_some()
    }

    /// What is dangerous as long as the run stands where it does, in words.
    pub(crate) fn dangers(&self) -> Vec<String> {
        self.dangers_while(!self.machine.over())
    }

    /// The same of a run that can go on, or that cannot any more.
    pub(crate) fn dangers_while(&self, open: bool) -> Vec<String> {
        // An undone run stands as its undo has left it.
        if let Some(Outcome::Completed | Outcome::Undone(_)) = self.history.outcome() {
            return Vec::new();
        }
        let words = dangers_in_words(self.plan, self.machine, open);
        self.remarks.iter().cloned().chain(words).collect()
    }

    /// What to do next.
    pub(crate) fn way_on(&self) -> Vec<String> {
        let run = self.plan.run;
        match (self.history.outcome(), &self.working) {
            (Some(_), _) => Vec::new(),
            (None, Some(_)) => {
                vec!["wait for it; Ctrl-C where it runs halts it at the next safe place".into()]
            }
            (None, None) if self.undone.is_some() => {
                self.undone.iter().map(|(_, way)| way.clone()).collect()
            }
            (None, None) => {
                let mut ways = vec![format!("restore-runbook resume {run}")];
                if self.plan.kind == PlanKind::Restore && !self.past_no_return() {
                    ways.push(format!("restore-runbook undo {run}"));
                }
                ways
            }
        }
    }

    /// The last thing the journal says of a unit, if it is worth telling.
    fn last_word(&self, unit: &Unit) -> Option<String> {
        self.history
            .records
            .iter()
            .rev()
            .find_map(|record| match &record.entry {
                Entry::Failed {
                    unit: of,
                    code,
                    seen,
                } if *of == unit.id => Some(format!("{code}: {seen}")),
                Entry::Done { unit: of, seen, .. } if *of == unit.id => Some(seen.clone()),
                Entry::Skipped { unit: of, reason } if *of == unit.id => Some(reason.clone()),
                Entry::Intent { unit: of, .. } if *of == unit.id => {
                    let checks: Vec<String> =
                        unit.done_when.iter().map(ToString::to_string).collect();
                    Some(format!("waiting until {}", checks.join(", and ")))
                }
                _ => None,
            })
    }

    /// The whole picture.
    pub(crate) fn text(&self) -> String {
        let mut page = String::new();
        let kind = match self.plan.kind {
            PlanKind::Restore => "restore".to_owned(),
            PlanKind::Undo { of, .. } => format!("undo of run {of}"),
        };
        writeln!(
            page,
            "{} {}: {kind} of cluster {}, {}",
            paint(HEAD, "run"),
            self.plan.run,
            self.plan.cluster,
            paint(HEAD, self.word())
        )
        .ok();
        writeln!(
            page,
            "  plan       {}\n  directory  {}",
            self.plan.digest(),
            clean_line(&self.place)
        )
        .ok();
        for (n, life) in self.history.lives().into_iter().enumerate() {
            let word = if n == 0 { "begun" } else { "resumed" };
            let by = clean_line(&life.by.to_string());
            writeln!(page, "  {word:<9}  {:.0} by {by}", life.at).ok();
        }
        if let Some(working) = &self.working {
            writeln!(page, "  works now  {}", clean_line(working)).ok();
        }
        if let (None, Some((undo, _))) = (self.history.outcome(), &self.undone) {
            writeln!(page, "  undone by  run {undo}, as far as that has come").ok();
        }
        if let Some(Outcome::Abandoned(reason)) = self.history.outcome() {
            writeln!(page, "  given up   {}", clean_line(reason)).ok();
        }
        if self.history.torn_bytes > 0 {
            writeln!(
                page,
                "  journal    its last line was torn ({} bytes); it never counted",
                self.history.torn_bytes
            )
            .ok();
        }
        page.push('\n');
        self.phases(&mut page);
        self.ending(&mut page);
        page
    }

    fn phases(&self, page: &mut String) {
        let current = self.machine.phase();
        for phase in self.plan_phases() {
            let units: Vec<&Unit> = self
                .plan
                .units
                .iter()
                .filter(|u| u.phase == phase)
                .collect();
            let closed = units.iter().filter(|u| self.state(u).closed()).count();
            let name = format!("{:>12}", phase.name());
            let (style, word) = match (closed == units.len(), current == Some(phase)) {
                (true, _) => (GOOD, "done"),
                (_, true) => (HEAD, "open"),
                _ => (FAINT, "to come"),
            };
            writeln!(
                page,
                "{}  {closed} of {} {word}",
                paint(style, name),
                units.len()
            )
            .ok();
            if current == Some(phase) {
                for unit in units {
                    self.unit(page, unit);
                }
            }
        }
    }

    fn plan_phases(&self) -> Vec<Phase> {
        let mut phases: Vec<Phase> = self.plan.units.iter().map(|unit| unit.phase).collect();
        phases.dedup();
        phases
    }

    fn state(&self, unit: &Unit) -> UnitState {
        self.machine.state(&unit.id).unwrap_or(UnitState::Pending)
    }

    fn unit(&self, page: &mut String, unit: &Unit) {
        let state = self.state(unit);
        let style = match state {
            UnitState::Done => GOOD,
            UnitState::Failed => BAD,
            UnitState::InFlight => WARN,
            UnitState::Pending | UnitState::Skipped => FAINT,
        };
        let word = format!("{state:>9}");
        writeln!(
            page,
            "              {}  {}  {}",
            paint(style, word),
            unit.id,
            paint(FAINT, clean_line(&unit.title))
        )
        .ok();
        if matches!(state, UnitState::InFlight | UnitState::Failed) {
            for line in wrap(&clean_line(&self.last_word(unit).unwrap_or_default()), 76) {
                writeln!(page, "                         {line}").ok();
            }
        }
    }

    fn ending(&self, page: &mut String) {
        let dangers = self.dangers();
        if !dangers.is_empty() {
            writeln!(page, "\n{}", paint(WARN, "While it stands like this")).ok();
            for danger in dangers {
                for (n, line) in wrap(&danger, 92).iter().enumerate() {
                    writeln!(page, "  {} {line}", if n == 0 { "*" } else { " " }).ok();
                }
            }
        }
        let ways = self.way_on();
        if !ways.is_empty() {
            writeln!(page, "\n{}", paint(HEAD, "How to go on")).ok();
            for way in ways {
                writeln!(page, "  {}", paint(GOOD, way)).ok();
            }
        }
    }

    /// The same for programs.
    pub(crate) fn json(&self) -> Value {
        let units: Vec<Value> = self
            .plan
            .units
            .iter()
            .map(|unit| {
                json!({
                    "unit": unit.id,
                    "phase": unit.phase,
                    "node": unit.member,
                    "title": unit.title,
                    "state": state_word(self.state(unit)),
                    "seen": self.last_word(unit),
                })
            })
            .collect();
        let lives = self.history.lives();
        let lives: Vec<Value> = lives
            .iter()
            .map(|life| json!({"at": life.at, "by": life.by, "ended": life.ended}))
            .collect();
        json!({
            "run": self.plan.run,
            "cluster": self.plan.cluster,
            "kind": self.plan.kind,
            "plan": self.plan.digest(),
            "directory": self.place,
            "lives": lives,
            "state": self.word(),
            "phase": self.machine.phase(),
            "working": self.working,
            "past_no_return": self.past_no_return(),
            "dangers": self.dangers(),
            "exposed": exposed(self.plan, self.machine),
            "go_on": self.way_on(),
            "units": units,
        })
    }
}

const fn state_word(state: UnitState) -> &'static str {
    match state {
        UnitState::Pending => "pending",
        UnitState::InFlight => "in_flight",
        UnitState::Done => "done",
        UnitState::Skipped => "skipped",
        UnitState::Failed => "failed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_node_and_many_are_told_of_in_their_own_words() {
        let node = |name| NodeName::new(name).unwrap();
        let (one, two) = (node("node001"), node("node002"));
        assert_eq!(reboot_danger(&[], true), None);
        let danger = |nodes: &[NodeName], open| reboot_danger(nodes, open).unwrap();
        assert!(danger(std::slice::from_ref(&one), true).starts_with(
            "a reboot may wipe restored data now: node001; it is no data node yet, do not reboot it; `resume`"
        ));
        assert!(danger(&[one, two], false).starts_with(
            "a reboot may wipe restored data now: node001, node002; they are no data nodes yet, do not reboot them; `device;"
        ));
    }

    /// `resume` is no way on from a run that is over: what it has left is put right by hand, and told how.
    #[test]
    fn a_run_that_is_over_says_how_to_raise_what_it_has_lowered() {
        let danger = Danger::Lowered {
            nodes: vec![NodeName::new("node001").unwrap()],
            categories: vec![CategoryName::new("compute").unwrap()],
        };
        let open = in_words(&danger, true);
        assert!(
            open.contains("is off for node001, category compute"),
            "{open}"
        );
        assert!(!open.contains("set datanode yes"), "{open}");
        let over = in_words(&danger, false);
        for command in [
            "device; use node001; set datanode yes; commit",
            "category; use compute; set datanode yes; commit",
        ] {
            assert!(over.contains(command), "{over}");
        }
        let bare = Danger::Bare(vec![NodeName::new("node001").unwrap()]);
        assert!(in_words(&bare, true).contains("`resume`"));
        assert!(!in_words(&bare, false).contains("`resume`"));
    }
}
