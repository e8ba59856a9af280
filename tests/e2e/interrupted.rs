//! A restore that is killed, cut off or halted, and goes on.

use std::io::Read as _;
use std::process::Child;
use std::thread;
use std::time::Duration;

use lab::Node;

use crate::harness::{Cluster, dice, halt, until};

/// The unit whose intent, or for phases without effects whose record, tells that a phase is on.
const MOMENTS: [(&str, &str); 9] = [
    ("preflight", "preflight/"),
    ("stop", "stop/"),
    ("move-spool", "move-spool/"),
    ("reprovision", "reprovision/"),
    ("restore", "restore/"),
    ("chown", "chown/"),
    ("reassign", "reassign/"),
    ("datanode", "datanode/"),
    ("verify", "verify/"),
];

fn kill(mut child: Child) {
    child.kill().expect("SIGKILL");
    child.wait().expect("wait");
}

/// Kills the tool once in every phase, at a random moment, and lets `resume` finish.
fn killed_in_every_phase(cluster: &Cluster) {
    let mut seed = dice();
    eprintln!("seed {seed}");
    let digest = cluster.plan();
    let mut life = cluster.start_run(&digest);
    for (phase, prefix) in MOMENTS {
        until(phase, || {
            let on = |unit: &String| unit.starts_with(prefix);
            let begun =
                cluster.entries("intent").iter().any(on) || cluster.entries("done").iter().any(on);
            begun || life.try_wait().expect("wait").is_some()
        });
        thread::sleep(Duration::from_millis(seed % 700));
        seed = seed.rotate_left(9).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        kill(life);
        assert!(!cluster.journal().is_empty());
        life = cluster.start(&["resume", "--yes"]);
    }
    let mut said = String::new();
    life.stderr
        .take()
        .expect("stderr")
        .read_to_string(&mut said)
        .expect("stderr");
    let status = life.wait().expect("wait");
    // The last kill may have come after the end: then there is nothing to resume.
    assert!(
        status.success() || said.contains("no open run"),
        "{status}: {said}"
    );
    cluster.everything_is_back();
}

#[test]
fn killed_in_every_phase_wiped() {
    let cluster = Cluster::of(3);
    cluster.lab.corrupt_all_databases().expect("disaster");
    cluster.spec(|_| true, "");
    killed_in_every_phase(&cluster);
}

#[test]
fn killed_in_every_phase_in_place() {
    let cluster = Cluster::of(3);
    cluster.lab.corrupt_all_databases().expect("disaster");
    cluster.spec(|_| false, "");
    killed_in_every_phase(&cluster);
}

/// A node loses its power while the restore runs on it; what it had staged was never complete.
#[test]
fn power_loss_of_a_node_in_restore() {
    let cluster = Cluster::of(3);
    let victim = cluster.nodes()[2].to_string();
    cluster.lab.corrupt_all_databases().expect("disaster");
    cluster.spec(|_| false, "");
    let digest = cluster.plan();
    let mut life = cluster.start_run(&digest);
    let begun = format!("restore/{victim}/restore");
    until("the restore begins", || {
        cluster.entries("intent").contains(&begun)
    });
    cluster.lab.hook(&["power-fail", &victim]).expect("power");
    cluster.lab.hook(&["power-on", &victim]).expect("power");
    let status = life.wait().expect("wait");
    if !status.success() {
        cluster
            .lab
            .wait_ssh(cluster.nodes()[2])
            .expect("the node is back");
        cluster.resume().done();
    }
    cluster.everything_is_back();
}

