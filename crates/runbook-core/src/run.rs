//! A run: the plan, the machine, the journal and the world, and the one routine that joins them.
//!
//! For every unit: look → record the intent, durably → act → look again → record the outcome. The
//! world decides, not an exit code. Resuming is the same routine after folding the journal; there is
//! no second path.

mod failure;
mod head;
mod unit;

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio_util::sync::CancellationToken;

pub use failure::{HEAD_CHANGED, plan_anew};
use head::Head;
use unit::{Came, drive};

use crate::digest::Digest;
use crate::event::{Event, EventSink, Failure};
use crate::exposure::exposed;
use crate::journal::{
    Actor, Baseline, Entry, JOURNAL_FORMAT, Journal, JournalError, JournalStore, Outcome, Permit,
};
use crate::machine::{IllegalEntry, Machine};
use crate::names::{NodeName, RunId, UnitId};
use crate::plan::{Action, NodeEffect, Phase, PlanError, SealedPlan, Unit};
use crate::ports::Ports;

/// Why a run cannot begin, go on, or be written down.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The journal refuses; nothing was changed since its last record.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The journal and the plan do not belong together, or contradict each other.
    #[error("the journal does not fit the plan")]
    Illegal(#[from] IllegalEntry),
    /// The journal is of another plan.
    #[error("the journal is of run {run} with plan {plan}, not of this plan")]
    OtherPlan {
        /// The run the journal is of.
        run: RunId,
        /// The plan it was begun with.
        plan: Digest,
    },
    /// The run is over already.
    #[error("the run is over: {0:?}")]
    Over(Outcome),
    /// This build would not run the commands the plan shows.
    #[error(transparent)]
    Plan(#[from] PlanError),
}

impl RunError {
    /// The stable error code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Journal(error) => error.code(),
            Self::Illegal(_) => "journal-illegal",
            Self::OtherPlan { .. } => "journal-other-plan",
            Self::Over(_) => "run-over",
            Self::Plan(error) => error.code(),
        }
    }

    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Journal(error) => error.hint().into(),
            Self::Illegal(_) => "the journal was not written by this plan's run: look at each node before anything else".into(),
            Self::OtherPlan { plan, .. } => format!("the plan in the run's own directory was changed, or is not its own: put back the file that was approved, `sha256sum` prints {} for it", plan.hex()),
            Self::Over(_) => "begin a new run with a new plan".into(),
            Self::Plan(error) => return error.hint(),
        })
    }
}

/// How a life of a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunEnd {
    /// Every unit is done or skipped.
    Completed,
    /// It halted; a later life may go on.
    Halted {
        /// Why, in one line.
        reason: String,
        /// The units that failed, each with the way on.
        failures: Vec<(UnitId, Failure)>,
        /// What is still open in the phase it halted in.
        open: Vec<UnitId>,
        /// Nodes on which a reboot may wipe restored data as things stand.
        exposed: Vec<NodeName>,
    },
}

/// A run, ready to go.
pub struct Run<'a> {
    plan: &'a SealedPlan,
    ports: &'a Ports,
    ledger: Mutex<Ledger>,
}

impl std::fmt::Debug for Run<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Run({})", self.plan.run)
    }
}

/// Journal and machine in step: what is recorded is applied, what cannot be applied is not recorded.
#[derive(Debug)]
struct Ledger {
    journal: Journal,
    machine: Machine,
}

impl Ledger {
    fn record(&mut self, at: jiff::Timestamp, entry: &Entry) -> Result<(), RunError> {
        self.machine.allows(entry)?;
        self.journal.write(at, entry.clone())?;
        Ok(self.machine.apply(entry)?)
    }

    fn intend(
        &mut self,
        at: jiff::Timestamp,
        unit: &UnitId,
        baseline: Baseline,
    ) -> Result<Permit, RunError> {
        let entry = Entry::Intent {
            unit: unit.clone(),
            baseline: baseline.clone(),
        };
        self.machine.allows(&entry)?;
        let permit = self.journal.intend(at, unit, baseline)?;
        self.machine.apply(&entry)?;
        Ok(permit)
    }
}

impl<'a> Run<'a> {
    /// Begins a run of this plan in an empty store.
    ///
    /// # Errors
    /// [`RunError`]; nothing has been changed in the world.
    pub fn begin(
        plan: &'a SealedPlan,
        ports: &'a Ports,
        store: Box<dyn JournalStore>,
        by: Actor,
    ) -> Result<Self, RunError> {
        plan.check_commands(ports)?;
        let (run, digest) = (plan.run, plan.digest());
        let first = Entry::Opened {
            format: JOURNAL_FORMAT,
            run,
            plan: digest,
            by,
        };
        let journal = Journal::begin(store, ports.clock.wall(), first)?;
        let machine = Machine::new(&plan.units);
        Ok(Self {
            plan,
            ports,
            ledger: Mutex::new(Ledger { journal, machine }),
        })
    }

