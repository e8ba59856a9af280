//! The small files of the state directory: whose the lock is, and why a run was given up.

use std::fs;
use std::path::PathBuf;
use std::thread;

use runbook_core::names::ClusterLabel;
use runbook_core::rundir::{ClusterLock, Holder, RunDir, Standing, StateDir};
use runbook_core::testkit::{World, actor, run_id};

use super::GOOD;

/// A state directory whose cluster is held, with one run.
struct Place {
    dir: tempfile::TempDir,
    state: StateDir,
    run: RunDir,
    _lock: ClusterLock,
}

impl Place {
    fn new() -> Self {
        let dir = super::memory();
        let state = StateDir::open(&dir.path().join("state")).expect("a state directory");
        let plan = World::of(1).build().plan(run_id(1)).expect("a plan");
        let lock = state.lock(&plan.cluster, &actor()).expect("a lock");
        let (run, _) = state.create_run(&lock, &plan).expect("a run");
        Self {
            dir,
            state,
            run,
            _lock: lock,
        }
    }

    fn lock_file(&self) -> PathBuf {
        self.dir.path().join("state/default/lock")
    }
}

thread_local! {
    static PLACE: Place = Place::new();
}

pub(super) fn lock(data: &[u8]) -> &'static str {
    PLACE.with(|place| {
        fs::write(place.lock_file(), data).expect("a file in memory");
        let label = ClusterLabel::new("default").expect("a label");
        let held = place.state.holder(&label).expect("it can be read");
        match held.expect("somebody holds it, whatever is written there") {
            Holder(Some(actor)) => {
                assert!(actor.to_string().len() < 16 << 10);
                let again = serde_json::to_vec(&actor).expect("JSON");
                assert_eq!(serde_json::from_slice(&again).ok(), Some(actor));
                GOOD
            }
            Holder(None) => "it does not say whose",
        }
    })
}

pub(super) fn given_up(data: &[u8]) -> &'static str {
    PLACE.with(|place| {
        let path = place.run.path().join("given-up.json");
        if !path.exists() {
            runbook_core::rundir::write_atomically(&path, b"", false).expect("a file");
        }
        fs::write(&path, data).expect("a file in memory");
        match place.run.standing() {
            Standing::GivenUp(given_up) => {
                let again = serde_json::to_vec(&given_up).expect("JSON");
                assert_eq!(serde_json::from_slice(&again).ok(), Some(given_up));
                GOOD
            }
            // Never "it did not begin": somebody has written something there.
            Standing::Unreadable(error) => {
                assert!(error.hint().is_some());
                error.code()
            }
            other => panic!("{} in {:?}: {other:?}", data.len(), thread::current().id()),
        }
    })
}
