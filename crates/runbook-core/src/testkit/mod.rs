//! A stateful fake world for tests: a cluster manager, nodes with disks, and etcd.
//!
//! It stands behind the same ports as the real adapters, and it is not kind: every call takes a
//! seeded time, a node that is told to reboot stays up for a while, `UP` comes before ssh, a FULL
//! installation really wipes the disk, and where the role is given too early an etcd **does** start
//! empty. Time is virtual and leaps from one thing due to the next, so a run of an hour takes
//! milliseconds, and the same seed gives the same run.
//!
//! A watcher looks at everything that happens and notes each broken rule: [`World::verdict`].
//! [`Lives`] runs a plan through as many crashes as a test likes.
//!
//! ```
//! use runbook_core::testkit::{Lives, Mortal, World};
//!
//! let world = World::of(3).reprovision_all().build();
//! let mut lives = Lives::of(&world);
//! lives.live(Mortal::after(200));          // dies at its 200th await
//! lives.live(Mortal::never());             // and goes on
//! lives.completed().expect("the cluster is back, and no rule was broken");
//! ```

mod audit;
mod boot;
mod build;
mod client;
mod desk;
mod disk;
mod effect;
mod faults;
mod heard;
mod incident;
mod lives;
mod manager;
mod mend;
mod node;
mod platter;
mod ports;
mod render;
mod rng;
mod seat;
pub mod sim;
mod state;
mod time;
mod tool;
mod watch;
mod work;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use build::{Builder, Found};
pub use desk::{Desk, Luck};
use disk::Thing;
pub use effect::{Effect, Logged};
pub use faults::{Fault, FaultKinds, Faults};
pub use incident::Incident;
pub use lives::{InFlight, Life, Lives, Mortal};
pub use platter::{Opening, Tear};
use state::State;

use crate::digest::Digest;
use crate::journal::{
    Actor, Baseline, Entry, JOURNAL_FORMAT, Journal, JournalError, MemoryStore, Permit,
};
use crate::names::{ModuleName, NodeName, RunId, UnitId};
use crate::observe::{ObserveError, observe};
use crate::plan::{Draft, PlanError, SealedPlan};
use crate::ports::Ports;
use crate::spec::Spec;
use crate::version::EtcdVersion;

/// A fake world; clones are the same world.
#[derive(Clone)]
pub struct World(Arc<Mutex<State>>);

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.state();
        write!(f, "World({} nodes, {:?})", state.nodes.len(), state.now)
    }
}

