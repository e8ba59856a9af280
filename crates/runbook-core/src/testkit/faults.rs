//! Faults of the systems around a run, drawn by seed.

use super::rng::Rng;

/// How often the ports misbehave, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Faults {
    /// Which faults, and when.
    pub seed: u64,
    /// Chance of a fault per call, in percent.
    pub percent: u8,
    /// How many there are in all: a world that never mends lets no run complete.
    pub budget: u32,
}

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// It fails, and nothing has happened.
    NotDone,
    /// It is refused, and nothing has happened.
    Refused,
    /// It happens, and the answer is lost.
    AnswerLost,
    /// It is lost on the way, and nobody can tell.
    RequestLost,
    /// It takes long.
    Slow,
    /// A question is answered with what was true before the last change.
    Stale,
}

#[derive(Debug)]
pub(super) struct Drawer {
    rng: Rng,
    percent: u8,
    left: u32,
}

impl Drawer {
    pub(super) const fn new(faults: Faults) -> Self {
        Self {
            rng: Rng::new(faults.seed),
            percent: faults.percent,
            left: faults.budget,
        }
    }

    pub(super) const fn left(&self) -> u32 {
        self.left
    }

    pub(super) fn effect(&mut self) -> Option<Fault> {
        self.draw(&[
            Fault::NotDone,
            Fault::Refused,
            Fault::AnswerLost,
            Fault::RequestLost,
            Fault::Slow,
        ])
    }

    pub(super) fn question(&mut self) -> Option<Fault> {
        self.draw(&[Fault::NotDone, Fault::AnswerLost, Fault::Slow, Fault::Stale])
    }

    fn draw(&mut self, kinds: &[Fault]) -> Option<Fault> {
        if self.left == 0 || !self.rng.percent(self.percent) {
            return None;
        }
        self.left -= 1;
        let at = usize::try_from(self.rng.below(kinds.len() as u64)).unwrap_or(0);
        kinds.get(at).copied()
    }
}
