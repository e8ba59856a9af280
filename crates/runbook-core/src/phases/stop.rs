//! Stop: the role is taken away and etcd stopped, everywhere.
//!
//! The article: "First stop Etcd service(s). Even if the nodes are SHUTOFF, we ensure that Bright
//! Cluster Manager won't try to start Etcd before the backup has been restored." One commit for all
//! nodes, so that there is no moment in which one member is held and another is not.

use super::{Context, Member, id, not_here, preflight};
use crate::plan::{Action, Check, ManagerEffect, NodeEffect, Phase, Undo, Unit};

const PHASE: Phase = Phase::Stop;

pub(super) fn units(cx: &Context) -> Vec<Unit> {
    let unassign = unassign(cx);
    let stops = cx
        .members
        .iter()
        .map(|member| stop(cx, member).after(&unassign.id));
    let stops: Vec<Unit> = stops.collect();
    std::iter::once(unassign).chain(stops).collect()
}

fn unassign(cx: &Context) -> Unit {
    let id = id(PHASE, None, "unassign");
    let holding: Vec<_> = cx
        .members
        .iter()
        .filter(|m| !m.seen.role_from.is_empty())
        .map(|m| m.node().clone())
        .collect();
    if holding.is_empty() {
        let title = format!("take the members out of overlay {}", cx.overlay());
        return Unit::skipped(id, PHASE, title, "no member holds Etcd::Host any more");
    }
    let assign = ManagerEffect::AssignRole {
        overlay: cx.overlay().clone(),
        nodes: holding.clone(),
    };
    let effect = ManagerEffect::UnassignRole {
        overlay: cx.overlay().clone(),
        nodes: holding,
    };
    let why = "while a node has Etcd::Host, CMDaemon starts etcd on it, on an empty disk too, and Kubernetes takes an empty etcd for its desired state";
    Unit::act(id, PHASE, Action::Manager(effect), why)
        // Asked in Preflight too; but a run may lie open for hours between the two.
        .only_if([
            Check::HeadIsActive,
            cx.role_unchanged(),
            preflight::quorum_lost(cx),
            cx.snapshot_proven(),
        ])
        .and_when([Check::RoleAbsent { nodes: cx.nodes() }])
        .within(cx.spec.deadlines.quick_s)
        .undone(Undo::By(Action::Manager(assign)))
}

fn stop(cx: &Context, member: &Member) -> Unit {
    let node = member.node();
    let service = &cx.spec.service;
    if member.host().is_none() {
        let reason = format!(
            "{}; without its role CMDaemon does not start etcd there, but a unit that is enabled in the node's own system starts all the same. What runs there goes with its disk, and the fresh token keeps it out of the restored cluster",
            member.silence()
        );
        return not_here(
            PHASE,
            node,
            service.as_str(),
            &format!("stop {service}"),
            &reason,
        );
    }
    let effect = NodeEffect::StopService {
        node: node.clone(),
        service: service.clone(),
    };
    let why = "whether the commit waits for the stop is not documented; a member that still runs could undo the restore, so this is not left to CMDaemon";
    Unit::act(
        id(PHASE, Some(node), service.as_str()),
        PHASE,
        Action::Node(effect),
        why,
    )
    .and_when([Check::PortsClosed {
        node: node.clone(),
        ports: member.ports(),
    }])
    .on(node)
    // Given back meanwhile, somebody wants etcd to run.
    .only_if([Check::RoleAbsent {
        nodes: vec![node.clone()],
    }])
    .within(cx.spec.deadlines.stop_s)
    .undone(Undo::Nothing(format!(
        "CMDaemon starts {service} itself when the role is given back"
    )))
}
