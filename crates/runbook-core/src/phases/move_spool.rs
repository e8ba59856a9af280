//! `MoveSpool`: the old data is moved aside, and a guard stands in its place.
//!
//! The article moves `/var/lib/etcd` to `/var/lib/etcd.old`; a second run would nest or overwrite.
//! Here the new name carries the run's id, nothing is ever overwritten, and a regular file takes the
//! place of the directory: no etcd can start there, not even one run by root.

use super::{Context, Member, id, not_here};
use crate::plan::{Action, Check, NodeEffect, Phase, Undo, Unit};
use crate::world::SpoolState;

const PHASE: Phase = Phase::MoveSpool;

pub(super) fn units(cx: &Context) -> Vec<Unit> {
    cx.members
        .iter()
        .map(|member| set_aside(cx, member))
        .collect()
}

fn set_aside(cx: &Context, member: &Member) -> Unit {
    let node = member.node();
    let Some(host) = member.host() else {
        let reason = format!(
            "{}; what is there goes with its disk, which is wiped before the role comes back",
            member.silence()
        );
        return not_here(PHASE, node, "aside", "move the old data aside", &reason);
    };
    let foreign = matches!(host.spool, SpoolState::ForeignDirectory | SpoolState::Other);
    if member.reprovision && foreign {
        let reason = format!(
            "{} is {}: no etcd starts from it, and the disk is wiped before the role comes back",
            cx.spool(),
            host.spool
        );
        return not_here(PHASE, node, "aside", "move the old data aside", &reason);
    }
    if host.spool != SpoolState::Data {
        return guard(cx, member, &host.spool);
    }
    let (spool, aside) = (cx.spool().clone(), cx.aside());
    let back = NodeEffect::ReturnSpool {
        node: node.clone(),
        spool: spool.clone(),
        aside: aside.clone(),
        run: cx.run,
    };
    let effect = NodeEffect::SetAside {
        node: node.clone(),
        spool,
        aside,
        run: cx.run,
    };
    let why = "the old data is the way back, and with it out of the way nothing old can start; the guard keeps anything new from starting";
    held(
        cx,
        member,
        Unit::act(
            id(PHASE, Some(node), "aside"),
            PHASE,
            Action::Node(effect),
            why,
        ),
    )
    .undone(Undo::By(Action::Node(back)))
}

/// There is no data to move; the guard is set all the same.
fn guard(cx: &Context, member: &Member, found: &SpoolState) -> Unit {
    let node = member.node();
    let effect = NodeEffect::PlaceGuard {
        node: node.clone(),
        spool: cx.spool().clone(),
        run: cx.run,
        instead_of: match found {
            // The spec allows it, or there would be no plan.
            SpoolState::Guard(over) => Some(*over),
            _ => None,
        },
    };
    let why = format!(
        "{} has {found}: there is nothing to move, but nothing may start there either",
        cx.spool()
    );
    held(
        cx,
        member,
        Unit::act(
            id(PHASE, Some(node), "guard"),
            PHASE,
            Action::Node(effect),
            why,
        ),
    )
    .undone(Undo::Nothing(
        "the guard stays: there was no data here, and nothing empty may start; a later plan takes it over by `allow: {guards: …}`".into(),
    ))
}

/// What a guarding unit must find: nobody else starts or runs etcd on the node.
pub(super) fn held(cx: &Context, member: &Member, unit: Unit) -> Unit {
    let node = member.node();
    let service = cx.spec.service.clone();
    unit.on(node).within(cx.spec.deadlines.quick_s).only_if([
        Check::RoleAbsent {
            nodes: vec![node.clone()],
        },
        Check::ServiceStopped {
            node: node.clone(),
            service,
        },
    ])
}
