//! How long a thing may be that is read: as long as it may be it is looked at, one byte more and it is
//! refused, before anything in it counts. The numbers are those that SAFETY.md promises.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use bright_adapter::AcceptedKeys;
use bright_adapter::bundle::Bundle;
use flate2::Compression;
use flate2::write::GzEncoder;
use runbook_core::digest::Digest;
use runbook_core::journal::{FileStore, History, JournalStore as _, peek};
use runbook_core::plan::SealedPlan;
use runbook_core::rundir::{Standing, StateDir, read_private};
use runbook_core::spec::Spec;
use runbook_core::testkit::World;

use crate::private::begun;

const PLAN: &[u8] = include_bytes!("../../crates/runbook-core/tests/fixtures/plan-1.0.json");
const JOURNAL: &[u8] = include_bytes!("../../crates/runbook-core/tests/fixtures/journal-1.0.jsonl");

/// What becomes of one byte too few to be too many, and of one more.
fn around<T>(limit: usize, of: impl Fn(usize) -> T) -> [T; 2] {
    [of(limit), of(limit + 1)]
}

/// These bytes, and blanks behind them.
fn padded(bytes: &[u8], len: usize) -> Vec<u8> {
    let mut padded = bytes.to_vec();
    assert!(padded.len() <= len);
    padded.resize(len, b' ');
    padded
}

/// A file that is so long; there is nothing in it.
fn sparse(path: &Path, len: usize) {
    File::create(path).unwrap().set_len(len as u64).unwrap();
}

#[test]
fn a_spec() {
    let spec = World::of(3).build().spec().to_yaml().unwrap();
    let codes = around(256 << 10, |len| {
        let text = String::from_utf8(padded(format!("{spec}#").as_bytes(), len)).unwrap();
        Spec::from_yaml(&text).map_or_else(|error| error.code(), |_| "good")
    });
    assert_eq!(codes, ["good", "spec-too-large"]);
}

#[test]
fn a_plan() {
    let codes = around(16 << 20, |len| {
        SealedPlan::read(&padded(PLAN, len)).unwrap_err().code()
    });
    // Blanks behind a plan are none of a build's; that is found out by reading it.
    assert_eq!(codes, ["plan-changed", "plan-unreadable"]);
    let dir = tempfile::tempdir().unwrap();
    let (_, run) = begun(&state(dir.path()));
    let codes = around(16 << 20, |len| {
        fs::write(run.path().join("plan.json"), padded(PLAN, len)).unwrap();
        run.plan().unwrap_err().code()
    });
    assert_eq!(codes, ["run-plan-refused", "state-io"]);
}

#[test]
fn a_file_that_decides_what_is_done() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    let read = around(4096, |len| {
        sparse(&file, len);
        let read = read_private(&file, 4096);
        read.map_or_else(
            |error| error.code().to_owned(),
            |bytes| bytes.len().to_string(),
        )
    });
    assert_eq!(read, ["4096", "state-io"]);
}

#[test]
fn a_journal() {
    let dir = tempfile::tempdir().unwrap();
    let (_, run) = begun(&state(dir.path()));
    let file = run.path().join("journal.jsonl");
    let read = around(64 << 20, |len| {
        sparse(&file, len);
        let looked = peek(&file).map(|bytes| bytes.len());
        let held = FileStore::open(&file)
            .unwrap()
            .load()
            .map(|bytes| bytes.len());
        let standing = match run.standing() {
            Standing::Unreadable(error) => error.code(),
            _ => "never began",
        };
        [looked, held]
            .map(|read| read.map_err(|error| error.kind()))
            .map(|read| (read, standing))
    });
    let too_large = (Err(io::ErrorKind::FileTooLarge), "journal-io");
    let whole = (Ok(64 << 20), "never began");
    assert_eq!(read, [[whole; 2], [too_large; 2]]);
}

/// The line is as long as it may be without its line feed.
#[test]
fn a_line_of_a_journal() {
    let mut lines = JOURNAL.split_inclusive(|byte| *byte == b'\n');
    let first = lines.next().unwrap();
    let prev = str::from_utf8(&first["{\"hash\":\"".len()..][..64]).unwrap();
    let head = format!(
        ",\"prev\":\"{prev}\",\"seq\":1,\"at\":\"2027-01-15T08:00:01Z\",\"entry\":{{\"kind\":\"halted\",\"reason\":\""
    );
    let read = around(64 << 10, |len| {
        let around = "{\"hash\":\"\"".len() + 64 + head.len() + "\"}}".len();
        let covered = format!("{head}{}\"}}}}", "x".repeat(len - around));
        let hash = Digest::of(covered.as_bytes()).hex();
        let line = format!("{{\"hash\":\"{hash}\"{covered}");
        assert_eq!(line.len(), len);
        let journal = [first, line.as_bytes(), b"\n"].concat();
        History::read(&journal, "journal")
            .map(|history| history.records.len())
            .map_err(|error| error.code())
    });
    assert_eq!(read, [Ok(2), Err("journal-damaged")]);
}

#[test]
fn the_record_of_a_run_that_was_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let (_, run) = begun(&state(dir.path()));
    let record = r#"{"at":"2027-01-15T08:00:01Z","by":{"tool":"t","host":"h","user":"u","pid":1},"reason":"r","damage":"d"}"#;
    let given_up = around(64 << 10, |len| {
        fs::write(
            run.path().join("given-up.json"),
            padded(record.as_bytes(), len),
        )
        .unwrap();
        matches!(run.standing(), Standing::GivenUp(_))
    });
    assert_eq!(given_up, [true, false]);
}

#[test]
fn the_keys_of_a_node() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("known_hosts");
    let accepted = around(64 << 10, |len| {
        let mut keys = padded(b"node001 ssh-ed25519 x\n", len);
        keys[len - 1] = b'\n';
        fs::write(dir.path().join("known_hosts.node001"), keys).unwrap();
        AcceptedKeys::of(&place)
            .map_or_else(|error| error.code, |keys| keys.map_or("none", |_| "some"))
    });
    assert_eq!(accepted, ["some", "ssh-known-hosts"]);
}

#[test]
fn a_bundle_and_its_parts() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("b.tgz");
    let codes = around(64 << 20, |len| {
        sparse(&file, len);
        Bundle::read(&file).unwrap_err().code()
    });
    assert_eq!(codes, ["bundle-not-one", "bundle-too-large"]);

    let newer = br#"{"format":2}"#;
    for (long, limit) in [(0, 4 << 20), (2, 8 << 20)] {
        let codes = around(limit, |len| {
            let mut texts = [newer.to_vec(), Vec::new(), b"{}".to_vec()];
            texts[long] = padded(&texts[long], len);
            Bundle::unpacked(&*packed(&texts)).unwrap_err().code()
        });
        assert_eq!(codes, ["bundle-newer", "bundle-too-large"], "{long}");
    }
}

fn packed(texts: &[Vec<u8>; 3]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let names = ["bundle.json", "exchanges.jsonl", "doctor.json"];
    for (name, text) in names.iter().zip(texts) {
        let mut header = tar::Header::new_ustar();
        header.set_size(text.len() as u64);
        builder.append_data(&mut header, name, &**text).unwrap();
    }
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    packer.write_all(&builder.into_inner().unwrap()).unwrap();
    packer.finish().unwrap()
}

fn state(dir: &Path) -> StateDir {
    StateDir::open(&dir.join("state")).unwrap()
}
