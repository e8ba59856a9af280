//! Undo: another plan, run by the same engine, up to the point of no return.
//!
//! It takes back, in reverse, what the run has done or may have done. Nothing unwinds by itself: the
//! safe state of this procedure is *etcd stopped*. The role goes back only to nodes that hold their
//! old data again; giving it to a node without data is the disaster this tool exists to prevent.
//!
//! What the run has sent and got no answer to is believed to come true late, if at all: cmsh gives up
//! waiting, and nothing says that `CMDaemon` drops the commit. Taken for undone before that, it would stand
//! behind the undo: FULL on a node whose old data was just put back. So it is given its time first
//! ([`has_had_its_time`]); and behind everything else each promise is looked at once more, and kept
//! ([`last_looks`]).

use super::id;
use crate::danger::past_no_return;
use crate::machine::{Machine, UnitState};
use crate::names::{NodeName, OverlayName, RunId, UnitId};
use crate::plan::{
    Action, Check, Draft, ManagerEffect, NodeEffect, Phase, Plan, PlanError, PlanKind, SealedPlan,
    Undo, Unit,
};
use crate::world::{BootId, InstallMode, SpoolState};

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
        // A phase is one block, and Verify's is the last one here: what the run did in it goes before the last looks.
        let backwards = Phase::ALL.into_iter().rev();
        let but_verify = backwards.filter(|phase| *phase != Phase::Verify);
        for phase in but_verify.chain([Phase::Verify]) {
            let done = of
                .units
                .iter()
                .rev()
                .filter(|unit| unit.phase == phase && machine.intended(&unit.id));
            for back in done.flat_map(|unit| inverse(of, machine, unit)) {
                push_in_order(&mut units, back);
            }
        }
        units.extend(last_looks(of, machine));
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

