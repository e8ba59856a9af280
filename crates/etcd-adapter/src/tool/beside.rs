//! What lies beside a snapshot: its manifest, and the record of how far the clusters had come.

use std::fs::{File, Metadata};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use runbook_core::digest::Digest;
use runbook_core::error::{AdapterError, Certainty};
use runbook_core::names::AbsPath;
use runbook_core::ports::PortResult;
use runbook_core::world::{RecordedRevision, RecordedRevisions};

use crate::backup::{BackupName, Manifest, Seen, recorded_revision};

/// The bytes at the end of a snapshot that name its content.
const TRAILER_BYTES: u64 = 32;

/// The manifest of a snapshot; none where there is none, or where it is another file's. It helps, and
/// nothing rests on it: one that cannot be read is none.
pub(super) fn manifest(snapshot: &AbsPath) -> Option<Manifest> {
    let path = Path::new(snapshot.as_str());
    let name = BackupName::parse(path.file_name()?.to_str()?)?;
    let manifest = Manifest::read(path.parent()?, &name).ok()??;
    // Opening a FIFO would wait for its other end.
    let size = path.metadata().ok().filter(Metadata::is_file)?.len();
    let mut trailer = [0; 32];
    let end = size.checked_sub(TRAILER_BYTES)?;
    File::open(path)
        .ok()?
        .read_exact_at(&mut trailer, end)
        .ok()?;
    let same =
        (size, Digest::from_bytes(trailer)) == (manifest.size_bytes, manifest.content_sha256);
    same.then_some(manifest)
}

/// What is on record beside a snapshot.
pub(super) fn recorded(snapshot: &AbsPath) -> PortResult<Option<RecordedRevisions>> {
    let beside = Path::new(snapshot.as_str()).parent();
    let recorded = recorded_revision(beside.unwrap_or(Path::new("/"))).map_err(|error| {
        AdapterError::new(
            error.code(),
            Certainty::Refused,
            format!("how far the cluster had come cannot be read beside {snapshot}"),
        )
        .hint("mend the file, or move it away to plan without a record")
        .caused_by(error)
    })?;
    Ok(recorded.and_then(|recorded| {
        let of = |seen: Seen| RecordedRevision {
            revision: seen.revision,
            at: seen.at,
        };
        let cluster = manifest(snapshot).map(|manifest| manifest.cluster.id);
        Some(RecordedRevisions {
            highest: of(recorded.highest()?),
            own: cluster.and_then(|id| recorded.of(id)).map(of),
        })
    }))
}