    /// Goes on with a run: folds its journal into the machine.
    ///
    /// # Errors
    /// [`RunError`]; nothing has been changed in the world.
    pub fn resume(
        plan: &'a SealedPlan,
        ports: &'a Ports,
        store: Box<dyn JournalStore>,
        by: Actor,
    ) -> Result<Self, RunError> {
        plan.check_commands(ports)?;
        let (journal, history) = Journal::reopen(store)?;
        let machine = replay(plan, &history)?;
        if let Some(outcome) = history.outcome() {
            return Err(RunError::Over(outcome.clone()));
        }
        let mut ledger = Ledger { journal, machine };
        ledger.record(ports.clock.wall(), &Entry::Resumed { by })?;
        Ok(Self {
            plan,
            ports,
            ledger: Mutex::new(ledger),
        })
    }

    /// Works until everything is done, something fails, or `stop` is cancelled.
    ///
    /// `stop` drains, as a failure does: what is in flight is finished, and nothing new begins but the guard
    /// of a disk that was just wiped. A unit is in flight from its intent on: one whose requirements are still
    /// being looked at is left. Dropping the future instead leaves units in flight, as a crash would; both can
    /// be resumed.
    ///
    /// # Errors
    /// [`RunError::Journal`] when a record cannot be written. Nothing is done after that, and units
    /// may be in flight.
    pub async fn execute(
        &self,
        events: &dyn EventSink,
        stop: &CancellationToken,
    ) -> Result<RunEnd, RunError> {
        let mut life = Life {
            run: self,
            events,
            stop,
            halting: stop.child_token(),
            phase: None,
            failures: Vec::new(),
            deposed: false,
        };
        life.work().await?;
        life.end()
    }

    /// A copy of the machine as it stands.
    pub fn machine(&self) -> Machine {
        self.ledger().machine.clone()
    }

    /// Ends a run for good, as undone or abandoned.
    ///
    /// # Errors
    /// [`RunError`] when the record cannot be written.
    pub fn close(self, outcome: Outcome) -> Result<(), RunError> {
        self.record(&Entry::Closed { outcome })
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        // A panic while writing poisons the journal itself, which then refuses every write.
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record(&self, entry: &Entry) -> Result<(), RunError> {
        let at = self.ports.clock.wall();
        self.ledger().record(at, entry)
    }
}

/// The machine a journal leads to; also for looking at a run without going on with it.
///
/// # Errors
/// [`RunError`] when the journal is not this plan's, or cannot have come from it.
pub fn replay(plan: &SealedPlan, history: &crate::journal::History) -> Result<Machine, RunError> {
    let mut machine = Machine::new(&plan.units);
    for record in &history.records {
        if let Entry::Opened {
            run, plan: digest, ..
        } = &record.entry
            && (*run, *digest) != (plan.run, plan.digest())
        {
            return Err(RunError::OtherPlan {
                run: *run,
                plan: *digest,
            });
        }
        machine.apply(&record.entry)?;
    }
    Ok(machine)
}

/// One life of a run.
struct Life<'a> {
    run: &'a Run<'a>,
    events: &'a dyn EventSink,
    /// A halt on request.
    stop: &'a CancellationToken,
    /// A halt on request, or by a failure: nothing new begins.
    halting: CancellationToken,
    phase: Option<(Phase, Duration)>,
    failures: Vec<(UnitId, Failure)>,
    /// Nothing more may be done from this head node.
    deposed: bool,
}

