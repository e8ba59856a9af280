//! The proof of snapshots against etcd itself: each is taken here, from a real member, with every
//! version of etcd to be had, and every number of ours is compared with the one etcd gives.
//!
//! The host's etcd (3.4) and the one that `lab fetch-etcd` brings (3.5) must be there. Whatever else
//! lies in the same cache is used as well: the programs of any release in `etcd-<version>/usr/bin`.

mod compare;
mod member;
mod scenarios;
mod workload;
