//! One of etcd's programs, running: ended with the value that stands for it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use runbook_core::ports::PortResult;
use rustix::process::{Pid, Signal, kill_process};

use super::fault;
use super::scratch::{Scratch, unusable};
use crate::tool::answer;

/// How often a process is looked at.
const POLL: Duration = Duration::from_millis(20);
/// How long etcd may take to stop before it is killed: it closes its log and its database.
const PATIENCE: Duration = Duration::from_secs(30);
/// How much of the end of a log is read, in bytes.
const TAIL_BYTES: u64 = 16 * 1024;

/// A running program, killed and waited for when dropped.
pub(super) struct Running {
    child: Child,
    log: PathBuf,
    /// Keeps the thread that started it: the kernel sends the parent-death signal when that *thread*
    /// ends (prctl(2)), and a runtime's threads come and go.
    _thread: mpsc::Sender<()>,
}

/// The end of what a program has printed.
#[derive(Debug, thiserror::Error)]
#[error("it said last:\n{0}")]
pub(super) struct Said(String);

impl Running {
    /// Starts a program that prints to a file of the scratch directory, which takes note of it.
    pub(super) fn start(mut command: Command, scratch: &Scratch, log: &str) -> PortResult<Self> {
        let log = scratch.path().join(log);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let to = |file: &File| file.try_clone().map(Stdio::from);
        let file = options.open(&log).map_err(|error| unusable(&log, error))?;
        command
            .current_dir(scratch.path())
            .stdin(Stdio::null())
            .stdout(to(&file).map_err(|error| unusable(&log, error))?)
            .stderr(to(&file).map_err(|error| unusable(&log, error))?)
            // Ctrl-C on the terminal is for this process, which then stops that one.
            .process_group(0);
        let what = format!("{} cannot be started", command.get_program().display());
        let (child, thread) =
            spawn(command).map_err(|error| fault("rehearsal-programs", what).caused_by(error))?;
        let running = Self {
            child,
            log,
            _thread: thread,
        };
        scratch.note(running.pid())?;
        Ok(running)
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Waits for its end.
    pub(super) async fn ended(&mut self) -> PortResult<ExitStatus> {
        loop {
            let ended = self.child.try_wait().map_err(|error| {
                fault("rehearsal-programs", "a program cannot be waited for").caused_by(error)
            })?;
            if let Some(status) = ended {
                return Ok(status);
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Asks it to stop, and kills it when it does not.
    pub(super) async fn stop(mut self) -> PortResult<()> {
        // It is not waited for yet, so the pid is still its own.
        kill_process(self.pid(), Signal::TERM).ok();
        if let Ok(ended) = tokio::time::timeout(PATIENCE, self.ended()).await {
            ended?;
        }
        Ok(())
    }

    /// The end of what it has printed, bounded and without control characters.
    pub(super) fn said(&self) -> Said {
        let text = end_of(&self.log).unwrap_or_else(|error| error.to_string());
        Said(answer::tail(&text))
    }

    /// The most memory it has had resident so far.
    pub(super) fn peak_rss_bytes(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
        let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        kib.checked_mul(1024)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both do nothing to a process that was waited for.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Said {
    pub(super) fn contains(&self, text: &str) -> bool {
        self.0.contains(text)
    }
}

/// Starts a process from a thread that lives as long as the sender.
fn spawn(mut command: Command) -> io::Result<(Child, mpsc::Sender<()>)> {
    let (keep, kept) = mpsc::channel();
    let (give, given) = mpsc::channel();
    thread::Builder::new()
        .name("rehearsal".into())
        .spawn(move || {
            give.send(command.spawn()).ok();
            kept.recv().ok();
        })?;
    let child = given.recv().map_err(io::Error::other)??;
    Ok((child, keep))
}

fn end_of(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
