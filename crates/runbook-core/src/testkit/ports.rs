//! The way to the ports and back: time, faults, and the hands of others in this world.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::World;
use super::effect::Effect;
use super::faults::Fault;
use super::state::{Power, Sight, State};
use super::time::Pause;
use super::work::{Request, Work, not_now, refused};
use crate::error::{AdapterError, Certainty};
use crate::names::{AbsPath, CategoryName, NodeName};
use crate::plan::Action;
use crate::ports::{Clock, PortResult, Ports};
use crate::world::{InstallMode, InstallerStep};

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

    pub(super) async fn travel(&self, fault: Option<Fault>) {
        let most = if fault == Some(Fault::Slow) {
            20_000
        } else {
            60
        };
        let time = self.state().rng.millis(1, most);
        Pause::new(self, time).await;
    }

    pub(super) async fn ask<T>(
        &self,
        what: &str,
        answer: impl FnOnce(&mut State) -> PortResult<T> + Send,
    ) -> PortResult<T> {
        let fault = self.state().faults.question();
        self.travel(fault).await;
        let answer = match fault {
            Some(Fault::NotDone) => Err(not_now("busy", format!("{what}: busy"))),
            Some(Fault::Denied) => Err(refused("denied", format!("{what}: denied"))),
            Some(Fault::AnswerLost) => Err(lost(what)),
            Some(Fault::Stale) => self.state().as_before(answer),
            _ => answer(&mut self.state()),
        };
        let late = fault.filter(|fault| *fault == Fault::Late);
        self.travel(late.map(|_| Fault::Slow)).await;
        answer
    }

    pub(super) async fn effect(&self, action: Action) -> PortResult<()> {
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
            Some(Fault::SaidDone) => {
                self.travel(None).await;
                return Ok(());
            }
            _ => {}
        }
        let travels = self.state().rng.millis(1, 60);
        let answer = Request::submit(self, Work::Action(action), travels).await;
        self.travel(fault).await;
        if fault == Some(Fault::AnswerLost) {
            return Err(lost(&what));
        }
        answer
    }
}

pub(super) fn lost(what: &str) -> AdapterError {
    let what = format!("{what}: the connection broke");
    AdapterError::new("connection-lost", Certainty::Unknown, what).hint("resume")
}

impl State {
    /// Answers from the records of before the last change, if that was a moment ago, and with the status of a
    /// while ago.
    pub(super) fn as_before<T>(&mut self, answer: impl FnOnce(&mut Self) -> T) -> T {
        const LAG: Duration = Duration::from_secs(4);
        self.status_lags();
        let Some((_, old)) = self.stale.take_if(|(at, _)| *at + LAG > self.now) else {
            return answer(self);
        };
        let now = std::mem::replace(&mut self.records, old);
        let answer = answer(self);
        self.records = now;
        answer
    }
}

#[async_trait]
impl Clock for World {
    fn monotonic(&self) -> Duration {
        self.state().now
    }

    fn wall(&self) -> jiff::Timestamp {
        let day = jiff::Timestamp::from_second(1_800_000_000).unwrap_or_default();
        let state = self.state();
        let now = i64::try_from(state.now.as_millis()).unwrap_or(i64::MAX);
        let now = now.saturating_add(state.scars.clock_skew_s.saturating_mul(1000));
        day.checked_add(jiff::SignedDuration::from_millis(now))
            .unwrap_or(day)
    }

    async fn sleep(&self, time: Duration) {
        Pause::new(self, time).await;
    }
}

impl World {
    /// `--etcd-servers` of every API server is emptied, and stays so.
    pub fn lose_etcd_servers(&self) {
        self.state().etcd_servers_lost = true;
    }

    /// The snapshot is gone from the head node.
    pub fn lose_snapshot(&self) {
        self.state().snapshot_lost = true;
    }

    /// Another sound snapshot lies in its place.
    pub fn replace_snapshot(&self) {
        self.state().setup.snapshot.sha256 = crate::digest::Digest::of(b"another snapshot");
    }

    /// Somebody moves what was set aside there back to the spool path, in the place of the guard.
    pub fn put_data_back(&self, node: &NodeName, aside: &AbsPath) {
        let mut state = self.state();
        let spool = state.setup.spool.clone();
        if let Some(at) = state.index(node) {
            let disk = &mut state.nodes[at].disk;
            disk.remove(&spool);
            disk.rename(aside, &spool);
        }
    }

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

    /// Somebody at the console lets a node's installer, which asks, install FULL.
    pub fn confirm(&self, node: &NodeName) {
        self.change(node, |state, at| {
            if state.nodes[at].asking {
                state.lay_anew(at);
            }
        });
    }

    /// Somebody denies a node's installer the FULL install.
    pub fn deny(&self, node: &NodeName) {
        let step = Some(InstallerStep::Maintenance);
        self.change(node, |state, at| {
            state.installer_stops(at, Power::Booting("INSTALLING"), step);
        });
    }

    /// A node's installer gives up.
    pub fn fail_install(&self, node: &NodeName) {
        self.change(node, |state, at| {
            state.installer_stops(at, Power::Failed, None);
        });
    }

    /// A node's installer does not answer any more.
    pub fn lose_installer(&self, node: &NodeName) {
        self.change(node, |state, at| {
            state.installer_stops(at, Power::Unreachable, None);
        });
    }

    /// A node's power control does not answer any more.
    pub fn lose_bmc(&self, node: &NodeName) {
        self.change(node, |state, at| state.nodes[at].bmc_dead = true);
    }

    /// From now on the cluster manager answers no write, and does it so much later; none: it answers again.
    pub fn writes_late(&self, by: Option<Duration>) {
        self.state().late_writes = by;
    }

    /// Somebody sets a node's `datanode`.
    pub fn set_datanode(&self, node: &NodeName, value: bool) {
        self.state().records.datanode.insert(node.clone(), value);
    }

    /// Somebody sets or clears a node's `nextinstallmode`.
    pub fn set_install_mode(&self, node: &NodeName, mode: Option<InstallMode>) {
        self.change(node, |state, at| {
            // What it finds at its next boot is somebody else's doing.
            state.nodes[at].sent = false;
            state.scars.at(at).leave_by_hand = mode.is_some();
            state.records.mode.insert(node.clone(), mode);
        });
    }

    /// Somebody sets `datanode` of a category.
    pub fn set_category_datanode(&self, category: &CategoryName, value: bool) {
        let category = category.clone();
        self.state().records.categories.insert(category, value);
    }

    /// Somebody sets a node's `blockdevicesclearedonnextboot`, or clears it.
    pub fn clear_at_boot(&self, node: &NodeName, devices: &[&str]) {
        let devices = devices.iter().map(|&device| device.to_owned()).collect();
        self.change(node, |state, at| state.nodes[at].cleared_at_boot = devices);
    }

    /// The software image of the nodes is locked, or other nodes are before them in the queue.
    pub fn hold_provisioning(&self, image_locked: bool, queue: bool) {
        let mut state = self.state();
        (state.image_locked, state.busy) = (image_locked, queue);
        state.provisions();
    }

    fn change(&self, node: &NodeName, change: impl FnOnce(&mut State, usize)) {
        let mut state = self.state();
        if let Some(at) = state.index(node) {
            change(&mut state, at);
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
