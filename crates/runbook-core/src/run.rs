//! A run: the plan, the machine, the journal and the world, and the one routine that joins them.
//!
//! For every unit: look → record the intent, durably → act → look again → record the outcome. The
//! world decides, not an exit code. Resuming is the same routine after folding the journal; there is
//! no second path.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio_util::sync::CancellationToken;

use crate::digest::Digest;
use crate::error::{AdapterError, Certainty};
use crate::event::{Event, EventSink, Failure, UnitRef};
use crate::journal::{
    Actor, Baseline, Entry, JOURNAL_FORMAT, Journal, JournalError, JournalStore, Outcome, Permit,
};
use crate::machine::{IllegalEntry, Machine, UnitState};
use crate::names::{NodeName, RunId, UnitId};
use crate::plan::{Action, Check, Phase, PlanError, SealedPlan, Unit};
use crate::ports::Ports;
use crate::probe::{self, Finding};
use crate::world::BootId;

/// How often an action that certainly did not happen is tried again in one life.
const RETRIES: u32 = 3;

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
            Self::OtherPlan { .. } => "resume with the plan in the run's own directory".into(),
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
    /// `stop` drains: what is in flight is finished, nothing new begins. Dropping the future instead
    /// leaves units in flight, as a crash would; both can be resumed.
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
            phase: None,
            failures: Vec::new(),
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
    stop: &'a CancellationToken,
    phase: Option<(Phase, Duration)>,
    failures: Vec<(UnitId, Failure)>,
}

/// What became of a unit in this life.
enum Came {
    Through,
    /// A gate that was not waited for any longer because the run is to halt; nothing is recorded.
    Left,
    Failed(Failure),
}

impl Life<'_> {
    async fn work(&mut self) -> Result<(), RunError> {
        let run = self.run;
        let limit = usize::from(run.plan.spec.parallel);
        let mut begun = BTreeSet::new();
        let mut draining = false;
        let mut flying = FuturesUnordered::new();
        loop {
            self.notice_phase();
            if self.stop.is_cancelled() && !draining {
                draining = true;
                self.events.event(Event::Draining);
            }
            if !draining && self.failures.is_empty() {
                for unit in ready(run) {
                    if flying.len() < limit && begun.insert(unit.id.clone()) {
                        flying.push(drive(run, unit, self.events, self.stop));
                    }
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
                Came::Through => {}
                Came::Left => draining = true,
                Came::Failed(failure) => self.failures.push((unit.id.clone(), failure)),
            }
        }
    }

    fn notice_phase(&mut self) {
        let now = self.run.ports.clock.monotonic();
        let current = self.run.ledger().machine.phase();
        let before = self.phase.map(|(phase, _)| phase);
        if before == current {
            return;
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
    }

    fn end(self) -> Result<RunEnd, RunError> {
        let run = self.run;
        let open: Vec<UnitId> = run.ledger().machine.open().into_iter().cloned().collect();
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
        })
    }
}

fn ready<'a>(run: &Run<'a>) -> Vec<&'a Unit> {
    let ids: Vec<UnitId> = run.ledger().machine.ready().into_iter().cloned().collect();
    ids.iter().filter_map(|id| run.plan.unit(id)).collect()
}

/// The one routine for every unit.
async fn drive<'a>(
    run: &Run<'a>,
    unit: &'a Unit,
    events: &dyn EventSink,
    stop: &CancellationToken,
) -> (&'a Unit, Result<Came, RunError>) {
    let work = Work {
        run,
        unit,
        events,
        stop,
        name: UnitRef::from(unit),
    };
    let came = match work.through().await {
        Ok(Came::Failed(failure)) => work.failed(failure),
        other => other,
    };
    (unit, came)
}

struct Work<'a> {
    run: &'a Run<'a>,
    unit: &'a Unit,
    events: &'a dyn EventSink,
    stop: &'a CancellationToken,
    name: UnitRef,
}

