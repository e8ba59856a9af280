//! Halting: on request and on failure what is in flight is finished, nothing new begins, and the end
//! names what is open and the way on.
#![cfg(feature = "testkit")]
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "common/sweep.rs"]
mod sweep;

use std::sync::Mutex;
use std::time::Duration;

use runbook_core::event::{Event, NoEvents};
use runbook_core::machine::UnitState;
use runbook_core::names::NodeName;
use runbook_core::plan::{Action, NodeEffect, Phase};
use runbook_core::run::RunEnd;
use runbook_core::testkit::{
    Effect, Fault, Faults, Found, Incident, Life, Lives, Mortal, World, run_id,
};
use sweep::at_every_await;

fn node(name: &str) -> NodeName {
    NodeName::new(name).unwrap()
}

/// The end of a life that halted: its failures, as code and hint, and what is open.
fn halted(life: &Life) -> (Vec<(String, String)>, Vec<String>) {
    let Life::Ended(RunEnd::Halted {
        failures,
        open,
        reason,
        ..
    }) = life
    else {
        panic!("{life:?}");
    };
    assert!(!reason.is_empty());
    let failures = failures.iter().map(|(_, failure)| {
        (
            failure.code.clone(),
            failure.hint.clone().expect("a way on"),
        )
    });
    (
        failures.collect(),
        open.iter().map(ToString::to_string).collect(),
    )
}

#[test]
fn a_request_to_halt_at_every_await() {
    let wiped = || World::of(3).reprovision_all();
    for world in [World::of(1), wiped(), wiped().confirm()] {
        for (at, world) in at_every_await(&world) {
            let mut lives = Lives::of(&world);
            if !lives.live(Mortal::halted(at)).completed() {
                let machine = lives.machine().unwrap().clone();
                let in_flight = |(_, state): &(_, UnitState)| *state == UnitState::InFlight;
                assert_eq!(
                    machine.states().filter(in_flight).count(),
                    0,
                    "halted at {at}"
                );
                // A second request, as early as can be; only a life that had one unit left is through.
                let life = lives.live(Mortal::halted(1));
                if !life.completed() {
                    let (failures, open) = halted(life);
                    assert!(failures.is_empty() && !open.is_empty(), "halted at {at}");
                    assert!(lives.live(Mortal::never()).completed(), "halted at {at}");
                }
            }
            assert_eq!(lives.completed(), Ok(()), "halted at {at}");
        }
    }
}

/// The nodes whose disk the run has wiped, as far as it knows, and that have no guard yet.
fn unguarded(lives: &Lives) -> Vec<String> {
    let machine = lives.machine().unwrap();
    let done = |id: &str| {
        let mut states = machine.states();
        states.any(|(unit, state)| unit.as_str() == id && state == UnitState::Done)
    };
    let nodes = (1..=3).map(|n| format!("node{n:03}"));
    let bare = |node: &String| {
        let [boot, confirm, guard] =
            ["boot", "confirm", "guard"].map(|step| format!("reprovision/{node}/{step}"));
        let asks = machine.states().any(|(unit, _)| unit.as_str() == confirm);
        done(if asks { &confirm } else { &boot }) && !done(&guard)
    };
    nodes.filter(bare).collect()
}

/// Whenever a run halts, no fresh disk is left without a guard: an etcd that somebody gives the role meanwhile
/// would start empty.
#[test]
fn no_halt_leaves_a_fresh_disk_unguarded() {
    let wiped = World::of(3).reprovision_all();
    for world in [wiped.clone(), wiped.confirm()] {
        let mut halts = 0;
        for (at, world) in at_every_await(&world) {
            let mut lives = Lives::of(&world);
            if !lives.live(Mortal::halted(at)).completed() {
                halts += 1;
                assert_eq!(unguarded(&lives), Vec::<String>::new(), "halted at {at}");
            }
        }
        assert!(halts > 5, "{halts}");
    }
}

/// A life dies while its reboot is on its way, and the next one is told to halt soon: the reboot still lands,
/// and the disk that it wipes gets its guard.
#[test]
fn a_halt_sees_what_an_earlier_life_has_sent_to_its_end() {
    let mut fresh = 0;
    for (at, world) in at_every_await(&World::of(2).reprovision_all()) {
        let mut lives = Lives::of(&world);
        lives.live(Mortal::after(at).requests_land());
        // Once it has begun to look: one that is told before is none.
        if lives.live(Mortal::halted(3)).completed() {
            continue;
        }
        world.pass(Duration::from_secs(1200));
        let log = world.log();
        let last = |node: &NodeName, effect: &Effect| {
            log.iter()
                .rposition(|logged| logged.node.as_ref() == Some(node) && logged.effect == *effect)
        };
        for node in ["node001", "node002"].map(node) {
            let Some(wiped) = last(&node, &Effect::Wiped) else {
                continue;
            };
            fresh += 1;
            let guarded = last(&node, &Effect::Guarded) > Some(wiped);
            assert!(guarded, "died at {at}, {node}\n{}", world.story());
        }
    }
    assert!(fresh > 20, "{fresh}");
}

