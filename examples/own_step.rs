//! A step of one's own: a handler that renders, does and checks it, and a unit behind a phase's own.
//!
//! Here: a line in the change log of the site, written once the role is taken away and before the run
//! stops etcd on any node. The whole restore runs against a fake world, so this can be tried anywhere:
//! `cargo run --example own_step`.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use runbook_core::error::{AdapterError, Certainty};
use runbook_core::event::NoEvents;
use runbook_core::journal::{MemoryStore, Permit};
use runbook_core::names::UnitId;
use runbook_core::plan::{Action, Command, Draft, OwnEffect, Phase, SealedPlan, Undo, Unit};
use runbook_core::ports::{OwnHandler, PortResult, Ports};
use runbook_core::run::{Run, RunEnd};
use runbook_core::testkit::{World, actor, run_id};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// Writes a line to a file. Everything it needs is in the effect's `params`, for the plan to show.
struct ChangeLog;

#[async_trait]
impl OwnHandler for ChangeLog {
    fn kind(&self) -> &'static str {
        "change-log"
    }

    /// What a reviewer reads. It must be what `perform` does.
    fn render(&self, effect: &OwnEffect) -> PortResult<Vec<Command>> {
        let (file, line) = params(&effect.params)?;
        let words = format!("write {line:?} to {}", file.display());
        Ok(vec![Command::api(words)])
    }

    /// May be called again after it has happened, so it writes the file as a whole.
    async fn perform(&self, _: &Permit, effect: &OwnEffect) -> PortResult<()> {
        let (file, line) = params(&effect.params)?;
        std::fs::write(&file, format!("{line}\n")).map_err(|error| {
            let what = format!("cannot write {}", file.display());
            AdapterError::new("change-log", Certainty::NotDone, what).caused_by(error)
        })
    }

    /// The world decides whether it is done, not the result of `perform`.
    async fn done(&self, effect: &Value) -> PortResult<Result<(), String>> {
        let (file, line) = params(effect)?;
        let found = std::fs::read_to_string(file).unwrap_or_default();
        Ok(if found.trim_end() == line {
            Ok(())
        } else {
            Err("no such line yet".into())
        })
    }
}

fn params(params: &Value) -> PortResult<(PathBuf, String)> {
    match (params["file"].as_str(), params["line"].as_str()) {
        (Some(file), Some(line)) => Ok((file.into(), line.into())),
        _ => Err(AdapterError::new(
            "change-log",
            Certainty::Refused,
            "file and line are needed",
        )),
    }
}

fn plan(world: &World, ports: &Ports, file: &Path) -> Result<SealedPlan, Box<dyn Error>> {
    let effect = OwnEffect {
        kind: "change-log".into(),
        params: json!({ "file": file, "line": "etcd is being restored" }),
    };
    let why = "whoever is on call must find out why kubectl does not answer";
    let own = Unit::act(
        UnitId::new("stop/change-log")?,
        Phase::Stop,
        Action::Own(effect),
        why,
    )
    .undone(Undo::Nothing("a line in a log".into()));
    let draft = Draft::restore(&world.spec(), &world.observed()?, run_id(1))?;
    // It joins that unit's phase and waits for it; what waited for that unit now waits for both.
    Ok(draft
        .insert_after(&UnitId::new("stop/unassign")?, own)?
        .seal(ports)?)
}

#[expect(clippy::print_stdout, reason = "an example talks to whoever runs it")]
fn main() -> Result<(), Box<dyn Error>> {
    let file = std::env::temp_dir().join(format!("change-log-{}", std::process::id()));
    let world = World::of(3).build();
    let ports = Ports {
        own: vec![Arc::new(ChangeLog)],
        ..world.ports()
    };
    let plan = plan(&world, &ports, &file)?;
    let unit = plan
        .unit(&UnitId::new("stop/change-log")?)
        .ok_or("the unit is in the plan")?;
    println!("{}: {}", unit.id, unit.commands[0]);

    let run = Run::begin(&plan, &ports, Box::new(MemoryStore::default()), actor())?;
    let end = world.drive(run.execute(&NoEvents, &CancellationToken::new()))?;
    let written = std::fs::read_to_string(&file)?;
    std::fs::remove_file(&file)?;
    println!("{end:?}; the log says: {written}");
    if end == RunEnd::Completed {
        Ok(())
    } else {
        Err("it halted".into())
    }
}
