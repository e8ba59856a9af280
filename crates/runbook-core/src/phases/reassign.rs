//! Reassign: the role is given back, and etcd starts from the restored data.
//!
//! The article: `append nodes node001`, `commit`; "Bright Cluster Manager will start the Etcd
//! service after some delays". One commit for all members, which then need each other for a quorum.
//! What comes up must be the very cluster the plan predicted, by its ids.

use super::{Context, Member, id};
use crate::names::NodeName;
use crate::plan::{Action, Check, ManagerEffect, Phase, Undo, Unit};

const PHASE: Phase = Phase::Reassign;

pub(super) fn units(cx: &Context) -> Vec<Unit> {
    let assign = assign(cx);
    let members: Vec<Unit> = cx
        .members
        .iter()
        .map(|member| identity(cx, member).after(&assign.id))
        .collect();
    let leader = members
        .iter()
        .fold(one_leader(cx), |gate, unit| gate.after(&unit.id));
    std::iter::once(assign)
        .chain(members)
        .chain([leader])
        .collect()
}

fn assign(cx: &Context) -> Unit {
    let effect = ManagerEffect::AssignRole {
        overlay: cx.overlay().clone(),
        nodes: cx.nodes(),
    };
    let armed = cx.members.iter().map(|member| Check::Armed {
        node: member.node().clone(),
        spool: cx.spool().clone(),
        staging: cx.staging(),
        run: cx.run,
    });
    let why = "every member holds the restored data; CMDaemon now starts etcd after some delay, and the API servers reconnect";
    Unit::act(
        id(PHASE, None, "assign"),
        PHASE,
        Action::Manager(effect),
        why,
    )
    .only_if([Check::HeadIsActive, cx.role_unchanged()])
    .only_if(armed)
    .within(cx.spec.deadlines.quick_s)
    .undone(Undo::Impossible(
        "Kubernetes has met the restored data: what it ended does not come back".into(),
    ))
}

fn identity(cx: &Context, member: &Member) -> Unit {
    let node = member.node();
    Unit::gate(
        id(PHASE, Some(node), "identity"),
        PHASE,
        "etcd is up, with the ids the plan predicted",
        "a member with other ids belongs to another cluster: an old one that was never stopped, or one that started empty",
        as_predicted(cx, node).into_iter().collect(),
    )
    .on(node)
    .within(cx.spec.deadlines.start_s)
}

/// The member on the node is the one of the restored cluster.
pub(super) fn as_predicted(cx: &Context, node: &NodeName) -> Option<Check> {
    let members = &cx.identity.members;
    let planned = members.iter().find(|m| m.node == *node)?;
    let listed = members
        .iter()
        .map(|m| (m.id, m.name.clone(), m.peer_url.clone()));
    Some(Check::Identity {
        url: planned.client_url.clone(),
        member: planned.id,
        cluster: cx.identity.cluster,
        members: listed.collect(),
    })
}

fn one_leader(cx: &Context) -> Unit {
    Unit::gate(
        id(PHASE, None, "leader"),
        PHASE,
        "one leader, no errors, no alarms",
        "three separate clusters of one member each look healthy one by one",
        vec![Check::OneLeader {
            urls: cx.client_urls(),
        }],
    )
    .within(cx.spec.deadlines.start_s)
}
