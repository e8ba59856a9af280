//! The state directory: where runs keep their plan, their journal and their log of commands.
//!
//! ```text
//! <state>/<cluster>/lock                          held while a process works on the cluster
//! <state>/<cluster>/runs/<run id>/plan.json       the plan's own bytes
//!                                 journal.jsonl   what was meant and what came of it
//!                                 commands.log    every command, for people
//! ```
//!
//! Directories are `0700`, files `0600`, and every entry above a journal is synced before the
//! journal's first record. Whatever others could have changed is refused, not read.

mod storage;

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use storage::StorageRisk;

use crate::journal::{
    Actor, Entry, FileStore, History, Journal, JournalError, Outcome, peek, sync_directory,
};
use crate::names::{ClusterLabel, RunId};
use crate::plan::{PLAN_LIMIT_BYTES, PlanError, SealedPlan};

/// How often one plan may be begun again when its Preflight refuses.
const MOST_STARTS: u32 = 1000;

const PLAN: &str = "plan.json";
const JOURNAL: &str = "journal.jsonl";
const COMMANDS: &str = "commands.log";

/// Why the state directory, or something in it, cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Reading or writing failed.
    #[error("{} cannot be {doing}", path.display())]
    Io {
        /// What.
        path: PathBuf,
        /// "read", "made", …
        doing: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Others could have changed it.
    #[error("{} {fault}", path.display())]
    Unsafe {
        /// What.
        path: PathBuf,
        /// Why it is not trusted.
        fault: String,
    },
    /// Another process works on the cluster.
    #[error("another process works on cluster {cluster}: {}", whose(holder.as_deref()))]
    Locked {
        /// The cluster.
        cluster: ClusterLabel,
        /// Who, as far as the lock says.
        holder: Option<Box<Actor>>,
    },
    /// The plan has had its run.
    #[error("run {run} has been begun already")]
    RunExists {
        /// The run.
        run: RunId,
    },
    /// The run is over: nothing more is written.
    #[error("run {run} is over already")]
    Over {
        /// The run.
        run: RunId,
    },
    /// The run's journal refuses.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The run's plan refuses.
    #[error("the plan of run {run} is not the one that was begun")]
    Plan {
        /// The run.
        run: RunId,
        /// Why.
        #[source]
        source: Box<PlanError>,
    },
}

fn whose(holder: Option<&Actor>) -> String {
    holder.map_or_else(|| "it did not say whose".into(), ToString::to_string)
}

impl StateError {
    /// The stable error code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "state-io",
            Self::Unsafe { .. } => "state-unsafe",
            Self::Locked { .. } => "run-locked",
            Self::RunExists { .. } => "run-exists",
            Self::Over { .. } => "run-over",
            Self::Journal(error) => error.code(),
            Self::Plan { .. } => "run-plan-refused",
        }
    }

    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Io { .. } => "see what the system says of it: space, permissions, the disk; then try again".into(),
            Self::Over { .. } => "look at it with `restore-runbook status --all`".into(),
            Self::Unsafe { path, .. } => format!(
                "make sure that nobody has changed it, then: chown root {0} && chmod go-w {0}",
                path.display()
            ),
            Self::Locked { .. } => "wait for it, or look at it with `restore-runbook status`; the lock ends with its process".into(),
            Self::RunExists { .. } => "a plan is run once: go on with `restore-runbook resume`, or make a new plan".into(),
            Self::Journal(error) => error.hint().into(),
            Self::Plan { .. } => "do not edit the run's directory: compare with a copy, or finish by hand".into(),
        })
    }

    fn io(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io {
            path,
            doing,
            source,
        }
    }

    fn distrust(path: &Path, fault: impl Into<String>) -> Self {
        Self::Unsafe {
            path: path.into(),
            fault: fault.into(),
        }
    }
}

type Result<T> = std::result::Result<T, StateError>;

/// The directory all runs of this head node are kept in.
#[derive(Debug, Clone)]
pub struct StateDir {
    root: PathBuf,
}

impl StateDir {
    /// Opens the directory, making it where it is not there.
    ///
    /// # Errors
    /// [`StateError`] when it cannot be made, or when others could have changed it.
    pub fn open(root: &Path) -> Result<Self> {
        make_directory(root)?;
        Ok(Self { root: root.into() })
    }

