//! The state of the world, and what happens in it by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::disk::{Data, Disk, Identity, Thing, Tree};
use super::effect::{Effect, Logged};
use super::faults::Drawer;
use super::incident::Scars;
use super::rng::Rng;
use super::time::{Due, Queue};
use super::work::Ticket;
use crate::identity::ClusterId;
use crate::names::{AbsPath, CategoryName, EtcdUrl, MemberName, NodeName, OverlayName, Owner};
use crate::plan::RestoreEffect;
use crate::platform::Platform;
use crate::spec::Spec;
use crate::version::EtcdVersion;
use crate::world::{
    BumpRule, Bumped, InstallMode, InstallerStep, RecordedRevisions, SnapshotProof,
};

/// What does not change while the world turns.
#[derive(Debug)]
pub(super) struct Setup {
    pub(super) spec: Spec,
    pub(super) overlay: OverlayName,
    pub(super) spool: AbsPath,
    pub(super) version: EtcdVersion,
    pub(super) snapshot: SnapshotProof,
    pub(super) recorded: Option<RecordedRevisions>,
    pub(super) platform: Platform,
    /// Whether the image brings an empty directory at the spool path.
    pub(super) image_has_spool: bool,
}

/// What the cluster manager keeps in its database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Records {
    pub(super) overlay: BTreeSet<NodeName>,
    pub(super) datanode: BTreeMap<NodeName, bool>,
    pub(super) mode: BTreeMap<NodeName, Option<InstallMode>>,
    pub(super) categories: BTreeMap<CategoryName, bool>,
}

#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, and none excludes another"
)]
pub(super) struct NodeState {
    pub(super) name: NodeName,
    pub(super) member: MemberName,
    pub(super) peer_url: EtcdUrl,
    pub(super) client_url: EtcdUrl,
    pub(super) category: CategoryName,
    /// A head node: never provisioned, and without the properties that say how.
    pub(super) head: bool,
    pub(super) power: Power,
    /// What it was before, with its installer's step then, and when it changed.
    pub(super) was: (Duration, Power, Option<InstallerStep>),
    /// Nothing gets through between it and the head node until then; what runs on it goes on.
    pub(super) cut_off_until: Option<Duration>,
    /// Where its installer is, while it runs.
    pub(super) step: Option<InstallerStep>,
    /// The installer waits for leave to install FULL.
    pub(super) asking: bool,
    /// A run has told it to reboot, with FULL set, and it has not come as far as its installer.
    pub(super) sent: bool,
    /// Down with its power on.
    pub(super) hung: bool,
    /// Its boot came by its installer.
    pub(super) installed: bool,
    /// What is on its disk does not boot: an installation has wiped it, and is not over.
    pub(super) half_laid: bool,
    /// The power control does not answer.
    pub(super) bmc_dead: bool,
    /// `blockdevicesclearedonnextboot`.
    pub(super) cleared_at_boot: Vec<String>,
    /// Counts boots and losses of power: what was on its way for an earlier one does not arrive.
    pub(super) epoch: u64,
    pub(super) disk: Disk,
    pub(super) etcd: Etcd,
    /// Failed starts have used up systemd's limit: no further one before they are cleared, or a boot.
    pub(super) limited: bool,
    pub(super) snapshot: Sight,
    pub(super) job: Option<Box<RestoreEffect>>,
    pub(super) job_said: Option<String>,
    pub(super) wipes: u32,
    /// Those since the run began.
    pub(super) wipes_of_run: u32,
    /// Those of the run that came to their end: it came up with a fresh disk.
    pub(super) installs: u32,
    pub(super) wiped_in_boot: bool,
    /// A run has wiped it: the point of no return.
    pub(super) wiped_by_run: bool,
    /// A restore of the run is on its disk.
    pub(super) restored: bool,
    /// It was off when the world began.
    pub(super) begins_off: bool,
    /// It was a data node by itself when the world began.
    pub(super) begins_datanode: bool,
    /// Its boot has come to a stand.
    pub(super) stuck: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Power {
    Off,
    /// Up; ssh answers or does not yet.
    Up {
        ssh: bool,
    },
    /// Told to reboot: still up, and of the same boot.
    GoingDown,
    /// The status word.
    Booting(&'static str),
    /// `INSTALLER_FAILED`.
    Failed,
    /// `INSTALLER_UNREACHABLE`.
    Unreachable,
}

/// What the cluster manager shows of a node.
pub(super) type Shown = (Power, Option<InstallerStep>);

impl NodeState {
    /// Another power, which the cluster manager may be slow to see.
    pub(super) fn turns(&mut self, now: Duration, power: Power) {
        if self.power != power {
            self.was = (now, self.power, self.step);
            self.power = power;
        }
    }
}

/// How a node sees the snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sight {
    /// On shared storage.
    Shared,
    /// On its own disk, which a FULL provisioning wipes.
    OwnDisk,
    Missing,
}

/// The etcd process of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Etcd {
    Stopped,
    /// It exits and is started again, over and over.
    Failing,
    Serving(Identity, Data),
}

