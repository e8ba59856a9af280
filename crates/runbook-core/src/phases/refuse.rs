//! Why no plan is made: what the world or the spec holds that a restore must not meet.
//!
//! Each refusal has a stable code and says what to do about it. What can only be known at the moment
//! of acting is no refusal here but a unit's own check.

use super::Member;
use crate::names::{NodeName, RunId};
use crate::plan::PlanError;
use crate::spec::{FullInstall, Spec};
use crate::world::{
    Device, DeviceStatus, HeadRole, Host, InstallMode, ObservedMember, RoleSource, SpoolState,
    World,
};

/// Whether this spec can be restored in this world.
///
/// # Errors
/// [`PlanError::Refused`] with the first thing that is in the way.
pub(super) fn unless_possible(
    spec: &Spec,
    world: &World,
    members: &[Member],
) -> Result<(), PlanError> {
    head_may_act(world)?;
    same_nodes(spec, world)?;
    for member in members {
        member_can_be_restored(spec, world, member)?;
    }
    members_are_distinct(members)?;
    snapshot_has_its_trailer(spec, world)?;
    snapshot_is_worth_it(spec, world)
}

fn head_may_act(world: &World) -> Result<(), PlanError> {
    if world.head == HeadRole::Passive {
        let [code, what, hint] = HeadRole::PASSIVE_REFUSED;
        return Err(PlanError::refused(code, what, hint));
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
    if let Some(error) = boot_would_clear(spec, member) {
        return Err(error);
    }
    if member.reprovision {
        return can_be_reprovisioned(spec, seen);
    }
    if let Some(mode) = seen.device.next_install_mode {
        return Err(install_mode_set(node, mode));
    }
    let Some(host) = member.host() else {
        if seen.device.head_node {
            return Err(head_is_silent(node));
        }
        return Err(PlanError::refused(
            "node-off",
            format!("{node} does not answer, and the spec restores it in place"),
            format!(
                "power {node} on once its role is unassigned, or say `reprovision: yes` for it"
            ),
        ));
    };
    spool_can_be_replaced(spec, world, node, host)
}

/// The run does not boot a node that it restores in place: the mode would still be there at its end, when none may be.
fn install_mode_set(node: &NodeName, mode: InstallMode) -> PlanError {
    let clear = format!("`device; use {node}; clear nextinstallmode; commit` in cmsh");
    let what = format!("nextinstallmode of {node} is {mode}, but the spec restores it in place");
    match mode {
        InstallMode::Full => PlanError::refused(
            "install-mode-full",
            what,
            format!("clear it ({clear}), or say `reprovision: yes`"),
        ),
        _ => PlanError::refused(
            "install-mode-set",
            what,
            format!("find out who has set it and why, and clear it ({clear}); then plan again"),
        ),
    }
}

/// `blockdevicesclearedonnextboot` asks nobody: neither `datanode` nor the install mode matters to it.
fn boot_would_clear(spec: &Spec, member: &Member) -> Option<PlanError> {
    let (node, devices) = (member.node(), member.seen.device.clears_at_boot());
    let confirms = member.reprovision && spec.full_install == FullInstall::Confirm;
    if confirms && member.seen.device.cleared_at_boot.is_none() {
        return Some(PlanError::refused(
            "block-devices-unknown",
            format!(
                "the cluster manager does not tell whether the next boot of {node} clears block devices (blockdevicesclearedonnextboot), and `full_install: confirm` counts on a boot that wipes nothing"
            ),
            "take the article's way: `full_install: datanode_no`",
        ));
    }
    let why = match (member.reprovision, spec.full_install) {
        _ if devices.is_empty() => return None,
        (false, _) => "the spec restores it in place",
        (true, FullInstall::Confirm) => {
            "`full_install: confirm` counts on the installer to ask before it wipes"
        }
        // What goes with its reboot anyway; the plan says so.
        (true, FullInstall::DatanodeNo) => return None,
    };
    Some(PlanError::refused(
        "block-devices-cleared",
        format!(
            "the next boot of {node} wipes {} (blockdevicesclearedonnextboot), but {why}",
            devices.join(", ")
        ),
        format!(
            "do not reboot it; `device; use {node}; clear blockdevicesclearedonnextboot; commit` in cmsh, then plan again"
        ),
    ))
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
    is_open(seen)?;
    if seen.host.is_none() && seen.device.status != DeviceStatus::Down {
        return Err(PlanError::refused(
            "node-silent",
            format!(
                "{node} does not answer ssh, but is not down: [{}]",
                seen.device.status_with_flags()
            ),
            "etcd may still run there: make ssh work, or power the node off and wait until it is [DOWN]",
        ));
    }
    let category = &seen.device.category;
    let lowers = spec.full_install == FullInstall::DatanodeNo;
    let allowed = spec.allow.category_datanode.contains_key(category);
    if lowers && seen.device.category_datanode && !allowed {
        return Err(PlanError::refused(
            "category-datanode",
            format!(
                "category {category} of {node} has datanode yes, so that a FULL provisioning would wait on the console even with datanode no on the node"
            ),
            format!(
                "set datanode on the nodes instead of the category; or say `full_install: confirm`, which lowers nothing; or let this run lower it for a while: `allow: {{category_datanode: {{{category}: \"<reason>\"}}}}`"
            ),
        ));
    }
    match seen.host.as_ref().map(|host| &host.spool) {
        // It matters on a wiped node too: it comes back.
        Some(SpoolState::MountPoint) => Err(mount_point(node)),
        Some(SpoolState::Guard(run)) => guard_may_go(spec, node, *run),
        _ => Ok(()),
    }
}

fn head_is_silent(node: &NodeName) -> PlanError {
    PlanError::refused(
        "node-off",
        format!("{node}, a head node, does not answer ssh, and can only be restored in place"),
        format!("make `ssh root@{node} true` work from this head node, without a password"),
    )
}

/// Power commands leave a closed device alone, unless forced (administrator manual 4.2).
fn is_open(seen: &ObservedMember) -> Result<(), PlanError> {
    if !seen.device.has_flag(Device::CLOSED) {
        return Ok(());
    }
    let node = &seen.node;
    Err(PlanError::refused(
        "node-closed",
        format!("{node} is closed: the cluster manager would neither power nor reboot it"),
        format!("open it (`device; open {node}` in cmsh), or say `reprovision: no`"),
    ))
}

fn spool_can_be_replaced(
    spec: &Spec,
    world: &World,
    node: &NodeName,
    host: &Host,
) -> Result<(), PlanError> {
    let spool = &world.spool;
    match &host.spool {
        SpoolState::Absent | SpoolState::EmptyDirectory | SpoolState::Data => Ok(()),
        SpoolState::MountPoint => Err(mount_point(node)),
        SpoolState::Guard(run) => guard_may_go(spec, node, *run),
        SpoolState::ForeignDirectory | SpoolState::Other => Err(PlanError::refused(
            "spool-foreign",
            format!("{spool} of {node} is {}", host.spool),
            "look at it and move it away by hand: this tool does not know what it is",
        )),
    }
}

/// The guard says that another run holds the node, and only a person knows whether it still does.
fn guard_may_go(spec: &Spec, node: &NodeName, run: RunId) -> Result<(), PlanError> {
    if spec.allow.guards.contains_key(&run) {
        return Ok(());
    }
    Err(PlanError::refused(
        "guard-of-another-run",
        format!("the spool of {node} is guarded by run {run}"),
        format!(
            "resume or undo that run first: `restore-runbook status --all`. If it is over, as one that was abandoned, let this plan take its guards over: `allow: {{guards: {{{run}: \"<reason>\"}}}}`"
        ),
    ))
}

fn mount_point(node: &NodeName) -> PlanError {
    PlanError::refused(
        "spool-mount-point",
        format!("the spool of {node} is a mount point of its own"),
        "it can be neither renamed nor guarded; move etcd's data to a directory below the mount point, in the Etcd::Host role",
    )
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

fn snapshot_has_its_trailer(spec: &Spec, world: &World) -> Result<(), PlanError> {
    if world.snapshot.trailer || spec.allow.no_trailer.is_some() {
        return Ok(());
    }
    Err(PlanError::refused(
        "snapshot-no-trailer",
        format!(
            "{} is a database copied out of a data directory: it is sound, but nothing vouches for its bytes",
            world.snapshot.path
        ),
        "restore a real snapshot (`etcdctl snapshot save`). Where there is none, give a reason: `allow: {no_trailer: \"<reason>\"}`",
    ))
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
