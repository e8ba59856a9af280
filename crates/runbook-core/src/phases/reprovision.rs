//! Reprovision: disks are wiped and provisioned anew, where the spec says so.
//!
//! The article: `set datanode no`, `set nextinstallmode full`, `reboot`. "Please keep in mind that
//! this step wipes the entire disk for the node." So the snapshot is proven once more right before
//! each wipe, and the guard is set again as soon as the node answers.
//!
//! There are two ways ([`FullInstall`]). In the article's the reboot wipes. In the other `datanode`
//! stays on: the reboot leads to the installer's question, and answering it wipes.

use std::collections::BTreeSet;

use super::{Context, Member, datanode, id, move_spool, not_here};
use crate::names::{CategoryName, UnitId};
use crate::plan::{Action, Check, ManagerEffect, NodeEffect, Phase, Undo, Unit};
use crate::spec::FullInstall;
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

/// Categories whose own `datanode` would keep a FULL provisioning waiting for a confirmation that
/// nobody gives.
pub(super) fn lowered_categories<'a>(cx: &'a Context) -> BTreeSet<&'a CategoryName> {
    let lowers = cx.spec.full_install == FullInstall::DatanodeNo;
    let wiped = cx
        .members
        .iter()
        .filter(|m| lowers && m.reprovision && m.seen.device.category_datanode);
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
        .only_if(safe_to_wipe(cx))
        .within(cx.spec.deadlines.quick_s)
        .undone(Undo::By(set(true)))
}

fn wipe(cx: &Context, member: &Member, first: &[UnitId]) -> Vec<Unit> {
    let (datanode, wiping) = match cx.spec.full_install {
        FullInstall::DatanodeNo => {
            let lower = first.iter().fold(lower_datanode(cx, member), Unit::after);
            (lower, vec![boot(cx, member)])
        }
        FullInstall::Confirm => (
            keep_datanode(cx, member),
            vec![boot_to_the_question(cx, member), confirm(cx, member)],
        ),
    };
    let chain = [datanode, install_full(cx, member)]
        .into_iter()
        .chain(wiping)
        .chain([guard_again(cx, member)]);
    let mut units: Vec<Unit> = Vec::new();
    for unit in chain {
        let unit = match units.last() {
            Some(before) => unit.after(&before.id),
            None => unit,
        };
        units.push(unit);
    }
    units
}

fn keep_datanode(cx: &Context, member: &Member) -> Unit {
    let node = member.node();
    let effect = ManagerEffect::SetDatanode {
        node: node.clone(),
        value: true,
    };
    let why = "the installer of a data node asks before a FULL provisioning, and this run answers; so `datanode` is never lowered";
    Unit::act(
        id(PHASE, Some(node), "datanode"),
        PHASE,
        Action::Manager(effect),
        why,
    )
    .on(node)
    .within(cx.spec.deadlines.quick_s)
    // An installer that waits might take its being lowered for leave.
    .undone(Undo::Nothing(
        "it stays on, as the article asks for of every node with etcd".into(),
    ))
}

fn lower_datanode(cx: &Context, member: &Member) -> Unit {
    let node = member.node();
    let set = Action::Manager(ManagerEffect::SetDatanode {
        node: node.clone(),
        value: false,
    });
    let why = "a data node asks on its console before a FULL provisioning, and waits";
    Unit::act(id(PHASE, Some(node), "datanode"), PHASE, set, why)
        .on(node)
        .only_if(safe_to_wipe(cx))
        .and_when([Check::DatanodeEffective {
            node: node.clone(),
            value: false,
        }])
        .within(cx.spec.deadlines.quick_s)
        .undone(datanode::before_the_run(member, false))
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
    .only_if(safe_to_wipe(cx))
    .only_if(as_it_was_left(cx, member))
    .within(cx.spec.deadlines.quick_s)
    .undone(Undo::By(set(member.seen.device.next_install_mode)))
}

fn boot(cx: &Context, member: &Member) -> Unit {
    let node = member.node();
    let why =
        "this wipes the node's disk and lays it anew; 5 to 20 minutes are usual on real hardware";
    let lowered = Check::DatanodeEffective {
        node: node.clone(),
        value: false,
    };
    booting(cx, member, why)
        .only_if(safe_to_wipe(cx))
        .only_if([lowered, full(member)])
        .and_when(laid_anew(cx, member))
        .destroys(format!("the whole disk of {node} is wiped"))
}

