//! The operator of a simulated restore: resumes, heeds the hints, sometimes undoes.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::{
    Effect, InFlight, Incident, Life, Lives, Logged, Mortal, NoPlan, World, run_id,
};
use super::{Scene, Script};
use crate::event::{Failure, NoEvents};
use crate::journal::JournalError;
use crate::names::{NodeName, RunId, UnitId};
use crate::plan::{Draft, SealedPlan};
use crate::ports::{OLD_DATA_GONE, Ports};
use crate::run::{HEAD_CHANGED, RunEnd, RunError};

/// The code of a check that does not hold on a head node that is not the active one.
const HEAD_PASSIVE: &str = "head-passive";

/// How many plans one cluster takes at most, the first and an undo among them.
const PLANS: u16 = 5;

/// What a history leaves: what was in it, how many lives, and the journals.
pub(super) type Left = (BTreeMap<String, u32>, u32, Vec<Vec<u8>>);

pub(super) struct Operator<'a> {
    world: &'a World,
    script: &'a Script,
    ports: &'a dyn Fn(&World, usize) -> Ports,
    /// The head node he sits at.
    seat: usize,
    runs: Vec<RunId>,
    had: BTreeMap<String, u32>,
    lives: u32,
    journals: Vec<Vec<u8>>,
}

/// How far a plan has come.
#[derive(PartialEq)]
enum Came {
    Through,
    /// It was taken back.
    Back,
    /// It cannot be taken back: a disk that holds what it would give back was wiped meanwhile.
    Lost,
    /// It cannot go on.
    Stands,
}

impl<'a> Operator<'a> {
    pub(super) fn new(
        world: &'a World,
        script: &'a Script,
        ports: &'a dyn Fn(&World, usize) -> Ports,
    ) -> Self {
        Self {
            world,
            script,
            ports,
            seat: 0,
            runs: Vec::new(),
            had: BTreeMap::new(),
            lives: 0,
            journals: Vec::new(),
        }
    }

    pub(super) fn leaves(mut self) -> Left {
        for (kind, times) in self.world.state().faults.drawn() {
            *self.had.entry(format!("fault {kind:?}")).or_default() += times;
        }
        (self.had, self.lives, self.journals)
    }

    /// Restores the cluster through everything that the script holds.
    pub(super) fn restores(&mut self) -> Result<(), String> {
        let run = self.next_run();
        let plan = match self.world.plan_through(&self.here(), run) {
            Ok(plan) => plan,
            // Where the world does not allow it, nothing has happened.
            Err(NoPlan::Plan(_)) if self.world.log().is_empty() => {
                self.note("no plan");
                return Ok(());
            }
            Err(why) => return Err(format!("there is no plan, and yet: {why:?}")),
        };
        self.world.misbehave(self.script.faults);
        let mut came = self.lives_through(plan)?;
        while came != Came::Through {
            if self.is_to_be_left() {
                self.note("left to its quorum");
                return Ok(());
            }
            if came == Came::Stands && !self.script.may_leave_a_run_standing() {
                return Err("the run does not complete, though nobody else was at it".into());
            }
            if self.runs.len() >= usize::from(PLANS) {
                return Err(format!("not even {PLANS} plans bring the cluster back"));
            }
            came = self.plans_anew()?;
        }
        // What befell the world behind the last step is put right, and etcd started where it should. A node
        // that was on its way shows only then what it waits for.
        for seconds in [60, 300] {
            self.world.mend();
            self.world.pass(Duration::from_secs(seconds));
        }
        self.world.restored()?;
        self.world.repeated()
    }

    /// A quorum serves, nobody allows to stop it, and nothing was: its broken members are replaced instead.
    fn is_to_be_left(&self) -> bool {
        let state = self.world.state();
        let begun = state.log.iter().any(|logged| logged.effect.is_ours());
        !begun && state.setup.spec.allow.quorum.is_none() && state.old_quorum()
    }

    /// The ports of the head node he sits at.
    fn here(&self) -> Ports {
        (self.ports)(self.world, self.seat)
    }

    /// `cmha status` tells where the active head node is.
    fn goes_to_the_active_head(&mut self) {
        self.seat = self.world.active_seat().unwrap_or_default();
    }

    fn next_run(&mut self) -> RunId {
        let number = u16::try_from(self.runs.len()).unwrap_or(u16::MAX);
        let run = run_id(number + 1);
        self.runs.push(run);
        run
    }

    fn note(&mut self, what: impl Into<String>) {
        *self.had.entry(what.into()).or_default() += 1;
    }

