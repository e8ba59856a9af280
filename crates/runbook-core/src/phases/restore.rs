//! Restore: the snapshot is restored beside the spool, where no etcd looks for it.
//!
//! The article's command has no member flags: run on three nodes it makes three separate clusters
//! that all look healthy. Here every member gets its own name and URLs, one list of members, and a
//! token that no earlier cluster had. The tree goes to a staging directory: a failed restore leaves a
//! half directory behind from which etcd starts, answers, and then hangs on writes.

use super::{Context, Member, id, preflight};
use crate::plan::{Action, Check, Phase, RestoreEffect, ToolEffect, Undo, Unit};

const PHASE: Phase = Phase::Restore;

pub(super) fn units(cx: &Context) -> Vec<Unit> {
    let mut units = Vec::new();
    for member in &cx.members {
        let fit = still_fit(cx, member);
        let restore = restore(cx, member).after(&fit.id);
        units.extend([fit, restore]);
    }
    let alike = alike(cx, &units);
    units.push(alike);
    units
}

/// A wiped node may have come back with another image: the same is asked again.
fn still_fit(cx: &Context, member: &Member) -> Unit {
    let node = member.node();
    Unit::gate(
        id(PHASE, Some(node), "fit"),
        PHASE,
        "the node can take the restore",
        "a node that was wiped may have come back with another image, or without the shared mount",
        preflight::fitness(cx, member, false),
    )
    .on(node)
    .within(cx.spec.deadlines.quick_s)
}

fn restore(cx: &Context, member: &Member) -> Unit {
    let node = member.node();
    let effect = RestoreEffect {
        node: node.clone(),
        run: cx.run,
        module: cx.module.clone(),
        tool: cx.version.restore_tool(),
        snapshot: cx.world.snapshot.path.clone(),
        sha256: cx.world.snapshot.sha256,
        trailer: cx.world.snapshot.trailer,
        staging: cx.staging(),
        member: member.seen.name.clone(),
        peer_url: member.seen.peer_url.clone(),
        initial_cluster: cx.initial_cluster(),
        token: cx.identity.token.clone(),
        revision_bump: cx.bump.map(|bump| bump.by),
    };
    let why = "beside the spool and behind the guard: no etcd can start from it yet";
    let action = Action::Tool(ToolEffect::Restore(Box::new(effect)));
    Unit::act(id(PHASE, Some(node), "restore"), PHASE, action, why)
        .on(node)
        .only_if([
            Check::RoleAbsent {
                nodes: vec![node.clone()],
            },
            Check::ServiceStopped {
                node: node.clone(),
                service: cx.spec.service.clone(),
            },
            Check::Guarded {
                node: node.clone(),
                spool: cx.spool().clone(),
                run: cx.run,
                instead_of: None,
            },
        ])
        .within(cx.spec.deadlines.restore_s)
        .undone(Undo::Nothing(format!(
            "{} stays; no etcd looks for it there",
            cx.staging()
        )))
}

fn alike(cx: &Context, units: &[Unit]) -> Unit {
    let stagings = cx
        .nodes()
        .into_iter()
        .map(|node| (node, cx.staging()))
        .collect();
    let gate = Unit::gate(
        id(PHASE, None, "alike"),
        PHASE,
        "the restored database is the same on every member",
        "etcd's restore gives the same keys and revisions everywhere; a member that differs would diverge for good",
        vec![Check::StagedAlike {
            stagings,
            run: cx.run,
        }],
    );
    units
        .iter()
        .fold(gate, |gate, unit| gate.after(&unit.id))
        .within(cx.spec.deadlines.restore_s)
}
