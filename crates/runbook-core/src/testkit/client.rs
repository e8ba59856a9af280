//! etcd's client API, on whichever member serves.

use async_trait::async_trait;

use super::World;
use super::disk::{Data, Identity};
use super::effect::Effect;
use super::render;
use super::state::{Etcd, State, Store};
use super::work::{Finished, Progress, not_now, refused};
use crate::journal::Permit;
use crate::names::{EtcdUrl, MemberName};
use crate::plan::{Action, ClientEffect, Command};
use crate::ports::{EtcdClient, PortResult};
use crate::world::{HashKv, ListedMember, MemberStatus};

#[async_trait]
impl EtcdClient for World {
    fn render(&self, effect: &ClientEffect) -> PortResult<Vec<Command>> {
        Ok(render::client(effect))
    }

    async fn perform(&self, _: &Permit, effect: &ClientEffect) -> PortResult<()> {
        self.effect(Action::Client(effect.clone())).await
    }

    async fn credentials(&self) -> PortResult<String> {
        self.ask("the credentials", |_| {
            Ok("the fake world asks for none".into())
        })
        .await
    }

    async fn status(&self, url: &EtcdUrl) -> PortResult<MemberStatus> {
        let url = url.clone();
        self.ask("the status", move |state| {
            let (_, identity) = state.serving(&url)?;
            let quorum = state.running(identity.cluster) * 2 > identity.members.len();
            let leader = identity.members.iter().map(|(id, ..)| *id).min();
            let revision = state
                .stores
                .get(&identity.cluster)
                .map_or(0, |s| s.revision);
            Ok(MemberStatus {
                cluster: identity.cluster,
                member: identity.member,
                leader: leader.filter(|_| quorum),
                revision,
                version: state.setup.version,
                errors: Vec::new(),
            })
        })
        .await
    }

    async fn members(&self, url: &EtcdUrl) -> PortResult<Vec<ListedMember>> {
        let url = url.clone();
        self.ask("the members", move |state| {
            let (_, identity) = state.serving(&url)?;
            let listed = |(id, name, peer): &(_, MemberName, EtcdUrl)| ListedMember {
                id: *id,
                name: name.to_string(),
                peer_urls: vec![peer.to_string()],
                learner: false,
            };
            Ok(identity.members.iter().map(listed).collect())
        })
        .await
    }

    async fn alarms(&self, url: &EtcdUrl) -> PortResult<Vec<String>> {
        let url = url.clone();
        self.ask("the alarms", move |state| {
            state.serving(&url).map(|_| Vec::new())
        })
        .await
    }

    async fn hash_kv(&self, url: &EtcdUrl, revision: i64) -> PortResult<Option<HashKv>> {
        let url = url.clone();
        self.ask("the hash", move |state| {
            let (at, _) = state.serving(&url)?;
            let content = &state.setup.snapshot.content;
            let (first, hash, compact_revision) = match state.setup.restored_as() {
                None => (content.revision, content.hash_kv, content.compact_revision),
                Some(bumped) => (bumped.revision, bumped.hash_kv, bumped.revision),
            };
            let same = state.data(at) == Data::Restored && revision == first;
            let other = u32::try_from(revision.rem_euclid(1 << 31)).unwrap_or(0);
            Ok(Some(HashKv {
                hash: if same { hash } else { other },
                compact_revision,
            }))
        })
        .await
    }

    async fn count(&self, url: &EtcdUrl, prefix: &str, _: i64) -> PortResult<Option<u64>> {
        let (url, prefix) = (url.clone(), prefix.to_owned());
        self.ask("the keys", move |state| {
            let (at, _) = state.serving(&url)?;
            Ok(Some(state.keys(at, &prefix)))
        })
        .await
    }

    async fn get(&self, url: &EtcdUrl, key: &str) -> PortResult<Option<Vec<u8>>> {
        let (url, key) = (url.clone(), key.to_owned());
        self.ask("a key", move |state| {
            let (_, cluster) = state.quorum_through(&url)?;
            let value = state
                .stores
                .get(&cluster)
                .and_then(|s| s.canaries.get(&key));
            Ok(value.map(|value| value.clone().into_bytes()))
        })
        .await
    }
}

impl State {
    pub(super) fn client(&mut self, effect: &ClientEffect) -> PortResult<Progress> {
        let (ClientEffect::PutCanary { url, .. } | ClientEffect::DeleteCanary { url, .. }) = effect;
        let (at, cluster) = self.quorum_through(url)?;
        let store = self.stores.entry(cluster).or_default();
        let (changed, logged) = match effect {
            ClientEffect::PutCanary { key, value, .. } => {
                let before = store.canaries.insert(key.clone(), value.clone());
                (before.as_ref() != Some(value), Effect::CanaryPut)
            }
            ClientEffect::DeleteCanary { key, .. } => {
                (store.canaries.remove(key).is_some(), Effect::CanaryDeleted)
            }
        };
        bump_if(store, changed);
        if let ClientEffect::DeleteCanary { key, .. } = effect {
            self.scars.tidied.insert(key.clone());
        }
        if changed {
            self.log(Some(at), logged);
        } else {
            self.resent(Some(at), format!("{logged:?}"));
        }
        Ok(Finished)
    }

    /// The running member behind a client URL.
    pub(super) fn serving(&self, url: &EtcdUrl) -> PortResult<(usize, &Identity)> {
        let found = self
            .nodes
            .iter()
            .enumerate()
            .find(|(_, n)| n.client_url == *url);
        match found {
            Some((at, node)) => match &node.etcd {
                Etcd::Serving(identity, _) if !self.is_cut_off(at) => Ok((at, identity)),
                _ => Err(not_now(
                    "etcd-unreachable",
                    format!("{url} does not answer"),
                )),
            },
            None => Err(refused("etcd-unknown", format!("no member at {url}"))),
        }
    }

    fn data(&self, at: usize) -> Data {
        match &self.nodes[at].etcd {
            Etcd::Serving(_, data) => *data,
            _ => Data::Empty,
        }
    }

    fn keys(&self, at: usize, prefix: &str) -> u64 {
        let content = &self.setup.snapshot.content;
        let all = if prefix.is_empty() {
            content.live_keys
        } else {
            content.registry_keys
        };
        match self.data(at) {
            Data::Restored => all,
            Data::Old { .. } => all + 10,
            Data::Half => all / 2,
            Data::Empty => 0,
        }
    }
}

const fn bump_if(store: &mut Store, changed: bool) {
    if changed {
        store.revision += 1;
    }
}
