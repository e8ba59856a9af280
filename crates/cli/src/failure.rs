//! Why a command did not do as asked: a code, the chain of causes, and what to do next.

use std::error::Error;

use bright_adapter::bundle::BundleError;
use etcd_adapter::backup::{BackupError, Fault};
use etcd_adapter::rehearse::RehearseError;
use runbook_core::error::AdapterError;
use runbook_core::journal::JournalError;
use runbook_core::observe::ObserveError;
use runbook_core::plan::PlanError;
use runbook_core::run::RunError;
use runbook_core::rundir::StateError;
use runbook_core::spec::SpecError;

use crate::codes::CODES;
use crate::exit::Exit;
use crate::render::rehearse;

/// An error as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// How the program ends.
    pub exit: Exit,
    /// The stable error code, which `explain` knows.
    pub code: String,
    /// What went wrong, as a lower-case fragment.
    pub what: String,
    /// What caused it, the nearest cause first.
    pub causes: Vec<String>,
    /// Further lines, as the differences of a drift.
    pub details: Vec<String>,
    /// What to do next.
    pub hint: Option<Box<str>>,
}

impl Failure {
    /// A failure without causes and hint.
    pub fn new(exit: Exit, code: &str, what: impl Into<String>) -> Self {
        Self {
            exit,
            code: code.into(),
            what: what.into(),
            causes: Vec::new(),
            details: Vec::new(),
            hint: None,
        }
    }

    /// A fault of this program.
    pub fn internal(what: impl Into<String>) -> Self {
        Self::new(Exit::Internal, "internal", what)
            .hint("this is a fault of restore-runbook: please report it")
    }

    /// A command line that makes no sense here.
    pub fn usage(what: impl Into<String>) -> Self {
        Self::new(Exit::Usage, "usage", what)
    }

    /// Adds what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into().into_boxed_str());
        self
    }

    /// Adds further lines.
    #[must_use]
    pub fn details(mut self, lines: impl IntoIterator<Item = String>) -> Self {
        self.details.extend(lines);
        self
    }

    /// Adds an error and its own causes.
    #[must_use]
    pub fn caused_by(mut self, error: &dyn Error) -> Self {
        self.causes.push(error.to_string());
        self.with_sources(error)
    }

    fn with_sources(mut self, error: &dyn Error) -> Self {
        let mut source = error.source();
        while let Some(cause) = source {
            self.causes.push(cause.to_string());
            source = cause.source();
        }
        self
    }

    fn of(exit: Exit, code: &str, error: &dyn Error, hint: Option<String>) -> Self {
        let mut failure = Self::new(exit, code, error.to_string());
        failure.hint = or_explained(hint, code);
        failure.with_sources(error)
    }
}

/// What to do next: the hint where there is one, else what `explain` says of the code.
pub(crate) fn or_explained(hint: Option<String>, code: &str) -> Option<Box<str>> {
    let explained = || {
        let found = CODES.iter().find(|known| known.code == code)?;
        Some(found.what_to_do.to_owned())
    };
    hint.or_else(explained).map(String::into_boxed_str)
}

impl From<PlanError> for Failure {
    fn from(error: PlanError) -> Self {
        let exit = match &error {
            PlanError::Refused { .. } => Exit::Refused,
            PlanError::Broken(_) => Exit::Internal,
            PlanError::Render { .. } => Exit::Environment,
            PlanError::Unreadable(_) | PlanError::NotCanonical | PlanError::RenderDrift { .. } => {
                Exit::Record
            }
        };
        Self::of(exit, error.code(), &error, error.hint())
    }
}

impl From<ObserveError> for Failure {
    fn from(error: ObserveError) -> Self {
        match error {
            ObserveError::Refused(refused) => refused.into(),
            port @ ObserveError::Port { .. } => {
                Self::of(Exit::Environment, port.code(), &port, port.hint())
            }
        }
    }
}

impl From<AdapterError> for Failure {
    fn from(error: AdapterError) -> Self {
        Self::of(Exit::Environment, error.code, &error, error.hint.clone())
    }
}

impl From<RehearseError> for Failure {
    fn from(error: RehearseError) -> Self {
        match error {
            RehearseError::Failed(error) => error.into(),
            RehearseError::Differs(ref report) => {
                let lines = rehearse::differences(report);
                Self::of(Exit::Refused, error.code(), &error, error.hint()).details(lines)
            }
        }
    }
}

impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Self {
        let exit = match &error {
            BackupError::Locked { .. } => Exit::Locked,
            BackupError::Exists { .. } | BackupError::Clusters { .. } => Exit::Conflict,
            BackupError::Document(_) => Exit::Record,
            BackupError::Failed { tries } => match tries.last().map(|attempt| &attempt.fault) {
                Some(Fault::Hash | Fault::Proof(_)) => Exit::Refused,
                _ => Exit::Environment,
            },
            _ => Exit::Environment,
        };
        Self::of(exit, error.code(), &error, error.hint())
    }
}

impl From<BundleError> for Failure {
    fn from(error: BundleError) -> Self {
        let exit = match &error {
            BundleError::Exists(_) | BundleError::Io { .. } => Exit::Environment,
            _ => Exit::Record,
        };
        Self::of(exit, error.code(), &error, None)
    }
}

impl From<SpecError> for Failure {
    fn from(error: SpecError) -> Self {
        Self::of(
            Exit::Refused,
            error.code(),
            &error,
            Some(error.hint().into()),
        )
    }
}

impl From<StateError> for Failure {
    fn from(error: StateError) -> Self {
        let exit = match &error {
            StateError::Locked { .. } | StateError::RunExists { .. } | StateError::Over { .. } => {
                Exit::Locked
            }
            StateError::Io { .. } => Exit::Environment,
            StateError::Unsafe { .. }
            | StateError::JournalMissing { .. }
            | StateError::Journal(_)
            | StateError::Plan { .. } => Exit::Record,
        };
        Self::of(exit, error.code(), &error, error.hint())
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Plan(error) => error.into(),
            RunError::Journal(JournalError::Overtaken { .. }) => {
                Self::of(Exit::Locked, error.code(), &error, error.hint())
            }
            other => Self::of(Exit::Record, other.code(), &other, other.hint()),
        }
    }
}

#[cfg(test)]
mod tests {
    use runbook_core::error::Certainty;

    use super::*;

    #[test]
    fn no_error_of_an_adapter_is_without_a_way_on() {
        for known in CODES {
            assert!(!known.what_to_do.is_empty(), "{}", known.code);
        }
        let error = || AdapterError::new("cmsh-absent", Certainty::Refused, "x");
        assert!(Failure::from(error()).hint.is_some());
        let own = Failure::from(error().hint("its own"));
        assert_eq!(own.hint.as_deref(), Some("its own"));
    }
}
