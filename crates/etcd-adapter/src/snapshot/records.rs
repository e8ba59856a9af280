//! The `key` bucket: every revision of every key that etcd still has.
//!
//! # Counting live keys in little memory
//!
//! The bucket is ordered by revision, not by key, so whether a record is the newest of its key is only
//! known once all later ones were seen. The bucket is therefore read from its end: the first record
//! met of a key is its newest. What has to be remembered is a set of keys, kept as 64-bit
//! fingerprints (`SipHash` with keys drawn anew for each proof, so that no file can be made to collide):
//! at most 3,670,016 of them, in 34 MB (50 MB while the set grows). A store with more
//! keys is read again, once for each 3.4 million records, each time for the keys of one part of the
//! fingerprints, which leaves one bit for each record; and once more for the result. The odds that
//! any two keys share a fingerprint are `n²/2^65`: one in three million for 3.6 million keys. A shared
//! one would make the live count one too small, and the hashes wrong.
//!
//! # `HashKV`
//!
//! What etcd hashes (`server/storage/mvcc/hash.go`, `kvstore.go`, `index.go`; the rule for
//! tombstones since 3.4.34 and 3.5.16): `"key"`, then key and value of every record in order, but of
//! those at or below the compact revision only the ones that are still the newest of their key at
//! the revision asked for, unless no key is live at all; and never a tombstone exactly at the
//! compact revision. A server before those versions gives the same number, since it has no
//! tombstone there to hash.

use std::collections::BTreeMap;

use super::crc::Run;
use super::page::Entry;
use super::proto::KeyValue;
use super::seen::Seen;
use super::verdict::Fault;
use super::walk::{Bucket, Leaf, Order, Visit, Walk};

/// Keys whose fingerprints are held at one time: what a set of 2^22 places takes.
pub(super) const MAX_FINGERPRINTS: usize = (1 << 22) / 8 * 7;
/// Bytes of a database for each key that room is made for; keys in a denser one make the set grow.
const BYTES_PER_KEY: u64 = 128;
/// Records: one bit for each is 64 MiB.
const MAX_RECORDS: u64 = 1 << 29;
/// Kinds that are counted by name; the rest are counted together.
const MAX_KINDS: usize = 1024;
/// Bytes of a kind's name that are kept.
const MAX_KIND_NAME: usize = 253;
/// What kinds beyond [`MAX_KINDS`] are counted as.
const OTHER_KINDS: &str = "(other)";
const REGISTRY: &[u8] = b"/registry/";

/// A revision: of the store, and within the transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Revision {
    pub(super) main: i64,
    pub(super) sub: i64,
}

impl Revision {
    /// Reads `main_sub`, and whether it is marked as a tombstone; `None` if it is neither.
    pub(super) fn read(bytes: &[u8]) -> Option<(Self, bool)> {
        let (revision, mark) = bytes.split_at_checked(17)?;
        let number = |part: &[u8]| part.try_into().ok().map(i64::from_be_bytes);
        let revision = Self {
            main: number(&revision[..8])?,
            sub: number(&revision[9..])?,
        };
        let well_formed = bytes[8] == b'_' && revision.main >= 0 && revision.sub >= 0;
        match mark {
            [] if well_formed => Some((revision, false)),
            b"t" if well_formed => Some((revision, true)),
            _ => None,
        }
    }

    /// The key of a record at this revision.
    pub(super) fn key(self) -> [u8; 17] {
        let mut key = [b'_'; 17];
        key[..8].copy_from_slice(&self.main.to_be_bytes());
        key[9..].copy_from_slice(&self.sub.to_be_bytes());
        key
    }
}

/// The compactions that bucket `meta` tells of.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Compaction {
    pub(super) finished: Option<i64>,
    pub(super) scheduled: Option<i64>,
}

impl Compaction {
    /// The compact revision that etcd has in force, -1 for none: a scheduled compaction counts as
    /// soon as it is written down, unless it lies in the future, where etcd refuses it.
    fn in_force(self, revision: i64) -> i64 {
        let finished = self.finished.unwrap_or(-1);
        self.scheduled
            .filter(|rev| *rev <= revision)
            .map_or(finished, |rev| rev.max(finished))
    }

    /// The store's revision, given the newest record's.
    fn revision(self, newest: i64) -> i64 {
        newest.max(self.finished.unwrap_or(-1)).max(1)
    }
}

