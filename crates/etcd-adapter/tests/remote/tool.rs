//! etcd's programs on a node: what is rendered, and what it does on a real machine.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use etcd_adapter::tool::{RemoteTool, inner_script};
use runbook_core::digest::Digest;
use runbook_core::error::Certainty;
use runbook_core::names::{AbsPath, EtcdUrl, MemberName, ModuleName};
use runbook_core::plan::{RestoreEffect, ToolEffect};
use runbook_core::ports::{EtcdTool as _, Output};
use runbook_core::version::{EtcdVersion, RestoreTool};
use runbook_core::world::{Restored, Staged};

#[cfg(feature = "grpc")]
use crate::cluster::Etcd;
use crate::node::{LocalShell, abs, fixture, node};
use crate::permit::{permit, run_id};

/// A restore of the first of three members.
fn effect(snapshot: AbsPath, sha256: Digest, staging: AbsPath) -> RestoreEffect {
    let member = |n: u32| {
        (
            MemberName::new(format!("node{n:03}")).unwrap(),
            EtcdUrl::new(format!("https://10.141.0.{n}:2380")).unwrap(),
        )
    };
    RestoreEffect {
        node: node(),
        run: run_id(),
        module: ModuleName::new("etcd/kube-default/3.4.4").unwrap(),
        tool: RestoreTool::Etcdctl,
        snapshot,
        sha256,
        trailer: true,
        staging,
        member: member(1).0,
        peer_url: member(1).1,
        initial_cluster: (1..=3).map(member).collect(),
        token: "restore-0123456789ab".into(),
        revision_bump: None,
    }
}

/// A node with a snapshot, and the restore of it into a fresh place.
pub(crate) struct Bench {
    pub(crate) shell: Arc<LocalShell>,
    pub(crate) tool: RemoteTool<LocalShell>,
    pub(crate) effect: RestoreEffect,
}

impl Bench {
    pub(crate) fn new(snapshot: &str) -> Self {
        let shell = Arc::new(LocalShell::new());
        let (path, sha256) = fixture(snapshot);
        let copy = shell.home().join("snapshot.db");
        std::fs::copy(path, &copy).unwrap();
        let staging = shell.home().join("etcd.0123456789ab");
        Self {
            tool: RemoteTool::new(shell.clone()),
            effect: effect(abs(&copy), sha256, abs(&staging)),
            shell,
        }
    }

    /// Takes a copy out of the data directory of a member that has died, in place of the snapshot.
    #[cfg(feature = "grpc")]
    pub(crate) async fn without_trailer(&mut self) {
        let mut etcd = Etcd::start(1, &[]);
        etcd.ready().await;
        for n in 0..20 {
            etcd.etcdctl(&["put", &format!("/registry/pods/{n}"), "a pod"]);
        }
        etcd.kill_last();
        let db = etcd.data_dir(0).join("member/snap/db");
        std::fs::copy(db, self.effect.snapshot.as_str()).unwrap();
        let proof = self.tool.prove(&self.effect.snapshot, None).await.unwrap();
        assert!(!proof.trailer);
        // The last writes are in the log only, which is not copied.
        assert!(proof.content.registry_keys > 0);
        (self.effect.trailer, self.effect.sha256) = (false, proof.sha256);
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        Path::new(self.effect.staging.as_str()).join(below)
    }

    pub(crate) async fn perform(&self) {
        let effect = ToolEffect::Restore(Box::new(self.effect.clone()));
        self.tool.perform(&permit(), &effect).await.unwrap();
    }

    async fn staged(&self) -> Staged {
        self.tool
            .staged(&node(), &self.effect.staging, run_id())
            .await
            .unwrap()
    }

    /// Runs the inner script as the unit would, with a line before it.
    pub(crate) fn script(&self, before: &str) -> Output {
        let script = format!("{before}{}", inner_script(&self.effect).unwrap());
        self.shell.run(&["bash", "-lc", &script].map(String::from))
    }

    pub(crate) async fn complete(&self) -> Digest {
        self.restored().await.db
    }

