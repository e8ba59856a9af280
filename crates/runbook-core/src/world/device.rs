//! A node as the cluster manager has it: its record, its status, its installer, its power.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::names::CategoryName;

/// A node as the cluster manager has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Device {
    /// Its category; `headnode` for a head node, which has none.
    pub category: CategoryName,
    /// Whether it is a head node: one of those is never reprovisioned.
    pub head_node: bool,
    /// Its status.
    pub status: DeviceStatus,
    /// What the cluster manager says beside the status, in lower case: `closed`, `pingable`,
    /// `restart-required`, or anything else. They come and go, and are no drift.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<String>,
    /// `datanode` of the node itself.
    pub datanode: bool,
    /// `datanode` of its category; the effective value is the OR of both.
    pub category_datanode: bool,
    /// `nextinstallmode`, cleared by the installer when it has finished.
    pub next_install_mode: Option<InstallMode>,
    /// `blockdevicesclearedonnextboot`: the next boot wipes these, whatever `datanode` and
    /// `nextinstallmode` say (administrator manual 5.4.4). None where the cluster manager does not tell.
    #[serde(
        default = "nothing_cleared",
        skip_serializing_if = "is_nothing_cleared"
    )]
    pub cleared_at_boot: Option<Vec<String>>,
    /// How far its installer is, where the status says that it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installer: Option<InstallerStep>,
}

#[expect(clippy::unnecessary_wraps, reason = "none says that it cannot be told")]
const fn nothing_cleared() -> Option<Vec<String>> {
    Some(Vec::new())
}

#[expect(clippy::ref_option, reason = "serde's signature")]
fn is_nothing_cleared(devices: &Option<Vec<String>>) -> bool {
    devices.as_ref().is_some_and(Vec::is_empty)
}

impl Device {
    /// The block devices that the next boot is known to wipe.
    pub fn clears_at_boot(&self) -> &[String] {
        self.cleared_at_boot.as_deref().unwrap_or_default()
    }

    /// Stands for the category of a head node.
    pub const HEAD_NODE: &'static str = "headnode";

    /// A person has closed the node: the cluster manager leaves it alone.
    pub const CLOSED: &'static str = "closed";
    /// It is `UP` for answering a ping alone: its `CMDaemon` is not connected.
    pub const PINGABLE: &'static str = "pingable";
    /// No machine has been given this node's name.
    pub const UNASSIGNED: &'static str = "unassigned";

    /// Whether the cluster manager says this beside the status.
    pub fn has_flag(&self, flag: &str) -> bool {
        self.flags.iter().any(|one| one == flag)
    }

    /// The status and what is said beside it: `UP, closed, restart-required`.
    pub fn status_with_flags(&self) -> String {
        let flags = self.flags.iter().map(String::as_str);
        let status = self.status.to_string();
        std::iter::once(&*status)
            .chain(flags)
            .collect::<Vec<_>>()
            .join(", ")
    }

    /// The value the node installer goes by: node OR category (administrator manual 5.4.4).
    pub const fn effective_datanode(&self) -> bool {
        self.datanode || self.category_datanode
    }
}

/// A node's status, without its flags and messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceStatus {
    /// Its `CMDaemon` is connected, or it merely answers a ping: confirm by ssh.
    Up,
    /// Off or unreachable.
    Down,
    /// Somewhere between power-on and up; the status word as printed.
    Booting(String),
    /// Provisioning has failed; the status word as printed.
    Failed(String),
    /// Its installer does not answer any more; the status word as printed.
    Unreachable(String),
    /// A word this build does not know.
    Unknown(String),
}

impl fmt::Display for DeviceStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Up => f.write_str("UP"),
            Self::Down => f.write_str("DOWN"),
            Self::Booting(word)
            | Self::Failed(word)
            | Self::Unreachable(word)
            | Self::Unknown(word) => f.write_str(word),
        }
    }
}

/// How far a node's installer is, by the message beside `INSTALLING` (administrator manual 5.5.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InstallerStep {
    /// At its beginning, or at something this build does not know: it may ask.
    Begun,
    /// It waits for somebody to answer, on the console or through the cluster manager.
    WaitsForUser,
    /// It waits for a provisioning node.
    WaitsForProvisioning,
    /// Behind every question: it works on the disk.
    Works,
    /// In maintenance mode, because the installation was denied, failed, or MAIN was set.
    Maintenance,
}

/// What a node's installer asks for, and does only with leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InstallerAsks {
    /// Nothing.
    Nothing,
    /// To install FULL; its own words.
    Full(String),
    /// For something else, or for several things at once; its own words.
    Other(String),
}

/// What a node's power control answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PowerState {
    /// The power is on.
    On,
    /// The power is off.
    Off,
    /// It does not answer, or has failed; what was said.
    Silent(String),
}

/// What may keep nodes from being provisioned.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Provisioning {
    /// The subsystem's own words, where it does not accept requests.
    pub stopped: Option<String>,
    /// The nodes that wait for their turn, as printed; empty for none.
    pub waiting: String,
    /// The software images that are locked.
    pub locked_images: Vec<String>,
}

/// A node's install mode (administrator manual 5.4.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum InstallMode {
    /// Sync where the layout fits, else FULL.
    Auto,
    /// Repartition, new filesystems, whole image.
    Full,
    /// Maintenance mode.
    Main,
    /// No sync where the layout fits.
    Nosync,
    /// Nothing at all.
    Skip,
}

impl fmt::Display for InstallMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "AUTO",
            Self::Full => "FULL",
            Self::Main => "MAIN",
            Self::Nosync => "NOSYNC",
            Self::Skip => "SKIP",
        })
    }
}
