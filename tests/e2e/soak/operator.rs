//! The operator of a disaster: plans, runs, and does what the tool's hints say until every key is back.

use std::fmt::Write as _;
use std::io::{Read as _, Seek as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use lab::Node;

use super::field::{Blow, Field};
use super::schedule::Way;
use crate::harness::{PLAN, Ran, SPEC, sha256};

/// No life is longer, whatever the machine has to do besides.
const LIFE: Duration = Duration::from_secs(240);
/// So long nodes may be on their way.
const SETTLED: Duration = Duration::from_secs(60);
/// `kill -9`.
const SIGKILL: i32 = 9;
/// How often one cluster is planned for.
const PLANS: usize = 4;

pub(super) struct Operator<'a> {
    pub(super) field: Field<'a>,
    pub(super) lives: usize,
    /// Whether a life ended without being asked.
    pub(super) killed: bool,
    plans: usize,
    /// Runs that were given up, whose guards a new plan takes over.
    pub(super) abandoned: Vec<String>,
    /// How the last halt put it, without what differs from time to time.
    last_halt: Vec<String>,
    /// Nobody works on the run there any more.
    take_over: bool,
}

impl<'a> Operator<'a> {
    pub(super) fn new(field: Field<'a>) -> Self {
        Self {
            field,
            lives: 0,
            killed: false,
            plans: 0,
            abandoned: Vec::new(),
            last_halt: Vec::new(),
            take_over: false,
        }
    }

    /// Restores the cluster through everything that is in store for it.
    pub(super) fn restores(&mut self) {
        loop {
            assert!(
                self.lives < self.field.schedule.lives(),
                "not complete after {} lives",
                self.lives
            );
            let args = if self.field.has_open_run() {
                self.resume()
            } else {
                match self.plan() {
                    Some(run) => run,
                    None => continue,
                }
            };
            let (ran, blows, killed) = self.life(&args);
            self.field.cluster.nobody_saw_less();
            let dealt = |blow| blows.contains(&blow);
            match ran.code {
                Some(0) => break,
                // There was no time for a word.
                None => assert!(
                    killed && (dealt(Blow::Kill) || dealt(Blow::HeadDies)),
                    "it died by itself: {ran}"
                ),
                Some(_) if dealt(Blow::Interrupt) && codes(&ran).is_empty() => {}
                Some(_) => self.heed(&ran),
            }
        }
        self.field.mend_all();
        self.settle(&[], "");
        self.field.calm();
    }

    fn resume(&self) -> Vec<String> {
        let mut args = vec!["resume".to_owned(), "--yes".into()];
        if self.take_over {
            let other = self.field.active.other();
            args.extend(["--take-over".into(), other.name().to_owned()]);
        }
        args
    }

    /// A command of the tool on the head node that is the active one.
    fn command(&self, args: &[String]) -> Command {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let (field, schedule) = (&self.field, self.field.schedule);
        let mut command = field
            .cluster
            .command(field.active, "restore-runbook", &args);
        if schedule.heads == 2 {
            command.env("RESTORE_RUNBOOK_STATE_DIR", super::SHARED);
        }
        if schedule.new_host_keys {
            command.env("RESTORE_RUNBOOK_HOST_KEYS", "replace-after-wipe");
        }
        command
    }

