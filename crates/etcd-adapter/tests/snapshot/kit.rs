//! Snapshots to prove, real and forged.

use std::fs;
use std::path::{Path, PathBuf};

use etcd_adapter::snapshot::{Proof, ProofError, prove};
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

pub(crate) const PAGE: usize = 4096;
const TRAILER: usize = 32;

pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

pub(crate) fn bytes_of(name: &str) -> Vec<u8> {
    fs::read(fixture(name)).expect("a fixture")
}

pub(crate) fn proof_of(path: &Path) -> Result<Proof, ProofError> {
    prove(path, &mut |_| {})
}

pub(crate) fn good(name: &str) -> Proof {
    proof_of(&fixture(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// A file with these bytes, in memory where there is such a place.
pub(crate) fn file_of(bytes: &[u8]) -> NamedTempFile {
    let folder = Path::new("/dev/shm");
    let file = if folder.is_dir() {
        NamedTempFile::new_in(folder)
    } else {
        NamedTempFile::new()
    };
    let file = file.expect("a temporary file");
    fs::write(file.path(), bytes).expect("a written file");
    file
}

pub(crate) fn proof_of_bytes(bytes: &[u8]) -> Result<Proof, ProofError> {
    proof_of(file_of(bytes).path())
}

pub(crate) fn code_of(verdict: &Result<Proof, ProofError>) -> &'static str {
    verdict.as_ref().map_or_else(ProofError::code, |_| "good")
}

/// A snapshot under change, without its trailer.
pub(crate) struct Forgery(pub(crate) Vec<u8>);

impl Forgery {
    pub(crate) fn of(name: &str) -> Self {
        let mut bytes = bytes_of(name);
        bytes.truncate(bytes.len() - TRAILER);
        Self(bytes)
    }

    /// The bytes with a trailer that fits.
    pub(crate) fn sealed(&self) -> Vec<u8> {
        let mut bytes = self.0.clone();
        bytes.extend_from_slice(&Sha256::digest(&self.0));
        bytes
    }

    /// Writes a number into both metas, `at` bytes behind their start, and makes their checksums fit.
    pub(crate) fn set_in_metas(&mut self, at: usize, value: u64) {
        for page in [0, PAGE] {
            self.0[page + 16 + at..][..8].copy_from_slice(&value.to_le_bytes());
        }
        self.fix_metas();
    }

    pub(crate) fn fix_metas(&mut self) {
        for page in [0, PAGE] {
            let body = &self.0[page + 16..page + 72];
            let sum = body.iter().fold(0xCBF2_9CE4_8422_2325u64, |sum, byte| {
                (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3)
            });
            self.0[page + 72..page + 80].copy_from_slice(&sum.to_le_bytes());
        }
    }

    pub(crate) fn in_meta(&self, at: usize) -> u64 {
        let bytes = self.0[16 + at..][..8].try_into().expect("eight bytes");
        u64::from_le_bytes(bytes)
    }

    /// Adds unused pages, which the high-water mark counts.
    pub(crate) fn grow(&mut self, pages: usize) {
        self.0.resize(self.0.len() + pages * PAGE, 0);
        self.set_in_metas(HIGH_WATER, (self.0.len() / PAGE) as u64);
    }

    /// Replaces every occurrence of `from`.
    pub(crate) fn replace(&mut self, from: &[u8], to: &[u8]) {
        assert_eq!(from.len(), to.len());
        let found: Vec<usize> = (0..self.0.len() - from.len())
            .filter(|at| self.0[*at..].starts_with(from))
            .collect();
        assert!(!found.is_empty(), "{from:?} is not there");
        for at in found {
            self.0[at..at + to.len()].copy_from_slice(to);
        }
    }
}

pub(crate) const ROOT: usize = 16;
pub(crate) const FREELIST: usize = 32;
pub(crate) const HIGH_WATER: usize = 40;
