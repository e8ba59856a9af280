//! A bundle is a stranger's: whatever is in it, only so much memory is taken. It is read in a process that
//! cannot have more, and would be ended by the first allocation beyond.

use std::path::Path;
use std::process::Command;

use bright_adapter::bundle::Bundle;
use flate2::Compression;
use flate2::write::GzEncoder;
use rustix::process::{Resource, Rlimit, setrlimit};
use tar::{Builder, Header};

/// The documented bound.
const MEMORY_BYTES: u64 = 1 << 30;

/// Names the file for the process that reads it.
const FILE: &str = "BUNDLE_TO_READ_IN_LITTLE_MEMORY";

/// What the other process runs; by itself it has nothing to do.
#[test]
#[expect(clippy::print_stdout, reason = "the other process listens")]
fn reads_in_little_memory() {
    let Some(file) = std::env::var_os(FILE) else {
        return;
    };
    let (current, maximum) = (Some(MEMORY_BYTES), Some(MEMORY_BYTES));
    setrlimit(Resource::As, Rlimit { current, maximum }).unwrap();
    let code = Bundle::read(Path::new(&file)).map_or_else(|error| error.code(), |_| "good");
    println!("verdict: {code}");
}

/// What becomes of a bundle with these three texts.
fn verdict(texts: [&str; 3]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("b.tgz");
    let packed = GzEncoder::new(std::fs::File::create(&file).unwrap(), Compression::fast());
    let mut builder = Builder::new(packed);
    let names = ["bundle.json", "exchanges.jsonl", "doctor.json"];
    for (name, text) in names.into_iter().zip(texts) {
        let mut header = Header::new_ustar();
        header.set_size(text.len() as u64);
        builder
            .append_data(&mut header, name, text.as_bytes())
            .unwrap();
    }
    builder.into_inner().unwrap().finish().unwrap();
    assert!(file.metadata().unwrap().len() < 4 << 20, "it is a bomb");
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "bundle::reads_in_little_memory"])
        .args(["--nocapture", "--test-threads=1"])
        .env(FILE, &file)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let code = text
        .split_once("verdict: ")
        .and_then(|(_, rest)| rest.lines().next());
    code.unwrap_or_else(|| panic!("{output:?}")).to_owned()
}

/// Few bytes that are many values, each of them many times as large in memory.
#[test]
fn a_bomb_of_values_does_not_go_off() {
    let values = |bytes: usize| format!("[0{}]", ",0".repeat(bytes / 2 - 2));
    let large = values(60 << 20);
    assert_eq!(verdict([&large, "", "{}"]), "bundle-too-large");
    assert_eq!(verdict(["{}", "", &large]), "bundle-too-large");
    let newer = format!("{{\"format\":2,\"x\":{}}}", values(3 << 20));
    assert_eq!(verdict([&newer, "", "{}"]), "bundle-newer");
    assert_eq!(verdict(["{}", &large, "{}"]), "bundle-not-one");
}

/// The worst that a line can be: words of no length.
#[test]
fn nor_does_a_command_of_empty_words() {
    let settings = r#"{"at":"1970-01-01T00:00:00Z","cluster":"default","overlay":null,"nodes":[],"module":null,"backup_dir":"/b","state_dir":"/s","ca":"/ca","client_certificate":"/c","member_certificate":"/m","cmsh":null}"#;
    let front = format!(r#"{{"format":1,"tool":"t","settings":{settings},"proofs":[]}}"#);
    let report = r#"{"at":"1970-01-01T00:00:00Z","findings":[]}"#;
    let words = ",\"\"".repeat(20 << 20);
    let line = format!(
        r#"{{"node":null,"question":{{"run":[""{words}]}},"answer":{{"timed-out":1}},"took_ms":1}}"#
    );
    assert_eq!(verdict([&front, &line, report]), "good");
}

/// A few bytes each, and a replay has a dozen findings on each of them.
#[test]
fn nor_do_names_of_nodes() {
    let front = |nodes: usize| {
        let names: Vec<String> = (0..nodes).map(|n| format!("\"n{n}\"")).collect();
        let settings = format!(
            r#"{{"at":"1970-01-01T00:00:00Z","cluster":"default","overlay":null,"nodes":[{}],"module":null,"backup_dir":"/b","state_dir":"/s","ca":"/ca","client_certificate":"/c","member_certificate":"/m","cmsh":null}}"#,
            names.join(",")
        );
        format!(r#"{{"format":1,"tool":"t","settings":{settings},"proofs":[]}}"#)
    };
    let report = r#"{"at":"1970-01-01T00:00:00Z","findings":[]}"#;
    assert_eq!(verdict([&front(1000), "", report]), "good");
    assert_eq!(verdict([&front(1001), "", report]), "bundle-too-large");
}
