//! What a unit does: one effect, as data.
//!
//! Effects are grouped by the port that performs them, so that an adapter sees its own and no
//! others. None of them is a string of somebody's shell: the adapter's one renderer turns an effect
//! into commands, for the plan and for the run alike.

use serde::{Deserialize, Serialize};

use super::check::Check;
use crate::digest::Digest;
use crate::names::{
    AbsPath, CategoryName, EtcdUrl, MemberName, ModuleName, NodeName, OverlayName, Owner, RunId,
    ServiceName,
};
use crate::version::RestoreTool;
use crate::world::InstallMode;

/// One effect on the world.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Done by the cluster manager.
    Manager(ManagerEffect),
    /// Done on a node.
    Node(NodeEffect),
    /// Done with etcd's own tools.
    Tool(ToolEffect),
    /// Done through etcd's client API.
    Client(ClientEffect),
    /// Done by an embedder's own handler.
    Own(OwnEffect),
}

/// An effect of the cluster manager.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ManagerEffect {
    /// Take nodes out of an overlay's node list, in one commit.
    UnassignRole {
        /// The overlay.
        overlay: OverlayName,
        /// The nodes.
        nodes: Vec<NodeName>,
    },
    /// Put nodes into an overlay's node list, in one commit.
    AssignRole {
        /// The overlay.
        overlay: OverlayName,
        /// The nodes.
        nodes: Vec<NodeName>,
    },
    /// Set `datanode` of a node.
    SetDatanode {
        /// The node.
        node: NodeName,
        /// yes or no.
        value: bool,
    },
    /// Set `datanode` of a category.
    SetCategoryDatanode {
        /// The category.
        category: CategoryName,
        /// yes or no.
        value: bool,
    },
    /// Set or clear `nextinstallmode` of a node.
    SetNextInstallMode {
        /// The node.
        node: NodeName,
        /// The mode; none clears it.
        mode: Option<InstallMode>,
    },
    /// Reboot a node that is up; with `nextinstallmode` FULL this wipes its disk.
    Reboot {
        /// The node.
        node: NodeName,
    },
    /// Power on a node that is off; with `nextinstallmode` FULL this wipes its disk.
    PowerOn {
        /// The node.
        node: NodeName,
    },
    /// Give a node's installer, which waits for it, leave to install FULL; this wipes its disk.
    ConfirmInstall {
        /// The node.
        node: NodeName,
    },
}

/// An effect on a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum NodeEffect {
    /// `systemctl stop`.
    StopService {
        /// The node.
        node: NodeName,
        /// The unit.
        service: ServiceName,
    },
    /// Move the spool to `aside` and put the guard in its place. Nothing is ever overwritten.
    SetAside {
        /// The node.
        node: NodeName,
        /// etcd's data directory.
        spool: AbsPath,
        /// Its new name, carrying the run's id.
        aside: AbsPath,
        /// The run that holds the node, as the guard says.
        run: RunId,
    },
    /// Put the guard at a spool path where nothing, or an empty directory, stands.
    PlaceGuard {
        /// The node.
        node: NodeName,
        /// etcd's data directory.
        spool: AbsPath,
        /// The run that holds the node, as the guard says.
        run: RunId,
        /// A run that is over, whose guard may stand there as well.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        instead_of: Option<RunId>,
    },
    /// `chown -R` and `chmod 0700` of the staged tree.
    OwnTree {
        /// The node.
        node: NodeName,
        /// The staged tree.
        tree: AbsPath,
        /// Its new owner.
        owner: Owner,
    },
    /// Take the run's guard away and rename the staged tree onto the spool path.
    Arm {
        /// The node.
        node: NodeName,
        /// The staged tree.
        staged: AbsPath,
        /// etcd's data directory.
        spool: AbsPath,
        /// The run whose guard is expected.
        run: RunId,
    },
    /// `systemctl reset-failed`: make systemd forget failed starts, which may have used up its limit.
    ClearFailures {
        /// The node.
        node: NodeName,
        /// The unit.
        service: ServiceName,
    },
    /// Undo of [`NodeEffect::Arm`]: move the restored tree back to its staging directory and put the
    /// guard in its place again.
    Disarm {
        /// The node.
        node: NodeName,
        /// Where the restored tree came from.
        staged: AbsPath,
        /// etcd's data directory.
        spool: AbsPath,
        /// The run.
        run: RunId,
    },
    /// Undo of [`NodeEffect::SetAside`]: take the run's guard away and move the old data back.
    ReturnSpool {
        /// The node.
        node: NodeName,
        /// etcd's data directory.
        spool: AbsPath,
        /// Where the old data lies.
        aside: AbsPath,
        /// The run whose guard is expected.
        run: RunId,
    },
}

