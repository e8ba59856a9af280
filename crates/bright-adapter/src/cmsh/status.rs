//! A device's status, in every form that has been seen (administrator manual 5.5).

use runbook_core::text::steers;
use runbook_core::world::{DeviceStatus, InstallerStep};

use super::lexicon::{Flag, Installer, State, Word as _};

/// The most of a status that is kept.
const KEPT_CHARS: usize = 120;
/// The most flags that are kept, and of each.
const FLAGS: usize = 8;
const FLAG_CHARS: usize = 60;

/// Reads `[   UP   ]`, `UP/CLOSED`, `[ CLOSED ] (UP)`, `[ UP ] (pingable), restart-required`, …: the
/// state, and what is said beside it.
///
/// A closed node is up or down as any other; only the cluster manager's daemon looks away.
pub(crate) fn parse(text: &str) -> (DeviceStatus, Vec<String>) {
    let text = text.trim();
    let (inside, behind) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((inside, behind)) => (inside.trim(), behind.trim()),
        None => text.split_once(' ').unwrap_or((text, "")),
    };
    let (notes, beside) = parentheses(behind);
    let mut said: Vec<&str> = inside.split('/').map(str::trim).collect();
    said.extend(notes);
    // The first word that is a state; what the installer says of it follows.
    let Some(at) = said.iter().position(|word| state(word).is_some()) else {
        return (DeviceStatus::Unknown(kept(text, KEPT_CHARS)), Vec::new());
    };
    let word = said.remove(at);
    let message = said.iter().position(|word| Flag::of(word).is_none());
    let status = match state(word) {
        Some(State::Up) => DeviceStatus::Up,
        Some(State::Down) => DeviceStatus::Down,
        Some(State::InstallerFailed) => {
            DeviceStatus::Failed(told(word, message.map(|at| said.remove(at))))
        }
        Some(State::InstallerUnreachable) => {
            DeviceStatus::Unreachable(told(word, message.map(|at| said.remove(at))))
        }
        _ => DeviceStatus::Booting(told(word, message.map(|at| said.remove(at)))),
    };
    let flags = said.into_iter().chain(beside.split(',')).map(str::trim);
    let mut flags: Vec<String> = flags
        .filter(|flag| !flag.is_empty())
        .map(|flag| kept(&flag.to_lowercase(), FLAG_CHARS))
        .take(FLAGS)
        .collect();
    flags.sort();
    flags.dedup();
    (status, flags)
}

/// How far the installer is, by its message; none where it does not run.
pub(crate) fn installer(status: &DeviceStatus) -> Option<InstallerStep> {
    let DeviceStatus::Booting(told) = status else {
        return None;
    };
    let word = told.split_whitespace().next().unwrap_or_default();
    if state(word) != Some(State::Installing) {
        return None;
    }
    let message = told.to_lowercase();
    let said = Installer::ALL.iter().find(|word| word.is_in(&message));
    Some(match said {
        None => InstallerStep::Begun,
        Some(Installer::WaitsForUser) => InstallerStep::WaitsForUser,
        Some(Installer::WaitsForFull | Installer::WaitsForSync) => {
            InstallerStep::WaitsForProvisioning
        }
        Some(Installer::Maintenance) => InstallerStep::Maintenance,
        Some(
            Installer::Resumed
            | Installer::Recreating
            | Installer::Mounting
            | Installer::Provisioning
            | Installer::Provisioned
            | Installer::SeLinux,
        ) => InstallerStep::Works,
    })
}

fn state(word: &str) -> Option<State> {
    State::of(&word.replace([' ', '-'], "_"))
}

/// What stands in parentheses, the last perhaps cut short, and the rest.
fn parentheses(text: &str) -> (Vec<&str>, String) {
    let (mut notes, mut beside, mut rest) = (Vec::new(), String::new(), text);
    while let Some((before, inside)) = rest.split_once('(') {
        beside.extend([before, ","]);
        let (note, after) = inside.split_once(')').unwrap_or((inside, ""));
        notes.push(note.trim());
        rest = after;
    }
    beside.push_str(rest);
    (notes, beside)
}

/// The state with the installer's message, as `INSTALLING (waiting for FULL provisioning to start)`:
/// somebody waits for twenty minutes and reads it.
fn told(word: &str, message: Option<&str>) -> String {
    let word = word.to_ascii_uppercase().replace([' ', '-'], "_");
    match message {
        Some(message) => kept(&format!("{word} ({message})"), KEPT_CHARS),
        None => word,
    }
}

