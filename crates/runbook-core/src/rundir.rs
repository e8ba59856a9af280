//! The state directory: where runs keep their plan, their journal and their log of commands.
//!
//! ```text
//! <state>/<cluster>/lock                          held while a process works on the cluster
//! <state>/<cluster>/runs/<run id>/plan.json       the plan's own bytes
//!                                 journal.jsonl   what was meant and what came of it
//!                                 commands.log    every command, for people
//!                                 given-up.json   only where a run with a damaged journal was given up
//! ```
//!
//! A run's directory comes into being whole, by one rename: plan and journal are in it from its first
//! moment, so that a journal that is missing later was lost.
//!
//! Directories are `0700`, files `0600`, and in each life every entry above a journal is synced before a
//! record is written, whichever life made it. Whatever others could have changed is refused, not read.

mod files;
mod lock;
mod place;
mod run_dir;
mod storage;

use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use self::files::{
    entries, make_directories, make_directory, open_private, sync_place, trusted_directory,
    trusted_place,
};
pub use self::files::{read_ordinary, read_private, write_atomically};
pub use self::lock::{ClusterLock, Holder, LockNote};
use self::lock::{held_by, read_note};
pub use self::place::{Locks, Place, is_network};
pub use self::run_dir::{GivenUp, RunDir, Standing};
pub use self::storage::StorageRisk;
use crate::journal::{Actor, FileStore, JournalError};
use crate::names::{ClusterLabel, RunId};
use crate::plan::{PlanError, SealedPlan};

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
        fault: Distrust,
    },
    /// Another process works on the cluster.
    #[error("another process works on cluster {cluster}: {}", whose(holder.as_deref()))]
    Locked {
        /// The cluster.
        cluster: ClusterLabel,
        /// Who, as far as the lock says.
        holder: Option<Box<LockNote>>,
        /// Whether that is a process of another host.
        elsewhere: bool,
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
    /// The run's directory is there, its journal is not.
    #[error("the journal of run {run} is missing: {} was there from the run's first moment", path.display())]
    JournalMissing {
        /// The run.
        run: RunId,
        /// Where it was.
        path: PathBuf,
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

/// Why something is not trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Distrust {
    /// It is of another kind than it should be: "is no directory".
    Kind(&'static str),
    /// It belongs to somebody else.
    Owner {
        /// Whose it is.
        owner: u32,
        /// Who runs this.
        me: u32,
    },
    /// Others can write to it; its permission bits.
    Mode(u32),
}

impl fmt::Display for Distrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kind(what) => f.write_str(what),
            Self::Owner { owner, me } => {
                write!(f, "belongs to user {owner}, not to user {me}")
            }
            Self::Mode(mode) => write!(f, "can be written by others (mode {mode:04o})"),
        }
    }
}

fn whose(holder: Option<&LockNote>) -> String {
    holder.map_or_else(|| "it did not say whose".into(), ToString::to_string)
}

/// A lock that another host holds outlives that host for a while.
fn elsewhere(holder: Option<&LockNote>) -> String {
    let host = holder.map_or("the other head node", |note| note.by.host.as_str());
    format!(
        "while {host} works, wait for it or halt it there (Ctrl-C). If {host} is off or was fenced, its lock ends with its lease: over NFSv4 after about 90 s, over NFSv3 when {host} boots again or the server forgets it (`sm-notify` there). Never remove the lock file: that lets two work at once"
    )
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
            Self::JournalMissing { .. } => "journal-missing",
            Self::Journal(error) => error.code(),
            Self::Plan { .. } => "run-plan-refused",
        }
    }

    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Io { .. } => "see what the system says of it: space, permissions, the disk; then try again".into(),
            Self::Over { .. } => "look at it with `restore-runbook status --all`".into(),
            Self::Unsafe { path, fault: Distrust::Kind(_) } => format!(
                "something else has taken its place: look at {} before anything else",
                path.display()
            ),
            Self::Unsafe { path, .. } => format!(
                "make sure that nobody has changed it, then: chown root {0} && chmod go-w {0}",
                path.display()
            ),
            Self::JournalMissing { run, .. } => format!(
                "put it back from a copy, then resume. Without it nobody knows what the run has changed: look at each node and finish by hand, then `restore-runbook abandon {run} --damaged --reason …`"
            ),
            Self::Locked { elsewhere: true, holder, .. } => elsewhere(holder.as_deref()),
            Self::Locked { .. } => "wait for it, or look at it with `restore-runbook status`; the lock ends with its process".into(),
            Self::RunExists { .. } => "a plan is run once: go on with `restore-runbook resume`, or make a new plan".into(),
            Self::Journal(error) => error.hint().into(),
            Self::Plan { .. } => "do not edit the run's directory: compare with a copy, or finish by hand".into(),
        })
    }

    /// Whether a run's journal is lost to this tool, so that giving the run up is a way on. One of a
    /// newer build is not: that build reads it; and what others could have changed has to be looked at
    /// first.
    pub const fn is_damage(&self) -> bool {
        match self {
            Self::JournalMissing { .. } => true,
            Self::Journal(error) => matches!(
                error,
                JournalError::Damaged { .. } | JournalError::Empty { .. } | JournalError::Io { .. }
            ),
            _ => false,
        }
    }

    fn io(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io {
            path,
            doing,
            source,
        }
    }

    fn distrust(path: &Path, fault: Distrust) -> Self {
        Self::Unsafe {
            path: path.into(),
            fault,
        }
    }
}