/// Why a world gives no plan.
#[derive(Debug, thiserror::Error)]
pub enum NoPlan {
    /// It cannot be observed.
    #[error(transparent)]
    Observe(#[from] ObserveError),
    /// It does not allow the restore.
    #[error(transparent)]
    Plan(#[from] PlanError),
}

impl World {
    fn from_state(state: State) -> Self {
        Self(Arc::new(Mutex::new(state)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The spec of a restore of this world's cluster.
    pub fn spec(&self) -> Spec {
        self.state().setup.spec.clone()
    }

    /// What [`observe`] sees now.
    ///
    /// # Errors
    /// As [`observe`].
    pub fn observed(&self) -> Result<crate::world::World, ObserveError> {
        self.drive(observe(&self.ports(), &self.spec()))
    }

    /// The plan of a restore, sealed.
    ///
    /// # Errors
    /// [`NoPlan`] when the world cannot be observed or does not allow it.
    pub fn plan(&self, run: RunId) -> Result<SealedPlan, NoPlan> {
        self.plan_through(&self.ports(), run)
    }

    /// The same, as other ports on this world see it.
    ///
    /// # Errors
    /// As [`World::plan`].
    pub fn plan_through(&self, ports: &Ports, run: RunId) -> Result<SealedPlan, NoPlan> {
        let spec = self.spec();
        let observed = self.drive(observe(ports, &spec))?;
        Ok(Draft::restore(&spec, &observed, run)?.seal(ports)?)
    }

    /// The spec of the plans to come takes over the guards of these runs, and a quorum that answers.
    pub fn allow(&self, runs: &[RunId]) {
        let allow = &mut self.state().setup.spec.allow;
        allow.quorum = Some("it was abandoned half-way".into());
        for run in runs {
            allow.guards.insert(*run, "it was abandoned".into());
        }
    }

    /// From here on the ports misbehave.
    pub fn misbehave(&self, faults: Faults) {
        self.state().faults = faults::Drawer::new(faults);
    }

    /// How many faults are left.
    pub fn faults_left(&self) -> u32 {
        self.state().faults.left()
    }

    /// Virtual time since the world began.
    pub fn now(&self) -> Duration {
        self.state().now
    }

    /// Everything that has happened.
    pub fn log(&self) -> Vec<Logged> {
        self.state().log.clone()
    }

    /// The rules that were broken, each with its time; empty in a world that is well.
    pub fn violations(&self) -> Vec<String> {
        self.state().violations.clone()
    }

    /// Whether no rule was broken.
    ///
    /// # Errors
    /// The broken rules and everything that happened, as text.
    pub fn verdict(&self) -> Result<(), String> {
        let broken = self.violations();
        if broken.is_empty() {
            return Ok(());
        }
        Err(format!("{}\n{}", broken.join("\n"), self.story()))
    }

    /// Everything that has happened, as text.
    pub fn story(&self) -> String {
        let log = self.log();
        let lines: Vec<String> = log.iter().map(ToString::to_string).collect();
        lines.join("\n")
    }

    /// Whether no effect of a run happened twice on the same disk. A request that is sent again and
    /// changes nothing is none.
    ///
    /// # Errors
    /// What was repeated, as text.
    pub fn repeated(&self) -> Result<(), String> {
        let (mut seen, mut wipes) = (BTreeSet::new(), BTreeMap::new());
        for logged in self.log() {
            // Behind somebody else's hand, a power cut or a failure it may be needed once more on that node.
            match logged.effect {
                Effect::Incident(
                    Incident::ManagerRestarts | Incident::FailsOver | Incident::ClockJumps(_),
                ) => {}
                Effect::AnotherRun => seen.clear(),
                Effect::Incident(_)
                | Effect::Mended
                | Effect::InstallerLost
                | Effect::PowerLost
                | Effect::RestoreFailed => {
                    seen.retain(|(node, ..): &(Option<_>, _, _)| {
                        node.is_some() && *node != logged.node
                    });
                }
                _ => {}
            }
            seen.retain(|(node, _, done): &(_, _, Effect)| {
                *node != logged.node || !logged.effect.undoes(done)
            });
            if logged.effect == Effect::Wiped {
                *wipes.entry(logged.node.clone()).or_insert(0) += 1;
            }
            let disk = wipes.get(&logged.node).copied().unwrap_or(0);
            let key = (logged.node.clone(), disk, logged.effect.clone());
            if logged.effect.is_ours() && !seen.insert(key) {
                return Err(format!("repeated: {logged}"));
            }
        }
        Ok(())
    }

    /// The nodes that hold restored data and are no data nodes.
    pub fn exposed(&self) -> BTreeSet<NodeName> {
        let state = self.state();
        let nodes = state.nodes.iter();
        nodes
            .filter(|node| node.disk.things().any(Thing::is_restored) && !state.is_data_node(node))
            .map(|node| node.name.clone())
            .collect()
    }

    /// Whether a restore has reached its goal: every member serves the snapshot, is a data node, and
    /// nothing is left to wipe it.
    ///
    /// # Errors
    /// What is missing, as text.
    pub fn restored(&self) -> Result<(), String> {
        let missing = self.state().unfinished();
        if missing.is_empty() {
            Ok(())
        } else {
            Err(missing.join("; "))
        }
    }
}

/// A run id that is the same in every test.
pub fn run_id(number: u16) -> RunId {
    let text = format!("01936f6e-0000-7000-8000-{number:012x}");
    RunId::parse(&text).unwrap_or_else(|_| unreachable!("it is a UUID"))
}

/// Leave to change the world for one unit, minted through a journal in memory: for tests of
/// adapters, whose `perform` takes one.
///
/// # Errors
/// [`JournalError`], which memory is not known to give.
pub fn permit(unit: &UnitId) -> Result<Permit, JournalError> {
    let opened = Entry::Opened {
        format: JOURNAL_FORMAT,
        run: run_id(0),
        plan: Digest::of(b"no plan"),
        by: actor(),
    };
    let at = jiff::Timestamp::UNIX_EPOCH;
    let mut journal = Journal::begin(Box::new(MemoryStore::default()), at, opened)?;
    journal.intend(at, unit, Baseline::default())
}

/// Who runs the runs of a fake world.
pub fn actor() -> Actor {
    Actor {
        tool: "testkit".into(),
        host: "head".into(),
        user: "root".into(),
        pid: 1,
    }
}

fn module(version: EtcdVersion) -> ModuleName {
    named(&format!("etcd/kube-default/{version}"))
}

/// Text of this module's own, which parses.
fn named<T: std::str::FromStr>(text: &str) -> T {
    text.parse()
        .unwrap_or_else(|_| unreachable!("{text} is a good name"))
}
