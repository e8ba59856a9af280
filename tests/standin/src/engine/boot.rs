//! A node's way from off to up, through the node-installer (admin manual 5.4, 5.5.3).

use super::{Daemon, locked};
use crate::dialect::ClearedAt;
use crate::model::Value;
use crate::scenario::Fate;
use crate::schema::Kind;
use crate::state::{Node, Phase, now};

/// The messages of the node-installer, in order. At the second the disk has been looked at and
/// the install mode is decided.
pub(crate) const STEPS: [&str; 8] = [
    "node-installer started",
    "checking disks",
    "recreating partitions and filesystems",
    "mounting disks",
    "waiting for {mode} provisioning to start",
    "provisioning started, waiting for completion",
    "provisioning complete",
    "initializing SELinux",
];
const CHECKED: usize = 1;
const RECREATE: usize = 2;
const MOUNT: usize = 3;
pub(crate) const QUEUED: usize = 4;
const PROVISIONING: usize = 5;
const COMPLETE: usize = 6;

/// How often to look, at most, whether a booting node's sshd answers, in milliseconds.
const INIT_POLL: i64 = 100;

/// What the node-installer is going to do with the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Install {
    Full { ask: bool },
    Sync,
    Skip,
    Maintenance,
}

impl Daemon {
    /// Moves a node that is on its way one phase on, once that is due.
    pub(super) fn boot(&self, name: &str, node: &Node) {
        if let Phase::CallingInit { started } = node.phase {
            self.call_init(name, started, node);
            return;
        }
        if now() < node.due {
            return;
        }
        match node.phase {
            Phase::GoingDown { boot_again } => self.go_down(name, boot_again),
            Phase::Booting => self.enter_step(name, false, 0),
            Phase::Installing {
                full: false,
                step: CHECKED,
            } => self.decide(name),
            Phase::Installing { step: QUEUED, .. } if !self.may_be_provisioned(name) => {}
            Phase::Installing { full, step } if step + 1 < STEPS.len() => {
                self.enter_step(name, full, step + 1);
            }
            Phase::Installing { .. } => self.enter_init(name),
            _ => {}
        }
    }

    fn go_down(&self, name: &str, boot_again: bool) {
        let off = self.hook(&["power-off", name], true).ok();
        let boot = now() + self.delays().boot;
        self.update(name, |node| {
            node.etcd.running &= !off;
            (node.phase, node.due, node.powered) = match (off, boot_again) {
                // It would not go down: it is still there.
                (false, _) => (Phase::Up, 0, true),
                (true, true) => (Phase::Booting, boot, true),
                (true, false) => (Phase::Down, 0, false),
            };
        });
    }

    /// Enters a step of the node-installer, with what it does to the disk.
    fn enter_step(&self, name: &str, full: bool, step: usize) {
        let done = match step {
            RECREATE if full => self.hook(&["wipe", name], true).ok(),
            COMPLETE if full => self.hook(&["provisioned", name], true).ok(),
            _ => true,
        };
        let due = now() + self.delays().install_step;
        self.update(name, |node| {
            node.due = due;
            node.phase = if done {
                Phase::Installing { full, step }
            } else {
                Phase::Failed
            };
            if full && step == RECREATE {
                // A new disk: nothing of the role is on it.
                node.etcd.applied = Some(false);
                node.api_urls = None;
            }
        });
    }

    /// Whether the image is free and a place among those being provisioned as well.
    fn may_be_provisioned(&self, name: &str) -> bool {
        let settled = self.settled();
        let provisioning = &settled.scenario.provisioning;
        let state = locked(&self.state);
        let under_way = |node: &Node| {
            matches!(
                node.phase,
                Phase::Installing {
                    step: PROVISIONING..=COMPLETE,
                    ..
                }
            )
        };
        let busy = state.nodes.values().filter(|node| under_way(node)).count();
        let image = state.cluster.image_of(name);
        !provisioning.locked_images.contains(&image)
            && provisioning.slots.is_none_or(|slots| busy < slots)
    }

    /// A node that waits at its console, or cannot be reached, goes on once the scenario lets it.
    pub(super) fn held_up(&self, name: &str, node: &Node) {
        if self.settled().in_store(name) != node.fate {
            self.update(name, |node| node.fate = None);
            self.carry_out(name);
        }
    }

    /// Decides what to do with the disk, once it was looked at.
    fn decide(&self, name: &str) {
        let fate = self.stage.fate(&self.config, name);
        let held = match fate {
            Some(Fate::Fails) => Some(Phase::Failed),
            Some(Fate::Unreachable) => Some(Phase::Unreachable),
            Some(Fate::Console) => Some(Phase::Console),
            Some(Fate::NeverUp | Fate::FullAgain) | None => None,
        };
        self.update(name, |node| {
            node.fate = fate;
            node.phase = held.unwrap_or(node.phase);
        });
        if held.is_none() {
            self.carry_out(name);
        }
    }

