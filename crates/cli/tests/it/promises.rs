//! What the pages say of the tests holds: SAFETY.md names those that hold its promises, docs/mutants.md those
//! that notice when a safeguard is gone.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The tests of each file, by its name; of `x/mod.rs` and `x/tests.rs` by that of its folder.
fn tests(dir: &Path, known: &mut BTreeMap<String, Vec<String>>) {
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            tests(&path, known);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            known.entry(name(&path)).or_default().extend(named(&text));
        }
    }
}

fn name(path: &Path) -> String {
    let stem = |path: &Path| path.file_stem().unwrap().to_str().unwrap().to_owned();
    match stem(path) {
        of if of == "mod" || of == "tests" => stem(path.parent().unwrap()),
        own => own,
    }
}

/// What stands behind each `#[test]`.
fn named(source: &str) -> Vec<String> {
    let behind = source
        .split("#[test]")
        .skip(1)
        .chain(source.split("#[tokio::test").skip(1));
    let function = |text: &str| {
        let (_, rest) = text.split_once("fn ")?;
        Some(rest.split_once('(')?.0.to_owned())
    };
    behind.filter_map(function).collect()
}

#[test]
fn every_test_that_safety_names_is_there() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut known = BTreeMap::new();
    tests(&root.join("crates"), &mut known);
    tests(&root.join("tests"), &mut known);
    let page = fs::read_to_string(root.join("SAFETY.md")).unwrap();
    let (_, promises) = page.split_once("## Promises").unwrap();
    let words = promises.split('`').skip(1).step_by(2);
    let mut seen = 0;
    for (file, test) in words.filter_map(|word| word.split_once("::")) {
        let there = known.get(file).map_or(&[][..], Vec::as_slice);
        let holds = there.iter().any(|name| test == "*" || name == test);
        assert!(holds, "{file}::{test} is named, and is no test");
        seen += 1;
    }
    assert!(seen > 80, "{seen}");
}

#[test]
fn every_mutant_is_in_the_table() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page = fs::read_to_string(root.join("docs/mutants.md")).unwrap();
    let rows = page.lines().filter(|line| line.ends_with("` |"));
    let cells = rows.map(|row| row.split(" | ").collect::<Vec<_>>());
    let ends = |row: Vec<&str>| {
        let name = row[0].trim_start_matches("| ").to_owned();
        (name, row[2].trim_matches(['`', ' ', '|']).to_owned())
    };
    let told: BTreeMap<_, _> = cells.map(ends).collect();
    let patches = fs::read_dir(root.join("tests/mutants")).unwrap().flatten();
    let first_line = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        let tests = text.lines().next()?.strip_prefix("killed by: ")?;
        Some((path.file_stem()?.to_str()?.to_owned(), tests.to_owned()))
    };
    let patches = patches.map(|entry| first_line(entry.path()).expect("tests that kill it"));
    assert_eq!(told, patches.collect());
}
