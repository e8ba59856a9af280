//! What cmsh prints beside its answer: colours, events, warnings, echoed statements.

use super::lexicon::{EventLevel, Message, Word as _};

/// Removes colour codes, carriage returns and event lines.
///
/// `--color=no` and `--hide-events` ask for the same; a terminal setting or an event that slips
/// through must not turn into an answer (administrator manual 2.5.5).
pub(super) fn clean(text: &str) -> String {
    let mut clean: String = without_escapes(text)
        .lines()
        .filter(|line| !is_event(line))
        .flat_map(|line| [line.trim_end_matches('\r'), "\n"])
        .collect();
    clean.truncate(clean.trim_end().len());
    clean
}

fn without_escapes(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\u{1b}' {
            out.push(c);
            continue;
        }
        match chars.next() {
            // A control sequence ends with its first letter or `@[\]^_`{|}~`.
            Some('[') => while chars.next().is_some_and(|c| !('@'..='~').contains(&c)) {},
            // A title for the terminal ends with a bell.
            Some(']') => while chars.next().is_some_and(|c| c != '\u{7}') {},
            _ => {}
        }
    }
    out
}

/// `Warning: …` says something, and refuses nothing (administrator manual 2.5.3).
pub(super) fn is_warning(line: &str) -> bool {
    Message::Warning.begins(line.trim_start())
}

/// `[basecm->device]% list`, or a statement of the batch alone, as `--echo` or a pipe prints them.
pub(super) fn is_echo(line: &str, script: &str) -> bool {
    let line = line.trim();
    let statement = match line.split_once("]% ") {
        Some((prompt, statement)) if prompt.starts_with('[') => statement.trim(),
        _ if line.starts_with('[') && line.ends_with("]%") => return true,
        _ => line,
    };
    statement == script || script.split("; ").any(|ours| ours == statement)
}

/// `Tue Mar 22 07:14:05 2022 [notice] node001: Service etcd was stopped`, and its shorter forms.
fn is_event(line: &str) -> bool {
    let Some((date, _)) = EventLevel::ALL
        .iter()
        .find_map(|level| line.split_once(&format!(" [{}] ", level.text())))
    else {
        return false;
    };
    let has_time = date.split([' ', '.']).any(is_time);
    let is_date = date
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || " :.".contains(c));
    date.len() <= 40 && is_date && has_time
}

fn is_time(word: &str) -> bool {
    let parts: Vec<&str> = word.split(':').collect();
    parts.len() == 3
        && parts
            .iter()
            .all(|part| part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_and_colours_are_no_answer() {
        let text = "Tue Mar 22 07:14:05 2022 [notice] node001: Service etcd was stopped\r\n\
                    Apr 14 14:02:16 2017 [notice] x\n\
                    ...07:57:36 [notice] basecm11: node001 [ INSTALLER_CALLINGINIT ]...\n\
                    \u{1b}[0;32m/var/lib/etcd\u{1b}[0m\n";
        assert_eq!(clean(text), "/var/lib/etcd");
    }

    #[test]
    fn event_levels() {
        for level in EventLevel::ALL {
            let line = format!("Tue Mar 22 07:14:05 2022 [{}] node001: x", level.text());
            assert_eq!(clean(&line), "", "{line}");
        }
        let line = "Tue Mar 22 07:14:05 2022 [loud] node001: x";
        assert_eq!(clean(line), line);
    }

    #[test]
    fn a_status_line_is_no_event() {
        let line = "node001 .................. [   UP   ]";
        assert_eq!(clean(line), line);
    }
}
