//! What a unit looks at: a question about the world with a definite answer.
//!
//! The world decides whether a unit is done, never an exit code. Ports report facts; what a fact
//! means for a check is decided in one place, [`crate::probe`].

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::identity::{ClusterId, MemberId};
use crate::names::{
    AbsPath, CategoryName, EtcdUrl, MemberName, ModuleName, NodeName, OverlayName, Owner, RunId,
    ServiceName,
};
use crate::version::EtcdVersion;
use crate::world::{BootId, InstallMode};

/// A question about the world.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Check {
    /// This head node may act for the cluster.
    HeadIsActive,
    /// The snapshot on the head node is byte for byte the one that was proven.
    SnapshotProven {
        /// Where it lies.
        path: AbsPath,
        /// What was proven.
        sha256: Digest,
    },
    /// The node sees the same snapshot under the same path.
    SnapshotSeen {
        /// The node.
        node: NodeName,
        /// Where it should lie.
        path: AbsPath,
        /// What its last 32 bytes must be. None where it has no trailer: then its size alone is
        /// compared, and the restore sums the whole file.
        trailer: Option<Digest>,
        /// Its size.
        size_bytes: u64,
        /// etcd's data directory, to compare disks with.
        spool: AbsPath,
        /// Whether it must lie on storage that the node's provisioning does not wipe.
        must_survive_wipe: bool,
    },
    /// This program's own credentials towards etcd are there and valid now.
    CredentialsGood,
    /// No quorum of the old cluster answers.
    ///
    /// A member that does not answer counts only where something tells that it is not merely out of
    /// reach: its node answers ssh, or the cluster manager has it as down.
    QuorumLost {
        /// The members: node and client URL.
        members: Vec<(NodeName, EtcdUrl)>,
        /// Why it is no obstacle, in the operator's words.
        allowed: Option<String>,
    },
    /// Disk, inodes and memory suffice for the restore.
    RoomFor {
        /// The node.
        node: NodeName,
        /// The directory that will hold the staging directory.
        dir: AbsPath,
        /// Bytes of disk needed: the database and a 64 MiB write-ahead log, twice for a moment.
        disk_bytes: u64,
        /// Bytes of memory needed: the restore maps the whole database.
        memory_bytes: u64,
    },
    /// The module's etcd and restore tool are of the expected minor release.
    ToolsMatch {
        /// The node.
        node: NodeName,
        /// The module.
        module: ModuleName,
        /// The release the plan was made for.
        version: EtcdVersion,
    },
    /// The role is what the plan was made for: the same spool, and nobody but these nodes holds it.
    ///
    /// The guard and the restored data protect one path on these nodes; a role that names another
    /// path, or reaches another node, would start an empty etcd beside them.
    RoleUnchanged {
        /// The overlay.
        overlay: OverlayName,
        /// etcd's data directory.
        spool: AbsPath,
        /// The members.
        nodes: Vec<NodeName>,
    },
    /// The nodes have `Etcd::Host` from nowhere.
    RoleAbsent {
        /// The nodes.
        nodes: Vec<NodeName>,
    },
    /// The nodes stand in the overlay's node list.
    RoleAssigned {
        /// The overlay.
        overlay: OverlayName,
        /// The nodes.
        nodes: Vec<NodeName>,
    },
    /// The unit is inactive.
    ServiceStopped {
        /// The node.
        node: NodeName,
        /// The unit.
        service: ServiceName,
    },
    /// The unit is inactive and not held back by failed starts.
    ServiceStartable {
        /// The node.
        node: NodeName,
        /// The unit.
        service: ServiceName,
    },
    /// Nothing listens on etcd's ports.
    PortsClosed {
        /// The node.
        node: NodeName,
        /// The ports.
        ports: Vec<u16>,
    },
    /// Something stands at the path.
    PathPresent {
        /// The node.
        node: NodeName,
        /// The path.
        path: AbsPath,
    },
    /// Nothing stands at the path.
    PathAbsent {
        /// The node.
        node: NodeName,
        /// The path.
        path: AbsPath,
    },
    /// The run's guard stands at the spool path.
    Guarded {
        /// The node.
        node: NodeName,
        /// etcd's data directory.
        spool: AbsPath,
        /// The run.
        run: RunId,
        /// A run that is over, whose guard may stand there until then.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        instead_of: Option<RunId>,
    },
    /// Nobody has put etcd data back at the spool path since the run moved it away.
    NoDataAt {
        /// The node.
        node: NodeName,
        /// etcd's data directory.
        spool: AbsPath,
    },
    /// A directory with etcd data stands at the spool path.
    SpoolHoldsData {
        /// The node.
        node: NodeName,
        /// etcd's data directory.
        spool: AbsPath,
    },
    /// `datanode` of the node reads back so.
    DatanodeIs {
        /// The node.
        node: NodeName,
        /// The value.
        value: bool,
    },
    /// `datanode` of the category reads back so.
    CategoryDatanodeIs {
        /// The category.
        category: CategoryName,
        /// The value.
        value: bool,
    },
    /// Node OR category is so: what the node installer goes by.
    DatanodeEffective {
        /// The node.
        node: NodeName,
        /// The value.
        value: bool,
    },
    /// `nextinstallmode` reads back so.
    NextInstallModeIs {
        /// The node.
        node: NodeName,
        /// The mode; none for empty.
        mode: Option<InstallMode>,
    },
    /// `nextinstallmode` is empty, and nobody but a person can make it so: no boot of this run is to come.
    NextBootIsOrdinary {
        /// The node.
        node: NodeName,
    },
    /// The node is up, answers ssh, and has another boot id than before the action.
    Rebooted {
        /// The node.
        node: NodeName,
        /// Whether it was up before, and not merely off.
        was_up: bool,
    },
    /// The node's installer asks for leave to install FULL, and for nothing else.
    InstallerAsks {
        /// The node.
        node: NodeName,
    },
    /// The node has booted into its installer, which asks for leave to install FULL; or it is through
    /// with it, because somebody else has answered or it never asked.
    AtInstaller {
        /// The node.
        node: NodeName,
        /// Whether it was up before, and not merely off.
        was_up: bool,
    },
    /// The node is through with its installer, up, and answers ssh.
    Provisioned {
        /// The node.
        node: NodeName,
    },
    /// Whatever its installer asked for, the node is out of it again, up, and answers ssh.
    OutOfInstaller {
        /// The node.
        node: NodeName,
        /// The boot it was sent away from; while it is still in that one, its reboot is yet to come.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sent_from: Option<BootId>,
    },
    /// `blockdevicesclearedonnextboot` is empty: no boot wipes a disk behind everybody's back.
    NothingClearedAtBoot {
        /// The node.
        node: NodeName,
    },
    /// The disk is a new one: no guard, no data of etcd and no moved spool is on it.
    DiskIsFresh {
        /// The node.
        node: NodeName,
        /// etcd's data directory.
        spool: AbsPath,
        /// Where this run had moved the old data.
        aside: AbsPath,
    },
    /// The restored tree is complete and synced.
    Staged {
        /// The node.
        node: NodeName,
        /// The run's staging directory.
        staging: AbsPath,
        /// The run.
        run: RunId,
    },
    /// `member/snap/db` is the same on all members.
    StagedAlike {
        /// Every member with its staging directory.
        stagings: Vec<(NodeName, AbsPath)>,
        /// The run.
        run: RunId,
    },
    /// Owner and mode of the tree are right.
    TreeOwned {
        /// The node.
        node: NodeName,
        /// The tree.
        tree: AbsPath,
        /// The owner of everything in it.
        owner: Owner,
    },
    /// The restored tree stands at the spool path.
    Armed {
        /// The node.
        node: NodeName,
        /// etcd's data directory.
        spool: AbsPath,
        /// The run's staging directory.
        staging: AbsPath,
        /// The run.
        run: RunId,
    },
    /// The member answers, with the ids and the member list the plan predicted.
    Identity {
        /// The member's client URL.
        url: EtcdUrl,
        /// Its own id.
        member: MemberId,
        /// The cluster's id.
        cluster: ClusterId,
        /// Every member: id, name, peer URL.
        members: Vec<(MemberId, MemberName, EtcdUrl)>,
    },
    /// All members follow the same leader and report no error or alarm.
    OneLeader {
        /// The members' client URLs.
        urls: Vec<EtcdUrl>,
    },
    /// All members hold the data that was predicted; where somebody has compacted since, the same.
    HashesAlike {
        /// The members' client URLs.
        urls: Vec<EtcdUrl>,
        /// What the snapshot's proof predicts.
        predicted: PredictedHash,
    },
    /// The member's revision is at least this.
    RevisionAtLeast {
        /// The member.
        url: EtcdUrl,
        /// The revision.
        revision: i64,
    },
    /// The member counts at least this many keys below a prefix.
    CountAtLeast {
        /// The member.
        url: EtcdUrl,
        /// The prefix; empty for every key.
        prefix: String,
        /// The count.
        keys: u64,
        /// The revision to count at, so that leases running out since do not matter.
        revision: i64,
    },
    /// A linearizable read of the key gives this value, or nothing.
    KeyReads {
        /// The member.
        url: EtcdUrl,
        /// The key.
        key: String,
        /// The value; none when the key must be gone.
        value: Option<String>,
    },
    /// The API server on the node was told of these members. What cannot be seen counts, and is said.
    ApiServerTold {
        /// The node.
        node: NodeName,
        /// The members.
        members: Vec<(NodeName, EtcdUrl)>,
    },
    /// An embedder's own question.
    Own {
        /// The handler's name.
        kind: String,
        /// Whatever the handler needs.
        params: serde_json::Value,
    },
}

/// The `HashKV` that every restored member must answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PredictedHash {
    /// The revision to hash at.
    pub revision: i64,
    /// Up to where history is compacted, -1 for none; hashes compare only where it is the same.
    pub compact_revision: i64,
    /// The hash.
    pub hash: u32,
}
