//! The journal: what this run has meant to do, and what came of it.
//!
//! Later phases destroy the evidence of earlier ones (the wipe removes the moved spool; `datanode`
//! goes no, then yes; the overlay loses a node, then has it), so the state of a run cannot be read
//! off the world alone. The journal stores which units were intended, done, skipped or failed, and
//! with an intent what only a comparison can tell later: the boot id from before a reboot.

mod record;
mod store;

use std::io;

use record::LineFault;
pub use record::{
    Actor, Baseline, Entry, Format, JOURNAL_FORMAT, LINE_LIMIT_BYTES, Outcome, Record,
};
pub(crate) use store::sync_directory;
pub use store::{
    FileStore, JOURNAL_LIMIT_BYTES, JournalStore, Medium, MemoryStore, Overtaken, peek,
};

use crate::names::UnitId;

/// Leave to change the world for one unit.
///
/// It exists only once the unit's intent is in the journal, durably, and nothing outside this crate
/// can make one: calling a port's `perform` before the intent does not compile.
///
/// ```compile_fail,E0451
/// let unit = runbook_core::names::UnitId::new("stop/unassign").unwrap();
/// let permit = runbook_core::journal::Permit { unit, record: 0 };
/// ```
#[derive(Debug, PartialEq, Eq)]
pub struct Permit {
    unit: UnitId,
    record: u64,
}

impl Permit {
    /// The unit it was given for.
    pub const fn unit(&self) -> &UnitId {
        &self.unit
    }

    /// The number of the journal record that holds the intent.
    pub const fn record(&self) -> u64 {
        self.record
    }
}

/// Why a journal cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Reading or writing failed; nothing more is written through this handle.
    #[error("the journal at {place} cannot be {doing}")]
    Io {
        /// Where it is.
        place: String,
        /// "read", "written", …
        doing: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A line that is not the last one is damaged.
    #[error("line {line} of the journal at {place} is damaged: {fault}")]
    Damaged {
        /// Where it is.
        place: String,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong with it.
        fault: String,
    },
    /// It does not begin with an `opened` record.
    #[error("the journal at {place} has no first record")]
    Empty {
        /// Where it is.
        place: String,
    },
    /// Its first record is whole, but this build does not understand it.
    #[error("the journal at {place} begins with a record this build does not understand: {fault}")]
    Foreign {
        /// Where it is.
        place: String,
        /// What is not understood.
        fault: String,
    },
    /// Another format than this build's: another major version cannot be read, a newer minor one can be
    /// read and not written.
    #[error("the journal at {place} has format {}.{}, this build writes {}.{}", found.major, found.minor, JOURNAL_FORMAT.major, JOURNAL_FORMAT.minor)]
    Newer {
        /// Where it is.
        place: String,
        /// Its format.
        found: Format,
    },
    /// Somebody else goes on with the run: nothing more is written, and nothing more done.
    #[error("the journal at {place} is not as this process left it: {seen}{}", whose(by.as_deref()))]
    Overtaken {
        /// Where it is.
        place: String,
        /// What was seen.
        seen: String,
        /// Who has gone on, as far as the journal says.
        by: Option<Box<Actor>>,
    },
    /// An earlier write has failed: what is on disk is not known any more.
    #[error("the journal at {place} was closed after a failed write")]
    Poisoned {
        /// Where it is.
        place: String,
    },
}

impl JournalError {
    /// The stable error code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "journal-io",
            Self::Damaged { .. } => "journal-damaged",
            Self::Empty { .. } => "journal-empty",
            Self::Foreign { .. } => "journal-foreign",
            Self::Newer { .. } => "journal-newer",
            Self::Overtaken { .. } => "journal-overtaken",
            Self::Poisoned { .. } => "journal-poisoned",
        }
    }

    /// What to do next.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Io { .. } | Self::Poisoned { .. } => {
                "nothing was changed after the failed write; make room or repair the disk, then resume. Where the storage went to the other head node with a failover, resume there"
            }
            Self::Overtaken { .. } => {
                "this process has stopped and changes nothing more. See `restore-runbook status` where the run goes on, on the head node that `cmha status` calls active; two processes must never work on one run"
            }
            Self::Damaged { .. } => {
                "do not edit it: compare with a copy, or look at each node and finish by hand"
            }
            Self::Empty { .. } => {
                "its beginning was lost, and the run may have changed anything: put it back from a copy, or look at each node and finish by hand"
            }
            Self::Foreign { .. } => "use the newer restore-runbook that wrote it",
            Self::Newer { .. } => "use the release of restore-runbook that wrote it",
        }
    }
}

fn whose(by: Option<&Actor>) -> String {
    by.map_or_else(String::new, |by| format!("; it is gone on with by {by}"))
}

/// One life of a run, as its journal tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LifeRecord<'a> {
    /// When it began.
    pub at: jiff::Timestamp,
    /// Who ran it, and where.
    pub by: &'a Actor,
    /// Whether it has said that it stops; one that has not was killed, or works still.
    pub ended: bool,
}

