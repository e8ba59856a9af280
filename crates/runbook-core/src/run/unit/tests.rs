//! The routine by itself: one unit, and a world that answers from a script.
//!
//! The unit is done when a restore is complete, for that question has an answer of each kind; what it does is
//! one of the cluster manager's effects.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Came, RETRIES, drive};
use crate::digest::Digest;
use crate::error::{AdapterError, Certainty};
use crate::event::NoEvents;
use crate::journal::{Baseline, Entry, MemoryStore};
use crate::machine::UnitState;
use crate::names::{AbsPath, NodeName};
use crate::plan::{Action, Check, ManagerEffect, Phase, SealedPlan, Unit};
use crate::ports::{
    ClusterManager, EtcdTool, MockClusterManager, MockEtcdTool, MockNode, Node, PortResult, Ports,
};
use crate::run::Run;
use crate::spec::Deadlines;
use crate::testkit::{World, actor, run_id};
use crate::world::{HeadRole, ObservedMember, Restored, Staged};

/// What a look shows.
#[derive(Clone, Copy)]
enum Seen {
    Nothing,
    Running,
    Done,
    /// It cannot be seen, this time or for good.
    Blind(Certainty),
}

use Seen::{Blind, Done, Nothing, Running};

const SILENCE: Seen = Blind(Certainty::Unknown);
const REFUSED: Seen = Blind(Certainty::Refused);

fn error(certainty: Certainty) -> AdapterError {
    AdapterError::new("scripted", certainty, "as the script says")
}

impl Seen {
    fn answer(self) -> PortResult<Staged> {
        match self {
            Nothing => Ok(Staged::Nothing),
            Running => Ok(Staged::Running),
            Done => Ok(Staged::Complete(Restored {
                db: Digest::of(b"db"),
                content: "content".into(),
            })),
            Blind(certainty) => Err(error(certainty)),
        }
    }
}

/// What answers one question, in order; the last answer stays.
#[derive(Clone)]
struct Script<T>(Arc<Mutex<(VecDeque<T>, usize)>>);

impl<T: Copy> Script<T> {
    fn of(answers: &[T]) -> Self {
        Self(Arc::new(Mutex::new((answers.iter().copied().collect(), 0))))
    }

    fn next(&self) -> T {
        let (answers, asked) = &mut *self.0.lock().unwrap();
        *asked += 1;
        let last = answers.len() == 1;
        let next = if last {
            answers.front().copied()
        } else {
            answers.pop_front()
        };
        next.expect("a script has an answer")
    }

    fn asked(&self) -> usize {
        self.0.lock().unwrap().1
    }
}

/// One unit, and what the world answers to it.
struct Bench {
    world: World,
    plan: SealedPlan,
    unit: Unit,
    /// What is on record of it from earlier lives: an intent, and perhaps a failure behind it.
    earlier: Option<UnitState>,
    /// The looks at whether it is done.
    looks: Script<Seen>,
    /// Those at what it requires.
    requires: Script<Seen>,
    performs: Script<Result<(), Certainty>>,
    heads: Script<Result<HeadRole, Certainty>>,
    halting: CancellationToken,
    /// The run is to halt once it has looked at what it requires so often.
    halt_in_requires: Option<usize>,
    /// The same for the questions to the head node.
    halt_in_heads: Option<usize>,
}

/// What became of the unit.
struct Became {
    came: Came,
    state: UnitState,
    baseline: Option<Baseline>,
    took: Duration,
}

const NODE: &str = "node002";

fn node() -> NodeName {
    NodeName::new(NODE).unwrap()
}

fn reboot() -> Action {
    Action::Manager(ManagerEffect::Reboot { node: node() })
}

fn answer() -> Action {
    Action::Manager(ManagerEffect::ConfirmInstall { node: node() })
}

fn staged(staging: &str) -> Check {
    let (staging, run) = (AbsPath::new(staging).unwrap(), run_id(1));
    let node = node();
    Check::Staged { node, staging, run }
}

