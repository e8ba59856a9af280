//! What a reviewer has to know before approving, in words.

use super::{Context, Member, reprovision};
use crate::danger::found_lowered;
use crate::names::NodeName;
use crate::plan::list;
use crate::platform::{ApiServers, MANIFEST, Platform};
use crate::spec::{DatanodeAgain, FullInstall};
use crate::version::EtcdVersion;
use crate::world::{Device, HeadRole, ObservedMember, RecordedRevisions};

pub(super) fn risks(cx: &Context) -> Vec<String> {
    let mut risks = vec![
        "From Stop until Reassign is done no API server has an etcd: kubectl does not work, what runs goes on, what crashes is not rescheduled.".to_owned(),
        lost(cx),
    ];
    if cx.spec.reprovisions() {
        risks.push("From the point of no return on there is no way back: the disks named below are wiped, the moved spool with them.".into());
        risks.extend(control_plane_lost(cx));
        risks.extend(wiping(cx));
    }
    risks.extend(unseen_wipes(cx));
    risks.extend(window(cx));
    risks.extend(cx.world.platform.as_ref().map(api_servers));
    risks.extend(two_heads(cx));
    let lowered = reprovision::lowered_categories(cx);
    let allowed = cx.spec.allow.category_datanode.iter();
    for (category, reason) in allowed.filter(|(category, _)| lowered.contains(category)) {
        risks.push(format!("datanode of category {category} is lowered for the same time, for every node in it, because: {reason}"));
    }
    for category in found_lowered(cx.spec, cx.world) {
        risks.push(format!("datanode of category {category} is off ALREADY, though the spec lets this run lower it. Where an earlier run has lowered it and was given up, this one does not set it on again, and a reboot may wipe any node of the category without asking: `category; use {category}; set datanode yes; commit` in cmsh and plan again, so that this run lowers it and sets it on at its end. Where it was never on, take it out of `allow`."));
    }
    risks.extend(cx.members.iter().flat_map(|member| flagged(member.seen)));
    for (run, reason) in &cx.spec.allow.guards {
        risks.push(format!(
            "The guard of run {run} is taken over where it stands, because: {reason}"
        ));
    }
    risks.push(watchers(cx));
    risks.extend(of_the_release(cx.version));
    let content = &cx.world.snapshot.content;
    let taken_from = content
        .cluster_version
        .as_deref()
        .and_then(|v| EtcdVersion::parse(v).ok());
    if let Some(other) = taken_from.filter(|other| !other.same_minor(cx.version)) {
        risks.push(format!("The snapshot is of an etcd {}.{} cluster, and is restored with etcd {}: etcd supports that only within one minor release.", other.major, other.minor, cx.version));
    }
    for alarm in &content.alarms {
        risks.push(format!("The snapshot carries an alarm along: {alarm}. The restored cluster takes no write until it is disarmed; the run halts in Reassign and says so. Free space there (compact, defragment), `etcdctl alarm disarm`, then resume: until then wiped nodes are no data nodes."));
    }
    if content.auth_enabled {
        risks.push("The snapshot has authentication on, and with it its users and passwords: this tool must be one of them, by --etcd-user or by the common name of its client certificate, or Verify halts.".into());
    }
    if let Some(reason) = &cx.spec.allow.quorum {
        risks.push(format!(
            "A quorum may still answer and is stopped all the same, because: {reason}"
        ));
    }
    if let (Some(reason), false) = (&cx.spec.allow.no_trailer, cx.world.snapshot.trailer) {
        risks.push(format!("The snapshot is a copy out of a data directory: its structure and meaning are proven, its bytes are not, the last writes before the copy may be missing, and etcd's tool restores it with --skip-hash-check. It is restored all the same, because: {reason}"));
    }
    if let Some(reason) = &cx.spec.allow.empty_snapshot {
        risks.push(format!(
            "The snapshot holds no Kubernetes key, and is restored all the same, because: {reason}"
        ));
    }
    risks
}

