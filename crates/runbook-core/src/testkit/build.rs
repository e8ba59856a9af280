//! Building a world.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::World;
use super::disk::{Data, Disk, Identity, Thing, Tree};
use super::faults::{Drawer, Faults};
use super::incident::Scars;
use super::rng::Rng;
use super::state::{Etcd, NodeState, Power, Records, Setup, Sight, State, Store};
use super::time::Queue;
use super::{module, named, run_id};
use crate::digest::Digest;
use crate::identity::{self, MemberId};
use crate::names::{CategoryName, EtcdUrl, MemberName, NodeName};
use crate::platform::{ApiServerRole, Platform};
use crate::spec::{
    Allowances, DatanodeAgain, Deadlines, FullInstall, MemberSpec, RevisionBump, SPEC_FORMAT, Spec,
};
use crate::version::EtcdVersion;
use crate::world::{RecordedRevision, RecordedRevisions, SnapshotContent, SnapshotProof};

/// How a node is found when the world begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Found {
    /// Up, with a damaged database: etcd exits as soon as it is started.
    #[default]
    Damaged,
    /// Up, and its etcd answers.
    Serving,
    /// Up, with nothing at the spool path; etcd is down.
    NoSpool,
    /// Up, with an empty directory at the spool path; etcd is down.
    EmptySpool,
    /// Up, with a directory at the spool path that is none of etcd's; etcd is down.
    ForeignSpool,
    /// Up, with a file system of its own mounted at the spool path; etcd is down.
    MountPoint,
    /// Up, with the guard of another run at the spool path; etcd is down.
    Guarded,
    /// Off. What is on its disk is wiped before it matters.
    Off,
}

/// A world to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, set by a method of its own"
)]
pub struct Builder {
    found: Vec<Found>,
    reprovision: Vec<bool>,
    datanode: bool,
    category_datanode: bool,
    takes_guards_over: bool,
    recorded: Option<RecordedRevisions>,
    has_role: bool,
    seed: u64,
    version: EtcdVersion,
    revision_bump: RevisionBump,
    parallel: u16,
    image_has_spool: bool,
    missing_mount: Option<usize>,
    /// Short deadlines: a boot that never ends is given up sooner.
    brisk: bool,
    two_heads: bool,
    platform: Platform,
    full_install: FullInstall,
    cleared_at_boot: Option<usize>,
    image_locked: bool,
    head_node: Option<usize>,
    datanode_again: DatanodeAgain,
    /// The spec does not allow that a quorum is stopped.
    quorum_stays: bool,
}

/// What a kept history says nothing about.
impl Default for Builder {
    fn default() -> Self {
        World::of(3)
    }
}

impl World {
    /// A cluster of this many members that has lost its quorum: every node is up, its database
    /// damaged; it has `Etcd::Host` from an overlay, and is a data node. Nothing is reprovisioned.
    pub fn of(members: usize) -> Builder {
        Builder {
            found: vec![Found::default(); members],
            reprovision: vec![false; members],
            datanode: true,
            category_datanode: false,
            takes_guards_over: false,
            recorded: None,
            has_role: true,
            seed: 0,
            version: EtcdVersion::new(3, 4, 23),
            revision_bump: RevisionBump::Auto,
            parallel: 3,
            image_has_spool: false,
            missing_mount: None,
            brisk: false,
            two_heads: false,
            platform: Platform {
                release: Some("9.2".into()),
                api_server_role: Some(ApiServerRole {
                    overlay: named("kube-default-master"),
                    nodes: (0..members).map(node_name).collect(),
                }),
                ..Platform::default()
            },
            full_install: FullInstall::DatanodeNo,
            cleared_at_boot: None,
            image_locked: false,
            head_node: None,
            datanode_again: DatanodeAgain::default(),
            quorum_stays: false,
        }
    }
}

impl Builder {
    /// The seed of every latency.
    #[must_use]
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// How the node at this place, counted from 0, is found.
    #[must_use]
    pub fn node(mut self, at: usize, found: Found) -> Self {
        self.found[at] = found;
        self
    }

