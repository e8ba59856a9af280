//! What etcd's client API is asked: is there a quorum, and is the cluster the one that was promised?

use std::collections::BTreeSet;

use super::Finding::{self, Blind, Holds, NotYet};
use super::{holds_if, never};
use crate::error::{AdapterError, Certainty};
use crate::identity::{ARTICLE_CLUSTER_ID, ClusterId, MemberId};
use crate::names::{EtcdUrl, MemberName, NodeName};
use crate::plan::PredictedHash;
use crate::ports::{ETCD_UNREACHABLE, PortResult, Ports};
use crate::world::{DeviceStatus, HashKv};

/// Where etcd takes clients if nobody says otherwise.
const CLIENT_PORT: u16 = 2379;

pub(super) async fn credentials_good(ports: &Ports) -> PortResult<Finding> {
    Ok(Holds(ports.client.credentials().await?))
}

pub(super) async fn quorum_lost(
    ports: &Ports,
    members: &[(NodeName, EtcdUrl)],
    allowed: Option<&str>,
) -> PortResult<Finding> {
    for (node, url) in members {
        // Only a linearizable read proves a quorum; a lone member answers status and stale reads.
        match ports.client.get(url, "restore-runbook/quorum").await {
            Ok(_) => return Ok(quorum_answers(url, allowed)),
            // A refused certificate or password says nothing about the quorum.
            Err(error) if error.certainty == Certainty::Refused => return Ok(Blind(error)),
            // Neither does a broken network between here and there.
            Err(error) => match silence(ports, node, url, error).await? {
                Silence::Own => {}
                Silence::Unseen(error) => {
                    return Ok(match allowed {
                        Some(reason) => Holds(format!("{}; allowed: {reason}", error.what)),
                        None => Blind(error),
                    });
                }
            },
        }
    }
    Ok(Holds("no quorum answers".into()))
}

/// Whose fault it is that a member does not answer.
enum Silence {
    /// Its own: its node is known to be down, or can be reached.
    Own,
    /// Perhaps the network's.
    Unseen(AdapterError),
}

async fn silence(
    ports: &Ports,
    node: &NodeName,
    url: &EtcdUrl,
    error: AdapterError,
) -> PortResult<Silence> {
    if ports.nodes.boot_id(node).await?.is_none() {
        let down = ports.manager.device(node).await?.status == DeviceStatus::Down;
        return Ok(if down {
            Silence::Own
        } else {
            Silence::Unseen(error)
        });
    }
    if error.code != ETCD_UNREACHABLE {
        return Ok(Silence::Own);
    }
    // Nobody is turned away from a port that something listens on, but by a firewall or under a wrong address.
    let asked = BTreeSet::from([url.port(), CLIENT_PORT]);
    let asked: Vec<u16> = asked.into_iter().collect();
    let open = ports.nodes.listening(node, &asked).await?;
    if open.is_empty() {
        return Ok(Silence::Own);
    }
    let what = format!("{node} listens on {open:?}, and {url} cannot be reached from here");
    let unseen = AdapterError::new("quorum-unseen", Certainty::NotDone, what).hint(
        "a quorum may live behind a firewall or another address: see `etcdctl endpoint status` on that node, and the member's `client_url` in the spec. Where you know that it is lost, say so: `allow: {quorum: \"<reason>\"}` in the spec, and plan anew",
    );
    Ok(Silence::Unseen(unseen.caused_by(error)))
}

fn quorum_answers(url: &EtcdUrl, allowed: Option<&str>) -> Finding {
    let seen = format!("a quorum answers through {url}");
    match allowed {
        Some(reason) => Holds(format!("{seen}; allowed: {reason}")),
        None => never(
            "quorum-answers",
            seen,
            "replace the broken members one by one instead: nothing is lost then. Where the head node has it, `cm-etcd-manage --kube-cluster LABEL status` is the beginning of that; to restore all the same, give a reason: `allow: {quorum: \"<reason>\"}` in the spec",
        ),
    }
}

pub(super) async fn identity(
    ports: &Ports,
    url: &EtcdUrl,
    member: MemberId,
    cluster: ClusterId,
    members: &[(MemberId, MemberName, EtcdUrl)],
) -> PortResult<Finding> {
    let status = ports.client.status(url).await?;
    let seen = format!(
        "{url} is member {} of cluster {}",
        status.member, status.cluster
    );
    if status.cluster != cluster || status.member != member {
        let hint = if status.cluster == ARTICLE_CLUSTER_ID {
            "this member was restored without member flags, as in the article: stop etcd here, and find out who did it"
        } else {
            "this is not the restored cluster: an old member that was never stopped, or one that started empty; stop etcd here at once, see where the restored data has gone, and resume once it is back"
        };
        return Ok(never("identity", seen, hint));
    }
    let wanted: BTreeSet<_> = members
        .iter()
        .map(|(id, _, peer)| (*id, vec![peer.to_string()], false))
        .collect();
    let listed: BTreeSet<_> = ports
        .client
        .members(url)
        .await?
        .into_iter()
        .map(|listed| (listed.id, listed.peer_urls, listed.learner))
        .collect();
    Ok(if listed == wanted {
        Holds(seen)
    } else {
        never(
            "identity-members",
            format!("{seen}, but it lists other members than planned"),
            "compare `etcdctl member list` with the plan before anything else",
        )
    })
}

