//! The state machine: one table, and the barrier.
//!
//! No I/O, no clock. What it knows comes from the plan and from journal entries, in order; folding
//! the same journal always gives the same machine.

use std::collections::BTreeMap;
use std::fmt;

use crate::journal::{Baseline, Entry};
use crate::names::UnitId;
use crate::plan::{Phase, Unit};

/// Where a unit stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UnitState {
    /// Nothing has been done for it.
    Pending,
    /// Its effect may have happened: the intent is on record, the outcome is not.
    InFlight,
    /// Its checks held.
    Done,
    /// It does not apply.
    Skipped,
    /// It could not be done; a later life may try again.
    Failed,
}

/// What can happen to a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UnitEvent {
    /// Its intent was recorded.
    Intended,
    /// Its checks held after its action.
    Confirmed,
    /// Its checks held without an action of this life.
    Found,
    /// It was passed over, with a reason.
    Skipped,
    /// It was given up for this life.
    Failed,
}

impl UnitState {
    /// Every state, for tables and sweeps.
    pub const ALL: [Self; 5] = [
        Self::Pending,
        Self::InFlight,
        Self::Done,
        Self::Skipped,
        Self::Failed,
    ];

    /// Whether nothing is left to do.
    pub const fn closed(self) -> bool {
        matches!(self, Self::Done | Self::Skipped)
    }
}

impl UnitEvent {
    /// Every event, for tables and sweeps.
    pub const ALL: [Self; 5] = [
        Self::Intended,
        Self::Confirmed,
        Self::Found,
        Self::Skipped,
        Self::Failed,
    ];
}

impl fmt::Display for UnitState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pending => "pending",
            Self::InFlight => "in flight",
            Self::Done => "done",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
        })
    }
}

/// The transition table; anything it does not name cannot happen.
#[expect(
    clippy::match_same_arms,
    reason = "what cannot happen stands apart by the reason why"
)]
pub const fn next(state: UnitState, event: UnitEvent) -> Option<UnitState> {
    use UnitEvent as E;
    use UnitState as S;
    match (state, event) {
        // A second life may intend again what a first left open: the checks said it is not done.
        (S::Pending | S::InFlight | S::Failed, E::Intended) => Some(S::InFlight),
        (S::Pending | S::InFlight | S::Failed, E::Found) => Some(S::Done),
        (S::Pending | S::InFlight | S::Failed, E::Failed) => Some(S::Failed),
        (S::InFlight, E::Confirmed) => Some(S::Done),
        (S::Pending, E::Skipped) => Some(S::Skipped),
        // Only what is in flight can be confirmed, and only what was never begun be skipped.
        (S::Pending | S::Failed, E::Confirmed) | (S::InFlight | S::Failed, E::Skipped) => None,
        // What is closed stays closed.
        (S::Done | S::Skipped, E::Intended | E::Confirmed | E::Found | E::Skipped | E::Failed) => {
            None
        }
    }
}

/// An entry that cannot follow what came before.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IllegalEntry {
    /// The plan has no such unit.
    #[error("the plan has no unit {0}")]
    NoSuchUnit(UnitId),
    /// The table has no such transition.
    #[error("unit {unit} is {state}, {event:?} cannot happen to it")]
    Transition {
        /// The unit.
        unit: UnitId,
        /// Its state.
        state: UnitState,
        /// What was claimed.
        event: UnitEvent,
    },
    /// The unit's turn has not come: an earlier phase, or a unit it needs, is still open.
    #[error("unit {unit} is not open yet: {behind} comes first")]
    Barrier {
        /// The unit.
        unit: UnitId,
        /// What is still open.
        behind: UnitId,
    },
    /// The run is over.
    #[error("the run is over")]
    Over,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Slot {
    id: UnitId,
    phase: Phase,
    /// Units before this one that have to be closed first: earlier phases are one barrier.
    barrier: usize,
    /// For a unit that closes the window: the nearer barrier that it has in a resumed life.
    early_barrier: Option<usize>,
    needs: Vec<usize>,
    state: UnitState,
    baseline: Option<Baseline>,
}

/// The state of every unit of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    slots: Vec<Slot>,
    index: BTreeMap<UnitId, usize>,
    resumed: bool,
    over: bool,
}

impl Machine {
    /// The machine before anything has happened.
    ///
    /// The units are those of a sealed plan: ids are unique, needs point backwards inside a phase.
    pub fn new(units: &[Unit]) -> Self {
        let index: BTreeMap<UnitId, usize> = units
            .iter()
            .enumerate()
            .map(|(at, unit)| (unit.id.clone(), at))
            .collect();
        let restore = units.iter().position(|unit| unit.phase == Phase::Restore);
        let mut barrier = 0;
        let slots = units.iter().enumerate().map(|(at, unit)| {
            if at > 0 && units[at - 1].phase != unit.phase {
                barrier = at;
            }
            let early_barrier = restore.filter(|from| *from < barrier && unit.closes_window());
            let needs = unit
                .needs
                .iter()
                .filter_map(|id| index.get(id).copied())
                .collect();
            let (id, phase) = (unit.id.clone(), unit.phase);
            Slot {
                id,
                phase,
                barrier,
                early_barrier,
                needs,
                state: UnitState::Pending,
                baseline: None,
            }
        });
        Self {
            slots: slots.collect(),
            index,
            resumed: false,
            over: false,
        }
    }

