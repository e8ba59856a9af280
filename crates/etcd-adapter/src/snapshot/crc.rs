//! CRC-32C of a run of bytes, in a form that joins to others in any order.
//!
//! `crc(a ‖ b)` follows from `crc(a)`, `crc(b)` and the length of `b`: appending `n` bytes
//! multiplies the old value by `x^(8n)` modulo the polynomial. So a tree can be read from its end
//! to its beginning, and the hash of its beginning-to-end order still comes out.

/// The Castagnoli polynomial, reflected.
const POLYNOMIAL: u32 = 0x82F6_3B78;
/// `x^0`, reflected.
const ONE: u32 = 1 << 31;
/// `POWERS[p][v]` is `x^(8 · v · 256^p)`.
static POWERS: [[u32; 256]; 4] = powers();

/// The CRC-32C of some bytes and what it takes to put other bytes before them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    crc: u32,
    power: u32,
}

impl Run {
    pub(super) const EMPTY: Self = Self { crc: 0, power: ONE };

    /// The run of `bytes`, of which there must be less than 4 GiB.
    pub(super) fn of(bytes: &[u8]) -> Self {
        debug_assert!(u32::try_from(bytes.len()).is_ok());
        Self {
            crc: crc32c::crc32c(bytes),
            power: power(bytes.len()),
        }
    }

    /// The run of these bytes with `next` after them.
    pub(super) fn then(self, next: Self) -> Self {
        Self {
            crc: multiply(self.crc, next.power) ^ next.crc,
            power: multiply(self.power, next.power),
        }
    }

    /// Puts `earlier` before these bytes.
    pub(super) fn prepend(&mut self, earlier: Self) {
        *self = earlier.then(*self);
    }

    /// The CRC-32C.
    pub(super) fn crc(self) -> u32 {
        self.crc
    }
}

fn power(length: usize) -> u32 {
    let bytes = length.to_le_bytes();
    let mut power = POWERS[0][usize::from(bytes[0])];
    for (table, byte) in POWERS.iter().zip(bytes).skip(1) {
        if byte != 0 {
            power = multiply(power, table[usize::from(byte)]);
        }
    }
    power
}

/// The product of two reflected polynomials modulo [`POLYNOMIAL`].
const fn multiply(a: u32, mut b: u32) -> u32 {
    let mut product = 0;
    let mut bit = 32;
    while bit > 0 {
        bit -= 1;
        product ^= b & 0u32.wrapping_sub((a >> bit) & 1);
        b = (b >> 1) ^ (POLYNOMIAL & 0u32.wrapping_sub(b & 1));
    }
    product
}

const fn powers() -> [[u32; 256]; 4] {
    let mut table = [[ONE; 256]; 4];
    let mut step = ONE >> 8;
    let mut place = 0;
    while place < 4 {
        let mut value = 1;
        while value < 256 {
            table[place][value] = multiply(table[place][value - 1], step);
            value += 1;
        }
        step = multiply(table[place][255], step);
        place += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn long_runs_join() {
        let bytes: Vec<u8> = (0..200_000u32).map(|i| i.to_le_bytes()[0] ^ 0x5A).collect();
        for cut in [0, 1, 255, 256, 65_535, 65_536, 70_001, bytes.len()] {
            let joined = Run::of(&bytes[..cut]).then(Run::of(&bytes[cut..]));
            assert_eq!(joined, Run::of(&bytes), "cut at {cut}");
        }
    }

    proptest! {
        #[test]
        fn any_order_of_joining_gives_the_crc_of_the_whole(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..400), 0..8),
        ) {
            let whole = Run::of(&parts.concat());
            let forward = parts.iter().fold(Run::EMPTY, |run, part| run.then(Run::of(part)));
            let mut backward = Run::EMPTY;
            for part in parts.iter().rev() {
                backward.prepend(Run::of(part));
            }
            prop_assert_eq!(forward, whole);
            prop_assert_eq!(backward, whole);
            prop_assert_eq!(whole.crc(), crc32c::crc32c(&parts.concat()));
        }
    }
}