/// A node loses its disk in the middle of the run, guard and all: the run cannot go on. It is given
/// up, and a new plan takes over the guards that the others still have.
#[test]
fn a_node_is_lost_again() {
    let cluster = Cluster::of(3);
    let victim = cluster.nodes()[1];
    let name = victim.to_string();
    cluster.lab.corrupt_all_databases().expect("disaster");
    cluster.spec(|_| false, "");
    let digest = cluster.plan();
    // It ends in Restore, with guards on all nodes.
    break_the_tool(&cluster, victim);
    cluster.run(&digest).refused("restore-failed");
    cluster.lab.hook(&["power-fail", &name]).expect("power");
    cluster.lab.hook(&["wipe", &name]).expect("wipe");
    until("the node is seen to be down", || {
        cluster.cmsh("device; status").contains("DOWN")
    });
    let halted = cluster.resume();
    assert_eq!(halted.code, Some(4), "{halted}");
    let run = cluster.runs()[0]
        .file_name()
        .and_then(|name| name.to_str().map(str::to_owned))
        .expect("a run");
    cluster
        .tool(&["abandon", &run, "--reason", "node lost", "--yes"])
        .done();
    let wiped = |node| node == victim;
    cluster.spec(wiped, "");
    cluster
        .tool(&["plan", "--spec", "/root/spec.yaml"])
        .refused("guard-of-another-run");
    cluster.spec(
        wiped,
        &format!("allow: {{guards: {{{run}: it was abandoned}}}}\n"),
    );
    cluster.restore().done();
    cluster.everything_is_back();
}

/// Ctrl-C once: what is in flight is finished, nothing new begins, and the run can go on.
#[test]
fn an_interrupt_drains_and_halts() {
    let cluster = Cluster::of(3);
    cluster.lab.corrupt_all_databases().expect("disaster");
    cluster.spec(|_| false, "");
    let digest = cluster.plan();
    let mut life = cluster.start_run(&digest);
    until("stop begins", || {
        cluster
            .entries("intent")
            .iter()
            .any(|u| u.starts_with("stop/"))
    });
    halt(&mut life);
    let (intents, done) = (cluster.entries("intent"), cluster.entries("done"));
    assert!(
        intents.iter().all(|unit| done.contains(unit)),
        "{intents:?} {done:?}"
    );
    assert_eq!(cluster.entries("halted").len(), 1);
    let status = cluster.tool(&["status"]).done();
    assert!(status.stdout.contains("resume"), "{status}");
    cluster.resume().done();
    cluster.everything_is_back();
}

/// What restores on a node.
const TOOL: &str = "/cm/local/apps/etcd/current/bin/etcdctl";

/// The real tool, which may not write a file as large as the database.
fn break_the_tool(cluster: &Cluster, node: Node) {
    let limited = format!(
        "mv {TOOL} {TOOL}.real; printf '%s\\n' '#!/bin/sh' '[ \"$1\" != snapshot ] || ulimit -f 64' 'exec {TOOL}.real \"$@\"' >{TOOL}; chmod 755 {TOOL}"
    );
    cluster.lab.ssh(node, &limited).expect("ssh");
}

/// A restore that fails on a node leaves a half tree in the staging directory; nothing ever starts from it.
#[test]
fn a_failed_restore_is_never_started() {
    let cluster = Cluster::of(3);
    let victim = cluster.nodes()[0];
    cluster.lab.corrupt_all_databases().expect("disaster");
    cluster.spec(|_| false, "");
    let digest = cluster.plan();
    break_the_tool(&cluster, victim);
    cluster.run(&digest).refused("restore-failed");
    let left =
        "ls -d /var/lib/etcd.restore-*/data/member/snap/db; test -f /var/lib/etcd && echo guarded";
    let left = cluster.lab.ssh(victim, left).expect("ssh");
    assert!(
        left.contains("snap/db") && left.contains("guarded"),
        "{left}"
    );
    assert!(
        !cluster
            .entries("intent")
            .iter()
            .any(|unit| unit.starts_with("chown/"))
    );
    cluster
        .lab
        .ssh(victim, &format!("mv {TOOL}.real {TOOL}"))
        .expect("ssh");
    cluster.resume().done();
    cluster.everything_is_back();
}
