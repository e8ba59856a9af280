//! The cluster manager: its records, and how it gives roles and boots nodes.

use std::time::Duration;

use async_trait::async_trait;

use super::effect::Effect;
use super::render;
use super::state::{Happening, NodeState, Power, Shown, Stage, State};
use super::work::{Finished, Progress, not_now, refused};
use super::{World, named};
use crate::journal::Permit;
use crate::names::{CategoryName, ClusterLabel, NodeName, OverlayName};
use crate::plan::{Action, Command, ManagerEffect};
use crate::platform::Platform;
use crate::ports::{ClusterManager, PortResult};
use crate::spec::FullInstall;
use crate::world::{
    Device, DeviceStatus, EtcdRole, HeadRole, InstallMode, InstallerAsks, InstallerStep,
    PowerState, Provisioning, RoleHolder, RoleSource,
};

#[async_trait]
impl ClusterManager for World {
    fn render(&self, effect: &ManagerEffect) -> PortResult<Vec<Command>> {
        Ok(render::manager(effect))
    }

    async fn perform(&self, _: &Permit, effect: &ManagerEffect) -> PortResult<()> {
        self.effect(Action::Manager(effect.clone())).await
    }

    async fn head_role(&self) -> PortResult<HeadRole> {
        self.part_of(0).await
    }

    async fn etcd_overlay(&self, _: &ClusterLabel) -> PortResult<OverlayName> {
        self.ask_manager("the overlay", |state| Ok(state.setup.overlay.clone()))
            .await
    }

    async fn etcd_role(&self, _: Option<OverlayName>, nodes: &[NodeName]) -> PortResult<EtcdRole> {
        let nodes = nodes.to_vec();
        self.ask_manager("the role", move |state| Ok(state.etcd_role(&nodes)))
            .await
    }

    async fn role_sources(&self, nodes: &[NodeName]) -> PortResult<Vec<Vec<RoleSource>>> {
        let nodes = nodes.to_vec();
        self.ask_manager("the role's sources", move |state| {
            Ok(nodes.iter().map(|node| state.sources(node)).collect())
        })
        .await
    }

    async fn device(&self, node: &NodeName) -> PortResult<Device> {
        let name = node.clone();
        self.ask_manager("the device", move |state| state.device(&name))
            .await
    }

    async fn platform(&self) -> PortResult<Platform> {
        self.ask_manager("the platform", |state| Ok(state.platform()))
            .await
    }

    async fn category(&self, category: &CategoryName) -> PortResult<(bool, Vec<NodeName>)> {
        let category = category.clone();
        self.ask_manager("the category", move |state| {
            let value = state.records.categories.get(&category).copied();
            let value = value.ok_or_else(|| refused("category-unknown", "no such category"))?;
            let of = |node: &&NodeState| node.category == category;
            let nodes = state.nodes.iter().filter(of).map(|n| n.name.clone());
            Ok((value, nodes.collect()))
        })
        .await
    }

    async fn installer_asks(&self, node: &NodeName) -> PortResult<InstallerAsks> {
        let name = node.clone();
        let what = "the installer's question";
        self.ask_manager(what, move |state| state.installer_asks(&name))
            .await
    }

    async fn power(&self, node: &NodeName) -> PortResult<PowerState> {
        let name = node.clone();
        self.ask_manager("the power", move |state| state.power_state(&name))
            .await
    }

    async fn provisioning(&self) -> PortResult<Provisioning> {
        self.ask_manager("the provisioning", |state| {
            let waits = |node: &&NodeState| node.step == Some(InstallerStep::WaitsForProvisioning);
            let waiting = state
                .nodes
                .iter()
                .filter(waits)
                .map(|node| node.name.as_str());
            Ok(Provisioning {
                stopped: None,
                waiting: waiting.collect::<Vec<_>>().join(", "),
                locked_images: state.locked_images(),
            })
        })
        .await
    }
}

impl World {
    pub(super) async fn ask_manager<T>(
        &self,
        what: &str,
        answer: impl FnOnce(&mut State) -> PortResult<T> + Send,
    ) -> PortResult<T> {
        self.ask(what, |state| {
            state.manager_answers()?;
            answer(state)
        })
        .await
    }
}

/// What it knows.
impl State {
    pub(super) fn manager_answers(&self) -> PortResult<()> {
        if self.now < self.scars.silent_until {
            return Err(not_now("cmdaemon-restarting", "CMDaemon does not answer"));
        }
        Ok(())
    }

