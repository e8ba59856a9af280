//! What a run tells whoever watches it. The core never prints; a sink turns these into lines.

use std::time::Duration;

use crate::names::{NodeName, UnitId};
use crate::plan::{Phase, Unit};

/// Something that happened in a run.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A phase has begun.
    PhaseBegan {
        /// The phase.
        phase: Phase,
    },
    /// Every unit of a phase is closed.
    PhaseDone {
        /// The phase.
        phase: Phase,
        /// How long it took in this life.
        took: Duration,
    },
    /// A unit is about to act; its intent is on record.
    Acting {
        /// The unit.
        unit: UnitRef,
        /// What it does.
        what: String,
    },
    /// A unit is waiting for its checks to hold.
    Waiting {
        /// The unit.
        unit: UnitRef,
        /// What was seen last.
        seen: String,
        /// How long it has waited.
        elapsed: Duration,
        /// How long it may.
        deadline: Duration,
    },
    /// A unit that is waited for stands until somebody else does something; told with each look.
    Held {
        /// The unit.
        unit: UnitRef,
        /// What holds it, and what to do; it goes on by itself then.
        by: Failure,
    },
    /// An action did not happen and is tried again.
    Retrying {
        /// The unit.
        unit: UnitRef,
        /// Why.
        error: String,
    },
    /// A unit is done.
    Done {
        /// The unit.
        unit: UnitRef,
        /// Whether this life acted; if not, it was found done.
        acted: bool,
        /// What was seen.
        seen: String,
    },
    /// A unit does not apply.
    Skipped {
        /// The unit.
        unit: UnitRef,
        /// Why.
        reason: String,
    },
    /// A unit could not be done.
    Failed {
        /// The unit.
        unit: UnitRef,
        /// Why.
        failure: Failure,
    },
    /// A request to halt was heard: what is in flight is finished, fresh disks are guarded, nothing else begins.
    Draining,
}

/// A unit, as an event names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitRef {
    /// Its id.
    pub id: UnitId,
    /// Its phase.
    pub phase: Phase,
    /// Its node.
    pub node: Option<NodeName>,
    /// Its title.
    pub title: String,
}

impl From<&Unit> for UnitRef {
    fn from(unit: &Unit) -> Self {
        Self {
            id: unit.id.clone(),
            phase: unit.phase,
            node: unit.member.clone(),
            title: unit.title.clone(),
        }
    }
}

/// Why a unit could not be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The stable error code.
    pub code: String,
    /// What was seen.
    pub seen: String,
    /// What to do next.
    pub hint: Option<String>,
}

/// Where events go. Called from the run's own task: it must not block.
pub trait EventSink: Send + Sync {
    /// Takes one.
    fn event(&self, event: Event);
}

/// A sink that forgets.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoEvents;

impl EventSink for NoEvents {
    fn event(&self, _: Event) {}
}

impl<F: Fn(Event) + Send + Sync> EventSink for F {
    fn event(&self, event: Event) {
        self(event);
    }
}
