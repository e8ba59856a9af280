//! Plans: golden files, the same bytes for the same inputs, and every invariant broken once.
#![cfg(feature = "testkit")]
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::collections::BTreeSet;

use runbook_core::journal::History;
use runbook_core::plan::{Draft, SealedPlan};
use runbook_core::run::replay;
use runbook_core::spec::{DatanodeAgain, RevisionBump, Spec};
use runbook_core::testkit::{Builder, Found, Lives, Mortal, NoPlan, Tear, World, run_id};
use runbook_core::version::EtcdVersion;
use runbook_core::world::{RecordedRevision, RecordedRevisions};
use serde_json::{Value, json};

fn golden() -> Vec<(&'static str, Builder)> {
    vec![
        ("one-member", World::of(1).reprovision_all()),
        ("three-members", World::of(3).reprovision_all()),
        ("in-place", World::of(3)),
        (
            "mixed",
            World::of(3)
                .node(0, Found::Off)
                .node(1, Found::EmptySpool)
                .reprovision(&[0])
                .category_datanode(),
        ),
        (
            "confirmed",
            World::of(3)
                .node(0, Found::Off)
                .reprovision(&[0, 1])
                .datanode(false)
                .confirm(),
        ),
    ]
}

#[test]
fn plans_are_as_expected() {
    for (name, world) in golden() {
        let plan = world.build().plan(run_id(1)).unwrap();
        let text = String::from_utf8(plan.bytes().to_vec()).unwrap();
        common::expect(&format!("tests/plans/{name}.json"), &text);
    }
}

#[test]
fn the_same_inputs_give_the_same_bytes() {
    for (_, world) in golden() {
        let plan = |run| world.clone().build().plan(run_id(run)).unwrap();
        let (first, again, other) = (plan(1), plan(1), plan(2));
        assert_eq!(
            (first.bytes(), first.digest()),
            (again.bytes(), again.digest())
        );
        assert_ne!(
            first.digest(),
            other.digest(),
            "another run has another token"
        );
        assert_eq!(SealedPlan::read(first.bytes()).unwrap(), first);
        // Latencies are none of a plan's inputs.
        let late = world.clone().seed(7).build().plan(run_id(1)).unwrap();
        assert_eq!(first.bytes(), late.bytes());
    }
}

fn plan(world: Builder) -> Value {
    serde_json::from_slice(sealed(world).bytes()).unwrap()
}

fn sealed(world: Builder) -> SealedPlan {
    world.build().plan(run_id(1)).unwrap()
}

fn bytes(plan: &Value) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(plan).unwrap();
    bytes.push(b'\n');
    bytes
}

fn unit<'a>(plan: &'a mut Value, id: &str) -> &'a mut Value {
    let units = plan["units"].as_array_mut().unwrap();
    units.iter_mut().find(|unit| unit["id"] == id).expect(id)
}

fn drop_unit(plan: &mut Value, id: &str) -> Value {
    let units = plan["units"].as_array_mut().unwrap();
    let at = units.iter().position(|unit| unit["id"] == id).expect(id);
    let dropped = units.remove(at);
    for unit in units {
        if let Some(needs) = unit.get_mut("needs").and_then(Value::as_array_mut) {
            needs.retain(|need| need != id);
        }
    }
    dropped
}

/// Edits a plan by hand, and is refused for this reason.
#[track_caller]
fn breaks(mut plan: Value, edit: impl Fn(&mut Value), reason: &str) {
    edit(&mut plan);
    let error = SealedPlan::read(&bytes(&plan)).unwrap_err();
    assert_eq!(error.code(), "plan-broken", "{error}");
    assert!(error.to_string().contains(reason), "{error}");
}

