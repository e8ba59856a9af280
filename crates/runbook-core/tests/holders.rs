//! Who holds the role, and as what: the plans that are made, and those that are refused.
#![cfg(feature = "testkit")]
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use runbook_core::names::{CategoryName, OverlayName};
use runbook_core::plan::{Draft, PlanError, SealedPlan};
use runbook_core::spec::DatanodeAgain;
use runbook_core::testkit::{Builder, Lives, Mortal, World, run_id};
use runbook_core::world::{self, Device, InstallMode, ObservedMember, RoleSource};

/// The plan for a cluster whose first member was seen a little differently.
fn plan(of: Builder, change: impl Fn(&mut ObservedMember)) -> Result<SealedPlan, PlanError> {
    let world = of.build();
    let mut seen: world::World = world.observed().unwrap();
    change(&mut seen.members[0]);
    Draft::restore(&world.spec(), &seen, run_id(1))?.seal(&world.ports())
}

fn refused(of: Builder, change: impl Fn(&mut ObservedMember)) -> (&'static str, String, String) {
    let error = plan(of, change).unwrap_err();
    (error.code(), error.to_string(), error.hint().unwrap())
}

fn overlay() -> OverlayName {
    World::of(1).build().observed().unwrap().overlay
}

fn category() -> CategoryName {
    CategoryName::new("default").unwrap()
}

/// Refused, naming the source; with the overlay's own nodes beside it or without.
fn is_refused_as_elsewhere(source: &RoleSource) {
    for beside in [true, false] {
        let (code, what, hint) = refused(World::of(3), |member| {
            if !beside {
                member.role_from.clear();
            }
            member.role_from.push(source.clone());
        });
        assert_eq!(code, "role-elsewhere", "{what}");
        assert!(what.contains(&source.to_string()), "{what}");
        assert!(hint.contains(overlay().as_str()), "{hint}");
    }
}

#[test]
fn a_role_by_overlay_nodes() {
    let plan = plan(World::of(3), |_| {}).unwrap();
    let from = &plan.world.members[0].role_from;
    assert_eq!(*from, [RoleSource::OverlayNode(overlay())]);
}

#[test]
fn a_role_by_overlay_categories() {
    is_refused_as_elsewhere(&RoleSource::OverlayCategory(overlay(), category()));
}

#[test]
fn a_role_by_all_head_nodes() {
    is_refused_as_elsewhere(&RoleSource::OverlayHeadNodes(overlay()));
}

#[test]
fn a_role_by_the_category() {
    is_refused_as_elsewhere(&RoleSource::Category(category()));
}

#[test]
fn a_role_by_the_node_itself() {
    is_refused_as_elsewhere(&RoleSource::Node);
}

#[test]
fn a_role_by_another_overlay() {
    let other = OverlayName::new("kube-other-etcd").unwrap();
    is_refused_as_elsewhere(&RoleSource::OverlayNode(other));
}

#[test]
fn a_head_node_is_never_reprovisioned() {
    let (code, what, hint) = refused(World::of(3).head_node(0).reprovision(&[0]), |_| {});
    assert_eq!(code, "head-is-member", "{what}");
    assert!(hint.contains("reprovision: no"), "{hint}");
}

/// Beside a node that is wiped and one that is not: nothing provisions, powers or reboots it, nobody sets
/// a property that it does not have, and it serves what was restored.
#[test]
fn a_head_node_is_restored_in_place() {
    for when in [
        DatanodeAgain::AfterReassign,
        DatanodeAgain::AfterReprovision,
    ] {
        let of = World::of(3)
            .head_node(0)
            .reprovision(&[1])
            .datanode_again(when);
        let world = of.build();
        let mut lives = Lives::of(&world);
        lives.live(Mortal::never());
        lives.completed().unwrap();
        assert_eq!((world.verdict(), world.restored()), (Ok(()), Ok(())));
        let plan = lives.plan();
        let node = &plan.world.members[0].node;
        assert!(plan.world.members[0].device.head_node);
        let mut of_head = plan
            .units
            .iter()
            .filter(|unit| unit.member.as_ref() == Some(node));
        let datanode = of_head.find(|unit| unit.id.as_str().ends_with("/datanode-yes"));
        let skip = datanode.unwrap().skip.as_ref();
        assert!(skip.unwrap().contains("never provisioned"), "{skip:?}");
        let told = |risk: &&String| risk.contains(&format!("no data nodes, {node}"));
        assert_eq!(plan.risks.iter().find(told), None);
    }
}

#[test]
fn a_head_node_that_does_not_answer_is_not_told_to_be_wiped() {
    let (code, what, hint) = refused(World::of(3).head_node(0), |member| member.host = None);
    assert_eq!(code, "node-off", "{what}");
    assert!(
        hint.contains("ssh root@") && !hint.contains("reprovision"),
        "{hint}"
    );
}

/// None is cleared by this run, which does not boot the node: it would be in the way when etcd is stopped everywhere.
#[test]
fn a_node_restored_in_place_has_no_install_mode_set() {
    for mode in [
        InstallMode::Auto,
        InstallMode::Full,
        InstallMode::Main,
        InstallMode::Nosync,
        InstallMode::Skip,
    ] {
        let set = |member: &mut ObservedMember| member.device.next_install_mode = Some(mode);
        let (code, what, hint) = refused(World::of(3), set);
        let expected = match mode {
            InstallMode::Full => "install-mode-full",
            _ => "install-mode-set",
        };
        assert_eq!(code, expected, "{what}");
        assert!(what.contains(&mode.to_string()), "{what}");
        assert!(hint.contains("clear nextinstallmode; commit"), "{hint}");
        // On a node to be wiped the run sets its own.
        plan(World::of(3).reprovision(&[0]), set).unwrap();
    }
}

#[test]
fn a_closed_node_is_opened_before_it_is_wiped() {
    let close = |member: &mut ObservedMember| member.device.flags = vec!["closed".into()];
    let (code, what, hint) = refused(World::of(3).reprovision(&[0]), close);
    assert_eq!(code, "node-closed", "{what}");
    assert!(hint.contains("device; open"), "{hint}");
    // In place it is only told.
    let plan = plan(World::of(3), close).unwrap();
    assert!(
        plan.risks.iter().any(|risk| risk.contains("is closed")),
        "{:?}",
        plan.risks
    );
}

#[test]
fn flags_are_told_in_the_plan_and_are_no_drift() {
    for flag in [Device::PINGABLE, Device::UNASSIGNED] {
        let flagged = |member: &mut ObservedMember| member.device.flags = vec![flag.into()];
        let plan = plan(World::of(3), flagged).unwrap();
        let told = plan.risks.iter().filter(|risk| risk.contains(flag)).count();
        assert_eq!(told, 1, "{:?}", plan.risks);
        let now = World::of(3).build().observed().unwrap();
        assert_eq!(runbook_core::observe::drift(&plan.world, &now), []);
    }
}

#[test]
fn a_device_without_flags_is_written_as_it_always_was() {
    let device = &World::of(1).build().observed().unwrap().members[0].device;
    let text = serde_json::to_string(device).unwrap();
    assert!(!text.contains("flags"), "{text}");
    let read: Device = serde_json::from_str(&text).unwrap();
    assert_eq!(read.status_with_flags(), "UP");
}
