//! The simulator: one script is one history of a run, with all that went wrong in it.
//!
//! A [`Script`] is drawn from a seed and is data: it says which world, which faults, how each life of
//! the program ends, and what befalls the world meanwhile. [`simulate`] plays it with the real plan,
//! machine, journal and engine, in virtual time and on one thread, so that a script gives the same
//! history byte for byte. The operator in it is a patient one: he resumes, heeds the hints, sometimes
//! undoes, and gives a run up for a new plan only where somebody's hand or a failed disk was at it.
//!
//! The rules are looked at
//! * where it happens (`watch.rs`): what serves, starts, is wiped, armed, or given the role;
//! * behind every life (`audit.rs`): the journal has what was acknowledged, in the order of the phases, and
//!   replays to the machine in memory;
//! * when a life has ended (`operator.rs`): a halt says why, what is open and how to go on; a run that is
//!   complete has left nothing that could wipe a node, and in a calm history every member serves;
//! * at the end: every member serves, and no effect of a run happened twice ([`World::repeated`]).
//!
//! What is none of the run's doing is excused by what an incident has left on that node (`Scars` in
//! `incident.rs`), until the operator puts it right (`mend.rs`), and by nothing else.

mod draw;
mod operator;
mod shrink;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use serde::{Deserialize, Serialize};

pub use self::shrink::shrink;
use super::{Builder, Faults, Incident, Mortal, World};
use crate::ports::Ports;
use operator::Operator;

/// A history to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// The world as the run finds it.
    pub world: Builder,
    /// What its ports do.
    pub faults: Faults,
    /// Life by life; behind the last one the operator resumes until the run is complete.
    pub lives: Vec<Scene>,
    /// How the cluster manager's programs speak, where real adapters ask them.
    #[serde(default)]
    pub dialect: u64,
}

/// One life, and what befalls the world before it and in it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scene {
    /// Before it.
    pub before: Vec<Incident>,
    /// How it ends.
    pub ends: Mortal,
    /// What happens when it has waited so often.
    pub during: Vec<(u64, Incident)>,
    /// Whether the operator then takes the run back, where that is possible.
    pub undo: bool,
    /// Whether he does so at once, while what the run began may still be to come.
    #[serde(default)]
    pub at_once: bool,
}

impl Script {
    /// The script of a seed.
    pub fn draw(seed: u64) -> Self {
        draw::script(seed)
    }

    /// The same moments of a run for ports behind which it waits so many times as often.
    #[must_use]
    pub fn stretched(mut self, times: u64) -> Self {
        for scene in &mut self.lives {
            let ends = &mut scene.ends;
            let waits = ends.waits.iter_mut().chain(&mut ends.halt);
            let moments = waits.chain(scene.during.iter_mut().map(|(at, _)| at));
            moments.for_each(|at| *at *= times);
        }
        self
    }

    fn incidents(&self) -> impl Iterator<Item = Incident> {
        let of_scene = |scene: &Scene| {
            let during = scene.during.iter().map(|(_, incident)| *incident);
            scene
                .before
                .clone()
                .into_iter()
                .chain(during.collect::<Vec<_>>())
        };
        self.lives.iter().flat_map(of_scene)
    }

    /// Whether nothing but the ports, the program and its machine fails in it.
    fn is_calm(&self) -> bool {
        self.incidents().next().is_none()
    }

    /// Whether somebody's hand or a failed disk is in it: only behind these may a run stand for good.
    fn may_leave_a_run_standing(&self) -> bool {
        self.incidents().any(Incident::may_leave_a_run_standing)
    }
}

/// What became of a script.
#[derive(Debug)]
pub struct History {
    /// The rule that was broken first; none where all is well.
    pub broken: Option<String>,
    /// What there was in it: faults, incidents, deaths, halts, each with its number.
    pub had: BTreeMap<String, u32>,
    /// How often the program lived.
    pub lives: u32,
    world: World,
    journals: Vec<Vec<u8>>,
}

impl History {
    /// Everything that happened, and every journal, as text.
    pub fn text(&self) -> String {
        let mut text = self.world.story();
        for journal in &self.journals {
            text.push_str("\n\n");
            text.push_str(&String::from_utf8_lossy(journal));
        }
        text
    }
}

/// Plays a script.
pub fn simulate(script: &Script) -> History {
    simulate_through(script, &World::ports_at)
}

/// Plays a script behind other ports on the same world, those of the head node in a seat: real adapters
/// over fake programs.
pub fn simulate_through(script: &Script, ports: &dyn Fn(&World, usize) -> Ports) -> History {
    let world = script.world.clone().build();
    let mut operator = Operator::new(&world, script, ports);
    let broken = operator.restores().err();
    let broken = world.violations().into_iter().next().or(broken);
    let (had, lives, journals) = operator.leaves();
    History {
        broken,
        had,
        lives,
        world,
        journals,
    }
}

/// Calls `play` with each seed, on every core at once.
pub fn each_seed(seeds: Range<u64>, play: impl Fn(u64) + Sync) {
    let next = AtomicU64::new(seeds.start);
    let plays = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            play(seed);
        }
    };
    let jobs = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(plays);
        }
    });
}
