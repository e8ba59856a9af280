//! Effects: a request travels, its steps happen one by one, the answer travels back.
//!
//! Between two steps the caller may die. Then the request is lost, or goes on by itself, as a remote
//! command does whose connection was cut.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::World;
use super::disk::{Data, Identity, Thing, Tree};
use super::effect::Effect;
use super::state::{Etcd, Happening, Power, Sight, Stage, State, Store};
use super::time::Due;
use crate::digest::Digest;
use crate::error::{AdapterError, Certainty};
use crate::identity;
use crate::names::{AbsPath, NodeName, RunId};
use crate::plan::{Action, ClientEffect, ManagerEffect, NodeEffect, RestoreEffect, ToolEffect};
use crate::ports::PortResult;

#[derive(Debug)]
pub(super) struct Ticket {
    action: Action,
    step: u32,
    answer: Option<PortResult<()>>,
    waker: Option<Waker>,
    orphan: bool,
}

/// Whether there is more to do.
enum Progress {
    Finished,
    More,
}

use Progress::{Finished, More};

/// A request under way; dropping it is the death of its caller.
pub(super) struct Request {
    world: World,
    ticket: u64,
}

impl Request {
    pub(super) fn submit(world: &World, action: Action, travels: Duration) -> Self {
        let mut state = world.state();
        state.next_ticket += 1;
        let ticket = state.next_ticket;
        let entry = Ticket {
            action,
            step: 0,
            answer: None,
            waker: None,
            orphan: false,
        };
        state.tickets.insert(ticket, entry);
        let at = state.now + travels;
        state
            .queue
            .push(at, Due::Happening(Happening::Step(ticket)));
        drop(state);
        Self {
            world: world.clone(),
            ticket,
        }
    }
}

impl Future for Request {
    type Output = PortResult<()>;
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.world.state();
        let Some(ticket) = state.tickets.get_mut(&self.ticket) else {
            return Poll::Pending;
        };
        if let Some(answer) = ticket.answer.take() {
            Poll::Ready(answer)
        } else {
            ticket.waker = Some(cx.waker().clone());
            Poll::Pending
        }
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        let mut state = self.world.state();
        if !state.orphans_land {
            state.tickets.remove(&self.ticket);
        } else if let Some(ticket) = state.tickets.get_mut(&self.ticket) {
            ticket.orphan = true;
        }
    }
}

pub(super) fn refused(code: &'static str, what: impl Into<String>) -> AdapterError {
    AdapterError::new(code, Certainty::Refused, what).hint("look at the node, then resume")
}

/// It does not answer now; it may later.
pub(super) fn not_now(code: &'static str, what: impl Into<String>) -> AdapterError {
    AdapterError::new(code, Certainty::NotDone, what).hint("wait, then resume")
}

pub(super) fn unreachable_node(node: &NodeName) -> AdapterError {
    let what = format!("ssh to {node} does not connect");
    AdapterError::new("ssh-unreachable", Certainty::NotDone, what).hint("power the node on")
}

impl State {
    /// The next step of a request.
    pub(super) fn step(&mut self, id: u64) {
        let Some(ticket) = self.tickets.get(&id) else {
            return;
        };
        let (action, step, orphan) = (ticket.action.clone(), ticket.step, ticket.orphan);
        let answer = match self.apply(&action, step) {
            Ok(More) => {
                if let Some(ticket) = self.tickets.get_mut(&id) {
                    ticket.step += 1;
                }
                self.after(1, 400, Happening::Step(id));
                return;
            }
            Ok(Finished) => Ok(()),
            Err(error) => Err(error),
        };
        if orphan {
            self.tickets.remove(&id);
        } else if let Some(ticket) = self.tickets.get_mut(&id) {
            ticket.answer = Some(answer);
            if let Some(waker) = ticket.waker.take() {
                // It is woken from the queue, as everybody is: not under the lock.
                self.queue.push(self.now, Due::Wake(waker));
            }
        }
    }

