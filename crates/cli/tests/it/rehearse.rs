//! `rehearse` as a process: what it says, and what it leaves when it is interrupted or killed.
#![expect(
    clippy::unwrap_used,
    reason = "a failed step of a test is a failed test"
)]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// Polling gives up only after this long; nothing is timed.
const DEADLINE: Duration = Duration::from_secs(60);

/// Once this is said, etcd is being started, or runs.
const STARTING: &str = "starting etcd";

fn snapshot() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../etcd-adapter/tests/fixtures/snap-3.4.23.db")
}

fn rehearse(scratch: &TempDir, more: &[&str]) -> Command {
    let mut command = Command::new(crate::PROGRAM);
    command
        .args(["rehearse", "--etcd-bin", "/usr/bin", "--scratch"])
        .arg(scratch.path())
        .args(more)
        .arg(snapshot())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Starts one, and waits until it has said this.
fn started(scratch: &TempDir, until: &str) -> Child {
    said(rehearse(scratch, &[]), until)
}

fn said(mut command: Command, until: &str) -> Child {
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains(until)));
    child
}

fn left(scratch: &TempDir) -> usize {
    fs::read_dir(scratch.path()).unwrap().count()
}

/// Processes with this folder on their command line.
fn processes(scratch: &TempDir) -> Vec<PathBuf> {
    let word = scratch.path().as_os_str().as_bytes();
    let names = |path: &PathBuf| {
        fs::read(path.join("cmdline")).is_ok_and(|line| line.windows(word.len()).any(|w| w == word))
    };
    let all = fs::read_dir("/proc").unwrap().flatten();
    all.map(|entry| entry.path()).filter(names).collect()
}

fn until(what: &str, mut so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !so() {
        assert!(begun.elapsed() < DEADLINE, "{what}");
        thread::sleep(Duration::from_millis(20));
    }
}

fn signal(child: &Child, name: &str) {
    let pid = child.id().to_string();
    let sent = Command::new("kill").args([name, &pid]).status().unwrap();
    assert!(sent.success());
}

fn done(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// A rehearsal in a process that a shell has prepared.
fn behind(before: &str, scratch: &TempDir) -> Command {
    let rehearsal = rehearse(scratch, &[]);
    let mut command = Command::new("sh");
    command
        .args(["-c", &format!("{before}; exec \"$0\" \"$@\"")])
        .arg(rehearsal.get_program())
        .args(rehearsal.get_args())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// But for what etcd itself writes below `data`, which is a private directory.
#[test]
fn what_a_rehearsal_writes_is_private_whatever_the_umask() {
    for umask in ["0", "022", "077"] {
        let scratch = tempfile::tempdir().unwrap();
        let mut child = said(behind(&format!("umask {umask}"), &scratch), STARTING);
        let dir = fs::read_dir(&scratch).unwrap().next().unwrap().unwrap();
        let own: Vec<_> = fs::read_dir(dir.path()).unwrap().flatten().collect();
        assert!(own.len() > 5, "{own:?}");
        for entry in own.iter().chain([&dir]) {
            let about = entry.metadata().unwrap();
            let right = if about.is_dir() { 0o700 } else { 0o600 };
            assert_eq!(about.permissions().mode() & 0o7777, right, "{entry:?}");
        }
        signal(&child, "-INT");
        child.wait().unwrap();
    }
}

/// The limit of a file's size stands for the disk: in the program's own files, and in those of etcd's tool.
#[test]
fn a_full_disk_is_told_and_nothing_stays() {
    for (blocks, code) in [
        (0, "rehearsal-scratch"),
        (1, "rehearsal-scratch"),
        (16, "rehearsal-restore"),
        (1000, "rehearsal-restore"),
    ] {
        let scratch = tempfile::tempdir().unwrap();
        let before = format!("trap '' XFSZ; ulimit -f {blocks}");
        let output = behind(&before, &scratch).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(10), "{blocks}: {said}");
        let fine = said.contains(&format!("error[{code}]")) && said.contains("too large");
        assert!(fine && said.contains("hint: "), "{blocks}: {said}");
        assert_eq!((left(&scratch), processes(&scratch)), (0, Vec::new()));
    }
}

#[test]
fn a_good_snapshot() {
    let scratch = tempfile::tempdir().unwrap();
    // A variable of etcd's own must not get in the way.
    let text = done(
        &rehearse(&scratch, &[])
            .env("ETCD_NAME", "x")
            .output()
            .unwrap(),
    );
    assert!(
        text.contains("holds  live keys 40, 0 of them below /registry/"),
        "{text}"
    );
    assert!(
        text.contains("a key was written, read and deleted"),
        "{text}"
    );
    let json = done(&rehearse(&scratch, &["--format", "json"]).output().unwrap());
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (&json["holds"], &json["etcd"]),
        (&true.into(), &"3.4.23".into())
    );
    assert_eq!(json["compared"].as_array().unwrap().len(), 5);
    assert!(json["restore_ms"].is_u64() && json["open_ms"].is_u64());
    assert_eq!((left(&scratch), processes(&scratch)), (0, Vec::new()));
}

#[test]
fn ctrl_c_and_sigterm_leave_nothing() {
    for name in ["-INT", "-TERM", "-HUP"] {
        let scratch = tempfile::tempdir().unwrap();
        let mut child = started(&scratch, STARTING);
        signal(&child, name);
        assert_eq!(child.wait().unwrap().code(), Some(12), "{name}");
        assert_eq!(
            (left(&scratch), processes(&scratch)),
            (0, Vec::new()),
            "{name}"
        );
    }
}

#[test]
fn what_a_kill_leaves_is_cleared_by_the_next_call() {
    let scratch = tempfile::tempdir().unwrap();
    let mut child = started(&scratch, STARTING);
    let has_etcd = || {
        let is_etcd =
            |path: &PathBuf| fs::read_link(path.join("exe")).is_ok_and(|exe| exe.ends_with("etcd"));
        processes(&scratch).iter().any(is_etcd)
    };
    until("etcd runs", has_etcd);
    signal(&child, "-KILL");
    child.wait().unwrap();
    // The kernel ends etcd; its data is left.
    until("etcd ends with the rehearsal", || {
        processes(&scratch).is_empty()
    });
    assert_eq!(left(&scratch), 1);
    let text = done(&rehearse(&scratch, &[]).output().unwrap());
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        text.contains("an earlier rehearsal was killed and had left"),
        "{text}"
    );
    assert!(text.contains("it is cleared"), "{text}");
    assert_eq!((left(&scratch), processes(&scratch)), (0, Vec::new()));
}

/// Two at once do not take each other for dead.
#[test]
fn a_second_rehearsal_leaves_the_first_alone() {
    let scratch = tempfile::tempdir().unwrap();
    let first = started(&scratch, STARTING);
    let second = done(&rehearse(&scratch, &[]).output().unwrap());
    assert!(!second.contains("an earlier rehearsal"), "{second}");
    done(&first.wait_with_output().unwrap());
    assert_eq!((left(&scratch), processes(&scratch)), (0, Vec::new()));
}

#[test]
fn a_program_is_not_held_for_somebody_else() {
    let output = Command::new(crate::PROGRAM)
        .args(["hold", "1", "--", "/bin/echo", "it runs"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(10));
    assert!(output.stdout.is_empty(), "{output:?}");
}
