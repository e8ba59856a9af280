//! Requests: one travels, its steps happen one by one, the answer travels back.
//!
//! Between two steps the caller may die. Then the request is lost, or goes on by itself, as a remote
//! command does whose connection was cut.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::World;
use super::effect::Effect;
use super::ports::lost;
use super::state::{Happening, State};
use super::time::Due;
use crate::error::{AdapterError, Certainty};
use crate::names::NodeName;
use crate::plan::{Action, ToolEffect};
use crate::ports::PortResult;

pub(super) struct Ticket {
    work: Work,
    step: u32,
    answer: Option<PortResult<()>>,
    waker: Option<Waker>,
    orphan: bool,
    /// Its connection was cut: it goes on, and nobody hears of it.
    cut: bool,
}

/// What is to be done when it arrives.
pub(super) enum Work {
    /// Step by step.
    Action(Action),
    /// All at once; none when it is done.
    Errand(Option<Errand>),
}

impl Work {
    /// The node whose ssh it goes through.
    fn node(&self) -> Option<&NodeName> {
        match self {
            Self::Action(Action::Node(effect)) => Some(effect.node()),
            Self::Action(Action::Tool(ToolEffect::Restore(effect))) => Some(&effect.node),
            _ => None,
        }
    }
}

pub(super) type Errand = Box<dyn FnOnce(&mut State) + Send>;

/// Whether there is more to do.
pub(super) enum Progress {
    Finished,
    More,
}

pub(super) use Progress::{Finished, More};

/// A request under way; dropping it is the death of its caller.
pub(super) struct Request {
    world: World,
    ticket: u64,
}

impl Request {
    pub(super) fn submit(world: &World, work: Work, travels: Duration) -> Self {
        let mut state = world.state();
        state.next_ticket += 1;
        let ticket = state.next_ticket;
        let at = work.node().and_then(|node| state.index(node));
        let manager = matches!(work, Work::Action(Action::Manager(_)));
        let late = state.late_writes.filter(|_| manager);
        let cut = late.is_some() || at.is_some_and(|at| state.scars.cuts(at));
        let entry = Ticket {
            answer: cut.then(|| Err(lost(if manager { "cmsh" } else { "ssh" }))),
            work,
            step: 0,
            waker: None,
            orphan: false,
            cut,
        };
        state.tickets.insert(ticket, entry);
        let at = state.now + travels + late.unwrap_or_default();
        state
            .queue
            .push(at, Due::Happening(Happening::Step(ticket)));
        drop(state);
        Self {
            world: world.clone(),
            ticket,
        }
    }
}

impl Future for Request {
    type Output = PortResult<()>;
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.world.state();
        let Some(ticket) = state.tickets.get_mut(&self.ticket) else {
            return Poll::Pending;
        };
        if let Some(answer) = ticket.answer.take() {
            Poll::Ready(answer)
        } else {
            ticket.waker = Some(cx.waker().clone());
            Poll::Pending
        }
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        let mut state = self.world.state();
        let lands = state.orphans_land;
        if !lands && state.tickets.get(&self.ticket).is_some_and(|t| !t.cut) {
            state.tickets.remove(&self.ticket);
        } else if let Some(ticket) = state.tickets.get_mut(&self.ticket) {
            ticket.orphan = true;
        }
    }
}

pub(super) fn refused(code: &'static str, what: impl Into<String>) -> AdapterError {
    AdapterError::new(code, Certainty::Refused, what).hint("look at the node, then resume")
}

/// It does not answer now; it may later.
pub(super) fn not_now(code: &'static str, what: impl Into<String>) -> AdapterError {
    AdapterError::new(code, Certainty::NotDone, what).hint("wait, then resume")
}

impl State {
    /// The next step of a request.
    pub(super) fn step(&mut self, id: u64) {
        let Some(ticket) = self.tickets.get_mut(&id) else {
            return;
        };
        let orphan = ticket.orphan;
        let outcome = match &mut ticket.work {
            Work::Action(action) => {
                let (action, step) = (action.clone(), ticket.step);
                self.apply(&action, step)
            }
            Work::Errand(errand) => {
                if let Some(errand) = errand.take() {
                    errand(self);
                }
                Ok(Finished)
            }
        };
        let answer = match outcome {
            Ok(More) => {
                if let Some(ticket) = self.tickets.get_mut(&id) {
                    ticket.step += 1;
                }
                self.after(1, 400, Happening::Step(id));
                return;
            }
            Ok(Finished) => Ok(()),
            Err(error) => Err(error),
        };
        if orphan {
            self.tickets.remove(&id);
        } else if let Some(ticket) = self.tickets.get_mut(&id) {
            // An answer behind a cut was given already.
            let answer = if ticket.cut { None } else { Some(answer) };
            ticket.answer = answer.or(ticket.answer.take());
            if let Some(waker) = ticket.waker.take() {
                // It is woken from the queue, as everybody is: not under the lock.
                self.queue.push(self.now, Due::Wake(waker));
            }
        }
    }

    fn apply(&mut self, action: &Action, step: u32) -> PortResult<Progress> {
        match action {
            Action::Manager(effect) => self.manager(effect),
            Action::Node(effect) => self.node_effect(effect, step),
            Action::Tool(ToolEffect::Restore(effect)) => self.restore(effect),
            Action::Client(effect) => self.client(effect),
            Action::Own(own) => Err(refused("own", format!("{} is not of this world", own.kind))),
        }
    }

    /// Cuts the connections to a node: whoever waits learns nothing, what was sent goes on by itself.
    pub(super) fn cut_ssh(&mut self, at: usize) -> bool {
        let name = &self.nodes[at].name;
        let (now, mut cut) = (self.now, false);
        for ticket in self.tickets.values_mut() {
            if ticket.work.node() != Some(name)
                || ticket.orphan
                || ticket.cut
                || ticket.answer.is_some()
            {
                continue;
            }
            (ticket.cut, cut) = (true, true);
            ticket.answer = Some(Err(lost("ssh")));
            if let Some(waker) = ticket.waker.take() {
                self.queue.push(now, Due::Wake(waker));
            }
        }
        cut
    }

    /// A request that came again and changed nothing.
    pub(super) fn resent(&mut self, at: Option<usize>, what: String) {
        self.log(at, Effect::Resent(what));
    }
}
