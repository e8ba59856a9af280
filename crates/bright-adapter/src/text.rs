//! Text from outside: made printable and bounded.

/// The most of a foreign text that goes into an error.
const SHOWN_CHARS: usize = 400;

/// A foreign text for an error message: one line, bounded, control characters escaped.
pub(crate) fn shown(text: &str) -> String {
    let text = text.trim();
    let mut line: String = text
        .lines()
        .map(str::trim_end)
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join(" | ")
        .chars()
        .take(SHOWN_CHARS)
        .flat_map(|c| {
            if c.is_control() {
                c.escape_default().collect::<Vec<_>>()
            } else {
                vec![c]
            }
        })
        .collect();
    if line.is_empty() {
        return "nothing".into();
    }
    if text.chars().count() > SHOWN_CHARS {
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_is_bounded_and_on_one_line() {
        assert_eq!(shown("a\n\n\u{7}b\n"), "a | \\u{7}b");
        assert_eq!(shown(" \n"), "nothing");
        assert!(shown(&"x".repeat(9999)).chars().count() <= SHOWN_CHARS + 1);
    }
}
