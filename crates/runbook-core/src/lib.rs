//! The disaster restore of a Bright-managed etcd cluster as a typed, resumable state machine.

pub mod digest;
pub mod error;
pub mod event;
pub mod identity;
pub mod journal;
pub mod machine;
pub mod names;
pub mod observe;
mod phases;
pub mod plan;
pub mod ports;
pub mod probe;
pub mod run;
pub mod spec;
#[cfg(feature = "testkit")]
pub mod testkit;
pub mod version;
pub mod world;
