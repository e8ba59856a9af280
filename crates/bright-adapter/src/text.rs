//! Text from outside: made printable and bounded.

use runbook_core::text::visible;

/// The most of a foreign text that goes into an error.
const SHOWN_CHARS: usize = 400;

/// A foreign text for an error message: one line, bounded, without anything that steers a terminal.
pub(crate) fn shown(text: &str) -> String {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let mut line = String::new();
    // As much as is shown, and one character more: the rest of a long text is not even looked at.
    for part in lines {
        if !line.is_empty() {
            line.push_str(" | ");
        }
        line.extend(part.chars().take(SHOWN_CHARS + 1));
        if line.chars().nth(SHOWN_CHARS).is_some() {
            break;
        }
    }
    if line.is_empty() {
        return "nothing".into();
    }
    if let Some((end, _)) = line.char_indices().nth(SHOWN_CHARS) {
        line.truncate(end);
        line.push('…');
    }
    visible(&line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_is_bounded_and_on_one_line() {
        assert_eq!(shown("a\n\n\u{7}b\n"), "a | \\u{7}b");
        assert_eq!(shown("a\u{202e}b"), "a\\u{202e}b");
        assert_eq!(shown(" \n"), "nothing");
        assert!(shown(&"x".repeat(9999)).chars().count() <= SHOWN_CHARS + 1);
    }
}
