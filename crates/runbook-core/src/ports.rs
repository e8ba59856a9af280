//! The ports: what this crate asks of the systems around it.
//!
//! Each port has two kinds of methods. Questions report facts and change nothing. `perform` is the
//! only way to change the world; it takes a [`Permit`], which exists only once the intent is on
//! disk, and it runs exactly what `render` shows. A dry run calls `render` and no `perform`: it
//! cannot drift from the run, because there is one renderer.
//!
//! # Contract of an implementation
//! * A question answers from the world, not from a cache, and is safe to ask at any time.
//! * `perform` may be called again for an effect that has happened, or happened in part, and then
//!   finishes it or does nothing. It may be dropped at any `.await`; a later call must cope.
//! * `perform` returning `Ok` claims nothing: the caller looks at the world afterwards.
//! * No call waits for ever: each has its own time-out.
//! * Text from outside is hostile until parsed.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::error::{AdapterError, Certainty};
use crate::journal::Permit;
use crate::names::{
    AbsPath, CategoryName, ClusterLabel, EtcdUrl, ModuleName, NodeName, OverlayName, Owner, RunId,
    ServiceName,
};
use crate::plan::{
    Action, ClientEffect, Command, ManagerEffect, NodeEffect, OwnEffect, Render, ToolEffect,
};
use crate::platform::{ApiServer, Platform};
use crate::world::{
    BootId, BumpRule, Device, EtcdRole, HashKv, HeadRole, InstallerAsks, ListedMember,
    MemberStatus, PowerState, Provisioning, RecordedRevisions, RoleSource, Room, SeenSnapshot,
    ServiceState, SnapshotProof, SpoolState, Staged, ToolVersions, TreeState,
};

/// Result of a port's method.
pub type PortResult<T> = Result<T, AdapterError>;

/// The cluster manager: Bright, through cmsh.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait ClusterManager: Send + Sync {
    /// The exact commands of an effect.
    ///
    /// # Errors
    /// [`AdapterError`] for an effect that this adapter cannot put into commands.
    fn render(&self, effect: &ManagerEffect) -> PortResult<Vec<Command>>;
    /// Runs what `render` shows.
    async fn perform(&self, permit: &Permit, effect: &ManagerEffect) -> PortResult<()>;
    /// The part this head node plays.
    async fn head_role(&self) -> PortResult<HeadRole>;
    /// The overlay of the etcd cluster with this label; where there is only one, that one.
    ///
    /// # Errors
    /// [`AdapterError`] with the list, where the label is not that of exactly one.
    async fn etcd_overlay(&self, label: &ClusterLabel) -> PortResult<OverlayName>;
    /// The role `Etcd::Host`: of an overlay by name, or of the only one there is.
    ///
    /// Reported are all holders, and every node of `nodes` whether it holds the role or not: after
    /// the role was taken away a member's name and URLs are still needed.
    async fn etcd_role(
        &self,
        overlay: Option<OverlayName>,
        nodes: &[NodeName],
    ) -> PortResult<EtcdRole>;
    /// Every source each of these nodes has `Etcd::Host` from, in the order asked.
    async fn role_sources(&self, nodes: &[NodeName]) -> PortResult<Vec<Vec<RoleSource>>>;
    /// The record of a node.
    async fn device(&self, node: &NodeName) -> PortResult<Device>;
    /// Which Bright this is; its static pods are left out, they are asked of the nodes.
    async fn platform(&self) -> PortResult<Platform>;
    /// `datanode` of a category, and the nodes that belong to it.
    async fn category(&self, category: &CategoryName) -> PortResult<(bool, Vec<NodeName>)>;
    /// What the node's installer waits for leave to do.
    async fn installer_asks(&self, node: &NodeName) -> PortResult<InstallerAsks>;
    /// What the node's power control says; that it is silent is an answer, not an error.
    async fn power(&self, node: &NodeName) -> PortResult<PowerState>;
    /// What may keep nodes from being provisioned.
    async fn provisioning(&self) -> PortResult<Provisioning>;
}

/// The code of an undo that finds the old data gone; for [`NodeEffect::ReturnSpool`] an adapter's too, where
/// it lies neither aside nor at the spool path.
pub const OLD_DATA_GONE: &str = "old-data-gone";

