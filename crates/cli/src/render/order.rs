//! In which order a plan's steps are done: they are listed member by member, and not done so.

use runbook_core::names::NodeName;
use runbook_core::plan::SealedPlan;

/// For the head of a plan.
pub(crate) fn of(plan: &SealedPlan) -> String {
    match plan.spec.parallel {
        1 => "one phase after the other, and in it one step after the other".to_owned(),
        at_once => format!(
            "one phase after the other; inside a phase up to {at_once} steps at once, each of another member"
        ),
    }
}

/// Which disks may go at the same time; for behind the point of no return.
pub(crate) fn wiped(plan: &SealedPlan) -> Option<String> {
    let units = plan.units.iter().filter(|unit| unit.destructive);
    let nodes: Vec<&str> = units
        .filter_map(|unit| unit.member.as_ref())
        .map(NodeName::as_str)
        .collect();
    let at_once = usize::from(plan.spec.parallel).min(nodes.len());
    (at_once > 1).then(|| {
        let names = nodes.join(", ");
        let some = if at_once < nodes.len() {
            format!("up to {at_once} of ")
        } else {
            String::new()
        };
        format!("{some}{names} may be wiped at the same time")
    })
}
