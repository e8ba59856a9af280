//! Where a journal's bytes live.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

/// The largest journal read, in bytes. A run writes well under a thousand lines.
pub const JOURNAL_LIMIT_BYTES: u64 = 64 * 1024 * 1024;

/// Durable storage for one journal, with at most one writer.
///
/// # Contract
/// * `append` returns `Ok` only once the line, and everything before it, survives a power cut.
/// * `append` and `check` fail with [`Overtaken`] where the store is not as this handle left it: somebody
///   else has gone on, on another host perhaps, where no lock tells.
/// * After an error of `append` or `truncate` nothing more is written through this handle.
pub trait JournalStore: Send {
    /// Everything stored so far.
    ///
    /// # Errors
    /// Whatever reading gives.
    fn load(&mut self) -> io::Result<Vec<u8>>;

    /// Adds a line at the end, durably.
    ///
    /// # Errors
    /// Whatever writing or syncing gives; the line may then be there, in part, or not. An error with
    /// [`Overtaken`] in it where somebody else has written since.
    fn append(&mut self, line: &[u8]) -> io::Result<()>;

    /// Whether the store is still as this handle left it.
    ///
    /// # Errors
    /// An error with [`Overtaken`] in it where it is not; or whatever reading gives.
    fn check(&mut self) -> io::Result<()>;

    /// Cuts everything behind `len` bytes, durably.
    ///
    /// # Errors
    /// Whatever cutting or syncing gives.
    fn truncate(&mut self, len: u64) -> io::Result<()>;

    /// Makes everything stored so far survive a power cut. The life that wrote the last line may have died
    /// before it was synced, or been told that it was not: then a further sync alone says yes, and the line
    /// is not on the disk.
    ///
    /// # Errors
    /// Whatever writing or syncing gives, and those of `check`.
    fn settle(&mut self) -> io::Result<()>;

    /// Where it is, for messages.
    fn place(&self) -> String;
}

/// What a journal is written to: a file, or a test's model of one, which forgets what was not synced.
pub trait Medium: Send {
    /// Everything in it.
    ///
    /// # Errors
    /// Whatever reading gives.
    fn read(&mut self) -> io::Result<Vec<u8>>;
    /// Adds bytes at its end; they need not survive a power cut.
    ///
    /// # Errors
    /// Whatever writing gives; some of the bytes may be there then.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Cuts it to this length, so that a power cut does not bring the rest back.
    ///
    /// # Errors
    /// Whatever cutting or syncing gives.
    fn cut(&mut self, len: u64) -> io::Result<()>;
    /// Looks at it anew by its name: how long it is, and its last so many bytes.
    ///
    /// # Errors
    /// [`Overtaken`] where another one stands there, and whatever reading gives.
    fn end(&mut self, path: &Path, bytes: usize) -> io::Result<(u64, Vec<u8>)>;
    /// Makes everything survive a power cut; but not what an earlier sync has failed to, unless it is
    /// written again.
    ///
    /// # Errors
    /// Whatever syncing gives; what is kept is unknown then.
    fn sync(&mut self) -> io::Result<()>;
    /// Writes the same bytes once more where they stand, `at` bytes from the beginning, and syncs.
    ///
    /// # Errors
    /// Whatever writing or syncing gives.
    fn again(&mut self, path: &Path, at: u64, bytes: &[u8]) -> io::Result<()>;
}

