//! Undo: up to the point of no return everything goes back to what it was; behind it, nothing does.
#![cfg(feature = "testkit")]

use std::sync::Arc;

use runbook_core::observe::drift;
use runbook_core::plan::{Action, Draft, ManagerEffect, PlanError, SealedPlan};
use runbook_core::testkit::{Builder, Effect, Found, Lives, Mortal, Tear, World, run_id};

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
        // What the dead life had sent lands first. An undo that looks before that finds nothing to
        // take back: it is for the adapter to let no command outlive its caller for long.
        world.pass(std::time::Duration::from_secs(5));
        let undo = Draft::undo(&self.plan, lives.machine().unwrap(), run_id(2));
        let undo = undo.and_then(|draft| draft.seal(&world.ports()));
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
        world.pass(std::time::Duration::from_secs(60));
        let now = world.observed().map_err(|error| error.to_string())?;
        let had_data = |at: usize| {
            let host = self.plan.world.members[at].host.as_ref().unwrap();
            host.spool == runbook_core::world::SpoolState::Data
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
        println!("{}: {back} taken back, {forward} went on", scene.name);
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
    world.pass(std::time::Duration::from_secs(600));
    let given: Vec<String> = world
        .log()
        .iter()
        .filter(|logged| logged.effect == Effect::RoleGiven)
        .map(|logged| logged.node.as_ref().unwrap().to_string())
        .collect();
    assert_eq!(given, ["node001", "node002"]);
    assert_eq!(world.verdict(), Ok(()));
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
