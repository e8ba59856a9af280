//! One etcd on loopback, and what it says of itself.

use std::env;
use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio, id};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use etcd_client::{Client, ConnectOptions};
use lab::Etcd;
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

pub(crate) const ROOT: (&str, &str) = ("root", "secret");

/// How long a member may take to serve, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(60);

/// A release of etcd.
#[derive(Clone, Debug)]
pub(crate) struct Release(Etcd);

impl Release {
    /// All that are to be had; 3.4 and 3.5 at the least.
    pub(crate) fn every() -> Vec<Self> {
        let every = lab::every_etcd().unwrap_or_else(|error| panic!("{error}"));
        every.into_iter().map(Self).collect()
    }

    pub(crate) fn version(&self) -> &str {
        &self.0.version
    }

    /// The minor of version 3.
    pub(crate) fn minor(&self) -> u32 {
        let minor = self.0.version.split('.').nth(1);
        minor
            .and_then(|minor| minor.parse().ok())
            .expect("a version")
    }

    pub(crate) fn program(&self, name: &str) -> Option<&Path> {
        let named = |path: &&PathBuf| path.file_name().is_some_and(|found| found == name);
        self.0.programs.iter().find(named).map(PathBuf::as_path)
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.program(name).expect("a program of etcd's"));
        command.env("ETCDCTL_API", "3").stdin(Stdio::null());
        command
    }

    /// The program that works on snapshot files: etcdutl, before 3.5 etcdctl.
    pub(crate) fn offline(&self) -> Command {
        let etcdutl = self.program("etcdutl").map(|_| "etcdutl");
        self.command(etcdutl.unwrap_or("etcdctl"))
    }

    /// `snapshot status`.
    pub(crate) fn status(&self, snapshot: &Path) -> Value {
        let mut command = self.offline();
        command
            .args(["snapshot", "status", "-w", "json"])
            .arg(snapshot);
        json(&mut command)
    }

    /// Whether a restore can bump the revision.
    pub(crate) fn can_bump(&self) -> bool {
        self.program("etcdutl").is_some_and(|etcdutl| {
            let help = text(Command::new(etcdutl).args(["snapshot", "restore", "--help"]));
            help.contains("--bump-revision")
        })
    }
}

/// A member, ended with the value, and its folder with it.
pub(crate) struct Member {
    pub(crate) release: Release,
    folder: TempDir,
    client_url: String,
    peer_url: String,
    flags: Vec<String>,
    password: bool,
    process: Option<Child>,
    runtime: Runtime,
}

impl Member {
    /// A new member, running.
    pub(crate) fn start(release: &Release, flags: &[&str]) -> Self {
        Self::start_in(&env::temp_dir(), release, flags)
    }

    /// The same, with its data somewhere in `folder`.
    pub(crate) fn start_in(folder: &Path, release: &Release, flags: &[&str]) -> Self {
        let mut member = Self::prepare(folder, release, flags);
        member.launch();
        member
    }

    /// A member restored from `snapshot` with more arguments, running.
    pub(crate) fn restored(
        release: &Release,
        snapshot: &Path,
        password: bool,
        arguments: &[&str],
    ) -> Self {
        let mut member = Self::prepare(&env::temp_dir(), release, &[]);
        member.password = password;
        let mut command = release.offline();
        command.args(["snapshot", "restore"]).arg(snapshot);
        command
            .arg("--data-dir")
            .arg(member.folder.path().join("data"));
        command.args(["--name", "m0", "--initial-cluster"]);
        command.arg(format!("m0={}", member.peer_url));
        command.args(["--initial-advertise-peer-urls", &member.peer_url]);
        text(command.args(arguments));
        member.launch();
        member
    }

    fn prepare(folder: &Path, release: &Release, flags: &[&str]) -> Self {
        // An address of this process alone, of the 2^22 that loopback can give to one: no other
        // process can take a port in between.
        static PORT: AtomicU16 = AtomicU16::new(20_000);
        let [_, high, middle, low] = id().to_be_bytes();
        let address = Ipv4Addr::new(127, 64 | high & 63, middle, low);
        let url = || {
            let port = PORT.fetch_add(1, Ordering::Relaxed);
            format!("http://{address}:{port}")
        };
        Self {
            release: release.clone(),
            folder: TempDir::new_in(folder).expect("a folder"),
            client_url: url(),
            peer_url: url(),
            flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
            password: false,
            process: None,
            runtime: Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime"),
        }
    }

