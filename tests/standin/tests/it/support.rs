//! A daemon with three nodes made of files, for the tests.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

/// Polling gives up only after this long; nothing is timed.
const DEADLINE: Duration = Duration::from_secs(60);

/// A running stand-in. Dropping it ends the daemon.
pub(crate) struct Lab {
    pub(crate) dir: TempDir,
    daemon: Option<Child>,
}

/// What `cmsh` printed and how it ended.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) code: i32,
}

impl Drop for Lab {
    /// Ends the daemon in order, so that no hook is left behind, and otherwise by force.
    fn drop(&mut self) {
        if let Some(daemon) = &mut self.daemon {
            drop(daemon.stdin.take());
            let deadline = Instant::now() + DEADLINE;
            while matches!(daemon.try_wait(), Ok(None)) && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        self.kill();
    }
}

impl Lab {
    /// Starts three etcd nodes that are up and hold data; `change` edits the configuration.
    pub(crate) fn start(change: impl FnOnce(&mut Value)) -> Self {
        let dir = TempDir::new().unwrap();
        fs::create_dir(dir.path().join("nodes")).unwrap();
        for n in 1..=3 {
            fs::write(dir.path().join(format!("nodes/on.node00{n}")), "").unwrap();
            fs::write(dir.path().join(format!("nodes/data.node00{n}")), "full").unwrap();
            fs::write(dir.path().join(format!("nodes/etcd.node00{n}")), "").unwrap();
        }
        let mut config = config(dir.path());
        change(&mut config);
        fs::write(dir.path().join("config.json"), config.to_string()).unwrap();
        let mut lab = Self { dir, daemon: None };
        lab.run_daemon();
        lab
    }

    pub(crate) fn run_daemon(&mut self) {
        let log = fs::File::create(self.dir.path().join("daemon.err")).unwrap();
        let _ = fs::remove_file(self.socket());
        self.daemon = Some(
            Command::new(env!("CARGO_BIN_EXE_cmdaemon-standin"))
                .arg("--config")
                .arg(self.dir.path().join("config.json"))
                .arg("--state")
                .arg(self.state())
                .arg("--until-stdin-closes")
                .stdin(Stdio::piped())
                .stderr(log)
                .spawn()
                .unwrap(),
        );
        self.wait("the socket", |lab| {
            std::os::unix::net::UnixStream::connect(lab.socket()).is_ok()
        });
    }

    /// Kills the daemon as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }

    fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    fn socket(&self) -> PathBuf {
        self.state().join("standin.sock")
    }

    /// Sets the scene, for every session from now on.
    pub(crate) fn scenario(&self, scenario: &Value) {
        let new = self.dir.path().join("scenario.new");
        fs::write(&new, scenario.to_string()).unwrap();
        fs::rename(new, self.state().join("scenario.json")).unwrap();
    }

    pub(crate) fn cmsh(&self, args: &[&str]) -> Answer {
        answer(&self.command(args).stdin(Stdio::null()).output().unwrap())
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cmsh"));
        command.args(args).env("CMSH_STANDIN_SOCKET", self.socket());
        command.current_dir(self.dir.path());
        command
    }

    /// A batch as a careful tool runs it, which must succeed without complaint.
    pub(crate) fn batch(&self, text: &str) -> String {
        let answer = self.cmsh(&["-n", "-q", "--color=no", "--hide-events", "-c", text]);
        assert_eq!(
            (answer.code, answer.stderr.as_str()),
            (0, ""),
            "{text}: {}",
            answer.stdout
        );
        answer.stdout
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join("nodes").join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.file(name)).unwrap_or_default()
    }

    /// The hook calls so far that change something.
    pub(crate) fn calls(&self) -> Vec<String> {
        let quiet = ["ssh-ok", "pingable"];
        self.read("calls")
            .lines()
            .filter(|line| !quiet.iter().any(|word| line.starts_with(word)))
            .filter(|line| !line.contains(" status "))
            .map(str::to_owned)
            .collect()
    }

    pub(crate) fn log(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.state().join("cmd.log")).unwrap();
        // A last line without its end is still being written.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    pub(crate) fn wait(&self, what: &str, done: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + DEADLINE;
        while !done(self) {
            assert!(
                Instant::now() < deadline,
                "waited in vain for {what}\n{}\n{}",
                self.read("calls"),
                fs::read_to_string(self.dir.path().join("daemon.err")).unwrap_or_default(),
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn wait_status(&self, node: &str, state: &str) {
        self.wait(state, |lab| {
            lab.batch(&format!("device; status {node}")).contains(state)
        });
    }
}

pub(crate) fn answer(output: &Output) -> Answer {
    Answer {
        stdout: String::from_utf8(output.stdout.clone()).unwrap(),
        stderr: String::from_utf8(output.stderr.clone()).unwrap(),
        code: output.status.code().unwrap(),
    }
}

fn config(dir: &Path) -> Value {
    let hook = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hook.sh");
    let node = |n: u32| {
        json!({
            "hostname": format!("node00{n}"), "ip": format!("10.141.0.{n}"),
            "mac": format!("FA:16:3E:00:00:0{n}"), "category": "default", "datanode": true,
        })
    };
    json!({
        "head": { "name": "basecm", "ip": "10.141.255.254" },
        "categories": [{ "name": "default" }],
        "nodes": [node(1), node(2), node(3)],
        "overlays": [
            {
                "name": "kube-default-etcd", "nodes": ["node001", "node002", "node003"],
                "roles": [{ "type": "Etcd::Host", "etcdcluster": "kube-default" }],
            },
            { "name": "kube-default-master", "nodes": ["node001"],
              "roles": [{ "type": "Kubernetes::ApiServer" }] },
        ],
        "etcd": [{ "name": "kube-default" }],
        "kubernetes": [{ "name": "default", "etcdcluster": "kube-default" }],
        "hook": [hook, dir.join("nodes")],
        "delays_ms": {
            "service_stop": 20, "service_start": 60, "service_check": 50, "going_down": 20,
            "boot": 20, "install_step": 5, "up": 10, "poll": 40, "stale": 100,
        },
        "dialect": {
            "use_exit": 1, "set_exit": 1, "commit_exit": 1, "other_exit": 1,
            "error_stream": "stderr", "wording": 0, "commit_line": false, "list_form": "spaces",
            "json_lists": "range", "grouping": "dot", "early_validation": false, "removefrom_absent_fails": false,
            "nextinstallmode_cleared": "up",
        },
    })
}
