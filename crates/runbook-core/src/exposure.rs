//! When a reboot may wipe restored data.
//!
//! A node that is no data node is provisioned anew without a question when its disk has changed or fails a
//! check. The article raises `datanode` last, so between Restore and Datanode every wiped node holds
//! restored data unprotected. Whoever reads a plan, a halt or a status has to know of it.

use crate::machine::{Machine, UnitState};
use crate::names::NodeName;
use crate::plan::{Action, ManagerEffect, PlanKind, SealedPlan, ToolEffect};
use crate::world::ObservedMember;

/// The nodes on which a reboot may wipe restored data, as a run stands, in the plan's order.
///
/// It goes by plan and journal alone; what somebody else has set since is not in them.
pub fn exposed(plan: &SealedPlan, machine: &Machine) -> Vec<NodeName> {
    if plan.kind != PlanKind::Restore {
        return Vec::new();
    }
    let members = plan.world.members.iter();
    members
        .filter(|member| restored(plan, machine, &member.node) && !asks(plan, machine, member))
        .map(|member| member.node.clone())
        .collect()
}

fn restored(plan: &SealedPlan, machine: &Machine, node: &NodeName) -> bool {
    plan.units.iter().any(|unit| {
        let here = matches!(&unit.act, Some(Action::Tool(ToolEffect::Restore(effect))) if effect.node == *node);
        here && machine.state(&unit.id) == Some(UnitState::Done)
    })
}

/// Whether the node installer asks before it wipes: `datanode` of the node or of its category. On a head
/// node it never runs.
fn asks(plan: &SealedPlan, machine: &Machine, member: &ObservedMember) -> bool {
    if member.device.head_node {
        return true;
    }
    let (mut own, mut of_category) = (member.device.datanode, member.device.category_datanode);
    for unit in &plan.units {
        let Some(Action::Manager(effect)) = &unit.act else {
            continue;
        };
        let (flag, value) = match effect {
            ManagerEffect::SetDatanode { node, value } if *node == member.node => {
                (&mut own, *value)
            }
            ManagerEffect::SetCategoryDatanode { category, value }
                if *category == member.device.category =>
            {
                (&mut of_category, *value)
            }
            _ => continue,
        };
        // Lowered counts from the intent on, raised only when it has been seen.
        if value && machine.state(&unit.id) == Some(UnitState::Done) {
            *flag = true;
        } else if !value && machine.intended(&unit.id) {
            *flag = false;
        }
    }
    own || of_category
}
