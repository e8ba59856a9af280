//! The mocks as an embedder uses them: one port is mocked, the others are the fake world's.
#![cfg(all(feature = "mocks", feature = "testkit"))]

use std::sync::Arc;

use runbook_core::error::{AdapterError, Certainty};
use runbook_core::event::NoEvents;
use runbook_core::journal::{History, MemoryStore};
use runbook_core::ports::{EtcdClient, MockEtcdClient, Ports};
use runbook_core::run::{Run, RunEnd};
use runbook_core::testkit::{World, actor, run_id};
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
