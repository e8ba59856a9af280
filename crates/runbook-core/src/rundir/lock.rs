//! One process per state directory, and per cluster.

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _};
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::files::{fill, open_private};
use super::{Result, StateError};
use crate::journal::Actor;
use crate::names::ClusterLabel;
use crate::world::BootId;

/// A cluster, held for one process.
#[derive(Debug)]
pub struct ClusterLock {
    pub(super) cluster: ClusterLabel,
    pub(super) _files: [File; 2],
}

/// Whoever holds a cluster; what it says of itself may be missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder(pub Option<LockNote>);

/// What stands in a lock file: whose it is, or was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockNote {
    /// Who.
    #[serde(flatten)]
    pub by: Actor,
    /// The boot of the host: with another one, the process is gone. Absent in notes of older builds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_id: Option<BootId>,
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<jiff::Timestamp>,
}

impl LockNote {
    fn of(by: &Actor) -> Self {
        let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok();
        Self {
            by: by.clone(),
            boot_id: boot_id.map(|id| BootId(id.trim().to_owned())),
            since: jiff::Timestamp::now().round(jiff::Unit::Second).ok(),
        }
    }
}

impl fmt::Display for LockNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.by.fmt(f)?;
        match self.since {
            Some(since) => write!(f, ", since {since}"),
            None => Ok(()),
        }
    }
}

/// How often a lock is tried for: whoever only looks holds it for a moment.
const LOCK_TRIES: u32 = 5;

/// Opens a lock file, takes it, and writes down whose it is, for other hosts to read as well.
pub(super) fn held_by(path: &Path, cluster: &ClusterLabel, by: &Actor) -> Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let mut file = open_private(path, &mut options)?;
    take(&mut file, cluster, path, by)?;
    let holder = serde_json::to_vec(&LockNote::of(by))
        .map_err(|e| StateError::io(path, "written")(e.into()))?;
    let written = file
        .set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| fill(&mut file, &holder));
    written.map_err(StateError::io(path, "written"))?;
    Ok(file)
}

fn take(file: &mut File, cluster: &ClusterLabel, path: &Path, by: &Actor) -> Result<()> {
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
    let holder = read_note(file);
    Err(StateError::Locked {
        cluster: cluster.clone(),
        elsewhere: holder.as_ref().is_some_and(|note| note.by.host != by.host),
        holder: holder.map(Box::new),
    })
}

pub(super) fn read_note(file: &mut File) -> Option<LockNote> {
    let mut text = Vec::new();
    file.take(4096).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}
