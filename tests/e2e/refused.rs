//! What the tool refuses to do, and what it leaves behind when it does: nothing.

use std::fs;

use serde_json::Value;

use crate::harness::{Cluster, until};

/// Where the tool might write on the head node.
const HEAD_DIRS: &str = "/root /etc /opt /usr/local /var/lib /cm/shared";

/// A disk that is full before the first record leaves no run that looks like a lost one.
#[test]
fn a_disk_that_is_full_from_the_beginning() {
    let cluster = Cluster::of(1);
    cluster.spec(|_| false, "");
    let digest = cluster.plan();
    let plan = cluster.on_head("/root/plan.json").metadata().expect("plan");
    let run = ["run", "--plan", "/root/plan.json", "--approve", &digest];
    let state = ["--state-dir", "/root/full"];
    let shell = |script: &str| cluster.on_head_runs("bash", &["-c", script]).done();
    let mut ends = Vec::new();
    let least = plan.len().div_ceil(4096);
    for pages in (least..least + 12).step_by(2) {
        shell(&format!(
            "mkdir -p -m 0700 /root/full && mount -t tmpfs -o nr_blocks={pages},mode=0700 none /root/full"
        ));
        let first = cluster.tool(&[&run[..], &state].concat());
        ends.push(first.stderr.contains("quorum-answers"));
        shell("mount -o remount,size=10m /root/full");
        let status = cluster.tool(&[&["status"][..], &state].concat()).done();
        // It never began, is over, or goes on.
        let again = if status.stdout.contains("no open run") {
            &run[..]
        } else {
            &["resume", "--yes"]
        };
        let again = cluster.tool(&[again, &state].concat());
        again.refused("quorum-answers");
        shell("umount /root/full");
    }
    assert!(ends.contains(&true) && ends.contains(&false), "{ends:?}");
}

/// `discover`, `plan`, `plan --probe`, `status`, `doctor` and `verify` leave no trace: not with the cluster
/// manager, not on a disk.
#[test]
fn a_dry_run_leaves_no_trace() {
    let cluster = Cluster::of(3);
    // A world that stands still by itself: no etcd runs, or tries to.
    cluster.cmsh("configurationoverlay; use kube-default-etcd; removefrom nodes node001 node002 node003; commit");
    until("every etcd is stopped", || {
        let stopped = |node| {
            let state = cluster.lab.ssh(node, "systemctl is-active etcd; true");
            state.is_ok_and(|state| state.trim() == "inactive")
        };
        cluster.nodes().into_iter().all(stopped)
    });
    cluster.spec(|_| true, "");
    let list = |dirs: &str| {
        format!(
            "find {dirs} -xdev -not -path '/var/lib/systemd/*' -printf '%p %s %T@ %m %u\\n' | sort"
        )
    };
    let disks = || {
        let all = list("/var/lib /etc /opt /usr/local /root");
        let mut disks = vec![
            cluster
                .on_head_runs("bash", &["-c", &list(HEAD_DIRS)])
                .done()
                .stdout,
        ];
        disks.extend(
            cluster
                .nodes()
                .into_iter()
                .map(|n| cluster.lab.ssh(n, &all).expect("ssh")),
        );
        disks
    };
    let (before, changes) = (disks(), cluster.changes().len());
    let snapshot = cluster.snapshot.display().to_string();
    let plan = ["plan", "--spec", "/root/spec.yaml"];
    cluster.tool(&["discover", "--snapshot", &snapshot]).done();
    cluster.tool(&plan).done();
    cluster
        .tool(&[&plan[..], &["--format", "md"]].concat())
        .done();
    // Every gate holds, and there is something to do.
    let probed = cluster.tool(&[&plan[..], &["--probe"]].concat());
    assert_eq!(probed.code, Some(3), "{probed}");
    cluster.tool(&["status", "--all"]).done();
    cluster.tool(&["verify", &snapshot]).done();
    // Nobody has the role.
    let doctor = cluster.tool(&["doctor"]);
    assert_eq!(doctor.code, Some(9), "{doctor}");
    assert_eq!(cluster.changes().len(), changes, "{:?}", cluster.changes());
    for (now, before) in disks().iter().zip(&before) {
        let new = || now.lines().find(|line| !before.contains(line));
        assert!(now == before, "{:?}", new());
    }
    let sockets = cluster
        .on_head_runs("ls", &["-A", "/run/restore-runbook"])
        .done();
    assert_eq!(sockets.stdout, "");
    assert!(cluster.runs().is_empty());
}

