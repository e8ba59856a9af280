//! The ports of the fake world.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::World;
use super::disk::{Data, Identity, Thing, Tree};
use super::effect::Effect;
use super::faults::Fault;
use super::render;
use super::state::{Etcd, NodeState, Power, Sight, State};
use super::time::Pause;
use super::work::{Request, not_now, refused};
use crate::digest::Digest;
use crate::error::{AdapterError, Certainty};
use crate::journal::Permit;
use crate::names::{
    AbsPath, CategoryName, EtcdUrl, ModuleName, NodeName, OverlayName, Owner, RunId, ServiceName,
};
use crate::plan::{Action, ClientEffect, Command, ManagerEffect, NodeEffect, ToolEffect};
use crate::ports::{Clock, ClusterManager, EtcdClient, EtcdTool, Node, PortResult, Ports};
use crate::version::RestoreTool;
use crate::world::{
    BootId, BumpRule, Device, DeviceStatus, EtcdRole, HashKv, HeadRole, ListedMember, MemberStatus,
    RecordedRevision, RoleHolder, RoleSource, Room, SeenSnapshot, ServiceState, SnapshotProof,
    SpoolState, Staged, ToolVersions, TreeState,
};

impl World {
    /// Every port, on this world.
    pub fn ports(&self) -> Ports {
        Ports {
            manager: Arc::new(self.clone()),
            nodes: Arc::new(self.clone()),
            tool: Arc::new(self.clone()),
            client: Arc::new(self.clone()),
            clock: Arc::new(self.clone()),
            own: Vec::new(),
        }
    }

    async fn travel(&self, fault: Option<Fault>) {
        let most = if fault == Some(Fault::Slow) {
            20_000
        } else {
            60
        };
        let time = self.state().rng.millis(1, most);
        Pause::new(self, time).await;
    }

    async fn ask<T>(
        &self,
        what: &str,
        answer: impl FnOnce(&mut State) -> PortResult<T> + Send,
    ) -> PortResult<T> {
        let fault = self.state().faults.question();
        self.travel(fault).await;
        let answer = match fault {
            Some(Fault::NotDone) => Err(not_now("busy", format!("{what}: busy"))),
            Some(Fault::AnswerLost) => Err(lost(what)),
            Some(Fault::Stale) => self.state().as_before(answer),
            _ => answer(&mut self.state()),
        };
        self.travel(None).await;
        answer
    }

    async fn effect(&self, action: Action) -> PortResult<()> {
        let what = action.to_string();
        let fault = self.state().faults.effect();
        match fault {
            Some(Fault::NotDone) => {
                self.travel(fault).await;
                return Err(not_now("busy", format!("{what}: busy")));
            }
            Some(Fault::Refused) => {
                self.travel(fault).await;
                return Err(refused("refused", format!("{what}: refused")));
            }
            Some(Fault::RequestLost) => {
                self.travel(Some(Fault::Slow)).await;
                return Err(lost(&what));
            }
            _ => {}
        }
        let travels = self.state().rng.millis(1, 60);
        let answer = Request::submit(self, action, travels).await;
        self.travel(fault).await;
        if fault == Some(Fault::AnswerLost) {
            return Err(lost(&what));
        }
        answer
    }
}

fn lost(what: &str) -> AdapterError {
    let what = format!("{what}: the connection broke");
    AdapterError::new("connection-lost", Certainty::Unknown, what).hint("resume")
}

impl State {
    /// Answers from the records of before the last change, if that was a moment ago.
    fn as_before<T>(&mut self, answer: impl FnOnce(&mut Self) -> PortResult<T>) -> PortResult<T> {
        const LAG: Duration = Duration::from_secs(4);
        let Some((_, old)) = self.stale.take_if(|(at, _)| *at + LAG > self.now) else {
            return answer(self);
        };
        let now = std::mem::replace(&mut self.records, old);
        let answer = answer(self);
        self.records = now;
        answer
    }

    fn sources(&self, node: &NodeName) -> Vec<RoleSource> {
        let held = self.records.overlay.contains(node);
        held.then(|| RoleSource::OverlayNode(self.setup.overlay.clone()))
            .into_iter()
            .collect()
    }

