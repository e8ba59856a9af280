//! A plan as calm text: it reads without colour; its scripts stand there as they are.

use std::fmt::Write as _;

use runbook_core::names::UnitId;
use runbook_core::plan::{Action, Check, Phase, PlanKind, SealedPlan, Undo, Unit};

use runbook_core::world::ObservedMember;

use super::commands::{Commands, label};
use super::next::Next;
use super::order::WayBack;
use super::{article, clock, order, recovery, size, thousands, wrap};
use crate::ui::{BAD, FAINT, GOOD, HEAD, HINT, WARN, clean_line, paint};

/// Prose is broken here; commands never are.
const WIDTH: usize = 96;

/// Room for the label of a line.
const LABEL: usize = 11;

/// The whole plan.
pub(crate) fn plan(plan: &SealedPlan) -> String {
    let mut page = Page {
        takes_back: plan.kind != PlanKind::Restore,
        ..Page::default()
    };
    header(&mut page, plan);
    risks(&mut page, plan);
    differences(&mut page, plan);
    let mut said = Vec::new();
    let mut phase = None;
    for unit in &plan.units {
        if phase != Some(unit.phase) {
            phase = Some(unit.phase);
            said.clear();
            page.phase(unit.phase, plan);
        }
        if unit_of_no_return(plan) == Some(&unit.id) {
            page.no_return(unit.phase, order::wiped(plan));
        }
        page.unit(unit, &mut said);
    }
    page.text
}

/// What to do with it.
pub(crate) fn next_step(plan: &SealedPlan, next: Next<'_>) -> String {
    let step = next.step(plan);
    match step.command {
        Some(line) => format!("\n{}\n\n  {}\n", step.say, paint(GOOD, clean_line(&line))),
        None => format!("\n{}\n", paint(BAD, wrap(step.say, WIDTH).join("\n"))),
    }
}

/// What is destroyed, and what a reviewer has to know, on half a screen.
pub(crate) fn summary(plan: &SealedPlan) -> String {
    let mut page = Page::default();
    header(&mut page, plan);
    risks(&mut page, plan);
    page.line("");
    for phase in Phase::ALL {
        let units = plan.units.iter().filter(|unit| unit.phase == phase);
        let (skipped, open): (Vec<_>, Vec<_>) = units.partition(|unit| unit.skip.is_some());
        if open.is_empty() && skipped.is_empty() {
            continue;
        }
        let destroys = open.iter().filter(|unit| unit.destructive).count();
        let mut line = format!("  {:>11}  {} steps", phase.name(), open.len());
        if !skipped.is_empty() {
            write!(line, ", {} that do not apply", skipped.len()).ok();
        }
        if destroys > 0 {
            write!(line, ", {}", paint(BAD, format!("{destroys} DESTRUCTIVE"))).ok();
        }
        page.line(&line);
    }
    page.text
}

fn header(page: &mut Page, plan: &SealedPlan) {
    let title = match plan.kind {
        PlanKind::Restore => format!("Restore of the etcd cluster {}", plan.cluster),
        PlanKind::Undo { of, .. } => {
            format!("Undo of run {of} on the etcd cluster {}", plan.cluster)
        }
    };
    page.line(&paint(HEAD, title));
    page.line("");
    page.field("run", &plan.run.to_string());
    page.field("plan", &plan.digest().to_string());
    if plan.kind != PlanKind::Restore {
        page.field(
            "place",
            &format!("overlay {}, spool {}", plan.world.overlay, plan.world.spool),
        );
        members_before(page, plan);
        return;
    }
    let snapshot = &plan.world.snapshot;
    page.field(
        "snapshot",
        &format!("{}, {}", snapshot.path, size(snapshot.size_bytes)),
    );
    page.field("", &format!("{}, proven", snapshot.sha256));
    for line in recovery::lines(plan) {
        for part in wrap(&line, WIDTH - LABEL - 2) {
            page.field("", &part);
        }
    }
    let bump = plan.revision_bump.map_or_else(
        || "the revision is not moved".to_owned(),
        |by| format!("the revision is moved by {}", thousands(by)),
    );
    page.field("etcd", &format!("{}, {bump}", plan.etcd_version));
    page.field(
        "place",
        &format!("overlay {}, spool {}", plan.world.overlay, plan.world.spool),
    );
    if let Some(platform) = &plan.world.platform {
        let said = clean_line(&platform.to_string());
        for (n, line) in wrap(&said, WIDTH - LABEL - 2).iter().enumerate() {
            page.field(if n == 0 { "Bright" } else { "" }, line);
        }
    }
    page.field("order", &order::of(plan));
    page.field("token", &format!("{} (fresh)", plan.identity.token));
    page.field("cluster", &format!("{} (predicted)", plan.identity.cluster));
    members(page, plan);
}