pub(super) async fn one_leader(ports: &Ports, urls: &[EtcdUrl]) -> PortResult<Finding> {
    let mut leaders = BTreeSet::new();
    for url in urls {
        let status = ports.client.status(url).await?;
        let Some(leader) = status.leader else {
            return Ok(NotYet(format!("{url} has no leader")));
        };
        // Waiting does not disarm it. A member's errors name its alarms too.
        if let Some(alarm) = ports.client.alarms(url).await?.first() {
            return Ok(never(
                "etcd-alarm",
                format!("{url} has an alarm: {alarm}"),
                "the snapshot carried it along: free space (compact, defragment), `etcdctl alarm disarm`, then resume",
            ));
        }
        if let Some(error) = status.errors.first() {
            return Ok(NotYet(format!("{url} reports: {error}")));
        }
        leaders.insert(leader);
    }
    let names = leaders
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ");
    Ok(holds_if(leaders.len() == 1, format!("leader {names}")))
}

pub(super) async fn hashes_alike(
    ports: &Ports,
    urls: &[EtcdUrl],
    predicted: PredictedHash,
) -> PortResult<Finding> {
    let at = predicted.revision;
    for url in urls {
        let answer = ports.client.hash_kv(url, at).await?;
        // Somebody has compacted since, as API servers do every few minutes: the prediction cannot be
        // asked for any more, but the members can still be compared with each other.
        let Some(answer) = answer.filter(|a| a.compact_revision == predicted.compact_revision)
        else {
            return Ok(match alike_now(ports, urls).await? {
                Holds(seen) => Holds(format!(
                    "NOT compared with the prediction, {url} has compacted since revision {at}; {seen}"
                )),
                other => other,
            });
        };
        if answer.hash != predicted.hash {
            return Ok(never(
                "hash-differs",
                format!(
                    "HashKV at revision {at} is {} on {url}, the snapshot's is {}",
                    answer.hash, predicted.hash
                ),
                "the cluster does not hold the snapshot's data: stop etcd on every member before Kubernetes acts on it",
            ));
        }
    }
    Ok(Holds(format!(
        "HashKV at revision {at} is {} on every member, as predicted",
        predicted.hash
    )))
}

/// The members among themselves, at one revision of now: they may be written to in between.
async fn alike_now(ports: &Ports, urls: &[EtcdUrl]) -> PortResult<Finding> {
    let Some(first) = urls.first() else {
        return Ok(NotYet("there is no member to ask".into()));
    };
    let at = ports.client.status(first).await?.revision;
    let mut model: Option<HashKv> = None;
    for url in urls {
        let Some(answer) = ports.client.hash_kv(url, at).await? else {
            return Ok(NotYet(format!("{url} has compacted revision {at}")));
        };
        let model = *model.get_or_insert(answer);
        if model.compact_revision != answer.compact_revision {
            return Ok(NotYet(format!(
                "{url} has compacted further than the others"
            )));
        }
        if model.hash != answer.hash {
            return Ok(never(
                "members-diverge",
                format!(
                    "HashKV at revision {at} is {} on {first}, {} on {url}",
                    model.hash, answer.hash
                ),
                "the members hold different data: stop etcd on all of them and keep their data",
            ));
        }
    }
    let hash = model.map_or(0, |answer| answer.hash);
    Ok(Holds(format!(
        "HashKV at revision {at} is {hash} on every member"
    )))
}

pub(super) async fn revision_at_least(
    ports: &Ports,
    url: &EtcdUrl,
    revision: i64,
) -> PortResult<Finding> {
    let now = ports.client.status(url).await?.revision;
    Ok(holds_if(
        now >= revision,
        format!("{url} is at revision {now}"),
    ))
}

pub(super) async fn count_at_least(
    ports: &Ports,
    url: &EtcdUrl,
    prefix: &str,
    keys: u64,
    revision: i64,
) -> PortResult<Finding> {
    Ok(match ports.client.count(url, prefix, revision).await? {
        Some(counted) if counted >= keys => Holds(format!("{counted} keys below {prefix:?}")),
        Some(counted) => never(
            "keys-missing",
            format!("{url} counts {counted} keys below {prefix:?} of {keys}"),
            "this is not the data of the snapshot: stop etcd on every member before Kubernetes acts on it",
        ),
        None => Holds(format!(
            "NOT counted, revision {revision} was compacted since"
        )),
    })
}

pub(super) async fn key_reads(
    ports: &Ports,
    url: &EtcdUrl,
    key: &str,
    value: Option<&str>,
) -> PortResult<Finding> {
    let read = ports.client.get(url, key).await?;
    let there = if read.is_some() { "there" } else { "not there" };
    Ok(holds_if(
        read.as_deref() == value.map(str::as_bytes),
        format!("{key} through {url}: {there}"),
    ))
}