    /// The units that may be worked on now: open units of the earliest open phase whose needs are
    /// closed. This line is the barrier.
    ///
    /// One thing comes before its phase: a run that was broken off when restored data may have lain on
    /// nodes that are no data nodes makes them data nodes first, and only then goes on.
    pub fn ready(&self) -> Vec<&UnitId> {
        let open = |slot: &&Slot| !slot.state.closed();
        let Some(earliest) = self.slots.iter().find(open).map(|slot| slot.barrier) else {
            return Vec::new();
        };
        let closed = |need: &usize| self.slots[*need].state.closed();
        let whose = |turn: &dyn Fn(&Slot) -> bool| -> Vec<&UnitId> {
            let slots = self.slots.iter().filter(open).filter(|slot| turn(slot));
            slots
                .filter(|slot| slot.needs.iter().all(closed))
                .map(|slot| &slot.id)
                .collect()
        };
        let early = |slot: &Slot| {
            slot.early_barrier
                .is_some_and(|barrier| barrier <= earliest)
        };
        let closing = whose(&|slot| self.resumed && early(slot));
        if closing.is_empty() {
            whose(&|slot| slot.barrier == earliest)
        } else {
            closing
        }
    }

    /// Whether an entry may come next; nothing changes.
    ///
    /// # Errors
    /// [`IllegalEntry`] when it may not.
    pub fn allows(&self, entry: &Entry) -> Result<(), IllegalEntry> {
        self.transition(entry).map(|_| ())
    }

    /// Takes an entry.
    ///
    /// # Errors
    /// [`IllegalEntry`] when it cannot follow; nothing has changed then.
    pub fn apply(&mut self, entry: &Entry) -> Result<(), IllegalEntry> {
        let Some((at, state)) = self.transition(entry)? else {
            self.over |= matches!(entry, Entry::Closed { .. });
            self.resumed |= matches!(entry, Entry::Resumed { .. });
            return Ok(());
        };
        let slot = &mut self.slots[at];
        slot.state = state;
        if let Entry::Intent { baseline, .. } = entry {
            // The first intent's baseline stays: later ones may have seen the effect already.
            slot.baseline.get_or_insert_with(|| baseline.clone());
        }
        Ok(())
    }

    fn transition(&self, entry: &Entry) -> Result<Option<(usize, UnitState)>, IllegalEntry> {
        if self.over {
            return Err(IllegalEntry::Over);
        }
        let (unit, event) = match entry {
            Entry::Intent { unit, .. } => (unit, UnitEvent::Intended),
            Entry::Done {
                unit, acted: true, ..
            } => (unit, UnitEvent::Confirmed),
            Entry::Done {
                unit, acted: false, ..
            } => (unit, UnitEvent::Found),
            Entry::Skipped { unit, .. } => (unit, UnitEvent::Skipped),
            Entry::Failed { unit, .. } => (unit, UnitEvent::Failed),
            Entry::Opened { .. }
            | Entry::Resumed { .. }
            | Entry::Halted { .. }
            | Entry::Closed { .. }
            | Entry::Unknown => return Ok(None),
        };
        let at = *self
            .index
            .get(unit)
            .ok_or_else(|| IllegalEntry::NoSuchUnit(unit.clone()))?;
        let slot = &self.slots[at];
        if let Some(behind) = self.behind(slot) {
            return Err(IllegalEntry::Barrier {
                unit: unit.clone(),
                behind: behind.id.clone(),
            });
        }
        match next(slot.state, event) {
            Some(state) => Ok(Some((at, state))),
            None => Err(IllegalEntry::Transition {
                unit: unit.clone(),
                state: slot.state,
                event,
            }),
        }
    }

    fn behind(&self, slot: &Slot) -> Option<&Slot> {
        let needs = slot.needs.iter().map(|need| &self.slots[*need]);
        let barrier = slot.early_barrier.filter(|_| self.resumed);
        self.slots[..barrier.unwrap_or(slot.barrier)]
            .iter()
            .chain(needs)
            .find(|slot| !slot.state.closed())
    }

    /// The state of a unit.
    pub fn state(&self, unit: &UnitId) -> Option<UnitState> {
        self.index.get(unit).map(|at| self.slots[*at].state)
    }

    /// Whether the unit's effect was ever intended, in whichever life.
    pub fn intended(&self, unit: &UnitId) -> bool {
        self.baseline(unit).is_some()
    }

    /// The world right before the unit's first action, if there has been one.
    pub fn baseline(&self, unit: &UnitId) -> Option<&Baseline> {
        self.index
            .get(unit)
            .and_then(|at| self.slots[*at].baseline.as_ref())
    }

    /// The phase that is open; none when everything is closed.
    pub fn phase(&self) -> Option<Phase> {
        self.slots
            .iter()
            .find(|slot| !slot.state.closed())
            .map(|slot| slot.phase)
    }

    /// What is still open in the phase that is open, ready or not, in the plan's order.
    pub fn open(&self) -> Vec<&UnitId> {
        let phase = self.phase();
        self.slots
            .iter()
            .filter(|slot| Some(slot.phase) == phase && !slot.state.closed())
            .map(|slot| &slot.id)
            .collect()
    }

    /// Every unit with its state, in the plan's order.
    pub fn states(&self) -> impl Iterator<Item = (&UnitId, UnitState)> {
        self.slots.iter().map(|slot| (&slot.id, slot.state))
    }

    /// Whether the run is over: completed, undone or abandoned.
    pub const fn over(&self) -> bool {
        self.over
    }
}
