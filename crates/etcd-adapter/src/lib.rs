//! What the tool knows about etcd.

pub mod snapshot;