/// What the `key` bucket holds.
#[derive(Debug)]
pub(super) struct Records {
    /// Run of all pairs.
    pub(super) all: Run,
    pub(super) count: u64,
    pub(super) newest_record: i64,
    pub(super) revision: i64,
    pub(super) compact_revision: i64,
    pub(super) live: u64,
    pub(super) leased: u64,
    pub(super) registry: u64,
    pub(super) kinds: BTreeMap<String, u64>,
    /// What `HashKV` covers after the bucket's name.
    pub(super) hashed: Run,
    /// The live records alone.
    pub(super) survivors: Run,
}

impl Records {
    /// The store that etcd makes of a file without the bucket.
    pub(super) fn none(compaction: Compaction) -> Self {
        Survey::new(compaction, Newest::Unknown).finish()
    }
}

/// Reads the `key` bucket, holding at most `limit` fingerprints.
pub(super) fn survey(
    walk: &mut Walk<'_>,
    bucket: &Bucket,
    compaction: Compaction,
    limit: usize,
) -> Result<Records, Fault> {
    // Room for all from the start, so that the set need not be moved while it grows.
    let room = usize::try_from(walk.bytes() / BYTES_PER_KEY).unwrap_or(limit);
    let seen = Seen::with_room_for(room.min(limit));
    let mut survey = Survey::new(compaction, Newest::Seen { seen, limit });
    walk.bucket(bucket, Order::Reverse, &mut survey)?;
    if let Newest::Unknown = survey.newest_known {
        let bits = newest_of_many(walk, bucket, survey.count, limit)?;
        survey = Survey::new(compaction, Newest::Known(bits));
        walk.again().bucket(bucket, Order::Reverse, &mut survey)?;
    }
    Ok(survey.finish())
}

/// One bit for each record, from the last to the first: whether it is the newest of its key.
fn newest_of_many(
    walk: &mut Walk<'_>,
    bucket: &Bucket,
    records: u64,
    limit: usize,
) -> Result<Vec<u64>, Fault> {
    if records > MAX_RECORDS {
        return Err(Fault::Limit("the store has more than 2^29 records"));
    }
    // A sixteenth more than the records would fill: parts are never exactly equal.
    let parts = (records + records / 16)
        .div_ceil(limit.max(1) as u64)
        .max(1);
    let words = usize::try_from(records.div_ceil(64)).unwrap_or_default();
    let room = usize::try_from(records / parts).unwrap_or(limit);
    let mut marks = Marks {
        seen: Seen::with_room_for(room.min(limit)),
        part: 0,
        parts,
        at: 0,
        bits: vec![0; words],
    };
    for part in 0..parts {
        marks.seen.clear();
        (marks.part, marks.at) = (part, 0);
        walk.again().bucket(bucket, Order::Reverse, &mut marks)?;
    }
    Ok(marks.bits)
}

/// How it is known whether a record is the newest of its key.
enum Newest {
    /// By the keys of all later records.
    Seen { seen: Seen, limit: usize },
    /// Not at all: there were too many keys.
    Unknown,
    /// By a bit for each record, from the last to the first.
    Known(Vec<u64>),
}

impl Newest {
    /// Fingerprints of the keys in `leaf`, in its order; of none where they are not asked for.
    fn fingerprints(&self, leaf: &Leaf<'_>, into: &mut Vec<u64>) {
        into.clear();
        if let Self::Seen { seen, .. } = self {
            let records = leaf.entries.iter().map(|entry| leaf.value(*entry));
            into.extend(records.map(|record| {
                // What is no record is found out when its turn comes.
                let key = KeyValue::read(record).unwrap_or_default().key;
                seen.fingerprint(key)
            }));
            seen.expect(into);
        }
    }

    /// Whether the record whose key has this fingerprint, the `at`th from the end, is the newest of it.
    fn is_newest(&mut self, fingerprint: Option<u64>, at: u64) -> bool {
        match self {
            Self::Seen { seen, limit } => {
                let newest = fingerprint.is_some_and(|one| seen.insert(one));
                if seen.len() >= *limit {
                    *self = Self::Unknown;
                }
                newest
            }
            Self::Unknown => false,
            Self::Known(bits) => usize::try_from(at / 64)
                .ok()
                .and_then(|word| bits.get(word))
                .is_some_and(|word| word & 1 << (at % 64) != 0),
        }
    }
}

/// Finds the newest records of the keys in one part of the fingerprints.
struct Marks {
    seen: Seen,
    part: u64,
    parts: u64,
    at: u64,
    bits: Vec<u64>,
}

