//! That each new entry of a directory is synced: to sync it a directory is opened, and inotify tells.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;

use rustix::fs::inotify::{CreateFlags, ReadFlags, Reader, WatchFlags, add_watch, init};

use super::files::fill;
use super::tests::{actor, label};
use super::*;
use crate::testkit::{World, run_id};

/// What happens in one directory from now on.
struct Watched(OwnedFd);

impl Watched {
    fn over(dir: &Path) -> Self {
        let heard = init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).unwrap();
        let flags = WatchFlags::CREATE | WatchFlags::MOVE | WatchFlags::DELETE | WatchFlags::OPEN;
        add_watch(&heard, dir, flags).unwrap();
        Self(heard)
    }

    /// For each change of an entry, and each opening of the directory itself, whether it is a change.
    fn heard(&self) -> Vec<bool> {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = Reader::new(&self.0, &mut buffer);
        let mut heard = Vec::new();
        while let Ok(event) = reader.next() {
            let own = event.file_name().is_none_or(CStr::is_empty);
            let change = !event.events().contains(ReadFlags::OPEN);
            if own || change {
                heard.push(change);
            }
        }
        heard
    }

    /// Something has changed in it, and was synced then.
    fn is_synced(&self) {
        let heard = self.heard();
        assert!(heard.contains(&true), "nothing has changed");
        assert_eq!(heard.last(), Some(&false), "{heard:?}");
    }

    /// Nothing has changed in it, and it was synced, for what an earlier life may have left.
    fn is_synced_again(&self) {
        let heard = self.heard();
        assert!(!heard.is_empty() && !heard.contains(&true), "{heard:?}");
    }
}

#[test]
fn the_state_directory_and_what_is_above_it() {
    let temp = tempfile::tempdir().unwrap();
    let (new, root) = (temp.path().join("new"), temp.path().join("new/deep/state"));
    let top = Watched::over(temp.path());
    StateDir::open(&root).unwrap();
    top.is_synced();
    // A life that died in between has synced none of them.
    let levels = [temp.path(), &new, &new.join("deep")].map(Watched::over);
    StateDir::open(&root).unwrap();
    for level in levels {
        level.is_synced_again();
    }
}

#[test]
fn a_run_and_what_is_above_it() {
    let temp = tempfile::tempdir().unwrap();
    let root = temp.path().join("state");
    let state = StateDir::open(&root).unwrap();
    let plan = World::of(1).build().plan(run_id(1)).unwrap();
    // The lock of the whole directory need not outlive a power cut.
    fs::write(root.join(".lock"), "").unwrap();
    let above = Watched::over(&root);
    let lock = state.lock(&label(), &actor()).unwrap();
    above.is_synced();
    drop(lock);
    let again = Watched::over(&root);
    let lock = state.lock(&label(), &actor()).unwrap();
    again.is_synced_again();

    let of_cluster = Watched::over(&root.join("default"));
    drop(state.create_run(&lock, &plan).unwrap());
    of_cluster.is_synced();
    let run = state.run_dir(&plan);
    let (runs, own) = (root.join("default/runs"), run.path());
    // As a life leaves it that dies behind the rename.
    fs::remove_dir_all(own).unwrap();
    let watched = Watched::over(&runs);
    drop(state.create_run(&lock, &plan).unwrap());
    watched.is_synced();
    let levels = [&runs, own].map(Watched::over);
    drop(run.store().unwrap());
    for level in levels {
        level.is_synced_again();
    }

    // The commands and the journal of a start that was refused are set aside.
    fs::write(run.commands_log(), "").unwrap();
    let watched = Watched::over(own);
    drop(state.create_run(&lock, &plan).unwrap());
    watched.is_synced();
}

#[test]
fn a_file_that_is_written_whole() {
    let temp = tempfile::tempdir().unwrap();
    let watched = Watched::over(temp.path());
    for replace in [false, true] {
        write_atomically(&temp.path().join("plan.json"), b"{}", replace).unwrap();
        watched.is_synced();
    }
    FileStore::create(&temp.path().join("journal.jsonl")).unwrap();
    watched.is_synced();
}

/// What cannot be synced tells that it was tried: a device, a file of the kernel's.
#[test]
fn what_a_file_holds() {
    let mut device = File::options().write(true).open("/dev/null").unwrap();
    let error = fill(&mut device, b"x").unwrap_err();
    assert_eq!(error.raw_os_error(), Some(INVALID));
    // The name of this thread takes anything.
    let error = held_by(Path::new("/proc/thread-self/comm"), &label(), &actor()).unwrap_err();
    let StateError::Io { source, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(source.raw_os_error(), Some(INVALID));
}

const INVALID: i32 = rustix::io::Errno::INVAL.raw_os_error();
