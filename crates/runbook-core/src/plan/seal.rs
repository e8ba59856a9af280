//! The invariants of a plan, checked when it is sealed and again when it is read.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Action, Check, ManagerEffect, NodeEffect, Phase, Plan, PlanKind, RestoreEffect, ToolEffect,
    Unit,
};
use crate::names::{NodeName, UnitId};
use crate::world::InstallMode;

/// A plan that contradicts itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unit {unit}: {fault}")]
pub struct Broken {
    /// The unit at fault.
    pub unit: UnitId,
    /// What is wrong with it.
    pub fault: String,
}

impl Broken {
    pub(crate) fn new(unit: &UnitId, fault: impl Into<String>) -> Self {
        Self {
            unit: unit.clone(),
            fault: fault.into(),
        }
    }
}

/// The first unit that cannot be taken back.
pub(super) fn point_of_no_return(units: &[Unit]) -> Option<UnitId> {
    let first = units.iter().find(|unit| unit.is_final());
    first.map(|unit| unit.id.clone())
}

pub(super) fn check(plan: &Plan) -> Result<(), Broken> {
    shape(&plan.units)?;
    marks_are_right(plan)?;
    match plan.kind {
        PlanKind::Restore => {
            roles_are_looked_at(plan)?;
            datanode_comes_back(&plan.units)?;
            asked_nodes_stay_data_nodes(&plan.units)?;
            phases_in_order(&plan.units)?;
            nothing_destroyed_before_the_proof(plan)?;
            nothing_starts_before_every_restore(plan)?;
            one_cluster(plan)
        }
        PlanKind::Undo { .. } => undo_starts_only_old_data(&plan.units),
    }
}

/// Ids are unique, a phase is one block, needs point backwards inside it, and whoever acts can tell
/// whether it is done.
fn shape(units: &[Unit]) -> Result<(), Broken> {
    let mut seen: BTreeMap<&UnitId, Phase> = BTreeMap::new();
    let mut past: BTreeSet<Phase> = BTreeSet::new();
    let mut current = None;
    for unit in units {
        if current != Some(unit.phase) {
            if !past.insert(unit.phase) {
                return Err(Broken::new(&unit.id, "its phase was left already"));
            }
            current = Some(unit.phase);
        }
        for need in &unit.needs {
            if seen.get(need) != Some(&unit.phase) {
                return Err(Broken::new(
                    &unit.id,
                    format!("it needs {need}, which is no earlier unit of its phase"),
                ));
            }
        }
        if seen.insert(&unit.id, unit.phase).is_some() {
            return Err(Broken::new(&unit.id, "its id is used twice"));
        }
        if unit.skip.is_some() && unit.act.is_some() {
            return Err(Broken::new(&unit.id, "a skipped unit cannot act"));
        }
        if unit.skip.is_none() && unit.done_when.is_empty() {
            return Err(Broken::new(&unit.id, "nothing tells when it is done"));
        }
        if unit.deadline_s == 0 {
            return Err(Broken::new(&unit.id, "its deadline is zero seconds"));
        }
    }
    Ok(())
}

/// What a reviewer looks for first is what the units say: who destroys, and from where on nothing can
/// be taken back.
fn marks_are_right(plan: &Plan) -> Result<(), Broken> {
    for unit in &plan.units {
        if boots(unit).is_some() && !unit.destructive && asked_boot(unit).is_none() {
            return Err(Broken::new(
                &unit.id,
                "it boots a node that nothing makes ask first, and is not marked as destructive",
            ));
        }
        if let Some(Action::Manager(ManagerEffect::ConfirmInstall { node })) = &unit.act
            && !(unit.destructive && asks_for(&unit.require, node))
        {
            return Err(Broken::new(
                &unit.id,
                "it lets a disk be wiped without looking what is asked for, or is not marked as destructive",
            ));
        }
    }
    let first = point_of_no_return(&plan.units);
    if first != plan.point_of_no_return {
        let unit = first.or_else(|| plan.point_of_no_return.clone());
        return Err(unit.map_or_else(
            || unreachable!("they differ"),
            |unit| {
                Broken::new(
                    &unit,
                    "it is not what the plan says of its point of no return",
                )
            },
        ));
    }
    Ok(())
}

