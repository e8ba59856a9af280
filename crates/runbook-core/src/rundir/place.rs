//! Where a path lies, and who else sees it: the disk of this head node, or storage of both.
//!
//! On a passive head node, and on one that was active before, the folders of [`SHARED`] show what lay on
//! that head's own disk before they were mounted (administrator manual, chapter 15): files that look valid
//! and are old. The table of mounts tells the one from the other.

use std::io;
use std::path::{Path, PathBuf};

use super::StorageRisk;

/// What Bright mounts on the active head node only.
const SHARED: [&str; 2] = ["/cm/shared", "/home"];

/// The table of mounts is bounded; a machine with more than this is none of ours.
const TABLE_LIMIT_BYTES: usize = 4 * 1024 * 1024;

/// Whether a lock keeps the processes of another host out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Locks {
    /// It does, or no other host can have the storage at the same time.
    Hold,
    /// It is known not to: the storage was mounted with locks of this host only.
    ThisHostOnly,
    /// Nobody can tell from here.
    Unknown,
}

/// What a path lies on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    path: PathBuf,
    mount: PathBuf,
    kind: String,
    options: Vec<String>,
}

impl Place {
    /// Looks a path up in the kernel's table of mounts; what is not there yet is asked for above.
    ///
    /// # Errors
    /// When the table cannot be read, or names nothing for the path.
    pub fn of(path: &Path) -> io::Result<Self> {
        let path = existing(path)?;
        let table = std::fs::read("/proc/self/mountinfo")?;
        if table.len() > TABLE_LIMIT_BYTES {
            return Err(io::Error::other("the table of mounts is over 4 MiB"));
        }
        let table = String::from_utf8_lossy(&table);
        Self::in_table(&path, &table)
            .ok_or_else(|| io::Error::other("the table of mounts does not name its place"))
    }

    /// What somebody else tells of a path: where its file system is mounted, and of which kind it is.
    pub fn told(path: &Path, mount: &Path, kind: &str) -> Self {
        Self {
            path: path.to_owned(),
            mount: mount.to_owned(),
            kind: kind.to_owned(),
            options: Vec::new(),
        }
    }

    fn in_table(path: &Path, table: &str) -> Option<Self> {
        let rows = table.lines().filter_map(Row::read);
        // The longest one; of two in one place the later one lies on top.
        let row = rows
            .filter(|row| path.starts_with(&row.mount))
            .max_by_key(|row| row.mount.components().count())?;
        Some(Self {
            path: path.to_owned(),
            mount: row.mount,
            kind: row.kind,
            options: row.options,
        })
    }

    /// Where its file system is mounted.
    pub fn mount(&self) -> &Path {
        &self.mount
    }

    /// The file system, as the kernel names it.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The folder of Bright's that ought to be a mount and is none here, so that the path may show what
    /// this head node had on its own disk before. On a cluster with one head node that means nothing.
    pub fn unmounted(&self) -> Option<&'static Path> {
        let folder = self.shared_folder()?;
        (!self.mount.starts_with(folder)).then_some(folder)
    }

    /// Whether the other head node sees the same after a failover, as far as can be told from here.
    pub fn goes_along(&self) -> bool {
        let below_shared = self.shared_folder().is_some() && self.unmounted().is_none();
        below_shared || self.is_network()
    }

    fn shared_folder(&self) -> Option<&'static Path> {
        SHARED
            .iter()
            .map(Path::new)
            .find(|folder| self.path.starts_with(folder))
    }

    fn is_network(&self) -> bool {
        // What FUSE does not name may be anything; a cluster's file system may lie on this host's disks.
        let several = ["fuse", "gfs2", "ocfs2"];
        is_network(&self.kind) || several.contains(&self.kind.as_str())
    }

    /// What weakens the promises of a journal that lies here, if anything.
    pub(super) fn risk(&self) -> Option<StorageRisk> {
        let kind = self.kind.clone();
        if ["tmpfs", "ramfs"].contains(&kind.as_str()) {
            return Some(StorageRisk::Volatile(kind));
        }
        let locks = self.locks();
        self.is_network()
            .then_some(StorageRisk::Network { kind, locks })
    }

    /// Whether a lock taken here keeps another host out.
    ///
    /// From nfs(5) (`local_lock`, `nolock`; since Linux 2.6.12 a `flock` is a lock of the server), Lustre's
    /// mount options (`flock`, `localflock`), and those of GFS2 and OCFS2 (`localflocks`).
    pub fn locks(&self) -> Locks {
        let has = |word: &str| self.options.iter().any(|option| option == word);
        let only_if = |held: bool| {
            if held {
                Locks::Hold
            } else {
                Locks::ThisHostOnly
            }
        };
        match self.kind.as_str() {
            "nfs" | "nfs4" => {
                let local = ["nolock", "local_lock=all", "local_lock=flock"];
                only_if(!local.into_iter().any(has))
            }
            "lustre" => only_if(has("flock")),
            "gfs2" | "ocfs2" => only_if(!has("localflocks")),
            "ceph" | "gpfs" => Locks::Hold,
            _ if self.is_network() => Locks::Unknown,
            // A disk is mounted by one host at a time.
            _ => Locks::Hold,
        }
    }
}

/// Whether a file system, as the kernel names it, lives on other machines. `fuse.*` is one of them,
/// `fuseblk` (a local disk) is not. That a snapshot outlives the wiping of a node hangs on this, too.
pub fn is_network(kind: &str) -> bool {
    const KINDS: [&str; 19] = [
        "9p",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "fhgfs",
        "glusterfs",
        "gpfs",
        "lustre",
        "nfs",
        "nfs4",
        "orangefs",
        "panfs",
        "pvfs2",
        "smb3",
        "smbfs",
        "vboxsf",
        "virtiofs",
        "wekafs",
    ];
    KINDS.contains(&kind) || kind.starts_with("fuse.")
}

