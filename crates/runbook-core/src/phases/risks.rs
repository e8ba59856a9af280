//! What a reviewer has to know before approving, in words.

use super::{Context, Member};
use crate::names::NodeName;
use crate::plan::list;
use crate::spec::DatanodeAgain;
use crate::version::EtcdVersion;
use crate::world::RecordedRevisions;

pub(super) fn risks(cx: &Context) -> Vec<String> {
    let mut risks = vec![
        "From Stop until Reassign is done no API server has an etcd: kubectl does not work, what runs goes on, what crashes is not rescheduled.".to_owned(),
        lost(cx),
    ];
    if cx.spec.reprovisions() {
        risks.push("From the first reboot on there is no way back: the disks named below are wiped, the moved spool with them.".into());
    }
    risks.extend(window(cx));
    for (category, reason) in &cx.spec.allow.category_datanode {
        risks.push(format!("datanode of category {category} is lowered for the same time, for every node in it, because: {reason}"));
    }
    for (run, reason) in &cx.spec.allow.guards {
        risks.push(format!(
            "The guard of run {run} is taken over where it stands, because: {reason}"
        ));
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

/// When a reboot would wipe without asking, and what.
fn window(cx: &Context) -> Option<String> {
    let open = |member: &&Member| member.reprovision || !member.seen.device.effective_datanode();
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
        DatanodeAgain::AfterReprovision if cx.spec.reprovisions() => format!(
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
            "its cluster had come to revision {} at {}, {} past the snapshot's, when it was last asked",
            own.revision,
            own.at,
            own.revision.saturating_sub(snapshot).max(0)
        ),
        Some(RecordedRevisions { highest, own: None }) => format!(
            "how much that is nobody can tell: the highest revision on record beside it, of whichever cluster, is {} at {}",
            highest.revision, highest.at
        ),
    };
    format!(
        "Everything written to etcd after the snapshot, of revision {snapshot}, is lost; {known}. Kubernetes will end workloads that the snapshot does not know."
    )
}
