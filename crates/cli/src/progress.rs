//! What a run shows while it works: bars on a terminal, one line per event elsewhere.

pub(crate) mod bytes;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle};
use runbook_core::event::{Event, EventSink, Failure, UnitRef};
use runbook_core::names::UnitId;
use runbook_core::plan::Phase;

use crate::render::clock;
use crate::ui::{BAD, FAINT, GOOD, HEAD, Ui, WARN, clean_line, paint};

/// A unit that sees the same for this long says so again.
const REMIND: Duration = Duration::from_secs(30);

/// Room for the phase's name, right-aligned.
const PREFIX: usize = 12;

/// On a narrower terminal the phase's name gives way to what is seen.
const NARROW: u16 = 60;

/// Shows events as they come.
pub(crate) struct Progress {
    ui: Ui,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What has begun and is not over.
    flying: BTreeSet<UnitId>,
    bars: BTreeMap<UnitId, ProgressBar>,
    said: BTreeMap<UnitId, (String, Duration)>,
    /// By what each unit is held, as last told.
    held: BTreeMap<UnitId, String>,
}

impl Progress {
    pub(crate) fn new(ui: Ui) -> Self {
        Self {
            ui,
            state: Mutex::default(),
        }
    }

    /// Takes the bars away.
    pub(crate) fn clear(&self) {
        for (_, bar) in std::mem::take(&mut self.state().bars) {
            bar.finish_and_clear();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A line between the bars.
    pub(crate) fn say(&self, line: &str) {
        self.ui.note(line);
    }

    fn phase(&self, phase: Phase, text: &str) {
        self.say(&format!(
            "{}  {text}",
            paint(HEAD, format!("{:>PREFIX$}", phase.name()))
        ));
    }

    fn unit(&self, unit: &UnitRef, word: &str, text: &str) {
        self.say(&line(unit, word, text));
    }

    fn waiting(&self, unit: &UnitRef, seen: &str, elapsed: Duration, deadline: Duration) {
        let seen = clean_line(seen);
        if let Some(bars) = &self.ui.bars {
            self.bar(bars.all(), unit, &seen, elapsed, deadline);
            return;
        }
        let mut state = self.state();
        if let Some((before, at)) = state.said.get(&unit.id)
            && *before == seen
            && elapsed.saturating_sub(*at) < REMIND
        {
            return;
        }
        state.said.insert(unit.id.clone(), (seen.clone(), elapsed));
        drop(state);
        let time = format!("{seen} ({} of at most {})", clock(elapsed), clock(deadline));
        self.unit(unit, &paint(FAINT, "waits "), &time);
    }

    fn bar(
        &self,
        live: &MultiProgress,
        unit: &UnitRef,
        seen: &str,
        elapsed: Duration,
        deadline: Duration,
    ) {
        let mut state = self.state();
        let bar = state.bars.entry(unit.id.clone()).or_insert_with(|| {
            let bar = live.add(ProgressBar::new_spinner().with_elapsed(elapsed));
            bar.set_style(style());
            bar.set_prefix(short(unit, columns()));
            bar.enable_steady_tick(Duration::from_millis(500));
            bar
        });
        // A narrow line has no room for what the clock says already.
        let seen = seen.strip_prefix("cannot be seen: ").unwrap_or(seen);
        bar.set_message(format!("of {}: {seen}", clock(deadline)));
    }

    /// What to do stands once, whole: a bar cuts it off, and it stays true for an hour.
    fn held(&self, unit: &UnitRef, by: &Failure) {
        let before = self.state().held.insert(unit.id.clone(), by.code.clone());
        if before.as_ref() != Some(&by.code) {
            let hint = by.hint.as_deref().unwrap_or_default();
            let text = format!("[{}] {hint}", by.code);
            self.unit(unit, &paint(WARN, "held  "), &clean_line(&text));
        }
    }

    fn gone(&self, unit: &UnitRef) {
        let mut state = self.state();
        state.flying.remove(&unit.id);
        state.said.remove(&unit.id);
        state.held.remove(&unit.id);
        if let Some(bar) = state.bars.remove(&unit.id) {
            drop(state);
            bar.finish_and_clear();
        }
    }
}

fn style() -> ProgressStyle {
    let elapsed = |state: &ProgressState, to: &mut dyn std::fmt::Write| {
        write!(to, "{}", clock(state.elapsed())).ok();
    };
    ProgressStyle::with_template("{prefix} {spinner} {clock} {wide_msg}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
        .with_key("clock", elapsed)
        .tick_chars("|/-\\ ")
}

fn columns() -> u16 {
    console::Term::stderr().size().1
}

/// Who and what, short enough that the time and what is seen have room beside it.
fn short(unit: &UnitRef, columns: u16) -> String {
    let id = unit.id.to_string();
    let what = id.rsplit('/').next().unwrap_or_default();
    let who = format!("{} {what}", place(unit));
    if columns < NARROW {
        who
    } else {
        format!("{:>PREFIX$}  {who}", unit.phase.name())
    }
}

fn place(unit: &UnitRef) -> String {
    unit.node
        .as_ref()
        .map_or_else(|| "all".to_owned(), ToString::to_string)
}

fn line(unit: &UnitRef, word: &str, text: &str) -> String {
    let title = clean_line(&unit.title);
    let prefix = format!("{:>PREFIX$}", unit.phase.name());
    let rest = if text.is_empty() {
        String::new()
    } else {
        format!(": {text}")
    };
    format!(
        "{}  {}  {word} {title}{rest}",
        paint(FAINT, prefix),
        place(unit)
    )
}

impl EventSink for Progress {
    fn event(&self, event: Event) {
        match event {
            Event::PhaseBegan { phase } => self.phase(phase, phase.purpose()),
            Event::PhaseDone { phase, took } => {
                self.phase(phase, &paint(GOOD, format!("done after {}", clock(took))));
            }
            Event::Acting { unit, .. } => {
                self.state().flying.insert(unit.id.clone());
                self.unit(&unit, &paint(HEAD, "acts  "), "");
            }
            Event::Waiting {
                unit,
                seen,
                elapsed,
                deadline,
            } => {
                self.waiting(&unit, &seen, elapsed, deadline);
            }
            Event::Held { unit, by } => self.held(&unit, &by),
            Event::Retrying { unit, error } => {
                self.unit(&unit, &paint(WARN, "again "), &clean_line(&error));
            }
            Event::Done { unit, acted, seen } => {
                self.gone(&unit);
                let word = if acted { "done  " } else { "holds " };
                self.unit(&unit, &paint(GOOD, word), &clean_line(&seen));
            }
            Event::Skipped { unit, reason } => {
                self.gone(&unit);
                self.unit(&unit, &paint(FAINT, "skips "), &clean_line(&reason));
            }
            Event::Failed { unit, failure } => {
                self.gone(&unit);
                // The whole reason stands once, at the end, with the way on.
                let text = format!("[{}]", clean_line(&failure.code));
                self.unit(&unit, &paint(BAD, "FAILED"), &text);
            }
            Event::Draining => self.say(&self.still_in_flight()),
            // A later core may tell more than this build knows to show.
            _ => {}
        }
        std::io::stderr().flush().ok();
    }
}

impl Progress {
    fn still_in_flight(&self) -> String {
        let state = self.state();
        let waited: Vec<String> = state
            .bars
            .keys()
            .chain(state.said.keys())
            .chain(&state.flying)
            .collect::<BTreeSet<_>>()
            .into_iter()
            .map(ToString::to_string)
            .collect();
        let what = if waited.is_empty() {
            "nothing".to_owned()
        } else {
            waited.join(", ")
        };
        format!("{:>PREFIX$}  draining; in flight: {what}", "")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_and_what_leave_room_for_the_reason() {
        let unit = UnitRef {
            id: UnitId::new("reprovision/node001/boot").unwrap(),
            phase: Phase::Reprovision,
            node: Some(runbook_core::names::NodeName::new("node001").unwrap()),
            title: "a title that would fill the whole line of a terminal".into(),
        };
        assert_eq!(short(&unit, 80), " reprovision  node001 boot");
        assert_eq!(short(&unit, 40), "node001 boot");
    }
}
