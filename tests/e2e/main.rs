//! End to end: the real binary on the head node of a lab with real etcd, systemd, sshd and modules.
//!
//! Every test ends with the watcher's verdict: at no moment did any etcd of the cluster answer with
//! fewer keys than the snapshot holds.
#![expect(
    clippy::print_stderr,
    reason = "tests talk to whoever reads their output"
)]

mod backup;
mod doctor;
mod failover;
mod harness;
mod host_keys;
mod installer;
mod interrupted;
mod refused;
mod scenarios;
mod soak;
mod undo;
mod versions;
mod whole;
mod window;