impl Work<'_> {
    async fn through(&self) -> Result<Came, RunError> {
        if let Some(reason) = &self.unit.skip {
            return self.skipped(reason);
        }
        let Some(action) = &self.unit.act else {
            return self.wait(false).await;
        };
        match self.first_look().await {
            Finding::Holds(seen) => self.done(false, seen),
            // Begun in an earlier life and still going on: acting again would do it twice.
            Finding::Underway(_) if self.intended() => self.wait(false).await,
            Finding::Underway(seen) => Ok(Came::Failed(in_the_way(seen))),
            Finding::NotYet(_) | Finding::Stopped { .. } => self.act(action).await,
            Finding::Never { code, seen, hint } => Ok(Came::Failed(failure(code, seen, hint))),
            Finding::Blind(error) => Ok(Came::Failed(Failure::from(&error))),
        }
    }

    /// Looks before acting. What somebody else is about on the node is waited for.
    async fn first_look(&self) -> Finding {
        let before = self.run.ledger().machine.baseline(&self.unit.id).cloned();
        self.patiently(&self.unit.done_when, before.as_ref()).await
    }

    /// An earlier life may have sent the action, and it may show only later. Sent again meanwhile, a
    /// reboot would catch the node in the middle of its installation.
    fn may_be_on_its_way(&self) -> bool {
        let in_flight = self.run.ledger().machine.state(&self.unit.id) == Some(UnitState::InFlight);
        in_flight
            && self
                .unit
                .act
                .as_ref()
                .is_some_and(|act| !act.is_repeatable())
    }

    fn intended(&self) -> bool {
        self.run.ledger().machine.intended(&self.unit.id)
    }

    /// What cannot be seen is asked for again for a while: acting blindly is never an answer.
    async fn patiently(&self, checks: &[Check], before: Option<&Baseline>) -> Finding {
        let clock = &self.run.ports.clock;
        let since = clock.monotonic();
        loop {
            let finding = probe::all(self.run.ports, checks, before).await;
            let elapsed = clock.monotonic().saturating_sub(since);
            let patience = match &finding {
                Finding::Blind(error) if error.certainty != Certainty::Refused => {
                    self.run.plan.spec.deadlines.quick_s
                }
                Finding::Underway(_) if !self.intended() => self.unit.deadline_s,
                Finding::NotYet(_) if before.is_some() && self.may_be_on_its_way() => {
                    self.run.plan.spec.deadlines.stop_s
                }
                _ => return finding,
            };
            let patience = Duration::from_secs(patience.into());
            if elapsed >= patience || self.stop.is_cancelled() {
                return finding;
            }
            self.waiting(&finding, elapsed, patience);
            clock.sleep(self.poll()).await;
        }
    }

    async fn look(&self) -> Finding {
        let before = self.run.ledger().machine.baseline(&self.unit.id).cloned();
        probe::all(self.run.ports, &self.unit.done_when, before.as_ref()).await
    }

    async fn act(&self, action: &Action) -> Result<Came, RunError> {
        if self.stop.is_cancelled() {
            return Ok(Came::Left);
        }
        match self.patiently(&self.unit.require, None).await {
            Finding::Holds(_) => {}
            Finding::Never { code, seen, hint } => {
                return Ok(Came::Failed(failure(code, seen, hint)));
            }
            // A halt on request cut the patience short: nothing was begun, and nothing failed.
            _ if self.stop.is_cancelled() => return Ok(Came::Left),
            Finding::Blind(error) => return Ok(Came::Failed(Failure::from(&error))),
            other => return Ok(Came::Failed(unsafe_now(&other))),
        }
        let baseline = match self.baseline().await {
            Ok(baseline) => baseline,
            Err(error) => return Ok(Came::Failed(Failure::from(&error))),
        };
        let at = self.run.ports.clock.wall();
        let permit = self.run.ledger().intend(at, &self.unit.id, baseline)?;
        self.events.event(Event::Acting {
            unit: self.name.clone(),
            what: action.to_string(),
        });
        match self.perform(&permit, action).await {
            Ok(()) => self.wait(true).await,
            Err(error) => self.after_error(&error).await,
        }
    }

    /// What only a comparison with the time before can tell.
    async fn baseline(&self) -> Result<Baseline, AdapterError> {
        let rebooted = self.unit.done_when.iter().find_map(|check| match check {
            Check::Rebooted { node, .. } => Some(node),
            _ => None,
        });
        let Some(node) = rebooted else {
            return Ok(Baseline::default());
        };
        let now = self.run.ports.nodes.boot_id(node).await?;
        Ok(Baseline {
            // Silent just now: then the boot the plan saw, which must not pass for a new one later.
            boot_id: now.or_else(|| self.planned_boot(node)),
        })
    }

    fn planned_boot(&self, node: &NodeName) -> Option<BootId> {
        let members = &self.run.plan.world.members;
        let member = members.iter().find(|member| member.node == *node)?;
        Some(member.host.as_ref()?.boot_id.clone())
    }

    async fn perform(&self, permit: &Permit, action: &Action) -> Result<(), AdapterError> {
        let clock = &self.run.ports.clock;
        let mut tries = 0;
        loop {
            match self.run.ports.perform(permit, action).await {
                Err(error) if error.certainty == Certainty::NotDone && tries < RETRIES => {
                    tries += 1;
                    let unit = self.name.clone();
                    self.events.event(Event::Retrying {
                        unit,
                        error: error.chain(),
                    });
                    clock.sleep(self.poll()).await;
                }
                other => return other,
            }
        }
    }

    /// The action reported an error: the world decides what that means.
    async fn after_error(&self, error: &AdapterError) -> Result<Came, RunError> {
        match error.certainty {
            // The answer was lost, the effect may still be on its way.
            Certainty::Unknown => self.wait(true).await,
            Certainty::NotDone | Certainty::Refused => match self.look().await {
                Finding::Holds(seen) => self.done(true, seen),
                _ => Ok(Came::Failed(Failure::from(error))),
            },
        }
    }

    /// Waits until the unit's checks hold, cannot hold any more, or the deadline is over.
    async fn wait(&self, acted: bool) -> Result<Came, RunError> {
        let clock = &self.run.ports.clock;
        let since = clock.monotonic();
        let deadline = Duration::from_secs(self.unit.deadline_s.into());
        loop {
            let finding = self.look().await;
            let elapsed = clock.monotonic().saturating_sub(since);
            match finding {
                Finding::Holds(seen) => return self.done(acted, seen),
                Finding::Never { code, seen, hint } | Finding::Stopped { code, seen, hint } => {
                    return Ok(Came::Failed(failure(code, seen, hint)));
                }
                Finding::Blind(error) if error.certainty == Certainty::Refused => {
                    return Ok(Came::Failed(Failure::from(&error)));
                }
                finding if elapsed >= deadline => {
                    return Ok(Came::Failed(too_late(&finding, deadline)));
                }
                finding => {
                    // A gate has nothing in flight: a halt need not wait for it.
                    if self.unit.act.is_none() && self.stop.is_cancelled() {
                        return Ok(Came::Left);
                    }
                    self.waiting(&finding, elapsed, deadline);
                }
            }
            clock.sleep(self.poll()).await;
        }
    }

    fn waiting(&self, finding: &Finding, elapsed: Duration, deadline: Duration) {
        let (unit, seen) = (self.name.clone(), finding.seen());
        self.events.event(Event::Waiting {
            unit,
            seen,
            elapsed,
            deadline,
        });
    }

    fn poll(&self) -> Duration {
        Duration::from_secs(self.run.plan.spec.deadlines.poll_s.into())
    }

    fn done(&self, acted: bool, seen: String) -> Result<Came, RunError> {
        let unit = self.unit.id.clone();
        self.run.record(&Entry::Done {
            unit,
            acted,
            seen: bounded(seen.clone()),
        })?;
        self.events.event(Event::Done {
            unit: self.name.clone(),
            acted,
            seen,
        });
        Ok(Came::Through)
    }

    fn skipped(&self, reason: &str) -> Result<Came, RunError> {
        let (unit, reason) = (self.unit.id.clone(), reason.to_owned());
        self.run.record(&Entry::Skipped {
            unit,
            reason: reason.clone(),
        })?;
        self.events.event(Event::Skipped {
            unit: self.name.clone(),
            reason,
        });
        Ok(Came::Through)
    }

    fn failed(&self, failure: Failure) -> Result<Came, RunError> {
        let (unit, code) = (self.unit.id.clone(), failure.code.clone());
        self.run.record(&Entry::Failed {
            unit,
            code,
            seen: bounded(failure.seen.clone()),
        })?;
        self.events.event(Event::Failed {
            unit: self.name.clone(),
            failure: failure.clone(),
        });
        Ok(Came::Failed(failure))
    }
}

impl From<&AdapterError> for Failure {
    fn from(error: &AdapterError) -> Self {
        Self {
            code: error.code.into(),
            seen: error.chain(),
            hint: error.hint.clone(),
        }
    }
}

fn failure(code: &str, seen: String, hint: &str) -> Failure {
    Failure {
        code: code.into(),
        seen,
        hint: Some(hint.into()),
    }
}

fn unsafe_now(finding: &Finding) -> Failure {
    let hint = "something has changed since the plan was made; nothing was done for this step. Mend it, then resume";
    failure(
        "not-safe",
        format!("it is not safe to go on: {}", finding.seen()),
        hint,
    )
}

fn in_the_way(seen: String) -> Failure {
    let hint = "this run did not begin it, and does nothing to a node in such a state: wait for its end, then resume";
    failure("not-ours-underway", seen, hint)
}

fn too_late(finding: &Finding, deadline: Duration) -> Failure {
    let seen = format!("after {} s: {}", deadline.as_secs(), finding.seen());
    let hint = "what was begun may still come true: look at it, then resume. The deadline is in the spec's `deadlines`";
    failure("deadline", seen, hint)
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