    fn launch(&mut self) {
        let folder = self.folder.path();
        let log = File::create(folder.join("log")).expect("a log");
        let program = self.release.program("etcd").expect("etcd");
        // It must not outlive the test, even one that is killed.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(program);
        command.args(["--name", "m0", "--data-dir", "data"]);
        command.args(["--listen-client-urls", &self.client_url]);
        command.args(["--advertise-client-urls", &self.client_url]);
        command.args(["--listen-peer-urls", &self.peer_url]);
        command.args(["--initial-advertise-peer-urls", &self.peer_url]);
        command
            .arg("--initial-cluster")
            .arg(format!("m0={}", self.peer_url));
        command.args(["--heartbeat-interval", "20", "--election-timeout", "200"]);
        command
            .args(&self.flags)
            .current_dir(folder)
            .stdin(Stdio::null());
        command.stdout(log.try_clone().expect("a log")).stderr(log);
        self.process = Some(command.spawn().expect("util-linux is installed"));
        self.wait_until_ready();
    }

    fn wait_until_ready(&mut self) {
        let client_url = self.client_url.clone();
        let started = Instant::now();
        loop {
            let process = self.process.as_mut().expect("a process");
            if let Some(status) = process.try_wait().expect("a status") {
                panic!("etcd ended, {status}:\n{}", self.log());
            }
            let answered = self.runtime.block_on(async {
                let options = options(self.password).with_timeout(Duration::from_secs(2));
                let mut client = Client::connect([client_url.as_str()], Some(options)).await?;
                client.status().await
            });
            if answered.is_ok_and(|status| status.leader() != 0) {
                return;
            }
            assert!(
                started.elapsed() < PATIENCE,
                "etcd does not answer:\n{}",
                self.log()
            );
            sleep(Duration::from_millis(20));
        }
    }

    fn log(&self) -> String {
        let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }

    /// Speaks to the member as a client.
    pub(crate) fn client<T>(
        &self,
        work: impl AsyncFnOnce(&mut Client) -> Result<T, etcd_client::Error>,
    ) -> T {
        let options = Some(options(self.password));
        let result = self.runtime.block_on(async {
            let mut client = Client::connect([self.client_url.as_str()], options).await?;
            work(&mut client).await
        });
        result.unwrap_or_else(|error| panic!("{error}\n{}", self.log()))
    }

    /// From now on, clients say who they are.
    pub(crate) fn log_in(&mut self) {
        self.password = true;
    }

    /// Ends the process, and leaves the folder.
    pub(crate) fn end(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().ok();
            process.wait().ok();
        }
    }

    fn etcdctl(&self) -> Command {
        let mut command = self.release.command("etcdctl");
        command.arg("--endpoints").arg(&self.client_url);
        if self.password {
            command.arg("--user").arg(format!("{}:{}", ROOT.0, ROOT.1));
        }
        command
    }

    /// `etcdctl endpoint hashkv` at a revision, 0 for the current one: hash, revision, and compact
    /// revision.
    pub(crate) fn hash_kv(&self, at: i64) -> (u32, i64, i64) {
        let mut command = self.etcdctl();
        command
            .args(["endpoint", "hashkv", "-w", "json", "--rev"])
            .arg(at.to_string());
        let answer = &json(&mut command)[0]["HashKV"];
        let hash = answer["hash"]
            .as_u64()
            .and_then(|hash| hash.try_into().ok());
        let number = |value: &Value| value.as_i64().unwrap_or_default();
        let revision = number(&answer["header"]["revision"]);
        (
            hash.expect("a hash"),
            revision,
            number(&answer["compact_revision"]),
        )
    }

    /// `etcdctl snapshot save`.
    pub(crate) fn save(&self, name: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        text(self.etcdctl().args(["snapshot", "save"]).arg(&path));
        path
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.end();
    }
}

fn options(password: bool) -> ConnectOptions {
    if password {
        ConnectOptions::new().with_user(ROOT.0, ROOT.1)
    } else {
        ConnectOptions::new()
    }
}

fn json(command: &mut Command) -> Value {
    let text = text(command);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{command:?}: {error} in {text}"))
}

fn text(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}
