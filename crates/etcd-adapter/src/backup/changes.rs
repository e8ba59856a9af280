//! What is different from the backup before, and when that is suspicious.
//!
//! A backup is suspicious when, against the one before of the same label,
//!
//! - fewer than half of the keys are left, or of Kubernetes' keys;
//! - a kind of object of which there were ten or more has none;
//! - the file has less than half of the bytes, though no fewer keys (a defragmentation does that, too);
//! - the cluster is the same, and its revision is lower.
//!
//! Each is what a mass deletion, an emptied store or an undone write looks like. It is a reason for a
//! person to look, and for older backups to stay until then; the backup itself is kept.

use std::fmt;

use serde::Serialize;

use super::manifest::Manifest;

/// Objects of a kind whose vanishing is worth a word, at least.
const MANY: u64 = 10;

/// The difference between two backups: before and now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Changes {
    /// The file of the one before.
    pub since: String,
    /// Live keys.
    pub live_keys: (u64, u64),
    /// Live keys of Kubernetes.
    pub registry_keys: (u64, u64),
    /// Bytes of the file.
    pub size_bytes: (u64, u64),
    /// Revisions. They compare only in one cluster.
    pub revision: (i64, i64),
    /// Whether both are of the cluster with one id.
    pub same_cluster: bool,
    /// What is suspicious.
    pub suspicious: Vec<Suspicion>,
}

/// Something that a healthy cluster seldom does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Suspicion {
    /// Fewer than half of the keys are left.
    FewerKeys,
    /// Fewer than half of Kubernetes' keys are left.
    FewerRegistryKeys,
    /// No object of this kind is left; so many there were.
    KindGone(String, u64),
    /// The file has less than half of the bytes.
    SmallerFile,
    /// The revision went down.
    RevisionBack,
}

impl Changes {
    /// Compares two backups.
    pub fn between(before: &Manifest, now: &Manifest) -> Self {
        let (old, new) = (&before.content, &now.content);
        let same_cluster = before.cluster.id == now.cluster.id;
        let halved = |old: u64, new: u64| new < old.div_ceil(2);
        let mut suspicious = Vec::new();
        if halved(old.live_keys, new.live_keys) {
            suspicious.push(Suspicion::FewerKeys);
        }
        if halved(old.registry_keys, new.registry_keys) {
            suspicious.push(Suspicion::FewerRegistryKeys);
        }
        let gone = old.kinds.iter().filter(|(kind, count)| {
            **count >= MANY && new.kinds.get(*kind).is_none_or(|count| *count == 0)
        });
        suspicious.extend(gone.map(|(kind, count)| Suspicion::KindGone(kind.clone(), *count)));
        if halved(before.size_bytes, now.size_bytes) && new.live_keys >= old.live_keys {
            suspicious.push(Suspicion::SmallerFile);
        }
        if same_cluster && new.revision < old.revision {
            suspicious.push(Suspicion::RevisionBack);
        }
        Self {
            since: before.file.clone(),
            live_keys: (old.live_keys, new.live_keys),
            registry_keys: (old.registry_keys, new.registry_keys),
            size_bytes: (before.size_bytes, now.size_bytes),
            revision: (old.revision, new.revision),
            same_cluster,
            suspicious,
        }
    }
}

impl fmt::Display for Suspicion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FewerKeys => f.write_str("fewer than half of the keys are left"),
            Self::FewerRegistryKeys => f.write_str("fewer than half of Kubernetes' keys are left"),
            Self::KindGone(kind, count) => write!(f, "none of {count} objects under /registry/{kind} is left"),
            Self::SmallerFile => f.write_str("the file has less than half of the bytes, with no fewer keys; a defragmentation does that, too"),
            Self::RevisionBack => f.write_str("the revision is lower, in the same cluster"),
        }
    }
}
