//! The manifest of a backup: what a person, or a restore, wants to know of it without reading it.
//!
//! It is JSON, private like the backup, and lies beside it as `NAME.json`. Of keys and certificates it
//! holds digests, never contents. Fields may be added under the same major format; a reader passes over
//! what a newer minor format has added.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;
use runbook_core::digest::Digest;
use runbook_core::identity::{ClusterId, MemberId};
use runbook_core::journal::{Actor, Format};
use runbook_core::names::{ClusterLabel, EtcdUrl};
use runbook_core::version::EtcdVersion;
use serde::{Deserialize, Serialize};

use super::companions::Companion;
use super::document::{self, DocumentError};
use super::name::BackupName;
use crate::snapshot::Proof;

/// The format this build writes.
pub const MANIFEST_FORMAT: Format = Format { major: 1, minor: 0 };

/// Bytes of a manifest, at most.
pub const MANIFEST_LIMIT_BYTES: u64 = 1 << 20;

/// What is known of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The manifest's format.
    pub format: Format,
    /// The file's name, without directories.
    pub file: String,
    /// Bytes of the file.
    pub size_bytes: u64,
    /// SHA-256 of the whole file, as `sha256sum` prints it.
    pub sha256: Digest,
    /// SHA-256 of the file without its last 32 bytes, which are this very hash.
    pub content_sha256: Digest,
    /// When the member was asked for it: nothing older is missing.
    pub taken: Timestamp,
    /// Who took it, where and with which tool.
    pub by: Actor,
    /// Where it came from.
    pub cluster: ClusterFacts,
    /// What is in it.
    pub content: Content,
    /// What it is useless without.
    pub companions: Vec<Companion>,
    /// Why it is not trusted: what was suspicious against the trusted one before, and not accepted; and
    /// that the member that sent it contradicts it.
    pub doubts: Vec<String>,
}

/// The cluster a backup came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterFacts {
    /// The label it is filed under.
    pub label: ClusterLabel,
    /// Its id.
    pub id: ClusterId,
    /// The member that sent the backup.
    pub source: MemberId,
    /// Where that member was reached.
    pub endpoint: EtcdUrl,
    /// The release of that member's etcd.
    pub etcd: EtcdVersion,
    /// The quota in bytes, where it is known.
    pub quota_bytes: Option<u64>,
    /// Bytes of that member's database file, free pages included.
    pub database_bytes: u64,
    /// The members, as the backup itself has them.
    pub members: Vec<MemberFacts>,
}

/// A member of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberFacts {
    /// Its id.
    pub id: MemberId,
    /// Its name; empty until it has started once.
    pub name: String,
    /// Where its peers reach it.
    pub peer_urls: Vec<String>,
    /// Where clients reach it.
    pub client_urls: Vec<String>,
    /// Whether it has no vote.
    pub learner: bool,
}

/// What a proof found in the backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// The revision.
    pub revision: i64,
    /// Up to where history is gone; none when it never was compacted.
    pub compact_revision: Option<i64>,
    /// The hash that `snapshot status` shows, in hexadecimal as it does.
    pub status_hash: String,
    /// The number of keys that `snapshot status` of etcd 3.4 and 3.5 shows.
    pub total_key: u64,
    /// What `endpoint hashkv` gives at this revision, computed from the backup.
    pub hash_kv: u32,
    /// What the member that sent it gives; none when it could not tell.
    pub member_hash_kv: Option<u32>,
    /// Keys that a client would find.
    pub live_keys: u64,
    /// Those of Kubernetes, under `/registry/`.
    pub registry_keys: u64,
    /// The same by kind of object.
    pub kinds: BTreeMap<String, u64>,
    /// Leases granted.
    pub leases: u64,
    /// Whether clients need a password, as they will after a restore.
    pub auth_enabled: bool,
    /// Alarms in force, which a restore carries over.
    pub alarms: Vec<String>,
    /// The version the cluster had agreed on.
    pub cluster_version: Option<String>,
    /// The version of the file's schema, from etcd 3.6 on.
    pub storage_version: Option<String>,
    /// Raft index of the last entry applied.
    pub consistent_index: u64,
    /// Bytes of the database in the file.
    pub database_bytes: u64,
    /// Why etcd, or Kubernetes on it, would start empty from it; none when it would not.
    pub empty: Option<String>,
}