    async fn restored(&self) -> Restored {
        match self.staged().await {
            Staged::Complete(made) => {
                let data = self.effect.staging.join("data");
                let db = self.tool.db_digest(&node(), &data).await.unwrap();
                assert_eq!(db, Some(made.db));
                made
            }
            other => panic!("{other:?}"),
        }
    }
}

fn seed_effect() -> RestoreEffect {
    let path = |text| AbsPath::new(text).unwrap();
    effect(
        path("/cm/shared/backup/etcd/etcd-node001-20220321135652"),
        Digest::of(b"a store"),
        path("/var/lib/etcd.0123456789ab"),
    )
}

#[test]
fn the_restore_reads_as_an_operator_would_type_it() {
    let script = inner_script(&seed_effect()).unwrap();
    let head = script.split_once("\nfail()").unwrap().0;
    assert_eq!(
        head,
        r#"module=etcd/kube-default/3.4.4
snapshot=/cm/shared/backup/etcd/etcd-node001-20220321135652
sha256=4c13717a6f604fd426e2dd61a8bbadf26662ff2d7c0d5da4c8d77f59a39c282e
trailer=yes
staging=/var/lib/etcd.0123456789ab
export ETCDCTL_API=3
restore=(
  etcdctl snapshot restore "$snapshot"
  --name node001
  --initial-cluster node001=https://10.141.0.1:2380,node002=https://10.141.0.2:2380,node003=https://10.141.0.3:2380
  --initial-cluster-token restore-0123456789ab
  --initial-advertise-peer-urls https://10.141.0.1:2380
  --data-dir "$staging/data"
)"#
    );
}

#[test]
fn newer_releases_have_their_own_tool_and_bump_the_revision() {
    let effect = RestoreEffect {
        tool: RestoreTool::Etcdutl,
        module: ModuleName::new("etcd/kube-default/3.5.16").unwrap(),
        revision_bump: Some(1_000_000_000),
        ..seed_effect()
    };
    let script = inner_script(&effect).unwrap();
    assert!(script.contains(
        r#"
restore=(
  etcdutl snapshot restore "$snapshot"
  --name node001
  --initial-cluster node001=https://10.141.0.1:2380,node002=https://10.141.0.2:2380,node003=https://10.141.0.3:2380
  --initial-cluster-token restore-0123456789ab
  --initial-advertise-peer-urls https://10.141.0.1:2380
  --bump-revision 1000000000 --mark-compacted
  --data-dir "$staging/data"
)
"#
    ));
}

#[test]
fn nothing_ever_skips_the_hash_check() {
    for revision_bump in [None, Some(1)] {
        let effect = RestoreEffect {
            revision_bump,
            ..seed_effect()
        };
        assert!(!inner_script(&effect).unwrap().contains("skip"));
    }
}

#[test]
fn a_hostile_token_is_one_word() {
    let token = "x'; touch /tmp/owned; `id` $(id) \"\n--skip-hash-check";
    let effect = RestoreEffect {
        token: token.into(),
        ..seed_effect()
    };
    let script = inner_script(&effect).unwrap();
    let line = script.split_once("restore=(").unwrap().1;
    let line = line.split_once("\n)\n").unwrap().0;
    let words = shlex::split(line).unwrap();
    let at = words.iter().position(|w| w == "--initial-cluster-token");
    assert_eq!(words[at.unwrap() + 1], token);
    let nul = RestoreEffect {
        token: "a\0b".into(),
        ..effect
    };
    assert_eq!(
        inner_script(&nul).unwrap_err().code,
        "restore-not-renderable"
    );
}

#[test]
fn a_staging_directory_of_another_run_is_refused() {
    for path in ["/var/lib/etcd", "/0123456789ab/etcd", "/var/lib/etcd.0123"] {
        let effect = RestoreEffect {
            staging: AbsPath::new(path).unwrap(),
            ..seed_effect()
        };
        let error = inner_script(&effect).unwrap_err();
        assert_eq!(error.code, "restore-not-renderable", "{path}");
    }
}

