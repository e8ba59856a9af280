//! A whole restore, without interruption.

use crate::harness::{Cluster, sha256};

#[test]
fn three_members_lose_all_disks() {
    let cluster = Cluster::of(3);
    cluster.lose_all_disks();
    cluster.spec(|_| true, "");
    cluster.restore().done();
    cluster.everything_is_back();
}

#[test]
fn one_member_loses_its_disk() {
    let cluster = Cluster::of(1);
    cluster.lose_all_disks();
    cluster.spec(|_| true, "");
    cluster.restore().done();
    cluster.everything_is_back();
}

/// The databases are unreadable, the disks are fine: nothing is wiped, and the old data is kept.
#[test]
fn in_place() {
    let cluster = Cluster::of(3);
    cluster.lab.corrupt_all_databases().expect("disaster");
    cluster.spec(|_| false, "");
    cluster.restore().done();
    cluster.everything_is_back();
    for node in cluster.nodes() {
        let kept = cluster
            .lab
            .ssh(node, "ls -d /var/lib/etcd.old-*/member")
            .expect("ssh");
        assert_eq!(kept.lines().count(), 1, "{node}: {kept}");
    }
    assert!(
        !cluster
            .changes()
            .iter()
            .any(|c| c.to_string().contains("reboot"))
    );
}

/// One node lost its disk and is off, the others are restored in place.
#[test]
fn one_node_is_off_and_reprovisioned() {
    let cluster = Cluster::of(3);
    let lost = cluster.nodes()[1];
    cluster.lab.corrupt_all_databases().expect("disaster");
    cluster
        .lab
        .hook(&["power-fail", &lost.to_string()])
        .expect("power");
    cluster
        .lab
        .hook(&["wipe", &lost.to_string()])
        .expect("wipe");
    crate::harness::until("the node is seen to be down", || {
        cluster
            .cmsh("device; status")
            .lines()
            .any(|l| l.contains("DOWN"))
    });
    cluster.spec(|node| node == lost, "");
    cluster.restore().done();
    cluster.everything_is_back();
}

/// All nodes are up and keep their data until the plan wipes it.
#[test]
fn nodes_that_are_up_are_reprovisioned() {
    let cluster = Cluster::of(3);
    cluster.lab.corrupt_all_databases().expect("disaster");
    cluster.spec(|_| true, "");
    cluster.restore().done();
    cluster.everything_is_back();
}

#[test]
fn hashes_are_what_they_were() {
    let cluster = Cluster::of(3);
    cluster.lab.corrupt_all_databases().expect("disaster");
    cluster.spec(|_| false, "");
    cluster.restore().done();
    let run = cluster.runs().pop().expect("a run");
    let journal = std::fs::read_to_string(run.join("journal.jsonl")).expect("journal");
    // Verify compared the members with the hash the plan had predicted from the snapshot alone.
    let hash = cluster.hashes()[0].hash.to_string();
    assert!(
        journal.contains(&format!("is {hash} on every member, as predicted")),
        "{hash}"
    );
    cluster.everything_is_back();
}

/// `datanode yes` on the category keeps a FULL provisioning waiting, whatever the node says.
#[test]
fn datanode_on_the_category() {
    let cluster = Cluster::of(1);
    cluster.cmsh("category; use default; set datanode yes; commit");
    cluster.lose_all_disks();
    cluster.spec(|_| true, "");
    cluster
        .tool(&["plan", "--spec", "/root/spec.yaml"])
        .refused("category-datanode");
    assert!(
        cluster.changes().len() <= 1,
        "only the test itself changed something"
    );
    cluster.spec(
        |_| true,
        "allow: {category_datanode: {default: \"a lab\"}}\n",
    );
    cluster.restore().done();
    cluster.everything_is_back();
    assert_eq!(cluster.cmsh("category; get default datanode"), "yes");
}

/// The example of an embedder's program is a whole restore of its own.
#[test]
fn the_embedding_example_restores() {
    let cluster = Cluster::of(1);
    cluster.lab.corrupt_all_databases().expect("disaster");
    cluster.spec(|_| false, "");
    let embed = |order: &str| {
        let script = format!("cd /root && embed {order}");
        cluster.on_head_runs("sh", &["-c", &script])
    };
    let commands = embed("spec.yaml").done().stdout;
    assert!(commands.contains("snapshot restore"), "{commands}");
    let other = embed(&format!("sha256:{:064}", 0));
    assert_eq!(other.code, Some(1), "{other}");
    let digest = sha256(&cluster.on_head("/root/plan.json"));
    let end = embed(&format!("sha256:{digest}")).done().stdout;
    assert!(end.ends_with("Completed\n"), "{end}");
    cluster.everything_is_back();
}

/// The rehearsal runs on the head node, leaves nothing there, and does not become part of the plan.
#[test]
fn a_rehearsed_plan_is_run() {
    let cluster = Cluster::of(1);
    cluster.lab.corrupt_all_databases().expect("disaster");
    cluster.spec(|_| false, "");
    let args = [
        "plan",
        "--rehearse",
        "--spec",
        "/root/spec.yaml",
        "--out",
        "/root/plan.json",
    ];
    let said = cluster.tool(&args).done().stdout;
    assert!(said.contains("Rehearsed on this machine"), "{said}");
    let hash = format!("HashKV {}", cluster.hashes()[0].hash);
    assert!(said.contains(&hash), "{hash}\n{said}");
    let plan = std::fs::read_to_string(cluster.on_head("/root/plan.json")).expect("plan");
    assert!(!plan.contains("ehears"), "{plan}");
    let left = std::fs::read_dir(cluster.on_head("/var/tmp")).expect("a folder");
    assert_eq!(left.count(), 0);
    let digest = said
        .split_whitespace()
        .find(|word| word.starts_with("sha256:") && said.contains(&format!("--approve {word}")))
        .expect("a digest");
    cluster.run(digest).done();
    cluster.everything_is_back();
}

/// No plan without the rehearsal that was asked for.
#[test]
fn a_plan_that_cannot_be_rehearsed_is_none() {
    let cluster = Cluster::of(1);
    cluster.spec(|_| false, "");
    let args = [
        "plan",
        "--rehearse",
        "--etcd-bin",
        "/root",
        "--spec",
        "/root/spec.yaml",
        "--out",
        "/root/plan.json",
    ];
    cluster.tool(&args).refused("rehearsal-no-etcd");
    assert!(!cluster.on_head("/root/plan.json").exists());
}
