//! Looking at the world: what a plan is built on, and what it is compared with before it runs.

use std::fmt;

use futures_util::future::try_join_all;

use crate::error::{AdapterError, Certainty};
use crate::names::{AbsPath, NodeName};
use crate::plan::{PlanError, list};
use crate::platform::platform;
use crate::ports::Ports;
use crate::spec::{MemberSpec, Spec};
use crate::world::{EtcdRole, Host, ObservedMember, RoleHolder, World};

/// Why the world could not be observed.
#[derive(Debug, thiserror::Error)]
pub enum ObserveError {
    /// A port could not answer.
    #[error("cannot observe {what}")]
    Port {
        /// What was asked for.
        what: String,
        /// What the adapter reports.
        #[source]
        source: AdapterError,
    },
    /// What was seen does not fit the spec.
    #[error(transparent)]
    Refused(#[from] PlanError),
}

impl ObserveError {
    /// The stable error code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Port { source, .. } => source.code,
            Self::Refused(error) => error.code(),
        }
    }

    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Port { source, .. } => source.hint.clone(),
            Self::Refused(error) => error.hint(),
        }
    }
}

/// Observes everything the plan for this spec depends on. Nothing is changed.
///
/// # Errors
/// [`ObserveError`] when something cannot be seen, or when the role's holders are not the spec's
/// members. A node that does not answer is no error: it is recorded as off.
pub async fn observe(ports: &Ports, spec: &Spec) -> Result<World, ObserveError> {
    let asked = |what: &str| {
        let what = what.to_owned();
        move |source| ObserveError::Port { what, source }
    };
    let head = ports
        .manager
        .head_role()
        .await
        .map_err(asked("the head node's part"))?;
    let nodes: Vec<NodeName> = spec.members.iter().map(|m| m.node.clone()).collect();
    let overlay = match &spec.overlay {
        Some(overlay) => Ok(overlay.clone()),
        None => ports.manager.etcd_overlay(&spec.cluster).await,
    };
    let overlay = overlay.map_err(asked("the overlay with Etcd::Host"))?;
    let role = ports.manager.etcd_role(Some(overlay), &nodes).await;
    let role = role.map_err(asked("the role Etcd::Host"))?;
    every_holder_is_in_the_spec(&nodes, &role.holders)?;
    let recorded = ports.tool.recorded(&spec.snapshot).await;
    let recorded = recorded.map_err(asked("the revision on record"))?;
    let bump = spec.revision_bump.rule(recorded);
    let snapshot = ports
        .tool
        .prove(&spec.snapshot, bump)
        .await
        .map_err(asked("the snapshot"))?;
    // All at once: a node that is off takes as long as ssh's patience.
    let members = spec
        .members
        .iter()
        .map(|member| observe_one(ports, spec, &role, member));
    let members = try_join_all(members).await?;
    let platform = Some(platform(ports, &members).await);
    let locked_images = locked_images(ports, spec).await;
    Ok(World {
        head,
        overlay: role.overlay,
        spool: role.spool,
        recorded,
        snapshot,
        members,
        platform,
        locked_images,
    })
}

/// What is in the way of a wipe and can be seen beforehand. It is a warning and no gate, so that it
/// cannot be seen is none either.
async fn locked_images(ports: &Ports, spec: &Spec) -> Vec<String> {
    if !spec.reprovisions() {
        return Vec::new();
    }
    let all = ports.manager.provisioning().await;
    all.map(|all| all.locked_images).unwrap_or_default()
}

async fn observe_one(
    ports: &Ports,
    spec: &Spec,
    role: &EtcdRole,
    asked: &MemberSpec,
) -> Result<ObservedMember, ObserveError> {
    let node = &asked.node;
    let Some(holder) = role.holders.iter().find(|holder| holder.node == *node) else {
        return Err(unknown_node(node).into());
    };
    let seen = observe_member(ports, spec, &role.spool, holder).await;
    let seen = seen.map_err(|source| ObserveError::Port {
        what: format!("node {node}"),
        source,
    })?;
    if seen.host.is_some() && !asked.reprovision {
        node_is_fit(ports, spec, &seen).await?;
    }
    let peer_url = asked.peer_url.clone().unwrap_or(seen.peer_url);
    let client_url = asked.client_url.clone().unwrap_or(seen.client_url);
    Ok(ObservedMember {
        peer_url,
        client_url,
        ..seen
    })
}

