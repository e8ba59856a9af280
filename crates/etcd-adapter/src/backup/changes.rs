//! What is different from the trusted backup before, and when that is suspicious.
//!
//! A backup is suspicious when, against the newest trusted one of the same label,
//!
//! - fewer than half of the keys are left, or of Kubernetes' keys;
//! - a kind of object of which there were ten or more has none;
//! - the file has less than half of the bytes, though no fewer keys (a defragmentation does that, too);
//! - the cluster is the same, and its revision is lower.
//!
//! Each is what a mass deletion, an emptied store or an undone write looks like. The backup is kept, but it
//! is not trusted: the next one is held against the same older one again, and retention counts it apart,
//! so that it pushes nothing out. That ends when the content is back, or when a person accepts the change
//! ([`Wanted::accept`](super::Wanted::accept)).

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

#[cfg(test)]
mod tests {
    use super::super::manifest::tests::sample;
    use super::*;

    fn suspicious(change: impl FnOnce(&mut Manifest)) -> Vec<Suspicion> {
        let before = sample("etcd-a-20260101T000000Z.db", "2026-01-01T00:00:00Z");
        let mut now = before.clone();
        change(&mut now);
        Changes::between(&before, &now).suspicious
    }

    #[test]
    fn each_rule_holds_and_no_more() {
        assert_eq!(suspicious(|_| ()), []);
        assert_eq!(suspicious(|now| now.content.live_keys = 50), []);
        assert_eq!(
            suspicious(|now| now.content.live_keys = 49),
            [Suspicion::FewerKeys]
        );
        assert_eq!(suspicious(|now| now.content.registry_keys = 45), []);
        assert_eq!(
            suspicious(|now| now.content.registry_keys = 0),
            [Suspicion::FewerRegistryKeys]
        );
        let gone = |now: &mut Manifest| {
            now.content.kinds.remove("secrets");
        };
        assert_eq!(
            suspicious(gone),
            [Suspicion::KindGone("secrets".into(), 10)]
        );
        assert_eq!(suspicious(|now| now.size_bytes = 500), []);
        assert_eq!(
            suspicious(|now| now.size_bytes = 499),
            [Suspicion::SmallerFile]
        );
        let compacted = |now: &mut Manifest| {
            now.size_bytes = 499;
            now.content.live_keys = 99;
        };
        assert_eq!(suspicious(compacted), []);
        assert_eq!(
            suspicious(|now| now.content.revision = 499),
            [Suspicion::RevisionBack]
        );
        let restored = |now: &mut Manifest| {
            now.content.revision = 1;
            now.cluster.id.0 = 1;
        };
        assert_eq!(suspicious(restored), []);
    }

    #[test]
    fn few_of_a_kind_may_go() {
        let mut before = sample("etcd-a-20260101T000000Z.db", "2026-01-01T00:00:00Z");
        before.content.kinds.insert("jobs".into(), 9);
        let mut now = before.clone();
        now.content.kinds.remove("jobs");
        assert_eq!(Changes::between(&before, &now).suspicious, []);
    }
}
