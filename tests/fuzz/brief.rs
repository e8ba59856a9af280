//! The fuzz targets in brief: over their corpora, and over a fixed number of inputs bred from those and
//! from what real programs have written. `make fuzz` goes on for as long as one likes.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod breed;
mod judges;

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZero;
use std::path::Path;
use std::sync::Mutex;
use std::thread;

use breed::Dice;
use judges::Judge;

/// A larger seed makes each input slow and few of its bytes matter.
const SEED_BYTES: u64 = 120_000;

/// Each input's word, and how often it was said.
type Words = BTreeMap<&'static str, usize>;

fn seeds(name: &str, also: &[&str]) -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let corpus = format!("tests/fuzz/corpus/{name}");
    let mut paths = Vec::new();
    for place in std::iter::once(&*corpus).chain(also.iter().copied()) {
        let place = root.join(place);
        if place.is_file() {
            paths.push(place);
            continue;
        }
        let entries = fs::read_dir(&place).unwrap_or_else(|_| panic!("{}", place.display()));
        let entries = entries.map(|entry| entry.unwrap().path());
        paths.extend(entries.filter(|path| {
            path.extension()
                .is_none_or(|kind| kind != "tsv" && kind != "sh")
        }));
    }
    paths.sort();
    paths.retain(|path| path.metadata().unwrap().len() < SEED_BYTES);
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// Judges the seeds and so many inputs bred from them, on every core.
fn judged(
    name: &str,
    also: &[&str],
    inputs: usize,
    breed: fn(&mut Dice, &[Vec<u8>]) -> Vec<u8>,
) -> Words {
    let judge: Judge = judges::of(name);
    let seeds = seeds(name, also);
    assert!(seeds.len() > 2, "the corpus of {name} is there");
    let threads = thread::available_parallelism().map_or(4, NonZero::get);
    let words = Mutex::new(Words::new());
    thread::scope(|scope| {
        for thread in 0..threads {
            let (seeds, words) = (&seeds, &words);
            scope.spawn(move || {
                let mut said = Words::new();
                for seed in seeds.iter().skip(thread).step_by(threads) {
                    judge(seed);
                }
                for input in (thread..inputs).step_by(threads) {
                    // By the input's number, so that it does not depend on the machine.
                    let mut dice = Dice::of(input);
                    let bytes = breed(&mut dice, seeds);
                    *said.entry(judge(&bytes)).or_default() += 1;
                }
                let mut words = words.lock().unwrap();
                for (word, count) in said {
                    *words.entry(word).or_default() += count;
                }
            });
        }
    });
    words.into_inner().unwrap()
}

/// They get past the first checks, and not all of them fall at the same one.
fn reaches(words: &Words, inputs: usize, wanted: &[&str]) {
    for word in wanted {
        assert!(
            words.get(word).is_some_and(|count| *count > inputs / 1000),
            "{word} in {words:?}"
        );
    }
}

#[test]
fn every_target_has_a_corpus_and_a_binary() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz");
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let mut corpora: Vec<String> = fs::read_dir(root.join("corpus"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    corpora.sort();
    let names: Vec<&str> = judges::ALL.iter().map(|(name, _)| *name).collect();
    assert_eq!(corpora, names);
    for name in names {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
    }
}

/// A question of a port that its judge does not ask is answered without one. What a judge does not have done, it
/// does not compile without.
#[test]
fn every_question_of_a_port_is_asked() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap();
    let ports = read("crates/runbook-core/src/ports.rs");
    // Of the tool's, two are about files of the head node, which have targets of their own.
    for (port, judge, asked, elsewhere) in [
        ("ClusterManager", "cmsh", "cmsh", &[][..]),
        ("Node", "node", "nodes", &[]),
        ("EtcdTool", "tool", "tool", &["prove", "recorded"]),
    ] {
        let (_, port_and_rest) = ports.split_once(&format!("pub trait {port}: ")).unwrap();
        let (port_only, _) = port_and_rest.split_once("\n}\n").unwrap();
        let judge = read(&format!("tests/fuzz/judges/{judge}.rs"));
        let lines = port_only.lines().map(str::trim);
        let methods = lines.filter_map(|line| line.strip_prefix("async fn "));
        let mut count = 0;
        for method in methods.map(|rest| rest.split('(').next().unwrap()) {
            let call = format!("{asked}.{method}(");
            let is_asked = judge.contains(&call) || elsewhere.contains(&method);
            assert!(is_asked, "{port}::{method}");
            count += 1;
        }
        assert!(count > 5, "{port} has been read");
    }
}

