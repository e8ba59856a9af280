//! Real etcd on loopback.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use etcd_adapter::client::{GrpcClient, Timeouts, TlsFiles};
use runbook_core::names::EtcdUrl;
use runbook_core::ports::EtcdClient as _;

/// Keys and certificates: an authority with a server and a client, and a stranger's.
const PKI: &str = r#"
set -eu
authority() {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 \
    -subj "/CN=$1" -keyout "$1.key" -out "$1.crt"
}
leaf() {
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" \
    -keyout "$1.key" -out "$1.csr"
  echo "subjectAltName=IP:127.0.0.1" >san
  openssl x509 -req -in "$1.csr" -CA "$2.crt" -CAkey "$2.key" -CAcreateserial -days 30 \
    -extfile san -out "$1.crt"
}
authority ca
authority stranger
leaf server ca
leaf client ca
leaf intruder stranger
"#;

/// One etcd cluster on loopback, ended with the value.
pub(crate) struct Etcd {
    dir: tempfile::TempDir,
    clients: Vec<EtcdUrl>,
    pub(crate) peers: Vec<EtcdUrl>,
    processes: Vec<Child>,
}

impl Etcd {
    /// A running cluster.
    pub(crate) fn start(size: usize, flags: &[&str]) -> Self {
        let mut etcd = Self::prepare(size);
        etcd.launch(flags);
        etcd
    }

    /// A running cluster without TLS.
    pub(crate) fn plain(size: usize) -> Self {
        let mut etcd = Self::prepare_as("http", size);
        etcd.launch(&[]);
        etcd
    }

    /// Certificates and ports of a cluster, and no process.
    pub(crate) fn prepare(size: usize) -> Self {
        Self::prepare_as("https", size)
    }

    fn prepare_as(scheme: &str, size: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let made = Command::new("bash")
            .args(["-c", PKI])
            .current_dir(dir.path())
            .stderr(Stdio::null())
            .status()
            .expect("openssl makes the certificates");
        assert!(made.success());
        let url = |port| EtcdUrl::new(format!("{scheme}://127.0.0.1:{port}")).unwrap();
        let (clients, peers) = (0..size)
            .map(|_| free_ports().map(url).into())
            .unzip::<EtcdUrl, EtcdUrl, Vec<_>, Vec<_>>();
        Self {
            dir,
            clients,
            peers,
            processes: Vec::new(),
        }
    }

    /// Starts every member.
    pub(crate) fn launch(&mut self, flags: &[&str]) {
        for (n, client) in self.clients.iter().enumerate() {
            let child = member(self.dir.path(), n, client, &self.peers, flags);
            self.processes.push(child);
        }
    }

    pub(crate) fn data_dir(&self, member: usize) -> PathBuf {
        self.dir.path().join(format!("m{member}"))
    }

    pub(crate) fn url(&self, member: usize) -> &EtcdUrl {
        &self.clients[member]
    }

    pub(crate) fn tls(&self, authority: &str, client: &str) -> TlsFiles {
        let read = |name: String| std::fs::read(self.dir.path().join(name)).unwrap();
        TlsFiles {
            ca: read(format!("{authority}.crt")),
            certificate: read(format!("{client}.crt")),
            key: read(format!("{client}.key")),
        }
    }

    pub(crate) fn client(&self) -> GrpcClient {
        GrpcClient::new(self.tls("ca", "client"), Timeouts::default(), None)
    }

    /// etcd's own client, for a second opinion.
    pub(crate) fn etcdctl(&self, args: &[&str]) -> String {
        let output = Command::new("etcdctl")
            .env("ETCDCTL_API", "3")
            .args(["--cacert=ca.crt", "--cert=client.crt", "--key=client.key"])
            .arg(format!("--endpoints={}", self.url(0)))
            .args(args)
            .current_dir(self.dir.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Ends the last member as a power cut would.
    pub(crate) fn kill_last(&mut self) {
        let mut child = self.processes.pop().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// The process of a member, for a signal.
    pub(crate) fn process(&self, member: usize) -> u32 {
        self.processes[member].id()
    }

    /// Where all members are reached.
    pub(crate) fn urls(&self) -> &[EtcdUrl] {
        &self.clients
    }

    /// Waits until a member has a leader and serves.
    pub(crate) async fn ready(&self) {
        let client = self.client();
        while client.get(self.url(0), "none").await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        for child in &mut self.processes {
            child.kill().ok();
            child.wait().ok();
        }
    }
}

const TLS: [&str; 14] = [
    "--client-cert-auth",
    "--trusted-ca-file",
    "ca.crt",
    "--cert-file",
    "server.crt",
    "--key-file",
    "server.key",
    "--peer-client-cert-auth",
    "--peer-trusted-ca-file",
    "ca.crt",
    "--peer-cert-file",
    "server.crt",
    "--peer-key-file",
    "server.key",
];

fn member(dir: &Path, n: usize, client: &EtcdUrl, peers: &[EtcdUrl], flags: &[&str]) -> Child {
    let cluster: Vec<String> = peers
        .iter()
        .enumerate()
        .map(|(n, url)| format!("m{n}={url}"))
        .collect();
    let log = std::fs::File::create(dir.join(format!("m{n}.log"))).unwrap();
    let tls: &[&str] = if client.as_str().starts_with("https:") {
        &TLS
    } else {
        &[]
    };
    // It must not outlive the test, even one that is killed.
    Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "etcd"])
        .args(["--name", &format!("m{n}"), "--data-dir", &format!("m{n}")])
        .args(["--listen-client-urls", client.as_str()])
        .args(["--advertise-client-urls", client.as_str()])
        .args(["--listen-peer-urls", peers[n].as_str()])
        .args(["--initial-advertise-peer-urls", peers[n].as_str()])
        .args(["--initial-cluster", &cluster.join(",")])
        .args(tls)
        .args(flags)
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .expect("etcd-server and util-linux are installed")
}

pub(crate) fn free_ports() -> [u16; 2] {
    let listen = || TcpListener::bind("127.0.0.1:0").unwrap();
    let (one, two) = (listen(), listen());
    [one, two].map(|listener| listener.local_addr().unwrap().port())
}
