//! Datanode: the nodes are data nodes again, so that no provisioning wipes them.
//!
//! The article: "Please ensure that each `Etcd::Host` node has the datanode property set to yes." What
//! counts is the OR of node and category, and `nextinstallmode` must be empty: FULL would wipe the
//! restored data at the next boot.

use super::{Context, Member, id, reprovision};
use crate::names::CategoryName;
use crate::plan::{Action, Check, ManagerEffect, Phase, Undo, Unit};

const PHASE: Phase = Phase::Datanode;

pub(super) fn units(cx: &Context) -> Vec<Unit> {
    let nodes = cx.members.iter().map(|member| raise(cx, member));
    let categories = reprovision::lowered_categories(cx);
    nodes
        .chain(
            categories
                .into_iter()
                .map(|category| raise_category(cx, category)),
        )
        .collect()
}

fn raise(cx: &Context, member: &Member) -> Unit {
    let node = member.node();
    let set = |value| {
        Action::Manager(ManagerEffect::SetDatanode {
            node: node.clone(),
            value,
        })
    };
    let why = "a FULL provisioning then asks before it wipes";
    Unit::act(id(PHASE, Some(node), "datanode"), PHASE, set(true), why)
        .on(node)
        .and_when([
            Check::DatanodeEffective {
                node: node.clone(),
                value: true,
            },
            Check::NextInstallModeIs {
                node: node.clone(),
                mode: None,
            },
            Check::NothingClearedAtBoot { node: node.clone() },
        ])
        .within(cx.spec.deadlines.quick_s)
        .undone(Undo::By(set(member.seen.device.datanode)))
}

fn raise_category(cx: &Context, category: &CategoryName) -> Unit {
    let category = category.clone();
    let step = format!("category-{category}-datanode");
    let effect = ManagerEffect::SetCategoryDatanode {
        category,
        value: true,
    };
    let why = "it was lowered for this run only";
    Unit::act(id(PHASE, None, &step), PHASE, Action::Manager(effect), why)
        .within(cx.spec.deadlines.quick_s)
        .undone(Undo::Nothing("it is as it was before the run".into()))
}
