//! What the cluster manager is asked: roles, records, boots.

use super::Finding::{self, Holds, NotYet};
use super::{held, holds_if, never};
use crate::names::{AbsPath, CategoryName, NodeName, OverlayName};
use crate::plan::{list, yes_no};
use crate::ports::{PortResult, Ports};
use crate::world::{HeadRole, InstallMode, RoleHolder, RoleSource};

pub(super) async fn head_is_active(ports: &Ports) -> PortResult<Finding> {
    Ok(match ports.manager.head_role().await? {
        HeadRole::Active => Holds("the active head node".into()),
        HeadRole::Single => Holds("the only head node".into()),
        HeadRole::Passive => {
            let [code, seen, hint] = HeadRole::PASSIVE_REFUSED;
            never(code, seen.into(), hint)
        }
    })
}

pub(super) async fn role_unchanged(
    ports: &Ports,
    overlay: &OverlayName,
    spool: &AbsPath,
    nodes: &[NodeName],
) -> PortResult<Finding> {
    let role = ports
        .manager
        .etcd_role(Some(overlay.clone()), nodes)
        .await?;
    if role.spool != *spool {
        return Ok(never(
            "role-changed",
            format!(
                "the role of overlay {overlay} names the spool {}, the plan is for {spool}",
                role.spool
            ),
            "etcd would start empty in the other place: set the spool back in the Etcd::Host role, then resume",
        ));
    }
    let holds = |holder: &&RoleHolder| !holder.sources.is_empty();
    let stranger = role
        .holders
        .iter()
        .filter(holds)
        .find(|holder| !nodes.contains(&holder.node));
    Ok(match stranger {
        None => Holds(format!("overlay {overlay} names {spool}")),
        Some(stranger) => never(
            "role-changed",
            format!(
                "{} has Etcd::Host from {}, and is no member of this plan",
                stranger.node,
                from(&stranger.sources)
            ),
            "an etcd would start empty there: take the role from it, then resume",
        ),
    })
}

pub(super) async fn role_absent(ports: &Ports, nodes: &[NodeName]) -> PortResult<Finding> {
    let sources = ports.manager.role_sources(nodes).await?;
    let held = nodes
        .iter()
        .zip(&sources)
        .find(|(_, sources)| !sources.is_empty());
    Ok(match held {
        None => Holds(format!("nothing gives Etcd::Host to {}", list(nodes))),
        Some((node, sources)) => NotYet(format!("{node} has Etcd::Host from {}", from(sources))),
    })
}

pub(super) async fn role_assigned(
    ports: &Ports,
    overlay: &OverlayName,
    nodes: &[NodeName],
) -> PortResult<Finding> {
    let wanted = RoleSource::OverlayNode(overlay.clone());
    let sources = ports.manager.role_sources(nodes).await?;
    let missing = nodes
        .iter()
        .zip(&sources)
        .find(|(_, sources)| !sources.contains(&wanted));
    Ok(match missing {
        None => Holds(format!("overlay {overlay} lists {}", list(nodes))),
        Some((node, _)) => NotYet(format!("overlay {overlay} does not list {node}")),
    })
}

fn from(sources: &[RoleSource]) -> String {
    sources
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(" and ")
}

pub(super) async fn datanode_is(
    ports: &Ports,
    node: &NodeName,
    value: bool,
) -> PortResult<Finding> {
    let read = ports.manager.device(node).await?.datanode;
    Ok(holds_if(
        read == value,
        format!("datanode of {node} reads {}", yes_no(read)),
    ))
}

pub(super) async fn datanode_effective(
    ports: &Ports,
    node: &NodeName,
    value: bool,
) -> PortResult<Finding> {
    let read = ports.manager.device(node).await?.effective_datanode();
    Ok(holds_if(
        read == value,
        format!("datanode of {node} or its category is {}", yes_no(read)),
    ))
}

pub(super) async fn category_datanode_is(
    ports: &Ports,
    category: &CategoryName,
    value: bool,
) -> PortResult<Finding> {
    let (read, _) = ports.manager.category(category).await?;
    Ok(holds_if(
        read == value,
        format!("datanode of category {category} reads {}", yes_no(read)),
    ))
}

/// Whose mode this run does not set: what somebody else has set stays until a boot, or a person, clears it.
pub(super) async fn next_boot_is_ordinary(ports: &Ports, node: &NodeName) -> PortResult<Finding> {
    Ok(match ports.manager.device(node).await?.next_install_mode {
        None => Holds(format!("nextinstallmode of {node} is empty")),
        Some(mode) => held(
            "install-mode-set",
            format!("nextinstallmode of {node} is {mode}"),
            "somebody has set it, and its next boot goes by it; FULL wipes. `device; use NODE; clear nextinstallmode; commit` in cmsh, and do not reboot it before; the run goes on by itself",
        ),
    })
}

pub(super) async fn next_install_mode_is(
    ports: &Ports,
    node: &NodeName,
    mode: Option<InstallMode>,
) -> PortResult<Finding> {
    let read = ports.manager.device(node).await?.next_install_mode;
    let shown = read.map_or_else(|| "empty".into(), |mode| mode.to_string());
    Ok(holds_if(
        read == mode,
        format!("nextinstallmode of {node} is {shown}"),
    ))
}
