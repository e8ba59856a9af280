//! One child process: never through a shell, never for ever, never more output than a bound.

use std::io;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use runbook_core::plan::Command;
use runbook_core::ports::{CommandEntry, CommandLog};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};

/// How long output may still trickle in once the process is gone.
///
/// A master connection which an old ssh (7.x, 8.0) leaves behind keeps its standard error open: what
/// was written before the process ended lies in the pipe already, the end of the pipe never comes.
const AFTER_EXIT: Duration = Duration::from_millis(500);

/// The most of an output that goes into the log, in bytes.
const LOGGED_BYTES: usize = 8 * 1024;

/// What a process printed, its middle cut out where it was too much.
#[derive(Debug, Clone, Default)]
struct Captured {
    head: Vec<u8>,
    tail: Vec<u8>,
    seen: u64,
    half: usize,
}

impl Captured {
    fn new(limit: usize) -> Self {
        Self {
            half: limit / 2,
            ..Self::default()
        }
    }

    fn take(&mut self, mut bytes: &[u8]) {
        self.seen += bytes.len() as u64;
        let room = (self.half - self.head.len()).min(bytes.len());
        self.head.extend_from_slice(&bytes[..room]);
        bytes = &bytes[room..];
        self.tail.extend_from_slice(bytes);
        // Not with every piece: of a flood each would move all that is kept.
        if self.tail.len() > self.half.saturating_mul(2) {
            self.tail.drain(..self.tail.len() - self.half);
        }
    }

    /// The end, as far as it is kept.
    fn tail(&self) -> &[u8] {
        &self.tail[self.tail.len().saturating_sub(self.half)..]
    }

    /// How many bytes are missing.
    fn cut(&self) -> u64 {
        self.seen - (self.head.len() + self.tail().len()) as u64
    }

    /// Head and tail; where bytes are missing between them, a line says so.
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.head.clone();
        if self.cut() > 0 {
            bytes.extend(format!("\n… {} bytes cut …\n", self.cut()).bytes());
        }
        bytes.extend(self.tail());
        bytes
    }
}

/// A process that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// Its exit status; none when a signal ended it.
    pub status: Option<i32>,
    /// Its standard output; where it was more than the bound, a line stands for what is missing.
    pub stdout: Vec<u8>,
    /// Its standard error, likewise.
    pub stderr: Vec<u8>,
}

impl Finished {
    pub(crate) fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    pub(crate) fn err(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }
}

/// Why a process gave no exit status.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The program could not be started.
    #[error("it cannot be started")]
    Start(#[source] io::Error),
    /// It was killed after its time was over.
    #[error("it gave no result within {} s", .0.as_secs())]
    Timeout(Duration),
}

/// What to run, and within which bounds.
#[derive(Debug)]
pub(crate) struct Job<'a> {
    pub(crate) program: &'a Path,
    pub(crate) args: &'a [String],
    pub(crate) timeout: Duration,
    pub(crate) output_limit: usize,
}

impl Job<'_> {
    /// Runs it to its end. When its time is over, or the future is dropped, it is killed with all that it
    /// has started.
    pub(crate) async fn run(&self) -> Result<Finished, Failure> {
        let mut child = tokio::process::Command::new(self.program)
            .args(self.args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C on the terminal asks this tool to drain; it must not hit what is in flight.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(Failure::Start)?;
        let mut group = Group::of(&child);
        let stdout = Mutex::new(Captured::new(self.output_limit));
        let stderr = Mutex::new(Captured::new(self.output_limit));
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let reading = async { tokio::join!(pump(out, &stdout), pump(err, &stderr)) };
        let status = tokio::time::timeout(self.timeout, async {
            tokio::pin!(reading);
            tokio::select! {
                status = child.wait() => {
                    let _ = tokio::time::timeout(AFTER_EXIT, reading).await;
                    status
                }
                _ = &mut reading => child.wait().await,
            }
        })
        .await
        .map_err(|_| Failure::Timeout(self.timeout))?
        .map_err(Failure::Start)?;
        // What it has left running on purpose, as ssh its master connection, goes on.
        group.0 = None;
        let whole = |captured: Mutex<Captured>| {
            let captured = captured.into_inner();
            captured.unwrap_or_else(PoisonError::into_inner).bytes()
        };
        Ok(Finished {
            status: status.code(),
            stdout: whole(stdout),
            stderr: whole(stderr),
        })
    }
}

