//! The fake world behind the command line, for this crate's tests.

use std::future::poll_fn;
use std::path::{Path, PathBuf};
use std::task::Poll;

use runbook_core::digest::Digest;
use runbook_core::spec::Spec;
use runbook_core::testkit::World;

use crate::args::{Cli, Color, Global};
use crate::commands::obey;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::signals::Halt;
use crate::ui::Ui;
use crate::wiring::{Purpose, Wired, Wiring};

/// A head node: a fake world, and a directory for the spec, the plan and the state.
pub(crate) struct Head {
    pub(crate) world: World,
    pub(crate) dir: tempfile::TempDir,
    /// Which of two head nodes it is.
    pub(crate) seat: usize,
    runtime: tokio::runtime::Runtime,
}

struct FakeWiring(World, usize);

impl Wiring for FakeWiring {
    fn wire(&self, _: &Global, _: &Purpose<'_>) -> Result<Wired, Failure> {
        Ok(Wired::plain(self.0.ports_at(self.1)))
    }
}

/// What one command did.
#[derive(Debug)]
pub(crate) struct Did {
    pub(crate) result: Result<Exit, Failure>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Head {
    pub(crate) fn new(world: World) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(
            dir.path().join("spec.yaml"),
            world.spec().to_yaml().unwrap(),
        )
        .unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        Self {
            world,
            dir,
            seat: 0,
            runtime,
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Runs a command line to its end, in virtual time.
    pub(crate) fn tool(&self, line: &str) -> Did {
        self.killed_when(line, || false).unwrap()
    }

    /// Runs a command line, and kills it as soon as this is so; none when it was killed.
    pub(crate) fn killed_when(&self, line: &str, so: impl FnMut() -> bool) -> Option<Did> {
        self.driven(line, &Halt::default(), so)
    }

    /// Runs a command line, and has it leave what is in flight as soon as this is so.
    pub(crate) fn left_when(&self, line: &str, mut so: impl FnMut() -> bool) -> Did {
        let halt = Halt::default();
        let leave = || {
            if so() {
                halt.leave.cancel();
            }
            false
        };
        self.driven(line, &halt, leave).unwrap()
    }

    fn driven(&self, line: &str, halt: &Halt, mut killed: impl FnMut() -> bool) -> Option<Did> {
        let cli = self.parsed(line);
        let wiring = FakeWiring(self.world.clone(), self.seat);
        let ui = Ui::captured(Color::Never);
        let _guard = self.runtime.enter();
        let mut work = Box::pin(obey(&cli, &ui, &wiring, halt));
        let result = self.world.drive(poll_fn(|cx| {
            if killed() {
                return Poll::Ready(None);
            }
            work.as_mut().poll(cx).map(Some)
        }))?;
        if let Err(failure) = &result {
            ui.failure(failure);
        }
        let (stdout, stderr) = ui.taken();
        Some(Did {
            result,
            stdout,
            stderr,
        })
    }

    /// A command line; `@/` stands for this head's directory.
    fn parsed(&self, line: &str) -> Cli {
        let state = self.path("state");
        let words = ["restore-runbook", "--state-dir", state.to_str().unwrap()];
        let dir = self.dir.path().to_str().unwrap();
        let line = line.replace("@/", &format!("{dir}/"));
        Cli::read(words.into_iter().chain(line.split_whitespace())).unwrap()
    }

    /// Changes the spec.
    pub(crate) fn respec(&self, change: impl FnOnce(&mut Spec)) {
        let mut spec = self.world.spec();
        change(&mut spec);
        std::fs::write(self.path("spec.yaml"), spec.to_yaml().unwrap()).unwrap();
    }

    /// Plans; the line that runs the plan.
    pub(crate) fn planned(&self) -> String {
        let did = self.tool("plan --spec @/spec.yaml --out @/plan.json --force");
        assert_eq!(did.result, Ok(Exit::Done), "{did:?}");
        let digest = Digest::of(&std::fs::read(self.path("plan.json")).unwrap());
        format!("run --plan @/plan.json --approve {digest}")
    }

    /// The journal of the newest run; empty before there is one.
    pub(crate) fn journal(&self) -> String {
        if !self.path("state/default/runs").exists() {
            return String::new();
        }
        std::fs::read_to_string(self.newest_run().join("journal.jsonl")).unwrap_or_default()
    }

    /// The directory of the newest run.
    pub(crate) fn newest_run(&self) -> PathBuf {
        let mut runs: Vec<PathBuf> = std::fs::read_dir(self.path("state/default/runs"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        runs.sort();
        runs.pop().unwrap()
    }
}

/// What is in a file.
pub(crate) fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}
