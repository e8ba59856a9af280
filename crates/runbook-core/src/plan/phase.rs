//! The phases, in the vendor article's order.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A phase of the procedure. Behind each stands a barrier: no unit of a phase begins before every
/// unit of the earlier ones is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Read-only: may this run begin at all?
    Preflight,
    /// The role is taken away and etcd stopped, everywhere.
    Stop,
    /// The old data is moved aside and a guard stands in its place.
    MoveSpool,
    /// Disks are wiped and provisioned anew, where the spec says so.
    Reprovision,
    /// The snapshot is restored beside the spool on every member.
    Restore,
    /// The restored data gets its owner and takes the spool's place.
    Chown,
    /// The role is given back and etcd comes up.
    Reassign,
    /// The nodes are data nodes again.
    Datanode,
    /// Is the cluster that came up the one that was promised?
    Verify,
}

impl Phase {
    /// Every phase, in order.
    pub const ALL: [Self; 9] = [
        Self::Preflight,
        Self::Stop,
        Self::MoveSpool,
        Self::Reprovision,
        Self::Restore,
        Self::Chown,
        Self::Reassign,
        Self::Datanode,
        Self::Verify,
    ];

    /// The name used in unit ids and on screen.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Preflight => "preflight",
            Self::Stop => "stop",
            Self::MoveSpool => "move-spool",
            Self::Reprovision => "reprovision",
            Self::Restore => "restore",
            Self::Chown => "chown",
            Self::Reassign => "reassign",
            Self::Datanode => "datanode",
            Self::Verify => "verify",
        }
    }

    /// What the phase is for, in one sentence.
    pub const fn purpose(self) -> &'static str {
        match self {
            Self::Preflight => "make sure that the run may begin; nothing is changed",
            Self::Stop => {
                "take Etcd::Host away and stop etcd, so that nothing can start before it is restored"
            }
            Self::MoveSpool => {
                "move the old data aside and put a guard in its place: a regular file, so that no etcd can make its directory there"
            }
            Self::Reprovision => "wipe and provision the disks that the spec names",
            Self::Restore => "restore the snapshot beside the spool, where no etcd looks for it",
            Self::Chown => "give the restored data its owner and put it in the spool's place",
            Self::Reassign => "give Etcd::Host back; etcd starts from the restored data",
            Self::Datanode => "make the nodes data nodes again, so that no provisioning wipes them",
            Self::Verify => "compare the cluster that came up with what the plan predicted",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
