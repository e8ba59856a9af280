//! What each verdict looks like, on real snapshots with a fixed name and time.

use std::fs;
use std::path::PathBuf;

use etcd_adapter::snapshot::prove;
use insta::assert_snapshot;

use super::*;
use crate::verdict::Seen;

const TAKEN: i64 = 1_767_225_600;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../etcd-adapter/tests/fixtures")
        .join(name)
}

/// A file as if it lay where the article keeps snapshots, written `hours` before the report.
fn judged(path: &Path, name: &str, hours: i64) -> Judged {
    let at = Timestamp::from_second(TAKEN - hours * 3600).unwrap();
    Judged {
        path: Path::new("/cm/shared/backup/etcd").join(name),
        seen: Some(Seen {
            size_bytes: fs::metadata(path).unwrap().len(),
            modified: Some(at),
        }),
        verdict: prove(path, &mut |_| {}),
    }
}

fn real(name: &str, hours: i64) -> Judged {
    judged(&fixture(name), name, hours)
}

/// The same snapshot with `change` done to its bytes.
fn changed(name: &str, change: impl FnOnce(&mut Vec<u8>)) -> Judged {
    let mut bytes = fs::read(fixture("txn-3.5.30.db")).unwrap();
    change(&mut bytes);
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), bytes).unwrap();
    judged(file.path(), name, 5)
}

fn truncated() -> Judged {
    changed("cut.db", |bytes| bytes.truncate(20_000))
}

fn damaged() -> Judged {
    changed("flipped.db", |bytes| bytes[9_000] ^= 1)
}

fn report(files: Vec<Judged>) -> Report {
    Report {
        quota_bytes: 2 << 30,
        now: Timestamp::from_second(TAKEN).unwrap(),
        files,
        folders: Vec::new(),
    }
}

fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

fn page(file: Judged) -> String {
    plain(&report(vec![file]).text())
}

#[test]
fn a_good_one() {
    assert_snapshot!(page(real("deep-3.5.30.db", 26)));
}

#[test]
fn a_good_one_of_an_empty_store() {
    assert_snapshot!(page(real("gone-3.5.30.db", 2)));
}

#[test]
fn a_copy_without_a_trailer() {
    assert_snapshot!(page(real("stopped-3.5.30.copy", 2)));
}

#[test]
fn a_truncated_one() {
    assert_snapshot!(page(truncated()));
}

#[test]
fn a_damaged_one() {
    assert_snapshot!(page(damaged()));
}

#[test]
fn what_to_know_is_said() {
    let page = |name| page(real(name, 1));
    assert!(page("learner-3.5.30.db").contains(", LEARNER\n"));
    assert!(page("learner-3.5.30.db").contains("would make it a voter"));
    assert!(page("auth-3.5.30.db").contains("authentication is on"));
    let alarm = page("alarm-3.5.30.db");
    assert!(alarm.contains("alarms     NOSPACE on member") && alarm.contains("carries them over"));
    assert!(page("leases-3.5.30.db").contains("keys\n  hashkv"));
    assert!(!page("plain-3.5.30.db").contains("What to know"));
}

#[test]
fn a_quota_that_is_too_small_is_said() {
    let mut small = report(vec![real("deep-3.5.30.db", 1)]);
    small.quota_bytes = 184_320;
    assert!(small.text().contains("100 % of a quota of 180.0 KiB"));
    assert!(small.text().contains("NOSPACE"));
    small.quota_bytes += 1;
    assert!(small.text().contains("99 % of a quota"));
    assert!(!small.text().contains("NOSPACE"));
}

#[test]
fn a_file_from_the_future_has_no_age() {
    let text = page(real("plain-3.5.30.db", -3));
    assert!(text.contains("age        from the future") && text.contains("look at the clocks"));
}

