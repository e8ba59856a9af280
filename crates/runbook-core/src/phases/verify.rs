//! Verify: is the cluster that came up the one that was promised?
//!
//! `endpoint health` is green on a member that started from half a restore and hangs on the first
//! write, and on three clusters that should be one. So the data is compared with what the snapshot's
//! proof predicted, and a write goes through every member. Of Kubernetes' API servers it is only asked
//! whether they were told of the members again: the article has them restarted with an empty
//! `--etcd-servers` while no node has the role, and with static pods nobody has written down who mends it.

use super::datanode::kept;
use super::reassign::as_predicted;
use super::{Context, Member, id};
use crate::names::{EtcdUrl, NodeName, UnitId};
use crate::plan::{Action, Check, ClientEffect, Phase, PredictedHash, Undo, Unit};
use crate::platform::Platform;

const PHASE: Phase = Phase::Verify;

/// Outside `/registry`: no API server looks there.
const CANARY_PREFIX: &str = "restore-runbook/canary/";

pub(super) fn units(cx: &Context) -> Vec<Unit> {
    let mut units = vec![same_role(cx), same_data(cx)];
    units.extend(
        cx.members
            .iter()
            .map(|member| everything_is_back(cx, member)),
    );
    let seen: Vec<UnitId> = units.iter().map(|unit| unit.id.clone()).collect();
    for member in &cx.members {
        let [put, delete] = canary(cx, member);
        let put = seen.iter().fold(put, Unit::after);
        let delete = delete.after(&put.id);
        units.extend([put, delete]);
    }
    units.extend(api_servers(cx));
    let before: Vec<UnitId> = units.iter().map(|unit| unit.id.clone()).collect();
    let last = cx.members.iter().map(|member| last_look(cx, member));
    units.extend(last.map(|unit| before.iter().fold(unit, Unit::after)));
    units
}

/// A run may have lain still since its other looks: what they have seen may have been changed.
fn last_look(cx: &Context, member: &Member) -> Unit {
    let node = member.node();
    let (title, why, kept) = if member.seen.device.head_node {
        (
            "still in the restored cluster",
            "somebody may have moved its data, so that it started empty",
            Vec::new(),
        )
    } else {
        (
            "still in the restored cluster, and no boot wipes it without asking",
            "somebody may have moved its data, so that it started empty, or asked for a FULL install, which would wipe the restored data at the next boot",
            kept(node),
        )
    };
    Unit::gate(
        id(PHASE, Some(node), "kept"),
        PHASE,
        title,
        why,
        as_predicted(cx, node).into_iter().chain(kept).collect(),
    )
    .on(node)
    .within(cx.spec.deadlines.quick_s)
}

/// On the nodes where the plan saw one; nothing waits for them.
fn api_servers(cx: &Context) -> Vec<Unit> {
    let platform = cx.world.platform.as_ref();
    let nodes = platform.map_or_else(Vec::new, Platform::api_server_nodes);
    let members: Vec<(NodeName, EtcdUrl)> = cx
        .members
        .iter()
        .map(|member| (member.node().clone(), member.seen.client_url.clone()))
        .collect();
    let unit = |node: &NodeName| {
        let check = Check::ApiServerTold {
            node: node.clone(),
            members: members.clone(),
        };
        Unit::gate(
            id(PHASE, Some(node), "api-server"),
            PHASE,
            "the API server is told where etcd is",
            "without a role to go by, its --etcd-servers may have been emptied; it does not come up with that",
            vec![check],
        )
        .on(node)
        .within(cx.spec.deadlines.start_s)
    };
    nodes.iter().map(unit).collect()
}

fn same_role(cx: &Context) -> Unit {
    Unit::gate(
        id(PHASE, None, "role"),
        PHASE,
        "nobody but the members has Etcd::Host",
        "a node that was given the role meanwhile would run an empty etcd of its own",
        vec![cx.role_unchanged()],
    )
    .within(cx.spec.deadlines.quick_s)
}

fn same_data(cx: &Context) -> Unit {
    let content = &cx.world.snapshot.content;
    let (predicted, why) = match cx.bump {
        None => (
            PredictedHash {
                revision: content.revision,
                compact_revision: content.compact_revision,
                hash: content.hash_kv,
            },
            "HashKV covers every key, value and revision, and was known before the first disk was wiped",
        ),
        Some(bump) => (
            PredictedHash {
                revision: bump.revision,
                compact_revision: bump.revision,
                hash: bump.hash_kv,
            },
            "of the history the bump leaves the newest revision of each live key, and adds a record of its own; HashKV covers all of these, and was known before the first disk was wiped",
        ),
    };
    let check = Check::HashesAlike {
        urls: cx.client_urls(),
        predicted,
    };
    Unit::gate(
        id(PHASE, None, "hash"),
        PHASE,
        "every member holds the same data",
        why,
        vec![check],
    )
    .within(cx.spec.deadlines.start_s)
}

fn everything_is_back(cx: &Context, member: &Member) -> Unit {
    let (node, url) = (member.node(), &member.seen.client_url);
    let content = &cx.world.snapshot.content;
    let revision = cx.first_revision();
    let count = |prefix: &str, keys| Check::CountAtLeast {
        url: url.clone(),
        prefix: prefix.into(),
        keys,
        revision,
    };
    Unit::gate(
        id(PHASE, Some(node), "keys"),
        PHASE,
        "every key of the snapshot is back",
        "counted at the restored revision, so that leases running out since do not matter",
        vec![
            Check::RevisionAtLeast {
                url: url.clone(),
                revision,
            },
            count("", content.live_keys),
            count("/registry/", content.registry_keys),
        ],
    )
    .on(node)
    .within(cx.spec.deadlines.quick_s)
}

fn canary(cx: &Context, member: &Member) -> [Unit; 2] {
    let (node, url) = (member.node(), &member.seen.client_url);
    let key = format!("{CANARY_PREFIX}{node}");
    let put = ClientEffect::PutCanary {
        url: url.clone(),
        key: key.clone(),
        value: cx.run.to_string(),
    };
    let delete = ClientEffect::DeleteCanary {
        url: url.clone(),
        key,
    };
    let unit = |step, effect, why: &str| {
        Unit::act(
            id(PHASE, Some(node), step),
            PHASE,
            Action::Client(effect),
            why,
        )
        .on(node)
        .within(cx.spec.deadlines.quick_s)
        .undone(Undo::Nothing("one key outside of /registry".into()))
    };
    [
        unit(
            "canary",
            put,
            "half a restore answers reads and hangs on writes: only a write proves a member",
        ),
        // A store that began empty meanwhile does not hold the key either.
        unit(
            "canary-delete",
            delete,
            "nothing of this tool stays in the store",
        )
        .and_when(as_predicted(cx, node)),
    ]
}
