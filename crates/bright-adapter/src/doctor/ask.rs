//! Asking, with a note of the very commands that a finding rests on.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use runbook_core::error::{AdapterError, Certainty};
use runbook_core::journal::Permit;
use runbook_core::names::{NameError, NodeName};
use runbook_core::plan::Command;
use runbook_core::ports::{CommandEntry, CommandLog, EtcdTool, Output, PortResult, Shell};

use crate::cmsh::{Cmsh, CmshConfig};
use crate::codes;
use crate::node::SshNode;
use crate::programs::{Call, Failure, Finished, Programs};

/// The longest a question to the head node itself may take.
const HEAD_TIMEOUT: Duration = Duration::from_secs(20);

/// The most that is kept of its answer, in bytes.
const HEAD_OUTPUT_BYTES: usize = 256 * 1024;

/// What to do about a question that a machine could not answer.
const BY_HAND: &str = "ask by hand, with the command that stands with the finding (--format json has all of it); a dying disk and a stale mount are usual causes";

/// An answer, and how it was asked for.
pub(super) struct Asked<T> {
    pub(super) how: Vec<String>,
    pub(super) got: PortResult<T>,
}

/// etcd's tools over a way to the nodes.
pub type ToolOver = Arc<dyn Fn(Arc<dyn Shell>) -> Arc<dyn EtcdTool> + Send + Sync>;

/// Everything that can be asked.
pub(super) struct Asker {
    config: CmshConfig,
    programs: Arc<dyn Programs>,
    shell: Arc<dyn Shell>,
    /// The same programs, none of which is waited for twice.
    patient: Arc<dyn Programs>,
    tool: ToolOver,
}

/// The commands of one question.
#[derive(Debug, Default)]
struct Heard(Mutex<Vec<String>>);

impl Heard {
    fn note(&self, command: &Command) {
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        heard.push(command.shell());
    }

    fn ended<T>(&self, got: PortResult<T>) -> Asked<T> {
        let got = got.map_err(|error| match error.hint {
            // No run has logged it, and this head node is asked as if it were a node.
            Some(_) if error.code == codes::NODE_QUESTION => error.hint(BY_HAND),
            _ => error,
        });
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Asked {
            how: std::mem::take(&mut heard),
            got,
        }
    }
}

impl CommandLog for Heard {
    fn record(&self, entry: &CommandEntry) {
        self.note(&entry.command);
    }
}

impl Asker {
    pub(super) fn new(
        config: CmshConfig,
        programs: Arc<dyn Programs>,
        shell: Arc<dyn Shell>,
        tool: ToolOver,
    ) -> Self {
        let patient = Arc::new(Patient {
            inner: Arc::clone(&programs),
            silent: Mutex::default(),
        });
        Self {
            config,
            programs,
            shell,
            patient,
            tool,
        }
    }

    /// Where the vendor's script for single members would be.
    pub(super) fn etcd_manage(&self) -> String {
        self.config.etcd_manage.to_string_lossy().into_owned()
    }

    /// Asks the cluster manager.
    pub(super) async fn cmsh<T>(&self, ask: impl AsyncFnOnce(&Cmsh) -> PortResult<T>) -> Asked<T> {
        let heard = Arc::new(Heard::default());
        let log: Arc<dyn CommandLog> = heard.clone();
        let cmsh = Cmsh::new(self.config.clone(), log).with_programs(Arc::clone(&self.patient));
        let got = ask(&cmsh).await;
        heard.ended(got)
    }

    /// Asks a node.
    pub(super) async fn node<T>(
        &self,
        ask: impl AsyncFnOnce(&SshNode<Noted>) -> PortResult<T>,
    ) -> Asked<T> {
        let (nodes, heard) = Self::noted(Arc::clone(&self.shell), Over::Ssh);
        let got = ask(&SshNode::new(nodes)).await;
        heard.ended(got)
    }

    /// Asks this head node as if it were a node: the same scripts, without ssh.
    pub(super) async fn head<T>(
        &self,
        ask: impl AsyncFnOnce(&SshNode<Noted>, &NodeName) -> PortResult<T>,
    ) -> Asked<T> {
        let here = Arc::new(Here(Arc::clone(&self.programs)));
        let (nodes, heard) = Self::noted(here, Over::Nothing);
        let got = match NodeName::new("head") {
            Ok(name) => ask(&SshNode::new(nodes), &name).await,
            Err(error) => Err(unusable(error)),
        };
        heard.ended(got)
    }

