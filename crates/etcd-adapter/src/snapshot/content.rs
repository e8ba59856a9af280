//! The walk over the whole database, bucket by bucket.

use std::sync::atomic::AtomicU64;

use super::crc::Run;
use super::file::Pages;
use super::layout::Layout;
use super::meaning::{Meaning, Surroundings};
use super::records;
use super::verdict::Fault;
use super::walk::{Bucket, Order, Walk};

/// What the walk gives.
pub(super) struct Content {
    /// CRC-32C of the name and the pairs of each bucket, in order (`etcdutl/snapshot/v3_snapshot.go`).
    pub(super) status_hash: u32,
    pub(super) total_key: u64,
    pub(super) meaning: Meaning,
}

impl Content {
    /// Reads the database, holding at most `fingerprints` of keys, and counting pages in `visited`.
    pub(super) fn read(
        pages: &Pages<'_>,
        layout: &Layout,
        fingerprints: usize,
        visited: &AtomicU64,
    ) -> Result<Self, Fault> {
        let mut walk = Walk::new(pages, visited)?;
        let buckets = walk.buckets(layout.meta.root)?;
        let named = |name: &[u8]| buckets.iter().position(|bucket| bucket.name == name);
        let keys = named(b"key");
        if keys.or(named(b"meta")).is_none() {
            let reason = "a bolt database, but without etcd's buckets";
            return Err(Fault::NotEtcd(reason.into()));
        }
        let mut surroundings = Surroundings::default();
        let mut runs = vec![Run::EMPTY; buckets.len()];
        let mut total_key = 0;
        for (bucket, run) in buckets.iter().zip(&mut runs) {
            if bucket.name != b"key" {
                let mut reader = surroundings.reader(&bucket.name);
                walk.bucket(bucket, Order::Forward, &mut reader)?;
                *run = reader.run;
                total_key += reader.pairs;
            }
        }
        // The keys come last, when the compact revision is known.
        let mut records = None;
        if let Some(at) = keys {
            let compaction = surroundings.compaction;
            let found = records::survey(&mut walk, &buckets[at], compaction, fingerprints)?;
            runs[at] = found.all;
            total_key += found.count;
            records = Some(found);
        }
        walk.freelist(layout.meta.freelist)?;
        Ok(Self {
            status_hash: status_hash(&buckets, &runs),
            total_key,
            meaning: surroundings.meaning(records),
        })
    }
}

fn status_hash(buckets: &[Bucket], runs: &[Run]) -> u32 {
    let mut status = Run::EMPTY;
    for (bucket, run) in buckets.iter().zip(runs) {
        status = status.then(Run::of(&bucket.name)).then(*run);
    }
    status.crc()
}
