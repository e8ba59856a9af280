//! Recognisable secrets, planted wherever this tool comes by one: none gets out, neither on the screen nor
//! into a file nor into the list of processes.
//!
//! A whole backup and restore with a password, a key and Kubernetes' own secrets in etcd is `authentication_is_on` of the
//! end-to-end tests.

use std::fs;
use std::io::Read as _;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use etcd_adapter::client::{GrpcClient, Login, Timeouts, TlsFiles};
use runbook_core::names::{EtcdUrl, UnitId};
use runbook_core::plan::ClientEffect;
use runbook_core::ports::{CommandEntry, CommandLog, EtcdClient as _};
use runbook_core::testkit::permit;

use crate::PROGRAM;
use crate::etcd::Etcd;

const PASSWORD: &str = "planted-password-5d1f";
const KEY: &str = "cGxhbnRlZC1wcml2YXRlLWtleS01ZDFm";
const TOKEN: &str = "planted-token-5d1f";
/// One that etcd gives out.
const ISSUED: &str = "eyJ0b2tlbi01ZDFm.eyJwbGFudGVk.c2lnbmVk";

fn ran(dir: &Path, args: &[&str]) -> Output {
    Command::new(PROGRAM)
        .args(args)
        .current_dir(dir)
        .env("HOME", dir)
        .env("RESTORE_RUNBOOK_STATE_DIR", dir.join("state"))
        .env("RESTORE_RUNBOOK_CMSH", dir.join("cmsh"))
        // etcdctl's own, which somebody may have in the environment.
        .env("ETCDCTL_PASSWORD", PASSWORD)
        .env("ETCDCTL_USER", format!("root:{PASSWORD}"))
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn tells_nothing(what: &str, text: &[u8]) {
    let text = String::from_utf8_lossy(text);
    for secret in [PASSWORD, KEY, TOKEN, ISSUED, "$2a$"] {
        assert!(!text.contains(secret), "{what} tells {secret}:\n{text}");
    }
}

fn silent(what: &str, done: &Output) {
    tells_nothing(what, &done.stdout);
    tells_nothing(what, &done.stderr);
}

fn place() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let key = format!("-----BEGIN PRIVATE KEY-----\n{KEY}\n-----END PRIVATE KEY-----\n");
    fs::write(dir.path().join("password"), format!("{PASSWORD}\n")).unwrap();
    fs::write(dir.path().join("key"), &key).unwrap();
    fs::write(
        dir.path().join("both"),
        format!("password: {PASSWORD}\ntoken: {TOKEN}\n{key}"),
    )
    .unwrap();
    dir
}

/// What is running while the tool talks to etcd.
fn processes() -> Vec<u8> {
    let mut all = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        all.extend(fs::read(entry.path().join("cmdline")).unwrap_or_default());
        all.push(b'\n');
    }
    all
}

#[test]
fn a_password_goes_to_etcd_alone() {
    let dir = place();
    let etcd = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", etcd.local_addr().unwrap());
    let listening = thread::spawn(move || {
        let (mut stream, _) = etcd.accept().unwrap();
        let running = processes();
        // Nothing that a client of gRPC could take for an answer.
        stream.read_exact(&mut [0; 3]).ok();
        running
    });
    let args = [
        "backup",
        "--endpoints",
        &url,
        "--to",
        "backups",
        "--etcd-user",
        "root",
        "--etcd-password-file",
        "password",
    ];
    fs::create_dir(dir.path().join("backups")).unwrap();
    let done = ran(dir.path(), &args);
    assert!(!done.status.success());
    silent("backup", &done);
    let running = listening.join().unwrap();
    assert!(String::from_utf8_lossy(&running).contains("--etcd-password-file"));
    tells_nothing("the list of processes", &running);
    for entry in fs::read_dir(dir.path().join("backups")).unwrap() {
        let path = entry.unwrap().path();
        tells_nothing("a file", &fs::read(&path).unwrap());
    }
    let timer = ran(dir.path(), &[&args[..], &["--print-timer"]].concat());
    assert!(timer.status.success(), "{timer:?}");
    silent("the timer", &timer);
}

/// Commands, as the log has them.
#[derive(Default)]
struct Kept(Mutex<Vec<u8>>);

impl CommandLog for Kept {
    fn record(&self, entry: &CommandEntry) {
        let mut kept = self.0.lock().unwrap();
        kept.extend(format!("{entry:?}\n").into_bytes());
    }
}

