//! What the etcd role does to a node: `CMDaemon` stops the service of a role that was taken
//! away, starts that of a role that was given, and restarts it when it finds it dead.
//! It does so on an empty disk as well; that is the disaster to be prevented, not here.

use super::{Daemon, locked, role_text};
use crate::model::ETCD_HOST;
use crate::state::{MAX_TRIES, Node, now};

impl Daemon {
    /// Does what is due for the services of a node that is up.
    pub(super) fn serve(&self, name: &str, node: &Node) {
        let wanted = self.has_role(name, ETCD_HOST);
        let time = now();
        let etcd = &node.etcd;
        match (wanted, etcd.applied, etcd.due) {
            (true, _, Some(due)) if time >= due => self.start_role(name),
            (false, Some(true), Some(due)) if time >= due => self.stop_role(name),
            (true, Some(true), None) => {
                if !etcd.held && etcd.tries < MAX_TRIES && time >= etcd.next_check {
                    self.check_service(name);
                }
            }
            (true, _, None) => self.schedule(name, self.delays().service_start),
            (false, Some(true), None) => self.schedule(name, self.delays().service_stop),
            (false, Some(false) | None, due) => {
                if due.is_some() || etcd.applied.is_none() {
                    self.update(name, |node| {
                        node.etcd.due = None;
                        node.etcd.applied = Some(false);
                    });
                }
            }
            (_, _, Some(_)) => {}
        }
        self.serve_api_server(name, node);
    }

    fn schedule(&self, name: &str, delay: i64) {
        let due = now() + delay;
        self.update(name, |node| node.etcd.due = Some(due));
    }

    fn start_role(&self, name: &str) {
        let held = locked(&self.state)
            .nodes
            .get(name)
            .is_some_and(|node| node.etcd.held);
        let written = self.hook(&["role", name, "etcd", "on"], true).ok();
        let running = written && !held && self.hook(&["service", name, "start", "etcd"], true).ok();
        let (check, again) = self.next_look();
        self.update(name, |node| {
            node.etcd.due = (!written).then_some(again);
            if written {
                node.etcd.applied = Some(true);
                node.etcd.tries = 0;
            }
            node.etcd.running = running;
            node.etcd.next_check = check;
        });
        if running {
            self.event(&format!("[notice] {name}: Service etcd was started"));
        }
    }

    fn stop_role(&self, name: &str) {
        let stopped = self.hook(&["service", name, "stop", "etcd"], true).ok();
        if stopped {
            self.event(&format!("[notice] {name}: Service etcd was stopped"));
        }
        let removed = self.hook(&["role", name, "etcd", "off"], true).ok();
        let (_, again) = self.next_look();
        self.update(name, |node| {
            if stopped && removed {
                node.etcd = crate::state::Service {
                    applied: Some(false),
                    ..Default::default()
                };
            } else {
                node.etcd.due = Some(again);
            }
        });
    }

    /// Autostart: ten tries, then FAILING until a reset (admin manual 3.14).
    fn check_service(&self, name: &str) {
        let alive = self.hook(&["service", name, "status", "etcd"], false).ok();
        if !alive {
            self.event(&format!("[warning] {name}: Service etcd died"));
            if self.hook(&["service", name, "start", "etcd"], true).ok() {
                self.event(&format!("[notice] {name}: Service etcd was restarted"));
            }
        }
        let (check, _) = self.next_look();
        self.update(name, |node| {
            node.etcd.running = alive;
            node.etcd.tries = if alive { 0 } else { node.etcd.tries + 1 };
            node.etcd.next_check = check;
        });
    }

    fn next_look(&self) -> (i64, i64) {
        let time = now();
        let delays = self.delays();
        (
            time + delays.service_check,
            time + delays.service_check.max(delays.service_stop),
        )
    }

    /// API servers are restarted with the etcd servers there are; with none that is an empty list
    /// (the KB article on etcd backup and restore). Only for hooks that know about it.
    fn serve_api_server(&self, name: &str, node: &Node) {
        if !self.config.knows_hook("api-server") || !self.has_role(name, "Kubernetes::ApiServer") {
            return;
        }
        let cluster = self.cluster();
        let urls: Vec<String> = cluster
            .nodes_with(ETCD_HOST)
            .iter()
            .map(|node| role_text(&cluster, node, "advertiseclienturls"))
            .collect();
        let urls = urls.join(",");
        if node.api_urls.as_deref() != Some(&urls) {
            self.hook(&["api-server", name, &urls], true);
            self.update(name, |node| node.api_urls = Some(urls));
        }
    }
}