/// An effect of etcd's own tools.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ToolEffect {
    /// Restore the snapshot into a staging directory beside the spool.
    Restore(Box<RestoreEffect>),
}

/// The restore of one member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestoreEffect {
    /// The node.
    pub node: NodeName,
    /// The run, for the name of the remote job.
    pub run: RunId,
    /// The module that has the tool.
    pub module: ModuleName,
    /// The tool.
    pub tool: RestoreTool,
    /// The snapshot, as the node sees it.
    pub snapshot: AbsPath,
    /// What its trailer must say.
    pub sha256: Digest,
    /// The directory made for this run; the tree goes to `data` in it, the mark of completion to `complete`.
    pub staging: AbsPath,
    /// `--name`.
    pub member: MemberName,
    /// `--initial-advertise-peer-urls`.
    pub peer_url: EtcdUrl,
    /// `--initial-cluster`: every member with its peer URL.
    pub initial_cluster: Vec<(MemberName, EtcdUrl)>,
    /// Whether the snapshot ends with its SHA-256. Where it does not, the whole file is summed on the
    /// node before and after, and the tool is told to do without (`--skip-hash-check`).
    pub trailer: bool,
    /// `--initial-cluster-token`, fresh for this run.
    pub token: String,
    /// `--bump-revision`, always together with `--mark-compacted`.
    pub revision_bump: Option<u64>,
}

impl RestoreEffect {
    /// The restored tree inside the staging directory.
    pub fn tree(&self) -> AbsPath {
        self.staging.join("data")
    }
}

/// An effect through etcd's client API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ClientEffect {
    /// Write the canary key through one member.
    PutCanary {
        /// The member.
        url: EtcdUrl,
        /// The key.
        key: String,
        /// The value.
        value: String,
    },
    /// Delete the canary key.
    DeleteCanary {
        /// The member.
        url: EtcdUrl,
        /// The key.
        key: String,
    },
}

/// An effect of an embedder's own handler.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnEffect {
    /// The handler's name; it must be registered before the plan is sealed.
    pub kind: String,
    /// Whatever the handler needs.
    pub params: serde_json::Value,
}

impl Action {
    /// Whether sending it again while the first is still on its way does no harm.
    ///
    /// Every other effect is absolute ("the value is `no`") or refuses to begin twice.
    pub const fn is_repeatable(&self) -> bool {
        !matches!(self, Self::Manager(ManagerEffect::Reboot { .. }))
    }

    /// Whether it answers a question, which is answered again where it is asked again.
    pub const fn is_answer(&self) -> bool {
        matches!(self, Self::Manager(ManagerEffect::ConfirmInstall { .. }))
    }

    /// Whether a node boots for it, or goes on in its boot.
    pub(crate) const fn boots(&self) -> bool {
        use ManagerEffect as M;
        matches!(
            self,
            Self::Manager(M::Reboot { .. } | M::PowerOn { .. } | M::ConfirmInstall { .. })
        )
    }