    /// Opens the directory for looking only; none where there is none.
    ///
    /// # Errors
    /// As [`StateDir::open`].
    pub fn existing(root: &Path) -> Result<Option<Self>> {
        match fs::symlink_metadata(root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StateError::io(root, "read")(error)),
            Ok(_) => {
                trusted_directory(root)?;
                Ok(Some(Self { root: root.into() }))
            }
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// What is risky about the storage it lies on, if anything.
    pub fn risk(&self) -> Option<StorageRisk> {
        storage::risk(&self.root)
    }

    /// Takes the cluster for this process, until the lock is dropped.
    ///
    /// # Errors
    /// [`StateError::Locked`] while another process has it.
    pub fn lock(&self, cluster: &ClusterLabel, by: &Actor) -> Result<ClusterLock> {
        let dir = self.root.join(cluster.as_str());
        make_directory(&dir)?;
        // Labels are the operator's choice: two of them may mean the same nodes. So one process works
        // at a time, whatever its label.
        let whole = held_by(&self.root.join(".lock"), cluster, by)?;
        let file = held_by(&dir.join("lock"), cluster, by)?;
        Ok(ClusterLock {
            cluster: cluster.clone(),
            _files: [whole, file],
        })
    }

    /// Who works on the cluster right now; none when nobody does.
    ///
    /// # Errors
    /// When the lock cannot be read.
    pub fn holder(&self, cluster: &ClusterLabel) -> Result<Option<Holder>> {
        let path = self.root.join(cluster.as_str()).join("lock");
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StateError::io(&path, "read")(error)),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(None),
            Err(TryLockError::WouldBlock) => Ok(Some(Holder(read_actor(&mut file)))),
            Err(TryLockError::Error(error)) => Err(StateError::io(&path, "locked")(error)),
        }
    }

    /// Makes a run's directory with its plan and an empty journal, all of it durable.
    ///
    /// A plan whose run was given up, or broke off, before any intent may be run again: its old journal
    /// is set aside then. Nothing in the world carries the run's id yet.
    ///
    /// # Errors
    /// [`StateError::RunExists`] when the plan's run has changed something, or may have.
    pub fn create_run(&self, lock: &ClusterLock, plan: &SealedPlan) -> Result<(RunDir, FileStore)> {
        debug_assert_eq!(
            lock.cluster, plan.cluster,
            "the lock is the plan's cluster's"
        );
        let dir = self.run_dir(plan);
        make_directory(&self.root.join(plan.cluster.as_str()).join("runs"))?;
        match fs::symlink_metadata(&dir.path) {
            Ok(_) => dir.clear_for_another_start(plan)?,
            Err(_) => make_directory(&dir.path)?,
        }
        if !dir.path.join(PLAN).exists() {
            write_atomically(&dir.path.join(PLAN), plan.bytes(), false)?;
        }
        let journal = dir.path.join(JOURNAL);
        let store = FileStore::create(&journal).map_err(StateError::io(&journal, "made"))?;
        Ok((dir, store))
    }

    /// Where a plan's run is kept, or would be.
    pub fn run_dir(&self, plan: &SealedPlan) -> RunDir {
        let runs = self.root.join(plan.cluster.as_str()).join("runs");
        RunDir {
            path: runs.join(plan.run.to_string()),
            cluster: plan.cluster.clone(),
            run: plan.run,
        }
    }

    /// Every run there is, the oldest first.
    ///
    /// # Errors
    /// When a directory cannot be read or is not to be trusted.
    pub fn runs(&self) -> Result<Vec<RunDir>> {
        let mut runs = Vec::new();
        for cluster in entries(&self.root)? {
            let Ok(cluster) = ClusterLabel::new(cluster) else {
                continue;
            };
            let dir = self.root.join(cluster.as_str()).join("runs");
            if !dir.exists() {
                continue;
            }
            trusted_directory(&dir)?;
            for name in entries(&dir)? {
                let Ok(run) = RunId::parse(&name) else {
                    continue;
                };
                let path = dir.join(&name);
                trusted_directory(&path)?;
                let cluster = cluster.clone();
                runs.push(RunDir { path, cluster, run });
            }
        }
        runs.sort_by_key(|run| run.run);
        Ok(runs)
    }

    /// Every run that is neither over nor still to begin; one that cannot be read counts as open.
    ///
    /// # Errors
    /// As [`StateDir::runs`].
    pub fn open_runs(&self) -> Result<Vec<RunDir>> {
        let mut runs = self.runs()?;
        runs.retain(|run| matches!(run.standing(), Standing::Open(_) | Standing::Unreadable(_)));
        Ok(runs)
    }
}

