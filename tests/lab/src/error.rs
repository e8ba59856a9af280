//! What can go wrong, where, and what to do next.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of the lab.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused something on a file or directory.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// What was tried, before the path.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A program could not be run, or ended badly.
    #[error("cannot {doing}: `{command}` {outcome}")]
    Command {
        /// What it was run for.
        doing: String,
        /// The command line.
        command: String,
        /// Exit status and standard error, bounded.
        outcome: String,
    },
    /// Something that was waited for did not come.
    #[error("{what} did not happen within {} s; last seen: {last}\n  help: {help}", waited.as_secs())]
    Deadline {
        /// What was waited for.
        what: String,
        /// How long.
        waited: Duration,
        /// What was seen instead.
        last: String,
        /// What to look at.
        help: String,
    },
    /// The lab is not in a state in which this can be done.
    #[error("{what}\n  help: {help}")]
    Refused {
        /// What is wrong.
        what: String,
        /// What to do about it.
        help: String,
    },
    /// The supervisor of a lab answered with an error.
    #[error("lab {lab}: `{request}` failed: {message}")]
    Supervisor {
        /// The lab's id.
        lab: String,
        /// What was asked of it.
        request: String,
        /// Its answer.
        message: String,
    },
    /// An etcd did not do what it was asked.
    #[error("etcd on {node}: cannot {doing}: {source}")]
    Etcd {
        /// Which node's etcd.
        node: String,
        /// What was asked.
        doing: &'static str,
        /// Why not.
        source: Box<etcd_client::Error>,
    },
}

impl Error {
    /// An [`Error::Refused`].
    pub fn refused(what: impl Into<String>, help: impl Into<String>) -> Self {
        Self::Refused {
            what: what.into(),
            help: help.into(),
        }
    }
}

/// Names the path and the deed in an I/O error.
pub(crate) trait IoContext<T> {
    fn on(self, doing: &'static str, path: impl AsRef<Path>) -> Result<T>;
}

impl<T, E: Into<std::io::Error>> IoContext<T> for std::result::Result<T, E> {
    fn on(self, doing: &'static str, path: impl AsRef<Path>) -> Result<T> {
        self.map_err(|e| Error::Io {
            doing,
            path: path.as_ref().to_owned(),
            source: e.into(),
        })
    }
}
