//! A machine's disk: the upper layer of an overlay over the image, which can really be deleted.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use crate::error::{Error, IoContext as _, Result};
use crate::run::Wait;

/// The disk of one machine, in a directory of its own.
#[derive(Debug, Clone)]
pub(crate) struct Disk {
    dir: PathBuf,
    image: PathBuf,
    /// A limit makes it a tmpfs of that size, so that it can run full.
    bytes: Option<u64>,
}

impl Disk {
    pub(crate) fn new(dir: PathBuf, image: PathBuf, bytes: Option<u64>) -> Self {
        Self { dir, image, bytes }
    }

    /// Where its content is seen, as long as it has any.
    pub(crate) fn root(&self) -> PathBuf {
        self.dir.join("root")
    }

    fn layers(&self) -> PathBuf {
        self.dir.join("disk")
    }

    /// The mark of a finished installation; on the disk's own directory, so that it goes with it.
    fn mark(&self) -> PathBuf {
        self.layers().join("installed")
    }

    /// Whether an installation was finished on it.
    pub(crate) fn installed(&self) -> bool {
        self.mark().exists()
    }

    /// Makes an empty disk with the image on it, and mounts it; whatever was on it is gone.
    pub(crate) fn format(&self) -> Result<()> {
        self.wipe()?;
        let (layers, root) = (self.layers(), self.root());
        for dir in [&layers, &root] {
            fs::create_dir_all(dir).on("create", dir)?;
        }
        if let Some(bytes) = self.bytes {
            mount_tmpfs(&layers, Some(bytes))?;
        }
        let (upper, work) = (layers.join("upper"), layers.join("work"));
        for dir in [&upper, &work] {
            fs::create_dir_all(dir).on("create", dir)?;
        }
        let options = format!(
            "lowerdir={},upperdir={},workdir={}",
            self.image.display(),
            upper.display(),
            work.display()
        );
        let options = std::ffi::CString::new(options)
            .map_err(|_| Error::refused("a lab path holds a NUL byte", "choose another --base"))?;
        mount(
            "overlay",
            &root,
            "overlay",
            MountFlags::empty(),
            options.as_c_str(),
        )
        .on("mount an overlay on", &root)
    }

    /// Says that the installation is finished.
    pub(crate) fn mark_installed(&self) -> Result<()> {
        fs::write(self.mark(), "").on("write", self.mark())
    }

    /// Deletes the disk with all that is on it.
    pub(crate) fn wipe(&self) -> Result<()> {
        let layers = self.layers();
        unmount_when_free(&self.root())?;
        unmount_when_free(&layers)?;
        remove_tree(&layers)
    }
}

/// Mounts a tmpfs, with a limit or with the kernel's default.
pub(crate) fn mount_tmpfs(target: &Path, bytes: Option<u64>) -> Result<()> {
    let options = bytes.map_or("mode=0755".to_owned(), |b| format!("mode=0755,size={b}"));
    let options = std::ffi::CString::new(options).unwrap_or_default();
    mount(
        "tmpfs",
        target,
        "tmpfs",
        MountFlags::NODEV,
        options.as_c_str(),
    )
    .on("mount a tmpfs on", target)
}

/// Mount points at or below `dir`, the innermost last.
pub(crate) fn mounts_below(dir: &Path) -> Result<Vec<PathBuf>> {
    let table = "/proc/self/mountinfo";
    let text = fs::read_to_string(table).on("read", table)?;
    let points = text
        .lines()
        .filter_map(|l| l.split(' ').nth(4))
        .map(PathBuf::from);
    Ok(points.filter(|p| p.starts_with(dir)).collect())
}

/// Unmounts what may be a mount point; the last reader of a disk may still be on its way out.
fn unmount_when_free(point: &Path) -> Result<()> {
    if !mounts_below(point)?.iter().any(|p| p == point) {
        return Ok(());
    }
    let help = format!("see who uses {}, with `fuser -vm`", point.display());
    Wait {
        what: "the end of all use of a disk",
        deadline: Duration::from_secs(30),
        help: &help,
    }
    .until(|| unmount(point, UnmountFlags::empty()).map_err(|e| e.to_string()))
}

/// Unmounts everything at or below `dir`; what is still in use goes when its last user does.
pub(crate) fn unmount_below(dir: &Path) -> Result<()> {
    for point in mounts_below(dir)?.iter().rev() {
        unmount(point, UnmountFlags::DETACH).on("unmount", point)?;
    }
    Ok(())
}

/// Deletes a directory with all it holds, but never through a mount.
pub(crate) fn remove_tree(dir: &Path) -> Result<()> {
    if let Some(point) = mounts_below(dir)?.first() {
        return Err(Error::refused(
            format!("{} is still mounted", point.display()),
            format!("umount -R {}", point.display()),
        ));
    }
    match fs::remove_dir_all(dir) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e).on("delete", dir),
        _ => Ok(()),
    }
}
