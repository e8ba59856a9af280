//! The watcher: outside the tool, throughout a test, it asks every client port how many keys it serves.
//!
//! The one disaster worse than a lost etcd is one that answers with less than it should. The watcher reads
//! *serializably*, so it hears a member that has no quorum as well, and remembers the least it heard.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use etcd_client::{Client, GetOptions};
use jiff::Timestamp;
use tokio::runtime::Builder;
use tokio_util::sync::CancellationToken;

use crate::error::{IoContext as _, Result};
use crate::etcd::{EtcdAccess, at};
use crate::head::enter_network;
use crate::layout::Node;

/// The pause between two looks at a member; an etcd that is up for less is up for nobody.
const PAUSE: Duration = Duration::from_millis(20);
/// How long one look may take. A node that is off lets a connection wait until this is over, so it is also how
/// long the watcher can be blind for one that is just coming up.
const PATIENCE: Duration = Duration::from_secs(1);

/// The least number of keys an etcd may answer with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Armed {
    /// Of all keys.
    pub keys: i64,
    /// Of those below `/registry/`.
    pub registry: i64,
}

/// The least a member answered with since the watcher was armed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// How often it answered.
    pub answers: u64,
    /// The fewest keys, and when.
    pub keys: (i64, Timestamp),
    /// The fewest keys below `/registry/`, and when.
    pub registry: (i64, Timestamp),
}

/// An etcd answered with fewer keys than it may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breach {
    /// What was the least that was allowed.
    pub armed: Armed,
    /// Who answered with less.
    pub guilty: Vec<(Node, Seen)>,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Armed { keys, registry } = self.armed;
        write!(
            f,
            "an etcd answered with less than {keys} keys or {registry} below /registry/:"
        )?;
        for (node, seen) in &self.guilty {
            let ((keys, when), (registry, when_registry)) = (seen.keys, seen.registry);
            write!(
                f,
                "\n  {node}: {keys} keys at {when}, {registry} below /registry/ at {when_registry}"
            )?;
        }
        Ok(())
    }
}

impl std::error::Error for Breach {}

#[derive(Debug, Default)]
struct Record {
    armed: Option<Armed>,
    seen: BTreeMap<Node, Seen>,
    /// The watcher itself failed; no verdict may be trusted then.
    broken: Option<String>,
}

/// A watcher at work. Dropping it ends it.
#[derive(Debug)]
pub struct Watcher {
    record: Arc<Mutex<Record>>,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Watcher {
    /// Starts to watch all nodes of a lab.
    pub fn start(access: EtcdAccess) -> Self {
        let record = Arc::new(Mutex::new(Record::default()));
        let stop = CancellationToken::new();
        let (its_record, its_stop) = (Arc::clone(&record), stop.clone());
        let thread = thread::spawn(move || {
            if let Err(e) = watch(&access, &its_record, &its_stop) {
                lock(&its_record).broken = Some(e.to_string());
            }
        });
        Self {
            record,
            stop,
            thread: Some(thread),
        }
    }

    /// From now on, answers count, and none may hold fewer keys than this.
    pub fn arm(&self, least: Armed) {
        let mut record = lock(&self.record);
        record.armed = Some(least);
        record.seen.clear();
    }

    /// What was seen of each node that answered since the watcher was armed.
    pub fn seen(&self) -> BTreeMap<Node, Seen> {
        lock(&self.record).seen.clone()
    }

    /// Whether all answers since the watcher was armed held enough keys.
    ///
    /// # Errors
    /// Which node answered with less, when, and how many.
    ///
    /// # Panics
    /// When the watcher was never armed or has failed itself: then nothing was watched.
    pub fn verdict(&self) -> Result<(), Breach> {
        let record = lock(&self.record);
        assert!(
            record.broken.is_none(),
            "the watcher failed: {:?}",
            record.broken
        );
        let Some(armed) = record.armed else {
            panic!("the watcher was never armed")
        };
        let guilty: Vec<_> = record
            .seen
            .iter()
            .filter(|(_, seen)| seen.keys.0 < armed.keys || seen.registry.0 < armed.registry)
            .map(|(node, seen)| (*node, *seen))
            .collect();
        if guilty.is_empty() {
            Ok(())
        } else {
            Err(Breach { armed, guilty })
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            // A panic in it was a failed look; the verdict is the place to hear of that.
            let _ = thread.join();
        }
    }
}

fn lock(record: &Mutex<Record>) -> MutexGuard<'_, Record> {
    record.lock().unwrap_or_else(PoisonError::into_inner)
}

fn watch(access: &EtcdAccess, record: &Mutex<Record>, stop: &CancellationToken) -> Result<()> {
    enter_network(access.namespace())?;
    let here = PathBuf::from("the watcher");
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .on("start a runtime for", here)?;
    let all = access
        .nodes()
        .iter()
        .map(|node| follow(access, *node, record));
    runtime.block_on(async {
        tokio::select! {
            never = futures_util::future::try_join_all(all) => never.map(drop),
            () = stop.cancelled() => Ok(()),
        }
    })
}

/// Looks at one member again and again; it ends only when it cannot look at all.
async fn follow(access: &EtcdAccess, node: Node, record: &Mutex<Record>) -> Result<()> {
    loop {
        let mut client = access.client(node, PATIENCE).await?;
        // A connection to a member that went away is given up, lest it wait out a long back-off.
        while let Ok((keys, registry)) = look(&mut client, node).await {
            note(&mut lock(record), node, keys, registry);
            tokio::time::sleep(PAUSE).await;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn look(client: &mut Client, node: Node) -> Result<(i64, i64)> {
    let count = || GetOptions::new().with_count_only().with_serializable();
    let all = client
        .get(vec![0], Some(count().with_from_key()))
        .await
        .map_err(at(node, "count"))?;
    let registry = client
        .get("/registry/", Some(count().with_prefix()))
        .await
        .map_err(at(node, "count"))?;
    Ok((all.count(), registry.count()))
}

fn note(record: &mut Record, node: Node, keys: i64, registry: i64) {
    if record.armed.is_none() {
        return;
    }
    let now = Timestamp::now();
    let first = Seen {
        answers: 0,
        keys: (keys, now),
        registry: (registry, now),
    };
    let seen = record.seen.entry(node).or_insert(first);
    seen.answers += 1;
    if keys < seen.keys.0 {
        seen.keys = (keys, now);
    }
    if registry < seen.registry.0 {
        seen.registry = (registry, now);
    }
}
