//! A plan file: edited, cut, or made by somebody else.

use std::sync::Arc;

use bright_adapter::{Cmsh, CmshConfig, SshNode};
use etcd_adapter::tool::RemoteTool;
use runbook_core::digest::Digest;
use runbook_core::error::AdapterError;
use runbook_core::plan::{Action, Command, Plan, PlanError, Render, SealedPlan};
use runbook_core::ports::{ClusterManager as _, EtcdTool as _, NoLog, Node as _};
use runbook_core::text::visible_json;

use super::node::Said;
use super::{GOOD, commands, judge_error};

/// The real adapters' commands.
struct Adapters {
    cmsh: Cmsh,
    nodes: SshNode<Said>,
    tool: RemoteTool<Said>,
}

impl Render for Adapters {
    fn render(&self, action: &Action) -> Result<Vec<Command>, AdapterError> {
        match action {
            Action::Manager(effect) => self.cmsh.render(effect),
            Action::Node(effect) => self.nodes.render(effect),
            Action::Tool(effect) => self.tool.render(effect),
            // In words only; nothing runs them.
            Action::Client(_) | Action::Own(_) => Ok(Vec::new()),
        }
    }
}

pub(super) fn judge(data: &[u8]) -> &'static str {
    let word = read(data);
    // As good as it can be made: whoever edits a plan may write it as this tool would.
    if let Ok(plan) = serde_json::from_slice::<Plan>(data) {
        let text = serde_json::to_string_pretty(&plan).expect("a plan has a text");
        let bytes = format!("{}\n", visible_json(text)).into_bytes();
        let word = read(&bytes);
        assert!(word != "plan-changed", "it is written as it is read");
        return word;
    }
    word
}

fn read(data: &[u8]) -> &'static str {
    match SealedPlan::read(data) {
        Ok(plan) => {
            assert_eq!((plan.bytes(), plan.digest()), (data, Digest::of(data)));
            rendered(&plan);
            GOOD
        }
        Err(error) => {
            assert!(error.hint().is_some_and(|hint| !hint.is_empty()));
            let said = error.to_string();
            assert!(said.len() < 8 << 10, "{} bytes: {said:.80}", said.len());
            error.code()
        }
    }
}

fn rendered(plan: &SealedPlan) {
    let shell = Arc::new(Said::default());
    let adapters = Adapters {
        cmsh: Cmsh::new(CmshConfig::default(), Arc::new(NoLog)),
        nodes: SshNode::new(Arc::clone(&shell)),
        tool: RemoteTool::new(shell),
    };
    for action in plan.units.iter().filter_map(|unit| unit.act.as_ref()) {
        match adapters.render(action) {
            Ok(all) => all.iter().for_each(commands::are_words),
            Err(error) => {
                judge_error(&error);
            }
        }
    }
    if let Err(error) = plan.check_commands(&adapters) {
        let known = matches!(
            error,
            PlanError::RenderDrift { .. } | PlanError::Render { .. }
        );
        assert!(known, "{error}");
    }
}
