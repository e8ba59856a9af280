//! The plan in a run's own directory, changed between two lives into another one that is as good a plan: the
//! journal knows with which it was begun.

use std::fs;

use runbook_core::plan::SealedPlan;
use runbook_core::testkit::World;

use super::tests::refused;
use crate::exit::Exit;
use crate::testing::{Head, text};

/// Words for people, a limit, a tolerance: nothing in the plan contradicts any of them.
const EDITS: [(&str, &str); 4] = [
    ("\"why\": \"on a passive", "\"why\": \"On a passive"),
    ("\"risks\": [\n    \"From", "\"risks\": [\n    \"from"),
    ("\"deadline_s\": 60", "\"deadline_s\": 61"),
    ("\"parallel\": ", "\"parallel\": 1"),
];

/// Such a plan in the place of a run's own; what it was.
fn edited(head: &Head, (from, to): (&str, &str)) -> Vec<u8> {
    let file = head.newest_run().join("plan.json");
    let whole = text(&file);
    let other = whole.replacen(from, to, 1);
    assert_ne!(other, whole, "there is no {from}");
    let plan = SealedPlan::read(other.as_bytes()).unwrap();
    assert_eq!(
        plan.digest(),
        runbook_core::digest::Digest::of(other.as_bytes())
    );
    fs::write(file, other).unwrap();
    whole.into_bytes()
}

#[test]
fn a_run_does_not_go_on_with_another_plan_than_it_was_begun_with() {
    for edit in EDITS {
        let head = Head::new(World::of(3).build());
        let run = head.planned();
        let moved = || head.journal().contains("move-spool/node001");
        assert!(head.killed_when(&run, moved).is_none());
        let whole = edited(&head, edit);
        let (log, journal) = (head.world.log(), head.journal());

        let zeros = "0".repeat(64);
        let approved = format!("undo --approve sha256:{zeros}");
        let id = head.newest_run().file_name().unwrap().to_owned();
        let given_up = format!("abandon {} --reason tired", id.to_str().unwrap());
        for line in ["resume --yes", "undo", &approved, &given_up] {
            let did = head.tool(line);
            refused(&did, Exit::Record, "journal-other-plan");
            let digest = runbook_core::digest::Digest::of(&whole).to_string();
            assert!(did.stderr.contains(&digest), "{}", did.stderr);
        }
        let status = head.tool("status");
        assert_eq!(status.result, Ok(Exit::Record), "{status:?}");
        assert!(status.stdout.contains("[journal-other-plan]"), "{status:?}");
        assert_eq!(head.world.log(), log, "{edit:?}");
        assert_eq!(head.journal(), journal, "{edit:?}");

        fs::write(head.newest_run().join("plan.json"), whole).unwrap();
        assert_eq!(head.tool("resume --yes").result, Ok(Exit::Done));
        head.world.verdict().unwrap();
    }
}
