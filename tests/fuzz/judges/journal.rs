//! A journal: torn, flipped, edited, or of another build; and the machine that it leads to.

use std::sync::OnceLock;

use runbook_core::digest::Digest;
use runbook_core::journal::{History, Journal, JournalError, MemoryStore};
use runbook_core::plan::SealedPlan;
use runbook_core::run::replay;
use serde_json::Value;

use super::GOOD;

/// The plan whose journal it is said to be.
fn plan() -> &'static SealedPlan {
    static PLAN: OnceLock<SealedPlan> = OnceLock::new();
    PLAN.get_or_init(|| {
        let bytes = include_bytes!("../../../crates/runbook-core/tests/fixtures/plan-1.0.json");
        SealedPlan::read(bytes).expect("a plan")
    })
}

pub(super) fn judge(data: &[u8]) -> &'static str {
    let word = read(data);
    if word == GOOD {
        return word;
    }
    // What somebody would write who knows the format: the same entries in a chain that holds.
    read(&chained(data))
}

fn read(bytes: &[u8]) -> &'static str {
    let history = match History::read(bytes, "here") {
        Ok(history) => history,
        Err(error) => return code(&error),
    };
    for (at, record) in history.records.iter().enumerate() {
        assert_eq!(record.seq, at as u64);
    }
    let store = MemoryStore::over(bytes.to_vec());
    match Journal::reopen(Box::new(store.clone())) {
        Ok((_, reopened)) => {
            assert_eq!(reopened.records, history.records);
            let mended = History::read(&store.bytes(), "here").expect("a mended journal");
            assert_eq!((mended.records, mended.torn_bytes), (reopened.records, 0));
        }
        Err(error) => assert_eq!(code(&error), "journal-newer"),
    }
    match replay(plan(), &history) {
        Ok(machine) => {
            // Whatever is written next has to fit what was read.
            assert!(machine.open().len() <= plan().units.len());
            GOOD
        }
        Err(error) => {
            assert!(error.hint().is_some_and(|hint| !hint.is_empty()));
            error.code()
        }
    }
}

fn code(error: &JournalError) -> &'static str {
    assert!(!error.hint().is_empty());
    let said = error.to_string();
    assert!(said.len() < 8 << 10, "{} bytes: {said:.80}", said.len());
    error.code()
}

/// The entries of an input, one per line, as the lines of a journal of that plan.
fn chained(data: &[u8]) -> Vec<u8> {
    let mut journal = Vec::new();
    let mut prev = "0".repeat(64);
    for (seq, line) in data.split(|byte| *byte == b'\n').enumerate().take(200) {
        let mut entry: Value = match serde_json::from_slice(line) {
            Ok(Value::Object(mut line)) if line.contains_key("entry") => line["entry"].take(),
            Ok(value) => value,
            Err(_) => Value::Null,
        };
        if entry["kind"] == "opened" {
            entry["run"] = plan().run.to_string().into();
            entry["plan"] = plan().digest().to_string().into();
        }
        let covered = format!(
            r#","prev":"{prev}","seq":{seq},"at":"2026-01-01T00:00:00Z","entry":{entry}}}"#
        );
        prev = Digest::of(covered.as_bytes()).hex();
        journal.extend(format!("{{\"hash\":\"{prev}\"{covered}\n").into_bytes());
    }
    journal
}
