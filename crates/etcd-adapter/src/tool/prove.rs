//! The proof of a snapshot, as the core wants it.

use std::fmt::Display;
use std::fs;
use std::path::Path;

use jiff::Timestamp;
use runbook_core::digest::Digest;
use runbook_core::error::{AdapterError, Certainty};
use runbook_core::names::AbsPath;
use runbook_core::ports::PortResult;
use runbook_core::world::{BumpRule, Bumped, SnapshotContent, SnapshotProof};

use crate::snapshot::{self, Progress, Proof, ProofError};

/// Proves a snapshot; reads all of it.
pub(super) fn prove(
    path: &AbsPath,
    bump: Option<BumpRule>,
    progress: &mut dyn FnMut(Progress),
) -> PortResult<SnapshotProof> {
    match snapshot::prove(Path::new(path.as_str()), progress) {
        Ok(proof) => Ok(proven(path, bump, proof, true)),
        Err(ProofError::NoTrailer { content }) => match *content {
            Ok(proof) => Ok(proven(path, bump, proof, false)),
            Err(_) => Err(refused(path, ProofError::NoTrailer { content })),
        },
        Err(error) => Err(refused(path, error)),
    }
}

fn proven(path: &AbsPath, bump: Option<BumpRule>, proof: Proof, trailer: bool) -> SnapshotProof {
    let meaning = proof.meaning;
    let bumped = bump.and_then(|rule| {
        let by = rule.amount(meaning.revision);
        let hash = meaning.hash_kv_after_bump(by)?;
        Some(Bumped {
            by,
            revision: hash.revision,
            hash_kv: hash.hash,
        })
    });
    SnapshotProof {
        path: path.clone(),
        size_bytes: proof.size_bytes,
        sha256: Digest::from_bytes(proof.sha256),
        trailer,
        modified: modified(path),
        taken: super::beside::manifest(path).map(|manifest| manifest.taken),
        content: SnapshotContent {
            revision: meaning.hash_kv.revision,
            live_keys: meaning.live_keys,
            registry_keys: meaning.registry.live_keys,
            compact_revision: meaning.hash_kv.compact_revision,
            kinds: meaning.registry.kinds,
            hash_kv: meaning.hash_kv.hash,
            bumped,
            alarms: meaning.alarms.iter().map(ToString::to_string).collect(),
            auth_enabled: meaning.auth_enabled,
            cluster_version: meaning.cluster_version,
        },
    }
}

/// The time of a file that the proof has just found unchanged.
fn modified(path: &AbsPath) -> Option<Timestamp> {
    let at = fs::metadata(path.as_str()).ok()?.modified().ok()?;
    let at = Timestamp::try_from(at).ok()?;
    Timestamp::from_second(at.as_second()).ok()
}

pub(crate) fn refused(path: &dyn Display, error: ProofError) -> AdapterError {
    AdapterError::new(
        code(&error),
        Certainty::Refused,
        format!("{path} is not proven"),
    )
    .hint(error.hint())
    .caused_by(error)
}

/// The stable code of a verdict, told apart from those of the other ports.
pub const fn code(error: &ProofError) -> &'static str {
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
