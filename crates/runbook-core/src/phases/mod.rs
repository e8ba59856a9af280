//! The procedure, one file per phase, in the vendor article's order.
//!
//! Each phase turns what the spec asks and what was observed into units. The article's steps are
//! quoted in each file; where a phase does more than the article, the file says why.

mod chown;
mod datanode;
mod move_spool;
mod preflight;
mod reassign;
mod reprovision;
mod restore;
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
use crate::world::{DeviceStatus, HeadRole, Host, ObservedMember, RoleSource, SpoolState, World};

/// etcd's own recommendation for Kubernetes: covers a week at under 1,500 writes a second.
const DEFAULT_BUMP: u64 = 1_000_000_000;

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
        let (version, bump, risks) = (cx.version, cx.bump, risks(&cx));
        let identity = cx.identity;
        let plan = Plan {
            format: PLAN_FORMAT,
            kind: PlanKind::Restore,
            run,
            cluster: spec.cluster.clone(),
            identity,
            etcd_version: version,
            revision_bump: bump,
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
    bump: Option<u64>,
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

    fn ports(&self) -> Vec<u16> {
        vec![self.seen.client_url.port(), self.seen.peer_url.port()]
    }
}

impl<'a> Context<'a> {
    fn new(spec: &'a Spec, world: &'a World, run: RunId) -> Result<Self, PlanError> {
        head_may_act(world)?;
        same_nodes(spec, world)?;
        let members = spec
            .members
            .iter()
            .zip(&world.members)
            .map(|(asked, seen)| Member {
                seen,
                reprovision: asked.reprovision,
            })
            .collect::<Vec<_>>();
        for member in &members {
            member_can_be_restored(spec, world, member)?;
        }
        members_are_distinct(&members)?;
        snapshot_is_worth_it(spec, world)?;
        let version = etcd_version(spec, &members)?;
        let module = module(spec, &members)?;
        let bump = revision_bump(spec, version)?;
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
        let bump = i64::try_from(self.bump.unwrap_or(0)).unwrap_or(i64::MAX);
        self.world.snapshot.content.revision.saturating_add(bump)
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

fn head_may_act(world: &World) -> Result<(), PlanError> {
    if world.head == HeadRole::Passive {
        return Err(PlanError::refused(
            "head-passive",
            "this is the passive head node",
            "log in to the active one; what /cm/shared shows here is stale",
        ));
    }
    Ok(())
}

fn same_nodes(spec: &Spec, world: &World) -> Result<(), PlanError> {
    if spec
        .members
        .iter()
        .map(|m| &m.node)
        .eq(world.members.iter().map(|m| &m.node))
    {
        return Ok(());
    }
    Err(PlanError::refused(
        "world-of-another-spec",
        "the world was observed for other nodes than the spec names",
        "observe it again with this spec",
    ))
}

fn member_can_be_restored(spec: &Spec, world: &World, member: &Member) -> Result<(), PlanError> {
    let (node, seen) = (member.node(), member.seen);
    role_can_be_taken_away(world, seen)?;
    if member.reprovision {
        return can_be_reprovisioned(spec, seen);
    }
    if seen.device.next_install_mode == Some(crate::world::InstallMode::Full) {
        return Err(PlanError::refused(
            "install-mode-full",
            format!("nextinstallmode of {node} is FULL, but the spec restores it in place"),
            format!(
                "clear it (cmsh: device use {node}; set nextinstallmode; commit), or say `reprovision: yes`"
            ),
        ));
    }
    let Some(host) = member.host() else {
        return Err(PlanError::refused(
            "node-off",
            format!("{node} does not answer, and the spec restores it in place"),
            format!(
                "power {node} on once its role is unassigned, or say `reprovision: yes` for it"
            ),
        ));
    };
    spool_can_be_replaced(world, node, host)
}

fn role_can_be_taken_away(world: &World, seen: &ObservedMember) -> Result<(), PlanError> {
    let ours = RoleSource::OverlayNode(world.overlay.clone());
    match seen.role_from.iter().find(|source| **source != ours) {
        None => Ok(()),
        Some(other) => Err(PlanError::refused(
            "role-elsewhere",
            format!("{} also has Etcd::Host from {other}", seen.node),
            format!(
                "while it does, etcd can start before it is restored: take the role away there, and list the node in overlay {} only",
                world.overlay
            ),
        )),
    }
}

fn can_be_reprovisioned(spec: &Spec, seen: &ObservedMember) -> Result<(), PlanError> {
    let node = &seen.node;
    if seen.device.head_node {
        return Err(PlanError::refused(
            "head-is-member",
            format!("{node} is a head node"),
            "a head node is never reprovisioned: say `reprovision: no` for it",
        ));
    }
    if seen.host.is_none() && seen.device.status != DeviceStatus::Down {
        return Err(PlanError::refused(
            "node-silent",
            format!(
                "{node} does not answer ssh, but is not down: [{}]",
                seen.device.status
            ),
            "etcd may still run there: make ssh work, or power the node off and wait until it is [DOWN]",
        ));
    }
    let category = &seen.device.category;
    if seen.device.category_datanode && !spec.allow.category_datanode.contains_key(category) {
        return Err(PlanError::refused(
            "category-datanode",
            format!(
                "category {category} of {node} has datanode yes, so that a FULL provisioning would wait on the console even with datanode no on the node"
            ),
            format!(
                "set datanode on the nodes instead of the category, or let this run lower it for a while: `allow: {{category_datanode: {{{category}: \"<reason>\"}}}}`"
            ),
        ));
    }
    match seen.host.as_ref().map(|host| &host.spool) {
        // It matters on a wiped node too: it comes back.
        Some(SpoolState::MountPoint) => Err(mount_point(node)),
        Some(SpoolState::Guard(run)) => Err(guarded_by(node, *run)),
        _ => Ok(()),
    }
}

/// The guard says that another run holds the node, and only a person knows whether it still does.
fn guarded_by(node: &NodeName, run: RunId) -> PlanError {
    PlanError::refused(
        "guard-of-another-run",
        format!("the spool of {node} is guarded by run {run}"),
        "resume or undo that run first: `restore-runbook status --all`. If it is over, its guard is a leftover: remove that file by hand",
    )
}

fn mount_point(node: &NodeName) -> PlanError {
    PlanError::refused(
        "spool-mount-point",
        format!("the spool of {node} is a mount point of its own"),
        "it can be neither renamed nor guarded; move etcd's data to a directory below the mount point, in the Etcd::Host role",
    )
}

fn spool_can_be_replaced(world: &World, node: &NodeName, host: &Host) -> Result<(), PlanError> {
    let spool = &world.spool;
    match &host.spool {
        SpoolState::Absent | SpoolState::EmptyDirectory | SpoolState::Data => Ok(()),
        SpoolState::MountPoint => Err(mount_point(node)),
        SpoolState::Guard(run) => Err(guarded_by(node, *run)),
        SpoolState::ForeignDirectory | SpoolState::Other => Err(PlanError::refused(
            "spool-foreign",
            format!("{spool} of {node} is {}", host.spool),
            "look at it and move it away by hand: this tool does not know what it is",
        )),
    }
}

fn members_are_distinct(members: &[Member]) -> Result<(), PlanError> {
    for (at, member) in members.iter().enumerate() {
        let seen = member.seen;
        let twin = members[..at].iter().find(|other| {
            let other = other.seen;
            other.name == seen.name
                || other.peer_url == seen.peer_url
                || other.client_url == seen.client_url
        });
        if let Some(twin) = twin {
            return Err(PlanError::refused(
                "members-alike",
                format!(
                    "{} and {} have the same member name, peer URL or client URL",
                    twin.node(),
                    seen.node
                ),
                "each member needs its own: see the spec's `peer_url` and `client_url`, and the Etcd::Host role",
            ));
        }
    }
    Ok(())
}

fn snapshot_is_worth_it(spec: &Spec, world: &World) -> Result<(), PlanError> {
    let content = &world.snapshot.content;
    if content.registry_keys > 0 || spec.allow.empty_snapshot.is_some() {
        return Ok(());
    }
    Err(PlanError::refused(
        "snapshot-starts-empty",
        format!(
            "the snapshot is sound, but holds {} keys and none of Kubernetes",
            content.live_keys
        ),
        "restoring it is the very disaster: Kubernetes would end every workload. Take another snapshot, or give a reason: `allow: {empty_snapshot: \"<reason>\"}`",
    ))
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

fn revision_bump(spec: &Spec, version: EtcdVersion) -> Result<Option<u64>, PlanError> {
    match spec.revision_bump {
        RevisionBump::None => Ok(None),
        RevisionBump::Auto => Ok(version.has_revision_bump().then_some(DEFAULT_BUMP)),
        RevisionBump::By(by) if version.has_revision_bump() => Ok(Some(by)),
        RevisionBump::By(_) => Err(PlanError::refused(
            "revision-bump-missing",
            format!("etcd {version} cannot move the revision"),
            "the flags exist from 3.4.27, 3.5.10 and 3.6.0 on; say `revision_bump: none` and restart every API server and controller afterwards",
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

/// What a reviewer has to know.
fn risks(cx: &Context) -> Vec<String> {
    let mut risks = vec![
        "From Stop until Reassign is done no API server has an etcd: kubectl does not work, what runs goes on, what crashes is not rescheduled.".to_owned(),
        "Everything written to etcd after the snapshot was taken is lost; Kubernetes will end workloads that the snapshot does not know.".to_owned(),
    ];
    if cx.spec.reprovisions() {
        risks.push("From the first reboot on there is no way back: the disks named below are wiped, the moved spool with them.".into());
        risks.push("From Reprovision until Datanode is done these nodes are no data nodes: a reboot with a changed disk, or a failed filesystem check, wipes them without asking, restored data included. Do not reboot them by hand.".into());
    }
    for (category, reason) in &cx.spec.allow.category_datanode {
        risks.push(format!("datanode of category {category} is lowered for the same time, for every node in it, because: {reason}"));
    }
    if cx.bump.is_none() {
        risks.push(format!("The revision goes back to {}: etcd {} has no revision bump, or it was turned off. Watch caches do not notice; restart every kube-apiserver, then controllers, schedulers and kubelets.", cx.first_revision(), cx.version));
    }
    let content = &cx.world.snapshot.content;
    let taken_from = content
        .cluster_version
        .as_deref()
        .and_then(|v| EtcdVersion::parse(v).ok());
    if let Some(other) = taken_from.filter(|other| !other.same_minor(cx.version)) {
        risks.push(format!("The snapshot is of an etcd {}.{} cluster, and is restored with etcd {}: etcd supports that only within one minor release.", other.major, other.minor, cx.version));
    }
    if let Some(reason) = &cx.spec.allow.quorum {
        risks.push(format!(
            "A quorum may still answer and is stopped all the same, because: {reason}"
        ));
    }
    if let Some(reason) = &cx.spec.allow.empty_snapshot {
        risks.push(format!(
            "The snapshot holds no Kubernetes key, and is restored all the same, because: {reason}"
        ));
    }
    risks
}
