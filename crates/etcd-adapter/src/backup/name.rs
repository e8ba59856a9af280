//! What the files of a backup are called.

use std::fmt;

use jiff::Timestamp;
use runbook_core::names::ClusterLabel;

/// Backups of one cluster in one second, at most.
const MOST_IN_A_SECOND: u32 = 99;

/// The name of a backup: `etcd-default-20260131T235959Z.db`, the moment in UTC, a number behind it for
/// the second and later ones of a second.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackupName(String);

impl BackupName {
    /// The names a backup of this moment may have, the plain one first.
    pub(super) fn candidates(
        label: &ClusterLabel,
        at: Timestamp,
    ) -> impl Iterator<Item = Self> + use<> {
        let stem = format!("etcd-{label}-{}", at.strftime("%Y%m%dT%H%M%SZ"));
        (1..=MOST_IN_A_SECOND).map(move |nth| match nth {
            1 => Self(format!("{stem}.db")),
            nth => Self(format!("{stem}-{nth}.db")),
        })
    }

    /// The name that a file has, if it is one of a backup.
    pub fn parse(name: &str) -> Option<Self> {
        let stem = name.strip_suffix(".db")?.strip_prefix("etcd-")?;
        let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        let (label, last) = stem.rsplit_once('-')?;
        let (label, moment) = if !last.is_empty() && last.len() < 3 && digits(last) {
            label.rsplit_once('-')?
        } else {
            (label, last)
        };
        let (day, time) = moment.strip_suffix('Z')?.split_once('T')?;
        let right = (day.len(), time.len()) == (8, 6) && digits(day) && digits(time);
        (right && ClusterLabel::new(label).is_ok()).then(|| Self(name.to_owned()))
    }

    /// The name that a manifest describes, by the manifest's own.
    pub(super) fn of_manifest(name: &str) -> Option<Self> {
        Self::parse(name.strip_suffix(".json")?)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The manifest beside it.
    pub fn manifest(&self) -> String {
        format!("{self}.json")
    }

    /// What it is called until it is proven.
    pub(super) fn part(&self) -> String {
        format!("{self}.part")
    }
}

impl fmt::Display for BackupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_from_other_files() {
        let at = "2026-01-31T23:59:59.9Z".parse().unwrap();
        for label in ["default", "kube-1", "a-20260101T000000Z"] {
            let label = ClusterLabel::new(label).unwrap();
            let names: Vec<_> = BackupName::candidates(&label, at).take(3).collect();
            assert_eq!(
                names[0].as_str(),
                format!("etcd-{label}-20260131T235959Z.db")
            );
            assert_eq!(
                names[2].as_str(),
                format!("etcd-{label}-20260131T235959Z-3.db")
            );
            for name in names {
                assert_eq!(BackupName::parse(name.as_str()).as_ref(), Some(&name));
                assert_eq!(BackupName::of_manifest(&name.manifest()), Some(name));
            }
        }
        for other in [
            "etcd-node001-20220321135652",
            "etcd-default.db",
            "etcd--20260131T235959Z.db",
            "etcd-a-20260131T235959.db",
            "etcd-a-2026013T1235959Z.db",
            "etcd-a/b-20260131T235959Z.db",
            "etcd-a-20260131T235959Z-.db",
            "etcd-a-20260131T235959Z.db.part",
            "snapshot.db",
        ] {
            assert_eq!(BackupName::parse(other), None, "{other}");
        }
    }
}
