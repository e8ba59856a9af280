//! Where a run stands, read from its directory alone.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use runbook_core::exposure::exposed;
use runbook_core::journal::{Entry, History, Outcome};
use runbook_core::machine::{Machine, UnitState};
use runbook_core::names::NodeName;
use runbook_core::plan::{Action, ManagerEffect, NodeEffect, Phase, PlanKind, SealedPlan, Unit};
use runbook_core::world::InstallMode;
use serde_json::{Value, json};

use super::wrap;
use crate::ui::{BAD, FAINT, GOOD, HEAD, WARN, clean_line, paint};

/// What a reboot of these nodes may do; none where there are none.
pub(crate) fn reboot_danger(exposed: &[NodeName], open: bool) -> Option<String> {
    let way = if open {
        "`resume` makes them data nodes before anything else"
    } else {
        "make each a data node: `device; use NODE; set datanode yes; commit` in cmsh"
    };
    let nodes: Vec<&str> = exposed.iter().map(NodeName::as_str).collect();
    (!nodes.is_empty()).then(|| {
        format!(
            "a reboot may wipe restored data now: {} (no data node yet, each of them); do not reboot them; {way}",
            nodes.join(", ")
        )
    })
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
        let is_final = |unit: &&Unit| {
            let assigns = matches!(
                unit.act,
                Some(Action::Manager(ManagerEffect::AssignRole { .. }))
            );
            unit.destructive || (assigns && self.plan.kind == PlanKind::Restore)
        };
        let mut begun = self.plan.units.iter().filter(is_final);
        begun.any(|unit| self.machine.intended(&unit.id))
    }

    /// What is dangerous as long as the run stands where it does.
    pub(crate) fn dangers(&self) -> Vec<String> {
        let mut dangers = Vec::new();
        if self.machine.over() && self.history.outcome() == Some(&Outcome::Completed) {
            return dangers;
        }
        dangers.extend(self.remarks.iter().cloned());
        if self.effect_stands(
            |e| matches!(e, ManagerEffect::UnassignRole { .. }),
            |e| matches!(e, ManagerEffect::AssignRole { .. }),
        ) {
            dangers.push("etcd is stopped, or about to be: no API server has an etcd, kubectl does not work, what crashes is not rescheduled".to_owned());
        }
        let exposed = self.exposed();
        dangers.extend(reboot_danger(&exposed, !self.machine.over()));
        let mut lowered = self.lowered();
        lowered.retain(|name| !exposed.iter().any(|node| node.as_str() == name));
        if !lowered.is_empty() {
            dangers.push(format!(
                "datanode is off for {}: a reboot with a changed disk, or a failed filesystem check, wipes such a node without asking; do not reboot it by hand",
                lowered.join(", ")
            ));
        }
        let marked = self.marked();
        if !marked.is_empty() {
            dangers.push(format!(
                "nextinstallmode is FULL for {}: the next boot of such a node, whoever begins it, wipes its disk",
                marked.join(", ")
            ));
        }
        let bare = self.bare();
        if !bare.is_empty() {
            dangers.push(format!(
                "{}: the disk is wiped, or about to be, and has no guard yet: an EMPTY etcd would start there if anybody gave it the role; `resume` sets the guard",
                bare.join(", ")
            ));
        }
        let asking = self.asking();
        if !asking.is_empty() {
            dangers.push(format!(
                "{}: in the installer, or on the way there, and it asks before it wipes; whoever confirms it wipes the disk",
                asking.join(", ")
            ));
        }
        if self.past_no_return() {
            dangers.push(
                "the point of no return is passed: the way is forward, `undo` is refused"
                    .to_owned(),
            );
        }
        dangers
    }

    fn exposed(&self) -> Vec<NodeName> {
        exposed(self.plan, self.machine)
    }

    /// Nodes that were booted to be asked about, and whose answer has not come to its end.
    fn asking(&self) -> Vec<String> {
        let booted = |of: &NodeName| {
            self.plan.units.iter().any(|unit| match &unit.act {
                Some(Action::Manager(
                    ManagerEffect::Reboot { node } | ManagerEffect::PowerOn { node },
                )) => node == of && self.machine.intended(&unit.id),
                _ => false,
            })
        };
        let mut asking = Vec::new();
        for unit in &self.plan.units {
            if let Some(Action::Manager(ManagerEffect::ConfirmInstall { node })) = &unit.act
                && booted(node)
                && !self.state(unit).closed()
            {
                asking.push(node.to_string());
            }
        }
        asking
    }

    /// Nodes that the next boot wipes unasked: the run's own boot of them has not come to its end.
    fn marked(&self) -> Vec<String> {
        let mut marked = BTreeSet::new();
        for unit in &self.plan.units {
            let Some(Action::Manager(effect)) = &unit.act else {
                continue;
            };
            let closed = self.state(unit).closed();
            match effect {
                ManagerEffect::SetNextInstallMode {
                    node,
                    mode: Some(InstallMode::Full),
                } if closed || self.machine.intended(&unit.id) => {
                    marked.insert(node.to_string());
                }
                ManagerEffect::Reboot { node } | ManagerEffect::PowerOn { node } if closed => {
                    marked.remove(node.as_str());
                }
                // It is asked first.
                ManagerEffect::ConfirmInstall { node } => {
                    marked.remove(node.as_str());
                }
                _ => {}
            }
        }
        marked.into_iter().collect()
    }

    /// Nodes whose disk the run wipes or has wiped, and has not guarded again.
    fn bare(&self) -> Vec<String> {
        let mut bare = BTreeSet::new();
        for unit in &self.plan.units {
            let Some(node) = &unit.member else { continue };
            if unit.destructive && self.machine.intended(&unit.id) {
                bare.insert(node.to_string());
            }
            let guards = matches!(&unit.act, Some(Action::Node(NodeEffect::PlaceGuard { .. })));
            if guards && unit.phase == Phase::Reprovision && self.state(unit).closed() {
                bare.remove(node.as_str());
            }
        }
        bare.into_iter().collect()
    }

    fn effect_stands(
        &self,
        begins: impl Fn(&ManagerEffect) -> bool,
        ends: impl Fn(&ManagerEffect) -> bool,
    ) -> bool {
        let of = |unit: &Unit, test: &dyn Fn(&ManagerEffect) -> bool| match &unit.act {
            Some(Action::Manager(effect)) => test(effect),
            _ => false,
        };
        let mut stands = false;
        for unit in &self.plan.units {
            if of(unit, &begins) && self.machine.intended(&unit.id) {
                stands = true;
            }
            if of(unit, &ends) && self.machine.state(&unit.id) == Some(UnitState::Done) {
                stands = false;
            }
        }
        stands
    }

    fn lowered(&self) -> Vec<String> {
        let mut lowered: Vec<String> = Vec::new();
        for unit in &self.plan.units {
            let (name, value) = match &unit.act {
                Some(Action::Manager(ManagerEffect::SetDatanode { node, value })) => {
                    (node.to_string(), *value)
                }
                Some(Action::Manager(ManagerEffect::SetCategoryDatanode { category, value })) => {
                    (format!("category {category}"), *value)
                }
                _ => continue,
            };
            if value && self.machine.state(&unit.id) == Some(UnitState::Done) {
                lowered.retain(|other| *other != name);
            } else if !value && self.machine.intended(&unit.id) && !lowered.contains(&name) {
                lowered.push(name);
            }
        }
        lowered
    }

    /// What to do next.
    pub(crate) fn way_on(&self) -> Vec<String> {
        let run = self.plan.run;
        match (self.history.outcome(), &self.working) {
            (Some(_), _) => Vec::new(),
            (None, Some(_)) => {
                vec!["wait for it; Ctrl-C where it runs halts it at the next safe place".into()]
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
            "exposed": self.exposed(),
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
    use runbook_core::testkit::{Effect, Lives, Mortal, World};

    use super::*;

    /// Between the mark and the wipe any boot wipes; between the wipe and the guard any role starts an empty etcd.
    #[test]
    fn a_marked_node_and_a_bare_disk_are_dangers() {
        let told = |lives: &Lives, what: &str| {
            let history = History::read(&lives.journal(), "memory").unwrap();
            let standing = Standing {
                plan: lives.plan(),
                history: &history,
                machine: lives.machine().unwrap(),
                working: None,
                place: String::new(),
                remarks: Vec::new(),
            };
            standing.dangers().iter().any(|line| line.contains(what))
        };
        let world = World::of(1).reprovision_all().build();
        let mut measure = Lives::of(&world.clone());
        measure.live(Mortal::never());
        let (mut marked, mut bare) = (0, 0);
        for at in 1..=measure.waits() {
            let world = World::of(1).reprovision_all().build();
            let mut lives = Lives::of(&world);
            lives.live(Mortal::after(at));
            let done = |step: &str| {
                let unit = format!("reprovision/node001/{step}");
                let state = lives.machine().unwrap().states();
                let mut state = state.filter(|(id, _)| id.as_str() == unit);
                state.any(|(_, state)| state == UnitState::Done)
            };
            let is_marked = done("install-mode") && !done("boot");
            if is_marked {
                assert!(told(&lives, "nextinstallmode is FULL for node001"), "{at}");
            }
            let is_bare = done("boot") && !done("guard");
            if is_bare {
                assert!(told(&lives, "an EMPTY etcd would start there"), "{at}");
            }
            if done("guard") || !done("datanode") {
                assert!(!told(&lives, "FULL for") && !told(&lives, "EMPTY"), "{at}");
            }
            marked += u32::from(is_marked);
            bare += u32::from(is_bare);
        }
        assert!(marked > 0 && bare > 0, "{marked} {bare}");
    }

    /// While a node waits in its installer anybody can have its disk wiped.
    #[test]
    fn a_node_that_asks_is_a_danger_until_it_was_answered() {
        let world = World::of(1).reprovision_all().confirm().build();
        let mut lives = Lives::of(&world);
        let dangers = |lives: &Lives| {
            let history = History::read(&lives.journal(), "memory").unwrap();
            let standing = Standing {
                plan: lives.plan(),
                history: &history,
                machine: lives.machine().unwrap(),
                working: None,
                place: String::new(),
                remarks: Vec::new(),
            };
            standing.dangers().join("\n")
        };
        let mut at = 0;
        while world.times(&Effect::WaitsForConfirmation) == 0 {
            at += 1;
            lives.live(Mortal::halted(at));
        }
        let told = "node001: in the installer";
        let before = dangers(&lives);
        assert!(before.contains(told), "{before}");
        assert!(
            !before.contains("point of no return is passed"),
            "it can be undone: {before}"
        );
        lives.live(Mortal::never());
        assert!(!dangers(&lives).contains(told));
    }
}
