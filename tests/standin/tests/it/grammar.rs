//! The documented grammar, against a running daemon.

use std::io::Write;
use std::process::Stdio;

use crate::support::{Lab, answer};
use serde_json::{Value, json};

fn plain(lab: &Lab, text: &str) -> crate::support::Answer {
    lab.cmsh(&["-n", "--color=no", "--hide-events", "-c", text])
}

#[test]
fn reads_by_mode_object_and_role() {
    let lab = Lab::start(|_| {});
    assert_eq!(
        lab.batch("configurationoverlay; use kube-default-etcd; get nodes"),
        "node001 node002 node003\n"
    );
    assert_eq!(lab.batch("device; get node001 datanode"), "yes\n");
    assert_eq!(
        lab.batch("device use node001; get installmode; get nextinstallmode"),
        "AUTO (Category)\n\n"
    );
    assert_eq!(
        lab.batch(
            "configurationoverlay; use \"kube-default-etcd\"; roles; use etcd::host; get spool"
        ),
        "/var/lib/etcd\n"
    );
    assert_eq!(
        lab.batch("device; foreach -l etcd::host (get hostname)"),
        "node001\nnode002\nnode003\n"
    );
    assert_eq!(
        lab.batch("device; foreach -n node00[2-3] (get ip)"),
        "10.141.0.2\n10.141.0.3\n"
    );
    assert_eq!(
        lab.batch("etcd; list -f name:0"),
        "name (key)\n------------\nkube-default\n"
    );
    assert_eq!(
        lab.batch("main versioninfo"),
        "Cluster Manager          9.2\n"
    );
}

#[test]
fn a_one_shot_runs_in_the_old_mode_after_it() {
    let lab = Lab::start(|_| {});
    let answer = plain(&lab, "category; device status node001; list -f name:0");
    assert_eq!(
        answer.stdout,
        "node001 .................. [   UP   ]\nname (key)\n----------\ndefault\n"
    );
    let answer = plain(
        &lab,
        "configurationoverlay; use kube-default-etcd; roles; path",
    );
    assert_eq!(
        answer.stdout,
        "home;configurationoverlay;use \"kube-default-etcd\";roles;\n"
    );
}

#[test]
fn lists_in_tables_and_json() {
    let lab = Lab::start(|_| {});
    let listed = lab.batch("configurationoverlay; list");
    let rows: Vec<&str> = listed.lines().collect();
    assert_eq!(
        rows[2],
        "kube-default-etcd  500        no             node001..node003                   Etcd::Host"
    );
    let text = lab.batch("device; list -f hostname,ip,mac,status -d {}");
    assert_eq!(
        serde_json::from_str::<Value>(&text).unwrap()[1],
        json!({
            "hostname (key)": "node001", "ip": "10.141.0.1", "mac": "FA:16:3E:00:00:01",
            "status": "[   UP   ]",
        })
    );
    let text = lab.batch("device; list -f hostname:9,status:6 -d \"|\"");
    assert_eq!(text.lines().nth(3), Some("node001  |[   U+"));
    let text = lab.batch("device roles node001; list");
    assert!(
        text.contains("[overlay:kube-default-etcd] Etcd::Host"),
        "{text}"
    );
    let text = lab.batch("configurationoverlay; use kube-default-etcd; roles; list");
    assert_eq!(text, "Name (key)\n----------\nEtcd::Host\n");
}

#[test]
fn uncommitted_changes_are_dropped() {
    let lab = Lab::start(|_| {});
    assert_eq!(
        lab.batch("device use node001; set datanode no; get datanode"),
        "no\n"
    );
    assert_eq!(lab.batch("device use node001; get datanode"), "yes\n");
    assert_eq!(
        lab.batch("device use node001; set datanode no; refresh; commit; get datanode"),
        "yes\n"
    );
    assert!(
        lab.log()
            .iter()
            .all(|line| line["write"] == false || line["client"].is_null())
    );
    lab.batch("device; set node001 datanode 0; modified; commit");
    assert_eq!(lab.batch("device get node001 datanode"), "no\n");
    assert!(
        lab.log()
            .iter()
            .any(|line| line["kind"] == "commit" && line["write"] == true)
    );
}

