//! A failover of the head node at every await of a run, and two heads that believe they have it.
#![cfg(feature = "testkit")]
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;

use runbook_core::journal::{History, JournalError};
use runbook_core::machine::UnitState;
use runbook_core::plan::SealedPlan;
use runbook_core::run::{HEAD_CHANGED, RunEnd, RunError};
use runbook_core::testkit::{Builder, Life, Lives, Mortal, World, run_id};

/// How many lives a run may need behind a failover.
const LIVES: u32 = 3;

fn worlds() -> [(&'static str, Builder); 3] {
    [
        ("one, wiped", World::of(1).two_heads().reprovision_all()),
        ("three, wiped", World::of(3).two_heads().reprovision_all()),
        ("three, in place", World::of(3).two_heads()),
    ]
}

/// A plan, and how often a life waits that nothing disturbs.
fn undisturbed(world: &Builder) -> (Arc<SealedPlan>, u64) {
    let plan = Arc::new(world.clone().build().plan(run_id(1)).unwrap());
    let mut lives = Lives::with_plan(&world.clone().build(), Arc::clone(&plan));
    lives.live(Mortal::never());
    lives.completed().unwrap();
    (plan, lives.waits())
}

/// The first life halts because of the failover, or had nothing more to do.
fn halted_for_it(life: &Life) -> Result<bool, String> {
    match life {
        Life::Ended(RunEnd::Completed) => Ok(false),
        Life::Ended(RunEnd::Halted { failures, .. })
            if !failures.is_empty()
                && failures
                    .iter()
                    .all(|(_, f)| f.code == HEAD_CHANGED || f.code == "head-passive") =>
        {
            Ok(true)
        }
        other => Err(format!("{other:?}")),
    }
}

#[test]
fn a_failover_at_every_await_halts_the_run_and_the_other_head_completes_it() {
    for (name, world) in worlds() {
        let (plan, waits) = undisturbed(&world);
        let mut halted = 0;
        for at in 1..=waits {
            let world = world.clone().build();
            let mut first = Lives::with_plan(&world, Arc::clone(&plan));
            let failover = |n| {
                if n == at {
                    world.fail_over();
                }
            };
            let life = first.live_beside(Mortal::never(), &runbook_core::event::NoEvents, failover);
            halted += u64::from(halted_for_it(life).unwrap_or_else(|wrong| {
                panic!("{name}, failover at {at}: {wrong}");
            }));
            let mut second = first.at_seat(1);
            second.live_on(LIVES);
            second
                .completed()
                .unwrap_or_else(|wrong| panic!("{name}, failover at {at}: {wrong}"));
        }
        assert!(
            halted * 10 > waits * 8,
            "{name}: {halted} of {waits} halted"
        );
    }
}

/// The head dies with the life on it, as in an automatic failover.
#[test]
fn a_head_that_dies_at_any_await_leaves_a_run_that_the_other_one_completes() {
    for (name, world) in worlds() {
        let (plan, waits) = undisturbed(&world);
        for at in 1..=waits {
            for death in [Mortal::after(at), Mortal::after(at).requests_land()] {
                let world = world.clone().build();
                let mut first = Lives::with_plan(&world, Arc::clone(&plan));
                first.live(death);
                world.fail_over();
                let mut second = first.at_seat(1);
                second.live_on(LIVES);
                second
                    .completed()
                    .unwrap_or_else(|wrong| panic!("{name}, {death:?}: {wrong}"));
            }
        }
    }
}

/// The worst: the first life stands still, no lock tells the other head of it, the second goes on with the
/// run, and the first wakes up.
fn of_two_lives_one_goes_on(world: &Builder, plan: &Arc<SealedPlan>, at: u64, dies: Option<u64>) {
    let world = world.clone().build();
    let mut first = Lives::with_plan(&world, Arc::clone(plan));
    let mut second = first.at_seat(1);
    let other = |n| {
        if n == at {
            world.fail_over();
            if let Some(waits) = dies {
                second.live(Mortal::after(waits));
            } else {
                second.live_on(LIVES);
            }
        }
    };
    let woken = first.live_beside(Mortal::never(), &runbook_core::event::NoEvents, other);
    let stopped = matches!(
        woken,
        Life::Refused(RunError::Journal(JournalError::Overtaken { .. }))
    );
    assert!(stopped, "at {at}, the other until {dies:?}: {woken:?}");
    if dies.is_some() {
        second.live_on(LIVES);
    }
    second
        .completed()
        .unwrap_or_else(|wrong| panic!("at {at}, the other until {dies:?}: {wrong}"));
}

#[test]
fn of_two_lives_at_once_one_goes_on() {
    for (_, world) in worlds() {
        let (plan, waits) = undisturbed(&world);
        for at in 1..=waits {
            of_two_lives_one_goes_on(&world, &plan, at, None);
        }
    }
}

/// The second one has not got to the end, and is gone when the first wakes up: its journal alone tells of it.
#[test]
fn of_two_lives_at_once_the_first_does_not_go_on_behind_a_dead_second() {
    for (_, world) in worlds() {
        let (plan, waits) = undisturbed(&world);
        for at in 1..=waits {
            let dies = 1 << (at % 4 * 2);
            of_two_lives_one_goes_on(&world, &plan, at, Some(dies));
        }
    }
}

/// What is in flight when the other head takes over is as it was left: a reboot that is on its way must
/// not be sent again at once.
#[test]
fn a_failover_is_no_failure_of_a_unit() {
    let world = World::of(1).two_heads().reprovision_all();
    let (plan, waits) = undisturbed(&world);
    for at in 1..=waits {
        let world = world.clone().build();
        let mut lives = Lives::with_plan(&world, Arc::clone(&plan));
        lives.live_beside(Mortal::never(), &runbook_core::event::NoEvents, |n| {
            if n == at {
                world.fail_over();
            }
        });
        let machine = lives.machine().unwrap();
        let failed: Vec<_> = machine
            .states()
            .filter(|(id, state)| *state == UnitState::Failed && id.as_str() != "preflight/head")
            .collect();
        assert!(failed.is_empty(), "at {at}: {failed:?}");
    }
}

#[test]
fn the_journal_says_which_lives_there_were_and_which_have_ended() {
    let world = World::of(1).two_heads().build();
    let mut first = Lives::of(&world);
    first.live(Mortal::halted(40));
    first.live(Mortal::after(30));
    first.live(Mortal::never());
    let history = History::read(&first.journal(), "memory").unwrap();
    let ended: Vec<bool> = history.lives().iter().map(|life| life.ended).collect();
    assert_eq!(ended, [true, false, true]);
}
