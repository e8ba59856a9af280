//! What a rehearsal found.

use std::path::PathBuf;
use std::time::Duration;

use runbook_core::digest::Digest;
use runbook_core::error::AdapterError;
use runbook_core::version::EtcdVersion;
use serde::{Serialize, Serializer};

use super::look::Comparison;
use super::scratch::Leftover;
use crate::snapshot::Emptiness;

/// What a rehearsal found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The snapshot.
    pub snapshot: PathBuf,
    /// Bytes in the file.
    pub size_bytes: u64,
    /// Bytes of the database in it.
    pub database_bytes: u64,
    /// SHA-256 of its content.
    pub sha256: Digest,
    /// Why etcd, or Kubernetes on it, would start empty; it is sound all the same.
    pub starts_empty: Option<Emptiness>,
    /// The release that rehearsed.
    pub etcd: EtcdVersion,
    /// The cluster's release, where it is another: that of the nodes, or the minor one that the snapshot
    /// names. What it would do is not shown then.
    pub other_release: Option<EtcdVersion>,
    /// The program that restored.
    pub tool: &'static str,
    /// Where the programs were.
    pub programs: String,
    /// How far the revision was moved.
    pub revision_bump: Option<u64>,
    /// What was predicted, and what came up.
    pub compared: Vec<Comparison>,
    /// The folder of the scratch directory.
    pub scratch: PathBuf,
    /// How long the tool took to restore, in milliseconds: on this machine, on the disk of `scratch`.
    #[serde(rename = "restore_ms", serialize_with = "milliseconds")]
    pub restore: Duration,
    /// How long etcd took from its start until it served, in milliseconds; an election is in it.
    #[serde(rename = "open_ms", serialize_with = "milliseconds")]
    pub open: Duration,
    /// The most memory etcd had resident, mapped parts of the database included.
    pub peak_rss_bytes: Option<u64>,
    /// What earlier rehearsals, killed, had left, and was cleared first.
    pub cleared: Vec<Leftover>,
}

impl Report {
    /// Whether everything that came up was predicted.
    pub fn holds(&self) -> bool {
        self.compared.iter().all(Comparison::holds)
    }
}

/// Why a rehearsal did not end well.
#[derive(Debug, thiserror::Error)]
pub enum RehearseError {
    /// Something did not work.
    #[error(transparent)]
    Failed(#[from] AdapterError),
    /// Something came up that was not predicted.
    #[error("what came up is not what the snapshot's proof foretells")]
    Differs(Box<Report>),
}

impl RehearseError {
    /// The stable error code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Failed(error) => error.code,
            Self::Differs(_) => "rehearsal-differs",
        }
    }

    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Failed(error) => error.hint.clone(),
            Self::Differs(_) => Some(
                "do not restore this snapshot before it is understood: keep it, try an older one, and report both"
                    .into(),
            ),
        }
    }
}

fn milliseconds<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u64(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}
