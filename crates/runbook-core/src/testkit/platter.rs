//! A file on a disk that fails: what was not synced may be gone after a power cut, the last of it in
//! part; a write or a sync may give an error.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::rng::Rng;
use crate::journal::Medium;

const SECTOR: usize = 512;

/// The file; clones are the same file.
#[derive(Debug, Clone, Default)]
pub(super) struct Platter(Arc<Mutex<Bytes>>);

#[derive(Debug, Default)]
struct Bytes {
    /// What a reader sees.
    seen: Vec<u8>,
    /// How much of it survives a power cut.
    synced: usize,
    /// What a sync has failed to bring to the disk, and no later one will: the system takes it for done.
    given_up: Option<Range<usize>>,
    /// What the next write does instead.
    fails: Option<Tear>,
    /// Nothing is written any more in this life.
    broken: bool,
    /// What fails while it is opened for going on.
    opening: Option<Opening>,
}

/// How much of an append reaches the disk before it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tear {
    /// Nothing.
    Nothing,
    /// Half of the line.
    Half,
    /// Everything but the line feed.
    LineFeed,
    /// All of it; only the answer is lost.
    Answer,
    /// All of it is written, and the sync fails: the disk may hold any part of it.
    Unsynced,
}

impl Tear {
    /// Every way.
    pub const ALL: [Self; 5] = [
        Self::Nothing,
        Self::Half,
        Self::LineFeed,
        Self::Answer,
        Self::Unsynced,
    ];
}

/// What fails when a journal is opened for going on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Opening {
    /// It cannot be read.
    Read,
    /// A torn line cannot be cut.
    Cut,
    /// It is cut, and only the answer is lost.
    CutUnanswered,
    /// The last line cannot be written once more.
    Again,
}

impl Opening {
    /// Every way.
    pub const ALL: [Self; 4] = [Self::Read, Self::Cut, Self::CutUnanswered, Self::Again];
}

impl Platter {
    fn held(&self) -> MutexGuard<'_, Bytes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        self.held().seen.clone()
    }

    pub(super) fn clear(&self) {
        *self.held() = Bytes::default();
    }

    /// The next append fails so, and every write behind it.
    pub(super) fn fail_next(&self, tear: Tear) {
        self.held().fails = Some(tear);
    }

    /// Another process opens the file: the disk has been seen to, but for this.
    pub(super) fn reopen(&self, opening: Option<Opening>) {
        let mut held = self.held();
        (held.fails, held.broken, held.opening) = (None, false, opening);
    }

    /// The machine loses power. Of what was not synced a part may be there all the same: up to any byte;
    /// or the file has got its new length, and not all of the bytes.
    pub(super) fn power_cut(&self, chance: u64) {
        let mut held = self.held();
        let mut rng = Rng::new(chance);
        let given_up = held.given_up.take();
        if let Some(lost) = given_up.filter(|_| chance.is_multiple_of(2)) {
            held.seen[lost].fill(0);
        }
        let (synced, len) = (held.synced, held.seen.len());
        let kept = synced + below(&mut rng, len - synced + 1);
        match rng.below(10) {
            0..3 => held.seen[kept..].fill(0),
            // Sectors reach the disk in any order: the last one did, one before it did not.
            3 => {
                let sector = kept - kept % SECTOR;
                let hole = sector.max(synced)..(sector + SECTOR).min(len);
                held.seen[hole].fill(0);
            }
            _ => held.seen.truncate(kept),
        }
        held.synced = held.seen.len();
    }
}

impl Bytes {
    fn opens(&self, but_for: Opening) -> io::Result<()> {
        match self.opening {
            Some(opening) if opening == but_for => Err(failed()),
            _ => Ok(()),
        }
    }
}

fn below(rng: &mut Rng, limit: usize) -> usize {
    usize::try_from(rng.below(limit as u64)).unwrap_or(0)
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::StorageFull, "the journal's disk is full")
}

fn failed() -> io::Error {
    io::Error::other("the journal's disk gave an error")
}

impl Medium for Platter {
    fn read(&mut self) -> io::Result<Vec<u8>> {
        self.held().opens(Opening::Read)?;
        Ok(self.bytes())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut held = self.held();
        let kept = match held.fails {
            _ if held.broken => return Err(gone()),
            Some(Tear::Nothing) => 0,
            Some(Tear::Half) => bytes.len() / 2,
            Some(Tear::LineFeed) => bytes.len().saturating_sub(1),
            None | Some(Tear::Answer | Tear::Unsynced) => bytes.len(),
        };
        held.seen.extend_from_slice(&bytes[..kept]);
        if kept < bytes.len() {
            held.broken = true;
            return Err(gone());
        }
        Ok(())
    }

    fn cut(&mut self, len: u64) -> io::Result<()> {
        let mut held = self.held();
        held.opens(Opening::Cut)?;
        held.seen
            .truncate(usize::try_from(len).map_err(io::Error::other)?);
        held.synced = held.seen.len();
        let kept = held.seen.len();
        held.given_up = held.given_up.take().filter(|lost| lost.end <= kept);
        held.opens(Opening::CutUnanswered)
    }

    fn end(&mut self, _: &Path, bytes: usize) -> io::Result<(u64, Vec<u8>)> {
        let held = self.held();
        let from = held.seen.len().saturating_sub(bytes);
        Ok((held.seen.len() as u64, held.seen[from..].to_vec()))
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut held = self.held();
        match held.fails {
            None if !held.broken => {}
            Some(Tear::Answer) => {
                held.synced = held.seen.len();
                held.broken = true;
                return Err(failed());
            }
            _ => {
                held.broken = true;
                held.given_up = Some(held.synced..held.seen.len());
                return Err(failed());
            }
        }
        held.synced = held.seen.len();
        Ok(())
    }

    fn again(&mut self, _: &Path, at: u64, bytes: &[u8]) -> io::Result<()> {
        let at = usize::try_from(at).map_err(io::Error::other)?;
        let mut held = self.held();
        held.opens(Opening::Again)?;
        if held.broken {
            return Err(gone());
        }
        let end = at + bytes.len();
        held.seen[at..end].copy_from_slice(bytes);
        let covers = |lost: &Range<usize>| at <= lost.start && lost.end <= end;
        held.given_up = held.given_up.take().filter(|lost| !covers(lost));
        held.synced = held.seen.len();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{FileStore, JournalStore as _};

    /// A life whose sync failed, one that reads its line and dies writing the next, and a power cut: whatever
    /// of the disk that leaves, the line that was gone by is there.
    #[test]
    fn what_a_life_goes_by_is_on_the_disk() {
        for chance in 0..400 {
            let platter = Platter::default();
            let store = || FileStore::over(platter.clone(), Path::new("journal"));
            let mut first = store();
            first.load().unwrap();
            first.append(b"{one}\n").unwrap();
            platter.fail_next(Tear::Unsynced);
            first.append(b"{two}\n").unwrap_err();
            platter.reopen(None);
            let mut second = store();
            second.load().unwrap();
            second.settle().unwrap();
            platter.fail_next(Tear::Half);
            second.append(b"{three}\n").unwrap_err();
            platter.power_cut(chance);
            assert!(platter.bytes().starts_with(b"{one}\n{two}\n"), "{chance}");
        }
    }
}
