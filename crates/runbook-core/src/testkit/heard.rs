//! What a run says of itself on its way: where it says that its guard stands, the world holds it to that.

use super::World;
use crate::event::{Event, EventSink, UnitRef};
use crate::names::{NodeName, RunId};
use crate::plan::{Action, NodeEffect, Phase, PlanKind, SealedPlan};

/// Hears every event before whoever watches the run.
pub(super) struct Heard<'a> {
    pub(super) world: &'a World,
    pub(super) plan: &'a SealedPlan,
    pub(super) sink: &'a dyn EventSink,
}

impl EventSink for Heard<'_> {
    fn event(&self, event: Event) {
        match &event {
            // Its intent is on record: from here on the guard may be gone, or another one.
            Event::Acting { unit, .. } => {
                if let Some((node, _)) = self.guarding(unit) {
                    self.at(node, super::State::lets_go);
                }
            }
            Event::Done { unit, .. } => {
                if let Some((node, Some(run))) = self.guarding(unit) {
                    self.at(node, |state, at| state.holds(at, run));
                }
            }
            Event::PhaseBegan {
                phase: Phase::Restore,
            } if self.plan.kind == PlanKind::Restore => {
                self.world.state().holds_all(self.plan.run);
            }
            _ => {}
        }
        self.sink.event(event);
    }
}

impl Heard<'_> {
    fn at(&self, node: &NodeName, hear: impl FnOnce(&mut super::State, usize)) {
        let mut state = self.world.state();
        if let Some(at) = state.index(node) {
            hear(&mut state, at);
        }
    }

    /// The node whose guard a unit sets or takes away, and whose guard stands there once it is done.
    fn guarding(&self, unit: &UnitRef) -> Option<(&NodeName, Option<RunId>)> {
        let Some(Action::Node(effect)) = &self.plan.unit(&unit.id)?.act else {
            return None;
        };
        match effect {
            NodeEffect::SetAside { node, run, .. }
            | NodeEffect::PlaceGuard { node, run, .. }
            | NodeEffect::Disarm { node, run, .. } => Some((node, Some(*run))),
            NodeEffect::Arm { node, .. } | NodeEffect::ReturnSpool { node, .. } => {
                Some((node, None))
            }
            _ => None,
        }
    }
}
