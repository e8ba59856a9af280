//! What kind of storage a directory lies on.

use std::fmt;
use std::path::Path;

/// A property of the storage that weakens what a journal promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StorageRisk {
    /// A network or cluster file system.
    Network(&'static str),
    /// A file system in memory.
    Volatile(&'static str),
}

impl fmt::Display for StorageRisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(kind) => write!(
                f,
                "the state directory lies on {kind}: a lock may not keep a second head node out, a write may be acknowledged before it is safe, and the run stops when the server does"
            ),
            Self::Volatile(kind) => write!(
                f,
                "the state directory lies on {kind}: after a power cut or reboot of this head node the run cannot be resumed"
            ),
        }
    }
}

/// `statfs` magic numbers (Linux `include/uapi/linux/magic.h` and the file systems' own sources).
const KINDS: [(u64, StorageRisk); 15] = [
    (0x6969, StorageRisk::Network("NFS")),
    (0x517b, StorageRisk::Network("SMB")),
    (0xff53_4d42, StorageRisk::Network("CIFS")),
    (0xfe53_4d42, StorageRisk::Network("SMB2")),
    (0x5346_414f, StorageRisk::Network("AFS")),
    (0x0102_1997, StorageRisk::Network("9P")),
    (0x6573_5546, StorageRisk::Network("FUSE")),
    (0x0bd0_0bd0, StorageRisk::Network("Lustre")),
    (0x4750_4653, StorageRisk::Network("GPFS")),
    (0x00c3_6400, StorageRisk::Network("CephFS")),
    (0x1983_0326, StorageRisk::Network("BeeGFS")),
    (0x7461_636f, StorageRisk::Network("OCFS2")),
    (0x0116_1970, StorageRisk::Network("GFS2")),
    (0x0102_1994, StorageRisk::Volatile("tmpfs")),
    (0x8584_58f6, StorageRisk::Volatile("ramfs")),
];

pub(super) fn risk(path: &Path) -> Option<StorageRisk> {
    let found = rustix::fs::statfs(path).ok()?;
    of_magic(u64::try_from(found.f_type).ok()?)
}

fn of_magic(magic: u64) -> Option<StorageRisk> {
    // 32-bit numbers arrive sign-extended on some machines.
    let magic = magic & 0xffff_ffff;
    KINDS
        .iter()
        .find(|(known, _)| *known == magic)
        .map(|(_, risk)| *risk)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_and_memory_are_told_from_disks() {
        assert_eq!(of_magic(0x6969), Some(StorageRisk::Network("NFS")));
        assert_eq!(
            of_magic(0xffff_ffff_ff53_4d42),
            Some(StorageRisk::Network("CIFS"))
        );
        assert_eq!(of_magic(0x0102_1994), Some(StorageRisk::Volatile("tmpfs")));
        assert_eq!(of_magic(0xef53), None, "ext4");
        assert_eq!(of_magic(0x5846_5342), None, "XFS");
    }
}