/// The nodes, over ssh.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait Node: Send + Sync {
    /// The exact commands of an effect.
    ///
    /// # Errors
    /// [`AdapterError`] for an effect that this adapter cannot put into commands.
    fn render(&self, effect: &NodeEffect) -> PortResult<Vec<Command>>;
    /// Runs what `render` shows.
    async fn perform(&self, permit: &Permit, effect: &NodeEffect) -> PortResult<()>;
    /// The boot id; none when the node does not answer.
    async fn boot_id(&self, node: &NodeName) -> PortResult<Option<BootId>>;
    /// What stands at etcd's data path.
    async fn spool(&self, node: &NodeName, spool: &AbsPath) -> PortResult<SpoolState>;
    /// Whether anything stands at a path; a dangling symbolic link counts.
    async fn exists(&self, node: &NodeName, path: &AbsPath) -> PortResult<bool>;
    /// The state of a systemd unit; a unit that does not exist is inactive.
    async fn service(&self, node: &NodeName, service: &ServiceName) -> PortResult<ServiceState>;
    /// Whether a user and a group of these names exist on the node.
    async fn knows_owner(&self, node: &NodeName, owner: &Owner) -> PortResult<bool>;
    /// Whether systemd knows a unit of this name on the node.
    async fn knows_service(&self, node: &NodeName, service: &ServiceName) -> PortResult<bool>;
    /// Which of these TCP ports have a listener.
    async fn listening(&self, node: &NodeName, ports: &[u16]) -> PortResult<Vec<u16>>;
    /// How the snapshot looks from the node; none when it is not there.
    async fn snapshot(
        &self,
        node: &NodeName,
        path: &AbsPath,
        spool: &AbsPath,
    ) -> PortResult<Option<SeenSnapshot>>;
    /// Room on the filesystem of a directory, and memory.
    async fn room(&self, node: &NodeName, dir: &AbsPath) -> PortResult<Room>;
    /// What an API server on the node was told of etcd; none where none is seen.
    async fn api_server(&self, node: &NodeName) -> PortResult<Option<ApiServer>>;
    /// Owner and mode of a tree.
    async fn tree(&self, node: &NodeName, tree: &AbsPath) -> PortResult<TreeState>;
}

/// etcd's own tools: the proof of a snapshot on the head node, its restore on the nodes.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait EtcdTool: Send + Sync {
    /// The exact commands of an effect.
    ///
    /// # Errors
    /// [`AdapterError`] for an effect that this adapter cannot put into commands.
    fn render(&self, effect: &ToolEffect) -> PortResult<Vec<Command>>;
    /// Runs what `render` shows. Starts the remote job, or finds it running; does not wait for it.
    async fn perform(&self, permit: &Permit, effect: &ToolEffect) -> PortResult<()>;
    /// Proves a snapshot file on the head node, reading all of it. With a rule it also tells what a
    /// restore with that bump makes of it. A sound database without a trailer is no error: see
    /// [`SnapshotProof::trailer`].
    async fn prove(&self, snapshot: &AbsPath, bump: Option<BumpRule>) -> PortResult<SnapshotProof>;
    /// The revisions on record beside a snapshot; none where nothing is.
    async fn recorded(&self, snapshot: &AbsPath) -> PortResult<Option<RecordedRevisions>>;
    /// The programs a module gives on a node; the only etcd module there is where none is named.
    async fn tools(&self, node: &NodeName, module: Option<ModuleName>) -> PortResult<ToolVersions>;
    /// How far the run's restore on a node has come.
    async fn staged(&self, node: &NodeName, staging: &AbsPath, run: RunId) -> PortResult<Staged>;
    /// SHA-256 of `member/snap/db` below a data directory; none where there is no such file.
    async fn db_digest(
        &self,
        node: &NodeName,
        data_dir: &AbsPath,
    ) -> PortResult<Option<crate::digest::Digest>>;
}

/// etcd's client API.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait EtcdClient: Send + Sync {
    /// What an effect does, in words.
    ///
    /// # Errors
    /// [`AdapterError`] for an effect that this adapter cannot put into words.
    fn render(&self, effect: &ClientEffect) -> PortResult<Vec<Command>>;
    /// Does what `render` says.
    async fn perform(&self, permit: &Permit, effect: &ClientEffect) -> PortResult<()>;
    /// This program's own credentials towards etcd, in words.
    ///
    /// An error of certainty *refused* when they are missing, unreadable or expired.
    async fn credentials(&self) -> PortResult<String>;
    /// A member's status.
    async fn status(&self, url: &EtcdUrl) -> PortResult<MemberStatus>;
    /// The member list as one member has it.
    async fn members(&self, url: &EtcdUrl) -> PortResult<Vec<ListedMember>>;
    /// Alarms as one member has them, in words.
    async fn alarms(&self, url: &EtcdUrl) -> PortResult<Vec<String>>;
    /// `HashKV` at a revision; 0 for the newest. `None` when the revision has been compacted.
    async fn hash_kv(&self, url: &EtcdUrl, revision: i64) -> PortResult<Option<HashKv>>;
    /// Keys below a prefix at a revision (0 for the newest). `None` when it has been compacted.
    async fn count(&self, url: &EtcdUrl, prefix: &str, revision: i64) -> PortResult<Option<u64>>;
    /// A linearizable read: it succeeds only while a quorum answers.
    async fn get(&self, url: &EtcdUrl, key: &str) -> PortResult<Option<Vec<u8>>>;
}