    pub(super) fn etcd_role(&self, nodes: &[NodeName]) -> EtcdRole {
        let asked = |node: &&NodeState| {
            nodes.contains(&node.name) || self.records.overlay.contains(&node.name)
        };
        let holders = self.nodes.iter().filter(asked).map(|node| RoleHolder {
            node: node.name.clone(),
            member: node.member.clone(),
            peer_url: node.peer_url.clone(),
            client_url: node.client_url.clone(),
            sources: self.sources(&node.name),
        });
        let spool = self.scars.role_spool.as_ref();
        EtcdRole {
            overlay: self.setup.overlay.clone(),
            spool: spool.unwrap_or(&self.setup.spool).clone(),
            holders: holders.collect(),
        }
    }

    pub(super) fn device(&self, name: &NodeName) -> PortResult<Device> {
        let at = self.known(name)?;
        let node = &self.nodes[at];
        if node.head {
            return Ok(Device {
                category: named(Device::HEAD_NODE),
                head_node: true,
                status: DeviceStatus::Up,
                flags: Vec::new(),
                datanode: false,
                category_datanode: false,
                next_install_mode: None,
                cleared_at_boot: Some(Vec::new()),
                installer: None,
            });
        }
        let (power, installer) = self.shown(at);
        Ok(Device {
            category: node.category.clone(),
            head_node: false,
            status: match power {
                Power::Up { .. } | Power::GoingDown => DeviceStatus::Up,
                Power::Off => DeviceStatus::Down,
                Power::Booting(word) => DeviceStatus::Booting(word.into()),
                Power::Failed => DeviceStatus::Failed("INSTALLER_FAILED".into()),
                Power::Unreachable => DeviceStatus::Unreachable("INSTALLER_UNREACHABLE".into()),
            },
            flags: Vec::new(),
            datanode: self.records.datanode[name],
            category_datanode: self.records.categories[&node.category],
            next_install_mode: self.records.mode[name],
            cleared_at_boot: Some(node.cleared_at_boot.clone()),
            installer,
        })
    }

    /// What it knows of a node may be out of date, and of one it cannot reach it believes that it is down.
    fn shown(&self, at: usize) -> Shown {
        let node = &self.nodes[at];
        match &self.lag {
            Some((until, shown)) if self.now < *until => shown[at],
            _ if self.is_cut_off(at) => (Power::Off, None),
            _ => (node.power, node.step),
        }
    }

    /// From here on what it knows stands still for a while, and what has changed lately it does not know yet.
    pub(super) fn status_lags(&mut self) {
        const MOST: Duration = Duration::from_secs(60);
        let now = self.now;
        if self.lag.as_ref().is_some_and(|(until, _)| now < *until) {
            return;
        }
        let until = now + self.rng.millis(1_000, 60_000);
        let shown = |at: usize| {
            let (changed, power, step) = self.nodes[at].was;
            if now < changed + MOST {
                (power, step)
            } else {
                self.shown(at)
            }
        };
        let shown = (0..self.nodes.len()).map(shown).collect();
        self.lag = Some((until, shown));
    }

    pub(super) fn platform(&self) -> Platform {
        Platform {
            static_pods: Vec::new(),
            ..self.setup.platform.clone()
        }
    }

    pub(super) fn installer_asks(&self, node: &NodeName) -> PortResult<InstallerAsks> {
        Ok(if self.nodes[self.known(node)?].asking {
            InstallerAsks::Full("Requesting FULL Install (next install mode)".into())
        } else {
            InstallerAsks::Nothing
        })
    }

    pub(super) fn power_state(&self, node: &NodeName) -> PortResult<PowerState> {
        let node = &self.nodes[self.known(node)?];
        Ok(match (node.bmc_dead, node.power) {
            (true, _) => PowerState::Silent("the BMC gives no answer".into()),
            (false, Power::Off) if !node.hung => PowerState::Off,
            (false, _) => PowerState::On,
        })
    }

    pub(super) fn locked_images(&self) -> Vec<String> {
        let locked = self.image_locked.then(|| "default-image".to_owned());
        locked.into_iter().collect()
    }

    fn sources(&self, node: &NodeName) -> Vec<RoleSource> {
        let held = self.records.overlay.contains(node);
        held.then(|| RoleSource::OverlayNode(self.setup.overlay.clone()))
            .into_iter()
            .collect()
    }

    pub(super) fn known(&self, node: &NodeName) -> PortResult<usize> {
        self.index(node)
            .ok_or_else(|| refused("node-unknown", format!("there is no {node}")))
    }
}

