//! The file under proof: opened without touching it, read once in order, watched for change.
//!
//! A symbolic link is followed (`latest.db` is a common one); what counts is the file behind it,
//! which must be an ordinary one. It is looked at before it is opened, since opening a FIFO waits and
//! opening a device can act on it, and again after, since a name can be given to another file in
//! between. The access time is left alone where the caller may ask for that (`O_NOATIME`: owner or
//! privileged).

use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind};
use std::num::NonZero;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use rustix::fs::{Advice, Mode, OFlags, fadvise};
use rustix::io::{Errno, ReadWriteFlags, preadv2};
use sha2::{Digest, Sha256};

use super::verdict::{Fault, ProofError, Unreadable};

/// Bytes read at a time on the way through the file.
const CHUNK: usize = 256 * 1024;
/// Bytes that the disk is asked for at a time, this far ahead of the reading: what it has in hand while
/// the processor hashes.
const AHEAD: u64 = 8 << 20;

/// An open, ordinary file, and how it looked when it was opened.
pub(super) struct Source {
    pub(super) file: File,
    stamp: Stamp,
}

#[derive(PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Source {
    pub(super) fn open(path: &Path) -> Result<Self, ProofError> {
        ordinary(&fs::metadata(path)?)?;
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let opened = match rustix::fs::open(path, flags | OFlags::NOATIME, Mode::empty()) {
            Err(Errno::PERM) => rustix::fs::open(path, flags, Mode::empty()),
            other => other,
        };
        let file = File::from(opened.map_err(io::Error::from)?);
        let metadata = file.metadata()?;
        ordinary(&metadata)?;
        // Only a hint: without it the read is correct, and slower on a cold cache.
        let _ = fadvise(&file, 0, None, Advice::Sequential);
        Ok(Self {
            file,
            stamp: Stamp::of(&metadata),
        })
    }

    /// Bytes in the file when it was opened.
    pub(super) fn size(&self) -> u64 {
        self.stamp.size
    }

    /// Fails if the file is no longer what it was when it was opened. A new link or mode counts as
    /// change too: its time is the only trace of some writes.
    pub(super) fn unchanged(&self) -> Result<(), ProofError> {
        if Stamp::of(&self.file.metadata()?) == self.stamp {
            Ok(())
        } else {
            Err(ProofError::Unreadable {
                reason: Unreadable::Changed,
            })
        }
    }

    /// SHA-256 of the first `length` bytes, opening `gate` behind itself.
    pub(super) fn digest(
        &self,
        length: u64,
        gate: &Gate,
        mut progress: impl FnMut(u64),
    ) -> Result<[u8; 32], ProofError> {
        let mut hash = Sha256::new();
        let mut chunk = vec![0; CHUNK];
        let mut done = 0;
        let mut asked = 0;
        while done < length {
            // Only a hint, as above.
            while asked < length && asked < done + AHEAD {
                let _ = fadvise(&self.file, asked, NonZero::new(AHEAD / 2), Advice::WillNeed);
                asked += AHEAD / 2;
            }
            let rest = usize::try_from(length - done).unwrap_or(CHUNK);
            let part = &mut chunk[..rest.min(CHUNK)];
            self.file.read_exact_at(part, done)?;
            hash.update(&*part);
            done += part.len() as u64;
            gate.open_to(done);
            progress(done);
        }
        Ok(hash.finalize().into())
    }
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

fn ordinary(metadata: &Metadata) -> Result<(), ProofError> {
    let kind = metadata.file_type();
    let reason = if kind.is_file() {
        return Ok(());
    } else if kind.is_dir() {
        Unreadable::Directory
    } else if kind.is_fifo() {
        Unreadable::Fifo
    } else if kind.is_socket() {
        Unreadable::Socket
    } else {
        Unreadable::Device
    };
    Err(ProofError::Unreadable { reason })
}

/// How far the reading in order has come: what lies before is in the page cache.
#[derive(Default)]
pub(super) struct Gate {
    passed: AtomicU64,
    state: Mutex<State>,
    moved: Condvar,
}

#[derive(Default)]
struct State {
    passed: u64,
    shut: bool,
}

impl Gate {
    fn open_to(&self, passed: u64) {
        self.lock().passed = passed;
        self.passed.store(passed, Ordering::Release);
        self.moved.notify_all();
    }

    /// Ends every wait, now and later, as [`Fault::Stopped`].
    pub(super) fn shut(&self) {
        self.lock().shut = true;
        self.moved.notify_all();
    }

    /// Shuts the gate when dropped, so that nobody waits for a reading that a panic has ended.
    pub(super) fn shut_at_last(&self) -> impl Drop {
        struct ShutAtLast<'a>(&'a Gate);
        impl Drop for ShutAtLast<'_> {
            fn drop(&mut self) {
                self.0.shut();
            }
        }
        ShutAtLast(self)
    }

    /// Lets everything through.
    pub(super) fn open(&self) {
        self.open_to(u64::MAX);
    }

    fn wait_for(&self, end: u64) -> Result<(), Fault> {
        let mut state = self.lock();
        while !state.shut && state.passed < end {
            state = self
                .moved
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        if state.shut {
            Err(Fault::Stopped)
        } else {
            Ok(())
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads of single pages, which never send a disk's head elsewhere than the reading in order has it:
/// a page is taken at once if the cache has it, and otherwise when the reading has passed it.
pub(super) struct Pages<'a> {
    pub(super) file: &'a File,
    pub(super) gate: &'a Gate,
    /// Bytes of a page.
    pub(super) size: usize,
    /// Pages in use, the two metas included.
    pub(super) count: u64,
}

impl Pages<'_> {
    /// Fills `buffer` from the file at `offset`.
    pub(super) fn read(&self, buffer: &mut [u8], offset: u64) -> Result<(), Fault> {
        let end = offset.saturating_add(buffer.len() as u64);
        if self.gate.passed.load(Ordering::Acquire) < end {
            if self.cached(buffer, offset) {
                return Ok(());
            }
            self.gate.wait_for(end)?;
        }
        self.file
            .read_exact_at(buffer, offset)
            .map_err(|error| match error.kind() {
                ErrorKind::UnexpectedEof => Fault::Shrunk,
                _ => Fault::Io(error),
            })
    }

    fn cached(&self, buffer: &mut [u8], offset: u64) -> bool {
        let length = buffer.len();
        let mut slices = [io::IoSliceMut::new(buffer)];
        // Where the file system cannot say (`EOPNOTSUPP`), the answer is no.
        preadv2(self.file, &mut slices, offset, ReadWriteFlags::NOWAIT) == Ok(length)
    }
}