impl Medium for File {
    fn read(&mut self) -> io::Result<Vec<u8>> {
        bounded(self)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn cut(&mut self, len: u64) -> io::Result<()> {
        self.set_len(len)?;
        self.sync_all()
    }

    fn end(&mut self, path: &Path, bytes: usize) -> io::Result<(u64, Vec<u8>)> {
        let there = anew(self, OpenOptions::new().read(true), path)?;
        let len = there.metadata()?.len();
        let mut end = vec![0; bytes.min(usize::try_from(len).unwrap_or(bytes))];
        let from = len - end.len() as u64;
        there.read_exact_at(&mut end, from)?;
        Ok((len, end))
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn again(&mut self, path: &Path, at: u64, bytes: &[u8]) -> io::Result<()> {
        // A file that is open for appending is written to at its end alone.
        let there = anew(self, OpenOptions::new().write(true), path)?;
        there.write_all_at(bytes, at)?;
        there.sync_all()
    }
}

/// The same file, opened by its name.
fn anew(ours: &File, options: &OpenOptions, path: &Path) -> io::Result<File> {
    let there = match opened(options, path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Overtaken::error("it is gone from its place"));
        }
        other => other?,
    };
    let (now, ours) = (there.metadata()?, ours.metadata()?);
    if (now.dev(), now.ino()) == (ours.dev(), ours.ino()) {
        Ok(there)
    } else {
        Err(Overtaken::error("another file stands in its place"))
    }
}

/// The store is not as this handle left it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Overtaken(pub String);

impl Overtaken {
    /// As an error of a store.
    pub fn error(what: impl Into<String>) -> io::Error {
        io::Error::other(Self(what.into()))
    }

    /// What is in an error of a store, if it is this.
    pub fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }
}

/// How a handle left its store: how long, and with which last line. Records name the hash of the one
/// before, so whatever others add cannot look alike.
#[derive(Debug, Clone, Default)]
struct Mark {
    len: u64,
    line: Vec<u8>,
}

impl Mark {
    fn of(bytes: &[u8]) -> Self {
        let body = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let from = body.iter().rposition(|byte| *byte == b'\n');
        let line = bytes[from.map_or(0, |at| at + 1)..].to_vec();
        let len = bytes.len() as u64;
        Self { len, line }
    }

    fn then(&self, line: &[u8]) -> Self {
        let len = self.len + line.len() as u64;
        let line = line.to_vec();
        Self { len, line }
    }

    /// Whether a file of this length and with this end is still as it was left.
    fn fits(&self, (len, end): (u64, Vec<u8>)) -> io::Result<()> {
        if len != self.len {
            let what = format!("it is {len} bytes long, and was left with {}", self.len);
            return Err(Overtaken::error(what));
        }
        if end == self.line {
            Ok(())
        } else {
            Err(Overtaken::error(
                "its last line is not the one that was written",
            ))
        }
    }
}

/// A journal in a file, held under an exclusive lock.
///
/// A lock of one host may mean nothing to another. So before each line, and behind it, the file is opened
/// anew by its name and compared with what this handle left there: over NFS that asks the server, and
/// where a file system was mounted or taken away another file shows.
#[derive(Debug)]
pub struct FileStore<M = File> {
    file: M,
    path: PathBuf,
    mark: Mark,
}

#[cfg(feature = "testkit")]
impl<M: Medium> FileStore<M> {
    /// The store over a test's model of a file.
    pub(crate) fn over(file: M, path: &Path) -> Self {
        let (path, mark) = (path.into(), Mark::default());
        Self { file, path, mark }
    }
}

impl FileStore {
    /// Makes a new journal file, `0600`, and syncs the directory entry.
    ///
    /// # Errors
    /// When the file exists already, or cannot be made, locked or synced.
    pub fn create(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).append(true).create_new(true).mode(0o600);
        let store = Self::locked(&options, path)?;
        sync_directory(path)?;
        Ok(store)
    }

    /// Opens an existing journal file for going on.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] while another process holds it.
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::locked(OpenOptions::new().read(true).append(true), path)
    }

    fn locked(options: &OpenOptions, path: &Path) -> io::Result<Self> {
        let file = opened(options, path)?;
        match file.try_lock() {
            Ok(()) => Ok(Self {
                mark: Mark {
                    len: file.metadata()?.len(),
                    line: Vec::new(),
                },
                file,
                path: path.into(),
            }),
            Err(TryLockError::WouldBlock) => Err(io::Error::new(
                io::ErrorKind::WouldBlock,
                "another process holds the journal",
            )),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

/// Opens an ordinary file: never through a symbolic link at its own name, and without waiting for the
/// other end of a FIFO.
fn opened(options: &OpenOptions, path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = options
        .clone()
        .custom_flags(flags.bits().cast_signed())
        .open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        let what = "it is no ordinary file";
        Err(io::Error::new(io::ErrorKind::InvalidInput, what))
    }
}

/// Makes a new entry in the directory of `path` survive a power cut.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    // A bare file name has an empty parent: the current directory.
    let parent = match path.parent() {
        Some(parent) if parent == Path::new("") => Path::new("."),
        Some(parent) => parent,
        None => Path::new("/"),
    };
    File::open(parent)?.sync_all()
}

