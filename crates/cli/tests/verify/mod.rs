//! `verify`, as a script calls it: the status of each verdict, and a world that stays as it was.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, SystemTime};

use runbook_core::digest::Digest;
use serde_json::Value;
use tempfile::TempDir;

use super::PROGRAM;

const GOOD: &str = "txn-3.5.30.db";

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../etcd-adapter/tests/fixtures")
        .join(name)
}

/// Runs `verify` where there is no cmsh, no state directory, no home and no path.
fn verify(arguments: &[&OsStr]) -> Output {
    Command::new(PROGRAM)
        .env_clear()
        .env("RESTORE_RUNBOOK_STATE_DIR", "/nonexistent/state")
        .arg("verify")
        .args(arguments)
        .output()
        .unwrap()
}

fn text(path: &Path) -> (i32, String) {
    let output = verify(&[path.as_os_str()]);
    assert!(output.stderr.is_empty(), "{output:?}");
    (
        output.status.code().unwrap(),
        String::from_utf8(output.stdout).unwrap(),
    )
}

fn json(path: &Path) -> (i32, Value) {
    let output = verify(&["--format".as_ref(), "json".as_ref(), path.as_os_str()]);
    let value = serde_json::from_slice(&output.stdout).unwrap();
    (output.status.code().unwrap(), value)
}

/// A directory with one file of these bytes.
fn holding(name: &OsStr, bytes: &[u8]) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    fs::write(&path, bytes).unwrap();
    (dir, path)
}

/// A snapshot whose content is changed and whose SHA-256 is made anew.
fn resealed(change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let mut bytes = fs::read(fixture(GOOD)).unwrap();
    bytes.truncate(bytes.len() - 32);
    change(&mut bytes);
    let hex = Digest::of(&bytes).to_string();
    let hex = hex.trim_start_matches("sha256:").to_owned();
    for pair in hex.as_bytes().chunks(2) {
        let pair = std::str::from_utf8(pair).unwrap();
        bytes.push(u8::from_str_radix(pair, 16).unwrap());
    }
    bytes
}

#[test]
fn each_verdict_has_its_code_and_its_status() {
    let good = fs::read(fixture(GOOD)).unwrap();
    let mut flipped = good.clone();
    flipped[9000] ^= 4;
    let longer = [good.as_slice(), b"more"].concat();
    // The kind of the page that the meta page calls the root.
    let broken = resealed(|bytes| {
        let root = usize::from(bytes[32]);
        bytes[root * 4096 + 8] ^= 0xFF;
    });
    let no_copy = fs::read(fixture("stopped-3.5.30.copy")).unwrap();
    let cases: [(&str, &[u8], u8, Option<&str>); 10] = [
        ("good", &good, 0, None),
        ("good", &resealed(|_| ()), 0, None),
        ("no-trailer", &no_copy, 20, Some("snapshot-no-trailer")),
        ("truncated", &good[..9000], 21, Some("snapshot-truncated")),
        (
            "bytes-damaged",
            &flipped,
            22,
            Some("snapshot-bytes-damaged"),
        ),
        ("overlong", &longer, 22, Some("snapshot-overlong")),
        (
            "structure-damaged",
            &broken,
            23,
            Some("snapshot-structure-damaged"),
        ),
        (
            "not-a-snapshot",
            b"apiVersion: v1\n",
            24,
            Some("snapshot-not-one"),
        ),
        ("not-a-snapshot", &[0; 8192], 24, Some("snapshot-not-one")),
        ("empty", b"", 25, Some("snapshot-empty")),
    ];
    for (verdict, bytes, exit, code) in cases {
        let (_dir, path) = holding("snapshot".as_ref(), bytes);
        let (status, page) = text(&path);
        assert_eq!(status, i32::from(exit), "{verdict}: {page}");
        let (status, value) = json(&path);
        let file = &value["files"][0];
        assert_eq!(status, i32::from(exit), "{verdict}");
        assert_eq!(file["verdict"], verdict);
        assert_eq!(file["code"].as_str(), code, "{verdict}");
        assert_eq!(file["exit"], exit);
        assert_eq!(value["exit"], exit);
        assert_eq!(file["reason"].is_null(), exit == 0);
        assert!(!page.contains("skip-hash-check") || verdict == "bytes-damaged");
        if let Some(code) = code {
            assert!(page.contains(&format!("explain {code}")), "{page}");
            let explained = Command::new(PROGRAM).args(["explain", code]).output();
            assert!(explained.unwrap().status.success(), "{code}");
        }
    }
}