#[test]
fn a_plan_with_a_broken_shape_is_refused() {
    let plan = || plan(World::of(3));
    let late = |plan: &mut Value| {
        let unit = drop_unit(plan, "stop/node003/etcd");
        plan["units"].as_array_mut().unwrap().push(unit);
    };
    breaks(plan(), late, "its phase was left already");
    breaks(
        plan(),
        |plan| unit(plan, "stop/unassign")["needs"] = json!(["preflight/head"]),
        "no earlier unit of its phase",
    );
    breaks(
        plan(),
        |plan| unit(plan, "stop/unassign")["needs"] = json!(["stop/node001/etcd"]),
        "no earlier unit of its phase",
    );
    breaks(
        plan(),
        |plan| unit(plan, "stop/node002/etcd")["id"] = json!("stop/node001/etcd"),
        "its id is used twice",
    );
    breaks(
        plan(),
        |plan| unit(plan, "stop/unassign")["skip"] = json!("no need"),
        "a skipped unit cannot act",
    );
    breaks(
        plan(),
        |plan| unit(plan, "stop/unassign")["done_when"] = json!([]),
        "nothing tells when it is done",
    );
    breaks(
        plan(),
        |plan| unit(plan, "stop/unassign")["deadline_s"] = json!(0),
        "its deadline is zero seconds",
    );
    let early = |plan: &mut Value| {
        let hash = drop_unit(plan, "verify/hash");
        let units = plan["units"].as_array_mut().unwrap();
        units.retain(|unit| unit["phase"] != "verify");
        units.insert(0, hash);
    };
    breaks(plan(), early, "its phase comes too late");
}

#[test]
fn a_plan_that_lies_about_what_it_destroys_is_refused() {
    let plan = || plan(World::of(1).reprovision_all());
    breaks(
        plan(),
        |plan| unit(plan, "reprovision/node001/boot")["destructive"] = json!(false),
        "not marked as destructive",
    );
    breaks(
        plan(),
        |plan| plan["point_of_no_return"] = json!("reassign/assign"),
        "its point of no return",
    );
    breaks(
        plan(),
        |plan| plan["point_of_no_return"] = json!(null),
        "its point of no return",
    );
}

#[test]
fn a_wipe_without_a_proof_is_refused() {
    let plan = || plan(World::of(1).reprovision_all());
    let reason = "it destroys something, or lets a boot destroy it, before the snapshot is proven";
    breaks(
        plan(),
        |plan| {
            drop_unit(plan, "preflight/snapshot");
        },
        reason,
    );
    // Lowered or FULL, a boot that nobody has asked for wipes.
    for step in ["datanode", "install-mode", "boot"] {
        let unasked = |plan: &mut Value| {
            let id = format!("reprovision/node001/{step}");
            let require = unit(plan, &id)["require"].as_array_mut().unwrap();
            require.retain(|check| check.get("snapshot_proven").is_none());
        };
        breaks(plan(), unasked, reason);
    }
}

#[test]
fn a_start_before_every_restore_is_refused() {
    let plan = || plan(World::of(3));
    let (early, start) = (
        "it arms a member before all are restored",
        "it lets etcd start before all members are armed",
    );
    for (dropped, reason) in [
        ("restore/node002/restore", early),
        ("restore/alike", early),
        ("chown/node003/arm", start),
    ] {
        breaks(
            plan(),
            |plan| {
                drop_unit(plan, dropped);
            },
            reason,
        );
    }
    breaks(
        plan(),
        |plan| {
            let alike = &mut unit(plan, "restore/alike")["done_when"][0]["staged_alike"];
            alike["stagings"].as_array_mut().unwrap().pop();
        },
        early,
    );
    breaks(
        plan(),
        |plan| {
            let back = unit(plan, "move-spool/node001/aside")["undo"]["by"].clone();
            unit(plan, "chown/node001/own")["act"] = back;
        },
        "a restore never puts the old data back",
    );
}

#[test]
fn members_of_different_clusters_are_refused() {
    let edits = [
        ("sha256", json!(format!("sha256:{}", "0".repeat(64)))),
        ("token", json!("etcd-cluster")),
        ("run", json!(run_id(9).to_string())),
        (
            "initial_cluster",
            json!([["node002", "https://10.141.0.2:2380"]]),
        ),
        ("revision_bump", json!(5)),
        ("tool", json!("etcdutl")),
    ];
    for (field, value) in edits {
        breaks(
            plan(World::of(3)),
            |plan| {
                let act = &mut unit(plan, "restore/node002/restore")["act"];
                assert_ne!(act["tool"]["restore"][field], value);
                act["tool"]["restore"][field] = value.clone();
            },
            "it does not restore the same snapshot into the same cluster",
        );
    }
}