    fn on(&self, node: &NodeName) -> PortResult<&NodeState> {
        Ok(&self.nodes[self.reached(node)?])
    }

    /// The running member behind a client URL.
    pub(super) fn serving(&self, url: &EtcdUrl) -> PortResult<(usize, &Identity)> {
        let found = self
            .nodes
            .iter()
            .enumerate()
            .find(|(_, n)| n.client_url == *url);
        match found {
            Some((at, node)) => match &node.etcd {
                Etcd::Serving(identity, _) => Ok((at, identity)),
                _ => Err(not_now(
                    "etcd-unreachable",
                    format!("{url} does not answer"),
                )),
            },
            None => Err(refused("etcd-unknown", format!("no member at {url}"))),
        }
    }

    fn data(&self, at: usize) -> Data {
        match &self.nodes[at].etcd {
            Etcd::Serving(_, data) => *data,
            _ => Data::Empty,
        }
    }

    fn keys(&self, at: usize, prefix: &str) -> u64 {
        let content = &self.setup.snapshot.content;
        let all = if prefix.is_empty() {
            content.live_keys
        } else {
            content.registry_keys
        };
        match self.data(at) {
            Data::Restored => all,
            Data::Old { .. } => all + 10,
            Data::Half => all / 2,
            Data::Empty => 0,
        }
    }
}

#[async_trait]
impl ClusterManager for World {
    fn render(&self, effect: &ManagerEffect) -> PortResult<Vec<Command>> {
        Ok(render::manager(effect))
    }

    async fn perform(&self, _: &Permit, effect: &ManagerEffect) -> PortResult<()> {
        self.effect(Action::Manager(effect.clone())).await
    }

    async fn head_role(&self) -> PortResult<HeadRole> {
        self.ask("cmha status", |_| Ok(HeadRole::Single)).await
    }

    async fn etcd_role(&self, _: Option<OverlayName>, nodes: &[NodeName]) -> PortResult<EtcdRole> {
        let nodes = nodes.to_vec();
        self.ask("the role", move |state| {
            let asked = |node: &&NodeState| {
                nodes.contains(&node.name) || state.records.overlay.contains(&node.name)
            };
            let holders = state.nodes.iter().filter(asked).map(|node| RoleHolder {
                node: node.name.clone(),
                member: node.member.clone(),
                peer_url: node.peer_url.clone(),
                client_url: node.client_url.clone(),
                sources: state.sources(&node.name),
            });
            Ok(EtcdRole {
                overlay: state.setup.overlay.clone(),
                spool: state.setup.spool.clone(),
                holders: holders.collect(),
            })
        })
        .await
    }

    async fn role_sources(&self, nodes: &[NodeName]) -> PortResult<Vec<Vec<RoleSource>>> {
        let nodes = nodes.to_vec();
        self.ask("the role's sources", move |state| {
            Ok(nodes.iter().map(|node| state.sources(node)).collect())
        })
        .await
    }

    async fn device(&self, node: &NodeName) -> PortResult<Device> {
        let name = node.clone();
        self.ask("the device", move |state| {
            let at = state.index(&name);
            let at = at.ok_or_else(|| refused("node-unknown", format!("there is no {name}")))?;
            let node = &state.nodes[at];
            Ok(Device {
                category: node.category.clone(),
                head_node: false,
                status: match node.power {
                    Power::Up { .. } | Power::GoingDown => DeviceStatus::Up,
                    Power::Off => DeviceStatus::Down,
                    Power::Booting(word) => DeviceStatus::Booting(word.into()),
                },
                datanode: state.records.datanode[&name],
                category_datanode: state.records.categories[&node.category],
                next_install_mode: state.records.mode[&name],
            })
        })
        .await
    }

    async fn category(&self, category: &CategoryName) -> PortResult<(bool, Vec<NodeName>)> {
        let category = category.clone();
        self.ask("the category", move |state| {
            let value = state.records.categories.get(&category).copied();
            let value = value.ok_or_else(|| refused("category-unknown", "no such category"))?;
            let of = |node: &&NodeState| node.category == category;
            let nodes = state.nodes.iter().filter(of).map(|n| n.name.clone());
            Ok((value, nodes.collect()))
        })
        .await
    }
}

