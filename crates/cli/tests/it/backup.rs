//! `backup` as a process, when somebody wants it to end.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::PROGRAM;

const DEADLINE: Duration = Duration::from_secs(60);

/// Also while it waits for the cluster manager.
#[test]
fn the_first_signal_ends_it_at_once() {
    for name in ["-INT", "-TERM", "-HUP"] {
        let dir = tempfile::tempdir().unwrap();
        let (cmsh, asked) = (dir.path().join("cmsh"), dir.path().join("asked"));
        let script = format!("#!/bin/sh\n: > {}\nexec sleep 600\n", asked.display());
        fs::write(&cmsh, script).unwrap();
        fs::set_permissions(&cmsh, fs::Permissions::from_mode(0o700)).unwrap();
        let mut child = Command::new(PROGRAM)
            .arg("--cmsh")
            .arg(&cmsh)
            .args(["backup", "--to"])
            .arg(dir.path())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let begun = Instant::now();
        let until = |what: &str, so: &mut dyn FnMut() -> bool| {
            while !so() {
                assert!(begun.elapsed() < DEADLINE, "{name}: {what}");
                thread::sleep(Duration::from_millis(20));
            }
        };
        until("cmsh is asked", &mut || asked.exists());
        let pid = child.id().to_string();
        let sent = Command::new("kill").args([name, &pid]).status().unwrap();
        assert!(sent.success());
        until("it ends", &mut || child.try_wait().unwrap().is_some());
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(12), "{name}: {said}");
        assert!(said.contains("backup-interrupted"), "{name}: {said}");
    }
}
