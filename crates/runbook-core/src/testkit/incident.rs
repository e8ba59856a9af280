//! What goes wrong beside the ports: by itself, or by the hands of a second operator.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::World;
use super::disk::{Data, Thing};
use super::effect::Effect;
use super::state::{Etcd, Happening, Power, Sight, State};
use super::time::Due;
use crate::names::{AbsPath, RunId};
use crate::spec::DatanodeAgain;
use crate::world::{InstallMode, InstallerStep};

/// One incident; the number is the node's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Incident {
    /// Its power fails for a moment: it boots by itself, with the disk it has.
    Reboots(usize),
    /// Its power fails, and it stays off.
    GoesDown(usize),
    /// Its next boot never ends.
    Hangs(usize),
    /// Its next FULL provisioning leaves the disk as it is.
    KeepsDisk(usize),
    /// Its next boot to a FULL provisioning misses the network: it comes up from the disk it has, and FULL
    /// stays set.
    BootsLocally(usize),
    /// It hangs, down with its power on: powering it on leaves it so.
    Panics(usize),
    /// A changed disk: it boots and is provisioned FULL, unless it is a data node.
    FullAgain(usize),
    /// Nothing gets through between it and the head node for a while: it counts as down, and its etcd goes
    /// on and serves its peers.
    Partitioned(usize),
    /// Connections to it are cut, or the next one where there is none; what was sent goes on by itself.
    SshCut(usize),
    /// The shared storage goes away from it.
    MountLost(usize),
    /// The cluster manager restarts or fails over: it is silent for a while, and then compares every
    /// role with its service.
    ManagerRestarts,
    /// The other head node becomes the active one, as when a head dies: what was being provisioned is
    /// forgotten, and the cluster manager is silent for a while.
    FailsOver,
    /// The wall clock jumps by so many seconds.
    ClockJumps(i32),
    /// By hand: somebody starts etcd on a node that a guard stands on.
    EtcdStarted(usize),
    /// By hand: the role is given back.
    RoleGiven(usize),
    /// By hand: the role is taken away.
    RoleTaken(usize),
    /// By hand: what stands at the spool path is moved away.
    SpoolMoved(usize),
    /// By hand: the guard is removed.
    GuardRemoved(usize),
    /// By hand: power off and on.
    PowerCycled(usize),
    /// By hand: `nextinstallmode` is cleared.
    ModeCleared(usize),
    /// By hand: `datanode yes`.
    DatanodeSet(usize),
}

impl Incident {
    /// Every kind, on the first node.
    pub const ALL: [Self; 21] = [
        Self::Reboots(0),
        Self::GoesDown(0),
        Self::Hangs(0),
        Self::KeepsDisk(0),
        Self::BootsLocally(0),
        Self::Panics(0),
        Self::FullAgain(0),
        Self::Partitioned(0),
        Self::SshCut(0),
        Self::MountLost(0),
        Self::ManagerRestarts,
        Self::FailsOver,
        Self::ClockJumps(0),
        Self::EtcdStarted(0),
        Self::RoleGiven(0),
        Self::RoleTaken(0),
        Self::SpoolMoved(0),
        Self::GuardRemoved(0),
        Self::PowerCycled(0),
        Self::ModeCleared(0),
        Self::DatanodeSet(0),
    ];

    /// The same kind on another node.
    #[must_use]
    pub const fn on(self, at: usize) -> Self {
        match self {
            Self::Reboots(_) => Self::Reboots(at),
            Self::GoesDown(_) => Self::GoesDown(at),
            Self::Hangs(_) => Self::Hangs(at),
            Self::KeepsDisk(_) => Self::KeepsDisk(at),
            Self::BootsLocally(_) => Self::BootsLocally(at),
            Self::Panics(_) => Self::Panics(at),
            Self::FullAgain(_) => Self::FullAgain(at),
            Self::Partitioned(_) => Self::Partitioned(at),
            Self::SshCut(_) => Self::SshCut(at),
            Self::MountLost(_) => Self::MountLost(at),
            Self::EtcdStarted(_) => Self::EtcdStarted(at),
            Self::RoleGiven(_) => Self::RoleGiven(at),
            Self::RoleTaken(_) => Self::RoleTaken(at),
            Self::SpoolMoved(_) => Self::SpoolMoved(at),
            Self::GuardRemoved(_) => Self::GuardRemoved(at),
            Self::PowerCycled(_) => Self::PowerCycled(at),
            Self::ModeCleared(_) => Self::ModeCleared(at),
            Self::DatanodeSet(_) => Self::DatanodeSet(at),
            Self::ManagerRestarts | Self::FailsOver | Self::ClockJumps(_) => self,
        }
    }