/// How the disks come to be wiped, what the other way would be, and what may get between.
fn wiping(cx: &Context) -> Vec<String> {
    let mut risks = vec![match cx.spec.full_install {
        FullInstall::DatanodeNo => "The nodes to be wiped are no data nodes meanwhile, as in the article: no installer asks, and none waits. `full_install: confirm` in the spec is the other way: datanode is never lowered, each installer asks, and the run answers it. It leaves no time in which a reboot wipes unasked, and counts on an answer that this tool has only given to a stand-in.",
        FullInstall::Confirm => "datanode is never lowered (full_install: confirm): each node to be wiped waits in its installer, and this run answers its question by `installerinteractions --confirm`. So no reboot wipes restored data without asking. Less certain than the article's way: the command is documented (administrator manual 5.4.4), but this tool has only met a stand-in of it. Where the installer does not ask, or asks for something else, the run says so and confirms nothing; whoever else confirms meanwhile wipes the disk.",
    }.to_owned()];
    let wiped = cx.members.iter().filter(|member| member.reprovision);
    for member in wiped.filter(|member| !member.seen.device.clears_at_boot().is_empty()) {
        let devices = member.seen.device.clears_at_boot().join(", ");
        risks.push(format!("The first boot of {} also wipes {devices}: somebody has set blockdevicesclearedonnextboot, which asks nobody.", member.node()));
    }
    risks.push("A wiped node may come back with another ssh host key. With `--host-keys strict`, the default, that halts the run behind the point of no return. Where provisioning does not bring the node's keys back, run with `--host-keys replace-after-wipe`: it takes one new key for each wipe of the run.".into());
    let locked = &cx.world.locked_images;
    if !locked.is_empty() {
        risks.push(format!("Software image {} is locked: a node with such an image waits in its installer until `softwareimage; unlock IMAGE` in cmsh. Find out before who has locked it and why.", locked.join(", ")));
    }
    risks
}

/// Nodes of which it cannot be told whether their next boot wipes something unasked.
fn unseen_wipes(cx: &Context) -> Option<String> {
    let silent = |member: &&Member| member.seen.device.cleared_at_boot.is_none();
    let members = cx.members.iter().filter(silent);
    let nodes: Vec<NodeName> = members.map(|member| member.node().clone()).collect();
    (!nodes.is_empty()).then(|| format!("Whether a boot of {} clears block devices without asking (blockdevicesclearedonnextboot) cannot be told: this cmsh does not know the property.", list(&nodes)))
}

/// What the cluster manager says beside a node's status, where it bears on the restore.
fn flagged(seen: &ObservedMember) -> Vec<String> {
    let means = [
        (
            Device::CLOSED,
            "the cluster manager leaves a closed node alone, and may not start etcd there in Reassign",
        ),
        (
            Device::PINGABLE,
            "it is UP for answering a ping, its CMDaemon is not connected and will not start etcd in Reassign",
        ),
        (
            Device::UNASSIGNED,
            "no machine has its name: one that boots for it may wait on its console to be told who it is",
        ),
    ];
    let flagged = means.iter().filter(|(flag, _)| seen.device.has_flag(flag));
    flagged
        .map(|(flag, meaning)| format!("{} is {flag}: {meaning}.", seen.node))
        .collect()
}

/// When a reboot would wipe without asking, and what.
fn window(cx: &Context) -> Option<String> {
    let lowers = cx.spec.full_install == FullInstall::DatanodeNo && cx.spec.reprovisions();
    let open = |member: &&Member| {
        let device = &member.seen.device;
        let lowered = member.reprovision && lowers;
        lowered || !(device.head_node || member.reprovision || device.effective_datanode())
    };
    let nodes: Vec<NodeName> = cx
        .members
        .iter()
        .filter(open)
        .map(|member| member.node().clone())
        .collect();
    if nodes.is_empty() {
        return None;
    }
    let cause = "a reboot with a changed disk, or a failed filesystem check, wipes such a node without asking";
    Some(match cx.spec.datanode_again {
        DatanodeAgain::AfterReassign => format!(
            "From Restore until Datanode is done restored data lies on nodes that are no data nodes, {}: {cause}, restored data included. Do not reboot them by hand. A resumed run makes them data nodes first; `datanode_again: after_reprovision` in the spec does it before anything is restored.",
            list(&nodes)
        ),
        DatanodeAgain::AfterReprovision if lowers => format!(
            "In Reprovision the nodes to be wiped are no data nodes: {cause}. They are data nodes again before anything is restored, as the spec asks (the article does it last)."
        ),
        DatanodeAgain::AfterReprovision => return None,
    })
}

/// The recovery point: what is gone for good.
fn lost(cx: &Context) -> String {
    let snapshot = cx.world.snapshot.content.revision;
    let known = match cx.world.recorded {
        None => "nothing is on record of how much that is".to_owned(),
        Some(RecordedRevisions { own: Some(own), .. }) => format!(
            "its cluster had come to revision {} at {:.0}, {} past the snapshot's, when it was last asked",
            own.revision,
            own.at,
            own.revision.saturating_sub(snapshot).max(0)
        ),
        Some(RecordedRevisions { highest, own: None }) => format!(
            "how much that is nobody can tell: the highest revision on record beside it, of whichever cluster, is {} at {:.0}",
            highest.revision, highest.at
        ),
    };
    format!(
        "Everything written to etcd after the snapshot, of revision {snapshot}, is lost; {known}. Kubernetes will end workloads that the snapshot does not know."
    )
}

