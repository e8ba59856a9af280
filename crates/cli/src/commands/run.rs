//! `run`: what was approved, in the world it was approved for.

use std::path::Path;
use std::sync::Arc;

use runbook_core::digest::Digest;
use runbook_core::observe::{drift, observe};
use runbook_core::plan::{PLAN_LIMIT_BYTES, PlanKind, SealedPlan};
use runbook_core::ports::{NoLog, Ports};
use runbook_core::rundir::{StateDir, read_private};

use super::life::Session;
use super::{Context, declined, heads, pick, plan, read_spec};
use crate::args::RunArgs;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::render::text;
use crate::ui::Answer;

pub(super) async fn run(cx: Context<'_>, args: &RunArgs) -> Result<Exit, Failure> {
    let plan = approved(cx, args).await?;
    let session = Session::take(cx, &plan.cluster)?;
    pick::refuse_open(&session.state, &plan.cluster, Some(&plan.world.overlay))?;
    let wired = session.wire(&session.state.run_dir(&plan))?;
    let work = async {
        cx.halt.or(heads::fit(cx, &wired.ports)).await?;
        cx.halt.or(refuse_drift(&wired.ports, &plan)).await?;
        plan.check_commands(&wired.ports)?;
        session.begin(&plan, &wired).await
    };
    wired.during(work).await
}

/// The plan somebody has said yes to.
async fn approved(cx: Context<'_>, args: &RunArgs) -> Result<SealedPlan, Failure> {
    match (&args.plan, &args.spec) {
        (Some(file), _) => from_file(cx, file, args.approve).await,
        (None, Some(spec)) if cx.ui.person => from_spec(cx, spec).await,
        (None, _) => Err(Failure::usage("there is no plan to run").hint(
            "write one with `restore-runbook plan --spec SPEC --out plan.json`, then `restore-runbook run --plan plan.json --approve DIGEST`; on a terminal `run --spec SPEC` plans, shows and asks",
        )),
    }
}

async fn from_file(
    cx: Context<'_>,
    file: &Path,
    approve: Option<Digest>,
) -> Result<SealedPlan, Failure> {
    let bytes = read_private(file, PLAN_LIMIT_BYTES as u64)?;
    let found = Digest::of(&bytes);
    if let Some(approved) = approve.filter(|approved| *approved != found) {
        return Err(mismatch(&file.display().to_string(), found, approved));
    }
    let plan = SealedPlan::read(&bytes)?;
    if let PlanKind::Undo { of, .. } = plan.kind {
        return Err(Failure::usage("this is the plan of an undo").hint(format!(
            "restore-runbook undo {of} --approve {}",
            plan.digest()
        )));
    }
    match approve {
        Some(_) => {}
        None if cx.ui.person => ask(cx, &plan).await?,
        None => {
            let (file, found) = (file.to_string_lossy(), found.to_string());
            let line = ["run", "--plan", &file, "--approve", &found];
            let line = cx.options.line(&line);
            return Err(Failure::new(
                Exit::Approval,
                "approval-needed",
                "nobody has approved the plan",
            )
            .hint(format!("review it, then: {line}")));
        }
    }
    Ok(plan)
}

/// The plan is not the one that was approved.
pub(super) fn mismatch(what: &str, found: Digest, approved: Digest) -> Failure {
    let what = format!("{what} is not the plan that was approved");
    Failure::new(Exit::Approval, "approval-mismatch", what)
        .details([format!("approved: {approved}"), format!("found:    {found}")])
        .hint("review what is there now, or find the file that was reviewed; `sha256sum` prints the same digest")
}

async fn from_spec(cx: Context<'_>, spec: &Path) -> Result<SealedPlan, Failure> {
    let spec = read_spec(spec)?;
    // Told early: nobody wants to read a plan that cannot be run.
    if let Some(state) = StateDir::existing(&cx.options.state_dir)? {
        pick::refuse_open(&state, &spec.cluster, spec.overlay.as_ref())?;
    }
    let wired = cx.wire(&spec.cluster, Arc::new(NoLog), None)?;
    let making = cx.halt.or(plan::make(&wired.ports, &spec));
    let plan = wired.during(making).await?;
    ask(cx, &plan).await?;
    Ok(plan)
}

/// Shows a plan and asks; `explain` shows every step and asks again.
pub(super) async fn ask(cx: Context<'_>, plan: &SealedPlan) -> Result<(), Failure> {
    cx.ui.note(&text::summary(plan));
    loop {
        match cx.ask("Do this?", true).await? {
            Answer::Yes => return Ok(()),
            Answer::Explain => cx.ui.note(&text::plan(plan)),
            Answer::No => return Err(declined()),
        }
    }
}

async fn refuse_drift(ports: &Ports, plan: &SealedPlan) -> Result<(), Failure> {
    let now = observe(ports, &plan.spec).await?;
    let found = drift(&plan.world, &now);
    if found.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Conflict,
        "world-drift",
        "the world is not what the plan was made for; nothing was changed",
    )
    .details(found.iter().map(ToString::to_string))
    .hint("make the plan again and have it reviewed: what was approved does not fit any more"))
}
