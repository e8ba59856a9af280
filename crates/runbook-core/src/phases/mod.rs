//! The procedure, one file per phase, in the vendor article's order.
//!
//! Each phase turns what the spec asks and what was observed into units. The article's steps are
//! quoted in each file; where a phase does more than the article, the file says why. Beside them stand
//! `refuse` (why no plan is made), `risks` (what a reviewer has to know) and `undo` (another plan).
//!
//! Nothing here is public but two ways to a draft: [`Draft::restore`] and [`Draft::undo`].

mod chown;
mod datanode;
mod move_spool;
mod preflight;
mod reassign;
mod refuse;
mod reprovision;
mod restore;
mod risks;
mod stop;
mod undo;
mod verify;

use crate::identity;
use crate::names::{
    AbsPath, EtcdUrl, MemberName, ModuleName, NodeName, OverlayName, RunId, UnitId,
};
use crate::plan::{
    Check, Draft, Identity, PLAN_FORMAT, Phase, Plan, PlanError, PlanKind, PlannedMember, Unit,
};
use crate::spec::{RevisionBump, Spec};
use crate::version::EtcdVersion;
use crate::world::{Bumped, Host, ObservedMember, World};

impl Draft {
    /// The plan of a restore: what the spec asks for, in the world as observed.
    ///
    /// # Errors
    /// [`PlanError::Refused`] with what is in the way and what to do about it.
    pub fn restore(spec: &Spec, world: &World, run: RunId) -> Result<Self, PlanError> {
        let cx = Context::new(spec, world, run)?;
        let mut units = Vec::new();
        for phase in [
            preflight::units,
            stop::units,
            move_spool::units,
            reprovision::units,
            restore::units,
            chown::units,
            reassign::units,
            datanode::units,
            verify::units,
        ] {
            units.extend(phase(&cx));
        }
        let (version, bump, risks) = (cx.version, cx.bump, risks::risks(&cx));
        let identity = cx.identity;
        let plan = Plan {
            format: PLAN_FORMAT,
            kind: PlanKind::Restore,
            run,
            cluster: spec.cluster.clone(),
            identity,
            etcd_version: version,
            revision_bump: bump.map(|bump| bump.by),
            risks,
            point_of_no_return: None,
            units,
            spec: spec.clone(),
            world: world.clone(),
        };
        Ok(Self::new(plan))
    }
}

/// What every phase needs to know.
struct Context<'a> {
    spec: &'a Spec,
    world: &'a World,
    run: RunId,
    version: EtcdVersion,
    module: ModuleName,
    bump: Option<Bumped>,
    identity: Identity,
    members: Vec<Member<'a>>,
}

/// One member, as asked for and as observed.
struct Member<'a> {
    seen: &'a ObservedMember,
    reprovision: bool,
}

impl Member<'_> {
    const fn node(&self) -> &NodeName {
        &self.seen.node
    }

    const fn host(&self) -> Option<&Host> {
        self.seen.host.as_ref()
    }

    /// What was seen of a member that does not answer.
    fn silence(&self) -> String {
        format!(
            "{} is [{}] and does not answer ssh (its power was not looked at)",
            self.node(),
            self.seen.device.status_with_flags()
        )
    }

    fn ports(&self) -> Vec<u16> {
        vec![self.seen.client_url.port(), self.seen.peer_url.port()]
    }
}

impl<'a> Context<'a> {
    fn new(spec: &'a Spec, world: &'a World, run: RunId) -> Result<Self, PlanError> {
        let members = spec
            .members
            .iter()
            .zip(&world.members)
            .map(|(asked, seen)| Member {
                seen,
                reprovision: asked.reprovision,
            })
            .collect::<Vec<_>>();
        refuse::unless_possible(spec, world, &members)?;
        let version = etcd_version(spec, &members)?;
        let module = module(spec, &members)?;
        let bump = revision_bump(spec, world, version)?;
        let identity = predict(&members, run);
        Ok(Self {
            spec,
            world,
            run,
            version,
            module,
            bump,
            identity,
            members,
        })
    }

    fn overlay(&self) -> &OverlayName {
        &self.world.overlay
    }

    /// The role is still the one the plan was made for.
    fn role_unchanged(&self) -> Check {
        Check::RoleUnchanged {
            overlay: self.overlay().clone(),
            spool: self.spool().clone(),
            nodes: self.nodes(),
        }
    }

    /// The snapshot is still the one that was proven.
    fn snapshot_proven(&self) -> Check {
        let snapshot = &self.world.snapshot;
        Check::SnapshotProven {
            path: snapshot.path.clone(),
            sha256: snapshot.sha256,
        }
    }

    fn spool(&self) -> &AbsPath {
        &self.world.spool
    }

    /// Where the old data goes.
    fn aside(&self) -> AbsPath {
        self.spool()
            .with_suffix(&format!(".old-{}", self.run.short()))
    }

    /// The run's staging directory, beside the spool: a rename must not cross filesystems.
    fn staging(&self) -> AbsPath {
        self.spool()
            .with_suffix(&format!(".restore-{}", self.run.short()))
    }

