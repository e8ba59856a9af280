//! Undo: another plan, run by the same engine, up to the point of no return.
//!
//! It takes back, in reverse, what the run has done or may have done. Nothing unwinds by itself: the
//! safe state of this procedure is *etcd stopped*. The role goes back only to nodes that hold their
//! old data again; giving it to a node without data is the disaster this tool exists to prevent.

use super::id;
use crate::danger::past_no_return;
use crate::machine::Machine;
use crate::names::{NodeName, OverlayName, RunId};
use crate::plan::{
    Action, Check, Draft, ManagerEffect, NodeEffect, Phase, Plan, PlanError, PlanKind, SealedPlan,
    Undo, Unit,
};
use crate::world::{BootId, InstallMode};

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
        let mut units: Vec<Unit> = Vec::new();
        for phase in Phase::ALL.into_iter().rev() {
            let done = of
                .units
                .iter()
                .rev()
                .filter(|unit| unit.phase == phase && machine.intended(&unit.id));
            for back in done.flat_map(|unit| inverse(of, machine, unit)) {
                // On one node the last thing that was done is the first that is taken back.
                let before = units
                    .last()
                    .filter(|before| (before.phase, &before.member) == (back.phase, &back.member));
                let back = match before {
                    Some(before) => back.after(&before.id),
                    None => back,
                };
                units.push(back);
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
    match past_no_return(of, machine) {
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

/// The units that take one back, or say what stays; none where nothing was done.
fn inverse(of: &SealedPlan, machine: &Machine, unit: &Unit) -> Vec<Unit> {
    if let Some(node) = sent_to_the_question(unit) {
        let before = machine.baseline(&unit.id);
        let sent_from = before.and_then(|before| before.boot_id.clone());
        return out_of_the_installer(unit, node, sent_from).into();
    }
    match &unit.undo {
        Undo::By(Action::Manager(ManagerEffect::AssignRole { overlay, nodes })) => {
            vec![assign_again(of, unit, overlay, nodes)]
        }
        Undo::By(action) => {
            let why = format!("takes back {}", unit.id);
            let back = Unit::act(unit.id.clone(), unit.phase, action.clone(), why);
            let back = back.within(unit.deadline_s).only_if(still_held(of, action));
            vec![where_it_was(unit, back)]
        }
        Undo::Nothing(reason) if unit.act.is_some() => {
            let left = Unit::skipped(unit.id.clone(), unit.phase, unit.title.clone(), reason);
            vec![where_it_was(unit, left)]
        }
        Undo::Nothing(_) | Undo::Impossible(_) => Vec::new(),
    }
}

fn where_it_was(unit: &Unit, back: Unit) -> Unit {
    match &unit.member {
        Some(node) => back.on(node),
        None => back,
    }
}

/// The node that was up and may wait for an answer in its installer now, with its disk as it was.
fn sent_to_the_question(unit: &Unit) -> Option<&NodeName> {
    unit.done_when.iter().find_map(|check| match check {
        Check::AtInstaller { node, was_up: true } => Some(node),
        _ => None,
    })
}

/// Nothing this tool does takes a node out of its installer and leaves the disk alone: an answer wipes it, a
/// denial ends in maintenance mode. So the next boot is made harmless, and is waited for.
///
/// An AUTO boot would be none: its sync removes what the image does not have, the old data aside perhaps.
/// The same holds for a reboot that was sent and has not come yet, so SKIP stays until it has.
fn out_of_the_installer(unit: &Unit, node: &NodeName, sent_from: Option<BootId>) -> [Unit; 2] {
    let effect = ManagerEffect::SetNextInstallMode {
        node: node.clone(),
        mode: Some(InstallMode::Skip),
    };
    let why = "the next boot leaves the disk as it is: no check, no sync, no question";
    let keep = Unit::act(
        id(unit.phase, Some(node), "keep-disk"),
        unit.phase,
        Action::Manager(effect),
        why,
    );
    let out = Unit::gate(
        unit.id.clone(),
        unit.phase,
        format!("{node} is out of its installer; somebody has to reset it where it waits there"),
        "the old data is put back on a node that is up; whoever confirms the FULL install instead wipes it",
        vec![Check::OutOfInstaller {
            node: node.clone(),
            sent_from,
        }],
    );
    [keep.on(node), out.on(node).within(unit.deadline_s)]
}

/// The role goes back only to nodes that hold their old data.
fn assign_again(of: &SealedPlan, unit: &Unit, overlay: &OverlayName, nodes: &[NodeName]) -> Unit {
    let with_data: Vec<NodeName> = nodes
        .iter()
        .filter(|node| had_data(of, node))
        .cloned()
        .collect();
    if with_data.is_empty() {
        let reason = "no member had data: with the role they would start empty";
        let (id, phase, title) = (unit.id.clone(), unit.phase, "give Etcd::Host back");
        return Unit::skipped(id, phase, title, reason);
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
    Unit::act(
        id(Phase::Stop, None, "assign-again"),
        unit.phase,
        Action::Manager(effect),
        why,
    )
    .only_if(checks)
    .within(unit.deadline_s)
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
