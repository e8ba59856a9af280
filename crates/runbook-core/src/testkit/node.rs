//! A node: its service, its ports, and what stands on its disk.

use async_trait::async_trait;

use super::World;
use super::disk::{Data, Thing};
use super::effect::Effect;
use super::render;
use super::state::{Etcd, Happening, NodeState, Power, Sight, State};
use super::work::{Finished, More, Progress, refused};
use crate::error::{AdapterError, Certainty};
use crate::journal::Permit;
use crate::names::{AbsPath, NodeName, Owner, RunId, ServiceName};
use crate::plan::{Action, Command, NodeEffect};
use crate::platform::{ApiServer, MANIFEST};
use crate::ports::{Node, OLD_DATA_GONE, PortResult};
use crate::world::{BootId, Room, SeenSnapshot, ServiceState, SpoolState, TreeState};

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
            let there = state.on(&node)?.disk.at(&path).is_some();
            Ok(there || path.as_str() == MANIFEST && state.has_manifest(&node))
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

    async fn api_server(&self, node: &NodeName) -> PortResult<Option<ApiServer>> {
        let node = node.clone();
        self.ask("the API server", move |state| {
            state.on(&node)?;
            let role = state.setup.platform.api_server_role.as_ref();
            let static_pod = state.has_manifest(&node);
            let runs = static_pod || role.is_some_and(|role| role.nodes.contains(&node));
            Ok(runs.then(|| ApiServer {
                static_pod,
                etcd_servers: state.etcd_servers(),
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

impl State {
    pub(super) fn node_effect(&mut self, effect: &NodeEffect, step: u32) -> PortResult<Progress> {
        let at = self.reached(effect.node())?;
        match effect {
            NodeEffect::StopService { .. } => {
                self.stop_service(at);
                Ok(Finished)
            }
            NodeEffect::ClearFailures { .. } => {
                if std::mem::take(&mut self.nodes[at].limited) {
                    self.log(Some(at), Effect::FailuresCleared);
                } else {
                    self.resent(Some(at), "clear failures".into());
                }
                Ok(Finished)
            }
            NodeEffect::SetAside {
                spool, aside, run, ..
            } => match step {
                0 => self.moves_aside(at, spool, aside),
                _ => self.guard(at, spool, *run),
            },
            NodeEffect::PlaceGuard {
                spool,
                run,
                instead_of,
                ..
            } => {
                let found = self.nodes[at].disk.at(spool);
                // The new name is laid over the old one in a single step: never is there no guard.
                if matches!((found, instead_of), (Some(Thing::Guard(held)), Some(over)) if held == over)
                {
                    self.nodes[at].disk.put(spool, Thing::Guard(*run));
                    self.log(Some(at), Effect::Guarded);
                    return Ok(Finished);
                }
                self.guard(at, spool, *run)
            }
            NodeEffect::OwnTree { tree, owner, .. } => self.own(at, tree, owner.as_str(), step),
            NodeEffect::Arm {
                staged, spool, run, ..
            } => {
                if step == 0 {
                    self.unguard(at, spool, *run, staged)
                } else {
                    self.moves(at, staged, spool, Effect::Armed)?;
                    Ok(Finished)
                }
            }
            NodeEffect::Disarm {
                staged, spool, run, ..
            } => match step {
                0 => self.disarms(at, staged, spool),
                _ => self.guard(at, spool, *run),
            },
            NodeEffect::ReturnSpool {
                spool, aside, run, ..
            } => {
                if step == 0 {
                    self.unguard(at, spool, *run, aside)
                } else {
                    self.moves(at, aside, spool, Effect::Returned)?;
                    Ok(Finished)
                }
            }
        }
    }

    pub(super) fn on(&self, node: &NodeName) -> PortResult<&NodeState> {
        Ok(&self.nodes[self.reached(node)?])
    }

    /// The node, if ssh answers there.
    pub(super) fn reached(&self, node: &NodeName) -> PortResult<usize> {
        let at = self.known(node)?;
        match self.nodes[at].power {
            Power::Up { ssh: true } | Power::GoingDown if !self.is_cut_off(at) => Ok(at),
            _ => Err(unreachable_node(node)),
        }
    }

    fn stop_service(&mut self, at: usize) {
        if self.nodes[at].etcd == Etcd::Stopped {
            self.resent(Some(at), "stop".into());
            return;
        }
        self.nodes[at].etcd = Etcd::Stopped;
        self.log(Some(at), Effect::ServiceStopped);
        // While the role is there, the cluster manager starts it again.
        let epoch = self.nodes[at].epoch;
        self.after(500, 8_000, Happening::Reconcile(at, epoch));
    }

    fn moves_aside(&mut self, at: usize, spool: &AbsPath, aside: &AbsPath) -> PortResult<Progress> {
        let disk = &self.nodes[at].disk;
        match (disk.tree(spool).is_some(), disk.at(aside).is_some()) {
            (true, true) => Err(refused("aside-taken", format!("{aside} is there already"))),
            (true, false) => {
                self.moves(at, spool, aside, Effect::MovedAside)?;
                Ok(More)
            }
            (false, true) => Ok(More),
            (false, false) => Err(refused("spool-gone", format!("nothing at {spool}"))),
        }
    }

    fn guard(&mut self, at: usize, spool: &AbsPath, run: RunId) -> PortResult<Progress> {
        match self.nodes[at].disk.at(spool) {
            None | Some(Thing::EmptyDirectory) => {
                self.nodes[at].disk.put(spool, Thing::Guard(run));
                self.log(Some(at), Effect::Guarded);
                Ok(Finished)
            }
            Some(Thing::Guard(held)) if *held == run => {
                self.resent(Some(at), "guard".into());
                Ok(Finished)
            }
            Some(_) => Err(refused("spool-taken", format!("{spool} is taken"))),
        }
    }

    /// Takes the guard away, if what is to replace it is there.
    fn unguard(
        &mut self,
        at: usize,
        spool: &AbsPath,
        run: RunId,
        by: &AbsPath,
    ) -> PortResult<Progress> {
        let disk = &mut self.nodes[at].disk;
        let ready = disk.tree(by).is_some();
        match disk.at(spool) {
            Some(Thing::Guard(held)) if *held == run && ready => {
                disk.remove(spool);
                self.log(Some(at), Effect::Unguarded);
                Ok(More)
            }
            None if ready => Ok(More),
            Some(Thing::Tree(_)) if !ready => {
                self.resent(Some(at), "unguard".into());
                Ok(Finished)
            }
            None if !ready => Err(refused(OLD_DATA_GONE, format!("nothing lies at {by}"))),
            _ => Err(refused(
                "not-the-guard",
                format!("{spool} is not as expected"),
            )),
        }
    }

    fn disarms(&mut self, at: usize, staged: &AbsPath, spool: &AbsPath) -> PortResult<Progress> {
        let disk = &self.nodes[at].disk;
        let restored = disk
            .tree(spool)
            .is_some_and(|tree| tree.data == Data::Restored);
        if restored {
            self.moves(at, spool, staged, Effect::Disarmed)?;
        } else if disk.tree(spool).is_some() {
            return Err(refused(
                "not-restored",
                format!("{spool} holds no restored tree"),
            ));
        }
        Ok(More)
    }

    fn moves(&mut self, at: usize, from: &AbsPath, to: &AbsPath, effect: Effect) -> PortResult<()> {
        let scar = self.scars.of(at);
        let by_hand = scar.etcd_by_hand || scar.role_by_hand;
        if self.nodes[at].etcd != Etcd::Stopped && !by_hand {
            self.broken(format!("{from} was moved while etcd was running"));
        }
        if !self.nodes[at].disk.rename(from, to) {
            return Err(refused(
                "rename",
                format!("{from} cannot be renamed to {to}"),
            ));
        }
        let armed = effect == Effect::Armed;
        self.log(Some(at), effect);
        if armed {
            self.watch_arm(at);
        }
        Ok(())
    }

    fn own(&mut self, at: usize, path: &AbsPath, owner: &str, step: u32) -> PortResult<Progress> {
        let Some(tree) = self.nodes[at].disk.tree_mut(path) else {
            return Err(refused("no-tree", format!("there is no {path}")));
        };
        if step == 0 {
            (tree.owner, tree.strangers) = (owner.into(), 0);
            return Ok(More);
        }
        let changed = tree.mode != 0o700;
        tree.mode = 0o700;
        if changed {
            self.log(Some(at), Effect::Owned);
        } else {
            self.resent(Some(at), "own".into());
        }
        Ok(Finished)
    }
}

fn unreachable_node(node: &NodeName) -> AdapterError {
    let what = format!("ssh to {node} does not connect");
    AdapterError::new("ssh-unreachable", Certainty::NotDone, what).hint("power the node on")
}

impl State {
    /// A wipe takes it away.
    fn has_manifest(&self, node: &NodeName) -> bool {
        let wiped = self.index(node).is_some_and(|at| self.nodes[at].wipes > 0);
        self.setup.platform.static_pods.contains(node) && !wiped
    }

    /// As the cluster manager writes them: those that have the role.
    fn etcd_servers(&self) -> Vec<String> {
        let told = |node: &&NodeState| {
            !self.etcd_servers_lost && self.records.overlay.contains(&node.name)
        };
        let nodes = self.nodes.iter().filter(told);
        nodes.map(|node| node.client_url.to_string()).collect()
    }
}
