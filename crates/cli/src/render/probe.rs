//! What a plan's checks find right now. Nothing is changed.

use std::fmt::Write as _;

use runbook_core::names::UnitId;
use runbook_core::plan::{Action, Phase, SealedPlan, Unit};
use runbook_core::ports::Ports;
use runbook_core::probe::{self, Finding};

use super::wrap;
use crate::ui::{BAD, FAINT, GOOD, HEAD, WARN, clean_line, paint};

/// What was found for one unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// A gate of Preflight that holds.
    Holds,
    /// A gate of Preflight that does not hold.
    Fails,
    /// A step that is done already.
    DoneAlready,
    /// A step that is so now, but comes behind others that are to be done and may change it: as the role that
    /// is still there, and is to be given back.
    SoNow,
    /// A step that is still to be done.
    ToDo,
    /// A step whose state cannot be seen now, as on a node that is off.
    Unseen,
    /// A gate of a later phase: what it looks at comes from the steps before it.
    Later,
    /// A step that does not apply.
    Skipped,
}

impl State {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Fails => "fails",
            Self::DoneAlready => "done already",
            Self::SoNow => "so now",
            Self::ToDo => "to do",
            Self::Unseen => "unseen",
            Self::Later => "later",
            Self::Skipped => "skipped",
        }
    }
}

/// One unit with what was found.
#[derive(Debug)]
pub(crate) struct ProbedUnit {
    pub(crate) id: UnitId,
    pub(crate) phase: Phase,
    pub(crate) title: String,
    pub(crate) state: State,
    pub(crate) seen: String,
    pub(crate) code: Option<String>,
    pub(crate) hint: Option<String>,
}

impl ProbedUnit {
    const fn open(&self) -> bool {
        matches!(self.state, State::ToDo | State::Unseen)
    }
}

/// Every unit with what was found.
#[derive(Debug)]
pub(crate) struct Probed {
    pub(crate) units: Vec<ProbedUnit>,
}

impl Probed {
    /// Asks every gate of Preflight, and every step whether it is done.
    pub(crate) async fn ask(plan: &SealedPlan, ports: &Ports) -> Self {
        let mut units = Vec::with_capacity(plan.units.len());
        for unit in &plan.units {
            let mut found = ask_unit(unit, ports).await;
            let open = |before: &ProbedUnit| before.phase < found.phase && before.open();
            if found.state == State::DoneAlready && units.iter().any(open) {
                found.state = State::SoNow;
            }
            units.push(found);
        }
        Self { units }
    }

    /// Whether a run of the plan would be refused by Preflight right now.
    pub(crate) fn refused(&self) -> bool {
        self.units.iter().any(|unit| unit.state == State::Fails)
    }

    /// Whether a run would change something.
    pub(crate) fn changes(&self) -> bool {
        self.units.iter().any(ProbedUnit::open)
    }

    /// The table, for a terminal.
    pub(crate) fn text(&self) -> String {
        let mut page = format!(
            "\n{}\n\n",
            paint(HEAD, "Found right now; nothing was changed")
        );
        if self.units.iter().any(|unit| unit.state == State::SoNow) {
            page.push_str("  so now: what comes before it is still to be done and may change it; it is asked again in\n  its turn, and done where it is not so any more.\n\n");
        }
        for unit in self.units.iter().filter(|unit| unit.state != State::Later) {
            let style = match unit.state {
                State::Holds | State::DoneAlready => GOOD,
                State::Fails => BAD,
                State::Unseen => WARN,
                State::SoNow | State::ToDo | State::Later | State::Skipped => FAINT,
            };
            let word = format!("{:>12}", unit.state.word());
            writeln!(
                page,
                "  {}  {}  {}",
                paint(style, word),
                unit.id,
                paint(FAINT, clean_line(&unit.title))
            )
            .ok();
            if unit.state == State::Skipped {
                continue;
            }
            for line in wrap(&clean_line(&unit.seen), 80) {
                writeln!(page, "                {line}").ok();
            }
            if let Some(hint) = unit.hint.as_ref().filter(|_| unit.state == State::Fails) {
                for line in wrap(&format!("hint: {}", clean_line(hint)), 80) {
                    writeln!(page, "                {line}").ok();
                }
            }
        }
        page
    }

    /// The same for a change ticket, as one block that nothing in it can leave.
    pub(crate) fn markdown(&self) -> String {
        let table = anstream::adapter::strip_str(&self.text()).to_string();
        let body = table.replace("```", "` ` `");
        let body = body
            .split_once("\n\n")
            .map_or(body.as_str(), |(_, rest)| rest);
        format!("\n## Found right now; nothing was changed\n\n```text\n{body}```\n")
    }
}

async fn ask_unit(unit: &Unit, ports: &Ports) -> ProbedUnit {
    let gate = unit.phase == Phase::Preflight && unit.act.is_none();
    let mut probed = ProbedUnit {
        id: unit.id.clone(),
        phase: unit.phase,
        title: unit.title.clone(),
        state: State::Later,
        seen: String::new(),
        code: None,
        hint: None,
    };
    if let Some(reason) = &unit.skip {
        probed.state = State::Skipped;
        probed.seen.clone_from(reason);
        return probed;
    }
    // What an answer brings about can be told from what was there before only behind its question.
    let answers = unit.act.as_ref().is_some_and(Action::is_answer);
    if answers || (unit.act.is_none() && !gate) {
        return probed;
    }
    let finding = probe::all(ports, &unit.done_when, None).await;
    probed.seen = finding.seen();
    probed.state = match (&finding, gate) {
        (Finding::Holds(_), true) => State::Holds,
        (_, true) => State::Fails,
        (Finding::Holds(_), false) => State::DoneAlready,
        (Finding::Blind(_), false) => State::Unseen,
        (_, false) => State::ToDo,
    };
    if let Finding::Never { code, hint, .. }
    | Finding::Stopped { code, hint, .. }
    | Finding::Held { code, hint, .. } = &finding
    {
        probed.code = Some((*code).into());
        probed.hint = Some((*hint).into());
    }
    if let Finding::Blind(error) = finding {
        probed.code = Some(error.code.into());
        probed.hint = error.hint;
    }
    probed
}
