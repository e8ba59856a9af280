//! The stores: the same keys and values in each run, through a real etcd.

use std::fs;
use std::path::{Path, PathBuf};

use crate::member::{Member, Release};
use crate::size;
use crate::workload::{Dice, bulk};

/// Bytes of values in a transaction's pair at most: etcd takes 1.5 MiB in one, and a hundred pairs go together.
const LARGEST: u64 = 12_000;

pub(crate) struct Store {
    pub(crate) name: String,
    kind: Kind,
    bytes: u64,
}

#[derive(Clone, Copy)]
enum Kind {
    /// As Kubernetes fills one: objects of some kilobytes, many of them written again and again.
    Objects,
    /// Leases and events: many small records, which is more work for each byte.
    Small,
}

impl Store {
    pub(crate) fn named(name: &str) -> Option<Self> {
        let (kind, gigabytes) = name.split_once('-')?;
        let kind = match kind {
            "objects" => Kind::Objects,
            "small" => Kind::Small,
            _ => return None,
        };
        let bytes = gigabytes.parse::<u64>().ok()?.checked_mul(1_000_000_000)?;
        Some(Self {
            name: name.to_owned(),
            kind,
            bytes,
        })
    }

    /// Whether the page cache can keep it beside what etcd's tools map, and disks can.
    pub(crate) fn fits(&self) -> Result<(), String> {
        let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let available = memory
            .lines()
            .find_map(|line| line.strip_prefix("MemAvailable:"))
            .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok())
            .map_or(0, |kib| kib * 1024);
        if available < 2 * self.bytes {
            let gb = available / 1_000_000_000;
            return Err(format!(
                "only {gb} GB of memory are available, and it wants twice its size"
            ));
        }
        Ok(())
    }

    /// The snapshot, made now unless it is there.
    pub(crate) fn snapshot(&self, release: &Release) -> PathBuf {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench");
        fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join(format!("{}.db", self.name));
        if size(&path) < self.bytes / 2 {
            let flags = ["--quota-backend-bytes", "8589934592", "--unsafe-no-fsync"];
            let member = Member::start_in(&folder, release, &flags);
            member.client(async |client| bulk(client, self.pairs()).await);
            let made = member.save("snapshot.db");
            fs::rename(made, &path).expect("a name");
        }
        path
    }

    fn pairs(&self) -> impl Iterator<Item = (String, Vec<u8>)> {
        let mut dice = Dice::new(self.bytes);
        let kind = self.kind;
        // What a record takes besides its value; the space that pages leave free comes on top.
        let overhead = match kind {
            Kind::Objects => 900,
            Kind::Small => 120,
        };
        let mut left = self.bytes;
        let mut number = 0;
        std::iter::from_fn(move || {
            number += 1;
            let (key, length) = match kind {
                Kind::Objects => object(&mut dice, number),
                Kind::Small => (format!("/registry/events/default/e{number:08}"), 250),
            };
            left = left.checked_sub(length + overhead)?;
            Some((key, dice.bytes(usize::try_from(length).unwrap_or_default())))
        })
    }
}

/// One of seven in ten is new; the others are an older object, or a lease that is renewed.
fn object(dice: &mut Dice, number: u64) -> (String, u64) {
    let length = match dice.below(20) {
        0 => 4000 + dice.below(LARGEST - 4000),
        1..5 => 300,
        _ => 1000 + dice.below(2000),
    };
    match dice.below(10) {
        0 => (
            format!("/registry/leases/kube-node-lease/n{}", dice.below(500)),
            length,
        ),
        1 | 2 => (
            format!("/registry/pods/default/p{}", dice.below(number)),
            length,
        ),
        _ => (format!("/registry/pods/default/p{number}"), length),
    }
}
