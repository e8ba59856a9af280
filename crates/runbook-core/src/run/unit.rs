//! The one routine for every unit: look, record the intent, act, look again, record the outcome.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::failure::{deposed, failure, in_the_way, too_late, unsafe_now};
use super::head::{ASK_EVERY, Head};
use super::{Run, RunError, bounded};
use crate::error::{AdapterError, Certainty};
use crate::event::{Event, EventSink, Failure, UnitRef};
use crate::journal::{Baseline, Entry, Permit};
use crate::machine::UnitState;
use crate::names::NodeName;
use crate::plan::{Action, Check, Phase, Unit};
use crate::probe::{self, Finding, Slowness};
use crate::world::{BootId, HeadRole};

/// How often an action that certainly did not happen is tried again in one life, and a question answered
/// again.
const RETRIES: u32 = 3;

/// What became of a unit in this life.
pub(super) enum Came {
    Through,
    /// Nothing was begun because the run is to halt, nor a gate waited for any longer; nothing is recorded.
    Left,
    Failed(Failure),
    /// This head node may not act any more; nothing is recorded of the unit, which is as it was left.
    Deposed(Failure),
}

/// Takes a unit as far as it goes in this life.
pub(super) async fn drive<'a>(
    run: &Run<'a>,
    unit: &'a Unit,
    events: &dyn EventSink,
    halting: CancellationToken,
) -> (&'a Unit, Result<Came, RunError>) {
    let work = Work {
        run,
        unit,
        events,
        halting,
        name: UnitRef::from(unit),
        answers: AtomicU32::new(0),
    };
    let came = match work.through().await {
        Ok(Came::Failed(failure)) => work.failed_here(failure).await,
        Ok(Came::Deposed(failure)) => Ok(work.deposed(failure)),
        other => other,
    };
    (unit, came)
}

