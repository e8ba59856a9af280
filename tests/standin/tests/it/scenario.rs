//! What a scenario makes go wrong, one by one.

use std::process::Stdio;

use crate::support::{Answer, Lab};
use serde_json::{Value, json};

const CHANGE: &str = "device; use node001; set datanode no; commit; get datanode";
const LIST: &str = "device; list -f hostname,category,status,nextinstallmode -d {}";

fn lab_with(scenario: &Value) -> Lab {
    let lab = Lab::start(|config| config["dialect"]["noise"] = json!(false));
    lab.scenario(scenario);
    lab
}

fn fault(what: &str) -> Value {
    json!({ "faults": [{ "what": what }] })
}

fn ask(lab: &Lab, text: &str) -> Answer {
    lab.cmsh(&["-n", "-q", "--color=no", "--hide-events", "-c", text])
}

/// What is stored, read without any fault.
fn datanode(lab: &Lab) -> String {
    lab.scenario(&json!({}));
    lab.batch("device; get node001 datanode")
}

#[test]
fn events_colours_and_echo_come_unasked() {
    let lab =
        lab_with(&json!({ "output": ["events"], "dialect": { "noise": false, "wording": 2 } }));
    let text = ask(&lab, LIST).stdout;
    let (first, rest) = text.split_once('\n').unwrap();
    assert_eq!(first, "[");
    assert!(
        rest.starts_with("...07:57:36 [notice] basecm: Service cups was stopped\n"),
        "{rest}"
    );
    lab.scenario(&json!({ "output": ["colour"] }));
    assert!(
        ask(&lab, "device; status node001")
            .stdout
            .starts_with("\u{1b}[32mnode001 ...")
    );
    lab.scenario(&json!({ "output": ["echo"] }));
    assert_eq!(
        ask(&lab, "device; get node001 ip").stdout,
        "device\nget node001 ip\n10.141.0.1\n"
    );
}

#[test]
fn cells_are_cut_and_empty_ones_missing() {
    let lab = lab_with(&json!({ "output": ["cut", "missing-columns"],
        "status": { "node001": "[ INSTALLER_CALLINGINIT ] (switching to local root)" } }));
    let rows: Vec<Value> = serde_json::from_str(&ask(&lab, LIST).stdout).unwrap();
    assert_eq!(
        rows[1],
        json!({ "hostname (key)": "node001", "category": "default", "status": "[ INSTALLER_CAL+" })
    );
    let table = ask(&lab, "device; list -f hostname:0,nextinstallmode:0,ip:0").stdout;
    assert!(!table.contains("nextinstallmode"), "{table}");
}

#[test]
fn nodes_are_written_as_ranges_of_either_kind() {
    let lab = lab_with(&json!({ "dialect": { "list_form": "range", "grouping": "bracket" } }));
    let get = "configurationoverlay; use kube-default-etcd; get nodes";
    assert_eq!(ask(&lab, get).stdout, "node[001-003]\n");
    lab.scenario(&json!({ "dialect": { "list_form": "range", "grouping": "dot" } }));
    assert_eq!(ask(&lab, get).stdout, "node001..node003\n");
}

#[test]
fn a_status_can_be_anything() {
    for text in [
        "[   UP   ] restart-required, health check failed",
        "UP/CLOSED",
        "[ CLOSED ] (UP)",
        "[   UP   ] (pingable)",
        "[   UP   ] state flapping",
        "[  DOWN  ], unassigned",
        "[ PONDERING ]",
    ] {
        let lab = lab_with(&json!({ "status": { "node001": text } }));
        assert_eq!(
            ask(&lab, "device; status node001").stdout,
            format!("node001 .................. {text}\n")
        );
    }
}

#[test]
fn a_refused_commit_leaves_the_object_modified() {
    let lab = lab_with(&json!({ "faults": [{ "what": "refused", "at": "commit", "times": 1 }] }));
    let refused = lab.cmsh(&[
        "-n",
        "--color=no",
        "--hide-events",
        "-c",
        "device; use node001; set datanode no; commit; modified",
    ]);
    assert_eq!(
        refused.stderr,
        "Code  Field                    Message\n\
        ----- ------------------------ --------------------------\n\
        1     category                 The category should be set\n"
    );
    assert!(
        refused.stdout.contains("device                   node001"),
        "{}",
        refused.stdout
    );
    assert_eq!(ask(&lab, CHANGE).stdout, "no\n", "it strikes once");
}

#[test]
fn a_commit_may_warn_or_stay_silent_or_lie() {
    let lab = lab_with(&fault("warning"));
    assert_eq!(
        ask(&lab, CHANGE).stdout,
        "Warning: The Ethernet switch settings were not cloned, and have to be set manually\nno\n"
    );
    for what in ["left-modified", "no-effect"] {
        let lab =
            lab_with(&json!({ "faults": [{ "what": what }], "dialect": { "commit_line": true } }));
        let said = ask(&lab, CHANGE);
        assert_eq!(said.code, 0, "{what}");
        assert_eq!(
            said.stdout.contains("Successfully committed 1 Devices"),
            what == "no-effect"
        );
        assert_eq!(datanode(&lab), "yes\n", "{what}");
    }
    let lab = lab_with(&fault("no-effect"));
    assert_eq!(
        ask(&lab, "device; reboot node001").stdout,
        "node001: Reboot in progress ...\n"
    );
    lab.scenario(&json!({}));
    assert!(lab.batch("device; status node001").contains("[   UP   ]"));
    assert!(lab.log().iter().all(|line| line["kind"] != "power"));
}

