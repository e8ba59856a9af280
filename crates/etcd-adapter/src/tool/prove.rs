//! The proof of a snapshot, as the core wants it.

use runbook_core::error::{AdapterError, Certainty};
use runbook_core::names::AbsPath;
use runbook_core::ports::PortResult;
use runbook_core::world::SnapshotProof;

/// Proves a snapshot; reads all of it.
pub(super) fn prove(path: &AbsPath) -> PortResult<SnapshotProof> {
    Err(AdapterError::new(
        "snapshot-proof-absent",
        Certainty::Refused,
        format!("{path}: this build has no proof of snapshots yet"),
    ))
}
