//! `resume`: go on from the journal, after a halt, a kill or a power cut.

use runbook_core::plan::PlanKind;
use runbook_core::rundir::{RunDir, Standing, StateDir};

use super::life::{Session, close_undone};
use super::{Context, heads, pick};
use crate::args::Resume;
use crate::exit::Exit;
use crate::failure::Failure;

pub(super) async fn resume(cx: Context<'_>, args: &Resume) -> Result<Exit, Failure> {
    // Looking comes first: a directory that is not there is not made for nothing.
    let dir = pick::one(cx, args.run.as_deref())?;
    let session = Session::take(cx, &dir.cluster)?;
    if let Some(exit) = undone_meanwhile(cx, &session.state, &dir)? {
        return Ok(exit);
    }
    let record = heads::open_record(cx, &dir, args.take_over.as_deref())?;
    cx.ui.note(&record.standing(&dir, None).text());
    if !args.yes {
        cx.confirm("Go on?").await?;
    }
    // Which nodes were wiped is noted with the run that an undo takes back.
    let wired = match record.plan.kind {
        PlanKind::Undo { of, .. } => session.wire(&dir.beside(of))?,
        PlanKind::Restore => session.wire(&dir)?,
    };
    let work = async {
        cx.halt.or(heads::fit(cx, &wired.ports)).await?;
        session.resume(&dir, &record.plan, &wired).await
    };
    wired.during(work).await
}

/// A run that an undo has begun to take back cannot go forward: its journal knows nothing of it.
fn undone_meanwhile(
    cx: Context<'_>,
    state: &StateDir,
    dir: &RunDir,
) -> Result<Option<Exit>, Failure> {
    // What any other run is, is said where it is opened.
    if !matches!(dir.standing(), Standing::Open(_)) {
        return Ok(None);
    }
    let Some(undo) = pick::begun_undo(state, dir)? else {
        return Ok(None);
    };
    if !pick::has_undone(&undo) {
        return Err(pick::being_undone(Exit::Conflict, &undo, dir.run));
    }
    // The undo was cut off between its own end and this.
    close_undone(state, dir.run, undo.run)?;
    cx.ui.note(&format!(
        "run {} was undone by run {}; it is closed now",
        dir.run, undo.run
    ));
    Ok(Some(Exit::Done))
}
