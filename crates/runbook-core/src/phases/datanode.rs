//! Datanode: the nodes are data nodes again, so that no provisioning wipes them.
//!
//! The article: "Please ensure that each `Etcd::Host` node has the datanode property set to yes." What
//! counts is the OR of node and category, and `nextinstallmode` must be empty: FULL would wipe the
//! restored data at the next boot.
//!
//! Until then a reboot may wipe what was restored. A resumed run closes that window first
//! ([`Machine::ready`](crate::machine::Machine::ready)), and a spec may ask for it to be closed before
//! anything is restored ([`DatanodeAgain::AfterReprovision`]).

use super::{Context, Member, id, not_here, reprovision};
use crate::names::{CategoryName, NodeName, UnitId};
use crate::plan::{Action, Check, ManagerEffect, Phase, Undo, Unit};
use crate::spec::DatanodeAgain;

/// `datanode` is the step that lowers it.
const STEP: &str = "datanode-yes";

pub(super) fn units(cx: &Context) -> Vec<Unit> {
    raised(cx, Phase::Datanode, &[])
}

/// The same units, at the end of Reprovision, where the spec wants the window never to open.
pub(super) fn early(cx: &Context, provisioned: &[UnitId]) -> Vec<Unit> {
    match cx.spec.datanode_again {
        DatanodeAgain::AfterReassign => Vec::new(),
        DatanodeAgain::AfterReprovision => raised(cx, Phase::Reprovision, provisioned),
    }
}

fn raised(cx: &Context, phase: Phase, after: &[UnitId]) -> Vec<Unit> {
    let nodes = cx.members.iter().map(|member| raise(cx, phase, member));
    let categories = reprovision::lowered_categories(cx);
    let categories = categories
        .into_iter()
        .map(|category| raise_category(cx, phase, category));
    nodes
        .chain(categories)
        .map(|unit| after.iter().fold(unit, Unit::after))
        .collect()
}

fn raise(cx: &Context, phase: Phase, member: &Member) -> Unit {
    let node = member.node();
    if member.seen.device.head_node {
        let title = format!("set datanode of {node} to yes");
        let reason = "a head node is never provisioned, and has no such property";
        return not_here(phase, node, STEP, &title, reason);
    }
    let set = Action::Manager(ManagerEffect::SetDatanode {
        node: node.clone(),
        value: true,
    });
    let why = "a FULL provisioning then asks before it wipes";
    Unit::act(id(phase, Some(node), STEP), phase, set, why)
        .on(node)
        .and_when(kept(node))
        .within(cx.spec.deadlines.quick_s)
        .undone(before_the_run(member, true))
}

/// How setting the node's own `datanode` is taken back: not at all where it had that value before the run.
pub(super) fn before_the_run(member: &Member, value: bool) -> Undo {
    let before = member.seen.device.datanode;
    if before == value {
        return Undo::Nothing("it was so before the run".into());
    }
    Undo::By(Action::Manager(ManagerEffect::SetDatanode {
        node: member.node().clone(),
        value: before,
    }))
}

/// No boot of the node wipes its disk without asking.
pub(super) fn kept(node: &NodeName) -> Vec<Check> {
    vec![
        Check::DatanodeEffective {
            node: node.clone(),
            value: true,
        },
        Check::NextBootIsOrdinary { node: node.clone() },
        Check::NothingClearedAtBoot { node: node.clone() },
    ]
}

fn raise_category(cx: &Context, phase: Phase, category: &CategoryName) -> Unit {
    let category = category.clone();
    let step = format!("category-{category}-{STEP}");
    let effect = ManagerEffect::SetCategoryDatanode {
        category,
        value: true,
    };
    let why = "it was lowered for this run only";
    Unit::act(id(phase, None, &step), phase, Action::Manager(effect), why)
        .within(cx.spec.deadlines.quick_s)
        .undone(Undo::Nothing("it is as it was before the run".into()))
}
