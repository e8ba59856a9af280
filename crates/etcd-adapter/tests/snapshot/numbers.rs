//! Every number equals the one that etcd gives.

use crate::kit::{fixture, good, proof_of};
use etcd_adapter::snapshot::ProofError;

/// One line of `expected.tsv`.
struct Expected<'a> {
    name: &'a str,
    version: &'a str,
    numbers: Vec<i64>,
}

fn expected() -> impl Iterator<Item = Expected<'static>> {
    include_str!("../fixtures/expected.tsv")
        .lines()
        .map(|line| {
            let mut fields = line.split('\t');
            let (name, version) = (
                fields.next().expect("a name"),
                fields.next().expect("a version"),
            );
            Expected {
                name,
                version,
                numbers: fields
                    .map(|field| field.parse().expect("a number"))
                    .collect(),
            }
        })
}

#[test]
fn every_number_equals_the_one_etcd_gives() {
    assert!(expected().count() >= 20);
    for Expected {
        name,
        version,
        numbers,
    } in expected()
    {
        let proof = good(name);
        let meaning = &proof.meaning;
        // From 3.6 on `status` counts keys that are live, and the keyless record of a bump with them.
        let total_key = if version.starts_with("3.6") {
            meaning.live_keys + u64::from(name.starts_with("bumped"))
        } else {
            proof.total_key
        };
        let ours = [
            proof.status_hash.into(),
            meaning.newest_record,
            total_key.cast_signed(),
            proof.database_bytes.cast_signed(),
            meaning.hash_kv.hash.into(),
            meaning.hash_kv.revision,
            meaning.hash_kv.compact_revision,
            meaning.live_keys.cast_signed(),
        ];
        assert_eq!(ours.as_slice(), numbers, "{name} of etcd {version}");
        assert_eq!(meaning.revision, meaning.hash_kv.revision, "{name}");
    }
}

/// What etcd 3.5.30 said after restoring each with
/// `etcdutl snapshot restore FILE --data-dir d --bump-revision 1000000 --mark-compacted`,
/// `etcd --data-dir d` and `etcdctl endpoint hashkv -w json`: hash and revision, which was the compact
/// revision too.
const BUMPED: [(&str, u32, i64); 8] = [
    ("plain-3.5.30.db", 962_863_622, 1_000_025),
    ("compacted-3.5.30.db", 2_229_024_565, 1_000_052),
    ("txn-3.5.30.db", 987_480_565, 1_000_016),
    ("bumped-3.5.30.db", 1_155_647_173, 2_000_026),
    ("gone-3.5.30.db", 3_016_898_160, 1_000_011),
    ("empty-3.5.30.db", 2_904_434_528, 1_000_000),
    ("swept-3.5.30.db", 3_016_898_160, 1_000_011),
    ("snap-3.4.23.db", 3_029_967_355, 1_000_041),
];

#[test]
fn the_hash_after_a_bump_is_foretold() {
    for (name, hash, revision) in BUMPED {
        let foretold = good(name)
            .meaning
            .hash_kv_after_bump(1_000_000)
            .expect("a hash");
        assert_eq!(
            (foretold.hash, foretold.revision),
            (hash, revision),
            "{name}"
        );
        assert_eq!(foretold.compact_revision, revision, "{name}");
    }
    assert_eq!(good("swept-3.4.23.db").meaning.hash_kv_after_bump(5), None);
}

/// The compaction that the bump scheduled has not run in this file: what it will remove is there, but
/// not hashed, so the hash is the one that etcd gives after it ran.
#[test]
fn a_compaction_still_to_come_is_counted_in() {
    let error = proof_of(&fixture("unstarted-3.5.30.copy")).expect_err("it has no trailer");
    let ProofError::NoTrailer { content } = error else {
        panic!("{error}");
    };
    let meaning = content.expect("its content is sound").meaning;
    let (_, hash, revision) = BUMPED[0];
    assert_eq!(
        (meaning.hash_kv.hash, meaning.hash_kv.revision),
        (hash, revision)
    );
    assert_eq!(meaning.hash_kv.compact_revision, revision);
    assert_eq!(meaning.live_keys, good("plain-3.5.30.db").meaning.live_keys);
}