    /// The node's place, where it is about one.
    pub const fn node(self) -> Option<usize> {
        match self {
            Self::Reboots(at)
            | Self::GoesDown(at)
            | Self::Hangs(at)
            | Self::KeepsDisk(at)
            | Self::BootsLocally(at)
            | Self::Panics(at)
            | Self::FullAgain(at)
            | Self::Partitioned(at)
            | Self::SshCut(at)
            | Self::MountLost(at)
            | Self::EtcdStarted(at)
            | Self::RoleGiven(at)
            | Self::RoleTaken(at)
            | Self::SpoolMoved(at)
            | Self::GuardRemoved(at)
            | Self::PowerCycled(at)
            | Self::ModeCleared(at)
            | Self::DatanodeSet(at) => Some(at),
            Self::ManagerRestarts | Self::FailsOver | Self::ClockJumps(_) => None,
        }
    }

    /// Whether it is somebody's hand or a failed disk: behind every other the same run comes to its end.
    pub const fn may_leave_a_run_standing(self) -> bool {
        !matches!(
            self,
            Self::Reboots(_)
                | Self::GoesDown(_)
                | Self::Hangs(_)
                | Self::BootsLocally(_)
                | Self::Panics(_)
                | Self::Partitioned(_)
                | Self::SshCut(_)
                | Self::MountLost(_)
                | Self::ManagerRestarts
                | Self::FailsOver
                | Self::ClockJumps(_)
        )
    }

    /// Its name without its node.
    pub fn kind(self) -> String {
        let text = format!("{self:?}");
        text.split('(').next().unwrap_or_default().to_owned()
    }
}

/// What incidents leave behind.
#[derive(Debug, Default)]
pub(super) struct Scars {
    pub(super) clock_skew_s: i64,
    /// Until then the cluster manager does not answer.
    pub(super) silent_until: Duration,
    /// Somebody has changed the role's spool to this.
    pub(super) role_spool: Option<AbsPath>,
    /// No run has taken the role away yet: what starts for it is what the run has found.
    pub(super) before_stop: bool,
    /// The canary keys that were deleted again. With the last one only the run's last looks are left.
    pub(super) tidied: BTreeSet<String>,
    /// An etcd had begun empty there before the run did: its plan knows, and moves that aside, or gives it
    /// back.
    pub(super) found_empty: BTreeSet<usize>,
    /// An etcd had begun empty there before the run took the role away.
    pub(super) empty_at_stop: BTreeSet<usize>,
    /// The same, of the run that is being undone: the undo gives that back.
    pub(super) given_back: BTreeSet<usize>,
    /// The nodes on which a run has said that its guard stands, and has not begun to take it away.
    pub(super) held: BTreeMap<usize, RunId>,
    /// Restore has begun: every node is held.
    pub(super) all_held: bool,
    nodes: BTreeMap<usize, Scar>,
}

/// What has changed so lately may have been looked at before: no look and the effect behind it are one moment.
pub(super) const A_LOOK: Duration = Duration::from_secs(60);

