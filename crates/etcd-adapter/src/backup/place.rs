//! A directory of backups, held by one process at a time, and how a file comes to be in it.
//!
//! # What a crash leaves
//!
//! A backup is published in this order, and each step is durable before the next one begins:
//!
//! 1. `NAME.part` is made (it must not be there), written, synced and proven.
//! 2. `NAME.json`, the manifest, is written.
//! 3. `NAME.part` becomes `NAME`, which must not be there, and the directory is synced.
//!
//! Where the last sync fails the backup is there all the same, and that is a warning: a power cut may
//! yet take its name away. So whoever sees `NAME` sees its manifest, and knows it for proven. A crash before the third step
//! leaves a part, and perhaps a manifest, without a backup: the next call holds the lock, so whoever
//! wrote them is dead, and removes both ([`Place::clean`]). A backup is dropped the other way round: first
//! `NAME`, then its manifest; a manifest without backup and part is only ever left by that, or by
//! somebody who moved the backup away, and goes with the next pruning.
//!
//! The lock is an advisory one on `.restore-runbook-backup.lock`. Where the storage does not carry locks
//! from host to host, two hosts could work at once; then one may remove the other's part, which fails
//! that one's backup and harms nothing that was published.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use runbook_core::journal::Actor;
use runbook_core::names::ClusterLabel;
use runbook_core::rundir::write_atomically;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::error::BackupError;
use super::manifest::Manifest;
use super::name::BackupName;
use super::revision::REVISION_FILE;

const LOCK: &str = ".restore-runbook-backup.lock";

/// A directory of backups that no other process works in.
#[derive(Debug)]
pub struct Place {
    dir: PathBuf,
    _lock: File,
}

