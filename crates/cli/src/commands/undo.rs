//! `undo`: put back what a run has done, as a run of its own.

use runbook_core::digest::Digest;
use runbook_core::journal::History;
use runbook_core::names::RunId;
use runbook_core::plan::{Draft, PlanKind, SealedPlan};
use runbook_core::rundir::{RunDir, Standing, StateDir};

use super::life::Session;
use super::{Context, heads, pick, run};
use crate::args::{PlanFormat, UndoArgs};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::render::{markdown, next, text};

pub(super) async fn undo(cx: Context<'_>, args: &UndoArgs) -> Result<Exit, Failure> {
    let of = pick::one(cx, args.run.as_deref())?;
    let session = Session::take(cx, &of.cluster)?;
    // Which nodes were wiped is noted with the run that is taken back.
    let wired = session.wire(&of)?;
    let work = async {
        cx.halt.or(heads::fit(cx, &wired.ports)).await?;
        let take_over = args.take_over.as_deref();
        let record = heads::open_record(cx, &of, take_over)?;
        let plan = plan(&session.state, &of, &record, &wired.ports)?;
        approve(cx, args, &of, &plan).await?;
        session.begin(&plan, &wired).await
    };
    wired.during(work).await
}

/// The undo's plan. The same journal gives the same plan, and so the same digest to approve.
fn plan(
    state: &StateDir,
    of: &RunDir,
    record: &pick::Record,
    ports: &runbook_core::ports::Ports,
) -> Result<SealedPlan, Failure> {
    if matches!(record.plan.kind, PlanKind::Restore) {
        refuse_open_undo(state, of)?;
    }
    let id = run_id(&record.plan, &record.history, attempts(state, of)?)?;
    Ok(Draft::undo(&record.plan, &record.machine, id)?.seal(ports)?)
}

pub(super) fn refuse_open_undo(state: &StateDir, of: &RunDir) -> Result<(), Failure> {
    for undo in pick::undos_of(state, of)? {
        if matches!(undo.standing(), Standing::Open(_) | Standing::Unreadable(_)) {
            return Err(pick::being_undone(Exit::Locked, &undo, of.run));
        }
    }
    Ok(())
}

/// How many undos of the run were begun, have changed something, and were given up.
fn attempts(state: &StateDir, of: &RunDir) -> Result<usize, Failure> {
    let given_up = |dir: &RunDir| match dir.standing() {
        Standing::Over(_, history) => !history.changed_nothing(),
        Standing::GivenUp(_) => true,
        Standing::NeverBegan | Standing::Open(_) | Standing::Unreadable(_) => false,
    };
    Ok(pick::undos_of(state, of)?
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

async fn approve(
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
        None if cx.ui.person => return run::ask(cx, plan).await,
        None => {}
    }
    let line = next::approve_undo(cx.options, of.run, plan);
    match args.format {
        PlanFormat::Text => cx.ui.data(&text::plan(plan))?,
        PlanFormat::Json => cx.ui.bytes(plan.bytes())?,
        PlanFormat::Md => {
            let page = format!("{}{}", markdown::plan(plan), markdown::to_approve(&line));
            cx.ui.data(&page)?;
        }
    }
    Err(Failure::new(
        Exit::Approval,
        "approval-needed",
        "nobody has approved the undo",
    )
    .hint(format!("review it, then: {line}")))
}
