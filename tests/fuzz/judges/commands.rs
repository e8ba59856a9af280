//! Commands read back as a shell and as cmsh would read them, by readers that share no code with the
//! writers.

use runbook_core::plan::{Command, Place};
use standin::lexer::{Part, Word, parse};

/// A command, pasted into a terminal, is the words that run; and what cmsh is given is words, too.
pub(crate) fn are_words(command: &Command) {
    let line = command.to_string();
    let words = shlex::split(&line).unwrap_or_else(|| panic!("{line}"));
    match &command.place {
        Place::Node(node) => {
            let remote = format!("root@{node}");
            assert_eq!(words[..2], ["ssh".to_owned(), remote], "{line}");
            assert_eq!(
                shlex::split(&words[2]).as_ref(),
                Some(&command.argv),
                "{line}"
            );
        }
        Place::Head => assert_eq!(words, command.argv, "{line}"),
        Place::Api => {}
    }
    if command
        .argv
        .first()
        .is_some_and(|program| program.ends_with("/cmsh"))
    {
        script(command.argv.last().expect("a script"));
    }
}

/// A batch of statements without anything that cmsh would run, pipe or write, each word in the narrow
/// alphabet of names and of the lexicon.
pub(crate) fn script(text: &str) {
    let statements = parse(text).unwrap_or_else(|fault| panic!("{text:?}: {fault}"));
    assert!(!statements.is_empty());
    for statement in statements {
        assert!(statement.tail.is_none(), "{text:?}");
        for word in statement.words {
            let Word::Plain(parts) = word else {
                panic!("{text:?}");
            };
            for part in parts {
                let Part::Text(word) = part else {
                    panic!("{text:?}");
                };
                let plain = |c: char| c.is_ascii_alphanumeric() || "._:,-{}".contains(c);
                assert!(word.chars().all(plain), "{word:?} in {text:?}");
            }
        }
    }
}