type Result<T> = std::result::Result<T, StateError>;

/// A path by its own name: with a slash at its end a link would be followed.
fn named(path: &Path) -> PathBuf {
    path.components().collect()
}

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
        let root = &named(root);
        make_directories(root)?;
        trusted_place(root)?;
        sync_place(root)?;
        Ok(Self { root: root.into() })
    }

    /// Opens the directory for looking only; none where there is none.
    ///
    /// # Errors
    /// As [`StateDir::open`].
    pub fn existing(root: &Path) -> Result<Option<Self>> {
        let root = &named(root);
        match fs::symlink_metadata(root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StateError::io(root, "read")(error)),
            Ok(_) => {
                trusted_directory(root)?;
                trusted_place(root)?;
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
        Place::of(&self.root).ok()?.risk()
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
        let dir = self.root.join(cluster.as_str());
        let path = dir.join("lock");
        let opened =
            trusted_directory(&dir).and_then(|()| open_private(&path, File::options().read(true)));
        let mut file = match opened {
            Ok(file) => file,
            Err(StateError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(None),
            Err(TryLockError::WouldBlock) => Ok(Some(Holder(read_note(&mut file)))),
            Err(TryLockError::Error(error)) => Err(StateError::io(&path, "locked")(error)),
        }
    }

    /// Makes a run's directory with its plan and an empty journal, all of it durable and at once.
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
        match fs::symlink_metadata(dir.path()) {
            Ok(_) => dir.clear_for_another_start(plan)?,
            Err(_) => dir.make(plan)?,
        }
        let store = dir.store()?;
        Ok((dir, store))
    }

    /// Where a plan's run is kept, or would be.
    pub fn run_dir(&self, plan: &SealedPlan) -> RunDir {
        let runs = self.root.join(plan.cluster.as_str()).join("runs");
        RunDir::at(&runs, plan.cluster.clone(), plan.run)
    }

    /// Every run there is, the oldest first.
    ///
    /// # Errors
    /// When the directory of the runs cannot be read or is not to be trusted.
    pub fn runs(&self) -> Result<Vec<RunDir>> {
        let mut runs = Vec::new();
        for cluster in entries(&self.root)? {
            let Ok(cluster) = ClusterLabel::new(cluster) else {
                continue;
            };
            let above = self.root.join(cluster.as_str());
            let dir = above.join("runs");
            match fs::symlink_metadata(&dir).map_err(|error| error.kind()) {
                // Nothing of ours, or a cluster that was locked and never worked on.
                Err(io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => continue,
                // What cannot be looked at is no reason to say that there is no run.
                _ => trusted_directory(&above).and_then(|()| trusted_directory(&dir))?,
            }
            for name in entries(&dir)? {
                let Ok(run) = RunId::parse(&name) else {
                    continue;
                };
                // Whether it is to be trusted is asked when it is read: one bad run hides no other.
                runs.push(RunDir::at(&dir, cluster.clone(), run));
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

#[cfg(test)]
#[cfg(feature = "testkit")]
mod synced;
#[cfg(test)]
mod tests;
