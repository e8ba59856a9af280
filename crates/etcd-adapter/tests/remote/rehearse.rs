//! The rehearsal, with real etcd: what it finds, what it refuses, and that it leaves nothing.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use etcd_adapter::rehearse::{
    Rehearsal, RehearseError, Report, Settings, Source, Stage, Wanted, Watcher,
};
use etcd_adapter::snapshot::Emptiness;
use runbook_core::digest::Digest;
use runbook_core::spec::RevisionBump;
use runbook_core::version::EtcdVersion;
use tempfile::TempDir;

/// A folder for scratch directories, and programs of its own where a test brings some.
struct Theatre {
    dir: TempDir,
    settings: Settings,
}

impl Theatre {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("scratch")).unwrap();
        let settings = Settings {
            sources: vec![Source::Directories(vec!["/usr/bin".into()])],
            wanted: Wanted::LikeSnapshot,
            revision_bump: RevisionBump::Auto,
            scratch: vec![dir.path().join("scratch")],
            launcher: ["setpriv", "--pdeathsig", "KILL", "--"]
                .map(Into::into)
                .into(),
            sha256: None,
            without_trailer: false,
            restore_deadline: Duration::from_secs(300),
            start_deadline: Duration::from_secs(300),
        };
        Self { dir, settings }
    }

    /// Puts a program of the test's own before etcd's; it says the right version.
    fn with_fake(mut self, name: &str, script: &str) -> Self {
        let bin = self.dir.path().join("bin");
        fs::create_dir(&bin).unwrap();
        for program in ["etcd", "etcdctl"] {
            let path = bin.join(program);
            if program == name {
                let script = format!(
                    "#!/bin/bash\ncase $1 in *version) exec /usr/bin/{name} \"$1\";; esac\n{script}\n"
                );
                fs::write(&path, script).unwrap();
                fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            } else {
                std::os::unix::fs::symlink(Path::new("/usr/bin").join(program), path).unwrap();
            }
        }
        self.settings.sources = vec![Source::Directories(vec![bin])];
        self
    }

    async fn prepare(&self, snapshot: &Path) -> Result<Rehearsal, RehearseError> {
        self.prepare_told(snapshot, Arc::new(|_| ())).await
    }

    async fn prepare_told(
        &self,
        snapshot: &Path,
        told: Watcher,
    ) -> Result<Rehearsal, RehearseError> {
        Ok(Rehearsal::prepare(self.settings.clone(), snapshot, told).await?)
    }

    async fn rehearse(&self, snapshot: &str) -> Result<Report, RehearseError> {
        self.prepare(&fixture(snapshot)).await?.run().await
    }

    /// No directory, no process with the folder on its command line.
    fn nothing_is_left(&self) {
        let scratch = &self.settings.scratch[0];
        let left: Vec<_> = fs::read_dir(scratch).unwrap().flatten().collect();
        assert!(left.is_empty(), "{left:?}");
        assert_eq!(processes_with(scratch), Vec::<PathBuf>::new());
    }
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

fn processes_with(word: &Path) -> Vec<PathBuf> {
    let word = word.as_os_str().as_bytes();
    let process = |entry: fs::DirEntry| {
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        line.windows(word.len())
            .any(|part| part == word)
            .then(|| entry.path())
    };
    fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(process)
        .collect()
}

