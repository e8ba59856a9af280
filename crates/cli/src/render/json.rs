//! Plans as programs read them.

use std::fmt::Write as _;

use runbook_core::plan::SealedPlan;
use serde_json::{Value, json};

use super::probe::Probed;
use crate::ui::steers;

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
    let mut safe = String::new();
    for c in format!("{value:#}\n").chars() {
        if c == '\n' || !steers(c) {
            safe.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(safe, "\\u{unit:04x}").ok();
            }
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_cannot_steer_the_terminal_and_loses_nothing() {
        let value = json!({"name": "a\x1b[2J\u{9b}b\u{202e}\u{e0001}\u{7f}ü\n"});
        let text = document(&value);
        assert!(!text.chars().any(|c| c != '\n' && steers(c)), "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
    }
}
