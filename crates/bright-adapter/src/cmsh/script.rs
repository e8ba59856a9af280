//! cmsh scripts: names get in as checked types only.
//!
//! cmsh takes `;`, `!`, backticks, `|` and `>` for its own (administrator manual 2.5.5). Nothing here
//! takes a `String`: words are literals of this crate or names whose alphabet has none of those.

use std::fmt::Write as _;

use runbook_core::error::{AdapterError, Certainty};
use runbook_core::names::{CategoryName, NodeName, OverlayName};
use runbook_core::plan::ManagerEffect;
use runbook_core::ports::PortResult;
use runbook_core::world::InstallMode;

use crate::codes;

/// A name that may stand in a script.
pub(super) trait Name {
    fn text(&self) -> &str;
}

macro_rules! name {
    ($($kind:ty),*) => {$(
        impl Name for $kind {
            fn text(&self) -> &str {
                self.as_str()
            }
        }
    )*};
}

name!(NodeName, OverlayName, CategoryName);

/// A batch, statement by statement.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Script(String);

impl Script {
    /// One more statement.
    pub(super) fn then(mut self, statement: &'static str) -> Self {
        if !self.0.is_empty() {
            self.0.push_str("; ");
        }
        self.0.push_str(statement);
        self
    }

    /// One more statement, about a name: `reboot node001`.
    pub(super) fn then_name(self, statement: &'static str, name: &impl Name) -> Self {
        self.then(statement).with(name)
    }

    /// One more word of the last statement.
    pub(super) fn with(mut self, name: &impl Name) -> Self {
        self.0.push(' ');
        self.0.push_str(name.text());
        self
    }

    /// Enters an object, quoted as `path` prints it: `use "kube-default-etcd"`.
    pub(super) fn enter(mut self, name: &impl Name) -> Self {
        self = self.then("use");
        // Writing to a String cannot fail.
        let _ = write!(self.0, " \"{}\"", name.text());
        self
    }

    pub(crate) fn text(&self) -> &str {
        &self.0
    }
}

const fn mode_word(mode: InstallMode) -> &'static str {
    match mode {
        InstallMode::Auto => "set nextinstallmode AUTO",
        InstallMode::Full => "set nextinstallmode FULL",
        InstallMode::Main => "set nextinstallmode MAIN",
        InstallMode::Nosync => "set nextinstallmode NOSYNC",
        InstallMode::Skip => "set nextinstallmode SKIP",
    }
}

const fn datanode_word(value: bool) -> &'static str {
    if value {
        "set datanode yes"
    } else {
        "set datanode no"
    }
}

fn device(node: &NodeName) -> Script {
    Script::default().then("device").enter(node)
}

fn members(overlay: &OverlayName, verb: &'static str, nodes: &[NodeName]) -> PortResult<Script> {
    if nodes.is_empty() {
        // What `removefrom nodes` does without a node is written nowhere.
        let what = format!("a change to the nodes of overlay {overlay} that names no node");
        return Err(
            AdapterError::new(codes::EFFECT_REFUSED, Certainty::Refused, what)
                .hint("this is a fault of the program that made the plan: please report it"),
        );
    }
    let script = Script::default()
        .then("configurationoverlay")
        .enter(overlay);
    let script = nodes.iter().fold(script.then(verb), Script::with);
    Ok(script.then("commit"))
}

