//! Writes, each read back.

use runbook_core::error::{AdapterError, Certainty};
use runbook_core::names::{NodeName, OverlayName};
use runbook_core::plan::ManagerEffect;
use runbook_core::ports::PortResult;
use runbook_core::world::{InstallMode, InstallerAsks, PowerState};

use super::answer::Answer;
use super::complaint::{Complaint, Kind};
use super::lexicon::{Boolean, Word as _};
use super::script::Script;
use super::{Cmsh, effect};
use crate::codes;

impl Cmsh {
    /// Makes an effect true, and looks whether it is.
    pub(super) async fn write(&self, effect: &ManagerEffect) -> PortResult<()> {
        match effect {
            ManagerEffect::UnassignRole { overlay, nodes } => {
                // Whether `removefrom` of a value that is not there is an error is not documented,
                // and an error would keep the commit from the others.
                let nodes = self.among(overlay, nodes, true).await?;
                if nodes.is_empty() {
                    return Ok(());
                }
                let overlay = overlay.clone();
                self.write_and_read(&ManagerEffect::UnassignRole { overlay, nodes })
                    .await
            }
            ManagerEffect::AssignRole { overlay, nodes } => {
                let nodes = self.among(overlay, nodes, false).await?;
                if nodes.is_empty() {
                    return Ok(());
                }
                let overlay = overlay.clone();
                self.write_and_read(&ManagerEffect::AssignRole { overlay, nodes })
                    .await
            }
            ManagerEffect::Reboot { node } => {
                self.expect_new_key(node).await?;
                self.command_power(effect).await
            }
            ManagerEffect::PowerOn { node } => {
                self.expect_new_key(node).await?;
                match self.command_power(effect).await {
                    Ok(()) => Ok(()),
                    Err(error) => Err(self.without_power(node, error).await),
                }
            }
            ManagerEffect::ConfirmInstall { node } => {
                self.expect_new_key(node).await?;
                self.confirm(node, effect).await
            }
            ManagerEffect::SetNextInstallMode { node, mode } => {
                let full = *mode == Some(InstallMode::Full);
                // From then on any boot wipes it, also one that nobody asked for.
                if let Some(shell) = self.told.as_ref().filter(|_| full) {
                    shell.expect_new_key(node).await?;
                }
                self.write_and_read(effect).await?;
                match &self.told {
                    Some(shell) if !full => shell.expect_no_new_key(node),
                    _ => Ok(()),
                }
            }
            ManagerEffect::SetDatanode { .. } | ManagerEffect::SetCategoryDatanode { .. } => {
                self.write_and_read(effect).await
            }
        }
    }

    /// A node that is about to be wiped may come back with another host key.
    async fn expect_new_key(&self, node: &NodeName) -> PortResult<()> {
        let Some(shell) = &self.told else {
            return Ok(());
        };
        let next = self.device_row(node).await?.next_install_mode()?;
        if next == Some(InstallMode::Full) {
            shell.expect_new_key(node).await?;
        }
        Ok(())
    }

    /// Those of the nodes that the overlay lists, or those that it does not.
    async fn among(
        &self,
        overlay: &OverlayName,
        nodes: &[NodeName],
        listed: bool,
    ) -> PortResult<Vec<NodeName>> {
        if nodes.is_empty() {
            let what = format!("a change to overlay {overlay} that names no node");
            return Err(
                AdapterError::new(codes::EFFECT_REFUSED, Certainty::Refused, what)
                    .hint("this is a fault of the program that made the plan: please report it"),
            );
        }
        let there = self.overlay(overlay).await?.nodes()?;
        let mut rest: Vec<NodeName> = nodes.to_vec();
        rest.sort();
        rest.dedup();
        rest.retain(|node| there.iter().any(|n| n == node.as_str()) == listed);
        Ok(rest)
    }

    /// Runs a batch that may change something: one that was cut off may have.
    async fn change(&self, script: &Script) -> PortResult<Answer> {
        self.run(script, true).await.map_err(|failure| {
            let mut error = self.failed(script, failure);
            if error.code == codes::CMSH_TIMEOUT {
                error.certainty = Certainty::Unknown;
            }
            error
        })
    }

    async fn write_and_read(&self, effect: &ManagerEffect) -> PortResult<()> {
        let script = effect::script(effect)?;
        let result = self.change(&script).await;
        let seen = self.reads(effect).await;
        // The world decides: what reads back as wanted is done, whatever cmsh said.
        if matches!(seen, Ok(None)) {
            return Ok(());
        }
        let answer = result?;
        let failed = answer.complaint().is_some() || answer.status != Some(0);
        match seen {
            // The object is not there: nothing can have happened to it.
            Err(error) if error.code == codes::CMSH_ABSENT => Err(error),
            Err(error) => {
                let what = format!(
                    "cmsh ran {:?}, and its effect cannot be read",
                    script.text()
                );
                Err(
                    AdapterError::new(codes::CMSH_READ_BACK, Certainty::Unknown, what)
                        .hint("see whether CMDaemon answers: systemctl status cmd; then resume")
                        .caused_by(error),
                )
            }
            Ok(Some(is)) if failed => {
                let said = answer.refusal();
                let what = format!("cmsh refused {:?}: {}; {is}", script.text(), said.text);
                Err(said.error(refused(&said), what))
            }
            Ok(is) => {
                let is = is.unwrap_or_default();
                let what = format!("cmsh took {:?} without complaint, yet {is}", script.text());
                Err(
                    AdapterError::new(codes::CMSH_READ_BACK, Certainty::Unknown, what)
                        .hint("look at the object in cmsh: someone else may be changing it"),
                )
            }
        }
    }

