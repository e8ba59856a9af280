//! What the proof of a file came to, as this program says it.

use std::fs::Metadata;
use std::path::{Path, PathBuf};

use etcd_adapter::snapshot::{Emptiness, Proof, ProofError};
use etcd_adapter::tool::verdict_code;
use jiff::Timestamp;

use crate::exit::Exit;

/// A file, and what its proof came to.
#[derive(Debug)]
pub(crate) struct Judged {
    pub(crate) path: PathBuf,
    /// How the file looked before it was read; none where there is no such file.
    pub(crate) seen: Option<Seen>,
    pub(crate) verdict: Result<Proof, ProofError>,
}

/// A file from outside.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) size_bytes: u64,
    pub(crate) modified: Option<Timestamp>,
}

impl Seen {
    pub(crate) fn of(about: &Metadata) -> Self {
        let modified = about.modified().ok();
        Self {
            size_bytes: about.len(),
            modified: modified.and_then(|at| Timestamp::try_from(at).ok()),
        }
    }
}

/// A directory, and what the proofs of its candidates came to.
#[derive(Debug)]
pub(crate) struct Folder {
    pub(crate) path: PathBuf,
    /// See [`Self::ranked`].
    pub(crate) files: Vec<Judged>,
    /// Candidates that were not proven; all of them are older.
    pub(crate) not_proven: u64,
    /// Entries that are no candidates.
    pub(crate) passed_over: u64,
    /// Why there are no candidates.
    pub(crate) trouble: Option<String>,
}

impl Folder {
    /// The code of a directory without candidates.
    pub(crate) const NONE: &str = "snapshot-none";

    pub(crate) fn closed(path: &Path, trouble: String) -> Self {
        Self {
            path: path.to_owned(),
            files: Vec::new(),
            not_proven: 0,
            passed_over: 0,
            trouble: Some(trouble),
        }
    }

    /// From the newest to the oldest, as they come: first those that can be restored, then the good ones
    /// of empty stores, then the others.
    pub(crate) fn ranked(mut files: Vec<Judged>) -> Vec<Judged> {
        files.sort_by_key(|file| match (&file.verdict, file.restorable()) {
            (_, true) => 0,
            (Ok(_), false) => 1,
            (Err(_), _) => 2,
        });
        files
    }

    /// The one to restore.
    pub(crate) fn newest_good(&self) -> Option<&Judged> {
        self.files.first().filter(|file| file.restorable())
    }

    /// How `verify` ends for this directory.
    pub(crate) fn exit(&self) -> Exit {
        let exits = || self.files.iter().map(Judged::exit);
        if exits().any(|exit| exit == Exit::Done) {
            Exit::Done
        } else {
            worst(exits()).unwrap_or(Exit::Unreadable)
        }
    }
}

/// The highest of several verdicts.
pub(crate) fn worst(exits: impl Iterator<Item = Exit>) -> Option<Exit> {
    exits.max_by_key(|exit| exit.code())
}

/// One of the three layers of a proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Layer {
    Holds(&'static str),
    Fails(String),
    /// Nothing is known for certain: why.
    Open(String),
}

impl Judged {
    /// How `verify` ends for this file.
    pub(crate) fn exit(&self) -> Exit {
        match &self.verdict {
            Ok(_) => Exit::Done,
            Err(ProofError::NoTrailer { .. }) => Exit::Copied,
            Err(ProofError::Truncated { .. }) => Exit::Truncated,
            Err(ProofError::BytesDamaged { .. } | ProofError::Overlong { .. }) => {
                Exit::BytesDamaged
            }
            Err(ProofError::StructureDamaged { .. } | ProofError::MeaningDamaged { .. }) => {
                Exit::StructureDamaged
            }
            Err(ProofError::NotASnapshot { .. }) => Exit::NotASnapshot,
            Err(ProofError::Empty) => Exit::EmptyFile,
            Err(ProofError::Unreadable { .. } | ProofError::Io(_)) => Exit::Unreadable,
            // A verdict of a later adapter is no *good* either.
            Err(_) => Exit::Unproven,
        }
    }

