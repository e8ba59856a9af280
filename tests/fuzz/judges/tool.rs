//! What etcd's programs and the scripts around them answer on a node, to every question and every effect.

use std::sync::Arc;

use etcd_adapter::tool::RemoteTool;
use runbook_core::digest::Digest;
use runbook_core::names::{AbsPath, EtcdUrl, MemberName, ModuleName};
use runbook_core::plan::{RestoreEffect, ToolEffect};
use runbook_core::ports::EtcdTool as _;
use runbook_core::testkit::run_id;
use runbook_core::text::steers;
use runbook_core::version::RestoreTool;
use runbook_core::world::Staged;

use super::node::Said;
use super::{GOOD, judged, node, now, permit};

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
    for trailer in [true, false] {
        let ToolEffect::Restore(effect) = restore(trailer);
        judged(now(tool.perform(&permit(), &ToolEffect::Restore(effect)))).ok();
    }
    if answers.iter().any(Result::is_ok) {
        return GOOD;
    }
    answers[0].err().unwrap_or_default()
}

/// The only effect there is.
fn restore(trailer: bool) -> ToolEffect {
    let member = MemberName::new("node001").expect("a name");
    let peer_url = EtcdUrl::new("https://10.141.0.1:2380").expect("a URL");
    let path = |path| AbsPath::new(path).expect("a path");
    ToolEffect::Restore(Box::new(RestoreEffect {
        node: node(),
        run: run_id(1),
        module: ModuleName::new("etcd/kube-default/3.4.23").expect("a name"),
        tool: RestoreTool::Etcdctl,
        snapshot: path("/cm/shared/backup/etcd/a.db"),
        sha256: Digest::of(b"x"),
        trailer,
        staging: path("/var/lib/etcd.0123456789ab"),
        member: member.clone(),
        peer_url: peer_url.clone(),
        initial_cluster: vec![(member, peer_url)],
        token: "token".into(),
        revision_bump: None,
    }))
}