/// What a program on a node answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Its exit status.
    pub status: i32,
    /// Its standard output, cut at a bound.
    pub stdout: Vec<u8>,
    /// Its standard error, cut at a bound.
    pub stderr: Vec<u8>,
}

/// A way to run programs on a node; what the adapters of nodes and tools stand on.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait Shell: Send + Sync {
    /// Runs a program that changes nothing.
    async fn query(&self, node: &NodeName, argv: &[String]) -> PortResult<Output>;
    /// Runs a program that changes something.
    async fn effect(&self, permit: &Permit, node: &NodeName, argv: &[String])
    -> PortResult<Output>;
}

/// Time, so that a simulation can own it.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait Clock: Send + Sync {
    /// Time since some fixed moment; never goes back. Deadlines go by it.
    fn monotonic(&self) -> Duration;
    /// The wall clock, for people who read journals; nothing is ever decided by it.
    fn wall(&self) -> jiff::Timestamp;
    /// Waits.
    async fn sleep(&self, time: Duration);
}

/// The clock of the machine this runs on.
#[derive(Debug)]
pub struct SystemClock(std::time::Instant);

impl Default for SystemClock {
    fn default() -> Self {
        Self(std::time::Instant::now())
    }
}

#[async_trait]
impl Clock for SystemClock {
    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }

    fn wall(&self) -> jiff::Timestamp {
        jiff::Timestamp::now()
    }

    async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

/// An embedder's own step: how it is done, looked at, and described to a reviewer.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait OwnHandler: Send + Sync {
    /// The `kind` of the effects it takes.
    fn kind(&self) -> &str;
    /// The exact commands, or words where there are none: a review must be able to read them.
    ///
    /// # Errors
    /// [`AdapterError`] for an effect that it cannot put into either.
    fn render(&self, effect: &OwnEffect) -> PortResult<Vec<Command>>;
    /// Does it.
    async fn perform(&self, permit: &Permit, effect: &OwnEffect) -> PortResult<()>;
    /// Whether it is done; `Err` text says what is missing.
    async fn done(&self, params: &serde_json::Value) -> PortResult<Result<(), String>>;
}

/// Everything outside, in one handle.
#[derive(Clone)]
pub struct Ports {
    /// The cluster manager.
    pub manager: Arc<dyn ClusterManager>,
    /// The nodes.
    pub nodes: Arc<dyn Node>,
    /// etcd's tools.
    pub tool: Arc<dyn EtcdTool>,
    /// etcd's client API.
    pub client: Arc<dyn EtcdClient>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// An embedder's own steps.
    pub own: Vec<Arc<dyn OwnHandler>>,
}

impl Ports {
    /// The handler of an embedder's own step.
    pub fn own(&self, kind: &str) -> Option<&dyn OwnHandler> {
        self.own
            .iter()
            .find(|handler| handler.kind() == kind)
            .map(|handler| &**handler)
    }

    /// Performs an action, with leave to do so.
    pub(crate) async fn perform(&self, permit: &Permit, action: &Action) -> PortResult<()> {
        match action {
            Action::Manager(effect) => self.manager.perform(permit, effect).await,
            Action::Node(effect) => self.nodes.perform(permit, effect).await,
            Action::Tool(effect) => self.tool.perform(permit, effect).await,
            Action::Client(effect) => self.client.perform(permit, effect).await,
            Action::Own(effect) => self.handler(effect)?.perform(permit, effect).await,
        }
    }

    fn handler(&self, effect: &OwnEffect) -> PortResult<&dyn OwnHandler> {
        self.own(&effect.kind).ok_or_else(|| {
            let what = format!("no handler is registered for {}", effect.kind);
            AdapterError::new("own-handler-missing", Certainty::Refused, what)
                .hint("run the plan with the program that made it")
        })
    }
}

impl Render for Ports {
    fn render(&self, action: &Action) -> PortResult<Vec<Command>> {
        match action {
            Action::Manager(effect) => self.manager.render(effect),
            Action::Node(effect) => self.nodes.render(effect),
            Action::Tool(effect) => self.tool.render(effect),
            Action::Client(effect) => self.client.render(effect),
            Action::Own(effect) => self.handler(effect)?.render(effect),
        }
    }
}

impl std::fmt::Debug for Ports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ports").finish_non_exhaustive()
    }
}

/// One command an adapter has run, for the run's log.
#[derive(Debug, Clone)]
pub struct CommandEntry {
    /// The command.
    pub command: Command,
    /// Whether it may change something.
    pub effect: bool,
    /// Its exit status; none when it gave none.
    pub status: Option<i32>,
    /// What it printed, bounded.
    pub output: String,
    /// How long it took.
    pub took: Duration,
}

/// Where adapters report the commands they have run.
pub trait CommandLog: Send + Sync {
    /// Takes note of one.
    fn record(&self, entry: &CommandEntry);
}

/// A log that forgets.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoLog;

impl CommandLog for NoLog {
    fn record(&self, _: &CommandEntry) {}
}
