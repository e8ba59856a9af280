//! What keeps a node from being installed: its installer's question, its power control.
//!
//! Neither of these has a list in JSON. What cannot be read for certain is never read as leave: a question
//! in other words than the documented ones is another question.

use runbook_core::names::NodeName;
use runbook_core::ports::PortResult;
use runbook_core::world::{InstallerAsks, PowerState};

use super::complaint::Kind;
use super::lexicon::{Argument, Interaction, Mode, PowerWord, Verb, Word as _};
use super::script::Script;
use super::{Cmsh, effect};
use crate::process::Failure;
use crate::text::shown;

impl Cmsh {
    pub(super) async fn read_installer_asks(&self, node: &NodeName) -> PortResult<InstallerAsks> {
        let answer = self.ask(&effect::asking(node)).await?;
        Ok(asked(&answer.stdout, node))
    }

    /// A failure to answer is the answer here (administrator manual 4.2.3 shows no sample of one).
    pub(super) async fn read_power(&self, node: &NodeName) -> PortResult<PowerState> {
        let script = Script::default().then(Mode::Device).then(Verb::Power);
        let script = script.with(Argument::Nodes).name(node);
        let script = script.with(Argument::Status);
        match self.run(&script, false).await {
            Ok(answer) => match (power(&answer.stdout), answer.complaint()) {
                (Some(state), _) => Ok(state),
                // The daemon refuses, not the power control.
                (None, Some(said)) if said.kind != Kind::Other => answer
                    .accepted()
                    .map(|answer| PowerState::Silent(answer.said())),
                (None, _) => Ok(PowerState::Silent(answer.said())),
            },
            Err(failure @ Failure::Timeout(_)) => Ok(PowerState::Silent(failure.to_string())),
            Err(failure) => Err(self.failed(&script, failure)),
        }
    }
}

/// The rows of `Hostname Action` that are about this node.
fn asked(text: &str, node: &NodeName) -> InstallerAsks {
    let row = |line: &str| {
        let (host, action) = line.trim().split_once(char::is_whitespace)?;
        (host == node.as_str()).then(|| action.trim().to_owned())
    };
    let actions: Vec<String> = text.lines().filter_map(row).collect();
    let is_full = |action: &str| {
        let word = Interaction::Full.text();
        let begin = action.get(..word.len());
        begin.is_some_and(|begin| begin.eq_ignore_ascii_case(word))
    };
    match actions.as_slice() {
        [] => InstallerAsks::Nothing,
        [one] if is_full(one) => InstallerAsks::Full(shown(one)),
        several => InstallerAsks::Other(shown(&several.join("\n"))),
    }
}

/// `apc01:1 ............. [ ON ] node001`, a line for each power control of the node.
fn power(text: &str) -> Option<PowerState> {
    let word = |line: &str| {
        let (_, rest) = line.split_once('[')?;
        PowerWord::of(rest.split_once(']')?.0.trim())
    };
    let lines = text.lines().filter(|line| line.contains('['));
    let words: Vec<Option<PowerWord>> = lines.map(word).collect();
    if words.contains(&Some(PowerWord::On)) {
        return Some(PowerState::On);
    }
    let off = !words.is_empty() && words.iter().all(|word| *word == Some(PowerWord::Off));
    off.then_some(PowerState::Off)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn node() -> NodeName {
        NodeName::new("node001").unwrap()
    }

    #[test]
    fn the_manuals_question() {
        let head = "Hostname  Action\n--------- ---------------------------\n";
        let asks = |rows: &str| asked(&format!("{head}{rows}"), &node());
        assert_eq!(asks(""), InstallerAsks::Nothing);
        assert_eq!(asked("", &node()), InstallerAsks::Nothing);
        let full = "Requesting FULL Install (partition mismatch)";
        assert_eq!(
            asks(&format!("node001   {full}\n")),
            InstallerAsks::Full(full.into())
        );
        assert_eq!(
            asks("node0012  Requesting FULL Install (x)\n"),
            InstallerAsks::Nothing,
            "of another node"
        );
        for other in [
            "node001   Requesting Disk Encryption Passphrase\n",
            "node001   Requesting FULL Install (x)\nnode001   Requesting Passphrase\n",
            "node001   Not Requesting FULL Install\n",
        ] {
            assert!(matches!(asks(other), InstallerAsks::Other(_)), "{other}");
        }
    }

    #[test]
    fn the_states_of_a_power_control() {
        let one = |state: &str| power(&format!("ipmi0 ............. [ {state} ] node001\n"));
        assert_eq!(one("ON"), Some(PowerState::On));
        assert_eq!(one(" OFF "), Some(PowerState::Off));
        for none in ["FAILED", "UNKNOWN", ""] {
            assert_eq!(one(none), None, "{none}");
        }
        assert_eq!(power("node001: no answer of the BMC\n"), None);
        // Two supplies: one that is on is enough, one that is silent is not known to be off.
        let two = |first, second| power(&format!("a:1 [ {first} ] n\na:2 [ {second} ] n\n"));
        assert_eq!(two("OFF", "ON"), Some(PowerState::On));
        assert_eq!(two("OFF", "FAILED"), None);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,80}|[\\[\\]<>: a-z0-9\n-]{0,80}") {
            let _ = (asked(&text, &node()), power(&text));
        }
    }
}