impl Bench {
    /// A unit that does what may be done twice, and that waits for five minutes.
    fn of(looks: &[Seen]) -> Self {
        let world = World::of(3).build();
        let plan = world.plan(run_id(1)).unwrap();
        let acts = |unit: &&Unit| unit.phase == Phase::Stop && unit.act.is_some();
        let mut unit = plan.units.iter().find(acts).unwrap().clone();
        unit.act = Some(Action::Manager(ManagerEffect::SetDatanode {
            node: node(),
            value: false,
        }));
        unit.done_when = vec![staged("/looked/at")];
        unit.require = Vec::new();
        (unit.member, unit.skip) = (None, None);
        (unit.deadline_s, unit.at_least_s) = (300, 0);
        Self {
            world,
            plan,
            unit,
            earlier: None,
            looks: Script::of(looks),
            requires: Script::of(&[Done]),
            performs: Script::of(&[Ok(())]),
            heads: Script::of(&[Ok(HeadRole::Active)]),
            halting: CancellationToken::new(),
            halt_in_requires: None,
            halt_in_heads: None,
        }
    }

    fn does(mut self, action: Action) -> Self {
        self.unit.act = Some(action);
        self
    }

    fn requires(mut self, looks: &[Seen]) -> Self {
        self.unit.require = vec![staged("/required")];
        self.requires = Script::of(looks);
        self
    }

    fn earlier(mut self, state: UnitState) -> Self {
        self.earlier = Some(state);
        self
    }

    fn halting(self) -> Self {
        self.halting.cancel();
        self
    }

    fn deadlines(&self) -> &Deadlines {
        &self.plan.spec.deadlines
    }

    fn ports(&self) -> Ports {
        let mut tool = MockEtcdTool::new();
        let world = self.world.clone();
        tool.expect_render()
            .returning(move |effect| EtcdTool::render(&world, effect));
        let (looks, requires) = (self.looks.clone(), self.requires.clone());
        let halt = (self.halt_in_requires, self.halting.clone());
        tool.expect_staged().returning(move |_, staging, _| {
            if staging.as_str() == "/looked/at" {
                return looks.next().answer();
            }
            let seen = requires.next();
            halt_at(&halt, requires.asked());
            seen.answer()
        });
        let mut manager = MockClusterManager::new();
        let world = self.world.clone();
        manager
            .expect_render()
            .returning(move |effect| ClusterManager::render(&world, effect));
        let performs = self.performs.clone();
        manager
            .expect_perform()
            .returning(move |_, _| performs.next().map_err(error));
        let heads = self.heads.clone();
        let halt = (self.halt_in_heads, self.halting.clone());
        manager.expect_head_role().returning(move || {
            let role = heads.next();
            halt_at(&halt, heads.asked());
            role.map_err(error)
        });
        let mut nodes = MockNode::new();
        let world = self.world.clone();
        nodes
            .expect_render()
            .returning(move |effect| Node::render(&world, effect));
        nodes.expect_boot_id().returning(|_| Ok(None));
        Ports {
            manager: Arc::new(manager),
            tool: Arc::new(tool),
            nodes: Arc::new(nodes),
            ..self.world.ports()
        }
    }

    /// Everything of the phases before is done, and the unit's turn has come.
    fn came(&self) -> Became {
        let ports = self.ports();
        let store = Box::new(MemoryStore::default());
        let run = Run::begin(&self.plan, &ports, store, actor()).unwrap();
        for unit in &self.plan.units {
            if unit.phase == self.unit.phase {
                break;
            }
            let (unit, seen) = (unit.id.clone(), String::new());
            let acted = false;
            run.record(&Entry::Done { unit, acted, seen }).unwrap();
        }
        let id = &self.unit.id;
        if let Some(state) = self.earlier {
            let now = ports.clock.wall();
            run.ledger().intend(now, id, Baseline::default()).unwrap();
            if state == UnitState::Failed {
                let (unit, code) = (id.clone(), String::from("earlier"));
                let seen = String::new();
                run.record(&Entry::Failed { unit, code, seen }).unwrap();
            }
        }
        let before = self.world.now();
        let halting = self.halting.clone();
        let driven = drive(&run, &self.unit, &NoEvents, halting);
        let (_, came) = self.world.drive(driven);
        let machine = run.machine();
        Became {
            came: came.unwrap(),
            state: machine.state(id).unwrap(),
            baseline: machine.baseline(id).cloned(),
            took: self.world.now().saturating_sub(before),
        }
    }
}

