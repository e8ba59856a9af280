//! What must hold of a journal behind every life, checked without the machine's own rules.

use std::collections::{BTreeMap, BTreeSet};

use crate::journal::{Entry, History, JournalError, Record};
use crate::machine::Machine;
use crate::names::UnitId;
use crate::plan::{Phase, SealedPlan};
use crate::run::replay;

/// The rules that a journal breaks.
///
/// `halt_heard` is how many records there were when the last life was asked to halt; `machine` is the one in
/// memory, where the journal must lead to the very same.
pub(super) fn audit(
    plan: &SealedPlan,
    bytes: &[u8],
    acknowledged: usize,
    halt_heard: Option<usize>,
    machine: Option<&Machine>,
) -> Vec<String> {
    let history = match History::read(bytes, "the journal") {
        Ok(history) => history,
        // Of a run that never began there is nothing.
        Err(JournalError::Empty { .. }) if acknowledged == 0 => return Vec::new(),
        Err(error) => return vec![format!("the journal does not read: {error}")],
    };
    let mut broken = Vec::new();
    let there = history.records.len();
    if there < acknowledged {
        broken.push(format!(
            "the journal has {there} records, {acknowledged} were acknowledged"
        ));
    }
    match (replay(plan, &history), machine) {
        (Err(error), _) => broken.push(format!("the journal does not replay: {error}")),
        (Ok(replayed), Some(machine)) if replayed != *machine => {
            broken.push("the journal replays to another machine".into());
        }
        _ => {}
    }
    broken.extend(order(plan, &history.records));
    broken.extend(halts(plan, &history.records, halt_heard));
    broken
}

/// Nothing begins in a life behind a failure or a request to halt, but the guard of a fresh disk.
fn halts(plan: &SealedPlan, records: &[Record], heard: Option<usize>) -> Option<String> {
    let guards = |id: &UnitId| {
        let unit = plan.units.iter().find(|unit| unit.id == *id);
        unit.is_some_and(|unit| unit.phase == Phase::Reprovision && id.as_str().ends_with("/guard"))
    };
    let mut halting = false;
    for (at, record) in records.iter().enumerate() {
        halting |= heard.is_some_and(|heard| at >= heard);
        match &record.entry {
            // The life that was asked to halt is the last one: its own beginning does not count.
            Entry::Resumed { .. } if heard.is_none_or(|heard| at < heard) => halting = false,
            Entry::Failed { .. } => halting = true,
            Entry::Intent { unit, .. } if halting && !guards(unit) => {
                return Some(format!("{unit} was begun in a run that was to halt"));
            }
            _ => {}
        }
    }
    None
}

/// Nothing is on record of a phase while anything before it is open.
fn order(plan: &SealedPlan, records: &[Record]) -> Option<String> {
    // An undo goes through the phases backwards: what counts is where a phase stands in the plan.
    let (mut block, mut of, mut restore) = (0, BTreeMap::new(), None);
    for (at, unit) in plan.units.iter().enumerate() {
        block += usize::from(at > 0 && plan.units[at - 1].phase != unit.phase);
        of.insert(&unit.id, block);
        if unit.phase == Phase::Restore {
            restore.get_or_insert(block);
        }
    }
    // A resumed run may make data nodes of them as soon as they may hold restored data.
    let early: BTreeSet<&UnitId> = plan
        .units
        .iter()
        .filter(|unit| unit.closes_window())
        .map(|unit| &unit.id)
        .collect();
    let mut open: BTreeSet<(usize, &UnitId)> = of.iter().map(|(id, block)| (*block, *id)).collect();
    let mut resumed = false;
    for record in records {
        resumed |= matches!(record.entry, Entry::Resumed { .. });
        let (unit, closes) = match &record.entry {
            Entry::Intent { unit, .. } | Entry::Failed { unit, .. } => (unit, false),
            Entry::Done { unit, .. } | Entry::Skipped { unit, .. } => (unit, true),
            _ => continue,
        };
        let Some(block) = of.get(unit).copied() else {
            return Some(format!("the journal names {unit}, which is not planned"));
        };
        let turn = restore.filter(|_| resumed && early.contains(unit));
        if let Some((before, waiting)) = open.first()
            && *before < turn.unwrap_or(block)
        {
            return Some(format!("{unit} was begun before {waiting} was done"));
        }
        if closes {
            open.remove(&(block, unit));
        }
    }
    None
}