/// What a journal holds, read and verified.
#[derive(Debug, Clone)]
pub struct History {
    /// The records, in order.
    pub records: Vec<Record>,
    /// The format its first record states.
    pub format: Format,
    /// Bytes of a torn last line, which never counted.
    pub torn_bytes: usize,
    valid_bytes: usize,
    unterminated: bool,
}

impl History {
    /// Reads a journal's bytes.
    ///
    /// A torn last line is left out and counted; it was never acknowledged, so nothing was done on
    /// the strength of it.
    ///
    /// # Errors
    /// [`JournalError::Damaged`], [`JournalError::Empty`] or, for another major version,
    /// [`JournalError::Newer`].
    pub fn read(bytes: &[u8], place: &str) -> Result<Self, JournalError> {
        let mut history = Self {
            records: Vec::new(),
            format: JOURNAL_FORMAT,
            torn_bytes: 0,
            valid_bytes: 0,
            unterminated: false,
        };
        let mut rest = bytes;
        while !rest.is_empty() {
            let end = rest.iter().position(|byte| *byte == b'\n');
            let line = &rest[..end.unwrap_or(rest.len())];
            match history.next(line, place) {
                Ok(record) => history.records.push(record),
                Err(JournalError::Damaged { .. }) if history.is_torn(rest, end, place) => {
                    history.torn_bytes = rest.len();
                    break;
                }
                Err(error) => return Err(error),
            }
            history.valid_bytes += line.len() + usize::from(end.is_some());
            history.unterminated = end.is_none();
            rest = end.map_or(&[], |end| &rest[end + 1..]);
        }
        if history.records.is_empty() {
            Err(JournalError::Empty {
                place: place.into(),
            })
        } else {
            Ok(history)
        }
    }

    /// Without its line feed the last append was never acknowledged: it is torn. Nor was one with a hole in
    /// it, though its end has reached the disk. But no tear puts another byte behind a whole record: it was
    /// acknowledged, and its line feed has rotted.
    fn is_torn(&mut self, rest: &[u8], end: Option<usize>, place: &str) -> bool {
        match (end, rest.split_last()) {
            (Some(end), _) => end + 1 == rest.len() && has_hole(&rest[..end]),
            (None, Some((last, record))) => *last == 0 || self.next(record, place).is_err(),
            (None, None) => true,
        }
    }

    fn next(&mut self, line: &[u8], place: &str) -> Result<Record, JournalError> {
        let damaged = |fault: &str| JournalError::Damaged {
            place: place.into(),
            line: self.records.len() + 1,
            fault: fault.into(),
        };
        let newer = self.format.minor > JOURNAL_FORMAT.minor;
        let record = match Record::read(line, self.records.last(), newer) {
            Ok(record) => record,
            Err(LineFault::Damaged(fault)) => return Err(damaged(fault)),
            // Its bytes are as written, so this is no torn line.
            Err(LineFault::NotOurs(fault)) if self.records.is_empty() => {
                let place = place.into();
                return Err(JournalError::Foreign { place, fault });
            }
            Err(LineFault::NotOurs(fault)) => return Err(damaged(&fault)),
        };
        match (&record.entry, self.records.is_empty()) {
            (Entry::Opened { format, .. }, true) if format.major != JOURNAL_FORMAT.major => {
                return Err(JournalError::Newer {
                    place: place.into(),
                    found: *format,
                });
            }
            (Entry::Opened { format, .. }, true) => self.format = *format,
            (_, true) => {
                return Err(JournalError::Empty {
                    place: place.into(),
                });
            }
            (Entry::Opened { .. }, false) => return Err(damaged("a second first record")),
            (_, false) => {}
        }
        Ok(record)
    }

    /// Every life of the run, the first one first.
    pub fn lives(&self) -> Vec<LifeRecord<'_>> {
        let mut lives: Vec<LifeRecord<'_>> = Vec::new();
        for record in &self.records {
            let at = record.at;
            match &record.entry {
                Entry::Opened { by, .. } | Entry::Resumed { by } => {
                    let ended = false;
                    lives.push(LifeRecord { at, by, ended });
                }
                Entry::Halted { .. } | Entry::Closed { .. } => {
                    if let Some(life) = lives.last_mut() {
                        life.ended = true;
                    }
                }
                _ => {}
            }
        }
        lives
    }

    /// Whether nothing was ever intended: the run has changed nothing, in no life.
    pub fn changed_nothing(&self) -> bool {
        let may_change = |entry: &Entry| matches!(entry, Entry::Intent { .. } | Entry::Unknown);
        !self.records.iter().any(|record| may_change(&record.entry))
    }

    /// How the run ended, if it has.
    pub fn outcome(&self) -> Option<&Outcome> {
        self.records
            .iter()
            .rev()
            .find_map(|record| match &record.entry {
                Entry::Closed { outcome } => Some(outcome),
                _ => None,
            })
    }
}

/// A journal open for writing.
pub struct Journal {
    store: Box<dyn JournalStore>,
    last: Option<Record>,
    poisoned: bool,
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let next = self.last.as_ref().map_or(0, |record| record.seq + 1);
        write!(f, "Journal({}, next record {next})", self.store.place())
    }
}

