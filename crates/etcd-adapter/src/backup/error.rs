//! Why there is no backup.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use runbook_core::error::AdapterError;
use runbook_core::journal::Actor;
use runbook_core::names::EtcdUrl;
use runbook_core::rundir::StateError;
use rustix::io::Errno;

use super::document::DocumentError;
use crate::snapshot::ProofError;
use crate::tool::prove;

/// Why a backup was not taken, or not kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// Reading or writing failed.
    #[error("{} cannot be {doing}", path.display())]
    Io {
        /// What.
        path: PathBuf,
        /// "read", "written", …
        doing: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The disk is full, or would be.
    #[error("{} has no room: {why}", dir.display())]
    Space {
        /// Where.
        dir: PathBuf,
        /// The numbers, or what the system said.
        why: String,
    },
    /// Another backup works in the directory.
    #[error("another process takes a backup to {}: {}", dir.display(), whose(holder.as_deref()))]
    Locked {
        /// Where.
        dir: PathBuf,
        /// Who, as far as the lock says.
        holder: Option<Box<Actor>>,
    },
    /// The directory cannot hold backups.
    #[error("{} {fault}", dir.display())]
    Directory {
        /// Where.
        dir: PathBuf,
        /// Why not.
        fault: &'static str,
    },
    /// A file is in the way; it was left alone.
    #[error("{} is there already", path.display())]
    Exists {
        /// What.
        path: PathBuf,
    },
    /// None of the members can give a backup.
    #[error("no member can give a backup: {}", listed(members))]
    NoMember {
        /// Each of them, and why not.
        members: Vec<(EtcdUrl, String)>,
    },
    /// The endpoints are not of one cluster.
    #[error("the endpoints belong to different clusters: {}", listed(members))]
    Clusters {
        /// Each of them, and its cluster.
        members: Vec<(EtcdUrl, String)>,
    },
    /// Every member that could give a backup was tried.
    #[error("no backup came of {}", attempts(tries))]
    Failed {
        /// What was tried, in order; never empty.
        tries: Vec<Attempt>,
    },
    /// A manifest or a record refuses.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// A small file could not be written.
    #[error(transparent)]
    State(StateError),
    /// The backup was taken, and its second copy was not.
    #[error("the backup is {}, but there is no copy of it in {}", backup.display(), dir.display())]
    Copy {
        /// The backup, which is good.
        backup: PathBuf,
        /// Where the copy should be.
        dir: PathBuf,
        /// Why it is not.
        #[source]
        source: Box<BackupError>,
    },
    /// What was written is not what can be read again.
    #[error("{} does not read as it was written", path.display())]
    Readback {
        /// What.
        path: PathBuf,
    },
}

/// A member that was tried, and what came of it.
#[derive(Debug)]
pub struct Attempt {
    /// The member.
    pub url: EtcdUrl,
    /// Why nothing came of it.
    pub fault: Fault,
}

/// Why a member's snapshot is of no use. Another member's may be.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// It did not come, or not whole.
    #[error("{}", _0.chain())]
    Port(AdapterError),
    /// It came whole, and is not the one that the member sent.
    #[error("its bytes do not have the hash that came with them")]
    Hash,
    /// It is what the member sent, and no good snapshot.
    #[error("{_0}")]
    Proof(ProofError),
    /// It is good, and the member says that its own content is another.
    #[error(
        "HashKV of its snapshot is {ours}, it says {told}: it does not serve what lies on its disk"
    )]
    HashKv {
        /// As computed from the snapshot.
        ours: u32,
        /// As the member says.
        told: u32,
    },
}

impl Fault {
    /// The stable error code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Port(error) => error.code,
            Self::Hash => "snapshot-bytes-damaged",
            Self::Proof(error) => prove::code(error),
            Self::HashKv { .. } => "backup-hash-differs",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Port(error) if error.code == "etcd-auth" => {
                Some("name a user with the role root: --etcd-user and --etcd-password-file".into())
            }
            Self::Port(error) => error.hint.clone(),
            Self::Hash => Some("try again; if it stays so, look at the network and at the machines' memory".into()),
            Self::HashKv { .. } => Some("compare `etcdctl endpoint hashkv` of all members".into()),
            Self::Proof(_) => Some("this member's database is damaged: replace the member, from the others if they are sound".into()),
        }
    }
}

impl BackupError {
    /// Makes an error of what the system said about a path.
    pub(super) fn io(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| {
            let full = [Errno::NOSPC, Errno::DQUOT].map(|errno| Some(errno.raw_os_error()));
            if full.contains(&source.raw_os_error()) {
                Self::Space {
                    dir: path.parent().unwrap_or(path).to_owned(),
                    why: source.to_string(),
                }
            } else {
                Self::Io {
                    path: path.to_owned(),
                    doing,
                    source,
                }
            }
        }
    }