#[async_trait]
impl Node for World {
    fn render(&self, effect: &NodeEffect) -> PortResult<Vec<Command>> {
        Ok(render::node(effect))
    }

    async fn perform(&self, _: &Permit, effect: &NodeEffect) -> PortResult<()> {
        self.effect(Action::Node(effect.clone())).await
    }

    async fn boot_id(&self, node: &NodeName) -> PortResult<Option<BootId>> {
        let node = node.clone();
        self.ask("the boot id", move |state| {
            let Ok(at) = state.reached(&node) else {
                return Ok(None);
            };
            // A node that is told to reboot is still of its old boot.
            let going = u64::from(state.nodes[at].power == Power::GoingDown);
            let boot = state.nodes[at].epoch - going;
            Ok(Some(BootId(format!("{node}-boot-{boot}"))))
        })
        .await
    }

    async fn spool(&self, node: &NodeName, spool: &AbsPath) -> PortResult<SpoolState> {
        let (node, spool) = (node.clone(), spool.clone());
        self.ask("the spool", move |state| {
            Ok(state.on(&node)?.disk.spool(&spool))
        })
        .await
    }

    async fn exists(&self, node: &NodeName, path: &AbsPath) -> PortResult<bool> {
        let (node, path) = (node.clone(), path.clone());
        self.ask("a path", move |state| {
            Ok(state.on(&node)?.disk.at(&path).is_some())
        })
        .await
    }

    async fn service(&self, node: &NodeName, _: &ServiceName) -> PortResult<ServiceState> {
        let node = node.clone();
        self.ask("the service", move |state| {
            let node = state.on(&node)?;
            Ok(match node.etcd {
                Etcd::Stopped if node.limited => ServiceState::Failed,
                Etcd::Stopped => ServiceState::Inactive,
                Etcd::Failing | Etcd::Serving(..) => ServiceState::Active,
            })
        })
        .await
    }

    async fn listening(&self, node: &NodeName, ports: &[u16]) -> PortResult<Vec<u16>> {
        let (node, ports) = (node.clone(), ports.to_vec());
        self.ask("the ports", move |state| {
            Ok(match state.on(&node)?.etcd {
                Etcd::Serving(..) => ports,
                Etcd::Stopped | Etcd::Failing => Vec::new(),
            })
        })
        .await
    }

    async fn snapshot(
        &self,
        node: &NodeName,
        _: &AbsPath,
        _: &AbsPath,
    ) -> PortResult<Option<SeenSnapshot>> {
        let node = node.clone();
        self.ask("the snapshot", move |state| {
            let sight = state.on(&node)?.snapshot;
            let snapshot = &state.setup.snapshot;
            Ok((sight != Sight::Missing).then_some(SeenSnapshot {
                size_bytes: snapshot.size_bytes,
                trailer: snapshot.sha256,
                on_wiped_disk: sight == Sight::OwnDisk,
            }))
        })
        .await
    }

    async fn knows_owner(&self, node: &NodeName, owner: &Owner) -> PortResult<bool> {
        let (node, known) = (node.clone(), owner.as_str() == "etcd:etcd");
        self.ask("the owner", move |state| state.on(&node).map(|_| known))
            .await
    }

    async fn knows_service(&self, node: &NodeName, service: &ServiceName) -> PortResult<bool> {
        let (node, known) = (node.clone(), service.as_str() == "etcd");
        self.ask("the unit", move |state| state.on(&node).map(|_| known))
            .await
    }

    async fn room(&self, node: &NodeName, _: &AbsPath) -> PortResult<Room> {
        let node = node.clone();
        self.ask("the room", move |state| {
            state.on(&node)?;
            Ok(Room {
                disk_bytes: 1 << 40,
                inodes: 1 << 20,
                memory_bytes: 1 << 36,
            })
        })
        .await
    }

    async fn tree(&self, node: &NodeName, tree: &AbsPath) -> PortResult<TreeState> {
        let (node, path) = (node.clone(), tree.clone());
        self.ask("a tree", move |state| {
            let tree = state.on(&node)?.disk.tree(&path);
            let tree = tree.ok_or_else(|| refused("no-tree", format!("there is no {path}")))?;
            Ok(TreeState {
                owner: tree.owner.clone(),
                mode: tree.mode,
                strangers: tree.strangers,
            })
        })
        .await
    }
}

