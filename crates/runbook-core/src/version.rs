//! etcd versions, and what each can do.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An etcd release, as `3.4.23`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EtcdVersion {
    /// Major number; 3 for every etcd this tool knows.
    pub major: u16,
    /// Minor number: tool and server must agree on it.
    pub minor: u16,
    /// Patch number.
    pub patch: u16,
}

/// A text that is not a version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an etcd version such as 3.4.23")]
pub struct VersionError(String);

/// The program that restores a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RestoreTool {
    /// `etcdctl snapshot restore`: etcd 3.4.
    Etcdctl,
    /// `etcdutl snapshot restore`: etcd 3.5 and later; the only one from 3.6 on.
    Etcdutl,
}

impl RestoreTool {
    /// The program's name.
    pub const fn program(self) -> &'static str {
        match self {
            Self::Etcdctl => "etcdctl",
            Self::Etcdutl => "etcdutl",
        }
    }
}

impl EtcdVersion {
    /// A version from its numbers.
    pub const fn new(major: u16, minor: u16, patch: u16) -> Self {
        Self {
            major,
            minor,
            patch,
        }
    }

    /// Parses `3.4.23`, ignoring a leading `v` and a suffix as in `3.5.0-rc.1`.
    ///
    /// # Errors
    /// [`VersionError`] when there are no three numbers.
    pub fn parse(text: &str) -> Result<Self, VersionError> {
        let wrong = || VersionError(text.chars().take(40).collect());
        let plain = text.trim().trim_start_matches('v');
        let plain = plain.split(['-', '+']).next().unwrap_or_default();
        let mut numbers = plain.split('.').map(str::parse::<u16>);
        let mut next = || numbers.next().and_then(Result::ok).ok_or_else(wrong);
        let version = Self::new(next()?, next()?, next()?);
        if numbers.next().is_some() {
            Err(wrong())
        } else {
            Ok(version)
        }
    }

    /// Whether both are of one minor release, the condition for restoring one's data with the other.
    ///
    /// A 3.4 tool leaves the old members in the store, which a 3.6 server takes for real
    /// (etcd's "zombie members" note, 2025).
    pub const fn same_minor(self, other: Self) -> bool {
        self.major == other.major && self.minor == other.minor
    }

    /// The program that restores snapshots in this release.
    pub const fn restore_tool(self) -> RestoreTool {
        if self.major == 3 && self.minor <= 4 {
            RestoreTool::Etcdctl
        } else {
            RestoreTool::Etcdutl
        }
    }

    /// Whether `--bump-revision` and `--mark-compacted` exist: from 3.4.27, 3.5.10 and 3.6.0.
    pub const fn has_revision_bump(self) -> bool {
        match (self.major, self.minor) {
            (3, 4) => self.patch >= 27,
            (3, 5) => self.patch >= 10,
            (3, minor) => minor >= 6,
            _ => false,
        }
    }
}

impl fmt::Display for EtcdVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl From<EtcdVersion> for String {
    fn from(version: EtcdVersion) -> Self {
        version.to_string()
    }
}

impl TryFrom<String> for EtcdVersion {
    type Error = VersionError;
    fn try_from(text: String) -> Result<Self, VersionError> {
        Self::parse(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_parse() {
        assert_eq!(EtcdVersion::parse("3.4.23"), Ok(EtcdVersion::new(3, 4, 23)));
        assert_eq!(
            EtcdVersion::parse("v3.5.0-rc.1\n"),
            Ok(EtcdVersion::new(3, 5, 0))
        );
        for bad in ["", "3", "3.4", "3.4.x", "3.4.5.6", "70000.1.1"] {
            assert!(EtcdVersion::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn each_release_knows_its_tool_and_its_bump() {
        let of = |text| EtcdVersion::parse(text).unwrap();
        assert_eq!(of("3.4.23").restore_tool(), RestoreTool::Etcdctl);
        assert_eq!(of("3.5.1").restore_tool(), RestoreTool::Etcdutl);
        assert!(!of("3.4.26").has_revision_bump() && of("3.4.27").has_revision_bump());
        assert!(!of("3.5.9").has_revision_bump() && of("3.5.10").has_revision_bump());
        assert!(of("3.6.0").has_revision_bump());
    }
}
