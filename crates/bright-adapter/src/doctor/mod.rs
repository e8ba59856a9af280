//! The doctor: what this tool believes of a cluster, checked one by one before any disaster.
//!
//! It changes nothing. Whatever gives no answer costs its own finding and no other; every question ends
//! by itself. What is asked goes through [`Programs`] on the head node and [`Shell`] on the nodes, so that
//! a [`Bundle`](crate::bundle::Bundle) can record all of it and stand there later.

mod ask;
mod backups;
mod certificates;
mod checks;
mod head;
mod manager;
mod nodes;
mod questions;
mod report;

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use runbook_core::names::{AbsPath, ClusterLabel, ModuleName, NodeName, OverlayName};
use runbook_core::ports::Shell;
use serde::{Deserialize, Serialize};

use self::ask::Asker;
pub use self::ask::ToolOver;
pub use self::checks::CHECKS;
use self::report::Draft;
pub use self::report::{Check, Finding, Group, Outcome, Report};
use crate::cmsh::CmshConfig;
use crate::programs::Programs;

/// What to look at. It is part of a bundle, so that the same questions can be asked of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Settings {
    /// The moment that ages are counted from.
    pub at: Timestamp,
    /// The label of the Kubernetes cluster: it names the overlay where several carry `Etcd::Host`.
    pub cluster: ClusterLabel,
    /// The overlay, where no label is to choose.
    pub overlay: Option<OverlayName>,
    /// The nodes to ask over ssh; all members where it is empty.
    pub nodes: Vec<NodeName>,
    /// The module of etcd's programs; the only one there is where none is named.
    pub module: Option<ModuleName>,
    /// Where backups lie.
    pub backup_dir: AbsPath,
    /// Where runs are kept.
    pub state_dir: String,
    /// The CA of etcd's certificates, on the head node.
    pub ca: AbsPath,
    /// The client certificate, on the head node.
    pub client_certificate: AbsPath,
    /// The members' certificate, on the nodes.
    pub member_certificate: AbsPath,
    /// The program cmsh, where it is not where the manual puts it.
    pub cmsh: Option<String>,
}

impl Settings {
    /// Everything by default, for certificates below this directory.
    ///
    /// # Errors
    /// When one of the usual places is no usable path.
    pub fn new(
        at: Timestamp,
        cluster: ClusterLabel,
        pki: &AbsPath,
    ) -> Result<Self, runbook_core::names::NameError> {
        Ok(Self {
            at,
            cluster,
            overlay: None,
            nodes: Vec::new(),
            module: None,
            backup_dir: AbsPath::new("/cm/shared/backup/etcd")?,
            state_dir: "/var/lib/restore-runbook".into(),
            ca: pki.join("etcd/ca.crt"),
            client_certificate: pki.join("apiserver-etcd-client.crt"),
            member_certificate: pki.join("etcd-member.crt"),
            cmsh: None,
        })
    }
}

/// What became of the proof of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proven {
    /// Whether a restore can be made from it without a second thought.
    pub good: bool,
    /// What was found.
    pub text: String,
}

/// Proves snapshots; the one question whose answer is too large to record.
#[async_trait]
pub trait Prover: Send + Sync {
    /// Reads all of a snapshot on the head node.
    async fn prove(&self, snapshot: &AbsPath) -> Proven;
}

/// The doctor, and whom it asks.
pub struct Doctor {
    settings: Settings,
    asker: Asker,
    prover: Arc<dyn Prover>,
}

impl std::fmt::Debug for Doctor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Doctor").field(&self.settings).finish()
    }
}

impl Doctor {
    /// A doctor who asks these; nothing is asked yet.
    pub fn new(
        settings: Settings,
        mut config: CmshConfig,
        programs: Arc<dyn Programs>,
        shell: Arc<dyn Shell>,
        tool: ToolOver,
        prover: Arc<dyn Prover>,
    ) -> Self {
        if let Some(cmsh) = &settings.cmsh {
            config.program = cmsh.into();
        }
        Self {
            asker: Asker::new(config, programs, shell, tool),
            settings,
            prover,
        }
    }

    /// Makes every check. Dropping the future ends it; nothing is left.
    pub async fn examine(&self) -> Report {
        let mut findings = Vec::new();
        // It has many questions in it, and would make whoever waits for it as large.
        let manager = manager::examine(&self.asker, &self.settings, &mut findings);
        let seen = Box::pin(manager).await;
        head::examine(&self.asker, &self.settings, &seen, &mut findings).await;
        let newest = backups::examine(self, &mut findings).await;
        let ca = certificates::examine(&self.asker, &self.settings, &mut findings).await;
        nodes::examine(self, &seen, newest.as_ref(), ca.as_deref(), &mut findings).await;
        for check in CHECKS {
            // No check is passed over in silence.
            if findings.iter().all(|finding| finding.id != check.id) {
                findings.push(
                    check
                        .made()
                        .blocked("there is nothing known to check it on"),
                );
            }
        }
        let place = |finding: &Finding| CHECKS.iter().position(|check| check.id == finding.id);
        findings.sort_by_key(place);
        Report {
            at: self.settings.at,
            findings,
            names: seen.names(),
        }
    }
}

/// Names, for people.
fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    if names.is_empty() {
        return "none".into();
    }
    names.join(", ")
}
