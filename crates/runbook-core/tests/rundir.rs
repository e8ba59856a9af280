//! The directories of runs: what a lost or damaged journal looks like, and the way out of it.
#![cfg(feature = "testkit")]
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use runbook_core::journal::{
    Actor, Entry, Format, JOURNAL_FORMAT, Journal, JournalStore as _, MemoryStore, Outcome,
    Overtaken,
};
use runbook_core::plan::SealedPlan;
use runbook_core::run::Run;
use runbook_core::rundir::{RunDir, Standing, StateDir};
use runbook_core::testkit::{World, actor, run_id};

fn place() -> (tempfile::TempDir, StateDir) {
    let dir = tempfile::tempdir().unwrap();
    let state = StateDir::open(&dir.path().join("state")).unwrap();
    (dir, state)
}

/// A sealed plan, and a state directory in which its run was made.
fn begun() -> (tempfile::TempDir, StateDir, SealedPlan, RunDir) {
    let (temp, state) = place();
    let world = World::of(1).build();
    let plan = world.plan(run_id(1)).unwrap();
    let lock = state.lock(&plan.cluster, &actor()).unwrap();
    let (dir, _) = state.create_run(&lock, &plan).unwrap();
    (temp, state, plan, dir)
}

/// Writes the first record.
fn opened(dir: &RunDir, plan: &SealedPlan) {
    let first = Entry::Opened {
        format: JOURNAL_FORMAT,
        run: plan.run,
        plan: plan.digest(),
        by: actor(),
    };
    let store = Box::new(dir.store().unwrap());
    Journal::begin(store, jiff::Timestamp::UNIX_EPOCH, first).unwrap();
}

