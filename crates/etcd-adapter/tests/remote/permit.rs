//! Leave to change the world, for tests.

use runbook_core::digest::Digest;
use runbook_core::journal::{Actor, Baseline, Entry, JOURNAL_FORMAT, Journal, MemoryStore, Permit};
use runbook_core::names::{RunId, UnitId};

pub(crate) fn run_id() -> RunId {
    RunId::parse("01936f6e-0000-7000-8000-0123456789ab").unwrap()
}

pub(crate) fn permit() -> Permit {
    let first = Entry::Opened {
        format: JOURNAL_FORMAT,
        run: run_id(),
        plan: Digest::of(b"plan"),
        by: Actor {
            tool: "test 0".into(),
            host: "head".into(),
            user: "root".into(),
            pid: 1,
        },
    };
    let at = jiff::Timestamp::UNIX_EPOCH;
    Journal::begin(Box::new(MemoryStore::default()), at, first)
        .unwrap()
        .intend(at, &UnitId::new("test").unwrap(), Baseline::default())
        .unwrap()
}
