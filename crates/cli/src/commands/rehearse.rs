//! `rehearse`, and `plan --rehearse`: the restore, tried out where it cannot hurt.

use std::ffi::OsString;
use std::mem::discriminant;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use etcd_adapter::rehearse::{
    Rehearsal, RehearseError, Report, Settings, Source, Stage, Wanted, Watcher,
};
use runbook_core::plan::{Action, RestoreEffect, SealedPlan, ToolEffect};
use runbook_core::spec::{Deadlines, RevisionBump};
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};

use super::Context;
use crate::args::{Listing, RehearsalArgs, Rehearse};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::render::{json, rehearse as render};
use crate::ui::{FAINT, Ui, paint};

pub(super) async fn rehearse(cx: Context<'_>, args: &Rehearse) -> Result<Exit, Failure> {
    // Whoever names the programs means them.
    let wanted = if args.with.etcd_bin.is_some() || args.with.module.is_some() {
        Wanted::Any
    } else {
        Wanted::LikeSnapshot
    };
    let settings = Settings {
        wanted,
        revision_bump: args.revision_bump,
        ..settings(&args.with, &Deadlines::default())
    };
    let done = attempt(cx, settings, &args.snapshot).await?;
    let found = match &done {
        Ok(report) => Some(report),
        Err(RehearseError::Differs(report)) => Some(&**report),
        Err(_) => None,
    };
    if let (Listing::Json, Some(report)) = (args.format, found) {
        cx.ui.data(&json::document(&render::json(report)))?;
    }
    let report = done?;
    if args.format == Listing::Text {
        cx.ui.data(&render::text(&report))?;
    }
    Ok(Exit::Done)
}

/// Rehearses what a plan restores, as the nodes would.
pub(super) async fn of_plan(
    cx: Context<'_>,
    args: &RehearsalArgs,
    plan: &SealedPlan,
) -> Result<Report, Failure> {
    let effect = restore_of(plan)
        .ok_or_else(|| Failure::internal("a plan without a restore cannot be rehearsed"))?;
    let mut settings = settings(args, &plan.spec.deadlines);
    if args.etcd_bin.is_none() && args.module.is_none() {
        // The nodes' own module, where this machine has it too.
        settings
            .sources
            .insert(0, Source::Module(effect.module.clone()));
    }
    let settings = Settings {
        wanted: Wanted::LikeNodes(plan.etcd_version),
        revision_bump: effect
            .revision_bump
            .map_or(RevisionBump::None, RevisionBump::By),
        sha256: Some(effect.sha256),
        // The plan is there, so its spec allows it.
        without_trailer: !effect.trailer,
        ..settings
    };
    Ok(attempt(cx, settings, Path::new(effect.snapshot.as_str())).await??)
}

fn restore_of(plan: &SealedPlan) -> Option<&RestoreEffect> {
    plan.units.iter().find_map(|unit| match &unit.act {
        Some(Action::Tool(ToolEffect::Restore(effect))) => Some(&**effect),
        _ => None,
    })
}

/// Becomes the command, which the kernel ends together with the process that began this.
pub(super) fn hold(parent: i32, command: &[OsString]) -> Result<Exit, Failure> {
    let failed = |what: &str| Failure::new(Exit::Environment, "rehearsal-programs", what);
    set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|error| failed("a program cannot be held").caused_by(&error))?;
    // It may have ended before that.
    if getppid().map(Pid::as_raw_pid) != Some(parent) {
        return Err(failed("the rehearsal is over"));
    }
    let Some((program, args)) = command.split_first() else {
        return Err(Failure::usage("no command to hold"));
    };
    let error = std::process::Command::new(program).args(args).exec();
    let what = format!("{} cannot be started", program.display());
    Err(failed(&what).caused_by(&error))
}

/// Rehearses until it is done, or until somebody wants it to end.
async fn attempt(
    cx: Context<'_>,
    settings: Settings,
    snapshot: &Path,
) -> Result<Result<Report, RehearseError>, Failure> {
    let watcher = watcher(cx.ui.clone());
    // The programs work in a directory of their own.
    let snapshot = std::path::absolute(snapshot).map_err(|error| {
        Failure::new(Exit::Environment, "snapshot-io", "there is no such path").caused_by(&error)
    })?;
    let work = Box::pin(async {
        let rehearsal = match Rehearsal::prepare(settings, &snapshot, watcher).await {
            Ok(rehearsal) => rehearsal,
            Err(error) => return Ok(Err(error.into())),
        };
        Ok(rehearsal.run().await)
    });
    let what = "the rehearsal was interrupted; nothing of it is left, and nothing else was changed";
    let halt = cx.halt;
    halt.or_saying("rehearsal-interrupted", what, work).await
}

fn settings(args: &RehearsalArgs, deadlines: &Deadlines) -> Settings {
    let source = match (&args.etcd_bin, &args.module) {
        (Some(dir), _) => Source::Directories(vec![absolute(dir)]),
        (None, Some(module)) => Source::Module(module.clone()),
        (None, None) => {
            let path = std::env::var_os("PATH").unwrap_or_default();
            let dirs = std::env::split_paths(&path);
            Source::Directories(dirs.filter(|dir| dir.is_absolute()).collect())
        }
    };
    let scratch = args.scratch.as_ref().map_or_else(
        // A disk first: /tmp may be memory.
        || {
            let mut folders = vec![PathBuf::from("/var/tmp"), std::env::temp_dir()];
            folders.retain(|folder| folder.is_dir());
            folders
        },
        |dir| vec![absolute(dir)],
    );
    let this = std::process::id().to_string();
    Settings {
        sources: vec![source],
        wanted: Wanted::Any,
        revision_bump: RevisionBump::Auto,
        scratch,
        // The kernel's name of this program: its file may have been replaced since it was started.
        launcher: ["/proc/self/exe", "hold", &this, "--"]
            .map(OsString::from)
            .into(),
        sha256: None,
        without_trailer: false,
        restore_deadline: Duration::from_secs(deadlines.restore_s.into()),
        start_deadline: Duration::from_secs(deadlines.start_s.into()),
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Says each stage once, and how far its proof has come.
fn watcher(ui: Ui) -> Watcher {
    let (last, proof) = (Mutex::new(None), ui.watcher());
    Arc::new(move |stage| {
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.replace(discriminant(&stage)) != Some(discriminant(&stage)) {
            ui.note(&paint(FAINT, format!("rehearsal: {stage}")));
        }
        if let Stage::Proving(progress) = stage {
            proof(progress);
        }
    })
}
