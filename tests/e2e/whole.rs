//! A whole restore, without interruption.

use crate::harness::Cluster;

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
