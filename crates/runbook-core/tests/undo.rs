//! Undo: up to the point of no return everything goes back to what it was; behind it, nothing does.
#![cfg(feature = "testkit")]
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use runbook_core::event::{Event, NoEvents};
use runbook_core::machine::Machine;
use runbook_core::names::{NodeName, UnitId};
use runbook_core::observe::drift;
use runbook_core::plan::{Action, Draft, ManagerEffect, PlanError, SealedPlan};
use runbook_core::run::RunEnd;
use runbook_core::testkit::{
    Builder, Effect, Found, Incident, Life, Lives, Mortal, Tear, World, run_id,
};
use runbook_core::world::{DeviceStatus, InstallMode, SpoolState};

fn worlds() -> Vec<(&'static str, Builder)> {
    vec![
        ("one in place", World::of(1)),
        ("three in place", World::of(3)),
        ("three serving", World::of(3).every_node(Found::Serving)),
        ("one to be wiped", World::of(1).reprovision_all()),
        (
            "three to be wiped",
            World::of(3)
                .reprovision_all()
                .category_datanode()
                .datanode(false),
        ),
        (
            "one without data",
            World::of(3)
                .node(2, Found::EmptySpool)
                .node(1, Found::NoSpool),
        ),
        ("no data at all", World::of(1).node(0, Found::EmptySpool)),
    ]
}

struct Scene {
    name: &'static str,
    builder: Builder,
    plan: Arc<SealedPlan>,
    waits: u64,
    appends: usize,
}

