//! A bundle: what the doctor asked and was answered, redacted, in one file; and its replay.
//!
//! A [`Tape`] records while the doctor asks. [`Bundle::write`] redacts and packs it: a gzipped tar archive
//! of four small files, which `docs/doctor.md` describes. [`Recorded`] stands where the head node and the
//! nodes stood, so that the doctor finds the same again.
//!
//! A bundle comes from a stranger: it is read in memory, within bounds, and never unpacked to disk.

mod archive;
mod record;
mod redact;
mod replay;

use runbook_core::names::AbsPath;
use serde::{Deserialize, Serialize};

pub use self::archive::BundleError;
pub use self::record::{Answer, Exchange, Question, Tape};
pub use self::redact::Redactor;
pub use self::replay::Recorded;
use crate::doctor::{Proven, Report, Settings};

/// The format of bundles that this build writes, and the newest it reads.
pub const FORMAT: u32 = 1;

/// Everything the doctor asked, was answered, and made of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// The program that made it, with its version.
    pub tool: String,
    /// What was looked at.
    pub settings: Settings,
    /// Questions and answers, in the order in which they ended.
    pub exchanges: Vec<Exchange>,
    /// What became of the proofs of snapshots.
    pub proofs: Vec<Proof>,
    /// What the doctor found.
    pub report: Report,
}

/// The proof of one snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    /// The snapshot.
    pub path: AbsPath,
    /// What became of it.
    pub proven: Proven,
}
