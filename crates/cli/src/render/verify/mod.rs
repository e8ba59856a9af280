//! What `verify` found, for people and for programs.

mod json;
mod page;
mod table;

use std::path::Path;

use jiff::Timestamp;

use super::{age, thousands};
use crate::exit::Exit;
use crate::ui::{WARN, clean_line, paint};
use crate::verdict::{Folder, Judged, worst};

/// Everything that one call of `verify` found.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) quota_bytes: u64,
    pub(crate) now: Timestamp,
    pub(crate) files: Vec<Judged>,
    pub(crate) folders: Vec<Folder>,
}

impl Report {
    /// How `verify` ends.
    pub(crate) fn exit(&self) -> Exit {
        let files = self.files.iter().map(Judged::exit);
        let folders = self.folders.iter().map(Folder::exit);
        worst(files.chain(folders)).unwrap_or(Exit::Usage)
    }

    /// A page for one file, a table for several and for each directory.
    pub(crate) fn text(&self) -> String {
        let mut text = match self.files.as_slice() {
            [] => String::new(),
            [file] if self.folders.is_empty() => self.page(file),
            files => self.table(files, |file| shown(&file.path)),
        };
        for folder in &self.folders {
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(&self.folder(folder));
        }
        text
    }
}

/// A path that may come from anybody, on one line.
pub(crate) fn shown(path: &Path) -> String {
    clean_line(&path.display().to_string())
}

/// How old a file is, by its own time.
fn age_of(file: &Judged, now: Timestamp) -> String {
    match file.age_s(now) {
        None => "-".into(),
        Some(seconds) if seconds < 0 => "from the future".into(),
        Some(seconds) => age(seconds.unsigned_abs()),
    }
}

/// What a sound file would do to whoever restores it all the same.
fn warnings(file: &Judged, quota_bytes: u64, now: Timestamp) -> Vec<String> {
    let mut warnings = Vec::new();
    if file.age_s(now).is_some_and(|age| age < 0) {
        warnings.push(
            "its time lies in the future: do not trust its age, and look at the clocks".into(),
        );
    }
    let Some(proof) = file.content() else {
        return warnings;
    };
    let meaning = &proof.meaning;
    if proof.database_bytes >= quota_bytes {
        warnings.push(format!(
            "the database is as large as the members' quota of {} bytes: etcd would raise NOSPACE and refuse writes; raise --quota-backend-bytes before the restore, or say the real one with --quota",
            thousands(quota_bytes)
        ));
    }
    if !meaning.alarms.is_empty() {
        warnings.push("alarms are kept in the file, and a restore carries them over: see `etcdctl alarm list` and `alarm disarm` afterwards".into());
    }
    if meaning.members.iter().any(|member| member.learner) {
        warnings.push("a learner is among the members; a restore would make it a voter".into());
    }
    if meaning.auth_enabled {
        warnings.push("authentication is on, and will be after a restore: have the password of root, or a certificate of a user with the role root".into());
    }
    if !meaning.unknown_buckets.is_empty() && file.starts_empty().is_none() {
        warnings.push(format!(
            "the file also has buckets that etcd does not look into: {}",
            clean_line(&meaning.unknown_buckets.join(", "))
        ));
    }
    warnings
}

/// What a person can do about a file that is not good.
fn ways_out(file: &Judged) -> Vec<String> {
    let Err(error) = &file.verdict else {
        return Vec::new();
    };
    let mut ways = vec![error.hint().to_owned()];
    if file.exit() == Exit::Copied {
        ways.push(
            "where a member still answers, take a new one: `etcdctl snapshot save FILE`".into(),
        );
        ways.push(
            "`plan` and `run` refuse this file without a reason in words: `allow: {no_trailer: …}`"
                .into(),
        );
    }
    ways
}

/// Lines that nobody must overlook.
fn loud(file: &Judged) -> Vec<String> {
    let Some(emptiness) = file.starts_empty() else {
        return Vec::new();
    };
    vec![
        clean_line(&emptiness.to_string()),
        "Kubernetes would take that as the desired state and END EVERY WORKLOAD.".into(),
        "`plan` and `run` refuse it without a reason in words: `allow: {empty_snapshot: …}`."
            .into(),
    ]
}

/// The loud lines of a file, as they stand in a text.
fn alarm(file: &Judged) -> String {
    loud(file)
        .iter()
        .map(|line| format!("  {}\n", paint(WARN, format!("!! {line}"))))
        .collect::<Vec<_>>()
        .concat()
}

#[cfg(test)]
mod tests;
