//! The pages of a bolt file, decoded from bytes that anyone may have written.
//!
//! Layout: bbolt `internal/common/{page,meta,inode}.go`. bolt writes integers in the machine's order;
//! here they are little-endian, so a file from a big-endian machine (s390x) is not recognised.

use std::ops::Range;

/// Bytes of a page header.
pub(super) const HEADER: usize = 16;
/// Bytes from the start of page 0 or 1 to the end of its meta.
pub(super) const META_END: usize = HEADER + 64;
/// The freelist "page" of a file that keeps none; etcd's never do.
pub(super) const NO_FREELIST: u64 = u64::MAX;

const MAGIC: u32 = 0xED0C_DAED;
const VERSION: u32 = 2;
const BRANCH: u16 = 0x01;
const LEAF: u16 = 0x02;
const META: u16 = 0x04;
const FREELIST: u16 = 0x10;
const ELEMENT: usize = 16;

/// What a page holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Branch,
    Leaf,
    Freelist,
}

/// The first 16 bytes of a page.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) id: u64,
    flags: u16,
    pub(super) count: u16,
    /// Pages that belong to this one beyond the first.
    pub(super) overflow: u32,
}

impl Header {
    /// The header at the start of `bytes`; `None` when they are too few.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            id: u64_at(bytes, 0)?,
            flags: u16_at(bytes, 8)?,
            count: u16_at(bytes, 10)?,
            overflow: u32_at(bytes, 12)?,
        })
    }

    pub(super) fn kind(self) -> Option<Kind> {
        match self.flags {
            BRANCH => Some(Kind::Branch),
            LEAF => Some(Kind::Leaf),
            FREELIST => Some(Kind::Freelist),
            _ => None,
        }
    }
}

/// A meta page whose checksum holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Meta {
    pub(super) page_size: u32,
    /// Page of the root of the tree of buckets.
    pub(super) root: u64,
    pub(super) freelist: u64,
    /// One more than the highest page in use.
    pub(super) high_water: u64,
    pub(super) txid: u64,
}

impl Meta {
    /// The meta in `page`, if it is whole: magic, version, page size and checksum.
    pub(super) fn read(page: &[u8]) -> Option<Self> {
        let header = Header::read(page)?;
        let body = page.get(HEADER..META_END)?;
        let meta = Self {
            page_size: u32_at(body, 8)?,
            root: u64_at(body, 16)?,
            freelist: u64_at(body, 32)?,
            high_water: u64_at(body, 40)?,
            txid: u64_at(body, 48)?,
        };
        let whole = header.flags == META
            && u32_at(body, 0)? == MAGIC
            && u32_at(body, 4)? == VERSION
            && u64_at(body, 56)? == fnv1a(&body[..56])
            && meta.page_size.is_power_of_two()
            && (512..=1 << 24).contains(&meta.page_size);
        whole.then_some(meta)
    }

    /// Whether `page` starts as a meta page does, whole or not.
    pub(super) fn resembles(page: &[u8]) -> bool {
        u32_at(page, HEADER) == Some(MAGIC)
    }
}

fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3)
    })
}

/// A pair in a leaf page; its value follows its key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) bucket: bool,
    key: u32,
    value: u32,
    end: u32,
}

impl Entry {
    pub(super) fn key(self) -> Range<usize> {
        self.key as usize..self.value as usize
    }

    pub(super) fn value(self) -> Range<usize> {
        self.value as usize..self.end as usize
    }

    /// Key and value.
    pub(super) fn pair(self) -> Range<usize> {
        self.key as usize..self.end as usize
    }
}

/// A child of a branch page.
#[derive(Clone, Copy, Debug)]
pub(super) struct Child {
    key: u32,
    end: u32,
    pub(super) page: u64,
}

impl Child {
    pub(super) fn key(self) -> Range<usize> {
        self.key as usize..self.end as usize
    }
}

/// Decodes the pairs of a leaf into `entries`: all inside `node`, none overlapping another, keys in
/// strictly rising order. `node` starts at the page's header and must be shorter than 4 GiB.
pub(super) fn leaf_entries(
    node: &[u8],
    count: u16,
    entries: &mut Vec<Entry>,
) -> Result<(), &'static str> {
    entries.clear();
    let mut free = table_end(node, count)?;
    for i in 0..usize::from(count) {
        let at = HEADER + i * ELEMENT;
        let element = &node[at..at + ELEMENT];
        let flags = field(element, 0);
        if flags > 1 {
            return Err("a pair has unknown flags");
        }
        let key = position(at, field(element, 4), free)?;
        let value = key.checked_add(field(element, 8) as usize);
        let end = value.and_then(|v| v.checked_add(field(element, 12) as usize));
        let (Some(value), Some(end)) = (value, end.filter(|end| *end <= node.len())) else {
            return Err("a pair reaches past the end of its page");
        };
        free = end;
        let entry = Entry {
            bucket: flags == 1,
            key: small(key),
            value: small(value),
            end: small(end),
        };
        if let Some(previous) = entries.last()
            && node[Entry::key(*previous)] >= node[entry.key()]
        {
            return Err("keys are out of order");
        }
        entries.push(entry);
    }
    Ok(())
}

/// Decodes the children of a branch, under the same rules as [`leaf_entries`].
pub(super) fn branch_children(node: &[u8], count: u16) -> Result<Vec<Child>, &'static str> {
    if count == 0 {
        return Err("a branch without children");
    }
    let mut free = table_end(node, count)?;
    let mut children: Vec<Child> = Vec::with_capacity(usize::from(count));
    for i in 0..usize::from(count) {
        let at = HEADER + i * ELEMENT;
        let element = &node[at..at + ELEMENT];
        let start = position(at, field(element, 0), free)?;
        let end = start
            .checked_add(field(element, 4) as usize)
            .filter(|end| *end <= node.len());
        let Some(end) = end else {
            return Err("a key reaches past the end of its page");
        };
        free = end;
        let page = u64_at(element, 8).unwrap_or_default();
        let child = Child {
            key: small(start),
            end: small(end),
            page,
        };
        if let Some(previous) = children.last()
            && node[previous.key()] >= node[child.key()]
        {
            return Err("keys are out of order");
        }
        children.push(child);
    }
    Ok(children)
}

fn table_end(node: &[u8], count: u16) -> Result<usize, &'static str> {
    let end = HEADER + usize::from(count) * ELEMENT;
    if end <= node.len() {
        Ok(end)
    } else {
        Err("more elements than the page can hold")
    }
}

/// Where the data of the element at `at` starts: at or after `free`, so that the data of all
/// elements together is never more than the page.
fn position(at: usize, offset: u32, free: usize) -> Result<usize, &'static str> {
    at.checked_add(offset as usize)
        .filter(|start| *start >= free)
        .ok_or("the data of two elements overlap")
}

fn small(offset: usize) -> u32 {
    // Offsets lie within a node, and a node is far below 4 GiB (`walk::NODE_BUDGET`).
    u32::try_from(offset).unwrap_or(u32::MAX)
}

fn field(element: &[u8], at: usize) -> u32 {
    u32_at(element, at).unwrap_or_default()
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    let part = bytes.get(at..at.checked_add(8)?)?;
    part.try_into().ok().map(u64::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let part = bytes.get(at..at.checked_add(4)?)?;
    part.try_into().ok().map(u32::from_le_bytes)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let part = bytes.get(at..at.checked_add(2)?)?;
    part.try_into().ok().map(u16::from_le_bytes)
}
