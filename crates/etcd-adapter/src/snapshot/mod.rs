//! The proof of a snapshot file, in three layers: its bytes, its structure, its meaning.
//!
//! [`prove`] reads a file and says what it is, and never anything but *good* by way of [`Ok`].
//!
//! - **Bytes.** A snapshot ends with the SHA-256 of all that comes before it. `etcdctl snapshot
//!   status` does not look at it, and `snapshot restore` looks after the old data is gone.
//! - **Structure.** The rest is a bolt database: two meta pages, and trees of pages, each of which must
//!   lie in the file, be referenced once, and hold keys in order within its parent's range.
//! - **Meaning.** The keys are revisions, the values are records that fit them; the other buckets tell
//!   of the cluster. From them come the numbers that etcd's own tools would give.
//!
//! # Speed and memory
//!
//! The file is read once from start to end for the hash. The tree is walked at the same time by a
//! second thread, which takes a page at once when the page cache has it and otherwise waits until the
//! first has passed it: the disk only ever sees one reading in order (unless memory is too short to
//! keep the file's pages; then they are read again).
//!
//! At most about 128 MB are held, for any file: 64 MiB for the nodes on one path of the tree (4 MiB
//! or less in practice, more only for values above a megabyte), 50 MB for the set of keys (see
//! `records`), one bit for each page and, above 3.6 million keys, for each record.
//!
//! # What is taken on trust
//!
//! A file is opened for reading only, and nothing is written anywhere. A change during the reading is
//! noticed by the file's size and times; a writer who sets those back is not.
//!
//! Sources: bbolt's `internal/common` and `tx_check.go`, etcd's `etcdutl/snapshot`,
//! `server/storage/mvcc` and `server/storage/schema`; each module names its own.

mod content;
mod crc;
mod file;
mod layout;
mod meaning;
mod page;
mod proto;
mod records;
mod seen;
mod verdict;
mod walk;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use serde::{Serialize, Serializer};

use content::Content;
use file::{Gate, Source};
use layout::{Ending, Layout};
pub use meaning::{Alarm, AlarmKind, Emptiness, HashKv, Meaning, Member, Registry};
use records::MAX_FINGERPRINTS;
use verdict::Fault;
pub use verdict::{ProofError, Unreadable};

/// Below this many bytes the layers are proved one after the other: a thread would cost more.
const SMALL: u64 = 1 << 20;

/// What is known of a good snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Proof {
    /// Bytes in the file.
    pub size_bytes: u64,
    /// Bytes of the database in it, which is what `snapshot status` calls its total size.
    pub database_bytes: u64,
    /// SHA-256 of the content: everything but the trailer, which it equals. In what
    /// [`ProofError::NoTrailer`] carries, that of the whole file.
    #[serde(serialize_with = "as_hex")]
    pub sha256: [u8; 32],
    /// Bytes of a page.
    pub page_size: u32,
    /// The hash that `etcdctl` or `etcdutl snapshot status` shows.
    pub status_hash: u32,
    /// The total number of keys that `snapshot status` of etcd 3.4 and 3.5 shows: the entries of all
    /// buckets. From 3.6 on it shows [`Meaning::live_keys`] instead, and one more where the last restore
    /// bumped the revision.
    pub total_key: u64,
    /// What the snapshot says.
    pub meaning: Meaning,
}

/// How far a proof has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is being done.
    pub phase: Phase,
    /// Bytes done in this phase. A walk may end below the total, for pages may be free, or pass it,
    /// when the keys are too many for one walk.
    pub done_bytes: u64,
    /// Bytes in all.
    pub total_bytes: u64,
}

/// What a proof is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// Reading the file in order, and walking the tree as pages come by.
    Reading,
    /// Walking what is left of the tree.
    Walking,
}

/// Proves the file at `path`, telling `progress` about it on this thread: after each 256 KiB read, and
/// ten times a second afterwards.
///
/// # Errors
///
/// Everything short of a good snapshot is an error, [`ProofError`], as is a file that cannot be read or
/// changes meanwhile. A sound store that holds nothing is good: see [`Meaning::would_start_empty`].
pub fn prove(path: &Path, progress: &mut dyn FnMut(Progress)) -> Result<Proof, ProofError> {
    prove_within(path, MAX_FINGERPRINTS, progress)
}

