//! The watcher of the fake world sees what no run may do: effects are sent out of order, by hand.
#![cfg(feature = "testkit")]
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use runbook_core::names::{AbsPath, EtcdUrl, NodeName, UnitId};
use runbook_core::plan::{Action, ManagerEffect, NodeEffect, SealedPlan, Undo, Unit};
use runbook_core::testkit::{
    Effect, Fault, Faults, Found, Incident, Lives, Mortal, World, permit, run_id,
};
use runbook_core::world::{Device, DeviceStatus, InstallMode};

struct Scene {
    world: World,
    plan: SealedPlan,
}

impl Scene {
    fn new(world: World) -> Self {
        let plan = world.plan(run_id(1)).unwrap();
        Self { world, plan }
    }

    /// Does what a unit of the plan does, whether or not its turn has come.
    fn unit(&self, id: &str) {
        let id = UnitId::new(id).unwrap();
        let Unit { act, .. } = self.plan.unit(&id).unwrap();
        self.act(act.as_ref().unwrap());
    }

    fn act(&self, action: &Action) {
        let (ports, permit) = (
            self.world.ports(),
            permit(&UnitId::new("by-hand").unwrap()).unwrap(),
        );
        self.world.drive(async {
            let done = match action {
                Action::Manager(effect) => ports.manager.perform(&permit, effect).await,
                Action::Node(effect) => ports.nodes.perform(&permit, effect).await,
                Action::Tool(effect) => ports.tool.perform(&permit, effect).await,
                Action::Client(effect) => ports.client.perform(&permit, effect).await,
                Action::Own(_) => unreachable!("no plan here has one"),
            };
            done.unwrap();
        });
    }

    fn sees(&self, rule: &str) {
        self.world.pass(Duration::from_secs(300));
        let broken = self.world.violations();
        assert!(
            broken.iter().any(|line| line.contains(rule)),
            "{rule}: {broken:?}"
        );
    }

    fn up_to_move_spool(&self) {
        self.unit("stop/unassign");
        for node in ["node001", "node002", "node003"] {
            self.unit(&format!("stop/{node}/etcd"));
            self.unit(&format!("move-spool/{node}/aside"));
        }
    }
}

#[test]
fn an_empty_etcd() {
    let scene = Scene::new(World::of(3).reprovision_all().build());
    scene.unit("stop/unassign");
    for node in ["node001", "node002", "node003"] {
        scene.unit(&format!("reprovision/{node}/datanode"));
        scene.unit(&format!("reprovision/{node}/install-mode"));
        scene.unit(&format!("reprovision/{node}/boot"));
    }
    scene.world.pass(Duration::from_secs(300));
    assert_eq!(scene.world.verdict(), Ok(()));
    scene.unit("reassign/assign");
    scene.sees("got the role, and has no data");
    scene.sees("etcd started empty on node001");
}

#[test]
fn an_etcd_that_starts_before_all_are_armed() {
    let scene = Scene::new(World::of(3).build());
    scene.up_to_move_spool();
    scene.unit("restore/node001/restore");
    scene.world.pass(Duration::from_secs(60));
    scene.unit("chown/node001/own");
    scene.unit("chown/node001/arm");
    scene.sees("node001 was armed before node002 was restored");
    scene.unit("chown/node001/startable");
    scene.unit("reassign/assign");
    scene.sees("etcd started before every member was armed on node001");
    // The guards hold: nothing starts on the other two.
    assert_eq!(scene.world.times(&Effect::EtcdServes), 1);
    assert!(scene.world.times(&Effect::EtcdRefuses) > 1);
}

#[test]
fn half_a_restore() {
    let scene = Scene::new(World::of(1).build());
    scene.unit("stop/unassign");
    scene.unit("stop/node001/etcd");
    scene.unit("move-spool/node001/aside");
    scene.unit("restore/node001/restore");
    scene.unit("chown/node001/own");
    scene.unit("chown/node001/arm");
    scene.unit("chown/node001/startable");
    scene.unit("reassign/assign");
    scene.sees("armed with something not restored");
    scene.sees("etcd started from half a restore");
}

#[test]
fn a_wipe_under_the_role_and_a_second_one() {
    let scene = Scene::new(World::of(1).reprovision_all().build());
    let node = NodeName::new("node001").unwrap();
    for _ in 0..2 {
        scene.unit("reprovision/node001/datanode");
        scene.act(&Action::Manager(ManagerEffect::SetNextInstallMode {
            node: node.clone(),
            mode: Some(InstallMode::Full),
        }));
        scene.unit("reprovision/node001/boot");
        scene.world.pass(Duration::from_secs(300));
    }
    scene.sees("node001 was wiped while node001 had the role");
    scene.sees("node001 was wiped again");
}

#[test]
fn a_data_node_waits_for_ever() {
    let scene = Scene::new(World::of(1).reprovision_all().build());
    scene.unit("stop/unassign");
    scene.unit("reprovision/node001/install-mode");
    scene.unit("reprovision/node001/boot");
    scene.world.pass(Duration::from_secs(36_000));
    assert_eq!(scene.world.times(&Effect::WaitsForConfirmation), 1);
    assert_eq!(scene.world.times(&Effect::Wiped), 0);
}

