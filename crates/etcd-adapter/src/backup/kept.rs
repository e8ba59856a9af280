//! The backups in a directory, as their manifests tell.

use std::fs;
use std::io;
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
    pub orphans: Vec<(BackupName, Manifest)>,
    /// Manifests that refuse, of whatever label.
    pub refused: Vec<DocumentError>,
}

/// One line of a retention.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// The backup; or a manifest, `….json`, whose backup is gone.
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
    /// Whether it says that it was taken later than now.
    pub fn is_ahead(&self, now: Timestamp) -> bool {
        self.manifest.taken > now
    }

    fn candidate(&self, now: Timestamp) -> Candidate {
        Candidate {
            taken: self.manifest.taken,
            proven: self.present && self.manifest.is_trusted(),
            ahead: self.is_ahead(now),
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
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    shelf.orphans.push((name, manifest));
                }
                // Whether it is there nobody can tell.
                Err(source) => shelf.refused.push(DocumentError::Io {
                    path: dir.join(name.as_str()),
                    source,
                }),
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

impl Shelf {
    /// The backup that a new one is compared with: the newest trusted one. One from a time to come is
    /// only taken where there is no other, or it would be the newest for years.
    pub fn before(&self, now: Timestamp) -> Option<&Kept> {
        let trusted = || {
            self.backups
                .iter()
                .filter(|kept| kept.manifest.is_trusted())
        };
        trusted()
            .find(|kept| !kept.is_ahead(now))
            .or_else(|| trusted().next())
    }
}

/// What a policy means for a directory; with `prune` it is done. `fresh`, the backup just taken, stays
/// whatever the others say of themselves. Files without our manifest are not touched.
pub(super) fn retain(
    place: &Place,
    label: &ClusterLabel,
    policy: Policy,
    prune: bool,
    (fresh, now): (Option<&BackupName>, Timestamp),
) -> Result<Vec<Line>, BackupError> {
    let mut shelf = shelf(place.dir(), label)?;
    // The oldest first, as `fates` has it of one moment.
    shelf.backups.reverse();
    let candidates: Vec<_> = shelf
        .backups
        .iter()
        .map(|kept| kept.candidate(now))
        .collect();
    let fates = policy.fates(&candidates);
    let mut lines = Vec::new();
    for ((kept, candidate), mut fate) in shelf.backups.iter().zip(candidates).zip(fates).rev() {
        if fate == Fate::Dropped && fresh == Some(&kept.name) {
            fate = Fate::Newest;
        }
        if prune && fate == Fate::Dropped {
            place.forget(&kept.name)?;
        }
        lines.push(Line {
            file: kept.name.to_string(),
            taken: kept.manifest.taken,
            size_bytes: kept.manifest.size_bytes,
            fate,
            doubtful: !candidate.proven,
        });
    }
    for (name, manifest) in &shelf.orphans {
        let path = place.dir().join(name.manifest());
        let size_bytes = fs::symlink_metadata(&path).map_or(0, |about| about.len());
        if prune {
            place.forget(name)?;
        }
        lines.push(Line {
            file: name.manifest(),
            taken: manifest.taken,
            size_bytes,
            fate: Fate::Dropped,
            doubtful: true,
        });
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
        let now = "2026-02-01T00:00:00Z".parse().unwrap();
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
        let shown = retain(&place, &label, policy, false, (None, now)).unwrap();
        let fates: Vec<_> = shown
            .iter()
            .map(|line| (line.fate, line.doubtful))
            .collect();
        let expected = [
            (Fate::Last, true),
            (Fate::Dropped, true),
            (Fate::Last, false),
            (Fate::Dropped, false),
            // A manifest without its backup goes, and is named.
            (Fate::Dropped, true),
        ];
        assert_eq!(shown[4].file, format!("{}.json", names[6]));
        assert_eq!(fates, expected);
        assert_eq!(shelf(dir.path(), &label).unwrap().backups, found.backups);

        assert_eq!(
            retain(&place, &label, policy, true, (None, now)).unwrap(),
            shown
        );
        let mut left = place.names().unwrap();
        left.retain(|name| !name.starts_with('.'));
        let mut expected = vec!["etcd-node001-20220321135652".to_owned()];
        for name in [&names[1], &names[3], &names[4], &names[5]] {
            expected.extend([name.clone(), format!("{name}.json")]);
        }
        expected.sort();
        assert_eq!(left, expected);
    }

    /// A clock jumped ahead while one backup was taken, or is behind now.
    #[test]
    fn the_backup_just_taken_stays_whatever_the_clock_says() {
        let dir = tempfile::tempdir().unwrap();
        let label = ClusterLabel::new("a").unwrap();
        let policy = Policy {
            last: 1,
            ..Policy::default()
        };
        let names: Vec<_> = (1..4)
            .map(|day| format!("etcd-a-2026010{day}T000000Z.db"))
            .collect();
        for name in &names {
            put(dir.path(), name, |_| ());
        }
        put(dir.path(), &names[0], |m| {
            m.taken = "2030-01-01T00:00:00Z".parse().unwrap();
        });
        let place = Place::open(dir.path(), &sample(&names[0], "2026-01-01T00:00:00Z").by).unwrap();
        // The newest by a sound clock stays beside the one from a time to come.
        let now = "2026-01-03T00:00:00Z".parse().unwrap();
        let found = shelf(dir.path(), &label).unwrap();
        assert_eq!(found.before(now).unwrap().name.as_str(), names[2]);
        let shown = retain(&place, &label, policy, false, (None, now)).unwrap();
        let fates: Vec<_> = shown.iter().map(|line| (&*line.file, line.fate)).collect();
        let expected = [
            (&*names[0], Fate::Last),
            (&names[2], Fate::Last),
            (&names[1], Fate::Dropped),
        ];
        assert_eq!(fates, expected);
        // And the one just taken stays by its name, even if the policy knew nothing of it.
        let fresh = BackupName::parse(&names[1]).unwrap();
        let now = "2031-01-01T00:00:00Z".parse().unwrap();
        let pruned = retain(&place, &label, policy, true, (Some(&fresh), now)).unwrap();
        let fates: Vec<_> = pruned.iter().map(|line| (&*line.file, line.fate)).collect();
        let expected = [
            (&*names[0], Fate::Last),
            (&names[2], Fate::Dropped),
            (&names[1], Fate::Newest),
        ];
        assert_eq!(fates, expected);
        let left = shelf(dir.path(), &label).unwrap().backups;
        let left: Vec<_> = left.iter().map(|kept| kept.name.as_str()).collect();
        assert_eq!(left, [&names[0], &names[1]]);
    }
}
