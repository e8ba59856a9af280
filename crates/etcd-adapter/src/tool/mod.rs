//! etcd's own programs on the nodes, and the proof of a snapshot on the head node.
//!
//! Every remote step is a constant shell script (`scripts/`) whose values arrive as arguments. The
//! one exception is the restore, which a reviewer must be able to read as a whole: its values are
//! written into the head of the script, quoted.

pub(crate) mod answer;
mod beside;
pub(crate) mod prove;
pub(crate) mod restore;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use runbook_core::digest::Digest;
use runbook_core::error::{AdapterError, Certainty};
use runbook_core::journal::Permit;
use runbook_core::names::{AbsPath, ModuleName, NodeName, RunId};
use runbook_core::plan::{Command, ToolEffect};
use runbook_core::ports::{EtcdTool, Output, PortResult, Shell};
use runbook_core::world::{BumpRule, RecordedRevisions, SnapshotProof, Staged, ToolVersions};

use crate::snapshot::Progress;

pub use prove::code as verdict_code;
pub use restore::{inner_script, unit_name};

const STAGED: &str = include_str!("scripts/staged.sh");
const DIGEST: &str = include_str!("scripts/digest.sh");
const MODULES: &str = include_str!("scripts/modules.sh");
pub(crate) const VERSIONS: &str = include_str!("scripts/versions.sh");

/// Who is told how far the proof of a snapshot has come.
pub type Watcher = Arc<dyn Fn(Progress) + Send + Sync>;

/// etcd's programs, run on nodes through a [`Shell`].
pub struct RemoteTool<S: ?Sized> {
    watcher: Option<Watcher>,
    shell: Arc<S>,
}

impl<S: ?Sized> fmt::Debug for RemoteTool<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteTool").finish_non_exhaustive()
    }
}

impl<S: Shell + ?Sized> RemoteTool<S> {
    /// The tool over a way to the nodes; `Arc<dyn Shell>` will do.
    pub const fn new(shell: Arc<S>) -> Self {
        Self {
            watcher: None,
            shell,
        }
    }

    /// Has somebody told, some times a second, how far the proof of a snapshot has come.
    #[must_use]
    pub fn watched(mut self, watcher: Watcher) -> Self {
        self.watcher = Some(watcher);
        self
    }

    /// Runs a script that changes nothing and demands that it succeeds.
    async fn ask(&self, node: &NodeName, argv: &[String]) -> PortResult<String> {
        let what = "a question about etcd";
        let output = self.shell.query(node, argv).await?;
        said(&output).ok_or_else(|| {
            failed("etcd-node-query", Certainty::NotDone, node, what, &output).hint(format!(
                "ask it by hand: the command is in commands.log, `ssh root@{node}` leads there"
            ))
        })
    }

    /// The same about modules: a node without them is a fact, and no reason to ask again.
    async fn ask_modules(&self, node: &NodeName, argv: &[String]) -> PortResult<String> {
        let what = "a question about environment modules";
        let output = self.shell.query(node, argv).await?;
        said(&output).ok_or_else(|| {
            failed("module-missing", Certainty::Refused, node, what, &output)
                .hint("look at `module avail etcd` in a login shell on the node")
        })
    }

    /// The one etcd module of a node.
    async fn only_module(&self, node: &NodeName) -> PortResult<ModuleName> {
        let listed = self.ask_modules(node, &login(MODULES, &[])).await?;
        answer::only_module(node, &listed)
    }
}

#[async_trait]
impl<S: Shell + ?Sized> EtcdTool for RemoteTool<S> {
    fn render(&self, effect: &ToolEffect) -> PortResult<Vec<Command>> {
        match effect {
            ToolEffect::Restore(effect) => Ok(vec![restore::command(effect)?]),
        }
    }

    async fn perform(&self, permit: &Permit, effect: &ToolEffect) -> PortResult<()> {
        let ToolEffect::Restore(restore) = effect;
        for command in self.render(effect)? {
            let output = self
                .shell
                .effect(permit, &restore.node, &command.argv)
                .await?;
            if output.status != 0 {
                // Two starts at once: systemd refuses the second one, and the first one runs.
                let (node, what) = (&restore.node, "starting the restore");
                return Err(
                    failed("restore-not-started", Certainty::Unknown, node, what, &output)
                        .hint(format!("see `systemctl status 'restore-runbook-*'` on {node}; then resume: a restore that runs is waited for")),
                );
            }
        }
        Ok(())
    }

    async fn recorded(&self, snapshot: &AbsPath) -> PortResult<Option<RecordedRevisions>> {
        beside::recorded(snapshot)
    }

    async fn prove(&self, snapshot: &AbsPath, bump: Option<BumpRule>) -> PortResult<SnapshotProof> {
        let path = snapshot.clone();
        let watcher = self.watcher.clone();
        let mut progress = move |progress| {
            if let Some(watcher) = &watcher {
                watcher(progress);
            }
        };
        tokio::task::spawn_blocking(move || prove::prove(&path, bump, &mut progress))
            .await
            .map_err(|error| {
                AdapterError::new(
                    "snapshot-proof-died",
                    Certainty::NotDone,
                    format!("the proof of {snapshot} did not end"),
                )
                .hint("try again; if it happens again, the file or the storage below it is bad")
                .caused_by(error)
            })?
    }

    async fn tools(&self, node: &NodeName, module: Option<ModuleName>) -> PortResult<ToolVersions> {
        let module = match module {
            Some(module) => module,
            None => self.only_module(node).await?,
        };
        let said = self
            .ask_modules(node, &login(VERSIONS, &[module.as_str()]))
            .await?;
        answer::versions(node, &module, &said)
    }

    async fn staged(&self, node: &NodeName, staging: &AbsPath, run: RunId) -> PortResult<Staged> {
        let argv = plain(STAGED, &[&unit_name(run), staging.as_str()]);
        let said = self.ask(node, &argv).await?;
        answer::staged(node, &said)
    }

    async fn db_digest(&self, node: &NodeName, data_dir: &AbsPath) -> PortResult<Option<Digest>> {
        let db = data_dir.join("member/snap/db");
        let said = self.ask(node, &plain(DIGEST, &[db.as_str()])).await?;
        answer::digest(node, &said)
    }
}

/// A script with its arguments.
fn plain(script: &str, args: &[&str]) -> Vec<String> {
    shell_argv("-c", script, args)
}

/// A script with its arguments in a login shell: `module` exists in no other.
fn login(script: &str, args: &[&str]) -> Vec<String> {
    shell_argv("-lc", script, args)
}

fn shell_argv(option: &str, script: &str, args: &[&str]) -> Vec<String> {
    ["bash", option, script, "restore-runbook"]
        .iter()
        .chain(args)
        .map(|word| (*word).to_owned())
        .collect()
}

fn said(output: &Output) -> Option<String> {
    (output.status == 0).then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn failed(
    code: &'static str,
    certainty: Certainty,
    node: &NodeName,
    what: &str,
    output: &Output,
) -> AdapterError {
    let said = answer::tail(&String::from_utf8_lossy(&output.stderr));
    AdapterError::new(
        code,
        certainty,
        format!(
            "{what} on {node} ended with status {}: {said}",
            output.status
        ),
    )
}
