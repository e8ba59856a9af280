//! The watcher: the rules no run may break, looked at whenever something happens.
//!
//! What a run says of itself is heard (`heard.rs`): where it says that its guard stands, it has to.

use super::disk::{Data, Thing};
use super::effect::Effect;
use super::incident::A_LOOK;
use super::state::Etcd;
use super::state::{Power, State};
use super::work::not_now;
use crate::identity::ClusterId;
use crate::names::{EtcdUrl, RunId};
use crate::ports::PortResult;
use crate::world::InstallMode;

impl State {
    /// Nothing is wiped before the snapshot is proven, twice, or while etcd could start.
    pub(super) fn watch_wipe(&mut self, at: usize) {
        let name = self.nodes[at].name.clone();
        let scar = self.scars.of(at);
        // A boot of its own finds what the run has set: that had to be safe when it was set.
        if scar.boot_by_hand && scar.leave_by_hand {
            return;
        }
        let found = if scar.boot_by_hand {
            self.undone_proofs
        } else {
            0
        };
        if self.proofs + found == 0 {
            self.broken(format!("{name} was wiped before the snapshot was proven"));
        }
        // A node that lost its power before its installation was over is installed anew.
        let again = self.nodes[at].installs > 0 && !scar.boot_by_hand;
        if again && !std::mem::take(&mut self.scars.at(at).cut_short) {
            self.broken(format!("{name} was wiped again"));
        }
        for other in 0..self.nodes.len() {
            if self.scars.of(other).role_by_hand {
                continue;
            }
            let of = self.nodes[other].name.clone();
            if self.holds_role(other) {
                self.broken(format!("{name} was wiped while {of} had the role"));
            }
            if matches!(self.nodes[other].etcd, Etcd::Serving(..)) {
                self.broken(format!("{name} was wiped while etcd served on {of}"));
            }
        }
    }

    /// A reboot that a run has sent finds FULL, for the wipe, or SKIP, for the way back: a sync takes away what
    /// the image does not have, the old data aside perhaps.
    pub(super) fn watch_boot(&mut self, at: usize, mode: Option<InstallMode>) {
        let sent = std::mem::take(&mut self.nodes[at].sent);
        let kept = matches!(mode, Some(InstallMode::Full | InstallMode::Skip));
        let old = |thing: &Thing| matches!(thing, Thing::Tree(tree) if matches!(tree.data, Data::Old { .. }));
        let scar = self.scars.of(at);
        if sent && !kept && !scar.mode_cleared && self.nodes[at].disk.things().any(old) {
            let name = self.nodes[at].name.clone();
            self.broken(format!(
                "{name} was rebooted into a sync, with old data on its disk"
            ));
        }
    }

    /// Nobody wipes what the run has restored, from when it is armed; where the spec never exposes it, ever.
    pub(super) fn watch_restored(&mut self, at: usize) {
        if self.nodes[at].restored && (self.is_armed(at) || self.never_exposes()) {
            let name = self.nodes[at].name.clone();
            self.broken(format!("{name} was wiped, and held the restored data"));
        }
    }

    /// A run has said that its guard stands there. It had looked a moment before.
    pub(super) fn holds(&mut self, at: usize, run: RunId) {
        if self.scars.just_taken(at, self.now) {
            return;
        }
        self.scars.at(at).disk_by_hand = false;
        self.scars.held.insert(at, run);
    }

    /// Its guard goes: by the run's own will, by a hand, or with the disk.
    pub(super) fn lets_go(&mut self, at: usize) {
        self.scars.held.remove(&at);
    }

    /// Restore begins: whatever the run did before, its guard stands on every member by now.
    pub(super) fn holds_all(&mut self, run: RunId) {
        if std::mem::replace(&mut self.scars.all_held, true) {
            return;
        }
        for at in 0..self.nodes.len() {
            if !self.scars.of(at).disk_by_hand {
                self.holds(at, run);
            }
        }
    }