#[test]
fn what_is_rendered_is_one_command_on_the_node() {
    let tool = RemoteTool::new(Arc::new(LocalShell::new()));
    let effect = ToolEffect::Restore(Box::new(seed_effect()));
    let commands = tool.render(&effect).unwrap();
    let [command] = commands.as_slice() else {
        panic!("{commands:?}")
    };
    assert_eq!(&command.argv[..2], ["bash", "-c"]);
    assert!(command.argv[2].contains("systemd-run --unit=\"$unit\""));
    assert_eq!(
        &command.argv[3..6],
        [
            "restore-runbook",
            "restore-runbook-01936f6e-0000-7000-8000-0123456789ab.service",
            "/var/lib/etcd.0123456789ab"
        ]
    );
    assert_eq!(command.argv[6], inner_script(&seed_effect()).unwrap());
    assert_eq!(shlex::split(&command.shell()).unwrap(), command.argv);
    // Quoted once more by the plan, it still reads as it is.
    assert!(command.shell().contains(&command.argv[2]));
    assert!(command.shell().contains(&command.argv[6]));
}

#[tokio::test]
async fn a_snapshot_is_restored_once() {
    let bench = Bench::new("snap-3.4.23.db");
    assert_eq!(bench.staged().await, Staged::Nothing);
    bench.perform().await;
    let digest = bench.complete().await;
    let mark = std::fs::read_to_string(bench.path("complete")).unwrap();
    let (db, content) = mark.split_once('\n').unwrap();
    assert_eq!(db, digest.hex());
    for part in [
        "wal/0000000000000000-0000000000000000.wal",
        "snap/0000000000000001-0000000000000003.snap",
    ] {
        assert!(bench.path("data/member").join(part).exists(), "{part}");
    }

    // Once complete, neither the command nor the script touches it again.
    std::fs::write(bench.path("data/witness"), "").unwrap();
    bench.perform().await;
    assert_eq!(bench.shell.calls().matches("systemd-run").count(), 1);
    assert_eq!(bench.script("").status, 0);
    assert!(bench.path("data/witness").exists());

    std::fs::rename(bench.path("data"), bench.shell.home().join("spool")).unwrap();
    let taken = Staged::Taken(Restored {
        db: digest,
        content: content.trim().to_owned(),
    });
    assert_eq!(bench.staged().await, taken);
    bench.perform().await;
    assert_eq!(bench.script("").status, 0);
    assert_eq!(bench.staged().await, taken);
}

#[tokio::test]
async fn the_three_members_get_the_same_database() {
    let mut contents = Vec::new();
    for n in 0..3 {
        let mut bench = Bench::new("snap-3.4.23.db");
        (bench.effect.member, bench.effect.peer_url) = bench.effect.initial_cluster[n].clone();
        bench.perform().await;
        contents.push(bench.restored().await.content);
    }
    contents.dedup();
    assert_eq!(contents.len(), 1);
}

/// etcd commits ten times a second while it restores: a slow node gives another file of the same content.
#[tokio::test]
async fn another_layout_of_the_same_store_is_the_same_content() {
    let quick = Bench::new("snap-3.4.23.db");
    quick.perform().await;
    let slow = Bench::new("snap-3.4.23.db");
    // Slowness cannot be timed: the file is written anew instead.
    let anew = r#"#!/bin/bash
/usr/bin/etcdctl "$@" || exit
case $2 in restore) exec /usr/bin/etcdctl defrag --data-dir "${@: -1}" ;; esac
"#;
    slow.shell.program("etcdctl", anew);
    slow.perform().await;
    let (quick, slow) = (quick.restored().await, slow.restored().await);
    assert_ne!(quick.db, slow.db);
    assert_eq!(quick.content, slow.content);
}

#[tokio::test]
async fn a_running_restore_is_found_and_not_started_twice() {
    let bench = Bench::new("snap-3.4.23.db");
    for state in ["active", "activating", "deactivating"] {
        std::fs::write(bench.shell.home().join("unit"), state).unwrap();
        assert_eq!(bench.staged().await, Staged::Running, "{state}");
        bench.perform().await;
        assert!(!bench.shell.calls().contains("systemd-run"), "{state}");
    }
    std::fs::write(bench.shell.home().join("unit"), "maintenance").unwrap();
    let effect = ToolEffect::Restore(Box::new(bench.effect.clone()));
    let error = bench.tool.perform(&permit(), &effect).await.unwrap_err();
    assert_eq!(error.code, "restore-not-started");
    assert!(error.what.contains("maintenance"), "{error}");
}

