//! The host keys of the nodes that a run has had wiped: files of known hosts that belong to the run. That a
//! node's is there says that the run wipes it; without a key in it, that the next one is taken. Beside it the
//! keys from before a further wipe are kept.
//!
//! They count for that run alone. [`AcceptedKeys`] says how to have them count for good.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

use runbook_core::error::{AdapterError, Certainty};
use runbook_core::names::NodeName;
use runbook_core::ports::PortResult;
use runbook_core::rundir::{read_private, write_atomically};

use super::typed;
use crate::codes;

/// Far more than the keys of one node.
const LIMIT_BYTES: u64 = 64 * 1024;

/// What a run knows of the keys of one node.
#[derive(Debug)]
pub(super) struct NewKeys {
    /// The newest key, or none yet.
    newest: PathBuf,
    /// Those before it: a system that is wiped once more may linger.
    earlier: PathBuf,
    /// One that nobody trusts yet.
    shown: PathBuf,
}

impl NewKeys {
    pub(super) fn of(run_known_hosts: &Path, node: &NodeName) -> Self {
        let with = |end: &str| {
            let mut path = run_known_hosts.as_os_str().to_owned();
            path.push(format!(".{node}{end}"));
            path.into()
        };
        Self {
            newest: with(""),
            // No name of a node holds a tilde.
            earlier: with("~earlier"),
            shown: with("~shown"),
        }
    }

    /// Where a key is looked for, and where one goes when it is taken.
    pub(super) fn file(&self) -> &Path {
        &self.newest
    }

    /// Whether the run has had the node wiped. A link or a pipe in the file's place is no note of ours.
    pub(super) fn is_noted(&self) -> bool {
        is_there(&self.newest)
    }

    /// The files with keys in them.
    pub(super) fn held(&self) -> PortResult<Vec<PathBuf>> {
        let mut held = Vec::new();
        for file in [&self.newest, &self.earlier] {
            if !keys(file)?.is_empty() {
                held.push(file.clone());
            }
        }
        Ok(held)
    }

    /// Whether the next key is taken.
    pub(super) fn is_awaited(&self) -> PortResult<bool> {
        Ok(self.is_noted() && keys(&self.newest)?.is_empty())
    }

    /// Notes, durably, that the node is wiped next.
    pub(super) fn expect(&self) -> PortResult<()> {
        if self.is_awaited()? {
            return Ok(());
        }
        let shown = keys(&self.newest)?;
        if !shown.is_empty() {
            // First: cut off behind it, nothing is lost.
            let earlier = keys(&self.earlier)? + &shown;
            write(&self.earlier, &earlier)?;
        }
        write(&self.newest, "")
    }

    /// It is not wiped after all. What it showed before stays good.
    pub(super) fn withdraw(&self) -> PortResult<()> {
        if !self.is_awaited()? {
            return Ok(());
        }
        let earlier = keys(&self.earlier)?;
        if !earlier.is_empty() {
            return write(&self.newest, &earlier);
        }
        std::fs::remove_file(&self.newest).map_err(|error| failed(&self.newest, "removed", error))
    }

    /// Where ssh is to write the key that a node shows; nothing is there.
    pub(super) fn to_be_shown(&self) -> PortResult<&Path> {
        match std::fs::remove_file(&self.shown) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(failed(&self.shown, "removed", error))
            }
            _ => Ok(&self.shown),
        }
    }

    /// Keeps that key, durably. ssh goes on also where it could not write it.
    pub(super) fn keep(&self) -> PortResult<()> {
        let shown = keys(&self.shown)?;
        if shown.is_empty() {
            let lost = io::Error::other("ssh has not written the key of the node there");
            return Err(failed(&self.shown, "used", lost));
        }
        write(&self.newest, &shown)?;
        self.to_be_shown().map(drop)
    }
}

/// The host keys that a run has accepted from nodes which it had wiped.
///
/// Nobody else knows them: not the user's known hosts, which are never written to, and so not the next run
/// either. Somebody who has looked at them takes them over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedKeys {
    /// Whose they are, by name.
    pub nodes: Vec<NodeName>,
    files: Vec<PathBuf>,
}

impl AcceptedKeys {
    /// What lies below [`SshConfig::run_known_hosts`](super::SshConfig::run_known_hosts); none where the run
    /// has accepted nothing. A node that was wiped and has not shown its key since is not in it.
    ///
    /// # Errors
    /// `ssh-known-hosts` when it cannot be read.
    pub fn of(run_known_hosts: &Path) -> PortResult<Option<Self>> {
        let unread = |error| failed(run_known_hosts, "read", error);
        let path = std::path::absolute(run_known_hosts).map_err(unread)?;
        let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
            return Ok(None);
        };
        let begins = format!("{}.", name.to_string_lossy());
        let mut nodes = Vec::new();
        for entry in std::fs::read_dir(dir).map_err(unread)? {
            let file = entry.map_err(unread)?.file_name();
            let node = file.to_str().and_then(|file| file.strip_prefix(&begins));
            nodes.extend(node.and_then(|node| NodeName::new(node).ok()));
        }
        nodes.sort();
        let mut accepted = Self {
            nodes: Vec::new(),
            files: Vec::new(),
        };
        for node in nodes {
            let file = NewKeys::of(&path, &node).newest;
            if !keys(&file)?.is_empty() {
                accepted.nodes.push(node);
                accepted.files.push(file);
            }
        }
        Ok((!accepted.nodes.is_empty()).then_some(accepted))
    }

    /// The command that adds them to the user's known hosts.
    pub fn taking_over(&self) -> String {
        let files: Vec<_> = self.files.iter().map(|file| typed(file)).collect();
        taking_over(&files.join(" "), "~/.ssh/known_hosts")
    }
}

/// A command for a shell, and its words for one. Lines with keys alone: the rest is a note of ours. ssh goes by
/// any key that is known, so that an older one beside it does not matter, and passes over empty lines: the file's
/// last line may have no end.
pub(super) fn taking_over(files: &str, known_hosts: &str) -> String {
    format!("(echo; grep -h '^[^#]' {files}) >> {known_hosts}")
}

fn is_there(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file())
}

/// The lines with keys.
fn keys(path: &Path) -> PortResult<String> {
    if !is_there(path) {
        return Ok(String::new());
    }
    let bytes = read_private(path, LIMIT_BYTES).map_err(|error| failed(path, "read", error))?;
    let text = String::from_utf8_lossy(&bytes);
    let is_key = |line: &&str| !line.trim().is_empty() && !line.starts_with('#');
    // A line without an end is one whose writing was cut off.
    let whole = text
        .split_inclusive('\n')
        .filter(|line| line.ends_with('\n'));
    Ok(whole.filter(is_key).collect())
}

fn write(path: &Path, keys: &str) -> PortResult<()> {
    let text = format!(
        "# Of a node that this run had wiped; without a key the next one is taken.\n{keys}"
    );
    write_atomically(path, text.as_bytes(), true).map_err(|error| failed(path, "written", error))
}

fn failed(path: &Path, what: &str, error: impl Error + Send + Sync + 'static) -> AdapterError {
    let what = format!("{} cannot be {what}", path.display());
    AdapterError::new(codes::SSH_KNOWN_HOSTS, Certainty::Refused, what)
        .hint("see what the system says of it: space, permissions, the disk; then resume")
        .caused_by(error)
}