/// A cluster, held for one process.
#[derive(Debug)]
pub struct ClusterLock {
    cluster: ClusterLabel,
    _files: [File; 2],
}

/// Whoever holds a cluster; what it says of itself may be missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder(pub Option<Actor>);

/// How often a lock is tried for: whoever only looks holds it for a moment.
const LOCK_TRIES: u32 = 5;

/// Opens a lock file, takes it, and writes down whose it is.
fn held_by(path: &Path, cluster: &ClusterLabel, by: &Actor) -> Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let mut file = open_private(path, &mut options)?;
    take(&mut file, cluster, path)?;
    let holder = serde_json::to_vec(by).map_err(|e| StateError::io(path, "written")(e.into()))?;
    let written = file
        .set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| file.write_all(&holder));
    written.map_err(StateError::io(path, "written"))?;
    Ok(file)
}

fn take(file: &mut File, cluster: &ClusterLabel, path: &Path) -> Result<()> {
    for left in (0..LOCK_TRIES).rev() {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if left > 0 => {
                std::thread::sleep(Duration::from_millis(40));
            }
            Err(TryLockError::WouldBlock) => break,
            Err(TryLockError::Error(error)) => return Err(StateError::io(path, "locked")(error)),
        }
    }
    Err(StateError::Locked {
        cluster: cluster.clone(),
        holder: read_actor(file).map(Box::new),
    })
}

fn read_actor(file: &mut File) -> Option<Actor> {
    let mut text = Vec::new();
    file.take(4096).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

/// Where a run stands, as its directory tells.
#[derive(Debug)]
pub enum Standing {
    /// It has no first record: nothing can have been done.
    NeverBegan,
    /// It can go on.
    Open(History),
    /// It is over.
    Over(Outcome, History),
    /// Its journal cannot be read; it may have changed anything.
    Unreadable(StateError),
}

/// The directory of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunDir {
    path: PathBuf,
    /// The cluster it is filed under.
    pub cluster: ClusterLabel,
    /// The run.
    pub run: RunId,
}

impl RunDir {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where its log of commands is.
    pub fn commands_log(&self) -> PathBuf {
        self.path.join(COMMANDS)
    }

    /// Its plan.
    ///
    /// # Errors
    /// [`StateError::Plan`] when the file is no plan, or another run's.
    pub fn plan(&self) -> Result<SealedPlan> {
        let bytes = read_private(&self.path.join(PLAN), PLAN_LIMIT_BYTES as u64)?;
        let run = self.run;
        let refused = |source| StateError::Plan {
            run,
            source: Box::new(source),
        };
        let plan = SealedPlan::read(&bytes).map_err(refused)?;
        if plan.run == run && plan.cluster == self.cluster {
            Ok(plan)
        } else {
            Err(refused(PlanError::Unreadable(format!(
                "it is the plan of run {}",
                plan.run
            ))))
        }
    }

    /// Where it stands. Nothing is locked or changed: it may be read while the run goes on.
    pub fn standing(&self) -> Standing {
        let path = self.path.join(JOURNAL);
        let bytes = match peek(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Standing::NeverBegan,
            Err(error) => return Standing::Unreadable(StateError::io(&path, "read")(error)),
        };
        if !bytes.contains(&b'\n') {
            return Standing::NeverBegan;
        }
        match History::read(&bytes, &path.display().to_string()) {
            Err(error) => Standing::Unreadable(error.into()),
            Ok(history) => match history.outcome().cloned() {
                Some(outcome) => Standing::Over(outcome, history),
                None => Standing::Open(history),
            },
        }
    }

    /// The journal, for going on.
    ///
    /// # Errors
    /// When it cannot be opened, others could have changed it, or another process holds it.
    pub fn store(&self) -> Result<FileStore> {
        let path = self.path.join(JOURNAL);
        let file = fs::symlink_metadata(&path).map_err(StateError::io(&path, "read"))?;
        trusted(&path, &file)?;
        FileStore::open(&path).map_err(StateError::io(&path, "opened"))
    }

    /// Ends the run for good, as undone or abandoned, without this build having to know its plan.
    ///
    /// # Errors
    /// [`StateError`] when the journal refuses.
    pub fn close(&self, at: jiff::Timestamp, outcome: Outcome) -> Result<()> {
        let (mut journal, history) = Journal::reopen(Box::new(self.store()?))?;
        if history.outcome().is_some() {
            return Err(StateError::Over { run: self.run });
        }
        journal.write(at, Entry::Closed { outcome })?;
        Ok(())
    }

