//! What happens to nodes on their way from off to up, by a scenario.

use crate::support::Lab;
use serde_json::{Value, json};

fn fate(what: &str) -> Value {
    json!({ "installs": { "node002": { "what": what } } })
}

fn status(lab: &Lab) -> String {
    lab.batch("device; get node002 status").trim().to_owned()
}

/// Reboots the node into whatever the scenario has in store.
fn reboot(lab: &Lab, scenario: &Value) {
    lab.scenario(scenario);
    lab.batch("device; use node002; set datanode no; set nextinstallmode FULL; commit; reboot");
}

#[test]
fn an_install_fails_or_is_not_heard_of() {
    for (what, shown) in [
        ("fails", "[ INSTALLER_FAILED ]"),
        ("unreachable", "[ INSTALLER_UNREACHABLE ]"),
    ] {
        let lab = Lab::start(|_| {});
        reboot(&lab, &fate(what));
        lab.wait_status("node002", shown);
        assert_eq!(lab.batch("device; get node002 nextinstallmode"), "FULL\n");
        // The way on is power: it goes through the install once more.
        lab.scenario(&json!({}));
        lab.batch("device; power -n node002 reset");
        lab.wait_status("node002", "[   UP   ]");
        assert_eq!(lab.read("data.node002"), "");
    }
}

#[test]
fn a_question_at_the_console_is_not_one_for_cmsh() {
    let lab = Lab::start(|_| {});
    reboot(&lab, &fate("console"));
    lab.wait_status("node002", "[ INSTALLING ] (waiting for user input)");
    let asked = lab.batch("device; installerinteractions -n node002 --confirm");
    assert!(!asked.contains("node002"), "{asked}");
    assert_eq!(status(&lab), "[ INSTALLING ] (waiting for user input)");
    lab.scenario(&json!({}));
    lab.wait_status("node002", "[   UP   ]");
}

#[test]
fn a_node_may_never_come_up() {
    let lab = Lab::start(|config| config["delays_ms"]["calling_init_limit"] = json!(200));
    reboot(&lab, &fate("never-up"));
    lab.wait_status("node002", "[ INSTALLER_FAILED ]");
    assert!(!lab.file("on.node002").exists());
}

#[test]
fn a_node_is_installed_full_a_second_time() {
    let lab = Lab::start(|_| {});
    reboot(
        &lab,
        &json!({ "delays_ms": { "again": 50 },
        "installs": { "node002": { "what": "full-again", "times": 1 } } }),
    );
    let wipes = |lab: &Lab| {
        lab.calls()
            .iter()
            .filter(|call| *call == "wipe node002")
            .count()
    };
    lab.wait("the second install", |lab| wipes(lab) == 2);
    lab.wait_status("node002", "[   UP   ]");
    assert_eq!(wipes(&lab), 2);
    // A data node is asked about, the second time as the first.
    reboot(
        &lab,
        &json!({ "delays_ms": { "again": 300 },
        "installs": { "node002": { "what": "full-again", "times": 1 } } }),
    );
    lab.wait("the third install", |lab| wipes(lab) == 3);
    lab.batch("device; use node002; set datanode yes; commit");
    lab.wait("the question", |lab| {
        lab.batch("device; installerinteractions")
            .contains("node002   Requesting FULL Install")
    });
    assert_eq!(wipes(&lab), 3);
}