fn halt_at((at, halting): &(Option<usize>, CancellationToken), asked: usize) {
    if *at == Some(asked) {
        halting.cancel();
    }
}

impl Became {
    #[track_caller]
    fn through(&self) {
        assert!(matches!(self.came, Came::Through), "{}", self.how());
        assert_eq!(self.state, UnitState::Done);
    }

    #[track_caller]
    fn failed(&self, code: &str) {
        assert_eq!(self.how(), code);
        assert_eq!(self.state, UnitState::Failed);
    }

    /// Nothing is on record of it, and no effect was intended.
    #[track_caller]
    fn left(&self) {
        assert_eq!(self.how(), "left");
        assert_eq!(self.state, UnitState::Pending);
    }

    #[track_caller]
    fn deposed(&self) {
        assert_eq!(self.how(), "deposed");
    }

    fn how(&self) -> &str {
        match &self.came {
            Came::Through => "through",
            Came::Left => "left",
            Came::Failed(failure) => &failure.code,
            Came::Deposed(_) => "deposed",
        }
    }
}

fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(seconds.into())
}

#[test]
fn what_somebody_else_has_begun_is_waited_for_once() {
    let bench = Bench::of(&[Running]);
    let became = bench.came();
    became.failed("not-ours-underway");
    assert!(became.took >= seconds(300) && became.took < seconds(600));
    assert_eq!(bench.performs.asked(), 0);

    let bench = Bench::of(&[Running, Running, Nothing, Done]);
    bench.came().through();
    assert_eq!(bench.performs.asked(), 1);
}

#[test]
fn what_an_earlier_life_has_begun_is_waited_for_once() {
    let bench = Bench::of(&[Running]).earlier(UnitState::InFlight);
    let became = bench.came();
    became.failed("deadline");
    assert!(became.took >= seconds(300) && became.took < seconds(600));
    assert_eq!(bench.performs.asked(), 0);
}

#[test]
fn a_look_that_shows_nothing_is_repeated_for_a_while() {
    let bench = Bench::of(&[SILENCE, SILENCE, Done]);
    bench.came().through();
    assert_eq!(bench.performs.asked(), 0);

    let bench = Bench::of(&[SILENCE]);
    let became = bench.came();
    became.failed("scripted");
    assert!(became.took >= seconds(bench.deadlines().quick_s));
    assert_eq!(bench.performs.asked(), 0);
}

#[test]
fn a_refused_question_is_not_repeated() {
    let bench = Bench::of(&[REFUSED]);
    bench.came().failed("scripted");
    assert_eq!(bench.looks.asked(), 1);
    // Nor is it one that a halt had cut short.
    Bench::of(&[REFUSED]).halting().came().failed("scripted");
}

#[test]
fn a_halt_leaves_what_is_only_looked_at() {
    for seen in [SILENCE, Running] {
        let bench = Bench::of(&[seen]).halting();
        bench.came().left();
        assert_eq!(bench.looks.asked(), 1);
    }
    Bench::of(&[Done]).halting().came().through();
    Bench::of(&[Nothing]).halting().came().left();
}

#[test]
fn a_halt_sees_to_its_end_what_an_earlier_life_has_begun() {
    for seen in [SILENCE, Running] {
        let bench = Bench::of(&[seen, seen, Done]).earlier(UnitState::InFlight);
        bench.halting().came().through();
    }
}