    /// The plan's lives as the script has them, and behind them as many as it takes.
    fn lives_through(&mut self, plan: SealedPlan) -> Result<Came, String> {
        let script = self.script;
        let mut lives = Lives::with_plan(self.world, plan).through(self.here());
        let mut came = None;
        for scene in &script.lives {
            self.befall(&scene.before);
            self.note_end(scene.ends);
            came = self.lives_once(&mut lives, scene.ends, &scene.during)?;
            if came.is_none() && scene.undo {
                came = self.undoes(&lives, scene)?;
            }
            if came.is_some() {
                break;
            }
        }
        let came = match came {
            Some(came) => came,
            None => self.lives_on(&mut lives)?,
        };
        self.journals.push(lives.journal());
        Ok(came)
    }

    /// Every fault that is left may end a life, and so may what a dead one had left on its way.
    fn lives_on(&mut self, lives: &mut Lives) -> Result<Came, String> {
        for _ in 0..self.world.faults_left() + 8 {
            if let Some(came) = self.lives_once(lives, Mortal::never(), &[])? {
                return Ok(came);
            }
        }
        Ok(Came::Stands)
    }

    fn lives_once(
        &mut self,
        lives: &mut Lives,
        ends: Mortal,
        during: &[(u64, Incident)],
    ) -> Result<Option<Came>, String> {
        let world = self.world;
        let mut befallen = Vec::new();
        let each = |waits: u64| {
            let due = during.iter().filter(|(at, _)| *at == waits);
            befallen.extend(due.map(|(_, incident)| (*incident, world.befall(*incident))));
        };
        lives.live_beside(ends, &NoEvents, each);
        self.lives += 1;
        for (incident, happened) in befallen {
            self.note_incident(incident, happened);
        }
        let life = lives.last();
        if life.completed() {
            let open = if self.script.is_calm() {
                world.state().unfinished()
            } else {
                world.state().unprotected()
            };
            return if open.is_empty() {
                Ok(Some(Came::Through))
            } else {
                Err(format!(
                    "the run ended complete, and yet: {}",
                    open.join("; ")
                ))
            };
        }
        let failures = says_how_to_go_on(life, ends)?.to_vec();
        self.heeds(&failures);
        self.follows(lives, &failures);
        Ok(None)
    }

    /// Goes on with a run at the other head node, where this one may not.
    fn follows(&mut self, lives: &mut Lives, failures: &[(UnitId, Failure)]) {
        let passive = |(_, failure): &(_, Failure)| {
            [HEAD_CHANGED, HEAD_PASSIVE].contains(&failure.code.as_str())
        };
        if failures.iter().any(passive) {
            self.note("went to the other head");
            self.goes_to_the_active_head();
            *lives = lives.at_seat(self.seat).through(self.here());
        }
    }

    /// Does what the hints say.
    fn heeds(&mut self, failures: &[(UnitId, Failure)]) {
        for (_, failure) in failures {
            self.note(format!("halt {}", failure.code));
        }
        // Only a node that was sent to its installer, by a run that is taken back, needs him in a calm world.
        let needs_him = |(_, failure): &(_, Failure)| {
            ["ssh-unreachable", "reboot-outstanding"].contains(&failure.code.as_str())
        };
        if failures.is_empty() || self.script.is_calm() && !failures.iter().any(needs_him) {
            return;
        }
        self.world.mend();
        for (unit, failure) in failures {
            let mut state = self.world.state();
            // Whether a quorum is lost nobody can tell of a node that hangs with its power on. Preflight asks for
            // it in a gate, Stop before it takes a role.
            if unit.as_str().ends_with("/quorum") || failure.code == "quorum-unseen" {
                state.cut_the_power_of_what_hangs();
            }
            let named = |at: &usize| unit.as_str().contains(state.nodes[*at].name.as_str());
            let Some(at) = (0..state.nodes.len()).find(named) else {
                continue;
            };
            match failure.code.as_str() {
                "disk-not-wiped" => state.provision_by_hand(at),
                "not-safe" if failure.seen.contains("nextinstallmode") => state.mark_by_hand(at),
                "installer-failed" => state.installs_again(at),
                "installer-left" | "node-stays-down" => state.press_button(at),
                "reboot-outstanding" => state.sends_the_reboot(at),
                "node-came-up" => state.power_off(at),
                _ => {}
            }
        }
        self.world.pass(Duration::from_secs(200));
    }

    fn befall(&mut self, incidents: &[Incident]) {
        for incident in incidents {
            let happened = self.world.befall(*incident);
            self.note_incident(*incident, happened);
        }
        if !incidents.is_empty() {
            // What came of it shows by the time somebody resumes.
            self.world.pass(Duration::from_secs(60));
        }
    }

    fn note_incident(&mut self, incident: Incident, happened: bool) {
        if happened {
            self.note(format!("incident {}", incident.kind()));
        }
    }

    fn note_end(&mut self, ends: Mortal) {
        if ends.waits.is_some() {
            self.note("death at an await");
        }
        if ends.halt.is_some() {
            self.note("halt on request");
        }
        if let Some((_, tear)) = ends.tear {
            self.note(format!("journal {tear:?}"));
        }
        if ends.power_cut.is_some() {
            self.note("machine loses power");
        }
        if ends.in_flight == InFlight::Lands {
            self.note("requests outlive their life");
        }
    }

