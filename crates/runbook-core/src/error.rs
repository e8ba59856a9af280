//! What an adapter reports when it cannot do as told.

use std::error::Error as StdError;

/// How sure the adapter is about the effect it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Certainty {
    /// It did not happen, and trying again may help: no connection, a busy daemon.
    NotDone,
    /// It did not happen and will not: refused, invalid, not there. The run halts.
    Refused,
    /// It may have happened: the answer was lost. Only the world can tell.
    Unknown,
}

/// An adapter's error: a stable code, what went wrong, and what to do next.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct AdapterError {
    /// Stable, as `ssh-unreachable`; `restore-runbook explain` knows it.
    pub code: &'static str,
    /// How sure the adapter is about the effect.
    pub certainty: Certainty,
    /// What went wrong and where, as a lower-case fragment.
    pub what: String,
    /// What to do next.
    pub hint: Option<String>,
    /// What caused it.
    #[source]
    pub source: Option<Box<dyn StdError + Send + Sync>>,
}

impl AdapterError {
    /// An error without hint and cause.
    pub fn new(code: &'static str, certainty: Certainty, what: impl Into<String>) -> Self {
        Self {
            code,
            certainty,
            what: what.into(),
            hint: None,
            source: None,
        }
    }

    /// Adds what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the cause.
    #[must_use]
    pub fn caused_by(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// The error with its causes, joined by colons: one line for a journal or a terminal.
    pub fn chain(&self) -> String {
        let mut line = self.what.clone();
        let mut cause = StdError::source(self);
        while let Some(error) = cause {
            line.push_str(": ");
            line.push_str(&error.to_string());
            cause = error.source();
        }
        line
    }
}
