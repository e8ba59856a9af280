//! Undo, up to the point of no return.

use std::process::Stdio;

use lab::Head;

use crate::harness::{Cluster, halt, until};

fn interrupted_after(cluster: &Cluster, unit: &str) {
    let digest = cluster.plan();
    let mut life = cluster.start_run(&digest);
    until(unit, || cluster.entries("done").iter().any(|u| u == unit));
    life.kill().expect("kill");
    life.wait().expect("wait");
}

fn undo(cluster: &Cluster) {
    let digest = undo_digest(cluster);
    cluster.tool(&["undo", "--approve", &digest]).done();
}

fn undo_digest(cluster: &Cluster) -> String {
    let shown = cluster.tool(&["undo"]);
    assert_ne!(shown.code, Some(0), "an undo needs approval: {shown}");
    let mut words = shown
        .stdout
        .split_whitespace()
        .chain(shown.stderr.split_whitespace());
    let digest = words.rfind(|word| word.starts_with("sha256:"));
    digest.expect("a digest").to_owned()
}

/// Before the point of no return everything is put back: the old data, the role, the flags.
#[test]
fn everything_is_put_back() {
    let cluster = Cluster::of(3);
    let look = || {
        let of_node = |node: &lab::Node| {
            let flags = cluster.cmsh(&format!(
                "device; get {node} datanode; get {node} nextinstallmode"
            ));
            let spool = cluster.lab.ssh(
                *node,
                "ls -A /var/lib/etcd; ls -d /var/lib/etcd.old-* 2>/dev/null; true",
            );
            (flags, spool.expect("ssh"))
        };
        let overlay = cluster.cmsh("configurationoverlay; use kube-default-etcd; get nodes");
        (
            overlay,
            cluster.nodes().iter().map(of_node).collect::<Vec<_>>(),
        )
    };
    let before = look();
    cluster.spec(|_| true, "allow: {quorum: \"a test\"}\n");
    interrupted_after(&cluster, "move-spool/node002/aside");
    assert_ne!(look(), before);
    undo(&cluster);
    until("etcd is back", || cluster.lab.etcd().healthy().is_ok());
    assert_eq!(look(), before);
    cluster.everything_is_back();
    cluster.tool(&["resume", "--yes"]).refused("run-");
}

/// At the installer's question nothing is lost yet: the undo says that the node is to be reset, and goes on by
/// itself when it was.
#[test]
fn a_node_at_its_installers_question_comes_back() {
    let cluster = Cluster::of(1);
    let node = cluster.nodes()[0].to_string();
    // The run makes a data node of it, and the undo leaves it one.
    cluster.cmsh(&format!("device; use {node}; set datanode no; commit"));
    cluster.spec(
        |_| true,
        "full_install: confirm\nallow: {quorum: \"a test\"}\n",
    );
    let digest = cluster.plan();
    let mut life = cluster.start_run(&digest);
    let boot = format!("reprovision/{node}/boot");
    until("the node is booted", || {
        cluster.entries("intent").contains(&boot)
    });
    // What is in flight is finished; nothing is answered.
    halt(&mut life);
    assert!(
        cluster
            .cmsh("device; status")
            .contains("waiting for user input")
    );
    assert!(
        !cluster
            .entries("intent")
            .iter()
            .any(|unit| unit.ends_with("/confirm"))
    );

    let said = tempfile::NamedTempFile::new().expect("a file");
    let text = || std::fs::read_to_string(said.path()).expect("text");
    let args = ["undo", "--approve", &undo_digest(&cluster)];
    let mut undo = cluster.command(Head::First, "restore-runbook", &args);
    undo.stdout(Stdio::null());
    undo.stderr(said.reopen().expect("the file"));
    let mut life = undo.spawn().expect("the tool starts");
    until("it says that the node is to be reset", || {
        text().contains("power -n NODE reset")
    });
    let mode = format!("device; get {node} nextinstallmode");
    assert!(cluster.cmsh(&mode).contains("SKIP"));
    let status = cluster.tool(&["status"]).done();
    assert!(status.stdout.contains("in the installer"), "{status}");
    cluster.cmsh(&format!("device; power -n {node} reset"));
    let ended = life.wait().expect("it ends").success();
    assert!(ended && text().contains("not taken back"), "{}", text());
    until("etcd is back", || cluster.lab.etcd().healthy().is_ok());
    assert_eq!(cluster.cmsh(&mode).trim(), "");
    cluster.everything_is_back();
}

/// Behind it there is only the way forward.
#[test]
fn behind_the_point_of_no_return() {
    let cluster = Cluster::of(1);
    cluster.lab.corrupt_all_databases().expect("disaster");
    cluster.spec(|_| true, "");
    interrupted_after(&cluster, "reprovision/node001/boot");
    cluster.tool(&["undo"]).refused("past-no-return");
    cluster.resume().done();
    cluster.everything_is_back();
}
