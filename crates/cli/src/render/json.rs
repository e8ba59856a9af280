//! Plans as programs read them.

use runbook_core::plan::SealedPlan;
use runbook_core::text::visible_json;
use serde_json::{Value, json};

use super::probe::Probed;

/// A plan together with what its checks found.
pub(crate) fn probed(plan: &SealedPlan, probed: &Probed) -> Value {
    let units: Vec<Value> = probed
        .units
        .iter()
        .map(|unit| {
            json!({
                "unit": unit.id,
                "phase": unit.phase,
                "state": unit.state.word(),
                "seen": unit.seen,
                "code": unit.code,
                "hint": unit.hint,
            })
        })
        .collect();
    json!({
        "digest": plan.digest(),
        "preflight": if probed.refused() { "refused" } else { "holds" },
        "probe": units,
        "plan": &**plan,
    })
}

/// A plan and its digest, to add what was found.
pub(crate) fn with_digest(plan: &SealedPlan) -> Value {
    json!({"digest": plan.digest(), "plan": &**plan})
}

/// A document as it is printed: what could steer a terminal that it is printed on is escaped.
pub(crate) fn document(value: &Value) -> String {
    visible_json(format!("{value:#}\n"))
}
