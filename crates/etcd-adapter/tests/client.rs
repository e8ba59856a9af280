//! The client API against real etcd with TLS on loopback.
#![cfg(feature = "grpc")]
#![expect(
    clippy::unwrap_used,
    reason = "a failed step of a test is a failed test"
)]

#[path = "common/permit.rs"]
mod permit;

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use etcd_adapter::client::{GrpcClient, Login, Timeouts, TlsFiles, check_client_certificate};
use permit::permit;
use runbook_core::error::{AdapterError, Certainty};
use runbook_core::identity::{cluster_id, member_id};
use runbook_core::names::EtcdUrl;
use runbook_core::plan::ClientEffect;
use runbook_core::ports::{EtcdClient as _, PortResult};
use runbook_core::version::EtcdVersion;
use runbook_core::world::HashKv;

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
struct Etcd {
    dir: tempfile::TempDir,
    members: Vec<(EtcdUrl, Child)>,
    peers: Vec<EtcdUrl>,
}

impl Etcd {
    fn start(size: usize, flags: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let made = Command::new("bash")
            .args(["-c", PKI])
            .current_dir(dir.path())
            .stderr(Stdio::null())
            .status()
            .expect("openssl makes the certificates");
        assert!(made.success());
        let ports: Vec<[u16; 2]> = (0..size).map(|_| free_ports()).collect();
        let url = |port| EtcdUrl::new(format!("https://127.0.0.1:{port}")).unwrap();
        let peers: Vec<EtcdUrl> = ports.iter().map(|[_, peer]| url(*peer)).collect();
        let members = ports
            .iter()
            .enumerate()
            .map(|(n, [client, _])| {
                let client = url(*client);
                let child = member(dir.path(), n, &client, &peers, flags);
                (client, child)
            })
            .collect();
        Self {
            dir,
            members,
            peers,
        }
    }

    fn url(&self, member: usize) -> &EtcdUrl {
        &self.members[member].0
    }

    fn tls(&self, authority: &str, client: &str) -> TlsFiles {
        let read = |name: String| std::fs::read(self.dir.path().join(name)).unwrap();
        TlsFiles {
            ca: read(format!("{authority}.crt")),
            certificate: read(format!("{client}.crt")),
            key: read(format!("{client}.key")),
        }
    }

    fn client(&self) -> GrpcClient {
        GrpcClient::new(self.tls("ca", "client"), Timeouts::default(), None)
    }

    /// etcd's own client, for a second opinion.
    fn etcdctl(&self, args: &[&str]) -> String {
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

    /// Waits until a member has a leader and serves.
    async fn ready(&self) {
        let client = self.client();
        while client.get(self.url(0), "none").await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        for (_, child) in &mut self.members {
            child.kill().ok();
            child.wait().ok();
        }
    }
}

fn member(dir: &Path, n: usize, client: &EtcdUrl, peers: &[EtcdUrl], flags: &[&str]) -> Child {
    let cluster: Vec<String> = peers
        .iter()
        .enumerate()
        .map(|(n, url)| format!("m{n}={url}"))
        .collect();
    let log = std::fs::File::create(dir.join(format!("m{n}.log"))).unwrap();
    // It must not outlive the test, even one that is killed.
    Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "etcd"])
        .args(["--name", &format!("m{n}"), "--data-dir", &format!("m{n}")])
        .args(["--listen-client-urls", client.as_str()])
        .args(["--advertise-client-urls", client.as_str()])
        .args(["--listen-peer-urls", peers[n].as_str()])
        .args(["--initial-advertise-peer-urls", peers[n].as_str()])
        .args(["--initial-cluster", &cluster.join(",")])
        .args(["--client-cert-auth", "--trusted-ca-file", "ca.crt"])
        .args(["--cert-file", "server.crt", "--key-file", "server.key"])
        .args([
            "--peer-client-cert-auth",
            "--peer-trusted-ca-file",
            "ca.crt",
        ])
        .args(["--peer-cert-file", "server.crt"])
        .args(["--peer-key-file", "server.key"])
        .args(flags)
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .expect("etcd-server and util-linux are installed")
}

