//! Backups of real etcd on loopback, and what goes wrong with them.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use etcd_adapter::backup::{
    BackupError, BackupName, Event, Fate, Manifest, Policy, Session, Taken, Wanted, Watcher,
    recorded_revision, shelf,
};
use etcd_adapter::client::{GrpcClient, Login, Timeouts};
use etcd_adapter::snapshot;
use jiff::Timestamp;
use runbook_core::digest::Digest;
use runbook_core::journal::Actor;
use runbook_core::names::{ClusterLabel, EtcdUrl};
use runbook_core::plan::ClientEffect;
use runbook_core::ports::EtcdClient as _;
use sha2::{Digest as _, Sha256};

use crate::cluster::{Etcd, free_ports};
use crate::permit::permit;
use crate::proxy::{self, Fault};

/// More than any connection's buffers hold.
const BIG: usize = 40;

fn wanted(dir: &Path, endpoints: &[EtcdUrl]) -> Wanted {
    Wanted {
        label: ClusterLabel::new("test").unwrap(),
        endpoints: endpoints.to_vec(),
        dir: dir.to_owned(),
        copy_to: None,
        answer: Duration::from_secs(20),
        idle: Duration::from_secs(60),
        settle: Duration::from_secs(60),
        quota_bytes: None,
        companions: Vec::new(),
        accept: false,
        by: Actor {
            tool: "test".into(),
            host: "here".into(),
            user: "me".into(),
            pid: 7,
        },
        now: Timestamp::now(),
    }
}

fn quiet() -> Watcher {
    Arc::new(|_| ())
}

async fn take(client: &GrpcClient, wanted: Wanted) -> Result<Taken, BackupError> {
    open(&wanted)?.take(client, &quiet()).await
}

/// Opens a directory that nobody has. Between the fork and the exec of another test's etcd there is a
/// copy of each open file: a lock that was just given back is then held for a moment longer.
fn open(wanted: &Wanted) -> Result<Session, BackupError> {
    for _ in 0..200 {
        match Session::open(wanted.clone()) {
            Err(BackupError::Locked { .. }) => std::thread::sleep(Duration::from_millis(20)),
            other => return other,
        }
    }
    Session::open(wanted.clone())
}

