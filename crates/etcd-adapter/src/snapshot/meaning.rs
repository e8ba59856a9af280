//! What a snapshot says: the store's numbers, the cluster it came from, and what would become of it.

use std::collections::BTreeMap;
use std::fmt::{self, Display};

use runbook_core::identity::MemberId;
use serde::{Deserialize, Serialize};

use super::crc::Run;
use super::page::u64_at;
use super::proto;
use super::records::{Compaction, Records, Revision};
use super::verdict::Fault;
use super::walk::{Leaf, Visit};

/// The buckets that etcd 3.1 to 3.7 knows (`server/storage/schema/bucket.go`).
const BUCKETS: [&str; 11] = [
    "alarm",
    "auth",
    "authRoles",
    "authUsers",
    "cluster",
    "key",
    "lease",
    "members",
    "members_removed",
    "meta",
    "test",
];
/// Bytes and pairs of a bucket that is read whole; etcd's hold a few kilobytes.
const MAX_SMALL_BYTES: usize = 1 << 20;
const MAX_SMALL_PAIRS: usize = 4096;

/// What a snapshot holds, in etcd's own terms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Meaning {
    /// The store's revision once etcd has it: 1 for a store that was never written to. `snapshot
    /// status` shows the newest record's instead, which is lower (0 at the least) when a compaction
    /// has removed the newest records.
    pub revision: i64,
    /// The revision of the newest record, 0 without records; what `snapshot status` shows.
    pub newest_record: i64,
    /// Up to where history is gone; `None` when it never was compacted.
    pub compact_revision: Option<i64>,
    /// Keys that a client would find.
    pub live_keys: u64,
    /// Records kept: every revision, deletions among them, that is still in the file.
    pub revisions: u64,
    /// Live keys that go when their lease does.
    pub leased_keys: u64,
    /// Leases granted.
    pub leases: u64,
    /// Members of the cluster that the snapshot was taken from. When that cluster was itself restored
    /// with etcd 3.4, those from before are still among them: 3.4 goes by another list.
    pub members: Vec<Member>,
    /// Alarms in force, which a restore carries over.
    pub alarms: Vec<Alarm>,
    /// Whether clients need a password.
    pub auth_enabled: bool,
    /// The cluster's version, such as `3.4.0`; `None` before a cluster agreed on one.
    pub cluster_version: Option<String>,
    /// The version of the file's schema, which etcd writes from 3.6 on.
    pub storage_version: Option<String>,
    /// Raft index of the last entry applied.
    pub consistent_index: u64,
    /// Raft term of that entry, which etcd writes from 3.5 on.
    pub term: Option<u64>,
    /// What Kubernetes keeps here.
    pub registry: Registry,
    /// What `etcdctl endpoint hashkv` says of the cluster at this revision.
    pub hash_kv: HashKv,
    /// Names of buckets that etcd does not know and would not look into.
    pub unknown_buckets: Vec<String>,
    /// Whether the bucket of keys is there; etcd starts empty without it.
    pub has_keys_bucket: bool,
    /// The live records, which are what a restore with a bumped revision leaves.
    #[serde(skip)]
    survivors: Run,
}

/// A member of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Member {
    /// Its id, in decimal; etcd's tools print it in hexadecimal.
    pub id: u64,
    /// Its name, empty until it has started once.
    #[serde(default)]
    pub name: String,
    /// Where its peers reach it.
    #[serde(rename(deserialize = "peerURLs"), default, deserialize_with = "list")]
    pub peer_urls: Vec<String>,
    /// Where clients reach it; empty until it has started once, and always so in files of some releases
    /// (3.5.16).
    #[serde(rename(deserialize = "clientURLs"), default, deserialize_with = "list")]
    pub client_urls: Vec<String>,
    /// Whether it has no vote; a restore would make it a voter.
    #[serde(rename(deserialize = "isLearner"), default)]
    pub learner: bool,
}

/// An alarm in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Alarm {
    /// Id of the member that raised it.
    pub member: u64,
    /// What it is about.
    pub kind: AlarmKind,
}

/// What an alarm is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum AlarmKind {
    /// The database reached its quota; etcd refuses to write.
    NoSpace,
    /// Members disagree about the content.
    Corrupt,
    /// A kind that this reader does not know, by its number.
    Other(u64),
}

impl From<u64> for AlarmKind {
    /// By the number of `etcdserverpb.AlarmType`.
    fn from(number: u64) -> Self {
        match number {
            1 => Self::NoSpace,
            2 => Self::Corrupt,
            other => Self::Other(other),
        }
    }
}