    /// None when the world is as the effect wants it; else what it is instead.
    async fn reads(&self, effect: &ManagerEffect) -> PortResult<Option<String>> {
        match effect {
            ManagerEffect::UnassignRole { overlay, nodes } => {
                let left = self.among(overlay, nodes, true).await?;
                Ok(told(&left, |names| {
                    format!("overlay {overlay} still lists {names}")
                }))
            }
            ManagerEffect::AssignRole { overlay, nodes } => {
                let missing = self.among(overlay, nodes, false).await?;
                Ok(told(&missing, |names| {
                    format!("overlay {overlay} does not list {names}")
                }))
            }
            ManagerEffect::SetDatanode { node, value } => {
                let is = self.device_row(node).await?.datanode()?;
                Ok((is != *value).then(|| format!("datanode of {node} reads {}", yes_no(is))))
            }
            ManagerEffect::SetCategoryDatanode { category, value } => {
                let is = self.category_datanode(category).await?;
                Ok((is != *value).then(|| format!("datanode of {category} reads {}", yes_no(is))))
            }
            ManagerEffect::SetNextInstallMode { node, mode } => {
                let is = self.device_row(node).await?.next_install_mode()?;
                let word = is.map_or(String::new(), |mode| mode.to_string());
                Ok((is != *mode).then(|| format!("nextinstallmode of {node} reads {word:?}")))
            }
            ManagerEffect::Reboot { .. }
            | ManagerEffect::PowerOn { .. }
            | ManagerEffect::ConfirmInstall { .. } => Ok(None),
        }
    }

    /// What a refused power-on means: a power control that does not answer needs somebody's hand, and of two
    /// supplies one may be on.
    async fn without_power(&self, node: &NodeName, error: AdapterError) -> AdapterError {
        if error.code != codes::CMSH_REFUSED {
            return error;
        }
        match self.read_power(node).await {
            Ok(PowerState::Silent(_)) => {
                let what = format!("the power control of {node} does not answer");
                AdapterError::new(codes::BMC_SILENT, Certainty::NotDone, what)
                    .hint("power the node on by hand")
                    .caused_by(error)
            }
            Ok(PowerState::On) => AdapterError {
                certainty: Certainty::Unknown,
                ..error
            },
            _ => error,
        }
    }

    /// What it prints is the question, which may hold any word: whether it was taken, the next
    /// question tells.
    async fn confirm(&self, node: &NodeName, effect: &ManagerEffect) -> PortResult<()> {
        let script = effect::script(effect)?;
        let answer = self.change(&script).await?;
        let said = answer.complaint();
        let plain = said
            .as_ref()
            .is_none_or(|said| matches!(said.kind, Kind::Other | Kind::Absent));
        if plain && answer.status == Some(0) {
            return Ok(());
        }
        let certainty = match self.read_installer_asks(node).await {
            Ok(InstallerAsks::Nothing) => return Ok(()),
            Ok(_) => Certainty::Refused,
            Err(_) if plain => Certainty::Unknown,
            Err(_) => said.as_ref().map_or(Certainty::Unknown, refused),
        };
        let what = format!("cmsh refused {:?}: {}", script.text(), answer.said());
        let error = answer.refusal().error(certainty, what);
        Err(if plain {
            error.hint("confirm it on the node's console, or mend what cmsh says; then resume")
        } else {
            error
        })
    }

    /// Power commands have nothing to read back: the boot id tells, later.
    async fn command_power(&self, effect: &ManagerEffect) -> PortResult<()> {
        let script = effect::script(effect)?;
        let answer = self.change(&script).await?;
        let certainty = match (answer.complaint(), answer.status) {
            (None, Some(0)) => return Ok(()),
            (Some(said), _) => refused(&said),
            (None, _) => Certainty::Unknown,
        };
        let said = answer.refusal();
        let what = format!("cmsh refused {:?}: {}", script.text(), said.text);
        let error = said.error(certainty, what);
        Err(match said.kind {
            Kind::Other | Kind::Absent => {
                error.hint("see `device; power -n NODE status` in cmsh, and the node's console")
            }
            _ => error,
        })
    }
}

/// A session that ended may have committed before.
fn refused(said: &Complaint) -> Certainty {
    match said.kind {
        Kind::SessionEnded => Certainty::Unknown,
        _ => Certainty::Refused,
    }
}

fn told(nodes: &[NodeName], sentence: impl Fn(&str) -> String) -> Option<String> {
    let names: Vec<&str> = nodes.iter().map(NodeName::as_str).collect();
    (!names.is_empty()).then(|| sentence(&names.join(", ")))
}

fn yes_no(value: bool) -> &'static str {
    Boolean::from(value).text()
}
