//! etcd's tools: the proof of the snapshot, and its restore as a remote job.

use async_trait::async_trait;

use super::World;
use super::disk::{Data, Identity, Thing, Tree};
use super::effect::Effect;
use super::render;
use super::state::{Happening, Sight, State};
use super::work::{Finished, Progress, refused};
use crate::digest::Digest;
use crate::identity;
use crate::journal::Permit;
use crate::names::{AbsPath, ModuleName, NodeName, RunId};
use crate::plan::{Action, Command, RestoreEffect, ToolEffect};
use crate::ports::{EtcdTool, PortResult};
use crate::version::RestoreTool;
use crate::world::{BumpRule, RecordedRevisions, Restored, SnapshotProof, Staged, ToolVersions};

#[async_trait]
impl EtcdTool for World {
    fn render(&self, effect: &ToolEffect) -> PortResult<Vec<Command>> {
        Ok(render::tool(effect))
    }

    async fn perform(&self, _: &Permit, effect: &ToolEffect) -> PortResult<()> {
        self.effect(Action::Tool(effect.clone())).await
    }

    async fn prove(&self, path: &AbsPath, bump: Option<BumpRule>) -> PortResult<SnapshotProof> {
        let path = path.clone();
        self.ask("the proof", move |state| {
            if state.snapshot_lost || path != state.setup.snapshot.path {
                return Err(refused("snapshot-missing", format!("there is no {path}")));
            }
            state.proofs += 1;
            let mut proof = state.setup.snapshot.clone();
            proof.content.bumped = bump.map(|rule| state.setup.bumped(rule));
            Ok(proof)
        })
        .await
    }

    async fn recorded(&self, _: &AbsPath) -> PortResult<Option<RecordedRevisions>> {
        self.ask("the record", |state| Ok(state.setup.recorded))
            .await
    }

    async fn tools(&self, node: &NodeName, _: Option<ModuleName>) -> PortResult<ToolVersions> {
        let node = node.clone();
        self.ask("the tools", move |state| {
            state.on(&node)?;
            let version = state.setup.version;
            let utl = version.restore_tool() == RestoreTool::Etcdutl;
            Ok(ToolVersions {
                module: super::module(version),
                etcd: version,
                etcdctl: Some(version),
                etcdutl: utl.then_some(version),
            })
        })
        .await
    }

    async fn staged(&self, node: &NodeName, staging: &AbsPath, _: RunId) -> PortResult<Staged> {
        let (node, staging) = (node.clone(), staging.clone());
        self.ask("the restore", move |state| {
            let node = state.on(&node)?;
            let there = node.disk.at(&staging).is_some();
            let tree = node.disk.tree(&staging.join("data"));
            Ok(match (node.disk.at(&staging.join("complete")), tree) {
                (Some(Thing::Mark(db)), Some(_)) => Staged::Complete(made(*db)),
                (Some(Thing::Mark(db)), None) => Staged::Taken(made(*db)),
                _ if node.job.is_some() => Staged::Running,
                _ => match &node.job_said {
                    Some(said) => Staged::Failed(said.clone()),
                    None if there => Staged::Partial,
                    None => Staged::Nothing,
                },
            })
        })
        .await
    }

    async fn db_digest(&self, node: &NodeName, dir: &AbsPath) -> PortResult<Option<Digest>> {
        let (node, dir) = (node.clone(), dir.clone());
        self.ask("the database", move |state| {
            Ok(state.on(&node)?.disk.tree(&dir).map(|tree: &Tree| tree.db))
        })
        .await
    }
}

/// Here a file is what is in it.
fn made(db: Digest) -> Restored {
    Restored {
        db,
        content: db.to_string(),
    }
}

impl State {
    /// Starts the restore, or finds it running or done.
    pub(super) fn restore(&mut self, effect: &RestoreEffect) -> PortResult<Progress> {
        let at = self.reached(&effect.node)?;
        let mark = effect.staging.join("complete");
        let node = &mut self.nodes[at];
        if node.job.is_some() || node.disk.at(&mark).is_some() {
            self.resent(Some(at), "restore".into());
            return Ok(Finished);
        }
        node.disk.remove(&effect.staging);
        node.disk.put(&effect.staging, Thing::Staging);
        node.job_said = None;
        let half = restored_tree(effect, Data::Half);
        node.disk.put(&effect.tree(), Thing::Tree(half));
        node.job = Some(Box::new(effect.clone()));
        let epoch = node.epoch;
        self.log(Some(at), Effect::RestoreStarted);
        self.after(3_000, 30_000, Happening::JobEnds(at, epoch));
        Ok(Finished)
    }

    pub(super) fn job_ends(&mut self, at: usize) {
        let good = self.nodes[at].snapshot != Sight::Missing;
        let Some(effect) = self.nodes[at].job.take() else {
            return;
        };
        let node = &mut self.nodes[at];
        if !good {
            node.job_said = Some("no such snapshot".into());
            self.log(Some(at), Effect::RestoreFailed);
            return;
        }
        let tree = restored_tree(&effect, Data::Restored);
        let db = tree.db;
        node.disk.put(&effect.tree(), Thing::Tree(tree));
        node.disk
            .put(&effect.staging.join("complete"), Thing::Mark(db));
        node.restored = true;
        self.scars.at(at).restored_lost = false;
        self.log(Some(at), Effect::RestoreDone);
    }
}

/// What `snapshot restore` makes: the same database on every member, an identity from its flags.
fn restored_tree(effect: &RestoreEffect, data: Data) -> Tree {
    let of = |url| identity::member_id(std::slice::from_ref(url), &effect.token);
    let members: Vec<_> = effect
        .initial_cluster
        .iter()
        .map(|(name, url)| (of(url), name.clone(), url.clone()))
        .collect();
    let ids: Vec<_> = members.iter().map(|(id, ..)| *id).collect();
    let identity = Identity {
        cluster: identity::cluster_id(&ids),
        member: of(&effect.peer_url),
        members,
    };
    let db = format!("{} {:?}", effect.sha256, effect.revision_bump);
    Tree {
        data,
        identity,
        owner: "root:root".into(),
        mode: 0o755,
        strangers: 3,
        db: Digest::of(db.as_bytes()),
    }
}
