//! The journal's bytes: one JSON object per line, chained by SHA-256.
//!
//! ```text
//! {"hash":"<64 hex>","prev":"<64 hex>","seq":3,"at":"2026-…Z","entry":{"kind":"intent",…}}
//! ```
//!
//! `hash` covers the line's own bytes from the comma behind it to the closing brace, and `prev` is the
//! hash of the line before, so that damage to a line, or a line that is missing or moved, is noticed
//! (by accident, that is: there is no key, so this is no seal against a forger). `seq` orders;
//! `at` is for people. `jq` reads it.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::names::{RunId, UnitId};
use crate::text::{shortened, visible_json};
use crate::world::BootId;

/// The journal format written by this build. A newer minor version is readable but not writable; a
/// newer major version is neither.
pub const JOURNAL_FORMAT: Format = Format { major: 1, minor: 0 };

/// The longest line written or read, in bytes.
pub const LINE_LIMIT_BYTES: usize = 64 * 1024;

/// The `prev` of the first line.
pub(super) const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

const PREFIX: &[u8] = b"{\"hash\":\"";
const HEX: usize = 64;

/// A format version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Format {
    /// Readers of another major version cannot read it.
    pub major: u32,
    /// Readers of an older minor version can read it.
    pub minor: u32,
}

/// What a run or a unit went through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Entry {
    /// The first record: which run of which plan, begun by whom.
    Opened {
        /// The journal's format.
        format: Format,
        /// The run.
        run: RunId,
        /// The plan's digest.
        plan: Digest,
        /// Who runs it.
        by: Actor,
    },
    /// A later life of the run has begun.
    Resumed {
        /// Who runs it.
        by: Actor,
    },
    /// The unit's effect may happen from here on.
    Intent {
        /// The unit.
        unit: UnitId,
        /// The world right before, for what can only be told by comparison.
        baseline: Baseline,
    },
    /// The unit is done: its checks held.
    Done {
        /// The unit.
        unit: UnitId,
        /// Whether this life acted; if not, the unit was found done.
        acted: bool,
        /// What was seen.
        seen: String,
    },
    /// The unit does not apply.
    Skipped {
        /// The unit.
        unit: UnitId,
        /// Why.
        reason: String,
    },
    /// The unit could not be done; the run halts.
    Failed {
        /// The unit.
        unit: UnitId,
        /// The stable error code.
        code: String,
        /// What was seen.
        seen: String,
    },
    /// This life stops here; a later one may go on.
    Halted {
        /// Why.
        reason: String,
    },
    /// The run is over.
    Closed {
        /// How it ended.
        outcome: Outcome,
    },
    /// A record of a newer minor version: kept, not understood.
    #[serde(skip)]
    Unknown,
}

/// Who runs a run: on which host, as whom, with which tool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// The program and its version.
    pub tool: String,
    /// The host.
    pub host: String,
    /// The user.
    pub user: String,
    /// The process.
    pub pid: u32,
}

impl std::fmt::Display for Actor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} on {}, process {} ({})",
            self.user, self.host, self.pid, self.tool
        )
    }
}

/// The world right before an action.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Baseline {
    /// The node's boot id; none when it was off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_id: Option<BootId>,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Every unit is done or skipped.
    Completed,
    /// Everything was put back by another run.
    Undone(RunId),
    /// Given up by an operator, for this reason.
    Abandoned(String),
}

/// One line of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Counts from 0 without gaps.
    pub seq: u64,
    /// The wall clock, for people.
    pub at: jiff::Timestamp,
    /// What happened.
    pub entry: Entry,
    /// The hash of this line.
    pub(super) hash: String,
}

#[derive(Serialize)]
struct Outgoing<'a> {
    prev: &'a str,
    seq: u64,
    at: jiff::Timestamp,
    entry: &'a Entry,
}

#[derive(Deserialize)]
struct Incoming {
    prev: String,
    seq: u64,
    at: jiff::Timestamp,
    entry: serde_json::Value,
}

/// Why a line is no record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum LineFault {
    /// The bytes are not what was written.
    Damaged(&'static str),
    /// The record is of a format this build cannot read.
    NotOurs(String),
}

impl Record {
    /// The record that follows `before`, with its line.
    pub(super) fn after(
        before: Option<&Self>,
        at: jiff::Timestamp,
        entry: Entry,
    ) -> Result<(Self, Vec<u8>), serde_json::Error> {
        let prev = before.map_or(GENESIS, |record| &record.hash);
        let seq = before.map_or(0, |record| record.seq + 1);
        let body = serde_json::to_string(&Outgoing {
            prev,
            seq,
            at,
            entry: &entry,
        })?;
        // What was seen is foreign text, and whoever reads a journal may do so on a terminal.
        let body = visible_json(body);
        // `body` is `{"prev":…}`; the hash covers everything behind the brace.
        let covered = format!(",{}", &body[1..]);
        let hash = Digest::of(covered.as_bytes()).hex();
        let line = format!("{{\"hash\":\"{hash}\"{covered}\n");
        Ok((
            Self {
                seq,
                at,
                entry,
                hash,
            },
            line.into_bytes(),
        ))
    }

    /// Reads the line that follows `before`; `line` is without its line feed.
    ///
    /// With `newer`, an entry this build does not understand becomes [`Entry::Unknown`].
    pub(super) fn read(line: &[u8], before: Option<&Self>, newer: bool) -> Result<Self, LineFault> {
        let rest = line
            .strip_prefix(PREFIX)
            .ok_or(LineFault::Damaged("it has no hash"))?;
        if rest.len() < HEX + 2 || rest[HEX] != b'"' || line.len() > LINE_LIMIT_BYTES {
            return Err(LineFault::Damaged("it has no hash"));
        }
        let (stated, covered) = (&rest[..HEX], &rest[HEX + 1..]);
        let hash = Digest::of(covered).hex();
        if hash.as_bytes() != stated {
            return Err(LineFault::Damaged("its hash does not fit its bytes"));
        }
        let mut body = b"{".to_vec();
        body.extend_from_slice(covered.get(1..).unwrap_or_default());
        let body: Incoming =
            serde_json::from_slice(&body).map_err(|_| LineFault::Damaged("it is not a record"))?;
        if body.prev != before.map_or(GENESIS, |record| &record.hash) {
            return Err(LineFault::Damaged("it does not follow the line before"));
        }
        if body.seq != before.map_or(0, |record| record.seq + 1) {
            return Err(LineFault::Damaged("its number is out of order"));
        }
        let entry = match serde_json::from_value(body.entry) {
            Ok(entry) => entry,
            Err(_) if newer => Entry::Unknown,
            Err(error) => return Err(LineFault::NotOurs(shortened(&error.to_string()))),
        };
        Ok(Self {
            seq: body.seq,
            at: body.at,
            entry,
            hash,
        })
    }
}