fn code(dir: &RunDir) -> &'static str {
    match dir.standing() {
        Standing::Unreadable(error) => error.code(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_lost_journal_is_no_run_that_never_began() {
    let (_temp, state, plan, dir) = begun();
    assert!(matches!(dir.standing(), Standing::NeverBegan));
    opened(&dir, &plan);
    assert!(matches!(dir.standing(), Standing::Open(_)));
    fs::remove_file(dir.path().join("journal.jsonl")).unwrap();
    assert_eq!(code(&dir), "journal-missing");
    assert_eq!(state.open_runs().unwrap(), [dir], "it counts as open");
    let lock = state.lock(&plan.cluster, &actor()).unwrap();
    let again = state.create_run(&lock, &plan).unwrap_err();
    assert_eq!(again.code(), "journal-missing", "its plan is not run again");
}

#[test]
fn an_emptied_journal_is_no_run_that_never_began() {
    let (_temp, _state, plan, dir) = begun();
    opened(&dir, &plan);
    fs::write(dir.path().join("commands.log"), "a command\n").unwrap();
    fs::write(dir.path().join("journal.jsonl"), "").unwrap();
    assert_eq!(code(&dir), "journal-missing");
}

/// The commands of a start that was refused do not tell of a journal that the next start has lost.
#[test]
fn a_plan_begun_again_has_lost_no_journal() {
    let (_temp, state, plan, dir) = begun();
    opened(&dir, &plan);
    fs::write(dir.path().join("commands.log"), "a command\n").unwrap();
    dir.close(
        jiff::Timestamp::UNIX_EPOCH,
        Outcome::Abandoned("refused".into()),
    )
    .unwrap();
    let lock = state.lock(&plan.cluster, &actor()).unwrap();
    state.create_run(&lock, &plan).unwrap();
    assert!(matches!(dir.standing(), Standing::NeverBegan));
    let old = dir.path().join("commands-1.log");
    assert_eq!(fs::read_to_string(old).unwrap(), "a command\n");
}

#[test]
fn a_journal_that_is_held_is_said_to_be() {
    let (_temp, _state, _plan, dir) = begun();
    let _held = dir.store().unwrap();
    assert_eq!(dir.store().unwrap_err().code(), "run-locked");
}

/// Opening it for writing would wait for a reader.
#[test]
fn a_fifo_is_no_journal() {
    let (_temp, _state, _plan, dir) = begun();
    let journal = dir.path().join("journal.jsonl");
    fs::remove_file(&journal).unwrap();
    let mode = rustix::fs::Mode::from(0o600);
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &journal,
        rustix::fs::FileType::Fifo,
        mode,
        0,
    )
    .unwrap();
    assert_eq!(dir.store().unwrap_err().code(), "state-io");
    assert_eq!(code(&dir), "journal-io");
}

#[test]
fn a_run_is_there_whole_or_not_at_all() {
    let (_temp, state, plan, dir) = begun();
    // What a crash in the middle of making it leaves.
    let draft = dir.path().with_file_name(format!(".{}", plan.run));
    fs::rename(dir.path(), &draft).unwrap();
    fs::remove_file(draft.join("journal.jsonl")).unwrap();
    assert!(state.runs().unwrap().is_empty());
    let lock = state.lock(&plan.cluster, &actor()).unwrap();
    let (dir, _) = state.create_run(&lock, &plan).unwrap();
    assert!(matches!(dir.standing(), Standing::NeverBegan));
    assert!(!draft.exists());
}

#[test]
fn a_plan_begun_again_keeps_its_old_journal() {
    let (_temp, state, plan, dir) = begun();
    opened(&dir, &plan);
    let at = jiff::Timestamp::UNIX_EPOCH;
    dir.close(at, Outcome::Abandoned("refused".into())).unwrap();
    let old = fs::read(dir.path().join("journal.jsonl")).unwrap();
    let lock = state.lock(&plan.cluster, &actor()).unwrap();
    let (dir, _) = state.create_run(&lock, &plan).unwrap();
    assert!(matches!(dir.standing(), Standing::NeverBegan));
    assert_eq!(fs::read(dir.path().join("journal-1.jsonl")).unwrap(), old);
}

#[test]
fn a_damaged_run_is_given_up_and_its_journal_kept() {
    let (_temp, state, plan, dir) = begun();
    opened(&dir, &plan);
    let journal = dir.path().join("journal.jsonl");
    let damaged = [&fs::read(&journal).unwrap()[..], b"{}\n"].concat();
    fs::write(&journal, &damaged).unwrap();
    assert_eq!(code(&dir), "journal-damaged");
    let lock = state.lock(&plan.cluster, &actor()).unwrap();
    let at = jiff::Timestamp::UNIX_EPOCH;
    dir.give_up(&lock, at, actor(), "looked at every node")
        .unwrap();
    let Standing::GivenUp(given_up) = dir.standing() else {
        panic!("{:?}", dir.standing());
    };
    assert_eq!(given_up.reason, "looked at every node");
    assert!(
        given_up.damage.starts_with("journal-damaged: "),
        "{given_up:?}"
    );
    let kept = dir.path().join("journal-damaged-1.jsonl");
    assert_eq!(fs::read(kept).unwrap(), damaged);
    assert!(state.open_runs().unwrap().is_empty());
    let again = state.create_run(&lock, &plan).unwrap_err();
    assert_eq!(again.code(), "run-exists", "it may have changed anything");
    let twice = dir.give_up(&lock, at, actor(), "x").unwrap_err();
    assert_eq!(twice.code(), "run-over");
}

#[test]
fn a_journal_that_another_build_can_read_is_not_given_up_as_damaged() {
    let (_temp, state, plan, dir) = begun();
    let first = Entry::Opened {
        format: Format { major: 9, minor: 0 },
        run: plan.run,
        plan: plan.digest(),
        by: actor(),
    };
    let store = Box::new(dir.store().unwrap());
    Journal::begin(store, jiff::Timestamp::UNIX_EPOCH, first).unwrap();
    let lock = state.lock(&plan.cluster, &actor()).unwrap();
    let refused = dir.give_up(&lock, jiff::Timestamp::UNIX_EPOCH, actor(), "x");
    assert_eq!(refused.unwrap_err().code(), "journal-newer");
}

#[test]
fn one_bad_run_hides_no_other() {
    let (_temp, state, _, dir) = begun();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let runs = state.runs().unwrap();
    assert_eq!(runs.len(), 1);
    assert_eq!(code(&runs[0]), "state-unsafe");
    assert_eq!(runs[0].plan().unwrap_err().code(), "state-unsafe");
}

type Hand = fn(&std::path::Path, &[u8], Vec<u8>);

/// Another head node's lock may mean nothing here: what counts is what stands in the journal.
#[test]
fn a_hand_of_another_host_is_noticed_before_the_next_record() {
    let (_temp, _state, plan, dir) = begun();
    opened(&dir, &plan);
    let journal = dir.path().join("journal.jsonl");
    let at = jiff::Timestamp::UNIX_EPOCH;
    let left = fs::read(&journal).unwrap();
    let line = || b"{\"of\":\"another host\"}\n".to_vec();
    let hands: [(&str, Hand); 5] = [
        ("added", |path, left, line| {
            fs::write(path, [left, &line].concat()).unwrap();
        }),
        ("cut", |path, left, _| {
            fs::write(path, &left[..left.len() / 2]).unwrap();
        }),
        ("same length", |path, left, _| {
            let other: Vec<u8> = left.iter().map(|_| b'x').collect();
            fs::write(path, other).unwrap();
        }),
        ("another file", |path, left, _| {
            fs::remove_file(path).unwrap();
            fs::write(path, left).unwrap();
        }),
        ("gone", |path, _, _| fs::remove_file(path).unwrap()),
    ];
    for (name, hand) in hands {
        fs::write(&journal, &left).unwrap();
        fs::set_permissions(&journal, fs::Permissions::from_mode(0o600)).unwrap();
        let mut store = dir.store().unwrap();
        store.load().unwrap();
        store.check().unwrap();
        hand(&journal, &left, line());
        let error = store.append(&line()).unwrap_err();
        assert!(Overtaken::of(&error).is_some(), "{name}: {error}");
        assert!(
            Overtaken::of(&store.check().unwrap_err()).is_some(),
            "{name}"
        );
    }
    fs::write(&journal, &left).unwrap();
    fs::set_permissions(&journal, fs::Permissions::from_mode(0o600)).unwrap();
    dir.close(at, Outcome::Abandoned("looked at".into()))
        .unwrap();
}

/// Whoever was overtaken says by whom, and writes nothing more.
#[test]
fn who_has_gone_on_is_named() {
    let world = World::of(1).build();
    let plan = world.plan(run_id(1)).unwrap();
    let ports = world.ports();
    let store = MemoryStore::default();
    let first = Run::begin(&plan, &ports, Box::new(store.clone()), actor()).unwrap();
    let by = Actor {
        host: "head2".into(),
        ..actor()
    };
    let mut second = store.clone();
    second.load().unwrap();
    let _second = Run::resume(&plan, &ports, Box::new(second), by).unwrap();
    let bytes = store.bytes();
    let error = first.close(Outcome::Completed).unwrap_err();
    assert_eq!(error.code(), "journal-overtaken");
    assert!(error.to_string().contains("root on head2"), "{error}");
    assert_eq!(store.bytes(), bytes, "nothing was written");
}
