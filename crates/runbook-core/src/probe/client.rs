//! What etcd's client API is asked: is there a quorum, and is the cluster the one that was promised?

use std::collections::BTreeSet;

use futures_util::future::{join, try_join_all};

use super::Finding::{self, Blind, Holds, NotYet};
use super::{holds_if, never};
use crate::error::{AdapterError, Certainty};
use crate::identity::{ARTICLE_CLUSTER_ID, ClusterId, MemberId};
use crate::names::{EtcdUrl, MemberName, NodeName};
use crate::plan::PredictedHash;
use crate::ports::{PortResult, Ports};
use crate::world::{DeviceStatus, HashKv, PowerState};

/// Where etcd takes clients if nobody says otherwise.
const CLIENT_PORT: u16 = 2379;

/// A hint for whoever is to hold etcd once the role was given back: as long as a node has it, a stopped unit may be
/// started again; and nothing in a run takes it away a second time.
macro_rules! hold {
    ($what:literal, $nodes:literal) => {
        concat!(
            $what,
            ". The API servers are connected already. To hold etcd on ",
            $nodes,
            ", take the role away first, for with it a stopped etcd may be started again: `configurationoverlay; use OVERLAY; removefrom nodes NODE; commit` in cmsh, then `systemctl stop etcd` on the node. While a node has no role `resume` only waits for it: put the data right, give the role back with `configurationoverlay; use OVERLAY; append nodes NODE; commit`, and resume. Where the data cannot be put right, `abandon` the run and plan anew"
        )
    };
}

pub(super) async fn credentials_good(ports: &Ports) -> PortResult<Finding> {
    Ok(Holds(ports.client.credentials().await?))
}

/// A quorum is lost when none answers, and the members that may be alive somewhere are too few for one.
pub(super) async fn quorum_lost(
    ports: &Ports,
    members: &[(NodeName, EtcdUrl)],
    allowed: Option<&str>,
) -> PortResult<Finding> {
    // At once: each that is silent takes its time.
    let asked = members.iter().map(|(node, url)| part(ports, node, url));
    let found = try_join_all(asked).await?;
    if let Some(at) = found.iter().position(|part| matches!(part, Part::Quorum)) {
        return Ok(quorum_answers(&members[at].1, allowed));
    }
    let unseen = found.into_iter().filter_map(|part| match part {
        Part::Alive(why) => Some(why),
        Part::Quorum | Part::Out => None,
    });
    let unseen: Vec<String> = unseen.collect();
    if unseen.len() * 2 <= members.len() {
        return Ok(Holds("no quorum answers".into()));
    }
    let seen = format!("a quorum may be alive: {}", unseen.join("; "));
    Ok(match allowed {
        Some(reason) => Holds(format!("{seen}; allowed: {reason}")),
        None => Blind(unseen_quorum(seen)),
    })
}

/// The part that a member may have in a quorum.
enum Part {
    /// One answers through it.
    Quorum,
    /// It may be alive, and this is why.
    Alive(String),
    /// None.
    Out,
}

async fn part(ports: &Ports, node: &NodeName, url: &EtcdUrl) -> PortResult<Part> {
    // Only a linearizable read proves a quorum; a lone member answers status and stale reads.
    let get = ports.client.get(url, "restore-runbook/quorum");
    let (answer, status) = join(get, ports.client.status(url)).await;
    let Err(error) = answer else {
        return Ok(Part::Quorum);
    };
    // A refused certificate or password says nothing about the quorum.
    if error.certainty == Certainty::Refused {
        return Err(error);
    }
    let alive = match status {
        Ok(status) => status
            .leader
            .map(|leader| format!("it follows leader {leader}")),
        Err(_) => may_be_alive(ports, node, url).await?,
    };
    Ok(match alive {
        Some(why) => Part::Alive(format!("{node}: {why}, and no answer ({})", error.code)),
        None => Part::Out,
    })
}