impl Place {
    /// Takes the directory for this process, until the value is dropped.
    ///
    /// # Errors
    /// When it is not there, cannot be used, or another process has it.
    pub fn open(dir: &Path, by: &Actor) -> Result<Self, BackupError> {
        let fault = |fault| BackupError::Directory {
            dir: dir.to_owned(),
            fault,
        };
        match fs::metadata(dir) {
            Ok(about) if about.is_dir() => {}
            Ok(_) => return Err(fault("is no directory")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(fault("is not there"));
            }
            Err(error) => return Err(BackupError::io(dir, "looked at")(error)),
        }
        Ok(Self {
            dir: dir.to_owned(),
            _lock: lock(dir, by)?,
        })
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether others than its owner can put files here.
    pub fn open_to_others(&self) -> bool {
        fs::metadata(&self.dir).is_ok_and(|about| about.mode() & 0o022 != 0)
    }

    /// Removes what processes that died have left, and says what that was.
    ///
    /// # Errors
    /// When the directory cannot be read or changed.
    pub fn clean(&self) -> Result<Vec<PathBuf>, BackupError> {
        let mut removed = Vec::new();
        for name in self.names()? {
            if !is_leftover(&name) {
                continue;
            }
            self.remove(&name)?;
            removed.push(self.dir.join(&name));
            let backup = name.strip_suffix(".part").and_then(BackupName::parse);
            // Its publishing had begun.
            if let Some(backup) = backup.filter(|backup| !self.has(backup.as_str()))
                && self.has(&backup.manifest())
            {
                self.remove(&backup.manifest())?;
                removed.push(self.dir.join(backup.manifest()));
            }
        }
        if !removed.is_empty() {
            self.sync()?;
        }
        Ok(removed)
    }

    /// A name for a backup of this moment that nothing has yet.
    pub(super) fn name(
        &self,
        label: &ClusterLabel,
        at: Timestamp,
    ) -> Result<BackupName, BackupError> {
        let taken = |name: &BackupName| {
            [name.to_string(), name.manifest(), name.part()]
                .iter()
                .any(|name| self.has(name))
        };
        let mut names = BackupName::candidates(label, at);
        let first = names.next();
        first
            .iter()
            .cloned()
            .chain(names)
            .find(|name| !taken(name))
            .ok_or_else(|| BackupError::Exists {
                path: self
                    .dir
                    .join(first.map(|name| name.to_string()).unwrap_or_default()),
            })
    }

    /// Makes the file that will become a backup.
    pub(super) fn begin(&self, name: &BackupName) -> Result<Part, BackupError> {
        let path = self.dir.join(name.part());
        let made = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path);
        match made {
            Ok(file) => Ok(Part {
                path,
                file,
                published: false,
            }),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(BackupError::Exists { path })
            }
            Err(error) => Err(BackupError::io(&path, "made")(error)),
        }
    }

    /// Makes a written, synced and proven part the backup that its manifest describes.
    ///
    /// # Errors
    /// Then there is no backup of this name, and no manifest.
    pub(super) fn publish(
        &self,
        part: Part,
        name: &BackupName,
        manifest: &Manifest,
    ) -> Result<Published, BackupError> {
        self.publish_by(rename_to_nothing, part, name, manifest)
    }

    /// What `named_by` says of the renaming is one thing, what is there another: the second half of a
    /// link may fail, and the answer of a server may be lost. The file that is there counts.
    fn publish_by(
        &self,
        named_by: impl FnOnce(&Path, &Path) -> io::Result<()>,
        mut part: Part,
        name: &BackupName,
        manifest: &Manifest,
    ) -> Result<Published, BackupError> {
        let beside = self.dir.join(name.manifest());
        let bytes = manifest
            .to_bytes()
            .map_err(|error| BackupError::io(&beside, "written")(error.into()))?;
        write_atomically(&beside, &bytes, false)?;
        let path = self.dir.join(name.as_str());
        let named = named_by(&part.path, &path);
        if let Err(error) = named
            && !is_the_file(&part.file, &path)
        {
            fs::remove_file(&beside).ok();
            return Err(if error.kind() == io::ErrorKind::AlreadyExists {
                BackupError::Exists { path }
            } else {
                BackupError::io(&path, "given its name")(error)
            });
        }
        part.published = true;
        Ok(Published {
            unsynced: self.sync().err(),
            path,
        })
    }

    /// Drops a backup of which there is a manifest.
    pub(super) fn forget(&self, name: &BackupName) -> Result<(), BackupError> {
        if self.has(name.as_str()) {
            self.remove(name.as_str())?;
            self.sync()?;
        }
        self.remove(&name.manifest())?;
        self.sync()
    }

    /// Bytes that may still be written here.
    pub(super) fn free_bytes(&self) -> Result<u64, BackupError> {
        let about = rustix::fs::statvfs(&self.dir)
            .map_err(|errno| BackupError::io(&self.dir, "looked at")(errno.into()))?;
        Ok(about.f_bavail.saturating_mul(about.f_frsize))
    }

    pub(super) fn names(&self) -> Result<Vec<String>, BackupError> {
        names(&self.dir)
    }

    /// Whether a file is there, or nobody can tell.
    fn has(&self, name: &str) -> bool {
        let about = fs::symlink_metadata(self.dir.join(name));
        about.map_or_else(|error| error.kind() != io::ErrorKind::NotFound, |_| true)
    }

    fn remove(&self, name: &str) -> Result<(), BackupError> {
        let path = self.dir.join(name);
        fs::remove_file(&path).map_err(BackupError::io(&path, "removed"))
    }

    fn sync(&self) -> Result<(), BackupError> {
        File::open(&self.dir)
            .and_then(|dir| dir.sync_all())
            .map_err(BackupError::io(&self.dir, "synced"))
    }
}

/// A backup that has its name.
#[derive(Debug)]
pub(super) struct Published {
    pub(super) path: PathBuf,
    /// Why it may not be there any more after a power cut.
    pub(super) unsynced: Option<BackupError>,
}

/// The names in a directory that are text, in order.
pub(super) fn names(dir: &Path) -> Result<Vec<String>, BackupError> {
    let error = |error| BackupError::io(dir, "read")(error);
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(error)? {
        names.extend(entry.map_err(error)?.file_name().into_string());
    }
    names.sort();
    Ok(names)
}

