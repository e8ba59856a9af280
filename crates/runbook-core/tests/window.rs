//! The time in which a reboot may wipe restored data: told, closed first by a resumed life, and never opened where
//! the spec says so.
#![cfg(feature = "testkit")]

#[path = "common/sweep.rs"]
mod sweep;

use std::collections::BTreeSet;
use std::time::Duration;

use runbook_core::event::NoEvents;
use runbook_core::names::NodeName;
use runbook_core::run::RunEnd;
use runbook_core::spec::DatanodeAgain;
use runbook_core::testkit::{Builder, Effect, Incident, Life, Lives, Logged, Mortal, World};
use runbook_core::world::InstallMode;
use sweep::at_every_await;

/// Worlds whose window opens: wiped data nodes, a lowered category, nodes that never were data nodes.
fn worlds() -> [Builder; 4] {
    [
        World::of(1).reprovision_all(),
        World::of(3).reprovision_all(),
        World::of(3)
            .reprovision(&[1])
            .category_datanode()
            .datanode(false),
        World::of(3).datanode(false),
    ]
}

/// The nodes a halted life tells of.
fn told(life: &Life) -> Option<BTreeSet<NodeName>> {
    match life {
        Life::Ended(RunEnd::Halted { exposed, .. }) => Some(exposed.iter().cloned().collect()),
        _ => None,
    }
}

#[test]
fn a_halt_says_when_a_reboot_would_wipe_restored_data() {
    let mut told_of = 0;
    for world in worlds() {
        for (at, world) in at_every_await(&world) {
            let mut lives = Lives::of(&world);
            let Some(exposed) = told(lives.live(Mortal::halted(at))) else {
                continue;
            };
            assert_eq!(
                exposed,
                world.exposed(),
                "halted at {at}\n{}",
                world.story()
            );
            told_of += usize::from(!exposed.is_empty());
        }
    }
    assert!(told_of > 100, "{told_of}");
}

/// Whatever the second life begins with changes no node before the exposed ones are data nodes.
#[test]
fn a_resumed_life_closes_the_window_first() {
    let mut closed = 0;
    for world in worlds() {
        for (at, world) in at_every_await(&world) {
            let mut lives = Lives::of(&world);
            lives.live(Mortal::after(at));
            let mut exposed = world.exposed();
            if exposed.is_empty() {
                continue;
            }
            closed += 1;
            let before = world.log().len();
            assert!(lives.live(Mortal::never()).completed(), "died at {at}");
            assert_eq!(world.verdict(), Ok(()));
            assert_eq!(world.repeated(), Ok(()), "died at {at}");
            for Logged { node, effect, .. } in world.log().split_off(before) {
                match (effect, node) {
                    (Effect::Datanode(true), Some(node)) => drop(exposed.remove(&node)),
                    (Effect::CategoryDatanode(_, true), _) => exposed.clear(),
                    (effect, _) if !effect.is_ours() => {}
                    (effect, node) => assert!(
                        exposed.is_empty(),
                        "died at {at}: {effect:?} of {node:?} came before {exposed:?}\n{}",
                        world.story()
                    ),
                }
            }
        }
    }
    assert!(closed > 100, "{closed}");
}

#[test]
fn a_window_that_is_to_stay_closed_is_never_open() {
    for world in worlds() {
        let world = world.datanode_again(DatanodeAgain::AfterReprovision);
        for (at, world) in at_every_await(&world) {
            let mut lives = Lives::of(&world);
            lives.live(Mortal::after(at));
            assert_eq!(
                world.exposed(),
                BTreeSet::new(),
                "at {at}\n{}",
                world.story()
            );
        }
    }
}

/// Somebody asks for a FULL install of a node that was restored, whenever: the run does not end before it was
/// seen, and goes on when it is taken back.
#[test]
fn a_full_install_asked_for_at_any_time_is_noticed() {
    let node = NodeName::new("node001").unwrap();
    let serves = |world: &World| {
        let log = world.log();
        log.iter().any(|logged| logged.effect == Effect::EtcdServes)
    };
    let (mut halts, mut late) = (0, 0);
    for (at, world) in at_every_await(&World::of(1).reprovision_all().brisk()) {
        let mut lives = Lives::of(&world);
        let mut asked = false;
        let ask = |waits| {
            if waits == at && serves(&world) {
                world.set_install_mode(&node, Some(InstallMode::Full));
                asked = true;
            }
        };
        let completed = lives
            .live_beside(Mortal::never(), &NoEvents, ask)
            .completed();
        if asked && completed {
            late += 1;
        } else if asked {
            halts += 1;
            world.set_install_mode(&node, None);
            assert!(lives.live(Mortal::never()).completed(), "asked at {at}");
        }
    }
    // What comes behind the last look nobody sees.
    assert!(halts > 50 && late < 10, "{halts} halts, {late} unseen");
}

/// Between two lives somebody moves away what an etcd serves, and it starts empty: that holds no canary
/// either. The run does not end before it was seen, and goes on when the data is back.
#[test]
fn an_etcd_that_started_empty_during_verify_is_noticed() {
    let serves = |world: &World| world.log().iter().any(|l| l.effect == Effect::EtcdServes);
    let mut noticed = 0;
    for (at, world) in at_every_await(&World::of(1).brisk()) {
        let mut lives = Lives::of(&world);
        let through = lives.live(Mortal::after(at)).completed();
        if through || !serves(&world) {
            continue;
        }
        world.befall(Incident::PowerCycled(0));
        let moved = || {
            world.pass(Duration::from_millis(100));
            world.befall(Incident::SpoolMoved(0))
        };
        assert!((0..3000).any(|_| moved()), "died at {at}");
        world.pass(Duration::from_secs(60));
        assert!(!lives.live(Mortal::never()).completed(), "died at {at}");
        noticed += 1;
        world.mend();
        assert!(lives.live_on(3), "died at {at}");
    }
    assert!(noticed > 20, "{noticed}");
}
