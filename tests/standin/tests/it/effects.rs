//! What commits and power commands really do, through a hook made of files.

use crate::support::Lab;
use serde_json::json;

const OVERLAY: &str = "configurationoverlay; use kube-default-etcd; ";

fn remove_role(lab: &Lab, nodes: &str) {
    lab.batch(&format!("{OVERLAY} removefrom nodes {nodes}; commit"));
}

fn events(lab: &Lab) -> Vec<String> {
    lab.log()
        .iter()
        .filter(|line| line["kind"] == "event")
        .map(|line| line["text"].as_str().unwrap().to_owned())
        .collect()
}

/// Waits until the daemon has taken charge of etcd on all nodes.
fn settled(lab: &Lab) {
    lab.wait("etcd on all nodes", |lab| {
        events(lab)
            .iter()
            .filter(|text| text.ends_with("Service etcd was started"))
            .count()
            == 3
    });
}

#[test]
fn a_lost_role_stops_etcd_and_a_given_one_starts_it() {
    let lab = Lab::start(|_| {});
    settled(&lab);
    remove_role(&lab, "node001");
    lab.wait("the stop", |lab| {
        lab.calls()
            .last()
            .is_some_and(|c| c == "role node001 etcd off")
    });
    assert!(!lab.file("etcd.node001").exists());
    lab.wait("the event", |lab| {
        events(lab).contains(&"[notice] node001: Service etcd was stopped".to_owned())
    });
    lab.batch(&format!("{OVERLAY} append nodes node001; commit"));
    lab.wait("the start", |lab| lab.file("etcd.node001").exists());
    assert_eq!(
        lab.read("initial.node001")
            .matches("https://10.141.0.")
            .count(),
        3
    );
}

#[test]
fn priority_minus_one_takes_the_role_from_all() {
    let lab = Lab::start(|_| {});
    settled(&lab);
    lab.batch(&format!("{OVERLAY} set priority -1; commit"));
    lab.wait("the stops", |lab| {
        !(1..=3).any(|n| lab.file(&format!("etcd.node00{n}")).exists())
    });
    assert_eq!(
        lab.batch("device; foreach -l etcd::host (get hostname)"),
        ""
    );
}

#[test]
fn a_dead_service_is_started_again_while_the_role_is_assigned() {
    let lab = Lab::start(|_| {});
    settled(&lab);
    std::fs::remove_file(lab.file("etcd.node002")).unwrap();
    lab.wait("the restart", |lab| lab.file("etcd.node002").exists());
    std::fs::write(lab.file("broken.node003"), "").unwrap();
    std::fs::remove_file(lab.file("etcd.node003")).unwrap();
    lab.wait("FAILING", |lab| {
        lab.batch("device services node003; status etcd") == "etcd                 [FAILING ]\n"
    });
    // As the hint of `etcd-unreachable` has it.
    std::fs::remove_file(lab.file("broken.node003")).unwrap();
    lab.batch("device; services node003; reset etcd");
    lab.wait("the restart", |lab| lab.file("etcd.node003").exists());
}

#[test]
fn a_service_stopped_through_cmsh_stays_stopped() {
    let lab = Lab::start(|_| {});
    settled(&lab);
    let text = lab.batch("device use node001; services; stop etcd; status etcd");
    assert_eq!(
        text,
        "Successfully stopped service etcd on: node001\netcd                 [STOPPED ]\n"
    );
    let text = lab.batch("device services node001; use etcd; start");
    assert_eq!(text, "Successfully started service etcd on: node001\n");
    assert!(lab.file("etcd.node001").exists());
}

/// The whole procedure of the KB article on one node.
#[test]
fn a_full_install_wipes_the_disk() {
    let lab = Lab::start(|_| {});
    settled(&lab);
    remove_role(&lab, "node001");
    lab.wait("the stop", |lab| {
        lab.calls()
            .last()
            .is_some_and(|c| c == "role node001 etcd off")
    });
    let before = lab.calls().len();
    lab.batch("device use node001; set datanode no; commit; set nextinstallmode full; commit");
    assert_eq!(lab.batch("device; get node001 nextinstallmode"), "FULL\n");
    assert_eq!(
        lab.batch("device use node001; reboot"),
        "node001: Reboot in progress ...\n"
    );
    lab.wait("the end of the install", |lab| {
        lab.batch("device; get node001 nextinstallmode") == "\n"
    });
    lab.wait_status("node001", "[   UP   ]");
    assert_eq!(
        lab.calls()[before..],
        [
            "power-off node001",
            "wipe node001",
            "provisioned node001",
            "power-on node001"
        ]
    );
    assert!(!lab.file("data.node001").exists());
    lab.batch(&format!("{OVERLAY} append nodes node001; commit"));
    lab.wait("the start", |lab| lab.file("etcd.node001").exists());
}

