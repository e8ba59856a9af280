//! Where the database in a file ends, and what comes after it.
//!
//! A snapshot is the database up to its high-water mark, and 32 bytes of SHA-256. The meta page knows
//! the mark, so a file that is too short was cut, and one that ends in whole pages instead of a hash is a
//! copy of a data directory's file (which etcd grows in steps beyond the mark).
//!
//! One case lies between: a snapshot that lost its trailer and nothing else has a copy's length. But the
//! two metas of a snapshot are twins, made from one on the way out (bbolt `tx.go`, `WriteTo`: the
//! second is the first with a transaction id one lower), while those of a living file come from two
//! commits, each with a root of its own. Only a file whose last commit changed nothing could be taken
//! for a cut snapshot, or for a padded one.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;

use super::file::{Gate, Pages, Source};
use super::page::{META_END, Meta};
use super::verdict::ProofError;

/// Bytes of the trailer.
const TRAILER: u64 = 32;

/// The shape of a file, by its metas and its size.
pub(super) struct Layout {
    /// The meta in force.
    pub(super) meta: Meta,
    /// The page of the other meta, if that is damaged.
    pub(super) broken_meta: Option<u64>,
    /// Bytes up to the high-water mark.
    pub(super) database_bytes: u64,
    pub(super) ending: Ending,
}

/// What comes after the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The hash of the database.
    Trailer { expected: [u8; 32] },
    /// Nothing, or unused pages.
    Copy,
    /// What should be the hash, and then more.
    Overlong { expected: [u8; 32], extra: u64 },
}

impl Layout {
    pub(super) fn read(source: &Source) -> Result<Self, ProofError> {
        let size = source.size();
        if size == 0 {
            return Err(ProofError::Empty);
        }
        let Some((first, second)) = metas(source)? else {
            return Err(no_meta(source)?);
        };
        let broken_meta = match (first, second) {
            (None, _) => Some(0),
            (_, None) => Some(1),
            _ => None,
        };
        let Some(meta) = first.into_iter().chain(second).max_by_key(|meta| meta.txid) else {
            return Err(no_meta(source)?);
        };
        let database_bytes = meta.high_water.checked_mul(u64::from(meta.page_size));
        let Some(database_bytes) = database_bytes.filter(|_| meta.high_water > 2) else {
            let reason = "its high-water mark is impossible";
            return Err(ProofError::StructureDamaged { page: 0, reason });
        };
        let ending = ending(source, database_bytes, &meta, twins(first, second))?;
        Ok(Self {
            meta,
            broken_meta,
            database_bytes,
            ending,
        })
    }

    /// How many bytes the hash covers.
    pub(super) fn hashed_bytes(&self, size: u64) -> u64 {
        match self.ending {
            Ending::Copy => size,
            Ending::Trailer { .. } | Ending::Overlong { .. } => self.database_bytes,
        }
    }

    /// Whether the verdict is known from the hash, so that no walk can change it.
    pub(super) fn settled_by(&self, digest: &Result<[u8; 32], ProofError>) -> bool {
        match (digest, self.ending) {
            (Err(_), _) | (_, Ending::Overlong { .. }) => true,
            (Ok(got), Ending::Trailer { expected }) => *got != expected,
            (Ok(_), Ending::Copy) => false,
        }
    }

    pub(super) fn pages<'a>(&self, file: &'a File, gate: &'a Gate) -> Pages<'a> {
        let size = self.meta.page_size as usize;
        Pages {
            file,
            gate,
            size,
            count: self.meta.high_water,
        }
    }
}

fn ending(
    source: &Source,
    database_bytes: u64,
    meta: &Meta,
    twins: bool,
) -> Result<Ending, ProofError> {
    let size = source.size();
    let whole = database_bytes.saturating_add(TRAILER);
    // A copy ends with a page. A snapshot could only do so if it was padded or lost its trailer.
    let copy = !twins && size.is_multiple_of(u64::from(meta.page_size));
    if size < database_bytes || (size < whole && !copy) {
        return Err(ProofError::Truncated {
            size,
            expected: whole,
        });
    }
    if copy {
        return Ok(Ending::Copy);
    }
    let mut expected = [0; 32];
    source.file.read_exact_at(&mut expected, database_bytes)?;
    Ok(match size - whole {
        0 => Ending::Trailer { expected },
        extra => Ending::Overlong { expected, extra },
    })
}

/// The first and the second meta, each if it is whole.
type Metas = (Option<Meta>, Option<Meta>);

/// Both metas, the first at the start and the second one page on; `None` if both are damaged.
fn metas(source: &Source) -> Result<Option<Metas>, ProofError> {
    let first = meta_at(source, 0)?;
    if let Some(meta) = first {
        let second = meta_at(source, u64::from(meta.page_size))?;
        return Ok(Some((
            first,
            second.filter(|second| second.page_size == meta.page_size),
        )));
    }
    for shift in 9..=24 {
        let at = 1u64 << shift;
        if let Some(second) = meta_at(source, at)?
            && u64::from(second.page_size) == at
        {
            return Ok(Some((None, Some(second))));
        }
    }
    Ok(None)
}

fn meta_at(source: &Source, offset: u64) -> Result<Option<Meta>, ProofError> {
    Ok(head(source, offset)?.and_then(|page| Meta::read(&page)))
}

fn head(source: &Source, offset: u64) -> Result<Option<[u8; META_END]>, ProofError> {
    let mut page = [0; META_END];
    match source.file.read_exact_at(&mut page, offset) {
        Ok(()) => Ok(Some(page)),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Whether the second meta was made from the first, as in a snapshot.
fn twins(first: Option<Meta>, second: Option<Meta>) -> bool {
    let (Some(first), Some(second)) = (first, second) else {
        return false;
    };
    second.txid.checked_add(1) == Some(first.txid)
        && Meta {
            txid: first.txid,
            ..second
        } == first
}

/// The verdict on a file without a whole meta.
fn no_meta(source: &Source) -> Result<ProofError, ProofError> {
    let size = source.size();
    let mut start = [0; META_END];
    let length = usize::try_from(size).unwrap_or(META_END).min(META_END);
    let start = &mut start[..length];
    source.file.read_exact_at(start, 0)?;
    if length < META_END && Meta::resembles(start) {
        // No database of etcd's has fewer than four pages.
        return Ok(ProofError::Truncated {
            size,
            expected: 4 * 4096 + TRAILER,
        });
    }
    let reason = match &*start {
        [0x1F, 0x8B, ..] => "it is compressed with gzip".into(),
        [0x28, 0xB5, 0x2F, 0xFD, ..] => "it is compressed with zstd".into(),
        [0xFD, b'7', b'z', b'X', b'Z', ..] => "it is compressed with xz".into(),
        [b'P', b'K', 3, 4, ..] => "it is a zip archive".into(),
        start if Meta::resembles(start) => {
            "both pages that say where everything is are damaged".into()
        }
        start if start.iter().all(|byte| *byte == 0) => "it starts with zero bytes".into(),
        _ if length < META_END => format!("it has only {size} bytes"),
        _ => "it does not start like a bolt database".into(),
    };
    Ok(ProofError::NotASnapshot { reason })
}