/// What the last steps would fail on, with etcd stopped by then: an owner that the node does not know, a
/// unit that systemd does not know. A node about to be wiped gets both with its image; and without the
/// role the cluster manager may not have written the unit yet.
async fn node_is_fit(
    ports: &Ports,
    spec: &Spec,
    seen: &ObservedMember,
) -> Result<(), ObserveError> {
    let node = &seen.node;
    let blind = |source| ObserveError::Port {
        what: format!("node {node}"),
        source,
    };
    if !ports
        .nodes
        .knows_owner(node, &spec.owner)
        .await
        .map_err(blind)?
    {
        return Err(PlanError::refused(
            "owner-unknown",
            format!("{node} knows no user and group {}", spec.owner),
            "name the owner of etcd's data in the spec: `ls -ld` of the spool on the node shows it",
        )
        .into());
    }
    let known = ports.nodes.knows_service(node, &spec.service).await;
    if !known.map_err(blind)? && !seen.role_from.is_empty() {
        return Err(PlanError::refused(
            "service-unknown",
            format!("systemd on {node} knows no unit {}", spec.service),
            "name etcd's unit in the spec: `systemctl list-units '*etcd*'` on the node shows it",
        )
        .into());
    }
    Ok(())
}

async fn observe_member(
    ports: &Ports,
    spec: &Spec,
    spool: &AbsPath,
    holder: &RoleHolder,
) -> Result<ObservedMember, AdapterError> {
    let node = &holder.node;
    let device = ports.manager.device(node).await?;
    let host = match ports.nodes.boot_id(node).await? {
        None => None,
        Some(boot_id) => Some(Host {
            boot_id,
            spool: ports.nodes.spool(node, spool).await?,
            tools: found(ports.tool.tools(node, spec.module.clone()).await)?,
        }),
    };
    Ok(holder.observed(device, host))
}

/// A node about to be wiped may lack the module; the gate before Restore asks again.
fn found<T>(answer: Result<T, AdapterError>) -> Result<Option<T>, AdapterError> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.certainty == Certainty::Refused => Ok(None),
        Err(error) => Err(error),
    }
}

fn every_holder_is_in_the_spec(
    nodes: &[NodeName],
    holders: &[RoleHolder],
) -> Result<(), PlanError> {
    let strangers: Vec<NodeName> = holders
        .iter()
        .filter(|holder| !holder.sources.is_empty() && !nodes.contains(&holder.node))
        .map(|holder| holder.node.clone())
        .collect();
    if strangers.is_empty() {
        return Ok(());
    }
    Err(PlanError::refused(
        "holder-not-in-spec",
        format!(
            "{} have Etcd::Host, but are not in the spec",
            list(&strangers)
        ),
        "a member left out keeps its old data and could undo the restore: add it to `members`, or take the role from it first",
    ))
}

fn unknown_node(node: &NodeName) -> PlanError {
    PlanError::refused(
        "node-unknown",
        format!("the cluster manager knows no node {node}"),
        "compare the spec with `restore-runbook discover`",
    )
}

/// One difference between the world a plan was made in and the world now.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Drift {
    /// What differs, as `members[1].device.status`.
    pub at: String,
    /// What the plan saw.
    pub planned: String,
    /// What is there now.
    pub now: String,
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: the plan saw {}, now it is {}",
            self.at, self.planned, self.now
        )
    }
}

/// Everything that differs between two observations.
pub fn drift(planned: &World, now: &World) -> Vec<Drift> {
    let tree = |world: &World| {
        let mut world = world.clone();
        for member in &mut world.members {
            member.device.flags.clear();
        }
        // The plan itself asks for a lock to be lifted, and one put on later is told while a node waits.
        world.locked_images.clear();
        // No step goes by the platform, and a question about it may fail at any time.
        world.platform = None;
        serde_json::to_value(world).unwrap_or_default()
    };
    let mut found = Vec::new();
    compare(String::new(), &tree(planned), &tree(now), &mut found);
    found
}

fn compare(at: String, a: &serde_json::Value, b: &serde_json::Value, found: &mut Vec<Drift>) {
    use serde_json::Value;
    match (a, b) {
        (Value::Object(a), Value::Object(b)) if a.keys().eq(b.keys()) => {
            for (key, value) in a {
                let at = if at.is_empty() {
                    key.clone()
                } else {
                    format!("{at}.{key}")
                };
                compare(at, value, &b[key], found);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (n, (a, b)) in a.iter().zip(b).enumerate() {
                compare(format!("{at}[{n}]"), a, b, found);
            }
        }
        _ if a == b => {}
        _ => found.push(Drift {
            at,
            planned: a.to_string(),
            now: b.to_string(),
        }),
    }
}