impl Life<'_> {
    async fn work(&mut self) -> Result<(), RunError> {
        let run = self.run;
        let never = CancellationToken::new();
        let limit = usize::from(run.plan.spec.parallel);
        let mut begun = BTreeSet::new();
        let mut draining = false;
        let mut flying = FuturesUnordered::new();
        loop {
            if self.notice_phase() {
                self.refuse_if_deposed().await;
            }
            if self.stop.is_cancelled() && !draining {
                draining = true;
                self.events.event(Event::Draining);
            }
            for unit in ready(run) {
                // A run does not halt with a fresh disk unguarded: an etcd would start empty there.
                let guards = guards_fresh_disk(unit);
                let may = !self.deposed && (!self.halting.is_cancelled() || guards);
                if may && flying.len() < limit && begun.insert(unit.id.clone()) {
                    let halting = if guards { &never } else { &self.halting };
                    flying.push(drive(run, unit, self.events, halting.clone()));
                }
            }
            let next = tokio::select! {
                biased;
                next = flying.next() => next,
                // Heard at once: what is in flight may take an hour.
                () = self.stop.cancelled(), if !draining => continue,
            };
            let Some((unit, came)) = next else {
                return Ok(());
            };
            match came? {
                Came::Through | Came::Left => {}
                Came::Failed(failure) => self.fail(unit.id.clone(), failure),
                Came::Deposed(failure) => {
                    self.deposed = true;
                    self.fail(unit.id.clone(), failure);
                }
            }
        }
    }

    /// A barrier is where a run notices a failover at the latest.
    async fn refuse_if_deposed(&mut self) {
        let first = ready(self.run).first().map(|unit| unit.id.clone());
        if let (Some(first), Head::Passive(failure)) = (first, self.run.head().await) {
            self.deposed = true;
            self.fail(first, failure);
        }
    }

    fn fail(&mut self, unit: UnitId, failure: Failure) {
        self.halting.cancel();
        self.failures.push((unit, failure));
    }

    /// Whether another phase has begun, behind Preflight, which asks for itself.
    fn notice_phase(&mut self) -> bool {
        let now = self.run.ports.clock.monotonic();
        let current = self.run.ledger().machine.phase();
        let before = self.phase.map(|(phase, _)| phase);
        if before == current {
            return false;
        }
        if let Some((phase, since)) = self.phase.take() {
            self.events.event(Event::PhaseDone {
                phase,
                took: now.saturating_sub(since),
            });
        }
        if let Some(phase) = current {
            self.phase = Some((phase, now));
            self.events.event(Event::PhaseBegan { phase });
        }
        current.is_some_and(|phase| phase != Phase::Preflight)
    }

    fn end(self) -> Result<RunEnd, RunError> {
        let run = self.run;
        let mut open: Vec<UnitId> = run.ledger().machine.open().into_iter().cloned().collect();
        // What goes before its phase may have failed.
        let early = self.failures.iter().map(|(unit, _)| unit);
        let early: Vec<UnitId> = early.filter(|unit| !open.contains(unit)).cloned().collect();
        open.splice(0..0, early);
        if open.is_empty() {
            run.record(&Entry::Closed {
                outcome: Outcome::Completed,
            })?;
            return Ok(RunEnd::Completed);
        }
        let reason = match self.failures.first() {
            Some((unit, failure)) => format!("{unit}: {}", failure.seen),
            None => "halted on request".to_owned(),
        };
        run.record(&Entry::Halted {
            reason: bounded(reason.clone()),
        })?;
        Ok(RunEnd::Halted {
            reason,
            failures: self.failures,
            open,
            exposed: exposed(run.plan, &run.ledger().machine),
        })
    }
}

/// The guard of a disk that was wiped in this run.
fn guards_fresh_disk(unit: &Unit) -> bool {
    let guards = matches!(&unit.act, Some(Action::Node(NodeEffect::PlaceGuard { .. })));
    guards && unit.phase == Phase::Reprovision
}

fn ready<'a>(run: &Run<'a>) -> Vec<&'a Unit> {
    let ids: Vec<UnitId> = run.ledger().machine.ready().into_iter().cloned().collect();
    ids.iter().filter_map(|id| run.plan.unit(id)).collect()
}

/// What other programs said may be long; a record is not.
fn bounded(mut text: String) -> String {
    const LIMIT_BYTES: usize = 4096;
    if text.len() > LIMIT_BYTES {
        let mut end = LIMIT_BYTES;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// To the byte, and never within a character.
    #[test]
    fn what_others_said_is_cut_to_what_a_record_takes() {
        let exact = "x".repeat(4096);
        assert_eq!(bounded(exact.clone()), exact);
        assert_eq!(bounded(format!("{exact}x")), format!("{exact}…"));
        let (before, within) = ("x".repeat(4095), "ü".repeat(9));
        assert_eq!(bounded(format!("{before}{within}")), format!("{before}…"));
    }

    #[test]
    fn every_refusal_says_what_to_do_next() {
        let id = "01936f6e-0000-7000-8000-000000000001";
        let other = RunError::OtherPlan {
            run: RunId::parse(id).unwrap_or_else(|_| unreachable!("it is one")),
            plan: Digest::of(b"plan"),
        };
        let place = "here".to_owned();
        let journal = JournalError::Poisoned { place };
        for (error, says) in [
            (RunError::Illegal(IllegalEntry::Over), "look at each node"),
            (other, "the run's own directory"),
            (RunError::Over(Outcome::Completed), "a new plan"),
            (RunError::Journal(journal), "resume"),
        ] {
            let hint = error.hint().unwrap_or_default();
            assert!(hint.contains(says), "{error}: {hint}");
        }
    }
}