#[test]
fn what_is_no_ordinary_file_is_unreadable_and_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("fifo");
    let made = Command::new("mkfifo").arg(&fifo).status().unwrap();
    assert!(made.success());
    let missing = dir.path().join("missing");
    for path in [&fifo, &missing, Path::new("/dev/zero"), dir.path()] {
        let (status, page) = text(path);
        assert_eq!(status, 26, "{page}");
    }
    // A directory with nothing in it that can be a snapshot says so, and is not descended into.
    let (_, page) = text(dir.path());
    assert!(page.contains("no file in it can be a snapshot"), "{page}");
    assert!(page.contains("1 passed over"), "{page}");
}

#[test]
fn a_sound_but_empty_store_is_good_and_loud() {
    for name in ["empty-3.5.30.db", "swept-3.4.23.db", "foreign-3.5.30.db"] {
        let (status, page) = text(&fixture(name));
        assert_eq!(status, 0, "{page}");
        assert!(page.starts_with("GOOD BUT EMPTY"), "{page}");
        assert!(page.contains("END EVERY WORKLOAD"), "{page}");
        let (status, value) = json(&fixture(name));
        assert_eq!(status, 0);
        assert!(value["files"][0]["starts_empty"].is_array());
    }
    let (_, value) = json(&fixture(GOOD));
    assert!(value["files"][0]["starts_empty"].is_null());
}

/// The numbers of etcd's own tools, kept with the fixtures.
#[test]
fn the_numbers_are_etcds_own() {
    let table = fs::read_to_string(fixture("expected.tsv")).unwrap();
    let mut seen = 0;
    for line in table.lines() {
        let cells: Vec<&str> = line.split('\t').collect();
        let [
            name,
            version,
            status_hash,
            revision,
            total_key,
            _,
            hashkv,
            ..,
        ] = cells[..]
        else {
            panic!("{line}");
        };
        let (status, page) = text(&fixture(name));
        assert_eq!(status, 0, "{name}");
        let hash: u32 = status_hash.parse().unwrap();
        // From 3.6 on `status` counts something else, which the page tells beside it.
        let total_key = if version.starts_with("3.6") {
            String::new()
        } else {
            format!("{total_key} ")
        };
        let words = format!("hash {hash:x}, revision {revision}, total keys {total_key}");
        assert!(page.contains(&words), "{name}: {words}: {page}");
        assert!(
            page.contains(&format!("hashkv     {hashkv} ")),
            "{name}: {page}"
        );
        seen += 1;
    }
    assert_eq!(seen, 31);
}

#[test]
fn several_files_end_with_the_worst() {
    let (_dir, cut) = holding("cut".as_ref(), &fs::read(fixture(GOOD)).unwrap()[..9000]);
    let good = fixture(GOOD);
    let run = |paths: &[&Path]| {
        let paths: Vec<&OsStr> = paths.iter().map(|path| path.as_os_str()).collect();
        verify(&paths)
    };
    assert_eq!(run(&[&good, &good]).status.code(), Some(0));
    let mixed = run(&[&good, &cut, &fixture("stopped-3.5.30.copy")]);
    assert_eq!(mixed.status.code(), Some(21));
    let page = String::from_utf8(mixed.stdout).unwrap();
    for word in [
        "verdict",
        "GOOD",
        "TRUNCATED",
        "NO TRAILER",
        "[snapshot-truncated]",
    ] {
        assert!(page.contains(word), "{word}: {page}");
    }
}

/// Ages in a directory, in hours.
fn backups(files: &[(&str, &[u8], u64)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes, hours) in files {
        let path = dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        let at = SystemTime::now() - Duration::from_secs(hours * 3600);
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_modified(at)
            .unwrap();
    }
    dir
}