#[test]
fn discover_writes_a_spec_that_plans() {
    let cluster = Cluster::of(3);
    cluster.lab.corrupt_all_databases().expect("disaster");
    let snapshot = cluster.snapshot.display().to_string();
    let found = cluster.tool(&["discover", "--snapshot", &snapshot]).done();
    fs::write(cluster.on_head("/root/spec.yaml"), &found.stdout).expect("spec");
    cluster.plan();
}

/// The manifest of a backup is as new as the backup, and what is newer than both may be damaged.
#[test]
fn discover_finds_the_newest_good_backup_by_itself() {
    let cluster = Cluster::of(1);
    let ran = cluster.tool(&["backup", "--format", "json"]).done();
    let report: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    let backup = report["backup"].as_str().expect("a path");
    let newer = cluster.lab.shared().join("backup/etcd/newer");
    fs::write(newer, "not a snapshot").expect("a file");
    let found = cluster.tool(&["discover"]).done();
    assert!(
        found.stdout.contains(&format!("snapshot: {backup}\n")),
        "{found}"
    );
    assert!(
        found.stderr.contains("etcd/newer cannot be restored"),
        "{found}"
    );
}

/// The snapshot is proven before anything is stopped.
#[test]
fn a_corrupted_snapshot_stops_nothing() {
    let cluster = Cluster::of(3);
    cluster.spec(|_| false, "allow: {quorum: \"a test\"}\n");
    let digest = cluster.plan();
    let file = cluster
        .lab
        .shared()
        .join("backup/etcd")
        .join(cluster.snapshot.file_name().expect("name"));
    let mut bytes = fs::read(&file).expect("snapshot");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, bytes).expect("snapshot");
    let changes = cluster.changes().len();
    cluster.run(&digest).refused("snapshot-");
    cluster
        .tool(&["plan", "--spec", "/root/spec.yaml"])
        .refused("snapshot-");
    assert_eq!(cluster.changes().len(), changes);
    cluster.lab.etcd().healthy().expect("nothing was stopped");
    cluster.everything_is_back();
}

/// While a quorum answers, members are replaced instead.
#[test]
fn a_quorum_that_answers_is_not_stopped() {
    let cluster = Cluster::of(3);
    cluster.spec(|_| false, "");
    let digest = cluster.plan();
    cluster.run(&digest).refused("quorum-answers");
    cluster.lab.etcd().healthy().expect("nothing was stopped");
    // With a reason it goes on.
    cluster.spec(
        |_| false,
        "allow: {quorum: \"the data was damaged by hand\"}\n",
    );
    cluster.restore().done();
    cluster.everything_is_back();
}

#[test]
fn a_plan_with_a_changed_byte_or_another_digest() {
    let cluster = Cluster::of(1);
    cluster.lab.corrupt_all_databases().expect("disaster");
    cluster.spec(|_| false, "");
    let digest = cluster.plan();
    let other = format!("sha256:{}", "0".repeat(64));
    cluster.run(&other).refused("approv");
    let file = cluster.on_head("/root/plan.json");
    let plan = fs::read_to_string(&file).expect("plan");
    fs::write(&file, plan.replacen("node001", "node002", 1)).expect("plan");
    assert_ne!(cluster.run(&digest).code, Some(0));
    // One more space, in a place no parser minds.
    fs::write(&file, plan.replacen(": ", ":  ", 1)).expect("plan");
    assert_ne!(cluster.run(&digest).code, Some(0));
    assert!(cluster.entries("intent").is_empty());
}

