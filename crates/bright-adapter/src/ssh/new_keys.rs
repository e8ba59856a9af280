//! The host keys of the nodes that a run has had wiped: for each a file of known hosts that belongs to
//! the run. That it is there says that the node may have a new key.

use std::path::{Path, PathBuf};

use runbook_core::error::{AdapterError, Certainty};
use runbook_core::names::NodeName;
use runbook_core::ports::PortResult;
use runbook_core::rundir::write_atomically;

use crate::codes;

/// Where the new key of a node is kept.
pub(super) fn file(run_known_hosts: &Path, node: &NodeName) -> PathBuf {
    let mut path = run_known_hosts.as_os_str().to_owned();
    path.push(format!(".{node}"));
    path.into()
}

/// Whether the node may have a new key. A link or a pipe in the file's place is no note of ours.
pub(super) fn is_expected(run_known_hosts: &Path, node: &NodeName) -> bool {
    let meta = std::fs::symlink_metadata(file(run_known_hosts, node));
    meta.is_ok_and(|meta| meta.is_file())
}

/// Notes, durably, that a node is wiped next. The new key that it had before, if any, counts no more.
pub(super) fn expect(run_known_hosts: &Path, node: &NodeName) -> PortResult<()> {
    let path = file(run_known_hosts, node);
    let text = format!("# The host key of {node} since this run had it wiped.\n");
    write_atomically(&path, text.as_bytes(), true).map_err(|error| {
        let what = format!("{} cannot be written", path.display());
        AdapterError::new(codes::SSH_KNOWN_HOSTS, Certainty::Refused, what)
            .hint("see what the system says of it: space, permissions, the disk; then resume")
            .caused_by(error)
    })
}