/// What was done to one node, by nobody of ours.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, and they come in any combination"
)]
pub(super) struct Scar {
    /// The role is there by hand: what starts for it is not the run's doing.
    pub(super) role_by_hand: bool,
    /// The boot under way is not the run's, nor is what it wipes.
    pub(super) boot_by_hand: bool,
    /// FULL was set, or `datanode` lowered, by hand: what a boot then wipes is not the run's doing.
    pub(super) leave_by_hand: bool,
    /// It went down by itself before its installation was over.
    pub(super) cut_short: bool,
    pub(super) hangs: bool,
    pub(super) keeps_disk: bool,
    pub(super) boots_locally: bool,
    /// The connection of the next command is cut.
    ssh_cut: bool,
    /// A guarded etcd was started by hand, and may still be failing.
    pub(super) etcd_by_hand: bool,
    /// FULL was set when nothing but last looks was left of the run: the one at this may have been before.
    pub(super) behind: bool,
    /// What the run had put on the disk was taken away or wiped, and not by the run.
    pub(super) disk_by_hand: bool,
    /// What the run had restored there was wiped, and not by the run.
    pub(super) restored_lost: bool,
    /// The etcd that serves was started before Stop, or for a role that is there by hand.
    pub(super) started_excused: bool,
    pub(super) role_taken: bool,
    pub(super) datanode_set: bool,
    pub(super) mode_cleared: bool,
    /// What stood at the spool path: moved away to there, or a guard that was removed; and when.
    pub(super) moved: Option<AbsPath>,
    pub(super) guard: Option<RunId>,
    taken_at: Duration,
}

impl Scar {
    /// What stood at the spool path was taken away by hand.
    const fn is_taken(&self) -> bool {
        self.moved.is_some() || self.guard.is_some()
    }

    /// What of it no hand puts right.
    pub(super) fn lasting(&self) -> Self {
        Self {
            disk_by_hand: self.disk_by_hand,
            restored_lost: self.restored_lost,
            boot_by_hand: self.boot_by_hand,
            leave_by_hand: self.leave_by_hand,
            cut_short: self.cut_short,
            behind: self.behind,
            started_excused: self.started_excused,
            ..Self::default()
        }
    }
}

impl Scars {
    pub(super) fn new(before_stop: bool) -> Self {
        Self {
            before_stop,
            ..Self::default()
        }
    }

    pub(super) fn of(&self, at: usize) -> Scar {
        self.nodes.get(&at).cloned().unwrap_or_default()
    }

    pub(super) fn at(&mut self, at: usize) -> &mut Scar {
        self.nodes.entry(at).or_default()
    }

    /// What stood at the spool path was taken away by hand, so lately that a run may have looked before.
    pub(super) fn just_taken(&self, at: usize, now: Duration) -> bool {
        let lately = |scar: &Scar| scar.is_taken() && now < scar.taken_at + A_LOOK;
        self.nodes.get(&at).is_some_and(lately)
    }

    /// Whether the connection that is made now is to be cut.
    pub(super) fn cuts(&mut self, at: usize) -> bool {
        let scar = self.nodes.get_mut(&at);
        scar.is_some_and(|scar| std::mem::take(&mut scar.ssh_cut))
    }

    /// No etcd serves there any more: the next start is looked at anew.
    pub(super) fn stopped(&mut self, at: usize) {
        if let Some(scar) = self.nodes.get_mut(&at) {
            scar.started_excused = false;
        }
    }

    /// The role is there by hand, or what stood at the spool path was taken away by hand: what starts
    /// on this node is then not the run's doing. Every other start is, and so is one for a role by hand where
    /// the run's guard is to stand.
    pub(super) fn excuses(&self, at: usize) -> bool {
        let held = self.held.contains_key(&at);
        let by_hand =
            |scar: &Scar| scar.role_by_hand && !held || scar.is_taken() || scar.started_excused;
        self.before_stop || self.nodes.get(&at).is_some_and(by_hand)
    }
}

impl World {
    /// Lets something happen; false where it cannot, or changes nothing.
    pub fn befall(&self, incident: Incident) -> bool {
        let mut state = self.state();
        let happened = state.befall(incident);
        if happened {
            state.log(incident.node(), Effect::Incident(incident));
        }
        happened
    }

    /// Somebody changes the spool in the role.
    pub fn change_spool(&self, spool: AbsPath) {
        self.state().scars.role_spool = Some(spool);
    }
}