/// The script of an effect.
///
/// A mode is entered in a statement of its own: `device status x; list` would run `list` in the mode
/// before (administrator manual 2.5.2).
pub(crate) fn of(effect: &ManagerEffect) -> PortResult<Script> {
    match effect {
        ManagerEffect::UnassignRole { overlay, nodes } => {
            members(overlay, "removefrom nodes", nodes)
        }
        ManagerEffect::AssignRole { overlay, nodes } => members(overlay, "append nodes", nodes),
        ManagerEffect::SetDatanode { node, value } => {
            Ok(device(node).then(datanode_word(*value)).then("commit"))
        }
        ManagerEffect::SetCategoryDatanode { category, value } => Ok(Script::default()
            .then("category")
            .enter(category)
            .then(datanode_word(*value))
            .then("commit")),
        ManagerEffect::SetNextInstallMode { node, mode } => {
            // `clear` is the object command for an empty value (administrator manual 2.5.3).
            let word = mode.map_or("clear nextinstallmode", mode_word);
            Ok(device(node).then(word).then("commit"))
        }
        ManagerEffect::Reboot { node } => {
            Ok(Script::default().then("device").then_name("reboot", node))
        }
        ManagerEffect::PowerOn { node } => Ok(Script::default()
            .then("device")
            .then("power -n")
            .with(node)
            .on()),
    }
}

impl Script {
    fn on(mut self) -> Self {
        self.0.push_str(" on");
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn node(name: &str) -> NodeName {
        NodeName::new(name).unwrap()
    }

    fn text(effect: &ManagerEffect) -> String {
        of(effect).unwrap().text().to_owned()
    }

    #[test]
    fn scripts_are_those_of_the_article() {
        let overlay = OverlayName::new("kube-default-etcd").unwrap();
        let nodes = vec![node("node001"), node("node002")];
        let unassign = ManagerEffect::UnassignRole {
            overlay: overlay.clone(),
            nodes: nodes.clone(),
        };
        let head = r#"configurationoverlay; use "kube-default-etcd"; "#;
        assert_eq!(
            text(&unassign),
            format!("{head}removefrom nodes node001 node002; commit")
        );
        let assign = ManagerEffect::AssignRole { overlay, nodes };
        assert_eq!(
            text(&assign),
            format!("{head}append nodes node001 node002; commit")
        );
    }

    #[test]
    fn scripts_about_a_node() {
        let n = node("node001");
        let head = r#"device; use "node001"; "#;
        let mode = |mode| ManagerEffect::SetNextInstallMode {
            node: n.clone(),
            mode,
        };
        let full = text(&mode(Some(InstallMode::Full)));
        assert_eq!(full, format!("{head}set nextinstallmode FULL; commit"));
        assert_eq!(
            text(&mode(None)),
            format!("{head}clear nextinstallmode; commit")
        );
        let no = ManagerEffect::SetDatanode {
            node: n.clone(),
            value: false,
        };
        assert_eq!(text(&no), format!("{head}set datanode no; commit"));
        let reboot = ManagerEffect::Reboot { node: n.clone() };
        assert_eq!(text(&reboot), "device; reboot node001");
        assert_eq!(
            text(&ManagerEffect::PowerOn { node: n }),
            "device; power -n node001 on"
        );
        let category = ManagerEffect::SetCategoryDatanode {
            category: CategoryName::new("default").unwrap(),
            value: true,
        };
        assert_eq!(
            text(&category),
            r#"category; use "default"; set datanode yes; commit"#
        );
    }

    #[test]
    fn a_change_to_no_node_is_refused() {
        let effect = ManagerEffect::UnassignRole {
            overlay: OverlayName::new("x").unwrap(),
            nodes: Vec::new(),
        };
        assert_eq!(of(&effect).unwrap_err().code, codes::EFFECT_REFUSED);
    }

    proptest! {
        /// Whatever passes for a name adds neither a statement nor a word to a script.
        #[test]
        fn a_name_is_one_word(name in "[ -~\u{80}-\u{2ff}\n;!`|>\"']{1,40}|[a-z0-9.-]{1,20}") {
            if let Ok(node) = NodeName::new(name.as_str()) {
                let script = text(&ManagerEffect::Reboot { node });
                prop_assert_eq!(script.matches(';').count(), 1);
                prop_assert_eq!(script.split(' ').count(), 3);
                prop_assert!(!script.contains(['!', '`', '|', '>', '"', '\n', '$', '*']));
                prop_assert!(!script.contains(".."), "a range of nodes: {}", script);
            }
        }
    }
}