/// The step that nothing takes back; an undo has none, for it leads to where the way began.
pub(super) fn unit_of_no_return(plan: &SealedPlan) -> Option<&UnitId> {
    let unit = plan.point_of_no_return.as_ref();
    unit.filter(|_| plan.kind == PlanKind::Restore)
}

/// What a member was before the run. How it is now is for the steps of an undo to find out.
pub(super) fn before(seen: &ObservedMember) -> String {
    let spool = seen.host.as_ref().map_or_else(
        || "it did not answer".to_owned(),
        |host| format!("spool: {}", host.spool),
    );
    let role = if seen.role_from.is_empty() {
        "no role"
    } else {
        "the role"
    };
    format!("before the run: {role}, {spool}")
}

fn members_before(page: &mut Page, plan: &SealedPlan) {
    for (n, seen) in plan.world.members.iter().enumerate() {
        let label = if n == 0 { "members" } else { "" };
        page.field(label, &format!("{}, {}", seen.node, before(seen)));
    }
}

fn members(page: &mut Page, plan: &SealedPlan) {
    let asked = plan.spec.members.iter();
    let all = plan
        .identity
        .members
        .iter()
        .zip(&plan.world.members)
        .zip(asked);
    for (n, ((member, seen), asked)) in all.enumerate() {
        let label = if n == 0 { "members" } else { "" };
        let state = seen.host.as_ref().map_or_else(
            || "does not answer".to_owned(),
            |host| format!("spool: {}", host.spool),
        );
        let how = if asked.reprovision {
            paint(BAD, "disk is WIPED and provisioned anew")
        } else {
            "restored in place".to_owned()
        };
        page.field(
            label,
            &format!(
                "{} ({}), id {}, {}",
                member.node, member.name, member.id, member.peer_url
            ),
        );
        page.field(
            "",
            &format!(
                "  {}; {state}; {how}",
                clean_line(&seen.device.status_with_flags())
            ),
        );
    }
}

fn differences(page: &mut Page, plan: &SealedPlan) {
    if plan.kind == PlanKind::Restore {
        page.points(article::TITLE, &article::lines(plan));
    }
}

fn risks(page: &mut Page, plan: &SealedPlan) {
    page.points("What to know", &plan.risks);
    let steps = plan.units.iter().filter(|unit| unit.skip.is_none()).count();
    let skipped = plan.units.len() - steps;
    let destroys = plan.units.iter().filter(|unit| unit.destructive).count();
    page.line("");
    page.line(&format!(
        "  {steps} steps, {skipped} that do not apply, {destroys} that destroy something. What several steps share is said once."
    ));
}

#[derive(Default)]
struct Page {
    text: String,
    commands: Commands,
    /// An undo is not undone: what to say of that is in its risks.
    takes_back: bool,
    /// The point of no return stands above, in this phase.
    no_return_in: Option<Phase>,
}

impl Page {
    fn line(&mut self, text: &str) {
        self.text.push_str(text.trim_end());
        self.text.push('\n');
    }

    fn field(&mut self, label: &str, value: &str) {
        self.line(&format!("  {label:<LABEL$}{value}"));
    }

    fn points(&mut self, title: &str, points: &[String]) {
        self.line("");
        self.line(&paint(HEAD, title));
        self.line("");
        for point in points {
            for (n, line) in wrap(&clean_line(point), WIDTH - 4).iter().enumerate() {
                self.line(&format!("  {} {line}", if n == 0 { "*" } else { " " }));
            }
        }
    }

