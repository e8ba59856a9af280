//! What etcd's programs and the scripts around them answer on a node.

use std::sync::Arc;

use etcd_adapter::tool::RemoteTool;
use runbook_core::names::{AbsPath, ModuleName};
use runbook_core::ports::EtcdTool as _;
use runbook_core::testkit::run_id;
use runbook_core::text::steers;
use runbook_core::world::Staged;

use super::node::Said;
use super::{GOOD, judged, node, now};

/// Whether one question at least was answered, and if none was, why the first one was not.
pub(super) fn judge(data: &[u8]) -> &'static str {
    let tool = RemoteTool::new(Arc::new(Said::of(data)));
    let path = AbsPath::new("/var/lib/etcd.0123456789ab").expect("a path");
    let module = ModuleName::new("etcd/kube-default").expect("a name");
    let staged = judged(now(tool.staged(&node(), &path, run_id(1))));
    if let Ok(Staged::Failed(said)) = &staged {
        assert!(
            said.chars().count() < 4000,
            "{} chars",
            said.chars().count()
        );
        let loose = |c: char| c != '\n' && steers(c);
        assert!(!said.chars().any(loose), "{said:?}");
    }
    let answers = [
        staged.map(drop),
        judged(now(tool.db_digest(&node(), &path))).map(drop),
        judged(now(tool.tools(&node(), Some(module)))).map(drop),
        judged(now(tool.tools(&node(), None))).map(drop),
    ];
    if answers.iter().any(Result::is_ok) {
        return GOOD;
    }
    answers[0].err().unwrap_or_default()
}
