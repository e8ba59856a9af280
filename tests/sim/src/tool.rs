//! etcd's tools: on the nodes the real adapter; the files of the head node are the world's.

use std::sync::Arc;

use async_trait::async_trait;
use bright_adapter::Ssh;
use etcd_adapter::tool::RemoteTool;
use runbook_core::digest::Digest;
use runbook_core::journal::Permit;
use runbook_core::names::{AbsPath, ModuleName, NodeName, RunId};
use runbook_core::plan::{Command, ToolEffect};
use runbook_core::ports::{EtcdTool, PortResult};
use runbook_core::testkit::World;
use runbook_core::world::{BumpRule, RecordedRevisions, SnapshotProof, Staged, ToolVersions};

/// The real adapter, but for what it reads from the head node's disk.
pub(crate) struct Tool {
    world: World,
    nodes: RemoteTool<Ssh>,
}

impl Tool {
    pub(crate) fn new(world: &World, shell: Arc<Ssh>) -> Self {
        Self {
            world: world.clone(),
            nodes: RemoteTool::new(shell),
        }
    }
}

#[async_trait]
impl EtcdTool for Tool {
    fn render(&self, effect: &ToolEffect) -> PortResult<Vec<Command>> {
        self.nodes.render(effect)
    }

    async fn perform(&self, permit: &Permit, effect: &ToolEffect) -> PortResult<()> {
        self.nodes.perform(permit, effect).await
    }

    async fn prove(&self, snapshot: &AbsPath, bump: Option<BumpRule>) -> PortResult<SnapshotProof> {
        self.world.prove(snapshot, bump).await
    }

    async fn recorded(&self, snapshot: &AbsPath) -> PortResult<Option<RecordedRevisions>> {
        self.world.recorded(snapshot).await
    }

    async fn tools(&self, node: &NodeName, module: Option<ModuleName>) -> PortResult<ToolVersions> {
        self.nodes.tools(node, module).await
    }

    async fn staged(&self, node: &NodeName, staging: &AbsPath, run: RunId) -> PortResult<Staged> {
        self.nodes.staged(node, staging, run).await
    }

    async fn db_digest(&self, node: &NodeName, data_dir: &AbsPath) -> PortResult<Option<Digest>> {
        self.nodes.db_digest(node, data_dir).await
    }
}
