//! The lab as the faults and the operator find it: what is wrong at the moment, and how it is put right.

use std::fs::{self, File};
use std::io::Write as _;
use std::time::{Duration, Instant};

use lab::{Head, Node};
use serde_json::{Value, json};

use super::schedule::{Fault, Mended, Schedule, What, When};
use crate::harness::Cluster;

/// What takes the room of a full disk.
const BALLAST: &str = "var/tmp/ballast";

/// The lab, and the faults in it.
pub(super) struct Field<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) schedule: &'a Schedule,
    pub(super) active: Head,
    faults: Vec<(Fault, State)>,
    story: Vec<String>,
    begun: Instant,
    /// The nodes whose button was pressed: a request of the cluster manager can get lost.
    on: Vec<Node>,
}

/// Where a fault is.
#[derive(Debug, Clone, Copy)]
enum State {
    /// Not yet met.
    Ahead,
    /// The run has come so far; it strikes then.
    Due(Instant),
    /// It lasts, and is mended then, if not before by the operator.
    Lasts(Option<Instant>),
    Over,
    /// There was nothing to strike: the node was off, or not there yet.
    InVain,
}

/// What the life under way has to suffer by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Blow {
    Kill,
    Interrupt,
    /// Its head node, with everything on it.
    HeadDies,
}

impl<'a> Field<'a> {
    pub(super) fn new(cluster: &'a Cluster, schedule: &'a Schedule) -> Self {
        let ahead = |fault: &Fault| (*fault, State::Ahead);
        let field = Self {
            faults: schedule.faults.iter().map(ahead).collect(),
            cluster,
            schedule,
            active: Head::First,
            story: Vec::new(),
            begun: Instant::now(),
            on: Vec::new(),
        };
        field.set_scenario();
        field
    }

    pub(super) fn note(&mut self, what: impl std::fmt::Display) {
        let at = self.begun.elapsed().as_secs_f64();
        self.story.push(format!("{at:7.2} {what}"));
    }

    pub(super) fn story(&self) -> String {
        self.story.join("\n")
    }

    /// The faults that have struck.
    pub(super) fn met(&self) -> Vec<What> {
        let met = |(fault, state): &(Fault, State)| {
            matches!(state, State::Lasts(_) | State::Over).then_some(fault.what)
        };
        self.faults.iter().filter_map(met).collect()
    }

    /// Lets happen what is due while a life runs.
    pub(super) fn befall(&mut self, journal: &str) -> Option<Blow> {
        let now = Instant::now();
        for at in 0..self.faults.len() {
            let (fault, state) = self.faults[at];
            match state {
                State::Ahead => {
                    if let Some(later) = reached(fault.when, journal) {
                        self.faults[at].1 = State::Due(now + later);
                    }
                }
                State::Due(due) if now >= due => {
                    let blow = self.strike(at, journal);
                    if blow.is_some() {
                        return blow;
                    }
                }
                State::Lasts(Some(end)) if now >= end => self.mend(at),
                _ => {}
            }
        }
        None
    }

    fn strike(&mut self, at: usize, journal: &str) -> Option<Blow> {
        let fault = self.faults[at].0;
        let end = match fault.mended {
            Mended::After(later) => Some(Instant::now() + Duration::from_millis(later)),
            _ => None,
        };
        self.faults[at].1 = match fault.mended {
            Mended::Never => State::Over,
            _ => State::Lasts(end),
        };
        let lines = journal.lines().count();
        let struck = match fault.what {
            What::Kill | What::Interrupt => true,
            What::PowerLoss(node) => self.lose_power(node),
            What::DiskLost(node) => self.lose_disk(node),
            What::Cut(node) => self.hook(&["cut", &node.name()]),
            What::DiskFull(node) => self.fill(node),
            What::Daemon => self.cluster.lab.cmdaemon(false).is_ok(),
            What::Failover { dies } => self.fail_over(dies),
            What::Session(_) | What::Installer(..) | What::ImageLocked | What::BmcSilent(_) => {
                self.set_scenario();
                true
            }
            What::OldDisk(node) => self.clear_mode(node),
        };
        let came = if struck {
            ""
        } else {
            ", and nothing came of it"
        };
        self.note(format!("line {lines}: {}{came}", fault.what));
        if !struck {
            self.faults[at].1 = State::InVain;
        }
        match fault.what {
            What::Kill => Some(Blow::Kill),
            What::Interrupt => Some(Blow::Interrupt),
            What::Failover { dies: true } if struck => Some(Blow::HeadDies),
            _ => None,
        }
    }

