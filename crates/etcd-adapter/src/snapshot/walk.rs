//! A walk over every page that the database reaches, checking each as it passes.
//!
//! Bounds of the walk, whatever the file says: each page is visited once (a bitmap knows), a path is
//! at most [`MAX_DEPTH`] pages long, and the nodes held at one time are at most [`NODE_BUDGET`] bytes.

use std::sync::atomic::{AtomicU64, Ordering};

use super::crc::Run;
use super::file::Pages;
use super::page::{self, Child, Entry, HEADER, Header, Kind, NO_FREELIST};
use super::verdict::Fault;

/// A path longer than any that 2^64 keys would need.
const MAX_DEPTH: usize = 64;
/// Bytes, children decoded included. etcd puts up to four pairs into one node, however large; its default limit for a request is
/// 1.5 MiB, and it warns above 10 MiB.
const NODE_BUDGET: usize = 64 << 20;
/// Pages: 2 TiB of 4 KiB pages, a bitmap of 64 MiB.
const MAX_PAGES: u64 = 1 << 29;
/// Buffers no larger than this are kept for the next node; there are as many as a path is long.
const KEEP_BUFFER: usize = 128 << 10;
/// etcd has ten.
const MAX_BUCKETS: usize = 64;
/// Bytes of all names and inline buckets; etcd's hold a few kilobytes.
const MAX_BUCKET_BYTES: usize = 2 << 20;

/// The order in which leaves are visited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Forward,
    Reverse,
}

/// A leaf page whose pairs have been checked.
pub(super) struct Leaf<'a> {
    pub(super) page: u64,
    pub(super) bytes: &'a [u8],
    pub(super) entries: &'a [Entry],
}

impl Leaf<'_> {
    pub(super) fn key(&self, entry: Entry) -> &[u8] {
        &self.bytes[entry.key()]
    }

    pub(super) fn value(&self, entry: Entry) -> &[u8] {
        &self.bytes[entry.value()]
    }

    /// The run of the pairs for which `chosen` holds, in their order.
    pub(super) fn run(&self, mut chosen: impl FnMut(usize) -> bool) -> Run {
        let mut run = Run::EMPTY;
        let mut open = 0..0;
        for (i, entry) in self.entries.iter().enumerate() {
            if !chosen(i) {
                continue;
            }
            let pair = entry.pair();
            if pair.start == open.end {
                open.end = pair.end;
            } else {
                run = join(run, &self.bytes[open]);
                open = pair;
            }
        }
        join(run, &self.bytes[open])
    }
}

fn join(run: Run, bytes: &[u8]) -> Run {
    if bytes.is_empty() {
        run
    } else {
        run.then(Run::of(bytes))
    }
}

/// Takes in the leaves of one bucket.
pub(super) trait Visit {
    fn leaf(&mut self, leaf: &Leaf<'_>) -> Result<(), Fault>;
}

/// A bucket of the root.
pub(super) struct Bucket {
    pub(super) name: Vec<u8>,
    /// The page that names it.
    page: u64,
    root: Root,
}

enum Root {
    Page(u64),
    /// A single leaf, kept in the parent.
    Inline(Vec<u8>),
}

/// The walk, and what it has seen.
pub(super) struct Walk<'a> {
    pages: &'a Pages<'a>,
    seen: Bitmap,
    spare: Vec<Vec<u8>>,
    entries: Vec<Entry>,
    visited: &'a AtomicU64,
    /// What the first walk saw, once there is a second.
    first_seen: Option<Bitmap>,
}

/// A page with its overflow pages.
struct Node {
    header: Header,
    buffer: Vec<u8>,
    length: usize,
}

impl Node {
    fn bytes(&self) -> &[u8] {
        &self.buffer[..self.length]
    }
}

/// Where in the tree a node is expected.
#[derive(Clone, Copy)]
struct Place<'a> {
    page: u64,
    depth: usize,
    /// Bytes of the nodes above.
    held: usize,
    low: &'a [u8],
    high: Option<&'a [u8]>,
}

impl<'a> Walk<'a> {
    /// A walk that counts the pages it visits in `visited`.
    pub(super) fn new(pages: &'a Pages<'a>, visited: &'a AtomicU64) -> Result<Self, Fault> {
        if pages.count > MAX_PAGES {
            return Err(Fault::Limit("the database has more than 2^29 pages"));
        }
        let mut seen = Bitmap::new(pages.count);
        seen.set(0);
        seen.set(1);
        Ok(Self {
            pages,
            seen,
            spare: Vec::new(),
            entries: Vec::new(),
            visited,
            first_seen: None,
        })
    }

    /// Bytes of the database.
    pub(super) fn bytes(&self) -> u64 {
        self.pages.count.saturating_mul(self.pages.size as u64)
    }

    /// The buckets in the tree at `root`, in the order of their names.
    pub(super) fn buckets(&mut self, root: u64) -> Result<Vec<Bucket>, Fault> {
        let mut buckets = Buckets {
            found: Vec::new(),
            longest_inline: self.pages.size,
            bytes: 0,
        };
        self.tree(root, Order::Forward, &mut buckets)?;
        Ok(buckets.found)
    }

