//! The transition table, written out; its picture; and the barrier.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::fmt::Write as _;

use proptest::prelude::*;
use runbook_core::journal::{Actor, Baseline, Entry, Outcome};
use runbook_core::machine::{IllegalEntry, Machine, UnitEvent, UnitState, next};
use runbook_core::names::{NodeName, UnitId};
use runbook_core::plan::{Action, Check, ManagerEffect, Phase, Unit};
use runbook_core::world::BootId;

/// Every state with every event: 25 lines, none derived from the code.
#[test]
fn the_transition_table() {
    use UnitEvent::{Confirmed, Failed as Fails, Found, Intended, Skipped as Skips};
    use UnitState::{Done, Failed, InFlight, Pending, Skipped};
    let table = [
        (Pending, Intended, Some(InFlight)),
        (Pending, Confirmed, None),
        (Pending, Found, Some(Done)),
        (Pending, Skips, Some(Skipped)),
        (Pending, Fails, Some(Failed)),
        (InFlight, Intended, Some(InFlight)),
        (InFlight, Confirmed, Some(Done)),
        (InFlight, Found, Some(Done)),
        (InFlight, Skips, None),
        (InFlight, Fails, Some(Failed)),
        (Done, Intended, None),
        (Done, Confirmed, None),
        (Done, Found, None),
        (Done, Skips, None),
        (Done, Fails, None),
        (Skipped, Intended, None),
        (Skipped, Confirmed, None),
        (Skipped, Found, None),
        (Skipped, Skips, None),
        (Skipped, Fails, None),
        (Failed, Intended, Some(InFlight)),
        (Failed, Confirmed, None),
        (Failed, Found, Some(Done)),
        (Failed, Skips, None),
        (Failed, Fails, Some(Failed)),
    ];
    assert_eq!(
        table.len(),
        UnitState::ALL.len() * UnitEvent::ALL.len(),
        "every pair stands here"
    );
    for (state, event, expected) in table {
        assert_eq!(next(state, event), expected, "{state:?} and {event:?}");
    }
}

/// The picture is drawn from the code's table, so that the documentation cannot drift.
#[test]
fn the_picture_of_the_machine_is_current() {
    common::expect("../../docs/machine.md", &picture());
}

fn picture() -> String {
    let mut page = String::from(
        "# The machine of one unit\n\nDrawn from the transition table by `crates/runbook-core/tests/machine.rs`; draw it again with\n`UPDATE_EXPECTED=1 cargo test -p runbook-core --all-features --test machine`.\n\n```mermaid\nstateDiagram-v2\n    [*] --> Pending\n",
    );
    for state in UnitState::ALL {
        for event in UnitEvent::ALL {
            if let Some(to) = next(state, event) {
                let event = format!("{event:?}").to_lowercase();
                writeln!(page, "    {state:?} --> {to:?}: {event}").unwrap();
            }
        }
    }
    for state in UnitState::ALL.into_iter().filter(|s| s.closed()) {
        writeln!(page, "    {state:?} --> [*]").unwrap();
    }
    page.push_str(
        "```\n\nA dash is an entry that cannot come: the journal that holds it is refused.\n\n|",
    );
    for event in UnitEvent::ALL {
        write!(page, " | {}", format!("{event:?}").to_lowercase()).unwrap();
    }
    page.push_str(" |\n|---|---|---|---|---|---|\n");
    for state in UnitState::ALL {
        write!(page, "| **{state}**").unwrap();
        for event in UnitEvent::ALL {
            let to = next(state, event).map_or_else(|| "–".into(), |to| to.to_string());
            write!(page, " | {to}").unwrap();
        }
        page.push_str(" |\n");
    }
    page
}

/// Units in random phases, each needing some earlier ones of its phase.
fn units() -> impl Strategy<Value = Vec<Unit>> {
    let unit = (
        0..Phase::ALL.len(),
        prop::collection::vec(any::<prop::sample::Index>(), 0..3),
    );
    prop::collection::vec(unit, 1..30).prop_map(|mut drawn| {
        drawn.sort_by_key(|(phase, _)| *phase);
        let mut units: Vec<Unit> = Vec::new();
        for (at, (phase, needs)) in drawn.into_iter().enumerate() {
            let phase = Phase::ALL[phase];
            let same: Vec<UnitId> = units
                .iter()
                .filter(|unit| unit.phase == phase)
                .map(|unit| unit.id.clone())
                .collect();
            let id = UnitId::new(format!("{phase}/{at}")).unwrap();
            let unit = if closes_window(phase, at) {
                let node = NodeName::new("node001").unwrap();
                let raise = ManagerEffect::SetDatanode { node, value: true };
                Unit::act(id, phase, Action::Manager(raise), "")
            } else {
                Unit::gate(id, phase, "a gate", "", vec![Check::HeadIsActive])
            };
            let needs = needs.iter().filter(|_| !same.is_empty());
            units.push(needs.fold(unit, |unit, need| unit.after(&same[need.index(same.len())])));
        }
        units
    })
}

fn entry(unit: &UnitId, event: UnitEvent) -> Entry {
    let (unit, text) = (unit.clone(), String::new());
    match event {
        UnitEvent::Intended => Entry::Intent {
            unit,
            baseline: Baseline::default(),
        },
        UnitEvent::Confirmed | UnitEvent::Found => Entry::Done {
            unit,
            acted: event == UnitEvent::Confirmed,
            seen: text,
        },
        UnitEvent::Skipped => Entry::Skipped { unit, reason: text },
        UnitEvent::Failed => Entry::Failed {
            unit,
            code: text.clone(),
            seen: text,
        },
    }
}

