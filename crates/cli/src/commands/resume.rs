//! `resume`: go on from the journal, after a halt, a kill or a power cut.

use std::sync::Arc;

use runbook_core::journal::Outcome;
use runbook_core::run::{Run, replay};
use runbook_core::rundir::{RunDir, Standing, StateDir};

use super::life::{Life, close_undone};
use super::{Context, open_state, pick, run};
use crate::actor::actor;
use crate::args::Resume;
use crate::command_log::FileLog;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::render::status;
use crate::ui::Answer;

pub(super) async fn resume(cx: Context<'_>, args: &Resume) -> Result<Exit, Failure> {
    // Looking comes first: a directory that is not there is not made for nothing.
    let dir = find(cx, args.run.as_deref())?;
    let state = open_state(cx)?;
    let by = actor();
    let _lock = state.lock(&dir.cluster, &by)?;
    if let Some(exit) = undone_meanwhile(cx, &state, &dir)? {
        return Ok(exit);
    }
    let history = pick::open_history(&dir)?;
    let plan = dir.plan()?;
    let machine = replay(&plan, &history)?;
    let standing = status::Standing {
        plan: &plan,
        history: &history,
        machine: &machine,
        working: None,
        place: dir.path().display().to_string(),
    };
    cx.ui.note(&standing.text());
    if !args.yes && cx.ui.person && cx.ui.ask("Go on?", false) != Answer::Yes {
        return Err(Failure::new(
            Exit::Approval,
            "approval-declined",
            "the answer was no; nothing was changed",
        ));
    }
    let log = Arc::new(FileLog::default());
    run::attach(&log, &dir)?;
    let wired = cx.wire(&dir.cluster, Arc::clone(&log) as _, Some(dir.path()))?;
    let run = Run::resume(&plan, &wired.ports, Box::new(dir.store()?), by)?;
    let life = Life {
        cx,
        state: &state,
        dir: &dir,
        plan: &plan,
        wired: &wired,
    };
    wired.during(life.go(run)).await
}

fn find(cx: Context<'_>, text: Option<&str>) -> Result<RunDir, Failure> {
    let state = StateDir::existing(&cx.options.state_dir)?;
    match (&state, text) {
        (Some(state), Some(text)) => pick::named(state, text),
        (state, _) => pick::only_open(state.as_ref()),
    }
}

/// A run that an undo has begun to take back cannot go forward: its journal knows nothing of it.
fn undone_meanwhile(
    cx: Context<'_>,
    state: &StateDir,
    dir: &RunDir,
) -> Result<Option<Exit>, Failure> {
    for undo in pick::undos_of(state, dir.run)? {
        match undo.standing() {
            Standing::Over(Outcome::Completed, _)
                if matches!(dir.standing(), Standing::Open(_)) =>
            {
                // The undo was cut off between its own end and this.
                close_undone(state, dir.run, undo.run)?;
                cx.ui.note(&format!(
                    "run {} was undone by run {}; it is closed now",
                    dir.run, undo.run
                ));
                return Ok(Some(Exit::Done));
            }
            Standing::Over(_, history) if history.changed_nothing() => {}
            Standing::NeverBegan => {}
            _ => {
                let what = format!("run {} has begun to undo run {}", undo.run, dir.run);
                return Err(Failure::new(Exit::Conflict, "run-being-undone", what).hint(format!(
                    "finish the undo with `restore-runbook resume {}`, or begin it again with `restore-runbook undo {}`",
                    undo.run, dir.run
                )));
            }
        }
    }
    Ok(None)
}
