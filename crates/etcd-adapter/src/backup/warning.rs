//! What does not stop a backup, and a person should look at.

use std::path::Path;

use jiff::Timestamp;
use serde::Serialize;

use super::changes::Changes;
use super::document::DocumentError;
use super::error::{Attempt, BackupError};
use super::kept::Shelf;
use super::manifest::Manifest;
use super::place::{Place, Published};
use super::revision::Recorded;
use super::survey::Survey;

/// What etcd's quota is when nobody set it (`storage.DefaultQuotaBytes`).
const DEFAULT_QUOTA_BYTES: u64 = 2 << 30;

/// Something to look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// A stable code, like an error's.
    pub code: &'static str,
    /// What it is.
    pub text: String,
}

impl Warning {
    fn new(code: &'static str, text: impl Into<String>) -> Self {
        Self {
            code,
            text: text.into(),
        }
    }

    /// What the members say before a backup.
    pub(super) fn before(survey: &Survey, quota: Option<u64>) -> Vec<Self> {
        let mut found = Vec::new();
        for seen in &survey.members {
            if let Some(why) = seen.unfit() {
                let text = format!("{} is not asked for a backup: {why}", seen.url);
                found.push(Self::new("member-unfit", text));
            }
            let Ok(vitals) = &seen.vitals else { continue };
            let told = vitals.quota_bytes.or(quota);
            let quota = told.unwrap_or(DEFAULT_QUOTA_BYTES);
            if vitals.database_bytes >= quota / 5 * 4 {
                let (url, bytes) = (&seen.url, vitals.database_bytes);
                let whose = if told.is_some() {
                    "its quota"
                } else {
                    "etcd's default quota (it does not tell its own)"
                };
                let text = format!("the database of {url} has {bytes} bytes, {whose} is {quota}");
                found.push(Self::new("quota-near", text));
            }
        }
        let alarms = survey.alarms();
        found.extend(alarms.into_iter().map(|alarm| {
            let text = format!("{alarm}; a restore would carry it over");
            Self::new("alarm-raised", text)
        }));
        found
    }

    /// What the backup itself says.
    pub(super) fn after(
        manifest: &Manifest,
        changes: Option<&Changes>,
        recorded: &Recorded,
    ) -> Vec<Self> {
        let content = &manifest.content;
        let mut found = Vec::new();
        if let Some(why) = &content.empty {
            let text = format!("the backup is sound, but {why}");
            found.push(Self::new("backup-empty", text));
        }
        let contradiction = content.contradiction();
        found.extend(contradiction.map(|why| Self::new("backup-hash-differs", why)));
        let seen = recorded.of(manifest.cluster.id);
        if let Some(seen) = seen.filter(|seen| seen.revision > content.revision) {
            let text = format!(
                "the backup has revision {}, the cluster had {} at {}",
                content.revision, seen.revision, seen.at
            );
            found.push(Self::new("backup-behind", text));
        }
        let Some(changes) = changes else { return found };
        if !changes.same_cluster {
            let text = format!(
                "{} is of a cluster with another id: was it restored since?",
                changes.since
            );
            found.push(Self::new("cluster-changed", text));
        }
        found.extend(changes.suspicious.iter().map(|why| {
            Self::new(
                "backup-suspicious",
                format!("since {}: {why}", changes.since),
            )
        }));
        found
    }

    /// What the backups that are there say of the clock.
    pub(super) fn clock(shelf: &Shelf, now: Timestamp) -> Option<Self> {
        let ahead = || shelf.backups.iter().filter(|kept| kept.is_ahead(now));
        ahead().next().map(|newest| {
            let others = match ahead().count() - 1 {
                0 => String::new(),
                more => format!(", and {more} more"),
            };
            let text = format!(
                "it is {now:.0}, and {} says that it was taken later{others}: a clock was or is wrong; retention counts such backups apart",
                newest.name
            );
            Self::new("backup-clock", text)
        })
    }

    pub(super) fn place(place: &Place) -> Option<Self> {
        place.open_to_others().then(|| {
            let text = format!(
                "others than its owner can put files into {}",
                place.dir().display()
            );
            Self::new("backup-open-directory", text)
        })
    }

    pub(super) fn attempt(attempt: &Attempt) -> Self {
        Self::new("backup-retried", format!("nothing came of {attempt}"))
    }

    pub(super) fn record(error: &DocumentError) -> Self {
        Self::new(error.code(), chain(error))
    }

    pub(super) fn unsynced(published: &Published) -> Option<Self> {
        published.unsynced.as_ref().map(|error| {
            let (path, why) = (published.path.display(), chain(error));
            let text = format!("{path} is there, but a power cut may take its name away: {why}");
            Self::new("backup-unsynced", text)
        })
    }

    pub(super) fn unrecorded(dir: &Path, error: &BackupError) -> Self {
        let text = format!(
            "the revision is not recorded in {}: {}",
            dir.display(),
            chain(error)
        );
        Self::new("revision-unrecorded", text)
    }
}

/// An error with its causes on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line.push_str(": ");
        line.push_str(&error.to_string());
        cause = error.source();
    }
    line
}