/// The same where another node fails: the ones that are through are guarded before the run halts.
#[test]
fn a_failed_install_leaves_no_other_disk_unguarded() {
    let world = World::of(3).reprovision_all().build();
    let mut lives = Lives::of(&world);
    let failed = Mutex::new(false);
    let fail = |event: Event| {
        let installs = matches!(&event, Event::Waiting { unit, seen, .. }
            if unit.id.as_str() == "reprovision/node003/boot" && seen.contains("INSTALLING"));
        if installs && !std::mem::replace(&mut *failed.lock().unwrap(), true) {
            world.fail_install(&node("node003"));
        }
    };
    let (failures, open) = halted(lives.live_watched(Mortal::never(), &fail));
    assert_eq!(failures[0].0, "installer-failed");
    assert_eq!(unguarded(&lives), Vec::<String>::new());
    assert_eq!(
        open[..2],
        ["reprovision/node003/boot", "reprovision/node003/guard"]
    );
}

/// A request to halt is heard at once, not when the unit in flight is done.
#[test]
fn a_request_to_halt_is_acknowledged_at_once() {
    let world = World::of(1).reprovision_all().build();
    let (heard, booting) = (Mutex::new(None), Mutex::new(None));
    let mut lives = Lives::of(&world);
    let watch = |event: Event| {
        let now = || Some(world.now());
        match event {
            Event::Draining => *heard.lock().unwrap() = now(),
            Event::Waiting { unit, .. } if unit.id.as_str().ends_with("/boot") => {
                booting.lock().unwrap().get_or_insert(world.now());
            }
            _ => {}
        }
    };
    let mut measure = Lives::of(&World::of(1).reprovision_all().build());
    measure.live(Mortal::never());
    lives.live_watched(Mortal::halted(measure.waits() * 2 / 5), &watch);
    let (heard, booting) = (
        heard.lock().unwrap().unwrap(),
        booting.lock().unwrap().unwrap(),
    );
    let booted = world
        .log()
        .iter()
        .find(|l| l.effect == Effect::Booted)
        .map(|l| l.at);
    assert!(booting < heard && heard < booted.unwrap(), "{heard:?}");
}

#[test]
fn a_member_that_fails_drains_the_others() {
    let world = World::of(3).missing_mount(1).build();
    let mut lives = Lives::of(&world);
    let (failures, open) = halted(lives.live(Mortal::never()));
    assert_eq!(failures[0].0, "snapshot-not-seen");
    assert!(failures[0].1.contains("mount"));
    assert_eq!(open[0], "preflight/node002/fit");
    assert!(world.log().is_empty(), "nothing was stopped for it");
}

/// One member cannot be restored: none is armed.
#[test]
fn a_restore_that_fails_arms_nobody() {
    let world = World::of(3).reprovision_all().build();
    let mut lives = Lives::of(&world);
    let lose = |event: Event| {
        let begun = matches!(&event, Event::Acting { unit, .. } if unit.id.as_str() == "restore/node003/restore");
        if begun {
            world.lose_mount(&node("node003"));
        }
    };
    let (failures, open) = halted(lives.live_watched(Mortal::never(), &lose));
    assert_eq!(failures[0].0, "restore-failed");
    assert_eq!(
        open,
        ["restore/node003/restore", "restore/alike"],
        "everything open is named, also what waits for something else"
    );
    assert_eq!(world.times(&Effect::RestoreDone), 2);
    assert_eq!(world.times(&Effect::Armed), 0);
    world.mount(&node("node003"));
    assert!(lives.live(Mortal::never()).completed());
    // The restore that failed was begun again, in a clean staging directory.
    assert_eq!(world.times(&Effect::RestoreStarted), 4);
    assert_eq!((world.verdict(), world.restored()), (Ok(()), Ok(())));
}

#[test]
fn power_lost_in_the_middle_of_a_restore() {
    for seed in 0..20 {
        let world = World::of(3).seed(seed).build();
        let mut lives = Lives::of(&world);
        let cut = Mutex::new(false);
        let lose = |event: Event| {
            let begun = matches!(&event, Event::Waiting { unit, .. } if unit.id.as_str() == "restore/node002/restore");
            if begun && !std::mem::replace(&mut *cut.lock().unwrap(), true) {
                world.lose_power(&node("node002"));
            }
        };
        lives.live_watched(Mortal::never(), &lose);
        lives.live_on(5);
        assert_eq!(world.verdict(), Ok(()));
        assert_eq!(world.restored(), Ok(()), "{}", world.story());
        let failed = world.times(&Effect::RestoreFailed);
        assert_eq!(world.times(&Effect::RestoreStarted), 3 + failed);
    }
}

