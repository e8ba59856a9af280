//! The two head nodes of a pair: which is the active one, and the failover (admin manual 15).
//!
//! Both heads' daemons are this one process, as their database is one; each head has a socket and a state
//! file of its own.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::{Daemon, locked};
use crate::config::{Config, HeadRole};
use crate::dialect::Dialect;
use crate::state::{Phase, State};

/// Where a session ended up, and under which reign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Landing {
    pub(crate) head: String,
    pub(crate) active: bool,
    epoch: u64,
}

/// How often the active head changed since the daemon started, and whether it changes just now.
#[derive(Debug, Default)]
pub(super) struct Reign {
    epoch: u64,
    moving: bool,
}

/// The directory that a head node sees as `/var/spool/cmd`.
pub(crate) fn spool(config: &Config, dir: &Path, head: &str) -> PathBuf {
    if head == config.head.name {
        dir.to_owned()
    } else {
        dir.join(head)
    }
}

/// Which head node is the active one at the very first start.
pub(super) fn first_active(config: &Config) -> String {
    match config.head_role {
        HeadRole::Single | HeadRole::Active => config.head.name.clone(),
        HeadRole::Passive => config.head.peer.clone(),
    }
}

impl Daemon {
    pub(crate) fn active_head(&self) -> String {
        locked(&self.state).active_head.clone()
    }

    /// Takes a session in, on the head node it asked or, redirected, on the active one.
    pub(crate) fn land(&self, asked: &str, redirect: bool) -> Result<Landing, String> {
        let reign = locked(&self.reign);
        if reign.moving {
            return Err(self.dialect().no_daemon("localhost", "Connection refused"));
        }
        let active = self.active_head();
        let head = if redirect { &active } else { asked };
        Ok(Landing {
            head: head.to_owned(),
            active: *head == active,
            epoch: reign.epoch,
        })
    }

    /// The name of the active head node, if it became that only after the session began.
    pub(crate) fn ended(&self, landing: &Landing) -> Option<String> {
        let reign = locked(&self.reign);
        (reign.epoch != landing.epoch || reign.moving).then(|| self.active_head())
    }

    /// Makes a head node the active one. By hand that waits for nobody, and is refused while nodes are being
    /// provisioned; the automatic failover kills what was being provisioned.
    pub(crate) fn make_active(&self, to: &str, automatic: bool) -> Result<String, String> {
        let from = self.active_head();
        if from == to || !self.config.heads().iter().any(|(name, _)| name == to) {
            return Err(format!("{to} cannot become the active head node"));
        }
        let busy = self.being_provisioned();
        if !automatic && !busy.is_empty() {
            return Err(format!("nodes are being provisioned: {}", busy.join(",")));
        }
        locked(&self.reign).moving = true;
        self.note_heads(&[(&from, "BECOMEPASSIVE"), (to, "BECOMEACTIVE")]);
        let moved =
            !self.config.knows_hook("head-active") || self.hook(&["head-active", to], true).ok();
        if moved {
            for node in &busy {
                self.update(node, |node| node.phase = Phase::Failed);
            }
            let mut state = locked(&self.state);
            to.clone_into(&mut state.active_head);
            self.persist(&state);
        }
        let mut reign = locked(&self.reign);
        reign.moving = false;
        reign.epoch += 1;
        drop(reign);
        self.note_parts();
        let fields = json!({ "from": from, "to": to, "automatic": automatic, "ok": moved });
        self.journal.note("failover", true, fields);
        if moved {
            Ok(format!(
                "{to} is now active head node, makeactive successful"
            ))
        } else {
            Err("the failover failed".to_owned())
        }
    }

    fn being_provisioned(&self) -> Vec<String> {
        let state = locked(&self.state);
        let busy = state.nodes.iter();
        let busy = busy.filter(|(_, node)| matches!(node.phase, Phase::Installing { .. }));
        busy.map(|(name, _)| name.clone()).collect()
    }

    /// Writes each head node's state file; a cluster with one head has none.
    pub(super) fn note_parts(&self) {
        let active = self.active_head();
        let heads = self.config.heads();
        let part = |name: &str| if name == active { "ACTIVE" } else { "PASSIVE" };
        let parts: Vec<(&str, &str)> = heads
            .iter()
            .map(|(name, _)| (name.as_str(), part(name)))
            .collect();
        if parts.len() > 1 {
            self.note_heads(&parts);
        }
    }

    fn note_heads(&self, parts: &[(&str, &str)]) {
        for (head, part) in parts {
            let file = spool(&self.config, &self.dir, head).join("state");
            // A reader of a state file that cannot be written finds the old word, as on a real head.
            let _ = std::fs::write(file, format!("{part}\n"));
        }
    }

    /// `cmha status` as a head node prints it. With one head its output is not known.
    pub(crate) fn cmha(&self, head: &str) -> Option<String> {
        if self.config.head_role == HeadRole::Single {
            return None;
        }
        let active = self.active_head();
        let other = self.config.other_head(head);
        Some(cmha_status(head, &other, head == active, &self.dialect()))
    }
}

/// `cmha status` on one head node of a pair.
pub(crate) fn cmha_status(here: &str, other: &str, active: bool, dialect: &Dialect) -> String {
    let (mine, its) = if active { ("*", "") } else { ("", "*") };
    let (here, peer) = (format!("{here}{mine}"), format!("{other}{its}"));
    let mode = if active {
        "active master"
    } else {
        dialect.passive_mode()
    };
    let checks = "  failoverping [  OK  ]\n  mysql        [  OK  ]\n  ping         [  OK  ]\n  \
                  status       [  OK  ]\n";
    format!(
        "Node Status: running in {mode} mode\n\nFailover status:\n{here} -> {peer}\n{checks}\
         {peer} -> {here}\n{checks}"
    )
}

impl State {
    /// A state written before there were pairs knows no active head.
    pub(super) fn settle_active(&mut self, config: &Config) {
        if self.active_head.is_empty() {
            self.active_head = first_active(config);
        }
    }
}
