//! `cmsh` in memory: the same sessions and texts over a cluster that somebody else keeps.
//!
//! No socket, no thread and no clock; what happens in a session happens at once. So a simulator that has
//! nodes and a cluster manager of its own can be asked as a head node is.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::dialect::{Dialect, DialectConfig};
use crate::engine::{FULL_QUESTION, cmha_status};
use crate::model::{Cluster, ETCD_HOST, Object, Value};
use crate::options::{self, HELP};
use crate::protocol::{
    Link, NodeResult, NodeView, PowerOperation, Problem, Reply, Request, View, Welcome,
};
use crate::scenario::{Fault, Oddity};
use crate::schema::Kind;
use crate::shell;
use crate::spoil::spoilt;
use crate::state::Answer;

pub use crate::scenario::What as Mishap;

/// The cluster as its manager sees it at one moment.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// The head nodes, the active one first; members that are head nodes are among them.
    pub heads: Vec<String>,
    /// The head node whose `cmsh` is run.
    pub here: String,
    /// The nodes that are no head nodes, and head nodes with more to say than their name.
    pub nodes: Vec<SeenNode>,
    /// Each category, and its `datanode`.
    pub categories: Vec<(String, bool)>,
    /// The configuration overlays.
    pub overlays: Vec<SeenOverlay>,
    /// The software images that are locked.
    pub locked_images: Vec<String>,
}

/// A node as its manager sees it.
#[derive(Debug, Clone)]
pub struct SeenNode {
    /// Its name.
    pub name: String,
    /// Its address.
    pub ip: String,
    /// Its category.
    pub category: String,
    /// Its own `datanode`.
    pub datanode: bool,
    /// `nextinstallmode`; empty for none.
    pub next_install_mode: String,
    /// `blockdevicesclearedonnextboot`.
    pub cleared_at_boot: Vec<String>,
    /// The word in its status: `UP`, `DOWN`, `INSTALLING`.
    pub state: String,
    /// What follows in brackets.
    pub message: String,
    /// What its power control says; none where it is silent.
    pub on: Option<bool>,
    /// Its installer asks for leave to install FULL.
    pub asks: bool,
}

/// A configuration overlay.
#[derive(Debug, Clone)]
pub struct SeenOverlay {
    /// Its name.
    pub name: String,
    /// The nodes it lists.
    pub nodes: Vec<String>,
    /// Its role.
    pub role: &'static str,
    /// The role's spool, if it is etcd's.
    pub spool: Option<String>,
}

/// What a session has its manager do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// An overlay lists these as well.
    Append(String, Vec<String>),
    /// An overlay does not list these any more.
    RemoveFrom(String, Vec<String>),
    /// `datanode` of a node.
    Datanode(String, bool),
    /// `datanode` of a category.
    CategoryDatanode(String, bool),
    /// `nextinstallmode` of a node; empty to clear it.
    NextInstallMode(String, String),
    /// Reboots a node.
    Reboot(String),
    /// Powers a node on.
    PowerOn(String),
    /// Gives an installer that asks leave to install FULL.
    Confirm(String),
}

/// Who keeps the cluster.
pub trait Manager {
    /// The cluster at this moment.
    fn seen(&mut self) -> Seen;

    /// Does as it is told.
    ///
    /// # Errors
    /// Why it does not, for people.
    fn obey(&mut self, order: &Order) -> Result<(), String>;
}

/// How a `cmsh` speaks: what the vendor does not document, varied by a seed.
#[derive(Debug, Clone)]
pub struct Speech {
    dialect: Dialect,
    output: Vec<Oddity>,
    version: String,
}

impl Speech {
    /// That of a seed, on this release.
    pub fn of(seed: u64, version: &str) -> Self {
        let dialect = DialectConfig::of(seed).settle();
        // The other half of the seed: each oddity in one of four. Cells that are cut and columns that are
        // missing leave no answer to such a list.
        let odd = [Oddity::Events, Oddity::Colour, Oddity::Echo];
        let output = odd.into_iter().enumerate();
        let output = output.filter(|(at, _)| seed >> (32 + 2 * at) & 3 == 1);
        Self {
            dialect,
            output: output.map(|(_, oddity)| oddity).collect(),
            version: version.to_owned(),
        }
    }
}

