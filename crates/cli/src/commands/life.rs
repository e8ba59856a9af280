//! One life of a run: from its beginning, or from where it was left, to its end, a halt or a signal.

use std::sync::Arc;
use std::time::Instant;

use runbook_core::event::{Event, EventSink, Failure as UnitFailure};
use runbook_core::journal::Outcome;
use runbook_core::names::UnitId;
use runbook_core::plan::{PlanKind, SealedPlan};
use runbook_core::run::{Run, RunEnd};
use runbook_core::rundir::{RunDir, StateDir};

use super::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::progress::Progress;
use crate::render::clock;
use crate::signals::{self, Halt};
use crate::ui::{GOOD, HEAD, paint};
use crate::wiring::Wired;

/// What a life works with.
pub(super) struct Life<'a> {
    pub(super) cx: Context<'a>,
    pub(super) state: &'a StateDir,
    pub(super) dir: &'a RunDir,
    pub(super) plan: &'a SealedPlan,
    pub(super) wired: &'a Wired,
}

/// Tells adapters what they must know ahead, then shows the event.
struct Sink<'a> {
    life: &'a Life<'a>,
    progress: &'a Progress,
}

impl EventSink for Sink<'_> {
    fn event(&self, event: Event) {
        if let Event::Acting { unit, .. } = &event {
            self.life.announce(&unit.id);
        }
        self.progress.event(event);
    }
}

impl Life<'_> {
    /// Works, and says how it ended.
    pub(super) async fn go(&self, run: Run<'_>) -> Result<Exit, Failure> {
        let since = Instant::now();
        let progress = Arc::new(Progress::new(self.cx.ui.clone()));
        let voice = Arc::clone(&progress);
        let halt = signals::listen(Arc::new(move |line: &str| voice.say(line)))?;
        for unit in &self.plan.units {
            // Wiped in an earlier life: the node may come back in this one.
            if run.machine().intended(&unit.id) {
                self.announce(&unit.id);
            }
        }
        let end = self.work(&run, &progress, &halt).await;
        progress.clear();
        match end? {
            None => Ok(self.left_in_flight()),
            Some(RunEnd::Completed) => self.completed(since),
            Some(RunEnd::Halted {
                reason,
                failures,
                open,
            }) => self.halted(run, &reason, failures, &open),
        }
    }

    /// None when it was left in flight.
    async fn work(
        &self,
        run: &Run<'_>,
        progress: &Progress,
        halt: &Halt,
    ) -> Result<Option<RunEnd>, Failure> {
        let sink = Sink {
            life: self,
            progress,
        };
        tokio::select! {
            biased;
            () = halt.leave.cancelled() => Ok(None),
            end = run.execute(&sink, &halt.drain) => Ok(Some(end?)),
        }
    }

    /// A node whose disk is about to be wiped may come back with another host key.
    fn announce(&self, id: &UnitId) {
        let Some(unit) = self.plan.unit(id) else {
            return;
        };
        if let (true, Some(node)) = (unit.destructive, &unit.member) {
            (self.wired.before_wipe)(node);
        }
    }

    fn left_in_flight(&self) -> Exit {
        let run = self.plan.run;
        self.cx.ui.note(&format!(
            "\nrun {run} was left with steps in flight; what they began may still come true"
        ));
        self.cx.ui.hint(&format!(
            "look with `restore-runbook status {run}`, go on with `restore-runbook resume {run}`"
        ));
        Exit::InFlight
    }

    fn completed(&self, since: Instant) -> Result<Exit, Failure> {
        let ui = self.cx.ui;
        let run = self.plan.run;
        let took = clock(since.elapsed());
        match self.plan.kind {
            PlanKind::Restore => {
                let line = format!("cluster {} is restored and verified", self.plan.cluster);
                ui.note(&format!(
                    "\n{}, run {run}, {took} in this life",
                    paint(GOOD, line)
                ));
            }
            PlanKind::Undo { of, .. } => {
                close_undone(self.state, of, run)?;
                let line = format!("run {of} is undone");
                ui.note(&format!(
                    "\n{} by run {run}, {took} in this life",
                    paint(GOOD, line)
                ));
            }
        }
        ui.note(&format!(
            "  plan, journal and every command: {}",
            self.dir.path().display()
        ));
        Ok(Exit::Done)
    }

    fn halted(
        &self,
        run: Run<'_>,
        reason: &str,
        failures: Vec<(UnitId, UnitFailure)>,
        open: &[UnitId],
    ) -> Result<Exit, Failure> {
        let machine = run.machine();
        let nothing_changed = !self
            .plan
            .units
            .iter()
            .any(|unit| machine.intended(&unit.id));
        let refused = nothing_changed && !failures.is_empty();
        let exit = if refused { Exit::Refused } else { Exit::Halted };
        self.cx.ui.note("");
        for (unit, failure) in failures {
            let what = format!("{unit}: {}", failure.seen);
            let mut shown = Failure::new(exit, &failure.code, what);
            shown.hint = failure.hint.map(String::into_boxed_str);
            self.cx.ui.failure(&shown);
        }
        if refused {
            run.close(Outcome::Abandoned(short(reason)))?;
            self.cx.ui.note("\nnothing was changed, and the run is closed: mend this, then run the same plan again");
            return Ok(exit);
        }
        let open: Vec<String> = open.iter().map(ToString::to_string).collect();
        let id = self.plan.run;
        self.cx.ui.note(&format!(
            "\n{}; still open: {}",
            paint(HEAD, format!("run {id} has halted")),
            open.join(", ")
        ));
        self.cx.ui.hint(&format!(
            "look with `restore-runbook status {id}`, go on with `restore-runbook resume {id}`"
        ));
        Ok(exit)
    }
}

/// Closes a run that another one has undone.
pub(super) fn close_undone(
    state: &StateDir,
    of: runbook_core::names::RunId,
    by: runbook_core::names::RunId,
) -> Result<(), Failure> {
    let runs = state.runs()?;
    let Some(dir) = runs.iter().find(|dir| dir.run == of) else {
        return Ok(());
    };
    Ok(dir.close(jiff::Timestamp::now(), Outcome::Undone(by))?)
}

fn short(reason: &str) -> String {
    format!(
        "refused before anything was changed: {}",
        reason.chars().take(400).collect::<String>()
    )
}
