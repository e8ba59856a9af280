//! A look at the members, and which of them is asked for a backup.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use runbook_core::error::{AdapterError, Certainty};
use runbook_core::identity::ClusterId;
use runbook_core::names::EtcdUrl;

use super::error::BackupError;
use crate::client::{GrpcClient, Vitals};
use crate::snapshot::{Alarm, AlarmKind};

/// A member, and what it said.
#[derive(Debug)]
pub struct Seen {
    /// Where it was asked.
    pub url: EtcdUrl,
    /// Its status, or why there is none.
    pub vitals: Result<Vitals, AdapterError>,
}

/// What all members said at about one time.
#[derive(Debug)]
pub struct Survey {
    /// In the order asked.
    pub members: Vec<Seen>,
}

/// Asks all members at once; one that has not answered within `limit` has not answered.
pub async fn look(client: &GrpcClient, urls: &[EtcdUrl], limit: Duration) -> Survey {
    let asked = urls.iter().map(|url| async move {
        let silent = || {
            let what = format!("etcd at {url} did not answer in {} s", limit.as_secs_f64());
            AdapterError::new("etcd-timeout", Certainty::NotDone, what)
        };
        let answer = tokio::time::timeout(limit, client.vitals(url)).await;
        Seen {
            url: url.clone(),
            vitals: answer.unwrap_or_else(|_| Err(silent())),
        }
    });
    Survey {
        members: join_all(asked).await,
    }
}

impl Seen {
    /// Why this member is not asked for a backup; none when it may be.
    ///
    /// An alarm about space is no reason: that cluster needs its backup. One about corruption is, on the
    /// member it is about, or on all when it does not say.
    pub fn unfit(&self) -> Option<String> {
        let vitals = match &self.vitals {
            Ok(vitals) => vitals,
            Err(error) => return Some(format!("[{}] {}", error.code, error.chain())),
        };
        let status = &vitals.status;
        if status.leader.is_none() {
            return Some("it follows no leader, so it may be behind".into());
        }
        if vitals.learner {
            return Some("it is a learner".into());
        }
        let own = status.member.0;
        let bad = status.errors.iter().find(|error| match alarm(error) {
            Some(alarm) if alarm.kind == AlarmKind::NoSpace => false,
            Some(alarm) => alarm.member == own || alarm.member == 0,
            None => true,
        });
        bad.map(|error| format!("it reports: {}", error.trim()))
    }
}

impl Survey {
    /// The member to ask: of those that are fit, and not among `tried`, the one that has come
    /// furthest; of several, one that does not lead, for it has less to do.
    pub fn choice(&self, tried: &[EtcdUrl]) -> Option<(&EtcdUrl, &Vitals)> {
        let fit = self.members.iter().filter(|seen| seen.unfit().is_none());
        fit.filter(|seen| !tried.contains(&seen.url))
            .filter_map(|seen| Some((&seen.url, seen.vitals.as_ref().ok()?)))
            .max_by_key(|(url, vitals)| {
                let leads = vitals.status.leader == Some(vitals.status.member);
                (vitals.applied_index, !leads, std::cmp::Reverse(*url))
            })
    }

    /// The cluster and the revision that each member told.
    pub fn revisions(&self) -> Vec<(ClusterId, i64)> {
        let told = self
            .members
            .iter()
            .filter_map(|seen| seen.vitals.as_ref().ok());
        told.map(|vitals| (vitals.status.cluster, vitals.status.revision))
            .collect()
    }

    /// The alarms in force, as the members report them, each once.
    pub fn alarms(&self) -> Vec<String> {
        let answered = self
            .members
            .iter()
            .filter_map(|seen| seen.vitals.as_ref().ok());
        let errors = answered.flat_map(|vitals| &vitals.status.errors);
        let mut alarms: Vec<_> = errors
            .filter_map(|error| Some(alarm(error)?.to_string()))
            .collect();
        alarms.sort();
        alarms.dedup();
        alarms
    }

    /// That the members are of one cluster, as far as they answered.
    pub(super) fn one_cluster(&self) -> Result<(), BackupError> {
        let mut clusters = BTreeMap::<ClusterId, Vec<&EtcdUrl>>::new();
        for seen in &self.members {
            if let Ok(vitals) = &seen.vitals {
                clusters
                    .entry(vitals.status.cluster)
                    .or_default()
                    .push(&seen.url);
            }
        }
        if clusters.len() < 2 {
            return Ok(());
        }
        let members = clusters.iter().flat_map(|(cluster, urls)| {
            urls.iter()
                .map(move |url| ((*url).clone(), format!("cluster {cluster}")))
        });
        Err(BackupError::Clusters {
            members: members.collect(),
        })
    }

    pub(super) fn nobody(&self) -> BackupError {
        let why = |seen: &Seen| seen.unfit().unwrap_or_else(|| "it was tried".into());
        BackupError::NoMember {
            members: self
                .members
                .iter()
                .map(|seen| (seen.url.clone(), why(seen)))
                .collect(),
        }
    }
}

