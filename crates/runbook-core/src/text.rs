//! Text from outside, made harmless for whoever reads it.
//!
//! A node, cmsh, a snapshot and a file may say anything: escape sequences that steer a terminal, marks
//! that turn the order of what is read around, characters that nobody sees. They are shown as escapes, so
//! that a reviewer reads what is there.

use std::fmt::Write as _;

/// The most of a foreign text that goes into a message: as much of its beginning, and of its end, where a
/// parser says the place.
const HEAD_CHARS: usize = 400;
const TAIL_CHARS: usize = 200;

/// Whether a terminal would act on this instead of showing it.
pub const fn steers(c: char) -> bool {
    match c {
        // Nearly all there is; a journal asks it of each of its characters.
        ' '..='~' => false,
        '\0'..'\u{a0}' => true,
        _ => is_invisible(c),
    }
}

/// Marks that change how their neighbours are shown, or that nobody sees.
const fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// The text with whatever steers a terminal written as an escape; line feeds stay.
pub fn visible(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if c != '\n' && steers(c) {
            safe.extend(c.escape_unicode());
        } else {
            safe.push(c);
        }
    }
    safe
}

/// A foreign text for a message: its beginning and its end, the middle cut out of a long one.
pub fn shortened(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    if chars.len() <= HEAD_CHARS + TAIL_CHARS {
        return text.to_owned();
    }
    let head: String = chars[..HEAD_CHARS].iter().collect();
    let tail: String = chars[chars.len() - TAIL_CHARS..].iter().collect();
    format!("{head} … {tail}")
}

/// JSON whose strings are written that way. It says the same: nothing but a line feed between two values
/// can stand outside a string.
pub fn visible_json(json: String) -> String {
    // Without a way out in the middle many bytes are looked at at once.
    let is_plain = |byte| matches!(byte, b'\n' | b' '..=b'~');
    let plain = json.bytes().fold(true, |all, byte| all & is_plain(byte));
    if plain || !json.chars().any(|c| c != '\n' && steers(c)) {
        return json;
    }
    let mut safe = String::with_capacity(json.len());
    for c in json.chars() {
        if c != '\n' && steers(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(safe, "\\u{unit:04x}").ok();
            }
        } else {
            safe.push(c);
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_becomes_visible() {
        assert_eq!(
            visible("a\x1b[2Jb\u{9b}c\x07"),
            "a\\u{1b}[2Jb\\u{9b}c\\u{7}"
        );
        assert_eq!(
            visible("x\u{202e}y\u{200b}z\r"),
            "x\\u{202e}y\\u{200b}z\\u{d}"
        );
        assert_eq!(visible("ä\n€ é"), "ä\n€ é");
    }

    #[test]
    fn a_long_text_keeps_its_ends() {
        assert_eq!(shortened("ä"), "ä");
        let long = shortened(&format!("begin{}at line 3", "é".repeat(9000)));
        assert!(long.starts_with("begin") && long.ends_with("at line 3"));
        assert_eq!(long.chars().count(), 603);
    }

    #[test]
    fn json_says_the_same() {
        let value = serde_json::json!({"name": "a\x1b[2J\u{9b}b\u{202e}\u{e0001}\u{7f}ü\n"});
        let text = visible_json(format!("{value:#}\n"));
        assert!(!text.chars().any(|c| c != '\n' && steers(c)), "{text}");
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&text).unwrap(),
            value
        );
    }
}
