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
    /// Whether one would think twice before restoring from it.
    pub doubtful: bool,
}

impl Kept {
    fn candidate(&self) -> Candidate {
        Candidate {
            taken: self.manifest.taken,
            proven: self.present && self.manifest.is_trusted(),
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
            doubtful: !kept.candidate().proven,
        });
    }
    if prune {
        for orphan in &shelf.orphans {
            place.forget(orphan)?;
        }
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::super::manifest::tests::sample;
    use super::*;

    fn put(dir: &Path, name: &str, change: impl FnOnce(&mut Manifest)) {
        let day = &name["etcd-a-202601".len()..][..2];
        let mut manifest = sample(name, &format!("2026-01-{day}T00:00:00Z"));
        manifest.size_bytes = 4;
        change(&mut manifest);
        fs::write(dir.join(name), "etcd").unwrap();
        fs::write(
            dir.join(format!("{name}.json")),
            manifest.to_bytes().unwrap(),
        )
        .unwrap();
    }

    #[test]
    fn only_what_has_our_manifest_is_ever_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let label = ClusterLabel::new("a").unwrap();
        let names: Vec<_> = (1..8)
            .map(|day| format!("etcd-a-2026010{day}T000000Z.db"))
            .collect();
        put(dir.path(), &names[0], |_| ());
        put(dir.path(), &names[1], |_| ());
        put(dir.path(), &names[2], |m| {
            m.content.empty = Some("empty".into());
        });
        put(dir.path(), &names[3], |m| m.size_bytes = 5);
        put(dir.path(), &names[4], |m| {
            m.cluster.label = ClusterLabel::new("b").unwrap();
        });
        put(dir.path(), &names[5], |_| ());
        fs::write(dir.path().join(format!("{}.json", names[5])), "{}").unwrap();
        put(dir.path(), &names[6], |_| ());
        fs::remove_file(dir.path().join(&names[6])).unwrap();
        fs::write(dir.path().join("etcd-node001-20220321135652"), "foreign").unwrap();

        let found = shelf(dir.path(), &label).unwrap();
        assert_eq!(found.backups.len(), 4);
        assert_eq!((found.orphans.len(), found.refused.len()), (1, 1));
        let place = Place::open(dir.path(), &sample(&names[0], "2026-01-01T00:00:00Z").by).unwrap();
        let policy = Policy {
            last: 1,
            ..Policy::default()
        };
        let shown = retain(&place, &label, policy, false).unwrap();
        let fates: Vec<_> = shown
            .iter()
            .map(|line| (line.fate, line.doubtful))
            .collect();
        let expected = [
            (Fate::Last, true),
            (Fate::Dropped, true),
            (Fate::Last, false),
            (Fate::Dropped, false),
        ];
        assert_eq!(fates, expected);
        assert_eq!(shelf(dir.path(), &label).unwrap().backups, found.backups);

        assert_eq!(retain(&place, &label, policy, true).unwrap(), shown);
        let mut left = place.names().unwrap();
        left.retain(|name| !name.starts_with('.'));
        let mut expected = vec!["etcd-node001-20220321135652".to_owned()];
        for name in [&names[1], &names[3], &names[4], &names[5]] {
            expected.extend([name.clone(), format!("{name}.json")]);
        }
        expected.sort();
        assert_eq!(left, expected);
    }
}