    /// Asks etcd's programs on a node.
    pub(super) async fn tool<T>(
        &self,
        ask: impl AsyncFnOnce(&dyn EtcdTool) -> PortResult<T>,
    ) -> Asked<T> {
        let (shell, heard) = Self::noted(Arc::clone(&self.shell), Over::Ssh);
        let got = ask(&*(self.tool)(shell)).await;
        heard.ended(got)
    }

    fn noted(shell: Arc<dyn Shell>, over: Over) -> (Arc<Noted>, Arc<Heard>) {
        let heard = Arc::new(Heard::default());
        let log = Arc::clone(&heard);
        (Arc::new(Noted { shell, over, log }), heard)
    }
}

/// How a command gets to where it runs.
#[derive(Debug, Clone, Copy)]
enum Over {
    Nothing,
    Ssh,
}

impl Over {
    /// What to type on the head node.
    fn typed(self, node: &NodeName, argv: &[String]) -> Command {
        let here = Command::on_head(argv.iter().map(String::as_str));
        match self {
            Self::Nothing => here,
            Self::Ssh => Command::on_head(["ssh", &format!("root@{node}"), "--", &here.shell()]),
        }
    }
}

/// A fault of this program: the names that it gives itself are fine.
pub(super) fn unusable(error: NameError) -> AdapterError {
    AdapterError::new(codes::NODE_QUESTION, Certainty::Refused, "no such name").caused_by(error)
}

/// A shell whose questions are noted. It changes nothing, whoever asks.
pub(crate) struct Noted {
    shell: Arc<dyn Shell>,
    over: Over,
    log: Arc<Heard>,
}

#[async_trait]
impl Shell for Noted {
    async fn query(&self, node: &NodeName, argv: &[String]) -> PortResult<Output> {
        self.log.note(&self.over.typed(node, argv));
        self.shell.query(node, argv).await
    }

    async fn effect(&self, _: &Permit, _: &NodeName, _: &[String]) -> PortResult<Output> {
        Err(changes_nothing())
    }
}

/// Programs that are not waited for twice: one that hangs costs its time-out once, and not once per
/// question.
struct Patient {
    inner: Arc<dyn Programs>,
    silent: Mutex<BTreeSet<PathBuf>>,
}

impl Patient {
    fn silent(&self) -> std::sync::MutexGuard<'_, BTreeSet<PathBuf>> {
        self.silent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Programs for Patient {
    async fn run(&self, call: &Call) -> Result<Finished, Failure> {
        if self.silent().contains(&call.program) {
            return Err(Failure::Timeout(call.timeout));
        }
        let done = self.inner.run(call).await;
        if matches!(done, Err(Failure::Timeout(_))) {
            self.silent().insert(call.program.clone());
        }
        done
    }

    async fn read(&self, path: &Path, limit: usize) -> io::Result<Vec<u8>> {
        self.inner.read(path, limit).await
    }
}

/// This head node, asked with a node's scripts.
struct Here(Arc<dyn Programs>);

#[async_trait]
impl Shell for Here {
    async fn query(&self, _: &NodeName, argv: &[String]) -> PortResult<Output> {
        let failed = |what: String| {
            AdapterError::new(codes::NODE_QUESTION, Certainty::NotDone, what).hint(BY_HAND)
        };
        let Some((program, words)) = argv.split_first() else {
            return Err(failed("there is no command".into()));
        };
        let call = Call {
            program: program.into(),
            args: words.to_vec(),
            timeout: HEAD_TIMEOUT,
            output_limit: HEAD_OUTPUT_BYTES,
        };
        match self.0.run(&call).await {
            Ok(done) => Ok(Output {
                status: done.status.unwrap_or(255),
                stdout: done.stdout,
                stderr: done.stderr,
            }),
            Err(failure @ Failure::Start(_)) => {
                Err(failed(format!("{program} cannot be run here")).caused_by(failure))
            }
            Err(failure @ Failure::Timeout(_)) => {
                Err(failed("a question to this head node has not ended".into()).caused_by(failure))
            }
        }
    }

    async fn effect(&self, _: &Permit, _: &NodeName, _: &[String]) -> PortResult<Output> {
        Err(changes_nothing())
    }
}

fn changes_nothing() -> AdapterError {
    let what = "the doctor changes nothing";
    AdapterError::new(codes::EFFECT_REFUSED, Certainty::Refused, what)
        .hint("this is a fault of restore-runbook: please report it")
}
