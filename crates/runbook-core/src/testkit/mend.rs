//! The hands of a careful operator: they put right what others did, and nothing more.

use std::collections::BTreeSet;

use super::World;
use super::disk::{Data, Thing};
use super::effect::Effect;
use super::incident::Scar;
use super::state::{Etcd, Happening, Power, Sight, Stage, State};
use crate::spec::FullInstall;
use crate::world::InstallMode;

impl World {
    /// What he does when he gives a run up: no installer is left asking, failed or about to wipe.
    pub fn call_off(&self) {
        let mut state = self.state();
        for at in 0..state.nodes.len() {
            let name = state.nodes[at].name.clone();
            state.records.mode.insert(name, None);
            state.scars.at(at).mode_cleared = false;
            state.scars.at(at).leave_by_hand = false;
            if state.nodes[at].asking || state.nodes[at].power == Power::Failed {
                state.reset_by_hand(at);
            }
        }
    }

    /// What he does about a run that has halted: puts right what others did, and brings up what hangs or
    /// is off. Never starts an etcd, never gives the role to a member before every member is armed.
    pub fn mend(&self) {
        let mut state = self.state();
        // Every disk before any role: what becomes of a role hangs on whether every member is armed.
        let nodes = 0..state.nodes.len();
        let mended: Vec<bool> = nodes.map(|at| state.mend_disk(at)).collect();
        for (at, disk) in mended.into_iter().enumerate() {
            if state.mend_node(at) || disk {
                state.log(Some(at), Effect::Mended);
            }
        }
    }
}

impl State {
    /// Whether an etcd had made its own data, and lost it again.
    fn mend_disk(&mut self, at: usize) -> bool {
        let scar = self.scars.of(at);
        self.nodes[at].snapshot = Sight::Shared;
        let emptied = self.mend_empty(at);
        self.mend_spool(at, &scar);
        if emptied && self.nodes[at].disk.tree(&self.setup.spool).is_some() {
            self.reconciles(at);
        }
        emptied
    }

    /// Whether there was anything to put right.
    fn mend_node(&mut self, at: usize) -> bool {
        let scar = self.scars.of(at);
        *self.scars.at(at) = scar.lasting();
        self.mend_role(at, &scar);
        self.mend_flags(at, &scar);
        let cut_off = self.nodes[at].cut_off_until.take().is_some();
        if cut_off {
            self.reconciles(at);
        }
        self.bring_up(at) || cut_off || scar != scar.lasting()
    }

    /// Takes away a role that was given by hand, and gives back one that was taken. With every member armed
    /// one given by hand is no harm, and the run may count on it.
    fn mend_role(&mut self, at: usize, scar: &Scar) {
        let name = self.nodes[at].name.clone();
        if !self.all_armed() {
            if scar.role_by_hand {
                self.nodes[at].etcd = Etcd::Stopped;
                if self.records.overlay.remove(&name) {
                    self.remember();
                }
            }
        } else if scar.role_taken {
            self.records.overlay.insert(name);
            self.reconciles(at);
        }
    }

    /// The cluster manager starts what has the role.
    pub(super) fn reconciles(&mut self, at: usize) {
        let epoch = self.nodes[at].epoch;
        self.after(500, 8_000, Happening::Reconcile(at, epoch));
    }

    /// Takes away what an etcd has made for itself on an empty disk.
    fn mend_empty(&mut self, at: usize) -> bool {
        let spool = self.setup.spool.clone();
        let empty = self.began_empty(at) && !self.scars.found_empty.contains(&at);
        if empty {
            self.nodes[at].etcd = Etcd::Stopped;
            self.nodes[at].disk.remove(&spool);
        }
        empty
    }

    /// Whether an etcd has made its own data on an empty disk.
    pub(super) fn began_empty(&self, at: usize) -> bool {
        let tree = self.nodes[at].disk.tree(&self.setup.spool);
        tree.is_some_and(|tree| tree.data == Data::Empty)
    }

    /// The nodes on which one has.
    pub(super) fn empty_begun(&self) -> BTreeSet<usize> {
        let nodes = 0..self.nodes.len();
        nodes.filter(|at| self.began_empty(*at)).collect()
    }

    /// What the run had set for a wipe that is still to come is set again.
    fn mend_flags(&mut self, at: usize, scar: &Scar) {
        let name = self.nodes[at].name.clone();
        if !self.is_to_be_wiped(at) {
            return;
        }
        if scar.datanode_set {
            self.records.datanode.insert(name.clone(), false);
            self.scars.at(at).leave_by_hand = true;
        }
        if scar.mode_cleared {
            self.records.mode.insert(name, Some(InstallMode::Full));
            self.scars.at(at).leave_by_hand = true;
        }
    }