/// What a `cmsh` that has ended leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Its exit status.
    pub status: u8,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// Its standard error.
    pub stderr: Vec<u8>,
}

/// Runs `cmsh` with these arguments, none of which may read from standard input. None where it never ends.
pub fn cmsh(
    args: &[String],
    speech: &Speech,
    mishap: Option<Mishap>,
    manager: &mut dyn Manager,
) -> Option<Ended> {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let mut memory = Memory {
        seen: manager.seen(),
        manager,
        speech,
        fault: mishap.map(Fault::of),
        hangs: false,
        view: None,
        may_change: true,
    };
    let outcome = match options::parse(args) {
        Ok(options) if options.batch.is_some() => {
            let (args, batch) = (args.to_vec(), options.batch.clone());
            shell::converse(options, args, batch, &mut memory, &mut stdout, &mut stderr)
        }
        Ok(_) => Err(HELP.to_owned()),
        Err(problem) => Err(format!("{problem}\n{HELP}")),
    };
    let hangs = memory.hangs;
    // A call that cannot go on was seen to return 1.
    let status = outcome.unwrap_or_else(|problem| {
        stderr.extend([problem.as_bytes(), b"\n"].concat());
        1
    });
    (!hangs).then_some(Ended {
        status,
        stdout,
        stderr,
    })
}

/// The way to the manager.
struct Memory<'m> {
    manager: &'m mut dyn Manager,
    speech: &'m Speech,
    fault: Option<Fault>,
    hangs: bool,
    /// As it was behind the last change.
    seen: Seen,
    view: Option<Arc<View>>,
    may_change: bool,
}

impl Link for Memory<'_> {
    fn call(&mut self, request: &Request) -> Result<Reply, String> {
        self.answer(request).heard()
    }

    fn wait_for_the_end(&mut self) -> String {
        self.hangs = true;
        String::new()
    }
}