    /// Puts everything right that is wrong now.
    pub(super) fn mend_all(&mut self) {
        for at in 0..self.faults.len() {
            if matches!(self.faults[at].1, State::Lasts(_)) {
                self.mend(at);
            }
        }
    }

    fn mend(&mut self, at: usize) {
        let what = self.faults[at].0.what;
        self.faults[at].1 = State::Over;
        self.note(format!("mended: {what}"));
        match what {
            What::PowerLoss(node) | What::DiskLost(node) => self.power_on(node),
            What::Cut(node) => drop(self.hook(&["join", &node.name()])),
            What::DiskFull(node) => {
                drop(fs::remove_file(self.cluster.lab.disk(node).join(BALLAST)));
                // As the hint of `etcd-unreachable` says: the failed starts of an armed etcd stay counted.
                drop(self.cluster.lab.ssh(node, "systemctl reset-failed etcd"));
                self.cmsh(&format!("device; services {node}; reset etcd"));
            }
            What::Daemon => self.cluster.lab.cmdaemon(true).expect("CMDaemon"),
            What::Session(_) | What::Installer(..) | What::ImageLocked => self.set_scenario(),
            What::BmcSilent(node) => {
                self.set_scenario();
                // The button, for what the run could not do.
                let begun = format!("\"unit\":\"reprovision/{node}/boot\"");
                if self.journal().contains(&begun) && self.status(node).contains("DOWN") {
                    self.power_on(node);
                }
            }
            What::Kill | What::Interrupt | What::Failover { .. } | What::OldDisk(_) => {}
        }
    }

    pub(super) fn journal(&self) -> String {
        let run = self.cluster.runs().pop();
        let text = run.and_then(|run| fs::read_to_string(run.join("journal.jsonl")).ok());
        text.unwrap_or_default()
    }

    /// Whether the newest run is neither complete nor given up.
    pub(super) fn has_open_run(&self) -> bool {
        let journal = self.journal();
        !journal.is_empty() && !journal.contains("\"kind\":\"closed\"")
    }

    pub(super) fn hook(&self, words: &[&str]) -> bool {
        matches!(self.cluster.lab.hook(words), Ok((true, _)))
    }

    /// What cmsh prints, if it does: its daemon may be gone, or the session the one that a fault is for.
    pub(super) fn cmsh(&self, script: &str) -> Option<String> {
        self.cluster.lab.cmsh(script).ok()
    }

    /// What the cluster manager shows of a node.
    pub(super) fn status(&self, node: Node) -> String {
        let all = self.cmsh("device; status").unwrap_or_default();
        let of_node = |line: &&str| line.contains(&format!("{node} ..."));
        all.lines().find(of_node).unwrap_or_default().to_owned()
    }

    pub(super) fn has_power(&self, node: Node) -> bool {
        self.hook(&["power-status", &node.name()])
    }

    /// By its own button; through its installer, as every boot goes.
    fn power_on(&mut self, node: Node) {
        self.on.push(node);
        if !self.has_power(node) {
            self.cmsh(&format!("device; power -n {node} on"));
        }
    }

    /// Whether the button of a node that is off was pressed before; then it is once more.
    pub(super) fn power_on_again(&mut self, node: Node) -> bool {
        let pressed = self.on.contains(&node);
        if pressed {
            self.power_on(node);
        }
        pressed
    }

