//! In which order a plan's steps are done: they are listed member by member, and not done so.

use runbook_core::names::NodeName;
use runbook_core::plan::{Phase, SealedPlan, Undo, Unit};

/// For the head of a plan.
pub(crate) fn of(plan: &SealedPlan) -> String {
    let members = plan.spec.members.len();
    match usize::from(plan.spec.parallel).min(members) {
        0 | 1 => "one phase after the other, and in it one step after the other".to_owned(),
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

/// What a page says of the way back from a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WayBack {
    /// As it stands.
    Open,
    /// As it stands, as long as no member has come to what cannot be undone: members are worked on at once.
    Until,
    /// Nothing: `undo` is refused once the step is reached.
    None,
}

impl WayBack {
    pub(crate) const fn until(self) -> &'static str {
        match self {
            Self::Until => "while `undo` is not refused yet: ",
            Self::Open | Self::None => "",
        }
    }
}

/// The way back from a step, with the point of no return above it in this phase, if it is above.
pub(crate) fn way_back(unit: &Unit, no_return_in: Option<Phase>) -> WayBack {
    match (no_return_in, &unit.undo) {
        (None, _) | (Some(_), Undo::Impossible(_)) => WayBack::Open,
        (Some(phase), _) if phase == unit.phase => WayBack::Until,
        (Some(_), _) => WayBack::None,
    }
}
