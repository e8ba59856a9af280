//! Chown: the restored data gets its owner and takes the spool's place.
//!
//! The article: `chmod 755` and `chown etcd:etcd -R`. etcd 3.3.23–3.3.24 and 3.4.10–3.4.12 refuse to
//! start from a directory that is not 0700, every release takes 0700, so 0700 it is. The rename is
//! the step that arms a node, and it comes only after every member is restored alike.

use super::{Context, Member, id};
use crate::plan::{Action, Check, NodeEffect, Phase, Undo, Unit};

const PHASE: Phase = Phase::Chown;

pub(super) fn units(cx: &Context) -> Vec<Unit> {
    cx.members
        .iter()
        .flat_map(|member| {
            let own = own(cx, member);
            let arm = arm(cx, member).after(&own.id);
            let clear = clear_failures(cx, member).after(&arm.id);
            [own, arm, clear]
        })
        .collect()
}

fn own(cx: &Context, member: &Member) -> Unit {
    let node = member.node();
    let effect = NodeEffect::OwnTree {
        node: node.clone(),
        tree: cx.tree(),
        owner: cx.spec.owner.clone(),
    };
    let why = "the tool runs as root, etcd does not: with a foreign owner it exits at once";
    Unit::act(
        id(PHASE, Some(node), "own"),
        PHASE,
        Action::Node(effect),
        why,
    )
    .on(node)
    .within(cx.spec.deadlines.quick_s)
    .undone(Undo::Nothing("only the staged tree is touched".into()))
}

fn arm(cx: &Context, member: &Member) -> Unit {
    let node = member.node();
    let (spool, staged, run) = (cx.spool().clone(), cx.tree(), cx.run);
    let disarm = NodeEffect::Disarm {
        node: node.clone(),
        staged: staged.clone(),
        spool: spool.clone(),
        run,
    };
    let effect = NodeEffect::Arm {
        node: node.clone(),
        staged,
        spool,
        run,
    };
    let why = "from here on etcd can start on this node, and finds restored data; if anything but this run's guard stands at the path, the run halts";
    Unit::act(
        id(PHASE, Some(node), "arm"),
        PHASE,
        Action::Node(effect),
        why,
    )
    .on(node)
    .only_if([
        cx.role_unchanged(),
        Check::RoleAbsent { nodes: cx.nodes() },
        Check::ServiceStopped {
            node: node.clone(),
            service: cx.spec.service.clone(),
        },
        Check::Staged {
            node: node.clone(),
            staging: cx.staging(),
            run,
        },
        Check::TreeOwned {
            node: node.clone(),
            tree: cx.tree(),
            owner: cx.spec.owner.clone(),
        },
    ])
    .within(cx.spec.deadlines.quick_s)
    .undone(Undo::By(Action::Node(disarm)))
}

/// An etcd that could not start before (a damaged database, the guard) has used up systemd's limit of
/// starts: the role would be given back, and nothing would come up.
fn clear_failures(cx: &Context, member: &Member) -> Unit {
    let node = member.node();
    let service = cx.spec.service.clone();
    let effect = NodeEffect::ClearFailures {
        node: node.clone(),
        service,
    };
    let why = "after failed starts systemd refuses further ones, and CMDaemon gives up after ten";
    Unit::act(
        id(PHASE, Some(node), "startable"),
        PHASE,
        Action::Node(effect),
        why,
    )
    .on(node)
    .within(cx.spec.deadlines.quick_s)
    .undone(Undo::Nothing("it starts nothing".into()))
}