#[test]
fn with_the_role_still_assigned_etcd_starts_on_the_empty_disk() {
    let lab = Lab::start(|_| {});
    settled(&lab);
    lab.batch("device use node001; set datanode no; set nextinstallmode FULL; commit; reboot");
    lab.wait("the disaster", |lab| lab.read("data.node001") == "empty\n");
}

#[test]
fn a_data_node_asks_before_a_full_install() {
    let lab = Lab::start(|config| config["categories"][0]["datanode"] = json!(true));
    settled(&lab);
    // The node's own value is not enough: the category's counts too.
    lab.batch("device use node002; set datanode no; set nextinstallmode full; commit; reboot");
    lab.wait("the question", |lab| {
        lab.batch("device; installerinteractions")
            .contains("node002   Requesting FULL Install")
    });
    assert!(
        lab.batch("device status node002")
            .contains("[ INSTALLING ] (waiting for user input)")
    );
    assert!(!lab.calls().contains(&"wipe node002".to_owned()));
    lab.batch("device; installerinteractions -w -n node002 --confirm");
    lab.wait("the wipe", |lab| {
        lab.calls().contains(&"wipe node002".to_owned())
    });
    lab.wait("power", |lab| {
        lab.calls().contains(&"power-on node002".to_owned())
    });
}

#[test]
fn a_denied_install_leaves_the_disk_alone() {
    let lab = Lab::start(|_| {});
    settled(&lab);
    lab.batch("device use node001; set nextinstallmode full; commit; reboot");
    lab.batch("device; installerinteractions -w -n node001 --deny");
    assert!(
        lab.batch("device status node001")
            .contains("(entered maintenance mode)")
    );
    assert_eq!(lab.read("data.node001"), "full");
}

#[test]
fn an_ordinary_reboot_keeps_the_disk() {
    let lab = Lab::start(|_| {});
    settled(&lab);
    let before = lab.calls().len();
    lab.batch("device; reboot -n node003");
    lab.wait("etcd again", |lab| {
        lab.calls().len() > before + 3 && lab.file("etcd.node003").exists()
    });
    assert_eq!(
        lab.calls()[before..before + 2],
        ["power-off node003", "power-on node003"]
    );
    assert_eq!(lab.read("data.node003"), "full");
}

#[test]
fn a_node_without_power_is_noticed_and_can_be_started() {
    let lab = Lab::start(|_| {});
    settled(&lab);
    std::fs::remove_file(lab.file("on.node001")).unwrap();
    std::fs::remove_file(lab.file("etcd.node001")).unwrap();
    lab.wait_status("node001", "[  DOWN  ]");
    assert_eq!(
        lab.batch("device; power -n node001 status"),
        "ipmi0 .................... [  OFF   ] node001\n"
    );
    remove_role(&lab, "node001");
    lab.batch("device; power -n node001 on");
    lab.wait_status("node001", "[   UP   ]");
    lab.wait("the role's end", |lab| {
        lab.calls().contains(&"role node001 etcd off".to_owned())
    });
}

#[test]
fn a_node_that_only_answers_ping_looks_up() {
    let lab = Lab::start(|_| {});
    settled(&lab);
    std::fs::write(lab.file("deaf.node002"), "").unwrap();
    lab.wait("(pingable)", |lab| {
        lab.batch("device status node002") == "node002 .................. [   UP   ] (pingable)\n"
    });
}

#[test]
fn a_killed_daemon_carries_on() {
    let mut lab = Lab::start(|config| config["delays_ms"]["going_down"] = json!(500));
    settled(&lab);
    lab.batch("device use node001; set datanode no; set nextinstallmode full; commit; reboot");
    lab.kill();
    assert!(!lab.calls().contains(&"wipe node001".to_owned()));
    lab.run_daemon();
    lab.wait("the install", |lab| {
        lab.calls().contains(&"provisioned node001".to_owned())
    });
    lab.wait("the power", |lab| {
        lab.calls().contains(&"power-on node001".to_owned())
    });
}

