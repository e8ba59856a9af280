//! The program itself: its help, its usage errors, its exit codes; and the examples' specs.

#[path = "it/rehearse.rs"]
mod rehearse;
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod verify;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use runbook_core::spec::Spec;

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
        "discover", "verify", "rehearse", "plan", "run", "resume", "status", "undo", "abandon",
        "explain",
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