    /// The restored tree in it.
    fn tree(&self) -> AbsPath {
        self.staging().join("data")
    }

    fn nodes(&self) -> Vec<NodeName> {
        self.members.iter().map(|m| m.node().clone()).collect()
    }

    fn client_urls(&self) -> Vec<EtcdUrl> {
        self.members
            .iter()
            .map(|m| m.seen.client_url.clone())
            .collect()
    }

    fn initial_cluster(&self) -> Vec<(MemberName, EtcdUrl)> {
        self.members
            .iter()
            .map(|m| (m.seen.name.clone(), m.seen.peer_url.clone()))
            .collect()
    }

    /// The revision the restored store begins at.
    fn first_revision(&self) -> i64 {
        let content = &self.world.snapshot.content;
        self.bump.map_or(content.revision, |bump| bump.revision)
    }
}

/// The id of a unit about one node, or about all of them.
fn id(phase: Phase, node: Option<&NodeName>, step: &str) -> UnitId {
    let text = match node {
        Some(node) => format!("{phase}/{node}/{step}"),
        None => format!("{phase}/{step}"),
    };
    UnitId::new(text).unwrap_or_else(|_| unreachable!("phases, nodes and steps are plain words"))
}

/// A unit of the phase that does not apply to this node.
fn not_here(phase: Phase, node: &NodeName, step: &str, title: &str, reason: &str) -> Unit {
    Unit::skipped(id(phase, Some(node), step), phase, title, reason).on(node)
}

fn etcd_version(spec: &Spec, members: &[Member]) -> Result<EtcdVersion, PlanError> {
    let tools = || {
        members
            .iter()
            .filter_map(|m| m.host()?.tools.as_ref().map(|t| (m, t)))
    };
    let named = || module_version(spec.module.as_ref()?);
    let version = spec
        .etcd_version
        .or_else(|| tools().next().map(|(_, t)| t.etcd))
        .or_else(named);
    let Some(version) = version else {
        return Err(PlanError::refused(
            "etcd-version-unknown",
            "no node tells which etcd release it has",
            "say it in the spec: `etcd_version: 3.4.23`",
        ));
    };
    for (member, tools) in tools() {
        if !tools.etcd.same_minor(version) {
            return Err(PlanError::refused(
                "etcd-version-mixed",
                format!(
                    "{} has etcd {}, the plan is for {version}",
                    member.node(),
                    tools.etcd
                ),
                "bring all members to one minor release first: a restore across releases is not supported",
            ));
        }
    }
    Ok(version)
}

/// Bright's modules are named `etcd/<cluster>/<version>`.
fn module_version(module: &ModuleName) -> Option<EtcdVersion> {
    EtcdVersion::parse(module.as_str().rsplit('/').next()?).ok()
}

fn module(spec: &Spec, members: &[Member]) -> Result<ModuleName, PlanError> {
    let found = members
        .iter()
        .find_map(|m| Some(m.host()?.tools.as_ref()?.module.clone()));
    spec.module.clone().or(found).ok_or_else(|| {
        PlanError::refused(
            "module-unknown",
            "no node tells which environment module has etcd's tools",
            "say it in the spec: `module: etcd/kube-default/3.4.23`",
        )
    })
}

fn revision_bump(
    spec: &Spec,
    world: &World,
    version: EtcdVersion,
) -> Result<Option<Bumped>, PlanError> {
    match spec.revision_bump {
        RevisionBump::None => return Ok(None),
        RevisionBump::Auto if !version.has_revision_bump() => return Ok(None),
        RevisionBump::Auto | RevisionBump::By(_) => {}
    }
    if !version.has_revision_bump() {
        return Err(PlanError::refused(
            "revision-bump-missing",
            format!("etcd {version} cannot move the revision"),
            "the flags exist from 3.4.27, 3.5.10 and 3.6.0 on; say `revision_bump: none` and restart every API server and controller afterwards",
        ));
    }
    let reached = world
        .recorded
        .map_or(0, |recorded| recorded.highest.revision);
    match world.snapshot.content.bumped {
        Some(bumped) if bumped.revision > reached => Ok(Some(bumped)),
        _ => Err(PlanError::refused(
            "revision-bump-short",
            format!(
                "moved so far, the revision would not pass {reached}, which the cluster is known to have had, or what is compacted"
            ),
            "watchers would see revisions a second time, with other content: say `revision_bump: auto`, or a higher number",
        )),
    }
}

fn predict(members: &[Member], run: RunId) -> Identity {
    let token = format!("restore-{run}");
    let members: Vec<PlannedMember> = members
        .iter()
        .map(|m| PlannedMember {
            node: m.node().clone(),
            name: m.seen.name.clone(),
            id: identity::member_id(std::slice::from_ref(&m.seen.peer_url), &token),
            peer_url: m.seen.peer_url.clone(),
            client_url: m.seen.client_url.clone(),
        })
        .collect();
    let ids: Vec<_> = members.iter().map(|m| m.id).collect();
    Identity {
        token,
        cluster: identity::cluster_id(&ids),
        members,
    }
}