fn prove_within(
    path: &Path,
    fingerprints: usize,
    progress: &mut dyn FnMut(Progress),
) -> Result<Proof, ProofError> {
    let source = Source::open(path)?;
    let verdict = judge(&source, fingerprints, progress);
    source.unchanged()?;
    verdict
}

fn judge(
    source: &Source,
    fingerprints: usize,
    progress: &mut dyn FnMut(Progress),
) -> Result<Proof, ProofError> {
    let layout = Layout::read(source)?;
    let hashed = layout.hashed_bytes(source.size());
    let (sha256, content) = read(source, &layout, hashed, fingerprints, progress)?;
    let proof = |content: Content| Proof {
        size_bytes: source.size(),
        database_bytes: layout.database_bytes,
        sha256,
        page_size: layout.meta.page_size,
        status_hash: content.status_hash,
        total_key: content.total_key,
        meaning: content.meaning,
    };
    match layout.ending {
        Ending::Trailer { expected } if expected != sha256 => Err(ProofError::BytesDamaged {
            expected,
            got: sha256,
        }),
        Ending::Trailer { .. } => {
            if let Some(page) = layout.broken_meta {
                let reason = "the meta page is damaged, though its twin is not";
                return Err(ProofError::StructureDamaged { page, reason });
            }
            Ok(proof(content?))
        }
        Ending::Overlong { expected, extra } => Err(ProofError::Overlong {
            extra,
            intact: expected == sha256,
        }),
        Ending::Copy => {
            let content = content.map(proof).map_err(ProofError::from);
            Err(ProofError::NoTrailer {
                content: Box::new(content),
            })
        }
    }
}

/// Hashes the first `hashed` bytes and walks the database, side by side.
fn read(
    source: &Source,
    layout: &Layout,
    hashed: u64,
    fingerprints: usize,
    progress: &mut dyn FnMut(Progress),
) -> Result<([u8; 32], Result<Content, Fault>), ProofError> {
    let gate = Gate::default();
    let visited = AtomicU64::new(0);
    let pages = layout.pages(&source.file, &gate);
    let walk = || Content::read(&pages, layout, fingerprints, &visited);
    if hashed < SMALL {
        let digest = source.digest(hashed, &gate, reading(hashed, progress));
        gate.open();
        let content = if layout.settled_by(&digest) {
            Err(Fault::Stopped)
        } else {
            walk()
        };
        return Ok((digest?, content));
    }
    thread::scope(|scope| {
        let _shut = gate.shut_at_last();
        // The walker's end is told by the sender's.
        let (alive, ended) = mpsc::channel::<()>();
        let walker = scope.spawn(move || {
            let _alive = alive;
            walk()
        });
        let digest = source.digest(hashed, &gate, reading(hashed, progress));
        if layout.settled_by(&digest) {
            gate.shut();
        } else {
            gate.open();
        }
        while ended.recv_timeout(Duration::from_millis(100)) == Err(RecvTimeoutError::Timeout) {
            let done_bytes = visited.load(Ordering::Relaxed) * u64::from(layout.meta.page_size);
            let total_bytes = layout.database_bytes;
            progress(Progress {
                phase: Phase::Walking,
                done_bytes,
                total_bytes,
            });
        }
        match walker.join() {
            Ok(content) => Ok((digest?, content)),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

fn reading(total_bytes: u64, progress: &mut dyn FnMut(Progress)) -> impl FnMut(u64) {
    move |done_bytes| {
        progress(Progress {
            phase: Phase::Reading,
            done_bytes,
            total_bytes,
        });
    }
}

fn as_hex<S: Serializer>(bytes: &[u8; 32], to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&verdict::hex(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However few keys fit into memory, the result is the same.
    #[test]
    fn a_store_with_too_many_keys_is_proved_in_parts() {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        for version in ["3.4.23", "3.5.30"] {
            for scenario in ["snap", "compacted", "tombstone", "txn", "swept"] {
                let path = fixtures.join(format!("{scenario}-{version}.db"));
                let whole = prove(&path, &mut |_| {}).unwrap();
                for limit in [1, 2, 7, 30, 1000] {
                    let parts = prove_within(&path, limit, &mut |_| {}).unwrap();
                    assert_eq!(
                        parts, whole,
                        "{scenario}-{version} with {limit} keys at a time"
                    );
                }
            }
        }
    }
}