#[test]
fn snapshots() {
    let inputs = 20_000;
    let also = ["crates/etcd-adapter/tests/fixtures"];
    let words = judged("snapshot", &also, inputs, breed::pages);
    reaches(
        &words,
        inputs,
        &["good", "structure-damaged", "meaning-damaged"],
    );
}

#[test]
fn specs() {
    let inputs = 4_000;
    let words = judged("spec", &["examples/specs"], inputs, breed::text);
    reaches(&words, inputs, &["good", "spec-syntax", "spec-value"]);
}

#[test]
fn plans() {
    let inputs = 800;
    let also = [
        "crates/runbook-core/tests/fixtures/plan-1.0.json",
        "crates/runbook-core/tests/plans/one-member.json",
    ];
    let words = judged("plan", &also, inputs, breed::text);
    reaches(&words, inputs, &["good", "plan-unreadable", "plan-broken"]);
}

#[test]
fn journals() {
    let inputs = 2_000;
    let also = ["crates/runbook-core/tests/fixtures/journal-1.0.jsonl"];
    let words = judged("journal", &also, inputs, breed::text);
    reaches(
        &words,
        inputs,
        &["good", "journal-illegal", "journal-damaged"],
    );
}

#[test]
fn the_small_files_of_the_state_directory() {
    let inputs = 4_000;
    let words = judged("lock", &[], inputs, breed::text);
    reaches(&words, inputs, &["good", "it does not say whose"]);
    let words = judged("given-up", &[], inputs, breed::text);
    reaches(&words, inputs, &["good", "state-io"]);
    let words = judged("keys", &[], inputs, breed::text);
    reaches(&words, inputs, &["good", "none", "ssh-known-hosts"]);
}

#[test]
fn what_lies_beside_backups() {
    let inputs = 10_000;
    let refused = ["good", "backup-record-refused", "backup-record-newer"];
    let words = judged("manifest", &[], inputs, breed::text);
    reaches(&words, inputs, &refused);
    let words = judged("revision", &[], inputs, breed::text);
    reaches(&words, inputs, &refused);
}

#[test]
fn bundles() {
    let inputs = 3_000;
    let words = judged("bundle", &[], inputs, breed::text);
    reaches(&words, inputs, &["good", "bundle-not-one"]);
}

#[test]
fn the_doctors_questions() {
    let inputs = 1_000;
    let words = judged("doctor", &[], inputs, breed::text);
    let unread = ["client-ca", "backup-directory", "clock", "api-server"];
    reaches(&words, inputs, &[&["good"], &unread[..]].concat());
}

#[test]
fn answers_of_cmsh() {
    let inputs = 4_000;
    let words = judged("cmsh", &[], inputs, breed::text);
    reaches(
        &words,
        inputs,
        &["good", "cmsh-answer", "cmsh-refused", "etcd-role"],
    );
}

#[test]
fn answers_of_nodes() {
    let inputs = 4_000;
    let words = judged("node", &[], inputs, breed::text);
    reaches(&words, inputs, &["good", "node-answer", "node-question"]);
    let words = judged("tool", &[], inputs, breed::text);
    reaches(
        &words,
        inputs,
        &["good", "etcd-node-answer", "etcd-node-query"],
    );
}
