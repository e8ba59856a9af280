//! The small JSON files beside the backups: bounded, versioned, never half written.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use runbook_core::journal::Format;
use runbook_core::text::shortened;
use rustix::fs::{Mode, OFlags};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Why a manifest or a record is not read.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// The system refused.
    #[error("{} cannot be read", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It is not what this tool writes.
    #[error("{} is refused: {why}", path.display())]
    Refused {
        /// Which file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// A later version of this tool has written it, and not for this one.
    #[error("{} has format {major}, this build reads {known}", path.display())]
    Newer {
        /// Which file.
        path: PathBuf,
        /// Its major format.
        major: u32,
        /// The one this build reads.
        known: u32,
    },
}

impl DocumentError {
    /// The stable error code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "backup-record-io",
            Self::Refused { .. } => "backup-record-refused",
            Self::Newer { .. } => "backup-record-newer",
        }
    }

    /// What to do next.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Io { .. } => "see what the system says of it: permissions, the mount, the disk",
            Self::Refused { .. } => {
                "it is left as it is; find out who changed it, and move it away"
            }
            Self::Newer { .. } => {
                "use the version of restore-runbook that wrote it, or a later one"
            }
        }
    }
}

/// Reads a file of at most `limit` bytes; none when there is no such file.
pub(super) fn read(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, DocumentError> {
    let io = |source: io::Error| DocumentError::Io {
        path: path.to_owned(),
        source,
    };
    // Neither a link nor a FIFO is anything that this tool wrote.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = match rustix::fs::open(path, flags, Mode::empty()).map_err(io::Error::from) {
        Ok(file) => File::from(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io(error)),
    };
    if !file.metadata().map_err(io)?.is_file() {
        return Err(refused(path, "it is no regular file"));
    }
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > limit {
        return Err(refused(path, format!("it is over {limit} bytes")));
    }
    Ok(Some(bytes))
}

pub(super) fn refused(path: &Path, why: impl Into<String>) -> DocumentError {
    DocumentError::Refused {
        path: path.to_owned(),
        why: why.into(),
    }
}

#[derive(Deserialize)]
struct Head {
    format: Format,
}

/// Parses a document of the format `known`. What a newer minor version has added is passed over;
/// anything else that is not known is refused, since then somebody else wrote it.
pub(super) fn parse<T: DeserializeOwned>(
    path: &Path,
    bytes: &[u8],
    known: Format,
) -> Result<T, DocumentError> {
    let wrong = |error: serde_json::Error| refused(path, shortened(&error.to_string()));
    let Head { format } = serde_json::from_slice(bytes).map_err(wrong)?;
    if format.major != known.major {
        return Err(DocumentError::Newer {
            path: path.to_owned(),
            major: format.major,
            known: known.major,
        });
    }
    let mut strangers = Vec::new();
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let parsed = serde_ignored::deserialize(&mut reader, |field| {
        if strangers.len() < 3 {
            strangers.push(field.to_string());
        }
    })
    .map_err(wrong)?;
    reader.end().map_err(wrong)?;
    if format.minor <= known.minor && !strangers.is_empty() {
        let why = format!(
            "format {}.{} has no {}",
            format.major,
            format.minor,
            shortened(&strangers.join(", "))
        );
        return Err(refused(path, why));
    }
    Ok(parsed)
}
