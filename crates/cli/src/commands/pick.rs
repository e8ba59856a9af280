//! Which run is meant.

use runbook_core::journal::{History, Outcome};
use runbook_core::machine::Machine;
use runbook_core::names::{ClusterLabel, OverlayName, RunId};
use runbook_core::plan::{PlanKind, SealedPlan};
use runbook_core::run::replay;
use runbook_core::rundir::{Holder, RunDir, Standing, StateDir, StateError};

use super::{Context, heads};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::render::status;

/// There is no such run.
const NONE: &str = "run-none";

/// The run with this id, or whose id ends so.
pub(super) fn named(state: &StateDir, text: &str) -> Result<RunDir, Failure> {
    let text = text.to_ascii_lowercase();
    let mut found = state.runs()?;
    found.retain(|dir| text.len() >= 4 && dir.run.to_string().ends_with(&text));
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => Err(none(format!("no run is {text}, or ends so"))),
        _ => Err(several(&found)),
    }
}

/// The only open run; of a run and its own open undo the undo is meant.
pub(super) fn only_open(state: Option<&StateDir>) -> Result<RunDir, Failure> {
    let mut open = state
        .map(StateDir::open_runs)
        .transpose()?
        .unwrap_or_default();
    let undone: Vec<RunId> = open.iter().filter_map(undo_of).collect();
    open.retain(|dir| !undone.contains(&dir.run));
    match open.len() {
        1 => Ok(open.remove(0)),
        0 => Err(none("there is no open run".into())),
        _ => Err(several(&open)),
    }
}

/// The run a run undoes, if it is an undo.
pub(super) fn undo_of(dir: &RunDir) -> Option<RunId> {
    match dir.plan().ok()?.kind {
        PlanKind::Undo { of, .. } => Some(of),
        PlanKind::Restore => None,
    }
}

/// Every run that is the undo of this one, or may be: nothing else begins behind a run that is open, so one
/// whose plan cannot be read counts.
pub(super) fn undos_of(state: &StateDir, of: &RunDir) -> Result<Vec<RunDir>, Failure> {
    let mut runs = state.runs()?;
    runs.retain(|dir| match dir.plan() {
        Ok(plan) => matches!(plan.kind, PlanKind::Undo { of: undone, .. } if undone == of.run),
        Err(_) => dir.cluster == of.cluster && dir.run > of.run,
    });
    Ok(runs)
}

/// The undo that has begun to take this run back: the run does not go forward any more.
pub(super) fn begun_undo(state: &StateDir, of: &RunDir) -> Result<Option<RunDir>, Failure> {
    let mut undos = undos_of(state, of)?;
    undos.retain(|undo| match undo.standing() {
        Standing::NeverBegan => false,
        Standing::Over(Outcome::Abandoned(_), history) => !history.changed_nothing(),
        _ => true,
    });
    // Of several the one that counts, whatever was given up before it or after.
    Ok(undos.into_iter().max_by_key(|undo| match undo.standing() {
        _ if has_undone(undo) => 2,
        Standing::Open(_) | Standing::Unreadable(_) => 1,
        _ => 0,
    }))
}

/// Whether this undo is through, and knows whose it is.
pub(super) fn has_undone(undo: &RunDir) -> bool {
    undo_of(undo).is_some() && matches!(undo.standing(), Standing::Over(Outcome::Completed, _))
}

/// The way on with a run that this undo has begun to take back.
pub(super) fn way_behind(undo: &RunDir, of: RunId) -> String {
    match undo.standing() {
        Standing::Unreadable(_) => way_out(undo),
        Standing::Open(_) if open_record(undo).is_err() => way_out(undo),
        Standing::Open(_) => format!("restore-runbook resume {}", undo.run),
        // It was cut off between its own end and that of what it undoes.
        _ if has_undone(undo) => format!("restore-runbook resume {of}"),
        _ => format!("restore-runbook undo {of}"),
    }
}

/// Why a run does not go on by itself.
pub(super) fn being_undone(exit: Exit, undo: &RunDir, of: RunId) -> Failure {
    let by = undo.run;
    let what = match undo.plan() {
        Ok(_) => format!("run {by} has begun to undo run {of}"),
        Err(_) => format!("run {by} may have begun to undo run {of}: its plan cannot be read"),
    };
    let way = way_behind(undo, of);
    Failure::new(exit, "run-being-undone", what).hint(format!("go on with that first: {way}"))
}

/// Refuses while any run is open on the cluster; nobody else works on it, the lock is held.
pub(super) fn refuse_open(
    state: &StateDir,
    cluster: &ClusterLabel,
    overlay: Option<&OverlayName>,
) -> Result<(), Failure> {
    let open = state.open_runs()?;
    // A label is only a name; the overlay says which cluster it is.
    let same_overlay = |dir: &RunDir| {
        let plan = dir.plan().ok();
        overlay.is_some_and(|overlay| plan.is_some_and(|plan| plan.world.overlay == *overlay))
    };
    let Some(dir) = open
        .iter()
        .find(|dir| dir.cluster == *cluster || same_overlay(dir))
    else {
        return Ok(());
    };
    let by = match dir.standing() {
        Standing::Open(history) | Standing::Over(_, history) => whose(&history),
        Standing::NeverBegan | Standing::GivenUp(_) => "its journal does not say whose".into(),
        Standing::Unreadable(error) => return Err(in_the_way(dir, &error)),
    };
    let what = format!("run {} is open on cluster {}: {by}", dir.run, dir.cluster);
    Err(Failure::new(Exit::Locked, "run-open", what).hint(format!(
        "look at it with `restore-runbook status {0}`; then `resume`, `undo` or `abandon` it",
        dir.run
    )))
}

