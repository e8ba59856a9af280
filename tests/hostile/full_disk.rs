//! A disk that takes no more, at every place where something is written: nothing is done after it, it is
//! said, and with room again it goes on.
//!
//! The limit of a file's size stands for the disk; a process that ignores its signal gets an error from
//! `write`. For new entries of directories it is a file system with room for few of them. An error of every append and sync of a journal is swept in the core's own tests
//! (`a_journal_torn_at_every_append`), one of `commands.log` in `command_log.rs`, and one of a backup in
//! etcd-adapter's.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use bright_adapter::bundle::Bundle;
use bright_adapter::{HostKeys, Ssh, SshConfig};
use runbook_core::error::AdapterError;
use runbook_core::event::NoEvents;
use runbook_core::journal::{JournalStore, MemoryStore, Outcome};
use runbook_core::names::NodeName;
use runbook_core::plan::SealedPlan;
use runbook_core::ports::{NoLog, Shell as _};
use runbook_core::run::{Run, RunEnd};
use runbook_core::rundir::{ClusterLock, RunDir, Standing, StateDir, StateError, write_atomically};
use runbook_core::testkit::{World, actor, run_id};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio_util::sync::CancellationToken;

use crate::PROGRAM;
use crate::private::{begun, child, given_directory};

/// The doctor's, of a whole lab.
pub(crate) const BUNDLE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/fixtures/doctor-good.tgz"
);

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
    let (run_dir, store) = state.create_run(&lock, &plan).unwrap();

    drop(store);
    a_run_to_its_end(&world, &plan, &run_dir);
    closing(&state, &lock);

    // A run that is given up.
    fs::remove_file(run_dir.path().join("journal.jsonl")).unwrap();
    let at = jiff::Timestamp::now();
    let refused = full(3, || run_dir.give_up(&lock, at, actor(), "lost"));
    assert_eq!(refused.unwrap_err().code(), "state-io");
    assert_eq!(
        state.open_runs().unwrap().len(),
        1,
        "it still counts as open"
    );
    run_dir.give_up(&lock, at, actor(), "lost").unwrap();
    host_keys(&dir);
    bundle(&dir.join("bundle.tgz"));
}

/// Half a bundle is worse than none.
fn bundle(file: &Path) {
    let bundle = Bundle::read(Path::new(BUNDLE)).unwrap();
    for bytes in [0, 3, 4000] {
        let refused = full(bytes, || bundle.write(file));
        assert_eq!(refused.unwrap_err().code(), "bundle-io");
        assert!(!file.exists());
    }
    bundle.write(file).unwrap();
    assert_eq!(Bundle::read(file).unwrap(), bundle);
}

