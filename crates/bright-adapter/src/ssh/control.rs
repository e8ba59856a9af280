//! The sockets of shared connections, in a directory nobody else can reach.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{DirBuilder, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use runbook_core::error::{AdapterError, Certainty};
use runbook_core::names::NodeName;
use runbook_core::ports::PortResult;
use tempfile::TempDir;

use super::config::is_plain;
use crate::codes;

/// The longest path of a Unix socket, its final NUL included.
const SOCKET_PATH_BYTES: usize = 108;

/// ssh binds a name of its own first, 17 bytes longer, and links it to the wanted one.
const BIND_SUFFIX_BYTES: usize = 17;

/// Room for `/` and a socket's number.
const NAME_BYTES: usize = 7;

/// The sockets, and which nodes have shown a new key.
#[derive(Debug, Default)]
struct State {
    /// The number of a node's socket; another one after each connection.
    numbers: BTreeMap<NodeName, usize>,
    used: usize,
    new_keys: BTreeSet<NodeName>,
    /// One at a time looks at a node's new key.
    meetings: BTreeMap<NodeName, Arc<tokio::sync::Mutex<()>>>,
}

/// The sockets of one [`Ssh`](crate::Ssh).
#[derive(Debug)]
pub(super) struct Control {
    /// Removed with everything in it when this is dropped.
    dir: Option<TempDir>,
    state: Mutex<State>,
}

impl Control {
    /// Makes a directory of its own below `parent`, which is made when missing.
    pub(super) fn new(parent: Option<&Path>) -> PortResult<Self> {
        let dir = parent.map(private_dir).transpose()?;
        Ok(Self {
            dir,
            state: Mutex::default(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The path of a node's socket.
    pub(super) fn socket(&self, node: &NodeName) -> Option<PathBuf> {
        let dir = self.dir.as_ref()?;
        let mut state = self.state();
        let next = state.used;
        let number = *state.numbers.entry(node.clone()).or_insert(next);
        state.used = state.used.max(number + 1);
        Some(dir.path().join(number.to_string()))
    }

    /// Forgets a node's socket, so that the next command makes a new connection; gives the old one.
    pub(super) fn forget(&self, node: &NodeName) -> Option<PathBuf> {
        let dir = self.dir.as_ref()?;
        let number = self.state().numbers.remove(node)?;
        Some(dir.path().join(number.to_string()))
    }

    /// Every node with a socket.
    pub(super) fn nodes(&self) -> Vec<NodeName> {
        self.state().numbers.keys().cloned().collect()
    }

    /// To be held while a node's new key is looked at.
    pub(super) fn meeting(&self, node: &NodeName) -> Arc<tokio::sync::Mutex<()>> {
        Arc::clone(self.state().meetings.entry(node.clone()).or_default())
    }

    /// Whether the node was last known by a key of the run's own.
    pub(super) fn has_new_key(&self, node: &NodeName) -> bool {
        self.state().new_keys.contains(node)
    }

    /// Notes by which kind of key it was known.
    pub(super) fn known_by(&self, node: &NodeName, new_key: bool) {
        let mut state = self.state();
        if new_key {
            state.new_keys.insert(node.clone());
        } else {
            state.new_keys.remove(node);
        }
    }
}

fn refused(parent: &Path, what: &str) -> AdapterError {
    let what = format!("ssh's sockets cannot lie in {}: {what}", parent.display());
    AdapterError::new(codes::SSH_CONTROL_DIR, Certainty::Refused, what)
        .hint("name a short path that only root can write to, as /run/restore-runbook")
}

fn private_dir(parent: &Path) -> PortResult<TempDir> {
    let failed =
        |error: io::Error| refused(parent, "it cannot be made or looked at").caused_by(error);
    match DirBuilder::new().mode(0o700).create(parent) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
        _ => {}
    }
    // A symbolic link is looked at, not followed.
    let meta = std::fs::symlink_metadata(parent).map_err(failed)?;
    let dir = tempfile::Builder::new()
        .prefix("s")
        .permissions(std::fs::Permissions::from_mode(0o700))
        .tempdir_in(parent)
        .map_err(failed)?;
    let own = std::fs::symlink_metadata(dir.path()).map_err(failed)?;
    if !is_private(&meta, &own) {
        return Err(refused(
            parent,
            "others could reach it (it must be ours, mode 0700)",
        ));
    }
    let longest = dir.path().as_os_str().len() + NAME_BYTES + BIND_SUFFIX_BYTES + 1;
    if !is_plain(parent) {
        return Err(refused(parent, "ssh would misread its path"));
    }
    if longest > SOCKET_PATH_BYTES {
        return Err(refused(parent, "its path is too long for a socket"));
    }
    Ok(dir)
}

/// `own` was made by this process, and tells who we are. The last six bits of a mode are the others'.
fn is_private(meta: &Metadata, own: &Metadata) -> bool {
    meta.is_dir() && meta.uid() == own.uid() && meta.mode().trailing_zeros() >= 6
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> NodeName {
        NodeName::new(name).unwrap()
    }

    #[test]
    fn sockets_are_private_and_go_away() {
        let temp = TempDir::new().unwrap();
        let parent = temp.path().join("control");
        let control = Control::new(Some(&parent)).unwrap();
        let first = control.socket(&node("node001")).unwrap();
        assert_eq!(control.socket(&node("node001")).unwrap(), first);
        assert_ne!(control.socket(&node("node002")).unwrap(), first);
        let dir = first.parent().unwrap().to_owned();
        assert_eq!(std::fs::metadata(&dir).unwrap().mode() & 0o777, 0o700);
        control.forget(&node("node001"));
        assert_ne!(control.socket(&node("node001")).unwrap(), first);
        drop(control);
        assert!(!dir.exists());
    }

    #[test]
    fn a_directory_of_others_or_a_long_one_is_refused() {
        let temp = TempDir::new().unwrap();
        let open = temp.path().join("open");
        std::fs::create_dir(&open).unwrap();
        std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert!(Control::new(Some(&open)).is_err());
        let link = temp.path().join("link");
        std::os::unix::fs::symlink(temp.path(), &link).unwrap();
        assert!(Control::new(Some(&link)).is_err());
        assert!(Control::new(Some(&temp.path().join("x".repeat(90)))).is_err());
        assert!(Control::new(None).unwrap().socket(&node("n")).is_none());
    }
}