/// Somebody powers on, behind the plan's back, a node that the run was to power on: its old disk is
/// up. The run says so at once, and goes on when the node is off again.
#[test]
fn a_node_that_somebody_else_powered_on() {
    let world = World::of(3).node(0, Found::Off).reprovision(&[0]).build();
    let plan = world.plan(run_id(1)).unwrap();
    world.power_on(&node("node001"));
    world.pass(Duration::from_secs(200));
    let before = world.now();
    let mut lives = Lives::with_plan(&world, plan);
    let (failures, _) = halted(lives.live(Mortal::never()));
    let (code, hint) = &failures[0];
    assert_eq!(code, "node-came-up");
    // Its old data may be all that is left of the cluster.
    let place = |words| {
        hint.find(words)
            .unwrap_or_else(|| panic!("{words}: {hint}"))
    };
    assert!(place("etcd data is intact") < place("`restore-runbook undo`"));
    assert!(place("`restore-runbook undo`") < place("power it off, then resume"));
    assert!(
        world.now().checked_sub(before).unwrap() < Duration::from_secs(600),
        "not after an hour"
    );
    world.power_off(&node("node001"));
    assert!(lives.live_on(2), "{}", world.story());
    assert_eq!(world.verdict(), Ok(()));
    assert_eq!(world.restored(), Ok(()));
}

/// The same for a node that somebody is rebooting: the run waits for it, and then does its own.
#[test]
fn a_node_that_somebody_else_is_booting() {
    let world = World::of(3)
        .node(0, Found::Damaged)
        .reprovision(&[0])
        .build();
    let mut lives = Lives::of(&world);
    let reboot = |event: Event| {
        if matches!(
            event,
            Event::PhaseBegan {
                phase: Phase::Reprovision
            }
        ) {
            world.lose_power(&node("node001"));
        }
    };
    lives.live_watched(Mortal::never(), &reboot);
    assert!(lives.live_on(2), "{}", world.story());
    assert!(world.now() < Duration::from_secs(1000), "{:?}", world.now());
    assert_eq!(world.verdict(), Ok(()));
    assert_eq!(world.restored(), Ok(()));
}

/// Hours may lie between two lives: nothing is stopped for a snapshot that is not there any more.
#[test]
fn a_snapshot_lost_between_two_lives_stops_nothing() {
    let world = World::of(3).every_node(Found::Serving);
    let mut asked = 0;
    for (at, world) in at_every_await(&world) {
        let mut lives = Lives::of(&world);
        lives.live(Mortal::after(at));
        if !world.log().is_empty() {
            break;
        }
        world.lose_snapshot();
        let (failures, _) = halted(lives.live(Mortal::never()));
        assert_eq!(failures[0].0, "snapshot-missing", "{at}");
        assert!(world.log().is_empty(), "{at}: {}", world.story());
        asked += 1;
    }
    assert!(asked > 5, "{asked}");
}

/// What was proven is what is restored: another sound snapshot in its place stops the run, wherever it
/// is noticed, before the next thing is destroyed.
#[test]
fn a_snapshot_that_is_replaced_between_two_lives() {
    let world = World::of(1).reprovision_all();
    // With any of these a disk may go: the settings in a boot that nobody has asked for.
    let lets_go = [
        Effect::Datanode(false),
        Effect::InstallMode("FULL".into()),
        Effect::Rebooting,
    ];
    let mut asked = 0;
    for (at, world) in at_every_await(&world) {
        let mut lives = Lives::of(&world);
        lives.live(Mortal::after(at));
        let begun = || lets_go.clone().map(|effect| world.times(&effect) > 0);
        let before = begun();
        world.replace_snapshot();
        if let Life::Ended(RunEnd::Halted { failures, .. }) = lives.live(Mortal::never()) {
            asked += usize::from(failures[0].1.code == "snapshot-changed");
        }
        assert_eq!(
            begun(),
            before,
            "{at}: for a snapshot that nobody has proven"
        );
    }
    assert!(asked > 5, "{asked}");
}

