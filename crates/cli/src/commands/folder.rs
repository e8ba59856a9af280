//! Which files of a directory may be snapshots.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{Dir, Mode, OFlags};
use rustix::io::Errno;

/// More entries are not looked at: nobody keeps that many snapshots.
const MAX_ENTRIES: usize = 100_000;
/// More candidates are not proven; the newest are.
const MAX_CANDIDATES: usize = 100;

/// What a directory offers.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The newest first.
    pub(super) paths: Vec<PathBuf>,
    /// Older candidates than those.
    pub(super) left_out: u64,
    /// Entries that are no candidates.
    pub(super) passed_over: u64,
}

struct Candidate {
    path: PathBuf,
    modified: SystemTime,
    is_link: bool,
}

/// The candidates in a directory, the newest first; a file with several names is one candidate.
pub(super) fn candidates(dir: &Path) -> io::Result<Found> {
    let mut found = Found::default();
    let mut files: BTreeMap<(u64, u64), Candidate> = BTreeMap::new();
    for name in names(dir)? {
        let path = dir.join(&name);
        let about = fs::metadata(&path).ok().filter(fs::Metadata::is_file);
        let Some(about) = about.filter(|_| may_be_a_snapshot(&name)) else {
            found.passed_over += 1;
            continue;
        };
        let candidate = Candidate {
            is_link: path.is_symlink(),
            modified: about.modified().unwrap_or(SystemTime::UNIX_EPOCH),
            path,
        };
        let known = files.entry((about.dev(), about.ino()));
        known
            .and_modify(|known| {
                found.passed_over += 1;
                if known.is_link && !candidate.is_link {
                    known.path.clone_from(&candidate.path);
                    known.is_link = false;
                }
            })
            .or_insert(candidate);
    }
    let mut files: Vec<Candidate> = files.into_values().collect();
    files.sort_by(|a, b| Reverse((a.modified, &a.path)).cmp(&Reverse((b.modified, &b.path))));
    found.left_out = files.len().saturating_sub(MAX_CANDIDATES) as u64;
    files.truncate(MAX_CANDIDATES);
    found.paths = files.into_iter().map(|file| file.path).collect();
    Ok(found)
}

fn may_be_a_snapshot(name: &OsStr) -> bool {
    let name = name.as_bytes();
    !name.starts_with(b".") && !name.ends_with(b".part") && !name.ends_with(b".json")
}

/// The names in a directory, whose access time is left alone where that may be asked for.
fn names(dir: &Path) -> io::Result<Vec<OsString>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = match rustix::fs::open(dir, flags | OFlags::NOATIME, Mode::empty()) {
        Err(Errno::PERM) => rustix::fs::open(dir, flags, Mode::empty()),
        other => other,
    };
    let mut names = Vec::new();
    for entry in Dir::new(opened?)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(OsStr::from_bytes(name).to_owned());
        }
        if names.len() == MAX_ENTRIES {
            break;
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::fs::{File, create_dir};
    use std::os::unix::fs::symlink;
    use std::time::Duration;

    use super::*;

    fn file(dir: &Path, name: &str, seconds: u64) -> File {
        let file = File::create(dir.join(name)).unwrap();
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        file.set_modified(at).unwrap();
        file
    }

    fn found(dir: &Path) -> (Vec<String>, Found) {
        let found = candidates(dir).unwrap();
        let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
        (found.paths.iter().map(name).collect(), found)
    }

    #[test]
    fn the_newest_come_first_and_what_is_no_snapshot_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        for (name, at) in [("b.db", 10), ("a.db", 30), ("c.db", 20), ("d.db", 20)] {
            file(dir.path(), name, at);
        }
        for name in [".hidden", "a.db.part", "a.db.json"] {
            file(dir.path(), name, 99);
        }
        create_dir(dir.path().join("below")).unwrap();
        file(&dir.path().join("below"), "e.db", 99);
        symlink("a.db", dir.path().join("0-latest")).unwrap();
        fs::hard_link(dir.path().join("b.db"), dir.path().join("b2.db")).unwrap();
        symlink("nowhere", dir.path().join("dangling")).unwrap();
        let (mut names, found) = found(dir.path());
        // Either of the two names of one file will do.
        let last = names.pop().unwrap();
        assert!(last == "b.db" || last == "b2.db");
        assert_eq!(names, ["a.db", "d.db", "c.db"]);
        assert_eq!((found.left_out, found.passed_over), (0, 7));
    }

    #[test]
    fn too_many_are_said_to_be_left_out() {
        let dir = tempfile::tempdir().unwrap();
        for at in 0..MAX_CANDIDATES + 3 {
            file(dir.path(), &format!("{at}.db"), at as u64);
        }
        let (names, found) = found(dir.path());
        assert_eq!(names.len(), MAX_CANDIDATES);
        assert_eq!(names[0], format!("{}.db", MAX_CANDIDATES + 2));
        assert_eq!(found.left_out, 3);
    }
}
