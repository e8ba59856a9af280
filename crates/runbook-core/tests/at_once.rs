//! Many processes at one cluster at the same moment: one works.
#![cfg(feature = "testkit")]
#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![expect(clippy::print_stdout, reason = "so a process tells how far it is")]

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use runbook_core::journal::Entry;
use runbook_core::plan::SealedPlan;
use runbook_core::run::Run;
use runbook_core::rundir::{LockNote, Standing, StateDir};
use runbook_core::testkit::{World, actor, run_id};

/// Where the processes meet.
const PLACE: &str = "AT_ONCE";

/// How many there are.
const MANY: usize = 8;

fn gate(place: &Path) -> PathBuf {
    place.join("gate")
}

fn plan() -> (World, SealedPlan) {
    let world = World::of(1).build();
    let plan = world.plan(run_id(1)).unwrap();
    (world, plan)
}

/// What `run` does of a plan, up to the first record; whoever has come so far works until it is told to stop.
fn begins(place: &Path) -> Result<(), String> {
    let (world, plan) = plan();
    let state = StateDir::open(&place.join("state")).map_err(|error| error.code().to_owned())?;
    let by = runbook_core::journal::Actor {
        pid: std::process::id(),
        ..actor()
    };
    let lock = state.lock(&plan.cluster, &by);
    let lock = lock.map_err(|error| error.code().to_owned())?;
    let run = state.create_run(&lock, &plan);
    let (_, store) = run.map_err(|error| error.code().to_owned())?;
    let run = Run::begin(&plan, &world.ports(), Box::new(store), by).map(drop);
    run.map_err(|error| error.code().to_owned())?;
    println!("\nit begins {}", std::process::id());
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    drop(lock);
    Ok(())
}

#[test]
#[ignore = "run by of_many_processes_at_once_one_begins"]
fn one_of_many() {
    let place = PathBuf::from(std::env::var_os(PLACE).unwrap());
    let gate = File::open(gate(&place)).unwrap();
    println!("\nit waits");
    gate.lock_shared().unwrap();
    if let Err(code) = begins(&place) {
        println!("\nit is refused {code}");
    }
}

struct Process {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Process {
    fn start(place: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "one_of_many", "--ignored", "--nocapture"])
            .env(PLACE, place)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    /// The next of its own lines, without its beginning.
    fn says(&mut self) -> String {
        loop {
            let mut line = String::new();
            let read = self.lines.read_line(&mut line).unwrap();
            assert!(read > 0, "it has ended");
            if let Some(said) = line.strip_prefix("it ") {
                return said.trim_end().to_owned();
            }
        }
    }

    fn ends(mut self) {
        drop(self.child.stdin.take());
        // The harness writes its verdict.
        std::io::copy(&mut self.lines, &mut std::io::sink()).unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

#[test]
fn of_many_processes_at_once_one_begins() {
    let place = tempfile::tempdir().unwrap();
    let barrier = File::create(gate(place.path())).unwrap();
    barrier.lock().unwrap();
    let mut processes: Vec<Process> = (0..MANY).map(|_| Process::start(place.path())).collect();
    for process in &mut processes {
        assert_eq!(process.says(), "waits");
    }
    drop(barrier);
    let said: Vec<String> = processes.iter_mut().map(Process::says).collect();
    let (begun, refused): (Vec<_>, Vec<_>) = said.iter().partition(|it| it.starts_with("begins "));
    assert_eq!((begun.len(), refused.len()), (1, MANY - 1), "{said:?}");
    for why in refused {
        assert_eq!(why, "is refused run-locked", "{said:?}");
    }

    let cluster = place.path().join("state/default");
    let note = fs::read(cluster.join("lock")).unwrap();
    let note: LockNote = serde_json::from_slice(&note).unwrap();
    assert_eq!(format!("begins {}", note.by.pid), *begun[0]);
    let runs = fs::read_dir(cluster.join("runs")).unwrap().count();
    assert_eq!(runs, 1, "no draft beside the run");
    let (_, plan) = plan();
    let state = StateDir::open(&place.path().join("state")).unwrap();
    let dir = state.run_dir(&plan);
    assert_eq!(dir.plan().unwrap().digest(), plan.digest());
    let Standing::Open(history) = dir.standing() else {
        panic!("{:?}", dir.standing());
    };
    let [record] = &history.records[..] else {
        panic!("{:?}", history.records);
    };
    assert!(matches!(&record.entry, Entry::Opened { by, .. } if by.pid == note.by.pid));

    processes.into_iter().for_each(Process::ends);
    state.lock(&plan.cluster, &actor()).unwrap();
}
