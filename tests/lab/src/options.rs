//! What kind of lab is wanted.

use std::path::PathBuf;

use crate::bcm::Bcm;
use crate::error::Result;
use crate::programs::Programs;
use crate::spec::{EtcdVersion, HostKeyAfterWipe, Standin};
use crate::standin::{Manager, bright_config, make_pair};

/// What kind of lab is wanted.
#[derive(Debug, Clone)]
pub struct LabOptions {
    /// 1 to 5; three when not said.
    pub nodes: u8,
    /// One head node, or two, of which the first is the active one.
    pub heads: u8,
    /// Which etcd they run.
    pub etcd: EtcdVersion,
    /// Which version of the cluster manager it is like.
    pub bcm: Bcm,
    /// Whether a wiped node comes back with another host key.
    pub host_key_after_wipe: HostKeyAfterWipe,
    /// Whether a fresh image has an empty, etcd-owned `/var/lib/etcd`, as the cluster manager's package has.
    pub precreate_spool: bool,
    /// Size of each node's disk in bytes; such a disk is in memory and can run full.
    pub disk_bytes: Option<u64>,
    /// Programs to install on the head node, in [`crate::TOOLS`].
    pub tools: Vec<PathBuf>,
    /// What manages the nodes.
    pub manager: Manager,
    /// Whether to wait until etcd is healthy.
    pub wait_healthy: bool,
    /// Where the lab's directory is made.
    pub base: PathBuf,
    /// Whether the lab stays when its owner ends.
    pub keep: bool,
}

impl Default for LabOptions {
    fn default() -> Self {
        Self {
            nodes: 3,
            heads: 1,
            etcd: EtcdVersion::default(),
            bcm: Bcm::default(),
            host_key_after_wipe: HostKeyAfterWipe::default(),
            precreate_spool: true,
            disk_bytes: None,
            tools: Vec::new(),
            manager: Manager::default(),
            wait_healthy: true,
            base: std::env::temp_dir(),
            keep: false,
        }
    }
}

impl LabOptions {
    pub(crate) fn standin(&self, programs: &Programs) -> Result<Option<Standin>> {
        let mut config = match &self.manager {
            Manager::Bright => bright_config(self.nodes),
            Manager::BrightWith(config) => config.clone(),
            Manager::Nobody => return Ok(None),
        };
        self.bcm.configure(&mut config);
        if self.heads == 2 {
            make_pair(&mut config);
        }
        let (daemon, cmsh) = (programs.get("cmdaemon-standin")?, programs.get("cmsh")?);
        Ok(Some(Standin {
            daemon,
            cmsh,
            config,
        }))
    }
}
