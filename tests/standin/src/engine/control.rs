//! What sessions ask for: views, commits, power, services, the node-installer's questions.

use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use super::boot::STEPS;
use super::{Daemon, locked};
use crate::model::Object;
use crate::protocol::{NodeResult, NodeView, PowerOperation, Problem, ServiceAction, View};
use crate::render::phase_name;
use crate::schema::Kind;
use crate::state::{Answer, MAX_TRIES, Node, Phase, now};

/// What a node-installer asks about a data node; the manual's sample has another reason in brackets.
pub(crate) const FULL_QUESTION: &str = "Requesting FULL Install (next install mode)";

impl Daemon {
    pub(crate) fn view(&self) -> View {
        let settled = self.settled();
        let state = locked(&self.state);
        let view = |name: &str, node: &Node| NodeView {
            verbatim: settled.scenario.status.get(name).cloned(),
            ..self.node_view(name, node)
        };
        let status = state
            .nodes
            .iter()
            .map(|(name, node)| (name.clone(), view(name, node)))
            .collect();
        View {
            cluster: state.cluster.clone(),
            status,
            locked_images: settled.scenario.provisioning.locked_images.clone(),
        }
    }

    fn node_view(&self, name: &str, node: &Node) -> NodeView {
        let mut view = NodeView {
            state: phase_name(node.phase).to_owned(),
            message: message(node),
            note: self
                .config
                .status_notes
                .get(name)
                .cloned()
                .unwrap_or_default(),
            ..NodeView::default()
        };
        if node.etcd.present() {
            view.services
                .insert("etcd".to_owned(), node.etcd.shown().to_owned());
        }
        view
    }

    /// Takes whole objects, as the real daemon does: the last commit wins over all fields.
    pub(crate) fn commit(
        &self,
        pid: u32,
        kind: Kind,
        objects: Vec<Object>,
        wait: bool,
    ) -> Vec<Problem> {
        let mut state = locked(&self.state);
        let problems: Vec<Problem> = objects
            .iter()
            .flat_map(|object| state.cluster.problems(kind, object))
            .collect();
        let mut changes = Vec::new();
        for object in objects {
            let key = object.text(kind.key());
            let Some(stored) = state.cluster.find_mut(kind, &key) else {
                continue;
            };
            changes.extend(differences(kind, &key, stored, &object));
            if problems.is_empty() {
                *stored = object;
            }
        }
        let fields = json!({
            "client": pid, "mode": kind.mode(), "accepted": problems.is_empty(),
            "changes": changes, "problems": problems,
        });
        self.journal.note("commit", true, fields);
        if problems.is_empty() {
            self.persist(&state);
        }
        drop(state);
        if problems.is_empty() {
            self.noise();
        }
        if wait && self.dialect().wait_covers_services {
            self.wait_until(|daemon| !daemon.services_pending());
        }
        problems
    }

    fn services_pending(&self) -> bool {
        let state = locked(&self.state);
        state.nodes.iter().any(|(name, node)| {
            let wanted = state
                .cluster
                .effective_role(name, crate::model::ETCD_HOST)
                .is_some();
            node.phase == Phase::Up && node.etcd.applied != Some(wanted)
        })
    }