    /// Visits the leaves of `bucket`.
    pub(super) fn bucket(
        &mut self,
        bucket: &Bucket,
        order: Order,
        visit: &mut dyn Visit,
    ) -> Result<(), Fault> {
        let mut pairs = PairsOnly(visit);
        match &bucket.root {
            Root::Page(root) => self.tree(*root, order, &mut pairs),
            Root::Inline(bytes) => self.inline(bucket.page, bytes, &mut pairs),
        }
    }

    /// Forgets which pages were seen, to visit a bucket a second time.
    pub(super) fn again(&mut self) -> &mut Self {
        let seen = std::mem::replace(&mut self.seen, Bitmap::new(self.pages.count));
        self.first_seen.get_or_insert(seen);
        self
    }

    fn tree(&mut self, root: u64, order: Order, visit: &mut dyn Visit) -> Result<(), Fault> {
        let place = Place {
            page: root,
            depth: 0,
            held: 0,
            low: &[],
            high: None,
        };
        self.node(place, order, visit)
    }

    fn inline(&mut self, page: u64, bytes: &[u8], visit: &mut dyn Visit) -> Result<(), Fault> {
        let fault = |reason| Fault::Structure { page, reason };
        let header = Header::read(bytes)
            .filter(|header| header.kind() == Some(Kind::Leaf) && header.overflow == 0)
            .ok_or_else(|| fault("an inline bucket is not a leaf"))?;
        page::leaf_entries(bytes, header.count, &mut self.entries).map_err(fault)?;
        visit.leaf(&Leaf {
            page,
            bytes,
            entries: &self.entries,
        })
    }

    fn node(&mut self, place: Place<'_>, order: Order, visit: &mut dyn Visit) -> Result<(), Fault> {
        let node = self.load(place)?;
        let fault = |reason| Fault::Structure {
            page: place.page,
            reason,
        };
        match node.header.kind() {
            Some(Kind::Leaf) => {
                let mut entries = std::mem::take(&mut self.entries);
                page::leaf_entries(node.bytes(), node.header.count, &mut entries).map_err(fault)?;
                let leaf = Leaf {
                    page: place.page,
                    bytes: node.bytes(),
                    entries: &entries,
                };
                let ends = entries.first().zip(entries.last());
                let ends = ends.map(|(first, last)| (leaf.key(*first), leaf.key(*last)));
                within(place, ends)?;
                visit.leaf(&leaf)?;
                self.entries = entries;
            }
            Some(Kind::Branch) => {
                let children =
                    page::branch_children(node.bytes(), node.header.count).map_err(fault)?;
                let key = |child: &Child| &node.bytes()[child.key()];
                within(
                    place,
                    children.first().map(key).zip(children.last().map(key)),
                )?;
                self.children(&node, &children, place, order, visit)?;
            }
            _ => return Err(fault("neither a branch nor a leaf")),
        }
        if node.buffer.len() <= KEEP_BUFFER {
            self.spare.push(node.buffer);
        }
        Ok(())
    }

    fn children(
        &mut self,
        node: &Node,
        children: &[Child],
        above: Place<'_>,
        order: Order,
        visit: &mut dyn Visit,
    ) -> Result<(), Fault> {
        for step in 0..children.len() {
            let i = if order == Order::Forward {
                step
            } else {
                children.len() - 1 - step
            };
            let next = children.get(i + 1).map(|next| &node.bytes()[next.key()]);
            let place = Place {
                page: children[i].page,
                depth: above.depth + 1,
                // The node, and its children decoded: as many bytes again at the most.
                held: above.held + 2 * node.length,
                low: &node.bytes()[children[i].key()],
                high: next.or(above.high),
            };
            self.node(place, order, visit)?;
        }
        Ok(())
    }

    /// Reads the node at `place`, having checked that it lies in the file and is new.
    fn load(&mut self, place: Place<'_>) -> Result<Node, Fault> {
        let page = place.page;
        let fault = |reason| Fault::Structure { page, reason };
        if place.depth > MAX_DEPTH {
            return Err(fault("the tree is too deep"));
        }
        if page >= self.pages.count {
            return Err(fault("beyond the last page in use"));
        }
        let size = self.pages.size;
        let offset = page * size as u64;
        let mut buffer = self.spare.pop().unwrap_or_default();
        grow(&mut buffer, size);
        self.pages.read(&mut buffer[..size], offset)?;
        let header = Header::read(&buffer).ok_or_else(|| fault("no page header"))?;
        if header.id != page {
            return Err(fault("the page has another page's number"));
        }
        let span = u64::from(header.overflow) + 1;
        if span > self.pages.count - page {
            return Err(fault("its overflow reaches beyond the last page in use"));
        }
        for covered in page..page + span {
            if !self.seen.set(covered) {
                return Err(fault("referenced more than once"));
            }
        }
        let length = usize::try_from(span)
            .ok()
            .and_then(|span| span.checked_mul(size));
        let length = length
            .filter(|length| place.held.saturating_add(*length) <= NODE_BUDGET)
            .ok_or(Fault::Limit("a node of the tree is larger than 64 MiB"))?;
        if length > size {
            grow(&mut buffer, length);
            self.pages
                .read(&mut buffer[size..length], offset + size as u64)?;
        }
        self.visited.fetch_add(span, Ordering::Relaxed);
        Ok(Node {
            header,
            buffer,
            length,
        })
    }