/// An alarm among the errors of a status, as `memberID:9372538179322589801 alarm:NOSPACE`.
fn alarm(error: &str) -> Option<Alarm> {
    let word = |key| {
        error
            .split_whitespace()
            .find_map(|word| word.strip_prefix(key))
    };
    let kind = match word("alarm:")? {
        "NOSPACE" => AlarmKind::NoSpace,
        "CORRUPT" => AlarmKind::Corrupt,
        _ => AlarmKind::Other(0),
    };
    // Zero, of all members, is left out of the text.
    let member = word("memberID:").map_or(Some(0), |id| id.parse().ok())?;
    Some(Alarm { member, kind })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use runbook_core::identity::MemberId;
    use runbook_core::version::EtcdVersion;
    use runbook_core::world::MemberStatus;

    use super::*;

    fn seen(port: u16, applied_index: u64, change: impl FnOnce(&mut Vitals)) -> Seen {
        let mut vitals = Vitals {
            status: MemberStatus {
                cluster: ClusterId(1),
                member: MemberId(port.into()),
                leader: Some(MemberId(1)),
                revision: 5,
                version: EtcdVersion::new(3, 5, 0),
                errors: Vec::new(),
            },
            learner: false,
            applied_index,
            database_bytes: 0,
            in_use_bytes: 0,
            quota_bytes: None,
        };
        change(&mut vitals);
        Seen {
            url: url(port),
            vitals: Ok(vitals),
        }
    }

    fn silent(port: u16) -> Seen {
        Seen {
            url: url(port),
            vitals: Err(AdapterError::new(
                "etcd-timeout",
                Certainty::NotDone,
                "silent",
            )),
        }
    }

    fn url(port: u16) -> EtcdUrl {
        EtcdUrl::new(format!("https://10.141.0.1:{port}")).unwrap()
    }

    fn choice(members: Vec<Seen>, tried: &[EtcdUrl]) -> Option<u16> {
        Survey { members }.choice(tried).map(|(url, _)| url.port())
    }

    #[test]
    fn the_member_that_has_come_furthest_is_asked() {
        assert_eq!(
            choice(vec![seen(2, 8, |_| ()), seen(3, 9, |_| ()), silent(4)], &[]),
            Some(3)
        );
        assert_eq!(
            choice(vec![seen(1, 9, |_| ()), seen(2, 9, |_| ())], &[]),
            Some(2),
            "not the leader"
        );
        assert_eq!(
            choice(vec![seen(2, 9, |_| ()), seen(3, 8, |_| ())], &[url(2)]),
            Some(3)
        );
        assert_eq!(choice(vec![seen(2, 9, |_| ())], &[url(2)]), None);
    }

    #[test]
    fn who_cannot_be_trusted_is_not_asked() {
        let with = |error: &str| {
            let error = error.to_owned();
            seen(7, 9, move |v| v.status.errors = vec![error])
                .unfit()
                .is_some()
        };
        assert!(seen(7, 9, |v| v.status.leader = None).unfit().is_some());
        assert!(seen(7, 9, |v| v.learner = true).unfit().is_some());
        assert!(silent(7).unfit().unwrap().contains("etcd-timeout"));
        assert!(with("etcdserver: no leader"));
        assert!(with("memberID:7 alarm:CORRUPT "));
        assert!(with("alarm:CORRUPT"));
        assert!(with("memberID:x alarm:CORRUPT"));
        assert!(!with("memberID:8 alarm:CORRUPT"));
        assert!(!with("memberID:7 alarm:NOSPACE "));
        let survey = Survey {
            members: vec![seen(7, 9, |v| {
                v.status.errors.push("memberID:7 alarm:NOSPACE ".into());
            })],
        };
        assert_eq!(survey.alarms(), ["NOSPACE on member 7"]);
    }

    #[test]
    fn two_clusters_are_not_backed_up_as_one() {
        let members = vec![
            seen(1, 1, |_| ()),
            seen(2, 1, |v| v.status.cluster = ClusterId(2)),
        ];
        assert_eq!(
            Survey { members }.one_cluster().unwrap_err().code(),
            "backup-clusters"
        );
        assert!(
            Survey {
                members: vec![seen(1, 1, |_| ()), silent(2)]
            }
            .one_cluster()
            .is_ok()
        );
    }

    proptest! {
        /// Whoever is chosen is fit and untried, and nobody fit and untried has come further.
        #[test]
        fn the_choice_is_the_best(
            kinds in prop::collection::vec((0..4u8, 0..6u64, prop::bool::ANY), 0..8),
        ) {
            let mut tried = Vec::new();
            let members: Vec<_> = (1u16..).zip(&kinds).map(|(port, (kind, index, was_tried))| {
                if *was_tried {
                    tried.push(url(port));
                }
                match kind {
                    0 => silent(port),
                    1 => seen(port, *index, |v| v.learner = true),
                    _ => seen(port, *index, |_| ()),
                }
            }).collect();
            let survey = Survey { members };
            let open: Vec<_> = survey.members.iter()
                .filter(|seen| seen.unfit().is_none() && !tried.contains(&seen.url))
                .map(|seen| seen.vitals.as_ref().unwrap().applied_index).collect();
            let chosen = survey.choice(&tried).map(|(_, vitals)| vitals.applied_index);
            prop_assert_eq!(chosen, open.iter().copied().max());
        }
    }
}