    fn wait_until(&self, done: impl Fn(&Self) -> bool) -> bool {
        let limit = Duration::from_millis(self.delays().wait_limit.unsigned_abs());
        let deadline = Instant::now() + limit;
        while !done(self) {
            if Instant::now() >= deadline {
                return false;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        true
    }

    pub(crate) fn power(
        &self,
        pid: u32,
        operation: PowerOperation,
        nodes: &[String],
    ) -> Vec<NodeResult> {
        nodes
            .iter()
            .map(|name| {
                let (ok, text) = self.power_one(name, operation);
                let write = operation != PowerOperation::Status;
                let fields = json!({
                    "client": pid, "node": name, "operation": operation, "ok": ok, "text": text,
                });
                self.journal.note("power", write, fields);
                NodeResult {
                    node: name.clone(),
                    ok,
                    text,
                }
            })
            .collect()
    }

    fn power_one(&self, name: &str, operation: PowerOperation) -> (bool, String) {
        let Some(turn) = self.turns.get(name).filter(|_| !self.config.is_head(name)) else {
            return (false, "FAILED".to_owned());
        };
        let _turn = locked(turn);
        let through_bmc = !matches!(operation, PowerOperation::Reboot | PowerOperation::Shutdown);
        let deaf = &self.settled().scenario.bmc_failed;
        if through_bmc
            && self
                .config
                .bmc_failed
                .iter()
                .chain(deaf)
                .any(|node| node == name)
        {
            return (false, "FAILED".to_owned());
        }
        match operation {
            PowerOperation::Status => (true, on_off(self.is_on(name))),
            PowerOperation::On => {
                if !self.is_on(name) {
                    self.start_boot(name);
                }
                (true, on_off(true))
            }
            PowerOperation::Off | PowerOperation::Reset => self.cut(name, operation),
            PowerOperation::Reboot => self.go(name, true),
            PowerOperation::Shutdown => self.go(name, false),
        }
    }

    fn start_boot(&self, name: &str) {
        let due = now() + self.delays().boot;
        self.update(name, |node| {
            node.powered = true;
            node.pingable_only = false;
            node.silent_since = None;
            node.again = None;
            node.phase = Phase::Booting;
            node.due = due;
        });
    }

    fn cut(&self, name: &str, operation: PowerOperation) -> (bool, String) {
        let cut = if self.config.knows_hook("power-fail") {
            "power-fail"
        } else {
            "power-off"
        };
        if !self.hook(&[cut, name], true).ok() {
            return (false, "FAILED".to_owned());
        }
        if operation == PowerOperation::Reset {
            self.start_boot(name);
            return (true, "RESET".to_owned());
        }
        self.update(name, |node| {
            node.powered = false;
            // That the node is gone is noticed as for any other power loss.
            if node.phase != Phase::Up {
                node.phase = Phase::Down;
            }
        });
        (true, on_off(false))
    }

    /// `reboot` and `shutdown` go through the node's own `CMDaemon`, so it has to be there.
    fn go(&self, name: &str, boot_again: bool) -> (bool, String) {
        let due = now() + self.delays().going_down;
        let mut accepted = false;
        self.update(name, |node| {
            accepted = node.phase == Phase::Up && !node.pingable_only;
            if accepted {
                node.phase = Phase::GoingDown { boot_again };
                node.due = due;
            }
        });
        let word = if boot_again { "Reboot" } else { "Shutdown" };
        let rest = if accepted {
            "in progress ..."
        } else {
            "failed"
        };
        (accepted, format!("{word} {rest}"))
    }

    /// What the BMC would say.
    fn is_on(&self, name: &str) -> bool {
        if self.config.knows_hook("power-status") {
            return self.hook(&["power-status", name], false).ok();
        }
        let known = locked(&self.state)
            .nodes
            .get(name)
            .map(|node| (node.phase, node.powered));
        match known {
            Some((Phase::Up | Phase::Down, _)) => self.hook(&["pingable", name], false).ok(),
            Some((_, powered)) => powered,
            None => false,
        }
    }

    pub(crate) fn service(
        &self,
        pid: u32,
        name: &str,
        service: &str,
        action: ServiceAction,
    ) -> NodeResult {
        let result = |ok: bool, text: &str| NodeResult {
            node: name.to_owned(),
            ok,
            text: text.to_owned(),
        };
        let present = locked(&self.state)
            .nodes
            .get(name)
            .is_some_and(|n| n.etcd.present());
        let Some(turn) = self
            .turns
            .get(name)
            .filter(|_| service == "etcd" && present)
        else {
            return result(false, "no such service");
        };
        let _turn = locked(turn);
        let ok = self.act_on_service(name, action);
        let fields = json!({
            "client": pid, "node": name, "service": service, "action": action, "ok": ok,
        });
        self.journal.note("service", true, fields);
        result(ok, "")
    }

    fn act_on_service(&self, name: &str, action: ServiceAction) -> bool {
        let call = |verb: &str| self.hook(&["service", name, verb, "etcd"], true).ok();
        let ok = match action {
            ServiceAction::Start => call("start"),
            ServiceAction::Stop => call("stop"),
            ServiceAction::Restart => call("stop") && call("start"),
            ServiceAction::Reset => true,
        };
        self.update(name, |node| {
            node.etcd.tries = if ok {
                0
            } else {
                node.etcd.tries.min(MAX_TRIES)
            };
            if action != ServiceAction::Reset && ok {
                node.etcd.held = action == ServiceAction::Stop;
                node.etcd.running = action != ServiceAction::Stop;
            }
        });
        ok
    }

    /// Shows what the node-installers ask, and answers for those named.
    pub(crate) fn interactions(
        &self,
        pid: u32,
        nodes: &[String],
        answer: Option<Answer>,
        wait: bool,
    ) -> Vec<NodeResult> {
        if wait {
            self.wait_until(|daemon| {
                let state = locked(&daemon.state);
                nodes.iter().all(|n| {
                    state
                        .nodes
                        .get(n)
                        .is_none_or(|node| node.phase == Phase::Waiting)
                })
            });
        }
        let mut asking: Vec<String> = locked(&self.state)
            .nodes
            .iter()
            .filter(|(_, node)| node.phase == Phase::Waiting)
            .map(|(name, _)| name.clone())
            .collect();
        asking.retain(|name| nodes.is_empty() || nodes.contains(name));
        if let Some(answer) = answer {
            for name in &asking {
                self.journal.note(
                    "interaction",
                    true,
                    json!({ "client": pid, "node": name, "answer": answer }),
                );
                self.update(name, |node| answer_question(node, answer));
            }
        }
        let text = FULL_QUESTION;
        asking
            .into_iter()
            .map(|node| NodeResult {
                node,
                ok: true,
                text: text.to_owned(),
            })
            .collect()
    }
}

fn answer_question(node: &mut Node, answer: Answer) {
    node.due = 0;
    node.phase = match answer {
        // The step before the disk is recreated, with the decision made.
        Answer::Confirm => Phase::Installing {
            full: true,
            step: 1,
        },
        Answer::Deny => Phase::Maintenance,
    };
}

fn on_off(on: bool) -> String {
    if on { "ON" } else { "OFF" }.to_owned()
}

fn message(node: &Node) -> String {
    match node.phase {
        Phase::Installing { full, step } => {
            STEPS[step].replace("{mode}", if full { "FULL" } else { "SYNC" })
        }
        Phase::Waiting | Phase::Console => "waiting for user input".to_owned(),
        Phase::Maintenance => "entered maintenance mode".to_owned(),
        Phase::CallingInit { .. } => "switching to local root".to_owned(),
        Phase::Up if node.pingable_only => "pingable".to_owned(),
        _ => String::new(),
    }
}

/// The changed properties, for the log.
fn differences(kind: Kind, key: &str, old: &Object, new: &Object) -> Vec<Json> {
    let mut changes: Vec<Json> = new
        .props
        .iter()
        .filter(|(name, value)| old.props.get(*name) != Some(value))
        .map(|(name, value)| {
            json!({
                "mode": kind.mode(), "object": key, "property": name,
                "from": old.props.get(name), "to": value,
            })
        })
        .collect();
    if old.roles != new.roles {
        changes.push(json!({
            "mode": kind.mode(), "object": key, "property": "roles",
            "from": old.roles, "to": new.roles,
        }));
    }
    changes
}
