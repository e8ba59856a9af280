//! The simulator: histories that once broke a rule, the same seed twice, and many seeds.
#![cfg(feature = "testkit")]
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use runbook_core::testkit::Incident;
use runbook_core::testkit::sim::{Scene, Script, each_seed, shrink, simulate};

fn is_well(script: &Script) {
    let history = simulate(script);
    if let Some(rule) = &history.broken {
        let line = serde_json::to_string(script).unwrap();
        panic!("{rule}\n{}\n{rule}\n{line}", history.text());
    }
}

fn are_well(seeds: std::ops::Range<u64>) {
    each_seed(seeds, |seed| {
        let script = Script::draw(seed);
        if let Some(rule) = simulate(&script).broken {
            let breaks = |script: &Script| simulate(script).broken.is_some();
            is_well(&shrink(&script, breaks));
            panic!("seed {seed}: {rule}");
        }
    });
}

/// Each line of `kept.jsonl` broke a rule once, of the code or of the simulator itself.
#[test]
fn kept_histories() {
    let kept = include_str!("kept.jsonl");
    for line in kept.lines() {
        is_well(&serde_json::from_str(line).unwrap());
    }
    assert!(kept.lines().count() > 10);
}

#[test]
fn some_seeds() {
    are_well(0..1_000);
}

/// `make sim SEEDS=…` plays more of them, and says what was in them.
#[test]
fn many_seeds() {
    are_well(1_000..21_000);
}

#[test]
fn one_seed_is_one_history() {
    for seed in 0..50 {
        let script = Script::draw(seed);
        let (one, other) = (simulate(&script), simulate(&script));
        assert!(one.text() == other.text(), "seed {seed}");
        assert_eq!(
            (one.had, one.lives),
            (other.had, other.lives),
            "seed {seed}"
        );
        // What is kept is what was drawn.
        let line = serde_json::to_string(&script).unwrap();
        assert_eq!(serde_json::from_str::<Script>(&line).unwrap(), script);
    }
}

/// A history shrinks to what it takes. That a broken rule is seen is for `watcher.rs`.
#[test]
fn a_script_shrinks_to_what_it_takes() {
    let breaks = |script: &Script| {
        let given = |scene: &Scene| {
            scene
                .during
                .iter()
                .any(|(_, i)| *i == Incident::RoleGiven(0))
        };
        script.lives.iter().any(given)
    };
    let long = (0..10_000).map(Script::draw).find(breaks).unwrap();
    let short = shrink(&long, breaks);
    assert_eq!(short.lives.len(), 1);
    let scene = &short.lives[0];
    assert_eq!((scene.before.len(), scene.during.len()), (0, 1));
    assert_eq!((short.faults.percent, scene.undo), (0, false));
}

/// Everything that can be drawn is drawn, and happens.
#[test]
fn every_fault_and_every_incident_is_in_some_history() {
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..3_000 {
        seen.extend(simulate(&Script::draw(seed)).had.into_keys());
    }
    let faults = runbook_core::testkit::Fault::ALL.map(|kind| format!("fault {kind:?}"));
    let incidents = Incident::ALL.map(|incident| format!("incident {}", incident.kind()));
    let tears = runbook_core::testkit::Tear::ALL.map(|tear| format!("journal {tear:?}"));
    let ends = [
        "death at an await",
        "halt on request",
        "machine loses power",
        "planned anew",
        "requests outlive their life",
        "undo",
        "undo refused",
        "went to the other head",
    ]
    .map(String::from);
    for what in faults.into_iter().chain(incidents).chain(tears).chain(ends) {
        assert!(seen.contains(&what), "{what} in none of them");
    }
}
