//! The way to a FULL install on which the installer asks, and the run answers.

use serde_json::Value;

use crate::harness::Cluster;

/// `full_install: confirm`: the disk is wiped, nobody ever lowers `datanode`, and one question is answered once.
#[test]
fn the_installer_asks_and_is_answered() {
    let cluster = Cluster::of(1);
    let node = cluster.nodes()[0].to_string();
    cluster.lab.corrupt_all_databases().expect("disaster");
    cluster.spec(|_| true, "full_install: confirm\n");

    // A list of block devices asks nobody: on this way it is no plan.
    let device = format!("device; use {node}; ");
    cluster.cmsh(&format!(
        "{device}append blockdevicesclearedonnextboot /dev/sdb; commit"
    ));
    let plan = ["plan", "--spec", "/root/spec.yaml"];
    cluster.tool(&plan).refused("block-devices-cleared");
    cluster.cmsh(&format!(
        "{device}clear blockdevicesclearedonnextboot; commit"
    ));

    let before = cluster.changes().len();
    let digest = cluster.plan();
    cluster.run(&digest).done();
    cluster.everything_is_back();
    let changes = cluster.changes().split_off(before);
    let lowered = |change: &&Value| change["property"] == "datanode";
    assert_eq!(changes.iter().find(lowered), None);
    let answers: Vec<&Value> = changes
        .iter()
        .filter(|change| change["answer"] == "confirm")
        .collect();
    assert_eq!(answers.len(), 1, "{changes:?}");
    let wiped = cluster.lab.ssh(
        cluster.nodes()[0],
        "ls -d /var/lib/etcd.old-* 2>/dev/null; true",
    );
    assert_eq!(wiped.expect("ssh").trim(), "", "the old data is gone");
}

/// The life that asked dies before it answers: the next one finds the question, proves the snapshot once more,
/// and answers.
#[test]
fn a_run_killed_while_the_installer_asks() {
    let cluster = Cluster::of(1);
    cluster.lab.corrupt_all_databases().expect("disaster");
    cluster.spec(|_| true, "full_install: confirm\n");
    let digest = cluster.plan();
    let mut life = cluster.start_run(&digest);
    crate::harness::until("the node asks", || {
        cluster
            .cmsh("device; status")
            .contains("waiting for user input")
    });
    life.kill().expect("SIGKILL");
    life.wait().expect("it is dead");
    cluster.resume().done();
    cluster.everything_is_back();
    let confirms = cluster.entries("intent");
    assert!(confirms.iter().any(|unit| unit.ends_with("/confirm")));
}
