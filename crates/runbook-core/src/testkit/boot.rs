//! Power and boots: from the button, by the installer or past it, until a node is up.

use super::disk::Thing;
use super::effect::Effect;
use super::state::{Etcd, Happening, Power, Sight, Stage, State};
use crate::world::{InstallMode, InstallerStep};

impl State {
    pub(super) fn turns(&mut self, at: usize, power: Power) {
        let now = self.now;
        self.nodes[at].turns(now, power);
    }

    /// A node begins to boot: from power-on, or behind a reboot.
    pub(super) fn begin_boot(&mut self, at: usize, stage: Stage) {
        self.nodes[at].epoch += 1;
        let epoch = self.nodes[at].epoch;
        self.after(1_000, 6_000, Happening::Boot(at, epoch, stage));
    }

    pub(super) fn boot(&mut self, at: usize, stage: Stage) {
        if stage == Stage::CallingInit && std::mem::take(&mut self.scars.at(at).hangs) {
            self.nodes[at].stuck = true;
            return;
        }
        let epoch = self.nodes[at].epoch;
        let (next, from_ms, to_ms) = match stage {
            Stage::Down => {
                self.goes_down(at);
                (Stage::Booting, 1_000, 5_000)
            }
            Stage::Booting => {
                self.turns(at, Power::Booting("BOOTING"));
                (Stage::Installing, 2_000, 8_000)
            }
            Stage::Installing if self.boots_locally(at) => (Stage::Pingable, 2_000, 8_000),
            Stage::Installing => {
                self.turns(at, Power::Booting("INSTALLING"));
                self.nodes[at].step = Some(InstallerStep::Begun);
                return self.install(at);
            }
            Stage::CallingInit => {
                self.turns(at, Power::Booting("INSTALLER_CALLINGINIT"));
                self.nodes[at].step = None;
                self.nodes[at].installed = true;
                (Stage::Pingable, 1_000, 8_000)
            }
            Stage::Pingable => {
                // UP may mean no more than that it answers a ping.
                self.turns(at, Power::Up { ssh: false });
                (Stage::Up, 100, 7_000)
            }
            Stage::Up => return self.comes_up(at),
        };
        self.after(from_ms, to_ms, Happening::Boot(at, epoch, next));
    }

    /// There is no installer in a boot that misses the network.
    fn boots_locally(&mut self, at: usize) -> bool {
        let full = self.records.mode[&self.nodes[at].name] == Some(InstallMode::Full);
        let could = full && !self.nodes[at].half_laid && self.is_to_be_wiped(at);
        let locally = could && std::mem::take(&mut self.scars.at(at).boots_locally);
        self.nodes[at].sent &= !locally;
        locally
    }

    pub(super) fn goes_down(&mut self, at: usize) {
        self.turns(at, Power::Off);
        let node = &mut self.nodes[at];
        (node.stuck, node.hung) = (false, false);
        // Whoever sees to a node that is down sees to its network too.
        node.cut_off_until = None;
        node.etcd = Etcd::Stopped;
        (node.step, node.asking, node.installed) = (None, false, false);
        if node.job.take().is_some() {
            self.log(Some(at), Effect::RestoreFailed);
        }
    }

    /// The installer decides: it goes on at once, or waits for somebody.
    fn install(&mut self, at: usize) {
        let mode = self.records.mode[&self.nodes[at].name];
        let full = mode == Some(InstallMode::Full);
        let asks = self.is_data_node(&self.nodes[at]);
        self.watch_boot(at, mode);
        let node = &mut self.nodes[at];
        if !node.cleared_at_boot.is_empty() {
            // It asks nobody.
            node.cleared_at_boot.clear();
            self.lay_anew(at);
        } else if !full {
            self.calls_init(at);
        } else if asks {
            (node.step, node.asking, node.stuck) = (Some(InstallerStep::WaitsForUser), true, true);
            self.log(Some(at), Effect::WaitsForConfirmation);
        } else {
            self.lay_anew(at);
        }
    }

