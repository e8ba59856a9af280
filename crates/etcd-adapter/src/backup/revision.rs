//! How far a cluster has come, written down beside its backups: `revision.json`.
//!
//! A restore takes a cluster back, and whoever watched it must not see a revision twice with different
//! content. So a restore raises the revision by more than was lost, and how much was lost is only known
//! from a record of how far the cluster had come. Each call of `backup` asks every member, and writes
//! the highest answer down before it does anything that may fail. The record never goes down.
//!
//! ```
//! # let dir = tempfile::tempdir().unwrap();
//! # let directory = dir.path();
//! use etcd_adapter::backup::recorded_revision;
//! match recorded_revision(directory).unwrap() {
//!     None => println!("no backup was ever taken to this directory"),
//!     Some(recorded) => {
//!         // By the cluster's id, where the snapshot's manifest tells it; else the safe upper bound.
//!         println!("{:?}", recorded.highest());
//!     }
//! }
//! ```

use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;
use runbook_core::identity::ClusterId;
use runbook_core::journal::Format;
use runbook_core::rundir::write_atomically;
use serde::{Deserialize, Serialize};

use super::document::{self, DocumentError};
use super::error::BackupError;

/// The file's name, in the directory of the backups.
pub const REVISION_FILE: &str = "revision.json";

/// The format this build writes.
pub const REVISION_FORMAT: Format = Format { major: 1, minor: 0 };

/// Bytes of the file, at most.
const LIMIT_BYTES: u64 = 64 << 10;

/// Clusters remembered; a cluster that is restored becomes another one. The longest unseen go first.
const MOST_CLUSTERS: usize = 200;

/// How far each cluster had come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    format: Format,
    /// By the cluster's id. A restore with a fresh token gives a cluster another id.
    pub clusters: BTreeMap<ClusterId, Seen>,
}

/// How far one cluster had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// The highest revision that any of its members told.
    pub revision: i64,
    /// When that was.
    pub at: Timestamp,
    /// When a member was last asked, whatever it told.
    pub asked: Timestamp,
}

impl Default for Recorded {
    fn default() -> Self {
        Self {
            format: REVISION_FORMAT,
            clusters: BTreeMap::new(),
        }
    }
}

impl Recorded {
    /// Parses a record; `path` is where it was found.
    ///
    /// # Errors
    /// [`DocumentError`] for anything that this tool, or a later version of the same major format, does
    /// not write.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self, DocumentError> {
        if bytes.len() as u64 > LIMIT_BYTES {
            return Err(document::refused(
                path,
                format!("it is over {LIMIT_BYTES} bytes"),
            ));
        }
        let recorded: Self = document::parse(path, bytes, REVISION_FORMAT)?;
        if recorded.clusters.values().any(|seen| seen.revision < 0) {
            return Err(document::refused(path, "a revision is never negative"));
        }
        Ok(recorded)
    }

    /// What is known of one cluster.
    pub fn of(&self, cluster: ClusterId) -> Option<Seen> {
        self.clusters.get(&cluster).copied()
    }

    /// The highest revision of all clusters on record, for a snapshot whose cluster nobody can tell.
    pub fn highest(&self) -> Option<Seen> {
        self.clusters
            .values()
            .copied()
            .max_by_key(|seen| seen.revision)
    }

    /// Takes over whatever another record has that is higher.
    pub(super) fn raise(&mut self, other: Self) {
        for (cluster, seen) in other.clusters {
            let known = self.clusters.entry(cluster).or_insert(seen);
            if seen.revision > known.revision {
                *known = seen;
            }
        }
    }

    /// Takes note of a revision. It never goes down.
    pub fn note(&mut self, cluster: ClusterId, revision: i64, now: Timestamp) {
        let seen = self.clusters.entry(cluster).or_insert(Seen {
            revision,
            at: now,
            asked: now,
        });
        seen.asked = seen.asked.max(now);
        if revision > seen.revision {
            (seen.revision, seen.at) = (revision, now);
        }
        while self.clusters.len() > MOST_CLUSTERS {
            let others = self.clusters.iter().filter(|(id, _)| **id != cluster);
            let oldest = others.min_by_key(|(_, seen)| seen.asked).map(|(id, _)| *id);
            oldest.map(|id| self.clusters.remove(&id));
        }
    }
}

/// Reads what is on record beside the backups in `dir`; none when nothing ever was.
///
/// # Errors
/// [`DocumentError`] when the file cannot be read, is not what this tool writes, or is of a newer major
/// format. It is never taken for "nothing on record".
pub fn recorded_revision(dir: &Path) -> Result<Option<Recorded>, DocumentError> {
    let path = dir.join(REVISION_FILE);
    let Some(bytes) = document::read(&path, LIMIT_BYTES)? else {
        return Ok(None);
    };
    Recorded::parse(&path, &bytes).map(Some)
}

