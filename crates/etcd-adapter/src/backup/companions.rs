//! What a backup is useless without, by digest.
//!
//! Where the API server encrypts Secrets at rest, the store holds them encrypted, and a restored store
//! is only readable with the encryption configuration of that time. The service account key and the
//! authorities are alike: with others, every token and certificate out there is void. None of them is
//! in a snapshot. So the manifest keeps their digests, by which the right ones are known again;
//! keeping the files themselves safe, and elsewhere, is not this tool's work.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use runbook_core::digest::Digest;
use runbook_core::rundir::read_ordinary;
use serde::{Deserialize, Serialize};

/// Bytes of a file that a digest is taken of, at most.
const MOST_BYTES: u64 = 1 << 20;

/// Files, directories among them, that are looked at below one directory, and how deep.
const MOST_FILES: usize = 256;
const DEEPEST: usize = 4;

/// A file, or what kept it from being read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Companion {
    /// Where it is on the host that took the backup.
    pub path: PathBuf,
    /// The SHA-256 of its content; none when it could not be read.
    pub sha256: Option<Digest>,
    /// Why there is no digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
}

/// Takes the digests of files, and of the regular files in directories and below. What cannot be read is
/// listed with the reason.
pub fn digests(paths: &[PathBuf]) -> Vec<Companion> {
    let mut found = Vec::new();
    for path in paths {
        look(path, 0, &mut found);
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    found.dedup_by(|one, other| one.path == other.path);
    found
}

fn look(path: &Path, depth: usize, found: &mut Vec<Companion>) {
    if found.len() >= MOST_FILES {
        return;
    }
    // What is named may be a link; what is found below must not lead elsewhere.
    let about = if depth == 0 {
        fs::metadata(path)
    } else {
        fs::symlink_metadata(path)
    };
    match about {
        Ok(about) if about.is_dir() && depth < DEEPEST => match entries(path) {
            Ok(entries) => entries
                .iter()
                .for_each(|entry| look(entry, depth + 1, found)),
            Err(error) => found.push(missing(path, &error)),
        },
        Ok(about) if about.is_file() => found.push(of_file(path)),
        // A link, a socket: nothing to take a digest of.
        Ok(_) => {}
        Err(error) => found.push(missing(path, &error)),
    }
}

fn entries(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = fs::read_dir(dir)?
        .take(MOST_FILES)
        .map(|entry| Ok(entry?.path()))
        .collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

fn of_file(path: &Path) -> Companion {
    match read_ordinary(path, MOST_BYTES) {
        Ok(bytes) => Companion {
            path: path.to_owned(),
            sha256: Some(Digest::of(&bytes)),
            missing: None,
        },
        Err(error) => missing(path, &error),
    }
}

fn missing(path: &Path, error: &io::Error) -> Companion {
    Companion {
        path: path.to_owned(),
        sha256: None,
        missing: Some(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_known_again_by_their_digests_alone() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("pki/etcd")).unwrap();
        fs::write(at("pki/etcd/ca.crt"), "secret").unwrap();
        fs::write(at("pki/sa.key"), "key").unwrap();
        std::os::unix::fs::symlink("/", at("pki/loop")).unwrap();
        fs::write(at("big"), vec![0; 1 << 21]).unwrap();
        let found = digests(&[at("pki"), at("none"), at("big"), at("pki/sa.key")]);
        let paths: Vec<_> = found.iter().map(|c| c.path.clone()).collect();
        assert_eq!(
            paths,
            [
                at("big"),
                at("none"),
                at("pki/etcd/ca.crt"),
                at("pki/sa.key")
            ]
        );
        let known: Vec<_> = found.iter().map(|c| c.sha256).collect();
        assert_eq!(
            known,
            [
                None,
                None,
                Some(Digest::of(b"secret")),
                Some(Digest::of(b"key"))
            ]
        );
        assert!(found[0].missing.is_some() && found[1].missing.is_some());
        assert!(!serde_json::to_string(&found).unwrap().contains("secret"));
    }
}