    /// A FULL installation, once nobody has to be asked any more.
    pub(super) fn lay_anew(&mut self, at: usize) {
        let held_up = self.image_locked || self.busy;
        let node = &mut self.nodes[at];
        (node.asking, node.stuck) = (false, false);
        if held_up {
            node.step = Some(InstallerStep::WaitsForProvisioning);
            return;
        }
        node.step = Some(InstallerStep::Works);
        if !std::mem::take(&mut self.scars.at(at).keeps_disk) {
            self.wipe(at);
        }
        self.calls_init(at);
    }

    fn calls_init(&mut self, at: usize) {
        let epoch = self.nodes[at].epoch;
        self.after(
            10_000,
            40_000,
            Happening::Boot(at, epoch, Stage::CallingInit),
        );
    }

    /// The provisioning node serves whoever waits.
    pub(super) fn provisions(&mut self) {
        for at in 0..self.nodes.len() {
            if self.nodes[at].step == Some(InstallerStep::WaitsForProvisioning) {
                self.lay_anew(at);
            }
        }
    }

    /// The installer stands: denied, failed or crashed. What it has laid by then counts for nothing.
    pub(super) fn installer_stops(&mut self, at: usize, power: Power, step: Option<InstallerStep>) {
        self.turns(at, power);
        let node = &mut self.nodes[at];
        node.epoch += 1;
        (node.step, node.asking, node.wipes) = (step, false, 0);
    }

    fn wipe(&mut self, at: usize) {
        let (image_has_spool, spool) = (self.setup.image_has_spool, self.setup.spool.clone());
        let ours = !self.scars.of(at).boot_by_hand;
        self.watch_restored(at);
        let restored = std::mem::take(&mut self.nodes[at].restored);
        self.scars.at(at).restored_lost |= restored && !ours;
        self.scars.at(at).disk_by_hand |= !ours;
        self.lets_go(at);
        let node = &mut self.nodes[at];
        node.disk.wipe();
        node.half_laid = true;
        if node.snapshot == Sight::OwnDisk {
            node.snapshot = Sight::Missing;
        }
        node.job_said = None;
        node.wipes += 1;
        node.wipes_of_run += 1;
        node.wiped_in_boot = ours;
        node.wiped_by_run |= ours;
        if image_has_spool {
            node.disk.put(&spool, Thing::EmptyDirectory);
        }
        self.scars.empty_at_stop.remove(&at);
        self.scars.given_back.remove(&at);
        self.log(Some(at), Effect::Wiped);
        self.watch_wipe(at);
    }

    fn comes_up(&mut self, at: usize) {
        self.turns(at, Power::Up { ssh: true });
        self.nodes[at].limited = false;
        self.scars.at(at).boot_by_hand = false;
        self.scars.at(at).etcd_by_hand = false;
        self.scars.at(at).behind = false;
        let node = &mut self.nodes[at];
        node.half_laid = false;
        let installed = std::mem::take(&mut node.installed);
        node.installs += u32::from(std::mem::take(&mut node.wiped_in_boot));
        let epoch = self.nodes[at].epoch;
        self.log(Some(at), Effect::Booted);
        // The installer reports back in its own time, where it was there.
        if installed {
            self.after(0, 9_000, Happening::ClearsMode(at, epoch));
        }
        self.after(1_000, 6_000, Happening::Reconcile(at, epoch));
    }

    pub(super) fn clear_mode(&mut self, at: usize) {
        self.remember();
        let name = self.nodes[at].name.clone();
        if self.records.mode.insert(name, None) != Some(None) {
            self.scars.at(at).leave_by_hand = false;
            self.log(Some(at), Effect::ModeCleared);
        }
    }

    pub(super) fn power_on(&mut self, at: usize) {
        self.turns(at, Power::Booting("BOOTING"));
        self.begin_boot(at, Stage::Booting);
    }

    pub(super) fn power_off(&mut self, at: usize) {
        self.goes_down(at);
        self.nodes[at].epoch += 1;
        // Before its installer had cleared this, it was not through.
        let full = self.records.mode[&self.nodes[at].name] == Some(InstallMode::Full);
        self.scars.at(at).cut_short |= full;
        self.log(Some(at), Effect::PowerLost);
    }

    /// Loses power and, being set to, comes back by itself with the disk it had.
    pub(super) fn lose_power(&mut self, at: usize) {
        self.goes_down(at);
        self.log(Some(at), Effect::PowerLost);
        self.begin_boot(at, Stage::Booting);
    }
}
