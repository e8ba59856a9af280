//! The fuzz targets in brief: each over its corpus, and over a fixed number of inputs bred from that and, for
//! snapshots, from the real ones. `make fuzz` goes on for as long as one likes.

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZero;
use std::path::Path;
use std::sync::Mutex;
use std::thread;

#[path = "../../fuzz/judge.rs"]
mod judge;
#[path = "../../fuzz/judge_manifest.rs"]
mod judge_manifest;

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

fn seeds() -> Vec<Vec<u8>> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths: Vec<_> = ["fuzz/corpus/snapshot", "tests/fixtures"]
        .iter()
        .flat_map(|folder| fs::read_dir(here.join(folder)).expect("a folder"))
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| {
            path.extension()
                .is_none_or(|kind| kind == "db" || kind == "copy")
        })
        .collect();
    paths.sort();
    let seeds = paths.iter().map(|path| fs::read(path).expect("a file"));
    seeds.filter(|seed| seed.len() < 60_000).collect()
}

#[test]
fn the_corpus_and_what_is_bred_from_it_get_verdicts() {
    let seeds = seeds();
    assert!(seeds.len() > 60, "the corpus is there");
    let threads = thread::available_parallelism().map_or(4, NonZero::get);
    let codes = Mutex::new(BTreeMap::new());
    thread::scope(|scope| {
        for thread in 0..threads {
            let (seeds, codes) = (&seeds, &codes);
            scope.spawn(move || {
                for seed in seeds.iter().skip(thread).step_by(threads) {
                    judge::judge(seed);
                }
                for input in (thread..INPUTS).step_by(threads) {
                    // By the input's number, so that it does not depend on the machine.
                    let mut dice = Dice((input as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
                    let mut bytes = seeds[dice.below(seeds.len())].clone();
                    for _ in 0..=dice.below(5) {
                        let other = &seeds[dice.below(seeds.len())];
                        dice.change(&mut bytes, other);
                    }
                    let code = judge::judge(&bytes);
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

/// Words that steer a reader of JSON.
const WORDS: [&str; 14] = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "null",
    "-1",
    "1e999",
    "18446744073709551616",
    "\\ud800",
    "\u{0}",
    "1.5",
];

/// Puts a word over a part of `text`, moves a part of it, or changes a bit.
fn change_text(dice: &mut Dice, text: &mut Vec<u8>) {
    let at = dice.below(text.len());
    let end = (at + dice.below(12)).min(text.len());
    match dice.below(4) {
        0 => {
            let word = WORDS[dice.below(WORDS.len())];
            text.splice(at..end, word.bytes());
        }
        1 => {
            let part = text[at..end].to_vec();
            let to = dice.below(text.len());
            text.splice(to..to, part);
        }
        // Numbers and letters stay numbers and letters, mostly, and so it is read on.
        2 => {
            if let Some(byte) = text.get_mut(at).filter(|byte| byte.is_ascii_alphanumeric()) {
                *byte ^= 1;
            }
        }
        _ => text.truncate(end.max(10)),
    }
}

#[test]
fn manifests_and_what_is_bred_from_them_are_read_or_refused() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/manifest");
    let mut paths: Vec<_> = fs::read_dir(corpus)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.sort();
    let seeds: Vec<_> = paths
        .iter()
        .map(|path| fs::read(path).expect("a file"))
        .collect();
    let mut codes = BTreeMap::new();
    for seed in &seeds {
        *codes.entry(judge_manifest::judge(seed)).or_insert(0) += 1;
    }
    for code in ["read", "backup-record-refused", "backup-record-newer"] {
        assert!(codes.contains_key(code), "{codes:?}");
    }
    codes.clear();
    for input in 0..INPUTS {
        let mut dice = Dice((input as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let mut text = seeds[dice.below(seeds.len())].clone();
        for _ in 0..=dice.below(3) {
            change_text(&mut dice, &mut text);
        }
        *codes.entry(judge_manifest::judge(&text)).or_insert(0) += 1;
    }
    for code in ["read", "backup-record-refused", "backup-record-newer"] {
        let count = codes.get(code);
        assert!(
            count.is_some_and(|count| *count > INPUTS / 200),
            "{codes:?}"
        );
    }
}
