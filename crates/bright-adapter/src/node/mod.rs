//! The nodes: scripts for what is done on them, and for what is asked of them.

pub(crate) mod questions;
pub(crate) mod scripts;

use std::sync::Arc;

use async_trait::async_trait;
use runbook_core::digest::Digest;
use runbook_core::error::{AdapterError, Certainty};
use runbook_core::journal::Permit;
use runbook_core::names::{AbsPath, NodeName, Owner, ServiceName};
use runbook_core::plan::{Command, NodeEffect};
use runbook_core::platform::ApiServer;
use runbook_core::ports::{Node, OLD_DATA_GONE, Output, PortResult, Shell};
use runbook_core::run::plan_anew;
use runbook_core::world::{BootId, Room, SeenSnapshot, ServiceState, SpoolState, TreeState};

use self::questions::Read;
use crate::codes;
use crate::text::shown;

/// The nodes behind a shell.
#[derive(Debug)]
pub struct SshNode<S> {
    shell: Arc<S>,
}

impl<S> SshNode<S> {
    /// Nodes that are reached through this shell.
    pub fn new(shell: Arc<S>) -> Self {
        Self { shell }
    }
}

fn argv(script: &str) -> Vec<String> {
    ["sh", "-euc", script].map(String::from).to_vec()
}

fn digest_of_hex(hex: &str) -> Option<Digest> {
    Digest::parse(hex).ok()
}

/// What a script said: its standard error, and its standard output where that is empty.
fn said(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    if text.trim().is_empty() {
        shown(&String::from_utf8_lossy(&output.stdout))
    } else {
        shown(&text)
    }
}

impl<S: Shell> SshNode<S> {
    /// Asks a node, and reads its answer.
    pub(crate) async fn ask<T: Send>(
        &self,
        node: &NodeName,
        what: &str,
        script: &str,
        read: impl Fn(&str) -> Read<T> + Send,
    ) -> PortResult<T> {
        let output = self.shell.query(node, &argv(script)).await?;
        if output.status != 0 {
            let said = said(&output);
            let status = output.status;
            let what = format!("{node} cannot tell {what} (exit status {status}): {said}");
            return Err(
                AdapterError::new(codes::NODE_QUESTION, Certainty::NotDone, what).hint(format!(
                    "ask it by hand: the command is in commands.log, `ssh root@{node}` leads there; a dying disk and a stale mount are usual causes"
                )),
            );
        }
        let text = String::from_utf8_lossy(&output.stdout);
        read(&text).ok_or_else(|| {
            let what = format!("{node} was asked for {what} and answered {}", shown(&text));
            AdapterError::new(codes::NODE_ANSWER, Certainty::NotDone, what).hint(format!(
                "`ssh root@{node} true` must print nothing: see root's shell start-up files there"
            ))
        })
    }
}

#[async_trait]
impl<S: Shell> Node for SshNode<S> {
    fn render(&self, effect: &NodeEffect) -> PortResult<Vec<Command>> {
        Ok(vec![Command::on_node(
            effect.node(),
            argv(&scripts::of(effect)),
        )])
    }

    async fn perform(&self, permit: &Permit, effect: &NodeEffect) -> PortResult<()> {
        for command in self.render(effect)? {
            let output = self
                .shell
                .effect(permit, effect.node(), &command.argv)
                .await?;
            if output.status != 0 {
                return Err(failed(effect, &output));
            }
        }
        Ok(())
    }