impl Content {
    /// What a proof found.
    pub(super) fn of(proof: &Proof, member_hash_kv: Option<u32>) -> Self {
        let meaning = &proof.meaning;
        Self {
            revision: meaning.revision,
            compact_revision: meaning.compact_revision,
            status_hash: format!("{:x}", proof.status_hash),
            total_key: proof.total_key,
            hash_kv: meaning.hash_kv.hash,
            member_hash_kv,
            live_keys: meaning.live_keys,
            registry_keys: meaning.registry.live_keys,
            kinds: meaning.registry.kinds.clone(),
            leases: meaning.leases,
            auth_enabled: meaning.auth_enabled,
            alarms: meaning.alarms.iter().map(ToString::to_string).collect(),
            cluster_version: meaning.cluster_version.clone(),
            storage_version: meaning.storage_version.clone(),
            consistent_index: meaning.consistent_index,
            database_bytes: proof.database_bytes,
            empty: meaning.would_start_empty().map(|why| why.to_string()),
        }
    }
}

impl Content {
    /// What to say when the member that sent it computes another hash.
    pub(super) fn contradiction(&self) -> Option<String> {
        let told = self.member_hash_kv.filter(|told| *told != self.hash_kv)?;
        Some(format!(
            "HashKV of the backup is {}, the member that sent it says {told}: it does not serve what lies on its disk",
            self.hash_kv
        ))
    }
}

impl MemberFacts {
    pub(super) fn of(proof: &Proof) -> Vec<Self> {
        let members = proof.meaning.members.iter();
        let facts = members.map(|member| Self {
            id: MemberId(member.id),
            name: member.name.clone(),
            peer_urls: member.peer_urls.clone(),
            client_urls: member.client_urls.clone(),
            learner: member.learner,
        });
        facts.collect()
    }
}