fn boots(unit: &Unit) -> Option<&NodeName> {
    match &unit.act {
        Some(Action::Manager(ManagerEffect::Reboot { node } | ManagerEffect::PowerOn { node })) => {
            Some(node)
        }
        _ => None,
    }
}

/// The node of a boot that wipes nothing by itself: right before it, the node is a data node, whose
/// installer asks, and has no block devices that are cleared without a question.
fn asked_boot(unit: &Unit) -> Option<&NodeName> {
    let node = boots(unit).filter(|_| !unit.destructive)?;
    // Its own: then the value of its category does not matter.
    let asks = Check::DatanodeIs {
        node: node.clone(),
        value: true,
    };
    let clears_nothing = Check::NothingClearedAtBoot { node: node.clone() };
    let looks = [asks, clears_nothing]
        .iter()
        .all(|check| unit.require.contains(check));
    looks.then_some(node)
}

fn asks_for(require: &[Check], of: &NodeName) -> bool {
    require
        .iter()
        .any(|check| matches!(check, Check::InstallerAsks { node } if node == of))
}

/// A node whose installer is counted on to ask stays a data node all the way: lowered while it boots,
/// it would be wiped without a question.
fn asked_nodes_stay_data_nodes(units: &[Unit]) -> Result<(), Broken> {
    let asked: BTreeSet<&NodeName> = units.iter().filter_map(asked_boot).collect();
    let lowers = |unit: &&Unit| matches!(&unit.act, Some(Action::Manager(ManagerEffect::SetDatanode { node, value: false })) if asked.contains(node));
    match units.iter().find(lowers) {
        None => Ok(()),
        Some(unit) => Err(Broken::new(
            &unit.id,
            "it lowers datanode of a node whose installer is counted on to ask",
        )),
    }
}

/// Whoever gives the role back looks, at that very moment, whether it is still the plan's role.
fn roles_are_looked_at(plan: &Plan) -> Result<(), Broken> {
    let looks = |check: &Check| matches!(check, Check::RoleUnchanged { overlay, spool, .. } if *overlay == plan.world.overlay && *spool == plan.world.spool);
    for unit in plan
        .units
        .iter()
        .filter(|unit| unit.gives_role_to().is_some())
    {
        if !unit.require.iter().any(looks) {
            return Err(Broken::new(
                &unit.id,
                "it gives the role back without looking whether it has changed",
            ));
        }
    }
    Ok(())
}

fn phases_in_order(units: &[Unit]) -> Result<(), Broken> {
    match units.windows(2).find(|pair| pair[0].phase > pair[1].phase) {
        Some(pair) => Err(Broken::new(&pair[1].id, "its phase comes too late")),
        None => Ok(()),
    }
}

/// Before anything is destroyed the snapshot was proven in Preflight, and is proven again.
fn nothing_destroyed_before_the_proof(plan: &Plan) -> Result<(), Broken> {
    let snapshot = &plan.world.snapshot;
    let proves = |check: &Check| matches!(check, Check::SnapshotProven { path, sha256 } if *path == snapshot.path && *sha256 == snapshot.sha256);
    let mut seen = false;
    for unit in &plan.units {
        seen |= unit.phase == Phase::Preflight && unit.done_when.iter().any(proves);
        let lets_go = unit.destructive || unit.act.as_ref().is_some_and(unlocks_a_wipe);
        if lets_go && !(seen && unit.require.iter().any(proves)) {
            return Err(Broken::new(
                &unit.id,
                "it destroys something, or lets a boot destroy it, before the snapshot is proven",
            ));
        }
    }
    Ok(())
}

/// From then on any boot may wipe a disk, also one that nobody has asked for.
const fn unlocks_a_wipe(act: &Action) -> bool {
    matches!(
        act,
        Action::Manager(
            ManagerEffect::SetNextInstallMode {
                mode: Some(InstallMode::Full),
                ..
            } | ManagerEffect::SetDatanode { value: false, .. }
                | ManagerEffect::SetCategoryDatanode { value: false, .. }
        )
    )
}

