//! What only the doctor asks: a restore does not depend on the answers.

use runbook_core::ports::PortResult;

use super::Cmsh;
use super::lexicon::{Mode, Provisioner, Verb, Word as _};
use super::script::Script;

/// What the provisioning subsystem is at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Queue {
    /// Whether it says that it takes requests.
    pub(crate) accepts: bool,
    /// How many nodes it provisions, as printed.
    pub(crate) busy_with: Option<String>,
    /// Who waits, as printed.
    pub(crate) waiting: Option<String>,
}

impl Cmsh {
    /// What is said of this release, as `Cluster Manager 11.0`.
    pub(crate) async fn version(&self) -> PortResult<String> {
        let script = Script::default().then(Mode::Main).with(Verb::VersionInfo);
        Ok(self.ask(&script).await?.stdout)
    }

    /// The provisioning subsystem (administrator manual 5.4.7), and its words; none where no status is in
    /// them.
    pub(crate) async fn queue(&self) -> PortResult<(Option<Queue>, String)> {
        let images = Script::default().then(Mode::SoftwareImage);
        let text = self
            .ask(&images.then(Verb::ProvisioningStatus))
            .await?
            .stdout;
        let behind = |word: Provisioner| {
            let mut lines = text.lines().map(str::trim);
            let rest = lines.find_map(|line| line.strip_prefix(word.text()));
            rest.map(|rest| rest.trim().to_owned())
        };
        let queue = behind(Provisioner::Subsystem).map(|status| Queue {
            accepts: Provisioner::Accepting.is_in(&status.to_lowercase()),
            busy_with: behind(Provisioner::Busy).filter(|count| count != "0"),
            waiting: behind(Provisioner::Waiting).filter(|nodes| {
                let nodes = nodes.trim_matches(['<', '>']);
                Provisioner::of(nodes) != Some(Provisioner::Nobody)
            }),
        });
        Ok((queue, text))
    }

    /// What is said of locked images; the words are documented nowhere.
    pub(crate) async fn image_locks(&self) -> PortResult<String> {
        let images = Script::default().then(Mode::SoftwareImage);
        Ok(self.ask(&images.then(Verb::IsLocked)).await?.stdout)
    }
}
