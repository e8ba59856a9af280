//! Reprovision: disks are wiped and provisioned anew, where the spec says so.
//!
//! The article: `set datanode no`, `set nextinstallmode full`, `reboot`. "Please keep in mind that
//! this step wipes the entire disk for the node." So the snapshot is proven once more right before
//! each reboot, and the guard is set again as soon as the node answers.

use std::collections::BTreeSet;

use super::{Context, Member, datanode, id, move_spool, not_here};
use crate::names::{CategoryName, UnitId};
use crate::plan::{Action, Check, ManagerEffect, NodeEffect, Phase, Undo, Unit};
use crate::world::InstallMode;

const PHASE: Phase = Phase::Reprovision;

pub(super) fn units(cx: &Context) -> Vec<Unit> {
    let categories = lowered_categories(cx);
    let mut units: Vec<Unit> = categories
        .iter()
        .map(|category| lower_category(cx, category))
        .collect();
    let first: Vec<UnitId> = units.iter().map(|unit| unit.id.clone()).collect();
    let mut provisioned = Vec::new();
    for member in &cx.members {
        if member.reprovision {
            let wipe = wipe(cx, member, &first);
            provisioned.extend(wipe.last().map(|unit| unit.id.clone()));
            units.extend(wipe);
        } else {
            let title = "wipe and provision the disk";
            units.push(not_here(
                PHASE,
                member.node(),
                "boot",
                title,
                "the spec restores this node in place",
            ));
        }
    }
    units.extend(datanode::early(cx, &provisioned));
    units
}

/// Categories whose own `datanode` would keep a FULL provisioning waiting for a confirmation.
pub(super) fn lowered_categories<'a>(cx: &'a Context) -> BTreeSet<&'a CategoryName> {
    let wiped = cx
        .members
        .iter()
        .filter(|m| m.reprovision && m.seen.device.category_datanode);
    wiped.map(|m| &m.seen.device.category).collect()
}

fn lower_category(cx: &Context, category: &CategoryName) -> Unit {
    let set = |value| {
        let category = category.clone();
        Action::Manager(ManagerEffect::SetCategoryDatanode { category, value })
    };
    let reason = cx
        .spec
        .allow
        .category_datanode
        .get(category)
        .map_or("", String::as_str);
    let why = format!(
        "datanode is the OR of node and category; lowered for every node of {category}, because: {reason}"
    );
    let step = format!("category-{category}-datanode");
    Unit::act(id(PHASE, None, &step), PHASE, set(false), why)
        .within(cx.spec.deadlines.quick_s)
        .undone(Undo::By(set(true)))
}

fn wipe(cx: &Context, member: &Member, first: &[UnitId]) -> [Unit; 4] {
    let lower = first.iter().fold(lower_datanode(cx, member), Unit::after);
    let full = install_full(cx, member).after(&lower.id);
    let boot = boot(cx, member).after(&full.id);
    let guard = guard_again(cx, member).after(&boot.id);
    [lower, full, boot, guard]
}

fn lower_datanode(cx: &Context, member: &Member) -> Unit {
    let node = member.node();
    let set = |value| {
        Action::Manager(ManagerEffect::SetDatanode {
            node: node.clone(),
            value,
        })
    };
    let why = "a data node asks on its console before a FULL provisioning, and waits";
    Unit::act(id(PHASE, Some(node), "datanode"), PHASE, set(false), why)
        .on(node)
        .and_when([Check::DatanodeEffective {
            node: node.clone(),
            value: false,
        }])
        .within(cx.spec.deadlines.quick_s)
        .undone(Undo::By(set(member.seen.device.datanode)))
}

fn install_full(cx: &Context, member: &Member) -> Unit {
    let node = member.node();
    let set = |mode| {
        let node = node.clone();
        Action::Manager(ManagerEffect::SetNextInstallMode { node, mode })
    };
    let why = "the next boot repartitions the disk and lays the whole image; the installer clears this when it has finished";
    Unit::act(
        id(PHASE, Some(node), "install-mode"),
        PHASE,
        set(Some(InstallMode::Full)),
        why,
    )
    .on(node)
    .within(cx.spec.deadlines.quick_s)
    .undone(Undo::By(set(member.seen.device.next_install_mode)))
}

fn boot(cx: &Context, member: &Member) -> Unit {
    let node = member.node();
    let effect = match member.host() {
        Some(_) => ManagerEffect::Reboot { node: node.clone() },
        None => ManagerEffect::PowerOn { node: node.clone() },
    };
    let fresh = Check::DiskIsFresh {
        node: node.clone(),
        spool: cx.spool().clone(),
        aside: cx.aside(),
        run: cx.run,
    };
    let why =
        "this wipes the node's disk and lays it anew; 5 to 20 minutes are usual on real hardware";
    Unit::act(
        id(PHASE, Some(node), "boot"),
        PHASE,
        Action::Manager(effect),
        why,
    )
    .on(node)
    .only_if([
        cx.snapshot_proven(),
        Check::HeadIsActive,
        cx.role_unchanged(),
        Check::RoleAbsent { nodes: cx.nodes() },
        Check::DatanodeEffective {
            node: node.clone(),
            value: false,
        },
        Check::NextInstallModeIs {
            node: node.clone(),
            mode: Some(InstallMode::Full),
        },
    ])
    .and_when([
        Check::NextInstallModeIs {
            node: node.clone(),
            mode: None,
        },
        fresh,
    ])
    .within(cx.spec.deadlines.reprovision_s)
    .destroys(format!("the whole disk of {node} is wiped"))
}

fn guard_again(cx: &Context, member: &Member) -> Unit {
    let node = member.node();
    let effect = NodeEffect::PlaceGuard {
        node: node.clone(),
        spool: cx.spool().clone(),
        run: cx.run,
        instead_of: None,
    };
    let why = "the wipe took the guard as well; on a fresh disk an etcd would start empty";
    let unit = Unit::act(
        id(PHASE, Some(node), "guard"),
        PHASE,
        Action::Node(effect),
        why,
    );
    move_spool::held(cx, member, unit).undone(Undo::Impossible(
        "the disk behind it is wiped already".into(),
    ))
}
