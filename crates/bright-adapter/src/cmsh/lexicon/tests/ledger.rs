//! The ledger, `docs/bright-beliefs.md`, and the lexicon say the same.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::sources::rust_files;
use super::{Entry, whole};

/// A row about one belief.
struct Row {
    id: String,
    word: Option<String>,
    cells: Vec<String>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn page() -> String {
    fs::read_to_string(root().join("docs/bright-beliefs.md")).unwrap()
}

fn code(cell: &str) -> Option<String> {
    let inside = cell.strip_prefix('`')?.strip_suffix('`')?;
    Some(inside.to_owned())
}

/// The cells of every row of every table but its head.
fn cells(page: &str) -> impl Iterator<Item = Vec<String>> {
    let rows = page
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    let cells = rows.map(|row| row.split(" | ").map(str::to_owned).collect::<Vec<_>>());
    cells.filter(|cells| cells[0] != "Id" && cells[0] != "Not known")
}

fn rows(page: &str) -> Vec<Row> {
    let rows = cells(page).filter_map(|cells| {
        let id = code(&cells[0]).filter(|id| id.contains('/'))?;
        let word = code(&cells[1]);
        Some(Row { id, word, cells })
    });
    rows.collect()
}

#[test]
fn every_word_of_the_lexicon_is_in_the_ledger_and_the_other_way_round() {
    let rows = rows(&page());
    let believed: BTreeMap<&str, Option<&str>> = rows
        .iter()
        .map(|row| (row.id.as_str(), row.word.as_deref()))
        .collect();
    assert_eq!(believed.len(), rows.len(), "an id stands there twice");
    let mut wrong = Vec::new();
    let mut used = BTreeSet::new();
    for Entry { id, word, .. } in whole() {
        if believed.get(id.as_str()) != Some(&Some(word)) {
            wrong.push(format!(
                "the ledger lacks a row `| `{id}` | `{word}` | … |`"
            ));
        }
        assert!(used.insert(id.clone()), "two words are {id}");
    }
    for row in &rows {
        if !used.contains(&row.id) && (row.word.is_some() || !row.id.starts_with("fact/")) {
            wrong.push(format!("the lexicon has no {}", row.id));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_row_of_the_ledger_says_all_there_is_to_say() {
    let (sure, versions) = (
        ["documented", "seen", "inferred"],
        ["9–11", "10, 11", "11", "9"],
    );
    for row in rows(&page()) {
        let id = &row.id;
        assert_eq!(row.cells.len(), 7, "{id}");
        assert!(row.cells.iter().all(|cell| !cell.trim().is_empty()), "{id}");
        assert!(
            sure.iter().any(|word| row.cells[3].contains(word)),
            "{id}: how sure?"
        );
        assert!(
            versions.contains(&row.cells[4].as_str()),
            "{id}: which versions?"
        );
    }
}

/// The names of all tests of the workspace.
fn tests() -> BTreeSet<String> {
    let mut files = Vec::new();
    for dir in ["crates", "tests"] {
        rust_files(&root().join(dir), &mut files);
    }
    let mut names = BTreeSet::new();
    for file in files {
        let source = fs::read_to_string(file).unwrap();
        let functions = source
            .split("#[test]")
            .chain(source.split("#[tokio::test]"))
            .skip(1);
        for function in functions {
            let name = function
                .split_once("fn ")
                .map(|(_, rest)| rest.split('(').next());
            names.extend(name.flatten().map(str::to_owned));
        }
    }
    names
}

#[test]
fn every_test_and_fixture_that_the_ledger_names_is_there() {
    let tests = tests();
    assert!(tests.len() > 100, "the tests were not found");
    let fixtures = root().join("crates/bright-adapter/tests/fixtures");
    let mut rows = 0;
    for cells in cells(&page()) {
        rows += 1;
        let held: Vec<String> = cells[cells.len() - 1]
            .split(", ")
            .filter_map(code)
            .collect();
        assert!(!held.is_empty(), "nothing holds {}", cells[0]);
        for name in held {
            let there = tests.contains(&name) || fixtures.join(&name).is_file();
            assert!(
                there,
                "{}: there is no test and no fixture {name}",
                cells[0]
            );
        }
    }
    assert!(rows > 100, "only {rows} rows were read");
}