#[async_trait]
impl EtcdTool for World {
    fn render(&self, effect: &ToolEffect) -> PortResult<Vec<Command>> {
        Ok(render::tool(effect))
    }

    async fn perform(&self, _: &Permit, effect: &ToolEffect) -> PortResult<()> {
        self.effect(Action::Tool(effect.clone())).await
    }

    async fn prove(&self, path: &AbsPath, bump: Option<BumpRule>) -> PortResult<SnapshotProof> {
        let path = path.clone();
        self.ask("the proof", move |state| {
            if path != state.setup.snapshot.path {
                return Err(refused("snapshot-missing", format!("there is no {path}")));
            }
            state.proofs += 1;
            let mut proof = state.setup.snapshot.clone();
            proof.content.bumped = bump.map(|rule| state.setup.bumped(rule));
            Ok(proof)
        })
        .await
    }

    async fn recorded(&self, _: &AbsPath) -> PortResult<Option<RecordedRevision>> {
        self.ask("the record", |state| Ok(state.setup.recorded))
            .await
    }

    async fn tools(&self, node: &NodeName, _: Option<ModuleName>) -> PortResult<ToolVersions> {
        let node = node.clone();
        self.ask("the tools", move |state| {
            state.on(&node)?;
            let version = state.setup.version;
            let utl = version.restore_tool() == RestoreTool::Etcdutl;
            Ok(ToolVersions {
                module: super::module(version),
                etcd: version,
                etcdctl: Some(version),
                etcdutl: utl.then_some(version),
            })
        })
        .await
    }

    async fn staged(&self, node: &NodeName, staging: &AbsPath, _: RunId) -> PortResult<Staged> {
        let (node, staging) = (node.clone(), staging.clone());
        self.ask("the restore", move |state| {
            let node = state.on(&node)?;
            let there = node.disk.at(&staging).is_some();
            let tree = node.disk.tree(&staging.join("data"));
            Ok(match (node.disk.at(&staging.join("complete")), tree) {
                (Some(Thing::Mark(db)), Some(_)) => Staged::Complete(*db),
                (Some(Thing::Mark(db)), None) => Staged::Taken(*db),
                _ if node.job.is_some() => Staged::Running,
                _ => match &node.job_said {
                    Some(said) => Staged::Failed(said.clone()),
                    None if there => Staged::Partial,
                    None => Staged::Nothing,
                },
            })
        })
        .await
    }

    async fn db_digest(&self, node: &NodeName, dir: &AbsPath) -> PortResult<Option<Digest>> {
        let (node, dir) = (node.clone(), dir.clone());
        self.ask("the database", move |state| {
            Ok(state.on(&node)?.disk.tree(&dir).map(|tree: &Tree| tree.db))
        })
        .await
    }
}

#[async_trait]
impl EtcdClient for World {
    fn render(&self, effect: &ClientEffect) -> PortResult<Vec<Command>> {
        Ok(render::client(effect))
    }

    async fn perform(&self, _: &Permit, effect: &ClientEffect) -> PortResult<()> {
        self.effect(Action::Client(effect.clone())).await
    }

    async fn credentials(&self) -> PortResult<String> {
        self.ask("the credentials", |_| {
            Ok("the fake world asks for none".into())
        })
        .await
    }

    async fn status(&self, url: &EtcdUrl) -> PortResult<MemberStatus> {
        let url = url.clone();
        self.ask("the status", move |state| {
            let (_, identity) = state.serving(&url)?;
            let quorum = state.running(identity.cluster) * 2 > identity.members.len();
            let leader = identity.members.iter().map(|(id, ..)| *id).min();
            let revision = state
                .stores
                .get(&identity.cluster)
                .map_or(0, |s| s.revision);
            Ok(MemberStatus {
                cluster: identity.cluster,
                member: identity.member,
                leader: leader.filter(|_| quorum),
                revision,
                version: state.setup.version,
                errors: Vec::new(),
            })
        })
        .await
    }

