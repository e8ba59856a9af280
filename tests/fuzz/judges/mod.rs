//! What is asked of everything this tool parses and did not write in the same moment, for any input
//! whatever: an answer within bounds, never a panic; what is read is written back and read alike; an error
//! has its code and says what to do; and no name that was read does anything in a command.
//!
//! Shared by the fuzz targets and by the test that runs them in brief. Each judge returns a word for what
//! came of it, so that the test sees how far the inputs get.

mod backup;
mod bundle;
pub(crate) mod cmsh;
mod commands;
mod doctor;
mod journal;
mod keys;
pub(crate) mod node;
mod plan;
mod snapshot;
mod spec;
mod state;
mod tool;

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use runbook_core::error::AdapterError;
use runbook_core::names::{NodeName, UnitId};
use runbook_core::text::steers;

/// Asks everything of an input; a word for what came of it.
pub(crate) type Judge = fn(&[u8]) -> &'static str;

/// All of them, by name.
pub(crate) const ALL: [(&str, Judge); 14] = [
    ("bundle", bundle::judge),
    ("cmsh", cmsh::judge),
    ("doctor", doctor::judge),
    ("given-up", state::given_up),
    ("journal", journal::judge),
    ("keys", keys::judge),
    ("lock", state::lock),
    ("manifest", backup::manifest),
    ("node", node::judge),
    ("plan", plan::judge),
    ("revision", backup::revision),
    ("snapshot", snapshot::judge),
    ("spec", spec::judge),
    ("tool", tool::judge),
];

pub(crate) fn of(name: &str) -> Judge {
    let found = ALL.iter().find(|(known, _)| *known == name);
    found.expect("a judge of this name").1
}

/// What was read whole.
const GOOD: &str = "good";

/// The parts of an input that stands for several answers.
fn parts(data: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    let mut rest = data;
    while let Some(at) = rest.windows(4).position(|line| line == b"\n%%\n") {
        parts.push(&rest[..at]);
        rest = &rest[at + 4..];
    }
    parts.push(rest);
    parts
}

/// An adapter's error says what to do, is bounded, and steers no terminal.
fn judge_error(error: &AdapterError) -> &'static str {
    let line = error.chain();
    assert!(!error.code.is_empty() && error.hint.is_some(), "{line}");
    assert!(line.len() < 16 << 10, "{} bytes: {line:.80}", line.len());
    let loose = |c: char| c != '\n' && steers(c);
    assert!(!line.chars().any(loose), "{line:?}");
    error.code
}

fn judged<T>(result: Result<T, AdapterError>) -> Result<T, &'static str> {
    result.map_err(|error| judge_error(&error))
}

fn node() -> NodeName {
    NodeName::new("node001").expect("a name")
}

fn permit() -> runbook_core::journal::Permit {
    let unit = UnitId::new("stop/node001").expect("an id");
    runbook_core::testkit::permit(&unit).expect("memory")
}

/// A directory in memory, where there is such a place.
fn memory() -> tempfile::TempDir {
    let memory = std::path::Path::new("/dev/shm");
    let dir = if memory.is_dir() {
        tempfile::tempdir_in(memory)
    } else {
        tempfile::tempdir()
    };
    dir.expect("a directory")
}

/// The result of what waits for nothing.
pub(crate) fn now<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    match future
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
    {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it waits for something"),
    }
}