/// Reads a journal without holding it, for looking only.
///
/// # Errors
/// Whatever reading gives, or a file over [`JOURNAL_LIMIT_BYTES`].
pub fn peek(path: &Path) -> io::Result<Vec<u8>> {
    bounded(&opened(OpenOptions::new().read(true), path)?)
}

fn bounded(mut file: &File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    io::Seek::rewind(&mut file)?;
    file.take(JOURNAL_LIMIT_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > JOURNAL_LIMIT_BYTES {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            "the journal is over 64 MiB",
        ));
    }
    Ok(bytes)
}

impl<M: Medium> JournalStore for FileStore<M> {
    fn load(&mut self) -> io::Result<Vec<u8>> {
        let bytes = self.file.read()?;
        self.mark = Mark::of(&bytes);
        Ok(bytes)
    }

    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        self.check()?;
        self.file.write(line)?;
        self.file.sync()?;
        self.mark = self.mark.then(line);
        self.check()
    }

    fn check(&mut self) -> io::Result<()> {
        let end = self.file.end(&self.path, self.mark.line.len())?;
        self.mark.fits(end)
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.check()?;
        self.file.cut(len)?;
        self.mark = Mark::of(&self.file.read()?);
        Ok(())
    }

    fn settle(&mut self) -> io::Result<()> {
        self.check()?;
        // One append fails in a life, and is its last: no more than one line is not on the disk.
        let at = self.mark.len - self.mark.line.len() as u64;
        self.file.again(&self.path, at, &self.mark.line)?;
        self.check()
    }

    fn place(&self) -> String {
        self.path.display().to_string()
    }
}

/// A journal in memory: for tests, and for embedders who keep it elsewhere.
///
/// Clones share the bytes; each knows how it left them.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    bytes: std::sync::Arc<std::sync::Mutex<Vec<u8>>>,
    left: Mark,
}

impl MemoryStore {
    /// A store over bytes that another handle may share: what a second life finds.
    pub fn over(bytes: Vec<u8>) -> Self {
        Self {
            left: Mark::of(&bytes),
            bytes: std::sync::Arc::new(std::sync::Mutex::new(bytes)),
        }
    }

    /// The bytes so far.
    pub fn bytes(&self) -> Vec<u8> {
        self.held().clone()
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Vec<u8>> {
        self.bytes
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl JournalStore for MemoryStore {
    fn load(&mut self) -> io::Result<Vec<u8>> {
        let bytes = self.bytes();
        self.left = Mark::of(&bytes);
        Ok(bytes)
    }

    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        self.check()?;
        self.held().extend_from_slice(line);
        self.left = self.left.then(line);
        Ok(())
    }

    fn check(&mut self) -> io::Result<()> {
        let bytes = self.held();
        if bytes.len() as u64 == self.left.len && bytes.ends_with(&self.left.line) {
            Ok(())
        } else {
            Err(Overtaken::error("somebody else has written to it"))
        }
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).map_err(io::Error::other)?;
        self.held().truncate(len);
        self.left = Mark::of(&self.bytes());
        Ok(())
    }

    fn settle(&mut self) -> io::Result<()> {
        self.check()
    }

    fn place(&self) -> String {
        "memory".into()
    }
}
