//! Output as nobody asked for it.

use crate::protocol::Welcome;
use crate::render;
use crate::scenario::Oddity;

/// Adds what the scenario wants to the output of one command.
pub(crate) fn disturbed(text: String, welcome: &Welcome) -> String {
    let mut text = text;
    let wants = |oddity: Oddity| welcome.output.contains(&oddity);
    if wants(Oddity::Events) && !text.is_empty() {
        text = interrupted(&text, welcome);
    }
    if wants(Oddity::Colour) {
        text = render::coloured(&text);
    }
    text
}

/// An event after the first line, in one of the forms that have been seen.
fn interrupted(text: &str, welcome: &Welcome) -> String {
    let said = format!("[notice] {}: Service cups was stopped", welcome.head);
    let event = match welcome.dialect.wording {
        0 => format!("Tue Mar 22 07:14:05 2022 {said}"),
        1 => format!("Apr 14 14:02:16 2017 {said}"),
        _ => format!("...07:57:36 {said}"),
    };
    let first = text.find('\n').map_or(text.len(), |end| end + 1);
    let (before, after) = text.split_at(first);
    format!("{before}{event}\n{after}")
}

/// The first half of an answer: it may end within a line.
pub(crate) fn half(text: &str) -> &str {
    let mut at = text.len() / 2;
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    &text[..at]
}