    /// How every node is found.
    #[must_use]
    pub fn every_node(mut self, found: Found) -> Self {
        self.found.fill(found);
        self
    }

    /// Which nodes the spec reprovisions, by place.
    #[must_use]
    pub fn reprovision(mut self, places: &[usize]) -> Self {
        for at in places {
            self.reprovision[*at] = true;
        }
        self
    }

    /// The spec reprovisions every node.
    #[must_use]
    pub fn reprovision_all(mut self) -> Self {
        self.reprovision.fill(true);
        self
    }

    /// Whether `datanode` is set on the nodes.
    #[must_use]
    pub const fn datanode(mut self, value: bool) -> Self {
        self.datanode = value;
        self
    }

    /// Sets `datanode` on the category; the spec allows to lower it.
    #[must_use]
    pub const fn category_datanode(mut self) -> Self {
        self.category_datanode = true;
        self
    }

    /// The spec takes over the guards of the run that [`Found::Guarded`] is about.
    #[must_use]
    pub const fn takes_guards_over(mut self) -> Self {
        self.takes_guards_over = true;
        self
    }

    /// The role was taken away before.
    #[must_use]
    pub const fn without_role(mut self) -> Self {
        self.has_role = false;
        self
    }

    /// The etcd release on the nodes, and how far the spec moves the revision.
    #[must_use]
    pub const fn version(mut self, version: EtcdVersion, bump: RevisionBump) -> Self {
        self.version = version;
        self.revision_bump = bump;
        self
    }

    /// The highest revision on record beside the snapshot.
    #[must_use]
    pub const fn recorded(mut self, revision: i64) -> Self {
        let at = jiff::Timestamp::UNIX_EPOCH;
        let highest = RecordedRevision { revision, at };
        self.recorded = Some(RecordedRevisions { highest, own: None });
        self
    }

    /// How many members the spec has worked on at once.
    #[must_use]
    pub const fn parallel(mut self, parallel: u16) -> Self {
        self.parallel = parallel;
        self
    }

    /// The image brings an empty directory at the spool path.
    #[must_use]
    pub const fn image_has_spool(mut self) -> Self {
        self.image_has_spool = true;
        self
    }

    /// The node at this place does not see the snapshot.
    #[must_use]
    pub const fn missing_mount(mut self, at: usize) -> Self {
        self.missing_mount = Some(at);
        self
    }

    /// The spec has short deadlines, for worlds in which boots never end.
    #[must_use]
    pub const fn brisk(mut self) -> Self {
        self.brisk = true;
        self
    }

    /// Without what is on or off in a world at choice.
    #[must_use]
    pub fn plain(mut self) -> Self {
        self.category_datanode = false;
        self.image_has_spool = false;
        self.parallel = 1;
        self
    }

    /// How many members it has.
    pub fn members(&self) -> usize {
        self.found.len()
    }

    /// There are two head nodes; the one in seat 0 is active, see [`World::fail_over`].
    #[must_use]
    pub const fn two_heads(mut self) -> Self {
        self.two_heads = true;
        self
    }

    /// The spec has the installers' questions answered, and `datanode` never lowered.
    #[must_use]
    pub const fn confirm(mut self) -> Self {
        self.full_install = FullInstall::Confirm;
        self
    }

    /// Somebody has set `blockdevicesclearedonnextboot` on the node at this place.
    #[must_use]
    pub const fn cleared_at_boot(mut self, at: usize) -> Self {
        self.cleared_at_boot = Some(at);
        self
    }

    /// The software image of the nodes is locked.
    #[must_use]
    pub const fn locked_image(mut self) -> Self {
        self.image_locked = true;
        self
    }

    /// The node at this place is a head node.
    #[must_use]
    pub const fn head_node(mut self, at: usize) -> Self {
        self.head_node = Some(at);
        self
    }

    /// When the spec makes the members data nodes again.
    #[must_use]
    pub const fn datanode_again(mut self, when: DatanodeAgain) -> Self {
        self.datanode_again = when;
        self
    }

    /// The spec gives no leave to stop a quorum that answers.
    #[must_use]
    pub const fn quorum_stays(mut self) -> Self {
        self.quorum_stays = true;
        self
    }

