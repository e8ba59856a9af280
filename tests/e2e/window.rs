//! The time in which a reboot may wipe restored data.

use crate::harness::{Cluster, halt, until};

/// A run is halted when the role is back and the node is no data node yet: everybody says so, and the next life
/// begins with it.
#[test]
fn a_run_halted_between_reassign_and_datanode() {
    let cluster = Cluster::of(1);
    let node = cluster.nodes()[0].to_string();
    cluster.lab.corrupt_all_databases().expect("disaster");
    cluster.cmsh(&format!("device use {node}; set datanode no; commit"));
    cluster.spec(|_| false, "");
    let digest = cluster.plan();
    let mut life = cluster.start_run(&digest);
    until("the role is given back", || {
        cluster
            .entries("intent")
            .iter()
            .any(|unit| unit == "reassign/assign")
    });
    let halted = halt(&mut life);
    let danger = format!("a reboot may wipe restored data now: {node}");
    assert!(halted.contains(&danger), "{halted}");

    let status = cluster.tool(&["status"]).done();
    assert!(
        status.stdout.replace("\n    ", " ").contains(&danger),
        "{status}"
    );
    let status = cluster.tool(&["status", "--format", "json"]).done();
    let runs: serde_json::Value = serde_json::from_str(&status.stdout).expect("JSON");
    assert_eq!(runs[0]["exposed"], serde_json::json!([node]));

    let before = cluster.entries("intent").len();
    cluster.resume().done();
    assert_eq!(
        cluster.entries("intent")[before],
        format!("datanode/{node}/datanode-yes"),
        "the window is closed first"
    );
    cluster.everything_is_back();
}