#[tokio::test]
async fn another_snapshot_than_the_proven_one_is_refused() {
    let mut bench = Bench::new("snap-3.4.23.db");
    let right = bench.effect.sha256;
    bench.effect.sha256 = Digest::of(b"another");
    bench.perform().await;
    let Staged::Failed(said) = bench.staged().await else {
        panic!()
    };
    assert!(said.contains("is not the one with"), "{said}");
    assert!(!bench.path("data").exists());

    // A failed unit does not stand in the way of the next attempt.
    bench.effect.sha256 = right;
    bench.perform().await;
    bench.complete().await;
    assert!(bench.shell.calls().contains("reset-failed"));
}

#[tokio::test]
async fn a_damaged_snapshot_fails_and_never_counts() {
    let bench = Bench::new("snap-3.4.23.db");
    let mut bytes = std::fs::read(bench.effect.snapshot.as_str()).unwrap();
    bytes[9_000] ^= 1;
    std::fs::write(bench.effect.snapshot.as_str(), bytes).unwrap();
    bench.perform().await;
    let Staged::Failed(said) = bench.staged().await else {
        panic!()
    };
    assert!(said.starts_with("exit-code: "), "{said}");
    assert!(said.contains("expected sha256"), "{said}");
    assert!(!bench.path("complete").exists());
    // After a boot systemd has forgotten the unit; the half tree is still told from a whole one.
    std::fs::remove_file(bench.shell.home().join("unit")).unwrap();
    assert!(bench.path("data/member/snap/db").exists());
    assert_eq!(bench.staged().await, Staged::Partial);
}

#[tokio::test]
async fn a_snapshot_replaced_under_the_tool_is_noticed() {
    let bench = Bench::new("snap-3.4.23.db");
    bench.shell.program(
        "etcdctl",
        "#!/bin/sh\n/usr/bin/etcdctl \"$@\" && echo more >>\"$HOME/snapshot.db\"\n",
    );
    bench.perform().await;
    let Staged::Failed(said) = bench.staged().await else {
        panic!()
    };
    assert!(said.contains("was replaced while"), "{said}");
    assert!(!bench.path("complete").exists());
}

#[tokio::test]
async fn a_tool_that_lies_about_success_is_caught() {
    let bench = Bench::new("snap-3.4.23.db");
    bench.shell.program(
        "etcdctl",
        "#!/bin/sh\n/usr/bin/etcdctl \"$@\"; rm \"$HOME\"/etcd.*/data/member/wal/*\n",
    );
    bench.perform().await;
    let Staged::Failed(said) = bench.staged().await else {
        panic!()
    };
    assert!(said.contains(".wal is missing or empty"), "{said}");
}

#[tokio::test]
async fn a_symbolic_link_in_the_place_of_staging_is_left_alone() {
    let bench = Bench::new("snap-3.4.23.db");
    let elsewhere = bench.shell.home().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    std::fs::write(elsewhere.join("precious"), "").unwrap();
    // Somebody else's restore, complete: it is not taken for this one's.
    std::fs::create_dir(elsewhere.join("data")).unwrap();
    std::fs::write(elsewhere.join("complete"), "0".repeat(64)).unwrap();
    std::fs::write(elsewhere.join("log"), "not ours").unwrap();
    std::os::unix::fs::symlink(&elsewhere, bench.effect.staging.as_str()).unwrap();
    bench.perform().await;
    let Staged::Failed(said) = bench.staged().await else {
        panic!()
    };
    assert!(said.contains("is a symbolic link"), "{said}");
    assert!(!said.contains("not ours"), "{said}");
    assert!(elsewhere.join("precious").exists());
}

