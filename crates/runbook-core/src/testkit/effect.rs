//! What happened in the world, as its log keeps it.

use std::fmt;
use std::time::Duration;

use super::Incident;
use crate::names::{CategoryName, NodeName};
use crate::world::InstallMode;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    /// Virtual time since the world began.
    pub at: Duration,
    /// The node, where it is about one.
    pub node: Option<NodeName>,
    /// What happened.
    pub effect: Effect,
}

/// Something that changed the world, or tried to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Effect {
    /// The node was taken out of the overlay.
    RoleTaken,
    /// The node was put into the overlay.
    RoleGiven,
    /// `datanode` of the node was set.
    Datanode(bool),
    /// `datanode` of a category was set.
    CategoryDatanode(CategoryName, bool),
    /// `nextinstallmode` was set or cleared, as the cluster manager prints it.
    InstallMode(String),
    /// A reboot began.
    Rebooting,
    /// The node was powered on.
    PoweredOn,
    /// The installer was given leave to install FULL.
    Confirmed,
    /// `systemctl stop` ended a running unit.
    ServiceStopped,
    /// The spool was moved aside.
    MovedAside,
    /// A guard was put at the spool path.
    Guarded,
    /// The guard was taken away.
    Unguarded,
    /// A restore began.
    RestoreStarted,
    /// The staged tree got its owner or its mode.
    Owned,
    /// The staged tree was renamed onto the spool path.
    Armed,
    /// Failed starts of etcd were cleared.
    FailuresCleared,
    /// The restored tree was moved back to its staging directory.
    Disarmed,
    /// The old data was moved back.
    Returned,
    /// The canary key was written.
    CanaryPut,
    /// The canary key was deleted.
    CanaryDeleted,
    /// A request that changed nothing, because its effect was there already.
    Resent(String),
    /// The world: a FULL provisioning wiped the disk.
    Wiped,
    /// The world: the installer waits for a confirmation on the console.
    WaitsForConfirmation,
    /// The world: the node is up and answers.
    Booted,
    /// The world: what a boot has used up of `nextinstallmode` is cleared, some time after it.
    ModeCleared,
    /// The world: the restore on the node ended well.
    RestoreDone,
    /// The world: the restore on the node ended badly.
    RestoreFailed,
    /// The world: etcd serves.
    EtcdServes,
    /// The world: etcd could not start from what stands at the spool path.
    EtcdRefuses,
    /// The world: the cluster manager stopped etcd.
    EtcdStopped,
    /// The world: an installation was forgotten in a failover.
    InstallerLost,
    /// The world: power was lost.
    PowerLost,
    /// The world: API servers took a store with less than the snapshot for what is wanted.
    WorkloadsEnded,
    /// Something that is none of the run's doing.
    Incident(Incident),
    /// The operator put right what others had done to the node.
    Mended,
    /// Another run begins.
    AnotherRun,
}

impl Effect {
    /// Whether a run did it, and it changed something.
    pub const fn is_ours(&self) -> bool {
        !matches!(
            self,
            Self::Resent(_)
                | Self::Wiped
                | Self::WaitsForConfirmation
                | Self::Booted
                | Self::ModeCleared
                | Self::RestoreDone
                | Self::RestoreFailed
                | Self::EtcdServes
                | Self::EtcdRefuses
                | Self::EtcdStopped
                | Self::InstallerLost
                | Self::PowerLost
                | Self::WorkloadsEnded
                | Self::Incident(_)
                | Self::Mended
                | Self::AnotherRun
        )
    }

    /// Whether this makes another one, done before on the same node, needed once more.
    pub(super) const fn undoes(&self, done: &Self) -> bool {
        matches!(
            (self, done),
            (Self::EtcdServes, Self::ServiceStopped)
                | (Self::ModeCleared, Self::InstallMode(_))
                | (Self::WaitsForConfirmation, Self::Confirmed)
                // An undo disarms what a dead life's last request had armed meanwhile.
                | (Self::Guarded, Self::Unguarded)
        )
    }

    pub(super) fn mode(mode: Option<InstallMode>) -> Self {
        Self::InstallMode(mode.map_or_else(String::new, |mode| mode.to_string()))
    }
}

impl fmt::Display for Logged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let node = self.node.as_ref().map_or("-", NodeName::as_str);
        write!(f, "{:>10.3?} {node} {:?}", self.at, self.effect)
    }
}
