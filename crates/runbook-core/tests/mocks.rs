//! The mocks as an embedder uses them: one port is mocked, the others are the fake world's.
#![cfg(all(feature = "mocks", feature = "testkit"))]
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;

use runbook_core::error::{AdapterError, Certainty};
use runbook_core::event::NoEvents;
use runbook_core::identity::{ClusterId, MemberId};
use runbook_core::journal::{History, MemoryStore};
use runbook_core::names::{EtcdUrl, NodeName};
use runbook_core::plan::Check;
use runbook_core::ports::{EtcdClient, MockClusterManager, MockEtcdClient, MockNode, Ports};
use runbook_core::probe::{self, Finding};
use runbook_core::run::{Run, RunEnd};
use runbook_core::testkit::{World, actor, run_id};
use runbook_core::version::EtcdVersion;
use runbook_core::world::{BootId, Device, DeviceStatus, MemberStatus, PowerState};
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

/// What is to be seen of one member that gives no answer.
#[derive(Clone, Copy)]
enum Seen {
    /// It tells its status, and with it whether it has a leader.
    Follows(bool),
    /// Its node answers ssh, and something listens there or not.
    Listens(bool),
    /// Its node is DOWN, and its power reads so.
    Down(fn() -> PowerState),
}

const MEMBERS: [&str; 3] = ["node001", "node002", "node003"];

fn url(at: usize) -> EtcdUrl {
    format!("https://10.141.0.{}:2379", at + 1).parse().unwrap()
}

/// What the quorum's question comes to where this is seen.
fn quorum(seen: [Seen; 3], allowed: Option<&str>) -> Finding {
    let world = World::of(3).build();
    let of_url = move |asked: &EtcdUrl| seen[(0..3).find(|at| url(*at) == *asked).unwrap()];
    let of_node = move |node: &NodeName| {
        seen[MEMBERS
            .iter()
            .position(|name| node.as_str() == *name)
            .unwrap()]
    };
    let silence = || AdapterError::new("etcd-timeout", Certainty::NotDone, "silence");
    let mut client = MockEtcdClient::new();
    client.expect_get().returning(move |_, _| Err(silence()));
    client
        .expect_status()
        .returning(move |asked| match of_url(asked) {
            Seen::Follows(leader) => Ok(MemberStatus {
                cluster: ClusterId(1),
                member: MemberId(1),
                leader: leader.then_some(MemberId(2)),
                revision: 7,
                version: EtcdVersion::new(3, 5, 30),
                errors: Vec::new(),
            }),
            _ => Err(silence()),
        });
    let mut nodes = MockNode::new();
    nodes.expect_boot_id().returning(move |node| {
        let up = !matches!(of_node(node), Seen::Down(_));
        Ok(up.then(|| BootId("0a4b7c1e-3f0d-4b6a-9c55-0d7e1f2a3b4c".into())))
    });
    nodes.expect_listening().returning(move |node, _| {
        let listens = matches!(of_node(node), Seen::Listens(true));
        Ok(if listens { vec![2379] } else { Vec::new() })
    });
    let mut manager = MockClusterManager::new();
    let device = world.drive(
        world
            .ports()
            .manager
            .device(&NodeName::new(MEMBERS[0]).unwrap()),
    );
    let device = Device {
        status: DeviceStatus::Down,
        ..device.unwrap()
    };
    manager
        .expect_device()
        .returning(move |_| Ok(device.clone()));
    manager
        .expect_power()
        .returning(move |node| match of_node(node) {
            Seen::Down(power) => Ok(power()),
            _ => panic!("{node} is up"),
        });
    let ports = Ports {
        client: Arc::new(client),
        nodes: Arc::new(nodes),
        manager: Arc::new(manager),
        ..world.ports()
    };
    let asked = Check::QuorumLost {
        members: (0..3)
            .map(|at| (NodeName::new(MEMBERS[at]).unwrap(), url(at)))
            .collect(),
        allowed: allowed.map(Into::into),
    };
    world.drive(probe::one(&ports, &asked, None))
}

/// A question that got lost, a firewall, a wrong address, a partition: what is not known to be out may be alive,
/// and is no lost quorum as long as it may be one.
#[test]
fn a_quorum_that_cannot_be_asked_is_not_a_lost_one() {
    use Seen::{Down, Follows, Listens};
    let on = Down(|| PowerState::On);
    let off = Down(|| PowerState::Off);
    let unknown = Down(|| PowerState::Silent("no answer".into()));
    for (seen, lost) in [
        ([Follows(false); 3], true),
        ([Follows(true); 3], false),
        ([Listens(false); 3], true),
        ([Listens(true); 3], false),
        ([off; 3], true),
        ([on; 3], false),
        ([unknown; 3], false),
        // A survivor that waits for its quorum takes the connection, and says nothing.
        ([Listens(true), off, off], true),
        ([Follows(false), on, Listens(false)], true),
        ([Listens(true), on, off], false),
    ] {
        match quorum(seen, None) {
            Finding::Holds(_) => assert!(lost),
            Finding::Blind(error) => {
                assert!(!lost, "{error:?}");
                assert_eq!(error.code, "quorum-unseen");
            }
            other => panic!("{other:?}"),
        }
        let Finding::Holds(_) = quorum(seen, Some("seen by hand")) else {
            panic!("it is allowed");
        };
    }
}
