//! What must come up, what came up, and whether they are the same.

use runbook_core::error::AdapterError;
use runbook_core::identity::{ClusterId, MemberId};
use runbook_core::plan::ClientEffect;
use runbook_core::ports::{EtcdClient as _, PortResult};
use runbook_core::world::ListedMember;
use serde::Serialize;

use super::etcd::Serving;
use super::fault;
use crate::snapshot::{HashKv, Proof};

/// Outside `/registry`: no API server would look there.
const CANARY: &str = "restore-runbook/canary/rehearsal";

/// What a restore of a snapshot must bring up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Prediction {
    /// The store's revision, and the hash of all keys, values and revisions at it.
    pub hash_kv: HashKv,
    /// Live keys.
    pub live_keys: u64,
    /// Live keys below `/registry/`.
    pub registry_keys: u64,
}

impl Prediction {
    /// What follows from a proof, and from how far the restore moves the revision.
    ///
    /// # Errors
    /// When the revision cannot be moved so far.
    pub fn of(proof: &Proof, bump: Option<u64>) -> PortResult<Self> {
        let meaning = &proof.meaning;
        let hash_kv = match bump {
            None => meaning.hash_kv,
            Some(bump) => meaning.hash_kv_after_bump(bump).ok_or_else(|| {
                fault(
                    "rehearsal-bump",
                    format!("the revision cannot be moved by {bump}"),
                )
                .hint("the new revision must pass the compacted one, and fit into 63 bits")
            })?,
        };
        Ok(Self {
            hash_kv,
            live_keys: meaning.live_keys,
            registry_keys: meaning.registry.live_keys,
        })
    }
}

/// What came up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The cluster's id.
    pub cluster: ClusterId,
    /// Its members.
    pub members: Vec<ListedMember>,
    /// The id of the one that was asked.
    pub member: MemberId,
    /// Its revision as soon as it served.
    pub revision: i64,
    /// The hash at the predicted revision; none when etcd calls that compacted.
    pub hash_kv: Option<HashKv>,
    /// Live keys at that revision, and those below `/registry/`; none when etcd calls it
    /// compacted.
    pub keys: Option<(u64, u64)>,
}

/// One thing that was predicted and looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// What it is.
    pub what: &'static str,
    /// What it must be.
    pub predicted: String,
    /// What it is.
    pub seen: String,
}

impl Comparison {
    /// Whether they are the same.
    pub fn holds(&self) -> bool {
        self.predicted == self.seen
    }
}

/// Holds what came up against what was predicted, the cluster's identity included.
pub fn compare(
    prediction: &Prediction,
    (member, cluster): (MemberId, ClusterId),
    seen: &Seen,
) -> Vec<Comparison> {
    let of = |what, predicted: String, seen: String| Comparison {
        what,
        predicted,
        seen,
    };
    let hash = |hash: HashKv| {
        let compacted = match hash.compact_revision {
            ..=0 => "never compacted".to_owned(),
            revision => format!("compacted at {revision}"),
        };
        format!("{}, {compacted}", hash.hash)
    };
    let keys = |(all, registry): (u64, u64)| format!("{all}, {registry} of them below /registry/");
    let compacted = || "no answer: compacted".to_owned();
    let ids: Vec<String> = seen.members.iter().map(|m| m.id.to_string()).collect();
    vec![
        of(
            "revision",
            prediction.hash_kv.revision.to_string(),
            seen.revision.to_string(),
        ),
        of(
            "HashKV",
            hash(prediction.hash_kv),
            seen.hash_kv.map_or_else(compacted, hash),
        ),
        of(
            "live keys",
            keys((prediction.live_keys, prediction.registry_keys)),
            seen.keys.map_or_else(compacted, keys),
        ),
        of("members", member.to_string(), ids.join(", ")),
        of(
            "identity",
            format!("member {member} of cluster {cluster}"),
            format!("member {} of cluster {}", seen.member, seen.cluster),
        ),
    ]
}