    /// Where a run has said that its guard stands, it does, until the run itself begins to take it away.
    fn watch_guards(&mut self) {
        let spool = &self.setup.spool;
        let stands = |(at, run): &(&usize, &RunId)| matches!(self.nodes[**at].disk.at(spool), Some(Thing::Guard(held)) if held == *run);
        let Some((at, _)) = self.scars.held.iter().find(|held| !stands(held)) else {
            return;
        };
        let (at, name) = (*at, self.nodes[*at].name.clone());
        self.lets_go(at);
        self.broken(format!("{name} has lost its guard"));
    }

    /// Looked at behind everything that happens: what serves is the old cluster as it was, or the
    /// restored one, and never both.
    pub(super) fn watch(&mut self) {
        self.watch_guards();
        let (mut old, mut restored) = (None, None);
        for at in 0..self.nodes.len() {
            if !matches!(self.nodes[at].etcd, Etcd::Serving(..)) {
                self.scars.stopped(at);
                continue;
            }
            match self.nodes[at].etcd {
                Etcd::Serving(_, Data::Old { .. }) => old = Some(at),
                Etcd::Serving(_, Data::Restored) => restored = Some(at),
                Etcd::Serving(_, Data::Empty | Data::Half) if !self.scars.excuses(at) => {
                    let name = self.nodes[at].name.clone();
                    self.broken(format!("etcd serves less than the snapshot on {name}"));
                }
                _ => {}
            }
        }
        if let (Some(old), Some(restored)) = (old, restored)
            && !self.scars.excuses(old)
            && !self.scars.excuses(restored)
        {
            let (old, restored) = (&self.nodes[old].name, &self.nodes[restored].name);
            let rule = format!("{old} serves old data beside {restored}, which is restored");
            self.broken(rule);
        }
    }

    /// API servers take what they find for what is wanted.
    pub(super) fn watch_workloads(&mut self, at: usize) {
        if let Etcd::Serving(_, Data::Empty | Data::Half) = self.nodes[at].etcd {
            self.log(Some(at), Effect::WorkloadsEnded);
            if !self.scars.excuses(at) {
                let name = self.nodes[at].name.clone();
                self.broken(format!("Kubernetes ended every workload, after {name}"));
            }
        }
    }

    /// Nobody takes the role from a quorum that serves, unless the spec says so, or it has only just begun to.
    pub(super) fn watch_quorum(&mut self) {
        let just_begun = self
            .log
            .iter()
            .any(|logged| logged.effect == Effect::EtcdServes && self.now < logged.at + A_LOOK);
        if self.setup.spec.allow.quorum.is_none() && !just_begun && self.old_quorum() {
            self.broken("the role was taken while a quorum of the old cluster served");
        }
    }

    /// Whether a quorum of the old cluster serves, whoever can see it.
    pub(super) fn old_quorum(&self) -> bool {
        self.nodes.iter().any(|node| match &node.etcd {
            Etcd::Serving(identity, Data::Old { .. }) => {
                self.running(identity.cluster) * 2 > identity.members.len()
            }
            _ => false,
        })
    }

    /// No member is armed before every member is restored.
    pub(super) fn watch_arm(&mut self, at: usize) {
        let spool = self.setup.spool.clone();
        let name = self.nodes[at].name.clone();
        let behind = (0..self.nodes.len()).find(|at| {
            let restored = self.nodes[*at].disk.things().any(Thing::is_restored);
            !restored && !self.scars.of(*at).restored_lost
        });
        if let Some(behind) = behind {
            let behind = self.nodes[behind].name.clone();
            self.broken(format!("{name} was armed before {behind} was restored"));
        }
        let half = self.nodes[at]
            .disk
            .tree(&spool)
            .is_none_or(|tree| tree.data != Data::Restored);
        if half {
            self.broken(format!("{name} was armed with something not restored"));
        }
    }

