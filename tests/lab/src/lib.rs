//! A real lab on one machine: N nodes and a head node, each with its own network, disk and, on the nodes,
//! systemd, sshd, environment modules and etcd with TLS; and a stand-in for the cluster manager.
//!
//! [`Lab::start`] brings one up, and dropping it takes it down without a trace, also when the program that
//! owns it is killed.
#![doc = include_str!("../README.md")]

mod bcm;
mod cgroup;
mod disk;
mod error;
mod etcd;
mod fetch;
mod head;
mod image;
mod lab;
mod layout;
mod member;
mod net;
mod node;
mod options;
mod pki;
mod programs;
mod protocol;
mod run;
mod spec;
mod standin;
mod supervisor;
mod sweep;
mod watcher;

pub mod cli;

pub use bcm::Bcm;
pub use error::{Error, Result};
pub use etcd::{Dump, EtcdAccess, MemberHash};
pub use head::{CMSH, TOOLS};
pub use lab::Lab;
pub use layout::{CLIENT_PORT, HEAD_IP, Head, Layout, MAX_NODES, Node, SPOOL};
pub use options::LabOptions;
pub use pki::PKI;
pub use programs::{Programs, build_programs};
pub use spec::{Etcd, EtcdVersion, HostKeyAfterWipe, every_etcd};
pub use standin::{Manager, bright_config};
pub use sweep::{Found, find, sweep as sweep_dead};
pub use watcher::{Armed, Breach, Seen, Watcher};
