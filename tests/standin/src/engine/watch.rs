//! Looks whether a node is there. A node that lost its power is shown UP until this notices.

use super::Daemon;
use crate::state::{Phase, now};

/// What can be seen of a node from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Up,
    Pingable,
    Silent,
}

impl Daemon {
    pub(super) fn watch(&self, name: &str) {
        let seen = if self.hook(&["ssh-ok", name], false).ok() {
            Seen::Up
        } else if self.hook(&["pingable", name], false).ok() {
            Seen::Pingable
        } else {
            Seen::Silent
        };
        let time = now();
        let delays = self.delays();
        self.update(name, |node| {
            node.next_poll = time + delays.poll;
            if node.phase == Phase::Failed && seen != Seen::Up {
                return;
            }
            if seen == Seen::Silent {
                let since = *node.silent_since.get_or_insert(time);
                if time - since >= delays.stale {
                    node.phase = Phase::Down;
                    node.powered = false;
                    node.pingable_only = false;
                    node.etcd.running = false;
                }
                return;
            }
            if node.phase != Phase::Up {
                // Somebody started it without asking us; its services are started as ever.
                node.etcd.due = Some(time + delays.service_start);
                node.etcd.tries = 0;
            }
            node.phase = Phase::Up;
            node.powered = true;
            node.silent_since = None;
            node.pingable_only = seen == Seen::Pingable;
        });
    }
}
