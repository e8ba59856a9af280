//! Faults of the systems around a run, drawn by seed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::rng::Rng;

/// How often the ports misbehave, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Faults {
    /// Which faults, and when.
    pub seed: u64,
    /// Chance of a fault per call, in percent.
    pub percent: u8,
    /// How many there are in all: a world that never mends lets no run complete.
    pub budget: u32,
    /// Of which kinds.
    pub kinds: FaultKinds,
}

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// It fails, and nothing has happened.
    NotDone,
    /// It is refused, and nothing has happened.
    Refused,
    /// It happens, and the answer is lost.
    AnswerLost,
    /// It is lost on the way, and nobody can tell.
    RequestLost,
    /// It takes long to arrive.
    Slow,
    /// A question is answered with what was true before the last change.
    Stale,
    /// An effect is answered with success, and does not happen.
    SaidDone,
    /// A question's answer takes long to come back, and may be out of date by then.
    Late,
    /// A question is refused for good.
    Denied,
}

impl Fault {
    /// Every kind.
    pub const ALL: [Self; 9] = [
        Self::NotDone,
        Self::Refused,
        Self::AnswerLost,
        Self::RequestLost,
        Self::Slow,
        Self::Stale,
        Self::SaidDone,
        Self::Late,
        Self::Denied,
    ];

    const fn of_effects(self) -> bool {
        !matches!(self, Self::Stale | Self::Late | Self::Denied)
    }

    const fn of_questions(self) -> bool {
        !matches!(self, Self::Refused | Self::RequestLost | Self::SaidDone)
    }
}

/// A choice of kinds of faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<Fault>", into = "Vec<Fault>")]
pub struct FaultKinds(u16);

impl Default for FaultKinds {
    fn default() -> Self {
        Self::from(Fault::ALL.to_vec())
    }
}

impl FaultKinds {
    /// The same without one kind.
    #[must_use]
    pub const fn without(self, kind: Fault) -> Self {
        Self(self.0 & !(1 << kind as u16))
    }

    /// Whether a kind is chosen.
    pub const fn has(self, kind: Fault) -> bool {
        self.0 & (1 << kind as u16) != 0
    }
}

impl From<Vec<Fault>> for FaultKinds {
    fn from(kinds: Vec<Fault>) -> Self {
        Self(kinds.iter().fold(0, |bits, kind| bits | 1 << *kind as u16))
    }
}

impl From<FaultKinds> for Vec<Fault> {
    fn from(kinds: FaultKinds) -> Self {
        let all = Fault::ALL.into_iter();
        all.filter(|kind| kinds.has(*kind)).collect()
    }
}

#[derive(Debug)]
pub(super) struct Drawer {
    rng: Rng,
    percent: u8,
    left: u32,
    effects: Vec<Fault>,
    questions: Vec<Fault>,
    drawn: BTreeMap<Fault, u32>,
}

impl Drawer {
    pub(super) fn new(faults: Faults) -> Self {
        let kinds = Vec::from(faults.kinds);
        Self {
            rng: Rng::new(faults.seed),
            percent: faults.percent,
            left: faults.budget,
            effects: kinds
                .iter()
                .copied()
                .filter(|kind| kind.of_effects())
                .collect(),
            questions: kinds
                .iter()
                .copied()
                .filter(|kind| kind.of_questions())
                .collect(),
            drawn: BTreeMap::new(),
        }
    }

    pub(super) const fn left(&self) -> u32 {
        self.left
    }

    pub(super) const fn drawn(&self) -> &BTreeMap<Fault, u32> {
        &self.drawn
    }

    pub(super) fn effect(&mut self) -> Option<Fault> {
        self.draw(true)
    }

    pub(super) fn question(&mut self) -> Option<Fault> {
        self.draw(false)
    }

    fn draw(&mut self, effect: bool) -> Option<Fault> {
        if self.left == 0 || !self.rng.percent(self.percent) {
            return None;
        }
        let kinds = if effect {
            &self.effects
        } else {
            &self.questions
        };
        if kinds.is_empty() {
            return None;
        }
        let at = usize::try_from(self.rng.below(kinds.len() as u64)).unwrap_or(0);
        let kind = kinds[at];
        self.left -= 1;
        *self.drawn.entry(kind).or_default() += 1;
        Some(kind)
    }
}
