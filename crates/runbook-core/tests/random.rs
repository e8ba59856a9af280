//! Random worlds, random faults, random deaths: every run completes in a bounded number of lives,
//! and no rule is ever broken.
#![cfg(feature = "testkit")]

use proptest::prelude::*;
use runbook_core::spec::{DatanodeAgain, RevisionBump};
use runbook_core::testkit::{Builder, Faults, Found, Lives, Mortal, NoPlan, Tear, World};
use runbook_core::version::EtcdVersion;

fn found() -> impl Strategy<Value = Found> {
    prop_oneof![
        4 => Just(Found::Damaged),
        1 => Just(Found::Serving),
        2 => Just(Found::NoSpool),
        2 => Just(Found::EmptySpool),
        2 => Just(Found::Off),
    ]
}

fn version() -> impl Strategy<Value = (EtcdVersion, RevisionBump)> {
    prop_oneof![
        Just((EtcdVersion::new(3, 4, 23), RevisionBump::Auto)),
        Just((EtcdVersion::new(3, 4, 27), RevisionBump::By(1000))),
        Just((EtcdVersion::new(3, 5, 16), RevisionBump::None)),
        Just((EtcdVersion::new(3, 6, 1), RevisionBump::Auto)),
    ]
}

prop_compose! {
    fn world()(
        nodes in prop_oneof![1 => Just(1), 3 => Just(3), 1 => Just(5)]
            .prop_flat_map(|n| prop::collection::vec((found(), any::<bool>()), n)),
        (seed, parallel, version) in (any::<u64>(), 1..6_u16, version()),
        (datanode, category, no_role, image) in any::<(bool, bool, bool, bool)>(),
        (early, confirm) in any::<(bool, bool)>(),
    ) -> Builder {
        let mut world = World::of(nodes.len()).seed(seed).parallel(parallel);
        for (at, (found, reprovision)) in nodes.into_iter().enumerate() {
            world = world.node(at, found);
            // A node that is off can only be reprovisioned.
            if reprovision || found == Found::Off {
                world = world.reprovision(&[at]);
            }
        }
        world = world.datanode(datanode).version(version.0, version.1);
        if category { world = world.category_datanode(); }
        if no_role { world = world.without_role(); }
        if image { world = world.image_has_spool(); }
        if confirm { world = world.confirm(); }
        if early { world = world.datanode_again(DatanodeAgain::AfterReprovision); }
        world
    }
}

fn faults() -> impl Strategy<Value = Faults> {
    (any::<u64>(), 0..30_u8, 0..12_u32).prop_map(|(seed, percent, budget)| Faults {
        seed,
        percent,
        budget,
    })
}

fn death() -> impl Strategy<Value = Mortal> {
    let tear = prop::sample::select(Tear::ALL.to_vec());
    prop_oneof![
        (1..900_u64).prop_map(Mortal::after),
        (1..900_u64).prop_map(|at| Mortal::after(at).requests_land()),
        (1..900_u64).prop_map(Mortal::halted),
        (0..100_usize, tear).prop_map(|(at, tear)| Mortal::torn(at, tear)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1500) })]

    #[test]
    fn every_run_completes_and_no_rule_is_broken(
        world in world(),
        faults in faults(),
        deaths in prop::collection::vec(death(), 0..4),
    ) {
        let world = world.build();
        let mut lives = match Lives::try_of(&world) {
            Ok(lives) => lives,
            // Where the world does not allow it, nothing has happened.
            Err(NoPlan::Plan(_)) => {
                prop_assert!(world.log().is_empty());
                return Ok(());
            }
            Err(other) => return Err(TestCaseError::fail(format!("{other:?}"))),
        };
        world.misbehave(faults);
        for death in deaths {
            lives.live(death);
            prop_assert_eq!(world.verdict(), Ok(()));
        }
        // Each life that does not complete trips over one fault at least, or over what a dead life
        // had left on its way.
        lives.live_on(faults.budget + 6);
        if let Err(wrong) = lives.completed() {
            return Err(TestCaseError::fail(format!("{faults:?}: {wrong}\n{}", String::from_utf8_lossy(&lives.journal()))));
        }
    }
}

/// Found by the property above: the first life dies right after its reboot was sent, the second looks
/// while the node still is up and of the same boot.
#[test]
fn a_reboot_on_its_way_is_not_sent_again() {
    let world = World::of(3)
        .seed(10_206_881_328_756_390_203)
        .parallel(1)
        .node(0, Found::Damaged)
        .node(1, Found::Damaged)
        .node(2, Found::NoSpool)
        .reprovision(&[1])
        .datanode(false)
        .version(EtcdVersion::new(3, 4, 23), RevisionBump::Auto)
        .without_role()
        .build();
    let faults = Faults {
        seed: 457_439_083_107_591_361,
        percent: 15,
        budget: 11,
    };
    let mut lives = Lives::try_of(&world).unwrap();
    world.misbehave(faults);
    lives.live(Mortal::after(301));
    assert_eq!(world.verdict(), Ok(()));
    lives.live_on(faults.budget + 6);
    lives.completed().unwrap();
}