/// A program that still runs, by its process group: a wrapper around cmsh would leave cmsh behind.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &tokio::process::Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Self(id.and_then(Pid::from_raw))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // It may be gone by now, which is as good.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// Waits for a program, and tells the log how it ended.
pub(crate) async fn logged(
    log: &dyn CommandLog,
    command: Command,
    effect: bool,
    running: impl Future<Output = Result<Finished, Failure>>,
) -> Result<Finished, Failure> {
    let begun = Instant::now();
    let result = running.await;
    let (status, output) = match &result {
        Ok(done) => (done.status, bounded(done)),
        Err(failure) => (None, failure.to_string()),
    };
    log.record(&CommandEntry {
        command,
        effect,
        status,
        output,
        took: begun.elapsed(),
    });
    result
}

async fn pump(from: Option<impl AsyncRead + Unpin>, to: &Mutex<Captured>) {
    let Some(mut from) = from else { return };
    let mut buffer = vec![0; 16 * 1024];
    // A pipe that cannot be read any more is at its end for our purposes.
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        to.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take(&buffer[..count]);
    }
}

fn bounded(done: &Finished) -> String {
    let mut both = Captured::new(LOGGED_BYTES);
    both.take(&done.stdout);
    both.take(&done.stderr);
    String::from_utf8_lossy(&both.bytes()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn sh(script: &str, timeout: Duration, limit: usize) -> Result<Finished, Failure> {
        let args = ["-c".to_owned(), script.to_owned()];
        let job = Job {
            program: Path::new("/bin/sh"),
            args: &args,
            timeout,
            output_limit: limit,
        };
        job.run().await
    }

    #[tokio::test]
    async fn a_flood_keeps_its_head_and_tail() {
        let hour = Duration::from_secs(3600);
        let script = "echo first; head -c 300000 /dev/zero | tr '\\0' x; echo; echo last; exit 3";
        let done = sh(script, hour, 1000).await.unwrap();
        assert_eq!(done.status, Some(3));
        let text = done.out();
        assert!(
            text.starts_with("first\n") && text.ends_with("\nlast\n"),
            "{text}"
        );
        assert!(text.contains("bytes cut") && text.len() < 1100);
    }

    /// cmsh behind a wrapper, say: killing the wrapper alone would leave cmsh at work.
    #[tokio::test]
    async fn what_a_program_has_started_ends_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let note = dir.path().join("pid");
        let started = || async {
            loop {
                let pid = std::fs::read_to_string(&note).unwrap_or_default();
                if let Some(pid) = pid.strip_suffix('\n') {
                    std::fs::remove_file(&note).unwrap();
                    return Path::new("/proc").join(pid);
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let gone = |process: std::path::PathBuf| async move {
            // Killed, it may still have to be collected.
            let state = || std::fs::read_to_string(process.join("stat")).unwrap_or_default();
            while !state().is_empty() && !state().contains(") Z ") {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let script = format!("sleep 900 & echo $! > {}; wait", note.display());
        let late = sh(&script, Duration::from_millis(500), 100);
        let (result, process) = tokio::join!(late, started());
        assert!(matches!(result, Err(Failure::Timeout(_))), "{result:?}");
        gone(process).await;
        let hour = sh(&script, Duration::from_secs(3600), 100);
        let process = tokio::select! {
            _ = hour => unreachable!("it waits for an hour"),
            process = started() => process,
        };
        gone(process).await;
    }

    #[tokio::test]
    async fn a_process_left_behind_with_the_pipe_is_not_waited_for() {
        let hour = Duration::from_secs(3600);
        let done = sh("echo here; sleep 5 & exit 0", hour, 1000).await.unwrap();
        assert_eq!(done.out(), "here\n");
    }

    #[tokio::test]
    async fn time_runs_out() {
        let failure = sh("sleep 60", Duration::from_millis(20), 10)
            .await
            .unwrap_err();
        assert!(matches!(failure, Failure::Timeout(_)));
    }

    #[tokio::test]
    async fn a_missing_program_is_told() {
        let job = Job {
            program: Path::new("/no/such/program"),
            args: &[],
            timeout: Duration::from_secs(1),
            output_limit: 10,
        };
        assert!(matches!(job.run().await, Err(Failure::Start(_))));
    }
}
