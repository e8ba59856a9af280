//! The proof of a snapshot, as the core wants it.

use std::path::Path;

use runbook_core::digest::Digest;
use runbook_core::error::{AdapterError, Certainty};
use runbook_core::names::AbsPath;
use runbook_core::ports::PortResult;
use runbook_core::world::{SnapshotContent, SnapshotProof};

use crate::snapshot::{self, Progress, Proof, ProofError};

/// Proves a snapshot; reads all of it.
pub(super) fn prove(
    path: &AbsPath,
    progress: &mut dyn FnMut(Progress),
) -> PortResult<SnapshotProof> {
    snapshot::prove(Path::new(path.as_str()), progress)
        .map(|proof| proven(path, proof))
        .map_err(|error| refused(path, error))
}

fn proven(path: &AbsPath, proof: Proof) -> SnapshotProof {
    let meaning = proof.meaning;
    SnapshotProof {
        path: path.clone(),
        size_bytes: proof.size_bytes,
        sha256: Digest::from_bytes(proof.sha256),
        content: SnapshotContent {
            revision: meaning.hash_kv.revision,
            live_keys: meaning.live_keys,
            registry_keys: meaning.registry.live_keys,
            hash_kv: meaning.hash_kv.hash,
            cluster_version: meaning.cluster_version,
        },
    }
}

fn refused(path: &AbsPath, error: ProofError) -> AdapterError {
    AdapterError::new(
        code(&error),
        Certainty::Refused,
        format!("{path} is not proven"),
    )
    .hint(error.hint())
    .caused_by(error)
}

/// The stable code of a verdict, told apart from those of the other ports.
pub(crate) const fn code(error: &ProofError) -> &'static str {
    match error {
        ProofError::Empty => "snapshot-empty",
        ProofError::Truncated { .. } => "snapshot-truncated",
        ProofError::NoTrailer { .. } => "snapshot-no-trailer",
        ProofError::BytesDamaged { .. } => "snapshot-bytes-damaged",
        ProofError::Overlong { .. } => "snapshot-overlong",
        ProofError::StructureDamaged { .. } => "snapshot-structure-damaged",
        ProofError::MeaningDamaged { .. } => "snapshot-meaning-damaged",
        ProofError::NotASnapshot { .. } => "snapshot-not-one",
        ProofError::BeyondLimits { .. } => "snapshot-beyond-limits",
        ProofError::Unreadable { .. } => "snapshot-unreadable",
        ProofError::Io(_) => "snapshot-io",
    }
}
