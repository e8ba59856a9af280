//! Bright Cluster Manager through `cmsh` in batch mode.

mod answer;
pub(crate) mod clusters;
mod complaint;
mod config;
mod effect;
mod groups;
mod head;
mod installer;
pub(crate) mod lexicon;
mod noise;
pub(crate) mod platform;
pub(crate) mod provisioning;
pub(crate) mod read;
mod roles;
mod script;
mod status;
pub(crate) mod write;

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use runbook_core::error::{AdapterError, Certainty};
use runbook_core::journal::Permit;
use runbook_core::names::{CategoryName, ClusterLabel, NodeName, OverlayName};
use runbook_core::plan::{Command, ManagerEffect};
use runbook_core::platform::Platform;
use runbook_core::ports::{ClusterManager, CommandLog, PortResult};
use runbook_core::world::{
    Device, EtcdRole, HeadRole, InstallerAsks, PowerState, Provisioning, RoleSource,
};

use self::answer::Answer;
pub use self::config::CmshConfig;
use self::lexicon::{Opt, Word as _};
use self::noise::clean;
use self::script::Script;
use crate::codes;
use crate::process::logged;
use crate::programs::{Call, Failure, Finished, Programs, ThisHead};
use crate::ssh::Ssh;

/// The cluster manager behind `cmsh`.
pub struct Cmsh {
    config: CmshConfig,
    log: Arc<dyn CommandLog>,
    programs: Arc<dyn Programs>,
    told: Option<Arc<Ssh>>,
}

impl std::fmt::Debug for Cmsh {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Cmsh").field(&self.config).finish()
    }
}

impl Cmsh {
    /// A client; nothing is run yet.
    pub fn new(config: CmshConfig, log: Arc<dyn CommandLog>) -> Self {
        Self {
            config,
            log,
            programs: Arc::new(ThisHead),
            told: None,
        }
    }

    /// Asks these programs instead of the ones of this machine: recorded answers, or a simulator.
    #[must_use]
    pub fn with_programs(mut self, programs: Arc<dyn Programs>) -> Self {
        self.programs = programs;
        self
    }

    /// Tells this shell, before a node is wiped, that the node may come back with a new host key.
    #[must_use]
    pub fn telling(mut self, shell: Arc<Ssh>) -> Self {
        self.told = Some(shell);
        self
    }

    /// The command of a batch.
    ///
    /// `-n` keeps aliases of a start-up file out, `-q` ends the batch at its first error (administrator
    /// manual 2.5.1).
    fn command(&self, script: &Script) -> Command {
        let program = self.config.program.to_string_lossy();
        let options = Opt::ALL.iter().map(|option| option.text());
        let words = std::iter::once(&*program).chain(options);
        Command::on_head(words.chain([script.text()]))
    }

    /// Runs a batch that changes nothing.
    async fn ask(&self, script: &Script) -> PortResult<Answer> {
        let answer = self.run(script, false).await;
        answer
            .map_err(|failure| self.failed(script, failure))?
            .accepted()
    }

    async fn run(&self, script: &Script, effect: bool) -> Result<Answer, Failure> {
        let command = self.command(script);
        let done = self.execute(&self.config.program, command, effect).await?;
        Ok(Answer {
            script: script.text().into(),
            status: done.status,
            whole: done.stdout.ends_with(b"\n"),
            stdout: clean(&done.out()),
            stderr: clean(&done.err()),
        })
    }

    async fn execute(
        &self,
        program: &Path,
        command: Command,
        effect: bool,
    ) -> Result<Finished, Failure> {
        let call = Call {
            program: program.to_owned(),
            args: command.argv[1..].to_vec(),
            timeout: self.config.timeout,
            output_limit: self.config.output_limit,
        };
        logged(&*self.log, command, effect, self.programs.run(&call)).await
    }

    /// A batch that gave no answer at all.
    fn failed(&self, script: &Script, failure: Failure) -> AdapterError {
        let program = self.config.program.display();
        match failure {
            Failure::Start(ref why) if why.kind() == ErrorKind::NotFound => {
                let what = format!("there is no {program}");
                AdapterError::new(codes::CMSH_MISSING, Certainty::Refused, what)
                    .hint("run this on a head node, or say where cmsh is: --cmsh")
                    .caused_by(failure)
            }
            Failure::Start(_) => {
                let what = format!("{program} cannot be run");
                AdapterError::new(codes::CMSH_NOT_RUNNABLE, Certainty::Refused, what)
                    .hint("run this as root; see the file's mode, and that --cmsh names a program")
                    .caused_by(failure)
            }
            Failure::Timeout(_) => {
                let what = format!("no answer of cmsh to {:?}", script.text());
                AdapterError::new(codes::CMSH_TIMEOUT, Certainty::NotDone, what)
                    .hint("see whether CMDaemon is busy: systemctl status cmd, /var/log/cmdaemon")
                    .caused_by(failure)
            }
        }
    }
}

#[async_trait]
impl ClusterManager for Cmsh {
    fn render(&self, effect: &ManagerEffect) -> PortResult<Vec<Command>> {
        Ok(vec![self.command(&effect::script(effect)?)])
    }

    async fn perform(&self, _: &Permit, effect: &ManagerEffect) -> PortResult<()> {
        self.write(effect).await
    }

    async fn head_role(&self) -> PortResult<HeadRole> {
        self.read_head_role().await
    }

    async fn etcd_overlay(&self, label: &ClusterLabel) -> PortResult<OverlayName> {
        self.read_etcd_overlay(label).await
    }

    async fn etcd_role(
        &self,
        overlay: Option<OverlayName>,
        nodes: &[NodeName],
    ) -> PortResult<EtcdRole> {
        self.read_etcd_role(overlay, nodes).await
    }

    async fn role_sources(&self, nodes: &[NodeName]) -> PortResult<Vec<Vec<RoleSource>>> {
        self.read_role_sources(nodes).await
    }

    async fn device(&self, node: &NodeName) -> PortResult<Device> {
        self.read_device(node).await
    }

    async fn platform(&self) -> PortResult<Platform> {
        self.read_platform().await
    }

    async fn category(&self, category: &CategoryName) -> PortResult<(bool, Vec<NodeName>)> {
        self.read_category(category).await
    }

    async fn installer_asks(&self, node: &NodeName) -> PortResult<InstallerAsks> {
        self.read_installer_asks(node).await
    }

    async fn power(&self, node: &NodeName) -> PortResult<PowerState> {
        self.read_power(node).await
    }

    async fn provisioning(&self) -> PortResult<Provisioning> {
        self.read_provisioning().await
    }
}
