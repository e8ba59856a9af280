//! The mocks as an embedder uses them: one port is mocked, the others are the fake world's.
#![cfg(all(feature = "mocks", feature = "testkit"))]

use std::sync::Arc;

use runbook_core::error::{AdapterError, Certainty};
use runbook_core::event::NoEvents;
use runbook_core::journal::{History, MemoryStore};
use runbook_core::names::NodeName;
use runbook_core::plan::Check;
use runbook_core::ports::{EtcdClient, MockEtcdClient, MockNode, Ports};
use runbook_core::probe::{self, Finding};
use runbook_core::run::{Run, RunEnd};
use runbook_core::testkit::{World, actor, run_id};
use runbook_core::world::BootId;
use tokio_util::sync::CancellationToken;

/// What it refuses is refused once: a call that is not expected, or a second one, is a panic.
fn sealed_vault(world: &World) -> MockEtcdClient {
    let mut client = MockEtcdClient::new();
    let real = world.clone();
    client
        .expect_render()
        .returning(move |effect| EtcdClient::render(&real, effect));
    client.expect_credentials().times(1).returning(|| {
        let error = AdapterError::new("vault-sealed", Certainty::Refused, "the vault is sealed");
        Err(error.hint("unseal the vault"))
    });
    client
}

#[test]
fn a_run_halts_with_the_code_of_a_mocked_port() {
    let world = World::of(3).build();
    let plan = world.plan(run_id(1)).unwrap();
    let ports = Ports {
        client: Arc::new(sealed_vault(&world)),
        ..world.ports()
    };
    let journal = MemoryStore::default();
    let run = Run::begin(&plan, &ports, Box::new(journal.clone()), actor()).unwrap();
    let end = world.drive(run.execute(&NoEvents, &CancellationToken::new()));

    let RunEnd::Halted { failures, .. } = end.unwrap() else {
        panic!("it completed");
    };
    let [(unit, failure)] = failures.as_slice() else {
        panic!("{failures:?}");
    };
    assert_eq!(unit.as_str(), "preflight/credentials");
    assert_eq!(failure.code, "vault-sealed");
    assert_eq!(failure.hint.as_deref(), Some("unseal the vault"));
    let history = History::read(&journal.bytes(), "memory").unwrap();
    assert!(history.changed_nothing());
    assert!(world.log().is_empty(), "{}", world.story());
}

/// Who is turned away from a port on which the node listens has not asked etcd: there is a firewall, or a
/// wrong address. A member that waits for its quorum takes the connection, and says nothing.
#[test]
fn a_quorum_that_cannot_be_asked_is_not_a_lost_one() {
    for (code, listens, lost) in [
        ("etcd-unreachable", vec![2379], false),
        ("etcd-unreachable", vec![], true),
        ("etcd-timeout", vec![2379], true),
    ] {
        let world = World::of(1).build();
        let (mut client, mut nodes) = (MockEtcdClient::new(), MockNode::new());
        client
            .expect_get()
            .returning(move |_, _| Err(AdapterError::new(code, Certainty::NotDone, "silence")));
        let boot = BootId("0a4b7c1e-3f0d-4b6a-9c55-0d7e1f2a3b4c".into());
        nodes
            .expect_boot_id()
            .returning(move |_| Ok(Some(boot.clone())));
        let open = listens.clone();
        nodes
            .expect_listening()
            .returning(move |_, _| Ok(open.clone()));
        let ports = Ports {
            client: Arc::new(client),
            nodes: Arc::new(nodes),
            ..world.ports()
        };
        let asked = Check::QuorumLost {
            members: vec![(
                NodeName::new("node001").unwrap(),
                "https://10.141.0.1:2379".parse().unwrap(),
            )],
            allowed: None,
        };
        match world.drive(probe::one(&ports, &asked, None)) {
            Finding::Holds(_) => assert!(lost, "{code} {listens:?}"),
            Finding::Blind(error) => {
                assert!(!lost, "{code} {listens:?}");
                assert_eq!(error.code, "quorum-unseen");
            }
            other => panic!("{other:?}"),
        }
    }
}
