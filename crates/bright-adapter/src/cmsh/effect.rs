//! What an effect is in cmsh's words.

use runbook_core::error::{AdapterError, Certainty};
use runbook_core::names::{NodeName, OverlayName};
use runbook_core::plan::ManagerEffect;
use runbook_core::ports::PortResult;

use super::lexicon::{Argument, Boolean, Install, Mode, Property, Verb};
use super::script::Script;
use crate::codes;

fn device(node: &NodeName) -> Script {
    Script::default().then(Mode::Device).enter(node)
}

fn members(overlay: &OverlayName, verb: Verb, nodes: &[NodeName]) -> PortResult<Script> {
    if nodes.is_empty() {
        // What `removefrom nodes` does without a node is written nowhere.
        let what = format!("a change to the nodes of overlay {overlay} that names no node");
        return Err(
            AdapterError::new(codes::EFFECT_REFUSED, Certainty::Refused, what)
                .hint("this is a fault of the program that made the plan: please report it"),
        );
    }
    let script = Script::default().then(Mode::Overlay).enter(overlay);
    let script = script.then(verb).with(Property::Nodes);
    let script = nodes.iter().fold(script, Script::name);
    Ok(script.then(Verb::Commit))
}

fn datanode(object: Script, value: bool) -> Script {
    let set = object.then(Verb::Set).with(Property::Datanode);
    set.with(Boolean::from(value)).then(Verb::Commit)
}

/// What the installer of a node asks for (administrator manual 5.4.4).
pub(super) fn asking(node: &NodeName) -> Script {
    let script = Script::default().then(Mode::Device);
    let script = script.then(Verb::InstallerInteractions);
    script.with(Argument::Nodes).name(node)
}

/// The script of an effect.
pub(super) fn script(effect: &ManagerEffect) -> PortResult<Script> {
    Ok(match effect {
        ManagerEffect::UnassignRole { overlay, nodes } => {
            members(overlay, Verb::RemoveFrom, nodes)?
        }
        ManagerEffect::AssignRole { overlay, nodes } => members(overlay, Verb::Append, nodes)?,
        ManagerEffect::SetDatanode { node, value } => datanode(device(node), *value),
        ManagerEffect::SetCategoryDatanode { category, value } => {
            let category = Script::default().then(Mode::Category).enter(category);
            datanode(category, *value)
        }
        ManagerEffect::SetNextInstallMode { node, mode } => {
            let mode = mode.map(Install::from);
            // `clear` is the object command for an empty value (administrator manual 2.5.3).
            let verb = mode.map_or(Verb::Clear, |_| Verb::Set);
            let script = device(node).then(verb).with(Property::NextInstallMode);
            let script = mode.into_iter().fold(script, Script::with);
            script.then(Verb::Commit)
        }
        ManagerEffect::Reboot { node } => {
            let script = Script::default().then(Mode::Device);
            script.then(Verb::Reboot).name(node)
        }
        ManagerEffect::PowerOn { node } => {
            let script = Script::default().then(Mode::Device).then(Verb::Power);
            script.with(Argument::Nodes).name(node).with(Argument::On)
        }
        // The manual's example has `-w` as well. Without it: a confirmation that waits might be given
        // later, to another question than the one that was looked at.
        ManagerEffect::ConfirmInstall { node } => asking(node).with(Argument::Confirm),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use runbook_core::names::CategoryName;
    use runbook_core::world::InstallMode;

    use super::*;

    fn node(name: &str) -> NodeName {
        NodeName::new(name).unwrap()
    }

    fn text(effect: &ManagerEffect) -> String {
        script(effect).unwrap().text().to_owned()
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
            text(&ManagerEffect::PowerOn { node: n.clone() }),
            "device; power -n node001 on"
        );
        assert_eq!(
            text(&ManagerEffect::ConfirmInstall { node: n.clone() }),
            "device; installerinteractions -n node001 --confirm"
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
        assert_eq!(script(&effect).unwrap_err().code, codes::EFFECT_REFUSED);
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
