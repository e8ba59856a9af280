//! Files and directories that nobody else can have changed.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Component, Path, PathBuf};

use rustix::fs::OFlags;

use super::{Distrust, Result, StateError};
use crate::journal::sync_directory;

pub(super) fn entries(dir: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(StateError::io(dir, "read"))? {
        let entry = entry.map_err(StateError::io(dir, "read"))?;
        names.extend(entry.file_name().into_string());
    }
    names.sort();
    Ok(names)
}

/// Makes a directory, `0700`, and what is missing above it; one that is there must be trusted.
pub(super) fn make_directories(path: &Path) -> Result<()> {
    if fs::symlink_metadata(path).is_err() {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
        made.map_err(StateError::io(path, "made"))?;
    }
    trusted_directory(path)
}

/// The same, and syncs its entry; also that of one that is there: whoever made it may have died before.
pub(super) fn make_directory(path: &Path) -> Result<()> {
    make_directories(path)?;
    sync_entry(path)
}

/// Makes the name of a file or directory survive a power cut.
pub(super) fn sync_entry(path: &Path) -> Result<()> {
    sync_directory(path).map_err(StateError::io(path, "synced"))
}

/// Syncs the entries of a directory and of all above it, up to where their file system is mounted.
pub(super) fn sync_place(path: &Path) -> Result<()> {
    let real = fs::canonicalize(path).map_err(StateError::io(path, "read"))?;
    let device = |dir: &Path| {
        let found = fs::symlink_metadata(dir).map_err(StateError::io(dir, "read"));
        found.map(|found| found.dev())
    };
    for (dir, above) in real.ancestors().zip(real.ancestors().skip(1)) {
        if device(dir)? != device(above)? {
            break;
        }
        match sync_entry(dir) {
            // What this user may not even list he has made no entry in, in any life.
            Err(StateError::Io { source, .. })
                if source.kind() == io::ErrorKind::PermissionDenied =>
            {
                break;
            }
            synced => synced?,
        }
    }
    Ok(())
}

pub(super) fn trusted_directory(path: &Path) -> Result<()> {
    let found = fs::symlink_metadata(path).map_err(StateError::io(path, "read"))?;
    if !found.is_dir() {
        return Err(StateError::distrust(
            path,
            Distrust::Kind("is no directory"),
        ));
    }
    trusted(path, &found)
}

/// Neither group nor others may write, and it belongs to whoever runs this, or to root.
pub(super) fn trusted(path: &Path, found: &fs::Metadata) -> Result<()> {
    owned(found).map_err(|fault| StateError::distrust(path, fault))?;
    if found.mode() & 0o022 != 0 {
        let mode = found.mode() & 0o7777;
        return Err(StateError::distrust(path, Distrust::Mode(mode)));
    }
    Ok(())
}

fn owned(found: &fs::Metadata) -> std::result::Result<(), Distrust> {
    let me = rustix::process::geteuid().as_raw();
    let owner = found.uid();
    if owner == me || owner == 0 {
        return Ok(());
    }
    Err(Distrust::Owner { owner, me })
}

/// The most links on one way, as the kernel has it.
const LINKS: usize = 40;

/// Nobody else can put another directory in the place of this one: each that the way to it leads through is
/// root's or one's own, and so is each link on it; others can write to a directory only where the sticky bit
/// keeps them from entries that are not theirs.
pub(super) fn trusted_place(path: &Path) -> Result<()> {
    let mut steps = steps(&std::path::absolute(path).map_err(StateError::io(path, "read"))?);
    let (mut at, mut links) = (PathBuf::from("/"), 0);
    // As the kernel goes: `at` has no link in it, and whoever may change it may change what comes next.
    while let Some(step) = steps.pop() {
        if step == ".." {
            at.pop();
            continue;
        }
        trusted_above(&at)?;
        let next = at.join(step);
        let found = fs::symlink_metadata(&next).map_err(StateError::io(&next, "read"))?;
        if !found.is_symlink() {
            at = next;
            continue;
        }
        links += 1;
        if links > LINKS {
            let error = rustix::io::Errno::LOOP.into();
            return Err(StateError::io(path, "read")(error));
        }
        // Its mode is nobody's, its owner may have meant anything by it.
        owned(&found).map_err(|_| {
            let what = "is a symbolic link of somebody else's";
            StateError::distrust(&next, Distrust::Kind(what))
        })?;
        let target = fs::read_link(&next).map_err(StateError::io(&next, "read"))?;
        if target.is_absolute() {
            at = "/".into();
        }
        steps.extend(self::steps(&target));
    }
    Ok(())
}

/// The names and dots of a path, the first one last.
fn steps(path: &Path) -> Vec<OsString> {
    let steps = path.components().rev();
    let steps = steps.filter(|step| matches!(step, Component::Normal(_) | Component::ParentDir));
    steps.map(|step| step.as_os_str().to_owned()).collect()
}

fn trusted_above(dir: &Path) -> Result<()> {
    let found = fs::symlink_metadata(dir).map_err(StateError::io(dir, "read"))?;
    match trusted(dir, &found) {
        Err(StateError::Unsafe {
            fault: Distrust::Mode(mode),
            ..
        }) if mode & 0o1000 != 0 => Ok(()),
        other => other,
    }
}

/// Opens a file of the state directory: never through a symbolic link at its own name, and without
/// waiting for the other end of a FIFO.
pub(super) fn open_private(path: &Path, options: &mut OpenOptions) -> Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let options = options.mode(0o600).custom_flags(flags.bits().cast_signed());
    let file = options.open(path).map_err(StateError::io(path, "opened"))?;
    trusted_file(path, &file)?;
    Ok(file)
}

fn trusted_file(path: &Path, file: &File) -> Result<()> {
    let found = file.metadata().map_err(StateError::io(path, "read"))?;
    if !found.is_file() {
        let what = Distrust::Kind("is no regular file");
        return Err(StateError::distrust(path, what));
    }
    trusted(path, &found)
}

/// Reads a plan, a spec or another file that decides what is done: refused when others could have
/// written it, or when it is longer than `limit` bytes. It may be a link: where it leads is what is judged.
///
/// # Errors
/// [`StateError`] naming the file.
pub fn read_private(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let file = opened(path).map_err(StateError::io(path, "read"))?;
    trusted_file(path, &file)?;
    bounded(&file, limit).map_err(StateError::io(path, "read"))
}

/// Reads an ordinary file of at most `limit` bytes, whoever may write it, and wherever a link leads.
///
/// # Errors
/// Whatever reading gives; `FileTooLarge` when it is longer.
pub fn read_ordinary(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let file = opened(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no ordinary file"));
    }
    bounded(&file, limit)
}

/// Opens a file to read. A FIFO is not waited for.
fn opened(path: &Path) -> io::Result<File> {
    let nonblock = OFlags::NONBLOCK.bits().cast_signed();
    OpenOptions::new()
        .read(true)
        .custom_flags(nonblock)
        .open(path)
}

/// Reads a file of the state directory, where nothing is a link.
pub(super) fn read_own(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let file = open_private(path, OpenOptions::new().read(true))?;
    bounded(&file, limit).map_err(StateError::io(path, "read"))
}

fn bounded(file: &File, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        let why = format!("over {limit} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
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
    fill(&mut file, bytes)
}

/// Writes the bytes, and makes them survive a power cut; over NFS other hosts see them from then on.
pub(super) fn fill(file: &mut File, bytes: &[u8]) -> io::Result<()> {
    file.write_all(bytes)?;
    file.sync_all()
}
