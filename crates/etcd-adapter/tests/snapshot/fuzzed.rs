//! The fuzz targets in brief: over their corpora, and over a fixed number of inputs bred from those and
//! from the real snapshots. `make fuzz` goes on for as long as one likes.

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZero;
use std::path::Path;
use std::sync::Mutex;
use std::thread;

#[path = "../../fuzz/manifest.rs"]
mod manifest;
#[path = "../../fuzz/snapshot.rs"]
mod snapshot;

/// Inputs bred in all.
const INPUTS: usize = 20_000;
/// Values at which arithmetic goes wrong.
const EDGES: [u64; 12] = [
    0,
    1,
    2,
    3,
    16,
    0x7F,
    4096,
    0xFFFF,
    0x7FFF_FFFF,
    0xFFFF_FFFF,
    1 << 40,
    u64::MAX,
];

/// What JSON is made of.
const MARKS: &[u8] = b"09-.\"{}[],:eE\\";

/// Numbers that look random and are the same in each run (xorshift64*).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(number).unwrap_or_default() % bound.max(1)
    }

    /// Changes `bytes` in one place, with `other` to take from.
    fn change(&mut self, bytes: &mut Vec<u8>, other: &[u8]) {
        let at = self.below(bytes.len());
        let page = at / 4096 * 4096;
        match self.below(6) {
            // The headers and the tables of elements steer the walk.
            0 | 1 => {
                let at = page + self.below(40) * 4;
                let width = [2, 4, 8][self.below(3)];
                let edge = EDGES[self.below(EDGES.len())].to_le_bytes();
                if let Some(field) = bytes.get_mut(at..at + width) {
                    field.copy_from_slice(&edge[..width]);
                }
            }
            2 => {
                let at = page + self.below(400);
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = byte.wrapping_add([1, 255, 16, 128][self.below(4)]);
                }
            }
            3 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << self.below(8);
                }
            }
            4 => {
                let from = self.below(other.len()) / 4096 * 4096;
                let length = [16, 512, 4096][self.below(3)];
                for (to, byte) in bytes[page..].iter_mut().zip(&other[from..]).take(length) {
                    *to = *byte;
                }
            }
            _ => bytes.truncate(at.max(100)),
        }
    }
}

fn seeds(folders: &[&str]) -> Vec<Vec<u8>> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths: Vec<_> = folders
        .iter()
        .flat_map(|folder| fs::read_dir(here.join(folder)).expect("a folder"))
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| {
            path.extension()
                .is_none_or(|kind| kind != "tsv" && kind != "sh")
        })
        .collect();
    paths.sort();
    let seeds = paths.iter().map(|path| fs::read(path).expect("a file"));
    seeds.filter(|seed| seed.len() < 60_000).collect()
}

#[test]
fn the_corpus_and_what_is_bred_from_it_get_verdicts() {
    let seeds = seeds(&["fuzz/corpus/snapshot", "tests/fixtures"]);
    assert!(seeds.len() > 60, "the corpus is there");
    let threads = thread::available_parallelism().map_or(4, NonZero::get);
    let codes = Mutex::new(BTreeMap::new());
    thread::scope(|scope| {
        for thread in 0..threads {
            let (seeds, codes) = (&seeds, &codes);
            scope.spawn(move || {
                for seed in seeds.iter().skip(thread).step_by(threads) {
                    snapshot::judge(seed);
                }
                for input in (thread..INPUTS).step_by(threads) {
                    // By the input's number, so that it does not depend on the machine.
                    let mut dice = Dice((input as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
                    let mut bytes = seeds[dice.below(seeds.len())].clone();
                    for _ in 0..=dice.below(5) {
                        let other = &seeds[dice.below(seeds.len())];
                        dice.change(&mut bytes, other);
                    }
                    let code = snapshot::judge(&bytes);
                    *codes.lock().expect("no panic").entry(code).or_insert(0) += 1;
                }
            });
        }
    });
    // They get past the first checks, and not all of them fall at the same one.
    let codes = codes.into_inner().expect("no panic");
    for code in ["good", "structure-damaged", "meaning-damaged"] {
        assert!(
            codes.get(code).is_some_and(|count| *count > INPUTS / 200),
            "{codes:?}"
        );
    }
}

#[test]
fn manifests_bred_from_the_corpus_get_answers() {
    let seeds = seeds(&["fuzz/corpus/manifest"]);
    let whole = seeds.iter().filter(|seed| manifest::judge(seed)).count();
    assert!(
        (1..seeds.len()).contains(&whole),
        "{whole} of {}",
        seeds.len()
    );
    let mut taken = 0;
    for input in 0..INPUTS as u64 {
        let mut dice = Dice((input + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let mut bytes = seeds[dice.below(seeds.len())].clone();
        for _ in 0..=dice.below(2) {
            let at = dice.below(bytes.len());
            match dice.below(4) {
                0 => drop(bytes.remove(at)),
                1 => bytes.insert(at, MARKS[dice.below(MARKS.len())]),
                2 => bytes[at] = b"0123456789abcdef"[dice.below(16)],
                _ => bytes[at] ^= 1 << dice.below(8),
            }
        }
        taken += usize::from(manifest::judge(&bytes));
    }
    assert!(
        (INPUTS / 50..INPUTS).contains(&taken),
        "{taken} are manifests"
    );
}