#[test]
fn a_queue_and_a_locked_image_hold_up_the_provisioning() {
    let lab = Lab::start(|config| config["dialect"]["wording"] = json!(1));
    let idle = "Provisioning subsystem status: idle, accepting requests\n\
                Nodes currently provisioning: 0\nNodes waiting to be provisioned: <none>\n";
    assert_eq!(lab.batch("softwareimage provisioningstatus"), idle);
    assert_eq!(
        lab.batch("softwareimage islocked default-image"),
        "default-image: no\n"
    );
    let all = lab.batch("softwareimage islocked");
    let last = all.lines().last().unwrap_or_default();
    assert_eq!(
        last.split_whitespace().collect::<Vec<_>>(),
        ["default-image", "no"],
        "{all}"
    );
    lab.scenario(&json!({ "provisioning": { "slots": 0 } }));
    lab.batch("device; use node001; set datanode no; set nextinstallmode FULL; commit; reboot");
    lab.wait_status("node001", "(waiting for FULL provisioning to start)");
    lab.batch("device; reboot node002");
    lab.wait_status("node002", "(waiting for SYNC provisioning to start)");
    let text = lab.batch("softwareimage provisioningstatus");
    assert!(
        text.ends_with(
            "\nNodes currently provisioning: 0\nNodes waiting to be provisioned: node001..node002\n"
        ),
        "{text}"
    );
    lab.scenario(&json!({ "provisioning": { "locked_images": ["default-image"] } }));
    let locked = lab.cmsh(&[
        "-n",
        "--color=no",
        "--hide-events",
        "-c",
        "softwareimage; use default-image; islocked",
    ]);
    assert!(
        locked.stdout.contains("locked") || locked.stdout.contains("yes"),
        "{locked:?}"
    );
    assert!(status(&lab).contains("to start"));
    lab.scenario(&json!({}));
    for node in ["node001", "node002"] {
        lab.wait_status(node, "[   UP   ]");
    }
    assert_eq!(lab.batch("softwareimage provisioningstatus"), idle);
}

#[test]
fn a_bmc_does_not_answer() {
    let lab = Lab::start(|_| {});
    lab.scenario(&json!({ "bmc_failed": ["node002"] }));
    let said = lab.cmsh(&[
        "-n",
        "--color=no",
        "--hide-events",
        "-c",
        "device; power -n node001,node002 status",
    ]);
    assert!(
        said.stdout.contains("[   ON   ] node001") && said.stdout.contains("[ FAILED ] node002"),
        "{said:?}"
    );
}

#[test]
fn two_etcd_clusters_have_members_of_their_own() {
    let lab = Lab::start(|config| {
        config["overlays"] = json!([
            { "name": "a", "nodes": ["node001", "node002"],
              "roles": [{ "type": "Etcd::Host", "etcdcluster": "kube-a" }] },
            { "name": "b", "nodes": ["node003"], "roles": [{ "type": "Etcd::Host", "etcdcluster": "kube-b" }] },
        ]);
        config["etcd"] = json!([{ "name": "kube-a" }, { "name": "kube-b" }]);
    });
    let members = |lab: &Lab, node: &str| {
        lab.read(&format!("initial.{node}"))
            .matches("https://")
            .count()
    };
    lab.wait("both clusters", |lab| {
        members(lab, "node001") == 2 && members(lab, "node003") == 1
    });
}

#[test]
fn the_role_comes_from_everywhere() {
    let lab = Lab::start(|config| {
        let role = json!({ "type": "Etcd::Host", "etcdcluster": "kube-default" });
        config["categories"] = json!([
            { "name": "default" }, { "name": "by-overlay" }, { "name": "by-role", "roles": [role] },
        ]);
        config["nodes"][0]["category"] = json!("by-overlay");
        config["nodes"][1]["category"] = json!("by-role");
        config["nodes"][2]["roles"] = json!([role]);
        config["overlays"] = json!([
            { "name": "heads", "allheadnodes": true, "roles": [role] },
            { "name": "members", "categories": ["by-overlay"], "roles": [role] },
            { "name": "off", "nodes": ["node001"], "priority": -1, "roles": [{ "type": "Etcd::Host", "spool": "/no" }] },
        ]);
    });
    let holders = lab.batch("device; foreach -l etcd::host (get hostname)");
    assert_eq!(holders, "basecm\nnode001\nnode002\nnode003\n");
    let mut shown: Vec<String> = ["basecm", "node001", "node002", "node003"]
        .map(|node| lab.batch(&format!("device; use {node}; roles; list")))
        .iter()
        .map(|text| text.lines().skip(2).collect::<String>())
        .collect();
    for text in &mut shown {
        *text = text.trim().to_owned();
    }
    assert_eq!(
        shown,
        [
            "[overlay:heads] Etcd::Host",
            "[overlay:members] Etcd::Host",
            "[category:by-role] Etcd::Host",
            "Etcd::Host"
        ]
    );
}
