//! Bright Cluster Manager.

mod cmsh;
pub mod codes;
mod node;
mod process;
mod ssh;
mod text;

pub use cmsh::{Cmsh, CmshConfig};
pub use node::SshNode;
pub use ssh::{HostKeys, Ssh, SshConfig};
