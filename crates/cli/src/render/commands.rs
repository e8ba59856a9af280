//! Commands for reading: a script stands there as it is, and only once.

use std::fmt::Write as _;

use runbook_core::names::UnitId;
use runbook_core::plan::{Command, Place};

use crate::ui::clean;

/// A script of more lines than this is not repeated.
const SHORT: usize = 3;

/// What it is called on a page.
pub(crate) const fn label(command: &Command) -> &'static str {
    match command.place {
        Place::Api => "etcd call",
        Place::Head | Place::Node(_) => "command",
    }
}

/// The commands shown so far on a page.
#[derive(Debug, Default)]
pub(crate) struct Commands {
    shown: Vec<(Vec<String>, UnitId)>,
}

impl Commands {
    /// A command as a reviewer reads it. What runs is the same, word by word, in the plan file.
    pub(crate) fn readable(&mut self, command: &Command, unit: &UnitId) -> String {
        let Some(script) = command.script() else {
            return clean(&command.to_string());
        };
        let place = match &command.place {
            Place::Node(node) => format!("on {node}"),
            Place::Head | Place::Api => "here".to_owned(),
        };
        if let Some((_, first)) = self.shown.iter().find(|(argv, _)| *argv == command.argv) {
            return format!("# {place}, the same as in [{first}]");
        }
        if script.text.lines().count() > SHORT {
            self.shown.push((command.argv.clone(), unit.clone()));
        }
        let mut text = format!("# {place}, with {}:\n", script.shell.join(" "));
        text.push_str(script.text.trim_end());
        for (n, arg) in script.args.iter().enumerate() {
            let gap = if arg.contains('\n') { '\n' } else { ' ' };
            write!(text, "\n# ${} is{gap}{}", n + 1, arg.trim_end()).ok();
        }
        clean(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use runbook_core::names::NodeName;

    fn on(node: &str, argv: &[&str]) -> Command {
        Command::on_node(&NodeName::new(node).unwrap(), argv.iter().copied())
    }

    #[test]
    fn a_long_script_stands_there_once() {
        let mut commands = Commands::default();
        let [first, second] = ["a/node001/x", "a/node002/x"].map(|id| UnitId::new(id).unwrap());
        let script = [
            "bash",
            "-c",
            "set -e\na=$1\nb=\necho \"$a\"\n",
            "me",
            "one",
            "two\nlines",
        ];
        let shown = commands.readable(&on("node001", &script), &first);
        assert_eq!(
            shown,
            "# on node001, with bash -c:\nset -e\na=$1\nb=\necho \"$a\"\n# $1 is one\n# $2 is\ntwo\nlines"
        );
        let again = commands.readable(&on("node002", &script), &second);
        assert_eq!(again, "# on node002, the same as in [a/node001/x]");
    }

    #[test]
    fn a_plain_command_can_be_pasted() {
        let mut commands = Commands::default();
        let unit = UnitId::new("a").unwrap();
        let text = commands.readable(&on("node001", &["ls", "a b"]), &unit);
        assert_eq!(text, "ssh root@node001 \"ls 'a b'\"");
    }
}
