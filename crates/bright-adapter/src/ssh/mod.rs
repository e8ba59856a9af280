//! Commands on the nodes, over plain `ssh`: an operator can paste every one of them.

mod classify;
mod config;
mod control;
mod new_keys;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use runbook_core::error::{AdapterError, Certainty};
use runbook_core::journal::Permit;
use runbook_core::names::NodeName;
use runbook_core::plan::Command;
use runbook_core::ports::{CommandLog, Output, PortResult, Shell};

use self::classify::{Broken, classify};
use self::config::literal;
pub use self::config::{HostKeys, SshConfig};
use self::control::{Control, Key};
use crate::codes;
use crate::process::{Failure, Finished, Job, logged};
use crate::text::shown;

/// ssh's own exit status for whatever went wrong with ssh.
const SSH_FAILED: i32 = 255;

/// How long a goodbye to a shared connection may take.
const GOODBYE: Duration = Duration::from_secs(5);

/// The nodes' shell, over ssh.
pub struct Ssh {
    config: SshConfig,
    control: Control,
    log: Arc<dyn CommandLog>,
}

impl std::fmt::Debug for Ssh {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Ssh").field(&self.config).finish()
    }
}

impl Ssh {
    /// A shell; no connection is made yet.
    ///
    /// # Errors
    /// `ssh-control-dir` when the directory for shared connections cannot be used.
    pub fn new(config: SshConfig, log: Arc<dyn CommandLog>) -> PortResult<Self> {
        let control = Control::new(config.control_path_dir.as_deref())?;
        Ok(Self {
            config,
            control,
            log,
        })
    }

    /// Notes that the node is wiped next, and that it may answer with a new host key then.
    ///
    /// Only [`HostKeys::ReplaceAfterWipe`] makes use of it. The note lies with the run, so that a later
    /// life, or another head node, knows. The known key stays good: the old system answers with it until
    /// it goes down, and its key is not taken for a new one. Whatever other key the node shows next is
    /// kept, and no further one is taken until it is wiped again.
    /// [`Cmsh::telling`](crate::Cmsh::telling) calls this before a node is wiped.
    ///
    /// # Errors
    /// `ssh-known-hosts` when it cannot be noted.
    pub async fn expect_new_key(&self, node: &NodeName) -> PortResult<()> {
        if let HostKeys::ReplaceAfterWipe { run_known_hosts } = &self.config.host_keys {
            new_keys::expect(run_known_hosts, node)?;
            self.control.go_by(node, Key::Known);
            self.disconnect(node).await;
        }
        Ok(())
    }

    /// The file for the node's new key, if this run has had it wiped.
    fn new_key(&self, node: &NodeName) -> Option<PathBuf> {
        match &self.config.host_keys {
            HostKeys::ReplaceAfterWipe { run_known_hosts }
                if new_keys::is_expected(run_known_hosts, node) =>
            {
                Some(new_keys::file(run_known_hosts, node))
            }
            _ => None,
        }
    }

    /// Ends the shared connection to a node, if there is one.
    pub async fn disconnect(&self, node: &NodeName) {
        let Some(socket) = self.control.forget(node) else {
            return;
        };
        let args = goodbye(&socket, node);
        let job = Job {
            program: &self.config.program,
            args: &args,
            timeout: GOODBYE,
            output_limit: 1024,
        };
        // No master is no fault: then there is nothing to end.
        let _ = job.run().await;
        let _ = tokio::fs::remove_file(&socket).await;
    }

    /// Ends every shared connection.
    pub async fn close(&self) {
        for node in self.control.nodes() {
            self.disconnect(&node).await;
        }
    }

    /// The arguments of ssh for a command.
    fn arguments(&self, node: &NodeName, key: Key, remote: &[String]) -> PortResult<Vec<String>> {
        let remote = shlex::try_join(remote.iter().map(String::as_str)).map_err(|error| {
            let what = format!("a command for {node} holds a NUL byte");
            AdapterError::new(codes::EFFECT_REFUSED, Certainty::Refused, what)
                .hint("this is a fault of the program that made the plan: please report it")
                .caused_by(error)
        })?;
        let socket = self.control.socket(node);
        let new_key = self.new_key(node).filter(|_| key == Key::New);
        let mut args = self.config.arguments(new_key.as_deref(), socket.as_deref());
        args.extend([format!("root@{node}"), "--".into(), remote]);
        Ok(args)
    }

    async fn run(&self, node: &NodeName, remote: &[String], effect: bool) -> PortResult<Output> {
        let (mut reconnected, mut key) = (false, self.control.key(node));
        let first = key;
        loop {
            let done = self.once(node, key, remote, effect).await?;
            if let Some(status) = done.status.filter(|status| *status != SSH_FAILED) {
                self.control.go_by(node, key);
                return Ok(Output {
                    status,
                    stdout: done.stdout,
                    stderr: done.stderr,
                });
            }
            match classify(&done.err(), done.stdout.is_empty()) {
                // The node has been reset since: the command never started, a fresh connection may.
                Broken::StaleMaster if !reconnected => {
                    reconnected = true;
                    self.disconnect(node).await;
                }
                // Wiped by this run, it has its old key or a new one: the command never started.
                Broken::HostKey if key == first && self.new_key(node).is_some() => {
                    key = key.other();
                }
                broken => return Err(self.broken(node, broken, &done, effect)),
            }
        }
    }

