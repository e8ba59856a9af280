//! What a snapshot says beyond its numbers.

use etcd_adapter::snapshot::{AlarmKind, Emptiness};

use crate::kit::{Forgery, good, proof_of_bytes};

#[test]
fn the_cluster_is_told() {
    let meaning = good("snap-3.4.23.db").meaning;
    assert_eq!(meaning.cluster_version.as_deref(), Some("3.4.0"));
    assert_eq!(meaning.term, None);
    assert!(meaning.consistent_index > 40);
    let meaning = good("plain-3.5.30.db").meaning;
    assert_eq!(meaning.cluster_version.as_deref(), Some("3.5.0"));
    assert_eq!(meaning.storage_version, None);
    assert_eq!(meaning.term, Some(2));
    assert_eq!(meaning.compact_revision, None);
    assert_eq!(meaning.members.len(), 1);
    assert_eq!(meaning.members[0].name, "default");
    assert_eq!(meaning.members[0].peer_urls, ["http://127.0.0.1:23801"]);
    assert_eq!(meaning.members[0].client_urls, ["http://127.0.0.1:23791"]);
    assert!(!meaning.members[0].learner && !meaning.auth_enabled);
}

#[test]
fn the_version_of_the_schema_is_told_where_it_is_written() {
    let meaning = good("plain-3.6.14.db").meaning;
    assert_eq!(meaning.cluster_version.as_deref(), Some("3.6.0"));
    assert_eq!(meaning.storage_version.as_deref(), Some("3.6.0"));
}

#[test]
fn a_learner_is_told_from_a_voter() {
    let members = good("learner-3.5.30.db").meaning.members;
    let learners: Vec<_> = members.iter().filter(|member| member.learner).collect();
    assert_eq!((members.len(), learners.len()), (2, 1));
    assert_eq!(learners[0].peer_urls, ["http://127.0.0.1:23899"]);
    assert_eq!(
        (learners[0].name.as_str(), learners[0].client_urls.len()),
        ("", 0)
    );
}

#[test]
fn alarms_auth_and_leases_come_along() {
    let alarms = good("alarm-3.5.30.db").meaning.alarms;
    let [alarm] = alarms[..] else {
        panic!("one alarm: {alarms:?}");
    };
    assert!(alarm.kind == AlarmKind::NoSpace && alarm.member > 0);
    let told = format!("NOSPACE on member {:x}", alarm.member);
    assert_eq!(alarm.to_string(), told);
    assert!(good("auth-3.5.30.db").meaning.auth_enabled);
    let meaning = good("leases-3.5.30.db").meaning;
    assert_eq!((meaning.leases, meaning.leased_keys), (2, 2));
}

#[test]
fn kubernetes_objects_are_counted_by_kind() {
    let registry = good("plain-3.5.30.db").meaning.registry;
    assert_eq!(registry.live_keys, 24);
    let kinds: Vec<_> = registry
        .kinds
        .iter()
        .map(|(kind, count)| (&**kind, *count))
        .collect();
    assert_eq!(
        kinds,
        [
            ("apiextensions.k8s.io/customresourcedefinitions", 1),
            ("masterleases", 1),
            ("pods", 20),
            ("services/endpoints", 1),
            ("services/specs", 1),
        ]
    );
}

#[test]
fn a_store_that_would_start_empty_is_called_so() {
    let judge = |name| good(name).meaning.would_start_empty();
    assert_eq!(judge("plain-3.5.30.db"), None);
    assert_eq!(judge("compacted-3.4.23.db"), None);
    for name in [
        "empty-3.5.30.db",
        "gone-3.5.30.db",
        "swept-3.5.30.db",
        "swept-3.4.23.db",
    ] {
        assert_eq!(judge(name), Some(Emptiness::NoLiveKey), "{name}");
    }
    assert_eq!(judge("foreign-3.5.30.db"), Some(Emptiness::NoRegistryKey));
}

/// Sound to `snapshot status` and `restore`, and empty once started: etcd makes a new bucket of keys.
#[test]
fn keys_in_a_bucket_that_etcd_does_not_open_are_no_keys() {
    let mut forgery = Forgery::of("empty-3.5.30.db");
    forgery.replace(b"key", b"kez");
    let meaning = proof_of_bytes(&forgery.sealed())
        .expect("a sound file")
        .meaning;
    assert_eq!(
        meaning.would_start_empty(),
        Some(Emptiness::Elsewhere(vec!["kez".into()]))
    );
    assert_eq!(meaning.revision, 1);
}
