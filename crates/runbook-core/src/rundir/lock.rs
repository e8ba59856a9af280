//! One process per state directory, and per cluster.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;
use std::time::Duration;

use super::files::open_private;
use super::{Result, StateError};
use crate::journal::Actor;
use crate::names::ClusterLabel;

/// A cluster, held for one process.
#[derive(Debug)]
pub struct ClusterLock {
    pub(super) cluster: ClusterLabel,
    pub(super) _files: [File; 2],
}

/// Whoever holds a cluster; what it says of itself may be missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder(pub Option<Actor>);

/// How often a lock is tried for: whoever only looks holds it for a moment.
const LOCK_TRIES: u32 = 5;

/// Opens a lock file, takes it, and writes down whose it is.
pub(super) fn held_by(path: &Path, cluster: &ClusterLabel, by: &Actor) -> Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let mut file = open_private(path, &mut options)?;
    take(&mut file, cluster, path)?;
    let holder = serde_json::to_vec(by).map_err(|e| StateError::io(path, "written")(e.into()))?;
    let written = file
        .set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| file.write_all(&holder));
    written.map_err(StateError::io(path, "written"))?;
    Ok(file)
}

fn take(file: &mut File, cluster: &ClusterLabel, path: &Path) -> Result<()> {
    for left in (0..LOCK_TRIES).rev() {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if left > 0 => {
                std::thread::sleep(Duration::from_millis(40));
            }
            Err(TryLockError::WouldBlock) => break,
            Err(TryLockError::Error(error)) => return Err(StateError::io(path, "locked")(error)),
        }
    }
    Err(StateError::Locked {
        cluster: cluster.clone(),
        holder: read_actor(file).map(Box::new),
    })
}

pub(super) fn read_actor(file: &mut File) -> Option<Actor> {
    let mut text = Vec::new();
    file.take(4096).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}
