//! Each kind of file gets its own verdict.

use etcd_adapter::snapshot::ProofError;

use crate::kit::{
    FREELIST, Forgery, HIGH_WATER, PAGE, ROOT, bytes_of, code_of, fixture, good, proof_of,
    proof_of_bytes,
};

const SNAPSHOT: &str = "snap-3.5.30.db";

fn error_of(bytes: &[u8]) -> ProofError {
    proof_of_bytes(bytes).expect_err("not a good snapshot")
}

#[test]
fn nothing_and_something_else_are_told_apart() {
    assert_eq!(error_of(b"").code(), "empty");
    assert_eq!(error_of(b"hello\n").code(), "not-a-snapshot");
    assert_eq!(error_of(&vec![0; 40_000]).code(), "not-a-snapshot");
    assert_eq!(error_of(&b"text ".repeat(9000)).code(), "not-a-snapshot");
    let mut gzip = vec![0x1F, 0x8B, 8, 0];
    gzip.resize(5000, 7);
    let gzip = error_of(&gzip);
    assert_eq!(
        gzip.to_string(),
        "not an etcd snapshot: it is compressed with gzip"
    );
    assert!(gzip.hint().contains("unpack"));
}

#[test]
fn a_lost_trailer_is_not_taken_for_a_copy() {
    let mut bytes = bytes_of(SNAPSHOT);
    let whole = bytes.len() as u64;
    bytes.truncate(bytes.len() - 32);
    match error_of(&bytes) {
        ProofError::Truncated { size, expected } => {
            assert_eq!((size, expected), (whole - 32, whole));
        }
        other => panic!("{other}"),
    }
}

#[test]
fn a_copy_of_a_data_directory_is_one_and_tells_whether_it_is_sound() {
    for name in ["stopped-3.5.30.copy", "unstarted-3.5.30.copy"] {
        let mut bytes = bytes_of(name);
        let content = |bytes: &[u8]| match error_of(bytes) {
            ProofError::NoTrailer { content } => *content,
            other => panic!("{name}: {other}"),
        };
        let sound = content(&bytes).expect("a sound copy");
        assert_eq!(sound.meaning.live_keys, 24);
        assert_eq!(sound.size_bytes, bytes.len() as u64);
        // etcd grows its file ahead of need. This also makes it large enough for two threads.
        bytes.resize(bytes.len() + (16 << 20), 0);
        let grown = content(&bytes).expect("a sound copy");
        assert_eq!(grown.meaning, sound.meaning);
        assert_eq!(grown.database_bytes, sound.database_bytes);
        // A copy of a running member's file: one page is of another moment.
        let root = usize::try_from(Forgery(bytes.clone()).in_meta(ROOT)).expect("a page");
        for page in [root, 3] {
            bytes[page * PAGE..][..8].fill(9);
        }
        assert_eq!(code_of(&content(&bytes)), "structure-damaged", "{name}");
    }
}

#[test]
fn a_cut_copy_is_truncated() {
    let bytes = bytes_of("stopped-3.5.30.copy");
    assert_eq!(error_of(&bytes[..bytes.len() - PAGE]).code(), "truncated");
    assert_eq!(error_of(&bytes[..bytes.len() - 100]).code(), "truncated");
}

#[test]
fn bytes_after_the_end_are_told_from_damage() {
    let mut bytes = bytes_of(SNAPSHOT);
    for extra in [1, 512, PAGE - 32, PAGE] {
        let mut longer = bytes.clone();
        longer.resize(bytes.len() + extra, 0);
        match error_of(&longer) {
            ProofError::Overlong {
                extra: found,
                intact: true,
            } => {
                assert_eq!(found, extra as u64);
            }
            other => panic!("{extra}: {other}"),
        }
    }
    bytes[9000] ^= 1;
    bytes.push(0);
    let error = error_of(&bytes);
    assert!(
        matches!(error, ProofError::Overlong { intact: false, .. }),
        "{error}"
    );
}

#[test]
fn a_wrong_hash_names_both() {
    let mut bytes = bytes_of(SNAPSHOT);
    bytes[20_000] ^= 0x10;
    let error = error_of(&bytes);
    let ProofError::BytesDamaged { expected, got } = error else {
        panic!("{error}");
    };
    assert_eq!(expected, good(SNAPSHOT).sha256);
    assert_ne!(expected, got);
    assert!(
        error
            .hint()
            .contains("--skip-hash-check` would restore the damage")
    );
}

#[test]
fn a_large_file_goes_through_two_threads_to_the_same_verdicts() {
    let mut forgery = Forgery::of(SNAPSHOT);
    forgery.grow(1000);
    let proof = proof_of_bytes(&forgery.sealed()).expect("a good snapshot");
    assert_eq!(proof.meaning, good(SNAPSHOT).meaning);
    assert_eq!(proof.status_hash, good(SNAPSHOT).status_hash);
    let mut bytes = forgery.sealed();
    bytes[100 * PAGE] ^= 1;
    assert_eq!(error_of(&bytes).code(), "bytes-damaged");
    forgery.0[2 * PAGE..3 * PAGE].fill(0xAA);
    forgery.0[5 * PAGE..6 * PAGE].fill(0xAA);
    assert_eq!(error_of(&forgery.sealed()).code(), "structure-damaged");
}

