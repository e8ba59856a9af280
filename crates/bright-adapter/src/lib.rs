//! Bright Cluster Manager.

mod cmsh;
pub mod codes;
mod process;
mod text;

pub use cmsh::{Cmsh, CmshConfig};
