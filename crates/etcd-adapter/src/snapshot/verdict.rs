//! What can be said against a file, in words and codes that stay.

use std::io;

use thiserror::Error;

use super::Proof;

/// Why a file is not a good snapshot.
///
/// The display is a lowercase fragment; [`hint`](Self::hint) says what to do about it and
/// [`code`](Self::code) is stable across versions.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ProofError {
    /// The file has no bytes at all.
    #[error("the file is empty")]
    Empty,
    /// The file ends before its own content does, or within the trailer.
    #[error("the file is cut short: {size} of {expected} bytes are there")]
    Truncated {
        /// Bytes in the file.
        size: u64,
        /// Bytes in the whole snapshot, by the file's own meta page; a lower bound when that page
        /// is itself cut.
        expected: u64,
    },
    /// A database file as etcd keeps it, rather than a snapshot of one: there is no SHA-256 behind
    /// it, so nothing proves that its bytes are those that etcd wrote.
    #[error("a copy of a data directory's database, without the hash that a snapshot ends with")]
    NoTrailer {
        /// What the rest of the proof says. A copy of a running member's file is seldom sound.
        content: Box<Result<Proof, ProofError>>,
    },
    /// The content does not have the SHA-256 that the snapshot was saved with.
    #[error(
        "the bytes are not those that were saved: sha256 {}, not {}",
        hex(got),
        hex(expected)
    )]
    BytesDamaged {
        /// The hash in the file.
        expected: [u8; 32],
        /// The hash of the content.
        got: [u8; 32],
    },
    /// The snapshot may be whole, but other bytes follow it.
    #[error("{extra} bytes follow the end of the snapshot")]
    Overlong {
        /// Bytes after the place where the snapshot ends.
        extra: u64,
        /// Whether the bytes before them are the ones that were saved.
        intact: bool,
    },
    /// The hash fits, but the database is not well-formed.
    #[error("the database is damaged at page {page}: {reason}")]
    StructureDamaged {
        /// Number of the page.
        page: u64,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The database is well-formed, but what it holds is not what etcd writes.
    #[error("the content is damaged: {reason}")]
    MeaningDamaged {
        /// What is wrong, and where.
        reason: String,
    },
    /// Not a bolt database, or not one of etcd's.
    #[error("not an etcd snapshot: {reason}")]
    NotASnapshot {
        /// What was found instead.
        reason: String,
    },
    /// Nothing is wrong, but something is larger than this reader takes on.
    #[error("not proven: {reason}")]
    BeyondLimits {
        /// What is too large.
        reason: &'static str,
    },
    /// The file cannot be read as one that keeps still.
    #[error("not readable as a snapshot: {reason}")]
    Unreadable {
        /// Why.
        reason: Unreadable,
    },
    /// The operating system refused.
    #[error("failed to read the file: {0}")]
    Io(io::Error),
}

/// Why a file cannot be read as one that keeps still.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Unreadable {
    /// A directory.
    #[error("it is a directory")]
    Directory,
    /// A named pipe.
    #[error("it is a FIFO")]
    Fifo,
    /// A socket.
    #[error("it is a socket")]
    Socket,
    /// A block or character device.
    #[error("it is a device")]
    Device,
    /// Its size, times or content changed while it was read.
    #[error("it changed while it was read")]
    Changed,
}

impl ProofError {
    /// A word for this verdict that does not change between versions.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Truncated { .. } => "truncated",
            Self::NoTrailer { .. } => "no-trailer",
            Self::BytesDamaged { .. } => "bytes-damaged",
            Self::Overlong { .. } => "overlong",
            Self::StructureDamaged { .. } => "structure-damaged",
            Self::MeaningDamaged { .. } => "meaning-damaged",
            Self::NotASnapshot { .. } => "not-a-snapshot",
            Self::BeyondLimits { .. } => "beyond-limits",
            Self::Unreadable { .. } => "unreadable",
            Self::Io(_) => "io",
        }
    }

    /// What a person can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Empty | Self::Truncated { .. } => {
                "copy the snapshot again from where it was taken, and mind a full disk; \
                 if that one is short too, use an older snapshot"
            }
            Self::NoTrailer { content } if content.is_ok() => {
                "prefer a file from `etcdctl snapshot save`; this copy is well-formed, but nothing \
                 proves its bytes, and if the member was running it may mix two moments"
            }
            Self::NoTrailer { .. } => {
                "use a file from `etcdctl snapshot save`; this copy is damaged, as copies of a \
                 running member's database are"
            }
            Self::BytesDamaged { .. } => {
                "copy the snapshot again from where it was taken; if that one is damaged too, use \
                 an older snapshot: `--skip-hash-check` would restore the damage"
            }
            Self::Overlong { intact: true, .. } => {
                "the snapshot itself is intact; copy it again, or cut the file back to its length"
            }
            Self::Overlong { intact: false, .. } => {
                "copy the snapshot again from where it was taken"
            }
            Self::StructureDamaged { .. } | Self::MeaningDamaged { .. } => {
                "the member was damaged before the snapshot was taken, or the file was changed and \
                 its hash made anew; use a snapshot of another member, or an older one"
            }
            Self::NotASnapshot { .. } => {
                "check the path; unpack the file first if it is compressed or encrypted"
            }
            Self::BeyondLimits { .. } => {
                "have etcd's own `snapshot status` and a trial restore judge this one"
            }
            Self::Unreadable {
                reason: Unreadable::Changed,
            } => "wait until the file is completely written, then try again",
            Self::Unreadable { .. } => "give the path of an ordinary file",
            Self::Io(_) => "check the path, the permissions and the disk",
        }
    }
}

impl From<io::Error> for ProofError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Unreadable {
                reason: Unreadable::Changed,
            },
            _ => Self::Io(error),
        }
    }
}

/// What stopped the reading of the database.
#[derive(Debug)]
pub(super) enum Fault {
    Structure {
        page: u64,
        reason: &'static str,
    },
    Meaning(String),
    NotEtcd(String),
    Limit(&'static str),
    Shrunk,
    Io(io::Error),
    /// The proof was decided elsewhere.
    Stopped,
}

impl From<Fault> for ProofError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Structure { page, reason } => Self::StructureDamaged { page, reason },
            Fault::Meaning(reason) => Self::MeaningDamaged { reason },
            Fault::NotEtcd(reason) => Self::NotASnapshot { reason },
            Fault::Limit(reason) => Self::BeyondLimits { reason },
            // `Stopped` never outlives the verdict that caused it.
            Fault::Shrunk | Fault::Stopped => Self::Unreadable {
                reason: Unreadable::Changed,
            },
            Fault::Io(error) => error.into(),
        }
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            for nibble in [byte >> 4, byte & 15] {
                text.push(char::from_digit(nibble.into(), 16).unwrap_or('?'));
            }
            text
        })
}