#[test]
fn a_world_that_has_drifted() {
    let cluster = Cluster::of(3);
    cluster.lab.corrupt_all_databases().expect("disaster");
    cluster.spec(|_| true, "");
    let digest = cluster.plan();
    cluster.cmsh("device; use node002; set datanode no; commit");
    let ran = cluster.run(&digest).refused("drift");
    assert!(ran.stderr.contains("datanode"), "{ran}");
    assert!(cluster.entries("intent").is_empty());
}

/// A role that also comes from the category would let `CMDaemon` start etcd in the middle.
#[test]
fn a_role_that_also_comes_from_the_category() {
    let mut config = lab::bright_config(3);
    config["categories"][0]["roles"] =
        serde_json::json!([{ "type": "Etcd::Host", "etcdcluster": "kube-default" }]);
    let manager = lab::Manager::BrightWith(config);
    let cluster = Cluster::with(lab::LabOptions {
        manager,
        ..lab::LabOptions::default()
    });
    cluster.spec(|_| true, "allow: {quorum: \"a test\"}\n");
    let ran = cluster
        .tool(&["plan", "--spec", "/root/spec.yaml"])
        .refused("role-elsewhere");
    assert!(ran.stderr.contains("category default"), "{ran}");
}

#[test]
fn a_second_operator() {
    let cluster = Cluster::of(3);
    cluster.lab.corrupt_all_databases().expect("disaster");
    cluster.spec(|_| false, "");
    let digest = cluster.plan();
    let mut life = cluster.start_run(&digest);
    until("the run begins", || !cluster.entries("intent").is_empty());
    // While it works, and while it lies open after a kill.
    let again = ["run", "--plan", "/root/plan.json", "--approve", &digest];
    cluster.tool(&again).refused("run-locked");
    cluster.tool(&["resume", "--yes"]).refused("run-locked");
    assert!(life.try_wait().expect("wait").is_none(), "it still works");
    life.kill().expect("kill");
    life.wait().expect("wait");
    cluster.tool(&again).refused("run-open");
    cluster.resume().done();
    cluster.everything_is_back();
}

#[test]
fn a_passive_head_node() {
    let mut config = lab::bright_config(1);
    config["head_role"] = "passive".into();
    let manager = lab::Manager::BrightWith(config);
    let cluster = Cluster::with(lab::LabOptions {
        nodes: 1,
        manager,
        ..lab::LabOptions::default()
    });
    cluster.spec(|_| false, "");
    cluster
        .tool(&["plan", "--spec", "/root/spec.yaml"])
        .refused("head-passive");
}

/// The watcher itself: with the interlock broken on purpose it sees the disaster.
#[test]
fn the_watcher_sees_a_broken_interlock() {
    let cluster = Cluster::of(3);
    cluster.lose_all_disks();
    cluster.spec(|_| true, "");
    let digest = cluster.plan();
    let mut life = cluster.start_run(&digest);
    until("all nodes are back and guarded", || {
        cluster
            .entries("done")
            .iter()
            .filter(|u| u.starts_with("reprovision/") && u.ends_with("/guard"))
            .count()
            == 3
    });
    life.kill().expect("kill");
    life.wait().expect("wait");
    cluster.nobody_saw_less();
    // What no part of the tool does: take the guards away, and give the role back.
    for node in cluster.nodes() {
        cluster.lab.ssh(node, "rm -rf /var/lib/etcd").expect("ssh");
    }
    cluster.cmsh(
        "configurationoverlay; use kube-default-etcd; append nodes node001 node002 node003; commit",
    );
    until("an empty etcd is seen", || {
        cluster.watcher.verdict().is_err()
    });
    // And the tool does not go on from there.
    assert_ne!(cluster.resume().code, Some(0));
}