fn failed(result: Result<Report, RehearseError>, code: &str) -> String {
    match result {
        Err(RehearseError::Failed(error)) => {
            assert_eq!(error.code, code, "{}", error.chain());
            error.chain()
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn good_snapshots_come_up_as_foretold() {
    let stage = Theatre::new();
    for name in ["snap", "compacted", "swept", "tombstone", "txn", "emptied"] {
        let report = stage.rehearse(&format!("{name}-3.4.23.db")).await.unwrap();
        assert!(report.holds(), "{name}: {report:?}");
        assert_eq!(report.compared.len(), 5, "{name}");
        assert_eq!((report.tool, report.revision_bump), ("etcdctl", None));
        assert!(report.peak_rss_bytes.unwrap() > 1 << 20);
        let empty = report.starts_empty == Some(Emptiness::NoLiveKey);
        assert_eq!(empty, ["swept", "emptied"].contains(&name), "{name}");
        stage.nothing_is_left();
    }
}

#[tokio::test]
async fn what_was_not_foretold_is_told() {
    let stage = Theatre::new();
    let mut rehearsal = stage.prepare(&fixture("snap-3.4.23.db")).await.unwrap();
    rehearsal.prediction.hash_kv.hash ^= 1;
    rehearsal.prediction.registry_keys += 1;
    let Err(RehearseError::Differs(report)) = rehearsal.run().await else {
        panic!()
    };
    let differs = |c: &&etcd_adapter::rehearse::Comparison| !c.holds();
    let what: Vec<_> = report
        .compared
        .iter()
        .filter(differs)
        .map(|c| c.what)
        .collect();
    assert_eq!(what, ["HashKV", "live keys"]);
    stage.nothing_is_left();
}

#[tokio::test]
async fn a_damaged_snapshot_is_refused_before_anything_starts() {
    let mut stage = Theatre::new();
    // Programs are not even looked for.
    stage.settings.sources.clear();
    let mut bytes = fs::read(fixture("snap-3.4.23.db")).unwrap();
    bytes[9000] ^= 1;
    let path = stage.dir.path().join("damaged.db");
    fs::write(&path, bytes).unwrap();
    let result = stage.prepare(&path).await;
    failed(result.map(|_| unreachable!()), "snapshot-bytes-damaged");
    stage.nothing_is_left();
}

/// A copy of a database, where the plan's spec allows it; and by an etcd of another release, which is told.
#[tokio::test]
async fn a_snapshot_without_a_trailer_is_rehearsed_where_it_is_allowed() {
    let mut stage = Theatre::new();
    stage.settings.wanted = Wanted::Any;
    let copy = "stopped-3.5.30.copy";
    failed(stage.rehearse(copy).await, "snapshot-no-trailer");
    stage.settings.without_trailer = true;
    stage.settings.sha256 = Some(Digest::of(&fs::read(fixture(copy)).unwrap()));
    let report = stage.rehearse(copy).await.unwrap();
    assert!(report.holds(), "{report:?}");
    assert_eq!(report.other_release, Some(EtcdVersion::new(3, 5, 0)));
    stage.nothing_is_left();
}

#[tokio::test]
async fn another_snapshot_than_the_one_promised_is_refused() {
    let mut stage = Theatre::new();
    stage.settings.sha256 = Some(Digest::of(b"another"));
    failed(
        stage.rehearse("snap-3.4.23.db").await,
        "rehearsal-other-snapshot",
    );
}

#[tokio::test]
async fn another_release_is_refused_unless_any_will_do() {
    let mut stage = Theatre::new();
    let said = failed(stage.rehearse("snap-3.5.30.db").await, "rehearsal-version");
    assert!(said.contains("3.5.0, /usr/bin has etcd 3.4.23"), "{said}");
    stage.settings.wanted = Wanted::LikeNodes(EtcdVersion::new(3, 5, 16));
    failed(stage.rehearse("snap-3.4.23.db").await, "rehearsal-version");
    // The same minor release, but it can move the revision.
    stage.settings.wanted = Wanted::LikeNodes(EtcdVersion::new(3, 4, 27));
    failed(stage.rehearse("snap-3.4.23.db").await, "rehearsal-version");
    stage.settings.wanted = Wanted::LikeNodes(EtcdVersion::new(3, 4, 20));
    let report = stage.rehearse("snap-3.4.23.db").await.unwrap();
    assert_eq!(report.other_release, Some(EtcdVersion::new(3, 4, 20)));
    stage.settings.wanted = Wanted::LikeNodes(EtcdVersion::new(3, 4, 23));
    let report = stage.rehearse("snap-3.4.23.db").await.unwrap();
    assert_eq!(report.other_release, None);
    stage.settings.revision_bump = RevisionBump::By(7);
    failed(
        stage.rehearse("snap-3.4.23.db").await,
        "revision-bump-missing",
    );
    stage.nothing_is_left();
}

#[tokio::test]
async fn no_etcd_and_no_room_are_told() {
    let mut stage = Theatre::new();
    stage.settings.sources = vec![Source::Directories(vec![stage.dir.path().to_owned()])];
    failed(stage.rehearse("snap-3.4.23.db").await, "rehearsal-no-etcd");
    // The second source has it.
    let there = Source::Directories(vec!["/nonexistent".into(), "/usr/bin".into()]);
    stage.settings.sources.push(there);
    stage.rehearse("snap-3.4.23.db").await.unwrap();
    stage.settings.scratch = vec!["/proc".into()];
    failed(stage.rehearse("snap-3.4.23.db").await, "rehearsal-room");
}

#[tokio::test]
async fn an_etcd_that_dies_is_quoted_and_cannot_steer_the_terminal() {
    let script =
        "for n in {1..2000}; do echo line $n; done; printf '\\e[2Jlast words\\n' >&2; exit 3";
    let stage = Theatre::new().with_fake("etcd", script);
    let said = failed(
        stage.rehearse("snap-3.4.23.db").await,
        "rehearsal-etcd-died",
    );
    assert!(
        said.contains("exit status: 3") && said.contains("last words"),
        "{said}"
    );
    assert!(
        said.len() < 3000 && !said.contains('\u{1b}') && !said.contains("line 9\n"),
        "{said}"
    );
    stage.nothing_is_left();
}

#[tokio::test]
async fn an_etcd_that_never_serves_is_ended() {
    let mut stage = Theatre::new().with_fake("etcd", "echo waiting; exec sleep 3600");
    stage.settings.start_deadline = Duration::from_millis(500);
    failed(
        stage.rehearse("snap-3.4.23.db").await,
        "rehearsal-etcd-silent",
    );
    stage.nothing_is_left();
}

#[tokio::test]
async fn a_restore_that_fails_or_hangs_is_told() {
    let stage = Theatre::new().with_fake("etcdctl", "echo no such luck; exit 5");
    let said = failed(stage.rehearse("snap-3.4.23.db").await, "rehearsal-restore");
    assert!(said.contains("no such luck"), "{said}");
    stage.nothing_is_left();
    let mut stage = Theatre::new().with_fake("etcdctl", "exec sleep 3600");
    stage.settings.restore_deadline = Duration::from_millis(100);
    let said = failed(stage.rehearse("snap-3.4.23.db").await, "rehearsal-restore");
    assert!(said.contains("took longer"), "{said}");
    stage.nothing_is_left();
}

/// Wherever it is dropped: what Ctrl-C does.
#[tokio::test]
async fn a_rehearsal_that_is_dropped_leaves_nothing() {
    for last in [Stage::Restoring, Stage::Starting, Stage::Comparing] {
        let stage = Theatre::new();
        let (told, mut seen) = tokio::sync::mpsc::unbounded_channel();
        let watcher: Watcher = Arc::new(move |stage| told.send(stage).unwrap());
        let snapshot = fixture("snap-3.4.23.db");
        let rehearsal = stage.prepare_told(&snapshot, watcher).await.unwrap();
        tokio::select! {
            biased;
            () = async { while seen.recv().await != Some(last) {} } => {}
            done = rehearsal.run() => panic!("{last:?}: {done:?}"),
        }
        stage.nothing_is_left();
    }
}