struct Work<'a> {
    run: &'a Run<'a>,
    unit: &'a Unit,
    events: &'a dyn EventSink,
    /// The run is to halt: what has no intent yet is not begun.
    halting: CancellationToken,
    name: UnitRef,
    /// How often a question was answered again in this life.
    answers: AtomicU32,
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
            Finding::Underway(_) | Finding::Slow { .. } | Finding::Held { .. }
                if self.intended() =>
            {
                self.wait(false).await
            }
            cut if self.is_cut_short(&cut) => Ok(Came::Left),
            Finding::Underway(seen) | Finding::Slow { seen, .. } => {
                Ok(Came::Failed(in_the_way(seen)))
            }
            Finding::NotYet(_) | Finding::Stopped { .. } => self.act(action).await,
            Finding::Never { code, seen, hint } | Finding::Held { code, seen, hint } => {
                Ok(Came::Failed(failure(code, seen, hint)))
            }
            Finding::Blind(error) => Ok(Came::Failed(Failure::from(&error))),
        }
    }

    /// Looks before acting. What somebody else is about on the node is waited for.
    async fn first_look(&self) -> Finding {
        let before = self.run.ledger().machine.baseline(&self.unit.id).cloned();
        self.patiently(&self.unit.done_when, before.as_ref()).await
    }

    /// An earlier life may have sent the action, and it may show only later, also where that life gave
    /// the unit up. Sent again meanwhile, a reboot would catch the node in the middle of its
    /// installation.
    fn may_be_on_its_way(&self) -> bool {
        let state = self.run.ledger().machine.state(&self.unit.id);
        matches!(state, Some(UnitState::InFlight | UnitState::Failed))
            && self.intended()
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
        let mut slowness = Slowness::default();
        loop {
            let finding = probe::all(self.run.ports, checks, before).await;
            let elapsed = clock.monotonic().saturating_sub(since);
            let finding = slowness.judge(finding, since + elapsed, self.slow());
            let patience = match &finding {
                Finding::Blind(error) if error.certainty != Certainty::Refused => {
                    self.run.plan.spec.deadlines.quick_s
                }
                Finding::Underway(_) | Finding::Held { .. } if !self.intended() => {
                    self.unit.deadline_s
                }
                Finding::NotYet(_) if before.is_some() && self.may_be_on_its_way() => {
                    self.run.plan.spec.deadlines.stop_s
                }
                _ => return finding,
            };
            let patience = Duration::from_secs(patience.into());
            // What an earlier life has begun is in flight, and seen to its end.
            let to_leave = self.halting.is_cancelled() && !self.intended();
            if elapsed >= patience || to_leave {
                return finding;
            }
            self.waiting(&finding, elapsed, patience);
            clock.sleep(self.poll()).await;
        }
    }

    /// Whether it would have been waited for, were the run not to halt: nothing was begun, and nothing
    /// failed.
    fn is_cut_short(&self, finding: &Finding) -> bool {
        let waits = match finding {
            Finding::Blind(error) => error.certainty != Certainty::Refused,
            Finding::Underway(_) | Finding::Slow { .. } | Finding::Held { .. } => true,
            _ => false,
        };
        waits && self.halting.is_cancelled() && !self.intended()
    }

    async fn look(&self) -> Finding {
        let before = self.run.ledger().machine.baseline(&self.unit.id).cloned();
        let ports = self.run.ports;
        let finding = probe::all(ports, &self.unit.done_when, before.as_ref()).await;
        match (finding, &self.unit.member) {
            (Finding::Blind(error), Some(node)) => probe::silent(ports, node, error).await,
            (finding, _) => finding,
        }
    }

    async fn act(&self, action: &Action) -> Result<Came, RunError> {
        if self.halting.is_cancelled() {
            return Ok(Came::Left);
        }
        match self.patiently(&self.unit.require, None).await {
            Finding::Holds(_) => {}
            Finding::Never { code, seen, hint } => {
                return Ok(Came::Failed(failure(code, seen, hint)));
            }
            cut if self.is_cut_short(&cut) => return Ok(Came::Left),
            Finding::Blind(error) => return Ok(Came::Failed(Failure::from(&error))),
            other => {
                let (phase, run) = (self.unit.phase, self.run.plan.run);
                return Ok(Came::Failed(unsafe_now(&other, phase, run)));
            }
        }
        let baseline = match self.baseline().await {
            Ok(baseline) => baseline,
            Err(error) => return Ok(Came::Failed(Failure::from(&error))),
        };
        // The last question before the intent: no effect leaves a head node that is not the active one.
        match self.patiently(&[Check::HeadIsActive], None).await {
            Finding::Holds(_) => {}
            cut if self.is_cut_short(&cut) => return Ok(Came::Left),
            Finding::Blind(error) => return Ok(Came::Failed(Failure::from(&error))),
            other => return Ok(Came::Deposed(deposed(&other.seen()))),
        }
        // A look may take minutes, the proof of a snapshot that of reading it: who has said halt meanwhile is heard.
        if self.halting.is_cancelled() {
            return Ok(Came::Left);
        }
        let at = self.run.ports.clock.wall();
        let permit = self.run.ledger().intend(at, &self.unit.id, baseline)?;
        self.events.event(Event::Acting {
            unit: self.name.clone(),
            what: action.to_string(),
        });
        match self.perform(&permit, action).await? {
            Ok(()) => self.wait(true).await,
            Err(error) => self.after_error(&error).await,
        }
    }

    /// What only a comparison with the time before can tell.
    async fn baseline(&self) -> Result<Baseline, AdapterError> {
        let rebooted = self.unit.done_when.iter().find_map(|check| match check {
            Check::Rebooted { node, .. } | Check::AtInstaller { node, .. } => Some(node),
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

    async fn perform(
        &self,
        permit: &Permit,
        action: &Action,
    ) -> Result<Result<(), AdapterError>, RunError> {
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
                    // Another life may have begun meanwhile, and be past this.
                    self.run.ledger().journal.still_ours()?;
                }
                other => return Ok(other),
            }
        }
    }

    /// The action reported an error: the world decides what that means.
    async fn after_error(&self, error: &AdapterError) -> Result<Came, RunError> {
        match error.certainty {
            // The answer was lost, the effect may still be on its way.
            Certainty::Unknown => Ok(match self.wait(true).await? {
                Came::Failed(failure) => Came::Failed(failure.after(error)),
                other => other,
            }),
            Certainty::NotDone | Certainty::Refused => match self.look().await {
                Finding::Holds(seen) => self.done(true, seen),
                // It has happened all the same, or somebody can do it in its place.
                Finding::Underway(_) | Finding::Slow { .. } | Finding::Held { .. } => {
                    self.wait(true).await
                }
                _ => Ok(Came::Failed(Failure::from(error))),
            },
        }
    }

    /// Waits until the unit's checks hold, cannot hold any more, or the deadline is over.
    async fn wait(&self, acted: bool) -> Result<Came, RunError> {
        let clock = &self.run.ports.clock;
        let since = clock.monotonic();
        let deadline = Duration::from_secs(self.unit.deadline_s.into());
        let at_least = Duration::from_secs(self.unit.at_least_s.into());
        let mut asked = since;
        let mut went_on = !acted;
        let mut slowness = Slowness::default();
        loop {
            let finding = self.look().await;
            let elapsed = clock.monotonic().saturating_sub(since);
            let finding = slowness.judge(finding, since + elapsed, self.slow());
            went_on |= matches!(finding, Finding::Underway(_) | Finding::Held { .. });
            if let Some(action) = self.to_answer_again(&finding, went_on, elapsed) {
                return Box::pin(self.act(action)).await;
            }
            match finding {
                Finding::Holds(seen) if elapsed >= at_least => return self.done(acted, seen),
                Finding::Never { code, seen, hint } | Finding::Stopped { code, seen, hint } => {
                    return Ok(Came::Failed(failure(code, seen, hint)));
                }
                Finding::Blind(error) if error.certainty == Certainty::Refused => {
                    return Ok(Came::Failed(Failure::from(&error)));
                }
                finding if elapsed >= deadline => {
                    return Ok(Came::Failed(too_late(
                        &finding,
                        deadline,
                        self.unit.act.as_ref(),
                    )));
                }
                finding => {
                    // A gate has nothing in flight: a halt need not wait for it.
                    if self.unit.act.is_none() && self.halting.is_cancelled() {
                        return Ok(Came::Left);
                    }
                    self.waiting(&finding, elapsed, deadline);
                }
            }
            clock.sleep(self.poll()).await;
            // After a failover nobody here may act on what is waited for.
            if clock.monotonic().saturating_sub(asked) >= ASK_EVERY {
                asked = clock.monotonic();
                if let Head::Passive(failure) = self.run.head().await {
                    return Ok(Came::Deposed(failure));
                }
            }
        }
    }

    /// A question is answered again when it went on and asks anew, as after a reset by hand, and when it
    /// still asks after a while, so that the answer may have been lost: in a run that is to halt it is left
    /// asking then.
    fn to_answer_again(
        &self,
        finding: &Finding,
        went_on: bool,
        elapsed: Duration,
    ) -> Option<&Action> {
        let action = self.unit.act.as_ref().filter(|action| action.is_answer())?;
        let patience = Duration::from_secs(self.run.plan.spec.deadlines.stop_s.into());
        let asks = matches!(finding, Finding::NotYet(_)) && (went_on || elapsed >= patience);
        (asks && self.answers.fetch_add(1, Ordering::Relaxed) < RETRIES).then_some(action)
    }

    fn waiting(&self, finding: &Finding, elapsed: Duration, deadline: Duration) {
        let (unit, seen) = (self.name.clone(), finding.seen());
        if let Finding::Held { code, seen, hint } = finding {
            let (unit, by) = (unit.clone(), failure(code, seen.clone(), hint));
            self.events.event(Event::Held { unit, by });
        }
        self.events.event(Event::Waiting {
            unit,
            seen,
            elapsed,
            deadline,
        });
    }

    /// How long what is slow may take before it stands: ten minutes of the hour that a boot has. Servers with
    /// much memory take as long to their first sign.
    fn slow(&self) -> Duration {
        Duration::from_secs(self.unit.deadline_s.into()) / 6
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

    /// What fails because of a failover is no failure of the unit: a session that ended, a request that
    /// was cut, a node that the other head takes care of now.
    async fn failed_here(&self, failure: Failure) -> Result<Came, RunError> {
        // Preflight's own question, whose answer is the failure.
        if self.unit.phase == Phase::Preflight && failure.code == HeadRole::PASSIVE_REFUSED[0] {
            return self.failed(failure);
        }
        match self.run.head().await {
            Head::Passive(by) => Ok(self.deposed(by)),
            Head::NotDeposed => self.failed(failure),
        }
    }

    fn deposed(&self, failure: Failure) -> Came {
        self.events.event(Event::Failed {
            unit: self.name.clone(),
            failure: failure.clone(),
        });
        Came::Deposed(failure)
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

#[cfg(all(test, feature = "mocks", feature = "testkit"))]
mod tests;