impl Journal {
    /// Begins a journal in an empty store with its first record.
    ///
    /// # Errors
    /// [`JournalError::Io`]; the store then holds nothing that counts.
    pub fn begin(
        store: Box<dyn JournalStore>,
        at: jiff::Timestamp,
        first: Entry,
    ) -> Result<Self, JournalError> {
        let mut journal = Self {
            store,
            last: None,
            poisoned: false,
        };
        journal.write(at, first)?;
        Ok(journal)
    }

    /// Opens a journal for going on: verifies it, and cuts a torn last line.
    ///
    /// # Errors
    /// Everything [`History::read`] refuses, and [`JournalError::Newer`] for a newer minor version.
    pub fn reopen(mut store: Box<dyn JournalStore>) -> Result<(Self, History), JournalError> {
        let place = store.place();
        let io = |doing| {
            let place = place.clone();
            move |source| JournalError::Io {
                place,
                doing,
                source,
            }
        };
        let bytes = store.load().map_err(io("read"))?;
        let history = History::read(&bytes, &place)?;
        if history.format.minor > JOURNAL_FORMAT.minor {
            return Err(JournalError::Newer {
                place,
                found: history.format,
            });
        }
        if history.torn_bytes > 0 {
            store
                .truncate(history.valid_bytes as u64)
                .map_err(io("cut"))?;
        }
        if history.unterminated && history.torn_bytes == 0 {
            store.append(b"\n").map_err(io("mended"))?;
        }
        // What was read is gone by from here on: no power cut may take it back.
        store.settle().map_err(io("synced"))?;
        let last = history.records.last().cloned();
        Ok((
            Self {
                store,
                last,
                poisoned: false,
            },
            history,
        ))
    }

    /// Writes a record; it is durable when this returns.
    ///
    /// # Errors
    /// [`JournalError::Io`] on the first failed write, [`JournalError::Poisoned`] ever after.
    pub(crate) fn write(
        &mut self,
        at: jiff::Timestamp,
        entry: Entry,
    ) -> Result<&Record, JournalError> {
        let place = self.store.place();
        if self.poisoned {
            return Err(JournalError::Poisoned { place });
        }
        // Until the write has succeeded nobody may build on this handle.
        self.poisoned = true;
        let written = Record::after(self.last.as_ref(), at, entry)
            .map_err(io::Error::other)
            .and_then(|(record, line)| within_limit(line).map(|line| (record, line)))
            .and_then(|(record, line)| self.store.append(&line).map(|()| record));
        match written {
            Ok(record) => {
                self.poisoned = false;
                Ok(self.last.insert(record))
            }
            Err(source) => Err(self.refused(place, "written", source)),
        }
    }

    /// Whether nobody else has written since; asked right before something is done once more.
    ///
    /// # Errors
    /// [`JournalError::Overtaken`] when somebody has; nothing more is written then.
    pub(crate) fn still_ours(&mut self) -> Result<(), JournalError> {
        let place = self.store.place();
        if self.poisoned {
            return Err(JournalError::Poisoned { place });
        }
        self.store.check().map_err(|source| {
            self.poisoned = true;
            self.refused(place, "read", source)
        })
    }

    fn refused(&mut self, place: String, doing: &'static str, source: io::Error) -> JournalError {
        let Some(Overtaken(seen)) = Overtaken::of(&source).cloned() else {
            return JournalError::Io {
                place,
                doing,
                source,
            };
        };
        // Whose it is now; ours is the last life no more.
        let ours = self.last.as_ref().map_or(0, |record| record.seq);
        let bytes = self.store.load().unwrap_or_default();
        let history = History::read(&bytes, &place).ok();
        let records = history.as_ref().map_or(&[][..], |history| &history.records);
        let by = records
            .iter()
            .filter(|record| record.seq > ours)
            .filter_map(|record| match &record.entry {
                Entry::Resumed { by } => Some(Box::new(by.clone())),
                _ => None,
            })
            .next_back();
        JournalError::Overtaken { place, seen, by }
    }

    /// Writes a unit's intent and gives leave to act on it.
    ///
    /// # Errors
    /// As [`Journal::write`]; there is no permit then.
    pub(crate) fn intend(
        &mut self,
        at: jiff::Timestamp,
        unit: &UnitId,
        baseline: Baseline,
    ) -> Result<Permit, JournalError> {
        let record = self.write(
            at,
            Entry::Intent {
                unit: unit.clone(),
                baseline,
            },
        )?;
        Ok(Permit {
            unit: unit.clone(),
            record: record.seq,
        })
    }
}

/// Sectors of a write reach a disk in any order, and one that did not reads as zeros: from the line's
/// first byte, where the sector before it was only partly new, or a sector full of them. A record has
/// no zero byte, and no flipped bit makes one of a brace, or many in a row.
fn has_hole(line: &[u8]) -> bool {
    line.first() == Some(&0) || line.windows(8).any(|bytes| bytes == [0; 8])
}

fn within_limit(line: Vec<u8>) -> io::Result<Vec<u8>> {
    if line.len() > LINE_LIMIT_BYTES {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "a record over 64 KiB",
        ));
    }
    Ok(line)
}

#[cfg(test)]
mod tests;
