//! A crash at every await, a torn journal at every append: the next life completes, and nothing
//! happened twice.
#![cfg(feature = "testkit")]
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::sync::Arc;

use runbook_core::plan::SealedPlan;
use runbook_core::run::RunError;
use runbook_core::testkit::{Builder, Found, Life, Lives, Mortal, Opening, Tear, World, run_id};

/// How many lives a run may need behind a single crash: one that trips over what the dead life left
/// on its way, and one that completes.
const LIVES: u32 = 3;

/// The worlds every sweep goes through.
fn worlds(members: usize) -> Vec<(&'static str, Builder)> {
    let of = || World::of(members);
    let mut worlds = vec![
        ("all wiped", of().reprovision_all().image_has_spool()),
        ("in place", of()),
        (
            "off",
            of().every_node(Found::Off)
                .reprovision_all()
                .without_role()
                .category_datanode(),
        ),
        ("empty disks", of().every_node(Found::EmptySpool)),
        (
            "confirmed",
            of().reprovision_all().confirm().image_has_spool(),
        ),
        (
            "off and confirmed",
            of().every_node(Found::Off)
                .reprovision_all()
                .confirm()
                .datanode(false)
                .category_datanode(),
        ),
        (
            "behind an abandoned run",
            of().node(0, Found::Guarded)
                .without_role()
                .takes_guards_over(),
        ),
    ];
    if members > 1 {
        let mixed = of()
            .node(0, Found::Off)
            .node(1, Found::NoSpool)
            .reprovision(&[0])
            .category_datanode();
        worlds.push(("mixed", mixed));
    }
    worlds
}

/// A world to die in, with its plan: worlds of one seed begin alike, so all of them share it.
struct Scene {
    name: &'static str,
    world: Builder,
    plan: Arc<SealedPlan>,
    waits: u64,
    appends: usize,
}

