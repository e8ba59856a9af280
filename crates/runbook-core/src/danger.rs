//! What is dangerous as long as a run stands where it does: for whoever goes near the nodes meanwhile.
//!
//! All of it follows from plan and journal alone; what somebody else has set since is not in them.

use std::collections::BTreeSet;

use crate::exposure::exposed;
use crate::machine::{Machine, UnitState};
use crate::names::{CategoryName, NodeName};
use crate::plan::{Action, Check, ManagerEffect, NodeEffect, Phase, PlanKind, SealedPlan, Unit};
use crate::spec::{FullInstall, Spec};
use crate::world::{InstallMode, World};

/// One danger. Nodes stand in the plan's order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Danger {
    /// etcd is stopped, or about to be: no API server has one.
    EtcdStopped,
    /// A reboot of these nodes may wipe restored data: they hold it, and are no data nodes.
    Exposed(Vec<NodeName>),
    /// `datanode` was lowered and not raised again: what is on these disks may go in a reboot. The nodes
    /// that are [`Danger::Exposed`] are not named again.
    Lowered {
        /// The nodes themselves.
        nodes: Vec<NodeName>,
        /// The categories, with all their nodes.
        categories: Vec<CategoryName>,
    },
    /// `nextinstallmode` is FULL: the next boot of these nodes, whoever begins it, wipes the disk unasked.
    Marked(Vec<NodeName>),
    /// The disk is wiped, or about to be, and has no guard yet: with the role an empty etcd would start.
    Bare(Vec<NodeName>),
    /// In the installer, or on the way there, and asked before the disk is wiped: whoever confirms wipes it.
    Asking(Vec<NodeName>),
    /// An undo waits until these nodes are out of their installer: whoever confirms wipes the old data.
    ToBeReset(Vec<NodeName>),
    /// Something was begun that cannot be taken back.
    NoReturn,
}

/// The dangers of a run as it stands; none when it has come to its end.
pub fn dangers(plan: &SealedPlan, machine: &Machine) -> Vec<Danger> {
    if machine.over() && machine.phase().is_none() {
        return Vec::new();
    }
    let look = Look { plan, machine };
    let exposed = exposed(plan, machine);
    let (mut nodes, categories) = look.lowered();
    nodes.retain(|node| !exposed.contains(node));
    let some = |nodes: Vec<NodeName>, danger: fn(Vec<NodeName>) -> Danger| {
        (!nodes.is_empty()).then(|| danger(nodes))
    };
    [
        look.etcd_stopped().then_some(Danger::EtcdStopped),
        some(exposed, Danger::Exposed),
        (!(nodes.is_empty() && categories.is_empty()))
            .then_some(Danger::Lowered { nodes, categories }),
        some(look.marked(), Danger::Marked),
        some(look.bare(), Danger::Bare),
        some(look.asking(), Danger::Asking),
        some(look.to_be_reset(), Danger::ToBeReset),
        past_no_return(plan, machine).map(|_| Danger::NoReturn),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The unit that was begun and cannot be taken back, where there is one: behind it the way is forward.
pub fn past_no_return<'a>(plan: &'a SealedPlan, machine: &Machine) -> Option<&'a Unit> {
    // What an undo gives back is old data.
    let mut units = plan
        .units
        .iter()
        .filter(|unit| plan.kind == PlanKind::Restore && unit.is_final());
    units.find(|unit| machine.intended(&unit.id))
}

/// The categories that the run would have lowered, and has found lowered already: perhaps by an earlier run that
/// was given up. A run raises only what it lowers itself.
pub fn found_lowered<'a>(spec: &Spec, world: &'a World) -> BTreeSet<&'a CategoryName> {
    let lowers = spec.full_install == FullInstall::DatanodeNo;
    let wiped = |node: &NodeName| {
        let mut members = spec.members.iter();
        members.any(|member| lowers && member.reprovision && member.node == *node)
    };
    let allowed = &spec.allow.category_datanode;
    let members = world.members.iter().filter(|member| wiped(&member.node));
    members
        .map(|member| &member.device)
        .filter(|device| !device.head_node && !device.category_datanode)
        .map(|device| &device.category)
        .filter(|category| allowed.contains_key(*category))
        .collect()
}

struct Look<'a> {
    plan: &'a SealedPlan,
    machine: &'a Machine,
}

