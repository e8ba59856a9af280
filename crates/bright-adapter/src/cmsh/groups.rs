//! Lists of nodes as cmsh prints them (administrator manual 2.5.5, `groupingsyntax`).
//!
//! `node001..node003`, `node00[1-3]`, `node[001,005-007]`, one per line, by blanks or by commas.

use std::collections::BTreeSet;

use crate::text::shown;

/// The most names one list may stand for, each counted as often as it stands there.
const LIMIT: usize = 20_000;

/// The longest name of a node, in bytes.
const NAME_BYTES: usize = 253;

/// The most brackets in one name, as rack and node.
const BRACKETS: usize = 4;

/// Every name a list stands for, sorted, each once.
///
/// # Errors
/// What cannot be read, in words.
pub(crate) fn expand(text: &str) -> Result<Vec<String>, String> {
    let mut names = Names::default();
    for word in words(text)? {
        let brackets = word.matches('[').count();
        let outside = word
            .split(['[', ']'])
            .step_by(2)
            .map(str::len)
            .sum::<usize>();
        if brackets > BRACKETS || (brackets > 0 && outside > NAME_BYTES) {
            return Err(format!("{} is too long a name", shown(word)));
        }
        expand_word(word, &mut names)?;
    }
    Ok(names.found.into_iter().collect())
}

/// What was found so far, within bounds: a list of a few bytes can stand for more than any memory holds.
#[derive(Default)]
struct Names {
    found: BTreeSet<String>,
    counted: usize,
}

impl Names {
    fn add(&mut self, name: &str) -> Result<(), String> {
        self.counted += 1;
        if self.counted > LIMIT {
            return Err(format!("more than {LIMIT} names"));
        }
        let fine = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if name.len() > NAME_BYTES || name.starts_with('-') || !name.chars().all(fine) {
            return Err(format!("{} is no name", shown(name)));
        }
        self.found.insert(name.to_owned());
        Ok(())
    }
}

/// Splits at blanks, line ends, and commas outside brackets.
fn words(text: &str) -> Result<Vec<&str>, String> {
    let mut inside = false;
    for c in text.chars() {
        match (c, inside) {
            ('[', false) => inside = true,
            (']', true) => inside = false,
            ('[' | ']', _) => return Err(format!("unbalanced brackets in {}", shown(text))),
            _ => {}
        }
    }
    if inside {
        return Err(format!("unbalanced brackets in {}", shown(text)));
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

fn expand_word(word: &str, names: &mut Names) -> Result<(), String> {
    if let Some((prefix, rest)) = word.split_once('[') {
        let (inside, suffix) = rest
            .split_once(']')
            .ok_or_else(|| format!("unbalanced brackets in {}", shown(word)))?;
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
        return names.add(word);
    };
    let ((prefix, first), (other, last)) = (split_number(from), split_number(to));
    if prefix != other && !other.is_empty() {
        return Err(format!("{} is no range", shown(word)));
    }
    for number in range(first, last, word)? {
        names.add(&format!("{prefix}{number}"))?;
    }
    Ok(())
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
        return Err(format!("{} is no range", shown(word)));
    };
    let width = from.len();
    if width > NAME_BYTES || to.len() > NAME_BYTES {
        return Err(format!("{} is no range", shown(word)));
    }
    let ends_as_written = format!("{last:0width$}") == to;
    let count = last
        .checked_sub(first)
        .filter(|count| *count < LIMIT as u64);
    if count.is_none() || !ends_as_written {
        return Err(format!("{} is no range, or too long a one", shown(word)));
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

    /// Lists whose text is far smaller than what they ask for.
    #[test]
    fn a_bomb_is_refused_at_once() {
        let zeroes = "0".repeat(70_000);
        for text in [
            "[0]".repeat(1_000_000),
            format!("n[{}]", "0-9999,".repeat(100_000)),
            format!("n[0-19999]{}", "x".repeat(1_000_000)),
            format!("{}[0-19999]", "x".repeat(1_000_000)),
            format!("n{zeroes}1..n{zeroes}2"),
            format!("n[{zeroes}1-{zeroes}2]"),
            "n[0-9][0-9][0-9][0-9][0-9]".to_owned(),
            "n0..n19999 ".repeat(1000),
        ] {
            let error = expand(&text).unwrap_err();
            assert!(error.len() < 2000, "{:.60}: {} bytes", text, error.len());
        }
        assert_eq!(expand("r[0-1]n[0-9][0-9][0-9]").unwrap().len(), 2000);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[a-z0-9.,\\[\\] \n-]{0,40}|\\PC{0,40}") {
            let _ = expand(&text);
        }
    }
}
