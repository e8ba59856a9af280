//! Plans and runs as people and programs read them.

pub(crate) mod article;
pub(crate) mod backup;
pub(crate) mod commands;
pub(crate) mod doctor;
pub(crate) mod json;
pub(crate) mod markdown;
pub(crate) mod next;
pub(crate) mod order;
pub(crate) mod probe;
pub(crate) mod recovery;
pub(crate) mod rehearse;
pub(crate) mod status;
pub(crate) mod text;
pub(crate) mod timer;
pub(crate) mod verify;

use std::time::Duration;

/// 12345678 as "12,345,678".
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Bytes in the unit a person would choose, with the exact number.
pub(crate) fn size(bytes: u64) -> String {
    if bytes < 1 << 10 {
        return short_size(bytes);
    }
    format!("{} ({} bytes)", short_size(bytes), thousands(bytes))
}

/// Bytes in the unit a person would choose.
pub(crate) fn short_size(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match UNITS.iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => {
            let tenths = bytes.saturating_mul(10) / unit;
            format!("{}.{} {name}", tenths / 10, tenths % 10)
        }
        None => format!("{bytes} bytes"),
    }
}

/// 3605 s as "1:00:05".
pub(crate) fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 {
        format!("{hours}:{minutes:02}:{rest:02}")
    } else {
        format!("{minutes}:{rest:02}")
    }
}

/// How long ago, in the two units that matter.
pub(crate) fn age(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min"),
        (0, ..) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

/// Breaks text at spaces into lines of at most `width` characters; a longer word keeps its line.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.len() - 1;
        let line = &mut lines[last];
        if line.is_empty() {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() <= width {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

#[cfg(test)]
mod snapshots;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(12_345_678), "12,345,678");
        assert_eq!(size(512), "512 bytes");
        assert_eq!(size(13_000_000), "12.3 MiB (13,000,000 bytes)");
        assert_eq!(short_size(13_000_000), "12.3 MiB");
        assert_eq!(size(8 << 30), "8.0 GiB (8,589,934,592 bytes)");
        let ages = [59, 60, 3600 + 120, 86400 * 400 + 7200].map(age);
        assert_eq!(ages, ["59 s", "1 min", "1 h 2 min", "400 d 2 h"]);
        assert_eq!(clock(Duration::from_secs(65)), "1:05");
        assert_eq!(clock(Duration::from_secs(3605)), "1:00:05");
    }

    #[test]
    fn text_is_wrapped_at_spaces() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("unbreakable-word x", 4), ["unbreakable-word", "x"]);
        assert_eq!(wrap("", 4), [""]);
    }
}
