//! Journals of released formats: each must be read, and lead to the same machine, for ever.
//!
//! A fixture is never written anew. A new format gets a new one, made by `write_a_fixture`.
#![cfg(feature = "testkit")]
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use runbook_core::event::Event;
use runbook_core::journal::{Entry, Format, History, JOURNAL_FORMAT, Outcome};
use runbook_core::machine::Machine;
use runbook_core::names::NodeName;
use runbook_core::plan::SealedPlan;
use runbook_core::run::replay;
use runbook_core::testkit::{Found, Lives, Mortal, World};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

fn read(format: &str) -> (SealedPlan, History) {
    let plan = std::fs::read(fixture(&format!("plan-{format}.json"))).unwrap();
    let journal = std::fs::read(fixture(&format!("journal-{format}.jsonl"))).unwrap();
    let plan = SealedPlan::read(&plan).unwrap();
    (plan, History::read(&journal, format).unwrap())
}

const fn kind(entry: &Entry) -> &'static str {
    match entry {
        Entry::Opened { .. } => "opened",
        Entry::Resumed { .. } => "resumed",
        Entry::Intent { .. } => "intent",
        Entry::Done { acted: true, .. } => "done",
        Entry::Done { acted: false, .. } => "found",
        Entry::Skipped { .. } => "skipped",
        Entry::Failed { .. } => "failed",
        Entry::Halted { .. } => "halted",
        Entry::Closed { .. } => "closed",
        Entry::Unknown => "unknown",
    }
}

#[test]
fn format_1_0() {
    let (plan, history) = read("1.0");
    assert_eq!(history.format, Format { major: 1, minor: 0 });
    assert_eq!(history.torn_bytes, 0);
    assert_eq!(history.outcome(), Some(&Outcome::Completed));

    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for record in &history.records {
        *kinds.entry(kind(&record.entry)).or_default() += 1;
    }
    let every_kind = [
        "closed", "done", "failed", "found", "halted", "intent", "opened", "resumed", "skipped",
    ];
    assert!(kinds.keys().eq(&every_kind), "{kinds:?}");

    let machine = replay(&plan, &history).unwrap();
    assert!(machine.over() && machine.ready().is_empty());
    let boot = "reprovision/node001/boot".parse().unwrap();
    let baseline = machine.baseline(&boot).unwrap();
    assert_eq!(baseline.boot_id, None, "it was off");
    // Every prefix is a journal too: what a crash right behind it would have left.
    let mut machine = Machine::new(&plan.units);
    for record in &history.records {
        machine.apply(&record.entry).unwrap();
    }
}

/// A run with everything in it: a crash, a failure, a halt, something found done, something skipped.
#[test]
#[ignore = "writes a fixture for a new format"]
fn write_a_fixture() {
    let world = World::of(3)
        .node(0, Found::Off)
        .node(1, Found::NoSpool)
        .reprovision(&[0])
        .category_datanode()
        .build();
    let mut lives = Lives::of(&world);
    let node = NodeName::new("node002").unwrap();
    let lose = |event: Event| {
        if matches!(&event, Event::Acting { unit, .. } if unit.id.as_str() == "restore/node002/restore")
        {
            world.lose_mount(&node);
        }
    };
    lives.live_watched(Mortal::after(150), &lose);
    lives.live_watched(Mortal::never(), &lose);
    world.mount(&node);
    lives.live(Mortal::halted(60));
    lives.live(Mortal::never());
    assert_eq!((world.verdict(), world.restored()), (Ok(()), Ok(())));
    let format = format!("{}.{}", JOURNAL_FORMAT.major, JOURNAL_FORMAT.minor);
    for (name, bytes) in [
        (format!("plan-{format}.json"), lives.plan().bytes().to_vec()),
        (format!("journal-{format}.jsonl"), lives.journal()),
    ] {
        let path = fixture(&name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        assert!(!path.exists(), "a fixture is never written anew");
        std::fs::write(path, bytes).unwrap();
    }
}
