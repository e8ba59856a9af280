//! A plan's way through several lives of the program that runs it.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::audit::audit;
use super::heard::Heard;
use super::platter::{Opening, Platter, Tear};
use super::{NoPlan, World, actor, run_id};
use crate::event::{EventSink, NoEvents};
use crate::journal::{FileStore, JournalError, JournalStore, Outcome};
use crate::machine::Machine;
use crate::plan::{PlanKind, SealedPlan};
use crate::ports::Ports;
use crate::run::{Run, RunEnd, RunError};

/// How a life ends, if not by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mortal {
    /// It dies when it has waited so often.
    pub waits: Option<u64>,
    /// Its journal breaks at this append, counted from 0, in this way.
    pub tear: Option<(usize, Tear)>,
    /// It is asked to halt when it has waited so often.
    pub halt: Option<u64>,
    /// What becomes of the requests under way when it dies.
    pub in_flight: InFlight,
    /// Its machine loses power when it ends, and what was not synced in this way, by chance.
    pub power_cut: Option<u64>,
    /// Its journal cannot be opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opening: Option<Opening>,
}

impl Mortal {
    /// A life that ends by itself.
    pub fn never() -> Self {
        Self::default()
    }

    /// A life that dies when it has waited so often; requests under way are lost with it.
    pub fn after(waits: u64) -> Self {
        Self {
            waits: Some(waits),
            ..Self::default()
        }
    }

    /// A life that is asked to halt when it has waited so often.
    pub fn halted(waits: u64) -> Self {
        Self {
            halt: Some(waits),
            ..Self::default()
        }
    }

    /// A life whose journal breaks at this append.
    pub fn torn(append: usize, tear: Tear) -> Self {
        Self {
            tear: Some((append, tear)),
            ..Self::default()
        }
    }

    /// A life whose journal cannot be opened.
    pub fn shut_out(opening: Opening) -> Self {
        Self {
            opening: Some(opening),
            ..Self::default()
        }
    }

    /// Requests under way when it dies still arrive.
    #[must_use]
    pub const fn requests_land(mut self) -> Self {
        self.in_flight = InFlight::Lands;
        self
    }
}

/// What becomes of a request whose caller died.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InFlight {
    /// What has not happened yet does not happen any more.
    #[default]
    Lost,
    /// It goes on by itself, as a command does whose connection was cut.
    Lands,
}

/// How a life ended.
#[derive(Debug)]
pub enum Life {
    /// By itself.
    Ended(RunEnd),
    /// It died.
    Died,
    /// It was refused, or could not write its journal.
    Refused(RunError),
}

impl Life {
    /// Whether the run is complete, in this life or since an earlier one.
    pub const fn completed(&self) -> bool {
        matches!(
            self,
            Self::Ended(RunEnd::Completed) | Self::Refused(RunError::Over(Outcome::Completed))
        )
    }
}

/// More waits than any life has: one that goes on behind them goes on for ever.
const ENDLESS: u64 = 500_000;

/// A plan, its journal, and the world it runs in.
#[derive(Debug)]
pub struct Lives {
    world: World,
    plan: Arc<SealedPlan>,
    platter: Platter,
    ports: Ports,
    counts: Arc<Mutex<Counts>>,
    count: u32,
    waits: u64,
    appends: usize,
    /// How many records there were when the last life was asked to halt.
    halt_heard: Option<usize>,
    last: Option<Life>,
    machine: Option<Machine>,
}

impl Lives {
    /// A restore of this world's cluster.
    ///
    /// # Panics
    /// When the world gives no plan; [`Lives::try_of`] says why.
    pub fn of(world: &World) -> Self {
        match Self::try_of(world) {
            Ok(lives) => lives,
            Err(why) => panic!("the world gives no plan: {why:?}"),
        }
    }

    /// A restore of this world's cluster, if it allows one.
    ///
    /// # Errors
    /// [`NoPlan`].
    pub fn try_of(world: &World) -> Result<Self, NoPlan> {
        Ok(Self::with_plan(world, world.plan(run_id(1))?))
    }