#[test]
fn a_directory_gives_the_newest_good_one_first() {
    let good = fs::read(fixture(GOOD)).unwrap();
    let empty = fs::read(fixture("empty-3.5.30.db")).unwrap();
    let files: [(&str, &[u8], u64); 7] = [
        ("oldest", &good, 72),
        ("newer", &good, 24),
        ("cut", &good[..5000], 2),
        ("hollow", &empty, 1),
        (".hidden", &good, 0),
        ("now.part", &good, 0),
        ("newer.json", b"{}", 0),
    ];
    let dir = backups(&files);
    fs::create_dir(dir.path().join("below")).unwrap();
    fs::write(dir.path().join("below/deep"), &good).unwrap();
    let (status, value) = json(dir.path());
    assert_eq!(status, 0);
    let names = |value: &Value| {
        let files = value["files"].as_array().unwrap();
        let name = |file: &Value| {
            file["path"]
                .as_str()
                .unwrap()
                .rsplit('/')
                .next()
                .map(str::to_owned)
        };
        files.iter().filter_map(name).collect::<Vec<String>>()
    };
    assert_eq!(names(&value), ["newer", "oldest", "hollow", "cut"]);
    let folder = &value["folders"][0];
    assert!(folder["newest_good"].as_str().unwrap().ends_with("/newer"));
    assert_eq!(folder["passed_over"], 4);

    let output = verify(&[
        "--newest".as_ref(),
        "--format=json".as_ref(),
        dir.path().as_os_str(),
    ]);
    let value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(names(&value), ["newer", "hollow", "cut"]);
    assert_eq!(value["folders"][0]["not_proven"], 1);

    fs::remove_file(dir.path().join("newer")).unwrap();
    fs::remove_file(dir.path().join("oldest")).unwrap();
    fs::remove_file(dir.path().join("hollow")).unwrap();
    assert_eq!(json(dir.path()).0, 21);
}

/// Names come from anybody who may write to the directory.
#[test]
fn a_name_cannot_steer_the_terminal() {
    let name = b"a\x1b]0;owned\x07\x1b[2J\n\xc2\x9b1m\xe2\x80\xae\xff.db";
    let name = OsStr::from_bytes(name);
    let (dir, path) = holding(name, &fs::read(fixture(GOOD)).unwrap());
    for arguments in [
        vec![path.as_os_str()],
        vec![path.as_os_str(), path.as_os_str()],
        vec![dir.path().as_os_str()],
        vec!["--format=json".as_ref(), path.as_os_str()],
    ] {
        let output = verify(&arguments);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        for stream in [output.stdout, output.stderr] {
            let shown = String::from_utf8(stream).unwrap();
            let steers = |c: char| c != '\n' && c.is_control() || c == '\u{202e}';
            assert!(!shown.contains(steers), "{shown:?}");
        }
    }
}

#[test]
fn the_file_and_its_directory_are_left_as_they_were() {
    let good = fs::read(fixture(GOOD)).unwrap();
    let (dir, path) = holding("snapshot".as_ref(), &good);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
    // An access time before the others is one that the next reading would move.
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
    for path in [&path, dir.path()] {
        let times = fs::FileTimes::new().set_accessed(long_ago);
        File::open(path).unwrap().set_times(times).unwrap();
    }
    let look = |path: &Path| {
        let about = fs::symlink_metadata(path).unwrap();
        (
            (about.ino(), about.mode(), about.size(), about.nlink()),
            (about.atime(), about.atime_nsec()),
            (about.mtime(), about.mtime_nsec()),
            (about.ctime(), about.ctime_nsec()),
        )
    };
    let before = (look(&path), look(dir.path()));
    assert_eq!(text(&path).0, 0);
    assert_eq!(json(&path).0, 0);
    assert_eq!(text(dir.path()).0, 0);
    assert_eq!((look(&path), look(dir.path())), before);
    assert_eq!(fs::read(&path).unwrap(), good);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

/// It only reads: there is nothing to finish first.
#[test]
fn the_first_signal_ends_it() {
    let many = vec![fixture("deep-3.5.30.db"); 10_000];
    let mut child = Command::new(PROGRAM)
        .arg("verify")
        .args(&many)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let pid = child.id().to_string();
    // So much is read only once the proofs have begun.
    let read = || {
        let text = fs::read_to_string(format!("/proc/{pid}/io")).unwrap();
        let bytes = text.lines().find_map(|line| line.strip_prefix("rchar: "));
        bytes.unwrap().parse::<u64>().unwrap()
    };
    while read() < 4 << 20 {
        assert_eq!(child.try_wait().unwrap(), None, "it ended by itself");
        thread::sleep(Duration::from_millis(5));
    }
    // A shell's background job ignores SIGINT; nobody ignores this one.
    let sent = Command::new("kill").arg(&pid).status().unwrap();
    assert!(sent.success());
    assert_eq!(child.wait().unwrap().signal(), Some(15));
}
