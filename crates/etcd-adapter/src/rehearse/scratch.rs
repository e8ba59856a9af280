//! The scratch directory: private, owned by a lock, and cleared by the next rehearsal if need be.
//!
//! Whoever works in one holds the lock on its file `owner`; the kernel takes a lock away with its
//! process. So a directory whose lock can be had has nobody any more. That is also how a directory
//! is first taken: between its making and its locking, somebody who clears may have been faster.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use runbook_core::names::RunId;
use runbook_core::ports::PortResult;
use rustix::fs::{FlockOperation, OFlags, flock, statvfs};
use rustix::process::{Pid, RawPid, Signal, geteuid, kill_process};
use serde::Serialize;

use super::fault;

/// What every scratch directory's name begins with.
const PREFIX: &str = "restore-runbook-rehearsal-";
const OWNER: &str = "owner";
/// The most of a file below `/proc`, or of `owner`, that is read.
const LIMIT_BYTES: u64 = 64 * 1024;
/// How often, and how many times, a killed process is looked at.
const POLL: Duration = Duration::from_millis(20);
const LOOKS: u32 = 500;

/// A scratch directory, removed when dropped.
pub(super) struct Scratch {
    path: PathBuf,
    owner: File,
}

/// What a killed rehearsal had left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Leftover {
    /// Its scratch directory.
    pub path: PathBuf,
    /// Its programs that still ran, by pid; they were killed.
    pub ended: Vec<RawPid>,
    /// Why it could not be cleared, if so.
    pub stays: Option<String>,
}