impl Display for AlarmKind {
    /// As etcd spells it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSpace => f.write_str("NOSPACE"),
            Self::Corrupt => f.write_str("CORRUPT"),
            Self::Other(number) => write!(f, "alarm {number}"),
        }
    }
}

impl Display for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on member {}", self.kind, MemberId(self.member))
    }
}

/// What Kubernetes keeps in the store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Registry {
    /// Live keys under `/registry/`.
    pub live_keys: u64,
    /// The same by kind of object: the first part of the path, or the first two where the first is an
    /// API group or `services`. After 1,024 kinds the rest is counted under `(other)`.
    pub kinds: BTreeMap<String, u64>,
}

/// A hash of the keys and values at a revision, equal on all members of a healthy cluster.
///
/// To compare it, ask a member for its hash at `revision` (`endpoint hashkv --rev`), or at its current
/// one (0) while that is still `revision`; the latter is the only way when `revision` equals
/// `compact_revision`, where etcd calls the revision compacted, or answers with a hash that it kept
/// from before the compaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct HashKv {
    /// The hash.
    pub hash: u32,
    /// The revision it is taken at.
    pub revision: i64,
    /// The compact revision, -1 for none, as etcd has it; hashes compare only when it is equal.
    pub compact_revision: i64,
}

/// Why etcd would start empty from a sound file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Emptiness {
    /// There is no bucket of keys; what the file holds is in buckets that etcd does not look into.
    Elsewhere(Vec<String>),
    /// No key is live: none was written, or all were deleted.
    NoLiveKey,
    /// Keys are live, but none of Kubernetes'.
    NoRegistryKey,
}

impl Display for Emptiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Elsewhere(names) if names.is_empty() => {
                f.write_str("etcd would start empty: the file has no bucket of keys")
            }
            Self::Elsewhere(names) => write!(
                f,
                "etcd would start empty: it does not look into what the file holds ({})",
                names.join(", ")
            ),
            Self::NoLiveKey => f.write_str("etcd would start empty: no key is live"),
            Self::NoRegistryKey => {
                f.write_str("Kubernetes would start empty: no key under /registry/ is live")
            }
        }
    }
}

impl Meaning {
    /// Why etcd, or Kubernetes on it, would start empty from this; `None` if it would not.
    pub fn would_start_empty(&self) -> Option<Emptiness> {
        if !self.has_keys_bucket {
            Some(Emptiness::Elsewhere(self.unknown_buckets.clone()))
        } else if self.live_keys == 0 {
            Some(Emptiness::NoLiveKey)
        } else if self.registry.live_keys == 0 {
            Some(Emptiness::NoRegistryKey)
        } else {
            None
        }
    }

    /// What `etcdctl endpoint hashkv` will say after a restore with `--bump-revision amount
    /// --mark-compacted`; `None` when the new revision would overflow, or would not pass the compact
    /// revision that is there already.
    ///
    /// Such a restore adds one record without a value at the new revision and marks everything up to
    /// it as compacted (`etcdutl/snapshot/v3_snapshot.go`), so what is hashed are the live records
    /// and that one.
    pub fn hash_kv_after_bump(&self, amount: u64) -> Option<HashKv> {
        let main = self.newest_record.checked_add_unsigned(amount)?;
        if main <= self.hash_kv.compact_revision {
            return None;
        }
        let bumped = Revision { main, sub: 0 };
        let records = self.survivors.then(Run::of(&bumped.key()));
        let hash = Run::of(b"key").then(records).crc();
        Some(HashKv {
            hash,
            revision: main,
            compact_revision: main,
        })
    }
}

/// What the buckets other than `key` say.
#[derive(Default)]
pub(super) struct Surroundings {
    pub(super) compaction: Compaction,
    consistent_index: u64,
    term: Option<u64>,
    storage_version: Option<String>,
    cluster_version: Option<String>,
    members: Vec<Member>,
    alarms: Vec<Alarm>,
    auth_enabled: bool,
    leases: u64,
    unknown: Vec<String>,
}

