//! Structural damage under a hash made anew: each rule of the format, broken one at a time.
#![expect(
    clippy::semicolon_if_nothing_returned,
    reason = "a table, with one expression for each rule"
)]

use crate::kit::{Forgery, HIGH_WATER, PAGE, ROOT, code_of, proof_of_bytes};

/// Has branches, inline buckets, and a bucket whose root is a page.
const SNAPSHOT: &str = "deep-3.5.30.db";

const HEADER: usize = 16;
const ELEMENT: usize = 16;

/// Offsets in a page's header.
const ID: usize = 0;
const FLAGS: usize = 8;
const COUNT: usize = 10;
const OVERFLOW: usize = 12;

/// Offsets in a leaf's element.
const POSITION: usize = 4;
const KEY_SIZE: usize = 8;
const VALUE_SIZE: usize = 12;
/// Offsets in a branch's element, whose first field is the position.
const CHILD: usize = 8;

/// The places in [`SNAPSHOT`] that are damaged.
struct Tree {
    bytes: Forgery,
    /// Offset of the leaf that names the buckets.
    root: usize,
    /// Offset of the branch over the keys.
    branch: usize,
    /// Offset of its first leaf.
    leaf: usize,
}

impl Tree {
    fn whole() -> Self {
        let bytes = Forgery::of(SNAPSHOT);
        let page = |number: u64| usize::try_from(number).expect("a page") * PAGE;
        let root = page(bytes.in_meta(ROOT));
        let mut tree = Self {
            bytes,
            root,
            branch: 0,
            leaf: 0,
        };
        let key = tree.value_of(b"key");
        tree.branch = page(tree.u64_at(key));
        tree.leaf = page(tree.u64_at(element(tree.branch, 0) + CHILD));
        assert_eq!(tree.u16_at(tree.branch + FLAGS), 1);
        assert_eq!(tree.u16_at(tree.leaf + FLAGS), 2);
        tree
    }

    fn field<const N: usize>(&self, at: usize) -> [u8; N] {
        self.bytes.0[at..at + N].try_into().expect("a field")
    }

    fn u16_at(&self, at: usize) -> u16 {
        u16::from_le_bytes(self.field(at))
    }

    fn u32_at(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.field(at))
    }

    fn u64_at(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.field(at))
    }

    fn set(&mut self, at: usize, field: &[u8]) {
        self.bytes.0[at..at + field.len()].copy_from_slice(field);
    }

    fn set_u16(&mut self, at: usize, value: u16) {
        self.set(at, &value.to_le_bytes());
    }

    fn set_u32(&mut self, at: usize, value: u32) {
        self.set(at, &value.to_le_bytes());
    }

    fn set_u64(&mut self, at: usize, value: u64) {
        self.set(at, &value.to_le_bytes());
    }

    /// Offset of the element that names a bucket.
    fn bucket(&self, name: &[u8]) -> usize {
        let count = usize::from(self.u16_at(self.root + COUNT));
        let named = |at: &usize| {
            let key = at + self.u32_at(at + POSITION) as usize;
            self.bytes.0[key..].starts_with(name)
                && self.u32_at(at + KEY_SIZE) as usize == name.len()
        };
        (0..count)
            .map(|i| element(self.root, i))
            .find(named)
            .expect("a bucket")
    }

    /// Offset of a bucket's value: the page of its root, or 0 and, 16 bytes on, an inline page.
    fn value_of(&self, name: &[u8]) -> usize {
        let at = self.bucket(name);
        at + self.u32_at(at + POSITION) as usize + self.u32_at(at + KEY_SIZE) as usize
    }

    /// Offset of an inline bucket's page.
    fn inline(&self) -> usize {
        let at = self.value_of(b"meta");
        assert_eq!(self.u64_at(at), 0, "bucket meta is inline");
        at + 16
    }

    fn swap_elements(&mut self, page: usize, size: usize) {
        // Positions count from their own element.
        let (one, two) = (element(page, 0), element(page, 1));
        let (first, second) = (self.field::<ELEMENT>(one), self.field::<ELEMENT>(two));
        self.set(one, &second);
        self.set(two, &first);
        let step = u32::try_from(ELEMENT).expect("small");
        self.set_u32(one + size, self.u32_at(one + size) + step);
        self.set_u32(two + size, self.u32_at(two + size) - step);
    }
}

fn element(page: usize, i: usize) -> usize {
    page + HEADER + i * ELEMENT
}