    async fn boot_id(&self, node: &NodeName) -> PortResult<Option<BootId>> {
        let what = "its boot id";
        match self
            .ask(node, what, questions::BOOT_ID, questions::read_boot_id)
            .await
        {
            Ok(id) => Ok(Some(id)),
            // A node on its way down or up: no answer, and nothing else to say about it.
            Err(error) if no_answer(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn spool(&self, node: &NodeName, spool: &AbsPath) -> PortResult<SpoolState> {
        let what = format!("what stands at {spool}");
        self.ask(node, &what, &questions::spool(spool), questions::read_spool)
            .await
    }

    async fn exists(&self, node: &NodeName, path: &AbsPath) -> PortResult<bool> {
        let what = format!("whether {path} is there");
        self.ask(
            node,
            &what,
            &questions::exists(path),
            questions::read_exists,
        )
        .await
    }

    async fn service(&self, node: &NodeName, service: &ServiceName) -> PortResult<ServiceState> {
        let what = format!("the state of {service}");
        self.ask(
            node,
            &what,
            &questions::service(service),
            questions::read_service,
        )
        .await
    }

    async fn listening(&self, node: &NodeName, ports: &[u16]) -> PortResult<Vec<u16>> {
        let what = "its listening ports";
        let read = questions::read_listening;
        let open = self.ask(node, what, &questions::listening(), read).await?;
        Ok(ports
            .iter()
            .copied()
            .filter(|port| open.contains(port))
            .collect())
    }

    async fn snapshot(
        &self,
        node: &NodeName,
        path: &AbsPath,
        spool: &AbsPath,
    ) -> PortResult<Option<SeenSnapshot>> {
        let what = format!("how {path} looks");
        let script = questions::snapshot(path, spool);
        self.ask(node, &what, &script, questions::read_snapshot)
            .await
    }

    async fn room(&self, node: &NodeName, dir: &AbsPath) -> PortResult<Room> {
        let what = format!("the room below {dir}");
        self.ask(node, &what, &questions::room(dir), questions::read_room)
            .await
    }

    async fn api_server(&self, node: &NodeName) -> PortResult<Option<ApiServer>> {
        let (what, script) = ("its API server", questions::api_server());
        self.ask(node, what, &script, questions::read_api_server)
            .await
    }

    async fn knows_owner(&self, node: &NodeName, owner: &Owner) -> PortResult<bool> {
        let what = format!("whether {owner} are a user and a group");
        let script = questions::owner(owner);
        self.ask(node, &what, &script, questions::read_exists).await
    }

    async fn knows_service(&self, node: &NodeName, service: &ServiceName) -> PortResult<bool> {
        let what = format!("whether {service} is a unit");
        let script = questions::service(service);
        self.ask(node, &what, &script, questions::read_known_service)
            .await
    }

    async fn tree(&self, node: &NodeName, tree: &AbsPath) -> PortResult<TreeState> {
        let what = format!("the owner of {tree}");
        self.ask(node, &what, &questions::tree(tree), questions::read_tree)
            .await
    }
}

fn no_answer(error: &AdapterError) -> bool {
    let silent = [codes::SSH_UNREACHABLE, codes::SSH_LOST, codes::SSH_TIMEOUT];
    error.certainty == Certainty::NotDone && silent.contains(&error.code)
}

fn failed(effect: &NodeEffect, output: &Output) -> AdapterError {
    let (node, said) = (effect.node(), said(output));
    if scripts::REFUSALS.contains(&output.status) {
        let (code, hint) = refused(effect, output.status);
        let what = format!("{node} refused: {said}");
        return AdapterError::new(code, Certainty::Refused, what).hint(hint);
    }
    let status = output.status;
    let what = format!("a step on {node} ended with exit status {status}: {said}");
    AdapterError::new(codes::NODE_FAILED, Certainty::Unknown, what)
        .hint("the step can be run again: it goes on where it stopped")
}

/// The code of a refusal, and the way on.
fn refused(effect: &NodeEffect, status: i32) -> (&'static str, String) {
    let node = effect.node();
    match effect {
        NodeEffect::SetAside { spool, run, .. } if status == scripts::NOTHING_THERE => (
            codes::NODE_CONFLICT,
            format!(
                "the old data has gone from {node} since the plan was made. Where somebody has moved it, put it \
                 back to {spool} and resume. Where it went with its disk, {}",
                plan_anew(*run)
            ),
        ),
        NodeEffect::ReturnSpool { aside, .. } if status == scripts::NOTHING_THERE => (
            OLD_DATA_GONE,
            format!(
                "give the node no role: an EMPTY etcd would start there. Where the old data still lies on it, mount \
                 it, or move it to {aside}, and resume. Where its disk was wiped, `abandon` this undo and then the run, and \
                 restore from the snapshot with a new plan"
            ),
        ),
        _ => (
            codes::NODE_CONFLICT,
            format!(
                "nothing there was overwritten; look at {node} and find out who else works on it"
            ),
        ),
    }
}
