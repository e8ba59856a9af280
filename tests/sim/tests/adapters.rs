//! The simulator behind the real adapters: the same seeds, rules and operator as without it.

use std::collections::BTreeSet;
use std::sync::Mutex;

use bright_adapter::programs::Finished;
use runbook_core::testkit::Fault;
use runbook_core::testkit::sim::{Script, each_seed, shrink};
use sim::{Says, Through, play_behind};

const ADAPTERS: Through = Through::Adapters;

fn is_well(script: &Script) {
    let history = ADAPTERS.play(script);
    if let Some(rule) = &history.broken {
        let line = serde_json::to_string(script).unwrap_or_default();
        panic!("{rule}\n{}\n{rule}\n{line}", history.text());
    }
}

/// Each line of `kept.jsonl` broke a rule once, of the code or of the simulator itself.
#[test]
fn kept_histories() {
    for line in include_str!("kept.jsonl").lines() {
        is_well(&serde_json::from_str(line).expect("a script"));
    }
}

/// `make sim THROUGH=adapters SEEDS=…` plays more of them. What can go wrong at this seam does, and is told apart.
#[test]
fn some_seeds() {
    let had = Mutex::new(BTreeSet::new());
    each_seed(0..400, |seed| {
        let script = ADAPTERS.draw(seed);
        let history = ADAPTERS.play(&script);
        if let Some(rule) = history.broken {
            is_well(&shrink(&script, |s| ADAPTERS.play(s).broken.is_some()));
            panic!("seed {seed}: {rule}");
        }
        let own = history.had.into_keys();
        had.lock().expect("nobody panics with it").extend(own);
    });
    let had = had.into_inner().expect("nobody panics with it");
    let faults = Fault::ALL.map(|kind| format!("fault {kind:?}"));
    let rest = [
        "halt cmsh-not-permitted",
        "halt cmsh-refused",
        "halt cmsh-timeout",
        "halt head-changed",
        "halt ssh-denied",
        "halt ssh-host-key",
        "halt ssh-timeout",
        "halt ssh-unreachable",
        "incident FailsOver",
        "incident ManagerRestarts",
        "incident SshCut",
        "undo",
        "went to the other head",
    ];
    for what in rest.map(String::from).into_iter().chain(faults) {
        assert!(had.contains(&what), "{what} in none of {had:#?}");
    }
}

#[test]
fn one_seed_is_one_history() {
    for seed in 0..20 {
        let script = ADAPTERS.draw(seed);
        let (one, other) = (ADAPTERS.play(&script), ADAPTERS.play(&script));
        assert!(one.text() == other.text(), "seed {seed}");
        assert_eq!(
            (one.had, one.lives),
            (other.had, other.lives),
            "seed {seed}"
        );
    }
}

/// The rules look at the world and not at what is said of it, so a text that is wrong is noticed.
#[test]
fn a_wrong_answer_breaks_a_rule() {
    let a_data_node = |mut finished: Finished| {
        replace(&mut finished, r#""datanode": "no""#, r#""datanode": "yes""#);
        finished
    };
    is_noticed(a_data_node, "no data node");
    let stopped = |mut finished: Finished| {
        replace(&mut finished, "ActiveState=active", "ActiveState=inactive");
        // The ports of etcd, in the kernel's tables.
        replace(&mut finished, ":094B ", ":0016 ");
        replace(&mut finished, ":094C ", ":0016 ");
        finished
    };
    is_noticed(stopped, "while etcd was running");
}

fn replace(finished: &mut Finished, from: &str, to: &str) {
    let text = String::from_utf8_lossy(&finished.stdout);
    finished.stdout = text.replace(from, to).into_bytes();
}

fn is_noticed(says: Says, breaks: &str) {
    let noticed = |seed| {
        let broken = play_behind(&ADAPTERS.draw(seed), says).broken;
        broken.is_some_and(|rule| rule.contains(breaks))
    };
    assert!((0..60).any(noticed), "nobody sees: {breaks}");
}
