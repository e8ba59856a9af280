//! The cluster manager at its worst: what must be survived, and what must be recognised.

use std::fs;

use serde_json::{Value, json};

use crate::harness::{Cluster, Ran, until};

/// The spec with deadlines for somebody who knows that nothing will come of it.
fn impatient(cluster: &Cluster) {
    cluster.spec(|_| true, "");
    let file = cluster.on_head("/root/spec.yaml");
    let spec = fs::read_to_string(&file).expect("spec");
    let spec = spec
        .replace("quick_s: 60", "quick_s: 3")
        .replace("reprovision_s: 300", "reprovision_s: 20");
    fs::write(&file, spec).expect("spec");
}

fn set(cluster: &Cluster, scenario: &Value) {
    cluster.lab.scenario(scenario).expect("scenario");
}

/// Every answer is noisy, some are half or lost, some sessions find no daemon, and the daemon is killed and comes
/// back between two phases: the restore is whole.
#[test]
fn the_worst_that_must_still_succeed() {
    let cluster = Cluster::of(1);
    cluster.lose_all_disks();
    cluster.spec(|_| true, "");
    let digest = cluster.plan();
    set(
        &cluster,
        &json!({
            "output": ["events", "colour", "echo"],
            "faults": [
                { "what": "lost-answer", "at": "removefrom nodes", "times": 1 },
                { "what": "session-ended-late", "at": "append nodes", "times": 1 },
                { "what": "half-answer", "at": "set nextinstallmode", "times": 1 },
                { "what": "warning", "at": "set datanode" },
                { "what": "half-answer", "at": "list -f hostname", "skip": 4, "times": 2 },
                { "what": "no-daemon", "at": "list -f hostname", "skip": 10, "times": 2 },
            ],
        }),
    );
    let mut life = cluster.start_run(&digest);
    until("the restore", || {
        let ended = life.try_wait().expect("wait").is_some();
        ended
            || cluster
                .entries("intent")
                .iter()
                .any(|unit| unit.starts_with("restore/"))
    });
    cluster.lab.cmdaemon(false).expect("stop");
    cluster.lab.cmdaemon(true).expect("start");
    let output = life.wait_with_output().expect("the end");
    let ran = Ran::new(&["run"], &output);
    set(&cluster, &json!({}));
    ran.done();
    cluster.everything_is_back();
}

/// Whatever keeps a plan from being made is named, and nothing is changed.
#[test]
fn a_plan_names_what_is_in_its_way() {
    let cluster = Cluster::of(1);
    cluster.spec(|_| true, "allow: {quorum: \"a test\"}\n");
    let plan = ["plan", "--spec", "/root/spec.yaml"];
    cluster.tool(&plan).done();
    let faults = [
        ("no-daemon", "cmsh-refused", "systemctl status cmd"),
        (
            "not-permitted",
            "cmsh-not-permitted",
            "does not allow access",
        ),
        ("half-answer", "cmsh-answer", "run the same batch by hand"),
        // Not a failover, but it reads like one.
        ("lost-answer", "cmsh-session-ended", "connection lost"),
        ("session-ended", "cmsh-session-ended", "no longer master"),
    ];
    for (what, code, words) in faults {
        set(
            &cluster,
            &json!({ "faults": [{ "what": what, "at": "list -f" }] }),
        );
        let refused = cluster.tool(&plan).refused(code);
        assert!(refused.stderr.contains(words), "{what}: {refused}");
    }
    set(&cluster, &json!({ "output": ["cut"] }));
    cluster.tool(&plan).refused("cmsh-answer");
    set(&cluster, &json!({}));
    let cmsh = cluster.on_head(lab::CMSH);
    let away = cmsh.with_extension("away");
    fs::rename(&cmsh, &away).expect("rename");
    cluster.tool(&plan).refused("cmsh-missing");
    fs::copy(&away, &cmsh).expect("copy");
    let mut not_executable = fs::metadata(&away).expect("mode").permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut not_executable, 0o644);
    fs::set_permissions(&cmsh, not_executable).expect("chmod");
    cluster.tool(&plan).refused("cmsh-not-runnable");
    fs::rename(&away, &cmsh).expect("rename");
    cluster.tool(&plan).done();
    assert_eq!(cluster.changes().len(), 0, "{:?}", cluster.changes());
}

/// Each life of a run meets another fault, halts and says so; the last one meets none and is through.
///
/// Where an effect's answer leaves open what happened, the tool waits for the effect until the deadline, and
/// then tells what it sees.
#[test]
fn a_run_halts_at_each_fault_and_goes_on() {
    let cluster = Cluster::of(1);
    cluster.lose_all_disks();
    impatient(&cluster);
    let digest = cluster.plan();
    let fault = |what: &str| json!({ "faults": [{ "what": what, "at": "commit" }] });
    let still = "has Etcd::Host from the node list";
    let unreachable = json!({ "installs": { "node001": { "what": "unreachable" } } });
    let halts = [
        (
            fault("read-only"),
            "cmsh-not-permitted",
            "CMDevice::updateDevice",
        ),
        (
            fault("refused"),
            "cmsh-invalid",
            "The category should be set",
        ),
        (fault("no-effect"), "deadline", still),
        (fault("session-ended"), "deadline", still),
        (
            unreachable,
            "installer-unreachable",
            "INSTALLER_UNREACHABLE",
        ),
    ];
    let mut begun = false;
    for (scenario, code, words) in &halts {
        set(&cluster, scenario);
        let ran = if begun {
            cluster.resume()
        } else {
            cluster.run(&digest)
        };
        begun = true;
        let halted = ran.refused(code);
        assert!(halted.stderr.contains(words), "{scenario}: {halted}");
    }
    set(&cluster, &json!({}));
    // As the last halt's hint has it.
    cluster.cmsh("device; power -n node001 reset");
    cluster.resume().done();
    cluster.everything_is_back();
}