    /// The verdict in a word or two.
    pub(crate) fn word(&self) -> &'static str {
        match self.exit() {
            Exit::Done if self.starts_empty().is_some() => "GOOD BUT EMPTY",
            Exit::Done => "GOOD",
            Exit::Copied => "NO TRAILER",
            Exit::Truncated => "TRUNCATED",
            Exit::BytesDamaged => "BYTES DAMAGED",
            Exit::StructureDamaged => "STRUCTURE DAMAGED",
            Exit::NotASnapshot => "NOT A SNAPSHOT",
            Exit::EmptyFile => "EMPTY FILE",
            Exit::Unreadable => "UNREADABLE",
            _ => "NOT PROVEN",
        }
    }

    /// The code that `explain` knows, of anything but a good file.
    pub(crate) fn code(&self) -> Option<&'static str> {
        self.verdict.as_ref().err().map(verdict_code)
    }

    /// What is in the file, if that is known: proven, or out of a copy without a trailer.
    pub(crate) fn content(&self) -> Option<&Proof> {
        match &self.verdict {
            Ok(proof) => Some(proof),
            Err(ProofError::NoTrailer { content }) => content.as_ref().as_ref().ok(),
            Err(_) => None,
        }
    }

    /// Why an etcd, or Kubernetes, would start empty from this, whether its bytes are proven or not.
    pub(crate) fn starts_empty(&self) -> Option<Emptiness> {
        self.content()?.meaning.would_start_empty()
    }

    /// Good, and of a store that holds something.
    pub(crate) fn restorable(&self) -> bool {
        self.verdict.is_ok() && self.starts_empty().is_none()
    }

    /// How many seconds ago the file was written; below zero if that is still to come.
    pub(crate) fn age_s(&self, now: Timestamp) -> Option<i64> {
        let modified = self.seen?.modified?;
        Some(now.as_second() - modified.as_second())
    }

    /// Bytes, structure and meaning.
    pub(crate) fn layers(&self) -> [Layer; 3] {
        layers(&self.verdict)
    }
}

const BYTES: Layer = Layer::Holds("the SHA-256 is the one that the snapshot was saved with");
const STRUCTURE: Layer =
    Layer::Holds("every page lies in the file, is in order, and is referenced once");
const MEANING: Layer = Layer::Holds("every record is one that etcd writes");

fn layers(verdict: &Result<Proof, ProofError>) -> [Layer; 3] {
    let open = |why: &str| Layer::Open(why.to_owned());
    let Err(error) = verdict else {
        return [BYTES, STRUCTURE, MEANING];
    };
    let unread = || open("not judged");
    let fails = || Layer::Fails(error.to_string());
    match error {
        ProofError::NoTrailer { content } => {
            let [_, structure, meaning] = layers(content);
            let bytes = "no SHA-256 stands behind them, so nothing proves them";
            [Layer::Fails(bytes.into()), structure, meaning]
        }
        ProofError::Empty
        | ProofError::Truncated { .. }
        | ProofError::BytesDamaged { .. }
        | ProofError::Overlong { .. } => [fails(), unread(), unread()],
        // A first page that makes no sense may be found before there is anything to hash.
        ProofError::StructureDamaged { page: 0, .. } | ProofError::NotASnapshot { .. } => {
            [unread(), fails(), unread()]
        }
        ProofError::StructureDamaged { .. } => [BYTES, fails(), open("not read to its end")],
        ProofError::MeaningDamaged { .. } => {
            [BYTES, open("no fault as far as it was read"), fails()]
        }
        ProofError::Unreadable { .. } | ProofError::Io(_) => {
            [open(&error.to_string()), unread(), unread()]
        }
        _ => [BYTES, open(&error.to_string()), unread()],
    }
}
