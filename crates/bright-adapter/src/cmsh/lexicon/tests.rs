//! That nothing goes past the lexicon, and that the ledger knows all of it.

mod ledger;
mod sources;

use super::*;

/// The whole lexicon, each word with its group.
fn whole() -> Vec<(&'static str, &'static str)> {
    let advice = ADVICE.iter().map(|word| ("advice", *word));
    all().into_iter().chain(advice).collect()
}

#[test]
fn a_word_is_found_whatever_its_case() {
    assert_eq!(State::of("installing"), Some(State::Installing));
    assert_eq!(State::of("MELTING"), None);
    assert!(DeviceType::SomeNode.ends("PhysicalNode") && !DeviceType::SomeNode.ends("é"));
}

#[test]
fn a_word_adds_no_statement() {
    for (group, word) in whole() {
        let typed = !["message", "complaint", "flag"].contains(&group);
        assert!(
            !word.contains([';', '!', '`', '|', '>', '"', '\n']),
            "{word:?}"
        );
        assert!(
            !typed || word.trim() == word && !word.is_empty(),
            "{word:?}"
        );
    }
}