/// What those who watch etcd make of its revision, and what is to be restarted for it.
fn watchers(cx: &Context) -> String {
    if cx.bump.is_some() {
        return "The revision is moved ahead, so watch caches notice the restore. Restart kubelets, controllers and schedulers after the run all the same: a kubelet goes on with pods that the snapshot does not know until it is restarted (kubernetes#131115). The address of an API server that is gone may live on below /registry/masterleases/ (kubernetes#86812).".into();
    }
    let reason = if cx.version.has_revision_bump() {
        "the spec turns the revision bump off".to_owned()
    } else {
        format!(
            "etcd {} has no revision bump (from 3.4.27, 3.5.10 and 3.6.0 on)",
            cx.version
        )
    };
    format!(
        "The revision goes back to {}: {reason}. Watch caches do not notice; restart every kube-apiserver, then controllers, schedulers and kubelets.",
        cx.first_revision()
    )
}

/// What this release of etcd is known to do wrong, as far as a restored cluster inherits it.
fn of_the_release(version: EtcdVersion) -> Option<String> {
    match (version.major, version.minor, version.patch) {
        (3, 4, _) => Some("The restore of etcd 3.4 leaves the old members in the store. Nothing shows until etcd 3.6 takes them for real: upgrade the restored cluster through 3.5.26 or later (etcd's note on zombie members, 2025).".into()),
        (3, 5, 0..=2) => Some(format!("In etcd {version}, as in all of 3.5.0 to 3.5.2, a member that crashes may come back with other data than its peers (etcd#13908). Go to a later 3.5 before the restore, or right after it.")),
        _ => None,
    }
}

/// What happens to the API servers, as far as anybody has written it down.
fn api_servers(platform: &Platform) -> String {
    let look = format!(
        "--etcd-servers must be there, and not empty: Verify looks at {}",
        match platform.api_server_nodes().as_slice() {
            [] => "none, for none was seen".to_owned(),
            nodes => list(nodes),
        }
    );
    match platform.api_servers() {
        ApiServers::Services => format!(
            "The API servers are services of Bright's role Kubernetes::ApiServer. While no node has Etcd::Host they are restarted with an empty --etcd-servers, and fail; once it is given back they should come up again with the members named; where they do not, the article has them started by hand in cmsh. {look}."
        ),
        ApiServers::StaticPods => format!(
            "The API servers are kubeadm's static pods. What Bright does to them while no node has Etcd::Host is not documented. After the run look at {MANIFEST} on every control-plane node: {look}, and knows of no others. An empty one was seen after an upgrade by kubeadm."
        ),
        ApiServers::Both => format!(
            "There is a role Kubernetes::ApiServer as well as static pods of kubeadm; what Bright does to either while no node has Etcd::Host is not known for such a mix. {look}."
        ),
        ApiServers::Unknown => "How the API servers are run was not seen: no overlay has Kubernetes::ApiServer, and no member that answers has a static pod of one. After the run see on each of them that --etcd-servers is not empty; Verify does not.".to_owned(),
    }
}

/// A wiped control-plane node loses more than etcd's data. Of a node that is down nobody can tell whether it
/// is one, and all of them being down is what this tool is for.
fn control_plane_lost(cx: &Context) -> Vec<String> {
    let Some(platform) = &cx.world.platform else {
        return Vec::new();
    };
    let wiped = cx.members.iter().filter(|member| member.reprovision);
    let (seen, silent): (Vec<&Member>, Vec<&Member>) =
        wiped.partition(|member| member.host().is_some());
    let nodes = |members: Vec<&Member>| -> Vec<NodeName> {
        members.into_iter().map(Member::node).cloned().collect()
    };
    let mut lost = nodes(seen);
    lost.retain(|node| platform.static_pods.contains(node));
    let silent = nodes(silent);
    let mut risks = Vec::new();
    if !lost.is_empty() {
        let which = list(&lost);
        risks.push(format!(
            "An API server was seen on {which}; with the disk there goes {GOES_WITH_IT}"
        ));
    }
    if !silent.is_empty() && platform.may_have_static_pods() {
        let which = list(&silent);
        risks.push(format!("Whether control-plane nodes are among the silent ones to be wiped, {which}, could not be seen. If so, with the disk there goes {GOES_WITH_IT}"));
    }
    risks
}

const GOES_WITH_IT: &str = "/etc/kubernetes, too: the manifests, the control plane's PKI, and etcd's member certificates where they lie below it. Each such node has to join again (Bright's cm-kubeadm-manage); whether Bright does that itself, and lays those certificates anew before it starts etcd, is not known. Save /etc/kubernetes/pki first, from any such disk that can still be read: where every control-plane node is wiped, that copy may be all there is.";

fn two_heads(cx: &Context) -> Option<String> {
    (cx.world.head == HeadRole::Active).then(|| {
        "There are two head nodes. After a failover the run halts before its next effect, and goes on with `resume` at the other head node, from the same state directory: one on storage of both, or a copy. A provisioning under way is lost with a failover and may have to be begun again.".to_owned()
    })
}
