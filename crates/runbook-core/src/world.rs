//! What is there: the observed state a plan is built on, and compared with again before it runs.

mod device;

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use self::device::{
    Device, DeviceStatus, InstallMode, InstallerAsks, InstallerStep, PowerState, Provisioning,
};
use crate::digest::Digest;
use crate::identity::{ClusterId, MemberId};
use crate::names::{
    AbsPath, CategoryName, EtcdUrl, MemberName, ModuleName, NodeName, OverlayName, RunId,
};
use crate::platform::Platform;
use crate::version::EtcdVersion;

/// Everything a plan depends on, as it was seen at one time.
///
/// Only what a change review would call drift is in here: free space, for one, is checked when it
/// matters and not compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct World {
    /// The head node this was seen from.
    pub head: HeadRole,
    /// The overlay that carries the role.
    pub overlay: OverlayName,
    /// etcd's data directory on every node, from the role.
    pub spool: AbsPath,
    /// How far the cluster had come when it was last asked, where there is a record beside the snapshot.
    pub recorded: Option<RecordedRevisions>,
    /// The snapshot, proven.
    pub snapshot: SnapshotProof,
    /// The members, in the spec's order.
    pub members: Vec<ObservedMember>,
    /// Which Bright this is: told to a reviewer, and not compared. Absent in plans of older builds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Software images that are locked: a node whose image is among them is not provisioned. Looked at
    /// only where a node is to be wiped, and empty where it could not be seen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub locked_images: Vec<String>,
}

/// The part this head node plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeadRole {
    /// The only head node.
    Single,
    /// The active one of two.
    Active,
    /// The passive one of two: `/cm/shared` shows stale local files here, nothing may be run.
    Passive,
}

impl HeadRole {
    /// What is said of a passive head node that is to act: the stable code, what is wrong, what to do.
    pub const PASSIVE_REFUSED: [&'static str; 3] = [
        "head-passive",
        "this is the passive head node",
        "log in to the active one (`cmha status`) and go on there; what /cm/shared shows here is stale",
    ];
}

/// The role `Etcd::Host` as the cluster manager has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EtcdRole {
    /// The overlay that carries it.
    pub overlay: OverlayName,
    /// etcd's data directory.
    pub spool: AbsPath,
    /// Who holds the role, from wherever, and who was asked about.
    pub holders: Vec<RoleHolder>,
}

/// A node that holds the role, or would be a member if it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleHolder {
    /// The node.
    pub node: NodeName,
    /// The member's name, `$hostname` substituted.
    pub member: MemberName,
    /// The peer URL the member advertises, `$ip` substituted.
    pub peer_url: EtcdUrl,
    /// The client URL the member advertises, `$ip` substituted.
    pub client_url: EtcdUrl,
    /// Every source the role comes from; empty when the node does not hold it.
    pub sources: Vec<RoleSource>,
}

impl RoleHolder {
    /// The member that it makes, with what the cluster manager and the node say of the node.
    pub fn observed(&self, device: Device, host: Option<Host>) -> ObservedMember {
        ObservedMember {
            node: self.node.clone(),
            name: self.member.clone(),
            peer_url: self.peer_url.clone(),
            client_url: self.client_url.clone(),
            role_from: self.sources.clone(),
            device,
            host,
        }
    }
}

/// Where a node has a role from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoleSource {
    /// The node stands in an overlay's node list: the one source this tool takes away and gives back.
    OverlayNode(OverlayName),
    /// The node's category stands in an overlay's category list.
    OverlayCategory(OverlayName, CategoryName),
    /// An overlay applies to all head nodes.
    OverlayHeadNodes(OverlayName),
    /// The node's category has the role.
    Category(CategoryName),
    /// The node itself has the role.
    Node,
}

impl fmt::Display for RoleSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OverlayNode(overlay) => write!(f, "the node list of overlay {overlay}"),
            Self::OverlayCategory(overlay, category) => {
                write!(f, "category {category} in overlay {overlay}")
            }
            Self::OverlayHeadNodes(overlay) => write!(f, "allheadnodes of overlay {overlay}"),
            Self::Category(category) => write!(f, "category {category}"),
            Self::Node => f.write_str("the node's own roles"),
        }
    }
}

