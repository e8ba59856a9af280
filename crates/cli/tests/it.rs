//! The program itself: its help, its usage errors, its exit codes, a real terminal; the examples' specs;
//! and what the pages promise.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "it/backup.rs"]
mod backup;
#[path = "it/doctor.rs"]
mod doctor;
#[path = "it/promises.rs"]
mod promises;
#[path = "it/rehearse.rs"]
mod rehearse;
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod verify;

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use runbook_core::journal::{Entry, JOURNAL_FORMAT, Journal};
use runbook_core::rundir::StateDir;
use runbook_core::spec::Spec;
use runbook_core::testkit::{World, actor, run_id};

const PROGRAM: &str = env!("CARGO_BIN_EXE_restore-runbook");

#[test]
fn commands() {
    trycmd::TestCases::new()
        .case("tests/cmd/*.trycmd")
        .register_bin("restore-runbook", Path::new(PROGRAM))
        .env("COLUMNS", "100");
}

#[test]
fn the_specs_of_the_examples_are_specs() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/specs");
    let mut seen = 0;
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let text = fs::read_to_string(entry.path()).unwrap();
        Spec::from_yaml(&text)
            .unwrap_or_else(|error| panic!("{}: {error}", entry.path().display()));
        seen += 1;
    }
    assert_eq!(seen, 3);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut child = Command::new(PROGRAM)
        .args(["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn the_manual_page_names_every_command_and_exit_code() {
    let output = Command::new(PROGRAM).arg("man").output().unwrap();
    let page = String::from_utf8(output.stdout).unwrap();
    for word in [
        "backup", "discover", "verify", "rehearse", "plan", "run", "resume", "status", "undo",
        "abandon", "explain",
    ] {
        assert!(page.contains(&format!("restore-runbook {word}")), "{word}");
    }
    assert!(page.contains("in flight: interrupted twice"));
}

#[test]
fn a_closed_terminal_is_no_panic() {
    // Standard error is a pipe that nobody reads any more.
    let mut child = Command::new(PROGRAM)
        .args(["resume", "--state-dir", "/nonexistent/state"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stderr.take());
    assert_eq!(child.wait().unwrap().code(), Some(7));
}

/// A state directory with an open run; the run's id.
fn open_run(state: &Path) -> String {
    let plan = World::of(1).build().plan(run_id(1)).unwrap();
    let state = StateDir::open(state).unwrap();
    let lock = state.lock(&plan.cluster, &actor()).unwrap();
    let (dir, store) = state.create_run(&lock, &plan).unwrap();
    let first = Entry::Opened {
        format: JOURNAL_FORMAT,
        run: plan.run,
        plan: plan.digest(),
        by: actor(),
    };
    Journal::begin(Box::new(store), jiff::Timestamp::UNIX_EPOCH, first).unwrap();
    dir.run.to_string()
}

/// Gives up the only run on a real terminal, typing each answer when it is asked for; what the terminal
/// shows, and the exit code.
fn given_up_at_a_terminal(state: &Path, answers: &[&[u8]]) -> (String, Option<i32>) {
    let run = open_run(state);
    // Which shell runs this is the environment's choice; with `exec` none is left to die of a Ctrl-C itself.
    let line = format!(
        "exec {PROGRAM} abandon {run} --reason drill --take-over {} --state-dir {}",
        actor().host,
        state.display()
    );
    let mut child = Command::new("script")
        .args(["--quiet", "--return", "--command", &line, "/dev/null"])
        .env("NO_COLOR", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut keys = child.stdin.take().unwrap();
    let mut screen = child.stdout.take().unwrap();
    let mut shown = Vec::new();
    let mut byte = [0];
    let mut asked = 0;
    while screen.read(&mut byte).unwrap() == 1 {
        shown.push(byte[0]);
        if shown.ends_with(b"[yes / no] ") {
            keys.write_all(answers[asked]).unwrap();
            asked += 1;
        }
    }
    assert_eq!(asked, answers.len());
    let shown = String::from_utf8(shown).unwrap();
    (shown, child.wait().unwrap().code())
}

#[test]
fn a_question_on_a_terminal() {
    let dir = tempfile::tempdir().unwrap();
    let asked =
        |name: &str, answers: &[&[u8]]| given_up_at_a_terminal(&dir.path().join(name), answers);
    let (shown, code) = asked("no", &[b"y\r", b"no\r"]);
    assert_eq!(code, Some(5), "{shown}");
    assert!(
        shown.contains("please write one of the words out"),
        "{shown}"
    );
    assert!(shown.contains("error[approval-declined]"), "{shown}");
    assert!(!shown.contains("\x1b["), "NO_COLOR is heard: {shown}");
    let (shown, code) = asked("end", &[b"\x04"]);
    assert_eq!(code, Some(5), "the end of the input is a no: {shown}");
    let (shown, code) = asked("interrupt", &[b"\x03"]);
    assert_eq!(code, Some(12), "{shown}");
    assert!(shown.contains("nothing was changed"), "{shown}");
    let (shown, code) = asked("yes", &[b"yes\r"]);
    assert_eq!(code, Some(0), "{shown}");
}