/// What happens by itself; the number is the node's epoch.
#[derive(Debug, Clone, Copy)]
pub(super) enum Happening {
    /// A request's next step.
    Step(u64),
    Boot(usize, u64, Stage),
    /// The cluster manager compares the role with the service.
    Reconcile(usize, u64),
    JobEnds(usize, u64),
    ClearsMode(usize, u64),
    /// The network between a node and the head node is whole again.
    Rejoins(usize),
    /// API servers meet the etcd that serves there.
    Met(usize, u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Down,
    Booting,
    Installing,
    CallingInit,
    Pingable,
    Up,
}

/// The keys of a running cluster that a run writes and reads.
#[derive(Debug, Clone, Default)]
pub(super) struct Store {
    pub(super) revision: i64,
    pub(super) canaries: BTreeMap<String, String>,
}

#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, and none excludes another"
)]
pub(super) struct State {
    pub(super) now: Duration,
    /// Which of two head nodes is the active one; none where there is only one.
    pub(super) active: Option<usize>,
    pub(super) queue: Queue,
    pub(super) rng: Rng,
    pub(super) setup: Setup,
    pub(super) nodes: Vec<NodeState>,
    pub(super) records: Records,
    /// The records before the last change, and when that was.
    pub(super) stale: Option<(Duration, Records)>,
    /// The status that is shown of each node, and until when, where it lags behind what is.
    pub(super) lag: Option<(Duration, Vec<Shown>)>,
    pub(super) stores: BTreeMap<ClusterId, Store>,
    pub(super) tickets: BTreeMap<u64, Ticket>,
    pub(super) next_ticket: u64,
    pub(super) faults: Drawer,
    /// The cluster manager answers no write, and does it so much later.
    pub(super) late_writes: Option<Duration>,
    /// Whether a request whose caller died still arrives.
    pub(super) orphans_land: bool,
    pub(super) log: Vec<Logged>,
    pub(super) violations: Vec<String>,
    pub(super) snapshot_lost: bool,
    pub(super) scars: Scars,
    /// Nobody tells the API servers of etcd any more.
    pub(super) etcd_servers_lost: bool,
    /// Proofs of the snapshot since the run began.
    pub(super) proofs: u32,
    /// Those of the run that is taken back: a boot by hand may find FULL as it had set it.
    pub(super) undone_proofs: u32,
    /// The software image of every node is locked.
    pub(super) image_locked: bool,
    /// Other nodes are before these at the provisioning node.
    pub(super) busy: bool,
}

impl State {
    pub(super) fn after(&mut self, from_ms: u64, to_ms: u64, happening: Happening) {
        let at = self.now + self.rng.millis(from_ms, to_ms);
        self.queue.push(at, Due::Happening(happening));
    }

    pub(super) fn log(&mut self, node: Option<usize>, effect: Effect) {
        let node = node.map(|at| self.nodes[at].name.clone());
        self.log.push(Logged {
            at: self.now,
            node,
            effect,
        });
    }

    pub(super) fn broken(&mut self, rule: impl Into<String>) {
        let line = format!("{:.3?}: {}", self.now, rule.into());
        self.violations.push(line);
    }

    pub(super) fn index(&self, node: &NodeName) -> Option<usize> {
        self.nodes.iter().position(|n| n.name == *node)
    }

    pub(super) fn holds_role(&self, at: usize) -> bool {
        self.records.overlay.contains(&self.nodes[at].name)
    }

    /// Whether a FULL provisioning of the node asks first.
    pub(super) fn is_data_node(&self, node: &NodeState) -> bool {
        node.head || self.records.datanode[&node.name] || self.records.categories[&node.category]
    }

    /// Remembers the records, for answers that come late.
    pub(super) fn remember(&mut self) {
        self.stale = Some((self.now, self.records.clone()));
    }

