//! What a fixed plan looks like, in every format.

use insta::assert_snapshot;
use runbook_core::plan::SealedPlan;
use runbook_core::testkit::{World, run_id};

use super::probe::Probed;
use super::{json, markdown, text};

fn world() -> World {
    World::of(3).reprovision(&[0]).build()
}

fn plan() -> SealedPlan {
    world().plan(run_id(1)).unwrap()
}

fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

#[test]
fn a_plan_as_text() {
    assert_snapshot!(plain(&text::plan(&plan())));
}

#[test]
fn a_plan_in_short() {
    assert_snapshot!(plain(&text::summary(&plan())));
}

#[test]
fn a_plan_as_markdown() {
    assert_snapshot!(markdown::plan(&plan()));
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

#[test]
fn it_reads_without_colour() {
    let colored = text::plan(&plan());
    assert!(colored.contains('\u{1b}'));
    let plain = plain(&colored);
    for word in ["DESTRUCTIVE", "POINT OF NO RETURN", "WIPED"] {
        assert!(plain.contains(word), "{word}");
    }
}
