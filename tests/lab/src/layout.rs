//! Names, addresses and paths: one place for all of them.

use std::fmt;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// What the ids of this project's labs begin with; `lab sweep` looks for it.
pub(crate) const PREFIX: &str = "rrlab-";
/// The first head node's address.
pub const HEAD_IP: Ipv4Addr = Ipv4Addr::new(10, 141, 255, 254);
/// etcd's data directory on a node.
pub const SPOOL: &str = "/var/lib/etcd";
/// etcd's client port.
pub const CLIENT_PORT: u16 = 2379;
/// As many nodes as a lab can have.
pub const MAX_NODES: u8 = 5;

/// A head node: `head`, and in a lab with two of them `head2`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Head {
    /// The one that is active when the lab comes up.
    #[default]
    First,
    /// The one that is passive then.
    Second,
}

impl Head {
    /// All head nodes of a lab with `count` of them.
    pub(crate) fn first(count: u8) -> Vec<Self> {
        [Self::First, Self::Second]
            .into_iter()
            .take(count.into())
            .collect()
    }

    /// Head node number `number`, 1 or 2.
    ///
    /// # Errors
    /// When there can be no such head node.
    pub fn new(number: u8) -> Result<Self> {
        match number {
            1 => Ok(Self::First),
            2 => Ok(Self::Second),
            _ => Err(Error::refused(
                format!("no head node {number}"),
                "head nodes are 1 and 2",
            )),
        }
    }

    /// Its hostname.
    pub fn name(self) -> &'static str {
        match self {
            Self::First => "head",
            Self::Second => "head2",
        }
    }

    /// Its address.
    pub fn ip(self) -> Ipv4Addr {
        match self {
            Self::First => HEAD_IP,
            Self::Second => Ipv4Addr::new(10, 141, 255, 253),
        }
    }

    /// Its place among the head nodes, from 0.
    pub(crate) fn index(self) -> usize {
        usize::from(self == Self::Second)
    }

    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }
}

impl FromStr for Head {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let named = Self::first(2).into_iter().find(|head| head.name() == name);
        named.ok_or_else(|| {
            Error::refused(
                format!("no head node is called {name:?}"),
                "they are head and head2",
            )
        })
    }
}

/// A compute node, `node001` to `node005`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Node(u8);

impl Node {
    /// Node number `number`, from 1.
    ///
    /// # Errors
    /// When the number is not within `1..=5`.
    pub fn new(number: u8) -> Result<Self> {
        if (1..=MAX_NODES).contains(&number) {
            return Ok(Self(number));
        }
        Err(Error::refused(
            format!("no node {number}"),
            format!("nodes are 1 to {MAX_NODES}"),
        ))
    }

    /// All nodes of a lab with `count` nodes.
    pub fn first(count: u8) -> Vec<Self> {
        (1..=count.min(MAX_NODES)).map(Self).collect()
    }

    /// Its number, from 1.
    pub fn number(self) -> u8 {
        self.0
    }

    /// Its address.
    pub fn ip(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 141, 0, self.0)
    }

    /// Its hostname, `node001`.
    pub fn name(self) -> String {
        self.to_string()
    }

    /// Its etcd's client URL.
    pub fn client_url(self) -> String {
        format!("https://{}:{CLIENT_PORT}", self.ip())
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node{:03}", self.0)
    }
}

impl FromStr for Node {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let node = name
            .strip_prefix("node")
            .and_then(|n| n.parse().ok())
            .map(Self::new);
        match node {
            Some(Ok(node)) if node.to_string() == name => Ok(node),
            _ => Err(Error::refused(
                format!("no node is called {name:?}"),
                format!("nodes are node001 to node{MAX_NODES:03}"),
            )),
        }
    }
}

impl TryFrom<String> for Node {
    type Error = Error;

    fn try_from(name: String) -> Result<Self> {
        name.parse()
    }
}

impl From<Node> for String {
    fn from(node: Node) -> Self {
        node.name()
    }
}

/// A lab's directory and what lies where in it. Its last component is the lab's id.
#[derive(Debug, Clone)]
pub struct Layout {
    dir: PathBuf,
}

impl Layout {
    /// The layout of the lab in `dir`.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// The directory itself.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The lab's id, which its control group has as well.
    pub fn id(&self) -> String {
        self.dir
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    }

    /// Where the supervisor listens.
    pub fn socket(&self) -> PathBuf {
        self.dir.join("control.sock")
    }

    /// What the supervisor has to say.
    pub fn supervisor_log(&self) -> PathBuf {
        self.dir.join("supervisor.log")
    }

    /// What the stand-in for the cluster manager has to say.
    pub fn standin_log(&self) -> PathBuf {
        self.dir.join("cmdaemon.log")
    }

    /// The stand-in's configuration.
    pub fn standin_config(&self) -> PathBuf {
        self.dir.join("cmdaemon.json")
    }

    /// The stand-in's state; the head node sees it as [`Self::STANDIN_STATE_ON_HEAD`].
    pub fn standin_state(&self) -> PathBuf {
        self.dir.join("cmdaemon")
    }

    /// The image every disk is installed from.
    pub(crate) fn image(&self) -> PathBuf {
        self.dir.join("image")
    }

    /// Certificates and keys of etcd.
    pub(crate) fn pki(&self) -> PathBuf {
        self.dir.join("pki")
    }

    /// The head node's ssh key, and the host keys of the nodes.
    pub(crate) fn keys(&self) -> PathBuf {
        self.dir.join("keys")
    }

    /// The mount point of the shared file system.
    pub(crate) fn shared(&self) -> PathBuf {
        self.dir.join("shared")
    }

    /// A head node's things.
    pub(crate) fn head(&self, head: Head) -> PathBuf {
        self.dir.join(head.name())
    }

    /// What a head node sees as [`Self::STANDIN_STATE_ON_HEAD`].
    pub(crate) fn spool_of(&self, head: Head) -> PathBuf {
        match head {
            Head::First => self.standin_state(),
            Head::Second => self.standin_state().join(head.name()),
        }
    }

    /// A node's things.
    pub(crate) fn node(&self, node: Node) -> PathBuf {
        self.dir.join("nodes").join(node.name())
    }

    /// A node's console.
    pub fn console(&self, node: Node) -> PathBuf {
        self.node(node).join("console.log")
    }

    /// Where the head node sees [`Self::standin_state`].
    pub const STANDIN_STATE_ON_HEAD: &str = "/var/spool/cmd";
}
