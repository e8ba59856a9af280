//! The seam below everything that is asked of the head node itself: programs, and small files.
//!
//! [`Cmsh`](crate::Cmsh), [`Ssh`](crate::Ssh) and the doctor ask through it, so that recorded answers or a
//! simulator can stand in the head node's place. For the nodes that seam is [`Shell`](runbook_core::ports::Shell).

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::AsyncReadExt as _;

use crate::process::Job;
pub use crate::process::{Failure, Finished};

/// A program to run on the head node, and within which bounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The program.
    pub program: PathBuf,
    /// Its arguments; no shell reads them.
    pub args: Vec<String>,
    /// The longest it may take.
    pub timeout: Duration,
    /// The most that is kept of either output, in bytes; the middle is cut out of a longer one.
    pub output_limit: usize,
}

/// What a head node can be asked for.
///
/// An implementation answers in bounded time and never with more than was asked for. Dropping the future
/// ends the program.
#[async_trait]
pub trait Programs: Send + Sync {
    /// Runs a program to its end.
    ///
    /// # Errors
    /// [`Failure`] when it cannot be started, or is not done in time.
    async fn run(&self, call: &Call) -> Result<Finished, Failure>;

    /// The beginning of a file, at most so many bytes.
    ///
    /// # Errors
    /// When it cannot be read.
    async fn read(&self, path: &Path, limit: usize) -> io::Result<Vec<u8>>;
}

/// The machine this runs on.
#[derive(Debug, Clone, Copy, Default)]
pub struct ThisHead;

#[async_trait]
impl Programs for ThisHead {
    async fn run(&self, call: &Call) -> Result<Finished, Failure> {
        let job = Job {
            program: &call.program,
            args: &call.args,
            timeout: call.timeout,
            output_limit: call.output_limit,
        };
        job.run().await
    }

    async fn read(&self, path: &Path, limit: usize) -> io::Result<Vec<u8>> {
        let file = tokio::fs::File::open(path).await?;
        let mut bytes = Vec::new();
        file.take(limit as u64).read_to_end(&mut bytes).await?;
        Ok(bytes)
    }
}
