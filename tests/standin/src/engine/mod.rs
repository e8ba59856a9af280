//! The daemon's inside: shared state, and the threads that turn it into real effects.

mod boot;
mod control;
mod heads;
mod service;
mod validate;
mod watch;

pub(crate) use control::FULL_QUESTION;
pub(crate) use heads::{Landing, cmha_status, spool};

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::config::{Config, Delays, InitialStatus};
use crate::dialect::Dialect;
use crate::hooks::{self, Outcome};
use crate::journal::Journal;
use crate::model::{Cluster, ETCD_HOST};
use crate::render;
use crate::scenario::{Settled, Stage};
use crate::schema::Kind;
use crate::state::{Millis, Node, Phase, Service, State, now};

/// How often a node's thread looks what is due.
const TICK: Duration = Duration::from_millis(20);
/// How many events are kept for sessions that ask late.
const EVENTS_KEPT: usize = 1000;

#[derive(Default)]
struct Events {
    next: u64,
    lines: VecDeque<String>,
}

/// The daemon.
pub(crate) struct Daemon {
    dir: PathBuf,
    pub(crate) config: Config,
    pub(crate) journal: Journal,
    state: Mutex<State>,
    state_path: PathBuf,
    changed: Condvar,
    reign: Mutex<heads::Reign>,
    pub(crate) stage: Stage,
    events: Mutex<Events>,
    /// Held while something is done to a node: hooks of one node never overlap.
    turns: BTreeMap<String, Mutex<()>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Daemon {
    /// Takes up the state in `dir`, or starts with what the configuration says.
    pub(crate) fn open(config: Config, dir: &Path) -> Result<Arc<Self>, String> {
        let state_path = dir.join("state.json");
        let mut state = match State::load(&state_path)? {
            Some(state) => state,
            None => initial_state(&config)?,
        };
        state.settle_active(&config);
        state
            .save(&state_path)
            .map_err(|e| format!("{}: {e}", state_path.display()))?;
        let turns = state
            .nodes
            .keys()
            .map(|name| (name.clone(), Mutex::default()))
            .collect();
        let daemon = Arc::new(Self {
            dir: dir.to_owned(),
            stage: Stage::open(dir, &config)?,
            journal: Journal::open(&dir.join("cmd.log"))?,
            state: Mutex::new(state),
            state_path,
            changed: Condvar::new(),
            reign: Mutex::default(),
            events: Mutex::default(),
            turns,
            config,
        });
        for (head, _) in daemon.config.heads() {
            let spool = spool(&daemon.config, dir, &head);
            std::fs::create_dir_all(&spool).map_err(|e| format!("{}: {e}", spool.display()))?;
        }
        daemon.note_parts();
        Ok(daemon)
    }

    /// The scenario in force.
    pub(crate) fn settled(&self) -> Arc<Settled> {
        self.stage.now(&self.config)
    }

    fn delays(&self) -> Delays {
        self.settled().delays.clone()
    }

    pub(crate) fn dialect(&self) -> Dialect {
        self.settled().dialect.clone()
    }

    /// One thread per node; they live as long as the process.
    pub(crate) fn start(self: &Arc<Self>) {
        for name in self.turns.keys() {
            let (daemon, name) = (Arc::clone(self), name.clone());
            thread::spawn(move || {
                loop {
                    daemon.turn(&name);
                    let state = locked(&daemon.state);
                    drop(daemon.changed.wait_timeout(state, TICK));
                }
            });
        }
    }

    /// Lets the hooks under way end and starts no more: for an orderly end of the process.
    pub(crate) fn rest(&self) {
        for turn in self.turns.values() {
            std::mem::forget(locked(turn));
        }
    }

    /// Does what is due on one node.
    fn turn(&self, name: &str) {
        let Some(turn) = self.turns.get(name) else {
            return;
        };
        let _turn = locked(turn);
        let (node, device_is_head) = {
            let state = locked(&self.state);
            let Some(node) = state.nodes.get(name).cloned() else {
                return;
            };
            (node, self.config.is_head(name))
        };
        match node.phase {
            Phase::Up if node.again.is_some_and(|due| now() >= due) => self.fall_back(name),
            Phase::Up | Phase::Down => {
                if !device_is_head && now() >= node.next_poll {
                    self.watch(name);
                } else if node.phase == Phase::Up && !node.pingable_only {
                    self.serve(name, &node);
                }
            }
            // A node that took too long may still come up.
            Phase::Failed if now() >= node.next_poll => self.watch(name),
            Phase::Console | Phase::Unreachable => self.held_up(name, &node),
            Phase::Waiting | Phase::Maintenance | Phase::Failed => {}
            _ => self.boot(name, &node),
        }
    }

    /// Changes a node's state and keeps the change.
    fn update(&self, name: &str, change: impl FnOnce(&mut Node)) {
        let mut state = locked(&self.state);
        let Some(node) = state.nodes.get_mut(name) else {
            return;
        };
        let before = node.clone();
        change(node);
        let (old, new) = (
            render::phase_name(before.phase),
            render::phase_name(node.phase),
        );
        // When to look next is not worth a write.
        let mut looked = before.clone();
        looked.next_poll = node.next_poll;
        looked.etcd.next_check = node.etcd.next_check;
        if *node != looked {
            self.persist(&state);
        }
        drop(state);
        if old != new {
            self.journal.note(
                "status",
                false,
                json!({ "node": name, "from": old, "to": new }),
            );
            let head = self.active_head();
            self.event(&format!("[notice] {head}: {name} {}", render::bracket(new)));
        }
    }

    fn persist(&self, state: &State) {
        if let Err(problem) = state.save(&self.state_path) {
            self.journal
                .note("error", false, json!({ "text": problem.to_string() }));
        }
        self.changed.notify_all();
    }

    /// What the objects say now.
    pub(crate) fn cluster(&self) -> Cluster {
        locked(&self.state).cluster.clone()
    }

    fn has_role(&self, name: &str, role: &str) -> bool {
        locked(&self.state)
            .cluster
            .effective_role(name, role)
            .is_some()
    }

    /// Calls a hook; calls that only look are not logged, there are too many.
    fn hook(&self, args: &[&str], write: bool) -> Outcome {
        let env = args
            .get(1)
            .map(|node| self.hook_environment(node))
            .unwrap_or_default();
        let limit = Duration::from_millis(self.delays().hook_limit.unsigned_abs());
        let outcome = hooks::run(&self.config.hook, args, &env, limit);
        if write {
            let fields = json!({
                "args": args, "exit": outcome.exit, "output": outcome.output.trim_end(),
            });
            self.journal.note("hook", true, fields);
        }
        outcome
    }

    /// What a hook needs to write etcd's configuration as `CMDaemon` would.
    fn hook_environment(&self, name: &str) -> Vec<(String, String)> {
        let cluster = self.cluster();
        // Several etcd clusters may share one cluster manager.
        let mut members = cluster.nodes_with(ETCD_HOST);
        let of = role_text(&cluster, name, "etcdcluster");
        if !of.is_empty() {
            members.retain(|node| role_text(&cluster, node, "etcdcluster") == of);
        }
        let initial: Vec<String> = members
            .iter()
            .map(|node| {
                let member = role_text(&cluster, node, "membername");
                format!(
                    "{member}={}",
                    role_text(&cluster, node, "advertisepeerurls")
                )
            })
            .collect();
        let ip = cluster
            .find(Kind::Device, name)
            .map(|d| d.text("ip"))
            .unwrap_or_default();
        [
            ("STANDIN_ETCD_NODES", members.join(" ")),
            ("STANDIN_INITIAL_CLUSTER", initial.join(",")),
            ("STANDIN_IP", ip),
            (
                "STANDIN_MEMBER_NAME",
                role_text(&cluster, name, "membername"),
            ),
            ("STANDIN_SPOOL", role_text(&cluster, name, "spool")),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .to_vec()
    }

    /// Sends an event to every session.
    pub(crate) fn event(&self, text: &str) {
        let time = jiff::Zoned::now()
            .strftime("%a %b %e %H:%M:%S %Y")
            .to_string();
        self.journal.note("event", false, json!({ "text": text }));
        let mut events = locked(&self.events);
        events.next += 1;
        events.lines.push_back(format!("{time} {text}"));
        if events.lines.len() > EVENTS_KEPT {
            events.lines.pop_front();
        }
    }

    /// Something that has nothing to do with the session, as there is on any real cluster.
    pub(crate) fn noise(&self) {
        if self.dialect().noise {
            self.event(&format!(
                "[notice] {}: Service cups was stopped",
                self.active_head()
            ));
        }
    }

    /// The events from number `since` on, and the number of the next one.
    pub(crate) fn events(&self, since: u64) -> (u64, Vec<String>) {
        let events = locked(&self.events);
        let missed = usize::try_from(events.next.saturating_sub(since)).unwrap_or(EVENTS_KEPT);
        let skip = events.lines.len().saturating_sub(missed);
        (
            events.next,
            events.lines.iter().skip(skip).cloned().collect(),
        )
    }
}

/// A property of the node's etcd role with `$hostname` and `$ip` filled in.
fn role_text(cluster: &Cluster, node: &str, property: &str) -> String {
    let ip = cluster
        .find(Kind::Device, node)
        .map(|d| d.text("ip"))
        .unwrap_or_default();
    cluster
        .effective_role(node, ETCD_HOST)
        .map(|role| {
            role.text(property)
                .replace("$hostname", node)
                .replace("$ip", &ip)
        })
        .unwrap_or_default()
}

fn initial_state(config: &Config) -> Result<State, String> {
    let cluster = config.initial_cluster()?;
    let nodes = cluster
        .keys(Kind::Device)
        .into_iter()
        .map(|name| {
            let up = config.initial_status == InitialStatus::Up || config.is_head(&name);
            let mac = cluster
                .find(Kind::Device, &name)
                .map(|d| d.text("mac"))
                .unwrap_or_default();
            (name, initial_node(up, mac))
        })
        .collect();
    Ok(State {
        active_head: String::new(),
        cluster,
        nodes,
    })
}

fn initial_node(up: bool, known_mac: String) -> Node {
    Node {
        phase: if up { Phase::Up } else { Phase::Down },
        due: Millis::default(),
        powered: up,
        pingable_only: false,
        silent_since: None,
        next_poll: Millis::default(),
        known_mac,
        etcd: Service::default(),
        api_urls: None,
        fate: None,
        again: None,
        disk_doubted: false,
    }
}
