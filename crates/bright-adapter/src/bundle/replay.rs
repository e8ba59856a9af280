//! Recorded answers in the place of the head node and the nodes.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use runbook_core::error::{AdapterError, Certainty};
use runbook_core::journal::Permit;
use runbook_core::names::{AbsPath, NodeName};
use runbook_core::ports::{Output, PortResult, Shell};

use super::record::question;
use super::{Answer, Bundle, Proof, Question};
use crate::codes;
use crate::doctor::{Proven, Prover};
use crate::programs::{Call, Failure, Finished, Programs};

/// What is said where the bundle holds no answer.
const SILENT: &str = "the bundle holds no answer to this";

/// What each node, or the head node, was asked, and its answers in order.
type Answers = HashMap<(Option<String>, Question), VecDeque<Answer>>;

/// The answers of a bundle: head node, nodes and proofs in one.
///
/// The same question asked again gets the next answer that was recorded for it, and in the end the last
/// one again and again.
#[derive(Debug)]
pub struct Recorded {
    answers: Mutex<Answers>,
    proofs: Vec<Proof>,
}

impl Recorded {
    /// The answers of a bundle.
    pub fn new(bundle: &Bundle) -> Self {
        let mut answers = Answers::new();
        for exchange in &bundle.exchanges {
            let key = (exchange.node.clone(), exchange.question.clone());
            answers
                .entry(key)
                .or_default()
                .push_back(exchange.answer.clone());
        }
        Self {
            answers: Mutex::new(answers),
            proofs: bundle.proofs.clone(),
        }
    }

    fn next(&self, node: Option<&NodeName>, question: Question) -> Option<Answer> {
        let key = (node.map(ToString::to_string), question);
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let queue = answers.get_mut(&key)?;
        if queue.len() > 1 {
            queue.pop_front()
        } else {
            queue.front().cloned()
        }
    }
}

fn not_found(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, why.into())
}

#[async_trait]
impl Programs for Recorded {
    async fn run(&self, call: &Call) -> Result<Finished, Failure> {
        match self.next(None, question(call)) {
            Some(Answer::Ended {
                status,
                stdout,
                stderr,
            }) => Ok(Finished {
                status,
                stdout: stdout.into_bytes(),
                stderr: stderr.into_bytes(),
            }),
            Some(Answer::TimedOut(after)) => Err(Failure::Timeout(Duration::from_secs(after))),
            Some(Answer::NotStarted(why)) => Err(Failure::Start(not_found(why))),
            Some(Answer::Unreached { what, .. }) => Err(Failure::Start(not_found(what))),
            None => Err(Failure::Start(not_found(SILENT))),
        }
    }

    async fn read(&self, path: &Path, limit: usize) -> io::Result<Vec<u8>> {
        let question = Question::Read(path.to_string_lossy().into_owned());
        match self.next(None, question) {
            Some(Answer::Ended { stdout, .. }) => {
                let mut bytes = stdout.into_bytes();
                bytes.truncate(limit);
                Ok(bytes)
            }
            Some(Answer::NotStarted(why)) => Err(not_found(why)),
            _ => Err(not_found(SILENT)),
        }
    }
}

#[async_trait]
impl Shell for Recorded {
    async fn query(&self, node: &NodeName, argv: &[String]) -> PortResult<Output> {
        match self.next(Some(node), Question::Run(argv.to_vec())) {
            Some(Answer::Ended {
                status,
                stdout,
                stderr,
            }) => Ok(Output {
                status: status.unwrap_or(255),
                stdout: stdout.into_bytes(),
                stderr: stderr.into_bytes(),
            }),
            Some(Answer::Unreached {
                code,
                refused,
                what,
                hint,
            }) => Err(as_it_was(&code, refused, what, hint)),
            _ => Err(AdapterError::new(
                codes::NODE_QUESTION,
                Certainty::NotDone,
                format!("{node}: {SILENT}"),
            )),
        }
    }

    async fn effect(&self, _: &Permit, node: &NodeName, _: &[String]) -> PortResult<Output> {
        let what = format!("{node} is a recording, in which nothing can be changed");
        Err(
            AdapterError::new(codes::EFFECT_REFUSED, Certainty::Refused, what)
                .hint("this is a fault of the program that made the plan: please report it"),
        )
    }
}

fn as_it_was(code: &str, refused: bool, what: String, hint: Option<String>) -> AdapterError {
    let known = codes::ALL.iter().find(|known| **known == code);
    let certainty = if refused {
        Certainty::Refused
    } else {
        Certainty::NotDone
    };
    let mut error = AdapterError::new(known.unwrap_or(&codes::NODE_QUESTION), certainty, what);
    error.hint = hint;
    error
}

#[async_trait]
impl Prover for Recorded {
    async fn prove(&self, snapshot: &AbsPath) -> Proven {
        let found = self.proofs.iter().find(|proof| proof.path == *snapshot);
        found.map_or_else(
            || Proven {
                good: false,
                text: SILENT.into(),
            },
            |proof| proof.proven.clone(),
        )
    }
}