#[test]
fn list_properties_change() {
    let lab = Lab::start(|config| config["delays_ms"]["service_stop"] = json!(600_000));
    let get = "configurationoverlay; use kube-default-etcd; ";
    lab.batch(&format!("{get} removefrom nodes node001..node002; commit"));
    assert_eq!(lab.batch(&format!("{get} get nodes")), "node003\n");
    lab.batch(&format!("{get} append nodes node001 node002; commit"));
    assert_eq!(
        lab.batch(&format!("{get} get nodes")),
        "node003 node001 node002\n"
    );
    lab.batch(&format!("{get} set nodes; commit"));
    assert_eq!(lab.batch(&format!("{get} get nodes")), "\n");
    lab.batch(&format!("{get} set nodes node00[1-3]; commit"));
    assert_eq!(
        lab.batch(&format!("{get} get nodes")),
        "node001 node002 node003\n"
    );
}

#[test]
fn list_forms_are_configurable() {
    for (form, text) in [
        ("lines", "node001\nnode002\nnode003\n"),
        ("range", "node001..node003\n"),
    ] {
        let lab = Lab::start(|config| config["dialect"]["list_form"] = json!(form));
        assert_eq!(
            lab.batch("configurationoverlay; get kube-default-etcd nodes"),
            text
        );
    }
}

#[test]
fn failures_follow_the_dialect() {
    let lab = Lab::start(|_| {});
    for batch in [
        "device use node009",
        "device; bogus",
        "device; get node001 colour",
        "device; use x",
    ] {
        let answer = plain(&lab, batch);
        assert_eq!((answer.code, answer.stdout.as_str()), (1, ""), "{batch}");
        assert!(!answer.stderr.is_empty());
    }
    let lab = Lab::start(|config| {
        for key in ["use_exit", "set_exit", "commit_exit", "other_exit"] {
            config["dialect"][key] = json!(0);
        }
        config["dialect"]["error_stream"] = json!("stdout");
    });
    let answer = plain(&lab, "device use node009");
    assert_eq!((answer.code, answer.stderr.as_str()), (0, ""));
    assert_eq!(answer.stdout, "Object 'node009' not found\n");
}

#[test]
fn a_failed_use_leaves_the_rest_running_unless_told_to_quit() {
    let lab = Lab::start(|_| {});
    let text = "device; use node009; get node001 ip";
    assert_eq!(plain(&lab, text).stdout, "10.141.0.1\n");
    let answer = lab.cmsh(&["-n", "-q", "--color=no", "--hide-events", "-c", text]);
    assert_eq!(answer.stdout, "");
}

#[test]
fn a_refused_commit_leaves_the_object_modified() {
    let lab = Lab::start(|config| config["dialect"]["error_stream"] = json!("stdout"));
    let answer = plain(&lab, "device use node001; set category; commit; modified");
    assert_eq!(answer.code, 1);
    assert_eq!(
        answer.stdout,
        "Code  Field                    Message\n\
         ----- ------------------------ --------------------------\n\
         1     category                 The category should be set\n\
         State  Type                     Name\n\
         ------ ------------------------ --------------------------------\n       \
         device                   node001\n"
    );
    assert_eq!(lab.batch("device; use node001; validate"), "All good\n");
}

#[test]
fn colours_and_events_must_be_switched_off() {
    let lab = Lab::start(|_| {});
    let answer = lab.cmsh(&["-c", "device get node001 ip"]);
    assert!(answer.stdout.contains('\u{1b}'), "{answer:?}");
    let answer = lab.cmsh(&["--color=no", "-c", "device get node001 ip"]);
    assert!(
        answer
            .stdout
            .ends_with(" [notice] basecm: Service cups was stopped\n10.141.0.1\n")
    );
    let text = "device use node001; set datanode no; commit; get datanode";
    let answer = lab.cmsh(&["--color", "no", "-c", text]);
    assert!(answer.stdout.contains("[notice]"), "{answer:?}");
    assert!(answer.stdout.ends_with("no\n"));
}