type Damage = (&'static str, fn(&mut Tree));

const HEADERS: &[Damage] = &[
    ("a leaf with another number", |t| t.set_u64(t.leaf + ID, 7)),
    ("a branch with another number", |t| {
        t.set_u64(t.branch + ID, 7)
    }),
    ("a root with another number", |t| t.set_u64(t.root + ID, 7)),
    ("no kind", |t| t.set_u16(t.leaf + FLAGS, 0)),
    ("two kinds", |t| t.set_u16(t.leaf + FLAGS, 3)),
    ("a meta in the tree", |t| t.set_u16(t.leaf + FLAGS, 4)),
    ("a freelist in the tree", |t| {
        t.set_u16(t.leaf + FLAGS, 0x10)
    }),
    ("an unknown kind", |t| t.set_u16(t.branch + FLAGS, 0x20)),
    ("a leaf called a branch", |t| t.set_u16(t.leaf + FLAGS, 1)),
    ("a branch called a leaf", |t| t.set_u16(t.branch + FLAGS, 2)),
    ("more pairs than fit", |t| {
        t.set_u16(t.leaf + COUNT, u16::MAX)
    }),
    ("one pair too many", |t| {
        t.set_u16(t.leaf + COUNT, t.u16_at(t.leaf + COUNT) + 1)
    }),
    ("more children than fit", |t| {
        t.set_u16(t.branch + COUNT, u16::MAX)
    }),
    ("one child too many", |t| {
        t.set_u16(t.branch + COUNT, t.u16_at(t.branch + COUNT) + 1)
    }),
    ("no children", |t| t.set_u16(t.branch + COUNT, 0)),
    ("more buckets than there are", |t| {
        t.set_u16(t.root + COUNT, 40)
    }),
    ("an overflow over other pages", |t| {
        t.set_u32(t.branch + OVERFLOW, 30)
    }),
    ("an overflow past the end", |t| {
        t.set_u32(t.leaf + OVERFLOW, 1000)
    }),
    ("the largest overflow", |t| {
        t.set_u32(t.leaf + OVERFLOW, u32::MAX)
    }),
];

const ELEMENTS: &[Damage] = &[
    ("a pair over the table", |t| {
        t.set_u32(element(t.leaf, 0) + POSITION, 0)
    }),
    ("a pair over another", |t| {
        t.set_u32(
            element(t.leaf, 1) + POSITION,
            t.u32_at(element(t.leaf, 0) + POSITION) - 16,
        )
    }),
    ("a pair past the end", |t| {
        t.set_u32(element(t.leaf, 0) + POSITION, 5000)
    }),
    ("a pair at the farthest place", |t| {
        t.set_u32(element(t.leaf, 0) + POSITION, u32::MAX)
    }),
    ("a long key", |t| {
        t.set_u32(element(t.leaf, 0) + KEY_SIZE, 5000)
    }),
    ("the longest key", |t| {
        t.set_u32(element(t.leaf, 0) + KEY_SIZE, u32::MAX)
    }),
    ("a key one too long", |t| {
        t.set_u32(element(t.leaf, 0) + KEY_SIZE, 18)
    }),
    ("a long value", |t| {
        t.set_u32(element(t.leaf, 0) + VALUE_SIZE, 5000)
    }),
    ("the longest value", |t| {
        t.set_u32(element(t.leaf, 0) + VALUE_SIZE, u32::MAX)
    }),
    ("a value one too long", |t| {
        t.set_u32(
            element(t.leaf, 0) + VALUE_SIZE,
            t.u32_at(element(t.leaf, 0) + VALUE_SIZE) + 1,
        )
    }),
    ("unknown flags of a pair", |t| {
        t.set_u32(element(t.leaf, 0), 2)
    }),
    ("pairs in the wrong order", |t| {
        t.swap_elements(t.leaf, POSITION)
    }),
    ("children in the wrong order", |t| {
        t.swap_elements(t.branch, 0)
    }),
    ("a child's key over the table", |t| {
        t.set_u32(element(t.branch, 0), 0)
    }),
    ("a child's key past the end", |t| {
        t.set_u32(element(t.branch, 0), 5000)
    }),
    ("the longest key of a child", |t| {
        t.set_u32(element(t.branch, 0) + 4, u32::MAX)
    }),
    ("a child's keys below its range", |t| {
        let key = element(t.branch, 0) + t.u32_at(element(t.branch, 0)) as usize;
        // The low bytes of the first revision: one more than it is.
        t.bytes.0[key + 7] += 1;
    }),
    ("a child's keys above its range", |t| {
        let last = element(t.leaf, usize::from(t.u16_at(t.leaf + COUNT)) - 1);
        let key = last + t.u32_at(last + POSITION) as usize;
        t.bytes.0[key + 5] = 1;
    }),
];

const REFERENCES: &[Damage] = &[
    ("a child twice", |t| {
        t.set_u64(
            element(t.branch, 0) + CHILD,
            t.u64_at(element(t.branch, 1) + CHILD),
        )
    }),
    ("a branch under itself", |t| {
        t.set_u64(element(t.branch, 0) + CHILD, (t.branch / PAGE) as u64)
    }),
    ("the root under a branch", |t| {
        t.set_u64(element(t.branch, 0) + CHILD, (t.root / PAGE) as u64)
    }),
    ("a meta as a child", |t| {
        t.set_u64(element(t.branch, 0) + CHILD, 1)
    }),
    ("a child just beyond the end", |t| {
        t.set_u64(element(t.branch, 0) + CHILD, t.bytes.in_meta(HIGH_WATER))
    }),
    ("a child at the farthest page", |t| {
        t.set_u64(element(t.branch, 0) + CHILD, u64::MAX)
    }),
    ("a bucket beyond the end", |t| {
        t.set_u64(t.value_of(b"key"), t.bytes.in_meta(HIGH_WATER))
    }),
    ("a bucket at the farthest page", |t| {
        t.set_u64(t.value_of(b"key"), u64::MAX)
    }),
    ("a bucket in a meta", |t| t.set_u64(t.value_of(b"key"), 1)),
    ("a bucket in the root of all", |t| {
        t.set_u64(t.value_of(b"key"), (t.root / PAGE) as u64)
    }),
    ("two buckets in one tree", |t| {
        t.set_u64(t.value_of(b"meta"), (t.branch / PAGE) as u64)
    }),
    ("a bucket that is a pair", |t| {
        t.set_u32(t.bucket(b"key"), 0)
    }),
    ("a bucket of unknown flags", |t| {
        t.set_u32(t.bucket(b"key"), 3)
    }),
    ("half a bucket", |t| {
        t.set_u32(t.bucket(b"key") + VALUE_SIZE, 8)
    }),
    ("a bucket among the keys", |t| {
        t.set_u32(element(t.leaf, 0), 1)
    }),
    ("a bucket in an inline bucket", |t| {
        t.set_u32(element(t.inline(), 0), 1)
    }),
    ("an inline branch", |t| t.set_u16(t.inline() + FLAGS, 1)),
    ("an inline bucket with overflow", |t| {
        t.set_u32(t.inline() + OVERFLOW, 1)
    }),
    ("an inline bucket of too many pairs", |t| {
        t.set_u16(t.inline() + COUNT, 500)
    }),
    ("an inline pair past the end", |t| {
        t.set_u32(element(t.inline(), 0) + VALUE_SIZE, 500)
    }),
    ("an inline bucket without a page", |t| {
        t.set_u32(t.bucket(b"meta") + VALUE_SIZE, 20)
    }),
    ("a root that is a branch of the keys", |t| {
        t.bytes.set_in_metas(ROOT, (t.branch / PAGE) as u64)
    }),
    ("a root that is a leaf of the keys", |t| {
        t.bytes.set_in_metas(ROOT, (t.leaf / PAGE) as u64)
    }),
];

#[test]
fn every_broken_rule_is_structural_damage() {
    let whole = Tree::whole().bytes;
    assert_eq!(code_of(&proof_of_bytes(&whole.sealed())), "good");
    for (name, damage) in [HEADERS, ELEMENTS, REFERENCES].into_iter().flatten() {
        let mut tree = Tree::whole();
        damage(&mut tree);
        assert!(tree.bytes.0 != whole.0, "{name}: nothing was changed");
        let verdict = proof_of_bytes(&tree.bytes.sealed());
        assert_eq!(code_of(&verdict), "structure-damaged", "{name}");
    }
}

/// What no meta says, and what no page may be.
#[test]
fn every_byte_of_both_metas_counts() {
    let whole = Forgery::of(SNAPSHOT);
    for meta in [0, PAGE] {
        for at in meta + FLAGS..meta + HEADER + 64 {
            // Count and overflow of a meta page mean nothing.
            if (COUNT..HEADER).contains(&(at - meta)) {
                continue;
            }
            let mut forgery = Forgery(whole.0.clone());
            forgery.0[at] ^= 0x10;
            let verdict = proof_of_bytes(&forgery.sealed());
            assert_eq!(code_of(&verdict), "structure-damaged", "byte {at}");
        }
    }
}