async fn fill(etcd: &Etcd, keys: usize, bytes: usize) {
    let client = etcd.client();
    for n in 0..keys {
        let effect = ClientEffect::PutCanary {
            url: etcd.url(0).clone(),
            key: format!("/registry/pods/default/p{n:03}"),
            value: "v".repeat(bytes),
        };
        client.perform(&permit(), &effect).await.unwrap();
    }
    // Everybody is equally far: who is asked is no accident.
    loop {
        let mut indexes = Vec::new();
        for url in etcd.urls() {
            indexes.push(client.vitals(url).await.unwrap().applied_index);
        }
        if indexes.iter().all(|index| *index == indexes[0]) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What is in a directory, but for the lock.
fn files(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap().flatten();
    let names = entries.map(|entry| entry.file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| !name.contains("lock")).collect();
    names.sort();
    names
}

/// The file is proven, private, and what its manifest says.
fn is_good(path: &Path, manifest: &Manifest) {
    let bytes = fs::read(path).unwrap();
    let digest = Digest::from_bytes(Sha256::digest(&bytes).into());
    assert_eq!(digest, manifest.sha256);
    assert_eq!(bytes.len() as u64, manifest.size_bytes);
    let proof = snapshot::prove(path, &mut |_| {}).unwrap();
    assert_eq!(Digest::from_bytes(proof.sha256), manifest.content_sha256);
    assert_eq!(proof.meaning.revision, manifest.content.revision);
    let (dir, name) = (path.parent().unwrap(), path.file_name().unwrap());
    let name = BackupName::parse(name.to_str().unwrap()).unwrap();
    assert_eq!(Manifest::read(dir, &name).unwrap().as_ref(), Some(manifest));
    for file in [path.to_owned(), dir.join(name.manifest())] {
        assert_eq!(fs::metadata(file).unwrap().mode() & 0o7777, 0o600);
    }
}

fn codes(taken: &Taken) -> Vec<&'static str> {
    taken.warnings.iter().map(|warning| warning.code).collect()
}

#[tokio::test]
async fn a_backup_says_what_etcds_own_tools_say() {
    let etcd = Etcd::start(3, &[]);
    etcd.ready().await;
    fill(&etcd, 20, 100).await;
    let (dir, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut wanted = wanted(dir.path(), etcd.urls());
    wanted.copy_to = Some(second.path().to_owned());
    wanted.companions = vec![dir.path().join("missing")];
    let taken = take(&etcd.client(), wanted).await.unwrap();
    assert_eq!(codes(&taken), Vec::<&str>::new());
    is_good(&taken.path, &taken.manifest);
    is_good(taken.copy.as_ref().unwrap(), &taken.manifest);

    let manifest = &taken.manifest;
    let status = etcd.etcdctl(&["snapshot", "status", taken.path.to_str().unwrap()]);
    let content = &manifest.content;
    let told = format!(
        "{}, {}, {}, ",
        content.status_hash, content.revision, content.total_key
    );
    assert!(status.starts_with(&told), "{told} is not {status}");
    assert_eq!(content.member_hash_kv, Some(content.hash_kv));
    assert_eq!((content.live_keys, content.kinds["pods"]), (20, 20));
    assert_eq!(manifest.cluster.members.len(), 3);
    assert!(manifest.companions[0].missing.is_some());

    // Not the leader was asked, for all had come equally far.
    let client = etcd.client();
    let status = client.status(&manifest.cluster.endpoint).await.unwrap();
    assert_eq!(status.member, manifest.cluster.source);
    assert_ne!(status.leader, Some(status.member));

    for dir in [dir.path(), second.path()] {
        let recorded = recorded_revision(dir).unwrap().unwrap();
        assert_eq!(
            recorded.of(status.cluster).unwrap().revision,
            content.revision
        );
        let name = &manifest.file;
        assert_eq!(
            files(dir),
            [name.clone(), format!("{name}.json"), "revision.json".into()]
        );
    }
}

#[tokio::test]
async fn without_tls_it_is_the_same() {
    let etcd = Etcd::plain(1);
    etcd.ready().await;
    fill(&etcd, 3, 10).await;
    let dir = tempfile::tempdir().unwrap();
    let first = take(&etcd.client(), wanted(dir.path(), etcd.urls()))
        .await
        .unwrap();
    is_good(&first.path, &first.manifest);
    assert!(first.changes.is_none());
    fill(&etcd, 5, 10).await;
    // A member that does not answer is told, and no more than that.
    let [port, _] = free_ports();
    let silent = EtcdUrl::new(format!("http://127.0.0.1:{port}")).unwrap();
    let both = [silent, etcd.url(0).clone()];
    let second = take(&etcd.client(), wanted(dir.path(), &both))
        .await
        .unwrap();
    assert_eq!(codes(&second), ["member-unfit"]);
    let changes = second.changes.unwrap();
    assert_eq!(
        (changes.live_keys, changes.suspicious),
        ((3, 5), Vec::new())
    );
    assert_ne!(first.path, second.path);
}

/// Two of three break off or fall silent in the middle; the third one gives the backup.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_breaks_or_stalls_is_begun_anew_with_another_member() {
    let etcd = Etcd::start(3, &[]);
    etcd.ready().await;
    fill(&etcd, 4, 1 << 20).await;
    let client = etcd.client();
    let leader = client.status(etcd.url(0)).await.unwrap().leader;
    let mut faults = vec![Fault::Cut, Fault::Stall];
    let mut endpoints = Vec::new();
    let mut direct = None;
    for url in etcd.urls() {
        let member = client.status(url).await.unwrap().member;
        endpoints.push(if Some(member) == leader {
            direct = Some(url.clone());
            url.clone()
        } else {
            proxy::before(url, 1 << 20, faults.pop().unwrap()).await
        });
    }
    let dir = tempfile::tempdir().unwrap();
    let mut wanted = wanted(dir.path(), &endpoints);
    wanted.idle = Duration::from_secs(1);
    let taken = take(&client, wanted).await.unwrap();
    is_good(&taken.path, &taken.manifest);
    assert_eq!(codes(&taken), ["backup-retried", "backup-retried"]);
    assert_eq!(Some(taken.manifest.cluster.endpoint), direct);
    let said: String = taken.warnings.iter().map(|w| w.text.clone()).collect();
    assert!(said.contains("snapshot-stalled"), "{said}");
    assert_eq!(files(dir.path()).len(), 3, "{:?}", files(dir.path()));
}

/// Nobody else is there: no backup, nothing left behind, and the revision is on record.
#[tokio::test(flavor = "multi_thread")]
async fn the_last_members_fault_is_told() {
    let etcd = Etcd::start(1, &[]);
    etcd.ready().await;
    fill(&etcd, 4, 1 << 20).await;
    let revision = etcd.client().status(etcd.url(0)).await.unwrap().revision;
    for (fault, code) in [
        (Fault::Stall, "snapshot-stalled"),
        (Fault::Cut, "etcd-unavailable"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let endpoint = proxy::before(etcd.url(0), 1 << 20, fault).await;
        let mut wanted = wanted(dir.path(), &[endpoint]);
        wanted.idle = Duration::from_secs(1);
        let error = take(&etcd.client(), wanted).await.unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert_eq!(files(dir.path()), ["revision.json"]);
        let recorded = recorded_revision(dir.path()).unwrap().unwrap();
        assert_eq!(recorded.highest().unwrap().revision, revision);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_dies_in_the_middle_is_replaced_by_another() {
    let etcd = Etcd::start(3, &[]);
    etcd.ready().await;
    fill(&etcd, BIG, 1 << 20).await;
    let dir = tempfile::tempdir().unwrap();
    let processes: Vec<_> = (0..3)
        .map(|n| (etcd.url(n).clone(), etcd.process(n)))
        .collect();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&asked);
    let watch: Watcher = Arc::new(move |event| {
        let mut asked = noted.lock().unwrap();
        match event {
            Event::Asked(url) => asked.push(url),
            Event::Received { .. } if asked.len() == 1 => {
                let (_, process) = processes.iter().find(|(url, _)| *url == asked[0]).unwrap();
                kill(*process);
            }
            _ => {}
        }
    });
    let session = open(&wanted(dir.path(), etcd.urls())).unwrap();
    let taken = session.take(&etcd.client(), &watch).await.unwrap();
    is_good(&taken.path, &taken.manifest);
    assert_eq!(codes(&taken), ["backup-retried"]);
    let asked = asked.lock().unwrap();
    assert_eq!(asked.len(), 2, "{asked:?}");
    assert_eq!(taken.manifest.cluster.endpoint, asked[1]);
}

fn kill(process: u32) {
    let pid = rustix::process::Pid::from_raw(process.cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).ok();
}

#[tokio::test]
async fn strangers_get_no_backup() {
    let etcd = Etcd::start(1, &[]);
    etcd.ready().await;
    for tls in [etcd.tls("ca", "intruder"), etcd.tls("stranger", "client")] {
        let dir = tempfile::tempdir().unwrap();
        let client = GrpcClient::new(tls, Timeouts::default(), None);
        let error = take(&client, wanted(dir.path(), etcd.urls()))
            .await
            .unwrap_err();
        assert_eq!(error.code(), "backup-no-member");
        // A server that turns a client down may be gone before its alert is read.
        let said = error.to_string();
        let refused = ["[etcd-tls]", "[etcd-hangs-up]"];
        assert!(refused.iter().any(|code| said.contains(code)), "{said}");
        assert_eq!(files(dir.path()), Vec::<String>::new());
    }
}

#[tokio::test]
async fn with_authentication_on_a_root_user_is_needed() {
    let etcd = Etcd::start(1, &[]);
    etcd.ready().await;
    fill(&etcd, 2, 10).await;
    etcd.etcdctl(&["user", "add", "root:secret"]);
    etcd.etcdctl(&["user", "grant-role", "root", "root"]);
    etcd.etcdctl(&["auth", "enable"]);
    let dir = tempfile::tempdir().unwrap();
    let error = take(&etcd.client(), wanted(dir.path(), etcd.urls()))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("etcd-auth"), "{error}");
    let login = |password: &str| Login {
        user: "root".into(),
        password: password.into(),
    };
    let as_root = |password| {
        let tls = etcd.tls("ca", "client");
        GrpcClient::new(tls, Timeouts::default(), Some(login(password)))
    };
    let error = take(&as_root("wrong"), wanted(dir.path(), etcd.urls()))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("etcd-auth"), "{error}");
    let taken = take(&as_root("secret"), wanted(dir.path(), etcd.urls()))
        .await
        .unwrap();
    assert!(taken.manifest.content.auth_enabled);
    is_good(&taken.path, &taken.manifest);
}

#[tokio::test]
async fn a_full_store_is_backed_up_all_the_same() {
    let etcd = Etcd::start(1, &["--quota-backend-bytes", "65536"]);
    etcd.ready().await;
    let client = etcd.client();
    let big = ClientEffect::PutCanary {
        url: etcd.url(0).clone(),
        key: "/registry/k".into(),
        // In small steps: the one that no longer fits leaves little room.
        value: "v".repeat(8_000),
    };
    while client.alarms(etcd.url(0)).await.unwrap().is_empty() {
        client.perform(&permit(), &big).await.ok();
    }
    let dir = tempfile::tempdir().unwrap();
    let mut wanted = wanted(dir.path(), etcd.urls());
    wanted.quota_bytes = Some(65536);
    let taken = take(&client, wanted).await.unwrap();
    assert_eq!(codes(&taken), ["quota-near", "alarm-raised"]);
    let member = taken.manifest.cluster.source;
    let told = format!("NOSPACE on member {member}");
    let alarms = client.alarms(etcd.url(0)).await.unwrap();
    assert_eq!(alarms, std::slice::from_ref(&told));
    assert_eq!(taken.manifest.content.alarms, alarms);
    assert!(taken.warnings[1].text.starts_with(&told));
}

#[tokio::test]
async fn nothing_is_overwritten_and_one_works_at_a_time() {
    let etcd = Etcd::start(1, &[]);
    etcd.ready().await;
    fill(&etcd, 2, 10).await;
    let dir = tempfile::tempdir().unwrap();
    let wanted = wanted(dir.path(), etcd.urls());
    let stem = wanted.now.strftime("etcd-test-%Y%m%dT%H%M%SZ").to_string();
    let foreign = [format!("{stem}.db"), format!("{stem}-2.db.json")];
    for name in &foreign {
        fs::write(dir.path().join(name), "foreign").unwrap();
    }
    let session = open(&wanted).unwrap();
    let error = Session::open(wanted).unwrap_err();
    assert_eq!(error.code(), "backup-locked");
    assert!(error.to_string().contains("process 7"), "{error}");
    let taken = session.take(&etcd.client(), &quiet()).await.unwrap();
    assert_eq!(taken.manifest.file, format!("{stem}-3.db"));
    assert_eq!(
        codes(&taken),
        ["backup-record-refused"],
        "the foreign manifest is told"
    );
    for name in &foreign {
        assert_eq!(
            fs::read_to_string(dir.path().join(name)).unwrap(),
            "foreign"
        );
    }
}

/// The disaster itself, hour after hour, with the strictest retention: what was good stays.
#[tokio::test]
async fn a_store_that_was_emptied_pushes_no_good_backup_out() {
    let etcd = Etcd::start(1, &[]);
    etcd.ready().await;
    fill(&etcd, 12, 10).await;
    let dir = tempfile::tempdir().unwrap();
    let policy = Policy {
        last: 1,
        ..Policy::default()
    };
    let one = async |accept| {
        let mut wanted = wanted(dir.path(), etcd.urls());
        wanted.accept = accept;
        let session = open(&wanted).unwrap();
        let taken = session.take(&etcd.client(), &quiet()).await.unwrap();
        (session.retain(policy, true).unwrap(), taken)
    };
    let (_, good) = one(false).await;
    etcd.etcdctl(&["del", "--prefix", "/registry/pods/default/p00"]);
    for _ in 0..3 {
        let (retained, taken) = one(false).await;
        assert!(
            codes(&taken).contains(&"backup-suspicious"),
            "{:?}",
            codes(&taken)
        );
        assert_eq!(taken.changes.unwrap().since, good.manifest.file);
        assert!(
            retained[0]
                .lines
                .iter()
                .any(|line| line.file == good.manifest.file
                    && !line.doubtful
                    && line.fate == Fate::Last)
        );
        let label = ClusterLabel::new("test").unwrap();
        let kept = shelf(dir.path(), &label).unwrap().backups;
        assert_eq!(kept.len(), 2, "the good one, and the newest doubtful one");
        assert_eq!(kept[1].manifest, good.manifest);
    }
    // It was meant.
    let (_, accepted) = one(true).await;
    assert!(accepted.manifest.is_trusted());
    let (_, next) = one(false).await;
    assert_eq!(codes(&next), Vec::<&str>::new());
    let label = ClusterLabel::new("test").unwrap();
    let kept = shelf(dir.path(), &label).unwrap().backups;
    let trusted: Vec<_> = kept
        .into_iter()
        .map(|kept| kept.manifest)
        .filter(Manifest::is_trusted)
        .collect();
    assert_eq!(trusted, [next.manifest]);
}

/// The clock was in 2030 once: the one backup of then does not cost those taken now.
#[tokio::test]
async fn a_backup_from_a_time_to_come_does_not_cost_the_one_just_taken() {
    let etcd = Etcd::plain(1);
    etcd.ready().await;
    fill(&etcd, 2, 10).await;
    let dir = tempfile::tempdir().unwrap();
    let policy = Policy {
        last: 1,
        ..Policy::default()
    };
    let one = async |now: Option<&str>| {
        let mut wanted = wanted(dir.path(), etcd.urls());
        wanted.now = now.map_or(wanted.now, |now| now.parse().unwrap());
        let session = open(&wanted).unwrap();
        let taken = session.take(&etcd.client(), &quiet()).await.unwrap();
        session.retain(policy, true).unwrap();
        assert!(taken.path.exists());
        taken
    };
    let ahead = one(Some("2100-01-01T00:00:00Z")).await;
    assert_eq!(codes(&ahead), Vec::<&str>::new());
    let first = one(None).await;
    let second = one(None).await;
    assert_eq!(codes(&first), ["backup-clock"]);
    assert_eq!(codes(&second), ["backup-clock"]);
    assert_eq!(second.changes.unwrap().since, first.manifest.file);
    assert!(ahead.path.exists() && !first.path.exists());
}

/// The copy's directory is new; the main one knows of more than the cluster has.
#[tokio::test]
async fn a_fresh_second_directory_does_not_hide_that_the_backup_is_behind() {
    let etcd = Etcd::plain(1);
    etcd.ready().await;
    fill(&etcd, 2, 10).await;
    let (dir, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    take(&etcd.client(), wanted(dir.path(), etcd.urls()))
        .await
        .unwrap();
    let path = dir.path().join("revision.json");
    let text = fs::read_to_string(&path).unwrap();
    let further = text.replace("\"revision\": ", "\"revision\": 9");
    assert_ne!(text, further);
    fs::write(&path, further).unwrap();
    let mut wanted = wanted(dir.path(), etcd.urls());
    wanted.copy_to = Some(second.path().to_owned());
    let taken = take(&etcd.client(), wanted).await.unwrap();
    assert_eq!(codes(&taken), ["backup-behind"]);
}

/// The next member is asked; where all of them contradict their own snapshots, one is kept and doubted.
#[tokio::test(flavor = "multi_thread")]
async fn what_its_own_member_contradicts_is_taken_last_and_not_trusted() {
    let etcd = Etcd::plain(3);
    etcd.ready().await;
    fill(&etcd, 3, 10).await;
    let client = etcd.client();
    let told = client.hash_kv(etcd.url(0), 0).await.unwrap().unwrap();
    let leader = client.status(etcd.url(0)).await.unwrap().leader;
    let (mut some, mut all, mut honest) = (Vec::new(), Vec::new(), None);
    for url in etcd.urls() {
        let lies = proxy::before(url, usize::MAX, Fault::OtherHash(told.hash)).await;
        all.push(lies.clone());
        if Some(client.status(url).await.unwrap().member) == leader {
            some.push(url.clone());
            honest = Some(url.clone());
        } else {
            some.push(lies);
        }
    }
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let taken = take(&client, wanted(one.path(), &some)).await.unwrap();
    assert_eq!(codes(&taken), ["backup-retried", "backup-retried"]);
    assert!(taken.manifest.is_trusted());
    assert_eq!(Some(&taken.manifest.cluster.endpoint), honest.as_ref());
    assert_eq!(files(one.path()).len(), 3, "{:?}", files(one.path()));

    let mut wanted = wanted(other.path(), &all);
    wanted.accept = true;
    let taken = take(&client, wanted).await.unwrap();
    let warned = ["backup-retried", "backup-retried", "backup-hash-differs"];
    assert_eq!(codes(&taken), warned);
    assert!(!taken.manifest.is_trusted());
    assert_eq!(taken.manifest.content.member_hash_kv, Some(told.hash ^ 1));
    assert_eq!(files(other.path()).len(), 3, "{:?}", files(other.path()));
    is_good(&taken.path, &taken.manifest);
}

/// Ending a backup in the middle leaves nothing, also without anybody cleaning up.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_is_given_up_is_gone() {
    let etcd = Etcd::start(1, &[]);
    etcd.ready().await;
    fill(&etcd, BIG, 1 << 20).await;
    let dir = tempfile::tempdir().unwrap();
    let session = open(&wanted(dir.path(), etcd.urls())).unwrap();
    let (begun, first) = tokio::sync::oneshot::channel();
    let begun = Mutex::new(Some(begun));
    let watch: Watcher = Arc::new(move |event| {
        if matches!(event, Event::Received { .. })
            && let Some(begun) = begun.lock().unwrap().take()
        {
            begun.send(()).ok();
        }
    });
    let client = etcd.client();
    tokio::select! {
        taken = session.take(&client, &watch) => panic!("{taken:?}"),
        _ = first => {}
    }
    assert_eq!(files(dir.path()), ["revision.json"]);
}

#[test]
fn the_directory_must_be_there() {
    let dir = tempfile::tempdir().unwrap();
    let none = dir.path().join("none");
    assert_eq!(
        Session::open(wanted(&none, &[])).unwrap_err().code(),
        "backup-directory"
    );
    fs::write(&none, "").unwrap();
    assert_eq!(
        Session::open(wanted(&none, &[])).unwrap_err().code(),
        "backup-directory"
    );
    // Nothing keeps the first one locked.
    drop(open(&wanted(dir.path(), &[])).unwrap());
    assert!(open(&wanted(dir.path(), &[])).is_ok());
}

/// Storage for copies that is away is told, and does not cost the backup itself.
#[tokio::test]
async fn without_a_place_for_the_copy_there_is_a_backup() {
    let etcd = Etcd::start(1, &[]);
    etcd.ready().await;
    fill(&etcd, 3, 10).await;
    let dir = tempfile::tempdir().unwrap();
    let mut both = wanted(dir.path(), etcd.urls());
    both.copy_to = Some(dir.path().join("away"));
    let error = take(&etcd.client(), both).await.unwrap_err();
    assert_eq!(error.code(), "backup-copy");
    let there = files(dir.path());
    assert!(
        there.iter().any(|name| name.ends_with(".db.json")),
        "{there:?}"
    );
}