/// The first half of the other way: what is on the disk stays there until the question is answered.
fn boot_to_the_question(cx: &Context, member: &Member) -> Unit {
    let node = member.node();
    let why = "the node comes as far as its installer, which asks before it touches the disk";
    let asks = Check::DatanodeIs {
        node: node.clone(),
        value: true,
    };
    let clears_nothing = Check::NothingClearedAtBoot { node: node.clone() };
    booting(cx, member, why)
        // As for a wipe: should it be one after all, nothing is lost.
        .only_if(safe_to_wipe(cx))
        .only_if([asks, full(member), clears_nothing])
        .done_once([Check::AtInstaller {
            node: node.clone(),
            was_up: member.host().is_some(),
        }])
        .undone(Undo::Nothing(match member.host() {
            Some(_) => format!(
                "{node} waits in its installer with its disk as it was: the undo sets its nextinstallmode to SKIP and says when to reset it"
            ),
            None => format!(
                "{node} was off before: power it off again where it waits in its installer; its disk is as it was"
            ),
        }))
}

/// The second half: the installer gets its leave.
fn confirm(cx: &Context, member: &Member) -> Unit {
    let node = member.node();
    let effect = ManagerEffect::ConfirmInstall { node: node.clone() };
    let why = "the node waits in its installer; with this leave it wipes the disk and lays it anew; 5 to 20 minutes are usual on real hardware";
    Unit::act(
        id(PHASE, Some(node), "confirm"),
        PHASE,
        Action::Manager(effect),
        why,
    )
    .on(node)
    .only_if(safe_to_wipe(cx))
    // Last: the proof takes its time, and what is answered is what is asked now.
    .only_if([Check::InstallerAsks { node: node.clone() }])
    .and_when(laid_anew(cx, member))
    .within(cx.spec.deadlines.reprovision_s)
    .destroys(format!("the whole disk of {node} is wiped"))
}

fn booting(cx: &Context, member: &Member, why: &str) -> Unit {
    let node = member.node();
    let reboot = ManagerEffect::Reboot { node: node.clone() };
    let power_on = ManagerEffect::PowerOn { node: node.clone() };
    let hung = "if the node is on and hangs, this does nothing: reset it by hand";
    let (effect, why) = match member.host() {
        Some(_) => (reboot, why.to_owned()),
        None => (power_on, format!("{why}; {hung}")),
    };
    Unit::act(
        id(PHASE, Some(node), "boot"),
        PHASE,
        Action::Manager(effect),
        why,
    )
    .on(node)
    .only_if(as_it_was_left(cx, member))
    .within(cx.spec.deadlines.reprovision_s)
}

/// What must hold at the very moment before a disk may go, and before the settings that let it go in any boot.
fn safe_to_wipe(cx: &Context) -> [Check; 4] {
    [
        cx.snapshot_proven(),
        Check::HeadIsActive,
        cx.role_unchanged(),
        Check::RoleAbsent { nodes: cx.nodes() },
    ]
}

/// Nobody has put the data back that was moved away, and nobody is booting the node, which would find FULL on
/// its way. Of a node that was off nothing was moved, and nothing can be asked.
fn as_it_was_left(cx: &Context, member: &Member) -> Option<Check> {
    member.host().map(|_| Check::NoDataAt {
        node: member.node().clone(),
        spool: cx.spool().clone(),
    })
}

fn full(member: &Member) -> Check {
    Check::NextInstallModeIs {
        node: member.node().clone(),
        mode: Some(InstallMode::Full),
    }
}

/// The installer has finished, and what the run had put on the disk is gone.
fn laid_anew(cx: &Context, member: &Member) -> [Check; 2] {
    let node = member.node();
    [
        Check::NextInstallModeIs {
            node: node.clone(),
            mode: None,
        },
        Check::DiskIsFresh {
            node: node.clone(),
            spool: cx.spool().clone(),
            aside: cx.aside(),
        },
    ]
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