#[test]
fn both_metas_of_a_snapshot_must_be_whole() {
    for page in [0u64, 1] {
        let mut forgery = Forgery::of(SNAPSHOT);
        forgery.0[usize::from(page == 1) * PAGE + 30] ^= 1;
        let error = error_of(&forgery.sealed());
        assert!(
            matches!(error, ProofError::StructureDamaged { page: found, .. } if found == page),
            "{error}"
        );
    }
    let mut forgery = Forgery::of(SNAPSHOT);
    forgery.0[30] ^= 1;
    forgery.0[PAGE + 30] ^= 1;
    assert_eq!(error_of(&forgery.sealed()).code(), "not-a-snapshot");
}

#[test]
fn impossible_metas_are_structural_damage() {
    for (at, value) in [
        (ROOT, 0),
        (ROOT, 1),
        (ROOT, 6),
        (ROOT, u64::MAX),
        (HIGH_WATER, 0),
        (HIGH_WATER, u64::MAX),
        (FREELIST, 2),
        (FREELIST, 77),
    ] {
        let mut forgery = Forgery::of(SNAPSHOT);
        forgery.set_in_metas(at, value);
        let verdict = proof_of_bytes(&forgery.sealed());
        assert_eq!(code_of(&verdict), "structure-damaged", "{value} at {at}");
    }
    let mut forgery = Forgery::of(SNAPSHOT);
    forgery.set_in_metas(HIGH_WATER, 1 << 40);
    assert_eq!(error_of(&forgery.sealed()).code(), "truncated");
}

/// etcd's files have no freelist, but bolt can write one.
#[test]
fn a_freelist_may_only_name_free_pages() {
    let verdict = |free: &[u64]| {
        let mut forgery = Forgery::of(SNAPSHOT);
        let list = forgery.0.len();
        forgery.grow(2);
        let page = (list / PAGE) as u64;
        forgery.set_in_metas(FREELIST, page);
        forgery.0[list..list + 8].copy_from_slice(&page.to_le_bytes());
        forgery.0[list + 8..list + 12].copy_from_slice(&[0x10, 0, 0xFF, 0xFF]);
        let count = free.len() as u64;
        for (i, number) in [count].iter().chain(free).enumerate() {
            forgery.0[list + 16 + 8 * i..][..8].copy_from_slice(&number.to_le_bytes());
        }
        code_of(&proof_of_bytes(&forgery.sealed()))
    };
    let unused = (Forgery::of(SNAPSHOT).0.len() / PAGE) as u64 + 1;
    assert_eq!(verdict(&[]), "good");
    assert_eq!(verdict(&[unused]), "good");
    assert_eq!(verdict(&[unused, unused]), "structure-damaged");
    assert_eq!(verdict(&[0]), "structure-damaged");
    assert_eq!(verdict(&[u64::MAX]), "structure-damaged");
    assert_eq!(verdict(&[9; 600]), "structure-damaged");
}

#[test]
fn a_database_of_another_program_is_not_a_snapshot() {
    let mut forgery = Forgery::of("empty-3.5.30.db");
    forgery.replace(b"key", b"kez");
    forgery.replace(b"meta", b"mets");
    let error = error_of(&forgery.sealed());
    assert!(
        error
            .to_string()
            .ends_with("a bolt database, but without etcd's buckets"),
        "{error}"
    );
}

#[test]
fn records_that_etcd_would_not_write_are_damage_in_meaning() {
    // The separator in the keys of the `key` bucket.
    let mut forgery = Forgery::of("plain-3.5.30.db");
    let mut revision = 7u64.to_be_bytes().to_vec();
    revision.push(b'_');
    let mut spoilt = revision.clone();
    spoilt[8] = b'-';
    forgery.replace(&revision, &spoilt);
    assert_eq!(error_of(&forgery.sealed()).code(), "meaning-damaged");
    // A record moved to another revision.
    let mut forgery = Forgery::of("plain-3.5.30.db");
    let mut moved = 25u64.to_be_bytes().to_vec();
    moved.push(b'_');
    let mut later = 26u64.to_be_bytes().to_vec();
    later.push(b'_');
    forgery.replace(&moved, &later);
    let error = error_of(&forgery.sealed());
    assert!(
        error
            .to_string()
            .contains("revision 26 sub 0: its value was written at"),
        "{error}"
    );
    // A member that cannot be read.
    let mut forgery = Forgery::of("plain-3.5.30.db");
    forgery.replace(b"\"peerURLs\":[", b"\"peerURLs\":{");
    let error = error_of(&forgery.sealed());
    assert!(error.to_string().contains("of bucket members"), "{error}");
}

#[test]
fn every_verdict_has_a_hint() {
    for verdict in [
        error_of(b""),
        error_of(b"x"),
        error_of(&bytes_of(SNAPSHOT)[..9000]),
        proof_of(&fixture("stopped-3.5.30.copy")).expect_err("a copy"),
        proof_of(&fixture("no such file")).expect_err("nothing"),
    ] {
        assert!(!verdict.hint().is_empty());
        assert!(
            verdict.to_string().starts_with(char::is_lowercase),
            "{verdict}"
        );
    }
}