    /// A run of any plan; one plan can be shared by many worlds that began alike.
    pub fn with_plan(world: &World, plan: impl Into<Arc<SealedPlan>>) -> Self {
        let plan = plan.into();
        let undo = matches!(plan.kind, PlanKind::Undo { .. });
        world.state().begins_a_run(undo);
        Self::new(world, plan, 0, Platter::default(), Arc::default())
    }

    fn new(
        world: &World,
        plan: Arc<SealedPlan>,
        seat: usize,
        platter: Platter,
        counts: Arc<Mutex<Counts>>,
    ) -> Self {
        Self {
            world: world.clone(),
            ports: world.ports_at(seat),
            plan,
            platter,
            counts,
            count: 0,
            waits: 0,
            appends: 0,
            halt_heard: None,
            last: None,
            machine: None,
        }
    }

    /// The same run with the same journal, at the head node in this seat: storage of both.
    #[must_use]
    pub fn at_seat(&self, seat: usize) -> Self {
        Self::new(
            &self.world,
            Arc::clone(&self.plan),
            seat,
            self.platter.clone(),
            Arc::clone(&self.counts),
        )
    }

    /// The plan.
    pub fn plan(&self) -> &SealedPlan {
        &self.plan
    }

    /// The same behind other ports on the same world: real adapters over fake programs.
    #[must_use]
    pub fn through(mut self, ports: Ports) -> Self {
        self.ports = ports;
        self
    }

    /// The journal's bytes.
    pub fn journal(&self) -> Vec<u8> {
        self.platter.bytes()
    }

    /// The machine as the last life left it.
    pub const fn machine(&self) -> Option<&Machine> {
        self.machine.as_ref()
    }

    /// How the last life ended.
    ///
    /// # Panics
    /// Before the first one.
    pub fn last(&self) -> &Life {
        match &self.last {
            Some(life) => life,
            None => unreachable!("nobody has lived yet"),
        }
    }

    /// How many lives there were.
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// How often the last life waited.
    pub const fn waits(&self) -> u64 {
        self.waits
    }

    /// How often the last life wrote to its journal.
    pub const fn appends(&self) -> usize {
        self.appends
    }

    /// Lives once more: begins the run, or resumes it.
    pub fn live(&mut self, mortal: Mortal) -> &Life {
        self.live_watched(mortal, &NoEvents)
    }

    /// As [`Lives::live`], with somebody watching.
    pub fn live_watched(&mut self, mortal: Mortal, events: &dyn EventSink) -> &Life {
        self.live_beside(mortal, events, |_| ())
    }

    /// As [`Lives::live_watched`]; `each` is called with the number of waits so far, and whatever it does
    /// happens while this life stands still.
    pub fn live_beside(
        &mut self,
        mortal: Mortal,
        events: &dyn EventSink,
        each: impl FnMut(u64),
    ) -> &Life {
        self.count += 1;
        let before = count(&self.counts).appends;
        let life = self.one(mortal, events, each);
        self.appends = count(&self.counts).appends - before;
        if let Some(chance) = mortal.power_cut {
            self.platter.power_cut(chance);
        }
        // What broke off in the middle of a write may be a record ahead of the machine.
        let whole = mortal.tear.is_none() && mortal.power_cut.is_none();
        let machine = self.machine.as_ref().filter(|_| whole && life.is_ok());
        let bytes = self.platter.bytes();
        let acknowledged = count(&self.counts).acknowledged;
        for rule in audit(&self.plan, &bytes, acknowledged, self.halt_heard, machine) {
            self.broken(&rule);
        }
        self.last.insert(life.unwrap_or_else(Life::Refused))
    }