    fn phase(&mut self, phase: Phase, plan: &SealedPlan) {
        let what = match plan.kind {
            PlanKind::Restore => phase.purpose().to_owned(),
            PlanKind::Undo { .. } => format!("take back what {phase} has done"),
        };
        self.line("");
        let name = phase.name().to_uppercase();
        for (n, line) in wrap(&format!("{name}: {what}"), WIDTH).iter().enumerate() {
            match line.strip_prefix(&name) {
                Some(rest) if n == 0 => self.line(&format!("{}{rest}", paint(HEAD, &name))),
                _ => self.line(&format!("  {line}")),
            }
        }
    }

    fn no_return(&mut self, phase: Phase, wiped: Option<String>) {
        self.no_return_in = Some(phase);
        let line = "=".repeat(20);
        self.line("");
        self.line(&paint(BAD, format!("{line} POINT OF NO RETURN {line}")));
        let refused = "What follows cannot be undone: once this step, or one like it below, is sent, `undo` is refused.";
        for part in std::iter::once(refused.to_owned()).chain(wiped) {
            self.line(&paint(BAD, format!("  {part}")));
        }
    }

    fn unit(&mut self, unit: &Unit, said: &mut Vec<String>) {
        self.line("");
        let place = unit
            .member
            .as_ref()
            .map_or_else(String::new, |node| format!("{node}: "));
        let mark = if unit.destructive {
            format!("  {}", paint(BAD, "DESTRUCTIVE"))
        } else {
            String::new()
        };
        let title = format!("{place}{}", clean_line(&unit.title));
        if let Some(reason) = &unit.skip {
            self.line(&format!(
                "  - {title}  {}",
                paint(FAINT, format!("[{}]", unit.id))
            ));
            self.prose("skipped", &clean_line(reason));
            return;
        }
        self.line(&format!(
            "  * {}{mark}  {}",
            paint(HEAD, title),
            paint(FAINT, format!("[{}]", unit.id))
        ));
        if !unit.why.is_empty() && !said.contains(&unit.why) {
            self.prose("why", &clean_line(&unit.why));
            said.push(unit.why.clone());
        }
        self.commands(unit);
        self.checks("only if", &unit.require, unit);
        self.checks("done when", &unit.done_when, unit);
        if unit.act.is_some() {
            self.prose(
                "within",
                &clock(std::time::Duration::from_secs(unit.deadline_s.into())),
            );
            let way_back = order::way_back(unit, self.no_return_in);
            if self.takes_back || way_back == WayBack::None {
                return;
            }
            self.undo(&unit.undo, way_back, said);
        }
    }

    /// A label and prose, broken into lines.
    fn prose(&mut self, label: &str, text: &str) {
        for (n, line) in wrap(text, WIDTH - LABEL - 4).iter().enumerate() {
            let label = if n == 0 { label } else { "" };
            self.line(&format!("    {label:<LABEL$}{line}"));
        }
    }

    fn commands(&mut self, unit: &Unit) {
        for command in &unit.commands {
            let text = self.commands.readable(command, &unit.id);
            for (n, line) in text.lines().enumerate() {
                let label = if n == 0 { label(command) } else { "" };
                self.line(&format!("    {label:<LABEL$}{}", paint(HINT, line)));
            }
        }
    }

    fn checks(&mut self, label: &str, checks: &[Check], unit: &Unit) {
        for (n, check) in checks.iter().enumerate() {
            let label = if n == 0 { label } else { "and" };
            // The plan's line already says what a gate that asks one thing is about.
            if unit.act.is_none() && check.to_string() == unit.title {
                continue;
            }
            self.prose(label, &clean_line(&check.to_string()));
        }
    }

    fn undo(&mut self, undo: &Undo, way_back: WayBack, said: &mut Vec<String>) {
        let text = match undo {
            Undo::By(action) => format!("{}{}", way_back.until(), by(action)),
            Undo::Nothing(why) => format!("nothing to undo: {}", clean_line(why)),
            Undo::Impossible(why) => paint(WARN, format!("impossible: {}", clean_line(why))),
        };
        if matches!(undo, Undo::By(_)) || !said.contains(&text) {
            self.prose("undo", &text);
            said.push(text);
        }
    }
}

fn by(action: &Action) -> String {
    clean_line(&action.to_string())
}
