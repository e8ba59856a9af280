//! The same restore through what is known of 9.2, 10 and 11.

use lab::{Bcm, LabOptions};
use serde_json::json;

use crate::harness::{Cluster, dice, until};

/// One member loses its disk and comes back; what is not documented is rolled anew in each run.
fn the_same_restore(bcm: Bcm) -> Cluster {
    let seed = dice();
    eprintln!("dialect seed {seed}");
    let cluster = Cluster::with(LabOptions {
        nodes: 1,
        bcm,
        ..LabOptions::default()
    });
    cluster.lose_all_disks();
    let unknown = json!({ "dialect": { "seed": seed } });
    cluster.lab.scenario(&unknown).expect("scenario");
    cluster.spec(|_| true, "");
    cluster.restore().done();
    cluster.everything_is_back();
    cluster
}

/// What the node's API server is told of etcd, as 10 and 11 have it.
fn static_pod(cluster: &Cluster) -> String {
    let script = "grep -o -- '--etcd-servers=.*' /etc/kubernetes/manifests/kube-apiserver.yaml";
    let text = cluster.lab.ssh(cluster.nodes()[0], script).expect("ssh");
    text.trim().to_owned()
}

const SERVERS: &str = "--etcd-servers=https://10.141.0.1:2379";

/// API servers are services: the cluster manager starts them again with the etcd that is back.
#[test]
fn as_on_9_2() {
    let cluster = the_same_restore(Bcm::V9_2);
    assert_eq!(
        cluster.cmsh("main versioninfo"),
        "Cluster Manager          9.2"
    );
    let running = "tr '\\0' '\\n' </proc/$(pidof -x kube-apiserver)/cmdline | grep etcd-servers";
    let node = cluster.nodes()[0];
    until("API server with an etcd", || {
        cluster
            .lab
            .ssh(node, running)
            .is_ok_and(|text| text.trim() == SERVERS)
    });
}

#[test]
fn as_on_10() {
    let cluster = the_same_restore(Bcm::V10);
    assert_eq!(static_pod(&cluster), SERVERS);
    let script = cluster.on_head("/cm/local/apps/cmd/scripts/cm-etcd-manage");
    assert!(script.exists(), "{}", script.display());
}

#[test]
fn as_on_11() {
    let cluster = the_same_restore(Bcm::V11);
    assert_eq!(static_pod(&cluster), SERVERS);
    let admin = ["-i", "/root/.cm/admin.pem", "-k", "/root/.cm/admin.key"];
    let cmsh = cluster.on_head_runs(
        lab::CMSH,
        &[&admin[..], &["-n", "-c", "device status"]].concat(),
    );
    cmsh.done();
}