/// Why a member that gives no answer at all may be part of a quorum: one question got lost, or the network is
/// broken between here and there. None where nothing listens on its node, or that is off.
async fn may_be_alive(ports: &Ports, node: &NodeName, url: &EtcdUrl) -> PortResult<Option<String>> {
    if ports.nodes.boot_id(node).await?.is_some() {
        // Under its own port too: the one in the URL may be mistyped.
        let asked: Vec<u16> = BTreeSet::from([url.port(), CLIENT_PORT])
            .into_iter()
            .collect();
        let open = ports.nodes.listening(node, &asked).await?;
        return Ok(open
            .first()
            .map(|port| format!("its node listens on port {port}")));
    }
    let status = ports.manager.device(node).await?.status;
    if status != DeviceStatus::Down {
        return Ok(Some(format!("its node is {status}, without ssh")));
    }
    Ok(match ports.manager.power(node).await? {
        PowerState::Off => None,
        PowerState::On => Some("its node is [DOWN], and its power is on".into()),
        PowerState::Silent(_) => Some("its node is [DOWN], and its power is not known".into()),
    })
}

fn unseen_quorum(seen: String) -> AdapterError {
    AdapterError::new("quorum-unseen", Certainty::NotDone, seen).hint(
        "members that are alive answer each other where they do not answer here: look at each node that is named. Power off what hangs; a wrong address is mended by `client_url` in the spec, a firewall by opening etcd's port for this head node. Where you have seen that the quorum is lost, say so: `allow: {quorum: \"<reason>\"}` in the spec, and plan anew",
    )
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
            hold!(
                "this member was restored without member flags, as in the article: find out who did it",
                "this node"
            )
        } else {
            hold!(
                "this is not the restored cluster: an old member that was never stopped, or one that started empty; see where the restored data has gone",
                "this node"
            )
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
                hold!(
                    "the cluster does not hold the snapshot's data, and Kubernetes acts on what it holds",
                    "every member"
                ),
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
                hold!(
                    "the members hold different data: keep all of it",
                    "every member"
                ),
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
            hold!(
                "this is not the data of the snapshot, and Kubernetes acts on it",
                "every member"
            ),
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

#[cfg(test)]
#[cfg(all(feature = "mocks", feature = "testkit"))]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::ports::MockEtcdClient;
    use crate::testkit::World;
    use crate::version::EtcdVersion;
    use crate::world::MemberStatus;

    fn url(host: &str) -> EtcdUrl {
        EtcdUrl::new(format!("https://{host}:2379")).unwrap()
    }

    /// A member of the cluster with this id, which holds nothing and says another hash than the others.
    fn stranger(cluster: ClusterId) -> Ports {
        let mut client = MockEtcdClient::new();
        client.expect_status().returning(move |_| {
            Ok(MemberStatus {
                cluster,
                member: MemberId(1),
                leader: None,
                revision: 7,
                version: EtcdVersion::new(3, 5, 15),
                errors: Vec::new(),
            })
        });
        client.expect_count().returning(|_, _, _| Ok(Some(0)));
        client.expect_hash_kv().returning(|url, _| {
            Ok(Some(HashKv {
                hash: u32::try_from(url.as_str().len()).unwrap(),
                compact_revision: 1,
            }))
        });
        Ports {
            client: Arc::new(client),
            ..World::of(1).build().ports()
        }
    }

    /// With its role a stopped etcd is started again: no hint behind Reassign says to stop it before the role is
    /// taken away, nor to resume before it is given back.
    #[tokio::test]
    async fn etcd_is_held_by_its_role() {
        let (one, other) = (url("n1"), url("node002"));
        let ports = stranger(ClusterId(1));
        let article = stranger(ARTICLE_CLUSTER_ID);
        let predicted = |compact_revision| PredictedHash {
            revision: 7,
            compact_revision,
            hash: 0,
        };
        let both = [one.clone(), other];
        let findings = [
            identity(&ports, &one, MemberId(2), ClusterId(2), &[]).await,
            identity(&article, &one, MemberId(2), ClusterId(2), &[]).await,
            hashes_alike(&ports, &both, predicted(1)).await,
            hashes_alike(&ports, &both, predicted(2)).await,
            count_at_least(&ports, &one, "", 1, 7).await,
        ];
        let mut codes = Vec::new();
        for finding in findings {
            let Ok(Finding::Never { code, hint, .. }) = finding else {
                panic!("{finding:?}");
            };
            let place = |words| {
                hint.find(words)
                    .unwrap_or_else(|| panic!("{words}: {hint}"))
            };
            assert!(place("removefrom nodes NODE; commit") < place("systemctl stop etcd"));
            assert!(place("append nodes NODE; commit") < place("and resume"));
            place("`abandon` the run and plan anew");
            codes.push(code);
        }
        let wanted = "identity identity hash-differs members-diverge keys-missing";
        assert_eq!(codes.join(" "), wanted);
    }
}