/// One member as observed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObservedMember {
    /// The node.
    pub node: NodeName,
    /// The etcd member's name.
    pub name: MemberName,
    /// The peer URL it advertises.
    pub peer_url: EtcdUrl,
    /// The client URL it advertises.
    pub client_url: EtcdUrl,
    /// Where the node has `Etcd::Host` from; empty when it is unassigned already.
    pub role_from: Vec<RoleSource>,
    /// The cluster manager's record of the node.
    pub device: Device,
    /// What the node itself says; absent when ssh does not answer.
    pub host: Option<Host>,
}

/// What a node says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Host {
    /// The kernel's boot id: another one means another boot.
    pub boot_id: BootId,
    /// What stands at the spool path.
    pub spool: SpoolState,
    /// The etcd programs the module gives.
    pub tools: Option<ToolVersions>,
}

/// The kernel's random boot id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BootId(pub String);

/// What stands at etcd's data path on a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SpoolState {
    /// Nothing.
    Absent,
    /// An empty directory, as packages and `CMDaemon` make.
    EmptyDirectory,
    /// A directory that holds etcd data (`member/`).
    Data,
    /// A directory that holds something else.
    ForeignDirectory,
    /// This tool's guard: a regular file, so that no etcd can make a directory there.
    Guard(RunId),
    /// A mount point of its own: it can be neither renamed nor replaced by a file.
    MountPoint,
    /// Anything else: a foreign file, a symbolic link, a device.
    Other,
}

impl fmt::Display for SpoolState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("nothing"),
            Self::EmptyDirectory => f.write_str("an empty directory"),
            Self::Data => f.write_str("etcd data"),
            Self::ForeignDirectory => f.write_str("a directory without etcd data"),
            Self::Guard(run) => write!(f, "the guard of run {run}"),
            Self::MountPoint => f.write_str("a mount point"),
            Self::Other => f.write_str("something that is no directory"),
        }
    }
}

/// The etcd programs found on a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolVersions {
    /// The module they came from.
    pub module: ModuleName,
    /// The server, `etcd --version`.
    pub etcd: EtcdVersion,
    /// `etcdctl version`.
    pub etcdctl: Option<EtcdVersion>,
    /// `etcdutl version`; from 3.5 on.
    pub etcdutl: Option<EtcdVersion>,
}

/// A snapshot file that has been proven.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnapshotProof {
    /// Where it lies on the head node.
    pub path: AbsPath,
    /// The whole file, trailer included.
    pub size_bytes: u64,
    /// SHA-256 of everything but the trailer; the trailer holds the same 32 bytes.
    pub sha256: Digest,
    /// Whether it ends with that trailer. A database that was copied out of a data directory has none:
    /// [`SnapshotProof::sha256`] is then that of the whole file, and nothing vouches for its bytes.
    pub trailer: bool,
    /// When it was written, by the file's own time, to the second: the recovery point.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modified: Option<Timestamp>,
    /// When it was taken, where a manifest beside it tells; the file's own time may be a copy's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken: Option<Timestamp>,
    /// What the store inside holds.
    pub content: SnapshotContent,
}

/// What the store inside a snapshot holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnapshotContent {
    /// The newest revision.
    pub revision: i64,
    /// Keys alive at that revision.
    pub live_keys: u64,
    /// Keys alive below `/registry/`: Kubernetes' own.
    pub registry_keys: u64,
    /// Up to where its history is compacted, -1 for none, as etcd has it.
    pub compact_revision: i64,
    /// The same by kind, as `pods`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub kinds: BTreeMap<String, u64>,
    /// etcd's `HashKV` at that revision: what every restored member must answer.
    pub hash_kv: u32,
    /// The same after the restore has moved the revision; none where it was not asked for.
    pub bumped: Option<Bumped>,
    /// Alarms that the restored cluster will have, each in words; it takes no write before they are
    /// disarmed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alarms: Vec<String>,
    /// Whether the restored cluster will ask for a user.
    #[serde(default)]
    pub auth_enabled: bool,
    /// The minor release that wrote it, as `3.4.0`, where the store says.
    pub cluster_version: Option<String>,
}

