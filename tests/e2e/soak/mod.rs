//! Whole disasters, one after the other or side by side, each with its own schedule of what goes wrong.
//!
//! `make soak N=200 JOBS=3` plays so many and says what was in them; `make soak SEED=… N=1` plays one of them
//! again. The same seed draws the same schedule; the moments hang on the progress of the run, so that it meets
//! the same things, not the same microsecond.
#![expect(clippy::print_stdout, reason = "this reports to whoever started it")]

mod field;
mod left;
mod operator;
mod schedule;

use std::collections::BTreeMap;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use lab::EtcdVersion;

use self::field::Field;
use self::operator::Operator;
use self::schedule::Schedule;
use crate::harness::{Cluster, dice, until};

/// Where two heads have the state.
const SHARED: &str = "/cm/shared/restore-runbook";

/// What came of a disaster.
struct Came {
    lives: usize,
    met: Vec<&'static str>,
    seconds: f64,
}

/// Plays one; it panics, with all there is to know, if it does not come to its end.
fn disaster(schedule: &Schedule) -> Came {
    let mut cluster = Cluster::with(schedule.lab());
    let begun = Instant::now();
    if schedule.heads == 2 {
        cluster.state = cluster.lab.shared().join("restore-runbook");
    }
    lose(&cluster, schedule);
    let mut operator = Operator::new(Field::new(&cluster, schedule));
    let played = panic::catch_unwind(AssertUnwindSafe(|| {
        operator.restores();
        cluster.everything_is_back();
        left::nothing_is_left(&operator);
    }));
    let (lives, field) = (operator.lives, &operator.field);
    if let Err(panic) = played {
        eprintln!(
            "seed {}: {schedule}\n{}\nonce more: make soak SEED={} N=1",
            schedule.seed,
            field.story(),
            schedule.seed
        );
        panic::resume_unwind(panic);
    }
    let met = field.met().into_iter().map(schedule::What::kind).collect();
    if std::env::var_os("SOAK_STORY").is_some() {
        println!("{}", field.story());
    }
    let id = cluster.lab.layout().id();
    drop(cluster);
    left::no_lab_is_left(&id);
    Came {
        lives,
        met,
        seconds: begun.elapsed().as_secs_f64(),
    }
}

/// Disks and databases go, and the cluster manager has seen it.
fn lose(cluster: &Cluster, schedule: &Schedule) {
    if schedule.lost.len() == cluster.nodes().len() {
        return cluster.lose_all_disks();
    }
    cluster.lab.corrupt_all_databases().expect("disaster");
    for node in &schedule.lost {
        for deed in ["power-fail", "wipe"] {
            cluster.lab.hook(&[deed, &node.name()]).expect(deed);
        }
    }
    until("the lost nodes are seen to be down", || {
        cluster.cmsh("device; status").matches("DOWN").count() == schedule.lost.len()
    });
}

/// Plays a seed, prints its line, and says whether it came to its end.
fn play(seed: u64) -> Option<Came> {
    let schedule = Schedule::draw(seed);
    let player = thread::Builder::new().name(format!("seed {seed}"));
    let player = player.spawn(move || (disaster(&schedule), schedule));
    let Ok((came, schedule)) = player.expect("a thread").join() else {
        println!("seed {seed}: FAILED: {}", Schedule::draw(seed));
        return None;
    };
    let Came { lives, seconds, .. } = came;
    println!("seed {seed}: ok, {lives} lives, {seconds:.0} s: {schedule}");
    Some(came)
}

/// What all of them had.
#[derive(Default)]
struct Sum {
    met: BTreeMap<&'static str, u32>,
    lives: usize,
    seconds: f64,
    played: u32,
    failed: Vec<u64>,
}

impl Sum {
    fn add(&mut self, seed: u64, came: Option<Came>) {
        self.played += 1;
        let Some(came) = came else {
            return self.failed.push(seed);
        };
        self.lives += came.lives;
        self.seconds += came.seconds;
        for what in came.met {
            *self.met.entry(what).or_default() += 1;
        }
    }

    fn tell(&self, wall: f64) {
        println!("\n{:>6}", "times");
        for (what, times) in &self.met {
            println!("{times:>6}  {what}");
        }
        let Self { played, lives, .. } = self;
        println!(
            "{played} disasters, {lives} lives, {} failures {:?}; {wall:.0} s, {:.0} s a disaster",
            self.failed.len(),
            self.failed,
            self.seconds / f64::from((*played).max(1))
        );
    }
}

/// A number from the environment, where `make soak` puts it.
fn given(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok().filter(|text| !text.is_empty())?;
    Some(text.parse().expect("a number"))
}

/// `make soak`.
#[test]
#[ignore = "as long as one likes: make soak"]
fn many() {
    let from = given("SOAK_SEED").unwrap_or_else(|| dice() % 1_000_000_000);
    let count = given("SOAK_N").unwrap_or(1);
    let jobs = given("SOAK_JOBS").unwrap_or(1);
    println!("seeds {from} to {}", from + count - 1);
    let (next, sum, begun) = (
        AtomicU64::new(from),
        Mutex::new(Sum::default()),
        Instant::now(),
    );
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= from + count {
                        break;
                    }
                    let came = play(seed);
                    sum.lock().expect("a sum").add(seed, came);
                }
            });
        }
    });
    let sum = sum.into_inner().expect("a sum");
    sum.tell(begun.elapsed().as_secs_f64());
    assert_eq!(sum.failed, Vec::<u64>::new(), "make soak SEED=… N=1");
}

/// What `make test` plays.
const HANDFUL: [u64; 4] = [16, 66, 105, 110];

fn one_of_the_handful(at: usize) {
    assert!(play(HANDFUL[at]).is_some());
}

#[test]
fn five_members() {
    one_of_the_handful(0);
}

#[test]
fn three_members_and_two_heads() {
    one_of_the_handful(1);
}

#[test]
fn one_member() {
    one_of_the_handful(2);
}

#[test]
fn three_members() {
    one_of_the_handful(3);
}

/// Seeds whose schedules have become others must be chosen anew.
#[test]
fn the_handful_has_something_of_everything() {
    let all = HANDFUL.map(Schedule::draw);
    let has = |kind: &str| {
        let of_kind = |fault: &schedule::Fault| fault.what.kind() == kind;
        all.iter()
            .any(|schedule| schedule.faults.iter().any(of_kind))
    };
    for kind in [
        "SIGKILL",
        "power loss of a node",
        "network cut",
        "disk full",
        "CMDaemon killed",
        "failover",
    ] {
        assert!(has(kind), "{kind}");
    }
    assert_eq!(
        all.each_ref().map(|schedule| schedule.members),
        [5, 3, 1, 3]
    );
    for release in [EtcdVersion::Debian, EtcdVersion::V3_5] {
        assert!(
            all.iter().any(|schedule| schedule.etcd == release),
            "{release:?}"
        );
    }
}
