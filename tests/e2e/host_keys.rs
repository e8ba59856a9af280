//! Host keys of nodes that are wiped, with real sshd and ssh: the known key stays good, one new key is
//! taken for each wipe, and no other.
#![expect(clippy::unwrap_used, reason = "a test: what fails says so itself")]

use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use bright_adapter::{AcceptedKeys, HostKeys, Ssh, SshConfig};
use lab::{HostKeyAfterWipe, LabOptions};
use runbook_core::error::AdapterError;
use runbook_core::names::NodeName;
use runbook_core::ports::{NoLog, Shell as _};
use tempfile::TempDir;

use crate::harness::{Cluster, SPEC};

/// A node: what it shows as its key changes with each of its systems.
struct Wiped {
    dir: TempDir,
    port: u16,
    sshd: Option<Child>,
}

impl Wiped {
    /// With a key for whoever may come in, and no system yet.
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        let node = Self {
            dir,
            port,
            sshd: None,
        };
        node.keygen("user");
        let user = node.path("user");
        let config = ["node001", "node002"].map(|name| {
            format!(
                "Host {name}\nHostName 127.0.0.1\nPort {port}\nHostKeyAlias {name}\n\
                 IdentityFile {user}\nIdentitiesOnly yes\n"
            )
        });
        let config = config.concat();
        fs::write(node.dir.path().join("ssh_config"), config).unwrap();
        node
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    fn keygen(&self, name: &str) {
        let mut keygen = Command::new("ssh-keygen");
        keygen.args(["-q", "-t", "ed25519", "-N", "", "-f", &self.path(name)]);
        assert!(keygen.status().unwrap().success());
    }

    /// Comes up with this key, which is made when it is a new one.
    fn comes_up_with(&mut self, key: &str) {
        self.comes_up(key, "user.pub");
    }

    /// Lets in whom this file names.
    fn comes_up(&mut self, key: &str, lets_in: &str) {
        self.goes_down();
        if !Path::new(&self.path(key)).exists() {
            self.keygen(key);
        }
        // Where systemd has not made it, sshd wants it to be there.
        fs::create_dir_all("/run/sshd").unwrap();
        let mut sshd = Command::new("/usr/sbin/sshd");
        sshd.args(["-D", "-e", "-f", "/dev/null", "-h", &self.path(key)]);
        for option in [
            format!("Port={}", self.port),
            "ListenAddress=127.0.0.1".into(),
            "PidFile=none".into(),
            "StrictModes=no".into(),
            "UsePAM=no".into(),
            format!("AuthorizedKeysFile={}", self.path(lets_in)),
        ] {
            sshd.args(["-o", &option]);
        }
        sshd.stderr(File::create(self.path("sshd.log")).unwrap());
        self.sshd = Some(sshd.stdin(Stdio::null()).spawn().unwrap());
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            self.is_up();
            thread::sleep(Duration::from_millis(10));
        }
        self.is_up();
    }

    fn is_up(&mut self) {
        let ended = self.sshd.as_mut().unwrap().try_wait().unwrap();
        let said = fs::read_to_string(self.path("sshd.log")).unwrap();
        assert!(ended.is_none(), "{said}");
    }

    /// What the run has written of the node.
    fn kept(&self) -> String {
        fs::read_to_string(self.path("run of today.node001")).unwrap()
    }

    fn goes_down(&mut self) {
        if let Some(mut sshd) = self.sshd.take() {
            sshd.kill().unwrap();
            sshd.wait().unwrap();
        }
    }

    /// A life of the run.
    fn life(&self) -> Ssh {
        self.shell(Some(self.path("run of today")))
    }

    /// What asks without a run, as a plan does, or with one.
    fn shell(&self, run: Option<String>) -> Ssh {
        let mut config = SshConfig::default();
        config.config_file = Some(self.path("ssh_config").into());
        config.known_hosts = Some(self.path("known").into());
        config.control_path_dir = Some(self.path("c").into());
        config.host_keys = HostKeys::ReplaceAfterWipe;
        config.run_known_hosts = run.map(Into::into);
        Ssh::new(config, Arc::new(NoLog)).unwrap()
    }
}

impl Drop for Wiped {
    fn drop(&mut self) {
        self.goes_down();
    }
}

/// What comes of a question to the node: nothing, or the error's code.
async fn asked(ssh: &Ssh, node: &NodeName) -> Result<(), (&'static str, String)> {
    // As a reset would: no connection outlives a system.
    ssh.disconnect(node).await;
    let output = ssh.query(node, &["true".into()]).await;
    let told = |error: AdapterError| (error.code, error.hint.unwrap());
    assert_eq!(output.map_err(told)?.status, 0);
    Ok(())
}