/// Whether the unit at this place of a random plan ends the time in which a reboot may wipe.
fn closes_window(phase: Phase, at: usize) -> bool {
    phase == Phase::Datanode && at.is_multiple_of(2)
}

/// Whether a resumed life does this unit before its phase.
fn goes_first(units: &[Unit], unit: &Unit, resumed: bool) -> bool {
    let restores = units.iter().any(|unit| unit.phase == Phase::Restore);
    resumed && restores && unit.phase == Phase::Datanode && unit.act.is_some()
}

/// What stands between a unit and its turn, found the slow way.
fn in_the_way<'a>(
    machine: &Machine,
    units: &'a [Unit],
    unit: &Unit,
    resumed: bool,
) -> Option<&'a UnitId> {
    let phase = if goes_first(units, unit, resumed) {
        Phase::Restore
    } else {
        unit.phase
    };
    let before = |other: &&Unit| other.phase < phase || unit.needs.contains(&other.id);
    let open = |other: &&Unit| !machine.state(&other.id).unwrap().closed();
    units
        .iter()
        .filter(before)
        .find(open)
        .map(|other| &other.id)
}

/// A later life intends a boot again, and may have seen the effect of the first: its boot id tells nothing.
#[test]
fn the_world_before_the_first_intent_is_kept() {
    let unit = UnitId::new("reprovision/node001/boot").unwrap();
    let gate = Unit::gate(
        unit.clone(),
        Phase::Reprovision,
        "a gate",
        "",
        vec![Check::HeadIsActive],
    );
    let mut machine = Machine::new(&[gate]);
    let before = |boot: &str| Baseline {
        boot_id: Some(BootId(boot.into())),
    };
    for boot in ["first", "second"] {
        let intent = Entry::Intent {
            unit: unit.clone(),
            baseline: before(boot),
        };
        machine.apply(&intent).unwrap();
        assert_eq!(machine.baseline(&unit), Some(&before("first")));
    }
}

/// What is asked of a machine, besides who is ready.
#[test]
fn a_machine_tells_how_far_it_is() {
    let ids = ["stop/a", "stop/b"].map(|id| UnitId::new(id).unwrap());
    let gate = |id: &UnitId| {
        Unit::gate(
            id.clone(),
            Phase::Stop,
            "a gate",
            "",
            vec![Check::HeadIsActive],
        )
    };
    let mut machine = Machine::new(&ids.each_ref().map(gate));
    machine.apply(&entry(&ids[0], UnitEvent::Intended)).unwrap();
    let intended = ids.each_ref().map(|id| machine.intended(id));
    assert_eq!(intended, [true, false]);
    let states: Vec<_> = machine.states().collect();
    let expected = [UnitState::InFlight, UnitState::Pending];
    assert_eq!(states, [(&ids[0], expected[0]), (&ids[1], expected[1])]);
    let reason = String::new();
    machine.apply(&Entry::Halted { reason }).unwrap();
    assert!(!machine.over(), "a halt is no end");
    let outcome = Outcome::Completed;
    machine.apply(&Entry::Closed { outcome }).unwrap();
    assert!(machine.over());
    let more = machine.allows(&entry(&ids[1], UnitEvent::Found));
    assert_eq!(more, Err(IllegalEntry::Over));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// On any walk through any plan: whoever is ready has nothing open before him, whoever is not
    /// cannot even be written down, and somebody is ready as long as anybody is open.
    #[test]
    fn nobody_passes_the_barrier(
        units in units(),
        walk in prop::collection::vec((any::<prop::sample::Index>(), 0..5_usize), 0..150),
        second_life in 0..200_usize,
    ) {
        let mut machine = Machine::new(&units);
        for (step, (who, event)) in walk.into_iter().enumerate() {
            let resumed = step >= second_life;
            if step == second_life {
                let by = Actor { tool: String::new(), host: String::new(), user: String::new(), pid: 2 };
                machine.apply(&Entry::Resumed { by }).unwrap();
            }
            let ready: Vec<UnitId> = machine.ready().into_iter().cloned().collect();
            let open = units.iter().any(|unit| !machine.state(&unit.id).unwrap().closed());
            prop_assert_eq!(open, !ready.is_empty());
            let can = |unit: &Unit| {
                !machine.state(&unit.id).unwrap().closed() && in_the_way(&machine, &units, unit, resumed).is_none()
            };
            // Whoever goes first keeps the others back, but what is in flight may still end.
            let first = units.iter().any(|unit| goes_first(&units, unit, resumed) && can(unit));
            for unit in &units {
                let blocked = in_the_way(&machine, &units, unit, resumed);
                let closed = machine.state(&unit.id).unwrap().closed();
                prop_assert_eq!(ready.contains(&unit.id), can(unit) && (!first || goes_first(&units, unit, resumed)));
                let intent = entry(&unit.id, UnitEvent::Intended);
                prop_assert_eq!(machine.allows(&intent).is_ok(), !closed && blocked.is_none());
            }
            if let Some(unit) = (!ready.is_empty()).then(|| &ready[who.index(ready.len())]) {
                // What the table does not allow changes nothing.
                let before = machine.clone();
                if machine.apply(&entry(unit, UnitEvent::ALL[event])).is_err() {
                    prop_assert_eq!(&before, &machine);
                }
            }
        }
    }
}
