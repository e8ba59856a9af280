//! What the vendor does not document about `cmsh`, varied: each point takes its value from the
//! configuration, or else from the seed, so that tests do not come to rely on one guess.

use serde::{Deserialize, Serialize};

/// How `get` prints a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ListForm {
    /// One line, as the admin manual's sample.
    Spaces,
    /// One value per line, as seen in third-party documents.
    Lines,
    /// `node001..node003`, as the default grouping syntax.
    Range,
}

/// How a list looks inside `-d {}` output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum JsonLists {
    Range,
    Commas,
    Array,
}

/// How several nodes are written as one: `node001..node003` or `node[001-003]` (admin manual 2.5.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Grouping {
    Dot,
    Bracket,
}

/// Where the text of an error goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

/// When `nextinstallmode` is cleared: "when the node starts up again, after the node-installer
/// finishes its installation tasks" (admin manual 5.4.4) leaves both open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ClearedAt {
    CallingInit,
    Up,
}

/// The behaviour in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is one open question")]
pub(crate) struct Dialect {
    pub(crate) use_exit: u8,
    pub(crate) set_exit: u8,
    pub(crate) commit_exit: u8,
    pub(crate) other_exit: u8,
    pub(crate) error_stream: Stream,
    pub(crate) wording: u8,
    pub(crate) commit_line: bool,
    pub(crate) list_form: ListForm,
    pub(crate) json_lists: JsonLists,
    pub(crate) grouping: Grouping,
    pub(crate) early_validation: bool,
    pub(crate) removefrom_absent_fails: bool,
    pub(crate) wait_covers_services: bool,
    pub(crate) nextinstallmode_cleared: ClearedAt,
    /// Events of others in the middle of an answer.
    pub(crate) noise: bool,
    /// Properties this version does not know.
    pub(crate) missing_properties: Vec<String>,
}

/// The same, as the configuration gives it: what is left out comes from the seed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct DialectConfig {
    seed: u64,
    use_exit: Option<u8>,
    set_exit: Option<u8>,
    commit_exit: Option<u8>,
    other_exit: Option<u8>,
    error_stream: Option<Stream>,
    wording: Option<u8>,
    commit_line: Option<bool>,
    list_form: Option<ListForm>,
    json_lists: Option<JsonLists>,
    grouping: Option<Grouping>,
    early_validation: Option<bool>,
    removefrom_absent_fails: Option<bool>,
    wait_covers_services: Option<bool>,
    nextinstallmode_cleared: Option<ClearedAt>,
    noise: Option<bool>,
    missing_properties: Vec<String>,
}

/// A splitmix64 sequence: small, and the same on every machine.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn pick<T: Copy, const N: usize>(&mut self, given: Option<T>, among: [T; N]) -> T {
        // Always roll, so that fixing one point leaves the others as the seed has them.
        let at = self.next() % N as u64;
        given.unwrap_or_else(|| among[usize::try_from(at).unwrap_or(0)])
    }
}

impl DialectConfig {
    /// Nothing but the seed.
    pub(crate) fn of(seed: u64) -> Self {
        Self {
            seed,
            ..Self::default()
        }
    }

    pub(crate) fn settle(&self) -> Dialect {
        let mut dice = Dice(self.seed);
        Dialect {
            use_exit: dice.pick(self.use_exit, [0, 1]),
            set_exit: dice.pick(self.set_exit, [0, 1]),
            commit_exit: dice.pick(self.commit_exit, [0, 1]),
            other_exit: dice.pick(self.other_exit, [0, 1]),
            error_stream: dice.pick(self.error_stream, [Stream::Stdout, Stream::Stderr]),
            wording: dice.pick(self.wording, [0, 1, 2]),
            commit_line: dice.pick(self.commit_line, [false, true]),
            list_form: dice.pick(
                self.list_form,
                [ListForm::Spaces, ListForm::Lines, ListForm::Range],
            ),
            json_lists: dice.pick(
                self.json_lists,
                [JsonLists::Range, JsonLists::Commas, JsonLists::Array],
            ),
            early_validation: dice.pick(self.early_validation, [false, true]),
            removefrom_absent_fails: dice.pick(self.removefrom_absent_fails, [false, true]),
            wait_covers_services: dice.pick(self.wait_covers_services, [false, true]),
            nextinstallmode_cleared: dice.pick(
                self.nextinstallmode_cleared,
                [ClearedAt::CallingInit, ClearedAt::Up],
            ),
            grouping: dice.pick(self.grouping, [Grouping::Dot, Grouping::Bracket]),
            noise: self.noise.unwrap_or(true),
            missing_properties: self.missing_properties.clone(),
        }
    }
}