/// A file that is not a backup yet; it goes with this value unless it was published.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) path: PathBuf,
    pub(super) file: File,
    published: bool,
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.published {
            // The next call removes what stays.
            fs::remove_file(&self.path).ok();
        }
    }
}

/// Whether only a process that died can have left a file of this name, while this one has the lock.
fn is_leftover(name: &str) -> bool {
    if let Some(backup) = name.strip_suffix(".part") {
        return BackupName::parse(backup).is_some();
    }
    // A draft of a small file: its name with a dot before and a process behind.
    let draft = name
        .strip_prefix('.')
        .and_then(|name| name.rsplit_once('.'));
    draft.is_some_and(|(of, process)| {
        process.parse::<u32>().is_ok()
            && (of == REVISION_FILE || BackupName::of_manifest(of).is_some())
    })
}

/// Whether `path` names this very file.
fn is_the_file(file: &File, path: &Path) -> bool {
    let (Ok(file), Ok(path)) = (file.metadata(), fs::symlink_metadata(path)) else {
        return false;
    };
    (file.dev(), file.ino()) == (path.dev(), path.ino())
}

/// Renames a file to a name that nothing has.
fn rename_to_nothing(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Some file systems cannot: NFS, older ones. A link refuses to overwrite, too.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            fs::hard_link(from, to)?;
            fs::remove_file(from)
        }
        other => Ok(other?),
    }
}