/// A member is armed only after all are restored alike, and started only after all are armed.
fn nothing_starts_before_every_restore(plan: &Plan) -> Result<(), Broken> {
    let members: BTreeSet<&NodeName> = plan.identity.members.iter().map(|m| &m.node).collect();
    let (mut restored, mut armed) = (BTreeMap::new(), BTreeMap::new());
    let mut alike = false;
    for unit in &plan.units {
        alike |= unit.phase == Phase::Restore
            && unit.done_when.iter().any(|check| matches!(check, Check::StagedAlike { stagings, .. } if stagings.iter().map(|(node, _)| node).collect::<BTreeSet<_>>() == members));
        if let Some(effect) = restore(unit) {
            restored.insert(&effect.node, unit.phase);
        } else if let Some(Action::Node(NodeEffect::Arm { node, .. })) = &unit.act {
            if !alike || !all_before(&members, &restored, unit.phase) {
                return Err(Broken::new(
                    &unit.id,
                    "it arms a member before all are restored",
                ));
            }
            armed.insert(node, unit.phase);
        } else if unit.gives_role_to().is_some() && !all_before(&members, &armed, unit.phase) {
            return Err(Broken::new(
                &unit.id,
                "it lets etcd start before all members are armed",
            ));
        } else if matches!(unit.act, Some(Action::Node(NodeEffect::ReturnSpool { .. }))) {
            return Err(Broken::new(
                &unit.id,
                "a restore never puts the old data back",
            ));
        }
    }
    Ok(())
}

fn all_before(
    members: &BTreeSet<&NodeName>,
    done: &BTreeMap<&NodeName, Phase>,
    phase: Phase,
) -> bool {
    members
        .iter()
        .all(|node| done.get(node).is_some_and(|earlier| *earlier < phase))
}

/// Every member is restored from the same bytes into the same cluster.
fn one_cluster(plan: &Plan) -> Result<(), Broken> {
    let mut first: Option<&RestoreEffect> = None;
    let planned = &plan.identity.members;
    let cluster: Vec<_> = planned
        .iter()
        .map(|m| (m.name.clone(), m.peer_url.clone()))
        .collect();
    for unit in &plan.units {
        let Some(effect) = restore(unit) else {
            continue;
        };
        let model = *first.get_or_insert(effect);
        let same = effect.sha256 == plan.world.snapshot.sha256
            && effect.token == plan.identity.token
            && effect.run == plan.run
            && effect.trailer == plan.world.snapshot.trailer
            && effect.snapshot == plan.world.snapshot.path
            && effect.initial_cluster == cluster
            && planned.iter().any(|m| {
                (&m.node, &m.name, &m.peer_url) == (&effect.node, &effect.member, &effect.peer_url)
            })
            && effect.revision_bump == model.revision_bump
            && effect.tool == model.tool;
        if !same {
            return Err(Broken::new(
                &unit.id,
                "it does not restore the same snapshot into the same cluster",
            ));
        }
    }
    Ok(())
}

/// Whoever lowers `datanode` raises it again later.
fn datanode_comes_back(units: &[Unit]) -> Result<(), Broken> {
    let value = |unit: &Unit| match &unit.act {
        Some(Action::Manager(ManagerEffect::SetDatanode { node, value })) => {
            Some((node.to_string(), *value))
        }
        Some(Action::Manager(ManagerEffect::SetCategoryDatanode { category, value })) => {
            Some((format!("category {category}"), *value))
        }
        _ => None,
    };
    for (at, unit) in units.iter().enumerate() {
        let Some((of, false)) = value(unit) else {
            continue;
        };
        if !units[at..]
            .iter()
            .filter_map(value)
            .any(|later| later == (of.clone(), true))
        {
            return Err(Broken::new(
                &unit.id,
                format!("datanode of {of} is never raised again"),
            ));
        }
    }
    Ok(())
}

/// Giving the role back in an undo demands that the old data stands there again.
fn undo_starts_only_old_data(units: &[Unit]) -> Result<(), Broken> {
    for unit in units {
        if unit.destructive {
            return Err(Broken::new(&unit.id, "an undo destroys nothing"));
        }
        for node in unit.gives_role_to().into_iter().flatten() {
            let holds = |check: &Check| matches!(check, Check::SpoolHoldsData { node: of, .. } if of == node);
            if !unit.require.iter().any(holds) {
                return Err(Broken::new(
                    &unit.id,
                    format!("{node} could start without its old data"),
                ));
            }
        }
    }
    Ok(())
}

fn restore(unit: &Unit) -> Option<&RestoreEffect> {
    match &unit.act {
        Some(Action::Tool(ToolEffect::Restore(effect))) => Some(effect),
        _ => None,
    }
}
