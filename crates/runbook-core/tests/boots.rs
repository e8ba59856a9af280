//! Boots that do not do what they are for: past the network, from the disk that was to be wiped, and a
//! machine that hangs. What is said, that it is said at once, and that the way on works.
#![cfg(feature = "testkit")]
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Mutex;
use std::time::Duration;

use runbook_core::event::Event;
use runbook_core::names::NodeName;
use runbook_core::run::RunEnd;
use runbook_core::testkit::{Builder, Effect, Found, Incident, Life, Lives, Mortal, World, run_id};
use runbook_core::world::InstallMode;

const BOOT: &str = "reprovision/node001/boot";
const CONFIRM: &str = "reprovision/node001/confirm";

/// A way to wipe, and the unit that waits for the fresh disk.
fn ways() -> [(Builder, &'static str); 2] {
    let wiped = World::of(3).reprovision(&[0]);
    [(wiped.clone(), BOOT), (wiped.confirm(), CONFIRM)]
}

fn node() -> NodeName {
    NodeName::new("node001").unwrap()
}

/// The first failure of a life that halted: its unit, its code, what was seen, and its way on.
#[track_caller]
fn halted(life: &Life) -> (String, String, String, String) {
    let Life::Ended(RunEnd::Halted { failures, .. }) = life else {
        panic!("{life:?}");
    };
    let (unit, failure) = failures[0].clone();
    let hint = failure.hint.expect("a way on");
    (unit.to_string(), failure.code, failure.seen, hint)
}

#[track_caller]
fn restored(world: &World, lives: &Lives) {
    assert_eq!(lives.completed(), Ok(()), "{}", world.story());
    assert_eq!(world.verdict(), Ok(()));
}

/// Somebody has seen to it: the next life brings the run to its end, with one wipe in all.
#[track_caller]
fn boots_from_the_network(world: &World, lives: &mut Lives) {
    world.lose_power(&node());
    assert!(lives.live_on(1), "{}", world.story());
    restored(world, lives);
    assert_eq!(world.times(&Effect::Wiped), 1);
}

/// The run halts at `unit` long before the deadline, with the disk as it was, FULL still set and the way on.
#[track_caller]
fn says_that_it_booted_from_its_disk(world: &World, lives: &mut Lives, unit: &str) {
    let before = world.now();
    let (at, code, seen, hint) = halted(lives.live(Mortal::never()));
    assert_eq!((at.as_str(), code.as_str()), (unit, "disk-not-wiped"));
    assert!(seen.contains("nextinstallmode is FULL as before"), "{seen}");
    assert!(hint.contains("boot from the network"), "{hint}");
    let took = world.now().checked_sub(before).unwrap();
    assert!(
        took < Duration::from_secs(900),
        "not after an hour: {took:?}"
    );
    assert_eq!(world.times(&Effect::Wiped), 0);
}

#[test]
fn a_node_that_boots_from_its_disk_with_full_still_set() {
    for (world, unit) in ways() {
        let world = world.build();
        assert!(world.befall(Incident::BootsLocally(0)));
        let mut lives = Lives::of(&world);
        says_that_it_booted_from_its_disk(&world, &mut lives, unit);
        // As long as nothing is done about it, resuming says the same, and reboots nothing.
        says_that_it_booted_from_its_disk(&world, &mut lives, unit);
        assert_eq!(world.times(&Effect::Rebooting), 1);
        // The next boot is from the network: the mode is as it was.
        boots_from_the_network(&world, &mut lives);
    }
}

/// Off when the plan was made, it has neither guard nor anything moved aside: its data tells.
#[test]
fn one_that_was_off_comes_up_with_its_old_data() {
    for (world, unit) in ways() {
        let world = world.node(0, Found::Off).build();
        world.befall(Incident::BootsLocally(0));
        let mut lives = Lives::of(&world);
        says_that_it_booted_from_its_disk(&world, &mut lives, unit);
        // Whoever clears the mode by hand makes no fresh disk of it.
        world.set_install_mode(&node(), None);
        let (at, code, _, hint) = halted(lives.live(Mortal::never()));
        assert_eq!((at.as_str(), code.as_str()), (unit, "disk-not-wiped"));
        assert!(hint.contains("set nextinstallmode FULL"), "{hint}");
        world.set_install_mode(&node(), Some(InstallMode::Full));
        boots_from_the_network(&world, &mut lives);
    }
}

/// Reset by hand where it waits in its installer, it boots past the network before the run could answer.
#[test]
fn a_node_that_leaves_its_installer_for_its_disk() {
    let world = World::of(1).reprovision_all().confirm().build();
    let mut lives = Lives::of(&world);
    let leaves = |event: Event| {
        if let Event::Done { unit, .. } = event
            && unit.id.as_str() == BOOT
        {
            world.befall(Incident::BootsLocally(0));
            world.lose_power(&node());
        }
    };
    lives.live_watched(Mortal::never(), &leaves);
    let (at, code, _, _) = halted(lives.last());
    assert_eq!((at.as_str(), code.as_str()), (CONFIRM, "disk-not-wiped"));
    assert_eq!(world.times(&Effect::Wiped), 0);
    boots_from_the_network(&world, &mut lives);
}

/// Down with its power on, it is not helped by powering it on: the run says what helps, goes on when that was
/// done, and says it as well where nobody does it.
#[test]
fn a_machine_that_hangs_is_reset() {
    for found in [Found::Off, Found::Damaged] {
        let world = World::of(3).node(0, found).reprovision(&[0]).build();
        let plan = world.plan(run_id(1)).unwrap();
        if found == Found::Off {
            assert!(world.befall(Incident::Panics(0)));
        }
        let mut lives = Lives::with_plan(&world, plan);
        let over = Mutex::new(found == Found::Off);
        let hangs = |event: Event| {
            if let Event::Waiting { unit, .. } = event
                && unit.id.as_str() == BOOT
                && !std::mem::replace(&mut *over.lock().unwrap(), true)
            {
                assert!(world.befall(Incident::Panics(0)));
            }
        };
        lives.live_watched(Mortal::never(), &hangs);
        let (at, code, _, hint) = halted(lives.last());
        assert_eq!((at.as_str(), code.as_str()), (BOOT, "node-stays-down"));
        assert!(hint.contains("`device; power -n NODE reset`"), "{hint}");
        // Told while it is waited for, and not at once: a machine takes its time.
        let told = Mutex::new(None);
        let reset = |event: Event| {
            if let Event::Held { by, .. } = event
                && told.lock().unwrap().replace(by.code).is_none()
            {
                world.lose_power(&node());
            }
        };
        let before = world.now();
        lives.live_watched(Mortal::never(), &reset);
        assert_eq!(told.lock().unwrap().as_deref(), Some("node-stays-down"));
        let took = world.now().checked_sub(before).unwrap();
        assert!(took < Duration::from_secs(1_800), "{took:?}");
        restored(&world, &lives);
        assert_eq!(world.times(&Effect::Wiped), 1);
    }
}

/// A machine that comes up in its time is nobody's business.
#[test]
fn a_machine_that_takes_its_time_is_no_alarm() {
    for (world, _) in ways() {
        for found in [Found::Off, Found::Damaged] {
            let world = world.clone().node(0, found).build();
            let mut lives = Lives::of(&world);
            let quiet = |event: Event| assert!(!matches!(event, Event::Held { .. }), "{event:?}");
            lives.live_watched(Mortal::never(), &quiet);
            restored(&world, &lives);
        }
    }
}

/// Nothing of etcd on its disk, and FULL still set: whether an installer was there is not for the run to
/// guess. It says so after a while, and does not boot the node again.
#[test]
fn a_mode_that_stays_on_a_disk_without_etcd() {
    let world = World::of(1).node(0, Found::NoSpool).reprovision_all();
    let world = world.build();
    let mut lives = Lives::of(&world);
    let unguarded = |event: Event| {
        if let Event::Acting { unit, .. } = event
            && unit.id.as_str() == BOOT
        {
            assert!(world.befall(Incident::GuardRemoved(0)));
            assert!(world.befall(Incident::BootsLocally(0)));
        }
    };
    lives.live_watched(Mortal::never(), &unguarded);
    let (at, code, _, hint) = halted(lives.last());
    assert_eq!((at.as_str(), code.as_str()), (BOOT, "install-mode-stays"));
    assert!(hint.contains("boot from the network"), "{hint}");
    let resets = |event: Event| {
        if let Event::Held { by, .. } = event {
            assert_eq!(by.code, "install-mode-stays");
            world.lose_power(&node());
        }
    };
    lives.live_watched(Mortal::never(), &resets);
    restored(&world, &lives);
    assert_eq!(
        (world.times(&Effect::Rebooting), world.times(&Effect::Wiped)),
        (1, 1)
    );
}
