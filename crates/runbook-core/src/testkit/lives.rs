//! A plan's way through several lives of the program that runs it.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

use super::{NoPlan, World, actor, run_id};
use crate::event::{EventSink, NoEvents};
use crate::journal::{History, JournalError, JournalStore, MemoryStore, Outcome};
use crate::machine::Machine;
use crate::plan::SealedPlan;
use crate::ports::Ports;
use crate::run::{Run, RunEnd, RunError, replay};

/// How a life ends, if not by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mortal {
    /// It dies when it has waited so often.
    pub waits: Option<u64>,
    /// Its journal breaks at this append, counted from 0, in this way.
    pub tear: Option<(usize, Tear)>,
    /// It is asked to halt when it has waited so often.
    pub halt: Option<u64>,
    /// What becomes of the requests under way when it dies.
    pub in_flight: InFlight,
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

    /// Requests under way when it dies still arrive.
    #[must_use]
    pub const fn requests_land(mut self) -> Self {
        self.in_flight = InFlight::Lands;
        self
    }
}

/// What becomes of a request whose caller died.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum InFlight {
    /// What has not happened yet does not happen any more.
    #[default]
    Lost,
    /// It goes on by itself, as a command does whose connection was cut.
    Lands,
}

/// How much of an append reaches the disk before it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tear {
    /// Nothing.
    Nothing,
    /// Half of the line.
    Half,
    /// Everything but the line feed.
    LineFeed,
    /// All of it; only the answer is lost.
    Answer,
}

impl Tear {
    /// Every way.
    pub const ALL: [Self; 4] = [Self::Nothing, Self::Half, Self::LineFeed, Self::Answer];
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

/// A plan, its journal, and the world it runs in.
#[derive(Debug)]
pub struct Lives {
    world: World,
    seat: usize,
    plan: Arc<SealedPlan>,
    store: MemoryStore,
    count: u32,
    waits: u64,
    appends: usize,
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
        world.state().proofs = 0;
        Self::new(world, plan.into(), 0, MemoryStore::default())
    }

    fn new(world: &World, plan: Arc<SealedPlan>, seat: usize, store: MemoryStore) -> Self {
        Self {
            world: world.clone(),
            seat,
            plan,
            store,
            count: 0,
            waits: 0,
            appends: 0,
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
            self.store.clone(),
        )
    }

    /// The plan.
    pub fn plan(&self) -> &SealedPlan {
        &self.plan
    }

    /// The journal's bytes.
    pub fn journal(&self) -> Vec<u8> {
        self.store.bytes()
    }

    /// The machine as the last life left it.
    pub const fn machine(&self) -> Option<&Machine> {
        self.machine.as_ref()
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
        let life = self.one(mortal, events, each);
        self.last.insert(life.unwrap_or_else(Life::Refused))
    }

    fn one(
        &mut self,
        mortal: Mortal,
        events: &dyn EventSink,
        mut each: impl FnMut(u64),
    ) -> Result<Life, RunError> {
        let (plan, ports) = (Arc::clone(&self.plan), self.world.ports_at(self.seat));
        let appends = Arc::default();
        let store = Torn {
            inner: self.store.clone(),
            tear: mortal.tear,
            appends: Arc::clone(&appends),
        };
        self.world.state().orphans_land = mortal.in_flight == InFlight::Lands;
        let run = self.open(&plan, &ports, store);
        self.appends = count(&appends);
        let run = run?;
        let (stop, mut waits) = (CancellationToken::new(), 0);
        let limit = mortal.waits.unwrap_or(u64::MAX);
        let life = run.execute(events, &stop);
        let done = self.world.drive_with(life, limit, |n| {
            waits = n;
            if mortal.halt == Some(n) {
                stop.cancel();
            }
            each(n);
        });
        let machine = run.machine();
        drop(run);
        (self.waits, self.appends) = (waits, count(&appends));
        let overtaken = matches!(
            done,
            Some(Err(RunError::Journal(JournalError::Overtaken { .. })))
        );
        if mortal.tear.is_none() && !overtaken {
            self.replays(&machine);
        }
        self.machine = Some(machine);
        Ok(match done {
            Some(end) => Life::Ended(end?),
            None => Life::Died,
        })
    }

    fn open<'a>(
        &self,
        plan: &'a SealedPlan,
        ports: &'a Ports,
        store: Torn,
    ) -> Result<Run<'a>, RunError> {
        match Run::resume(plan, ports, Box::new(store.clone()), actor()) {
            // The first record never made it: the run was never begun.
            Err(RunError::Journal(JournalError::Empty { .. })) => {
                self.store.clone().truncate(0).map_err(no_memory)?;
                Run::begin(plan, ports, Box::new(store), actor())
            }
            run => run,
        }
    }

    /// The journal replays to the machine in memory.
    fn replays(&self, machine: &Machine) {
        let replayed = History::read(&self.store.bytes(), "memory")
            .map_err(RunError::from)
            .and_then(|history| replay(&self.plan, &history));
        match replayed {
            Ok(replayed) if replayed == *machine => {}
            Ok(_) => self.broken("the journal replays to another machine"),
            Err(error) => self.broken(&format!("the journal does not replay: {error}")),
        }
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

fn no_memory(source: io::Error) -> JournalError {
    JournalError::Io {
        place: "memory".into(),
        doing: "cut",
        source,
    }
}

fn count(appends: &Mutex<usize>) -> usize {
    *appends.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A store that breaks at one append, and stays broken.
#[derive(Debug, Clone)]
struct Torn {
    inner: MemoryStore,
    tear: Option<(usize, Tear)>,
    appends: Arc<Mutex<usize>>,
}

impl JournalStore for Torn {
    fn load(&mut self) -> io::Result<Vec<u8>> {
        self.inner.load()
    }

    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        let mut appends = self.appends.lock().unwrap_or_else(PoisonError::into_inner);
        let now = *appends;
        *appends += 1;
        let kept = match self.tear {
            Some((at, tear)) if at == now => match tear {
                Tear::Nothing => 0,
                Tear::Half => line.len() / 2,
                Tear::LineFeed => line.len() - 1,
                Tear::Answer => line.len(),
            },
            _ => return self.inner.append(line),
        };
        self.inner.append(&line[..kept])?;
        Err(io::Error::other("the journal's disk is gone"))
    }

    fn check(&mut self) -> io::Result<()> {
        self.inner.check()
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.inner.truncate(len)
    }

    fn place(&self) -> String {
        self.inner.place()
    }
}