impl State {
    fn befall(&mut self, incident: Incident) -> bool {
        use Incident as I;
        match incident {
            I::Reboots(at) | I::PowerCycled(at) => self.reboots(at),
            I::GoesDown(at) => {
                let up = self.nodes[at].power != Power::Off;
                if up {
                    self.power_off(at);
                }
                up
            }
            I::Hangs(at) => !std::mem::replace(&mut self.scars.at(at).hangs, true),
            I::KeepsDisk(at) => !std::mem::replace(&mut self.scars.at(at).keeps_disk, true),
            I::BootsLocally(at) => !std::mem::replace(&mut self.scars.at(at).boots_locally, true),
            I::Panics(at) => self.panics(at),
            I::FullAgain(at) => self.full_again(at),
            I::Partitioned(at) => self.partitioned(at),
            I::SshCut(at) => {
                let cut = self.cut_ssh(at);
                self.scars.at(at).ssh_cut = !cut;
                true
            }
            I::MountLost(at) => {
                let seen = self.nodes[at].snapshot != Sight::Missing;
                self.nodes[at].snapshot = Sight::Missing;
                seen
            }
            I::ManagerRestarts => self.manager_restarts(),
            I::FailsOver => self.fails_over(),
            I::ClockJumps(seconds) => {
                self.scars.clock_skew_s += i64::from(seconds);
                true
            }
            I::EtcdStarted(at) => self.etcd_started(at),
            I::RoleGiven(at) | I::RoleTaken(at) => {
                self.role_by_hand(at, matches!(incident, I::RoleGiven(_)))
            }
            I::SpoolMoved(at) => self.spool_moved(at),
            I::GuardRemoved(at) => self.guard_removed(at),
            I::ModeCleared(at) => {
                let name = self.nodes[at].name.clone();
                self.remember();
                let cleared = self.records.mode.insert(name, None) != Some(None);
                self.scars.at(at).mode_cleared |= cleared;
                self.scars.at(at).leave_by_hand &= !cleared;
                cleared
            }
            I::DatanodeSet(at) => {
                let name = self.nodes[at].name.clone();
                self.remember();
                let set = self.records.datanode.insert(name, true) == Some(false);
                self.scars.at(at).datanode_set |= set;
                set
            }
        }
    }

    fn manager_restarts(&mut self) -> bool {
        self.scars.silent_until = self.now + self.rng.millis(500, 40_000);
        for at in 0..self.nodes.len() {
            let epoch = self.nodes[at].epoch;
            self.after(500, 45_000, Happening::Reconcile(at, epoch));
        }
        true
    }

    fn fails_over(&mut self) -> bool {
        let Some(active) = &mut self.active else {
            return false;
        };
        *active = 1 - *active;
        for at in 0..self.nodes.len() {
            if self.nodes[at].step == Some(InstallerStep::Works) {
                self.installer_stops(at, Power::Failed, None);
                self.log(Some(at), Effect::InstallerLost);
            }
        }
        self.manager_restarts()
    }

    fn reboots(&mut self, at: usize) -> bool {
        // A node that is off has no power to lose, and one that was off stays off for the run.
        if self.nodes[at].power == Power::Off {
            return false;
        }
        self.scars.at(at).boot_by_hand = true;
        self.lose_power(at);
        true
    }

    fn partitioned(&mut self, at: usize) -> bool {
        if self.nodes[at].power != (Power::Up { ssh: true }) || self.is_cut_off(at) {
            return false;
        }
        self.cut_ssh(at);
        let until = self.now + self.rng.millis(5_000, 400_000);
        self.nodes[at].cut_off_until = Some(until);
        self.queue
            .push(until, Due::Happening(Happening::Rejoins(at)));
        true
    }

    pub(super) fn is_cut_off(&self, at: usize) -> bool {
        self.nodes[at].cut_off_until.is_some()
    }

    /// When it is due, where it is the last one: it may have been mended before, and cut off again.
    pub(super) fn rejoins(&mut self, at: usize) {
        let due = |until| until <= self.now;
        if self.nodes[at].cut_off_until.is_some_and(due) {
            self.nodes[at].cut_off_until = None;
            self.reconciles(at);
        }
    }

