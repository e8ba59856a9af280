//! The host keys that a run has accepted: they count for that run alone, until somebody takes them over.

use std::path::Path;

use bright_adapter::AcceptedKeys;
use runbook_core::names::NodeName;

use super::Context;
use crate::failure::Failure;
use crate::wiring::run_known_hosts;

/// Says, where a run is over, what would keep the next one from its nodes.
pub(super) fn hand_over(cx: Context<'_>, run_dir: &Path) {
    match AcceptedKeys::of(&run_known_hosts(run_dir)) {
        Ok(None) => {}
        Ok(Some(keys)) => cx.ui.hint(&way_on(&keys)),
        // The run is over all the same.
        Err(error) => cx.ui.failure(&Failure::from(error)),
    }
}

fn way_on(keys: &AcceptedKeys) -> String {
    let nodes: Vec<&str> = keys.nodes.iter().map(NodeName::as_str).collect();
    format!(
        "only this run knows the new host keys of {}: root's ssh, `doctor` and the next plan refuse them. To take them over, on each head node: `{}`",
        nodes.join(", "),
        keys.taking_over()
    )
}
