//! A node that is this machine. `tests/hostile` has it as well.

use std::process::{Command, Stdio};

use async_trait::async_trait;
use runbook_core::journal::Permit;
use runbook_core::names::NodeName;
use runbook_core::plan;
use runbook_core::ports::{Output, PortResult, Shell};

/// Runs what a reviewer would paste: the command behind `ssh root@node`, read by a shell first as sshd has
/// the user's shell read it.
#[derive(Debug, Default)]
pub(crate) struct LocalShell;

#[async_trait]
impl Shell for LocalShell {
    async fn query(&self, node: &NodeName, argv: &[String]) -> PortResult<Output> {
        let line = plan::Command::on_node(node, argv.iter().map(String::as_str)).to_string();
        let words = shlex::split(&line).unwrap();
        let done = Command::new("/bin/sh")
            .args(["-c", &words[2]])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        Ok(Output {
            status: done.status.code().unwrap_or(255),
            stdout: done.stdout,
            stderr: done.stderr,
        })
    }

    async fn effect(&self, _: &Permit, node: &NodeName, argv: &[String]) -> PortResult<Output> {
        self.query(node, argv).await
    }
}
