//! What a fixed plan looks like, in every format.

use std::path::Path;

use insta::assert_snapshot;
use runbook_core::plan::{Draft, SealedPlan};
use runbook_core::testkit::{World, run_id};

use super::next::Next;
use super::probe::Probed;
use super::{json, markdown, recovery, text};
use crate::args::Cli;

fn world() -> World {
    World::of(3).reprovision(&[0]).build()
}

fn plan() -> SealedPlan {
    world().plan(run_id(1)).unwrap()
}

/// What was typed where, and what somebody's environment says besides.
fn typed() -> Cli {
    let line = "restore-runbook --state-dir /cm/shared/rr plan --spec s.yaml --etcd-ca";
    Cli::read(line.split(' ').chain(["/pki/my ca.crt"])).unwrap()
}

fn next(cli: &Cli) -> Next<'_> {
    Next {
        options: &cli.global,
        spec: Path::new("s.yaml"),
        out: Some(Path::new("plan of mine.json")),
        refused: false,
    }
}

fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

#[test]
fn a_plan_as_text() {
    let next = text::next_step(&plan(), next(&typed()));
    assert_snapshot!(plain(&format!("{}{next}", text::plan(&plan()))));
}

#[test]
fn a_plan_in_short() {
    assert_snapshot!(plain(&text::summary(&plan())));
}

#[test]
fn a_plan_as_markdown() {
    let next = markdown::next_step(&plan(), next(&typed()));
    assert_snapshot!(format!("{}{next}", markdown::plan(&plan())));
}

#[test]
fn a_plan_as_json_is_its_own_bytes() {
    assert_snapshot!(String::from_utf8(plan().bytes().to_vec()).unwrap());
}

#[test]
fn a_probed_plan() {
    let world = world();
    let plan = world.plan(run_id(1)).unwrap();
    let probed = world.drive(Probed::ask(&plan, &world.ports()));
    assert!(!probed.refused() && probed.changes());
    assert_snapshot!(plain(&probed.text()));
    let value = json::probed(&plan, &probed);
    assert_eq!(value["preflight"], "holds");
    assert_eq!(value["probe"].as_array().unwrap().len(), plan.units.len());
    assert!(!probed.markdown().contains('\u{1b}'));
}

/// A plan file is only as trustworthy as what was proven, and the names in that are anybody's.
#[test]
fn kinds_are_summed_and_cannot_steer_the_terminal() {
    let world = world();
    let plan = plan();
    let mut seen = plan.world.clone();
    let kinds = &mut seen.snapshot.content.kinds;
    kinds.extend((0..9).map(|n| (format!("kind{n}\x1b[2J"), 10 - n)));
    let draft = Draft::restore(&world.spec(), &seen, run_id(1)).unwrap();
    let plan = draft.seal(&world.ports()).unwrap();
    let lines = recovery::lines(&plan).join("\n");
    assert!(!lines.contains('\x1b'), "{lines}");
    assert!(
        lines.ends_with("6 kind4\\u{1b}[2J, 14 in 4 other kinds"),
        "{lines}"
    );
}

#[test]
fn it_reads_without_colour() {
    let colored = text::plan(&plan());
    assert!(colored.contains('\u{1b}'));
    let plain = plain(&colored);
    for word in ["DESTRUCTIVE", "POINT OF NO RETURN", "WIPED"] {
        assert!(plain.contains(word), "{word}");
    }
}

#[test]
fn behind_the_point_of_no_return_no_way_back_is_promised() {
    let plan = World::of(3)
        .reprovision_all()
        .build()
        .plan(run_id(1))
        .unwrap();
    let pages = [plain(&text::plan(&plan)), markdown::plan(&plan)];
    for page in pages {
        let (before, behind) = page.split_once("POINT OF NO RETURN").unwrap();
        assert!(behind.contains("node001, node002, node003 may be wiped at the same time"));
        let until = "while `undo` is not refused yet: ";
        assert!(!before.contains(until));
        // Other members may still be where it can be taken back.
        assert!(behind.contains(&format!("{until}set datanode of node002 to yes")));
        // In a later phase none is.
        let later = behind.split_once("the restored data its owner").unwrap().1;
        let ways = later
            .lines()
            .filter(|line| line.contains("undo  ") || line.contains("undo: "));
        assert!(
            ways.clone().all(|line| line.contains("impossible")),
            "{:?}",
            ways.collect::<Vec<_>>()
        );
    }
}
