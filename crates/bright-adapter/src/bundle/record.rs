//! Recording: between whoever asks and whoever answers.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use async_trait::async_trait;
use runbook_core::error::{AdapterError, Certainty};
use runbook_core::journal::Permit;
use runbook_core::names::{AbsPath, NodeName};
use runbook_core::ports::{Output, PortResult, Shell};
use serde::{Deserialize, Serialize};

use super::Proof;
use crate::doctor::{Proven, Prover};
use crate::programs::{Call, Failure, Finished, Programs};

/// One question and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exchange {
    /// The node that was asked; none for the head node.
    pub node: Option<String>,
    /// What was asked.
    pub question: Question,
    /// What was answered.
    pub answer: Answer,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
}

/// What was asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Question {
    /// To run a program with these arguments.
    Run(Vec<String>),
    /// The beginning of a file.
    Read(String),
}

/// What was answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Answer {
    /// The program has ended.
    Ended {
        /// Its exit status; none when a signal ended it.
        status: Option<i32>,
        /// Its standard output.
        stdout: String,
        /// Its standard error.
        stderr: String,
    },
    /// It could not be started, or the file not be read.
    NotStarted(String),
    /// It was not done after so many seconds.
    TimedOut(u64),
    /// The way to the node failed.
    Unreached {
        /// The error's code.
        code: String,
        /// Whether asking again would not help.
        refused: bool,
        /// What went wrong.
        what: String,
        /// What to do.
        hint: Option<String>,
    },
}

/// What was recorded so far. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Tape(Arc<Mutex<Recording>>);

#[derive(Debug, Default)]
struct Recording {
    exchanges: Vec<Exchange>,
    proofs: Vec<Proof>,
}

impl Tape {
    /// Programs whose answers are recorded.
    pub fn programs(&self, inner: Arc<dyn Programs>) -> Arc<dyn Programs> {
        let tape = self.clone();
        Arc::new(Between { tape, inner })
    }

    /// A shell whose answers are recorded.
    pub fn shell(&self, inner: Arc<dyn Shell>) -> Arc<dyn Shell> {
        let tape = self.clone();
        Arc::new(Between { tape, inner })
    }

    /// A prover whose verdicts are recorded.
    pub fn prover(&self, inner: Arc<dyn Prover>) -> Arc<dyn Prover> {
        let tape = self.clone();
        Arc::new(Between { tape, inner })
    }

    /// What was recorded.
    pub fn taken(&self) -> (Vec<Exchange>, Vec<Proof>) {
        let recording = self.recording();
        (recording.exchanges.clone(), recording.proofs.clone())
    }

    fn recording(&self) -> MutexGuard<'_, Recording> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, node: Option<&NodeName>, question: Question, answer: Answer, begun: Instant) {
        let took = begun.elapsed().as_millis();
        self.recording().exchanges.push(Exchange {
            node: node.map(ToString::to_string),
            question,
            answer,
            took_ms: u64::try_from(took).unwrap_or(u64::MAX),
        });
    }
}

struct Between<T: ?Sized> {
    tape: Tape,
    inner: Arc<T>,
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The words of a call, as a question.
pub(super) fn question(call: &Call) -> Question {
    let program = call.program.to_string_lossy().into_owned();
    Question::Run(
        std::iter::once(program)
            .chain(call.args.iter().cloned())
            .collect(),
    )
}

#[async_trait]
impl Programs for Between<dyn Programs> {
    async fn run(&self, call: &Call) -> Result<Finished, Failure> {
        let begun = Instant::now();
        let done = self.inner.run(call).await;
        let answer = match &done {
            Ok(done) => Answer::Ended {
                status: done.status,
                stdout: text(&done.stdout),
                stderr: text(&done.stderr),
            },
            Err(Failure::Start(error)) => Answer::NotStarted(error.to_string()),
            Err(Failure::Timeout(after)) => Answer::TimedOut(after.as_secs()),
        };
        self.tape.note(None, question(call), answer, begun);
        done
    }

    async fn read(&self, path: &Path, limit: usize) -> io::Result<Vec<u8>> {
        let begun = Instant::now();
        let done = self.inner.read(path, limit).await;
        let answer = match &done {
            Ok(bytes) => Answer::Ended {
                status: Some(0),
                stdout: text(bytes),
                stderr: String::new(),
            },
            Err(error) => Answer::NotStarted(error.to_string()),
        };
        let question = Question::Read(path.to_string_lossy().into_owned());
        self.tape.note(None, question, answer, begun);
        done
    }
}

#[async_trait]
impl Shell for Between<dyn Shell> {
    async fn query(&self, node: &NodeName, argv: &[String]) -> PortResult<Output> {
        let begun = Instant::now();
        let done = self.inner.query(node, argv).await;
        let answer = match &done {
            Ok(done) => Answer::Ended {
                status: Some(done.status),
                stdout: text(&done.stdout),
                stderr: text(&done.stderr),
            },
            Err(error) => unreached(error),
        };
        let question = Question::Run(argv.to_vec());
        self.tape.note(Some(node), question, answer, begun);
        done
    }

    /// Nothing that changes something is recorded: the doctor never asks for it.
    async fn effect(
        &self,
        permit: &Permit,
        node: &NodeName,
        argv: &[String],
    ) -> PortResult<Output> {
        self.inner.effect(permit, node, argv).await
    }
}

fn unreached(error: &AdapterError) -> Answer {
    Answer::Unreached {
        code: error.code.to_owned(),
        refused: error.certainty == Certainty::Refused,
        what: error.chain(),
        hint: error.hint.clone(),
    }
}

#[async_trait]
impl Prover for Between<dyn Prover> {
    async fn prove(&self, snapshot: &AbsPath) -> Proven {
        let proven = self.inner.prove(snapshot).await;
        self.tape.recording().proofs.push(Proof {
            path: snapshot.clone(),
            proven: proven.clone(),
        });
        proven
    }
}