impl Memory<'_> {
    fn answer(&mut self, request: &Request) -> Reply {
        let dialect = &self.speech.dialect;
        if let Request::Hello { redirect, .. } = request {
            return self.welcome(*redirect);
        }
        let other = || self.seen.heads.get(1).cloned().unwrap_or_default();
        let fault = self.fault.as_ref();
        if let Some(reply) = fault.and_then(|fault| spoilt(fault, request, other)) {
            return reply;
        }
        if !self.may_change && request.changes() {
            return Reply::Denied(dialect.passive_refuses().to_owned());
        }
        match request {
            Request::Read => Reply::View(Arc::clone(self.view())),
            Request::Commit { kind, objects, .. } => Reply::Problems(self.commit(*kind, objects)),
            Request::Validate { kind, object } => {
                Reply::Problems(self.view().cluster.problems(*kind, object))
            }
            Request::Power { operation, nodes } => {
                Reply::Results(nodes.iter().map(|n| self.power(*operation, n)).collect())
            }
            Request::Interactions { nodes, answer, .. } => {
                Reply::Results(self.interactions(nodes, *answer))
            }
            Request::Events { since } => Reply::Events {
                next: *since,
                lines: Vec::new(),
            },
            Request::Line { .. } | Request::Service { .. } => Reply::Results(Vec::new()),
            Request::Hello { .. } | Request::MakeActive { .. } => {
                Reply::Error("not in memory".to_owned())
            }
        }
    }

    fn welcome(&mut self, redirect: bool) -> Reply {
        let Speech {
            dialect,
            output,
            version,
        } = self.speech;
        if self
            .fault
            .as_ref()
            .is_some_and(|f| f.what == Mishap::NoDaemon)
        {
            return Reply::Error(dialect.no_daemon("localhost", "Connection refused"));
        }
        let here = &self.seen.here;
        let active = self.seen.heads.first() == Some(here);
        let cmha = |other: &String| cmha_status(here, other, active, dialect);
        let other = self.seen.heads.iter().find(|head| *head != here);
        self.may_change = redirect || active;
        Reply::Welcome(Box::new(Welcome {
            cluster: "cluster".to_owned(),
            version: version.clone(),
            head: here.clone(),
            cmha: other.map(cmha),
            dialect: dialect.clone(),
            cmshrc: None,
            output: output.clone(),
            fault: self.fault.clone(),
            next_event: 0,
        }))
    }

    fn view(&mut self) -> &Arc<View> {
        let seen = &self.seen;
        self.view.get_or_insert_with(|| Arc::new(seen.view()))
    }

    fn obey(&mut self, order: &Order) -> Result<(), String> {
        let done = self.manager.obey(order);
        (self.seen, self.view) = (self.manager.seen(), None);
        done
    }

    fn commit(&mut self, kind: Kind, objects: &[Object]) -> Vec<Problem> {
        let cluster = &self.view().cluster;
        let problems: Vec<Problem> = objects
            .iter()
            .flat_map(|object| cluster.problems(kind, object))
            .collect();
        if !problems.is_empty() {
            return problems;
        }
        let changed = |object: &Object| {
            let stored = cluster.find(kind, &object.text(kind.key()));
            stored.map_or_else(Vec::new, |stored| orders(kind, stored, object))
        };
        let orders: Vec<Order> = objects.iter().flat_map(changed).collect();
        let refused = |order: &Order| self.obey(order).err();
        let refused = orders.iter().filter_map(refused);
        let refused = refused.map(|message| Problem {
            field: kind.key().to_owned(),
            message,
        });
        refused.collect()
    }

    fn power(&mut self, operation: PowerOperation, name: &str) -> NodeResult {
        let on = self.seen.node(name).map(|node| node.on);
        let (ok, text) = match (operation, on) {
            (PowerOperation::Status, Some(Some(on))) => {
                (true, if on { "ON" } else { "OFF" }.to_owned())
            }
            (PowerOperation::On, Some(Some(_))) => {
                match self.obey(&Order::PowerOn(name.to_owned())) {
                    Ok(()) => (true, operation.done().to_owned()),
                    Err(_) => (false, "FAILED".to_owned()),
                }
            }
            (PowerOperation::Reboot, Some(_)) => match self.obey(&Order::Reboot(name.to_owned())) {
                Ok(()) => (true, operation.done().to_owned()),
                Err(problem) => (false, format!("Reboot failed: {problem}")),
            },
            // A silent power control, or what nobody here asks for.
            _ => (false, "FAILED".to_owned()),
        };
        NodeResult {
            node: name.to_owned(),
            ok,
            text,
        }
    }

    fn interactions(&mut self, nodes: &[String], answer: Option<Answer>) -> Vec<NodeResult> {
        let asking = self.seen.nodes.iter().filter(|node| node.asks);
        let asking = asking.filter(|node| nodes.is_empty() || nodes.contains(&node.name));
        let asking: Vec<String> = asking.map(|node| node.name.clone()).collect();
        let asked = |node: String| {
            let confirms = answer == Some(Answer::Confirm);
            let done = if confirms {
                self.obey(&Order::Confirm(node.clone()))
            } else {
                Ok(())
            };
            NodeResult {
                node,
                ok: done.is_ok(),
                text: FULL_QUESTION.to_owned(),
            }
        };
        asking.into_iter().map(asked).collect()
    }
}