#[test]
fn an_answer_may_be_lost_or_half() {
    let ended = "Your session ended because: CMDaemon failover, no longer master\n\
                 basecm became active master, reconnecting your cmsh ...\n";
    for (what, stderr, done) in [
        (
            "lost-answer",
            "Your session ended because: connection lost\n",
            "no\n",
        ),
        ("session-ended-late", ended, "no\n"),
        (
            "session-ended",
            &ended.replace("basecm", "master2"),
            "yes\n",
        ),
        (
            "no-daemon",
            "Unable to connect to CMDaemon on localhost: Connection refused\n",
            "yes\n",
        ),
    ] {
        let lab = Lab::start(|_| {});
        lab.scenario(&json!({ "faults": [{ "what": what }], "dialect": { "wording": 0 } }));
        let said = ask(&lab, CHANGE);
        assert_eq!(
            (said.code, said.stdout.as_str(), said.stderr.as_str()),
            (1, "", stderr),
            "{what}"
        );
        assert_eq!(datanode(&lab), done, "{what}");
    }
    let lab = lab_with(&json!({}));
    let whole = ask(&lab, LIST).stdout;
    lab.scenario(&json!({ "faults": [{ "what": "half-answer" }], "dialect": { "other_exit": 0 } }));
    let half = ask(&lab, LIST);
    assert_eq!(
        (half.code, half.stdout.as_str()),
        (0, &whole[..whole.len() / 2])
    );
}

#[test]
fn a_profile_allows_nothing_or_no_change() {
    let lab = lab_with(&fault("not-permitted"));
    let denied = ask(&lab, LIST);
    let text = format!("{}{}", denied.stdout, denied.stderr);
    assert_eq!(
        text,
        "Your certificate (profile:) does not allow access to CMDevice::getDevices\n"
    );
    lab.scenario(&fault("read-only"));
    assert!(ask(&lab, LIST).stdout.contains("node001"));
    let denied = ask(&lab, CHANGE);
    assert!(format!("{}{}", denied.stdout, denied.stderr).contains("CMDevice::updateDevice"));
    assert_eq!(datanode(&lab), "yes\n");
}

#[test]
fn cmsh_hangs_until_it_is_killed() {
    for (what, done) in [
        ("hang", "yes\n"),
        ("hang-half-way", "no\n"),
        ("hang-at-the-end", "no\n"),
    ] {
        let lab = lab_with(&json!({ "faults": [{ "what": what, "at": "commit" }] }));
        let mut command = lab.command(&["-n", "--color=no", "--hide-events", "-c", CHANGE]);
        let mut hung = command.stdout(Stdio::piped()).spawn().unwrap();
        let committed = |lab: &Lab| lab.log().iter().any(|line| line["kind"] == "commit");
        let asked = |lab: &Lab| lab.log().iter().any(|line| line["kind"] == "batch");
        lab.wait(what, |lab| {
            if done == "no\n" {
                committed(lab)
            } else {
                asked(lab)
            }
        });
        if what == "hang-half-way" {
            let mut half = [0; 1];
            std::io::Read::read_exact(hung.stdout.as_mut().unwrap(), &mut half).unwrap();
            assert_eq!(&half, b"n");
        }
        assert_eq!(hung.try_wait().unwrap(), None, "{what}");
        hung.kill().unwrap();
        hung.wait().unwrap();
        assert_eq!(datanode(&lab), done, "{what}");
    }
}

#[test]
fn a_misspelt_scenario_is_not_overlooked() {
    let lab = lab_with(&json!({ "faults": [{ "what": "hnag" }] }));
    let said = ask(&lab, LIST);
    assert_eq!(said.code, 1);
    assert!(
        said.stderr.contains("scenario.json") && said.stderr.contains("hnag"),
        "{}",
        said.stderr
    );
}

#[test]
fn the_options_for_certificates_are_those_of_version_11() {
    let lab = lab_with(&json!({ "version": "10.0" }));
    let ask = |lab: &Lab| {
        lab.cmsh(&[
            "-n",
            "-i",
            "cert",
            "-k",
            "key",
            "--color=no",
            "-c",
            "main versioninfo",
        ])
    };
    let refused = ask(&lab);
    assert_eq!(refused.code, 1);
    assert!(
        refused.stderr.contains("unrecognized option '-k'"),
        "{}",
        refused.stderr
    );
    lab.scenario(&json!({ "version": "11.0" }));
    assert_eq!(ask(&lab).stdout, "Cluster Manager          11.0\n");
}
