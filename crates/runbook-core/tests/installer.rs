//! The way through the installer, both ways, and everything that gets between: who asks, who denies,
//! what fails, and how the run goes on.
#![cfg(feature = "testkit")]
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Mutex;
use std::time::Duration;

use runbook_core::event::{Event, UnitRef};
use runbook_core::names::NodeName;
use runbook_core::plan::{Draft, SealedPlan};
use runbook_core::run::RunEnd;
use runbook_core::testkit::{
    Builder, Effect, Found, Incident, Life, Lives, Logged, Mortal, NoPlan, World, run_id,
};
use runbook_core::world::{HeadRole, InstallMode};

fn node(name: &str) -> NodeName {
    NodeName::new(name).unwrap()
}

fn wiped(members: usize) -> Builder {
    World::of(members).reprovision_all()
}

fn asked(members: usize) -> Builder {
    wiped(members).confirm()
}

/// The first failure of a life that halted: its unit, its code, and its way on.
#[track_caller]
fn halted(life: &Life) -> (String, String, String) {
    let Life::Ended(RunEnd::Halted { failures, .. }) = life else {
        panic!("{life:?}");
    };
    let (unit, failure) = &failures[0];
    let hint = failure.hint.clone().expect("a way on");
    (unit.to_string(), failure.code.clone(), hint)
}

/// Something happens once, when a unit is waited for and this is seen.
fn when<'a>(
    unit: &'a str,
    seen: &'a str,
    happens: impl Fn() + Send + Sync + 'a,
) -> impl Fn(Event) + Send + Sync + 'a {
    let over = Mutex::new(false);
    move |event: Event| {
        if let Event::Waiting {
            unit: at, seen: is, ..
        } = event
            && at.id.as_str() == unit
            && is.contains(seen)
            && !std::mem::replace(&mut *over.lock().unwrap(), true)
        {
            happens();
        }
    }
}

fn acts(event: &Event) -> Option<&UnitRef> {
    match event {
        Event::Acting { unit, .. } => Some(unit),
        _ => None,
    }
}

fn is_done(event: &Event) -> Option<&UnitRef> {
    match event {
        Event::Done { unit, .. } => Some(unit),
        _ => None,
    }
}

/// Something happens whenever this becomes of a unit.
fn at<'a>(
    moment: fn(&Event) -> Option<&UnitRef>,
    of: &'a str,
    happens: impl Fn() + Send + Sync + 'a,
) -> impl Fn(Event) + Send + Sync + 'a {
    move |event: Event| {
        if moment(&event).is_some_and(|unit| unit.id.as_str() == of) {
            happens();
        }
    }
}

/// Everything that was said while waiting for a unit.
fn said<'a>(unit: &'a str, said: &'a Mutex<Vec<String>>) -> impl Fn(Event) + Send + Sync + 'a {
    move |event: Event| {
        if let Event::Waiting { unit: at, seen, .. } = event
            && at.id.as_str() == unit
        {
            said.lock().unwrap().push(seen);
        }
    }
}

#[track_caller]
fn restored(world: &World, lives: &Lives) {
    assert_eq!(lives.completed(), Ok(()));
    assert_eq!(world.verdict(), Ok(()));
}

#[test]
fn datanode_is_never_lowered_where_the_installer_is_answered() {
    let world = asked(3).datanode(false).build();
    let mut lives = Lives::of(&world);
    lives.live(Mortal::never());
    restored(&world, &lives);
    let times = |effect| world.times(&effect);
    assert_eq!(times(Effect::Datanode(false)), 0);
    assert_eq!(times(Effect::Datanode(true)), 3, "each was none before");
    assert_eq!(
        (
            times(Effect::WaitsForConfirmation),
            times(Effect::Confirmed),
            times(Effect::Wiped)
        ),
        (3, 3, 3)
    );
}

/// `datanode` on the category needs no reason where nothing is lowered.
#[test]
fn a_category_of_data_nodes_is_left_alone() {
    let world = asked(1).category_datanode().build();
    let mut spec = world.spec();
    spec.allow.category_datanode.clear();
    let observed = world.observed().unwrap();
    let draft = Draft::restore(&spec, &observed, run_id(1)).unwrap();
    let plan = draft.seal(&world.ports()).unwrap();
    assert!(!String::from_utf8_lossy(plan.bytes()).contains("set_category_datanode"));
    let mut lives = Lives::with_plan(&world, plan);
    lives.live(Mortal::never());
    restored(&world, &lives);
}

