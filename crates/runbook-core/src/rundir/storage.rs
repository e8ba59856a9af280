//! What is risky about the storage that a state directory lies on.

use std::fmt;

use super::Locks;

/// A property of the storage that weakens what a journal promises.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StorageRisk {
    /// A network or cluster file system.
    Network {
        /// Which, as the kernel names it.
        kind: String,
        /// Whether its locks keep another host out.
        locks: Locks,
    },
    /// A file system in memory, as the kernel names it.
    Volatile(String),
}

impl fmt::Display for StorageRisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network { kind, locks } => {
                let lock = match locks {
                    Locks::Hold => "",
                    Locks::ThisHostOnly | Locks::Unknown => {
                        "a lock may not keep another host out, "
                    }
                };
                write!(
                    f,
                    "the state directory lies on {kind}: {lock}a write may be acknowledged before it is safe, and the run stops when the server does"
                )
            }
            Self::Volatile(kind) => write!(
                f,
                "the state directory lies on {kind}: after a power cut or reboot of this head node the run cannot be resumed"
            ),
        }
    }
}