/// A store whose revision a restore has moved, with everything before marked as compacted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bumped {
    /// How far it is moved: what `--bump-revision` is given.
    pub by: u64,
    /// The revision it begins at, which is also the one it is compacted up to.
    pub revision: i64,
    /// etcd's `HashKV` at that revision.
    pub hash_kv: u32,
}

/// How far a restore is to move the revision, before the snapshot's own is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BumpRule {
    /// So far past [`BumpRule::past`], or past the snapshot's own revision if that is higher.
    pub by: u64,
    /// A revision the cluster is known to have had.
    pub past: i64,
}

impl BumpRule {
    /// How far past a snapshot of this revision that is.
    pub const fn amount(self, revision: i64) -> u64 {
        let lost = self.past.saturating_sub(revision);
        let lost = if lost > 0 { lost.unsigned_abs() } else { 0 };
        self.by.saturating_add(lost)
    }
}

/// What `backup` has written down beside a snapshot: how far the members had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordedRevisions {
    /// The highest of any cluster. Each restore makes another cluster of the same one, and watchers
    /// remember all of them: this is what the revision has to pass.
    pub highest: RecordedRevision,
    /// That of the cluster the snapshot is of, where its manifest tells which.
    pub own: Option<RecordedRevision>,
}

/// A revision that a cluster is known to have had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordedRevision {
    /// The revision.
    pub revision: i64,
    /// When a member first told it.
    pub at: Timestamp,
}

/// How a snapshot looks from a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenSnapshot {
    /// Its size there.
    pub size_bytes: u64,
    /// Its last 32 bytes there, which name the content.
    pub trailer: Digest,
    /// Whether a FULL provisioning of the node wipes it, or may: it lies on the same filesystem as the
    /// spool or as `/`, on another disk of the node, in memory, or on something of an unknown kind.
    pub on_wiped_disk: bool,
}

/// Room on a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Bytes free for root on the filesystem that will hold the restored data.
    pub disk_bytes: u64,
    /// Inodes free there.
    pub inodes: u64,
    /// `MemAvailable`, in bytes.
    pub memory_bytes: u64,
}

/// The state of a systemd unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServiceState {
    /// Running, starting or stopping: a process may be there.
    Active,
    /// Not running, and not about to.
    Inactive,
    /// Not running after failed starts; systemd may refuse to start it again until that is cleared.
    Failed,
}

/// Who owns a directory tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeState {
    /// `user:group` of the top directory.
    pub owner: String,
    /// The permission bits of the top directory, as 0o700.
    pub mode: u32,
    /// How many entries below it belong to anyone else.
    pub strangers: u64,
}

/// How far a restore on a node has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Staged {
    /// Nothing has been started.
    Nothing,
    /// The tool runs.
    Running,
    /// It ended without success; what it said last.
    Failed(String),
    /// It was cut short: a tree without the mark of completion, and nothing runs.
    Partial,
    /// Complete and synced.
    Complete(Restored),
    /// Complete, and the tree has been moved onto the spool path since.
    Taken(Restored),
}

/// What a restore has made, as its mark of completion says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// SHA-256 of the file `member/snap/db`. It may differ from member to member: etcd commits ten times a
    /// second, so that the layout of the file depends on how fast a node is.
    pub db: Digest,
    /// What is in it, in the words of `snapshot status`: hash, revision, keys. The same on every member.
    pub content: String,
}

/// A member's answer to a status request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberStatus {
    /// The cluster it belongs to.
    pub cluster: ClusterId,
    /// Its own id.
    pub member: MemberId,
    /// The leader it follows, if any.
    pub leader: Option<MemberId>,
    /// Its newest revision.
    pub revision: i64,
    /// Its release.
    pub version: EtcdVersion,
    /// Errors it reports: alarms, no leader.
    pub errors: Vec<String>,
}

/// A member as the cluster lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedMember {
    /// Its id.
    pub id: MemberId,
    /// Its name; empty until it has started once.
    pub name: String,
    /// Its peer URLs.
    pub peer_urls: Vec<String>,
    /// Whether it is a learner.
    pub learner: bool,
}

/// A `HashKV` answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashKv {
    /// The hash.
    pub hash: u32,
    /// The compact revision it is counted from; only hashes with the same one compare.
    pub compact_revision: i64,
}
