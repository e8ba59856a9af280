//! Where a plan does otherwise than the vendor's article, and why: for whoever compares the two.

use runbook_core::plan::{Action, NodeEffect, SealedPlan};
use runbook_core::version::RestoreTool;

/// The heading above them.
pub(crate) const TITLE: &str = "Where this differs from the article";

/// One line each, with its reason.
pub(crate) fn lines(plan: &SealedPlan) -> Vec<String> {
    let mut lines = vec![
        "Mode 0700 for etcd's data, where the article has 755: etcd 3.3.23 to 3.3.24 and 3.4.10 to 3.4.12 do not start from 0755, every release takes 0700, and the vendor's newer text says 0700 for 3.5.".to_owned(),
        "`--name`, `--initial-cluster`, `--initial-advertise-peer-urls` and a fresh `--initial-cluster-token` at the restore: without them, as in the article, each node becomes a cluster of its own, with the same ids on all of them. The token keeps a member out that was never stopped.".into(),
        "The snapshot is restored beside the spool and renamed onto it: a restore that fails leaves a half directory, from which etcd would start.".into(),
        "A guard at the spool path, until the restored data takes its place: an etcd that something starts meanwhile does not begin empty.".into(),
    ];
    if plan.etcd_version.restore_tool() == RestoreTool::Etcdutl {
        lines.push("etcdutl for etcdctl: the tool that restores from 3.5 on, and the only one from 3.6 on.".into());
    }
    if plan.revision_bump.is_some() {
        lines.push("`--bump-revision` and `--mark-compacted`, which the article's release did not have: what watches etcd notices the restore.".into());
    }
    let mut actions = plan.units.iter().filter_map(|unit| unit.act.as_ref());
    if let Some(aside) = actions.find_map(aside) {
        lines.push(format!("The old data goes to {aside}, where the article has .old: a second run would nest it, or meet what the first has left."));
    }
    lines
}

fn aside(action: &Action) -> Option<&str> {
    match action {
        Action::Node(NodeEffect::SetAside { aside, .. }) => Some(aside.as_str()),
        _ => None,
    }
}
