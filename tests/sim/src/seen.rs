//! The world's cluster manager in the words of the stand-in's `cmsh`.

use runbook_core::names::{CategoryName, NodeName, OverlayName};
use runbook_core::plan::ManagerEffect;
use runbook_core::testkit::Desk;
use runbook_core::world::{
    Device, DeviceStatus, InstallMode, InstallerAsks, InstallerStep, PowerState, RoleHolder,
};
use standin::memory::{Manager, Order, Seen, SeenNode, SeenOverlay};

/// The names of the two head nodes, by seat.
const HEADS: [&str; 2] = ["master1", "master2"];

/// The release that `cmsh` tells of.
pub(crate) fn release(desk: &Desk<'_>) -> String {
    desk.platform().release.unwrap_or_else(|| "9.2".to_owned())
}

/// Keeps the cluster for a session at one head node.
pub(crate) struct Keeper<'k, 'd> {
    desk: &'k mut Desk<'d>,
    seat: usize,
}

impl<'k, 'd> Keeper<'k, 'd> {
    pub(crate) fn new(desk: &'k mut Desk<'d>, seat: usize) -> Self {
        Self { desk, seat }
    }

    fn node(&self, holder: &RoleHolder) -> Option<(Device, SeenNode)> {
        let device = self.desk.device(&holder.node).ok()?;
        let (state, message) = status(&device);
        let asks = self.desk.installer_asks(&holder.node);
        let mode = device.next_install_mode.map(|mode| mode.to_string());
        let node = SeenNode {
            name: holder.node.to_string(),
            ip: address(holder.client_url.as_str()),
            category: if device.head_node {
                String::new()
            } else {
                device.category.to_string()
            },
            datanode: device.datanode,
            next_install_mode: mode.unwrap_or_default(),
            cleared_at_boot: device.cleared_at_boot.clone().unwrap_or_default(),
            state,
            message,
            on: match self.desk.power(&holder.node) {
                Ok(PowerState::On) => Some(true),
                Ok(PowerState::Off) => Some(false),
                _ => None,
            },
            asks: matches!(asks, Ok(InstallerAsks::Full(_))),
        };
        Some((device, node))
    }
}

impl Manager for Keeper<'_, '_> {
    fn seen(&mut self) -> Seen {
        let role = self.desk.etcd_role(&self.desk.nodes());
        let mut seen = Seen::default();
        for holder in &role.holders {
            let Some((device, node)) = self.node(holder) else {
                continue;
            };
            if device.head_node {
                seen.heads.push(node.name.clone());
            } else {
                let category = (node.category.clone(), device.category_datanode);
                if !seen.categories.contains(&category) {
                    seen.categories.push(category);
                }
            }
            seen.nodes.push(node);
        }
        match self.desk.active() {
            Some(active) => seen.heads = vec![HEADS[active].into(), HEADS[1 - active].into()],
            None if seen.heads.is_empty() => seen.heads = vec![HEADS[0].into()],
            None => {}
        }
        seen.here = match self.desk.active() {
            Some(_) => HEADS[self.seat].to_owned(),
            None => seen.heads[0].clone(),
        };
        let holds = role
            .holders
            .iter()
            .filter(|holder| !holder.sources.is_empty());
        seen.overlays.push(SeenOverlay {
            name: role.overlay.to_string(),
            nodes: holds.map(|holder| holder.node.to_string()).collect(),
            role: "Etcd::Host",
            spool: Some(role.spool.to_string()),
        });
        let servers = self.desk.platform().api_server_role;
        seen.overlays.extend(servers.map(|servers| SeenOverlay {
            name: servers.overlay.to_string(),
            nodes: servers.nodes.iter().map(ToString::to_string).collect(),
            role: "Kubernetes::ApiServer",
            spool: None,
        }));
        seen.locked_images = self.desk.locked_images();
        seen
    }

    fn obey(&mut self, order: &Order) -> Result<(), String> {
        let effect = effect(order).ok_or("no such thing")?;
        self.desk
            .obey(&effect)
            .map_err(|refused| refused.to_string())
    }
}

/// The status word, and what follows it in brackets (administrator manual 5.5.3).
fn status(device: &Device) -> (String, String) {
    let said = match &device.status {
        DeviceStatus::Up => "UP",
        DeviceStatus::Down => "DOWN",
        DeviceStatus::Booting(word)
        | DeviceStatus::Failed(word)
        | DeviceStatus::Unreachable(word)
        | DeviceStatus::Unknown(word) => word,
    };
    let message = match device.installer {
        _ if said == "INSTALLER_CALLINGINIT" => "switching to local root",
        None => "",
        Some(InstallerStep::Begun) => "node-installer started",
        Some(InstallerStep::WaitsForUser) => "waiting for user input",
        Some(InstallerStep::WaitsForProvisioning) => "waiting for FULL provisioning to start",
        Some(InstallerStep::Works) => "provisioning started, waiting for completion",
        Some(InstallerStep::Maintenance) => "entered maintenance mode",
    };
    (said.to_owned(), message.to_owned())
}

/// The host of a URL.
fn address(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = rest.rsplit_once(':').map_or(rest, |(host, _)| host);
    host.to_owned()
}

/// None for what names nothing of this world's.
fn effect(order: &Order) -> Option<ManagerEffect> {
    let node = |name: &String| NodeName::new(name.as_str()).ok();
    let nodes = |names: &[String]| names.iter().map(node).collect::<Option<Vec<_>>>();
    let overlay = |name: &String| OverlayName::new(name.as_str()).ok();
    Some(match order {
        Order::Append(to, names) => ManagerEffect::AssignRole {
            overlay: overlay(to)?,
            nodes: nodes(names)?,
        },
        Order::RemoveFrom(from, names) => ManagerEffect::UnassignRole {
            overlay: overlay(from)?,
            nodes: nodes(names)?,
        },
        Order::Datanode(name, value) => ManagerEffect::SetDatanode {
            node: node(name)?,
            value: *value,
        },
        Order::CategoryDatanode(name, value) => ManagerEffect::SetCategoryDatanode {
            category: CategoryName::new(name.as_str()).ok()?,
            value: *value,
        },
        Order::NextInstallMode(name, mode) => ManagerEffect::SetNextInstallMode {
            node: node(name)?,
            mode: match mode.as_str() {
                "" => None,
                "FULL" => Some(InstallMode::Full),
                "SKIP" => Some(InstallMode::Skip),
                _ => return None,
            },
        },
        Order::Reboot(name) => ManagerEffect::Reboot { node: node(name)? },
        Order::PowerOn(name) => ManagerEffect::PowerOn { node: node(name)? },
        Order::Confirm(name) => ManagerEffect::ConfirmInstall { node: node(name)? },
    })
}
