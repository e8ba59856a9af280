//! Preflight: may this run begin at all? Nothing is changed.
//!
//! The article only warns that its steps are for the loss of the entire cluster. Here every gate
//! must hold before the first change: what is proven now cannot be proven any more once disks are
//! gone (`snapshot status` never checks the SHA-256 trailer, and `snapshot restore` checks it last).

use super::{Context, Member, id, not_here};
use crate::plan::{Check, Phase, Unit};

const PHASE: Phase = Phase::Preflight;

/// Restore writes a copy of the database and preallocates a 64 MiB write-ahead log, twice for a moment.
const WAL_BYTES: u64 = 2 * 64 * 1024 * 1024;

pub(super) fn units(cx: &Context) -> Vec<Unit> {
    let mut units = vec![
        head_is_active(),
        snapshot_is_proven(cx),
        credentials_are_good(),
        quorum_is_lost(cx).after(&id(PHASE, None, "credentials")),
    ];
    for member in &cx.members {
        units.extend(node_is_fit(cx, member));
    }
    units
}

fn head_is_active() -> Unit {
    Unit::gate(
        id(PHASE, None, "head"),
        PHASE,
        "this head node is the active one",
        "on a passive head node /cm/shared shows stale local files, and cmsh may be redirected",
        vec![Check::HeadIsActive],
    )
}

fn snapshot_is_proven(cx: &Context) -> Unit {
    let snapshot = &cx.world.snapshot;
    Unit::gate(
        id(PHASE, None, "snapshot"),
        PHASE,
        format!("{} is proven", snapshot.path),
        "nothing may be stopped, let alone destroyed, for a file that cannot be restored",
        vec![cx.snapshot_proven()],
    )
    // Reading 8 GB from a slow share takes its time.
    .within(cx.spec.deadlines.restore_s)
}

fn credentials_are_good() -> Unit {
    Unit::gate(
        id(PHASE, None, "credentials"),
        PHASE,
        "this tool may talk to etcd",
        "with a refused certificate a quorum would look lost, and Verify could not look at what comes up",
        vec![Check::CredentialsGood],
    )
}

/// The question behind the quorum gate; asked again right before the role is taken away.
pub(super) fn quorum_lost(cx: &Context) -> Check {
    let member = |m: &Member| (m.node().clone(), m.seen.client_url.clone());
    Check::QuorumLost {
        members: cx.members.iter().map(member).collect(),
        allowed: cx.spec.allow.quorum.clone(),
    }
}

fn quorum_is_lost(cx: &Context) -> Unit {
    let manage = cx.world.platform.as_ref().is_some_and(|p| p.etcd_manage);
    let tool = if manage {
        format!(
            ". This head node has a tool for that: cm-etcd-manage --kube-cluster {} status",
            cx.spec.cluster
        )
    } else {
        String::new()
    };
    Unit::gate(
        id(PHASE, None, "quorum"),
        PHASE,
        "no quorum of the old cluster answers",
        format!(
            "while a quorum answers, replacing the broken members is the better way: nothing is lost then{tool}"
        ),
        vec![quorum_lost(cx)],
    )
}

fn node_is_fit(cx: &Context, member: &Member) -> Vec<Unit> {
    let node = member.node();
    if member.host().is_none() {
        let reason = format!(
            "{}; the same is checked once it is provisioned, before Restore",
            member.silence()
        );
        return vec![not_here(
            PHASE,
            node,
            "fit",
            "the node can take the restore",
            &reason,
        )];
    }
    let gate = Unit::gate(
        id(PHASE, Some(node), "fit"),
        PHASE,
        "the node can take the restore",
        "a snapshot that lies on the disk to be wiped, a full disk or another release end a restore half way",
        fitness(cx, member, member.reprovision),
    );
    vec![gate.on(node).within(cx.spec.deadlines.quick_s)]
}

/// What a node must have before the restore can run on it.
pub(super) fn fitness(cx: &Context, member: &Member, must_survive_wipe: bool) -> Vec<Check> {
    let node = member.node().clone();
    let snapshot = &cx.world.snapshot;
    vec![
        Check::SnapshotSeen {
            node: node.clone(),
            path: snapshot.path.clone(),
            trailer: snapshot.trailer.then_some(snapshot.sha256),
            size_bytes: snapshot.size_bytes,
            spool: cx.spool().clone(),
            must_survive_wipe,
        },
        Check::RoomFor {
            node: node.clone(),
            dir: cx.spool().parent(),
            disk_bytes: snapshot.size_bytes + WAL_BYTES,
            memory_bytes: snapshot.size_bytes + snapshot.size_bytes / 10,
        },
        Check::ToolsMatch {
            node,
            module: cx.module.clone(),
            version: cx.version,
        },
    ]
}