impl Dialect {
    /// No document shows the text for an unknown object.
    pub(crate) fn no_object(&self, mode: &str, name: &str) -> String {
        match self.wording {
            0 => format!("Object '{name}' not found"),
            1 => format!("{mode}: {name}: no such object"),
            _ => format!("Unable to use '{name}'"),
        }
    }

    pub(crate) fn no_property(&self, name: &str) -> String {
        match self.wording {
            0 => format!("Unknown parameter: {name}"),
            1 => format!("Property '{name}' does not exist"),
            _ => format!("No such property: {name}"),
        }
    }

    pub(crate) fn bad_value(&self, name: &str, value: &str) -> String {
        match self.wording {
            0 => format!("Invalid value for {name}: {value}"),
            1 => format!("'{value}' is not a valid {name}"),
            _ => format!("Unable to set {name} to '{value}'"),
        }
    }

    /// The provisioning subsystem while it has work.
    pub(crate) fn busy(&self) -> &'static str {
        if self.wording == 0 { "busy" } else { "running" }
    }

    pub(crate) fn locked(&self, image: &str, locked: bool) -> String {
        let word = if locked { "yes" } else { "no" };
        match self.wording {
            0 => word.to_owned(),
            1 => format!("{image}: {word}"),
            _ if locked => format!("Software image {image} is locked"),
            _ => format!("Software image {image} is not locked"),
        }
    }

    /// How a daemon that does not answer is complained about.
    pub(crate) fn no_daemon(&self, host: &str, why: &str) -> String {
        match self.wording {
            0 => format!("Unable to connect to CMDaemon on {host}: {why}"),
            1 => format!("Could not connect to the cluster management daemon at {host}:8081"),
            _ => format!("cmsh: {host}:8081: {why}, is CMDaemon running?"),
        }
    }

    /// What follows `running in` on the passive head; only the active one's text is documented.
    pub(crate) fn passive_mode(&self) -> &'static str {
        if self.wording == 0 {
            "passive"
        } else {
            "passive master"
        }
    }

    /// Whether a passive head's own daemon takes changes is not documented; it does not here.
    pub(crate) fn passive_refuses(&self) -> &'static str {
        match self.wording {
            0 => "This CMDaemon is passive, changes are not allowed",
            1 => "Unable to commit: not the active head node",
            _ => "Error: CMDaemon is not master",
        }
    }

    pub(crate) fn no_command(&self, name: &str) -> String {
        match self.wording {
            0 => format!("Unknown command: {name}"),
            1 => format!("{name}: command not found"),
            _ => format!("Command '{name}' unknown, try help"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_differ_and_what_is_given_holds() {
        let settled: Vec<Dialect> = (0..8)
            .map(|seed| {
                DialectConfig {
                    seed,
                    use_exit: Some(1),
                    ..Default::default()
                }
                .settle()
            })
            .collect();
        assert!(settled.iter().all(|dialect| dialect.use_exit == 1));
        assert!(settled.iter().any(|dialect| dialect.commit_line));
        assert!(settled.iter().any(|dialect| !dialect.commit_line));
        assert!(
            settled
                .iter()
                .any(|dialect| dialect.error_stream == Stream::Stdout)
        );
        assert!(
            settled
                .iter()
                .any(|dialect| dialect.error_stream == Stream::Stderr)
        );
    }
}