    /// What is true of the world once the action has happened, and not before.
    pub fn done_when(&self) -> Vec<Check> {
        match self {
            Self::Manager(effect) => effect.done_when(),
            Self::Node(effect) => effect.done_when(),
            Self::Tool(ToolEffect::Restore(r)) => {
                vec![Check::Staged {
                    node: r.node.clone(),
                    staging: r.staging.clone(),
                    run: r.run,
                }]
            }
            Self::Client(ClientEffect::PutCanary { url, key, value }) => vec![Check::KeyReads {
                url: url.clone(),
                key: key.clone(),
                value: Some(value.clone()),
            }],
            Self::Client(ClientEffect::DeleteCanary { url, key }) => {
                vec![Check::KeyReads {
                    url: url.clone(),
                    key: key.clone(),
                    value: None,
                }]
            }
            Self::Own(own) => {
                vec![Check::Own {
                    kind: own.kind.clone(),
                    params: own.params.clone(),
                }]
            }
        }
    }
}

impl ManagerEffect {
    fn done_when(&self) -> Vec<Check> {
        match self {
            Self::UnassignRole { nodes, .. } => vec![Check::RoleAbsent {
                nodes: nodes.clone(),
            }],
            Self::AssignRole { overlay, nodes } => {
                vec![Check::RoleAssigned {
                    overlay: overlay.clone(),
                    nodes: nodes.clone(),
                }]
            }
            Self::SetDatanode { node, value } => {
                vec![Check::DatanodeIs {
                    node: node.clone(),
                    value: *value,
                }]
            }
            Self::SetCategoryDatanode { category, value } => {
                vec![Check::CategoryDatanodeIs {
                    category: category.clone(),
                    value: *value,
                }]
            }
            Self::SetNextInstallMode { node, mode } => {
                vec![Check::NextInstallModeIs {
                    node: node.clone(),
                    mode: *mode,
                }]
            }
            Self::Reboot { node } => vec![Check::Rebooted {
                node: node.clone(),
                was_up: true,
            }],
            Self::PowerOn { node } => vec![Check::Rebooted {
                node: node.clone(),
                was_up: false,
            }],
            Self::ConfirmInstall { node } => vec![Check::Provisioned { node: node.clone() }],
        }
    }
}

impl NodeEffect {
    /// The node it happens on.
    pub const fn node(&self) -> &NodeName {
        match self {
            Self::StopService { node, .. }
            | Self::SetAside { node, .. }
            | Self::PlaceGuard { node, .. }
            | Self::OwnTree { node, .. }
            | Self::Arm { node, .. }
            | Self::ClearFailures { node, .. }
            | Self::Disarm { node, .. }
            | Self::ReturnSpool { node, .. } => node,
        }
    }

    fn done_when(&self) -> Vec<Check> {
        match self {
            Self::StopService { node, service } => {
                vec![Check::ServiceStopped {
                    node: node.clone(),
                    service: service.clone(),
                }]
            }
            Self::ClearFailures { node, service } => {
                vec![Check::ServiceStartable {
                    node: node.clone(),
                    service: service.clone(),
                }]
            }
            Self::SetAside {
                node,
                spool,
                aside,
                run,
            } => vec![
                Check::PathPresent {
                    node: node.clone(),
                    path: aside.clone(),
                },
                Check::Guarded {
                    node: node.clone(),
                    spool: spool.clone(),
                    run: *run,
                    instead_of: None,
                },
            ],
            Self::PlaceGuard {
                node,
                spool,
                run,
                instead_of,
            } => vec![Check::Guarded {
                node: node.clone(),
                spool: spool.clone(),
                run: *run,
                instead_of: *instead_of,
            }],
            Self::Disarm {
                node, spool, run, ..
            } => vec![Check::Guarded {
                node: node.clone(),
                spool: spool.clone(),
                run: *run,
                instead_of: None,
            }],
            Self::OwnTree { node, tree, owner } => vec![Check::TreeOwned {
                node: node.clone(),
                tree: tree.clone(),
                owner: owner.clone(),
            }],
            Self::Arm {
                node,
                staged,
                spool,
                run,
            } => vec![Check::Armed {
                node: node.clone(),
                spool: spool.clone(),
                staging: staged.parent(),
                run: *run,
            }],
            Self::ReturnSpool {
                node, spool, aside, ..
            } => vec![
                Check::PathAbsent {
                    node: node.clone(),
                    path: aside.clone(),
                },
                Check::SpoolHoldsData {
                    node: node.clone(),
                    spool: spool.clone(),
                },
            ],
        }
    }
}
