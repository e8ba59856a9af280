//! Where Bright's programs are, and how long they may take.

use std::path::PathBuf;
use std::time::Duration;

use super::lexicon::{Place, Word as _};

/// How to talk to the cluster manager.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CmshConfig {
    /// The program `cmsh`.
    pub program: PathBuf,
    /// The program `cmha`, which knows the part this head node plays.
    pub cmha: PathBuf,
    /// The cluster manager daemon's own note of that part, one word (administrator manual, chapter 15).
    pub state_file: PathBuf,
    /// Bright's own tool for single members of etcd: looked for, never run.
    pub etcd_manage: PathBuf,
    /// The longest one call may take. `cmha status` needs up to half a minute after a head has died.
    pub timeout: Duration,
    /// The most output kept of one call, in bytes. A longer list is refused, not read in part.
    pub output_limit: usize,
}

impl Default for CmshConfig {
    fn default() -> Self {
        Self {
            program: Place::Cmsh.text().into(),
            // Not in the manual's text; the place of Bright's other administration programs.
            cmha: Place::Cmha.text().into(),
            state_file: Place::State.text().into(),
            etcd_manage: Place::EtcdManage.text().into(),
            timeout: Duration::from_secs(90),
            output_limit: 16 * 1024 * 1024,
        }
    }
}