/// Writes down what the members told. A record that refuses is left as it is: it may know more.
pub(super) fn record(
    dir: &Path,
    told: &[(ClusterId, i64)],
    now: Timestamp,
) -> Result<Recorded, BackupError> {
    let mut recorded = recorded_revision(dir)?.unwrap_or_default();
    if recorded.format.minor > REVISION_FORMAT.minor {
        let why = "a newer minor format is read, and not written";
        return Err(document::refused(&dir.join(REVISION_FILE), why).into());
    }
    for (cluster, revision) in told {
        recorded.note(*cluster, *revision, now);
    }
    let path = dir.join(REVISION_FILE);
    let mut text = serde_json::to_vec_pretty(&recorded)
        .map_err(|error| BackupError::io(&path, "written")(error.into()))?;
    text.push(b'\n');
    write_atomically(&path, &text, true)?;
    Ok(recorded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_record_never_goes_down() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(recorded_revision(dir.path()).unwrap(), None);
        let (one, two) = (ClusterId(1), ClusterId(0xabc));
        record(dir.path(), &[(one, 10), (one, 12), (two, 3)], at(100)).unwrap();
        record(dir.path(), &[(one, 11)], at(200)).unwrap();
        let recorded = recorded_revision(dir.path()).unwrap().unwrap();
        let seen = recorded.of(one).unwrap();
        assert_eq!((seen.revision, seen.at, seen.asked), (12, at(100), at(200)));
        assert_eq!(recorded.highest(), Some(seen));
        assert_eq!(recorded.of(two).unwrap().revision, 3);
        assert_eq!(recorded.of(ClusterId(9)), None);
    }

    #[test]
    fn of_two_records_the_higher_counts() {
        let record = |told: &[(u64, i64)]| {
            let mut recorded = Recorded::default();
            for (cluster, revision) in told {
                recorded.note(ClusterId(*cluster), *revision, at(*revision));
            }
            recorded
        };
        let (main, copy) = (record(&[(1, 9), (2, 3)]), record(&[(1, 5), (2, 4), (3, 1)]));
        let both = record(&[(1, 9), (2, 4), (3, 1)]);
        for (mut first, second) in [(main.clone(), copy.clone()), (copy, main)] {
            first.raise(second);
            assert_eq!(first, both);
        }
    }

    #[test]
    fn what_cannot_be_read_is_not_nothing_and_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(REVISION_FILE);
        let now = "2026-01-01T00:00:00Z";
        for (code, text) in [
            ("backup-record-refused", String::new()),
            ("backup-record-refused", "{".into()),
            (
                "backup-record-refused",
                r#"{"format":{"major":1,"minor":0},"clusters":{},"more":1}"#.into(),
            ),
            (
                "backup-record-refused",
                r#"{"format":{"major":1,"minor":0},"clusters":{}} x"#.into(),
            ),
            (
                "backup-record-refused",
                format!(
                    r#"{{"format":{{"major":1,"minor":0}},"clusters":{{"1":{{"revision":-1,"at":"{now}","asked":"{now}"}}}}}}"#
                ),
            ),
            ("backup-record-refused", " ".repeat(70_000)),
            (
                "backup-record-newer",
                r#"{"format":{"major":2,"minor":0}}"#.into(),
            ),
        ] {
            std::fs::write(&path, &text).unwrap();
            assert_eq!(
                recorded_revision(dir.path()).unwrap_err().code(),
                code,
                "{text:.60}"
            );
            assert_eq!(
                record(dir.path(), &[(ClusterId(1), 5)], at(1))
                    .unwrap_err()
                    .code(),
                code
            );
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
        // A newer minor format is read, and not written.
        let newer = r#"{"format":{"major":1,"minor":7},"clusters":{},"more":{"x":1}}"#;
        std::fs::write(&path, newer).unwrap();
        assert!(recorded_revision(dir.path()).unwrap().is_some());
        assert!(record(dir.path(), &[(ClusterId(1), 5)], at(1)).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), newer);
        // A link is nothing that this tool wrote.
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/etc/hostname", &path).unwrap();
        assert_eq!(
            recorded_revision(dir.path()).unwrap_err().code(),
            "backup-record-io"
        );
    }

    #[test]
    fn the_file_stays_small_and_the_cluster_at_hand_stays_in() {
        let mut recorded = Recorded::default();
        for n in 0..1000 {
            recorded.note(ClusterId(n), 1, at(i64::try_from(n).unwrap()));
        }
        assert_eq!(recorded.clusters.len(), MOST_CLUSTERS);
        recorded.note(ClusterId(7), 1, at(0));
        assert!(recorded.of(ClusterId(7)).is_some());
        let text = serde_json::to_vec_pretty(&recorded).unwrap();
        assert!((text.len() as u64) < LIMIT_BYTES);
    }
}