#[test]
fn both_plans_tell_the_other_way() {
    for (world, way, words) in [
        (wiped(1), "boot", "`full_install: confirm`"),
        (asked(1), "confirm", "has only met a stand-in"),
    ] {
        let plan = world.build().plan(run_id(1)).unwrap();
        let unit = plan.point_of_no_return.clone().unwrap();
        assert_eq!(unit.as_str(), format!("reprovision/node001/{way}"));
        assert!(
            plan.risks.iter().any(|risk| risk.contains(words)),
            "{:?}",
            plan.risks
        );
    }
}

/// Somebody else is faster, at the console: the run finds its work done.
#[test]
fn somebody_else_confirms() {
    let world = asked(1).build();
    let mut lives = Lives::of(&world);
    let faster = at(is_done, "reprovision/node001/boot", || {
        world.confirm(&node("node001"));
    });
    lives.live_watched(Mortal::never(), &faster);
    assert!(lives.live_on(1), "{}", world.story());
    restored(&world, &lives);
    assert_eq!(world.times(&Effect::Confirmed), 0);
}

/// Nobody confirms what the run has not looked at: a question answered in the last moment is left alone.
#[test]
fn a_question_answered_during_the_proof_is_not_answered_again() {
    let world = asked(1).build();
    let mut lives = Lives::of(&world);
    let mut at = 0;
    while world.times(&Effect::WaitsForConfirmation) == 0 {
        at += 1;
        lives.live(Mortal::halted(at));
    }
    world.confirm(&node("node001"));
    lives.live(Mortal::never());
    restored(&world, &lives);
    assert_eq!(
        (world.times(&Effect::Confirmed), world.times(&Effect::Wiped)),
        (0, 1)
    );
}

/// A deny is somebody's decision: the run halts and says so. Rebooted by hand, the node asks again.
#[test]
fn a_denied_install_halts_the_run() {
    let world = asked(3).build();
    let mut lives = Lives::of(&world);
    let deny = at(is_done, "reprovision/node002/boot", || {
        world.deny(&node("node002"));
    });
    let (unit, code, hint) = halted(lives.live_watched(Mortal::never(), &deny));
    assert_eq!(
        (unit.as_str(), code.as_str()),
        ("reprovision/node002/confirm", "node-in-maintenance")
    );
    assert!(hint.contains("denied") && hint.contains("resume"));
    let denied = Some(node("node002"));
    let of_the_denied = |logged: &&Logged| {
        logged.node == denied && matches!(logged.effect, Effect::Confirmed | Effect::Wiped)
    };
    assert_eq!(world.log().iter().find(of_the_denied), None);
    // As long as nothing is done about it, resuming says the same.
    assert_eq!(halted(lives.live(Mortal::never())).1, "node-in-maintenance");
    world.lose_power(&node("node002"));
    assert!(lives.live_on(1), "{}", world.story());
    restored(&world, &lives);
}

/// Lowered behind the run's back, the installer does not ask: the disk is fresh, and nothing is confirmed.
#[test]
fn a_node_that_is_no_data_node_after_all() {
    let world = asked(1).build();
    let mut lives = Lives::of(&world);
    let lower = at(acts, "reprovision/node001/boot", || {
        world.set_datanode(&node("node001"), false);
    });
    lives.live_watched(Mortal::never(), &lower);
    assert_eq!(world.times(&Effect::Confirmed), 0);
    assert_eq!(world.times(&Effect::Wiped), 1);
    restored(&world, &lives);
}

/// Somebody clears the install mode: the node comes up with its old disk, and the run says how to get it wiped.
#[test]
fn a_node_that_comes_up_without_asking() {
    let world = asked(1).build();
    let mut lives = Lives::of(&world);
    let clear = at(acts, "reprovision/node001/boot", || {
        world.set_install_mode(&node("node001"), None);
    });
    let (unit, code, hint) = halted(lives.live_watched(Mortal::never(), &clear));
    assert_eq!(
        (unit.as_str(), code.as_str()),
        ("reprovision/node001/confirm", "disk-not-wiped")
    );
    assert!(hint.contains("nextinstallmode FULL"));
    world.set_install_mode(&node("node001"), Some(InstallMode::Full));
    world.lose_power(&node("node001"));
    assert!(lives.live_on(1), "{}", world.story());
    assert_eq!(world.times(&Effect::Confirmed), 1);
    restored(&world, &lives);
}

