//! The way to a FULL install on which the installer asks, and the run answers.

use std::process::Child;

use serde_json::{Value, json};

use crate::harness::{Cluster, Ran, until};

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
    until("the node asks", || {
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

/// The tool, left running, comes to its end.
fn ended(life: Child) -> Ran {
    Ran::new(&["run"], &life.wait_with_output().expect("it ends"))
}

/// How often the run has asked the cluster manager this.
fn asked(cluster: &Cluster, what: &str) -> usize {
    let logs = cluster.runs().pop().map(|run| run.join("commands.log"));
    let text = logs.and_then(|log| std::fs::read_to_string(log).ok());
    text.unwrap_or_default().matches(what).count()
}

/// Three restores of one cluster, each with something in the way of its node: the run says what it is and, once
/// somebody has mended it, goes on, by itself where it did not have to halt.
#[test]
fn what_keeps_a_node_in_its_installer() {
    let cluster = Cluster::of(1);
    let node = cluster.nodes()[0].to_string();
    let scenario = |what: Value| cluster.lab.scenario(&what).expect("a scenario");
    cluster.lab.corrupt_all_databases().expect("disaster");
    cluster.spec(|_| true, "");

    // A locked image: told in the plan, and while the node waits for it.
    scenario(json!({ "provisioning": { "locked_images": ["default-image"] } }));
    let plan = cluster.tool(&["plan", "--spec", "/root/spec.yaml"]).done();
    assert!(plan.stdout.contains("default-image is locked"), "{plan}");
    let digest = cluster.plan();
    let life = cluster.start_run(&digest);
    until("the node waits for its image", || {
        let status = cluster.cmsh("device; status");
        status.contains("waiting for FULL provisioning")
    });
    let before = asked(&cluster, "softwareimage; islocked");
    until("the run has seen it", || {
        asked(&cluster, "softwareimage; islocked") > before
    });
    scenario(json!({}));
    let ran = ended(life).done();
    assert!(ran.stderr.contains("[image-locked]"), "{ran}");
    cluster.everything_is_back();

    // An installer that gives up: the run halts, somebody resets the node, and the next life goes on.
    cluster.lab.corrupt_all_databases().expect("disaster");
    scenario(json!({ "installs": { &node: { "what": "fails", "times": 1 } } }));
    cluster.restore().refused("installer-failed");
    cluster.resume().refused("installer-failed");
    cluster.cmsh(&format!("device; power -n {node} reset"));
    cluster.resume().done();
    cluster.everything_is_back();

    // A BMC that is silent: whether the node is off is not known, so somebody has to say that no quorum lives.
    scenario(json!({}));
    cluster.lose_all_disks();
    let digest = cluster.plan();
    scenario(json!({ "bmc_failed": [&node] }));
    cluster.run(&digest).refused("quorum-unseen");
    cluster.spec(|_| true, "allow: {quorum: \"it was looked at\"}\n");
    let digest = cluster.plan();
    // Somebody presses the button, and the run goes on by itself.
    let question = format!("power -n {node} status");
    let before = asked(&cluster, &question);
    let life = cluster.start_run(&digest);
    until("the run has asked the BMC for a while", || {
        asked(&cluster, &question) > before + 8
    });
    scenario(json!({}));
    cluster.cmsh(&format!("device; power -n {node} on"));
    let ran = ended(life).done();
    assert!(ran.stderr.contains("[bmc-silent]"), "{ran}");
    cluster.everything_is_back();
}