    async fn once(
        &self,
        node: &NodeName,
        key: Key,
        remote: &[String],
        effect: bool,
    ) -> PortResult<Finished> {
        let args = self.arguments(node, key, remote)?;
        let job = Job {
            program: &self.config.program,
            args: &args,
            timeout: self.config.command_timeout,
            output_limit: self.config.output_limit,
        };
        let command = Command::on_node(node, remote.iter().map(String::as_str));
        logged(&*self.log, command, effect, job.run())
            .await
            .map_err(|failure| self.failed(node, failure, effect))
    }

    fn failed(&self, node: &NodeName, failure: Failure, effect: bool) -> AdapterError {
        match failure {
            Failure::Start(_) => {
                let what = format!("{} cannot be run", self.config.program.display());
                AdapterError::new(codes::SSH_MISSING, Certainty::Refused, what)
                    .hint("install the ssh client on this head node")
            }
            Failure::Timeout(_) => {
                let what = format!("a command on {node} has not ended");
                AdapterError::new(codes::SSH_TIMEOUT, uncertain(effect), what).hint(format!(
                    "see whether {node} hangs: its load, its disk, its console"
                ))
            }
        }
        .caused_by(failure)
    }

    fn broken(
        &self,
        node: &NodeName,
        broken: Broken,
        done: &Finished,
        effect: bool,
    ) -> AdapterError {
        let said = shown(&without_banner(&done.err()));
        let not_done = Certainty::NotDone;
        match broken {
            Broken::Unreachable | Broken::StaleMaster => {
                let what = format!("{node} does not answer over ssh: {said}");
                AdapterError::new(codes::SSH_UNREACHABLE, not_done, what).hint(format!(
                    "try `ssh root@{node} true`; see its power (`device; power -n {node} status` in cmsh) and its console"
                ))
            }
            Broken::HostKey => {
                let what = format!("{node} shows a host key that is not the known one: {said}");
                AdapterError::new(codes::SSH_HOST_KEY, Certainty::Refused, what)
                    .hint(self.host_key_hint(node))
            }
            Broken::Denied => {
                let what = format!("{node} does not let root in: {said}");
                AdapterError::new(codes::SSH_DENIED, Certainty::Refused, what).hint(format!(
                    "root's key must work without a password: try `ssh root@{node} true`"
                ))
            }
            Broken::Lost => {
                let what = format!("the connection to {node} broke: {said}");
                AdapterError::new(codes::SSH_LOST, uncertain(effect), what).hint(format!(
                    "see whether {node} has gone down, or the network to it; then resume: what was begun is looked at first"
                ))
            }
        }
    }

    fn host_key_hint(&self, node: &NodeName) -> String {
        let compare = format!(
            "compare its key on its console (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub) \
             with what `ssh-keyscan {node} | ssh-keygen -lf -` prints here"
        );
        if let Some(file) = self.new_key(node) {
            let file = file.display();
            return format!(
                "it has neither the key known before nor the one it came up with after this run had it \
                 wiped. Has it been provisioned once more? Then {compare}; where they are the same, \
                 `ssh-keygen -R {node} -f {file}`, and resume: the key it shows then is taken"
            );
        }
        let file = self.config.known_hosts.as_deref();
        let file = file.map_or_else(String::new, |file| format!(" -f {}", file.display()));
        format!(
            "a node that has been provisioned anew may have a new key: {compare}; where they are the \
             same, `ssh-keygen -R {node}{file}`, connect once by hand to accept it, and resume"
        )
    }
}

/// ssh's last words without the frame and the alarm around a changed host key.
fn without_banner(text: &str) -> String {
    let alarm = [
        "@",
        "IT IS POSSIBLE",
        "Someone could be",
        "It is also possible",
        "Please contact",
    ];
    text.lines()
        .filter(|line| !alarm.iter().any(|start| line.starts_with(start)))
        .collect::<Vec<_>>()
        .join("\n")
}

/// What a lost answer means: a question changes nothing, an effect may have happened.
const fn uncertain(effect: bool) -> Certainty {
    if effect {
        Certainty::Unknown
    } else {
        Certainty::NotDone
    }
}

fn goodbye(socket: &Path, node: &NodeName) -> Vec<String> {
    let path = format!("ControlPath={}", literal(socket));
    let destination = format!("root@{node}");
    // No configuration file: the socket alone says which connection is meant.
    ["-F", "/dev/null", "-o", &path, "-O", "exit", &destination]
        .map(String::from)
        .to_vec()
}

impl Drop for Ssh {
    /// Ends the shared connections; what cannot be reached ends by itself after a minute of idling.
    fn drop(&mut self) {
        for node in self.control.nodes() {
            let Some(socket) = self.control.forget(&node).filter(|path| path.exists()) else {
                continue;
            };
            let child = std::process::Command::new(&self.config.program)
                .args(goodbye(&socket, &node))
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn();
            // It talks to a local socket only: this is no wait for a network.
            let _ = child.and_then(|mut child| child.wait());
        }
    }
}

#[async_trait]
impl Shell for Ssh {
    async fn query(&self, node: &NodeName, argv: &[String]) -> PortResult<Output> {
        self.run(node, argv, false).await
    }

    async fn effect(&self, _: &Permit, node: &NodeName, argv: &[String]) -> PortResult<Output> {
        self.run(node, argv, true).await
    }
}
