//! What the daemon keeps on disk: the objects, and for each node where it stands. Everything
//! still to be done is a phase with a due time, so a killed daemon carries on where it was.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::model::Cluster;
use crate::scenario::Fate;

/// Milliseconds since 1970.
pub(crate) type Millis = i64;

pub(crate) fn now() -> Millis {
    jiff::Timestamp::now().as_millisecond()
}

/// Where a node stands on its way from off to up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Phase {
    Up,
    Down,
    GoingDown {
        boot_again: bool,
    },
    Booting,
    /// In the node-installer; the step counts its messages.
    Installing {
        full: bool,
        step: usize,
    },
    /// In the node-installer, asking whether a data node may be wiped.
    Waiting,
    /// In the node-installer, with a question that only the console can answer.
    Console,
    /// In the node-installer, which cannot be reached.
    Unreachable,
    /// In maintenance mode: a denied FULL install, or install mode MAIN.
    Maintenance,
    CallingInit {
        started: bool,
    },
    Failed,
}

/// The answer to the node-installer's question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Answer {
    Confirm,
    Deny,
}

/// The service that belongs to the role, as `CMDaemon` sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Service {
    /// Whether the node's configuration was last written with the role; unknown at first.
    pub(crate) applied: Option<bool>,
    pub(crate) due: Option<Millis>,
    /// Stopped through cmsh: no autostart until started through cmsh.
    pub(crate) held: bool,
    pub(crate) running: bool,
    pub(crate) tries: u32,
    pub(crate) next_check: Millis,
}

/// How often autostart is tried before a service is FAILING (admin manual 3.14).
pub(crate) const MAX_TRIES: u32 = 10;

impl Service {
    /// Whether the service submode knows the service on this node.
    pub(crate) fn present(&self) -> bool {
        self.applied == Some(true)
    }

    pub(crate) fn shown(&self) -> &'static str {
        match self {
            Self { running: true, .. } => "UP",
            Self { held: true, .. } => "STOPPED",
            Self { tries, .. } if *tries >= MAX_TRIES => "FAILING",
            _ => "DOWN",
        }
    }
}

/// One node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Node {
    pub(crate) phase: Phase,
    /// When the phase is over.
    pub(crate) due: Millis,
    pub(crate) powered: bool,
    /// Answers to ping, but its `CMDaemon` does not connect.
    pub(crate) pingable_only: bool,
    pub(crate) silent_since: Option<Millis>,
    pub(crate) next_poll: Millis,
    /// The MAC at the last install; another one makes the node new.
    pub(crate) known_mac: String,
    pub(crate) etcd: Service,
    /// The etcd URLs its API server was last started with.
    pub(crate) api_urls: Option<String>,
    /// What is in store for it in this boot.
    #[serde(default)]
    pub(crate) fate: Option<Fate>,
    /// When it goes down again, to be installed FULL once more.
    #[serde(default)]
    pub(crate) again: Option<Millis>,
    /// Whether the disk is found to need a FULL install, whatever the modes say.
    #[serde(default)]
    pub(crate) disk_doubted: bool,
}

/// All of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct State {
    #[serde(default)]
    pub(crate) active_head: String,
    pub(crate) cluster: Cluster,
    pub(crate) nodes: BTreeMap<String, Node>,
}

impl State {
    pub(crate) fn load(path: &Path) -> Result<Option<Self>, String> {
        match std::fs::read_to_string(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(format!("{}: {e}", path.display())),
            Ok(text) => serde_json::from_str(&text)
                .map(Some)
                .map_err(|e| format!("{}: {e}", path.display())),
        }
    }

    /// Replaces the file in one step, so a kill leaves the old or the new one.
    pub(crate) fn save(&self, path: &Path) -> io::Result<()> {
        let part = path.with_extension("json.part");
        let mut file = File::create(&part)?;
        file.write_all(serde_json::to_string_pretty(self)?.as_bytes())?;
        file.sync_data()?;
        std::fs::rename(&part, path)
    }
}
