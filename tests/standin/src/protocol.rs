//! What client and daemon say to each other: one JSON line each way on a Unix socket, or in memory.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::dialect::Dialect;
use crate::model::{Cluster, Object};
use crate::scenario::{Fault, Oddity};
use crate::schema::Kind;
use crate::state::Answer;

/// Where the client looks for the daemon unless the environment says otherwise.
pub(crate) const DEFAULT_SOCKET: &str = "/var/spool/cmd/standin.sock";
/// The environment variable that names the socket.
pub(crate) const SOCKET_VARIABLE: &str = "CMSH_STANDIN_SOCKET";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum PowerOperation {
    On,
    Off,
    Reset,
    Status,
    Reboot,
    Shutdown,
}

impl PowerOperation {
    /// What cmsh says when it was accepted.
    pub(crate) fn done(self) -> &'static str {
        match self {
            Self::On | Self::Status => "ON",
            Self::Off => "OFF",
            Self::Reset => "RESET",
            Self::Reboot => "Reboot in progress ...",
            Self::Shutdown => "Shutdown in progress ...",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ServiceAction {
    Start,
    Stop,
    Restart,
    Reset,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Request {
    Hello {
        pid: u32,
        argv: Vec<String>,
        text: String,
        /// Whether to go on to the active head node.
        redirect: bool,
    },
    /// A line read from stdin.
    Line {
        text: String,
    },
    Read,
    Commit {
        kind: Kind,
        objects: Vec<Object>,
        wait: bool,
    },
    Validate {
        kind: Kind,
        object: Object,
    },
    Power {
        operation: PowerOperation,
        nodes: Vec<String>,
    },
    Service {
        node: String,
        service: String,
        action: ServiceAction,
    },
    Interactions {
        nodes: Vec<String>,
        answer: Option<Answer>,
        wait: bool,
    },
    Events {
        since: u64,
    },
    /// `cmha makeactive`, or the failover that happens by itself; without a name, the passive head.
    MakeActive {
        head: Option<String>,
        automatic: bool,
    },
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reply {
    Welcome(Box<Welcome>),
    View(Arc<View>),
    Problems(Vec<Problem>),
    /// Per node, whether it went well, and the state or text to show.
    Results(Vec<NodeResult>),
    Events {
        next: u64,
        lines: Vec<String>,
    },
    Error(String),
    /// The daemon takes the request and refuses it.
    Denied(String),
    /// A failover ended the session; the name is the active head's.
    Ended(String),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Welcome {
    pub(crate) cluster: String,
    pub(crate) version: String,
    pub(crate) head: String,
    pub(crate) cmha: Option<String>,
    pub(crate) dialect: Dialect,
    pub(crate) cmshrc: Option<PathBuf>,
    pub(crate) output: Vec<Oddity>,
    pub(crate) fault: Option<Fault>,
    pub(crate) next_event: u64,
}

impl Reply {
    /// As the session hears it: what ends it is an error.
    pub(crate) fn heard(self) -> Result<Self, String> {
        match self {
            Self::Error(problem) => Err(problem),
            Self::Ended(active) => Err(session_ended(&active)),
            reply => Ok(reply),
        }
    }
}

/// The two lines that a failover ends a session with (admin manual 15).
pub(crate) fn session_ended(active: &str) -> String {
    format!(
        "Your session ended because: CMDaemon failover, no longer master\n\
         {active} became active master, reconnecting your cmsh ..."
    )
}

/// A session's way to its daemon.
pub(crate) trait Link {
    /// Asks the daemon; losing it ends the session.
    fn call(&mut self, request: &Request) -> Result<Reply, String>;

    /// Waits for what never comes; the last words when that is over.
    fn wait_for_the_end(&mut self) -> String;
}

/// Everything a session can read.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct View {
    pub(crate) cluster: Cluster,
    pub(crate) status: BTreeMap<String, NodeView>,
    pub(crate) locked_images: Vec<String>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct NodeView {
    /// All of the status, word for word, in place of what follows.
    pub(crate) verbatim: Option<String>,
    pub(crate) state: String,
    /// What follows in brackets, for example `(switching to local root)`.
    pub(crate) message: String,
    pub(crate) note: String,
    /// The state of each service that belongs to a role.
    pub(crate) services: BTreeMap<String, String>,
}

/// A row of the table that refuses a commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Problem {
    pub(crate) field: String,
    pub(crate) message: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct NodeResult {
    pub(crate) node: String,
    pub(crate) ok: bool,
    pub(crate) text: String,
}
