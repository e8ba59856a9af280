//! A script from a seed.

use super::super::rng::Rng;
use super::super::{Builder, FaultKinds, Faults, Found, InFlight, Incident, Mortal, Tear, World};
use super::{Scene, Script};
use crate::spec::{DatanodeAgain, RevisionBump};
use crate::version::EtcdVersion;

pub(super) fn script(seed: u64) -> Script {
    let mut rng = Rng::new(seed);
    let mut world = world(&mut rng);
    let members = world.members();
    let faults = if rng.percent(25) {
        Faults::default()
    } else {
        Faults {
            seed: rng.next(),
            percent: from_to(&mut rng, 1, 15),
            budget: from_to(&mut rng, 1, 10).into(),
            kinds: FaultKinds::default(),
        }
    };
    let lives = from_to(&mut rng, 0, 3);
    // Two histories of three are left alone by everybody else.
    let befallen = rng.percent(35);
    let lives = (0..lives).map(|_| scene(&mut rng, members, befallen));
    let mut lives: Vec<Scene> = lives.collect();
    if rng.percent(25) {
        world = world.two_heads();
        fail_over(&mut rng, members, &mut lives);
    }
    if rng.percent(3) {
        (world, lives) = out_of_sight(&mut rng, world, lives);
    }
    let dialect = rng.next();
    // Last: the histories of older seeds stay what they were.
    for scene in &mut lives {
        scene.at_once = rng.percent(50);
    }
    Script {
        world,
        faults,
        lives,
        dialect,
    }
}

/// A cluster that is well, whose nodes are cut off from the head node before the run begins; the spec allows
/// nobody to stop it.
fn out_of_sight(rng: &mut Rng, world: Builder, mut lives: Vec<Scene>) -> (Builder, Vec<Scene>) {
    if lives.is_empty() {
        lives.push(Scene::default());
    }
    for at in 0..world.members() {
        if rng.percent(80) {
            lives[0].before.push(Incident::Partitioned(at));
        }
    }
    (world.every_node(Found::Serving).quorum_stays(), lives)
}

/// The other head node takes over, once or twice.
fn fail_over(rng: &mut Rng, members: usize, lives: &mut Vec<Scene>) {
    if lives.is_empty() {
        lives.push(Scene::default());
    }
    for _ in 0..from_to(rng, 1, 2) {
        let at = place(rng, lives.len());
        if rng.percent(25) {
            lives[at].before.push(Incident::FailsOver);
        } else {
            let moment = moment(rng, members);
            lives[at].during.push((moment, Incident::FailsOver));
        }
    }
}

fn from_to(rng: &mut Rng, from: u8, to: u8) -> u8 {
    let drawn = rng.below(u64::from(to - from) + 1);
    from + u8::try_from(drawn).unwrap_or(0)
}

fn place(rng: &mut Rng, limit: usize) -> usize {
    usize::try_from(rng.below(limit as u64)).unwrap_or(0)
}

fn one_of<T: Copy>(rng: &mut Rng, of: &[T]) -> T {
    of[place(rng, of.len())]
}

fn world(rng: &mut Rng) -> Builder {
    let members = one_of(rng, &[1, 1, 3, 3, 3, 5]);
    let mut world = World::of(members)
        .seed(rng.next())
        .parallel(from_to(rng, 1, 5).into())
        .datanode(rng.percent(50))
        .brisk();
    for at in 0..members {
        let found = one_of(
            rng,
            &[
                Found::Damaged,
                Found::Damaged,
                Found::Damaged,
                Found::Serving,
                Found::NoSpool,
                Found::EmptySpool,
                Found::Off,
            ],
        );
        world = world.node(at, found);
        // A node that is off can only be reprovisioned.
        if found == Found::Off || rng.percent(50) {
            world = world.reprovision(&[at]);
        }
    }
    let (version, bump) = one_of(
        rng,
        &[
            (EtcdVersion::new(3, 4, 23), RevisionBump::Auto),
            (EtcdVersion::new(3, 4, 27), RevisionBump::By(1000)),
            (EtcdVersion::new(3, 5, 16), RevisionBump::None),
            (EtcdVersion::new(3, 6, 1), RevisionBump::Auto),
        ],
    );
    world = world.version(version, bump);
    if rng.percent(30) {
        world = world.category_datanode();
    }
    if rng.percent(30) {
        world = world.without_role();
    }
    if rng.percent(50) {
        world = world.image_has_spool();
    }
    if rng.percent(25) {
        world = world.confirm();
    }
    if rng.percent(50) {
        world = world.datanode_again(DatanodeAgain::AfterReprovision);
    }
    world
}

/// About as many waits as a run of so many members has.
fn moment(rng: &mut Rng, members: usize) -> u64 {
    1 + rng.below(100 + 180 * members as u64)
}

fn scene(rng: &mut Rng, members: usize, befallen: bool) -> Scene {
    let mut scene = Scene {
        ends: mortal(rng, members),
        undo: rng.percent(8),
        ..Scene::default()
    };
    if befallen {
        for _ in 0..from_to(rng, 0, 1) {
            scene.before.push(incident(rng, members));
        }
        for _ in 0..from_to(rng, 0, 3) {
            let at = moment(rng, members);
            scene.during.push((at, incident(rng, members)));
        }
    }
    scene
}

fn incident(rng: &mut Rng, members: usize) -> Incident {
    let incident = one_of(rng, &Incident::ALL).on(place(rng, members));
    if let Incident::ClockJumps(_) = incident {
        let days = i32::from(from_to(rng, 0, 200)) - 100;
        return Incident::ClockJumps(days * 86_400);
    }
    incident
}

fn mortal(rng: &mut Rng, members: usize) -> Mortal {
    let mut mortal = Mortal::never();
    match rng.below(10) {
        0..4 => mortal.waits = Some(moment(rng, members)),
        4 => mortal.halt = Some(moment(rng, members)),
        5..8 => mortal.tear = Some((place(rng, 20 + 25 * members), one_of(rng, &Tear::ALL))),
        _ => return mortal,
    }
    if rng.percent(40) {
        mortal.in_flight = InFlight::Lands;
    }
    if mortal.halt.is_none() && rng.percent(40) {
        mortal.power_cut = Some(rng.next());
    }
    mortal
}