    /// It stays off from now on.
    pub(super) fn power_off(&mut self, node: Node) {
        self.on.retain(|on| *on != node);
        self.cmsh(&format!("device; power -n {node} off"));
    }

    /// A node that is in its installer begins anew; one that is off has nothing to lose.
    fn lose_power(&self, node: Node) -> bool {
        if self.has_power(node) {
            return self.hook(&["power-fail", &node.name()]);
        }
        let status = self.status(node);
        let on_its_way = !status.is_empty() && !status.contains("DOWN");
        on_its_way
            && self
                .cmsh(&format!("device; power -n {node} reset"))
                .is_some()
    }

    /// Only while the role is away from all: a node that comes up with it and a new disk has an empty etcd.
    fn lose_disk(&self, node: Node) -> bool {
        let given_back = || self.journal().contains("\"unit\":\"reassign/");
        self.has_power(node)
            && !given_back()
            && self.hook(&["power-fail", &node.name()])
            && !given_back()
            && self.hook(&["wipe", &node.name()])
    }

    fn fill(&self, node: Node) -> bool {
        let Ok(mut ballast) = File::create(self.cluster.lab.disk(node).join(BALLAST)) else {
            return false;
        };
        let (zeros, mut size) = (vec![0; 1 << 20], 1 << 20);
        // Down to the last page.
        while size >= 4096 {
            if ballast.write_all(&zeros[..size]).is_err() {
                size /= 2;
            }
        }
        true
    }

    fn fail_over(&mut self, dies: bool) -> bool {
        let old = self.active;
        if dies {
            self.hook(&["power-fail", old.name()]);
        }
        let done = self.cluster.lab.fail_over(!dies).is_ok();
        if done {
            self.active = old.other();
        }
        done
    }

    /// A node that was told to be installed boots as it is.
    fn clear_mode(&self, node: Node) -> bool {
        let mode = format!("device; get {node} nextinstallmode");
        let is_full = || self.cmsh(&mode).is_some_and(|mode| mode.contains("FULL"));
        let given_up = Instant::now() + Duration::from_secs(3);
        while !is_full() {
            if Instant::now() > given_up {
                return false;
            }
        }
        let clear = format!("device; use {node}; clear nextinstallmode; commit");
        self.cmsh(&clear).is_some()
    }

    /// Nothing is odd any more.
    pub(super) fn calm(&self) {
        self.cluster.lab.scenario(&json!({})).expect("a scenario");
    }

    /// What goes wrong with the cluster manager now, and what is odd about it all the time.
    fn set_scenario(&self) {
        let mut faults = Vec::new();
        let mut scenario = json!({
            "dialect": { "seed": self.schedule.dialect },
            "output": self.schedule.output,
            "delays_ms": { "again": 200, "calling_init_limit": 15_000, "install_step": 60 },
        });
        for (fault, state) in &self.faults {
            match (state, fault.what) {
                (State::Lasts(_), What::Session(how)) => {
                    faults.push(json!({ "what": how, "at": "commit", "times": 1 }));
                }
                (State::Lasts(_), What::Installer(node, fate)) => {
                    scenario["installs"][node.name()] = json!({ "what": fate, "times": 1 });
                }
                (State::Lasts(_), What::ImageLocked) => {
                    scenario["provisioning"]["locked_images"] = json!(["default-image"]);
                }
                (State::Lasts(_), What::BmcSilent(node)) => {
                    scenario["bmc_failed"] = json!([node.name()]);
                }
                _ => {}
            }
        }
        scenario["faults"] = Value::Array(faults);
        self.cluster.lab.scenario(&scenario).expect("a scenario");
    }
}

/// Whether the run has come so far, and how long after that it is due.
fn reached(when: When, journal: &str) -> Option<Duration> {
    match when {
        When::Line(line) => (journal.lines().count() >= line).then_some(Duration::ZERO),
        When::Phase(phase, later) => journal
            .contains(&format!("\"unit\":\"{phase}/"))
            .then_some(Duration::from_millis(later)),
    }
}
