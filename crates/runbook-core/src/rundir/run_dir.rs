//! The directory of one run.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::files::{
    make_directory, read_own, sync_entry, trusted, trusted_directory, write_atomically,
};
use super::{ClusterLock, Result, StateError};
use crate::journal::{Actor, Entry, FileStore, History, Journal, JournalError, Outcome, peek};
use crate::names::{ClusterLabel, RunId};
use crate::plan::{PLAN_LIMIT_BYTES, PlanError, SealedPlan};

/// How often one plan may be begun again when its Preflight refuses.
const MOST_STARTS: u32 = 1000;

const PLAN: &str = "plan.json";
const JOURNAL: &str = "journal.jsonl";
const COMMANDS: &str = "commands.log";
const GIVEN_UP: &str = "given-up.json";

/// Far more than the longest reason.
const GIVEN_UP_LIMIT_BYTES: u64 = 64 * 1024;

/// Where a run stands, as its directory tells.
#[derive(Debug)]
pub enum Standing {
    /// Its journal has no first record: nothing can have been done.
    NeverBegan,
    /// It can go on.
    Open(History),
    /// It is over.
    Over(Outcome, History),
    /// Its journal is missing or cannot be read; it may have changed anything.
    Unreadable(StateError),
    /// It was given up although its journal could not be read; it may have changed anything.
    GivenUp(GivenUp),
}