    /// What the cluster manager says of itself; nodes in `static_pods` have the manifest of one.
    #[must_use]
    pub fn platform(mut self, platform: Platform) -> Self {
        self.platform = platform;
        self
    }

    /// The world.
    pub fn build(self) -> World {
        let spec = self.spec();
        let names: Vec<NodeName> = spec.members.iter().map(|m| m.node.clone()).collect();
        let category: CategoryName = named("default");
        let setup = self.setup(spec);
        let old = old_identities(&names);
        let nodes: Vec<NodeState> = (0..names.len())
            .map(|at| self.node_state(at, &names[at], &old[at], &setup))
            .collect();
        let serves = self.found.contains(&Found::Serving);
        let revision = setup.snapshot.content.revision + 500;
        let store = Store {
            revision,
            ..Store::default()
        };
        let stores = serves.then(|| (old[0].cluster, store));
        let overlay: BTreeSet<NodeName> = names.iter().filter(|_| self.has_role).cloned().collect();
        let each = |value: bool| names.iter().map(move |name| (name.clone(), value));
        let records = Records {
            overlay,
            datanode: each(self.datanode).collect(),
            mode: names.iter().map(|name| (name.clone(), None)).collect(),
            categories: BTreeMap::from([(category, self.category_datanode)]),
        };
        World::from_state(State {
            now: Duration::ZERO,
            active: self.two_heads.then_some(0),
            queue: Queue::default(),
            rng: Rng::new(self.seed),
            setup,
            nodes,
            records,
            stale: None,
            lag: None,
            stores: stores.into_iter().collect(),
            tickets: BTreeMap::new(),
            next_ticket: 0,
            faults: Drawer::new(Faults::default()),
            late_writes: None,
            orphans_land: false,
            log: Vec::new(),
            violations: Vec::new(),
            proofs: 0,
            undone_proofs: 0,
            snapshot_lost: false,
            scars: Scars::new(self.has_role),
            etcd_servers_lost: false,
            image_locked: self.image_locked,
            busy: false,
        })
    }

    fn setup(&self, spec: Spec) -> Setup {
        Setup {
            snapshot: SnapshotProof {
                path: spec.snapshot.clone(),
                size_bytes: 20_480_032,
                sha256: Digest::of(b"the snapshot"),
                trailer: true,
                modified: "2024-11-27T17:30:00Z".parse().ok(),
                taken: None,
                content: SnapshotContent {
                    revision: 20_231,
                    live_keys: 20_007,
                    registry_keys: 20_000,
                    compact_revision: -1,
                    kinds: [("pods", 15_000), ("events", 4_400), ("secrets", 600)]
                        .map(|(kind, count)| (kind.to_owned(), count))
                        .into(),
                    hash_kv: 1_234_567,
                    bumped: None,
                    alarms: Vec::new(),
                    auth_enabled: false,
                    cluster_version: Some("3.4.0".into()),
                },
            },
            spec,
            overlay: named("kube-default-etcd"),
            spool: named("/var/lib/etcd"),
            recorded: self.recorded,
            platform: self.platform.clone(),
            version: self.version,
            image_has_spool: self.image_has_spool,
        }
    }

    fn spec(&self) -> Spec {
        let all_off = self.found.iter().all(|found| *found == Found::Off);
        let mut allow = Allowances::default();
        if self.found.contains(&Found::Serving) && !self.quorum_stays {
            allow.quorum = Some("the fake world wants it".into());
        }
        if self.category_datanode {
            let reason = "the fake world wants it".into();
            allow.category_datanode.insert(named("default"), reason);
        }
        if self.takes_guards_over {
            allow.guards.insert(run_id(99), "it was abandoned".into());
        }
        let members = self.reprovision.iter().enumerate();
        let members = members.map(|(at, reprovision)| MemberSpec {
            node: node_name(at),
            reprovision: *reprovision,
            client_url: None,
            peer_url: None,
        });
        Spec {
            format: SPEC_FORMAT,
            cluster: named("default"),
            overlay: None,
            snapshot: named("/cm/shared/backup/etcd/etcd-node001-20260101000000"),
            members: members.collect(),
            module: all_off.then(|| module(self.version)),
            etcd_version: None,
            service: named("etcd"),
            owner: named("etcd:etcd"),
            full_install: self.full_install,
            revision_bump: self.revision_bump,
            datanode_again: self.datanode_again,
            parallel: self.parallel,
            deadlines: if self.brisk {
                brisk()
            } else {
                Deadlines::default()
            },
            allow,
        }
    }