    /// What the tool says of its runs.
    pub(super) fn status(&self) -> String {
        let output = self.command(&["status".to_owned()]).output();
        let output = output.expect("it starts");
        let text = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&text).into_owned()
    }

    fn tool(&mut self, args: &[&str]) -> Ran {
        let owned: Vec<String> = args.iter().map(|&arg| arg.to_owned()).collect();
        let ran = Ran::new(args, &self.command(&owned).output().expect("it starts"));
        self.field.note(format!(
            "{}: {:?} {}",
            args[0],
            ran.code,
            codes(&ran).join(" ")
        ));
        ran
    }

    /// Plans, and gives the command that does what was planned; none when something is in the way that
    /// is now put right.
    fn plan(&mut self) -> Option<Vec<String>> {
        self.plans += 1;
        assert!(
            self.plans <= PLANS + self.field.schedule.faults.len(),
            "planned {} times",
            self.plans
        );
        self.write_spec();
        let planned = self.tool(&["plan", "--spec", SPEC, "--out", PLAN, "--force"]);
        if planned.code != Some(0) {
            self.lives += 1;
            self.heed(&planned);
            return None;
        }
        let digest = sha256(&self.on_head(PLAN));
        let args = ["run", "--plan", PLAN, "--approve"];
        let mut args: Vec<String> = args.map(str::to_owned).to_vec();
        args.push(format!("sha256:{digest}"));
        Some(args)
    }

    fn on_head(&self, path: &str) -> std::path::PathBuf {
        let root = self.field.cluster.lab.root_of(self.field.active);
        root.join(path.trim_start_matches('/'))
    }

    /// With deadlines for somebody who is there, and for small disks.
    fn write_spec(&self) {
        let schedule = self.field.schedule;
        let mut extra = format!("parallel: {}\n", schedule.parallel);
        extra.push_str(match schedule.way {
            Way::Article => "",
            Way::DatanodeEarly => "datanode_again: after_reprovision\n",
            Way::Confirm => "full_install: confirm\n",
        });
        if !self.abandoned.is_empty() {
            let of_run = |run: &String| format!("{run}: it was abandoned");
            let guards: Vec<_> = self.abandoned.iter().map(of_run).collect();
            let _ = writeln!(extra, "allow: {{guards: {{{}}}}}", guards.join(", "));
        }
        let wiped = |node: Node| schedule.wiped.contains(&node);
        let text = self.field.cluster.spec_text(wiped, &extra);
        let patience = "quick_s: 10, stop_s: 20, reprovision_s: 25, restore_s: 30, start_s: 30";
        let text = text.replace(
            "quick_s: 60, stop_s: 120, reprovision_s: 300, restore_s: 180, start_s: 180",
            patience,
        );
        assert!(text.contains(patience), "{text}");
        std::fs::write(self.on_head(SPEC), text).expect("spec");
    }

    /// One life of the tool, with everything that befalls it, what of that was dealt to itself, and whether it
    /// was killed.
    fn life(&mut self, args: &[String]) -> (Ran, Vec<Blow>, bool) {
        self.lives += 1;
        let mut said = tempfile::tempfile().expect("a file");
        let mut command = self.command(args);
        command.stdout(Stdio::null());
        command.stderr(said.try_clone().expect("a file"));
        let mut life = command.spawn().expect("the tool starts");
        let (begun, mut blows) = (Instant::now(), Vec::new());
        let status = loop {
            if let Some(status) = life.try_wait().expect("wait") {
                break status;
            }
            if begun.elapsed() > LIFE {
                drop(life.kill());
                panic!("a life does not end:\n{}", read(&mut said));
            }
            let journal = self.field.journal();
            if let Some(dealt) = self.field.befall(&journal) {
                blows.push(dealt);
                deal(&mut life, dealt);
            }
            thread::sleep(Duration::from_millis(15));
        };
        let killed = status.signal() == Some(SIGKILL);
        self.killed |= killed;
        let ran = Ran {
            what: args.join(" "),
            code: status.code(),
            stdout: String::new(),
            stderr: read(&mut said),
        };
        let what = &args[0];
        self.field
            .note(format!("{what}: {:?} {}", ran.code, codes(&ran).join(" ")));
        (ran, blows, killed)
    }

    /// Does what the tool says.
    fn heed(&mut self, ran: &Ran) {
        let codes = codes(ran);
        let has = |code: &str| codes.iter().any(|is| is == code);
        assert!(!codes.is_empty(), "no reason: {ran}");
        assert!(ran.stderr.contains("hint: "), "no way on: {ran}");
        assert!(!has("internal"), "{ran}");
        if has("run-elsewhere") {
            // The life there has ended, or its head is dead.
            self.take_over = true;
        }
        self.field.mend_all();
        self.settle(&codes, &ran.stderr);
        let again = self.last_halt == codes;
        if again && ran.stderr.contains("restore-runbook abandon") {
            self.abandons();
        }
        self.last_halt = codes;
    }

    fn abandons(&mut self) {
        let run = self.field.cluster.runs().pop();
        let run = run.and_then(|run| Some(run.file_name()?.to_str()?.to_owned()));
        let run = run.expect("a run");
        let mut args = vec!["abandon", &run, "--reason", "a disk was lost", "--yes"];
        if self.take_over {
            args.extend(["--take-over", self.field.active.other().name()]);
        }
        self.tool(&args).done();
        self.abandoned.push(run);
    }

    /// Sees to it that every node is up, or off for a reason.
    fn settle(&mut self, codes: &[String], said: &str) {
        let has = |code: &str| codes.iter().any(|is| is == code);
        let nodes = self.field.cluster.nodes();
        let (begun, mut reset) = (Instant::now(), Vec::new());
        for node in &nodes {
            self.put_right(*node, &has, said);
        }
        loop {
            let mut waits = None;
            for &node in &nodes {
                let status = self.field.status(node);
                let given_up = ["INSTALLER_FAILED", "INSTALLER_UNREACHABLE", "maintenance"];
                if given_up.iter().any(|word| status.contains(word)) && !reset.contains(&node) {
                    reset.push(node);
                    self.by_hand(node, &format!("device; power -n {node} reset"));
                    waits = Some(status);
                } else if status.contains("waiting for user input") {
                    if self.answers(node, has("installer-asks-again")) {
                        waits = Some(status);
                    }
                } else if status.contains("DOWN") {
                    let asked_for = has("ssh-unreachable");
                    if self.field.has_power(node) || asked_for && self.field.power_on_again(node) {
                        waits = Some(status);
                    }
                } else if !status.contains("UP") || !self.field.hook(&["ssh-ok", &node.name()]) {
                    waits = Some(format!("{node}: {status}"));
                }
            }
            match waits {
                None => return,
                // A halt that comes of it will say so.
                Some(status) if begun.elapsed() > SETTLED => {
                    return self.field.note(format!("not settled: {status}"));
                }
                Some(_) => thread::sleep(Duration::from_millis(100)),
            }
        }
    }

    fn by_hand(&mut self, node: Node, script: &str) {
        self.field.note(format!("by hand ({node}): {script}"));
        self.field.cmsh(script);
    }

    /// What some halts ask for beyond what is mended anyway.
    fn put_right(&mut self, node: Node, has: &dyn Fn(&str) -> bool, said: &str) {
        let empty = format!("nextinstallmode of {node} is empty");
        let not_safe = |line: &str| line.contains("not safe to go on") && line.contains(&empty);
        if has("not-safe") && said.lines().any(not_safe) {
            let mode = format!("device; use {node}; set nextinstallmode FULL; commit");
            self.by_hand(node, &mode);
        }
        let status = self.field.status(node);
        if has("disk-not-wiped") && !self.guarded(node) && status.contains("UP") {
            let again = format!("device; use {node}; set nextinstallmode FULL; commit; reboot");
            self.by_hand(node, &again);
        }
        if has("node-came-up") && self.field.schedule.lost.contains(&node) {
            self.field.note(format!("by hand ({node}): off"));
            self.field.power_off(node);
        }
    }

    /// Whether what stands at the spool path is a file.
    fn guarded(&self, node: Node) -> bool {
        let spool = self.field.cluster.lab.disk(node).join("var/lib/etcd");
        spool.is_file()
    }

    /// A question that the run will not answer: yes where the disk is lost, and else the disk is kept. Whether
    /// the node goes on.
    fn answers(&mut self, node: Node, asks_again: bool) -> bool {
        if !self.field.hook(&["disk-ok", &node.name()]) {
            let confirm = format!("device; installerinteractions -n {node} --confirm");
            self.by_hand(node, &confirm);
            return true;
        }
        if asks_again {
            let keep = format!("device; use {node}; set nextinstallmode SKIP; commit; power reset");
            self.by_hand(node, &keep);
        }
        asks_again
    }
}

fn deal(life: &mut Child, blow: Blow) {
    match blow {
        Blow::Kill => drop(life.kill()),
        // It has gone with its head.
        Blow::HeadDies => {}
        Blow::Interrupt => {
            let pid = life.id().to_string();
            drop(Command::new("kill").args(["-INT", &pid]).status());
        }
    }
}

fn read(said: &mut std::fs::File) -> String {
    let mut text = String::new();
    drop(said.rewind());
    drop(said.read_to_string(&mut text));
    text
}

/// The codes in what it said, each in brackets: of what stopped it, and of what it waited for.
fn codes(ran: &Ran) -> Vec<String> {
    let mut codes: Vec<String> = Vec::new();
    let plain = |c: char| c.is_ascii_lowercase() || c == '-' || c.is_ascii_digit();
    let mut before = "";
    for part in ran.stderr.split('[') {
        let code = part.split_once(']').map_or("", |(code, _)| code);
        let is_code = before.ends_with("error") || code.contains('-');
        before = part;
        if is_code && code.chars().all(plain) && !codes.iter().any(|known| known == code) {
            codes.push(code.to_owned());
        }
    }
    codes
}
