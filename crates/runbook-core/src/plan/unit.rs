//! A unit: one step of the plan, as data.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::action::{Action, ManagerEffect};
use super::check::Check;
use super::phase::Phase;
use crate::names::{NodeName, UnitId};

/// One step: what it looks at, what it does, how it is undone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unit {
    /// Unique in the plan, as `reprovision/node001/reboot`.
    pub id: UnitId,
    /// The phase it belongs to.
    pub phase: Phase,
    /// The node it is about; none when it is about all of them.
    pub member: Option<NodeName>,
    /// What it does, in one line.
    pub title: String,
    /// Why it is there.
    pub why: String,
    /// Units of the same phase that must be done first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<UnitId>,
    /// What must be true right before the action; if it is not, the run halts and nothing is done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub require: Vec<Check>,
    /// The effect; a unit without one is a gate that only looks.
    pub act: Option<Action>,
    /// The exact commands the adapter runs for the effect, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<Command>,
    /// When it is done: all of these hold.
    pub done_when: Vec<Check>,
    /// How long to wait for that, in seconds.
    pub deadline_s: u32,
    /// How long a gate looks at the least before what it sees counts, in seconds, and shorter than its
    /// deadline: something begun earlier may show only then.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub at_least_s: u32,
    /// How it is undone.
    pub undo: Undo,
    /// Whether it destroys something that no undo brings back.
    pub destructive: bool,
    /// Why it does not apply, where it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skip: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_zero(seconds: &u32) -> bool {
    *seconds == 0
}

/// How a unit is undone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Undo {
    /// There is nothing to undo, and this is why.
    Nothing(String),
    /// By this action.
    By(Action),
    /// Not at all, and this is why.
    Impossible(String),
}

/// One exact command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// Where it runs.
    pub place: Place,
    /// The program and its arguments, one by one.
    pub argv: Vec<String>,
}

/// Where a command runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// On the head node.
    Head,
    /// On a node, over ssh.
    Node(NodeName),
    /// In this process, through an API; `argv` then says it in words.
    Api,
}

impl Command {
    /// A command on the head node.
    pub fn on_head<S: Into<String>>(argv: impl IntoIterator<Item = S>) -> Self {
        Self {
            place: Place::Head,
            argv: argv.into_iter().map(Into::into).collect(),
        }
    }

    /// A command on a node.
    pub fn on_node<S: Into<String>>(node: &NodeName, argv: impl IntoIterator<Item = S>) -> Self {
        let argv = argv.into_iter().map(Into::into).collect();
        Self {
            place: Place::Node(node.clone()),
            argv,
        }
    }

    /// A call through an API, in words.
    pub fn api(words: impl Into<String>) -> Self {
        Self {
            place: Place::Api,
            argv: vec![words.into()],
        }
    }

    /// The command as one shell word list, quoted so that it can be pasted.
    pub fn shell(&self) -> String {
        if self.place == Place::Api {
            return self.argv.join(" ");
        }
        // NUL cannot be quoted; no checked name holds one.
        shlex::try_join(self.argv.iter().map(String::as_str))
            .unwrap_or_else(|_| "(a command with a NUL byte, which never runs)".into())
    }
}

/// A command that is a script, taken apart for readers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Script<'a> {
    /// The shell and its options, as `sh` and `-euc`.
    pub shell: [&'a str; 2],
    /// The script itself.
    pub text: &'a str,
    /// Its arguments, from `$1` on.
    pub args: &'a [String],
}

impl Command {
    /// The script a command runs, where it is `sh -…c SCRIPT [NAME [ARGUMENT…]]`.
    pub fn script(&self) -> Option<Script<'_>> {
        let [shell, options, text, rest @ ..] = self.argv.as_slice() else {
            return None;
        };
        let is_shell = matches!(shell.as_str(), "sh" | "bash");
        let takes_script = options.starts_with('-') && options.ends_with('c');
        (is_shell && takes_script).then(|| Script {
            shell: [shell, options],
            text,
            args: rest.get(1..).unwrap_or_default(),
        })
    }
}

/// The command as an operator would type it on the head node.
impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Head | Place::Api => f.write_str(&self.shell()),
            Place::Node(node) => {
                let remote = self.shell();
                let quoted = shlex::try_quote(&remote).unwrap_or_default();
                write!(f, "ssh root@{node} {quoted}")
            }
        }
    }
}

/// Typed construction: what a phase writes, and what an embedder writes for an own step.
impl Unit {
    /// A unit with an effect. It is done when the effect's own checks hold.
    pub fn act(id: UnitId, phase: Phase, action: Action, why: impl Into<String>) -> Self {
        let done_when = action.done_when();
        let title = action.to_string();
        Self {
            act: Some(action),
            ..Self::blank(id, phase, title, why.into(), done_when)
        }
    }

