//! Files that are not files, or do not keep still; and files left as they were.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use etcd_adapter::snapshot::{Phase, ProofError, Unreadable, prove};

use crate::kit::{bytes_of, code_of, fixture, proof_of};

fn unreadable(path: &Path) -> Unreadable {
    match proof_of(path) {
        Err(ProofError::Unreadable { reason }) => reason,
        other => panic!("{}: {}", path.display(), code_of(&other)),
    }
}

#[test]
fn what_is_not_a_file_is_not_opened() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name| folder.path().join(name);
    assert_eq!(unreadable(folder.path()), Unreadable::Directory);
    assert_eq!(unreadable(Path::new("/dev/zero")), Unreadable::Device);
    let fifo = Command::new("mkfifo")
        .arg(at("fifo"))
        .status()
        .expect("mkfifo");
    assert!(fifo.success());
    assert_eq!(unreadable(&at("fifo")), Unreadable::Fifo);
    let _listener = UnixListener::bind(at("socket")).expect("a socket");
    assert_eq!(unreadable(&at("socket")), Unreadable::Socket);
    symlink(at("fifo"), at("link")).expect("a link");
    assert_eq!(unreadable(&at("link")), Unreadable::Fifo);
    symlink(at("loop"), at("loop")).expect("a link");
    assert_eq!(code_of(&proof_of(&at("loop"))), "io");
    assert_eq!(code_of(&proof_of(&at("nothing"))), "io");
}

#[test]
fn a_link_to_a_good_snapshot_is_good() {
    let folder = tempfile::tempdir().expect("a folder");
    let link = folder.path().join("latest.db");
    symlink(fixture("snap-3.5.1.db"), &link).expect("a link");
    assert_eq!(code_of(&proof_of(&link)), "good");
}

#[test]
fn a_file_that_changes_is_unreadable() {
    for change in ["append", "shrink", "overwrite", "touch"] {
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(file.path(), bytes_of("snap-3.5.30.db")).expect("a snapshot");
        let verdict = prove(file.path(), &mut |progress| {
            assert_eq!(progress.phase, Phase::Reading);
            // The file system's clock ticks only some hundred times a second.
            std::thread::sleep(std::time::Duration::from_millis(20));
            let mut open = OpenOptions::new()
                .write(true)
                .open(file.path())
                .expect("the file");
            match change {
                "append" => open.set_len(1 << 20),
                "shrink" => open.set_len(100),
                "overwrite" => open.write_all(b"x"),
                _ => open.set_modified(std::time::UNIX_EPOCH),
            }
            .expect("a change");
        });
        let reason = match verdict {
            Err(ProofError::Unreadable { reason }) => reason,
            other => panic!("{change}: {}", code_of(&other)),
        };
        assert_eq!(reason, Unreadable::Changed, "{change}");
    }
}

#[test]
fn the_file_and_its_folder_are_left_as_they_were() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("snapshot.db");
    fs::write(&path, bytes_of("big-3.5.30.db")).expect("a snapshot");
    let traces = || {
        [folder.path(), &path].map(|path| {
            let metadata = fs::metadata(path).expect("metadata");
            let times = (
                metadata.mtime(),
                metadata.mtime_nsec(),
                metadata.ctime_nsec(),
            );
            (
                metadata.size(),
                metadata.mode(),
                metadata.atime_nsec(),
                times,
            )
        })
    };
    let before = traces();
    assert_eq!(code_of(&proof_of(&path)), "good");
    assert_eq!(traces(), before);
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1);
}
