//! The client API against real etcd with TLS on loopback.

use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use etcd_adapter::client::{GrpcClient, Login, Timeouts, TlsFiles, check_client_certificate};
use runbook_core::error::{AdapterError, Certainty};
use runbook_core::identity::{cluster_id, member_id};
use runbook_core::names::EtcdUrl;
use runbook_core::plan::ClientEffect;
use runbook_core::ports::{CommandEntry, CommandLog, EtcdClient as _, PortResult};
use runbook_core::version::EtcdVersion;
use runbook_core::world::HashKv;

use crate::cluster::{Etcd, free_ports};
use crate::permit::permit;

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

/// A log that keeps.
#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

impl CommandLog for Notes {
    fn record(&self, entry: &CommandEntry) {
        let line = format!("{}: {:?}", entry.command, entry.status);
        self.0.lock().unwrap().push(line);
    }
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
    let log = Arc::new(Notes::default());
    let noted = etcd.client().logged(log.clone());
    noted.perform(&permit(), &gone).await.unwrap();
    noted.perform(&permit(), &gone).await.unwrap();
    let line = format!("delete /registry/a through {url}: Some(0)");
    assert_eq!(*log.0.lock().unwrap(), [line.clone(), line]);
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
    etcd.kill_last();
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
async fn credentials_are_judged_without_a_server() {
    let etcd = Etcd::prepare(1);
    let judged = async |tls| {
        let client = GrpcClient::new(tls, Timeouts::default(), None);
        client.credentials().await
    };
    let said = judged(etcd.tls("ca", "client")).await.unwrap();
    assert!(said.starts_with("the client's certificate is valid until 2"));
    let mut mixed = etcd.tls("ca", "client");
    mixed.key = etcd.tls("ca", "server").key;
    let mut keyless = etcd.tls("ca", "client");
    keyless.key = Vec::new();
    let mut lawless = etcd.tls("ca", "client");
    lawless.ca = Vec::new();
    let mut nobody = etcd.tls("ca", "client");
    nobody.certificate = nobody.key.clone();
    for (tls, code) in [
        (mixed, "etcd-tls"),
        (keyless, "etcd-tls"),
        (lawless, "certificate-unreadable"),
        (nobody, "certificate-unreadable"),
    ] {
        let seen = wrong(judged(tls).await);
        assert_eq!((seen.0, seen.1), (code, Certainty::Refused), "{}", seen.2);
        assert!(!seen.2.contains("BEGIN"));
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
