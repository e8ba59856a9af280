//! etcd as a client sees it: loading, counting, comparing.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use etcd_client::{
    Certificate, Client, ConnectOptions, GetOptions, Identity, TlsOptions, Txn, TxnOp,
};
use futures_util::future::try_join_all;
use sha2::{Digest as _, Sha256};
use tokio::runtime::Builder;

use crate::error::{Error, IoContext as _, Result};
use crate::head::enter_network;
use crate::layout::{Layout, Node};
use crate::pki::Pki;
use crate::run::Wait;

/// Operations of one transaction; etcd allows 128.
const BATCH: usize = 100;
/// Keys of one page of a dump.
const PAGE: i64 = 2_000;

/// What it takes to speak to the lab's etcd from outside: its network, its certificates.
#[derive(Debug, Clone)]
pub struct EtcdAccess {
    pki: Pki,
    nodes: Vec<Node>,
    namespace: PathBuf,
}

/// What `HashKV` says of one member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberHash {
    /// Whose.
    pub node: Node,
    /// The hash over all keys and revisions.
    pub hash: u32,
    /// The revision it was taken at.
    pub revision: i64,
}

/// All keys of an etcd with a digest of each value, to be compared.
#[derive(Clone, PartialEq, Eq)]
pub struct Dump {
    /// Key to SHA-256 of its value.
    pub keys: BTreeMap<Vec<u8>, [u8; 32]>,
}

impl fmt::Debug for Dump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dump({} keys)", self.keys.len())
    }
}

impl Dump {
    /// What `other` lacks, has besides, or holds with another value; at most `limit` lines.
    pub fn differences(&self, other: &Self, limit: usize) -> Vec<String> {
        let show = |key: &[u8]| String::from_utf8_lossy(key).into_owned();
        let lost = self
            .keys
            .iter()
            .filter_map(|(key, value)| match other.keys.get(key) {
                None => Some(format!("lost {}", show(key))),
                Some(found) if found != value => Some(format!("changed {}", show(key))),
                Some(_) => None,
            });
        let new = other
            .keys
            .keys()
            .filter(|key| !self.keys.contains_key(*key));
        lost.chain(new.map(|key| format!("new {}", show(key))))
            .take(limit)
            .collect()
    }
}

impl EtcdAccess {
    pub(crate) fn new(layout: &Layout, nodes: Vec<Node>, namespace: PathBuf) -> Self {
        Self {
            pki: Pki::of(layout),
            nodes,
            namespace,
        }
    }

    /// The nodes it knows.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The head node's network namespace.
    pub(crate) fn namespace(&self) -> &Path {
        &self.namespace
    }

