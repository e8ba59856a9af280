//! What the tool knows about etcd: the proof of a snapshot, the taking of one, etcd's own programs on a
//! node, and its client API. It knows nothing of the cluster manager, and no way to a node but the `Shell` it is
//! given.

#[cfg_attr(
    not(feature = "grpc"),
    expect(
        dead_code,
        reason = "without the client, backups are read and not taken"
    )
)]
pub mod backup;
#[cfg(feature = "grpc")]
pub mod client;
#[cfg(feature = "grpc")]
pub mod rehearse;
pub mod snapshot;
pub mod tool;