    fn carry_out(&self, name: &str) {
        match self.install(name) {
            Install::Full { ask: true } => self.update(name, |node| node.phase = Phase::Waiting),
            Install::Full { ask: false } => self.enter_step(name, true, RECREATE),
            Install::Sync => self.enter_step(name, false, MOUNT),
            Install::Skip => self.enter_init(name),
            Install::Maintenance => {
                self.update(name, |node| node.phase = Phase::Maintenance);
            }
        }
    }

    /// The order of decisions of the admin manual, 5.4.4: a new node, the next install mode, the
    /// node's own mode, its category's. Whatever leads to FULL, a data node is asked about it,
    /// except for block devices marked to be cleared.
    fn install(&self, name: &str) -> Install {
        let disk_fits =
            !self.config.knows_hook("disk-ok") || self.hook(&["disk-ok", name], false).ok();
        let state = locked(&self.state);
        let (Some(device), Some(node)) = (
            state.cluster.find(Kind::Device, name),
            state.nodes.get(name),
        ) else {
            return Install::Sync;
        };
        if node.disk_doubted {
            return Install::Full {
                ask: state.cluster.data_node(name),
            };
        }
        if !device.list("blockdevicesclearedonnextboot").is_empty() {
            return Install::Full { ask: false };
        }
        let of_category = |property: &str| {
            state
                .cluster
                .find(Kind::Category, &device.text("category"))
                .map(|category| category.text(property))
                .unwrap_or_default()
        };
        let is_new = device.text("mac") != node.known_mac;
        let mode = [
            if is_new {
                of_category("newnodeinstallmode")
            } else {
                String::new()
            },
            device.text("nextinstallmode"),
            device.text("installmode"),
            of_category("installmode"),
        ]
        .into_iter()
        .find(|mode| !mode.is_empty());
        match mode.as_deref() {
            Some("MAIN") => Install::Maintenance,
            Some("SKIP") => Install::Skip,
            Some("FULL") => Install::Full {
                ask: state.cluster.data_node(name),
            },
            _ if !disk_fits => Install::Full {
                ask: state.cluster.data_node(name),
            },
            _ => Install::Sync,
        }
    }

    fn enter_init(&self, name: &str) {
        let limit = now() + self.delays().calling_init_limit;
        self.clear_next_mode(name, ClearedAt::CallingInit);
        self.update(name, |node| {
            node.phase = Phase::CallingInit { started: false };
            node.due = limit;
        });
    }

    /// Runs the node's own init, then waits for its `CMDaemon`, for which sshd stands in.
    fn call_init(&self, name: &str, started: bool, node: &Node) {
        if node.fate == Some(Fate::NeverUp) {
            let (time, limit) = (now(), node.due);
            if time >= limit {
                self.update(name, |node| node.phase = Phase::Failed);
            }
        } else if !started {
            let running = self.hook(&["power-on", name], true).ok();
            let next = if running {
                Phase::CallingInit { started: true }
            } else {
                Phase::Failed
            };
            self.update(name, |node| node.phase = next);
        } else if now() < node.next_poll {
            // Not yet time to look again.
        } else if self.hook(&["ssh-ok", name], false).ok() {
            std::thread::sleep(std::time::Duration::from_millis(
                self.delays().up.unsigned_abs(),
            ));
            self.come_up(name);
        } else {
            let (time, limit) = (now(), node.due);
            self.update(name, |node| {
                node.next_poll = time + self.delays().poll.min(INIT_POLL);
                if time >= limit {
                    node.phase = Phase::Failed;
                }
            });
        }
    }

    fn come_up(&self, name: &str) {
        self.clear_next_mode(name, ClearedAt::Up);
        let wanted = self.has_role(name, crate::model::ETCD_HOST);
        let mac = {
            let mut state = locked(&self.state);
            let device = state.cluster.find_mut(Kind::Device, name);
            device.map(|device| {
                device.set("blockdevicesclearedonnextboot", Value::List(Vec::new()));
                device.text("mac")
            })
        };
        let start = now() + self.delays().service_start;
        let poll = now() + self.delays().poll;
        let again = now() + self.delays().again;
        self.update(name, |node| {
            node.phase = Phase::Up;
            node.powered = true;
            node.pingable_only = false;
            node.silent_since = None;
            node.next_poll = poll;
            node.known_mac = mac.unwrap_or_default();
            node.etcd.running = false;
            node.etcd.tries = 0;
            node.etcd.due = wanted.then_some(start);
            node.disk_doubted = false;
            node.again = (node.fate == Some(Fate::FullAgain)).then_some(again);
            node.fate = None;
        });
    }

    /// The node goes down by itself, and the node-installer will not trust its disk.
    pub(super) fn fall_back(&self, name: &str) {
        self.update(name, |node| {
            node.again = None;
            node.disk_doubted = true;
            node.phase = Phase::GoingDown { boot_again: true };
            node.due = 0;
        });
    }

    fn clear_next_mode(&self, name: &str, at: ClearedAt) {
        if self.dialect().nextinstallmode_cleared != at {
            return;
        }
        let mut state = locked(&self.state);
        if let Some(device) = state.cluster.find_mut(Kind::Device, name) {
            device.set("nextinstallmode", Value::Text(String::new()));
        }
        self.persist(&state);
    }
}
