//! Cut and flipped: the journal and the plan of a whole run. A journal is read to the right prefix or refused
//! with its code; a plan is refused, or is another plan under another digest.
//!
//! `runbook-core` flips every bit of a short journal, and the fuzz targets go on from here.

use std::collections::BTreeSet;

use runbook_core::journal::History;
use runbook_core::plan::SealedPlan;
use runbook_core::run::replay;

const PLAN: &[u8] = include_bytes!("../../crates/runbook-core/tests/fixtures/plan-1.0.json");
const JOURNAL: &[u8] = include_bytes!("../../crates/runbook-core/tests/fixtures/journal-1.0.jsonl");

#[test]
fn a_cut_journal_is_the_beginning_of_the_run() {
    let plan = SealedPlan::read(PLAN).unwrap();
    let whole = History::read(JOURNAL, "whole").unwrap().records;
    let ends: Vec<usize> = (0..JOURNAL.len())
        .filter(|at| JOURNAL[*at] == b'\n')
        .collect();
    // Around every line's end, and here and there within it.
    let near = ends
        .iter()
        .flat_map(|end| end.saturating_sub(2)..(end + 3).min(JOURNAL.len()));
    let cuts: BTreeSet<usize> = near.chain((0..JOURNAL.len()).step_by(97)).collect();
    for cut in cuts {
        let complete = ends.iter().filter(|end| **end < cut).count();
        // A line that lacks only its line feed is whole.
        let records = complete + usize::from(ends.contains(&cut));
        match History::read(&JOURNAL[..cut], "cut") {
            Ok(history) => {
                assert_eq!(history.records, whole[..records], "cut at {cut}");
                replay(&plan, &history).unwrap();
            }
            Err(error) => assert_eq!(
                (error.code(), records),
                ("journal-empty", 0),
                "cut at {cut}"
            ),
        }
    }
}

#[test]
fn a_flipped_bit_of_a_journal_is_refused_or_was_never_acknowledged() {
    let whole = History::read(JOURNAL, "whole").unwrap().records;
    let last = JOURNAL.len() - 1;
    for at in (0..last).step_by(13).chain([last]) {
        let mut flipped = JOURNAL.to_vec();
        flipped[at] ^= 1 << (at % 8);
        match History::read(&flipped, "flipped") {
            Ok(history) => {
                assert_eq!(at, last, "only the very last line feed");
                assert_eq!(history.records, whole[..whole.len() - 1]);
            }
            Err(error) => assert_eq!(error.code(), "journal-damaged", "{at}: {error}"),
        }
    }
}

#[test]
fn a_cut_or_flipped_plan_is_no_plan_that_was_approved() {
    let plan = SealedPlan::read(PLAN).unwrap();
    let last = PLAN.len() - 1;
    for cut in (0..last).step_by(101).chain([last - 1, last]) {
        let code = SealedPlan::read(&PLAN[..cut]).unwrap_err().code();
        // What lacks only its line feed is a plan that no build wrote.
        let right = if cut == last {
            "plan-changed"
        } else {
            "plan-unreadable"
        };
        assert_eq!(code, right, "cut at {cut}");
    }
    let mut codes = BTreeSet::new();
    for at in (0..=last).step_by(97) {
        let mut flipped = PLAN.to_vec();
        flipped[at] ^= 1 << (at % 8);
        match SealedPlan::read(&flipped) {
            Ok(other) => assert_ne!(other.digest(), plan.digest(), "{at}"),
            Err(error) => {
                assert!(error.hint().is_some());
                codes.insert(error.code());
            }
        }
    }
    assert!(codes.len() > 1, "{codes:?}");
}