#[test]
fn a_dead_bmc_fails() {
    let lab = Lab::start(|config| config["bmc_failed"] = json!(["node001"]));
    let args = [
        "-n",
        "--color=no",
        "--hide-events",
        "-c",
        "device; power -n node001 off",
    ];
    let answer = lab.cmsh(&args);
    assert_eq!(answer.code, 1);
    assert_eq!(
        answer.stdout,
        "ipmi0 .................... [ FAILED ] node001\n"
    );
}

#[test]
fn reading_leaves_no_write_in_the_log() {
    let lab = Lab::start(|_| {});
    settled(&lab);
    let before = lab.log().len();
    lab.batch("device; status; list; power -n node001 status; configurationoverlay; list");
    lab.batch("device use node001; set datanode no");
    let log = lab.log();
    assert!(log.len() > before);
    assert!(
        log[before..].iter().all(|line| line["write"] == false),
        "{:?}",
        &log[before..]
    );
}

#[test]
fn a_role_by_category_or_node_counts_too() {
    let lab = Lab::start(|config| {
        config["overlays"][0]["nodes"] = json!([]);
        config["categories"][0]["roles"] = json!([{ "type": "Etcd::Host" }]);
        config["nodes"][0]["roles"] = json!([{ "type": "Etcd::Host", "spool": "/data/etcd" }]);
    });
    settled(&lab);
    let listed = lab.batch("device roles node001; list");
    let rows: Vec<&str> = listed.lines().skip(2).collect();
    let overlay = "[overlay:kube-default-master] Kubernetes::ApiServer";
    assert_eq!(
        rows,
        ["Etcd::Host", overlay, "[category:default] Etcd::Host"]
    );
    // The node's own role has the highest priority.
    assert_eq!(
        lab.batch("device roles node001; use etcd::host; get spool"),
        "/data/etcd\n"
    );
    assert_eq!(
        lab.batch("device roles node002; use etcd::host; get spool"),
        "/var/lib/etcd\n"
    );
    lab.batch("category; use default; roles; unassign etcd::host; commit");
    lab.wait("the stop", |lab| !lab.file("etcd.node002").exists());
    assert!(lab.file("etcd.node001").exists());
}

#[test]
fn api_servers_get_the_etcd_servers_there_are() {
    let lab = Lab::start(|config| config["extra_hooks"] = json!(["api-server"]));
    settled(&lab);
    remove_role(&lab, "node001..node003");
    lab.wait("the empty list", |lab| {
        lab.calls().contains(&"api-server node001 ".to_owned())
    });
    lab.batch(&format!("{OVERLAY} append nodes node00[1-2]; commit"));
    let urls = "api-server node001 https://10.141.0.1:2379,https://10.141.0.2:2379";
    lab.wait("the list", |lab| lab.calls().contains(&urls.to_owned()));
}

#[test]
fn a_changed_mac_makes_a_node_new_and_its_install_full() {
    let lab = Lab::start(|config| config["nodes"][0]["datanode"] = json!(false));
    settled(&lab);
    lab.batch("device use node001; set mac FA:16:3E:FF:FF:FF; commit; reboot");
    lab.wait("the wipe", |lab| {
        lab.calls().contains(&"wipe node001".to_owned())
    });
    lab.wait("power", |lab| {
        lab.calls().contains(&"power-on node001".to_owned())
    });
}

#[test]
fn a_failing_hook_ends_in_installer_failed() {
    let lab = Lab::start(|_| {});
    settled(&lab);
    std::fs::write(lab.file("stuck.node001"), "").unwrap();
    lab.batch("device use node001; set datanode no; set nextinstallmode full; commit; reboot");
    lab.wait_status("node001", "[ INSTALLER_FAILED ]");
    assert_eq!(lab.batch("device get node001 nextinstallmode"), "FULL\n");
    std::fs::remove_file(lab.file("stuck.node001")).unwrap();
    let text = lab.batch("device; power -n node001 reset");
    assert_eq!(text, "ipmi0 .................... [ RESET  ] node001\n");
    lab.wait_status("node001", "[   UP   ]");
}