/// The setting moves one thing: who is a data node again, and when.
#[test]
fn data_nodes_again_before_anything_is_restored() {
    let world = World::of(3).reprovision(&[0, 1]).category_datanode();
    let early = sealed(
        world
            .clone()
            .datanode_again(DatanodeAgain::AfterReprovision),
    );
    let late = sealed(world);
    let ids = |plan: &SealedPlan| -> Vec<String> {
        plan.units.iter().map(|unit| unit.id.to_string()).collect()
    };
    let (early_ids, late_ids) = (ids(&early), ids(&late));
    let added: Vec<&String> = early_ids
        .iter()
        .filter(|id| !late_ids.contains(id))
        .collect();
    assert_eq!(
        added,
        [
            "reprovision/node001/datanode-yes",
            "reprovision/node002/datanode-yes",
            "reprovision/node003/datanode-yes",
            "reprovision/category-default-datanode-yes",
        ]
    );
    assert!(
        late_ids.iter().all(|id| early_ids.contains(id)),
        "verified at the end all the same"
    );
    let at = |id: &str| early_ids.iter().position(|other| other == id);
    assert!(at("reprovision/node002/guard") < at("reprovision/node001/datanode-yes"));
    let risk = |plan: &SealedPlan| {
        plan.risks
            .iter()
            .any(|risk| risk.contains("lies on nodes that are no data nodes"))
    };
    assert!(risk(&late) && !risk(&early), "{:?}", early.risks);
}

#[test]
fn a_datanode_that_stays_low_is_refused() {
    let world = || World::of(1).reprovision_all().category_datanode();
    for dropped in [
        "datanode/node001/datanode-yes",
        "datanode/category-default-datanode-yes",
    ] {
        breaks(
            plan(world()),
            |plan| {
                drop_unit(plan, dropped);
            },
            "is never raised again",
        );
    }
}

#[test]
fn an_undo_that_could_start_something_empty_is_refused() {
    let world = World::of(3).build();
    let mut lives = Lives::of(&world);
    lives.live(Mortal::torn(30, Tear::Answer));
    let undo = Draft::undo(lives.plan(), lives.machine().unwrap(), run_id(2)).unwrap();
    let undo = undo.seal(&world.ports()).unwrap();
    let plan = || serde_json::from_slice::<Value>(undo.bytes()).unwrap();
    SealedPlan::read(undo.bytes()).unwrap();
    breaks(
        plan(),
        |plan| {
            let require = unit(plan, "stop/assign-again")["require"]
                .as_array_mut()
                .unwrap();
            require.pop();
        },
        "node003 could start without its old data",
    );
    breaks(
        plan(),
        |plan| unit(plan, "move-spool/node003/aside")["destructive"] = json!(true),
        "its point of no return",
    );
    breaks(
        plan(),
        |plan| {
            unit(plan, "move-spool/node003/aside")["destructive"] = json!(true);
            plan["point_of_no_return"] = json!("move-spool/node003/aside");
        },
        "an undo destroys nothing",
    );
}

/// Whatever byte of a plan is changed: it is refused, or it is another plan, and no run that was begun goes on
/// with it. Every seventh byte, each with another bit than the one before: to read them all takes a quarter of a
/// minute.
#[test]
fn no_changed_byte_goes_unnoticed() {
    let world = World::of(1).reprovision_all().build();
    let mut lives = Lives::of(&world);
    lives.live(Mortal::after(20));
    let history = History::read(&lives.journal(), "memory").unwrap();
    let plan = lives.plan();
    replay(plan, &history).unwrap();
    let (mut codes, mut others) = (BTreeSet::new(), 0);
    for at in (0..plan.bytes().len()).step_by(7) {
        let mut bytes = plan.bytes().to_vec();
        bytes[at] ^= 1 << (at % 8);
        match SealedPlan::read(&bytes) {
            Err(error) => {
                assert!(error.hint().is_some(), "{at}: {error}");
                codes.insert(error.code());
            }
            Ok(changed) => {
                assert_ne!(changed.digest(), plan.digest(), "{at}");
                let error = replay(&changed, &history).unwrap_err();
                assert_eq!(error.code(), "journal-other-plan", "{at}: {error}");
                others += 1;
            }
        }
    }
    assert_eq!(
        Vec::from_iter(codes),
        ["plan-broken", "plan-changed", "plan-unreadable"]
    );
    assert!(others > 500, "only {others} other plans");
    // As good a plan, but not as it is written.
    let mut spaced = plan.bytes().to_vec();
    spaced.push(b'\n');
    assert_eq!(
        SealedPlan::read(&spaced).unwrap_err().code(),
        "plan-changed"
    );
    let value: Value = serde_json::from_slice(plan.bytes()).unwrap();
    assert_eq!(
        SealedPlan::read(&bytes(&value)).unwrap_err().code(),
        "plan-changed"
    );
    assert_eq!(
        SealedPlan::read(b"{}").unwrap_err().code(),
        "plan-unreadable"
    );
}

