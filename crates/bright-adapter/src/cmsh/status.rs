//! A device's status, in every form that has been seen (administrator manual 5.5).

use runbook_core::text::steers;
use runbook_core::world::DeviceStatus;

use super::lexicon::{Flag, State, Word as _};

/// The most of a status that is kept.
const KEPT_CHARS: usize = 120;

/// Reads `[   UP   ]`, `UP/CLOSED`, `[ CLOSED ] (UP)`, `[ UP ] (pingable), restart-required`, …
///
/// A closed node is up or down as any other; only the cluster manager's daemon looks away.
pub(crate) fn parse(text: &str) -> DeviceStatus {
    let text = text.trim();
    let (inside, behind) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((inside, behind)) => (inside.trim(), behind.trim()),
        None => text.split_once(' ').unwrap_or((text, "")),
    };
    let state = inside
        .split('/')
        .map(str::trim)
        .find(|word| Flag::of(word) != Some(Flag::Closed))
        .or_else(|| in_parentheses(behind))
        .unwrap_or(inside);
    let word = state.replace([' ', '-'], "_");
    let Some(state) = State::of(&word) else {
        return DeviceStatus::Unknown(kept(text));
    };
    let told = || told(&word.to_ascii_uppercase(), behind);
    match state {
        State::Up => DeviceStatus::Up,
        State::Down => DeviceStatus::Down,
        State::Booting
        | State::Installing
        | State::CallingInit
        | State::CallingInitOfApi
        | State::InstallerRebooting
        | State::InstallerBurning
        | State::Burning
        | State::GoingDown
        | State::Opening
        | State::Pending => DeviceStatus::Booting(told()),
        State::InstallerFailed | State::InstallerUnreachable => DeviceStatus::Failed(told()),
    }
}

fn in_parentheses(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once('(')?;
    rest.split_once(')').map(|(inside, _)| inside.trim())
}

/// The state with the installer's message, as `INSTALLING (waiting for FULL provisioning to start)`:
/// somebody waits for twenty minutes and reads it.
fn told(word: &str, behind: &str) -> String {
    match in_parentheses(behind) {
        Some(message) if !message.eq_ignore_ascii_case(word) => {
            kept(&format!("{word} ({message})"))
        }
        _ => word.to_owned(),
    }
}

fn kept(text: &str) -> String {
    text.chars()
        .filter(|c| !steers(*c))
        .take(KEPT_CHARS)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documented_forms() {
        for up in [
            "[ UP ]",
            "[   UP   ]",
            "[ UP ] restart-required, health check failed",
            "[ UP ] state flapping",
            "[ UP ] (pingable)",
            "UP (pingable)",
            "UP/CLOSED",
            "[ UP/CLOSED ]",
            "[ CLOSED ] (UP)",
            "up",
        ] {
            assert_eq!(parse(up), DeviceStatus::Up, "{up}");
        }
        for down in [
            "[ DOWN ] (hostname changed) restart-required",
            "[  DOWN  ], unassigned",
            "DOWN/CLOSED",
            "[ CLOSED ] (DOWN)",
        ] {
            assert_eq!(parse(down), DeviceStatus::Down, "{down}");
        }
    }

    #[test]
    fn the_way_up_keeps_the_installers_words() {
        let text = "[ INSTALLER_CALLINGINIT ] (switching to local root)";
        let word = "INSTALLER_CALLINGINIT (switching to local root)";
        assert_eq!(parse(text), DeviceStatus::Booting(word.into()));
        let text = "[ INSTALLING ] (waiting for user input)";
        assert_eq!(
            parse(text),
            DeviceStatus::Booting("INSTALLING (waiting for user input)".into())
        );
        assert_eq!(
            parse("INSTALLING/CLOSED"),
            DeviceStatus::Booting("INSTALLING".into())
        );
        assert_eq!(
            parse("[ BOOTING ]"),
            DeviceStatus::Booting("BOOTING".into())
        );
        assert_eq!(
            parse("[ INSTALLER_FAILED ]"),
            DeviceStatus::Failed("INSTALLER_FAILED".into())
        );
    }

    #[test]
    fn a_new_word_is_unknown() {
        assert_eq!(
            parse("[ MELTING ]"),
            DeviceStatus::Unknown("[ MELTING ]".into())
        );
        assert_eq!(parse("no data"), DeviceStatus::Unknown("no data".into()));
        assert_eq!(
            parse("[ CLOSED ]"),
            DeviceStatus::Unknown("[ CLOSED ]".into())
        );
        assert_eq!(parse(""), DeviceStatus::Unknown(String::new()));
        assert_eq!(parse("[ UP"), DeviceStatus::Unknown("[ UP".into()));
    }
}