    fn one(
        &mut self,
        mortal: Mortal,
        events: &dyn EventSink,
        mut each: impl FnMut(u64),
    ) -> Result<Life, RunError> {
        let (plan, ports) = (Arc::clone(&self.plan), self.ports.clone());
        self.world.state().orphans_land = mortal.in_flight == InFlight::Lands;
        self.platter.reopen(mortal.opening);
        let run = self.open(&plan, &ports, mortal.tear)?;
        let (stop, mut waits) = (CancellationToken::new(), 0);
        let limit = mortal.waits.unwrap_or(ENDLESS);
        let platter = self.platter.clone();
        self.halt_heard = None;
        let (world, sink) = (&self.world, events);
        let heard = Heard {
            world,
            plan: &plan,
            sink,
        };
        let life = run.execute(&heard, &stop);
        let done = self.world.drive_with(life, limit, |n| {
            waits = n;
            if mortal.halt == Some(n) {
                stop.cancel();
                self.halt_heard = Some(lines(&platter.bytes()));
            }
            each(n);
        });
        self.waits = waits;
        self.machine = Some(run.machine());
        drop(run);
        Ok(match done {
            Some(end) => Life::Ended(end?),
            None => Life::Died,
        })
    }

    fn open<'a>(
        &self,
        plan: &'a SealedPlan,
        ports: &'a Ports,
        tear: Option<(usize, Tear)>,
    ) -> Result<Run<'a>, RunError> {
        match Run::resume(plan, ports, self.store(tear), actor()) {
            // The first record never made it: the run was never begun.
            Err(RunError::Journal(JournalError::Empty { .. })) => {
                self.platter.clear();
                Run::begin(plan, ports, self.store(tear), actor())
            }
            run => run,
        }
    }

    fn store(&self, tear: Option<(usize, Tear)>) -> Box<dyn JournalStore> {
        let appends = count(&self.counts).appends;
        Box::new(Counted {
            inner: FileStore::over(self.platter.clone(), Path::new("journal.jsonl")),
            platter: self.platter.clone(),
            tear: tear.map(|(at, tear)| (appends + at, tear)),
            counts: Arc::clone(&self.counts),
        })
    }

    fn broken(&self, rule: &str) {
        self.world.state().broken(rule);
    }

    /// Lives on until the run is complete, at most so often.
    pub fn live_on(&mut self, lives: u32) -> bool {
        (0..lives).any(|_| self.live(Mortal::never()).completed())
    }

    /// Whether the run is complete, the cluster is back, and no rule was broken.
    ///
    /// # Errors
    /// What is wrong, with everything that happened.
    pub fn completed(&self) -> Result<(), String> {
        self.world.verdict()?;
        let wrong = match &self.last {
            Some(life) if life.completed() => self.world.restored().err(),
            other => Some(format!("the last life ended so: {other:?}")),
        };
        match wrong.or_else(|| self.world.repeated().err()) {
            None => Ok(()),
            Some(wrong) => Err(format!("{wrong}\n{}", self.world.story())),
        }
    }
}

fn lines(journal: &[u8]) -> usize {
    journal.split(|byte| *byte == b'\n').count() - 1
}

fn count(counts: &Mutex<Counts>) -> Counts {
    *counts.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A store that breaks at one append, and stays broken.
struct Counted {
    inner: FileStore<Platter>,
    platter: Platter,
    tear: Option<(usize, Tear)>,
    counts: Arc<Mutex<Counts>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    appends: usize,
    /// Records that were acknowledged: whatever happens, they are there.
    acknowledged: usize,
}

impl JournalStore for Counted {
    fn load(&mut self) -> io::Result<Vec<u8>> {
        self.inner.load()
    }

    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        let now = count(&self.counts).appends;
        if let Some((at, tear)) = self.tear
            && at == now
        {
            self.platter.fail_next(tear);
        }
        let done = self.inner.append(line);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.appends += 1;
        // A line feed alone mends the record before it.
        counts.acknowledged += usize::from(done.is_ok() && line.len() > 1);
        done
    }

    fn check(&mut self) -> io::Result<()> {
        self.inner.check()
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.inner.truncate(len)
    }

    fn settle(&mut self) -> io::Result<()> {
        self.inner.settle()
    }

    fn place(&self) -> String {
        self.inner.place()
    }
}