fn several() -> Report {
    report(vec![
        real("deep-3.5.30.db", 2),
        real("compacted-3.4.23.db", 26),
        real("empty-3.5.30.db", 0),
        real("stopped-3.5.30.copy", 1),
        truncated(),
        damaged(),
    ])
}

#[test]
fn several_are_a_table() {
    assert_eq!(several().exit(), Exit::BytesDamaged);
    assert_snapshot!(plain(&several().text()));
}

#[test]
fn a_directory_begins_with_the_newest_good_one() {
    let mut files = several().files;
    files.sort_by_key(|file| file.age_s(several().now));
    let folder = Folder {
        path: "/cm/shared/backup/etcd".into(),
        files: Folder::ranked(files),
        not_proven: 1200,
        passed_over: 2,
        trouble: None,
    };
    assert_eq!(folder.exit(), Exit::Done);
    let mut report = report(Vec::new());
    report.folders.push(folder);
    assert_snapshot!(plain(&report.text()));
    let value = report.json();
    let best = "/cm/shared/backup/etcd/deep-3.5.30.db";
    assert_eq!(value["folders"][0]["newest_good"], best);
    assert_eq!(value["files"][0]["path"], best);
    assert_eq!(value["exit"], 0);
}

/// A good file of an empty store must never be the one that is recommended.
#[test]
fn a_directory_of_empty_stores_recommends_none() {
    let files = vec![damaged(), real("empty-3.5.30.db", 0)];
    let folder = Folder {
        files: Folder::ranked(files),
        trouble: None,
        ..Folder::closed(Path::new("/backup"), String::new())
    };
    assert!(folder.newest_good().is_none());
    assert_eq!(folder.exit(), Exit::Done);
    let text = plain(&report(Vec::new()).folder(&folder));
    assert!(
        text.contains("every good one is of an EMPTY store"),
        "{text}"
    );
}

#[test]
fn a_directory_without_candidates_is_not_good() {
    let folder = Folder::closed(
        Path::new("/backup"),
        "no file in it can be a snapshot".into(),
    );
    let text = plain(&report(Vec::new()).folder(&folder));
    assert_eq!(folder.exit(), Exit::Unreadable);
    assert!(text.contains("explain snapshot-none"), "{text}");
}

#[test]
fn the_document_of_a_good_one() {
    let text = crate::render::json::document(&report(vec![real("plain-3.5.30.db", 2)]).json());
    assert_snapshot!(text);
}

/// Every field that any verdict has is told in the documentation.
#[test]
fn every_field_of_the_document_is_documented() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/verify.md");
    let page = fs::read_to_string(path).unwrap();
    let mut all = several();
    for name in ["learner-3.5.30.db", "alarm-3.5.30.db"] {
        all.files.push(real(name, 1));
    }
    all.folders
        .push(Folder::closed(Path::new("/x"), "empty".into()));
    let mut names = Vec::new();
    fields(&all.json(), &mut names);
    assert!(
        names.iter().any(|name| name == "peer_urls"),
        "the walk works"
    );
    for name in names {
        assert!(
            page.contains(&format!("`{name}`")),
            "docs/verify.md: {name}"
        );
    }
}

fn fields(value: &serde_json::Value, names: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(map) => {
            for (name, value) in map {
                names.push(name.clone());
                // The names in there are Kubernetes' kinds.
                if name != "kinds" {
                    fields(value, names);
                }
            }
        }
        serde_json::Value::Array(values) => {
            for value in values {
                fields(value, names);
            }
        }
        _ => {}
    }
}

#[test]
fn it_reads_without_colour_and_breaks_at_a_screen() {
    let colored = several().text();
    assert!(colored.contains('\u{1b}') && !plain(&colored).contains('\u{1b}'));
    for name in ["deep-3.5.30.db", "stopped-3.5.30.copy", "empty-3.5.30.db"] {
        for line in page(real(name, 1)).lines() {
            assert!(line.chars().count() <= 100, "{line}");
        }
    }
}
