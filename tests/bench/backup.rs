//! A member that holds a snapshot's content, behind TLS, and who takes a new snapshot from it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::TOOL;
use crate::measure::Rival;
use crate::member::Release;

/// On an address of its own, so that its ports are free.
const ADDRESS: &str = "127.83.78.65";

const PKI: &str = r#"
set -eu
key() { openssl "$@" -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes 2>/dev/null; }
key req -x509 -days 30 -subj /CN=ca -keyout ca.key -out ca.crt
key req -subj /CN=member -keyout member.key -out member.csr
echo "subjectAltName=IP:$1" >san
openssl x509 -req -in member.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 -extfile san \
  -out member.crt 2>/dev/null
chmod 600 ./*.key
"#;

pub(crate) struct Source {
    release: Release,
    folder: TempDir,
    url: String,
    process: Child,
}

impl Source {
    /// Restores `snapshot` beside itself and serves it.
    pub(crate) fn of(snapshot: &Path, release: &Release) -> Self {
        let folder = TempDir::new_in(snapshot.parent().expect("a folder")).expect("a folder");
        let here = folder.path();
        let mut pki = Command::new("bash");
        succeed(pki.args(["-c", PKI, "pki", ADDRESS]).current_dir(here));
        let peer = format!("http://{ADDRESS}:2380");
        let cluster = format!("m0={peer}");
        let identity = ["--name", "m0", "--initial-cluster", &cluster];
        let identity = [&identity[..], &["--initial-advertise-peer-urls", &peer]].concat();
        let mut restore = release.offline();
        restore
            .args(["snapshot", "restore"])
            .arg(snapshot)
            .args(["--data-dir", "data"]);
        succeed(restore.args(&identity).current_dir(here));
        let url = format!("https://{ADDRESS}:2379");
        let log = fs::File::create(here.join("log")).expect("a log");
        let mut etcd = Command::new("setpriv");
        etcd.args(["--pdeathsig", "KILL"])
            .arg(release.program("etcd").expect("etcd"));
        etcd.args(&identity)
            .args(["--data-dir", "data", "--listen-peer-urls", &peer]);
        etcd.args([
            "--listen-client-urls",
            &url,
            "--advertise-client-urls",
            &url,
        ]);
        etcd.args(["--client-cert-auth", "--trusted-ca-file", "ca.crt"]);
        etcd.args(["--cert-file", "member.crt", "--key-file", "member.key"]);
        etcd.args(["--quota-backend-bytes", "8589934592"])
            .current_dir(here);
        etcd.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let process = etcd.spawn().expect("util-linux is installed");
        let source = Self {
            release: release.clone(),
            folder,
            url,
            process,
        };
        source.wait();
        source
    }

    fn wait(&self) {
        let started = Instant::now();
        loop {
            let mut health = self.etcdctl();
            health
                .args(["endpoint", "health"])
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            if health.status().is_ok_and(|status| status.success()) {
                return;
            }
            let log = self.folder.path().join("log").display().to_string();
            assert!(
                started.elapsed().as_secs() < 120,
                "etcd does not serve, see {log}"
            );
            sleep(Duration::from_millis(200));
        }
    }

    fn etcdctl(&self) -> Command {
        let mut command = Command::new(self.release.program("etcdctl").expect("etcdctl"));
        command
            .env("ETCDCTL_API", "3")
            .args(["--endpoints", &self.url]);
        command.args([
            "--cacert",
            "ca.crt",
            "--cert",
            "member.crt",
            "--key",
            "member.key",
        ]);
        command.current_dir(self.folder.path());
        command
    }

    /// The first is what the others are measured against.
    pub(crate) fn rivals(&self) -> Vec<Rival> {
        let mut save = self.etcdctl();
        save.args(["snapshot", "save", "out/snapshot.db"]);
        let mut backup = Command::new(TOOL);
        backup.args([
            "backup",
            "--state-dir",
            "state",
            "--to",
            "out",
            "--endpoints",
            &self.url,
        ]);
        backup.args(["--etcd-ca", "ca.crt", "--etcd-cert", "member.crt"]);
        backup
            .args(["--etcd-key", "member.key"])
            .current_dir(self.folder.path());
        let version = self.release.version();
        vec![
            Rival {
                name: format!("etcdctl {version} snapshot save"),
                command: save,
            },
            Rival {
                name: "restore-runbook backup".into(),
                command: backup,
            },
        ]
    }

    /// Where they write to, empty again.
    pub(crate) fn clear(&self) -> PathBuf {
        let out = self.folder.path().join("out");
        fs::remove_dir_all(&out).ok();
        fs::create_dir(&out).expect("a folder");
        out
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn succeed(command: &mut Command) {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {output:?}");
}