/// A reboot that was sent may show only later; what may be done twice is done again at once.
#[test]
fn what_may_be_on_its_way_is_given_its_time() {
    for state in [UnitState::InFlight, UnitState::Failed] {
        let bench = Bench::of(&[Nothing]).earlier(state).does(reboot());
        let stop = seconds(bench.deadlines().stop_s);
        let became = bench.came();
        became.failed("deadline");
        assert_eq!(bench.performs.asked(), 1);
        assert!(became.took >= stop + seconds(300), "{:?}", became.took);

        let bench = Bench::of(&[Nothing]).earlier(state);
        let became = bench.came();
        assert_eq!(bench.performs.asked(), 1);
        assert!(became.took < stop + seconds(300), "{:?}", became.took);
    }
    let bench = Bench::of(&[Nothing]).does(reboot());
    let became = bench.came();
    assert!(became.took < seconds(bench.deadlines().stop_s + 300));
}

#[test]
fn what_is_required_is_looked_at_once() {
    let bench = Bench::of(&[Nothing]).requires(&[Nothing]);
    bench.came().failed("not-safe");
    assert_eq!((bench.requires.asked(), bench.performs.asked()), (1, 0));

    let bench = Bench::of(&[Nothing]).requires(&[REFUSED]);
    bench.came().failed("scripted");

    // The time of a reboot that may be on its way is over by then.
    let bench = Bench::of(&[Nothing]).earlier(UnitState::InFlight);
    let bench = bench.does(reboot()).requires(&[Nothing]);
    bench.came().failed("not-safe");
    assert_eq!((bench.requires.asked(), bench.performs.asked()), (1, 0));
}

#[test]
fn a_halt_is_heard_while_the_requirements_are_looked_at() {
    for seen in [SILENCE, Done] {
        let mut bench = Bench::of(&[Nothing]).requires(&[SILENCE, seen]);
        bench.halt_in_requires = Some(2);
        bench.came().left();
        assert_eq!(bench.performs.asked(), 0);
    }
}

#[test]
fn a_halt_is_heard_while_the_head_node_is_asked() {
    for answer in [Err(Certainty::Unknown), Ok(HeadRole::Active)] {
        let mut bench = Bench::of(&[Nothing]);
        bench.heads = Script::of(&[Err(Certainty::Unknown), answer]);
        bench.halt_in_heads = Some(2);
        bench.came().left();
        assert_eq!(bench.performs.asked(), 0);
    }
}

#[test]
fn a_head_node_that_is_passive_acts_no_more() {
    let mut bench = Bench::of(&[Nothing]);
    bench.heads = Script::of(&[Ok(HeadRole::Passive)]);
    let became = bench.came();
    became.deposed();
    assert_eq!(became.state, UnitState::Pending);
    assert_eq!(bench.performs.asked(), 0);
}

/// What fails while the head node is passive is left to the other one, but Preflight's own question.
#[test]
fn a_failover_is_no_failure_of_a_unit() {
    let gate = |phase, done_when: Check, looks: &[Seen]| {
        let mut bench = Bench::of(looks);
        let of_phase = |unit: &&Unit| unit.phase == phase;
        bench.unit.id = bench.plan.units.iter().find(of_phase).unwrap().id.clone();
        (bench.unit.phase, bench.unit.act) = (phase, None);
        bench.unit.done_when = vec![done_when];
        bench.heads = Script::of(&[Ok(HeadRole::Passive)]);
        bench
    };
    let own = gate(Phase::Preflight, Check::HeadIsActive, &[Nothing]);
    own.came().failed(HeadRole::PASSIVE_REFUSED[0]);
    let other = gate(Phase::Preflight, staged("/looked/at"), &[REFUSED]);
    other.came().deposed();
    gate(Phase::Stop, Check::HeadIsActive, &[Nothing])
        .came()
        .deposed();
}

