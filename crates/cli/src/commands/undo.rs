//! `undo`: put back what a run has done, as a run of its own.

use std::sync::Arc;

use runbook_core::digest::Digest;
use runbook_core::journal::History;
use runbook_core::names::RunId;
use runbook_core::plan::{Draft, PlanKind, SealedPlan};
use runbook_core::run::{Run, replay};
use runbook_core::rundir::{RunDir, Standing, StateDir};

use super::life::Life;
use super::{Context, open_state, pick, run};
use crate::actor::actor;
use crate::args::{PlanFormat, UndoArgs};
use crate::command_log::FileLog;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::render::{markdown, text};

pub(super) async fn undo(cx: Context<'_>, args: &UndoArgs) -> Result<Exit, Failure> {
    let of = find(cx, args.run.as_deref())?;
    let state = open_state(cx)?;
    let by = actor();
    let lock = state.lock(&of.cluster, &by)?;
    let log = Arc::new(FileLog::default());
    // The undo's own directory is known only once its plan is; the run's files are what matters here.
    let wired = cx.wire(&of.cluster, Arc::clone(&log) as _, Some(of.path()))?;
    let plan = plan(&state, &of, &wired.ports)?;
    approve(cx, args, &of, &plan)?;
    let (dir, store) = state.create_run(&lock, &plan)?;
    run::attach(&log, &dir)?;
    let run = Run::begin(&plan, &wired.ports, Box::new(store), by)?;
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

/// The undo's plan. The same journal gives the same plan, and so the same digest to approve.
fn plan(
    state: &StateDir,
    of: &RunDir,
    ports: &runbook_core::ports::Ports,
) -> Result<SealedPlan, Failure> {
    let history = pick::open_history(of)?;
    let original = of.plan()?;
    if matches!(original.kind, PlanKind::Restore) {
        refuse_open_undo(state, of)?;
    }
    let machine = replay(&original, &history)?;
    let id = run_id(&original, &history, attempts(state, of)?)?;
    Ok(Draft::undo(&original, &machine, id)?.seal(ports)?)
}

pub(super) fn refuse_open_undo(state: &StateDir, of: &RunDir) -> Result<(), Failure> {
    for undo in pick::undos_of(state, of.run)? {
        if matches!(undo.standing(), Standing::Open(_) | Standing::Unreadable(_)) {
            let what = format!("run {} is undoing run {} already", undo.run, of.run);
            return Err(
                Failure::new(Exit::Locked, "run-being-undone", what).hint(format!(
                    "go on with it: restore-runbook resume {}",
                    undo.run
                )),
            );
        }
    }
    Ok(())
}

/// How many undos of the run were begun, have changed something, and were given up.
fn attempts(state: &StateDir, of: &RunDir) -> Result<usize, Failure> {
    let given_up = |dir: &RunDir| matches!(dir.standing(), Standing::Over(_, history) if !history.changed_nothing());
    Ok(pick::undos_of(state, of.run)?
        .iter()
        .filter(|dir| given_up(dir))
        .count())
}

/// The undo's run id: of the time of the run's last record, and otherwise of what it undoes. Asking
/// again gives the same id as long as nothing has happened in between.
fn run_id(of: &SealedPlan, history: &History, attempts: usize) -> Result<RunId, Failure> {
    let last = history.records.last();
    let (seq, at) = last.map_or((0, jiff::Timestamp::UNIX_EPOCH), |record| {
        (record.seq, record.at)
    });
    let seed = format!("undo {} {seq} {attempts}", of.digest());
    let hex = Digest::of(seed.as_bytes()).hex();
    let millis = u64::try_from(at.as_millisecond()).unwrap_or(0) & 0xffff_ffff_ffff;
    let time = format!("{millis:012x}");
    let text = format!(
        "{}-{}-7{}-8{}-{}",
        &time[..8],
        &time[8..],
        &hex[..3],
        &hex[3..6],
        &hex[6..18]
    );
    RunId::parse(&text)
        .map_err(|error| Failure::internal("an undo has no run id").caused_by(&error))
}

fn approve(
    cx: Context<'_>,
    args: &UndoArgs,
    of: &RunDir,
    plan: &SealedPlan,
) -> Result<(), Failure> {
    match args.approve {
        Some(approved) if approved == plan.digest() => return Ok(()),
        Some(approved) => {
            return Err(run::mismatch(
                "the undo as it would be now",
                plan.digest(),
                approved,
            ));
        }
        None if cx.ui.person => return run::ask(cx, plan),
        None => {}
    }
    match args.format {
        PlanFormat::Text => cx.ui.data(&text::plan(plan))?,
        PlanFormat::Json => cx.ui.bytes(plan.bytes())?,
        PlanFormat::Md => cx.ui.data(&markdown::plan(plan))?,
    }
    Err(Failure::new(
        Exit::Approval,
        "approval-needed",
        "nobody has approved the undo",
    )
    .hint(format!(
        "review it, then: restore-runbook undo {} --approve {}",
        of.run,
        plan.digest()
    )))
}
