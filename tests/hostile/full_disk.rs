//! A disk that takes no more, at every place where something is written: nothing is done after it, it is
//! said, and with room again it goes on.
//!
//! The limit of a file's size stands for the disk; a process that ignores its signal gets an error from
//! `write`. An error of every append and sync of a journal is swept in the core's own tests
//! (`a_journal_torn_at_every_append`), one of `commands.log` in `command_log.rs`, and one of a backup in
//! etcd-adapter's.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use bright_adapter::{Ssh, SshConfig};
use runbook_core::event::NoEvents;
use runbook_core::journal::{JournalStore, MemoryStore};
use runbook_core::names::NodeName;
use runbook_core::ports::NoLog;
use runbook_core::run::{Run, RunEnd};
use runbook_core::rundir::{StateDir, write_atomically};
use runbook_core::testkit::{World, actor, run_id};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio_util::sync::CancellationToken;

use crate::judges::now;
use crate::private::{child, given_directory};

/// No file of this process grows beyond this; none is no limit.
fn limit(bytes: Option<u64>) {
    let maximum = getrlimit(Resource::Fsize).maximum;
    let current = bytes;
    setrlimit(Resource::Fsize, Rlimit { current, maximum }).unwrap();
}

fn full<T>(bytes: u64, work: impl FnOnce() -> T) -> T {
    limit(Some(bytes));
    let done = work();
    limit(None);
    done
}

fn entries(dir: &Path) -> usize {
    fs::read_dir(dir).map_or(0, Iterator::count)
}

#[test]
#[ignore = "run by a_full_disk_is_told_at_every_write"]
fn every_write() {
    let dir = given_directory();
    let world = World::of(3).reprovision_all().build();
    let plan = world.plan(run_id(1)).unwrap();
    let state = StateDir::open(&dir.join("state")).unwrap();

    // The lock says whose it is.
    let refused = full(3, || state.lock(&plan.cluster, &actor()).map(drop));
    assert_eq!(refused.unwrap_err().code(), "state-io");
    let lock = state.lock(&plan.cluster, &actor()).unwrap();

    // The plan file, and the run's own copy: nothing half made is left or taken for a run.
    let out = dir.join("plan.json");
    for bytes in [0, 1000, plan.bytes().len() as u64 - 1] {
        let refused = full(bytes, || write_atomically(&out, plan.bytes(), false));
        assert_eq!(refused.unwrap_err().code(), "state-io");
        assert_eq!(entries(&dir), 1, "no draft stays");
        let refused = full(bytes, || state.create_run(&lock, &plan).map(drop));
        assert_eq!(refused.unwrap_err().code(), "state-io");
        assert!(state.runs().unwrap().is_empty());
    }
    let (run_dir, mut store) = state.create_run(&lock, &plan).unwrap();

    // The first record of a run.
    let ports = world.ports();
    let refused = full(10, || {
        Run::begin(&plan, &ports, Box::new(store), actor()).map(drop)
    });
    assert_eq!(refused.unwrap_err().code(), "journal-io");
    assert!(world.log().is_empty());
    fs::write(run_dir.path().join("journal.jsonl"), "").unwrap();
    store = run_dir.store().unwrap();

    // Any later one, in the middle of its line: the run stops there, and a later life goes on.
    let journal = run_dir.path().join("journal.jsonl");
    let mut life = 0;
    loop {
        let opened = if life == 0 {
            Run::begin(&plan, &ports, Box::new(store), actor())
        } else {
            Run::resume(&plan, &ports, Box::new(store), actor())
        };
        let run = opened.unwrap();
        let room = journal.metadata().unwrap().len() + 2000 + 37 * life;
        let stop = CancellationToken::new();
        let end = full(room, || world.drive(run.execute(&NoEvents, &stop)));
        drop(run);
        life += 1;
        match end {
            Ok(RunEnd::Completed) => break,
            Ok(other) => panic!("{other:?}"),
            Err(error) => {
                assert_eq!(error.code(), "journal-io", "{error}");
                assert!(error.hint().unwrap().contains("make room"));
            }
        }
        assert!(life < 200, "it goes on");
        store = run_dir.store().unwrap();
    }
    assert!(life > 5, "{life} lives");
    world.restored().unwrap();
    world.verdict().unwrap();
    world.repeated().unwrap();

    // A run that is given up, and the note of a node that is wiped next.
    fs::remove_file(&journal).unwrap();
    let at = jiff::Timestamp::now();
    let refused = full(3, || run_dir.give_up(&lock, at, actor(), "lost"));
    assert_eq!(refused.unwrap_err().code(), "state-io");
    assert_eq!(
        state.open_runs().unwrap().len(),
        1,
        "it still counts as open"
    );
    run_dir.give_up(&lock, at, actor(), "lost").unwrap();
    let mut config = SshConfig::default();
    config.run_known_hosts = Some(dir.join("known_hosts"));
    let ssh = Ssh::new(config, Arc::new(NoLog)).unwrap();
    let node = NodeName::new("node001").unwrap();
    let refused = full(3, || now(ssh.expect_new_key(&node)));
    assert_eq!(refused.unwrap_err().code, "ssh-known-hosts");
    now(ssh.expect_new_key(&node)).unwrap();
}

#[test]
fn a_full_disk_is_told_at_every_write() {
    let dir = tempfile::tempdir().unwrap();
    child("trap '' XFSZ", "full_disk::every_write", dir.path());
}

/// Writes all of a line, and fails to sync it at one moment.
#[derive(Clone)]
struct Unsynced {
    inner: MemoryStore,
    fails_at: usize,
    appends: usize,
    world: World,
    /// How much had happened in the world when it failed.
    happened: Arc<Mutex<usize>>,
}

impl JournalStore for Unsynced {
    fn load(&mut self) -> io::Result<Vec<u8>> {
        self.inner.load()
    }

    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        self.inner.append(line)?;
        self.appends += 1;
        if self.appends == self.fails_at {
            *self.happened.lock().unwrap() = self.world.log().len();
            return Err(io::Error::from_raw_os_error(
                rustix::io::Errno::IO.raw_os_error(),
            ));
        }
        assert!(
            self.appends < self.fails_at,
            "nothing is written after a failure"
        );
        Ok(())
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.inner.truncate(len)
    }

    fn settle(&mut self) -> io::Result<()> {
        self.inner.settle()
    }

    fn check(&mut self) -> io::Result<()> {
        self.inner.check()
    }

    fn place(&self) -> String {
        "memory".into()
    }
}

/// EIO of `fdatasync`: whether the record is there nobody knows, so its effect is not begun.
#[test]
fn an_intent_that_may_not_be_on_disk_has_no_effect() {
    let mut failed = 0;
    for fails_at in 2.. {
        let world = World::of(1).reprovision_all().build();
        let (plan, ports) = (world.plan(run_id(1)).unwrap(), world.ports());
        let store = Unsynced {
            inner: MemoryStore::default(),
            fails_at,
            appends: 0,
            world: world.clone(),
            happened: Arc::default(),
        };
        let run = Run::begin(&plan, &ports, Box::new(store.clone()), actor()).unwrap();
        let stop = CancellationToken::new();
        match world.drive(run.execute(&NoEvents, &stop)) {
            Err(error) => assert_eq!(error.code(), "journal-io"),
            Ok(end) => {
                assert_eq!(end, RunEnd::Completed);
                break;
            }
        }
        failed += 1;
        assert_eq!(
            world.log().len(),
            *store.happened.lock().unwrap(),
            "at {fails_at}"
        );
    }
    assert!(failed > 20, "{failed}");
}