/// On one node the last thing that was done is the first that is taken back.
fn push_in_order(units: &mut Vec<Unit>, back: Unit) {
    let before = units
        .last()
        .filter(|before| (before.phase, &before.member) == (back.phase, &back.member));
    let back = match before {
        Some(before) => back.after(&before.id),
        None => back,
    };
    units.push(back);
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

/// What comes before an inverse, where the run has begun the unit and never seen it done: a command whose
/// answer was lost may be carried out late. Sending the opposite at once is no way around it: cmsh commits
/// nothing where the value is still what it is set to.
///
/// How late is not known. `stop_s` is what the house gives a reboot and a stopping etcd; what comes later
/// still is for the last looks.
fn has_had_its_time(of: &SealedPlan, machine: &Machine, unit: &Unit) -> Option<Unit> {
    if machine.state(&unit.id).is_some_and(UnitState::closed) {
        return None;
    }
    let gate = Unit::gate(
        had_its_time(&unit.id),
        unit.phase,
        format!(
            "{} was begun and never seen done: it has had its time",
            unit.id
        ),
        "a command whose answer was lost may still be carried out; found undone before that, it would stand behind the undo",
        vec![Check::HeadIsActive],
    );
    let deadlines = &of.spec.deadlines;
    Some(gate.within(deadlines.quick_s).no_sooner(deadlines.stop_s))
}

/// An embedder's own id may be as long as ids get.
fn had_its_time(of: &UnitId) -> UnitId {
    let stem: String = of.as_str().chars().take(500).collect();
    UnitId::new(format!("{stem}-had-its-time"))
        .unwrap_or_else(|_| unreachable!("an id and a plain word"))
}

/// The last thing: what the cluster manager has taken back is looked at once more, and taken back again where
/// it is not so any more.
fn last_looks(of: &SealedPlan, machine: &Machine) -> Vec<Unit> {
    let begun = of.units.iter().filter(|unit| machine.intended(&unit.id));
    let mut looks: Vec<Unit> = Vec::new();
    for look in begun.filter_map(|unit| last_look(of, unit)) {
        // Two units of a run may have set one property.
        if !looks.iter().any(|other| other.id == look.id) {
            push_in_order(&mut looks, look);
        }
    }
    looks
}

fn last_look(of: &SealedPlan, unit: &Unit) -> Option<Unit> {
    let Undo::By(Action::Manager(effect)) = &unit.undo else {
        return None;
    };
    let back = match effect {
        ManagerEffect::AssignRole { overlay, nodes } => {
            let given = nodes.iter().filter(|node| left_out(of, node).is_none());
            let given: Vec<NodeName> = given.cloned().collect();
            (!given.is_empty()).then(|| assign(of, unit, overlay, given))?
        }
        effect => takes_back(of, unit, &Action::Manager(effect.clone())),
    };
    let step = match effect {
        ManagerEffect::AssignRole { .. } => "role".to_owned(),
        ManagerEffect::SetDatanode { .. } => "datanode".to_owned(),
        ManagerEffect::SetCategoryDatanode { category, .. } => {
            format!("category-{category}-datanode")
        }
        ManagerEffect::SetNextInstallMode { .. } => "install-mode".to_owned(),
        // Nothing is taken back by these.
        ManagerEffect::UnassignRole { .. }
        | ManagerEffect::Reboot { .. }
        | ManagerEffect::PowerOn { .. }
        | ManagerEffect::ConfirmInstall { .. } => return None,
    };
    let phase = Phase::Verify;
    Some(Unit {
        id: id(phase, unit.member.as_ref(), &step),
        phase,
        why: "looked at once more: a late commit of the run, or somebody, may have changed it since; FULL would wipe the old data at the next boot".into(),
        ..where_it_was(unit, back)
    })
}

/// The units that take one back, or say what stays; none where nothing was done.
fn inverse(of: &SealedPlan, machine: &Machine, unit: &Unit) -> Vec<Unit> {
    if let Some(node) = sent_to_the_question(unit) {
        let before = machine.baseline(&unit.id);
        let sent_from = before.and_then(|before| before.boot_id.clone());
        return out_of_the_installer(unit, node, sent_from).into();
    }
    let first = has_had_its_time(of, machine, unit).into_iter();
    match &unit.undo {
        Undo::By(Action::Manager(ManagerEffect::AssignRole { overlay, nodes })) => first
            .chain(assign_again(of, unit, overlay, nodes))
            .collect(),
        Undo::By(action) => first
            .chain([takes_back(of, unit, action)])
            .map(|back| where_it_was(unit, back))
            .collect(),
        Undo::Nothing(reason) if unit.act.is_some() => {
            let left = Unit::skipped(unit.id.clone(), unit.phase, unit.title.clone(), reason);
            vec![where_it_was(unit, left)]
        }
        Undo::Nothing(_) | Undo::Impossible(_) => Vec::new(),
    }
}

fn takes_back(of: &SealedPlan, unit: &Unit, action: &Action) -> Unit {
    let why = format!("takes back {}", unit.id);
    let back = Unit::act(unit.id.clone(), unit.phase, action.clone(), why);
    back.within(unit.deadline_s).only_if(still_held(of, action))
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

/// The role goes back only to nodes that hold their old data; of each other one it says so.
fn assign_again(
    of: &SealedPlan,
    unit: &Unit,
    overlay: &OverlayName,
    nodes: &[NodeName],
) -> Vec<Unit> {
    let mut with_data = Vec::new();
    let mut units = Vec::new();
    for node in nodes {
        match left_out(of, node) {
            None => with_data.push(node.clone()),
            Some(why) => units.push(without_role(of, unit, overlay, node, why)),
        }
    }
    if !with_data.is_empty() {
        units.insert(0, assign(of, unit, overlay, with_data));
    }
    units
}

fn without_role(
    of: &SealedPlan,
    unit: &Unit,
    overlay: &OverlayName,
    node: &NodeName,
    why: &str,
) -> Unit {
    let spool = &of.world.spool;
    let reason = format!(
        "{node} {why}: with the role, etcd would start empty where its data is not there; see that {spool} on it holds its data, then `configurationoverlay; use {overlay}; append nodes {node}; commit` in cmsh"
    );
    let id = id(unit.phase, Some(node), "assign-again");
    let title = format!("give Etcd::Host back to {node}");
    Unit::skipped(id, unit.phase, title, reason).on(node)
}

fn assign(of: &SealedPlan, unit: &Unit, overlay: &OverlayName, with_data: Vec<NodeName>) -> Unit {
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

/// Why a node does not get the role again; none where the plan has seen its data.
fn left_out(of: &SealedPlan, node: &NodeName) -> Option<&'static str> {
    let member = of.world.members.iter().find(|member| member.node == *node);
    match member.and_then(|member| member.host.as_ref()) {
        None => Some("did not answer when the plan was made"),
        Some(host) if host.spool != SpoolState::Data => Some("had no data when the plan was made"),
        Some(_) => None,
    }
}

fn nodes_of(of: &SealedPlan) -> Vec<NodeName> {
    of.world
        .members
        .iter()
        .map(|member| member.node.clone())
        .collect()
}
