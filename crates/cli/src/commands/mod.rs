//! The commands.

mod abandon;
mod backup;
mod discover;
mod doctor;
mod folder;
mod heads;
mod host_keys;
mod life;
mod meta;
mod pick;
mod plan;
mod rehearse;
mod resume;
mod run;
mod status;
mod undo;
mod verify;

use std::io;
use std::path::Path;
use std::sync::Arc;

use runbook_core::names::ClusterLabel;
use runbook_core::ports::{CommandLog, NoLog};
use runbook_core::rundir::{StateDir, StateError, read_private};
use runbook_core::spec::{SPEC_LIMIT_BYTES, Spec, SpecError};

use crate::args::{Cli, Command, Global};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::signals::{self, Halt};
use crate::ui::{Answer, Ui};
use crate::wiring::{Purpose, Wired, Wiring};

/// What every command works with.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) options: &'a Global,
    pub(crate) ui: &'a Ui,
    pub(crate) wiring: &'a dyn Wiring,
    pub(crate) halt: &'a Halt,
}

impl Context<'_> {
    /// The ports for a cluster, etcd included.
    fn wire(
        &self,
        cluster: &ClusterLabel,
        log: Arc<dyn CommandLog>,
        run_dir: Option<&Path>,
    ) -> Result<Wired, Failure> {
        self.wiring.wire(
            self.options,
            &Purpose {
                cluster,
                asks_etcd: true,
                run_dir,
                log,
                watcher: self.ui.watcher(),
            },
        )
    }

    /// What ports are for that neither ask etcd nor work on a run.
    fn looking<'b>(&self, cluster: &'b ClusterLabel) -> Purpose<'b> {
        Purpose {
            cluster,
            asks_etcd: false,
            run_dir: None,
            log: Arc::new(NoLog),
            watcher: self.ui.watcher(),
        }
    }

    /// Asks, if somebody is there; Ctrl-C is an answer, too.
    async fn ask(&self, question: &str, explain: bool) -> Result<Answer, Failure> {
        let asked = async { Ok(self.ui.ask(question, explain).await) };
        let answer = self.halt.or(asked).await;
        // What is said next must not stand behind the question.
        answer.inspect_err(|_| self.ui.note(""))
    }

    /// Goes on only with a yes, where there is a person to say it.
    async fn confirm(&self, question: &str) -> Result<(), Failure> {
        if self.ui.person && self.ask(question, false).await? != Answer::Yes {
            return Err(declined());
        }
        Ok(())
    }
}

fn declined() -> Failure {
    Failure::new(
        Exit::Approval,
        "approval-declined",
        "the answer was no; nothing was changed",
    )
}

pub(crate) async fn dispatch(cli: &Cli, ui: &Ui, wiring: &dyn Wiring) -> Result<Exit, Failure> {
    let halt = match &cli.command {
        // These only look, and end by themselves or by the first signal.
        Command::Verify(_)
        | Command::Status(_)
        | Command::Explain(_)
        | Command::Completions { .. }
        | Command::Man
        | Command::Hold { .. } => Halt::default(),
        _ => signals::listen()?,
    };
    obey(cli, ui, wiring, &halt).await
}

/// The same, with whatever asks for an end.
pub(crate) async fn obey(
    cli: &Cli,
    ui: &Ui,
    wiring: &dyn Wiring,
    halt: &Halt,
) -> Result<Exit, Failure> {
    let cx = Context {
        options: &cli.global,
        ui,
        wiring,
        halt,
    };
    match &cli.command {
        Command::Backup(args) => backup::backup(cx, args).await,
        Command::Discover(args) => discover::discover(cx, args).await,
        Command::Doctor(args) => doctor::doctor(cx, args).await,
        Command::Verify(args) => verify::verify(cx, args),
        Command::Plan(args) => Box::pin(plan::plan(cx, args)).await,
        Command::Rehearse(args) => rehearse::rehearse(cx, args).await,
        Command::Run(args) => run::run(cx, args).await,
        Command::Resume(args) => resume::resume(cx, args).await,
        Command::Status(args) => status::status(cx, args),
        Command::Undo(args) => undo::undo(cx, args).await,
        Command::Abandon(args) => abandon::abandon(cx, args).await,
        Command::Explain(args) => meta::explain(cx, args),
        Command::Completions { shell } => meta::completions(cx, *shell),
        Command::Man => meta::man(cx),
        Command::Hold { parent, command } => rehearse::hold(*parent, command),
    }
}

fn read_spec(path: &Path) -> Result<Spec, Failure> {
    let in_file = || [format!("in {}", path.display())];
    let bytes = read_private(path, SPEC_LIMIT_BYTES as u64).map_err(|error| match error {
        // No fault of the disk.
        StateError::Io { source, .. } if source.kind() == io::ErrorKind::FileTooLarge => {
            Failure::from(SpecError::TooLarge).details(in_file())
        }
        other => other.into(),
    })?;
    let text = String::from_utf8(bytes).map_err(|error| {
        Failure::new(Exit::Refused, "spec-syntax", "the spec is not UTF-8 text").caused_by(&error)
    })?;
    Spec::from_yaml(&text).map_err(|error| Failure::from(error).details(in_file()))
}

/// The state directory for working in it, with a warning where its storage is risky.
fn open_state(cx: Context<'_>) -> Result<StateDir, Failure> {
    let state = StateDir::open(&cx.options.state_dir)?;
    if let Some(risk) = state.risk() {
        cx.ui.warning(&risk.to_string());
    }
    Ok(state)
}

#[cfg(test)]
mod failover_tests;
#[cfg(test)]
mod other_plan_tests;
#[cfg(test)]
mod tests;
