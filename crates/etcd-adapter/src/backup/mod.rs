//! Backups: a snapshot of the best member, proven before it has a name, with a manifest beside it.
//!
//! [`Session::open`] takes a directory (and perhaps a second one) for this process and removes what dead
//! ones have left; [`Session::take`] takes one backup; [`Session::retain`] shows or does what a
//! [`Policy`] means. In order:
//!
//! 1. All members are asked for their status ([`look`]). The highest revision goes into `revision.json`
//!    at once, whatever comes of the rest ([`recorded_revision`] reads it).
//! 2. The member that has come furthest, has a leader, and is neither a learner nor in error, sends its
//!    snapshot. If it breaks off, falls silent, or sends something that is not good, it is begun anew with
//!    the next best.
//! 3. The file is hashed on the way and held against the hash behind it, synced, and proven by
//!    [`crate::snapshot::prove`], from which the manifest has its numbers.
//! 4. Manifest, then backup, get their names, without overwriting anything (`place.rs` says what a crash
//!    leaves at each point).
//! 5. The second copy is made from the first one's bytes, and proven like it.
//!
//! Everything is `0600`. No file without a manifest of this tool is ever changed or removed, except for
//! the unfinished ones of dead processes.

mod changes;
mod companions;
mod document;
mod error;
mod kept;
mod manifest;
mod name;
mod place;
#[cfg(feature = "grpc")]
mod receive;
mod retention;
mod revision;
#[cfg(feature = "grpc")]
mod session;
#[cfg(feature = "grpc")]
mod survey;
#[cfg(feature = "grpc")]
mod warning;

pub use changes::{Changes, Suspicion};
pub use companions::{Companion, digests};
pub use document::DocumentError;
pub use error::{Attempt, BackupError, Fault};
pub use kept::{Kept, Line, Shelf, shelf};
pub use manifest::{
    ClusterFacts, Content, MANIFEST_FORMAT, MANIFEST_LIMIT_BYTES, Manifest, MemberFacts,
};
pub use name::BackupName;
pub use place::Place;
pub use retention::{Candidate, Fate, Policy};
pub use revision::{REVISION_FILE, REVISION_FORMAT, Recorded, Seen, recorded_revision};
#[cfg(feature = "grpc")]
pub use session::{Event, Retained, Session, Taken, Wanted, Watcher};
#[cfg(feature = "grpc")]
pub use survey::{Seen as SeenMember, Survey, look};
#[cfg(feature = "grpc")]
pub use warning::Warning;