    fn apply(&mut self, action: &Action, step: u32) -> PortResult<Progress> {
        match action {
            Action::Manager(effect) => self.manager(effect),
            Action::Node(effect) => self.node_effect(effect, step),
            Action::Tool(ToolEffect::Restore(effect)) => self.restore(effect),
            Action::Client(effect) => self.client(effect),
            Action::Own(own) => Err(refused("own", format!("{} is not of this world", own.kind))),
        }
    }

    fn manager(&mut self, effect: &ManagerEffect) -> PortResult<Progress> {
        match effect {
            ManagerEffect::UnassignRole { nodes, .. } => self.set_role(nodes, false)?,
            ManagerEffect::AssignRole { nodes, .. } => self.set_role(nodes, true)?,
            ManagerEffect::SetDatanode { node, value } => {
                let at = self.known(node)?;
                if self.records.datanode[node] == *value {
                    self.resent(Some(at), action_name(effect));
                } else {
                    self.remember();
                    self.records.datanode.insert(node.clone(), *value);
                    self.log(Some(at), Effect::Datanode(*value));
                }
            }
            ManagerEffect::SetCategoryDatanode { category, value } => {
                if self.records.categories.get(category) == Some(value) {
                    self.resent(None, action_name(effect));
                } else {
                    self.remember();
                    self.records.categories.insert(category.clone(), *value);
                    self.log(None, Effect::CategoryDatanode(category.clone(), *value));
                }
            }
            ManagerEffect::SetNextInstallMode { node, mode } => {
                let at = self.known(node)?;
                if self.records.mode[node] == *mode {
                    self.resent(Some(at), action_name(effect));
                } else {
                    self.remember();
                    self.records.mode.insert(node.clone(), *mode);
                    self.log(Some(at), Effect::mode(*mode));
                }
            }
            ManagerEffect::Reboot { node } => self.reboot(node)?,
            ManagerEffect::PowerOn { node } => {
                let at = self.known(node)?;
                if self.nodes[at].power == Power::Off {
                    self.log(Some(at), Effect::PoweredOn);
                    self.power_on(at);
                } else {
                    self.resent(Some(at), action_name(effect));
                }
            }
        }
        Ok(Finished)
    }

    fn known(&self, node: &NodeName) -> PortResult<usize> {
        self.index(node)
            .ok_or_else(|| refused("node-unknown", format!("there is no {node}")))
    }

    fn resent(&mut self, at: Option<usize>, what: String) {
        self.log(at, Effect::Resent(what));
    }

    fn set_role(&mut self, nodes: &[NodeName], given: bool) -> PortResult<()> {
        self.remember();
        for node in nodes {
            let at = self.known(node)?;
            let changed = if given {
                self.records.overlay.insert(node.clone())
            } else {
                self.records.overlay.remove(node)
            };
            if !changed {
                self.resent(Some(at), format!("role {given}"));
                continue;
            }
            let effect = if given {
                Effect::RoleGiven
            } else {
                Effect::RoleTaken
            };
            self.log(Some(at), effect);
            if given {
                self.watch_role(at);
            }
            let epoch = self.nodes[at].epoch;
            self.after(500, 8_000, Happening::Reconcile(at, epoch));
        }
        Ok(())
    }

    fn reboot(&mut self, node: &NodeName) -> PortResult<()> {
        let at = self.known(node)?;
        match self.nodes[at].power {
            Power::Up { .. } => {
                self.log(Some(at), Effect::Rebooting);
                self.nodes[at].power = Power::GoingDown;
                self.begin_boot(at, Stage::Down);
            }
            Power::GoingDown => self.resent(Some(at), format!("reboot {node}")),
            Power::Off => return Err(refused("node-down", format!("{node} is down"))),
            Power::Booting(word) => {
                self.broken(format!("{node} was rebooted in the middle of {word}"));
                self.begin_boot(at, Stage::Down);
            }
        }
        Ok(())
    }