impl Scene {
    /// Runs once without a crash: how often a life waits, and how often it writes.
    fn new((name, world): (&'static str, Builder)) -> Self {
        let plan = Arc::new(world.clone().build().plan(run_id(1)).unwrap());
        let mut lives = Lives::with_plan(&world.clone().build(), Arc::clone(&plan));
        lives.live(Mortal::never());
        lives.completed().unwrap_or_else(|wrong| panic!("{wrong}"));
        let (waits, appends) = (lives.waits(), lives.appends());
        Self {
            name,
            world,
            plan,
            waits,
            appends,
        }
    }

    /// Dies so, and lives on.
    fn survives(&self, deaths: &[Mortal]) -> Result<(), String> {
        let world = self.world.clone().build();
        let mut lives = Lives::with_plan(&world, Arc::clone(&self.plan));
        for death in deaths {
            lives.live(*death);
        }
        lives.live_on(LIVES);
        lives
            .completed()
            .map_err(|wrong| format!("{}, {deaths:?}: {wrong}", self.name))
    }
}

fn sweep(worlds: Vec<(&'static str, Builder)>, death: impl Fn(u64) -> Mortal) {
    let (mut count, mut failed) = (0, Vec::new());
    for scene in worlds.into_iter().map(Scene::new) {
        for at in 1..=scene.waits {
            count += 1;
            failed.extend(scene.survives(&[death(at)]).err());
        }
    }
    assert!(
        failed.is_empty(),
        "{} of {count} crashes: {}",
        failed.len(),
        failed[0]
    );
}

#[test]
fn a_crash_at_every_await_of_one_member() {
    sweep(worlds(1), Mortal::after);
}

#[test]
fn a_crash_at_every_await_of_three_members() {
    sweep(worlds(3), Mortal::after);
}

#[test]
fn a_crash_at_every_await_of_five_members() {
    let hard = |(name, _): &(&str, Builder)| matches!(*name, "all wiped" | "mixed" | "confirmed");
    let worlds = worlds(5).into_iter().filter(hard).collect();
    sweep(worlds, Mortal::after);
}

#[test]
fn a_crash_at_every_await_while_requests_go_on_by_themselves() {
    sweep(worlds(1), |at| Mortal::after(at).requests_land());
    sweep(worlds(3), |at| Mortal::after(at).requests_land());
}

#[test]
fn a_journal_torn_at_every_append() {
    for scene in worlds(1).into_iter().chain(worlds(3)).map(Scene::new) {
        for at in 0..scene.appends {
            for tear in Tear::ALL {
                let life = scene.survives(&[Mortal::torn(at, tear)]);
                life.unwrap_or_else(|wrong| panic!("{wrong}"));
            }
        }
    }
}

/// Behind every append that broke, a life that cannot read, cut or settle what that has left: it is refused
/// before it has done anything, and the next one goes on.
#[test]
fn a_journal_that_cannot_be_opened() {
    for scene in worlds(1).into_iter().map(Scene::new) {
        let mut refused = BTreeMap::new();
        for at in 0..scene.appends {
            for (tear, opening) in pairs() {
                let world = scene.world.clone().build();
                let mut lives = Lives::with_plan(&world, Arc::clone(&scene.plan));
                lives.live(Mortal::torn(at, tear));
                let (log, journal) = (world.log(), lives.journal());
                let shut_out = lives.live(Mortal::shut_out(opening));
                if let Life::Refused(error @ RunError::Journal(_)) = shut_out {
                    assert_eq!(error.code(), "journal-io", "{error:?}");
                    assert!(error.hint().is_some_and(|hint| hint.contains("resume")));
                    assert_eq!(world.log(), log, "{opening:?}");
                    // At most a torn line is gone by then, or a line feed is there that was not.
                    let left = lives.journal();
                    assert!(journal.starts_with(left.trim_ascii_end()), "{opening:?}");
                    *refused.entry(format!("{opening:?}")).or_insert(0) += 1;
                } else {
                    // There was nothing to cut, or no record to go on from.
                    let cuts = matches!(opening, Opening::Cut | Opening::CutUnanswered);
                    assert!(
                        cuts || at == 0,
                        "{tear:?} at {at}, {opening:?}: {shut_out:?}"
                    );
                }
                lives.live_on(LIVES);
                let name = scene.name;
                lives.completed().unwrap_or_else(|wrong| {
                    panic!("{name}, {tear:?} at {at}, {opening:?}: {wrong}");
                });
            }
        }
        assert_eq!(refused.len(), Opening::ALL.len(), "{refused:?}");
    }
}

fn pairs() -> impl Iterator<Item = (Tear, Opening)> {
    let with = |tear| Opening::ALL.map(|opening| (tear, opening));
    Tear::ALL.into_iter().flat_map(with)
}

/// How the `n`th life of a pair dies: at a moment and in a way that look random and are not.
fn death(scene: &Scene, n: u64) -> Mortal {
    let mixed = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
    let at = 1 + mixed % scene.waits;
    match mixed % 7 {
        0 | 1 => Mortal::after(at),
        2 | 3 => Mortal::after(at).requests_land(),
        4 => Mortal::halted(at),
        kind => {
            let append = usize::try_from(at).unwrap() % scene.appends;
            let tears = if kind == 5 { Tear::Half } else { Tear::Answer };
            Mortal::torn(append, tears)
        }
    }
}

#[test]
fn two_deaths_of_one_run() {
    for (members, pairs) in [(1, 400), (3, 200), (5, 50)] {
        for scene in worlds(members).into_iter().map(Scene::new) {
            for n in 0..pairs {
                // The second life is shorter the later the first one died; dying early as well as
                // late is what the two factors are for.
                let deaths = [death(&scene, 2 * n), death(&scene, 2 * n + 1)];
                let life = scene.survives(&deaths);
                life.unwrap_or_else(|wrong| panic!("{wrong}"));
            }
        }
    }
}
