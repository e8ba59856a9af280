//! What a run tells while it goes, and what it begins: phase after phase, no more at once than allowed,
//! nothing on a head node that has noticed a failover.
#![cfg(feature = "testkit")]
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::sync::Mutex;

use runbook_core::event::{Event, UnitRef};
use runbook_core::plan::Phase;
use runbook_core::run::{HEAD_CHANGED, RunEnd};
use runbook_core::testkit::{Life, Lives, Mortal, World};

/// What a run of this world tells when nothing disturbs it but what `meanwhile` does.
fn told(world: &World, meanwhile: impl Fn(&Event) + Send + Sync) -> (Lives, Vec<Event>) {
    let events = Mutex::new(Vec::new());
    let mut lives = Lives::of(world);
    lives.live_watched(Mortal::never(), &|event: Event| {
        meanwhile(&event);
        events.lock().unwrap().push(event);
    });
    (lives, events.into_inner().unwrap())
}

#[test]
fn every_phase_is_told_once_from_its_beginning_to_its_end() {
    let world = World::of(3).reprovision_all().build();
    let times = Mutex::new(Vec::new());
    let (lives, events) = told(&world, |event| {
        if matches!(event, Event::PhaseBegan { .. } | Event::PhaseDone { .. }) {
            times.lock().unwrap().push(world.now());
        }
    });
    lives.completed().unwrap();
    let phases: Vec<_> = events
        .iter()
        .filter(|event| matches!(event, Event::PhaseBegan { .. } | Event::PhaseDone { .. }))
        .cloned()
        .collect();
    let times = times.into_inner().unwrap();
    let took = |at: usize| times[2 * at + 1].saturating_sub(times[2 * at]);
    let expected: Vec<_> = Phase::ALL
        .into_iter()
        .enumerate()
        .flat_map(|(at, phase)| {
            let done = Event::PhaseDone {
                phase,
                took: took(at),
            };
            [Event::PhaseBegan { phase }, done]
        })
        .collect();
    assert_eq!(phases, expected);
    assert!(times.windows(2).any(|two| two[0] < two[1]), "{times:?}");
}

#[test]
fn no_more_is_in_flight_than_allowed() {
    for limit in 1..=4 {
        let world = World::of(5).reprovision_all().parallel(limit).build();
        let (lives, events) = told(&world, |_| ());
        lives.completed().unwrap();
        let (mut flying, mut most) = (BTreeSet::new(), 0);
        for event in events {
            match event {
                Event::Acting { unit, .. } => drop(flying.insert(unit.id)),
                Event::Done { unit, .. } => drop(flying.remove(&unit.id)),
                _ => {}
            }
            most = most.max(flying.len());
        }
        assert_eq!(most, usize::from(limit));
    }
}

/// At a barrier a failover is noticed before anything is, also where a phase only looks.
#[test]
fn a_failover_at_a_barrier_leaves_the_next_phase_alone() {
    for next in Phase::ALL.into_iter().skip(1) {
        let world = World::of(3).two_heads().reprovision_all().build();
        let (lives, events) = told(&world, |event| {
            if matches!(event, Event::PhaseBegan { phase } if *phase == next) {
                world.fail_over();
            }
        });
        assert_deposed(lives.last());
        let begun = Event::PhaseBegan { phase: next };
        let behind = events.iter().skip_while(|event| **event != begun);
        let done = behind.filter(|event| matches!(event, Event::Done { .. }));
        assert_eq!(done.count(), 0, "{next:?}");
    }
}

/// Not even the guard of a fresh disk, which a run that halts still places: the other head's run does.
#[test]
fn a_deposed_run_begins_nothing() {
    let build = World::of(3).two_heads().reprovision_all();
    let mut measure = Lives::of(&build.clone().build());
    measure.live(Mortal::never());
    for at in 1..=measure.waits() {
        let world = build.clone().build();
        let events = Mutex::new(Vec::new());
        let mut lives = Lives::of(&world);
        let sink = |event: Event| events.lock().unwrap().push(event);
        lives.live_beside(Mortal::never(), &sink, |waits| {
            if waits == at {
                world.fail_over();
            }
        });
        let events = events.into_inner().unwrap();
        let deposed = |event: &&Event| matches!(event, Event::Failed { failure, .. } if failure.code == HEAD_CHANGED);
        let mut behind = events.iter().skip_while(|event| !deposed(event));
        let installed: BTreeSet<_> = behind
            .clone()
            .filter_map(|event| done(event))
            .map(|unit| unit.node.clone())
            .collect();
        let begun = behind.find(
            |event| matches!(event, Event::Failed { unit, .. } if installed.contains(&unit.node)),
        );
        assert_eq!(begun, None, "failover at {at}");
    }
}

fn done(event: &Event) -> Option<&UnitRef> {
    match event {
        Event::Done { unit, .. } => Some(unit),
        _ => None,
    }
}

fn assert_deposed(life: &Life) {
    let Life::Ended(RunEnd::Halted { failures, .. }) = life else {
        panic!("{life:?}");
    };
    let codes: Vec<_> = failures.iter().map(|(_, failure)| &failure.code).collect();
    assert_eq!(codes, [HEAD_CHANGED]);
}