fn kept(text: &str, chars: usize) -> String {
    text.chars().filter(|c| !steers(*c)).take(chars).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn state_of(text: &str) -> DeviceStatus {
        parse(text).0
    }

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
            assert_eq!(state_of(up), DeviceStatus::Up, "{up}");
        }
        for down in [
            "[ DOWN ] (hostname changed) restart-required",
            "[  DOWN  ], unassigned",
            "DOWN/CLOSED",
            "[ CLOSED ] (DOWN)",
        ] {
            assert_eq!(state_of(down), DeviceStatus::Down, "{down}");
        }
    }

    #[test]
    fn the_way_up_keeps_the_installers_words() {
        let text = "[ INSTALLER_CALLINGINIT ] (switching to local root)";
        let word = "INSTALLER_CALLINGINIT (switching to local root)";
        assert_eq!(state_of(text), DeviceStatus::Booting(word.into()));
        let text = "[ INSTALLING ] (waiting for user input)";
        assert_eq!(
            state_of(text),
            DeviceStatus::Booting("INSTALLING (waiting for user input)".into())
        );
        assert_eq!(
            state_of("INSTALLING/CLOSED"),
            DeviceStatus::Booting("INSTALLING".into())
        );
        assert_eq!(
            state_of("[ BOOTING ]"),
            DeviceStatus::Booting("BOOTING".into())
        );
        assert_eq!(
            state_of("[ INSTALLER_FAILED ]"),
            DeviceStatus::Failed("INSTALLER_FAILED".into())
        );
    }

    #[test]
    fn how_far_the_installer_is() {
        use InstallerStep::{Begun, Maintenance, WaitsForProvisioning, WaitsForUser, Works};
        for (message, step) in [
            ("", Begun),
            ("(node-installer started)", Begun),
            ("(waiting for user input)", WaitsForUser),
            ("(installation was resumed)", Works),
            ("(checking disks)", Begun),
            ("(recreating partitions and filesystems)", Works),
            ("(mounting disks)", Works),
            (
                "(waiting for FULL provisioning to start)",
                WaitsForProvisioning,
            ),
            (
                "(waiting for SYNC provisioning to start)",
                WaitsForProvisioning,
            ),
            ("(provisioning started, waiting for completion)", Works),
            ("(provisioning complete)", Works),
            ("(initializing SELinux)", Works),
            ("(entered maintenance mode)", Maintenance),
            ("(something new)", Begun),
        ] {
            let text = format!("[ INSTALLING ] {message}");
            assert_eq!(installer(&state_of(&text)), Some(step), "{text}");
        }
        for none in ["[ UP ] (waiting for user input)", "[ BOOTING ]", ""] {
            assert_eq!(installer(&state_of(none)), None, "{none}");
        }
        assert_eq!(
            state_of("[ INSTALLER_UNREACHABLE ] (x)"),
            DeviceStatus::Unreachable("INSTALLER_UNREACHABLE (x)".into())
        );
    }

    #[test]
    fn a_new_word_is_unknown() {
        assert_eq!(
            state_of("[ MELTING ]"),
            DeviceStatus::Unknown("[ MELTING ]".into())
        );
        assert_eq!(state_of("no data"), DeviceStatus::Unknown("no data".into()));
        assert_eq!(
            state_of("[ CLOSED ]"),
            DeviceStatus::Unknown("[ CLOSED ]".into())
        );
        assert_eq!(state_of(""), DeviceStatus::Unknown(String::new()));
        assert_eq!(state_of("[ UP"), DeviceStatus::Unknown("[ UP".into()));
    }

    #[test]
    fn what_is_said_beside_the_state_is_kept() {
        for (text, flags) in [
            ("[   UP   ]", &[][..]),
            (
                "[   UP   ] restart-required, health check failed",
                &["health check failed", "restart-required"],
            ),
            ("UP/CLOSED", &["closed"]),
            ("[ CLOSED ] (UP)", &["closed"]),
            ("INSTALLING/CLOSED", &["closed"]),
            (
                "[ UP ] (pingable), restart-required",
                &["pingable", "restart-required"],
            ),
            ("[ UP ] state flapping", &["state flapping"]),
            ("[  DOWN  ], unassigned", &["unassigned"]),
            (
                "[ DOWN ] (hostname changed) restart-required",
                &["hostname changed", "restart-required"],
            ),
            (
                "[ INSTALLING ] (checking disks) restart-required",
                &["restart-required"],
            ),
            ("[ UP ] On fire\u{1b}!", &["on fire!"]),
        ] {
            assert_eq!(parse(text).1, flags, "{text}");
        }
    }

    #[test]
    fn a_message_that_is_cut_short_leaves_the_state() {
        let cut = DeviceStatus::Booting("INSTALLER_CALLINGINIT (swit+)".into());
        assert_eq!(parse("[ INSTALLER_CALLINGINIT ] (swit+"), (cut, Vec::new()));
    }

    proptest! {
        #[test]
        fn any_text_is_bounded(text in "\\PC{0,400}|[\\[\\]()/, UPclosed]{0,400}") {
            let (status, flags) = parse(&text);
            prop_assert!(status.to_string().chars().count() <= KEPT_CHARS);
            prop_assert!(flags.len() <= FLAGS && flags.iter().all(|f| f.chars().count() <= FLAG_CHARS));
        }
    }
}
