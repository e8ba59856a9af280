//! What is dangerous while a run stands where it does, against what the world shows.
#![cfg(feature = "testkit")]
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "common/sweep.rs"]
mod sweep;

use runbook_core::danger::{Danger, dangers, found_lowered};
use runbook_core::machine::UnitState;
use runbook_core::names::NodeName;
use runbook_core::plan::{Draft, SealedPlan, Unit};
use runbook_core::testkit::{Builder, Effect, Lives, Mortal, World, run_id};
use sweep::at_every_await;

fn node(name: &str) -> NodeName {
    NodeName::new(name).unwrap()
}

fn of(lives: &Lives) -> Vec<Danger> {
    dangers(lives.plan(), lives.machine().unwrap())
}

fn done(lives: &Lives, unit: &str) -> bool {
    let mut states = lives.machine().unwrap().states();
    states.any(|(id, state)| id.as_str() == unit && state == UnitState::Done)
}

/// A run of this world that dies at each of its awaits in turn, or at every so manieth.
fn sweep(world: &Builder, step: usize, mut look: impl FnMut(&World, &Lives)) {
    for (at, world) in at_every_await(world).step_by(step) {
        let mut lives = Lives::of(&world);
        lives.live(Mortal::after(at));
        look(&world, &lives);
    }
}

/// Between the mark and the wipe any boot wipes; between the wipe and the guard any role starts an empty etcd.
#[test]
fn a_marked_node_and_a_bare_disk_are_dangers() {
    let (mut marked, mut bare) = (0, 0);
    sweep(&World::of(1).reprovision_all(), 1, |_, lives| {
        let done = |step| done(lives, &format!("reprovision/node001/{step}"));
        let (mark, disk) = (
            Danger::Marked(vec![node("node001")]),
            Danger::Bare(vec![node("node001")]),
        );
        let told = of(lives);
        if done("install-mode") && !done("boot") {
            assert!(told.contains(&mark), "{told:?}");
            marked += 1;
        }
        if done("boot") && !done("guard") {
            assert!(told.contains(&disk), "{told:?}");
            bare += 1;
        }
        if done("guard") || !done("datanode") {
            assert!(!told.contains(&mark) && !told.contains(&disk), "{told:?}");
        }
    });
    assert!(marked > 0 && bare > 0, "{marked} {bare}");
}

/// As long as a role is away, and as long as a disk is gone for good, that is told; at the end nothing is.
#[test]
fn a_stopped_etcd_and_the_way_forward_are_told() {
    let world = World::of(3).reprovision_all();
    let (mut stopped, mut forward) = (0, 0);
    sweep(&world, 7, |world, lives| {
        let told = of(lives);
        if world.times(&Effect::RoleTaken) > 0 && !done(lives, "reassign/assign") {
            assert!(told.contains(&Danger::EtcdStopped), "{told:?}");
            stopped += 1;
        }
        if world.times(&Effect::Wiped) > 0 && !lives.machine().unwrap().over() {
            assert!(told.contains(&Danger::NoReturn), "{told:?}");
            forward += 1;
        }
    });
    assert!(stopped > 20 && forward > 20, "{stopped} {forward}");
    let mut through = Lives::of(&world.build());
    through.live(Mortal::never());
    assert_eq!(of(&through), Vec::new());
}

/// What is lowered is told until it is raised, by node and by category, and not twice.
#[test]
fn lowered_flags_are_told() {
    let world = World::of(3).reprovision(&[1]).category_datanode();
    let (mut own, mut of_category) = (0, 0);
    sweep(&world, 7, |_, lives| {
        let told = of(lives);
        let exposed = told.iter().find_map(|danger| match danger {
            Danger::Exposed(nodes) => Some(nodes.clone()),
            _ => None,
        });
        for danger in &told {
            if let Danger::Lowered { nodes, categories } = danger {
                let twice = |node| exposed.as_ref().is_some_and(|nodes| nodes.contains(node));
                assert!(!nodes.iter().any(twice), "{told:?}");
                own += nodes.len();
                of_category += categories.len();
            }
        }
    });
    assert!(own > 5 && of_category > 5, "{own} {of_category}");
}

/// A run that is given up leaves its category lowered, and the next one raises only what it lowers itself: its plan says
/// so, and the plan that is made once it is on again sets it on at its end.
#[test]
fn a_category_that_an_earlier_run_has_left_lowered() {
    let world = World::of(3).reprovision(&[1]).category_datanode().build();
    let mut lives = Lives::of(&world);
    let told = |plan: &SealedPlan| {
        let risk = plan.risks.iter().find(|risk| risk.contains("off ALREADY"));
        let found = found_lowered(&plan.spec, &plan.world);
        assert_eq!(risk.is_some(), !found.is_empty());
        risk.cloned()
    };
    assert_eq!(told(lives.plan()), None);
    let category = lives.plan().world.members[1].device.category.clone();
    let lowered = Effect::CategoryDatanode(category.clone(), false);
    let mut at = 0;
    while world.times(&lowered) == 0 {
        at += 1;
        lives.live(Mortal::halted(at));
    }
    world.allow(&[run_id(1)]);
    let risk = told(&world.plan(run_id(2)).unwrap()).expect("it is told");
    let way = format!("`category; use {category}; set datanode yes; commit`");
    assert!(risk.contains(&way), "{risk}");
    world.set_category_datanode(&category, true);
    let plan = world.plan(run_id(3)).unwrap();
    assert_eq!(told(&plan), None);
    let raises =
        |unit: &Unit| unit.id.as_str() == format!("datanode/category-{category}-datanode-yes");
    assert!(plan.units.iter().any(raises));
}

/// While a node waits in its installer anybody can have its disk wiped; in an undo somebody has to reset it.
#[test]
fn a_node_that_asks_is_a_danger_until_it_was_answered() {
    let world = World::of(1).reprovision_all().confirm().build();
    let mut lives = Lives::of(&world);
    let mut at = 0;
    while world.times(&Effect::WaitsForConfirmation) == 0 {
        at += 1;
        lives.live(Mortal::halted(at));
    }
    let asking = Danger::Asking(vec![node("node001")]);
    let told = of(&lives);
    assert!(told.contains(&asking), "{told:?}");
    assert!(
        !told.contains(&Danger::NoReturn),
        "it can be undone: {told:?}"
    );
    let undo = Draft::undo(lives.plan(), lives.machine().unwrap(), run_id(2)).unwrap();
    let mut back = Lives::with_plan(&world, undo.seal(&world.ports()).unwrap());
    back.live(Mortal::halted(8));
    let reset = Danger::ToBeReset(vec![node("node001")]);
    assert_eq!(of(&back), [Danger::EtcdStopped, reset]);
    lives.live(Mortal::never());
    assert!(!of(&lives).contains(&asking));
}