fn free_ports() -> [u16; 2] {
    let listen = || TcpListener::bind("127.0.0.1:0").unwrap();
    let (one, two) = (listen(), listen());
    [one, two].map(|listener| listener.local_addr().unwrap().port())
}

fn put(url: &EtcdUrl, key: &str, value: &str) -> ClientEffect {
    ClientEffect::PutCanary {
        url: url.clone(),
        key: key.into(),
        value: value.into(),
    }
}

async fn write(client: &GrpcClient, url: &EtcdUrl) -> PortResult<()> {
    client.perform(&permit(), &put(url, "k", "v")).await
}

fn wrong<T: std::fmt::Debug>(result: PortResult<T>) -> (&'static str, Certainty, String) {
    let error: AdapterError = result.unwrap_err();
    let chain = error.chain();
    (error.code, error.certainty, chain)
}

#[tokio::test]
async fn a_healthy_member_answers() {
    let etcd = Etcd::start(1, &["--initial-cluster-token", "fresh"]);
    etcd.ready().await;
    let (client, url) = (etcd.client(), etcd.url(0));

    let status = client.status(url).await.unwrap();
    let own = member_id(&etcd.peers[..1], "fresh");
    assert_eq!(status.member, own);
    assert_eq!(status.cluster, cluster_id(&[own]));
    assert_eq!(status.leader, Some(own));
    assert_eq!(status.errors, Vec::<String>::new());
    assert!(
        etcd.etcdctl(&["version"])
            .contains(&status.version.to_string())
    );
    assert!(status.version >= EtcdVersion::new(3, 4, 0));

    let members = client.members(url).await.unwrap();
    assert_eq!(members.len(), 1);
    assert_eq!((members[0].id, members[0].name.as_str()), (own, "m0"));
    assert_eq!(members[0].peer_urls, [etcd.peers[0].as_str()]);
    assert!(!members[0].learner);
    assert_eq!(client.alarms(url).await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn keys_are_written_counted_and_compacted() {
    let etcd = Etcd::start(1, &[]);
    etcd.ready().await;
    let (client, url) = (etcd.client(), etcd.url(0));
    for key in ["/registry/a", "/registry/b", "/registrz", "~"] {
        client
            .perform(&permit(), &put(url, key, key))
            .await
            .unwrap();
    }
    let newest = client.status(url).await.unwrap().revision;
    assert_eq!(newest, 5);
    let found = client.get(url, "/registry/a").await.unwrap();
    assert_eq!(found.as_deref(), Some(&b"/registry/a"[..]));
    assert_eq!(client.get(url, "/registry").await.unwrap(), None);
    let count = async |prefix, revision| client.count(url, prefix, revision).await.unwrap();
    assert_eq!(count("/registry/", 0).await, Some(2));
    assert_eq!(count("/registry/", 2).await, Some(1));
    assert_eq!(count("", 0).await, Some(4));

    let gone = ClientEffect::DeleteCanary {
        url: url.clone(),
        key: "/registry/a".into(),
    };
    client.perform(&permit(), &gone).await.unwrap();
    client.perform(&permit(), &gone).await.unwrap();
    assert_eq!(client.get(url, "/registry/a").await.unwrap(), None);

    let before = client.hash_kv(url, newest).await.unwrap().unwrap();
    assert_eq!(before.compact_revision, -1);
    etcd.etcdctl(&["compact", "6"]);
    assert_eq!(client.hash_kv(url, newest).await.unwrap(), None);
    assert_eq!(count("", newest).await, None);
    let after = client.hash_kv(url, 0).await.unwrap().unwrap();
    assert_eq!(after.compact_revision, 6);
    let theirs = etcd.etcdctl(&["endpoint", "hashkv", "--write-out=json"]);
    let theirs: serde_json::Value = serde_json::from_str(&theirs).unwrap();
    assert_eq!(theirs[0]["HashKV"]["hash"], serde_json::json!(after.hash));
    assert_ne!(
        after,
        HashKv {
            hash: before.hash,
            ..after
        }
    );

    let (code, certainty, _) = wrong(client.hash_kv(url, 1_000).await);
    assert_eq!((code, certainty), ("etcd-behind", Certainty::NotDone));
}

#[tokio::test]
async fn a_full_store_raises_an_alarm() {
    let etcd = Etcd::start(1, &["--quota-backend-bytes", "65536"]);
    etcd.ready().await;
    let (client, url) = (etcd.client(), etcd.url(0));
    let big = put(url, "k", &"v".repeat(40_000));
    let refused = loop {
        if let Err(error) = client.perform(&permit(), &big).await {
            break wrong::<()>(Err(error));
        }
    };
    assert_eq!((refused.0, refused.1), ("etcd-answer", Certainty::Refused));
    assert!(
        refused.2.contains("database space exceeded"),
        "{}",
        refused.2
    );
    let own = client.status(url).await.unwrap().member;
    let alarms = client.alarms(url).await.unwrap();
    assert_eq!(alarms, [format!("NOSPACE on member {own}")]);
}

#[tokio::test]
async fn without_a_quorum_nothing_is_promised() {
    let mut etcd = Etcd::start(2, &[]);
    etcd.ready().await;
    let (_, mut other) = etcd.members.pop().unwrap();
    other.kill().unwrap();
    other.wait().unwrap();
    let client = etcd.client();
    let url = etcd.url(0);
    // The survivor needs an election timeout to notice.
    while client.status(url).await.unwrap().leader.is_some() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_ne!(
        client.status(url).await.unwrap().errors,
        Vec::<String>::new()
    );
    assert_eq!(client.members(url).await.unwrap().len(), 2);
    let (code, certainty, said) = wrong(client.get(url, "k").await);
    assert_eq!(certainty, Certainty::NotDone, "{code}: {said}");
    let (code, certainty, said) = wrong(write(&client, url).await);
    assert_eq!(certainty, Certainty::Unknown, "{code}: {said}");
}

#[tokio::test]
async fn who_does_not_answer_is_told_from_who_refuses() {
    let etcd = Etcd::start(1, &[]);
    etcd.ready().await;
    let tls = etcd.tls("ca", "client");
    let [port, _] = free_ports();
    let closed = EtcdUrl::new(format!("https://127.0.0.1:{port}")).unwrap();
    let seen = wrong(write(&etcd.client(), &closed).await);
    assert_eq!(
        (seen.0, seen.1),
        ("etcd-unreachable", Certainty::NotDone),
        "{}",
        seen.2
    );

    // Accepts and is silent: the handshake never ends.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let url = EtcdUrl::new(format!("https://127.0.0.1:{port}")).unwrap();
    let brief = Timeouts {
        connect: Duration::from_millis(200),
        request: Duration::from_millis(200),
    };
    let client = GrpcClient::new(tls, brief, None);
    let seen = wrong(write(&client, &url).await);
    assert_eq!(seen.1, Certainty::NotDone, "{seen:?}");
    assert!(
        seen.0 == "etcd-timeout" || seen.0 == "etcd-unreachable",
        "{seen:?}"
    );

    let plain = EtcdUrl::new(etcd.url(0).as_str().replace("https:", "http:")).unwrap();
    let seen = wrong(write(&etcd.client(), &plain).await);
    assert_eq!((seen.0, seen.1), ("etcd-hangs-up", Certainty::Refused));
}

#[tokio::test]
async fn strangers_are_refused_on_either_side() {
    let etcd = Etcd::start(1, &[]);
    etcd.ready().await;
    let url = etcd.url(0);
    let mut mixed = etcd.tls("ca", "client");
    mixed.key = etcd.tls("ca", "server").key;
    let mut junk = etcd.tls("ca", "client");
    junk.certificate = b"no certificate".to_vec();
    let mut broken = etcd.tls("ca", "client");
    broken.ca = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_vec();
    for (what, tls) in [
        ("a foreign server", etcd.tls("stranger", "client")),
        ("a foreign client", etcd.tls("ca", "intruder")),
        ("a key of another certificate", mixed),
        ("no certificate", junk),
        ("no authority", broken),
    ] {
        let client = GrpcClient::new(tls, Timeouts::default(), None);
        let seen = wrong(write(&client, url).await);
        // A TLS 1.3 server turns a client down by hanging up; its alert may be seen or not.
        let lost = what == "a foreign client" && seen.0 == "etcd-hangs-up";
        let code = if lost { "etcd-hangs-up" } else { "etcd-tls" };
        let expected = (code, Certainty::Refused);
        assert_eq!((seen.0, seen.1), expected, "{what}: {}", seen.2);
    }
}

#[tokio::test]
async fn a_store_with_users_wants_a_login() {
    let etcd = Etcd::start(1, &[]);
    etcd.ready().await;
    let url = etcd.url(0);
    etcd.etcdctl(&["user", "add", "root:secret word"]);
    etcd.etcdctl(&["user", "grant-role", "root", "root"]);
    etcd.etcdctl(&["auth", "enable"]);
    let login = |password: &str| {
        let login = Login {
            user: "root".into(),
            password: password.into(),
        };
        assert!(!format!("{login:?}").contains("secret"));
        let tls = etcd.tls("ca", "client");
        GrpcClient::new(tls, Timeouts::default(), Some(login))
    };
    write(&login("secret word"), url).await.unwrap();
    login("secret word").members(url).await.unwrap();
    for client in [etcd.client(), login("wrong")] {
        let seen = wrong(write(&client, url).await);
        assert_eq!(
            (seen.0, seen.1),
            ("etcd-auth", Certainty::Refused),
            "{}",
            seen.2
        );
        assert!(!seen.2.contains("wrong") && !seen.2.contains("secret"));
    }
}

#[test]
fn effects_are_rendered_in_words() {
    let url = EtcdUrl::new("https://10.141.0.1:2379").unwrap();
    let none = TlsFiles {
        ca: Vec::new(),
        certificate: Vec::new(),
        key: b"secret".to_vec(),
    };
    assert_eq!(format!("{none:?}"), "TlsFiles(…)");
    let client = GrpcClient::new(none, Timeouts::default(), None);
    let words = |effect| client.render(&effect).unwrap()[0].to_string();
    let key = "restore-runbook/canary/0123456789ab";
    assert_eq!(
        words(put(&url, key, "v")),
        "put restore-runbook/canary/0123456789ab through https://10.141.0.1:2379"
    );
    let key = key.into();
    assert_eq!(
        words(ClientEffect::DeleteCanary { url, key }),
        "delete restore-runbook/canary/0123456789ab through https://10.141.0.1:2379"
    );
}

#[test]
fn a_certificate_is_valid_for_its_time() {
    let pem =
        std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/client.crt"))
            .unwrap();
    let at = |text: &str| check_client_certificate(&pem, text.parse().unwrap());
    let end = at("2026-12-01T00:00:00Z").unwrap();
    assert_eq!(end.0.to_string(), "2027-01-01T00:00:00Z");
    assert_eq!(
        at("2026-10-31T23:59:59Z").unwrap_err().code,
        "certificate-early"
    );
    assert_eq!(
        at("2027-01-01T00:00:01Z").unwrap_err().code,
        "certificate-expired"
    );
    let now = "2026-12-01T00:00:00Z".parse().unwrap();
    for bad in [&b""[..], b"x", &pem[..pem.len() / 2]] {
        let error = check_client_certificate(bad, now).unwrap_err();
        assert_eq!(error.code, "certificate-unreadable");
    }
    // What `openssl x509 -text` prints before it, and a chain behind it, do no harm.
    let long = [b"Certificate:\n    Data:\n".as_slice(), &pem, &pem].concat();
    assert_eq!(check_client_certificate(&long, now).unwrap(), end);
}
