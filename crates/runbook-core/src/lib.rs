//! The disaster restore of a Bright-managed etcd cluster as a typed, resumable state machine.

pub mod digest;
pub mod error;
pub mod identity;
pub mod journal;
pub mod names;
pub mod plan;
pub mod ports;
pub mod spec;
pub mod version;
pub mod world;
