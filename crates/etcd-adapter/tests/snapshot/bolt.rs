//! Writes databases that nobody would have, page by page.

use std::fs::File;
use std::io::{BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::FileExt as _;

use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use crate::kit::{Forgery, HIGH_WATER, ROOT};

pub(crate) const PAIR: u32 = 0;
pub(crate) const BUCKET: u32 = 1;

/// A database in the making.
pub(crate) struct Bolt {
    file: NamedTempFile,
    out: BufWriter<File>,
    page_size: usize,
    pages: u64,
}

/// A page, and its first key.
pub(crate) type Place = (Vec<u8>, u64);

impl Bolt {
    pub(crate) fn new(page_size: usize) -> Self {
        let file = NamedTempFile::new().expect("a temporary file");
        let mut out = BufWriter::with_capacity(1 << 20, file.reopen().expect("the file"));
        out.seek(SeekFrom::Start(2 * page_size as u64))
            .expect("a place");
        Self {
            file,
            out,
            page_size,
            pages: 2,
        }
    }

    /// A leaf of flags, keys and values.
    pub(crate) fn leaf(&mut self, pairs: &[(u32, &[u8], &[u8])]) -> Place {
        let mut table = Vec::new();
        let mut data = Vec::new();
        for (i, (flags, key, value)) in pairs.iter().enumerate() {
            let position = 16 * (pairs.len() - i) + data.len();
            for field in [*flags as usize, position, key.len(), value.len()] {
                table.extend_from_slice(&small(field).to_le_bytes());
            }
            data.extend_from_slice(key);
            data.extend_from_slice(value);
        }
        let first = pairs
            .first()
            .map_or_else(Vec::new, |(_, key, _)| key.to_vec());
        (first, self.page(2, pairs.len(), &table, &data))
    }

    /// A branch over `children`.
    pub(crate) fn branch(&mut self, children: &[Place]) -> Place {
        let mut table = Vec::new();
        let mut data = Vec::new();
        for (i, (key, page)) in children.iter().enumerate() {
            let position = 16 * (children.len() - i) + data.len();
            table.extend_from_slice(&small(position).to_le_bytes());
            table.extend_from_slice(&small(key.len()).to_le_bytes());
            table.extend_from_slice(&page.to_le_bytes());
            data.extend_from_slice(key);
        }
        (
            children[0].0.clone(),
            self.page(1, children.len(), &table, &data),
        )
    }

    /// Branches over `places`, and over those, up to one page.
    pub(crate) fn tree(&mut self, mut places: Vec<Place>) -> u64 {
        while places.len() > 1 {
            places = places
                .chunks(100)
                .map(|children| self.branch(children))
                .collect();
        }
        places[0].1
    }

    fn page(&mut self, kind: u16, count: usize, table: &[u8], data: &[u8]) -> u64 {
        let page = self.pages;
        let length = 16 + table.len() + data.len();
        let span = length.div_ceil(self.page_size);
        let mut header = page.to_le_bytes().to_vec();
        header.extend_from_slice(&kind.to_le_bytes());
        header.extend_from_slice(&u16::try_from(count).expect("few pairs").to_le_bytes());
        header.extend_from_slice(&small(span - 1).to_le_bytes());
        for part in [&header, table, data] {
            self.out.write_all(part).expect("a page");
        }
        let rest = span * self.page_size - length;
        if rest > 1 << 16 {
            let rest = i64::try_from(rest).expect("a page");
            self.out.seek_relative(rest).expect("a page");
        } else {
            self.out.write_all(&vec![0; rest]).expect("a page");
        }
        self.pages += span as u64;
        page
    }

    /// The file, with one bucket of keys and the trailer.
    pub(crate) fn with_keys(mut self, keys: u64) -> NamedTempFile {
        let bucket = in_page(keys);
        let (_, root) = self.leaf(&[(BUCKET, b"key", &bucket)]);
        self.finish(root)
    }

    /// The file, with its metas and the trailer.
    pub(crate) fn finish(mut self, root: u64) -> NamedTempFile {
        self.out.flush().expect("a file");
        let file = self.out.get_mut();
        let length = self.pages * self.page_size as u64;
        file.set_len(length).expect("a length");
        let mut metas = Forgery::of("empty-3.5.30.db");
        let size = u64::try_from(self.page_size).expect("a page");
        // The page size shares its eight bytes with the flags, which are zero.
        metas.set_in_metas(8, size);
        metas.set_in_metas(ROOT, root);
        metas.set_in_metas(HIGH_WATER, self.pages);
        for (from, to) in [(0, 0), (4096, size)] {
            file.write_all_at(&metas.0[from..from + 80], to)
                .expect("a meta");
        }
        file.rewind().expect("the start");
        let mut hash = Sha256::new();
        let mut chunk = vec![0; 1 << 20];
        loop {
            let read = file.read(&mut chunk).expect("the file");
            if read == 0 {
                break;
            }
            hash.update(&chunk[..read]);
        }
        file.write_all_at(&hash.finalize(), length)
            .expect("a trailer");
        self.file
    }
}

/// The value of a bucket whose root is a page.
pub(crate) fn in_page(root: u64) -> [u8; 16] {
    let mut value = [0; 16];
    value[..8].copy_from_slice(&root.to_le_bytes());
    value
}

/// The value of a bucket that is a leaf of its own, without pairs, and `length` bytes long.
pub(crate) fn inline(length: usize) -> Vec<u8> {
    let mut value = vec![0; length];
    value[24] = 2;
    value
}

/// The key of a record, and the record, of the key called `name`.
pub(crate) fn record(revision: u32, name: &[u8], value: &[u8]) -> ([u8; 17], Vec<u8>) {
    let mut key = [0; 17];
    key[4..8].copy_from_slice(&revision.to_be_bytes());
    key[8] = b'_';
    let mut record = Vec::with_capacity(name.len() + value.len() + 32);
    for (tag, bytes) in [(0x0A, name), (0x2A, value)] {
        record.push(tag);
        varint(&mut record, small(bytes.len()));
        record.extend_from_slice(bytes);
    }
    record.push(0x18);
    varint(&mut record, revision);
    (key, record)
}

fn varint(into: &mut Vec<u8>, mut number: u32) {
    while number > 0x7F {
        into.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    into.push(number.to_le_bytes()[0]);
}

fn small(number: usize) -> u32 {
    u32::try_from(number).expect("below 4 GiB")
}
