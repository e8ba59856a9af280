//! Bright Cluster Manager.

mod cmsh;
pub mod codes;
mod process;
mod ssh;
mod text;

pub use cmsh::{Cmsh, CmshConfig};
pub use ssh::{HostKeys, Ssh, SshConfig};