    fn clear_for_another_start(&self, plan: &SealedPlan) -> Result<()> {
        trusted_directory(&self.path)?;
        let exists = StateError::RunExists { run: self.run };
        match self.standing() {
            Standing::NeverBegan => {}
            Standing::Over(Outcome::Abandoned(_), history) if history.changed_nothing() => {}
            _ => return Err(exists),
        }
        if self.path.join(PLAN).exists() && self.plan()?.digest() != plan.digest() {
            return Err(exists);
        }
        let journal = self.path.join(JOURNAL);
        if journal.exists() {
            let aside = (1..=MOST_STARTS)
                .map(|n| self.path.join(format!("journal-{n}.jsonl")))
                .find(|path| !path.exists())
                .ok_or(exists)?;
            fs::rename(&journal, &aside).map_err(StateError::io(&journal, "set aside"))?;
            sync_directory(&journal).map_err(StateError::io(&self.path, "synced"))?;
        }
        Ok(())
    }
}

fn entries(dir: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(StateError::io(dir, "read"))? {
        let entry = entry.map_err(StateError::io(dir, "read"))?;
        names.extend(entry.file_name().into_string());
    }
    names.sort();
    Ok(names)
}

/// Makes a directory, `0700`, and syncs its entry; one that is there must be trusted.
fn make_directory(path: &Path) -> Result<()> {
    if fs::symlink_metadata(path).is_err() {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
        made.map_err(StateError::io(path, "made"))?;
        sync_directory(path).map_err(StateError::io(path, "synced"))?;
    }
    trusted_directory(path)
}

fn trusted_directory(path: &Path) -> Result<()> {
    let found = fs::symlink_metadata(path).map_err(StateError::io(path, "read"))?;
    if !found.is_dir() {
        return Err(StateError::distrust(path, "is no directory"));
    }
    trusted(path, &found)
}

/// Neither group nor others may write, and it belongs to whoever runs this, or to root.
fn trusted(path: &Path, found: &fs::Metadata) -> Result<()> {
    let me = rustix::process::geteuid().as_raw();
    if found.uid() != me && found.uid() != 0 {
        let fault = format!("belongs to user {}, not to user {me}", found.uid());
        return Err(StateError::distrust(path, fault));
    }
    if found.mode() & 0o022 != 0 {
        let fault = format!(
            "can be written by others (mode {:04o})",
            found.mode() & 0o7777
        );
        return Err(StateError::distrust(path, fault));
    }
    Ok(())
}

fn open_private(path: &Path, options: &mut OpenOptions) -> Result<File> {
    let nofollow = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
    let options = options.mode(0o600).custom_flags(nofollow);
    let file = options.open(path).map_err(StateError::io(path, "opened"))?;
    let found = file.metadata().map_err(StateError::io(path, "read"))?;
    trusted(path, &found)?;
    Ok(file)
}

/// Reads a plan, a spec or another file that decides what is done: refused when others could have
/// written it, or when it is longer than `limit` bytes.
///
/// # Errors
/// [`StateError`] naming the file.
pub fn read_private(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let file = File::open(path).map_err(StateError::io(path, "read"))?;
    let found = file.metadata().map_err(StateError::io(path, "read"))?;
    if !found.is_file() {
        return Err(StateError::distrust(path, "is no regular file"));
    }
    trusted(path, &found)?;
    let mut bytes = Vec::new();
    let read = file.take(limit + 1).read_to_end(&mut bytes);
    read.map_err(StateError::io(path, "read"))?;
    if bytes.len() as u64 > limit {
        let error = io::Error::new(io::ErrorKind::FileTooLarge, format!("over {limit} bytes"));
        return Err(StateError::io(path, "read")(error));
    }
    Ok(bytes)
}

/// Writes a file, `0600`, so that it is there whole or not at all, and survives a power cut.
///
/// # Errors
/// With `replace` unset, [`io::ErrorKind::AlreadyExists`] inside [`StateError::Io`] when there is one.
pub fn write_atomically(path: &Path, bytes: &[u8], replace: bool) -> Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let draft = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let written = write_synced(&draft, bytes).and_then(|()| {
        if replace {
            fs::rename(&draft, path)
        } else {
            // A link refuses to overwrite, also when two do this at once.
            fs::hard_link(&draft, path)
        }
    });
    if written.is_err() || !replace {
        fs::remove_file(&draft).ok();
    }
    written
        .and_then(|()| sync_directory(path))
        .map_err(StateError::io(path, "written"))
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests;