impl Manifest {
    /// Parses a manifest; `path` is where it was found, or would be.
    ///
    /// # Errors
    /// [`DocumentError`] for anything that this tool, or a later version of the same major format, does
    /// not write, and for one that describes a file of another name.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self, DocumentError> {
        if bytes.len() as u64 > MANIFEST_LIMIT_BYTES {
            let why = format!("it is over {MANIFEST_LIMIT_BYTES} bytes");
            return Err(document::refused(path, why));
        }
        let manifest: Self = document::parse(path, bytes, MANIFEST_FORMAT)?;
        let beside = path
            .file_name()
            .and_then(|name| BackupName::of_manifest(name.to_str()?));
        if beside.is_none_or(|name| name.as_str() != manifest.file) {
            return Err(document::refused(
                path,
                "it describes a file of another name",
            ));
        }
        if manifest.content.revision < 0 {
            return Err(document::refused(path, "a revision is never negative"));
        }
        Ok(manifest)
    }

    /// Reads the manifest of a backup; none when there is no such file.
    ///
    /// # Errors
    /// As for [`Manifest::parse`], and when the file cannot be read.
    pub fn read(dir: &Path, name: &BackupName) -> Result<Option<Self>, DocumentError> {
        let path = dir.join(name.manifest());
        document::read(&path, MANIFEST_LIMIT_BYTES)?
            .map(|bytes| Self::parse(&path, &bytes))
            .transpose()
    }

    /// Whether one would restore from it without a second thought: neither empty nor suspicious.
    pub const fn is_trusted(&self) -> bool {
        self.content.empty.is_none() && self.doubts.is_empty()
    }

    /// The bytes of the file: JSON for people, ending in a line feed.
    ///
    /// # Errors
    /// [`serde_json::Error`] never in practice: every field has a form in JSON.
    pub fn to_bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut bytes = serde_json::to_vec_pretty(self)?;
        bytes.push(b'\n');
        Ok(bytes)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::path::PathBuf;

    use super::*;

    /// A manifest of a backup with this name.
    pub(in crate::backup) fn sample(file: &str, taken: &str) -> Manifest {
        Manifest {
            format: MANIFEST_FORMAT,
            file: file.into(),
            size_bytes: 1000,
            sha256: Digest::of(b"file"),
            content_sha256: Digest::of(b"content"),
            taken: taken.parse().unwrap(),
            by: Actor {
                tool: "tool".into(),
                host: "host".into(),
                user: "root".into(),
                pid: 1,
            },
            cluster: ClusterFacts {
                label: ClusterLabel::new("a").unwrap(),
                id: ClusterId(0xfeed),
                source: MemberId(1),
                endpoint: EtcdUrl::new("https://10.141.0.1:2379").unwrap(),
                etcd: EtcdVersion::new(3, 4, 23),
                quota_bytes: Some(1 << 31),
                database_bytes: 4096,
                members: vec![MemberFacts {
                    id: MemberId(1),
                    name: "node001".into(),
                    peer_urls: vec!["https://10.141.0.1:2380".into()],
                    client_urls: Vec::new(),
                    learner: false,
                }],
            },
            content: Content {
                revision: 500,
                compact_revision: Some(400),
                status_hash: "beef".into(),
                total_key: 120,
                hash_kv: 7,
                member_hash_kv: None,
                live_keys: 100,
                registry_keys: 90,
                kinds: BTreeMap::from([("pods".into(), 80), ("secrets".into(), 10)]),
                leases: 0,
                auth_enabled: false,
                alarms: Vec::new(),
                cluster_version: Some("3.4.0".into()),
                storage_version: None,
                consistent_index: 9,
                database_bytes: 968,
                empty: None,
            },
            companions: vec![Companion {
                path: PathBuf::from("/etc/kubernetes/pki/a/sa.key"),
                sha256: Some(Digest::of(b"key")),
                missing: None,
            }],
            doubts: Vec::new(),
        }
    }

    const FILE: &str = "etcd-a-20260101T000000Z.db";

    fn parse(text: &str) -> Result<Manifest, DocumentError> {
        Manifest::parse(
            &Path::new("/b").join(format!("{FILE}.json")),
            text.as_bytes(),
        )
    }

    #[test]
    fn a_manifest_survives_its_file() {
        let manifest = sample(FILE, "2026-01-01T00:00:00Z");
        let bytes = manifest.to_bytes().unwrap();
        let text = String::from_utf8(bytes).unwrap();
        assert_eq!(parse(&text).unwrap(), manifest);
        // The format of the first version is read for ever.
        assert_eq!(text, include_str!("../../tests/fixtures/manifest-1.0.json"));
    }

    #[test]
    fn what_this_tool_does_not_write_is_refused() {
        let good = include_str!("../../tests/fixtures/manifest-1.0.json");
        let with = |from: &str, to: &str| {
            assert!(good.contains(from), "{from}");
            good.replacen(from, to, 1)
        };
        let code = |text: &str| parse(text).map_or_else(|error| error.code(), |_| "read");
        assert_eq!(
            code(&with("\"leases\": 0,", "\"leases\": 0, \"leasez\": 1,")),
            "backup-record-refused"
        );
        assert_eq!(code(&with("\"leases\": 0,", "")), "backup-record-refused");
        assert_eq!(
            code(&with("\"leases\": 0,", "\"leases\": 0, \"leases\": 0,")),
            "backup-record-refused"
        );
        assert_eq!(
            code(&with("\"revision\": 500", "\"revision\": -1")),
            "backup-record-refused"
        );
        assert_eq!(
            code(&with("20260101T000000Z.db", "20260102T000000Z.db")),
            "backup-record-refused"
        );
        assert_eq!(
            code(&with("\"file\": \"", "\"file\": \"../")),
            "backup-record-refused"
        );
        assert_eq!(
            code(&format!("{good}{}", " ".repeat(1 << 20))),
            "backup-record-refused"
        );
        assert_eq!(code(&"[".repeat(10_000)), "backup-record-refused");
        assert_eq!(code(&format!("{good}x")), "backup-record-refused");
        assert_eq!(
            code(&with("\"major\": 1", "\"major\": 2")),
            "backup-record-newer"
        );
        // What a later version adds is passed over.
        let newer = with("\"minor\": 0", "\"minor\": 1").replacen(
            "\"leases\": 0,",
            "\"leases\": 0, \"leasez\": 1,",
            1,
        );
        assert_eq!(code(&newer), "read");
    }
}
