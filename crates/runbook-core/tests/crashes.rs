//! A crash at every await, a torn journal at every append: the next life completes, and nothing
//! happened twice.
#![cfg(feature = "testkit")]

use runbook_core::testkit::{Builder, Found, Lives, Mortal, Tear, World};

/// How many lives a run may need behind a single crash: one that trips over what the dead life left
/// on its way, and one that completes.
const LIVES: u32 = 3;

/// The worlds every sweep goes through.
fn worlds(members: usize) -> Vec<(&'static str, Builder)> {
    let of = || World::of(members);
    let mut worlds = vec![
        ("all wiped", of().reprovision_all().image_has_spool()),
        ("in place", of()),
        (
            "off",
            of().every_node(Found::Off)
                .reprovision_all()
                .without_role()
                .category_datanode(),
        ),
        ("empty disks", of().every_node(Found::EmptySpool)),
    ];
    if members > 1 {
        let mixed = of()
            .node(0, Found::Off)
            .node(1, Found::NoSpool)
            .reprovision(&[0])
            .category_datanode();
        worlds.push(("mixed", mixed));
    }
    worlds
}

/// Runs once without a crash: how often a life waits, and how often it writes.
fn measure(world: &Builder) -> (u64, usize) {
    let mut lives = Lives::of(&world.clone().build());
    lives.live(Mortal::never());
    lives.completed().unwrap_or_else(|wrong| panic!("{wrong}"));
    (lives.waits(), lives.appends())
}

/// Dies so, and lives on.
fn survives(name: &str, world: &Builder, deaths: &[Mortal]) -> Result<(), String> {
    let mut lives = Lives::of(&world.clone().build());
    for death in deaths {
        lives.live(*death);
    }
    lives.live_on(LIVES);
    lives.completed().map_err(|wrong| format!("{name}, {deaths:?}: {wrong}"))
}

fn sweep(members: usize, death: impl Fn(u64) -> Mortal) {
    let (mut count, mut failed) = (0, Vec::new());
    for (name, world) in worlds(members) {
        let (waits, _) = measure(&world);
        for at in 1..=waits {
            count += 1;
            failed.extend(survives(name, &world, &[death(at)]).err());
        }
    }
    assert!(failed.is_empty(), "{} of {count} crashes: {}", failed.len(), failed[0]);
}

#[test]
fn a_crash_at_every_await_of_one_member() {
    sweep(1, Mortal::after);
}

#[test]
fn a_crash_at_every_await_of_three_members() {
    sweep(3, Mortal::after);
}

#[test]
fn a_crash_at_every_await_of_five_members() {
    sweep(5, Mortal::after);
}

#[test]
fn a_crash_at_every_await_while_requests_go_on_by_themselves() {
    sweep(1, |at| Mortal::after(at).requests_land());
    sweep(3, |at| Mortal::after(at).requests_land());
}

#[test]
fn a_journal_torn_at_every_append() {
    for members in [1, 3] {
        for (name, world) in worlds(members) {
            let (_, appends) = measure(&world);
            for at in 0..appends {
                for tear in Tear::ALL {
                    survives(name, &world, &[Mortal::torn(at, tear)]).unwrap_or_else(|wrong| panic!("{wrong}"));
                }
            }
        }
    }
}