/// A run that meets a full disk in every life, at its beginning and in the middle.
fn a_run_to_its_end(world: &World, plan: &SealedPlan, run_dir: &RunDir) {
    let ports = world.ports();
    let journal = run_dir.path().join("journal.jsonl");
    let store = || Box::new(run_dir.store().unwrap());

    // The first record of a run.
    let refused = full(10, || Run::begin(plan, &ports, store(), actor()).map(drop));
    assert_eq!(refused.unwrap_err().code(), "journal-io");
    assert!(world.log().is_empty());
    fs::write(&journal, "").unwrap();

    // Any later one, in the middle of its line: the run stops there, and a later life goes on.
    let mut life = 0;
    loop {
        let opened = if life == 0 {
            Run::begin(plan, &ports, store(), actor())
        } else {
            nothing_is_resumed(world, plan, run_dir);
            Run::resume(plan, &ports, store(), actor())
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
    }
    assert!(life > 5, "{life} lives");
    world.restored().unwrap();
    world.verdict().unwrap();
    world.repeated().unwrap();
}

/// No room for the record that a life begins with, nor for the line feed that the last one lacks.
fn nothing_is_resumed(world: &World, plan: &SealedPlan, run_dir: &RunDir) {
    let (ports, happened) = (world.ports(), world.log().len());
    let journal = run_dir.path().join("journal.jsonl");
    let bytes = fs::read(&journal).unwrap();
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    let refused = |bytes: usize| {
        let store = Box::new(run_dir.store().unwrap());
        let resumed = full(bytes as u64, || {
            Run::resume(plan, &ports, store, actor()).map(drop)
        });
        let error = resumed.unwrap_err();
        assert_eq!(error.code(), "journal-io");
        error.to_string()
    };
    assert!(refused(whole + 3).ends_with("cannot be written"));
    fs::write(&journal, &bytes[..whole - 1]).unwrap();
    assert!(refused(whole - 1).ends_with("cannot be mended"));
    assert_eq!(world.log().len(), happened);
}

/// The record that ends a run.
fn closing(state: &StateDir, lock: &ClusterLock) {
    let world = World::of(1).build();
    let plan = world.plan(run_id(2)).unwrap();
    let (run_dir, store) = state.create_run(lock, &plan).unwrap();
    Run::begin(&plan, &world.ports(), Box::new(store), actor()).unwrap();
    let room = run_dir.path().join("journal.jsonl").metadata().unwrap();
    let close = || {
        let outcome = Outcome::Abandoned("looked at".into());
        run_dir.close(jiff::Timestamp::now(), outcome)
    };
    assert_eq!(
        full(room.len() + 3, close).unwrap_err().code(),
        "journal-io"
    );
    assert!(matches!(run_dir.standing(), Standing::Open(_)));
    close().unwrap();
    assert!(matches!(run_dir.standing(), Standing::Over(..)));
}

/// What a run notes of the keys of a node that it has wiped: that a new one is awaited, the new one, that
/// none is awaited any more. What was known before is not lost.
fn host_keys(dir: &Path) {
    let run = dir.join("known_hosts");
    let file = dir.join("known_hosts.node001");
    let kept = || fs::read_to_string(&file).unwrap_or_default();
    // Of the node's keys root's own known hosts have none.
    let script = "case \"$*\" in\n\
        *Checking=accept-new*) f=${*#*UserKnownHostsFile=\\\"}; echo 'node001 ssh-ed25519 x' >\"${f%%\\\"*}\";;\n\
        *known_hosts.node001*) ;;\n\
        *) echo 'Host key verification failed.' >&2; exit 255;; esac";
    let mut config = SshConfig::default();
    config.program = program(dir, script);
    config.host_keys = HostKeys::ReplaceAfterWipe;
    config.run_known_hosts = Some(run);
    let ssh = Ssh::new(config, Arc::new(NoLog)).unwrap();
    let node = NodeName::new("node001").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let expect = || runtime.block_on(ssh.expect_new_key(&node));
    let meet = || {
        let said = runtime.block_on(ssh.query(&node, &["true".to_owned()]));
        said.map(drop)
    };
    let lost = |done: Result<(), AdapterError>, before: &str| {
        let error = done.unwrap_err();
        assert_eq!(error.code, "ssh-known-hosts");
        assert!(error.what.ends_with("cannot be written"), "{error}");
        assert_eq!(kept(), before);
    };

    lost(full(3, expect), "");
    expect().unwrap();
    let awaited = kept();
    // Room for the key that ssh writes, and not for keeping it.
    lost(full(50, meet), &awaited);
    meet().unwrap();
    let known = kept();
    assert!(known.ends_with("\nnode001 ssh-ed25519 x\n"), "{known}");
    // Room for the note, and not for what was known.
    lost(full(awaited.len() as u64, expect), &known);
    expect().unwrap();
    assert_eq!(kept(), awaited);
    lost(full(50, || ssh.expect_no_new_key(&node)), &awaited);
    ssh.expect_no_new_key(&node).unwrap();
    assert_eq!(kept(), known);
}

fn program(dir: &Path, script: &str) -> PathBuf {
    let path = dir.join("ssh");
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    path
}

#[test]
fn a_full_disk_is_told_at_every_write() {
    let dir = tempfile::tempdir().unwrap();
    child("trap '' XFSZ; exec", "full_disk::every_write", dir.path());
}

/// A file system of its own over the test's directory, with room for so many files, directories and links.
struct Small(PathBuf);

impl Small {
    fn over(dir: &Path, entries: u64) -> Self {
        let small = Self(dir.into());
        small.mount(&format!("nr_inodes={entries},mode=0700"));
        small
    }

    fn mount(&self, options: &str) {
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", options, "none"])
            .arg(&self.0);
        assert!(mount.status().unwrap().success(), "{options}");
    }

    /// From now on there is room for so many more.
    fn room(&self, entries: u64) {
        let now = rustix::fs::statvfs(&self.0).unwrap();
        let all = now.f_files - now.f_ffree + entries;
        self.mount(&format!("remount,nr_inodes={all}"));
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        Command::new("umount").arg(&self.0).status().ok();
    }
}

#[test]
#[ignore = "run by a_full_disk_is_told_at_every_new_entry"]
fn every_entry() {
    let dir = given_directory();
    let root = dir.join("deep/state");
    let world = World::of(1).build();
    let plan = world.plan(run_id(1)).unwrap();
    let begin = || {
        let state = StateDir::open(&root)?;
        let lock = state.lock(&plan.cluster, &actor())?;
        let (run_dir, store) = state.create_run(&lock, &plan)?;
        Ok::<_, StateError>((state, lock, run_dir, store))
    };

    // From the state directory's to the journal's: what is there behind a refusal is no run.
    let mut refused = 0;
    let (small, (state, lock, run_dir, store)) = loop {
        // The first one is the file system's own directory.
        let small = Small::over(&dir, 1 + refused);
        match begin() {
            Ok(all) => break (small, all),
            Err(error) => assert_eq!(error.code(), "state-io", "{error}"),
        }
        let there = StateDir::existing(&root).unwrap();
        assert!(there.is_none_or(|state| state.runs().unwrap().is_empty()));
        small.room(20);
        begin().unwrap();
        refused += 1;
    };
    assert!(refused >= 10, "{refused}");

    // A plan that is begun again: the old journal is not lost.
    let journal = run_dir.path().join("journal.jsonl");
    Run::begin(&plan, &world.ports(), Box::new(store), actor()).unwrap();
    let at = jiff::Timestamp::now();
    run_dir
        .close(at, Outcome::Abandoned("refused".into()))
        .unwrap();
    let old = fs::read(&journal).unwrap();
    // A second name of it, and a draft of the empty one.
    for room in 0..2 {
        small.room(room);
        let refused = state.create_run(&lock, &plan).map(drop);
        assert_eq!(refused.unwrap_err().code(), "state-io");
        assert_eq!(fs::read(&journal).unwrap(), old);
        assert!(matches!(run_dir.standing(), Standing::Over(..)));
    }
    small.room(2);
    state.create_run(&lock, &plan).unwrap();
    assert!(matches!(run_dir.standing(), Standing::NeverBegan));

    // A damaged journal that is set aside, and no room to say so.
    fs::write(&journal, "{}\n{}\n").unwrap();
    small.room(0);
    let refused = run_dir.give_up(&lock, at, actor(), "lost");
    assert_eq!(refused.unwrap_err().code(), "state-io");
    assert_eq!(state.open_runs().unwrap().len(), 1);
    small.room(2);
    run_dir.give_up(&lock, at, actor(), "lost").unwrap();
    assert!(matches!(run_dir.standing(), Standing::GivenUp(_)));
}

/// Directories, links and the names of files need room as well.
#[test]
fn a_full_disk_is_told_at_every_new_entry() {
    if !rustix::process::geteuid().is_root() {
        // Nobody else can mount a small file system; `make test` runs this as root.
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    child(
        "exec unshare --mount --propagation private --",
        "full_disk::every_entry",
        dir.path(),
    );
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

/// Each command that answers on the standard output, where that takes nothing: it says so, and does not end well.
#[test]
fn a_standard_output_that_takes_nothing_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let state = StateDir::open(&dir.path().join("state")).unwrap();
    begun(&state);
    let snapshot = "../etcd-adapter/tests/fixtures/plain-3.5.30.db";
    let timer = [
        "backup",
        "--endpoints",
        "http://127.0.0.1:1",
        "--print-timer",
    ];
    for args in [
        &["status"][..],
        &["status", "--all", "--format", "json"],
        &["verify", snapshot],
        &["verify", "--format", "json", snapshot],
        &["doctor", "--replay", BUNDLE],
        &["doctor", "--format", "json", "--replay", BUNDLE],
        &["explain", "state-io"],
        &timer,
        &["completions", "bash"],
        &["man"],
        &["--help"],
        &["--version"],
    ] {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let done = Command::new(PROGRAM)
            .args(args)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env("RESTORE_RUNBOOK_STATE_DIR", state.path())
            .stdin(Stdio::null())
            .stdout(full)
            .output()
            .unwrap();
        let said = String::from_utf8(done.stderr).unwrap();
        assert_eq!(done.status.code(), Some(10), "{args:?}: {said}");
        assert!(
            said.contains("error[output]: standard output cannot be written"),
            "{args:?}: {said}"
        );
        assert!(said.contains("No space left on device"), "{args:?}: {said}");
    }
}