/// etcd itself does not repeat what it is sent; whatever stands before it may.
#[test]
fn a_token_that_etcd_has_given_out_goes_to_etcd_alone() {
    let dir = place();
    fs::create_dir(dir.path().join("backups")).unwrap();
    let words = "etcdserver: invalid auth token planted: eyJ0b2tlbi01ZDFm.eyJwbGFudGVk.c2lnbmVk of root:planted-password-5d1f";
    let etcd = Etcd::of(ISSUED, words);
    let url = format!("http://{}", etcd.at);
    let user = ["--etcd-user", "root", "--etcd-password-file", "password"];
    let args = ["backup", "--endpoints", &url, "--to", "backups"];
    let done = ran(dir.path(), &[&args[..], &user].concat());
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(
        said.contains("etcdserver: invalid auth token planted: (a token)"),
        "{said}"
    );
    silent("backup", &done);
    let files = fs::read_dir(dir.path().join("backups")).unwrap();
    for file in files.map(|entry| entry.unwrap().path()) {
        tells_nothing("a file", &fs::read(&file).unwrap());
    }

    // What a run writes down of it: the errors of each question and effect, and the commands.
    let login = Login {
        user: "root".into(),
        password: PASSWORD.into(),
    };
    let nothing = TlsFiles {
        ca: Vec::new(),
        certificate: Vec::new(),
        key: Vec::new(),
    };
    let kept = Arc::new(Kept::default());
    let client = GrpcClient::new(nothing, Timeouts::default(), Some(login)).logged(kept.clone());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let permit = permit(&UnitId::new("verify/canary").unwrap()).unwrap();
    let url = EtcdUrl::new(url).unwrap();
    let put = ClientEffect::PutCanary {
        url: url.clone(),
        key: "canary".into(),
        value: "x".into(),
    };
    let errors = runtime.block_on(async {
        [
            client.members(&url).await.map(drop),
            client.alarms(&url).await.map(drop),
            client.hash_kv(&url, 0).await.map(drop),
            client.count(&url, "/registry/", 0).await.map(drop),
            client.get(&url, "canary").await.map(drop),
            client.perform(&permit, &put).await,
        ]
    });
    for error in errors.map(Result::unwrap_err) {
        let said = format!("{}\n{error:?}", error.chain());
        assert!(
            error.code == "etcd-auth" && said.contains("(a token)"),
            "{said}"
        );
        tells_nothing("an error", said.as_bytes());
    }
    let kept = kept.0.lock().unwrap();
    assert!(String::from_utf8_lossy(&kept).contains("put canary"));
    tells_nothing("commands.log", &kept);
    let asked = etcd.asked();
    assert!(
        asked.iter().any(|path| path.ends_with("/Put")),
        "with the token: {asked:?}"
    );
}

#[test]
fn keys_and_files_that_are_mistaken_for_others_are_not_shown() {
    let dir = place();
    let etcd = ["backup", "--endpoints", "https://127.0.0.1:1"];
    let files = [
        "--etcd-ca",
        "key",
        "--etcd-cert",
        "key",
        "--etcd-key",
        "key",
    ];
    silent("backup", &ran(dir.path(), &[&etcd[..], &files].concat()));
    for file in ["password", "key", "both"] {
        for args in [
            &["plan", "--spec", file][..],
            &["run", "--plan", file],
            &["verify", file],
            &["rehearse", file],
            &["plan", "--spec", "key", "--ssh-config", file],
        ] {
            let done = ran(dir.path(), args);
            assert!(!done.status.success(), "{args:?}");
            silent(&format!("{args:?}"), &done);
        }
    }
}

/// A store with users: their hashes, and what the keys hold, are nobody's business.
#[test]
fn a_proof_tells_nothing_of_what_it_has_read() {
    let dir = place();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../etcd-adapter/tests/fixtures");
    let snapshot = fixtures.join("auth-3.5.30.db");
    assert!(String::from_utf8_lossy(&fs::read(&snapshot).unwrap()).contains("$2a$"));
    for format in ["text", "json"] {
        let done = ran(
            dir.path(),
            &["verify", "--format", format, snapshot.to_str().unwrap()],
        );
        assert!(done.status.success(), "{done:?}");
        silent("verify", &done);
    }
}

/// cmsh is run without this tool's own secrets among its arguments.
#[test]
fn cmsh_is_told_nothing() {
    let dir = place();
    let cmsh = dir.path().join("cmsh");
    let script =
        "#!/bin/sh\ncat /proc/$$/cmdline /proc/$PPID/cmdline >>seen\necho no >&2; exit 1\n";
    fs::write(dir.path().join("source"), script).unwrap();
    // Written by another process: a file that a fork of this one holds open for writing cannot be run.
    let made = Command::new("install")
        .args(["-m", "755", "source", "cmsh"])
        .current_dir(&dir)
        .status();
    assert!(made.unwrap().success() && cmsh.exists());
    let args = [
        "discover",
        "--etcd-user",
        "root",
        "--etcd-password-file",
        "password",
        "--etcd-key",
        "key",
    ];
    silent("discover", &ran(dir.path(), &args));
    silent(
        "doctor",
        &ran(dir.path(), &[&["doctor"], &args[1..]].concat()),
    );
    let seen = fs::read(dir.path().join("seen")).unwrap();
    assert!(String::from_utf8_lossy(&seen).contains("device; list"));
    tells_nothing("a command line", &seen);
}
