//! The proof of snapshot files: equal to etcd's own numbers on good ones, and a verdict on any other.
//!
//! The good ones are real: `fixtures/make.sh` took them from etcd 3.4.23, 3.5.1 and 3.5.30 and wrote
//! what etcd says of each into `fixtures/expected.tsv`.

use std::path::{Path, PathBuf};

use etcd_adapter::snapshot::{Proof, ProofError, prove};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

fn proof_of(path: &Path) -> Result<Proof, ProofError> {
    prove(path, &mut |_| {})
}

fn good(name: &str) -> Proof {
    proof_of(&fixture(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// One line of `expected.tsv`.
struct Expected<'a> {
    name: &'a str,
    version: &'a str,
    numbers: Vec<i64>,
}

fn expected() -> impl Iterator<Item = Expected<'static>> {
    include_str!("fixtures/expected.tsv").lines().map(|line| {
        let mut fields = line.split('\t');
        let (name, version) = (fields.next().unwrap(), fields.next().unwrap());
        Expected {
            name,
            version,
            numbers: fields.map(|field| field.parse().unwrap()).collect(),
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
        let ours = [
            proof.status_hash.into(),
            meaning.newest_record,
            proof.total_key.cast_signed(),
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