    fn node_state(&self, at: usize, name: &NodeName, old: &Identity, setup: &Setup) -> NodeState {
        let found = self.found[at];
        let mut disk = Disk::default();
        let sound = found == Found::Serving;
        match found {
            Found::Damaged | Found::Serving | Found::Off => {
                disk.put(&setup.spool, Thing::Tree(old_tree(at, old, sound)));
            }
            Found::EmptySpool => disk.put(&setup.spool, Thing::EmptyDirectory),
            Found::ForeignSpool => disk.put(&setup.spool, Thing::ForeignDirectory),
            Found::MountPoint => disk.put(&setup.spool, Thing::MountPoint),
            Found::Guarded => disk.put(&setup.spool, Thing::Guard(run_id(99))),
            Found::NoSpool => {}
        }
        let etcd = match found {
            Found::Serving if self.has_role => {
                Etcd::Serving(old.clone(), Data::Old { sound: true })
            }
            Found::Damaged if self.has_role => Etcd::Failing,
            _ => Etcd::Stopped,
        };
        let power = if found == Found::Off {
            Power::Off
        } else {
            Power::Up { ssh: true }
        };
        NodeState {
            name: name.clone(),
            member: named(name.as_str()),
            peer_url: url(at, 2380),
            client_url: url(at, 2379),
            category: named("default"),
            head: self.head_node == Some(at),
            power,
            was: (Duration::ZERO, power, None),
            cut_off_until: None,
            step: None,
            asking: false,
            sent: false,
            hung: false,
            installed: false,
            half_laid: false,
            bmc_dead: false,
            cleared_at_boot: (self.cleared_at_boot == Some(at))
                .then(|| "/dev/sda".to_owned())
                .into_iter()
                .collect(),
            epoch: 1,
            disk,
            limited: etcd == Etcd::Failing,
            etcd,
            snapshot: if self.missing_mount == Some(at) {
                Sight::Missing
            } else {
                Sight::Shared
            },
            job: None,
            job_said: None,
            wipes: 0,
            wipes_of_run: 0,
            installs: 0,
            wiped_in_boot: false,
            wiped_by_run: false,
            restored: false,
            begins_off: found == Found::Off,
            begins_datanode: self.datanode,
            stuck: false,
        }
    }
}

fn brisk() -> Deadlines {
    Deadlines {
        reprovision_s: 400,
        restore_s: 200,
        start_s: 200,
        ..Deadlines::default()
    }
}

fn node_name(at: usize) -> NodeName {
    named(&format!("node{:03}", at + 1))
}

fn url(at: usize, port: u16) -> EtcdUrl {
    named(&format!("https://10.141.0.{}:{port}", at + 1))
}

fn old_identities(names: &[NodeName]) -> Vec<Identity> {
    let members: Vec<(MemberId, MemberName, EtcdUrl)> = names
        .iter()
        .enumerate()
        .map(|(at, name)| {
            let peer = url(at, 2380);
            let id = identity::member_id(std::slice::from_ref(&peer), "etcd-cluster");
            (id, named(name.as_str()), peer)
        })
        .collect();
    let ids: Vec<MemberId> = members.iter().map(|(id, ..)| *id).collect();
    let cluster = identity::cluster_id(&ids);
    let identity = |member: &MemberId| Identity {
        cluster,
        member: *member,
        members: members.clone(),
    };
    ids.iter().map(identity).collect()
}

fn old_tree(at: usize, identity: &Identity, sound: bool) -> Tree {
    Tree {
        data: Data::Old { sound },
        identity: identity.clone(),
        owner: "etcd:etcd".into(),
        mode: 0o700,
        strangers: 0,
        db: Digest::of(format!("old {at}").as_bytes()),
    }
}