/// Asks etcd.
pub(super) async fn look(serving: &Serving, prediction: &Prediction) -> PortResult<Seen> {
    let Serving {
        client,
        url,
        status,
        ..
    } = serving;
    let revision = prediction.hash_kv.revision;
    let hash = client.hash_kv(url, revision).await?;
    let all = client.count(url, "", revision).await?;
    let registry = client.count(url, "/registry/", revision).await?;
    Ok(Seen {
        cluster: status.cluster,
        members: client.members(url).await?,
        member: status.member,
        revision: status.revision,
        hash_kv: hash.map(|answer| HashKv {
            hash: answer.hash,
            revision,
            compact_revision: answer.compact_revision,
        }),
        keys: all.zip(registry),
    })
}

/// Writes a key, reads it, deletes it: half a restore answers reads and hangs on writes.
pub(super) async fn canary(serving: &Serving) -> PortResult<()> {
    let Serving { client, url, .. } = serving;
    let (key, value) = (CANARY.to_owned(), serving.status.cluster.to_string());
    let failed = |what: &str| {
        fault("rehearsal-canary", format!("the restored etcd does not take a write: {what}")).hint(
            "the members would not take one either: an alarm that the snapshot carries (NOSPACE) is a usual cause",
        )
    };
    let refused = |error: AdapterError| failed("it was refused").caused_by(error);
    let put = ClientEffect::PutCanary {
        url: url.clone(),
        key: key.clone(),
        value: value.clone(),
    };
    client.write(put).await.map_err(refused)?;
    if client.get(url, &key).await? != Some(value.into_bytes()) {
        return Err(failed("the key that was written is not there"));
    }
    let delete = ClientEffect::DeleteCanary {
        url: url.clone(),
        key: key.clone(),
    };
    client.write(delete).await.map_err(refused)?;
    if client.get(url, &key).await?.is_some() {
        return Err(failed("the key that was deleted is still there"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(hash: u32) -> HashKv {
        HashKv {
            hash,
            revision: 12,
            compact_revision: -1,
        }
    }

    fn seen() -> Seen {
        Seen {
            cluster: ClusterId(7),
            members: vec![ListedMember {
                id: MemberId(5),
                name: "rehearsal".into(),
                peer_urls: Vec::new(),
                learner: false,
            }],
            member: MemberId(5),
            revision: 12,
            hash_kv: Some(hash(99)),
            keys: Some((10, 8)),
        }
    }

    fn differing(seen: &Seen) -> Vec<&'static str> {
        let prediction = Prediction {
            hash_kv: hash(99),
            live_keys: 10,
            registry_keys: 8,
        };
        compare(&prediction, (MemberId(5), ClusterId(7)), seen)
            .iter()
            .filter(|compared| !compared.holds())
            .map(|compared| compared.what)
            .collect()
    }

    #[test]
    fn every_difference_is_one() {
        let with = |change: fn(&mut Seen)| {
            let mut seen = seen();
            change(&mut seen);
            differing(&seen)
        };
        assert_eq!(with(|_| ()), Vec::<&str>::new());
        assert_eq!(with(|s| s.revision = 13), ["revision"]);
        assert_eq!(with(|s| s.hash_kv = Some(hash(98))), ["HashKV"]);
        assert_eq!(with(|s| s.hash_kv = None), ["HashKV"]);
        let compacted = |s: &mut Seen| s.hash_kv.as_mut().unwrap().compact_revision = 3;
        assert_eq!(with(compacted), ["HashKV"]);
        assert_eq!(with(|s| s.keys = Some((9, 8))), ["live keys"]);
        assert_eq!(with(|s| s.keys = Some((10, 7))), ["live keys"]);
        assert_eq!(with(|s| s.keys = None), ["live keys"]);
        assert_eq!(with(|s| s.members.clear()), ["members"]);
        assert_eq!(with(|s| s.members.push(s.members[0].clone())), ["members"]);
        assert_eq!(with(|s| s.cluster = ClusterId(8)), ["identity"]);
        assert_eq!(with(|s| s.member = MemberId(8)), ["identity"]);
    }
}