/// The path without symbolic links; the nearest folder above that exists, for what is not there yet.
fn existing(path: &Path) -> io::Result<PathBuf> {
    let mut path = std::path::absolute(path)?;
    loop {
        match path.canonicalize() {
            Err(error) if error.kind() == io::ErrorKind::NotFound && path.pop() => {}
            other => return other,
        }
    }
}

/// A row of `/proc/self/mountinfo` (proc(5)).
struct Row {
    mount: PathBuf,
    kind: String,
    options: Vec<String>,
}

impl Row {
    fn read(line: &str) -> Option<Self> {
        let (before, after) = line.split_once(" - ")?;
        let mut before = before.split(' ').skip(4);
        let mount = PathBuf::from(unescaped(before.next()?));
        let own = before.next()?;
        let mut after = after.split(' ');
        let kind = after.next()?.to_owned();
        let of_all = after.nth(1).unwrap_or_default();
        let options = own.split(',').chain(of_all.split(','));
        Some(Self {
            mount,
            kind,
            options: options.map(str::to_owned).collect(),
        })
    }
}

/// Space, tab, line feed and backslash are written as three octal digits.
fn unescaped(text: &str) -> String {
    [
        ("\\040", " "),
        ("\\011", "\t"),
        ("\\012", "\n"),
        ("\\134", "\\"),
    ]
    .iter()
    .fold(text.to_owned(), |text, (code, c)| text.replace(code, c))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:40 / /cm/shared rw,relatime shared:9 - nfs4 master:/cm/shared rw,vers=4.2,local_lock=none
31 22 0:41 / /mnt/a\\040b rw - nfs filer:/x rw,nolock,local_lock=all
32 22 0:42 / /mnt/lustre rw - lustre mds:/x rw,flock
33 22 0:43 / /mnt/loose rw - lustre mds:/x rw
34 22 0:44 / /mnt/fuse rw - fuse.sshfs x rw
35 22 8:9 / /srv/das rw - xfs /dev/sdb rw
36 22 0:45 / /run rw - tmpfs tmpfs rw
37 22 8:10 / /mnt/ntfs rw - fuseblk /dev/sde1 rw
nonsense
";

    fn place(path: &str, table: &str) -> Place {
        Place::in_table(Path::new(path), table).unwrap()
    }

    #[test]
    fn a_folder_that_ought_to_be_mounted_and_is_not() {
        let active = place("/cm/shared/state", TABLE);
        assert_eq!(active.unmounted(), None);
        assert!(active.goes_along());
        let kept = TABLE.lines().filter(|line| !line.contains(" /cm/shared "));
        let without = kept.collect::<Vec<_>>().join("\n");
        let passive = place("/cm/shared/state", &without);
        assert_eq!(passive.unmounted(), Some(Path::new("/cm/shared")));
        assert!(!passive.goes_along());
        // Another folder that merely begins alike is none of Bright's.
        assert_eq!(place("/cm/shared-too", &without).unmounted(), None);
        // A mount above it is no mount of it.
        let above = format!("{without}\n40 22 8:7 / /cm rw - ext4 /dev/sdc rw\n");
        assert!(place("/cm/shared/state", &above).unmounted().is_some());
        assert_eq!(place("/var/lib/restore-runbook", TABLE).unmounted(), None);
        assert!(!place("/var/lib/restore-runbook", TABLE).goes_along());
    }

    #[test]
    fn locks_go_by_how_it_was_mounted() {
        let locks = |path| place(path, TABLE).locks();
        assert_eq!(locks("/cm/shared/state"), Locks::Hold);
        assert_eq!(locks("/mnt/a b/state"), Locks::ThisHostOnly);
        assert_eq!(locks("/mnt/lustre"), Locks::Hold);
        assert_eq!(locks("/mnt/loose"), Locks::ThisHostOnly);
        assert_eq!(locks("/mnt/fuse"), Locks::Unknown);
        assert_eq!(locks("/srv/das/state"), Locks::Hold);
        assert_eq!(locks("/var/lib"), Locks::Hold);
    }

    #[test]
    fn what_weakens_a_journal() {
        let risk = |path| place(path, TABLE).risk().map(|risk| risk.to_string());
        assert_eq!(risk("/var/lib"), None);
        assert_eq!(risk("/srv/das"), None);
        let shared = risk("/cm/shared/state").unwrap();
        assert!(
            shared.contains("nfs4") && !shared.contains("lock"),
            "{shared}"
        );
        let local = risk("/mnt/a b").unwrap();
        assert!(
            local.contains("a lock may not keep another host out"),
            "{local}"
        );
        assert!(risk("/run/x").unwrap().contains("power cut"), "in memory");
        assert_eq!(risk("/mnt/ntfs"), None, "a local disk by way of FUSE");
    }

    #[test]
    fn what_is_mounted_later_lies_on_top() {
        let table = format!("{TABLE}50 30 8:3 / /cm/shared rw - ext4 /dev/sdd rw\n");
        assert_eq!(place("/cm/shared/x", &table).kind(), "ext4");
    }

    #[test]
    fn this_machine_has_a_table() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::of(&dir.path().join("not/there/yet")).unwrap();
        assert!(dir.path().starts_with(place.mount()), "{place:?}");
    }
}
