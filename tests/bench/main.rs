//! Proving a snapshot beside what others do with the same file, and taking one, in one run: `make bench`.
//!
//! Warm, the measure is `openssl dgst -sha256`, which does a part of the work; cold, it is reading the
//! file from start to end. Programs take turns, so that a busy moment of the machine hits all of them.
//!
//! `BENCH_STORES` picks from `objects-1 small-1 objects-4` (the number is the size in GB),
//! `BENCH_ROUNDS` says how often (5). Snapshots are made once and kept in `target/tmp/bench`.
#![expect(clippy::print_stdout, reason = "the table is what it is for")]

#[expect(dead_code, reason = "the tests need more of it")]
#[path = "../snapshots/member.rs"]
mod member;
#[expect(dead_code, reason = "the tests need more of it")]
#[path = "../snapshots/workload.rs"]
mod workload;

mod backup;
mod measure;
mod store;
mod table;

use std::path::Path;
use std::process::{Command, ExitCode};
use std::{env, fs};

use backup::Source;
use measure::{Cache, Rival, Series};
use member::Release;

/// The tool.
const TOOL: &str = env!("CARGO_BIN_EXE_restore-runbook");
/// Seconds after which a program has no more turns.
const PATIENCE_S: f64 = 90.0;

fn main() -> ExitCode {
    let releases = Release::every();
    println!("{}", table::machine());
    let chosen = env::var("BENCH_STORES").unwrap_or_else(|_| "objects-1 small-1 objects-4".into());
    for name in chosen.split_whitespace() {
        let Some(store) = store::Store::named(name) else {
            println!("{name}: no such store");
            return ExitCode::FAILURE;
        };
        if let Err(reason) = store.fits() {
            println!("\n{name}: left out, {reason}");
            continue;
        }
        let file = store.snapshot(&releases[1]);
        let title = |what: &str| format!("{name}, {} MB, {what}", size(&file) / 1_000_000);
        for (cache, what, base) in [(Cache::Warm, "warm", 0), (Cache::Cold, "cold", 1)] {
            let all = run(rivals(&file, &releases), || cache.prepare(&file));
            println!("{}", table::of(&title(what), size(&file), &all[base], &all));
        }
        let source = Source::of(&file, &releases[1]);
        let all = run(source.rivals(), || drop(source.clear()));
        println!(
            "{}",
            table::of(
                &title("taken from a member over TLS"),
                size(&file),
                &all[0],
                &all
            )
        );
    }
    ExitCode::SUCCESS
}

/// Every program's turns, each after `prepare`.
fn run(rivals: Vec<Rival>, prepare: impl Fn()) -> Vec<Series> {
    let rounds = env::var("BENCH_ROUNDS")
        .ok()
        .and_then(|rounds| rounds.parse().ok());
    let mut series: Vec<_> = rivals.into_iter().map(Series::new).collect();
    for _ in 0..rounds.unwrap_or(5) {
        for one in &mut series {
            if one.seconds().sum::<f64>() < PATIENCE_S {
                prepare();
                one.turn();
            }
        }
    }
    series
}

/// The first is what warm turns are measured against, the second what cold ones are.
fn rivals(file: &Path, releases: &[Release]) -> Vec<Rival> {
    let rival = |name: &str, program: &str, arguments: &[&str]| {
        let mut command = Command::new(program);
        command.args(arguments).arg(file);
        Rival {
            name: name.to_owned(),
            command,
        }
    };
    let mut read = Command::new("dd");
    let mut from = std::ffi::OsString::from("if=");
    from.push(file);
    read.arg(from)
        .args(["of=/dev/null", "bs=1M", "status=none"]);
    let mut all = vec![
        rival("openssl dgst -sha256", "openssl", &["dgst", "-sha256"]),
        Rival {
            name: "sequential read (dd)".into(),
            command: read,
        },
        rival(
            "restore-runbook verify",
            TOOL,
            &["verify", "--format", "json"],
        ),
    ];
    for release in releases {
        let mut command = release.offline();
        let program = Path::new(command.get_program())
            .file_name()
            .unwrap_or_default();
        let name = format!(
            "{} {} snapshot status",
            program.display(),
            release.version()
        );
        command.args(["snapshot", "status", "-w", "json"]).arg(file);
        all.push(Rival { name, command });
    }
    all
}

/// The size of a file in bytes.
fn size(file: &Path) -> u64 {
    fs::metadata(file).map_or(0, |metadata| metadata.len())
}
