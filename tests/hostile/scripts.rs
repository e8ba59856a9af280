//! At the real boundary: a real shell reads what is rendered, with the oddest names that a name can have.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use bright_adapter::SshNode;
use etcd_adapter::tool::inner_script;
use runbook_core::digest::Digest;
use runbook_core::names::{AbsPath, EtcdUrl, MemberName, ModuleName, NodeName, UnitId};
use runbook_core::plan::{NodeEffect, RestoreEffect};
use runbook_core::ports::Node as _;
use runbook_core::testkit::run_id;
use runbook_core::version::RestoreTool;
use runbook_core::world::SpoolState;

use crate::local_shell::LocalShell;
use crate::names;

/// What a path may hold that is not a letter.
const ODD: [&str; 7] = ["a=b", "c:d@e", "%h%n%%", "x+y,z", "_._", "..x", "=root"];

#[tokio::test]
async fn node_scripts_take_odd_paths_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let node = NodeName::new("node001").unwrap();
    let nodes = SshNode::new(Arc::new(LocalShell));
    let permit = runbook_core::testkit::permit(&UnitId::new("stop/x").unwrap()).unwrap();
    for odd in ODD {
        let above = dir.path().join(odd);
        let spool = above.join(odd);
        fs::create_dir_all(spool.join("member")).unwrap();
        let abs = |path: &Path| AbsPath::new(path.to_str().unwrap()).unwrap();
        let spool = abs(&spool);
        assert_eq!(nodes.spool(&node, &spool).await.unwrap(), SpoolState::Data);
        let (aside, run) = (spool.with_suffix(".old"), run_id(1));
        let effect = NodeEffect::SetAside {
            node: node.clone(),
            spool: spool.clone(),
            aside: aside.clone(),
            run,
        };
        nodes.perform(&permit, &effect).await.unwrap();
        assert_eq!(
            nodes.spool(&node, &spool).await.unwrap(),
            SpoolState::Guard(run)
        );
        assert!(Path::new(aside.as_str()).join("member").is_dir());
        let mut left: Vec<_> = fs::read_dir(&above)
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        left.sort();
        assert_eq!(left.len(), 2, "{odd}: {left:?}");
        let back = NodeEffect::ReturnSpool {
            node: node.clone(),
            spool: spool.clone(),
            aside,
            run,
        };
        nodes.perform(&permit, &back).await.unwrap();
        assert_eq!(nodes.spool(&node, &spool).await.unwrap(), SpoolState::Data);
    }
}

fn restore(token: &str, odd: &str) -> RestoreEffect {
    let run = run_id(1);
    let member = MemberName::new("node001").unwrap();
    let url = EtcdUrl::new("https://[fd00::1]:2380").unwrap();
    RestoreEffect {
        node: NodeName::new("node001").unwrap(),
        run,
        module: ModuleName::new("etcd/a+b/3.4.23").unwrap(),
        tool: RestoreTool::Etcdctl,
        snapshot: AbsPath::new(format!("/cm/{odd}/{odd}")).unwrap(),
        sha256: Digest::of(b"x"),
        trailer: true,
        staging: AbsPath::new(format!("/var/{odd}.{}", run.short())).unwrap(),
        member: member.clone(),
        peer_url: url.clone(),
        initial_cluster: vec![(member, url)],
        token: token.into(),
        revision_bump: None,
    }
}

/// The head of the restore's script, run by bash: each value arrives as it is, and nothing else happens.
#[test]
fn the_restore_takes_any_token_as_one_word() {
    for name in names::all() {
        let effect = restore(&name, ODD[name.len() % ODD.len()]);
        let script = match inner_script(&effect) {
            Ok(script) => script,
            Err(error) => {
                assert!(
                    name.contains('\0') && error.code == "restore-not-renderable",
                    "{error}"
                );
                continue;
            }
        };
        let head = script.split_once("\nfail() {").unwrap().0;
        let show = r#"printf '%s\0' "$snapshot" "$staging" "${restore[@]}""#;
        let dir = tempfile::tempdir().unwrap();
        let done = Command::new("bash")
            .args(["-c", &format!("{head}\n{show}")])
            .current_dir(&dir)
            .env_clear()
            .output()
            .unwrap();
        assert!(
            done.status.success() && done.stderr.is_empty(),
            "{name:?}: {done:?}"
        );
        let text = String::from_utf8(done.stdout).unwrap();
        let words: Vec<&str> = text.split_terminator('\0').collect();
        assert_eq!(
            words[..2],
            [effect.snapshot.as_str(), effect.staging.as_str()]
        );
        let at = words
            .iter()
            .position(|word| *word == "--initial-cluster-token")
            .unwrap();
        assert_eq!(words[at + 1], name, "{words:?}");
        assert_eq!(words.len(), 16, "{words:?}");
        assert_eq!(
            fs::read_dir(&dir).unwrap().count(),
            0,
            "{name:?} made a file"
        );
    }
}