impl Visit for Marks {
    fn leaf(&mut self, leaf: &Leaf<'_>) -> Result<(), Fault> {
        for entry in leaf.entries.iter().rev() {
            let record = KeyValue::read(leaf.value(*entry)).unwrap_or_default();
            let fingerprint = self.seen.fingerprint(record.key);
            if part_of(fingerprint, self.parts) == self.part
                && self.seen.insert(fingerprint)
                && let Some(word) = usize::try_from(self.at / 64)
                    .ok()
                    .and_then(|word| self.bits.get_mut(word))
            {
                *word |= 1 << (self.at % 64);
            }
            self.at += 1;
        }
        Ok(())
    }
}

/// Which of `parts` a fingerprint is in, by bits that a set does not go by: it takes the lowest for the
/// place.
fn part_of(fingerprint: u64, parts: u64) -> u64 {
    (fingerprint >> 24 & 0xFFFF_FFFF) % parts
}

/// Which runs a record belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Part {
    /// It is hashed if some key is live.
    kept: bool,
    /// It is hashed if none is.
    untrimmed: bool,
    survivor: bool,
}

struct Survey {
    compaction: Compaction,
    newest_known: Newest,
    later: Option<Revision>,
    newest_record: i64,
    revision: i64,
    compact_revision: i64,
    count: u64,
    live: u64,
    kept_keys: u64,
    leased: u64,
    registry: u64,
    kinds: BTreeMap<String, u64>,
    all: Run,
    kept: Run,
    untrimmed: Run,
    survivors: Run,
    parts: Vec<Part>,
    fingerprints: Vec<u64>,
}

impl Survey {
    fn new(compaction: Compaction, newest_known: Newest) -> Self {
        let revision = compaction.revision(0);
        Self {
            compaction,
            newest_known,
            later: None,
            newest_record: 0,
            revision,
            compact_revision: compaction.in_force(revision),
            count: 0,
            live: 0,
            kept_keys: 0,
            leased: 0,
            registry: 0,
            kinds: BTreeMap::new(),
            all: Run::EMPTY,
            kept: Run::EMPTY,
            untrimmed: Run::EMPTY,
            survivors: Run::EMPTY,
            parts: Vec::new(),
            fingerprints: Vec::new(),
        }
    }

    fn finish(self) -> Records {
        Records {
            all: self.all,
            count: self.count,
            newest_record: self.newest_record,
            revision: self.revision,
            compact_revision: self.compact_revision,
            live: self.live,
            leased: self.leased,
            registry: self.registry,
            kinds: self.kinds,
            hashed: if self.kept_keys > 0 {
                self.kept
            } else {
                self.untrimmed
            },
            survivors: self.survivors,
        }
    }

    /// Takes in one record; records come from the last to the first.
    fn record(
        &mut self,
        leaf: &Leaf<'_>,
        entry: Entry,
        fingerprint: Option<u64>,
    ) -> Result<Part, Fault> {
        let (revision, tombstone) = self.revision_of(leaf, entry)?;
        let value = leaf.value(entry);
        let record = KeyValue::read(value)
            .ok_or_else(|| fault(leaf, revision, "its value is not a key-value record"))?;
        // A bumped revision is a record with no value at all.
        if !value.is_empty() && !tombstone && record.mod_revision != revision.main {
            return Err(fault(
                leaf,
                revision,
                "its value was written at another revision",
            ));
        }
        let live = self.newest_known.is_newest(fingerprint, self.count) && !tombstone;
        self.count += 1;
        if live {
            self.count_live(&record);
        }
        let compacted = revision.main <= self.compact_revision;
        let buried = tombstone && revision.main == self.compact_revision;
        Ok(Part {
            kept: (!compacted || live) && !buried,
            untrimmed: !buried,
            survivor: live && !record.key.is_empty(),
        })
    }

    fn revision_of(&mut self, leaf: &Leaf<'_>, entry: Entry) -> Result<(Revision, bool), Fault> {
        let Some((revision, tombstone)) = Revision::read(leaf.key(entry)) else {
            return Err(Fault::Meaning(format!(
                "page {}: a key that is not a revision",
                leaf.page
            )));
        };
        // etcd reads revisions from 1 on: it would not find this one.
        if revision.main == 0 {
            return Err(fault(leaf, revision, "etcd has no revision 0"));
        }
        match self.later {
            None => {
                self.newest_record = revision.main;
                self.revision = self.compaction.revision(revision.main);
                self.compact_revision = self.compaction.in_force(self.revision);
            }
            Some(later) if later <= revision => {
                return Err(fault(leaf, revision, "there are two records of it"));
            }
            Some(_) => {}
        }
        self.later = Some(revision);
        Ok((revision, tombstone))
    }