    pub(super) fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Step(ticket) => self.step(ticket),
            Happening::Boot(at, epoch, stage) if self.nodes[at].epoch == epoch => {
                self.boot(at, stage);
            }
            Happening::Reconcile(at, epoch) if self.nodes[at].epoch == epoch => self.reconcile(at),
            Happening::JobEnds(at, epoch) if self.nodes[at].epoch == epoch => self.job_ends(at),
            Happening::ClearsMode(at, epoch) if self.nodes[at].epoch == epoch => {
                self.clear_mode(at);
            }
            Happening::Rejoins(at) => self.rejoins(at),
            Happening::Met(at, epoch) if self.nodes[at].epoch == epoch => self.watch_workloads(at),
            // Of a boot that is over.
            Happening::Met(..)
            | Happening::Boot(..)
            | Happening::Reconcile(..)
            | Happening::JobEnds(..)
            | Happening::ClearsMode(..) => {}
        }
    }

    /// The cluster manager starts etcd where the role is and stops it where it is not.
    fn reconcile(&mut self, at: usize) {
        // Cut off from the head node it hears of no role that was given or taken.
        if self.nodes[at].power != (Power::Up { ssh: true }) || self.is_cut_off(at) {
            return;
        }
        let epoch = self.nodes[at].epoch;
        let serving = matches!(self.nodes[at].etcd, Etcd::Serving(..));
        if !self.holds_role(at) {
            if self.nodes[at].etcd != Etcd::Stopped {
                self.nodes[at].etcd = Etcd::Stopped;
                self.log(Some(at), Effect::EtcdStopped);
            }
        } else if !serving {
            self.start_etcd(at);
            self.after(5_000, 15_000, Happening::Reconcile(at, epoch));
        }
    }

    pub(super) fn start_etcd(&mut self, at: usize) {
        let spool = self.setup.spool.clone();
        let owner = self.setup.spec.owner.clone();
        if self.nodes[at].limited {
            return self.log(Some(at), Effect::EtcdRefuses);
        }
        let as_found = self.began_empty(at) && self.scars.given_back.contains(&at);
        if !as_found {
            self.watch_start(at);
        }
        self.scars.at(at).started_excused = as_found || self.scars.excuses(at);
        let node = &mut self.nodes[at];
        match node.disk.at(&spool) {
            None | Some(Thing::EmptyDirectory) => {
                let identity = empty_identity();
                node.etcd = Etcd::Serving(identity.clone(), Data::Empty);
                node.disk
                    .put(&spool, Thing::Tree(empty_tree(identity, &owner)));
            }
            Some(Thing::Tree(tree))
                if tree.owner == owner.as_str()
                    && tree.mode == 0o700
                    && tree.data != (Data::Old { sound: false }) =>
            {
                node.etcd = Etcd::Serving(tree.identity.clone(), tree.data);
                let digest = crate::digest::Digest::of(tree.db.hex().as_bytes());
                if let Some(tree) = node.disk.tree_mut(&spool) {
                    tree.db = digest;
                }
            }
            Some(_) => {
                node.etcd = Etcd::Failing;
                node.limited = true;
            }
        }
        let Etcd::Serving(identity, data) = &node.etcd else {
            return self.log(Some(at), Effect::EtcdRefuses);
        };
        let (cluster, data) = (identity.cluster, *data);
        let revision = self.first_revision(data);
        self.stores.entry(cluster).or_insert_with(|| Store {
            revision,
            ..Store::default()
        });
        self.log(Some(at), Effect::EtcdServes);
        let epoch = self.nodes[at].epoch;
        self.after(500, 10_000, Happening::Met(at, epoch));
    }

    /// Counts what a run may do once anew.
    pub(super) fn begins_a_run(&mut self, undo: bool) {
        let proofs = std::mem::take(&mut self.proofs);
        self.undone_proofs = if undo { proofs } else { 0 };
        self.scars.tidied.clear();
        for at in 0..self.nodes.len() {
            (self.nodes[at].wipes_of_run, self.nodes[at].installs) = (0, 0);
            self.nodes[at].restored = false;
            self.scars.at(at).restored_lost = false;
            self.scars.at(at).disk_by_hand = false;
        }
        self.scars.all_held = undo;
        if undo {
            self.scars.given_back = std::mem::take(&mut self.scars.empty_at_stop);
            self.scars.found_empty = self.scars.given_back.clone();
        } else {
            self.scars.given_back.clear();
            self.scars.empty_at_stop.clear();
            self.scars.found_empty = self.empty_begun();
        }
        if !self.log.is_empty() {
            self.log(None, Effect::AnotherRun);
        }
    }

    fn first_revision(&self, data: Data) -> i64 {
        let snapshot = self.setup.snapshot.content.revision;
        match data {
            Data::Old { .. } => snapshot + 500,
            Data::Restored | Data::Half => {
                let bumped = self.setup.restored_as();
                bumped.map_or(snapshot, |bumped| bumped.revision)
            }
            Data::Empty => 1,
        }
    }
}

impl Setup {
    /// What a restore with this rule makes of the snapshot.
    pub(super) fn bumped(&self, rule: BumpRule) -> Bumped {
        let content = &self.snapshot.content;
        let by = rule.amount(content.revision);
        Bumped {
            by,
            revision: content
                .revision
                .saturating_add(i64::try_from(by).unwrap_or(i64::MAX)),
            hash_kv: content.hash_kv + 1,
        }
    }

    /// What a restore with this spec makes of the snapshot, where the release can.
    pub(super) fn restored_as(&self) -> Option<Bumped> {
        let rule = self.spec.revision_bump.rule(self.recorded)?;
        self.version.has_revision_bump().then(|| self.bumped(rule))
    }
}

/// What etcd makes for itself where it finds nothing.
fn empty_tree(identity: Identity, owner: &Owner) -> Tree {
    Tree {
        data: Data::Empty,
        identity,
        owner: owner.to_string(),
        mode: 0o700,
        strangers: 0,
        db: crate::digest::Digest::of(b"empty"),
    }
}

fn empty_identity() -> Identity {
    Identity {
        cluster: ClusterId(0xdead),
        member: crate::identity::MemberId(0xdead),
        members: Vec::new(),
    }
}