    fn panics(&mut self, at: usize) -> bool {
        if self.nodes[at].power != Power::Off {
            self.power_off(at);
        }
        !std::mem::replace(&mut self.nodes[at].hung, true)
    }

    /// Not where nothing could protect the node: one that is no data node and has the role beside its old
    /// data is wiped and started empty by the cluster manager, and one that is none and is armed lies in
    /// the window that each plan names, unless its spec never opens it.
    fn full_again(&mut self, at: usize) -> bool {
        let exposed = if self.is_armed(at) {
            !self.never_exposes()
        } else {
            self.holds_role(at)
        };
        let lost = exposed && !self.is_data_node(&self.nodes[at]);
        if self.nodes[at].power == Power::Off || lost {
            return false;
        }
        let behind = self.scars.tidied.len() == self.nodes.len();
        let name = self.nodes[at].name.clone();
        self.records.mode.insert(name, Some(InstallMode::Full));
        self.scars.at(at).behind = behind;
        self.scars.at(at).leave_by_hand = true;
        self.reboots(at)
    }

    fn etcd_started(&mut self, at: usize) -> bool {
        let guarded = matches!(
            self.nodes[at].disk.at(&self.setup.spool),
            Some(Thing::Guard(_))
        );
        // Where a run has said that its guard stands, it has to.
        let guarded = guarded || self.scars.held.contains_key(&at);
        let up = self.nodes[at].power == (Power::Up { ssh: true });
        if guarded && up && self.nodes[at].etcd == Etcd::Stopped {
            self.start_etcd(at);
            self.scars.at(at).etcd_by_hand = true;
            // systemd tries a few times, and then leaves it.
            self.after(500, 3_000, Happening::Reconcile(at, self.nodes[at].epoch));
            return true;
        }
        false
    }

    fn role_by_hand(&mut self, at: usize, given: bool) -> bool {
        if self.holds_role(at) == given {
            return false;
        }
        self.remember();
        let name = self.nodes[at].name.clone();
        if given {
            self.records.overlay.insert(name);
        } else {
            self.records.overlay.remove(&name);
        }
        let scar = self.scars.at(at);
        (scar.role_by_hand, scar.role_taken) = (given, !given);
        let epoch = self.nodes[at].epoch;
        self.after(500, 8_000, Happening::Reconcile(at, epoch));
        true
    }

    fn spool_moved(&mut self, at: usize) -> bool {
        let spool = self.setup.spool.clone();
        let to = spool.with_suffix(".by-hand");
        let node = &mut self.nodes[at];
        if node.power != (Power::Up { ssh: true }) || node.etcd != Etcd::Stopped {
            return false;
        }
        let moved = node.disk.tree(&spool).is_some() && node.disk.rename(&spool, &to);
        if moved {
            self.lets_go(at);
            let scar = self.scars.at(at);
            scar.disk_by_hand = true;
            (scar.moved, scar.taken_at) = (Some(to), self.now);
        }
        moved
    }

    fn guard_removed(&mut self, at: usize) -> bool {
        let spool = self.setup.spool.clone();
        let Some(Thing::Guard(run)) = self.nodes[at].disk.at(&spool).cloned() else {
            return false;
        };
        if self.nodes[at].power != (Power::Up { ssh: true }) {
            return false;
        }
        self.nodes[at].disk.remove(&spool);
        self.lets_go(at);
        let scar = self.scars.at(at);
        scar.disk_by_hand = true;
        (scar.guard, scar.taken_at) = (Some(run), self.now);
        true
    }

    /// Whether the spec has no node hold restored data that is no data node.
    pub(super) fn never_exposes(&self) -> bool {
        self.setup.spec.datanode_again == DatanodeAgain::AfterReprovision
    }

    pub(super) fn is_armed(&self, at: usize) -> bool {
        let tree = self.nodes[at].disk.tree(&self.setup.spool);
        tree.is_some_and(|tree| tree.data == Data::Restored)
    }

    pub(super) fn all_armed(&self) -> bool {
        (0..self.nodes.len()).all(|at| self.is_armed(at))
    }
}