/// Who has moved the old data back wants it: it is not wiped for a plan of hours ago.
#[test]
fn data_that_somebody_has_put_back_is_not_wiped() {
    for world in [
        World::of(3).reprovision_all(),
        World::of(3).reprovision_all().confirm(),
    ] {
        let world = world.build();
        let mut lives = Lives::of(&world);
        let aside = lives.plan().units.iter().find_map(|unit| match &unit.act {
            Some(Action::Node(NodeEffect::SetAside { aside, .. })) => Some(aside.clone()),
            _ => None,
        });
        let put_back = |event: Event| {
            if matches!(
                event,
                Event::PhaseDone {
                    phase: Phase::MoveSpool,
                    ..
                }
            ) {
                world.put_data_back(&node("node002"), aside.as_ref().unwrap());
            }
        };
        let (failures, _) = halted(lives.live_watched(Mortal::never(), &put_back));
        assert!(failures[0].0.contains("data-put-back"), "{failures:?}");
        let reboots = world
            .log()
            .into_iter()
            .filter(|logged| logged.effect == Effect::Rebooting);
        let rebooted: Vec<_> = reboots.filter_map(|logged| logged.node).collect();
        assert!(!rebooted.contains(&node("node002")), "{}", world.story());
    }
}

/// Given back between two lives, the role says that somebody wants etcd to run: it is not stopped.
#[test]
fn etcd_is_not_stopped_where_its_role_was_given_back() {
    let world = World::of(3).node(0, Found::Serving).build();
    let mut lives = Lives::of(&world);
    let give_back = |event: Event| {
        if matches!(event, Event::Done { unit, .. } if unit.id.as_str() == "stop/unassign") {
            for at in 0..3 {
                world.befall(Incident::RoleGiven(at));
            }
        }
    };
    let (failures, _) = halted(lives.live_watched(Mortal::never(), &give_back));
    assert!(
        failures.iter().all(|(code, _)| code == "not-safe"),
        "{failures:?}"
    );
    assert_eq!(world.times(&Effect::ServiceStopped), 0, "{}", world.story());
}

/// With another spool in the role etcd would start empty, beside everything that was restored: such a
/// role is not given back.
#[test]
fn a_role_whose_spool_is_changed_between_two_lives() {
    let world = World::of(1);
    let mut asked = 0;
    for (at, world) in at_every_await(&world) {
        let mut lives = Lives::of(&world);
        lives.live(Mortal::after(at));
        let before = world.times(&Effect::RoleGiven);
        world.change_spool("/var/lib/elsewhere".parse().unwrap());
        if let Life::Ended(RunEnd::Halted { failures, .. }) = lives.live(Mortal::never()) {
            asked += usize::from(failures[0].1.code == "role-changed");
        }
        let after = world.times(&Effect::RoleGiven);
        assert_eq!(before, after, "{at}: the role was given back as it was");
    }
    assert!(asked > 5, "{asked}");
}

/// A question that is refused for good halts the run, whichever it is; the next life completes it, slow as
/// everything may be by then, and does nothing twice.
#[test]
fn a_question_refused_at_every_await() {
    let only = |kind, budget| Faults {
        seed: 1,
        percent: 100,
        budget,
        kinds: vec![kind].into(),
    };
    let mut halts = 0;
    for world in [
        World::of(1).reprovision_all().brisk(),
        World::of(1).reprovision_all().confirm().brisk(),
    ] {
        for (at, world) in at_every_await(&world) {
            let mut lives = Lives::of(&world);
            let refuse = |waits| {
                if waits == at {
                    world.misbehave(only(Fault::Denied, 1));
                }
            };
            let first = lives.live_beside(Mortal::never(), &NoEvents, refuse);
            halts += u32::from(!first.completed());
            world.misbehave(only(Fault::Slow, 30));
            assert!(lives.live_on(2), "refused at {at}: {:?}", lives.last());
            assert_eq!(lives.completed(), Ok(()), "refused at {at}");
        }
    }
    assert!(halts > 50, "{halts}");
}

/// Somebody gives an armed member the role before its time: what it has written is not what was restored, and
/// no resuming brings that back. The halt says what does.
#[test]
fn armed_data_that_changed_has_its_way_on() {
    let halts_armed = |at| {
        let world = World::of(3).node(0, Found::Serving).build();
        let mut lives = Lives::of(&world);
        lives.live(Mortal::halted(at));
        let armed = world.times(&Effect::Armed) == 3 && world.times(&Effect::RoleGiven) == 0;
        armed.then_some((world, lives))
    };
    let (world, mut lives) = (1..1_000).find_map(halts_armed).unwrap();
    assert!(world.befall(Incident::RoleGiven(0)));
    world.pass(Duration::from_secs(60));
    let (failures, _) = halted(lives.live(Mortal::never()));
    let (code, hint) = &failures[0];
    assert_eq!(code, "armed-data-changed");
    assert!(hint.contains("restore-runbook abandon RUN"), "{hint}");
    assert!(hint.contains("allow: {guards: {RUN:"), "{hint}");
}
