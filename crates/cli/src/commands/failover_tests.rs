//! Two head nodes at the command line: what is warned of, refused, and how a run goes on.

use runbook_core::testkit::World;

use super::tests::{done, refused};
use crate::exit::Exit;
use crate::testing::Head;

/// A head node of two, whose state directory lies on a disk of its own.
fn head() -> Head {
    Head::new(World::of(1).two_heads().build())
}

/// What another host's life would have written.
fn begun_at(head: &Head, host: &str) {
    let journal = head.newest_run().join("journal.jsonl");
    let text = std::fs::read_to_string(&journal).unwrap();
    let by = crate::actor::actor().host;
    let other = text.replace(
        &format!("\"host\":\"{by}\""),
        &format!("\"host\":\"{host}\""),
    );
    std::fs::write(&journal, rehashed(&other)).unwrap();
}

/// The same records, with hashes that fit.
fn rehashed(journal: &str) -> String {
    let mut prev = "0".repeat(64);
    let mut out = String::new();
    for line in journal.lines() {
        let at = line.find("\"prev\":\"").unwrap() + 8;
        let body = format!("{}{prev}{}", &line[74..at], &line[at + 64..]);
        prev = runbook_core::digest::Digest::of(body.as_bytes()).hex();
        out.extend(["{\"hash\":\"", &prev, "\"", &body, "\n"]);
    }
    out
}

#[test]
fn a_run_on_the_head_s_own_disk_is_warned_of() {
    let head = head();
    let did = head.tool("plan --spec @/spec.yaml");
    done(&did);
    assert!(did.stderr.contains("two head nodes"), "{}", did.stderr);
    assert!(
        did.stderr.contains("/cm/shared/restore-runbook"),
        "{}",
        did.stderr
    );
    assert!(
        did.stdout.contains("There are two head nodes."),
        "{}",
        did.stdout
    );
    let single = Head::new(World::of(1).build()).tool("plan --spec @/spec.yaml");
    assert!(
        !single.stderr.contains("two head nodes"),
        "{}",
        single.stderr
    );
}

#[test]
fn a_failover_halts_and_says_how_to_go_on() {
    let mut head = head();
    let run = head.planned();
    let mut failed_over = false;
    let did = head.killed_when(&run, || {
        if !failed_over && head.journal().contains("move-spool/node001") {
            failed_over = true;
            head.world.fail_over();
        }
        false
    });
    let did = did.unwrap();
    assert_eq!(did.result, Ok(Exit::Halted), "{did:?}");
    for said in [
        "[head-changed]",
        "own disk",
        "rsync -a",
        "--take-over",
        "--state-dir",
    ] {
        assert!(did.stderr.contains(said), "no {said} in {}", did.stderr);
    }
    refused(&head.tool("resume --yes"), Exit::Refused, "head-passive");
    head.seat = 1;
    done(&head.tool("resume --yes"));
    head.world.verdict().unwrap();
    head.world.restored().unwrap();
}

#[test]
fn what_another_host_has_begun_is_not_gone_on_with_unasked() {
    let head = head();
    let run = head.planned();
    let killed = head.killed_when(&run, || head.journal().contains("move-spool/node001"));
    assert!(killed.is_none());
    begun_at(&head, "other-head");
    for line in ["resume --yes", "undo"] {
        let did = head.tool(line);
        refused(&did, Exit::Locked, "run-elsewhere");
        assert!(
            did.stderr.contains("has not said that it stops"),
            "{}",
            did.stderr
        );
        assert!(
            did.stderr.contains("--take-over other-head"),
            "{}",
            did.stderr
        );
    }
    let id = head
        .newest_run()
        .file_name()
        .unwrap()
        .to_string_lossy()
        .into_owned();
    let abandon = format!("abandon {id} --reason drill --yes");
    refused(&head.tool(&abandon), Exit::Locked, "run-elsewhere");
    let wrong = head.tool("resume --yes --take-over some-head");
    refused(&wrong, Exit::Locked, "run-elsewhere");
    let status = head.tool("status");
    assert!(
        status.stdout.contains("root on other-head"),
        "{}",
        status.stdout
    );
    assert!(status.stdout.contains("may be old"), "{}", status.stdout);
    done(&head.tool("resume --yes --take-over other-head"));
    head.world.restored().unwrap();
}

/// A copy of a run that was halted elsewhere: its original may have gone on there.
#[test]
fn a_copy_of_a_halted_run_needs_somebody_to_vouch_for_it() {
    let head = head();
    let run = head.planned();
    let mut failed_over = false;
    head.killed_when(&run, || {
        if !failed_over && head.journal().contains("move-spool/node001") {
            failed_over = true;
            head.world.fail_over();
        }
        false
    });
    head.world.fail_over();
    begun_at(&head, "other-head");
    let did = head.tool("resume --yes");
    refused(&did, Exit::Locked, "run-elsewhere");
    assert!(did.stderr.contains("may be a copy"), "{}", did.stderr);
    done(&head.tool("resume --yes --take-over other-head"));
}

#[test]
fn lives_are_told_to_programs() {
    let head = head();
    done(&head.tool(&head.planned()));
    let all = head.tool("status --all --format json").stdout;
    let all: serde_json::Value = serde_json::from_str(&all).unwrap();
    let run = all[0]["run"].as_str().unwrap().to_owned();
    let one = head.tool(&format!("status {run} --format json")).stdout;
    let one: serde_json::Value = serde_json::from_str(&one).unwrap();
    assert_eq!(one[0]["lives"][0]["ended"], true);
    assert_eq!(one[0]["lives"][0]["by"]["host"], crate::actor::actor().host);
}
