//! For real adapters over fake programs, below the ports of this world: the cluster manager's daemon itself,
//! and what a node is told to do.

use std::sync::{Arc, Mutex, PoisonError};

use super::World;
use super::faults::Fault;
use super::state::State;
use super::work::{Request, Work};
use crate::names::NodeName;
use crate::plan::{Action, ManagerEffect};
use crate::platform::Platform;
use crate::ports::PortResult;
use crate::world::{Device, EtcdRole, InstallerAsks, PowerState};

/// The daemon at one moment: what it knows, and what it does when it is told.
pub struct Desk<'a>(&'a mut State);

impl std::fmt::Debug for Desk<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Desk({:?})", self.0.now)
    }
}

/// What becomes of a program's call of the daemon.
#[derive(Debug, Clone, Copy)]
pub struct Luck {
    /// The fault, if there is one. What is slow, late or stale is so already.
    pub fault: Option<Fault>,
    /// Chance for whatever the caller has to choose.
    pub chance: u64,
}

impl Desk<'_> {
    /// Whether the daemon answers at all: it does not while it restarts.
    pub fn answers(&self) -> bool {
        self.0.manager_answers().is_ok()
    }

    /// The seat of the active head node; none where there is only one head node.
    pub const fn active(&self) -> Option<usize> {
        self.0.active
    }

    /// Every node.
    pub fn nodes(&self) -> Vec<NodeName> {
        self.0.nodes.iter().map(|node| node.name.clone()).collect()
    }

    /// A device.
    ///
    /// # Errors
    /// When there is no such node.
    pub fn device(&self, node: &NodeName) -> PortResult<Device> {
        self.0.device(node)
    }

    /// The role as it is held by everyone who has it, and by these nodes.
    pub fn etcd_role(&self, nodes: &[NodeName]) -> EtcdRole {
        self.0.etcd_role(nodes)
    }

    /// What there is of Kubernetes.
    pub fn platform(&self) -> Platform {
        self.0.platform()
    }

    /// What a node's installer asks for.
    ///
    /// # Errors
    /// When there is no such node.
    pub fn installer_asks(&self, node: &NodeName) -> PortResult<InstallerAsks> {
        self.0.installer_asks(node)
    }

    /// What a node's power control says.
    ///
    /// # Errors
    /// When there is no such node.
    pub fn power(&self, node: &NodeName) -> PortResult<PowerState> {
        self.0.power_state(node)
    }

    /// The software images that are locked.
    pub fn locked_images(&self) -> Vec<String> {
        self.0.locked_images()
    }

    /// Does as it is told.
    ///
    /// # Errors
    /// When it refuses.
    pub fn obey(&mut self, effect: &ManagerEffect) -> PortResult<()> {
        self.0.manager(effect).map(drop)
    }
}

impl World {
    /// Looks at the daemon's desk, with no time passing.
    pub fn at_desk<T>(&self, look: impl FnOnce(&mut Desk<'_>) -> T) -> T {
        look(&mut Desk(&mut self.state()))
    }

    /// What a program's script does, step by step and with this world's faults, as behind its ports.
    ///
    /// # Errors
    /// As theirs.
    pub async fn send(&self, action: Action) -> PortResult<()> {
        self.effect(action).await
    }

    /// A program's call of the daemon, there and back, with this world's faults. All that the call does
    /// happens at one moment; its caller may have died by then.
    pub async fn call<T: Send + 'static>(
        &self,
        changes: bool,
        act: impl FnOnce(&mut Desk<'_>, Luck) -> T + Send + 'static,
    ) -> T {
        let (luck, travels) = {
            let mut state = self.state();
            let fault = if changes {
                state.faults.effect()
            } else {
                state.faults.question()
            };
            let chance = fault.map_or(0, |_| state.rng.next());
            let most = if fault == Some(Fault::Slow) {
                20_000
            } else {
                60
            };
            (Luck { fault, chance }, state.rng.millis(1, most))
        };
        let done = Arc::new(Mutex::new(None));
        let there = Arc::clone(&done);
        let errand = move |state: &mut State| {
            let act = |state: &mut State| act(&mut Desk(state), luck);
            let answer = if luck.fault == Some(Fault::Stale) {
                state.as_before(act)
            } else {
                act(state)
            };
            *there.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
        };
        let errand = Work::Errand(Some(Box::new(errand)));
        // It is answered when it is done, and refuses nothing itself.
        let _ = Request::submit(self, errand, travels).await;
        let late = luck.fault.filter(|fault| *fault == Fault::Late);
        self.travel(late.map(|_| Fault::Slow)).await;
        let answer = done.lock().unwrap_or_else(PoisonError::into_inner).take();
        answer.unwrap_or_else(|| unreachable!("the errand is done"))
    }
}