/// With the guard in place, even a role that was assigned by hand starts nothing.
#[test]
fn the_guard_holds_against_an_assigned_role() {
    let cluster = Cluster::of(3);
    cluster.lose_all_disks();
    cluster.spec(|_| true, "");
    let digest = cluster.plan();
    let mut life = cluster.start_run(&digest);
    until("all nodes are back and guarded", || {
        cluster
            .entries("done")
            .iter()
            .filter(|u| u.starts_with("reprovision/") && u.ends_with("/guard"))
            .count()
            == 3
    });
    life.kill().expect("kill");
    life.wait().expect("wait");
    cluster.cmsh(
        "configurationoverlay; use kube-default-etcd; append nodes node001 node002 node003; commit",
    );
    until("CMDaemon has tried to start etcd", || {
        cluster.nodes().iter().all(|node| {
            let tried = cluster
                .lab
                .ssh(*node, "journalctl -u etcd --no-pager | grep -c . || true");
            tried.is_ok_and(|lines| lines.trim().parse::<u32>().unwrap_or(0) > 0)
        })
    });
    let halted = cluster.resume();
    assert_ne!(halted.code, Some(0), "{halted}");
    cluster.cmsh("configurationoverlay; use kube-default-etcd; removefrom nodes node001 node002 node003; commit");
    until("the role is away and etcd stopped", || {
        cluster.resume().code == Some(0)
    });
    cluster.everything_is_back();
}

/// Between two lives somebody points the role at another directory: the guard protects the old one, and
/// an etcd would start empty in the new one.
#[test]
fn a_role_that_changes_in_the_middle() {
    let cluster = Cluster::of(3);
    cluster.lab.corrupt_all_databases().expect("disaster");
    cluster.spec(|_| false, "");
    let digest = cluster.plan();
    let mut life = cluster.start_run(&digest);
    until("a restore begins", || {
        cluster
            .entries("intent")
            .iter()
            .any(|u| u.starts_with("restore/"))
    });
    life.kill().expect("kill");
    life.wait().expect("wait");
    let spool = |path: &str| {
        cluster.cmsh(&format!("configurationoverlay; use kube-default-etcd; roles; use etcd::host; set spool {path}; commit"));
    };
    spool("/var/lib/etcd2");
    cluster.resume().refused("role-changed");
    let shown = cluster.tool(&["undo"]);
    let words: String = format!("{} {}", shown.stdout, shown.stderr);
    let digest = words
        .split_whitespace()
        .rfind(|word| word.starts_with("sha256:"));
    let digest = digest.expect("the undo's digest").to_owned();
    cluster
        .tool(&["undo", "--approve", &digest])
        .refused("role-changed");
    assert!(
        !cluster
            .cmsh("configurationoverlay; use kube-default-etcd; get nodes")
            .contains("node")
    );
    spool("/var/lib/etcd");
    cluster.resume().done();
    cluster.lab.etcd().healthy().ok();
    cluster.nobody_saw_less();
}

/// The label is only a name: under another one the same cluster is still held by the open run.
#[test]
fn another_label_for_the_same_cluster() {
    let cluster = Cluster::of(1);
    cluster.lab.corrupt_all_databases().expect("disaster");
    cluster.spec(|_| false, "");
    let digest = cluster.plan();
    let mut life = cluster.start_run(&digest);
    until("the run begins", || !cluster.entries("intent").is_empty());
    life.kill().expect("kill");
    life.wait().expect("wait");
    let certificates = cluster.on_head("/etc/kubernetes/pki/other");
    std::os::unix::fs::symlink("default", certificates).expect("certificates under the label");
    let spec = cluster.on_head("/root/spec.yaml");
    let text = fs::read_to_string(&spec).expect("spec");
    fs::write(&spec, text.replace("cluster: default", "cluster: other")).expect("spec");
    let other = cluster.tool(&[
        "plan",
        "--spec",
        "/root/spec.yaml",
        "--out",
        "/root/other.json",
    ]);
    // A guard that stands already refuses the plan; otherwise the open run refuses to be joined.
    if other.code == Some(0) {
        let digest = crate::harness::sha256(&cluster.on_head("/root/other.json"));
        cluster
            .tool(&["run", "--plan", "/root/other.json", "--approve", &digest])
            .refused("run-open");
    } else {
        other.refused("guard-of-another-run");
    }
    cluster.resume().done();
    cluster.everything_is_back();
}