/// A build that renders other commands does not run the plan.
#[test]
fn other_commands_are_refused() {
    let world = World::of(1).build();
    let mut value: Value = serde_json::from_slice(world.plan(run_id(1)).unwrap().bytes()).unwrap();
    unit(&mut value, "stop/unassign")["commands"][0]["argv"] = json!(["true"]);
    let typed: runbook_core::plan::Plan = serde_json::from_value(value).unwrap();
    let mut bytes = serde_json::to_vec_pretty(&typed).unwrap();
    bytes.push(b'\n');
    let plan = SealedPlan::read(&bytes).unwrap();
    assert_eq!(
        plan.check_commands(&world.ports()).unwrap_err().code(),
        "plan-render-drift"
    );
    let mut lives = Lives::with_plan(&world, plan);
    lives.live(Mortal::never());
    assert!(world.log().is_empty() && lives.journal().is_empty());
}

/// What no plan is made for, and why.
#[test]
fn worlds_that_allow_no_restore() {
    let refused = |world: Builder| match world.build().plan(run_id(1)) {
        Err(NoPlan::Plan(error)) => error.code(),
        other => panic!("{other:?}"),
    };
    let of = || World::of(3);
    assert_eq!(refused(of().node(0, Found::Off)), "node-off");
    for (found, code) in [
        (Found::MountPoint, "spool-mount-point"),
        (Found::Guarded, "guard-of-another-run"),
        (Found::ForeignSpool, "spool-foreign"),
    ] {
        assert_eq!(refused(of().node(2, found)), code);
    }
    // A node that is to be wiped: the mount point comes back, another run's guard means another run.
    for (found, code) in [
        (Found::MountPoint, "spool-mount-point"),
        (Found::Guarded, "guard-of-another-run"),
    ] {
        assert_eq!(refused(of().node(2, found).reprovision_all()), code);
    }
}

/// The revision moves past what the cluster is known to have had, not only past the snapshot's.
#[test]
fn the_bump_is_sized_from_what_is_on_record() {
    let new = EtcdVersion::new(3, 6, 1);
    let of = |bump| World::of(3).version(new, bump);
    let by = |world: Builder| world.build().plan(run_id(1)).unwrap().revision_bump;
    assert_eq!(by(of(RevisionBump::Auto)), Some(1_000_000_000));
    // The fake snapshot is at 20231.
    let ahead = of(RevisionBump::Auto).recorded(5_020_231);
    assert_eq!(by(ahead.clone()), Some(1_005_000_000));
    assert_eq!(by(of(RevisionBump::Auto).recorded(7)), Some(1_000_000_000));
    assert_eq!(by(of(RevisionBump::By(9)).recorded(20_239)), Some(9));
    let short = of(RevisionBump::By(9)).recorded(20_240).build();
    assert!(
        matches!(short.plan(run_id(1)), Err(NoPlan::Plan(e)) if e.code() == "revision-bump-short")
    );
    // And the restored cluster answers with what was predicted for it.
    let mut lives = Lives::of(&ahead.build());
    lives.live(Mortal::never());
    assert_eq!(lives.completed(), Ok(()));
    let journal = String::from_utf8(lives.journal()).unwrap();
    assert!(
        journal.contains("HashKV at revision 1005020231 is 1234568 on every member, as predicted")
    );
}