    /// The role goes to nobody who would start empty.
    pub(super) fn watch_role(&mut self, at: usize) {
        let taken = self.scars.just_taken(at, self.now);
        if self.nodes[at].disk.tree(&self.setup.spool).is_none() && !taken {
            let name = self.nodes[at].name.clone();
            self.broken(format!("{name} got the role, and has no data"));
        }
    }

    /// No etcd starts with less than the snapshot, nor an old one beside a restored one.
    pub(super) fn watch_start(&mut self, at: usize) {
        let spool = &self.setup.spool;
        let name = self.nodes[at].name.clone();
        let holds = |at: usize, data: Data| {
            let tree = self.nodes[at].disk.tree(spool);
            tree.is_some_and(|tree| tree.data == data)
        };
        let all =
            |data: Data| (0..self.nodes.len()).all(|at| holds(at, data) || self.scars.excuses(at));
        let elsewhere = self.nodes.iter().any(|node| {
            node.wiped_by_run
                || node
                    .disk
                    .tree(spool)
                    .is_some_and(|tree| tree.data == Data::Restored)
        });
        let rule = match self.nodes[at].disk.at(spool) {
            None | Some(Thing::EmptyDirectory) => "etcd started empty",
            Some(Thing::Tree(tree)) => match tree.data {
                Data::Half => "etcd started from half a restore",
                Data::Empty => "etcd started empty again",
                Data::Restored if !all(Data::Restored) => {
                    "etcd started before every member was armed"
                }
                Data::Old { .. } if elsewhere => {
                    "etcd started from old data behind the point of no return"
                }
                Data::Restored | Data::Old { .. } => return,
            },
            Some(_) => return,
        };
        if !self.scars.excuses(at) {
            self.broken(format!("{rule} on {name}"));
        }
    }

    /// The cluster behind a client URL, if a quorum of it answers.
    pub(super) fn quorum_through(&self, url: &EtcdUrl) -> PortResult<(usize, ClusterId)> {
        let (at, identity) = self.serving(url)?;
        let cluster = identity.cluster;
        let running = self.running(cluster);
        if running * 2 > identity.members.len() {
            Ok((at, cluster))
        } else {
            Err(not_now(
                "no-leader",
                format!("{url}: etcdserver: no leader"),
            ))
        }
    }

    pub(super) fn running(&self, cluster: ClusterId) -> usize {
        let of = |etcd: &Etcd| matches!(etcd, Etcd::Serving(id, _) if id.cluster == cluster);
        self.nodes.iter().filter(|node| of(&node.etcd)).count()
    }

    /// What could still wipe the restored data when a run has ended complete; not what a hand has done that
    /// found nothing left to do.
    pub(super) fn unprotected(&self) -> Vec<String> {
        let mut missing = Vec::new();
        for (at, node) in self.nodes.iter().enumerate() {
            let name = &node.name;
            if self.scars.of(at).behind {
                continue;
            }
            if !self.is_data_node(node) {
                missing.push(format!("{name}: no data node"));
            }
            if self.records.mode[name].is_some() {
                missing.push(format!("{name}: nextinstallmode is not empty"));
            }
        }
        missing
    }

    /// The final state a completed restore must have reached.
    pub(super) fn unfinished(&self) -> Vec<String> {
        let mut missing = self.unprotected();
        for (at, node) in self.nodes.iter().enumerate() {
            let name = &node.name;
            let mut say = |what: &str| missing.push(format!("{name}: {what}"));
            if !self.holds_role(at) {
                say("no role");
            }
            if node.power != (Power::Up { ssh: true }) {
                say("not up");
            }
            if !matches!(&node.etcd, Etcd::Serving(_, Data::Restored)) {
                say("does not serve the snapshot");
            }
        }
        // The store of a cluster that nobody serves any more went with its data.
        let mut serving = self.stores.iter().filter(|(id, _)| self.running(**id) > 0);
        if serving.any(|(_, store)| !store.canaries.is_empty()) {
            missing.push("a canary key is left".into());
        }
        missing
    }
}