#[test]
fn data_moved_under_a_running_etcd() {
    let scene = Scene::new(World::of(1).every_node(Found::Serving).build());
    scene.act(&Action::Node(NodeEffect::SetAside {
        node: NodeName::new("node001").unwrap(),
        spool: AbsPath::new("/var/lib/etcd").unwrap(),
        aside: AbsPath::new("/var/lib/etcd.old").unwrap(),
        run: run_id(1),
    }));
    scene.sees("moved while etcd was running");
}

fn node001() -> NodeName {
    NodeName::new("node001").unwrap()
}

fn device(world: &World) -> Device {
    let ports = world.ports();
    world
        .drive(async { ports.manager.device(&node001()).await })
        .unwrap()
}

/// A run believes that its guard stands, and something takes it away that is no hand of this world.
#[test]
fn a_guard_that_is_gone() {
    let world = World::of(1).build();
    let plan = world.plan(run_id(1)).unwrap();
    let mut lives = Lives::with_plan(&world, plan.clone());
    let done = |lives: &Lives| {
        let journal = String::from_utf8(lives.journal()).unwrap();
        journal.contains(r#""kind":"done","unit":"move-spool/node001/aside""#)
    };
    for waits in 1..200 {
        if !done(&lives) {
            lives.live(Mortal::after(waits));
        }
    }
    assert!(done(&lives));
    assert_eq!(world.verdict(), Ok(()));
    let scene = Scene { world, plan };
    let aside = UnitId::new("move-spool/node001/aside").unwrap();
    let Undo::By(back) = scene.plan.unit(&aside).unwrap().undo.clone() else {
        unreachable!("the data was moved");
    };
    scene.act(&back);
    scene.sees("node001 has lost its guard");
}

/// FULL that a run has set too early is its own fault, though the boot is not; FULL set by hand is not.
#[test]
fn a_boot_of_its_own_under_the_role() {
    for by_hand in [false, true] {
        let scene = Scene::new(World::of(1).reprovision_all().datanode(false).build());
        if by_hand {
            let full = Some(InstallMode::Full);
            scene.world.set_install_mode(&node001(), full);
        } else {
            scene.unit("reprovision/node001/install-mode");
        }
        assert!(scene.world.befall(Incident::Reboots(0)));
        if by_hand {
            scene.world.pass(Duration::from_secs(20));
            assert_eq!(scene.world.times(&Effect::Wiped), 1);
            assert_eq!(scene.world.verdict(), Ok(()));
        } else {
            scene.sees("node001 was wiped while node001 had the role");
        }
    }
}

/// Behind a failover an effect may be needed again on a node whose installation was forgotten, and there alone.
#[test]
fn twice_behind_a_failover() {
    for installs in [false, true] {
        let world = World::of(1).two_heads().reprovision_all();
        let scene = Scene::new(world.build());
        scene.unit("stop/unassign");
        scene.unit("reprovision/node001/datanode");
        scene.unit("reprovision/node001/install-mode");
        if installs {
            scene.unit("reprovision/node001/boot");
            while scene.world.times(&Effect::Wiped) == 0 {
                scene.world.pass(Duration::from_secs(1));
            }
        }
        assert!(scene.world.befall(Incident::FailsOver));
        scene.world.pass(Duration::from_secs(60));
        scene.world.set_datanode(&node001(), true);
        scene.unit("reprovision/node001/datanode");
        let lost = usize::from(installs);
        assert_eq!(scene.world.times(&Effect::InstallerLost), lost);
        assert_eq!(scene.world.repeated().is_ok(), installs);
    }
}

/// A quorum that the head node cannot see serves all the same.
#[test]
fn a_quorum_out_of_sight() {
    let world = World::of(3).every_node(Found::Serving).quorum_stays();
    let scene = Scene::new(world.build());
    for at in 0..3 {
        assert!(scene.world.befall(Incident::Partitioned(at)));
    }
    let ports = scene.world.ports();
    let url: EtcdUrl = "https://10.141.0.1:2379".parse().unwrap();
    scene.world.drive(async {
        assert_eq!(ports.nodes.boot_id(&node001()).await.unwrap(), None);
        assert!(ports.client.status(&url).await.is_err());
    });
    assert_eq!(device(&scene.world).status, DeviceStatus::Down);
    scene.unit("stop/unassign");
    scene.sees("the role was taken while a quorum of the old cluster served");
    // It is over some time, and only then they hear of it.
    scene.world.pass(Duration::from_secs(400));
    assert_eq!(device(&scene.world).status, DeviceStatus::Up);
    assert_eq!(scene.world.times(&Effect::EtcdStopped), 3);
}

/// The cluster manager is slow to see what has become of a node.
#[test]
fn a_status_of_a_while_ago() {
    let world = World::of(1).build();
    world.misbehave(Faults {
        seed: 0,
        percent: 100,
        budget: 1,
        kinds: vec![Fault::Stale].into(),
    });
    world.power_off(&node001());
    for _ in 0..2 {
        assert_eq!(device(&world).status, DeviceStatus::Up);
    }
    world.pass(Duration::from_secs(60));
    assert_eq!(device(&world).status, DeviceStatus::Down);
}
