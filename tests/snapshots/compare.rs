//! Our numbers and etcd's, of the same store.

use std::path::{Path, PathBuf};

use etcd_adapter::snapshot::{Meaning, Proof, prove};
use etcd_client::{AlarmAction, AlarmType, Client, Error, GetOptions};

use crate::member::{Member, Release};

/// A snapshot of a member, and what it proves to be.
pub(crate) struct Taken {
    pub(crate) path: PathBuf,
    pub(crate) proof: Proof,
}

/// Takes a snapshot and compares every number in it with what the member and etcd's tools say.
pub(crate) fn equal(member: &Member, name: &str) -> Taken {
    let label = format!("{name}, etcd {}", member.release.version());
    let now = member.hash_kv(0);
    let path = member.save(&format!("{name}.db"));
    let proof = prove(&path, &mut |_| {}).unwrap_or_else(|error| panic!("{label}: {error}"));
    let meaning = &proof.meaning;

    let foretold = meaning.hash_kv;
    assert_eq!(
        (foretold.hash, foretold.revision, foretold.compact_revision),
        now,
        "{label}"
    );
    // At the compact revision itself etcd answers for the current one only.
    if foretold.revision != foretold.compact_revision {
        assert_eq!(
            member.hash_kv(foretold.revision).0,
            foretold.hash,
            "{label}"
        );
    }
    same_status(&member.release, &path, &proof, &label);
    member.client(async |client| same_store(client, meaning, &label).await);
    // A restore with 3.4 leaves the members from before in the file, and goes by another list.
    let exact = member.release.minor() > 4;
    member.client(async |client| same_cluster(client, meaning, exact, &label).await);
    Taken { path, proof }
}

/// `snapshot status` says the same.
pub(crate) fn same_status(release: &Release, path: &Path, proof: &Proof, label: &str) {
    let status = release.status(path);
    let number = |field: &str| status[field].as_u64();
    assert_eq!(number("hash"), Some(proof.status_hash.into()), "{label}");
    assert_eq!(
        status["revision"].as_i64(),
        Some(proof.meaning.newest_record),
        "{label}"
    );
    assert_eq!(number("totalSize"), Some(proof.database_bytes), "{label}");
    let keys = if release.minor() < 6 {
        proof.total_key
    } else {
        // The record that a bump leaves has no key, and is counted.
        proof.meaning.live_keys + u64::from(label.starts_with("bumped"))
    };
    assert_eq!(number("totalKey"), Some(keys), "{label}");
}

async fn same_store(client: &mut Client, meaning: &Meaning, label: &str) -> Result<(), Error> {
    let count = GetOptions::new().with_count_only();
    let every = client
        .get("", Some(count.clone().with_all_keys()))
        .await?
        .count();
    assert_eq!(every, meaning.live_keys.cast_signed(), "{label}: live keys");
    let registry = client
        .get("/registry/", Some(count.with_prefix()))
        .await?
        .count();
    assert_eq!(
        registry,
        meaning.registry.live_keys.cast_signed(),
        "{label}: of Kubernetes"
    );
    let by_kind: u64 = meaning.registry.kinds.values().sum();
    assert_eq!(by_kind, meaning.registry.live_keys, "{label}: by kind");

    let granted = client.leases().await?;
    assert_eq!(
        granted.leases().len() as u64,
        meaning.leases,
        "{label}: leases"
    );
    let mut leased = 0;
    for lease in granted.leases() {
        let options = etcd_client::LeaseTimeToLiveOptions::new().with_keys();
        leased += client
            .lease_time_to_live(lease.id(), Some(options))
            .await?
            .keys()
            .len() as u64;
    }
    assert_eq!(leased, meaning.leased_keys, "{label}: leased keys");
    Ok(())
}

async fn same_cluster(
    client: &mut Client,
    meaning: &Meaning,
    exact: bool,
    label: &str,
) -> Result<(), Error> {
    let list = client.member_list().await?;
    let theirs = list.members().iter();
    let mut theirs: Vec<_> = theirs
        .map(|m| (m.id(), m.peer_urls().to_vec(), m.is_learner()))
        .collect();
    let ours = meaning.members.iter();
    let mut ours: Vec<_> = ours
        .map(|m| (m.id, m.peer_urls.clone(), m.learner))
        .collect();
    if !exact {
        ours.retain(|member| theirs.contains(member));
    }
    theirs.sort();
    ours.sort();
    assert_eq!(ours, theirs, "{label}: members");
    let alarms = client
        .alarm(AlarmAction::Get, AlarmType::None, None)
        .await?;
    let theirs: Vec<_> = alarms
        .alarms()
        .iter()
        .map(etcd_client::AlarmMember::member_id)
        .collect();
    let ours: Vec<_> = meaning.alarms.iter().map(|alarm| alarm.member).collect();
    assert_eq!(ours, theirs, "{label}: alarms");
    Ok(())
}

/// A member restored from the snapshot has the hash that its proof foretells; with a bumped revision
/// too, where the release can do that.
pub(crate) fn foretells(release: &Release, taken: &Taken, password: bool, label: &str) {
    let label = format!("{label}, restored with etcd {}", release.version());
    let meaning = &taken.proof.meaning;
    let plain = Member::restored(release, &taken.path, password, &[]);
    let foretold = meaning.hash_kv;
    assert_eq!(
        plain.hash_kv(0),
        (foretold.hash, foretold.revision, foretold.compact_revision),
        "{label}"
    );
    equal(&plain, "restored");
    drop(plain);
    if !release.can_bump() {
        return;
    }
    let amount = 1_000_000_000;
    let bump = ["--bump-revision", "1000000000", "--mark-compacted"];
    let Some(foretold) = meaning.hash_kv_after_bump(amount) else {
        panic!("{label}: no hash foretold after a bump");
    };
    let bumped = Member::restored(release, &taken.path, password, &bump);
    assert_eq!(
        bumped.hash_kv(0),
        (foretold.hash, foretold.revision, foretold.compact_revision),
        "{label}, bumped"
    );
    let again = equal(&bumped, "bumped");
    assert_eq!(
        again.proof.meaning.live_keys, meaning.live_keys,
        "{label}, bumped"
    );
}