/// The record of a run that was given up although its journal could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GivenUp {
    /// When.
    pub at: jiff::Timestamp,
    /// By whom.
    pub by: Actor,
    /// Why.
    pub reason: String,
    /// What was wrong with the journal.
    pub damage: String,
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
    /// The directory of another run of the same cluster, whether it is there or not.
    #[must_use]
    pub fn beside(&self, run: RunId) -> Self {
        Self {
            path: self.path.with_file_name(run.to_string()),
            cluster: self.cluster.clone(),
            run,
        }
    }

    pub(super) fn at(runs: &Path, cluster: ClusterLabel, run: RunId) -> Self {
        Self {
            path: runs.join(run.to_string()),
            cluster,
            run,
        }
    }

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
        trusted_directory(&self.path)?;
        let bytes = read_own(&self.path.join(PLAN), PLAN_LIMIT_BYTES as u64)?;
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
        self.read().unwrap_or_else(Standing::Unreadable)
    }

    fn read(&self) -> Result<Standing> {
        trusted_directory(&self.path)?;
        if let Some(given_up) = self.given_up()? {
            return Ok(Standing::GivenUp(given_up));
        }
        let path = self.path.join(JOURNAL);
        let bytes = match peek(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let run = self.run;
                return Err(StateError::JournalMissing { run, path });
            }
            Err(source) => {
                let (place, doing) = (path.display().to_string(), "read");
                return Err(JournalError::Io {
                    place,
                    doing,
                    source,
                }
                .into());
            }
        };
        if !bytes.contains(&b'\n') {
            // A run that never began has never run a command; a journal may have been emptied.
            let commands = self.path.join(COMMANDS).metadata();
            if commands.is_ok_and(|log| log.len() > 0) {
                let run = self.run;
                return Err(StateError::JournalMissing { run, path });
            }
            return Ok(Standing::NeverBegan);
        }
        let history = History::read(&bytes, &path.display().to_string())?;
        Ok(match history.outcome().cloned() {
            Some(outcome) => Standing::Over(outcome, history),
            None => Standing::Open(history),
        })
    }

    fn given_up(&self) -> Result<Option<GivenUp>> {
        let path = self.path.join(GIVEN_UP);
        if fs::symlink_metadata(&path).is_err() {
            return Ok(None);
        }
        let bytes = read_own(&path, GIVEN_UP_LIMIT_BYTES)?;
        let read = serde_json::from_slice(&bytes);
        read.map(Some)
            .map_err(|error| StateError::io(&path, "read")(error.into()))
    }

    /// The journal, for going on.
    ///
    /// # Errors
    /// When it cannot be opened, others could have changed it, or another process holds it.
    pub fn store(&self) -> Result<FileStore> {
        let path = self.path.join(JOURNAL);
        let file = fs::symlink_metadata(&path).map_err(StateError::io(&path, "read"))?;
        trusted(&path, &file)?;
        let store = FileStore::open(&path).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => StateError::Locked {
                cluster: self.cluster.clone(),
                holder: None,
                elsewhere: false,
            },
            _ => StateError::io(&path, "opened")(error),
        })?;
        // Before anything is written to it, and in each life: the one that made it may have died before.
        sync_entry(&path)?;
        sync_entry(&self.path)?;
        Ok(store)
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

    /// Gives the run up although its journal is damaged or missing: a record of its own says so, and
    /// what is left of the journal stays beside it under another name.
    ///
    /// # Errors
    /// [`StateError::Over`] when the run is over. The journal's own error where it can be mended, or
    /// read by a newer build; and for a journal that can be read [`RunDir::close`] is the way.
    pub fn give_up(
        &self,
        lock: &ClusterLock,
        at: jiff::Timestamp,
        by: Actor,
        reason: &str,
    ) -> Result<()> {
        debug_assert_eq!(
            lock.cluster, self.cluster,
            "the lock is the run's cluster's"
        );
        let damage = match self.standing() {
            Standing::Unreadable(error) if error.is_damage() => error,
            Standing::Unreadable(error) => return Err(error),
            Standing::Over(..) | Standing::GivenUp(_) => {
                return Err(StateError::Over { run: self.run });
            }
            Standing::NeverBegan | Standing::Open(_) => {
                return self.close(at, Outcome::Abandoned(reason.into()));
            }
        };
        let journal = self.path.join(JOURNAL);
        if fs::symlink_metadata(&journal).is_ok() {
            let aside = self.free_name("journal-damaged", "jsonl")?;
            fs::rename(&journal, &aside).map_err(StateError::io(&journal, "set aside"))?;
        }
        let record = GivenUp {
            at,
            by,
            reason: reason.into(),
            damage: format!("{}: {damage}", damage.code()),
        };
        let path = self.path.join(GIVEN_UP);
        let bytes = serde_json::to_vec(&record)
            .map_err(|error| StateError::io(&path, "written")(error.into()))?;
        write_atomically(&path, &bytes, false)
    }

    /// Makes the directory, whole, by one rename. Only under the cluster's lock.
    pub(super) fn make(&self, plan: &SealedPlan) -> Result<()> {
        let name = format!(".{}", self.run);
        let draft = self.path.with_file_name(name);
        if fs::symlink_metadata(&draft).is_ok() {
            fs::remove_dir_all(&draft).map_err(StateError::io(&draft, "removed"))?;
        }
        make_directory(&draft)?;
        write_atomically(&draft.join(PLAN), plan.bytes(), false)?;
        write_atomically(&draft.join(JOURNAL), b"", false)?;
        // Its entry is synced with the journal's, in `store`.
        fs::rename(&draft, &self.path).map_err(StateError::io(&self.path, "made"))
    }

    pub(super) fn clear_for_another_start(&self, plan: &SealedPlan) -> Result<()> {
        let exists = || StateError::RunExists { run: self.run };
        match self.standing() {
            Standing::NeverBegan => {}
            Standing::Over(Outcome::Abandoned(_), history) if history.changed_nothing() => {}
            Standing::Unreadable(error) => return Err(error),
            _ => return Err(exists()),
        }
        if self.plan()?.digest() != plan.digest() {
            return Err(exists());
        }
        // The old commands go first: beside an empty journal they would tell of a lost one.
        let commands = self.path.join(COMMANDS);
        if fs::symlink_metadata(&commands).is_ok() {
            let aside = self.free_name("commands", "log")?;
            fs::rename(&commands, &aside).map_err(StateError::io(&commands, "set aside"))?;
            sync_entry(&aside)?;
        }
        // The old journal gets a second name before an empty one takes its place: at no moment is
        // there none.
        let journal = self.path.join(JOURNAL);
        let aside = self.free_name("journal", "jsonl")?;
        fs::hard_link(&journal, &aside).map_err(StateError::io(&journal, "set aside"))?;
        write_atomically(&journal, b"", true)
    }

    /// A name with a number that nothing has yet.
    fn free_name(&self, stem: &str, kind: &str) -> Result<PathBuf> {
        (1..=MOST_STARTS)
            .map(|n| self.path.join(format!("{stem}-{n}.{kind}")))
            .find(|path| fs::symlink_metadata(path).is_err())
            .ok_or(StateError::RunExists { run: self.run })
    }
}
