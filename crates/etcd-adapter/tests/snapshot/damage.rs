//! Damage of every kind ends in a verdict, and never in a good one that it should not get.

use std::fs::{self, OpenOptions};
use std::num::NonZero;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::thread;

use proptest::prelude::*;
use sha2::{Digest, Sha256};

use crate::kit::{Forgery, PAGE, ROOT, bytes_of, code_of, file_of, proof_of, proof_of_bytes};

const SNAPSHOT: &str = "snap-3.5.30.db";

/// Runs `check` over parts of `range`, one for each processor.
fn in_parallel(range: Range<usize>, check: impl Fn(Range<usize>) + Sync) {
    let threads = thread::available_parallelism().map_or(4, NonZero::get);
    let step = range.len().div_ceil(threads).max(1);
    thread::scope(|scope| {
        for start in range.clone().step_by(step) {
            let part = start..range.end.min(start + step);
            let check = &check;
            scope.spawn(move || check(part));
        }
    });
}

#[test]
fn every_truncation_is_found() {
    let bytes = bytes_of(SNAPSHOT);
    in_parallel(0..bytes.len(), |lengths| {
        let file = file_of(&bytes[..lengths.end]);
        let open = OpenOptions::new()
            .write(true)
            .open(file.path())
            .expect("the file");
        for length in lengths.rev() {
            open.set_len(length as u64).expect("a cut");
            let expected = match length {
                0 => "empty",
                1..20 => "not-a-snapshot",
                _ => "truncated",
            };
            assert_eq!(code_of(&proof_of(file.path())), expected, "{length} bytes");
        }
    });
}

#[test]
fn every_flipped_bit_is_found() {
    let bytes = bytes_of(SNAPSHOT);
    in_parallel(0..bytes.len(), |part| {
        let file = file_of(&bytes);
        let open = OpenOptions::new()
            .write(true)
            .open(file.path())
            .expect("the file");
        for at in part {
            for bit in 0..8 {
                open.write_all_at(&[bytes[at] ^ 1 << bit], at as u64)
                    .expect("a flip");
                let verdict = proof_of(file.path());
                assert_eq!(code_of(&verdict), "bytes-damaged", "bit {bit} of byte {at}");
            }
            open.write_all_at(&bytes[at..=at], at as u64)
                .expect("a repair");
        }
    });
}

/// Whoever changes a snapshot and makes its hash anew may get a good snapshot, of other content; but
/// the reader keeps its feet.
#[test]
fn every_changed_byte_under_a_new_hash_gets_a_verdict() {
    let forgery = Forgery::of(SNAPSHOT);
    in_parallel(0..forgery.0.len(), |part| {
        let mut forgery = Forgery(forgery.0.clone());
        let file = file_of(&[]);
        for at in part {
            let bit = 1 << (at % 8);
            forgery.0[at] ^= bit;
            fs::write(file.path(), forgery.sealed()).expect("a forgery");
            forgery.0[at] ^= bit;
            assert_ne!(
                code_of(&proof_of(file.path())),
                "bytes-damaged",
                "byte {at}"
            );
        }
    });
}

#[test]
fn no_page_may_be_its_own_ancestor() {
    let name = "deep-3.5.30.db";
    let forgery = Forgery::of(name);
    let pages = forgery.0.len() / PAGE;
    let branches: Vec<usize> = (2..pages)
        .filter(|page| forgery.0[page * PAGE + 8] == 1)
        .collect();
    assert!(
        !branches.is_empty(),
        "{name} has a tree of more than one level"
    );
    for branch in branches {
        for target in 0..=pages as u64 {
            let mut forgery = Forgery::of(name);
            forgery.0[branch * PAGE + 24..][..8].copy_from_slice(&target.to_le_bytes());
            let _ = proof_of_bytes(&forgery.sealed());
        }
        let mut forgery = Forgery::of(name);
        forgery.0[branch * PAGE + 24..][..8].copy_from_slice(&(branch as u64).to_le_bytes());
        forgery.set_in_metas(ROOT, branch as u64);
        let verdict = proof_of_bytes(&forgery.sealed());
        assert_eq!(code_of(&verdict), "structure-damaged", "page {branch}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_get_a_verdict(bytes in prop::collection::vec(any::<u8>(), 0..20_000)) {
        prop_assert_ne!(code_of(&proof_of_bytes(&bytes)), "good");
    }

    /// Random pages behind metas that say all is well.
    #[test]
    fn any_pages_under_whole_metas_get_a_verdict(
        pages in prop::collection::vec(any::<u8>(), 4 * PAGE),
        flags in prop::collection::vec((0usize..4, 0u8..4, 0u8..8), 0..8),
    ) {
        let mut forgery = Forgery::of(SNAPSHOT);
        forgery.0.truncate(2 * PAGE);
        forgery.0.extend_from_slice(&pages);
        for (page, kind, count) in flags {
            let at = (page + 2) * PAGE;
            forgery.0[at..at + 8].copy_from_slice(&(page as u64 + 2).to_le_bytes());
            forgery.0[at + 8..at + 16].copy_from_slice(&[kind, 0, count, 0, 0, 0, 0, 0]);
        }
        let _ = proof_of_bytes(&forgery.sealed());
    }

    /// Several changes at once to a tree of several levels, in the places that steer the walk.
    #[test]
    fn any_changes_to_headers_and_elements_get_a_verdict(
        changes in prop::collection::vec((2usize..45, 0usize..400, any::<u8>()), 1..6),
    ) {
        let mut forgery = Forgery::of("deep-3.5.30.db");
        for (page, at, value) in changes {
            if let Some(byte) = forgery.0.get_mut(page * PAGE + at) {
                *byte = value;
            }
        }
        let _ = proof_of_bytes(&forgery.sealed());
    }
}

#[test]
fn the_kit_seals_as_etcd_does() {
    let bytes = bytes_of(SNAPSHOT);
    assert_eq!(Forgery::of(SNAPSHOT).sealed(), bytes);
    assert_eq!(
        Sha256::digest(&bytes[..bytes.len() - 32])[..],
        bytes[bytes.len() - 32..]
    );
}