/// What it does.
impl State {
    pub(super) fn manager(&mut self, effect: &ManagerEffect) -> PortResult<Progress> {
        self.manager_answers()?;
        if let ManagerEffect::SetDatanode { node, .. }
        | ManagerEffect::SetNextInstallMode { node, .. }
        | ManagerEffect::Reboot { node }
        | ManagerEffect::PowerOn { node } = effect
            && self.nodes[self.known(node)?].head
        {
            let what = format!("{node} is a head node: {effect}");
            return Err(refused("head-is-member", what));
        }
        match effect {
            ManagerEffect::UnassignRole { nodes, .. } => self.set_role(nodes, false)?,
            ManagerEffect::AssignRole { nodes, .. } => self.set_role(nodes, true)?,
            ManagerEffect::SetDatanode { node, value } => {
                let at = self.known(node)?;
                if self.records.datanode[node] == *value {
                    self.resent(Some(at), effect.to_string());
                } else {
                    self.remember();
                    // One that was none before is none again behind an undo.
                    let kept = self.nodes[at].begins_datanode;
                    if !*value && kept && self.setup.spec.full_install == FullInstall::Confirm {
                        self.broken(format!("datanode of {node} was lowered"));
                    }
                    self.records.datanode.insert(node.clone(), *value);
                    self.log(Some(at), Effect::Datanode(*value));
                }
            }
            ManagerEffect::SetCategoryDatanode { category, value } => {
                if self.records.categories.get(category) == Some(value) {
                    self.resent(None, effect.to_string());
                } else {
                    self.remember();
                    self.records.categories.insert(category.clone(), *value);
                    self.log(None, Effect::CategoryDatanode(category.clone(), *value));
                }
            }
            ManagerEffect::SetNextInstallMode { node, mode } => {
                let at = self.known(node)?;
                if self.records.mode[node] == *mode {
                    self.resent(Some(at), effect.to_string());
                } else {
                    self.remember();
                    self.records.mode.insert(node.clone(), *mode);
                    self.scars.at(at).leave_by_hand = false;
                    self.log(Some(at), Effect::mode(*mode));
                }
            }
            ManagerEffect::Reboot { node } => self.reboot(node)?,
            ManagerEffect::PowerOn { node } => {
                let at = self.known(node)?;
                if self.nodes[at].bmc_dead {
                    return Err(not_now(
                        "bmc-silent",
                        format!("the BMC of {node} is silent"),
                    ));
                }
                if self.nodes[at].power == Power::Off && !self.nodes[at].hung {
                    self.log(Some(at), Effect::PoweredOn);
                    self.power_on(at);
                } else {
                    self.resent(Some(at), effect.to_string());
                }
            }
            ManagerEffect::ConfirmInstall { node } => {
                let at = self.known(node)?;
                if self.nodes[at].asking {
                    self.log(Some(at), Effect::Confirmed);
                    self.lay_anew(at);
                } else {
                    self.resent(Some(at), effect.to_string());
                }
            }
        }
        Ok(Finished)
    }

    fn set_role(&mut self, nodes: &[NodeName], given: bool) -> PortResult<()> {
        self.remember();
        if !given {
            self.watch_quorum();
        }
        if !given && self.scars.before_stop {
            self.scars.empty_at_stop = self.empty_begun();
        }
        for node in nodes {
            let at = self.known(node)?;
            let changed = if given {
                self.records.overlay.insert(node.clone())
            } else {
                self.records.overlay.remove(node)
            };
            self.scars.at(at).role_by_hand = false;
            self.scars.before_stop &= given;
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
            _ if self.is_cut_off(at) => {
                return Err(refused("node-down", format!("{node} is down")));
            }
            Power::Up { .. } => {
                self.log(Some(at), Effect::Rebooting);
                self.turns(at, Power::GoingDown);
                self.nodes[at].sent = self.records.mode[node] == Some(InstallMode::Full);
                self.begin_boot(at, Stage::Down);
            }
            Power::GoingDown => self.resent(Some(at), format!("reboot {node}")),
            Power::Off => return Err(refused("node-down", format!("{node} is down"))),
            Power::Failed | Power::Unreachable => self.begin_boot(at, Stage::Down),
            Power::Booting(word) => {
                if !self.scars.of(at).boot_by_hand {
                    self.broken(format!("{node} was rebooted in the middle of {word}"));
                }
                self.begin_boot(at, Stage::Down);
            }
        }
        Ok(())
    }
}