/// A node whose power fails while it asks, and comes back by hand, asks again.
#[test]
fn a_node_that_goes_down_while_it_asks() {
    let world = asked(1).build();
    let mut lives = Lives::of(&world);
    let mut at = 0;
    while world.times(&Effect::WaitsForConfirmation) == 0 {
        at += 1;
        lives.live(Mortal::halted(at));
    }
    world.power_off(&node("node001"));
    let on = when("reprovision/node001/confirm", "[installer-left]", || {
        world.power_on(&node("node001"));
    });
    lives.live_watched(Mortal::never(), &on);
    restored(&world, &lives);
}

/// Both ways: the installer fails, or is not reachable. Named apart, and after it was mended the run goes on,
/// whether the node is on its way again or up by then.
#[test]
fn an_installer_that_fails_and_one_that_is_unreachable() {
    for (world, unit) in [
        (wiped(3), "reprovision/node002/boot"),
        (asked(3), "reprovision/node002/confirm"),
    ] {
        for (unreachable, later) in [(false, 0), (false, 900), (true, 0), (true, 900)] {
            let world = world.clone().build();
            let mut lives = Lives::of(&world);
            let fail = when(unit, "[INSTALLING]", || {
                if unreachable {
                    world.lose_installer(&node("node002"));
                } else {
                    world.fail_install(&node("node002"));
                }
            });
            let (at, code, hint) = halted(lives.live_watched(Mortal::never(), &fail));
            let expected = if unreachable {
                "installer-unreachable"
            } else {
                "installer-failed"
            };
            assert_eq!((at.as_str(), code.as_str()), (unit, expected));
            assert!(hint.contains("/var/log/node-installer"), "{hint}");
            // Reset by hand; at the console it is let on where it asks.
            world.lose_power(&node("node002"));
            world.pass(Duration::from_secs(later));
            assert!(lives.live_on(1), "{}", world.story());
            restored(&world, &lives);
        }
    }
}

/// Reset by hand while its install is waited for, a node asks again, and is answered again.
#[test]
fn a_question_that_is_asked_again() {
    let world = asked(1).build();
    let mut lives = Lives::of(&world);
    let reset = when("reprovision/node001/confirm", "[INSTALLING]", || {
        world.fail_install(&node("node001"));
        world.lose_power(&node("node001"));
    });
    lives.live_watched(Mortal::never(), &reset);
    restored(&world, &lives);
    assert_eq!(world.times(&Effect::Confirmed), 2);
    assert!(world.now() < Duration::from_secs(1000), "{:?}", world.now());
}

/// `datanode` is on somewhere after all, as in a role: the run says what the node waits for, and goes on
/// when somebody has answered.
#[test]
fn a_node_that_waits_for_console_input() {
    let world = wiped(1).build();
    let mut lives = Lives::of(&world);
    let raise = at(acts, "reprovision/node001/boot", || {
        world.set_datanode(&node("node001"), true);
    });
    // Nobody answers: the deadline's message has the code of what it waits for.
    let (_, code, hint) = halted(lives.live_watched(Mortal::never(), &raise));
    assert_eq!(code, "installer-waits");
    assert!(hint.contains("installerinteractions"));
    let answer = when("reprovision/node001/boot", "[installer-waits]", || {
        world.confirm(&node("node001"));
    });
    lives.live_watched(Mortal::never(), &answer);
    restored(&world, &lives);
}

#[test]
fn a_locked_software_image_is_told_before_and_while_it_waits() {
    for world in [wiped(1), asked(1)] {
        let world = world.locked_image().build();
        let mut lives = Lives::of(&world);
        let told = |risk: &String| risk.contains("default-image is locked");
        assert!(lives.plan().risks.iter().any(told));
        let (_, code, hint) = halted(lives.live(Mortal::never()));
        assert_eq!(code, "image-locked");
        assert!(hint.contains("softwareimage; unlock"));
        world.hold_provisioning(false, false);
        assert!(lives.live_on(1), "{}", world.story());
        restored(&world, &lives);
    }
}

