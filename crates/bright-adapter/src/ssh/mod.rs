//! Commands on the nodes, over plain `ssh`: an operator can paste every one of them.

mod classify;
mod config;
mod control;
mod new_keys;

use std::path::Path;
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
pub use self::config::{HostKeys, SshConfig};
use self::config::{Trust, is_plain, quoted};
use self::control::Control;
pub use self::new_keys::AcceptedKeys;
use self::new_keys::{NewKeys, taking_over};
use crate::codes;
use crate::process::{Failure, Finished, logged};
use crate::programs::{Call, Programs, ThisHead};
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
    programs: Arc<dyn Programs>,
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
    /// `ssh-control-dir` when the directory for shared connections cannot be used; `ssh-known-hosts` for a
    /// path of known hosts that ssh would misread.
    pub fn new(config: SshConfig, log: Arc<dyn CommandLog>) -> PortResult<Self> {
        let own = config.run_known_hosts.as_ref();
        let own = own.filter(|_| config.host_keys == HostKeys::ReplaceAfterWipe);
        for path in own.into_iter().chain(&config.known_hosts) {
            if !is_plain(path) {
                let what = format!(
                    "ssh would misread the path {}",
                    shown(&path.to_string_lossy())
                );
                return Err(
                    AdapterError::new(codes::SSH_KNOWN_HOSTS, Certainty::Refused, what)
                        .hint("use one without control characters and without % \" \\ $"),
                );
            }
        }
        Ok(Self {
            control: Control::new(config.control_path_dir.as_deref())?,
            config,
            log,
            programs: Arc::new(ThisHead),
        })
    }

    /// Runs these programs instead of the ones of this machine: a simulator.
    #[must_use]
    pub fn with_programs(mut self, programs: Arc<dyn Programs>) -> Self {
        self.programs = programs;
        self
    }

    /// Notes that the node is wiped next, and that it may answer with a new host key then.
    ///
    /// It is noted below [`SshConfig::run_known_hosts`], if there is such a place, so that a later life, or
    /// another head node, knows. With [`HostKeys::ReplaceAfterWipe`] the next key that is none of the known
    /// ones, and whose system lets root in, is kept there; no further one is taken until the node is wiped
    /// again. The keys known so far stay good: a system answers with its own until it has gone down.
    /// [`Cmsh::telling`](crate::Cmsh::telling) calls this before a node is wiped.
    ///
    /// # Errors
    /// `ssh-known-hosts` when it cannot be noted.
    pub async fn expect_new_key(&self, node: &NodeName) -> PortResult<()> {
        if let Some(keys) = self.new_keys(node) {
            keys.expect()?;
            self.disconnect(node).await;
        }
        Ok(())
    }

    /// Notes that the node is not wiped after all. A new key that it has shown meanwhile stays good.
    ///
    /// # Errors
    /// `ssh-known-hosts` when the note cannot be taken back.
    pub fn expect_no_new_key(&self, node: &NodeName) -> PortResult<()> {
        self.new_keys(node).map_or(Ok(()), |keys| keys.withdraw())
    }

    fn new_keys(&self, node: &NodeName) -> Option<NewKeys> {
        let place = self.config.run_known_hosts.as_deref()?;
        Some(NewKeys::of(place, node))
    }

    /// The same, where a key in them counts.
    fn own_keys(&self, node: &NodeName) -> Option<NewKeys> {
        let counts = self.config.host_keys == HostKeys::ReplaceAfterWipe;
        self.new_keys(node).filter(|keys| counts && keys.is_noted())
    }

    /// Ends the shared connection to a node, if there is one.
    pub async fn disconnect(&self, node: &NodeName) {
        let Some(socket) = self.control.forget(node) else {
            return;
        };
        let call = Call {
            program: self.config.program.clone(),
            args: goodbye(&socket, node),
            timeout: GOODBYE,
            output_limit: 1024,
        };
        // No master is no fault: then there is nothing to end.
        let _ = self.programs.run(&call).await;
        let _ = tokio::fs::remove_file(&socket).await;
    }

    /// Ends every shared connection.
    pub async fn close(&self) {
        for node in self.control.nodes() {
            self.disconnect(&node).await;
        }
    }

    /// The arguments of ssh for a command.
    fn arguments(
        &self,
        node: &NodeName,
        trust: &Trust,
        remote: &[String],
    ) -> PortResult<Vec<String>> {
        let remote = shlex::try_join(remote.iter().map(String::as_str)).map_err(|error| {
            let what = format!("a command for {node} holds a NUL byte");
            AdapterError::new(codes::EFFECT_REFUSED, Certainty::Refused, what)
                .hint("this is a fault of the program that made the plan: please report it")
                .caused_by(error)
        })?;
        // Nothing shares the connection of a key that is not kept yet.
        let socket = match trust {
            Trust::First(_) => None,
            Trust::Known | Trust::Own(_) => self.control.socket(node),
        };
        let mut args = self.config.arguments(trust, socket.as_deref());
        args.extend([format!("root@{node}"), "--".into(), remote]);
        Ok(args)
    }

    async fn run(&self, node: &NodeName, remote: &[String], effect: bool) -> PortResult<Output> {
        let (mut reconnected, mut met) = (false, false);
        let mut tries = self.trusts(node)?;
        loop {
            let trust = tries.last().unwrap_or(&Trust::Known);
            let done = self.once(node, trust, remote, effect).await?;
            if let Some(status) = done.status.filter(|status| *status != SSH_FAILED) {
                self.control.known_by(node, matches!(trust, Trust::Own(_)));
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
                // Of the keys that are trusted it has another one: the command never started.
                Broken::HostKey if tries.len() > 1 => drop(tries.pop()),
                Broken::HostKey if !met => {
                    met = true;
                    match self.meet(node).await? {
                        Some(own) => tries = vec![own],
                        None => return Err(self.broken(node, Broken::HostKey, &done, effect)),
                    }
                }
                broken => return Err(self.broken(node, broken, &done, effect)),
            }
        }
    }

    /// Against what a connection may hold the node's key; the last one is the likeliest.
    fn trusts(&self, node: &NodeName) -> PortResult<Vec<Trust>> {
        let held = self.own_keys(node).map(|keys| keys.held()).transpose()?;
        let held = held.filter(|files| !files.is_empty());
        let mut trusts = vec![Trust::Known];
        if let Some(files) = held {
            let at = usize::from(self.control.has_new_key(node));
            trusts.insert(at, Trust::Own(files));
        }
        Ok(trusts)
    }

    /// Takes a node's new key, if one is awaited, once it is seen that its system lets root in: ssh would
    /// write down whichever key it meets first, and go on where it cannot.
    async fn meet(&self, node: &NodeName) -> PortResult<Option<Trust>> {
        let Some(keys) = self.own_keys(node) else {
            return Ok(None);
        };
        let meeting = self.control.meeting(node);
        let _one = meeting.lock().await;
        if keys.is_awaited()? {
            let trust = Trust::First(keys.to_be_shown()?.into());
            let nothing = ["true".to_owned()];
            let done = self.once(node, &trust, &nothing, false).await?;
            if done.status == Some(SSH_FAILED) || done.status.is_none() {
                let broken = classify(&done.err(), done.stdout.is_empty());
                return Err(self.broken(node, broken, &done, false));
            }
            keys.keep()?;
        }
        let held = keys.held()?;
        Ok((!held.is_empty()).then_some(Trust::Own(held)))
    }

    async fn once(
        &self,
        node: &NodeName,
        trust: &Trust,
        remote: &[String],
        effect: bool,
    ) -> PortResult<Finished> {
        let call = Call {
            program: self.config.program.clone(),
            args: self.arguments(node, trust, remote)?,
            timeout: self.config.command_timeout,
            output_limit: self.config.output_limit,
        };
        let command = Command::on_node(node, remote.iter().map(String::as_str));
        logged(&*self.log, command, effect, self.programs.run(&call))
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
            Broken::Revoked => {
                let what = format!("{node} shows a host key that is marked as revoked: {said}");
                AdapterError::new(codes::SSH_HOST_KEY, Certainty::Refused, what).hint(
                    "somebody has declared this key to be in wrong hands: believe nothing that answers there until you know who it is",
                )
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
        let same = format!(
            "compare its key on its console (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub) with what \
             `ssh-keyscan {node} | ssh-keygen -lf -` prints here; where they are the same,"
        );
        let file = self.config.known_hosts.as_deref();
        let of_file = file.map_or_else(String::new, |file| format!(" -f {}", typed(file)));
        let by_hand = format!(
            "`ssh-keygen -R {node}{of_file}`, connect once by hand to accept it, and resume"
        );
        if let Some(keys) = self.own_keys(node) {
            return format!(
                "it has neither the key known before nor the one it came up with after this run had it \
                 wiped. Has it been provisioned once more? Then {same} `: > {}` and resume: the key it \
                 shows then is taken",
                typed(keys.file())
            );
        }
        if self.new_keys(node).is_some_and(|keys| keys.is_noted()) {
            return format!(
                "this run has had it wiped, and its provisioning has not brought its key back: {same} \
                 resume with `--host-keys replace-after-wipe`, which takes it for this run; or {by_hand}"
            );
        }
        let known = file.map_or_else(|| "~/.ssh/known_hosts".to_owned(), typed);
        let earlier = taking_over(&format!("RUN-DIR/known_hosts.{node}"), &known);
        format!(
            "a node that has been provisioned anew may have a new key: {same} {by_hand}. Where a run that is \
             over had it wiped and accepted its key, that lies in the run's directory: `{earlier}`"
        )
    }
}

/// A path as it is typed into a shell.
fn typed(path: &Path) -> String {
    let path = path.to_string_lossy();
    shlex::try_quote(&path).map_or_else(|_| path.to_string(), Into::into)
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
    let path = format!("ControlPath={}", quoted(socket));
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