impl Scratch {
    /// Makes one in the first folder with room for so many bytes.
    pub(super) fn make(folders: &[PathBuf], need_bytes: u64) -> PortResult<Self> {
        let folder = with_room(folders, need_bytes)?;
        loop {
            let path = folder.join(format!("{PREFIX}{}", RunId::fresh()));
            DirBuilder::new()
                .mode(0o700)
                .create(&path)
                .map_err(|error| unusable(&path, error))?;
            match claim(&path, true) {
                Ok(Some(owner)) => return Ok(Self { path, owner }),
                // Somebody who clears was faster.
                Ok(None) => {}
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => {
                    remove_tree(&path).ok();
                    return Err(unusable(&path, error));
                }
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where etcd's data goes.
    pub(super) fn data(&self) -> PathBuf {
        self.path.join("data")
    }

    /// The folder it lies in.
    pub(super) fn folder(&self) -> PathBuf {
        self.path.parent().map(Path::to_owned).unwrap_or_default()
    }

    /// Notes a process that works here.
    pub(super) fn note(&self, pid: Pid) -> PortResult<()> {
        let pid = pid.as_raw_pid();
        // One that is gone already need not be noted.
        let Some(started) = started(pid) else {
            return Ok(());
        };
        (&self.owner)
            .write_all(format!("{pid} {started}\n").as_bytes())
            .map_err(|error| unusable(&self.path.join(OWNER), error))
    }

    /// Removes it with all that is in it.
    pub(super) fn remove(self) -> PortResult<()> {
        remove_tree(&self.path).map_err(|error| {
            let what = format!("{} cannot be removed", self.path.display());
            fault("rehearsal-left", what)
                .hint("remove it by hand: it holds the snapshot's content")
                .caused_by(error)
        })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // After `remove` it is gone; where that failed, this will not do better.
        remove_tree(&self.path).ok();
    }
}

/// Removes a scratch directory, the file with the lock last: until then nobody takes it for abandoned.
fn remove_tree(path: &Path) -> io::Result<()> {
    let entries: Vec<_> = fs::read_dir(path)?.collect::<io::Result<_>>()?;
    for entry in entries.iter().filter(|entry| entry.file_name() != OWNER) {
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    unless_gone(fs::remove_file(path.join(OWNER)))?;
    // Somebody who clears may be faster with an empty one.
    unless_gone(fs::remove_dir(path))
}

fn unless_gone(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Clears what killed rehearsals of this user left in a folder: ends their programs, removes their
/// directories. Those that somebody works in are left alone.
pub fn clear(folder: &Path) -> Vec<Leftover> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| is_ours(path))
        .filter_map(|path| cleared(&path))
        .collect()
}

/// A directory that this user made here under our name. Others may make one in a public folder.
fn is_ours(path: &Path) -> bool {
    let named = path
        .file_name()
        .is_some_and(|name| name.as_bytes().starts_with(PREFIX.as_bytes()));
    named
        && fs::symlink_metadata(path)
            .is_ok_and(|about| about.is_dir() && about.uid() == geteuid().as_raw())
}

fn cleared(path: &Path) -> Option<Leftover> {
    let mut left = Leftover {
        path: path.to_owned(),
        ended: Vec::new(),
        stays: None,
    };
    let done = claim(path, false).and_then(|owner| {
        let Some(owner) = owner else { return Ok(false) };
        // One that is just being made has nothing but the lock, and is not worth a word.
        let holds_something = fs::read_dir(path)?.count() > 1;
        for (pid, since) in noted(&owner) {
            if is_program(pid, since, path) {
                end(pid, since)?;
                left.ended.push(pid);
            }
        }
        remove_tree(path).map(|()| holds_something)
    });
    match done {
        // Somebody works there, or nobody ever did.
        Ok(false) => return None,
        // It is just being made or removed, or was left so. An empty one holds nothing worth a word, and
        // whoever makes one begins again when it goes.
        Err(error) if error.kind() == ErrorKind::NotFound => {
            fs::remove_dir(path).ok();
            return None;
        }
        Ok(true) => {}
        Err(error) => left.stays = Some(error.to_string()),
    }
    Some(left)
}

/// Takes a scratch directory, if nobody has it; a new one needs its lock made first.
fn claim(path: &Path, new: bool) -> io::Result<Option<File>> {
    let file = path.join(OWNER);
    let owner = OpenOptions::new()
        .read(true)
        .append(true)
        .create(new)
        .mode(0o600)
        .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed())
        .open(&file)?;
    match flock(&owner, FlockOperation::NonBlockingLockExclusive) {
        Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
        other => other?,
    }
    // The lock may be one on a file that was removed before it was had.
    let (held, there) = (owner.metadata()?, fs::symlink_metadata(&file)?);
    let same = held.dev() == there.dev() && held.ino() == there.ino();
    Ok(same.then_some(owner))
}

/// The processes noted in `owner`: pid and start time.
fn noted(owner: &File) -> Vec<(RawPid, u64)> {
    let mut text = String::new();
    // What cannot be read notes nothing; a torn last line does not parse.
    owner.take(LIMIT_BYTES).read_to_string(&mut text).ok();
    text.split_inclusive('\n')
        .filter_map(|line| line.strip_suffix('\n')?.split_once(' '))
        .filter_map(|(pid, since)| Some((pid.parse().ok()?, since.parse().ok()?)))
        .collect()
}

/// Whether this is the process that was noted, and not a later one with its pid.
fn is_program(pid: RawPid, since: u64, scratch: &Path) -> bool {
    let named = || {
        let mut words = Vec::new();
        let file = File::open(format!("/proc/{pid}/cmdline")).ok()?;
        file.take(LIMIT_BYTES).read_to_end(&mut words).ok()?;
        let path = scratch.as_os_str().as_bytes();
        Some(words.windows(path.len()).any(|part| part == path))
    };
    started(pid) == Some(since) && named() == Some(true)
}

fn end(pid: RawPid, since: u64) -> io::Result<()> {
    let Some(process) = Pid::from_raw(pid) else {
        return Ok(());
    };
    kill_process(process, Signal::KILL)?;
    for _ in 0..LOOKS {
        if started(pid) != Some(since) {
            return Ok(());
        }
        thread::sleep(POLL);
    }
    Err(io::Error::other(format!("process {pid} cannot be killed")))
}

/// When a process was started, in clock ticks since the machine was; none when it is gone, be it
/// waited for or not (`proc_pid_stat(5)`: the state is the 3rd field, the start the 22nd, and only the
/// second can hold spaces or parentheses).
fn started(pid: RawPid) -> Option<u64> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    match fields.as_slice() {
        ["Z" | "X", ..] => None,
        fields => fields.get(19)?.parse().ok(),
    }
}

fn with_room(folders: &[PathBuf], need_bytes: u64) -> PortResult<&Path> {
    const MIB: u64 = 1 << 20;
    let mut short = Vec::new();
    for folder in folders {
        let about = statvfs(folder).map_err(|error| unusable(folder, error.into()))?;
        let free = about.f_bavail.saturating_mul(about.f_frsize);
        if free >= need_bytes {
            return Ok(folder);
        }
        short.push(format!("{} has {} MiB", folder.display(), free / MIB));
    }
    let need = need_bytes.div_ceil(MIB);
    let what = format!("a rehearsal needs {need} MiB: {}", short.join(", "));
    Err(fault("rehearsal-room", what)
        .hint("name a folder with more room, on a disk like the nodes', with --scratch"))
}

/// Nothing can be done with this file or folder.
pub(super) fn unusable(path: &Path, error: io::Error) -> runbook_core::error::AdapterError {
    let what = format!("{} cannot be used for a rehearsal", path.display());
    fault("rehearsal-scratch", what)
        .hint("name a folder that this user can write to, on a local disk, with --scratch")
        .caused_by(error)
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use super::*;

    /// A scratch directory in `folder` as a killed rehearsal leaves it: not removed, not locked.
    fn abandoned(folder: &Path) -> PathBuf {
        let scratch = Scratch::make(&[folder.to_owned()], 1).unwrap();
        flock(&scratch.owner, FlockOperation::Unlock).unwrap();
        let path = scratch.path().to_owned();
        std::mem::forget(scratch);
        fs::create_dir(path.join("data")).unwrap();
        path
    }

    /// A process with this word on its command line.
    fn sleeper(word: &Path) -> Child {
        let script = "while read -r line; do :; done";
        let mut command = Command::new("bash");
        command.args(["-c", script]).arg(word);
        let child = command.stdin(std::process::Stdio::piped()).spawn().unwrap();
        // It is spawned a moment before the kernel shows its command line.
        while fs::read(format!("/proc/{}/cmdline", child.id())).is_ok_and(|line| line.is_empty()) {
            thread::sleep(POLL);
        }
        child
    }

    fn alive(child: &mut Child) -> bool {
        child.try_wait().unwrap().is_none()
    }

    fn note(path: &Path, pid: u32, since: u64) {
        let mut owner = OpenOptions::new()
            .append(true)
            .open(path.join(OWNER))
            .unwrap();
        writeln!(owner, "{pid} {since}").unwrap();
    }

    #[test]
    fn it_is_private_and_goes_with_its_value() {
        let folder = tempfile::tempdir().unwrap();
        let scratch = Scratch::make(&[folder.path().to_owned()], 1).unwrap();
        let path = scratch.path().to_owned();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        fs::write(path.join("file"), "x").unwrap();
        drop(scratch);
        assert!(!path.exists());
        let scratch = Scratch::make(&[folder.path().to_owned()], 1).unwrap();
        scratch.remove().unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn the_first_folder_with_room_is_taken() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let folders = [one.path().to_owned(), two.path().to_owned()];
        assert_eq!(with_room(&folders, 1).unwrap(), one.path());
        let error = with_room(&folders, u64::MAX).unwrap_err();
        assert_eq!(error.code, "rehearsal-room");
        let error = with_room(&["/nonexistent/folder".into()], 1).unwrap_err();
        assert_eq!(error.code, "rehearsal-scratch");
    }

    #[test]
    fn what_somebody_works_in_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let scratch = Scratch::make(&[folder.path().to_owned()], 1).unwrap();
        assert_eq!(clear(folder.path()), []);
        assert!(scratch.path().exists());
    }

