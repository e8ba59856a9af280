//! However a file is made, only so much memory is taken: each is proved in a process that cannot have
//! more, and would be ended by the first allocation beyond.

use std::env;
use std::path::Path;
use std::process::Command;

use rustix::process::{Resource, Rlimit, setrlimit};

use crate::bolt::{BUCKET, Bolt, PAIR, Place, in_page, inline, record};
use crate::kit::{PAGE, code_of, proof_of};

/// The documented bound, and what a process of tests takes besides: code and the stacks of threads.
const PROOF_BYTES: u64 = 128 << 20;
const PROCESS_BYTES: u64 = 48 << 20;

/// Names the file for the process that proves it.
const FILE: &str = "SNAPSHOT_TO_PROVE_IN_LITTLE_MEMORY";

/// Proves a file in another process, with its memory limited; the code of the verdict.
fn code_in_little_memory(file: &Path) -> String {
    let this = env::current_exe().expect("this program");
    let output = Command::new(this)
        .args([
            "--exact",
            "memory::proves_in_little_memory",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(FILE, file)
        .output()
        .expect("a process");
    let text = String::from_utf8_lossy(&output.stdout);
    let verdict = text
        .split_once("verdict: ")
        .and_then(|(_, rest)| rest.lines().next());
    let Some(verdict) = verdict.filter(|_| output.status.success()) else {
        panic!("{}: {output:?}", file.display());
    };
    verdict.to_owned()
}

/// What the other process runs; by itself it has nothing to do.
#[test]
#[expect(clippy::print_stdout, reason = "the other process listens")]
fn proves_in_little_memory() {
    let Some(file) = env::var_os(FILE) else {
        return;
    };
    let limit = Some(PROOF_BYTES + PROCESS_BYTES);
    let limit = Rlimit {
        current: limit,
        maximum: limit,
    };
    setrlimit(Resource::As, limit).expect("a limit");
    println!("verdict: {}", code_of(&proof_of(Path::new(&file))));
}

/// The limit is a real one.
#[test]
fn a_process_with_little_memory_ends_when_it_wants_more() {
    let status = Command::new("prlimit")
        .args(["--as=50000000", "head", "-c", "1", "/dev/zero"])
        .status()
        .expect("util-linux is installed");
    assert!(status.success());
    let status = Command::new("prlimit")
        .args([
            "--as=50000000",
            "dd",
            "if=/dev/zero",
            "of=/dev/null",
            "bs=60M",
            "count=1",
        ])
        .output()
        .expect("util-linux is installed")
        .status;
    assert!(!status.success());
}

/// Leaves of one record for each number, each of another key.
fn leaves(bolt: &mut Bolt, revisions: std::ops::Range<u32>) -> Vec<Place> {
    let mut places = Vec::new();
    for start in revisions.clone().step_by(70) {
        let end = revisions.end.min(start + 70);
        let records: Vec<_> = (start..end)
            .map(|revision| record(revision, &revision.to_be_bytes(), b""))
            .collect();
        let pairs: Vec<_> = records
            .iter()
            .map(|(key, value)| (PAIR, &key[..], &value[..]))
            .collect();
        places.push(bolt.leaf(&pairs));
    }
    places
}

/// The largest node, when as many keys as can be are known already.
#[test]
fn the_largest_node_beside_the_most_keys_is_within_bounds() {
    let mut bolt = Bolt::new(PAGE);
    let (key, value) = record(1, b"large", &vec![7; 63 << 20]);
    let mut places = vec![bolt.leaf(&[(PAIR, &key, &value)])];
    places.extend(leaves(&mut bolt, 2..3_600_000));
    let keys = bolt.tree(places);
    assert_eq!(code_in_little_memory(bolt.with_keys(keys).path()), "good");
}

/// More keys than are remembered at a time.
#[test]
fn more_keys_than_are_held_are_within_bounds() {
    let mut bolt = Bolt::new(PAGE);
    let places = leaves(&mut bolt, 1..4_300_000);
    let keys = bolt.tree(places);
    let file = bolt.with_keys(keys);
    assert_eq!(code_in_little_memory(file.path()), "good");
    let proof = proof_of(file.path()).expect("a good snapshot");
    assert_eq!(proof.meaning.live_keys, 4_299_999);
}

#[test]
fn a_node_beyond_all_measure_is_not_read() {
    let mut bolt = Bolt::new(PAGE);
    let (key, value) = record(1, b"large", &vec![7; 70 << 20]);
    let (_, keys) = bolt.leaf(&[(PAIR, &key, &value)]);
    assert_eq!(
        code_in_little_memory(bolt.with_keys(keys).path()),
        "beyond-limits"
    );
}

/// A path of large branches: read from the end, each leads to the next before any is done with.
#[test]
fn a_path_of_large_nodes_is_within_bounds() {
    let mut bolt = Bolt::new(PAGE);
    let (key, value) = record(1, b"key", b"");
    let mut place = bolt.leaf(&[(PAIR, &key, &value)]);
    for depth in 0..40 {
        let before = (vec![0; (4 << 20) - depth], 1);
        place = bolt.branch(&[before, place]);
    }
    let code = code_in_little_memory(bolt.with_keys(place.1).path());
    assert_eq!(code, "beyond-limits");
}

/// Pages of 16 MiB, the largest there may be, each full of one bucket.
#[test]
fn large_buckets_in_the_root_are_not_kept() {
    let mut bolt = Bolt::new(16 << 20);
    let places = (0..14u8)
        .map(|name| bolt.leaf(&[(BUCKET, &[name], &inline(15 << 20))]))
        .collect();
    let root = bolt.tree(places);
    assert_eq!(
        code_in_little_memory(bolt.finish(root).path()),
        "beyond-limits"
    );
}

#[test]
fn long_names_of_buckets_are_not_kept() {
    let mut bolt = Bolt::new(PAGE);
    let places = (0..8)
        .map(|name| bolt.leaf(&[(BUCKET, &vec![name; 30 << 20], &inline(32))]))
        .collect();
    let root = bolt.tree(places);
    assert_eq!(
        code_in_little_memory(bolt.finish(root).path()),
        "beyond-limits"
    );
}

/// Three bytes of JSON become a string of twenty-four.
#[test]
fn a_member_of_many_addresses_is_within_bounds() {
    for (addresses, code) in [(300_000, "good"), (2_000_000, "beyond-limits")] {
        let mut bolt = Bolt::new(PAGE);
        let list = vec!["\"\""; addresses].join(",");
        let member = format!("{{\"id\":1,\"peerURLs\":[{list}]}}");
        let (_, members) = bolt.leaf(&[(PAIR, b"1", member.as_bytes())]);
        let (key, value) = record(1, b"key", b"");
        let (_, keys) = bolt.leaf(&[(PAIR, &key, &value)]);
        let (keys, members) = (in_page(keys), in_page(members));
        let (_, root) = bolt.leaf(&[(BUCKET, b"key", &keys), (BUCKET, b"members", &members)]);
        assert_eq!(code_in_little_memory(bolt.finish(root).path()), code);
    }
}