#[test]
fn a_queue_at_the_provisioning_node_is_waited_for() {
    for (world, unit) in [
        (wiped(3), "reprovision/node001/boot"),
        (asked(3), "reprovision/node001/confirm"),
    ] {
        let world = world.build();
        world.hold_provisioning(false, true);
        let mut lives = Lives::of(&world);
        let empties = when(unit, "[provisioning-queue]", || {
            world.hold_provisioning(false, false);
        });
        lives.live_watched(Mortal::never(), &empties);
        restored(&world, &lives);
    }
}

/// The power control does not answer: the run says so, and goes on by itself once somebody has pressed the button.
#[test]
fn a_bmc_that_does_not_answer() {
    // Of three members one that may be alive is no quorum.
    for (world, code) in [(wiped(3), "boot"), (asked(3), "boot")] {
        let unit = format!("reprovision/node001/{code}");
        let world = world.node(0, Found::Off).build();
        world.lose_bmc(&node("node001"));
        let mut lives = Lives::of(&world);
        // Nobody does anything.
        let (at, code, hint) = halted(lives.live(Mortal::never()));
        assert_eq!((at, code.as_str()), (unit.clone(), "bmc-silent"));
        assert!(hint.contains("by hand"));
        let press = when(&unit, "[bmc-silent]", || world.power_on(&node("node001")));
        let told = Mutex::new(false);
        let told_and_pressed = |event: Event| {
            if let Event::Held { by, .. } = &event {
                let way_on = by
                    .hint
                    .as_ref()
                    .is_some_and(|hint| hint.contains("by hand"));
                *told.lock().unwrap() |= by.code == "bmc-silent" && way_on;
            }
            press(event);
        };
        lives.live_watched(Mortal::never(), &told_and_pressed);
        assert!(*told.lock().unwrap());
        restored(&world, &lives);
        assert_eq!(world.times(&Effect::PoweredOn), 0);
    }
}

#[test]
fn block_devices_that_the_next_boot_clears() {
    // A node that is not to be wiped, and one whose installer is counted on to ask: no plan.
    for world in [World::of(3), World::of(3).reprovision(&[1]), asked(3)] {
        let world = world.cleared_at_boot(0).build();
        match world.plan(run_id(1)) {
            Err(NoPlan::Plan(error)) => assert_eq!(error.code(), "block-devices-cleared"),
            other => panic!("{other:?}"),
        }
        assert!(world.log().is_empty());
    }
    // One that is wiped anyway: the reviewer reads what else goes.
    let world = wiped(3).cleared_at_boot(0).build();
    let mut lives = Lives::of(&world);
    let told = |risk: &String| risk.contains("node001 also wipes /dev/sda");
    assert!(lives.plan().risks.iter().any(told));
    lives.live(Mortal::never());
    restored(&world, &lives);
}

/// Set in the middle of a run, it would wipe what was restored: the node counts as safe only without it.
#[test]
fn block_devices_cleared_behind_the_restore() {
    for world in [World::of(3), wiped(3), asked(3)] {
        let world = world.build();
        let mut lives = Lives::of(&world);
        let set = at(acts, "reassign/assign", || {
            world.clear_at_boot(&node("node002"), &["/dev/sda"]);
        });
        let (unit, code, hint) = halted(lives.live_watched(Mortal::never(), &set));
        assert_eq!(
            (unit.as_str(), code.as_str()),
            ("datanode/node002/datanode-yes", "block-devices-cleared")
        );
        assert!(hint.contains("clear blockdevicesclearedonnextboot"));
        world.clear_at_boot(&node("node002"), &[]);
        lives.live(Mortal::never());
        restored(&world, &lives);
    }
}