impl Look<'_> {
    /// What the plan's units do with the cluster manager, and how far each is: begun, done.
    fn effects(&self) -> impl Iterator<Item = (&ManagerEffect, bool, bool)> {
        self.plan.units.iter().filter_map(|unit| match &unit.act {
            Some(Action::Manager(effect)) => {
                let done = self.machine.state(&unit.id) == Some(UnitState::Done);
                Some((effect, self.machine.intended(&unit.id), done))
            }
            _ => None,
        })
    }

    fn etcd_stopped(&self) -> bool {
        // An undo finds it stopped where it has a role to give back.
        let given = |unit: &Unit| {
            matches!(
                &unit.act,
                Some(Action::Manager(ManagerEffect::AssignRole { .. }))
            )
        };
        let undo = matches!(self.plan.kind, PlanKind::Undo { .. });
        let mut stopped = undo && self.plan.units.iter().any(given);
        for (effect, begun, done) in self.effects() {
            match effect {
                ManagerEffect::UnassignRole { .. } if begun => stopped = true,
                ManagerEffect::AssignRole { .. } if done => stopped = false,
                _ => {}
            }
        }
        stopped
    }

    fn lowered(&self) -> (Vec<NodeName>, Vec<CategoryName>) {
        let (mut nodes, mut categories) = (Vec::new(), Vec::new());
        for (effect, begun, done) in self.effects() {
            match effect {
                ManagerEffect::SetDatanode { node, value } => {
                    keep_lowered(&mut nodes, node, *value, begun, done);
                }
                ManagerEffect::SetCategoryDatanode { category, value } => {
                    keep_lowered(&mut categories, category, *value, begun, done);
                }
                _ => {}
            }
        }
        (nodes, categories)
    }

    /// Until the run's own boot of them has come to its end.
    fn marked(&self) -> Vec<NodeName> {
        let mut marked = BTreeSet::new();
        for (effect, begun, done) in self.effects() {
            match effect {
                ManagerEffect::SetNextInstallMode {
                    node,
                    mode: Some(InstallMode::Full),
                } if begun || done => {
                    marked.insert(node);
                }
                ManagerEffect::Reboot { node } | ManagerEffect::PowerOn { node } if done => {
                    marked.remove(node);
                }
                // It is asked first.
                ManagerEffect::ConfirmInstall { node } => {
                    marked.remove(node);
                }
                _ => {}
            }
        }
        self.in_order(&marked)
    }

    /// Whose disk the run wipes or has wiped, and has not guarded again.
    fn bare(&self) -> Vec<NodeName> {
        let mut bare = BTreeSet::new();
        for unit in &self.plan.units {
            let Some(node) = &unit.member else { continue };
            if unit.destructive && self.machine.intended(&unit.id) {
                bare.insert(node);
            }
            let guards = matches!(&unit.act, Some(Action::Node(NodeEffect::PlaceGuard { .. })));
            if guards && unit.phase == Phase::Reprovision && self.closed(unit) {
                bare.remove(node);
            }
        }
        self.in_order(&bare)
    }

    /// Those that were booted to be asked about, and whose answer has not come to its end.
    fn asking(&self) -> Vec<NodeName> {
        let mut booted = BTreeSet::new();
        let mut asking = BTreeSet::new();
        for (effect, begun, done) in self.effects() {
            match effect {
                ManagerEffect::Reboot { node } | ManagerEffect::PowerOn { node } if begun => {
                    booted.insert(node);
                }
                ManagerEffect::ConfirmInstall { node } if booted.contains(node) && !done => {
                    asking.insert(node);
                }
                _ => {}
            }
        }
        self.in_order(&asking)
    }

    fn to_be_reset(&self) -> Vec<NodeName> {
        let waits = |unit: &&Unit| {
            let out = |check: &Check| matches!(check, Check::OutOfInstaller { .. });
            unit.done_when.iter().any(out) && !self.closed(unit)
        };
        let units = self.plan.units.iter().filter(waits);
        units.filter_map(|unit| unit.member.clone()).collect()
    }

    fn closed(&self, unit: &Unit) -> bool {
        self.machine.state(&unit.id).is_some_and(UnitState::closed)
    }

    fn in_order(&self, nodes: &BTreeSet<&NodeName>) -> Vec<NodeName> {
        let members = self.plan.world.members.iter().map(|member| &member.node);
        members
            .filter(|node| nodes.contains(node))
            .cloned()
            .collect()
    }
}

/// Lowered counts from the intent on, raised only when it has been seen.
fn keep_lowered<T: Clone + PartialEq>(
    lowered: &mut Vec<T>,
    of: &T,
    value: bool,
    begun: bool,
    done: bool,
) {
    if value && done {
        lowered.retain(|other| other != of);
    } else if !value && begun && !lowered.contains(of) {
        lowered.push(of.clone());
    }
}