    async fn members(&self, url: &EtcdUrl) -> PortResult<Vec<ListedMember>> {
        let url = url.clone();
        self.ask("the members", move |state| {
            let (_, identity) = state.serving(&url)?;
            let listed = |(id, name, peer): &(_, crate::names::MemberName, EtcdUrl)| ListedMember {
                id: *id,
                name: name.to_string(),
                peer_urls: vec![peer.to_string()],
                learner: false,
            };
            Ok(identity.members.iter().map(listed).collect())
        })
        .await
    }

    async fn alarms(&self, url: &EtcdUrl) -> PortResult<Vec<String>> {
        let url = url.clone();
        self.ask("the alarms", move |state| {
            state.serving(&url).map(|_| Vec::new())
        })
        .await
    }

    async fn hash_kv(&self, url: &EtcdUrl, revision: i64) -> PortResult<Option<HashKv>> {
        let url = url.clone();
        self.ask("the hash", move |state| {
            let (at, _) = state.serving(&url)?;
            let content = &state.setup.snapshot.content;
            let (first, hash, compact_revision) = match state.setup.restored_as() {
                None => (content.revision, content.hash_kv, content.compact_revision),
                Some(bumped) => (bumped.revision, bumped.hash_kv, bumped.revision),
            };
            let same = state.data(at) == Data::Restored && revision == first;
            let other = u32::try_from(revision.rem_euclid(1 << 31)).unwrap_or(0);
            Ok(Some(HashKv {
                hash: if same { hash } else { other },
                compact_revision,
            }))
        })
        .await
    }

    async fn count(&self, url: &EtcdUrl, prefix: &str, _: i64) -> PortResult<Option<u64>> {
        let (url, prefix) = (url.clone(), prefix.to_owned());
        self.ask("the keys", move |state| {
            let (at, _) = state.serving(&url)?;
            Ok(Some(state.keys(at, &prefix)))
        })
        .await
    }

    async fn get(&self, url: &EtcdUrl, key: &str) -> PortResult<Option<Vec<u8>>> {
        let (url, key) = (url.clone(), key.to_owned());
        self.ask("a key", move |state| {
            let (_, cluster) = state.quorum_through(&url)?;
            let value = state
                .stores
                .get(&cluster)
                .and_then(|s| s.canaries.get(&key));
            Ok(value.map(|value| value.clone().into_bytes()))
        })
        .await
    }
}

#[async_trait]
impl Clock for World {
    fn monotonic(&self) -> Duration {
        self.state().now
    }

    fn wall(&self) -> jiff::Timestamp {
        let day = jiff::Timestamp::from_second(1_800_000_000).unwrap_or_default();
        let now = i64::try_from(self.state().now.as_millis()).unwrap_or(i64::MAX);
        day.checked_add(jiff::SignedDuration::from_millis(now))
            .unwrap_or(day)
    }

    async fn sleep(&self, time: Duration) {
        Pause::new(self, time).await;
    }
}

impl World {
    /// Cuts a node's power in the middle of whatever it does; it comes back by itself.
    pub fn lose_power(&self, node: &NodeName) {
        let mut state = self.state();
        if let Some(at) = state.index(node) {
            state.lose_power(at);
        }
    }

    /// Somebody powers a node on who should not have.
    pub fn power_on(&self, node: &NodeName) {
        let mut state = self.state();
        if let Some(at) = state.index(node) {
            state.power_on(at);
        }
    }

    /// Somebody powers a node off.
    pub fn power_off(&self, node: &NodeName) {
        let mut state = self.state();
        if let Some(at) = state.index(node) {
            state.power_off(at);
        }
    }

    /// The shared storage with the snapshot goes away from a node.
    pub fn lose_mount(&self, node: &NodeName) {
        self.see(node, Sight::Missing);
    }

    /// The shared storage with the snapshot is mounted on a node again.
    pub fn mount(&self, node: &NodeName) {
        self.see(node, Sight::Shared);
    }

    fn see(&self, node: &NodeName, sight: Sight) {
        let mut state = self.state();
        if let Some(at) = state.index(node) {
            state.nodes[at].snapshot = sight;
        }
    }

    /// How often something of this kind happened, on whichever node.
    pub fn times(&self, effect: &Effect) -> usize {
        let state = self.state();
        state.log.iter().filter(|l| l.effect == *effect).count()
    }
}
