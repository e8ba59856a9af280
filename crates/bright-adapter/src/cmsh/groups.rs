//! Lists of nodes as cmsh prints them (administrator manual 2.5.5, `groupingsyntax`).
//!
//! `node001..node003`, `node00[1-3]`, `node[001,005-007]`, one per line, by blanks or by commas.

use std::collections::BTreeSet;

/// The most names one list may stand for.
const LIMIT: usize = 20_000;

/// Every name a list stands for, sorted, each once.
///
/// # Errors
/// What cannot be read, in words.
pub(crate) fn expand(text: &str) -> Result<Vec<String>, String> {
    let mut names = BTreeSet::new();
    for word in words(text)? {
        expand_word(word, &mut names)?;
    }
    Ok(names.into_iter().collect())
}

/// Splits at blanks, line ends, and commas outside brackets.
fn words(text: &str) -> Result<Vec<&str>, String> {
    let mut inside = false;
    for c in text.chars() {
        match (c, inside) {
            ('[', false) => inside = true,
            (']', true) => inside = false,
            ('[' | ']', _) => return Err(format!("unbalanced brackets in {text:?}")),
            _ => {}
        }
    }
    if inside {
        return Err(format!("unbalanced brackets in {text:?}"));
    }
    let mut depth = 0_u32;
    let words = text.split(move |c: char| {
        match c {
            '[' => depth += 1,
            ']' => depth -= 1,
            _ => {}
        }
        depth == 0 && (c == ',' || c.is_whitespace())
    });
    Ok(words.filter(|word| !word.is_empty()).collect())
}

fn add(name: String, names: &mut BTreeSet<String>) -> Result<(), String> {
    if names.len() >= LIMIT {
        return Err(format!("more than {LIMIT} names"));
    }
    names.insert(name);
    Ok(())
}

fn expand_word(word: &str, names: &mut BTreeSet<String>) -> Result<(), String> {
    if let Some((prefix, rest)) = word.split_once('[') {
        let (inside, suffix) = rest
            .split_once(']')
            .ok_or_else(|| format!("unbalanced brackets in {word:?}"))?;
        for item in inside.split(',') {
            let (from, to) = item.split_once('-').unwrap_or((item, item));
            for number in range(from.trim(), to.trim(), word)? {
                // The suffix may hold brackets of its own.
                expand_word(&format!("{prefix}{number}{suffix}"), names)?;
            }
        }
        return Ok(());
    }
    let Some((from, to)) = word.split_once("..") else {
        return add(plain(word)?, names);
    };
    let ((prefix, first), (other, last)) = (split_number(from), split_number(to));
    if prefix != other && !other.is_empty() {
        return Err(format!("{word:?} is no range"));
    }
    for number in range(first, last, word)? {
        add(plain(&format!("{prefix}{number}"))?, names)?;
    }
    Ok(())
}

fn plain(name: &str) -> Result<String, String> {
    let fine = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if name.starts_with('-') || !name.chars().all(fine) {
        return Err(format!("{name:?} is no name"));
    }
    Ok(name.to_owned())
}

fn split_number(name: &str) -> (&str, &str) {
    let digits = name.bytes().rev().take_while(u8::is_ascii_digit).count();
    name.split_at(name.len() - digits)
}

/// The numbers from one to another, at the width they are written in.
fn range(from: &str, to: &str, word: &str) -> Result<impl Iterator<Item = String>, String> {
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| text.parse::<u64>().ok()).flatten()
    };
    let (Some(first), Some(last)) = (number(from), number(to)) else {
        return Err(format!("{word:?} is no range"));
    };
    let width = from.len();
    let ends_as_written = format!("{last:0width$}") == to;
    let count = last
        .checked_sub(first)
        .filter(|count| *count < LIMIT as u64);
    if count.is_none() || !ends_as_written {
        return Err(format!("{word:?} is no range, or too long a one"));
    }
    Ok((first..=last).map(move |number| format!("{number:0width$}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_form_reads_the_same() {
        for text in [
            "node001 node002 node003",
            "node001\nnode002\nnode003\n",
            "node001,node002,node003",
            "node001, node002, node003",
            "node001..node003",
            "node001..003",
            "node00[1-3]",
            "node[001-003]",
            "node[001,002-003]",
            "node00[1-2],node003",
            "node003 node001..node002 node002",
        ] {
            assert_eq!(
                expand(text).unwrap(),
                ["node001", "node002", "node003"],
                "{text:?}"
            );
        }
        assert_eq!(expand("r[1-2]n[08-09]").unwrap().len(), 4);
        assert_eq!(expand("n9..n11").unwrap(), ["n10", "n11", "n9"]);
        assert!(expand(" \n").unwrap().is_empty());
        assert_eq!(expand("dgx-01.cm.cluster").unwrap(), ["dgx-01.cm.cluster"]);
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for text in [
            "-node002",
            "node001..rack5",
            "node003..node001",
            "node[1-",
            "node]1[",
            "n[[1-2]]",
            "node[a-b]",
            "n1..n99999999",
            "n[0-9999][0-9999]",
            "node001;reboot",
            "<1 in submode>",
            "node1..node003",
        ] {
            assert!(expand(text).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[a-z0-9.,\\[\\] \n-]{0,40}|\\PC{0,40}") {
            let _ = expand(&text);
        }
    }
}