/// A run whose record is damaged may be open, and is treated so until somebody says otherwise.
fn in_the_way(dir: &RunDir, error: &StateError) -> Failure {
    let what = format!("run {} on cluster {} may be open", dir.run, dir.cluster);
    Failure::new(Exit::Locked, "run-open", what)
        .caused_by(error)
        .hint(format!("its record cannot be read: {}", way_out(dir)))
}

/// What to do about a run whose record cannot be read.
pub(super) fn way_out(dir: &RunDir) -> String {
    format!(
        "put it back from a copy; or look at each node and finish by hand, then: restore-runbook abandon {} --damaged --reason TEXT",
        dir.run
    )
}

/// Everything there is to know of a run that its directory tells.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) plan: SealedPlan,
    pub(super) history: History,
    pub(super) machine: Machine,
}

impl Record {
    /// Reads it all, and holds it against each other.
    pub(super) fn read(dir: &RunDir, history: History) -> Result<Self, Failure> {
        let plan = dir.plan()?;
        let machine = replay(&plan, &history)?;
        Ok(Self {
            plan,
            history,
            machine,
        })
    }

    /// As it is shown.
    pub(super) fn standing(&self, dir: &RunDir, working: Option<String>) -> status::Standing<'_> {
        status::Standing {
            plan: &self.plan,
            history: &self.history,
            machine: &self.machine,
            working,
            place: dir.path().display().to_string(),
            remarks: heads::remarks(dir, &self.history),
            undone: None,
        }
    }
}

/// The record of a run that can go on.
pub(super) fn open_record(dir: &RunDir) -> Result<Record, Failure> {
    Record::read(dir, open_history(dir)?)
}

/// The run that is named, or the only open one. Nothing is made where there is nothing.
pub(super) fn one(cx: Context<'_>, text: Option<&str>) -> Result<RunDir, Failure> {
    let state = StateDir::existing(&cx.options.state_dir)?;
    let found = match (&state, text) {
        (Some(state), Some(text)) => named(state, text),
        (state, _) => only_open(state.as_ref()),
    };
    found.map_err(|failure| {
        let none = failure.code == NONE;
        match heads::nothing_mounted(&cx.options.state_dir).filter(|_| none) {
            Some(line) => failure.hint(line),
            None => failure,
        }
    })
}

/// Whose run it is: who was the last to work on it.
fn whose(history: &History) -> String {
    history.lives().last().map_or_else(
        || "its journal does not say whose".into(),
        |life| format!("{}, {:.0}", life.by, life.at),
    )
}

/// The history of a run that can go on.
pub(super) fn open_history(dir: &RunDir) -> Result<History, Failure> {
    match dir.standing() {
        Standing::Open(history) => Ok(history),
        Standing::Unreadable(error) => {
            let beyond = error.is_damage();
            let failure = Failure::from(error);
            Err(if beyond {
                failure.hint(way_out(dir))
            } else {
                failure
            })
        }
        Standing::GivenUp(given_up) => {
            let what = format!("run {} is over: abandoned: {}", dir.run, given_up.reason);
            Err(over(what))
        }
        Standing::NeverBegan => {
            let what = format!("run {} never began: nothing was changed", dir.run);
            Err(Failure::new(Exit::Locked, "run-never-began", what)
                .hint("run its plan, or make a new one"))
        }
        Standing::Over(outcome, _) => {
            let how = match outcome {
                Outcome::Completed => "completed".to_owned(),
                Outcome::Undone(by) => format!("undone by run {by}"),
                Outcome::Abandoned(reason) => format!("abandoned: {reason}"),
            };
            Err(over(format!("run {} is over: {how}", dir.run)))
        }
    }
}

fn over(what: String) -> Failure {
    Failure::new(Exit::Record, "run-over", what).hint("begin a new run with a new plan")
}

/// Who works on a cluster right now, in words.
pub(super) fn worker(
    state: &StateDir,
    cluster: &ClusterLabel,
) -> Result<Option<String>, StateError> {
    let holder = state.holder(cluster)?;
    Ok(holder.map(|Holder(actor)| {
        actor.map_or_else(
            || "a process that does not say whose it is".into(),
            |by| by.to_string(),
        )
    }))
}

fn none(what: String) -> Failure {
    Failure::new(Exit::Locked, NONE, what)
        .hint("`restore-runbook status --all` lists the runs; --state-dir says where they are kept")
}

fn several(found: &[RunDir]) -> Failure {
    let lines = found
        .iter()
        .map(|dir| format!("{} on cluster {}", dir.run, dir.cluster));
    Failure::new(
        Exit::Usage,
        "run-ambiguous",
        "more than one run could be meant",
    )
    .details(lines)
    .hint("name one by its id, or by the end of it")
}