    /// A gate: it only looks, and nothing behind it begins before it holds.
    pub fn gate(
        id: UnitId,
        phase: Phase,
        title: impl Into<String>,
        why: impl Into<String>,
        done_when: Vec<Check>,
    ) -> Self {
        Self::blank(id, phase, title.into(), why.into(), done_when)
    }

    /// A step of the procedure that does not apply here, with the reason a reviewer reads.
    pub fn skipped(
        id: UnitId,
        phase: Phase,
        title: impl Into<String>,
        reason: impl Into<String>,
    ) -> Self {
        let skip = Some(reason.into());
        Self {
            skip,
            ..Self::blank(id, phase, title.into(), String::new(), Vec::new())
        }
    }

    fn blank(id: UnitId, phase: Phase, title: String, why: String, done_when: Vec<Check>) -> Self {
        Self {
            id,
            phase,
            member: None,
            title,
            why,
            needs: Vec::new(),
            require: Vec::new(),
            act: None,
            commands: Vec::new(),
            done_when,
            deadline_s: 60,
            at_least_s: 0,
            undo: Undo::Nothing("it changes nothing".into()),
            destructive: false,
            skip: None,
        }
    }

    /// The node the unit is about.
    #[must_use]
    pub fn on(mut self, node: &NodeName) -> Self {
        self.member = Some(node.clone());
        self
    }

    /// A unit of the same phase that must be done first.
    #[must_use]
    pub fn after(mut self, unit: &UnitId) -> Self {
        self.needs.push(unit.clone());
        self
    }

    /// What must be true right before the action.
    #[must_use]
    pub fn only_if(mut self, checks: impl IntoIterator<Item = Check>) -> Self {
        self.require.extend(checks);
        self
    }

    /// What must hold besides the action's own checks.
    #[must_use]
    pub fn and_when(mut self, checks: impl IntoIterator<Item = Check>) -> Self {
        for check in checks {
            if !self.done_when.contains(&check) {
                self.done_when.push(check);
            }
        }
        self
    }

    /// Done by something else than what the action brings about when nothing comes between, as a
    /// reboot that stops at its installer's question.
    #[must_use]
    pub fn done_once(mut self, checks: impl IntoIterator<Item = Check>) -> Self {
        self.done_when = checks.into_iter().collect();
        self
    }

    /// How long to wait for it, in seconds.
    #[must_use]
    pub const fn within(mut self, deadline_s: u32) -> Self {
        self.deadline_s = deadline_s;
        self
    }

    /// How long to look at the least, in seconds, with as long for it as [`Unit::within`] says behind that.
    #[must_use]
    pub const fn no_sooner(mut self, at_least_s: u32) -> Self {
        self.at_least_s = at_least_s;
        self.deadline_s = self.deadline_s.saturating_add(at_least_s);
        self
    }

    /// How it is undone.
    #[must_use]
    pub fn undone(mut self, undo: Undo) -> Self {
        self.undo = undo;
        self
    }

    /// Marks it as destroying something for good.
    #[must_use]
    pub fn destroys(mut self, what: impl Into<String>) -> Self {
        self.destructive = true;
        self.undo = Undo::Impossible(what.into());
        self
    }
}

impl Unit {
    /// The nodes it gives the role to; etcd may start there afterwards.
    pub(crate) fn gives_role_to(&self) -> Option<&[NodeName]> {
        match &self.act {
            Some(Action::Manager(ManagerEffect::AssignRole { nodes, .. })) => Some(nodes),
            _ => None,
        }
    }

    /// Whether it ends the time in which a reboot may wipe restored data: a resumed life does it first.
    pub(crate) fn closes_window(&self) -> bool {
        self.phase == Phase::Datanode
            && matches!(
                self.act,
                Some(Action::Manager(
                    ManagerEffect::SetDatanode { value: true, .. }
                        | ManagerEffect::SetCategoryDatanode { value: true, .. }
                ))
            )
    }

    /// Whether it cannot be taken back once it was begun: something is destroyed, or etcd may start.
    pub(crate) fn is_final(&self) -> bool {
        self.destructive || self.gives_role_to().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_can_be_pasted() {
        let node = NodeName::new("node001").unwrap();
        let command = Command::on_node(&node, ["sh", "-euc", "echo 'a b'; {x,y}"]);
        let line = command.to_string();
        let words = shlex::split(&line).unwrap();
        assert_eq!(words[..2], ["ssh", "root@node001"]);
        assert_eq!(shlex::split(&words[2]).unwrap(), command.argv);
    }
}
