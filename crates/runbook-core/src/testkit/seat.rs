//! The head nodes: one, or two of which one is active.

use std::sync::Arc;

use async_trait::async_trait;

use super::World;
use crate::journal::Permit;
use crate::names::{CategoryName, ClusterLabel, NodeName, OverlayName};
use crate::plan::{Command, ManagerEffect};
use crate::platform::Platform;
use crate::ports::{ClusterManager, PortResult, Ports};
use crate::world::{
    Device, EtcdRole, HeadRole, InstallerAsks, PowerState, Provisioning, RoleSource,
};

/// The cluster manager as one of two head nodes sees it. On the passive one cmsh follows the redirect to
/// the active one: only `cmha` tells the difference.
struct Seat {
    world: World,
    at: usize,
}

impl World {
    /// Every port, as the head node in this seat has them.
    pub fn ports_at(&self, seat: usize) -> Ports {
        if self.active_seat().is_none() {
            return self.ports();
        }
        let manager = Seat {
            world: self.clone(),
            at: seat,
        };
        Ports {
            manager: Arc::new(manager),
            ..self.ports()
        }
    }

    /// The seat of the active head node; none where there is only one.
    pub fn active_seat(&self) -> Option<usize> {
        self.state().active
    }

    /// The other head node becomes the active one.
    ///
    /// # Panics
    /// In a world with one head node.
    pub fn fail_over(&self) {
        let mut state = self.state();
        match &mut state.active {
            Some(active) => *active = 1 - *active,
            None => panic!("there is no other head node"),
        }
    }

    pub(super) async fn part_of(&self, seat: usize) -> PortResult<HeadRole> {
        let part = move |active| match active {
            None => HeadRole::Single,
            Some(active) if active == seat => HeadRole::Active,
            Some(_) => HeadRole::Passive,
        };
        self.ask_manager("cmha status", move |state| Ok(part(state.active)))
            .await
    }
}

#[async_trait]
impl ClusterManager for Seat {
    fn render(&self, effect: &ManagerEffect) -> PortResult<Vec<Command>> {
        ClusterManager::render(&self.world, effect)
    }

    async fn perform(&self, permit: &Permit, effect: &ManagerEffect) -> PortResult<()> {
        ClusterManager::perform(&self.world, permit, effect).await
    }

    async fn head_role(&self) -> PortResult<HeadRole> {
        self.world.part_of(self.at).await
    }

    async fn etcd_role(
        &self,
        overlay: Option<OverlayName>,
        nodes: &[NodeName],
    ) -> PortResult<EtcdRole> {
        self.world.etcd_role(overlay, nodes).await
    }

    async fn role_sources(&self, nodes: &[NodeName]) -> PortResult<Vec<Vec<RoleSource>>> {
        self.world.role_sources(nodes).await
    }

    async fn device(&self, node: &NodeName) -> PortResult<Device> {
        self.world.device(node).await
    }

    async fn platform(&self) -> PortResult<Platform> {
        self.world.platform().await
    }

    async fn category(&self, category: &CategoryName) -> PortResult<(bool, Vec<NodeName>)> {
        self.world.category(category).await
    }

    async fn etcd_overlay(&self, label: &ClusterLabel) -> PortResult<OverlayName> {
        self.world.etcd_overlay(label).await
    }

    async fn installer_asks(&self, node: &NodeName) -> PortResult<InstallerAsks> {
        self.world.installer_asks(node).await
    }

    async fn power(&self, node: &NodeName) -> PortResult<PowerState> {
        self.world.power(node).await
    }

    async fn provisioning(&self) -> PortResult<Provisioning> {
        self.world.provisioning().await
    }
}