fn lock(dir: &Path, by: &Actor) -> Result<File, BackupError> {
    let path = dir.join(LOCK);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
        .open(&path)
        .map_err(BackupError::io(&path, "opened"))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = Vec::new();
            file.take(4096).read_to_end(&mut text).ok();
            return Err(BackupError::Locked {
                dir: dir.to_owned(),
                holder: serde_json::from_slice(&text).ok().map(Box::new),
            });
        }
        Err(TryLockError::Error(error)) => return Err(BackupError::io(&path, "locked")(error)),
    }
    let holder = serde_json::to_vec(by).unwrap_or_default();
    // Who holds it is for people; on a full disk it stays unsaid.
    let _ = file
        .set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| file.write_all(&holder));
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::super::manifest::tests::sample;
    use super::*;

    const AT: &str = "2026-01-01T00:00:00Z";
    const NAME: &str = "etcd-a-20260101T000000Z.db";

    fn by() -> Actor {
        sample(NAME, AT).by
    }

    fn files(dir: &Path) -> Vec<String> {
        let mut names = names(dir).unwrap();
        names.retain(|name| name != LOCK);
        names
    }

    fn name(place: &Place) -> BackupName {
        let label = ClusterLabel::new("a").unwrap();
        place.name(&label, AT.parse().unwrap()).unwrap()
    }

    /// Every point at which a process may have died in the publishing of a backup.
    #[test]
    fn the_next_call_understands_every_crash() {
        let manifest = format!("{NAME}.json");
        let part = format!("{NAME}.part");
        let draft = format!(".{NAME}.json.4711");
        let none: &[&str] = &[];
        let published: &[&str] = &[NAME, &manifest];
        for (left, stays) in [
            (&[&*part][..], none),
            (&[&*part, &*draft], none),
            // The draft was linked to its name, and stays as a second one.
            (&[&*part, &*draft, &*manifest], none),
            (&[&*part, &*manifest], none),
            // A hard link, where the storage knows no better: both names are there.
            (&[&*part, &*manifest, NAME], published),
            (published, published),
            // Dropping had begun.
            (&[&*manifest], &[&*manifest]),
            (&[".revision.json.12"], none),
        ] {
            let dir = tempfile::tempdir().unwrap();
            for name in left {
                fs::write(dir.path().join(name), "").unwrap();
            }
            let place = Place::open(dir.path(), &by()).unwrap();
            let removed = place.clean().unwrap();
            assert_eq!(files(dir.path()), stays, "{left:?}");
            assert_eq!(removed.len(), left.len() - stays.len(), "{left:?}");
            assert_eq!(place.clean().unwrap(), Vec::<PathBuf>::new());
        }
    }

    #[test]
    fn what_others_left_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let theirs = [
            "etcd-node001-20220321135652",
            "etcd-node001-20220321135652.part",
            "snapshot.db.part",
            ".etcd-a-20260101T000000Z.db.json.x",
            ".hidden.12",
            "revision.json",
        ];
        for name in theirs {
            fs::write(dir.path().join(name), "").unwrap();
        }
        let place = Place::open(dir.path(), &by()).unwrap();
        assert_eq!(place.clean().unwrap(), Vec::<PathBuf>::new());
        assert_eq!(files(dir.path()).len(), theirs.len());
    }

    #[test]
    fn publishing_overwrites_nothing_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::open(dir.path(), &by()).unwrap();
        let (first, manifest) = (name(&place), sample(NAME, AT));
        let part = place.begin(&first).unwrap();
        assert_eq!(place.begin(&first).unwrap_err().code(), "backup-exists");
        // Somebody was faster.
        fs::write(dir.path().join(NAME), "theirs").unwrap();
        let error = place.publish(part, &first, &manifest).unwrap_err();
        assert_eq!(error.code(), "backup-exists");
        assert_eq!(files(dir.path()), [NAME]);
        assert_eq!(fs::read_to_string(dir.path().join(NAME)).unwrap(), "theirs");

        let second = name(&place);
        assert_eq!(second.as_str(), "etcd-a-20260101T000000Z-2.db");
        let part = place.begin(&second).unwrap();
        let path = place.publish(part, &second, &manifest).unwrap().path;
        assert_eq!(path, dir.path().join(second.as_str()));
        assert_eq!(files(dir.path()).len(), 3);
        place.forget(&second).unwrap();
        assert_eq!(files(dir.path()), [NAME]);
    }

    /// The link was made and the old name stays, or the answer was lost: the backup has its manifest.
    #[test]
    fn what_is_published_keeps_its_manifest_whatever_the_system_says() {
        type Naming = fn(&Path, &Path) -> io::Result<()>;
        let half: Naming = |from, to| {
            fs::hard_link(from, to)?;
            Err(Errno::IO.into())
        };
        let lost: Naming = |from, to| {
            fs::rename(from, to)?;
            Err(io::ErrorKind::AlreadyExists.into())
        };
        let failed: Naming = |_, _| Err(Errno::IO.into());
        let manifest = sample(NAME, AT);
        for (naming, published) in [(half, true), (lost, true), (failed, false)] {
            let dir = tempfile::tempdir().unwrap();
            let place = Place::open(dir.path(), &by()).unwrap();
            let name = name(&place);
            let part = place.begin(&name).unwrap();
            let done = place.publish_by(naming, part, &name, &manifest);
            assert_eq!(done.is_ok(), published);
            // What is left of the old name is a second one of the backup, and goes alone.
            place.clean().unwrap();
            let expected = [NAME.to_owned(), format!("{NAME}.json")];
            assert_eq!(
                files(dir.path()),
                if published { &expected[..] } else { &[] }
            );
        }
    }

    #[test]
    fn a_rename_refuses_to_overwrite() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("one"), "1").unwrap();
        fs::write(at("two"), "2").unwrap();
        let error = rename_to_nothing(&at("one"), &at("two")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        rename_to_nothing(&at("one"), &at("three")).unwrap();
        assert_eq!(files(dir.path()), ["three", "two"]);
    }

    #[test]
    fn a_lock_ends_with_its_owner() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::open(dir.path(), &by()).unwrap();
        assert_eq!(
            Place::open(dir.path(), &by()).unwrap_err().code(),
            "backup-locked"
        );
        drop(place);
        assert!(Place::open(dir.path(), &by()).is_ok());
    }
}