/// A sound snapshot of an empty store is the disaster itself: only a reason in words lets it pass,
/// and the reviewer reads that reason.
#[test]
fn a_snapshot_that_starts_empty_needs_a_reason() {
    let restore = World::of(3).build();
    let mut world = restore.plan(run_id(1)).unwrap().world.clone();
    let mut spec = restore.spec();
    let plan = |spec: &_, world: &_| Draft::restore(spec, world, run_id(1));
    for live_keys in [0, 20_007] {
        world.snapshot.content.live_keys = live_keys;
        world.snapshot.content.registry_keys = 0;
        spec.allow.empty_snapshot = None;
        let refused = plan(&spec, &world).unwrap_err();
        assert_eq!(refused.code(), "snapshot-starts-empty");
        spec.allow.empty_snapshot = Some("this etcd is not Kubernetes'".into());
        let draft = plan(&spec, &world).unwrap();
        let said = |risk: &String| risk.contains("because: this etcd is not Kubernetes'");
        assert!(draft.plan().risks.iter().any(said));
    }
    spec.allow.empty_snapshot = Some(" ".into());
    let yaml = spec.to_yaml().unwrap();
    assert!(Spec::from_yaml(&yaml).is_err(), "a blank is no reason");
}

/// A copy out of a data directory is restored only for a reason in words.
#[test]
fn a_snapshot_without_a_trailer_needs_a_reason() {
    let restore = World::of(3).build();
    let mut world = restore.plan(run_id(1)).unwrap().world.clone();
    world.snapshot.trailer = false;
    let mut spec = restore.spec();
    let refused = Draft::restore(&spec, &world, run_id(1)).unwrap_err();
    assert_eq!(refused.code(), "snapshot-no-trailer");
    spec.allow.no_trailer = Some("every backup was on the lost disks".into());
    let draft = Draft::restore(&spec, &world, run_id(1)).unwrap();
    let said = |risk: &String| risk.contains("because: every backup was on the lost disks");
    assert!(draft.plan().risks.iter().any(said));
}

/// What the restored cluster will ask for, and what is lost, stands in the plan.
#[test]
fn alarms_authentication_and_the_record_are_told() {
    let restore = World::of(3).recorded(30_000).build();
    let mut world = restore.plan(run_id(1)).unwrap().world.clone();
    let risks = |world: &_| {
        let draft = Draft::restore(&restore.spec(), world, run_id(1)).unwrap();
        draft.plan().risks.join("\n")
    };
    assert!(risks(&world).contains("of whichever cluster, is 30000"));
    assert!(!risks(&world).contains("alarm") && !risks(&world).contains("authentication"));
    let own = RecordedRevision {
        revision: 20_331,
        at: jiff::Timestamp::UNIX_EPOCH,
    };
    world.recorded = world.recorded.map(|all| RecordedRevisions {
        own: Some(own),
        ..all
    });
    world.snapshot.content.alarms = vec!["NOSPACE of member 1f".into()];
    world.snapshot.content.auth_enabled = true;
    let told = risks(&world);
    assert!(told.contains("revision 20331 at 1970-01-01T00:00:00Z, 100 past the snapshot's"));
    assert!(told.contains("NOSPACE of member 1f") && told.contains("authentication on"));
}

/// A run that cannot go on any more is abandoned; the next one takes its guards over.
#[test]
fn guards_of_a_run_that_is_over_are_taken_over() {
    for wiped in [&[][..], &[1]] {
        let world = World::of(3)
            .node(0, Found::Guarded)
            .node(1, Found::Guarded)
            .without_role()
            .reprovision(wiped)
            .takes_guards_over()
            .build();
        let mut lives = Lives::of(&world);
        assert!(lives.plan().risks.iter().any(|risk| risk.contains("guard")));
        lives.live(Mortal::never());
        assert_eq!(lives.completed(), Ok(()));
    }
}

/// What stands at the spool of a node to be wiped is nobody's business.
#[test]
fn a_foreign_spool_is_no_obstacle_to_a_wipe() {
    let world = World::of(3)
        .node(2, Found::ForeignSpool)
        .reprovision(&[2])
        .build();
    let mut lives = Lives::of(&world);
    lives.live(Mortal::never());
    assert_eq!(lives.completed(), Ok(()));
}
