use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::*;

/// Text with hyphens in the sources that is no error code.
const NOT_CODES: &[&str] = &[
    // A phase, a step, and this program.
    "move-spool",
    "datanode-yes",
    "restore-runbook",
    // The short forms of a snapshot's verdict; each has its code with `snapshot-` in front.
    "beyond-limits",
    "bytes-damaged",
    "meaning-damaged",
    "no-trailer",
    "not-a-snapshot",
    "structure-damaged",
];

#[test]
fn the_table_is_sorted_and_has_no_code_twice() {
    assert!(CODES.windows(2).all(|pair| pair[0].code < pair[1].code));
}

#[test]
fn every_code_in_the_workspace_is_explained() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = BTreeSet::new();
    for name in ["runbook-core", "bright-adapter", "etcd-adapter", "cli"] {
        collect(&crates.join(name).join("src"), &mut found);
    }
    assert!(found.contains("quorum-answers"), "the search works");
    let known: BTreeSet<String> = CODES.iter().map(|c| c.code.to_owned()).collect();
    let missing: Vec<_> = found
        .difference(&known)
        .filter(|code| !NOT_CODES.contains(&code.as_str()))
        .collect();
    for word in ["deadline", "identity", "room"] {
        assert!(
            known.contains(word),
            "codes of one word cannot be searched for"
        );
    }
    assert!(missing.is_empty(), "explain these in codes.rs: {missing:?}");
}

fn collect(dir: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        let name = entry.file_name().into_string().unwrap();
        if name == "testkit" {
            // A fake world's own codes never reach an operator.
        } else if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs")
            && !matches!(&*name, "tests.rs" | "codes.rs")
            || name == "codes.rs" && !path.ends_with("cli/src/codes.rs")
        {
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            codes_in(code, found);
        }
    }
}

/// Literals in the places where a code stands: `code: "…"`, the first argument of an error's
/// constructor, the value of a `fn code`, a constant of a module of codes.
fn codes_in(text: &str, found: &mut BTreeSet<String>) {
    const BEFORE: [&str; 14] = [
        "Self::new(",
        "code: ",
        "AdapterError::new(",
        "PlanError::refused(",
        "Failure::new(",
        "failure(",
        "=> ",
        ": &str = ",
        "refused(",
        "failed(",
        "missing(",
        "never(",
        "held(",
        "stopped(",
    ];
    for (at, _) in text.match_indices('"') {
        let Some(end) = text[at + 1..].find('"') else {
            break;
        };
        let literal = &text[at + 1..at + 1 + end];
        let before = text[..at].trim_end();
        let placed = BEFORE.iter().any(|b| before.ends_with(b.trim_end()))
            || before.ends_with(',')
                && before
                    .trim_end_matches(',')
                    .rsplit(|c: char| !c.is_alphanumeric() && c != ':')
                    .next()
                    .is_some_and(|word| word.starts_with("Exit::"));
        if placed && is_code(literal) {
            found.insert(literal.to_owned());
        }
    }
}

fn is_code(text: &str) -> bool {
    text.contains('-')
        && text.len() < 40
        && text.split('-').all(|part| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        })
}