impl Scene {
    fn new((name, builder): (&'static str, Builder)) -> Self {
        let plan = Arc::new(builder.clone().build().plan(run_id(1)).unwrap());
        let mut lives = Lives::with_plan(&builder.clone().build(), Arc::clone(&plan));
        lives.live(Mortal::never());
        lives.completed().unwrap_or_else(|wrong| panic!("{wrong}"));
        Self {
            name,
            builder,
            plan,
            waits: lives.waits(),
            appends: lives.appends(),
        }
    }

    /// A run that dies so, and the plan that takes it back.
    fn dies(&self, death: Mortal) -> (World, Lives, Result<SealedPlan, PlanError>) {
        let world = self.builder.clone().build();
        let mut lives = Lives::with_plan(&world, Arc::clone(&self.plan));
        lives.live(death);
        let undo = undo_of(&world, &lives);
        (world, lives, undo)
    }

    /// Dies, is taken back through these deaths, and looks as it did before. False behind the point
    /// of no return.
    fn taken_back(&self, death: Mortal, deaths: &[Mortal]) -> Result<bool, String> {
        let place = format!("{}, {death:?}, {deaths:?}", self.name);
        let (world, mut lives, undo) = self.dies(death);
        let undo = match undo {
            Ok(undo) => undo,
            Err(error) if error.code() == "past-no-return" => {
                // The way is forward.
                lives.live_on(3);
                return lives.completed().map(|()| false);
            }
            Err(error) => return Err(format!("{place}: {error}")),
        };
        let mut back = Lives::with_plan(&world, undo);
        for death in deaths {
            back.live(*death);
        }
        if !back.live_on(3) {
            return Err(format!("{place}: {}", world.story()));
        }
        world
            .verdict()
            .map_err(|wrong| format!("{place}: {wrong}"))?;
        self.looks_as_before(&world)
            .map_err(|wrong| format!("{place}: {wrong}\n{}", world.story()))?;
        Ok(true)
    }

    fn looks_as_before(&self, world: &World) -> Result<(), String> {
        // What the role brings about comes after some delay.
        world.pass(Duration::from_secs(60));
        let now = world.observed().map_err(|error| error.to_string())?;
        let had_data = |at: usize| {
            let host = self.plan.world.members[at].host.as_ref().unwrap();
            host.spool == SpoolState::Data
        };
        for found in drift(&self.plan.world, &now) {
            // A node without data keeps its guard and does not get the role: it would start empty.
            let without_data = (0..now.members.len()).any(|at| {
                let of = |field: &str| found.at.starts_with(&format!("members[{at}].{field}"));
                !had_data(at) && (of("host.spool") || of("role_from"))
            });
            if !without_data {
                return Err(found.to_string());
            }
        }
        Ok(())
    }
}

#[test]
fn at_every_await_before_the_point_of_no_return() {
    for scene in worlds().into_iter().map(Scene::new) {
        let (mut back, mut forward) = (0, 0);
        for at in 1..=scene.waits {
            match scene.taken_back(Mortal::after(at), &[]) {
                Ok(true) => back += 1,
                Ok(false) => forward += 1,
                Err(wrong) => panic!("{wrong}"),
            }
        }
        assert!(
            back > 20 && forward > 20,
            "{}: {back} {forward}",
            scene.name
        );
    }
}

#[test]
fn while_requests_of_the_dead_life_still_land() {
    for scene in worlds().into_iter().map(Scene::new) {
        for at in (1..=scene.waits).step_by(2) {
            let life = scene.taken_back(Mortal::after(at).requests_land(), &[]);
            life.unwrap_or_else(|wrong| panic!("{wrong}"));
        }
    }
}

/// The cluster manager answers a write too late for the run, which halts, and works it off when the undo has
/// begun: the undo does not take it for undone before that.
#[test]
fn a_write_that_comes_true_behind_its_run() {
    for scene in worlds().into_iter().map(Scene::new) {
        let mut back = 0;
        for at in (1..=scene.waits).step_by(4) {
            let world = scene.builder.clone().build();
            let mut lives = Lives::with_plan(&world, Arc::clone(&scene.plan));
            let late = Duration::from_secs(150);
            lives.live_beside(Mortal::never(), &NoEvents, |waits| {
                if waits == at {
                    world.writes_late(Some(late));
                }
            });
            world.writes_late(None);
            let Ok(undo) = undo_of(&world, &lives) else {
                continue;
            };
            let mut undo = Lives::with_plan(&world, undo);
            assert!(undo.live_on(3), "{} at {at}: {}", scene.name, world.story());
            world.pass(late);
            if let Err(wrong) = scene.looks_as_before(&world) {
                panic!("{} at {at}: {wrong}\n{}", scene.name, world.story());
            }
            assert_eq!(world.verdict(), Ok(()), "{} at {at}", scene.name);
            back += 1;
        }
        assert!(back > 5, "{}: {back}", scene.name);
    }
}

/// Behind everything else the undo looks once more, and takes back again what is not as before any more, so that
/// it never ends undone where it is not.
#[test]
fn what_is_changed_behind_its_back_is_taken_back() {
    let changes: [fn(&World, &NodeName); 3] = [
        |world, node| world.set_install_mode(node, Some(InstallMode::Full)),
        |world, node| world.set_datanode(node, false),
        |world, _| assert!(world.befall(Incident::RoleTaken(0))),
    ];
    let scene = Scene::new(("", World::of(1).reprovision_all()));
    let (node, boot) = (node("node001"), "reprovision/node001/install-mode");
    for changed in changes {
        let (world, lives) = dies_before(&scene.builder, boot);
        let mut back = Lives::with_plan(&world, undo_of(&world, &lives).unwrap());
        let behind = |event: Event| match event {
            Event::Done { unit, .. } if unit.id.as_str() == "stop/assign-again" => {
                changed(&world, &node);
            }
            _ => {}
        };
        let life = back.live_watched(Mortal::never(), &behind);
        assert!(life.completed(), "{life:?}\n{}", world.story());
        if let Err(wrong) = scene.looks_as_before(&world) {
            panic!("{wrong}\n{}", world.story());
        }
    }
}

/// The undo dies as well, at every await, behind every record of the run that it takes back.
#[test]
fn an_undo_that_dies() {
    for scene in worlds().into_iter().map(Scene::new) {
        let step = if scene.plan.world.members.len() == 1 {
            1
        } else {
            4
        };
        // Behind the first record: before it there is no run.
        for append in (1..scene.appends).step_by(step) {
            let death = Mortal::torn(append, Tear::Answer);
            let (world, _, undo) = scene.dies(death);
            let Ok(undo) = undo else {
                continue;
            };
            let mut measure = Lives::with_plan(&world, undo);
            measure.live_on(3);
            for at in (1..=measure.waits()).step_by(2 * step - 1) {
                let life = scene.taken_back(death, &[Mortal::after(at)]);
                life.unwrap_or_else(|wrong| panic!("{wrong}"));
            }
        }
    }
}

/// Behind the first destructive effect, and behind the role's return, there is no plan to go back.
#[test]
fn behind_the_point_of_no_return_it_is_refused() {
    for scene in worlds().into_iter().map(Scene::new) {
        let no_return = scene.plan.point_of_no_return.clone().unwrap();
        for at in 1..=scene.waits {
            let (world, lives, undo) = scene.dies(Mortal::after(at));
            let machine = lives.machine().unwrap();
            let begun = scene.plan.units.iter().any(|unit| {
                let given = matches!(
                    &unit.act,
                    Some(Action::Manager(ManagerEffect::AssignRole { .. }))
                );
                machine.intended(&unit.id) && (unit.destructive || given)
            });
            assert_eq!(undo.is_err(), begun, "{} at {at}: {no_return}", scene.name);
            let destroyed = world.times(&Effect::Wiped) + world.times(&Effect::RoleGiven);
            assert!(begun || destroyed == 0, "{} at {at}", scene.name);
            if let Err(error) = undo {
                assert_eq!(error.code(), "past-no-return");
                assert!(error.hint().unwrap().contains("resume"));
            }
        }
    }
}

#[test]
fn an_undo_never_gives_the_role_to_a_node_without_data() {
    let scene = Scene::new(("", World::of(3).node(2, Found::EmptySpool)));
    let (world, _, undo) = scene.dies(Mortal::torn(40, Tear::Answer));
    Lives::with_plan(&world, undo.unwrap()).live_on(3);
    world.pass(Duration::from_secs(600));
    let given: Vec<String> = world
        .log()
        .iter()
        .filter(|logged| logged.effect == Effect::RoleGiven)
        .map(|logged| logged.node.as_ref().unwrap().to_string())
        .collect();
    assert_eq!(given, ["node001", "node002"]);
    assert_eq!(world.verdict(), Ok(()));
}

/// Each node that does not get the role again is named, with the reason and the way on: powered on later, its
/// etcd would never start, and nobody would know why.
#[test]
fn a_node_that_is_left_without_its_role_is_named() {
    let builder = World::of(3)
        .node(1, Found::EmptySpool)
        .node(2, Found::Off)
        .reprovision(&[2]);
    let (world, lives) = dies_before(&builder, "move-spool/node001/aside");
    let undo = undo_of(&world, &lives).unwrap();
    let left: Vec<(&str, &str)> = undo
        .units
        .iter()
        .filter(|unit| unit.id.as_str().ends_with("assign-again"))
        .filter_map(|unit| Some((unit.id.as_str(), unit.skip.as_deref()?)))
        .collect();
    let [(second, no_data), (third, silent)] = left[..] else {
        panic!("{left:?}");
    };
    assert_eq!(
        (second, third),
        ("stop/node002/assign-again", "stop/node003/assign-again")
    );
    assert!(no_data.starts_with("node002 had no data"), "{no_data}");
    assert!(silent.starts_with("node003 did not answer"), "{silent}");
    assert!(silent.contains("append nodes node003; commit"), "{silent}");
    assert!(Lives::with_plan(&world, undo).live_on(3));
    assert_eq!(world.times(&Effect::RoleGiven), 1);
}

#[test]
fn an_undo_is_not_undone() {
    let scene = Scene::new(("", World::of(1)));
    let (world, _, undo) = scene.dies(Mortal::torn(12, Tear::Answer));
    let mut back = Lives::with_plan(&world, undo.unwrap());
    back.live(Mortal::after(3));
    let error = Draft::undo(back.plan(), back.machine().unwrap(), run_id(3)).unwrap_err();
    assert_eq!(error.code(), "undo-of-undo");
}

fn node(name: &str) -> NodeName {
    NodeName::new(name).unwrap()
}

/// Members whose installer asks before it wipes.
fn asked(members: usize) -> Builder {
    World::of(members).reprovision_all().confirm()
}

/// Before the confirm nothing is lost. The undo makes the next boot harmless, says who has to reset the node,
/// and goes on by itself.
#[test]
fn before_the_confirm_there_is_a_way_back() {
    let world = asked(1).build();
    let mut lives = Lives::of(&world);
    until_it_asks(&world, &mut lives);
    let mut back = Lives::with_plan(&world, undo_of(&world, &lives).unwrap());
    // Nobody does anything.
    let Life::Ended(RunEnd::Halted { failures, .. }) = back.live(Mortal::never()) else {
        panic!("{}", world.story());
    };
    let (unit, failure) = &failures[0];
    assert_eq!(
        (unit.as_str(), failure.code.as_str()),
        ("reprovision/node001/boot", "ssh-unreachable")
    );
    let hint = failure.hint.as_ref().expect("a way on");
    assert!(hint.contains("power -n NODE reset"), "{hint}");
    assert!(back_with_a_hand(&world, &mut back));
    taken_back(&world);
}

/// Wherever the run dies before the answer, and wherever its undo does: the node comes up with its disk and its
/// install mode as they were, and nobody lowers `datanode`.
#[test]
fn the_way_back_from_everywhere() {
    let plan = Arc::new(asked(1).build().plan(run_id(1)).unwrap());
    let dead = |at| {
        let world = asked(1).build();
        let mut lives = Lives::with_plan(&world, Arc::clone(&plan));
        // A reboot that it has sent may be still to come.
        lives.live(Mortal::after(at));
        let undo = undo_of(&world, &lives);
        (world, undo)
    };
    let (mut asking, mut at) = (0, 0);
    loop {
        at += 1;
        let (world, undo) = dead(at);
        let Ok(undo) = undo else { break };
        let undo = Arc::new(undo);
        let mut measure = Lives::with_plan(&world, Arc::clone(&undo));
        asking += u32::from(back_with_a_hand(&world, &mut measure));
        taken_back(&world);
        for death in (1..=measure.waits()).step_by(5) {
            let (world, _) = dead(at);
            let mut back = Lives::with_plan(&world, Arc::clone(&undo));
            back.live(Mortal::after(death));
            back_with_a_hand(&world, &mut back);
            taken_back(&world);
        }
    }
    assert!(asking > 3 && at > 40, "{asking} of {at}");
}

/// The node is up, in the boot that it had, and goes down in a moment: the undo knows that it was sent away, and
/// keeps SKIP until it has come back.
#[test]
fn a_reboot_that_was_sent_and_has_not_come() {
    let world = asked(1).build();
    let mut lives = Lives::of(&world);
    until(&world, &mut lives, &Effect::Rebooting);
    assert_eq!(
        world.observed().unwrap().members[0].device.status,
        DeviceStatus::Up
    );
    let mut back = Lives::with_plan(&world, undo_of(&world, &lives).unwrap());
    assert!(!back_with_a_hand(&world, &mut back), "it comes by itself");
    assert_eq!(world.times(&Effect::Booted), 1);
    taken_back(&world);
}

/// The intent is on record, and the reboot was never sent. No time that has passed proves that, so that
/// somebody else has to send it; he is told so at once, and what it does.
#[test]
fn a_reboot_that_never_comes_is_asked_for() {
    let (world, lives) = dies_before(&asked(1), "reprovision/node001/boot");
    assert_eq!(world.times(&Effect::Rebooting), 0);
    let mut back = Lives::with_plan(&world, undo_of(&world, &lives).unwrap());
    let Life::Ended(RunEnd::Halted { failures, .. }) = back.live(Mortal::never()) else {
        panic!("{}", world.story());
    };
    let failure = &failures[0].1;
    assert_eq!(failure.code, "reboot-outstanding");
    let hint = failure.hint.as_ref().expect("a way on");
    assert!(
        hint.contains("SKIP") && hint.contains("device; reboot NODE"),
        "{hint}"
    );
    assert!(back_with_a_hand(&world, &mut back));
    taken_back(&world);
}

/// Lives until a node waits at its installer's question.
fn until_it_asks(world: &World, lives: &mut Lives) {
    let mut at = 0;
    while world.times(&Effect::WaitsForConfirmation) == 0 {
        at += 1;
        lives.live(Mortal::halted(at));
    }
    assert_eq!(world.times(&Effect::Wiped), 0);
}

/// Lives, and dies, until the world has seen this.
fn until(world: &World, lives: &mut Lives, effect: &Effect) {
    let mut at = 0;
    while world.times(effect) == 0 {
        at += 1;
        lives.live(Mortal::after(at));
    }
}

/// A life that dies between the intent of a unit and its effect, which is lost with it.
fn dies_before(builder: &Builder, unit: &str) -> (World, Lives) {
    let unit = UnitId::new(unit).unwrap();
    (1..1_000)
        .find_map(|at| {
            let world = builder.clone().build();
            let mut lives = Lives::of(&world);
            lives.live(Mortal::after(at));
            let intended = lives.machine().unwrap().intended(&unit);
            intended.then_some((world, lives))
        })
        .unwrap()
}

fn undo_of(world: &World, lives: &Lives) -> Result<SealedPlan, PlanError> {
    let undo = Draft::undo(lives.plan(), lives.machine().unwrap(), run_id(2))?;
    undo.seal(&world.ports())
}

/// An undo, and somebody who resets the node when he is told to; whether he was.
fn back_with_a_hand(world: &World, back: &mut Lives) -> bool {
    let told = Mutex::new((false, 0));
    let reset = |event: Event| {
        let Event::Held { unit, by } = event else {
            return;
        };
        let (done, outstanding) = &mut *told.lock().unwrap();
        // What was sent may still come: he gives it its time.
        *outstanding += u32::from(by.code == "reboot-outstanding");
        let waits = by.hint.is_some_and(|hint| hint.contains("reset"));
        if (waits || *outstanding > 10) && !std::mem::replace(done, true) {
            assert_eq!(unit.id.as_str(), "reprovision/node001/boot");
            world.lose_power(&node("node001"));
        }
    };
    let life = back.live_watched(Mortal::never(), &reset);
    assert!(life.completed(), "{life:?}\n{}", world.story());
    told.into_inner().unwrap().0
}

#[track_caller]
fn taken_back(world: &World) {
    world.pass(Duration::from_secs(60));
    let now = world.observed().unwrap();
    let device = &now.members[0].device;
    assert_eq!(
        (&device.status, device.next_install_mode),
        (&DeviceStatus::Up, None),
        "{}",
        world.story()
    );
    let host = now.members[0].host.as_ref().expect("it answers");
    assert_eq!(host.spool, SpoolState::Data, "{}", world.story());
    let times = |effect| world.times(&effect);
    assert_eq!(
        (times(Effect::Wiped), times(Effect::Datanode(false))),
        (0, 0)
    );
    assert_eq!(world.verdict(), Ok(()));
}

/// Nobody waits for a node that was off: its old data, if it has any, stays where it is.
#[test]
fn a_node_that_was_off_is_left_to_whoever_had_it_off() {
    let world = asked(3).node(0, Found::Off).build();
    let mut lives = Lives::of(&world);
    until_it_asks(&world, &mut lives);
    let undo = undo_of(&world, &lives).unwrap();
    let unit = undo
        .units
        .iter()
        .find(|unit| unit.id.as_str() == "reprovision/node001/boot");
    if let Some(why) = unit.map(|unit| unit.skip.as_ref().expect("it is left")) {
        assert!(why.contains("power it off again"), "{why}");
    }
    assert!(unit.is_some(), "it was powered on");
}

/// Somebody gives the role back once every member is armed, so that the run never has to, and never passes its
/// point of no return; nor has it when it has put its canary.
#[test]
fn a_run_that_never_gave_the_role_is_taken_back_from_its_last_phase() {
    let begun = |machine: &Machine| {
        let canary = UnitId::new("verify/node001/canary").unwrap();
        machine.intended(&canary)
    };
    let mut seen = false;
    for waits in 0.. {
        let found = World::of(1).node(0, Found::NoSpool);
        let world = found.datanode(false).category_datanode().build();
        let mut lives = Lives::of(&world);
        lives.live_beside(Mortal::after(waits), &NoEvents, |_| {
            if world.times(&Effect::Armed) > 0 {
                world.befall(Incident::RoleGiven(0));
            }
        });
        if lives.last().completed() {
            break;
        }
        let Some(machine) = lives.machine() else {
            continue;
        };
        match undo_of(&world, &lives) {
            Ok(undo) if begun(machine) => {
                let last = undo.units.last().unwrap();
                assert_eq!(last.id.as_str(), "verify/node001/datanode");
                seen = true;
            }
            Ok(_) => {}
            Err(error) => assert_eq!(error.code(), "past-no-return", "{waits}: {error}"),
        }
    }
    assert!(seen, "no life died behind its canary");
}
