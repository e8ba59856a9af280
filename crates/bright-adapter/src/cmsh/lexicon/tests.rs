//! That nothing goes past the lexicon, that the ledger knows all of it, and what its groups are for.

mod ledger;
mod sources;

use super::*;

/// A word with its place in the ledger.
struct Entry {
    id: String,
    group: &'static str,
    word: &'static str,
}

/// The whole lexicon.
fn whole() -> Vec<Entry> {
    let table = all().into_iter().map(|(group, variant, word)| Entry {
        id: format!("{group}/{}", kebab(variant)),
        group,
        word,
    });
    let advice = ADVICE.iter().map(|&word| Entry {
        id: format!("advice/{word}"),
        group: "advice",
        word,
    });
    table.chain(advice).collect()
}

/// `NoStartupFile` is `no-startup-file`.
fn kebab(variant: &str) -> String {
    let mut text = String::new();
    for c in variant.chars() {
        if c.is_uppercase() && !text.is_empty() {
            text.push('-');
        }
        text.extend(c.to_lowercase());
    }
    text
}

#[test]
fn a_word_is_found_whatever_its_case() {
    assert_eq!(State::of("installing"), Some(State::Installing));
    assert_eq!(State::of("MELTING"), None);
}

#[test]
fn a_word_adds_no_statement() {
    for Entry { id, word, .. } in whole() {
        assert!(!word.contains([';', '!', '`', '|', '>', '"', '\n']), "{id}");
        assert!(word.trim() == word && !word.is_empty(), "{id}");
    }
}

#[test]
fn booleans() {
    let values: Vec<bool> = Boolean::ALL.iter().map(|word| word.value()).collect();
    assert_eq!(values, [true, false].repeat(4));
    for value in [true, false] {
        assert_eq!(Boolean::from(value).value(), value);
    }
    assert_eq!(Boolean::from(true).text(), "yes");
}

#[test]
fn install_modes() {
    for word in Install::ALL {
        let mode = InstallMode::from(*word);
        assert_eq!(Install::from(mode), *word);
        assert_eq!(mode.to_string(), word.text());
        assert_eq!(Install::of(&word.text().to_lowercase()), Some(*word));
    }
}

#[test]
fn device_types() {
    for (kind, head, node) in [
        ("HeadNode", true, true),
        ("MasterNode", true, true),
        ("PhysicalNode", false, true),
        ("CloudNode", false, true),
        ("EthernetSwitch", false, false),
        ("é", false, false),
    ] {
        let is = DeviceType::of(kind);
        let is_head = matches!(is, Some(DeviceType::Head | DeviceType::Master));
        assert_eq!(
            (is_head, DeviceType::Any.ends(kind)),
            (head, node),
            "{kind}"
        );
    }
}

#[test]
fn every_state_and_flag_is_in_a_fixture() {
    let texts = include_str!("../../../tests/fixtures/statuses.txt").to_lowercase();
    let read: Vec<&str> = texts
        .lines()
        .flat_map(|line| line.split('\t').skip(1))
        .collect();
    let said = |word: &str| {
        let word = word.to_lowercase();
        read.iter().any(|cell| {
            let mut parts = cell.split([',', '(']).map(str::trim);
            parts.any(|part| part == word)
        })
    };
    let words = whole()
        .into_iter()
        .filter(|entry| ["state", "flag"].contains(&entry.group));
    for Entry { id, word, .. } in words {
        assert!(said(word), "no fixture has {id}");
    }
}