#[tokio::test]
async fn a_module_that_loads_nothing_stops_the_restore() {
    for (module, says) in [
        ("etcd/silent", "has loaded nothing"),
        ("nope/1", "has failed"),
    ] {
        let mut bench = Bench::new("snap-3.4.23.db");
        bench.effect.module = ModuleName::new(module).unwrap();
        bench.perform().await;
        let Staged::Failed(said) = bench.staged().await else {
            panic!()
        };
        assert!(said.contains(says), "{said}");
        assert!(!bench.path("").exists());
    }
}

/// Kills the script before each of its commands in turn, as a power cut would, and runs it again.
#[tokio::test]
async fn a_crash_anywhere_is_made_good_by_running_it_again() {
    let bench = Bench::new("snap-3.4.23.db");
    assert_eq!(bench.script("").status, 0);
    let whole = bench.complete().await;
    let mut crashes = 0;
    loop {
        std::fs::remove_dir_all(bench.effect.staging.as_str()).unwrap();
        let trap = format!(
            "set -o functrace; n=0; trap 'n=$((n+1)); if test $n -gt {crashes}; then kill -9 $$; fi' DEBUG\n"
        );
        let killed = bench.script(&trap).status != 0;
        match bench.staged().await {
            Staged::Nothing | Staged::Partial => assert!(killed),
            // Killed between the mark of completion and the end.
            Staged::Complete(made) => assert_eq!(made.db, whole),
            other => panic!("{other:?} after {crashes} commands"),
        }
        assert_eq!(bench.script("").status, 0, "after {crashes} commands");
        assert_eq!(bench.complete().await, whole);
        if !killed {
            break;
        }
        crashes += 1;
    }
    assert!(crashes > 30, "the trap has fired only {crashes} times");
}

#[tokio::test]
async fn versions_come_from_the_module() {
    let shell = Arc::new(LocalShell::new());
    shell.program("etcd", "#!/bin/sh\nprintf 'etcd Version: 3.4.23\\nGit SHA: Not provided (use ./build instead of go build)\\nGo Version: go1.19.8\\nGo OS/Arch: linux/amd64\\n'\n");
    shell.program(
        "etcdctl",
        "#!/bin/sh\nprintf 'etcdctl version: 3.4.23\\nAPI version: 3.4\\n'\n",
    );
    let tool = RemoteTool::new(shell.clone());
    let module = |name: &str| Some(ModuleName::new(name).unwrap());
    // The default version of a module is reported by its full name.
    let seen = tool
        .tools(&node(), module("etcd/kube-default"))
        .await
        .unwrap();
    assert_eq!(seen.module.as_str(), "etcd/kube-default/3.4.4");
    assert_eq!(seen.etcd, EtcdVersion::new(3, 4, 23));
    assert_eq!(seen.etcdctl, Some(EtcdVersion::new(3, 4, 23)));

    shell.program(
        "etcdutl",
        "#!/bin/sh\nprintf 'etcdutl version: 3.5.16\\nAPI version: 3.5\\n'\n",
    );
    let seen = tool.tools(&node(), module("etcd/kube-default/3.4.4")).await;
    assert_eq!(seen.unwrap().etcdutl, Some(EtcdVersion::new(3, 5, 16)));

    let error = tool
        .tools(&node(), module("etcd/silent"))
        .await
        .unwrap_err();
    assert_eq!(error.code, "module-not-loaded");
    // A node about to be wiped may lack it: a fact, not a trouble with the connection.
    let error = tool.tools(&node(), module("nope/1")).await.unwrap_err();
    assert_eq!(
        (error.code, error.certainty),
        ("module-missing", Certainty::Refused)
    );
    assert!(
        error.what.contains("module load nope/1 has failed"),
        "{error}"
    );
}

#[tokio::test]
async fn the_real_programs_of_this_machine_are_understood() {
    let tool = RemoteTool::new(Arc::new(LocalShell::new()));
    let module = ModuleName::new("etcd/kube-default/3.4.4").unwrap();
    let seen = tool.tools(&node(), Some(module)).await.unwrap();
    assert_eq!(seen.etcdctl, Some(seen.etcd));
}

