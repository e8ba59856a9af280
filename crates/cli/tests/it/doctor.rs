//! `doctor` as a process: what a bundle of a lab run replays to, and when somebody wants it to end.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use bright_adapter::bundle::Bundle;
use bright_adapter::doctor::{Finding, Outcome, Report};
use serde_json::Value;

use super::PROGRAM;

const DEADLINE: Duration = Duration::from_secs(60);

/// A bundle of a lab run; `UPDATE_EXPECTED=1` with the e2e test `a_bundle_replays` writes them anew.
fn fixture(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    dir.join(format!("doctor-{name}.tgz"))
}

fn replay(file: &Path, format: &str) -> Output {
    Command::new(PROGRAM)
        .args(["--color", "never", "doctor", "--format", format, "--replay"])
        .arg(file)
        .output()
        .unwrap()
}

fn replayed(name: &str) -> (Output, Vec<Finding>) {
    let output = replay(&fixture(name), "json");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["format"], 1);
    assert_eq!(report["exit"], output.status.code().unwrap());
    let findings = serde_json::from_value(report["findings"].clone()).unwrap();
    (output, findings)
}

/// What was found, one line each; how it was asked is not part of it.
fn found(findings: &[Finding]) -> Vec<String> {
    let line =
        |one: &Finding| format!("{} {:?} {:?}: {}", one.id, one.about, one.outcome, one.seen);
    findings.iter().map(line).collect()
}

#[test]
fn a_bundle_of_the_lab_replays_to_what_was_found() {
    for (name, code) in [("good", 0), ("broken", 9)] {
        let Report { findings, .. } = Bundle::read(&fixture(name)).unwrap().report;
        let (output, again) = replayed(name);
        assert_eq!(found(&again), found(&findings), "{name}");
        assert_eq!(output.status.code(), Some(code), "{name}");
    }
}

#[test]
fn what_differs_comes_first_and_the_sum_last() {
    let output = replay(&fixture("broken"), "text");
    let page = String::from_utf8(output.stdout).unwrap();
    assert!(page.starts_with("Differs\n"), "{page}");
    let at = |text: &str| {
        page.find(text)
            .unwrap_or_else(|| panic!("no {text} in {page}"))
    };
    assert!(at("  install-mode  n002") < at("\nCould not be checked\n"));
    assert!(at("\nCould not be checked\n") < at("\nHolds\n"));
    assert!(at("\nHolds\n") < at(" hold, "));
    assert!(page.contains("nextinstallmode is FULL"), "{page}");
    assert!(
        page.ends_with("see to what differs now, while nothing is lost; then ask again\n"),
        "{page}"
    );
}

/// Half of the answers gone: the rest is still told, and nothing passes for good that was not asked.
#[test]
fn a_bundle_with_holes_says_what_it_does_not_know() {
    let dir = tempfile::tempdir().unwrap();
    let mut bundle = Bundle::read(&fixture("good")).unwrap();
    bundle.exchanges.retain(|exchange| exchange.node.is_none());
    bundle.proofs.clear();
    let file = dir.path().join("holes.tgz");
    bundle.write(&file).unwrap();
    let output = replay(&file, "json");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings: Vec<Finding> = serde_json::from_value(report["findings"].clone()).unwrap();
    let outcome = |id: &str| findings.iter().find(|f| f.id == id).unwrap().outcome;
    assert_eq!(outcome("ssh"), Outcome::CouldNotBeChecked);
    assert_eq!(outcome("spool"), Outcome::CouldNotBeChecked);
    assert_eq!(outcome("list-devices"), Outcome::Holds);
    assert_eq!(outcome("backup-proof"), Outcome::Differs);
}

#[test]
fn what_is_no_bundle_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x.tgz");
    fs::write(&file, "no archive").unwrap();
    for (path, code, exit) in [
        (&*file, "bundle-not-one", 8),
        (dir.path(), "bundle-not-one", 8),
        (Path::new("/no/such/file"), "bundle-io", 10),
    ] {
        let output = replay(path, "text");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(exit), "{said}");
        assert!(said.contains(code) && output.stdout.is_empty(), "{said}");
    }
}

/// Also while it waits for a cmsh that hangs.
#[test]
fn the_first_signal_ends_it_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let (cmsh, asked) = (dir.path().join("cmsh"), dir.path().join("asked"));
    let script = format!("#!/bin/sh\n: > {}\nexec sleep 600\n", asked.display());
    fs::write(&cmsh, script).unwrap();
    fs::set_permissions(&cmsh, fs::Permissions::from_mode(0o700)).unwrap();
    let bundle = dir.path().join("bundle.tgz");
    let mut child = Command::new(PROGRAM)
        .args(["doctor", "--cmsh"])
        .arg(&cmsh)
        .arg("--bundle")
        .arg(&bundle)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while !asked.exists() {
        assert!(begun.elapsed() < DEADLINE, "cmsh is asked");
        thread::sleep(Duration::from_millis(20));
    }
    let pid = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &pid])
            .status()
            .unwrap()
            .success()
    );
    while child.try_wait().unwrap().is_none() {
        assert!(begun.elapsed() < DEADLINE, "it ends");
        thread::sleep(Duration::from_millis(20));
    }
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(12), "{output:?}");
    assert!(!bundle.exists());
}