impl Surroundings {
    pub(super) fn meaning(self, records: Option<Records>) -> Meaning {
        let has_keys_bucket = records.is_some();
        let records = records.unwrap_or_else(|| Records::none(self.compaction));
        Meaning {
            revision: records.revision,
            newest_record: records.newest_record,
            compact_revision: Some(records.compact_revision).filter(|rev| *rev >= 0),
            live_keys: records.live,
            revisions: records.count,
            leased_keys: records.leased,
            leases: self.leases,
            members: self.members,
            alarms: self.alarms,
            auth_enabled: self.auth_enabled,
            cluster_version: self.cluster_version,
            storage_version: self.storage_version,
            consistent_index: self.consistent_index,
            term: self.term,
            registry: Registry {
                live_keys: records.registry,
                kinds: records.kinds,
            },
            hash_kv: HashKv {
                hash: Run::of(b"key").then(records.hashed).crc(),
                revision: records.revision,
                compact_revision: records.compact_revision,
            },
            unknown_buckets: self.unknown,
            has_keys_bucket,
            survivors: records.survivors,
        }
    }

    /// A reader for the bucket called `name`, which is not `key`.
    pub(super) fn reader(&mut self, name: &[u8]) -> Other<'_> {
        let known = BUCKETS.iter().find(|known| known.as_bytes() == name);
        if known.is_none() {
            self.unknown
                .push(String::from_utf8_lossy(&name[..name.len().min(253)]).into_owned());
        }
        let bucket = known.copied().unwrap_or_default();
        Other {
            into: self,
            bucket,
            run: Run::EMPTY,
            pairs: 0,
            bytes: 0,
        }
    }

    fn meta(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        match key {
            b"consistent_index" => self.consistent_index = big_endian(value)?,
            b"term" => self.term = Some(big_endian(value)?),
            b"finishedCompactRev" => self.compaction.finished = Some(Revision::read(value)?.0.main),
            b"scheduledCompactRev" => {
                self.compaction.scheduled = Some(Revision::read(value)?.0.main);
            }
            b"storageVersion" => self.storage_version = Some(text(value)?),
            _ => {}
        }
        Some(())
    }

    fn alarm(&mut self, key: &[u8]) -> Option<()> {
        let (member, kind) = proto::alarm(key)?;
        self.alarms.push(Alarm {
            member,
            kind: AlarmKind::from(kind),
        });
        Some(())
    }

    fn lease(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        self.leases += 1;
        let id = proto::lease_id(value)?;
        (big_endian(key)? == id.cast_unsigned()).then_some(())
    }

    fn pair(&mut self, bucket: &str, key: &[u8], value: &[u8]) -> Option<()> {
        match (bucket, key) {
            ("meta", _) => self.meta(key, value)?,
            ("members", _) => self.members.push(serde_json::from_slice(value).ok()?),
            ("alarm", _) => self.alarm(key)?,
            ("auth", b"authEnabled") => self.auth_enabled = value == [1],
            ("cluster", b"clusterVersion") => self.cluster_version = Some(text(value)?),
            ("lease", _) => self.lease(key, value)?,
            _ => {}
        }
        Some(())
    }
}

/// Reads one bucket other than `key`.
pub(super) struct Other<'a> {
    into: &'a mut Surroundings,
    bucket: &'static str,
    pub(super) run: Run,
    pub(super) pairs: u64,
    bytes: usize,
}

impl Visit for Other<'_> {
    fn leaf(&mut self, leaf: &Leaf<'_>) -> Result<(), Fault> {
        self.run = self.run.then(leaf.run(|_| true));
        self.pairs += leaf.entries.len() as u64;
        if matches!(self.bucket, "meta" | "members" | "alarm" | "cluster") {
            self.bytes = self.bytes.saturating_add(leaf.bytes.len());
            if self.pairs > MAX_SMALL_PAIRS as u64 || self.bytes > MAX_SMALL_BYTES {
                return Err(Fault::Limit(
                    "a bucket about the cluster has more than 4,096 entries or 1 MiB",
                ));
            }
        }
        for entry in leaf.entries {
            let (key, value) = (leaf.key(*entry), leaf.value(*entry));
            if self.into.pair(self.bucket, key, value).is_none() {
                let name = String::from_utf8_lossy(&key[..key.len().min(40)]).into_owned();
                let (bucket, page) = (self.bucket, leaf.page);
                return Err(Fault::Meaning(format!(
                    "page {page}: entry {name:?} of bucket {bucket} is not what etcd writes there"
                )));
            }
        }
        Ok(())
    }
}

fn big_endian(bytes: &[u8]) -> Option<u64> {
    (bytes.len() == 8).then(|| u64_at(bytes, 0).map(u64::swap_bytes))?
}

fn text(bytes: &[u8]) -> Option<String> {
    (bytes.len() <= 64).then(|| String::from_utf8(bytes.to_vec()).ok())?
}

/// Go writes an empty list as `null`.
fn list<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    Option::<Vec<String>>::deserialize(from).map(Option::unwrap_or_default)
}