    /// The stable error code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "backup-io",
            Self::Space { .. } => "backup-space",
            Self::Locked { .. } => "backup-locked",
            Self::Directory { .. } => "backup-directory",
            Self::Exists { .. } => "backup-exists",
            Self::NoMember { .. } => "backup-no-member",
            Self::Clusters { .. } => "backup-clusters",
            // Where all say the same, that is what it is.
            Self::Failed { tries } => {
                let mut codes = tries.iter().map(|attempt| attempt.fault.code());
                let first = codes.next().unwrap_or("backup-failed");
                if codes.all(|code| code == first) {
                    first
                } else {
                    "backup-failed"
                }
            }
            Self::Document(error) => error.code(),
            Self::State(error) => error.code(),
            Self::Copy { .. } => "backup-copy",
            Self::Readback { .. } => "backup-readback",
        }
    }

    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Io { .. } => "see what the system says of it: permissions, the mount, the disk; then try again".into(),
            Self::Space { .. } => "nothing was left behind; make room, have older backups dropped with --keep-… --prune, or name another directory".into(),
            Self::Locked { .. } => "wait for it; the lock ends with its process".into(),
            Self::Directory { dir, .. } => format!("if this is the right place: mkdir -m 0700 {}", dir.display()),
            Self::Exists { .. } => "nothing is ever overwritten; look whose it is, and try again".into(),
            Self::NoMember { .. } => "look at the members' own logs and at `etcdctl endpoint status`; without a leader no backup is up to date".into(),
            Self::Clusters { .. } => "name the endpoints of one cluster; members that were restored apart from each other are clusters of their own".into(),
            Self::Failed { tries } => return tries.last().and_then(|attempt| attempt.fault.hint()),
            Self::Document(error) => error.hint().into(),
            Self::State(error) => return error.hint(),
            Self::Copy { source, .. } => return source.hint(),
            Self::Readback { .. } => "do not trust this storage: look at its logs, and take the backup elsewhere".into(),
        })
    }
}

impl From<StateError> for BackupError {
    fn from(error: StateError) -> Self {
        match error {
            StateError::Io {
                path,
                doing,
                source,
            } => Self::io(&path, doing)(source),
            other => Self::State(other),
        }
    }
}

fn whose(holder: Option<&Actor>) -> String {
    holder.map_or_else(|| "it did not say whose".into(), Actor::to_string)
}

fn listed(members: &[(EtcdUrl, String)]) -> String {
    let said: Vec<_> = members
        .iter()
        .map(|(url, why)| format!("{url}: {why}"))
        .collect();
    said.join("; ")
}

fn attempts(tries: &[Attempt]) -> String {
    let said: Vec<_> = tries.iter().map(Attempt::to_string).collect();
    said.join("; ")
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}]: {}", self.url, self.fault.code(), self.fault)
    }
}

#[cfg(test)]
mod tests {
    use runbook_core::rundir::Distrust;

    use super::*;

    #[test]
    fn a_full_disk_is_told_from_a_broken_one() {
        for (errno, code) in [
            (Errno::NOSPC, "backup-space"),
            (Errno::DQUOT, "backup-space"),
            (Errno::IO, "backup-io"),
        ] {
            let error = BackupError::io(Path::new("/b/x"), "written")(errno.into());
            assert_eq!(error.code(), code);
            assert!(error.to_string().starts_with("/b"), "{error}");
        }
        // Also from where the small files are written.
        let error = StateError::Io {
            path: "/b/x".into(),
            doing: "written",
            source: Errno::NOSPC.into(),
        };
        assert_eq!(BackupError::from(error).code(), "backup-space");
        // What is no failure of the system keeps its own words.
        let error = StateError::Unsafe {
            path: "/b/x".into(),
            fault: Distrust::Mode(0o666),
        };
        let said = error.to_string();
        assert_eq!(BackupError::from(error).to_string(), said);
    }

    #[test]
    fn what_all_members_say_is_what_it_is() {
        let failed = |faults: Vec<Fault>| {
            let tries = faults.into_iter().map(|fault| Attempt {
                url: EtcdUrl::new("https://10.141.0.1:2379").unwrap(),
                fault,
            });
            let error = BackupError::Failed {
                tries: tries.collect(),
            };
            assert!(error.hint().is_some());
            error.code()
        };
        let bytes = "snapshot-bytes-damaged";
        assert_eq!(failed(vec![Fault::Hash]), bytes);
        assert_eq!(failed(vec![Fault::Hash, Fault::Hash]), bytes);
        let empty = Fault::Proof(ProofError::Empty);
        assert_eq!(failed(vec![Fault::Hash, empty]), "backup-failed");
    }
}