#[test]
fn the_start_up_file_is_read_unless_told_not_to() {
    let lab = Lab::start(|config| {
        let path = config["hook"][1].as_str().unwrap().to_owned() + "/cmshrc";
        std::fs::write(&path, "alias get show\n").unwrap();
        config["cmshrc"] = json!(path);
    });
    let args = [
        "--color=no",
        "--hide-events",
        "-c",
        "device; use node001; get ip",
    ];
    assert!(lab.cmsh(&args).stdout.starts_with("Parameter"));
    assert_eq!(lab.batch(args[3]), "10.141.0.1\n");
}

#[test]
fn stdin_is_echoed_and_a_file_is_not() {
    let lab = Lab::start(|_| {});
    let mut child = lab
        .command(&["-n", "--color=no", "--hide-events"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(b"device; get node001 ip\n")
        .unwrap();
    let piped = answer(&child.wait_with_output().unwrap());
    assert_eq!(piped.stdout, "device; get node001 ip\n10.141.0.1\n");
    std::fs::write(lab.file("script"), "device\nget node001 ip\n").unwrap();
    let args = ["-n", "--color=no", "--hide-events", "-f", "nodes/script"];
    assert_eq!(lab.cmsh(&args).stdout, "10.141.0.1\n");
}

#[test]
fn the_prompt_marks_what_is_modified() {
    let lab = Lab::start(|_| {});
    let mut child = lab
        .command(&["-n", "-t", "--color=no", "--hide-events"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let input = b"configurationoverlay\nuse kube-default-etcd\nremovefrom nodes node001\nquit\n";
    child.stdin.take().unwrap().write_all(input).unwrap();
    let text = answer(&child.wait_with_output().unwrap()).stdout;
    assert!(
        text.contains("[cluster->configurationoverlay*[kube-default-etcd*]]% quit"),
        "{text}"
    );
}

#[test]
fn hostile_names_are_dangerous() {
    let lab = Lab::start(|_| {});
    plain(
        &lab,
        "device; use x`touch ticked`; use !touch banged; list | touch piped; list > written",
    );
    for name in ["ticked", "banged", "piped", "written"] {
        assert!(lab.dir.path().join(name).exists(), "{name}");
    }
    assert_eq!(
        plain(&lab, "device; list -f ip:0 | grep -c 10.141").stdout,
        "4\n"
    );
}

#[test]
fn options_outside_the_list_are_refused() {
    let lab = Lab::start(|_| {});
    assert_eq!(lab.cmsh(&["-e", "device"]).code, 1);
    assert!(lab.log().iter().all(|line| line["kind"] != "batch"));
}

#[test]
fn without_a_daemon_it_returns_one() {
    let mut lab = Lab::start(|_| {});
    lab.kill();
    assert_eq!(lab.cmsh(&["-c", "main help"]).code, 1);
}

#[test]
fn a_pair_of_heads_tells_which_it_is() {
    let lab = Lab::start(|config| config["head_role"] = json!("passive"));
    // Without -r it would be redirected to the active one.
    let text = lab
        .cmsh(&[
            "-n",
            "-r",
            "--color=no",
            "--hide-events",
            "-c",
            "cmha status",
        ])
        .stdout;
    assert_eq!(
        text.lines().next(),
        Some("Node Status: running in passive mode")
    );
    assert!(text.contains("master2* -> basecm"));
    let lab = Lab::start(|config| config["head_role"] = json!("active"));
    let text = lab.batch("cmha status");
    assert_eq!(
        text.lines().next(),
        Some("Node Status: running in active master mode")
    );
    assert!(text.contains("basecm* -> master2"));
}

/// Whatever is not known about cmsh, a reader that does not guess finds the same facts.
#[test]
fn every_dialect_tells_the_same() {
    for seed in 0..6 {
        let lab = Lab::start(|config| config["dialect"] = json!({ "seed": seed }));
        let batch = "configurationoverlay; use kube-default-etcd; removefrom nodes node002; commit";
        plain(&lab, batch);
        let names = lab.batch("device; foreach -l etcd::host (get hostname)");
        let names: Vec<&str> = names.split_whitespace().collect();
        assert_eq!(names, ["node001", "node003"], "seed {seed}");
        let text = plain(&lab, "device; use node009; get node001 ip").stdout;
        assert_eq!(text.lines().last(), Some("10.141.0.1"));
    }
}
