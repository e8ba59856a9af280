//! The backups in a directory, as their manifests tell.

use std::fs;
use std::path::Path;

use jiff::Timestamp;
use runbook_core::names::ClusterLabel;
use serde::Serialize;

use super::document::DocumentError;
use super::error::BackupError;
use super::manifest::Manifest;
use super::name::BackupName;
use super::place::{self, Place};
use super::retention::{Candidate, Fate, Policy};

/// A backup with its manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its name.
    pub name: BackupName,
    /// What is known of it.
    pub manifest: Manifest,
    /// Whether a regular file of the manifest's size is there. Its content is not read again.
    pub present: bool,
}

/// What a directory holds.
#[derive(Debug, Default)]
pub struct Shelf {
    /// Backups of the label asked for, the newest first.
    pub backups: Vec<Kept>,
    /// Manifests whose backup is gone.
    pub orphans: Vec<BackupName>,
    /// Manifests that refuse, of whatever label.
    pub refused: Vec<DocumentError>,
}

/// One line of a retention.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// The backup.
    pub file: String,
    /// When it was taken.
    pub taken: Timestamp,
    /// Its bytes.
    pub size_bytes: u64,
    /// What becomes of it.
    pub fate: Fate,
}

impl Kept {
    fn candidate(&self) -> Candidate {
        Candidate {
            taken: self.manifest.taken,
            proven: self.present && self.manifest.content.empty.is_none(),
        }
    }
}

/// Looks at the backups of a label; nothing is locked, changed, or read but manifests.
///
/// # Errors
/// When the directory cannot be read.
pub fn shelf(dir: &Path, label: &ClusterLabel) -> Result<Shelf, BackupError> {
    let mut shelf = Shelf::default();
    for name in place::names(dir)? {
        let Some(name) = BackupName::of_manifest(&name) else {
            continue;
        };
        let about = fs::symlink_metadata(dir.join(name.as_str()));
        match Manifest::read(dir, &name) {
            Ok(Some(manifest)) if manifest.cluster.label == *label => match about {
                Ok(about) => shelf.backups.push(Kept {
                    name,
                    present: about.is_file() && about.len() == manifest.size_bytes,
                    manifest,
                }),
                Err(_) => shelf.orphans.push(name),
            },
            Ok(_) => {}
            Err(error) => shelf.refused.push(error),
        }
    }
    // Of one second the higher number is the later one, and the longer name.
    let age = |kept: &Kept| {
        (
            kept.manifest.taken,
            kept.name.as_str().len(),
            kept.name.clone(),
        )
    };
    shelf
        .backups
        .sort_by_key(|kept| std::cmp::Reverse(age(kept)));
    Ok(shelf)
}

/// What a policy means for a directory; with `prune` it is done. Files without our manifest are not
/// touched.
pub(super) fn retain(
    place: &Place,
    label: &ClusterLabel,
    policy: Policy,
    prune: bool,
) -> Result<Vec<Line>, BackupError> {
    let mut shelf = shelf(place.dir(), label)?;
    // The oldest first, as `fates` has it of one moment.
    shelf.backups.reverse();
    let candidates: Vec<_> = shelf.backups.iter().map(Kept::candidate).collect();
    let fates = policy.fates(&candidates);
    let mut lines = Vec::new();
    for (kept, fate) in shelf.backups.iter().zip(fates).rev() {
        if prune && fate == Fate::Dropped {
            place.forget(&kept.name)?;
        }
        lines.push(Line {
            file: kept.name.to_string(),
            taken: kept.manifest.taken,
            size_bytes: kept.manifest.size_bytes,
            fate,
        });
    }
    if prune {
        for orphan in &shelf.orphans {
            place.forget(orphan)?;
        }
    }
    Ok(lines)
}