    fn count_live(&mut self, record: &KeyValue<'_>) {
        self.kept_keys += 1;
        if record.key.is_empty() {
            return;
        }
        self.live += 1;
        self.leased += u64::from(record.lease != 0);
        if let Some(rest) = record.key.strip_prefix(REGISTRY) {
            self.registry += 1;
            let name = kind(rest);
            if let Some(count) = self.kinds.get_mut(&*name) {
                *count += 1;
            } else if self.kinds.len() < MAX_KINDS {
                self.kinds.insert(name.into_owned(), 1);
            } else {
                *self.kinds.entry(OTHER_KINDS.into()).or_default() += 1;
            }
        }
    }
}

impl Visit for Survey {
    fn leaf(&mut self, leaf: &Leaf<'_>) -> Result<(), Fault> {
        let mut parts = std::mem::take(&mut self.parts);
        parts.clear();
        let mut fingerprints = std::mem::take(&mut self.fingerprints);
        self.newest_known.fingerprints(leaf, &mut fingerprints);
        for (i, entry) in leaf.entries.iter().enumerate().rev() {
            parts.push(self.record(leaf, *entry, fingerprints.get(i).copied())?);
        }
        self.fingerprints = fingerprints;
        parts.reverse();
        let whole = leaf.run(|_| true);
        let select = |chosen: fn(Part) -> bool| {
            if parts.iter().all(|part| chosen(*part)) {
                whole
            } else {
                leaf.run(|i| chosen(parts[i]))
            }
        };
        self.all.prepend(whole);
        self.kept.prepend(select(|part| part.kept));
        self.untrimmed.prepend(select(|part| part.untrimmed));
        self.survivors.prepend(select(|part| part.survivor));
        self.parts = parts;
        Ok(())
    }
}

fn fault(leaf: &Leaf<'_>, revision: Revision, reason: &str) -> Fault {
    let Revision { main, sub } = revision;
    Fault::Meaning(format!(
        "page {}, revision {main} sub {sub}: {reason}",
        leaf.page
    ))
}

/// The kind of the object that Kubernetes keeps under `/registry/` + `rest`: the first part of the
/// path, and the second too where the first is an API group (`apps.example.com/things`) or
/// `services` (`services/specs`, `services/endpoints`).
fn kind(rest: &[u8]) -> std::borrow::Cow<'_, str> {
    let mut ends = rest
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == b'/')
        .map(|(at, _)| at);
    let first = ends.next().unwrap_or(rest.len());
    let grouped = rest[..first].contains(&b'.') || &rest[..first] == b"services";
    let end = if grouped {
        ends.next().unwrap_or(first)
    } else {
        first
    };
    String::from_utf8_lossy(&rest[..end.min(MAX_KIND_NAME)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_named_as_kubernetes_stores_them() {
        assert_eq!(kind(b"pods/default/a"), "pods");
        assert_eq!(kind(b"services/specs/default/a"), "services/specs");
        assert_eq!(
            kind(b"apiextensions.k8s.io/customresourcedefinitions/a.b.c"),
            "apiextensions.k8s.io/customresourcedefinitions",
        );
        assert_eq!(kind(b"ranges"), "ranges");
        assert_eq!(kind(b"cert.example/lonely"), "cert.example");
        assert_eq!(kind(b""), "");
        assert_eq!(kind(&[b'x'; 4000]).len(), MAX_KIND_NAME);
    }

    #[test]
    fn revisions_are_read_as_etcd_writes_them() {
        let revision = Revision { main: 7, sub: 3 };
        let mut key = revision.key().to_vec();
        assert_eq!(Revision::read(&key), Some((revision, false)));
        key.push(b't');
        assert_eq!(Revision::read(&key), Some((revision, true)));
        key[17] = b'u';
        assert_eq!(Revision::read(&key), None);
        assert_eq!(Revision::read(&key[..16]), None);
        assert_eq!(Revision::read(&[0xFF; 17]), None);
    }

    #[test]
    fn a_scheduled_compaction_counts_unless_it_lies_ahead() {
        let compaction = |finished, scheduled| Compaction {
            finished,
            scheduled,
        };
        assert_eq!(compaction(None, None).in_force(9), -1);
        assert_eq!(compaction(Some(3), Some(3)).in_force(9), 3);
        assert_eq!(compaction(Some(3), Some(7)).in_force(9), 7);
        assert_eq!(compaction(Some(3), Some(10)).in_force(9), 3);
    }
}
