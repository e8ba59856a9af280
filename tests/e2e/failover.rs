//! A failover of the head node in the middle of a run.

use std::fs;
use std::path::Path;

use lab::{Head, LabOptions};
use serde_json::Value;

use crate::harness::{Cluster, PLAN, Ran, SPEC, STATE, sha256, until};

const SHARED: &str = "/cm/shared/restore-runbook";

fn two_heads() -> Cluster {
    Cluster::with(LabOptions {
        nodes: 3,
        heads: 2,
        ..LabOptions::default()
    })
}

fn on(cluster: &Cluster, head: Head, args: &[&str]) -> Ran {
    let output = cluster
        .lab
        .command_on(head, "restore-runbook", args)
        .output();
    Ran::new(args, &output.expect("the program starts"))
}

fn plan(cluster: &Cluster, state: &str) -> (Ran, String) {
    let args = [
        "plan",
        "--spec",
        SPEC,
        "--out",
        PLAN,
        "--force",
        "--state-dir",
        state,
    ];
    let ran = on(cluster, Head::First, &args).done();
    (ran, format!("sha256:{}", sha256(&cluster.on_head(PLAN))))
}

/// The records of the only run below this directory.
fn journal(state: &Path) -> Vec<Value> {
    let run = fs::read_dir(state.join("default/runs")).ok();
    let run = run.and_then(|mut runs| runs.next()?.ok());
    let text = run.map(|run| fs::read_to_string(run.path().join("journal.jsonl")));
    let text = text.and_then(Result::ok).unwrap_or_default();
    text.lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

fn intended(records: &[Value], unit: &str) -> bool {
    let intent =
        |record: &Value| record["entry"]["kind"] == "intent" && record["entry"]["unit"] == unit;
    records.iter().any(intent)
}

/// Begins the run, fails over as soon as the restore has begun on a node, and gives what the first life said.
fn interrupted(cluster: &Cluster, state: &str, seen_from_here: &Path) -> Ran {
    let (_, digest) = plan(cluster, state);
    let args = [
        "run",
        "--plan",
        PLAN,
        "--approve",
        &digest,
        "--state-dir",
        state,
    ];
    let life = cluster.start(&args);
    let node = cluster.nodes()[0].to_string();
    until("the restore begins", || {
        intended(&journal(seen_from_here), &format!("restore/{node}/restore"))
    });
    cluster.lab.fail_over(true).expect("failover");
    Ran::new(&args, &life.wait_with_output().expect("it ends"))
}

/// On storage of both: the first life stops by itself, what is left at its head is refused, and the other
/// head goes on, once somebody has answered for the first.
#[test]
fn failover_with_the_run_on_shared_storage() {
    let cluster = two_heads();
    cluster.lab.corrupt_all_databases().expect("disaster");
    cluster.spec(|_| false, "");
    let ran = interrupted(
        &cluster,
        SHARED,
        &cluster.lab.shared().join("restore-runbook"),
    );
    assert!(!matches!(ran.code, Some(0 | 1) | None), "{ran}");
    let told = ["head-changed", "journal-overtaken", "journal-io"];
    assert!(told.iter().any(|code| ran.stderr.contains(code)), "{ran}");
    eprintln!("{ran}");
    let resume = ["resume", "--yes", "--state-dir", SHARED];
    on(&cluster, Head::First, &resume).refused("head-passive");
    let taken = on(&cluster, Head::Second, &resume);
    let taken = if taken.code == Some(0) {
        taken
    } else {
        eprintln!("{}", taken.refused("run-elsewhere"));
        let args = [
            "resume",
            "--yes",
            "--take-over",
            "head",
            "--state-dir",
            SHARED,
        ];
        on(&cluster, Head::Second, &args).done()
    };
    eprintln!("{taken}");
    cluster.everything_is_back();
    let records = journal(&cluster.lab.shared().join("restore-runbook"));
    let hosts: Vec<&str> = records
        .iter()
        .filter_map(|record| record["entry"]["by"]["host"].as_str())
        .collect();
    assert_eq!(hosts, ["head", "head2"]);
}

/// On the head's own disk: warned of in the plan, halted, copied, and gone on with from the copy.
#[test]
fn failover_with_the_run_on_the_head_s_own_disk() {
    let cluster = two_heads();
    cluster.lab.corrupt_all_databases().expect("disaster");
    cluster.spec(|_| false, "");
    let (shown, _) = plan(&cluster, STATE);
    assert!(shown.stderr.contains(SHARED), "{shown}");
    let ran = interrupted(&cluster, STATE, &cluster.on_head(STATE)).refused("head-changed");
    assert_eq!(ran.code, Some(4), "{ran}");
    assert!(ran.stderr.contains("--take-over head"), "{ran}");
    let other = cluster.lab.root_of(Head::Second).join("var/lib");
    let copied = std::process::Command::new("cp")
        .arg("-a")
        .args([cluster.on_head(STATE), other])
        .status();
    assert!(copied.expect("cp").success());
    let head2 = Head::Second;
    on(&cluster, head2, &["resume", "--yes"]).refused("run-elsewhere");
    on(&cluster, head2, &["resume", "--yes", "--take-over", "head"]).done();
    cluster.everything_is_back();
}

/// Below /cm/shared where it is not mounted: what shows there is of before.
#[test]
fn a_stale_place_is_refused() {
    let cluster = two_heads();
    cluster.lab.corrupt_all_databases().expect("disaster");
    cluster.spec(|_| false, "");
    let snapshot = cluster.snapshot.display().to_string();
    let copied = ["-p", &snapshot, "/root/copy"];
    let copied = cluster.lab.command_on(Head::First, "cp", copied).status();
    assert!(copied.expect("cp").success());
    let umount = cluster
        .lab
        .command_on(Head::First, "umount", ["/cm/shared"])
        .status();
    assert!(umount.expect("umount").success());
    // The snapshot, wherever the runs are kept.
    let plan = on(&cluster, Head::First, &["plan", "--spec", SPEC]).refused("shared-not-mounted");
    assert!(plan.stderr.contains(&snapshot), "{plan}");
    // The runs, wherever the snapshot lies.
    let spec = cluster.on_head(SPEC);
    let text = fs::read_to_string(&spec).expect("spec");
    fs::write(&spec, text.replace(&snapshot, "/root/copy")).expect("spec");
    let args = ["plan", "--spec", SPEC, "--state-dir", SHARED];
    let plan = on(&cluster, Head::First, &args).refused("shared-not-mounted");
    assert!(plan.stderr.contains(SHARED), "{plan}");
    // That nothing shows there is not said as if there were nothing.
    let told = "nothing is mounted at /cm/shared here";
    let status = on(&cluster, Head::First, &["status", "--state-dir", SHARED]).done();
    assert!(status.stderr.contains(told), "{status}");
    let resume = ["resume", "--yes", "--state-dir", SHARED];
    let resume = on(&cluster, Head::First, &resume).refused("run-none");
    assert!(resume.stderr.contains(told), "{resume}");
}
