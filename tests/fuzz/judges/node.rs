//! What a node answers, to every question and every effect.
//!
//! An input is one answer: standard output, standard error behind a line `%%`; a first byte from 1 to 9 is
//! the exit status.

use std::sync::Arc;

use async_trait::async_trait;
use bright_adapter::SshNode;
use runbook_core::journal::Permit;
use runbook_core::names::{AbsPath, NodeName, Owner, ServiceName};
use runbook_core::plan::{Command, NodeEffect};
use runbook_core::ports::{Node as _, Output, PortResult, Shell};
use runbook_core::testkit::run_id;
use runbook_core::text::steers;

use super::{GOOD, commands, judged, node, now, parts, permit};

/// A shell that always says the same.
#[derive(Debug, Default)]
pub(crate) struct Said {
    status: i32,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Said {
    pub(crate) fn of(data: &[u8]) -> Self {
        let (status, data) = match data.split_first() {
            Some((status @ 1..10, rest)) => (
                [0, 1, 5, 80, 82, 85, 89, 127, 254, 255][usize::from(*status)],
                rest,
            ),
            _ => (0, data),
        };
        let parts = parts(data);
        Self {
            status,
            stdout: parts.first().copied().unwrap_or_default().to_vec(),
            stderr: parts.get(1).copied().unwrap_or_default().to_vec(),
        }
    }

    fn answer(&self, node: &NodeName, argv: &[String]) -> Output {
        commands::are_words(&Command::on_node(node, argv.iter().map(String::as_str)));
        Output {
            status: self.status,
            stdout: self.stdout.clone(),
            stderr: self.stderr.clone(),
        }
    }
}

#[async_trait]
impl Shell for Said {
    async fn query(&self, node: &NodeName, argv: &[String]) -> PortResult<Output> {
        Ok(self.answer(node, argv))
    }

    async fn effect(&self, _: &Permit, node: &NodeName, argv: &[String]) -> PortResult<Output> {
        Ok(self.answer(node, argv))
    }
}

/// Whether one question at least was answered, and if none was, why the first one was not.
pub(super) fn judge(data: &[u8]) -> &'static str {
    let nodes = SshNode::new(Arc::new(Said::of(data)));
    let (node, [spool, aside]) = (node(), paths());
    let service = ServiceName::new("etcd").expect("a name");
    let owner = Owner::new("etcd:etcd").expect("an owner");
    let tree = judged(now(nodes.tree(&node, &spool)));
    if let Ok(tree) = &tree {
        assert!(
            tree.owner.len() <= 80 && !tree.owner.chars().any(steers),
            "{tree:?}"
        );
    }
    let answers = [
        judged(now(nodes.boot_id(&node))).map(drop),
        judged(now(nodes.spool(&node, &spool))).map(drop),
        judged(now(nodes.exists(&node, &spool))).map(drop),
        judged(now(nodes.service(&node, &service))).map(drop),
        judged(now(nodes.knows_owner(&node, &owner))).map(drop),
        judged(now(nodes.knows_service(&node, &service))).map(drop),
        judged(now(nodes.listening(&node, &[2379, 2380]))).map(|ports| assert!(ports.len() < 3)),
        judged(now(nodes.snapshot(&node, &aside, &spool))).map(drop),
        judged(now(nodes.room(&node, &spool))).map(drop),
        judged(now(nodes.api_server(&node))).map(|server| {
            let servers = server.map(|server| server.etcd_servers).unwrap_or_default();
            assert!(servers.len() <= 64);
            for server in servers {
                let long = server.chars().count() > 4000;
                assert!(!long && !server.chars().any(steers), "{server:?}");
            }
        }),
        tree.map(drop),
    ];
    for effect in effects(&node, &spool, &aside, service, owner) {
        judged(now(nodes.perform(&permit(), &effect))).ok();
    }
    if answers.iter().any(Result::is_ok) {
        return GOOD;
    }
    answers[0].err().unwrap_or_default()
}

fn paths() -> [AbsPath; 2] {
    ["/var/lib/etcd", "/var/lib/etcd.old"].map(|path| AbsPath::new(path).expect("a path"))
}

/// Each there is, one after the other.
fn effects(
    node: &NodeName,
    spool: &AbsPath,
    aside: &AbsPath,
    service: ServiceName,
    owner: Owner,
) -> impl Iterator<Item = NodeEffect> {
    use NodeEffect as E;
    let (node, spool, aside, run) = (node.clone(), spool.clone(), aside.clone(), run_id(1));
    let first = E::StopService {
        node: node.clone(),
        service: service.clone(),
    };
    std::iter::successors(Some(first), move |effect| {
        let (node, spool, aside) = (node.clone(), spool.clone(), aside.clone());
        let staged = aside.clone();
        Some(match effect {
            E::StopService { .. } => E::ClearFailures {
                node,
                service: service.clone(),
            },
            E::ClearFailures { .. } => E::SetAside {
                node,
                spool,
                aside,
                run,
            },
            E::SetAside { .. } => E::PlaceGuard {
                node,
                spool,
                run,
                instead_of: None,
            },
            E::PlaceGuard {
                instead_of: None, ..
            } => E::PlaceGuard {
                node,
                spool,
                run,
                instead_of: Some(run_id(2)),
            },
            E::PlaceGuard { .. } => E::OwnTree {
                node,
                tree: spool,
                owner: owner.clone(),
            },
            E::OwnTree { .. } => E::Arm {
                node,
                staged,
                spool,
                run,
            },
            E::Arm { .. } => E::Disarm {
                node,
                staged,
                spool,
                run,
            },
            E::Disarm { .. } => E::ReturnSpool {
                node,
                spool,
                aside,
                run,
            },
            E::ReturnSpool { .. } => return None,
        })
    })
}