#[tokio::test]
async fn one_new_key_for_each_wipe() {
    let mut host = Wiped::new();
    host.comes_up_with("old");
    let known = fs::read_to_string(host.path("old.pub")).unwrap();
    fs::write(host.path("known"), format!("node001,node002 {known}")).unwrap();
    let [node, other] = ["node001", "node002"].map(|name| NodeName::new(name).unwrap());
    let ssh = host.life();
    asked(&ssh, &node).await.unwrap();

    // The old system lingers, and its key is not taken for the new one; nor is that of somebody who lets
    // nobody in, as an installer may.
    ssh.expect_new_key(&node).await.unwrap();
    asked(&ssh, &node).await.unwrap();
    host.comes_up("first", "nobody.pub");
    assert_eq!(asked(&ssh, &node).await.unwrap_err().0, "ssh-denied");
    assert!(!host.kept().contains("ssh-ed25519"));
    host.comes_up_with("second");
    asked(&ssh, &node).await.unwrap();
    assert_eq!(asked(&ssh, &other).await.unwrap_err().0, "ssh-host-key");

    // Taken once: nobody else can stand in, in this life or the next.
    host.comes_up_with("third");
    for ssh in [&ssh, &host.life()] {
        let (code, hint) = asked(ssh, &node).await.unwrap_err();
        assert_eq!(code, "ssh-host-key");
        let file = host.path("run of today.node001");
        assert!(hint.contains(&format!("`: > '{file}'`")), "{hint}");
    }

    // Wiped again: the system before lingers, goes down, and the next one may bring a key of its own.
    host.comes_up_with("second");
    ssh.expect_new_key(&node).await.unwrap();
    asked(&ssh, &node).await.unwrap();
    host.goes_down();
    assert_eq!(asked(&ssh, &node).await.unwrap_err().0, "ssh-unreachable");
    host.comes_up_with("third");
    asked(&ssh, &node).await.unwrap();
    let next = host.life();
    asked(&next, &node).await.unwrap();

    // With its old disk it is still the node that was known.
    host.comes_up_with("old");
    asked(&next, &node).await.unwrap();
    host.comes_up_with("third");
    asked(&next, &node).await.unwrap();
    let known_then = fs::read_to_string(host.path("known")).unwrap();
    assert_eq!(known_then, format!("node001,node002 {known}"));

    // Told to be wiped, and then not: what was taken before stays, and nothing new is.
    next.expect_new_key(&node).await.unwrap();
    next.expect_no_new_key(&node).unwrap();
    asked(&next, &node).await.unwrap();

    // What the hint says, typed.
    host.comes_up_with("fourth");
    assert_eq!(asked(&next, &node).await.unwrap_err().0, "ssh-host-key");
    fs::write(host.path("run of today.node001"), "").unwrap();
    asked(&next, &node).await.unwrap();

    // The next run knows nothing of it, until what this one says at its end is typed.
    let plan = host.shell(None);
    let (code, hint) = asked(&plan, &node).await.unwrap_err();
    assert_eq!(code, "ssh-host-key");
    assert!(hint.contains("RUN-DIR/known_hosts.node001) >> "), "{hint}");
    let keys = AcceptedKeys::of(Path::new(&host.path("run of today")));
    let keys = keys.unwrap().unwrap();
    assert_eq!(keys.nodes, std::slice::from_ref(&node));
    fs::create_dir(host.path(".ssh")).unwrap();
    symlink(host.path("known"), host.path(".ssh/known_hosts")).unwrap();
    let mut typed = Command::new("sh");
    typed.args(["-c", &keys.taking_over()]);
    assert!(
        typed
            .env("HOME", host.dir.path())
            .status()
            .unwrap()
            .success()
    );
    asked(&plan, &node).await.unwrap();
    host.comes_up_with("third");
    assert_eq!(asked(&plan, &node).await.unwrap_err().0, "ssh-host-key");
}

/// A key that the site has declared stolen is no new key.
#[tokio::test]
async fn a_revoked_key_is_not_taken() {
    let mut host = Wiped::new();
    host.comes_up_with("stolen");
    let key = fs::read_to_string(host.path("stolen.pub")).unwrap();
    fs::write(host.path("known"), format!("@revoked * {key}")).unwrap();
    let (ssh, node) = (host.life(), NodeName::new("node001").unwrap());
    ssh.expect_new_key(&node).await.unwrap();
    let (code, hint) = asked(&ssh, &node).await.unwrap_err();
    assert_eq!(code, "ssh-host-key");
    assert!(hint.contains("wrong hands"), "{hint}");
    assert!(!host.kept().contains("ssh-ed25519"));
}

/// With what everybody starts with: the run halts, and its hint leads on.
#[test]
fn a_run_that_counted_on_the_known_key_goes_on_with_the_new_one() {
    let cluster = Cluster::with(LabOptions {
        nodes: 1,
        host_key_after_wipe: HostKeyAfterWipe::New,
        ..LabOptions::default()
    });
    cluster.lose_all_disks();
    cluster.spec(|_| true, "");
    let halted = cluster.restore().refused("ssh-host-key");
    assert!(
        halted.stderr.contains("this run has had it wiped"),
        "{halted}"
    );
    let option = ["--host-keys", "replace-after-wipe"];
    assert!(halted.stderr.contains(&option.join(" ")), "{halted}");
    let strict = cluster.resume().refused("ssh-host-key");
    assert!(strict.stderr.contains(&option.join(" ")), "{strict}");
    let ended = cluster.tool(&["resume", "--yes", option[0], option[1]]);
    let ended = ended.done();
    cluster.everything_is_back();

    // The next run does not know the key, until what this one has said at its end is typed.
    cluster
        .tool(&["plan", "--spec", SPEC])
        .refused("ssh-host-key");
    let command = ended
        .stderr
        .split('`')
        .find(|word| word.starts_with("(echo; grep "));
    let command = command.unwrap_or_else(|| panic!("{ended}"));
    cluster.on_head_runs("bash", &["-c", command]).done();
    cluster.tool(&["plan", "--spec", SPEC]).done();
}