/// In the asking way a boot with such a list would wipe before anybody is asked.
#[test]
fn block_devices_set_right_before_the_boot() {
    let world = asked(1).build();
    let mut lives = Lives::of(&world);
    let set = at(is_done, "reprovision/node001/install-mode", || {
        world.clear_at_boot(&node("node001"), &["/dev/sda"]);
    });
    let (unit, code, _) = halted(lives.live_watched(Mortal::never(), &set));
    assert_eq!(
        (unit.as_str(), code.as_str()),
        ("reprovision/node001/boot", "block-devices-cleared")
    );
    assert_eq!(world.times(&Effect::Wiped), 0);
}

/// While it waits for provisioning, a run does not take the silence of the subsystem for anything.
#[test]
fn what_is_seen_while_a_node_installs_is_told() {
    let world = asked(1).build();
    let heard = Mutex::new(Vec::new());
    let mut lives = Lives::of(&world);
    lives.live_watched(
        Mortal::never(),
        &said("reprovision/node001/confirm", &heard),
    );
    restored(&world, &lives);
    let heard = heard.lock().unwrap();
    assert!(
        heard.iter().any(|seen| seen.contains("[INSTALLING]")),
        "{heard:?}"
    );
}

fn edited(plan: &SealedPlan, edit: impl Fn(&mut Vec<serde_json::Value>)) -> String {
    let mut value: serde_json::Value = serde_json::from_slice(plan.bytes()).unwrap();
    edit(value["units"].as_array_mut().unwrap());
    let typed: runbook_core::plan::Plan = serde_json::from_value(value).unwrap();
    let mut bytes = serde_json::to_vec_pretty(&typed).unwrap();
    bytes.push(b'\n');
    let error = SealedPlan::read(&bytes).unwrap_err();
    assert_eq!(error.code(), "plan-broken", "{error}");
    error.to_string()
}

/// What the seal refuses of a plan in which the installer asks.
#[test]
fn a_plan_that_could_wipe_without_being_asked_is_refused() {
    let plan = asked(1).build().plan(run_id(1)).unwrap();
    assert_eq!(plan.world.head, HeadRole::Single);
    let drop = |units: &mut Vec<serde_json::Value>, id: &str, check: &str| {
        let unit = units.iter_mut().find(|unit| unit["id"] == id).unwrap();
        let require = unit["require"].as_array_mut().unwrap();
        let before = require.len();
        require.retain(|one| one.get(check).is_none());
        assert!(require.len() < before, "{check}");
    };
    let (boot, confirm) = ("reprovision/node001/boot", "reprovision/node001/confirm");
    for (unit, check, reason) in [
        (boot, "datanode_is", "nothing makes ask first"),
        (boot, "nothing_cleared_at_boot", "nothing makes ask first"),
        (confirm, "installer_asks", "without looking what is asked"),
        (confirm, "snapshot_proven", "before the snapshot is proven"),
    ] {
        let said = edited(&plan, |units| drop(units, unit, check));
        assert!(said.contains(reason), "{said}");
    }
    let quiet = edited(&plan, |units| {
        let unit = units.iter_mut().find(|unit| unit["id"] == confirm);
        unit.unwrap()["destructive"] = false.into();
    });
    assert!(quiet.contains("not marked as destructive"), "{quiet}");
    let lowered = edited(&plan, |units| {
        let id = "reprovision/node001/datanode";
        let unit = units.iter_mut().find(|unit| unit["id"] == id).unwrap();
        unit["act"]["manager"]["set_datanode"]["value"] = false.into();
    });
    assert!(lowered.contains("counted on to ask"), "{lowered}");
}

/// Behind Reprovision nobody of this run gives an installer its leave: it is named instead.
#[test]
fn a_node_that_asks_again_when_it_is_being_restored() {
    let world = asked(3).build();
    let mut lives = Lives::of(&world);
    let again = at(acts, "restore/node003/restore", || {
        assert!(world.befall(Incident::FullAgain(2)));
    });
    let (unit, code, hint) = halted(lives.live_watched(Mortal::never(), &again));
    assert_eq!(
        (&*unit, &*code),
        ("restore/node003/restore", "installer-asks-again"),
        "{}",
        world.story()
    );
    assert!(hint.contains("nobody in this run gives it leave"), "{hint}");
    let wipes = world.times(&Effect::Wiped);
    lives.live(Mortal::never());
    assert_eq!(world.times(&Effect::Wiped), wipes, "{}", world.story());
    assert_eq!(world.verdict(), Ok(()));
}