    #[test]
    fn a_dead_rehearsal_is_cleared_with_its_program() {
        let folder = tempfile::tempdir().unwrap();
        let path = abandoned(folder.path());
        let mut child = sleeper(&path.join("data"));
        let pid = child.id().cast_signed();
        note(&path, child.id(), started(pid).unwrap());
        let found = clear(folder.path());
        let expected = Leftover {
            path: path.clone(),
            ended: vec![pid],
            stays: None,
        };
        assert_eq!(found, [expected]);
        assert!(!alive(&mut child) && !path.exists());
    }

    #[test]
    fn one_that_died_before_it_had_a_lock_is_cleared_too() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join(format!("{PREFIX}x"))).unwrap();
        assert_eq!(clear(folder.path()), []);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_process_that_is_not_provably_ours_lives() {
        let folder = tempfile::tempdir().unwrap();
        let path = abandoned(folder.path());
        let mut not_noted = sleeper(&path.join("data"));
        let mut another_start = sleeper(&path.join("data"));
        let mut another_path = sleeper(folder.path());
        note(&path, another_start.id(), 1);
        let since = started(another_path.id().cast_signed()).unwrap();
        note(&path, another_path.id(), since);
        let found = clear(folder.path());
        assert_eq!(found[0].ended, Vec::<RawPid>::new());
        for child in [&mut not_noted, &mut another_start, &mut another_path] {
            assert!(alive(child));
            child.kill().unwrap();
            child.wait().unwrap();
        }
        assert!(!path.exists());
    }

    #[test]
    fn what_only_looks_like_ours_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let precious = folder.path().join("precious");
        fs::create_dir(&precious).unwrap();
        let link = folder.path().join(format!("{PREFIX}link"));
        std::os::unix::fs::symlink(&precious, &link).unwrap();
        fs::write(folder.path().join(format!("{PREFIX}file")), "x").unwrap();
        assert_eq!(clear(folder.path()), []);
        assert!(link.exists() && precious.exists());
    }

    #[test]
    fn a_torn_note_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = abandoned(folder.path());
        fs::write(path.join(OWNER), "12 34\nx y\n-1\n56 7").unwrap();
        let owner = File::open(path.join(OWNER)).unwrap();
        assert_eq!(noted(&owner), [(12, 34)]);
    }
}
