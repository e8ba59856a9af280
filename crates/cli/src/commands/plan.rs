//! `plan`: everything that would be done. Nothing is changed, on no node and in no cmsh.

use std::path::Path;
use std::sync::Arc;

use etcd_adapter::rehearse::Report;
use runbook_core::names::RunId;
use runbook_core::observe::observe;
use runbook_core::plan::{Draft, SealedPlan};
use runbook_core::ports::{NoLog, Ports};
use runbook_core::rundir::write_atomically;
use runbook_core::spec::Spec;

use super::{Context, heads, read_spec, rehearse};
use crate::args::{PlanArgs, PlanFormat};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::render::next::Next;
use crate::render::probe::Probed;
use crate::render::{self, json, markdown, text};

pub(super) async fn plan(cx: Context<'_>, args: &PlanArgs) -> Result<Exit, Failure> {
    if args.rehearsal.given() && !args.rehearse {
        let what = "--scratch, --etcd-bin and --module say how to rehearse";
        return Err(Failure::usage(what).hint("add --rehearse, or leave them out"));
    }
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
    // Told before the run: where it is kept decides whether the other head node can go on with it.
    heads::fit(cx, ports).await?;
    let rehearsed = if args.rehearse {
        Some(rehearse::of_plan(cx, &args.rehearsal, &plan).await?)
    } else {
        None
    };
    let probed = if args.probe {
        Some(Probed::ask(&plan, ports).await)
    } else {
        None
    };
    if let Some(path) = &args.out {
        write(path, &plan, args.force)?;
    }
    print(cx, args, &plan, probed.as_ref(), rehearsed.as_ref())?;
    Ok(match probed {
        Some(probed) if probed.refused() => Exit::Refused,
        Some(probed) if probed.changes() => Exit::Pending,
        _ => Exit::Done,
    })
}

/// Observes the world and plans for it.
pub(super) async fn make(ports: &Ports, spec: &Spec) -> Result<SealedPlan, Failure> {
    heads::snapshot_is_shared(ports, Path::new(spec.snapshot.as_str())).await?;
    let world = observe(ports, spec).await?;
    Ok(Draft::restore(spec, &world, RunId::fresh())?.seal(ports)?)
}

fn print(
    cx: Context<'_>,
    args: &PlanArgs,
    plan: &SealedPlan,
    probed: Option<&Probed>,
    rehearsed: Option<&Report>,
) -> Result<(), Failure> {
    let next = Next {
        options: cx.options,
        spec: &args.spec,
        out: args.out.as_deref(),
        refused: probed.is_some_and(Probed::refused),
    };
    match args.format {
        PlanFormat::Json if probed.is_none() && rehearsed.is_none() => cx.ui.bytes(plan.bytes()),
        PlanFormat::Json => {
            let mut value = probed.map_or_else(
                || json::with_digest(plan),
                |probed| json::probed(plan, probed),
            );
            if let Some(report) = rehearsed {
                value["rehearsal"] = render::rehearse::json(report);
            }
            cx.ui.data(&json::document(&value))
        }
        PlanFormat::Md => {
            let rehearsed = rehearsed.map_or_else(String::new, render::rehearse::markdown);
            let found = probed.map_or_else(String::new, Probed::markdown);
            let next = markdown::next_step(plan, next);
            cx.ui
                .data(&format!("{}{rehearsed}{found}{next}", markdown::plan(plan)))
        }
        PlanFormat::Text => {
            let rehearsed =
                rehearsed.map_or_else(String::new, |r| format!("\n{}", render::rehearse::text(r)));
            let found = probed.map_or_else(String::new, Probed::text);
            let next = text::next_step(plan, next);
            cx.ui
                .data(&format!("{}{rehearsed}{found}{next}", text::plan(plan)))
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