/// What a commit of a whole object changes.
fn orders(kind: Kind, stored: &Object, object: &Object) -> Vec<Order> {
    let key = object.text(kind.key());
    let differs = |name: &str| stored.text(name) != object.text(name);
    let mut orders = Vec::new();
    match kind {
        Kind::Device => {
            if differs("datanode") {
                orders.push(Order::Datanode(key.clone(), object.flag("datanode")));
            }
            if differs("nextinstallmode") {
                let mode = object.text("nextinstallmode");
                orders.push(Order::NextInstallMode(key, mode));
            }
        }
        Kind::Category if differs("datanode") => {
            orders.push(Order::CategoryDatanode(key, object.flag("datanode")));
        }
        Kind::ConfigurationOverlay => {
            let (before, after) = (stored.list("nodes"), object.list("nodes"));
            let without = |these: &[String], those: &[String]| -> Vec<String> {
                let rest = these.iter().filter(|name| !those.contains(name));
                rest.cloned().collect()
            };
            let (more, gone) = (without(&after, &before), without(&before, &after));
            if !more.is_empty() {
                orders.push(Order::Append(key.clone(), more));
            }
            if !gone.is_empty() {
                orders.push(Order::RemoveFrom(key, gone));
            }
        }
        _ => {}
    }
    orders
}

impl Seen {
    fn node(&self, name: &str) -> Option<&SeenNode> {
        self.nodes.iter().find(|node| node.name == name)
    }

    fn view(&self) -> View {
        let image = Object::named("name", "default-image");
        let bare = self.heads.iter().filter(|head| self.node(head).is_none());
        let devices = bare.map(|head| head_device(head));
        let devices = devices.chain(self.nodes.iter().map(|node| self.device(node)));
        let mut objects = BTreeMap::from([
            (Kind::Device, devices.collect::<Vec<_>>()),
            (
                Kind::Category,
                self.categories.iter().map(category).collect(),
            ),
            (
                Kind::ConfigurationOverlay,
                self.overlays.iter().map(overlay).collect(),
            ),
            (Kind::SoftwareImage, vec![image]),
        ]);
        for (kind, list) in &mut objects {
            for object in list {
                let fits = object.normalise(kind.fields());
                debug_assert_eq!(fits, Ok(()), "what is seen fits the schema");
            }
        }
        let heads = self.heads.iter().map(|head| (head.clone(), up()));
        let nodes = self.nodes.iter();
        let nodes = nodes.map(|node| (node.name.clone(), status(node)));
        View {
            cluster: Cluster { objects },
            status: heads.chain(nodes).collect(),
            locked_images: self.locked_images.clone(),
        }
    }

    fn device(&self, node: &SeenNode) -> Object {
        let mut device = if self.heads.contains(&node.name) {
            head_device(&node.name)
        } else {
            Object::named("hostname", &node.name)
        };
        device.set("ip", Value::Text(node.ip.clone()));
        device.set("category", Value::Text(node.category.clone()));
        device.set("datanode", Value::Flag(node.datanode));
        let mode = node.next_install_mode.clone();
        device.set("nextinstallmode", Value::Text(mode));
        let cleared = node.cleared_at_boot.clone();
        device.set("blockdevicesclearedonnextboot", Value::List(cleared));
        device
    }
}

fn head_device(name: &str) -> Object {
    let mut head = Object::named("hostname", name);
    head.set("type", Value::Text("HeadNode".to_owned()));
    head
}

fn category((name, datanode): &(String, bool)) -> Object {
    let mut category = Object::named("name", name);
    category.set("datanode", Value::Flag(*datanode));
    category
}

fn overlay(seen: &SeenOverlay) -> Object {
    let mut role = Object::named("type", seen.role);
    if let Some(spool) = seen.spool.as_ref().filter(|_| seen.role == ETCD_HOST) {
        role.set("spool", Value::Text(spool.clone()));
    }
    let mut overlay = Object::named("name", &seen.name);
    overlay.set("nodes", Value::List(seen.nodes.clone()));
    overlay.roles.push(role);
    overlay
}

fn up() -> NodeView {
    NodeView {
        state: "UP".to_owned(),
        ..NodeView::default()
    }
}

fn status(node: &SeenNode) -> NodeView {
    NodeView {
        state: node.state.clone(),
        message: node.message.clone(),
        ..NodeView::default()
    }
}
