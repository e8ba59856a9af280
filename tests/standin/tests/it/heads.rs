//! The two head nodes of a pair (admin manual 15).

use std::io::Write;
use std::process::{Command, Stdio};

use crate::support::{Answer, Lab, answer};
use serde_json::json;

fn pair() -> Lab {
    Lab::start(|config| config["head_role"] = json!("active"))
}

/// A batch on the second head node.
fn on_second(lab: &Lab, options: &[&str], text: &str) -> Answer {
    let mut command = lab.command(&["-n", "-q", "--color=no", "--hide-events"]);
    command.args(options).args(["-c", text]);
    command.env(
        "CMSH_STANDIN_SOCKET",
        lab.dir.path().join("state/master2/standin.sock"),
    );
    answer(&command.stdin(Stdio::null()).output().unwrap())
}

fn fail_over(lab: &Lab) {
    let done = Command::new(env!("CARGO_BIN_EXE_cmdaemon-standin"))
        .args(["--fail-over", "--state"])
        .arg(lab.dir.path().join("state"))
        .output()
        .unwrap();
    assert!(done.status.success(), "{done:?}");
}

fn part(lab: &Lab, head: &str) -> String {
    std::fs::read_to_string(lab.dir.path().join("state").join(head).join("state")).unwrap()
}

#[test]
fn a_session_on_the_passive_head_is_redirected_unless_told_otherwise() {
    let lab = pair();
    let script = "device use node001; set datanode no; commit; get datanode";
    let refused = on_second(&lab, &["-r"], script);
    assert_eq!((refused.code, refused.stdout.as_str()), (1, ""));
    assert!(refused.stderr.contains("passive"), "{}", refused.stderr);
    assert_eq!(lab.batch("device; get node001 datanode"), "yes\n");
    assert_eq!(on_second(&lab, &[], script).stdout, "no\n");
    assert_eq!(lab.batch("device; get node001 datanode"), "no\n");
}

#[test]
fn cmha_and_the_state_files_tell_both_sides() {
    let lab = pair();
    let first = lab.batch("cmha status");
    let second = on_second(&lab, &["-r"], "cmha status").stdout;
    assert!(first.starts_with(
        "Node Status: running in active master mode\n\nFailover status:\nbasecm* -> master2\n"
    ));
    assert!(second.starts_with(
        "Node Status: running in passive mode\n\nFailover status:\nmaster2 -> basecm*\n"
    ));
    assert_eq!(
        (part(&lab, "."), part(&lab, "master2")),
        ("ACTIVE\n".into(), "PASSIVE\n".into())
    );
    fail_over(&lab);
    assert!(
        lab.cmsh(&["-n", "-r", "-c", "cmha status"])
            .stdout
            .contains("passive")
    );
    assert!(
        on_second(&lab, &["-r"], "cmha status")
            .stdout
            .contains("active master mode")
    );
    assert_eq!(
        (part(&lab, "."), part(&lab, "master2")),
        ("PASSIVE\n".into(), "ACTIVE\n".into())
    );
}

#[test]
fn a_failover_ends_the_sessions_there_are() {
    let lab = pair();
    let mut session = lab.command(&["-n", "--hide-events"]);
    session
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut session = session.spawn().unwrap();
    let mut input = session.stdin.take().unwrap();
    input
        .write_all(b"device use node001; set datanode no\n")
        .unwrap();
    lab.wait("the session", |lab| {
        lab.log().iter().any(|line| line["kind"] == "line")
    });
    fail_over(&lab);
    // It hears of the failover by itself, and may be gone before it reads this.
    input.write_all(b"commit\n").ok();
    drop(input);
    let ended = answer(&session.wait_with_output().unwrap());
    assert_eq!(ended.code, 1);
    assert_eq!(
        ended.stderr,
        "Your session ended because: CMDaemon failover, no longer master\n\
         master2 became active master, reconnecting your cmsh ...\n"
    );
    assert_eq!(lab.batch("device; get node001 datanode"), "yes\n");
}

#[test]
fn a_failover_kills_what_was_being_provisioned_but_not_by_hand() {
    let lab = Lab::start(|config| {
        config["head_role"] = json!("active");
        config["delays_ms"]["install_step"] = json!(600_000);
    });
    lab.batch("device; reboot node002");
    lab.wait_status("node002", "node-installer started");
    let refused = on_second(&lab, &["-r"], "cmha makeactive");
    assert!(refused.stderr.contains("being provisioned"), "{refused:?}");
    fail_over(&lab);
    lab.wait_status("node002", "[ INSTALLER_FAILED ]");
}

#[test]
fn makeactive_by_hand() {
    let lab = pair();
    let done = on_second(&lab, &["-r"], "cmha makeactive");
    assert_eq!(
        (done.code, done.stdout.as_str()),
        (
            0,
            "master2 is now active head node, makeactive successful\n"
        )
    );
    assert_eq!(part(&lab, "master2"), "ACTIVE\n");
}