    /// Checks a list of free pages, where the file has one: each in bounds, none in use. To be called
    /// when every bucket has been visited.
    pub(super) fn freelist(&mut self, page: u64) -> Result<(), Fault> {
        if page == NO_FREELIST {
            return Ok(());
        }
        let node = self.load(Place {
            page,
            depth: 0,
            held: 0,
            low: &[],
            high: None,
        })?;
        let fault = |reason| Fault::Structure { page, reason };
        if node.header.kind() != Some(Kind::Freelist) {
            return Err(fault("not the freelist that the meta page says it is"));
        }
        let (start, count) = match node.header.count {
            u16::MAX => (
                HEADER + 8,
                page::u64_at(node.bytes(), HEADER).unwrap_or(u64::MAX),
            ),
            count => (HEADER, u64::from(count)),
        };
        let end = usize::try_from(count)
            .ok()
            .and_then(|count| count.checked_mul(8)?.checked_add(start));
        let ids = end
            .and_then(|end| node.bytes().get(start..end))
            .ok_or_else(|| fault("more free pages than the freelist can hold"))?;
        for id in ids.chunks_exact(8).filter_map(|id| page::u64_at(id, 0)) {
            if id >= self.pages.count || !self.seen.set(id) {
                return Err(fault("a page in use, or beyond the file, is called free"));
            }
        }
        Ok(())
    }
}

/// Checks that the first and the last key of a node lie where its parent says.
fn within(place: Place<'_>, ends: Option<(&[u8], &[u8])>) -> Result<(), Fault> {
    let Some((first, last)) = ends else {
        return Ok(());
    };
    if first < place.low || place.high.is_some_and(|high| last >= high) {
        return Err(Fault::Structure {
            page: place.page,
            reason: "its keys lie outside the range that its parent gives",
        });
    }
    Ok(())
}

fn grow(buffer: &mut Vec<u8>, length: usize) {
    if buffer.len() < length {
        buffer.resize(length, 0);
    }
}

/// Collects the buckets of the root.
struct Buckets {
    found: Vec<Bucket>,
    /// Bytes; bolt itself stops at a quarter of a page.
    longest_inline: usize,
    bytes: usize,
}

impl Visit for Buckets {
    fn leaf(&mut self, leaf: &Leaf<'_>) -> Result<(), Fault> {
        let fault = |reason| Fault::Structure {
            page: leaf.page,
            reason,
        };
        for entry in leaf.entries {
            let value = leaf.value(*entry);
            let root = page::u64_at(value, 0).filter(|_| entry.bucket && value.len() >= 16);
            self.bytes += entry.key().len();
            if root == Some(0) {
                self.bytes += value.len();
            }
            if self.bytes > MAX_BUCKET_BYTES {
                return Err(Fault::Limit(
                    "the buckets kept in the root take more than 2 MiB",
                ));
            }
            let root = match root {
                None => return Err(fault("the root holds something other than a bucket")),
                Some(0) if value.len() > self.longest_inline => {
                    return Err(fault("an inline bucket is larger than a page"));
                }
                Some(0) => Root::Inline(value[16..].to_vec()),
                Some(root) => Root::Page(root),
            };
            if self.found.len() == MAX_BUCKETS {
                return Err(Fault::NotEtcd(
                    "it has more than 64 buckets; etcd has ten".into(),
                ));
            }
            self.found.push(Bucket {
                name: leaf.key(*entry).to_vec(),
                page: leaf.page,
                root,
            });
        }
        Ok(())
    }
}

/// Refuses buckets within buckets, which etcd does not have.
struct PairsOnly<'a>(&'a mut dyn Visit);

impl Visit for PairsOnly<'_> {
    fn leaf(&mut self, leaf: &Leaf<'_>) -> Result<(), Fault> {
        if leaf.entries.iter().any(|entry| entry.bucket) {
            let reason = "a bucket within a bucket, which etcd never has";
            return Err(Fault::Structure {
                page: leaf.page,
                reason,
            });
        }
        self.0.leaf(leaf)
    }
}

/// One bit for each page.
struct Bitmap(Vec<u64>);

impl Bitmap {
    fn new(bits: u64) -> Self {
        // `bits` is at most MAX_PAGES.
        Self(vec![
            0;
            usize::try_from(bits.div_ceil(64)).unwrap_or_default()
        ])
    }

    /// Sets a bit; `false` if it was set, or is not there.
    fn set(&mut self, bit: u64) -> bool {
        let word = usize::try_from(bit / 64)
            .ok()
            .and_then(|word| self.0.get_mut(word));
        let mask = 1 << (bit % 64);
        match word {
            Some(word) if *word & mask == 0 => {
                *word |= mask;
                true
            }
            _ => false,
        }
    }
}
