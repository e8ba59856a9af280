//! The host keys that a run has accepted, in files beside its journal.

use std::fs;

use bright_adapter::AcceptedKeys;
use runbook_core::rundir::write_atomically;

use super::{GOOD, judged, node};

thread_local! {
    static PLACE: tempfile::TempDir = super::memory();
}

/// Files of a run that has had two nodes wiped; one of them has shown the input for its key, and the other one
/// none yet.
pub(super) fn judge(data: &[u8]) -> &'static str {
    PLACE.with(|place| {
        let run = place.path().join("known_hosts");
        let file = |node: &str| place.path().join(format!("known_hosts.{node}"));
        for node in ["node001", "node002"] {
            if !file(node).exists() {
                write_atomically(&file(node), b"", false).expect("a file");
            }
        }
        fs::write(file("node001"), data).expect("a file in memory");
        match judged(AcceptedKeys::of(&run)) {
            Ok(Some(accepted)) => {
                assert_eq!(accepted.nodes, [node()], "the other one has none");
                // What is pasted names files, and nothing that stands in them.
                let at = file("node001");
                let line = format!(
                    "(echo; grep -h '^[^#]' {}) >> ~/.ssh/known_hosts",
                    at.display()
                );
                assert_eq!(accepted.taking_over(), line);
                GOOD
            }
            Ok(None) => "none",
            Err(code) => code,
        }
    })
}
