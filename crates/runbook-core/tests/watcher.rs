//! The watcher of the fake world sees what no run may do: effects are sent out of order, by hand.
#![cfg(feature = "testkit")]
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use runbook_core::names::{AbsPath, NodeName, UnitId};
use runbook_core::plan::{Action, ManagerEffect, NodeEffect, SealedPlan, Unit};
use runbook_core::testkit::{Effect, Found, World, permit, run_id};
use runbook_core::world::InstallMode;

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
        self.world.pass(std::time::Duration::from_secs(300));
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
    scene.world.pass(std::time::Duration::from_secs(300));
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
    scene.world.pass(std::time::Duration::from_secs(60));
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
        scene.world.pass(std::time::Duration::from_secs(300));
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
    scene.world.pass(std::time::Duration::from_secs(36_000));
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
