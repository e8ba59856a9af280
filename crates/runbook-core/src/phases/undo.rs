//! Undo: another plan, run by the same engine, up to the point of no return.
//!
//! It takes back, in reverse, what the run has done or may have done. Nothing unwinds by itself: the
//! safe state of this procedure is *etcd stopped*. The role goes back only to nodes that hold their
//! old data again; giving it to a node without data is the disaster this tool exists to prevent.

use super::id;
use crate::machine::Machine;
use crate::names::{NodeName, RunId};
use crate::plan::{
    Action, Check, Draft, ManagerEffect, NodeEffect, Phase, Plan, PlanError, PlanKind, SealedPlan,
    Undo, Unit,
};

impl Draft {
    /// The plan that puts back what a run has done so far.
    ///
    /// # Errors
    /// [`PlanError::Refused`] behind the point of no return, and for a run that is itself an undo.
    pub fn undo(of: &SealedPlan, machine: &Machine, run: RunId) -> Result<Self, PlanError> {
        if of.kind != PlanKind::Restore {
            return Err(PlanError::refused(
                "undo-of-undo",
                "this run is an undo itself",
                "resume it, or begin a new restore",
            ));
        }
        refuse_behind_the_point_of_no_return(of, machine)?;
        let mut units = Vec::new();
        for phase in Phase::ALL.into_iter().rev() {
            let done = of
                .units
                .iter()
                .rev()
                .filter(|unit| unit.phase == phase && machine.intended(&unit.id));
            for unit in done {
                units.extend(inverse(of, unit));
            }
        }
        let plan = Plan {
            kind: PlanKind::Undo { of: of.run, plan: of.digest() },
            run,
            risks: vec![
                "The cluster goes back to what it was before the run: a cluster that was lost stays lost.".into(),
            ],
            point_of_no_return: None,
            units,
            ..Plan::clone(of)
        };
        Ok(Self::new(plan))
    }
}

fn refuse_behind_the_point_of_no_return(
    of: &SealedPlan,
    machine: &Machine,
) -> Result<(), PlanError> {
    let begun = |unit: &&Unit| unit.is_final() && machine.intended(&unit.id);
    match of.units.iter().find(begun) {
        None => Ok(()),
        Some(unit) => Err(PlanError::refused(
            "past-no-return",
            format!(
                "the run is past its point of no return: {} was begun",
                unit.id
            ),
            "the way is forward: `restore-runbook resume`",
        )),
    }
}

/// The unit that takes one back, or says what stays; none where nothing was done.
fn inverse(of: &SealedPlan, unit: &Unit) -> Option<Unit> {
    let action = match &unit.undo {
        Undo::By(action) => action,
        Undo::Nothing(reason) if unit.act.is_some() => return Some(stays(unit, reason)),
        Undo::Nothing(_) | Undo::Impossible(_) => return None,
    };
    let Action::Manager(ManagerEffect::AssignRole { overlay, nodes }) = action else {
        let why = format!("takes back {}", unit.id);
        let back = Unit::act(unit.id.clone(), unit.phase, action.clone(), why)
            .within(unit.deadline_s)
            .only_if(still_held(of, action));
        return Some(match &unit.member {
            Some(node) => back.on(node),
            None => back,
        });
    };
    let with_data: Vec<NodeName> = nodes
        .iter()
        .filter(|node| had_data(of, node))
        .cloned()
        .collect();
    if with_data.is_empty() {
        let reason = "no member had data: with the role they would start empty";
        return Some(Unit::skipped(
            unit.id.clone(),
            unit.phase,
            "give Etcd::Host back",
            reason,
        ));
    }
    let old_data = with_data.iter().map(|node| Check::SpoolHoldsData {
        node: node.clone(),
        spool: of.world.spool.clone(),
    });
    let unchanged = Check::RoleUnchanged {
        overlay: overlay.clone(),
        spool: of.world.spool.clone(),
        nodes: nodes_of(of),
    };
    let checks: Vec<Check> = [Check::HeadIsActive, unchanged]
        .into_iter()
        .chain(old_data)
        .collect();
    let effect = ManagerEffect::AssignRole {
        overlay: overlay.clone(),
        nodes: with_data,
    };
    let why = "gives the role back to the members that hold their old data";
    Some(
        Unit::act(
            id(Phase::Stop, None, "assign-again"),
            unit.phase,
            Action::Manager(effect),
            why,
        )
        .only_if(checks)
        .within(unit.deadline_s),
    )
}

/// Nothing is done, but whoever undoes reads what is left behind.
fn stays(unit: &Unit, reason: &str) -> Unit {
    let left = Unit::skipped(unit.id.clone(), unit.phase, unit.title.clone(), reason);
    match &unit.member {
        Some(node) => left.on(node),
        None => left,
    }
}

/// Moving data on a node is safe only while nobody can start etcd there.
fn still_held(of: &SealedPlan, action: &Action) -> Vec<Check> {
    match action {
        Action::Node(NodeEffect::ReturnSpool { node, .. } | NodeEffect::Disarm { node, .. }) => {
            vec![
                Check::RoleAbsent {
                    nodes: vec![node.clone()],
                },
                Check::ServiceStopped {
                    node: node.clone(),
                    service: of.spec.service.clone(),
                },
            ]
        }
        _ => Vec::new(),
    }
}

fn had_data(of: &SealedPlan, node: &NodeName) -> bool {
    let member = of.world.members.iter().find(|member| member.node == *node);
    member
        .and_then(|member| member.host.as_ref())
        .is_some_and(|host| host.spool == crate::world::SpoolState::Data)
}

fn nodes_of(of: &SealedPlan) -> Vec<NodeName> {
    of.world
        .members
        .iter()
        .map(|member| member.node.clone())
        .collect()
}
