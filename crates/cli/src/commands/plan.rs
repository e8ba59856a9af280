//! `plan`: everything that would be done. Nothing is changed, on no node and in no cmsh.

use std::path::Path;
use std::sync::Arc;

use runbook_core::names::RunId;
use runbook_core::observe::observe;
use runbook_core::plan::{Draft, SealedPlan};
use runbook_core::ports::{NoLog, Ports};
use runbook_core::rundir::write_atomically;
use runbook_core::spec::Spec;

use super::{Context, read_spec};
use crate::args::{PlanArgs, PlanFormat};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::render::probe::Probed;
use crate::render::{json, markdown, text};
use crate::ui::clean_line;

pub(super) async fn plan(cx: Context<'_>, args: &PlanArgs) -> Result<Exit, Failure> {
    let spec = read_spec(&args.spec)?;
    let wired = cx.wire(&spec.cluster, Arc::new(NoLog), None)?;
    wired
        .during(cx.halt.or(show(cx, args, &spec, &wired.ports)))
        .await
}

async fn show(
    cx: Context<'_>,
    args: &PlanArgs,
    spec: &Spec,
    ports: &Ports,
) -> Result<Exit, Failure> {
    let plan = make(ports, spec).await?;
    let probed = if args.probe {
        Some(Probed::ask(&plan, ports).await)
    } else {
        None
    };
    if let Some(path) = &args.out {
        write(path, &plan, args.force)?;
    }
    print(cx, args, &plan, probed.as_ref())?;
    Ok(match probed {
        Some(probed) if probed.refused() => Exit::Refused,
        Some(probed) if probed.changes() => Exit::Pending,
        _ => Exit::Done,
    })
}

/// Observes the world and plans for it.
pub(super) async fn make(ports: &Ports, spec: &Spec) -> Result<SealedPlan, Failure> {
    let world = observe(ports, spec).await?;
    Ok(Draft::restore(spec, &world, RunId::fresh())?.seal(ports)?)
}

fn print(
    cx: Context<'_>,
    args: &PlanArgs,
    plan: &SealedPlan,
    probed: Option<&Probed>,
) -> Result<(), Failure> {
    match args.format {
        PlanFormat::Json => match probed {
            None => cx.ui.bytes(plan.bytes()),
            Some(probed) => cx.ui.data(&json::document(&json::probed(plan, probed))),
        },
        PlanFormat::Md => {
            let found = probed.map_or_else(String::new, Probed::markdown);
            cx.ui.data(&format!("{}{found}", markdown::plan(plan)))
        }
        PlanFormat::Text => {
            let found = probed.map_or_else(String::new, Probed::text);
            let file = args
                .out
                .as_ref()
                .map(|path| clean_line(&path.display().to_string()));
            let next = text::next_step(plan, file.as_deref());
            cx.ui.data(&format!("{}{found}{next}", text::plan(plan)))
        }
    }
}

fn write(path: &Path, plan: &SealedPlan, force: bool) -> Result<(), Failure> {
    if !force && path.symlink_metadata().is_ok() {
        let what = format!("{} is there already", path.display());
        return Err(Failure::new(Exit::Environment, "plan-exists", what)
            .hint("give it another name, or overwrite it with --force"));
    }
    Ok(write_atomically(path, plan.bytes(), force)?)
}
