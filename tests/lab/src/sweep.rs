//! Finding labs, and removing what dead ones left.

use std::fs;
use std::path::{Path, PathBuf};

use crate::cgroup::{self, Group};
use crate::error::Result;
use crate::layout::{Layout, PREFIX};
use crate::supervisor;

/// A lab that was found on this machine.
#[derive(Debug, Clone)]
pub struct Found {
    /// Where it is.
    pub layout: Layout,
    /// Whether its supervisor lives.
    pub alive: bool,
}

/// All labs of this machine whose directory is in `base`, or whose processes are anywhere.
///
/// # Errors
/// When the control groups cannot be read.
pub fn find(base: &Path) -> Result<Vec<Found>> {
    let groups = cgroup::all_labs(PREFIX)?;
    let mut ids: Vec<_> = groups.iter().map(Group::name).collect();
    let entries = fs::read_dir(base).into_iter().flatten().flatten();
    ids.extend(
        entries
            .map(|e| e.file_name().to_string_lossy().into_owned())
            .filter(|n| n.starts_with(PREFIX)),
    );
    ids.sort();
    ids.dedup();
    ids.into_iter().map(|id| found(base, &id)).collect()
}

fn found(base: &Path, id: &str) -> Result<Found> {
    Ok(Found {
        layout: Layout::new(base.join(id)),
        alive: alive(id)?,
    })
}

/// Whether the supervisor of a lab lives.
pub(crate) fn alive(id: &str) -> Result<bool> {
    Ok(Group::of_lab(id)?.child(cgroup::SUPERVISOR).populated())
}

/// Removes everything that dead labs left; returns their directories.
///
/// # Errors
/// When something cannot be removed.
pub fn sweep(base: &Path) -> Result<Vec<PathBuf>> {
    let dead = find(base)?.into_iter().filter(|lab| !lab.alive);
    dead.map(|lab| supervisor::bury(&lab.layout).map(|()| lab.layout.dir().to_owned()))
        .collect()
}
