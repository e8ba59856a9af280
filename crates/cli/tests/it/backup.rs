//! `backup` as a process: when somebody wants it to end, and what others may read of it.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
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

/// A real etcd, ended with the value.
struct Etcd(Child);

impl Etcd {
    /// One that listens; begun again where somebody else was quicker to take its ports.
    fn start(dir: &Path) -> (Self, String) {
        let begun = Instant::now();
        loop {
            let free = TcpListener::bind(("127.0.0.1", 0)).unwrap();
            let other = TcpListener::bind(("127.0.0.1", 0)).unwrap();
            let [client, peer] = [free, other].map(|port| port.local_addr().unwrap());
            let child = Command::new("/usr/bin/etcd")
                .arg("--data-dir")
                .arg(dir.join("etcd"))
                .arg(format!("--listen-client-urls=http://{client}"))
                .arg(format!("--advertise-client-urls=http://{client}"))
                .arg(format!("--listen-peer-urls=http://{peer}"))
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn();
            let mut etcd = Self(child.unwrap());
            while etcd.0.try_wait().unwrap().is_none() {
                if TcpStream::connect(client).is_ok() {
                    return (etcd, format!("http://{client}"));
                }
                assert!(begun.elapsed() < DEADLINE, "etcd does not start");
                thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// With a standard output that takes nothing it has been taken all the same, and says so.
#[test]
fn a_backup_is_private_whatever_the_umask_and_there_though_it_cannot_be_shown() {
    let dir = tempfile::tempdir().unwrap();
    let (_etcd, url) = Etcd::start(dir.path());
    for umask in ["0", "077"] {
        let to = dir.path().join(umask);
        fs::create_dir(&to).unwrap();
        let script = format!("umask {umask}; exec \"$0\" \"$@\" >/dev/full");
        let run = || {
            Command::new("sh")
                .args([
                    "-c",
                    &script,
                    PROGRAM,
                    "backup",
                    "--endpoints",
                    &url,
                    "--to",
                ])
                .arg(&to)
                .output()
                .unwrap()
        };
        let begun = Instant::now();
        let output = loop {
            let output = run();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            if !said.contains("backup-no-member") || begun.elapsed() > DEADLINE {
                break output;
            }
        };
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(10), "{said}");
        assert!(
            said.contains("error[output]") && said.contains("what was done is done"),
            "{said}"
        );
        let mut names = Vec::new();
        for entry in fs::read_dir(&to).unwrap().flatten() {
            let mode = entry.metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o7777, 0o600, "{entry:?}");
            names.push(entry.file_name().into_string().unwrap());
        }
        for end in [".db", ".db.json", "revision.json", ".lock"] {
            assert!(names.iter().any(|name| name.ends_with(end)), "{names:?}");
        }
    }
}
