//! etcd's programs and its client API, on this machine's real etcd.
#![expect(
    clippy::unwrap_used,
    reason = "a failed step of a test is a failed test"
)]

#[cfg(feature = "grpc")]
mod backup;
#[cfg(feature = "grpc")]
mod client;
#[cfg(feature = "grpc")]
mod cluster;
mod durable;
mod node;
mod permit;
#[path = "../../../bright-adapter/tests/it/power_cut.rs"]
mod power_cut;
#[cfg(feature = "grpc")]
mod proxy;
#[cfg(feature = "grpc")]
mod rehearse;
#[cfg(feature = "grpc")]
mod restored;
mod tool;