/// Where the node is silent the boot that the plan saw counts: it must not pass for a new one later.
#[test]
fn the_boot_before_is_the_planned_one_where_the_node_is_silent() {
    let mut bench = Bench::of(&[Nothing]).does(reboot());
    // The second check is the one that a baseline is for; the first one does not hold, so it is not asked.
    bench.unit.done_when.push(Check::Rebooted {
        node: node(),
        was_up: true,
    });
    let boot_of = |member: &ObservedMember| Some(member.host.as_ref()?.boot_id.clone());
    let members = &bench.plan.world.members;
    let planned = members.iter().find(|member| member.node == node());
    let planned = planned.and_then(boot_of).unwrap();
    let boots = members.iter().filter_map(boot_of);
    assert_eq!(boots.filter(|boot| *boot == planned).count(), 1);
    assert_eq!(bench.came().baseline.unwrap().boot_id, Some(planned));
}

#[test]
fn what_certainly_did_not_happen_is_tried_again() {
    let mut bench = Bench::of(&[Nothing]);
    bench.performs = Script::of(&[Err(Certainty::NotDone)]);
    bench.came().failed("scripted");
    assert_eq!(bench.performs.asked(), 1 + RETRIES as usize);

    let mut bench = Bench::of(&[Nothing, Done]);
    bench.performs = Script::of(&[Err(Certainty::NotDone), Ok(())]);
    bench.came().through();
    assert_eq!(bench.performs.asked(), 2);
}

#[test]
fn the_world_decides_what_an_error_means() {
    for (looks, through) in [
        (vec![Nothing, Done], true),
        (vec![Nothing, Running, Done], true),
        (vec![Nothing], false),
    ] {
        let mut bench = Bench::of(&looks);
        bench.performs = Script::of(&[Err(Certainty::Refused)]);
        let became = bench.came();
        if through {
            became.through();
        } else {
            became.failed("scripted");
        }
        assert_eq!(bench.performs.asked(), 1);
    }
}

#[test]
fn a_gate_looks_for_as_long_as_it_is_to() {
    let mut bench = Bench::of(&[Done]);
    (bench.unit.act, bench.unit.at_least_s) = (None, 60);
    let became = bench.came();
    became.through();
    assert!(became.took >= seconds(60), "{:?}", became.took);
}

#[test]
fn the_head_node_is_asked_now_and_then_while_something_is_waited_for() {
    let bench = Bench::of(&[Nothing]);
    bench.came().failed("deadline");
    // Before the intent, each half a minute, and behind the failure.
    let asked = bench.heads.asked();
    assert!((10..=12).contains(&asked), "{asked}");
}

/// An answer that was given is not given again at once, and not for ever.
#[test]
fn a_question_that_is_asked_still_is_answered_again_after_a_while() {
    let looks = [Nothing, Nothing, Nothing, Done];
    let bench = Bench::of(&looks).does(answer());
    bench.came().through();
    assert_eq!(bench.performs.asked(), 1);

    let mut bench = Bench::of(&[Nothing]).does(answer());
    bench.unit.deadline_s = 3600;
    let became = bench.came();
    became.failed("deadline");
    assert_eq!(bench.performs.asked(), 1 + RETRIES as usize);
    let patience = seconds(bench.deadlines().stop_s);
    assert!(became.took >= patience * RETRIES + seconds(3600));
}

/// One that went on and asks anew, as after a reset by hand, is answered at once.
#[test]
fn a_question_that_is_asked_anew_is_answered_at_once() {
    let looks = [Nothing, Running, Running, Nothing, Done];
    let bench = Bench::of(&looks).does(answer());
    let became = bench.came();
    became.through();
    assert_eq!(bench.performs.asked(), 2);
    assert!(became.took < seconds(bench.deadlines().stop_s));

    // So is one that an earlier life had answered.
    let bench = Bench::of(&[Running, Nothing, Done]).does(answer());
    let became = bench.earlier(UnitState::InFlight).came();
    became.through();
    assert!(became.took < seconds(60), "{:?}", became.took);
}