    /// Takes the run back, where it can be; none where the way is forward.
    fn undoes(&mut self, lives: &Lives, scene: &Scene) -> Result<Option<Came>, String> {
        let Some(machine) = lives.machine() else {
            return Ok(None);
        };
        if scene.at_once {
            self.note("undo at once");
        } else {
            self.world.pass(Duration::from_secs(30));
        }
        self.goes_to_the_active_head();
        let undo = match Draft::undo(lives.plan(), machine, self.next_run()) {
            Ok(draft) => draft.seal(&self.here()),
            Err(error) => Err(error),
        };
        let undo = match undo {
            Ok(undo) => undo,
            Err(error) if error.code() == "past-no-return" => {
                self.runs.pop();
                self.note("undo refused");
                return Ok(None);
            }
            Err(error) => return Err(format!("there is no undo: {error}")),
        };
        self.note("undo");
        let mut back = Lives::with_plan(self.world, undo).through(self.here());
        let mut came = Came::Stands;
        for _ in 0..self.world.faults_left() + 8 {
            back.live(Mortal::never());
            self.lives += 1;
            if back.last().completed() {
                came = Came::Back;
                break;
            }
            let failures = says_how_to_go_on(back.last(), Mortal::never())?.to_vec();
            self.heeds(&failures);
            if failures.iter().any(|failure| self.is_lost(failure)) {
                came = Came::Lost;
                break;
            }
            self.follows(&mut back, &failures);
        }
        self.journals.push(back.journal());
        Ok(Some(came))
    }

    /// Whether the old data is gone as this says, and with the disk: the hint is to give up the undo, and the run.
    fn is_lost(&self, (unit, failure): &(UnitId, Failure)) -> bool {
        let of_unit = |node: &NodeName| unit.as_str().contains(node.as_str());
        let wiped = |logged: &&Logged| {
            logged.effect == Effect::Wiped && logged.node.as_ref().is_some_and(of_unit)
        };
        let log = self.world.log();
        let begun = |logged: &Logged| logged.effect == Effect::AnotherRun;
        // Since the run began that is taken back, and not by the run itself: it would not be.
        let mut runs = log.rsplit(begun);
        let since = runs.next().into_iter().chain(runs.next()).flatten();
        !self.script.is_calm() && failure.code == OLD_DATA_GONE && since.filter(wiped).count() > 0
    }

    /// Gives the run up, and restores with a new plan that takes its guards over.
    fn plans_anew(&mut self) -> Result<Came, String> {
        self.note("planned anew");
        self.world.call_off();
        self.world.mend();
        self.world.pass(Duration::from_secs(400));
        self.world.allow(&self.runs);
        self.goes_to_the_active_head();
        let run = self.next_run();
        let plan = loop {
            let faults = self.world.faults_left();
            match self.world.plan_through(&self.here(), run) {
                Ok(plan) => break plan,
                // A fault of the ports while it looks.
                Err(_) if self.world.faults_left() < faults => {}
                Err(why) => return Err(format!("there is no way on: {why:?}")),
            }
        };
        let mut lives = Lives::with_plan(self.world, plan).through(self.here());
        let came = self.lives_on(&mut lives)?;
        self.journals.push(lives.journal());
        Ok(came)
    }
}

/// A life that ended says what is open and how to go on; its failures.
fn says_how_to_go_on(life: &Life, ends: Mortal) -> Result<&[(UnitId, Failure)], String> {
    match life {
        Life::Died if ends.waits.is_some() => Ok(&[]),
        Life::Died => Err("a life does not end".into()),
        Life::Refused(
            error @ RunError::Journal(JournalError::Io { .. } | JournalError::Poisoned { .. }),
        ) if ends.tear.is_some() => match error.hint() {
            Some(hint) if !hint.is_empty() => Ok(&[]),
            _ => Err(format!(
                "the journal fails, and there is no hint: {error:?}"
            )),
        },
        Life::Refused(error) => Err(format!("the run was refused: {} {error:?}", error.code())),
        Life::Ended(RunEnd::Completed) => Ok(&[]),
        Life::Ended(RunEnd::Halted {
            reason,
            failures,
            open,
            ..
        }) => {
            if reason.is_empty() || open.is_empty() {
                return Err("the run halted, and does not say why, or what is open".into());
            }
            if failures.is_empty() && ends.halt.is_none() {
                return Err("the run halted, and nobody asked it to".into());
            }
            for (unit, failure) in failures {
                if failure.code.is_empty() || failure.hint.as_ref().is_none_or(String::is_empty) {
                    return Err(format!("{unit} failed, and there is no hint: {failure:?}"));
                }
            }
            Ok(failures)
        }
    }
}