    /// The node, if ssh answers there.
    pub(super) fn reached(&self, node: &NodeName) -> PortResult<usize> {
        let at = self.known(node)?;
        match self.nodes[at].power {
            Power::Up { ssh: true } | Power::GoingDown => Ok(at),
            _ => Err(unreachable_node(node)),
        }
    }

    fn node_effect(&mut self, effect: &NodeEffect, step: u32) -> PortResult<Progress> {
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
        let held = self.nodes[at].etcd != Etcd::Stopped;
        if held {
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

    /// Starts the restore, or finds it running or done.
    fn restore(&mut self, effect: &RestoreEffect) -> PortResult<Progress> {
        let at = self.reached(&effect.node)?;
        let mark = effect.staging.join("complete");
        let node = &mut self.nodes[at];
        if node.job.is_some() || node.disk.at(&mark).is_some() {
            self.resent(Some(at), "restore".into());
            return Ok(Finished);
        }
        node.disk.remove(&effect.staging);
        node.disk.put(&effect.staging, Thing::Staging);
        node.job_said = None;
        let half = restored_tree(effect, Data::Half);
        node.disk.put(&effect.tree(), Thing::Tree(half));
        node.job = Some(Box::new(effect.clone()));
        let epoch = node.epoch;
        self.log(Some(at), Effect::RestoreStarted);
        self.after(3_000, 30_000, Happening::JobEnds(at, epoch));
        Ok(Finished)
    }

    pub(super) fn job_ends(&mut self, at: usize) {
        let good = self.nodes[at].snapshot != Sight::Missing;
        let Some(effect) = self.nodes[at].job.take() else {
            return;
        };
        let node = &mut self.nodes[at];
        if !good {
            node.job_said = Some("no such snapshot".into());
            self.log(Some(at), Effect::RestoreFailed);
            return;
        }
        let tree = restored_tree(&effect, Data::Restored);
        let db = tree.db;
        node.disk.put(&effect.tree(), Thing::Tree(tree));
        node.disk
            .put(&effect.staging.join("complete"), Thing::Mark(db));
        self.log(Some(at), Effect::RestoreDone);
    }

    fn client(&mut self, effect: &ClientEffect) -> PortResult<Progress> {
        let (ClientEffect::PutCanary { url, .. } | ClientEffect::DeleteCanary { url, .. }) = effect;
        let (at, cluster) = self.quorum_through(url)?;
        let store = self.stores.entry(cluster).or_default();
        let (changed, logged) = match effect {
            ClientEffect::PutCanary { key, value, .. } => {
                let before = store.canaries.insert(key.clone(), value.clone());
                (before.as_ref() != Some(value), Effect::CanaryPut)
            }
            ClientEffect::DeleteCanary { key, .. } => {
                (store.canaries.remove(key).is_some(), Effect::CanaryDeleted)
            }
        };
        bump_if(store, changed);
        if changed {
            self.log(Some(at), logged);
        } else {
            self.resent(Some(at), format!("{logged:?}"));
        }
        Ok(Finished)
    }
}

const fn bump_if(store: &mut Store, changed: bool) {
    if changed {
        store.revision += 1;
    }
}

fn action_name(effect: &ManagerEffect) -> String {
    effect.to_string()
}

/// What `snapshot restore` makes: the same database on every member, an identity from its flags.
fn restored_tree(effect: &RestoreEffect, data: Data) -> Tree {
    let of = |url| identity::member_id(std::slice::from_ref(url), &effect.token);
    let members: Vec<_> = effect
        .initial_cluster
        .iter()
        .map(|(name, url)| (of(url), name.clone(), url.clone()))
        .collect();
    let ids: Vec<_> = members.iter().map(|(id, ..)| *id).collect();
    let identity = Identity {
        cluster: identity::cluster_id(&ids),
        member: of(&effect.peer_url),
        members,
    };
    let db = format!("{} {:?}", effect.sha256, effect.revision_bump);
    Tree {
        data,
        identity,
        owner: "root:root".into(),
        mode: 0o755,
        strangers: 3,
        db: Digest::of(db.as_bytes()),
    }
}
