//! Plays many seeds of the simulator, on every core, and says what was in them.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is a program"
)]

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use clap::Parser;
use runbook_core::testkit::sim::shrink;
use sim::Through;

/// A history is many small pieces, and every core makes them at once.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// After so many seeds a long run says how far it is.
const SIGN_OF_LIFE: u64 = 250_000;

/// Plays seeds of the simulator.
#[derive(Parser)]
struct Args {
    /// How many seeds.
    #[arg(default_value_t = 20_000)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// On so many threads; as many as there are cores by default.
    #[arg(long)]
    jobs: Option<usize>,
    /// What the run asks the world through.
    #[arg(long, value_enum, default_value_t)]
    through: Through,
    /// Prints one history, byte for byte, and its script.
    #[arg(long)]
    show: bool,
    /// Goes on behind a seed that breaks a rule, and only counts them.
    #[arg(long)]
    count: bool,
}

/// What all seeds had.
#[derive(Default)]
struct Sum {
    /// How many histories had it, and how often in all.
    had: BTreeMap<String, (u64, u64)>,
    lives: u64,
    most_lives: u32,
    broken: BTreeMap<String, Vec<u64>>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    if args.show {
        let script = args.through.draw(args.from);
        let history = args.through.play(&script);
        println!("{}\n{:?}", history.text(), history.broken);
        println!("{}", serde_json::to_string(&script).unwrap_or_default());
        return ExitCode::SUCCESS;
    }
    let jobs = args
        .jobs
        .or(thread::available_parallelism().ok().map(Into::into));
    let (next, stop) = (AtomicU64::new(args.from), AtomicBool::new(false));
    let (sum, begun) = (Mutex::new(Sum::default()), Instant::now());
    thread::scope(|scope| {
        for _ in 0..jobs.unwrap_or(1) {
            scope.spawn(|| {
                let own = play(&args, &next, &stop);
                if let Ok(mut sum) = sum.lock() {
                    sum.add(own);
                }
            });
        }
    });
    let played = next.into_inner().min(args.from + args.seeds) - args.from;
    let sum = sum.into_inner().unwrap_or_default();
    sum.tell(played, begun.elapsed().as_secs_f64());
    sum.verdict(&args)
}

/// Plays until there is no seed left, or one has broken a rule.
fn play(args: &Args, next: &AtomicU64, stop: &AtomicBool) -> Sum {
    let mut sum = Sum::default();
    while args.count || !stop.load(Ordering::Relaxed) {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= args.from + args.seeds {
            break;
        }
        let before = seed - args.from;
        if before > 0 && before.is_multiple_of(SIGN_OF_LIFE) {
            eprintln!("{before} seeds begun");
        }
        let history = args.through.play(&args.through.draw(seed));
        sum.lives += u64::from(history.lives);
        sum.most_lives = sum.most_lives.max(history.lives);
        for (what, times) in history.had {
            let all = sum.had.entry(what).or_default();
            *all = (all.0 + 1, all.1 + u64::from(times));
        }
        if let Some(rule) = history.broken {
            stop.store(true, Ordering::Relaxed);
            eprintln!("seed {seed}: {rule}");
            sum.broken.entry(kind(&rule)).or_default().push(seed);
        }
    }
    sum
}

impl Sum {
    fn add(&mut self, other: Self) {
        self.lives += other.lives;
        self.most_lives = self.most_lives.max(other.most_lives);
        for (what, (histories, times)) in other.had {
            let all = self.had.entry(what).or_default();
            *all = (all.0 + histories, all.1 + times);
        }
        for (rule, seeds) in other.broken {
            self.broken.entry(rule).or_default().extend(seeds);
        }
    }

    fn tell(&self, played: u64, seconds: f64) {
        println!("{:>12} {:>12}", "histories", "times");
        for (what, (histories, times)) in &self.had {
            println!("{histories:>12} {times:>12}  {what}");
        }
        let (seeds, lives) = (count(played), self.lives);
        println!(
            "{played} seeds, {lives} lives, at most {} of one history; {seconds:.1} s, {:.0} seeds/s",
            self.most_lives,
            seeds / seconds
        );
    }

    fn verdict(&self, args: &Args) -> ExitCode {
        if self.broken.is_empty() {
            println!("no rule was broken");
            return ExitCode::SUCCESS;
        }
        if args.count {
            for (rule, seeds) in &self.broken {
                println!("{} seeds, as {}: {rule}", seeds.len(), seeds[0]);
            }
            return ExitCode::FAILURE;
        }
        let seeds = self.broken.values().flatten();
        if let Some(seed) = seeds.min() {
            let through = args.through;
            let breaks = |script: &_| through.play(script).broken.is_some();
            let smallest = shrink(&through.draw(*seed), breaks);
            let history = through.play(&smallest);
            println!("\n{}", history.text());
            println!("\nseed {seed}: {}", history.broken.unwrap_or_default());
            let line = serde_json::to_string(&smallest).unwrap_or_default();
            println!("to be kept in {}:\n{line}", through.kept());
        }
        ExitCode::FAILURE
    }
}

/// A rule without its time, and without numbers of nodes.
fn kind(rule: &str) -> String {
    let rule = rule.split_once("s: ").map_or(rule, |(_, rule)| rule);
    rule.replace(|c: char| c.is_ascii_digit(), "")
}

#[expect(clippy::cast_precision_loss, reason = "a rate, for people")]
const fn count(number: u64) -> f64 {
    number as f64
}