    /// Runs `work` on a thread of its own in the head node's network, which is where etcd can be reached.
    ///
    /// # Errors
    /// When the network is gone, or `work` fails.
    pub fn block_on<T, F>(&self, work: impl FnOnce() -> F + Send) -> Result<T>
    where
        T: Send,
        F: Future<Output = Result<T>>,
    {
        thread::scope(|scope| {
            let thread = scope.spawn(|| {
                enter_network(&self.namespace)?;
                let runtime = Builder::new_current_thread().enable_all().build();
                runtime
                    .on("start a runtime in", &self.namespace)?
                    .block_on(work())
            });
            thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// A client of one member. It connects when it is first used, from the thread that does so.
    ///
    /// # Errors
    /// When the certificates cannot be read.
    pub async fn client(&self, node: Node, patience: Duration) -> Result<Client> {
        let read = |path: PathBuf| fs::read(&path).on("read", &path);
        let (certificate, key) = self.pki.client();
        let tls = TlsOptions::new()
            .ca_certificate(Certificate::from_pem(read(self.pki.ca())?))
            .identity(Identity::from_pem(read(certificate)?, read(key)?));
        let options = ConnectOptions::new()
            .with_tls(tls)
            .with_connect_timeout(patience)
            .with_timeout(patience);
        Client::connect([node.client_url()], Some(options))
            .await
            .map_err(at(node, "connect"))
    }

    async fn patient(&self, node: Node) -> Result<Client> {
        self.client(node, Duration::from_secs(30)).await
    }

    fn any(&self) -> Node {
        self.nodes[0]
    }

    /// Waits until all members are one cluster with a leader, and each answers a linearizable read.
    ///
    /// # Errors
    /// When that does not happen.
    pub fn wait_healthy(&self) -> Result<()> {
        let wait = Wait {
            what: "a healthy etcd on every node",
            deadline: Duration::from_secs(120),
            help: "`lab shell`, then ssh to a node: systemctl status etcd; journalctl -u etcd",
        };
        wait.until(|| self.healthy().map_err(|e| e.to_string()))
    }

    /// Whether all members are one cluster with a leader, and each answers a linearizable read.
    ///
    /// # Errors
    /// What is not as it should be.
    pub fn healthy(&self) -> Result<()> {
        self.block_on(async || {
            let leaders = try_join_all(self.nodes.iter().map(|node| self.leader_by(*node))).await?;
            let same = leaders.windows(2).all(|pair| pair[0] == pair[1]);
            if same && leaders[0].1 != 0 {
                return Ok(());
            }
            Err(Error::refused(
                format!("the members disagree about (cluster, leader): {leaders:x?}"),
                "wait, or look at etcd's log",
            ))
        })
    }

    async fn leader_by(&self, node: Node) -> Result<(u64, u64)> {
        let mut client = self.client(node, Duration::from_secs(2)).await?;
        client.get("health", None).await.map_err(at(node, "read"))?;
        let members = client
            .member_list()
            .await
            .map_err(at(node, "list members"))?;
        if members.members().len() != self.nodes.len() {
            return Err(Error::refused(
                format!("{node} sees {} members", members.members().len()),
                "look at its etcd's log",
            ));
        }
        let status = client
            .status()
            .await
            .map_err(at(node, "ask for the status"))?;
        let cluster = status
            .header()
            .map_or(0, etcd_client::ResponseHeader::cluster_id);
        Ok((cluster, status.leader()))
    }

    /// Writes `keys` keys, most of them below `/registry/`, with values of about `bytes` bytes; the same ones
    /// for the same `seed`.
    ///
    /// # Errors
    /// When etcd refuses.
    pub fn load(&self, keys: usize, bytes: usize, seed: u64) -> Result<()> {
        let node = self.any();
        let lanes = 4;
        self.block_on(async || {
            let client = self.patient(node).await?;
            let work = (0..lanes).map(|lane| {
                let mut client = client.clone();
                async move {
                    let batches = (0..keys).step_by(BATCH).skip(lane).step_by(lanes);
                    for first in batches {
                        let last = keys.min(first + BATCH);
                        let puts: Vec<_> = (first..last).map(|n| put(n, bytes, seed)).collect();
                        let txn = Txn::new().and_then(puts);
                        client.txn(txn).await.map_err(at(node, "write"))?;
                    }
                    Ok(())
                }
            });
            try_join_all(work).await.map(drop)
        })
    }

    /// Writes one key.
    ///
    /// # Errors
    /// When etcd refuses.
    pub fn put(&self, key: &str, value: &str) -> Result<()> {
        let node = self.any();
        self.block_on(async || {
            let mut client = self.patient(node).await?;
            client
                .put(key, value, None)
                .await
                .map_err(at(node, "write"))
                .map(drop)
        })
    }

    /// All keys of one member's own data (a serializable read), at one revision.
    ///
    /// # Errors
    /// When the member does not answer.
    pub fn dump(&self, node: Node) -> Result<Dump> {
        self.block_on(async || {
            let mut client = self.patient(node).await?;
            let mut dump = Dump {
                keys: BTreeMap::new(),
            };
            let (mut from, mut revision) = (vec![0], 0);
            loop {
                let options = GetOptions::new()
                    .with_from_key()
                    .with_limit(PAGE)
                    .with_serializable();
                let options = Some(options.with_revision(revision));
                let page = client
                    .get(from.clone(), options)
                    .await
                    .map_err(at(node, "read"))?;
                if revision == 0 {
                    revision = page
                        .header()
                        .map_or(0, etcd_client::ResponseHeader::revision);
                }
                for pair in page.kvs() {
                    dump.keys
                        .insert(pair.key().to_vec(), Sha256::digest(pair.value()).into());
                }
                match page.kvs().last() {
                    Some(last) if page.more() => from = [last.key(), &[0]].concat(),
                    _ => return Ok(dump),
                }
            }
        })
    }

    /// `HashKV` of every member, at the revision the first one is at.
    ///
    /// # Errors
    /// When a member does not answer.
    pub fn hash_kv(&self) -> Result<Vec<MemberHash>> {
        self.block_on(async || {
            let first = self.any();
            let status = self.patient(first).await?.status().await;
            let status = status.map_err(at(first, "ask for the status"))?;
            let revision = status
                .header()
                .map_or(0, etcd_client::ResponseHeader::revision);
            let members = self.nodes.iter().map(|&node| async move {
                let reply = self.patient(node).await?.hash_kv(revision).await;
                let hash = reply.map_err(at(node, "hash"))?.hash();
                Ok(MemberHash {
                    node,
                    hash,
                    revision,
                })
            });
            try_join_all(members).await
        })
    }
}

/// Wraps a client's error, for `map_err`.
pub(crate) fn at(node: Node, doing: &'static str) -> impl FnOnce(etcd_client::Error) -> Error {
    move |source| Error::Etcd {
        node: node.name(),
        doing,
        source: Box::new(source),
    }
}

/// The n-th key with its value: a mixture of kinds as in a cluster, nine of ten below `/registry/`.
fn put(n: usize, bytes: usize, seed: u64) -> TxnOp {
    const KINDS: [&str; 9] = [
        "configmaps",
        "secrets",
        "deployments/apps",
        "leases",
        "events",
        "endpointslices",
        "services/specs",
        "serviceaccounts",
        "replicasets",
    ];
    let key = match KINDS.get(n % 10) {
        Some(kind) => format!("/registry/{kind}/ns-{:02}/object-{n:07}", n % 37),
        None => format!("/lab/{seed}/{n:07}"),
    };
    TxnOp::put(key, value(n, bytes, seed), None)
}

/// Bytes that look random, do not compress, and are the same every time.
fn value(n: usize, bytes: usize, seed: u64) -> Vec<u8> {
    let mut value = Vec::with_capacity(bytes + 32);
    let mut block: [u8; 32] = Sha256::digest(format!("{seed}/{n}")).into();
    while value.len() < bytes {
        value.extend_from_slice(&block);
        block = Sha256::digest(block).into();
    }
    value.truncate(bytes);
    value
}