#[tokio::test]
async fn the_only_module_is_found() {
    let shell = Arc::new(LocalShell::new());
    let tool = RemoteTool::new(shell.clone());
    let avail = |text: &str| std::fs::write(shell.home().join("avail"), text).unwrap();
    avail(
        "/cm/local/modulefiles:\n/cm/shared/modulefiles:\netcd/kube-default/3.4.4(default)\netcdtools/1\n",
    );
    let seen = tool.tools(&node(), None).await.unwrap();
    assert_eq!(seen.module.as_str(), "etcd/kube-default/3.4.4");

    avail("/cm/local/modulefiles:\netcd/\netcd/a/3.4.4\netcd/b/3.5.16\netcd/newest(@)\n");
    let error = tool.tools(&node(), None).await.unwrap_err();
    assert_eq!(error.code, "module-ambiguous");
    assert!(
        error.what.ends_with("etcd/a/3.4.4, etcd/b/3.5.16"),
        "{error}"
    );

    avail("");
    let error = tool.tools(&node(), None).await.unwrap_err();
    assert_eq!(error.code, "module-missing");
    assert!(error.hint.is_some());
}

#[tokio::test]
async fn there_is_no_digest_without_a_database() {
    let tool = RemoteTool::new(Arc::new(LocalShell::new()));
    let path = AbsPath::new("/nonexistent").unwrap();
    assert_eq!(tool.db_digest(&node(), &path).await.unwrap(), None);
}

#[tokio::test]
async fn a_snapshot_is_proven_before_anything_else() {
    let bench = Bench::new("snap-3.4.23.db");
    let proof = bench
        .tool
        .prove(&bench.effect.snapshot, None)
        .await
        .unwrap();
    assert_eq!(proof.sha256, bench.effect.sha256);
    assert_eq!(proof.path, bench.effect.snapshot);
    assert_eq!(proof.content.cluster_version.as_deref(), Some("3.4.0"));
    let modified = std::fs::metadata(bench.effect.snapshot.as_str()).and_then(|m| m.modified());
    let seconds = modified.unwrap().duration_since(std::time::UNIX_EPOCH);
    let seconds = seconds.unwrap().as_secs().cast_signed();
    assert_eq!(
        proof.modified.map(jiff::Timestamp::as_second),
        Some(seconds)
    );

    let file = bench.effect.snapshot.as_str();
    let whole = std::fs::read(file).unwrap();
    let mut flipped = whole.clone();
    flipped[9_000] ^= 1;
    for (bytes, code) in [
        (&whole[..whole.len() - 4096], "snapshot-truncated"),
        (&flipped, "snapshot-bytes-damaged"),
        (b"#!/bin/sh", "snapshot-not-one"),
        (b"", "snapshot-empty"),
    ] {
        std::fs::write(file, bytes).unwrap();
        let error = bench
            .tool
            .prove(&bench.effect.snapshot, None)
            .await
            .unwrap_err();
        assert_eq!(error.code, code, "{}", error.chain());
        assert!(error.hint.is_some());
    }
    let absent = AbsPath::new("/nonexistent/snapshot.db").unwrap();
    let error = bench.tool.prove(&absent, None).await.unwrap_err();
    assert_eq!(error.code, "snapshot-io");
}

/// Without a trailer the whole file is summed on the node: what changed since the proof is no restore.
#[cfg(feature = "grpc")]
#[tokio::test]
async fn a_copy_that_changed_since_its_proof_is_not_restored() {
    let mut bench = Bench::new("snap-3.4.23.db");
    bench.without_trailer().await;
    let command = inner_script(&bench.effect).unwrap();
    assert!(command.contains("--skip-hash-check"));
    let file = bench.effect.snapshot.as_str();
    let mut bytes = std::fs::read(file).unwrap();
    bytes[9_000] ^= 1;
    std::fs::write(file, bytes).unwrap();
    bench.perform().await;
    let Staged::Failed(said) = bench.staged().await else {
        panic!("it must fail")
    };
    assert!(said.contains("is not the one with"), "{said}");
    assert!(!bench.path("data").exists());
}