    fn mend_spool(&mut self, at: usize, scar: &Scar) {
        let spool = self.setup.spool.clone();
        let disk = &mut self.nodes[at].disk;
        if !matches!(disk.at(&spool), None | Some(Thing::EmptyDirectory)) {
            return;
        }
        match (scar.guard, &scar.moved) {
            (_, Some(moved)) if disk.tree(moved).is_some() => {
                disk.rename(moved, &spool);
            }
            (Some(run), _) => disk.put(&spool, Thing::Guard(run)),
            _ => {}
        }
    }

    /// The spec has the node provisioned anew, and no wipe has come yet; nor did the run find the disk as if it
    /// had been wiped, and has restored it.
    pub(super) fn is_to_be_wiped(&self, at: usize) -> bool {
        let planned = self.setup.spec.members[at].reprovision;
        let node = &self.nodes[at];
        planned && node.wipes_of_run == 0 && !node.disk.things().any(Thing::is_restored)
    }

    /// Whether the node is booted. One that was off when the run was planned is left to it, unless it hangs.
    fn bring_up(&mut self, at: usize) -> bool {
        let waits = self.nodes[at].stuck;
        let node = &self.nodes[at];
        let failed = node.power == Power::Failed;
        // It reboots what failed on its behalf.
        let for_the_run = if failed {
            node.wiped_in_boot
        } else {
            node.begins_off && node.wipes == 0 && !waits
        };
        let hangs_or_is_off = node.power == Power::Off || failed || waits;
        let up = matches!(node.power, Power::Up { .. } | Power::GoingDown);
        if up || for_the_run || !hangs_or_is_off {
            return false;
        }
        let (name, category) = (node.name.clone(), node.category.clone());
        let full = self.records.mode[&name] == Some(InstallMode::Full);
        let planned = self.is_to_be_wiped(at);
        let confirms = self.setup.spec.full_install == FullInstall::Confirm;
        if full && self.nodes[at].asking && planned && confirms {
            // The run will answer.
            return false;
        }
        let waits = waits && full;
        if waits && planned && !confirms {
            self.records.datanode.insert(name, false);
            self.records.categories.insert(category, false);
            self.scars.at(at).leave_by_hand = true;
        } else if waits && !planned {
            // What waits on the console for leave to wipe is not given it a second time.
            self.records.mode.insert(name, None);
        }
        self.reset_by_hand(at);
        true
    }

    fn reset_by_hand(&mut self, at: usize) {
        self.scars.at(at).boot_by_hand = true;
        self.goes_down(at);
        self.begin_boot(at, Stage::Booting);
    }

    /// A run was told that a node has left its installer, or stays down, and asks for its button.
    pub(super) fn press_button(&mut self, at: usize) {
        if self.nodes[at].power == Power::Off {
            self.log(Some(at), Effect::Mended);
            self.reset_by_hand(at);
        }
    }

    /// A node that hangs with its power on might be one that serves where nobody can see it.
    pub(super) fn cut_the_power_of_what_hangs(&mut self) {
        for node in &mut self.nodes {
            node.hung = false;
        }
    }

    /// An undo waits for a reboot that its run had sent, and that was lost on its way.
    pub(super) fn sends_the_reboot(&mut self, at: usize) {
        if self.nodes[at].power == (Power::Up { ssh: true }) {
            self.log(Some(at), Effect::Mended);
            let name = self.nodes[at].name.clone();
            self.records.mode.insert(name, Some(InstallMode::Skip));
            self.reset_by_hand(at);
        }
    }

    /// A run was told that an installer has given up: it is rebooted on its behalf.
    pub(super) fn installs_again(&mut self, at: usize) {
        if self.nodes[at].power == Power::Failed {
            self.log(Some(at), Effect::Mended);
            self.begin_boot(at, Stage::Down);
        }
    }

    /// A run would wipe the node, and a boot of its own has used up the FULL that it had set.
    pub(super) fn mark_by_hand(&mut self, at: usize) {
        self.full_by_hand(at);
        // Of a node that is off a run cannot see that its disk is fresh: it is installed once more.
        if self.nodes[at].power == Power::Off {
            self.nodes[at].installs = 0;
        }
        self.log(Some(at), Effect::Mended);
    }

    /// A run was told that FULL did not happen, and says how to make it happen.
    pub(super) fn provision_by_hand(&mut self, at: usize) {
        self.full_by_hand(at);
        self.log(Some(at), Effect::Mended);
        self.reset_by_hand(at);
    }

    fn full_by_hand(&mut self, at: usize) {
        let name = self.nodes[at].name.clone();
        self.records.mode.insert(name, Some(InstallMode::Full));
        self.scars.at(at).leave_by_hand = true;
    }
}
