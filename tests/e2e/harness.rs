//! A cluster to lose: a lab with data in it, a snapshot of that data, and the watcher.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use lab::{Armed, Dump, Head, Lab, LabOptions, MemberHash, Node, Watcher, build_programs};
use serde_json::Value;

/// Polling gives up only after this long; nothing is timed.
pub(crate) const DEADLINE: Duration = Duration::from_secs(180);

/// Where the tool keeps its runs on the head node.
pub(crate) const STATE: &str = "/var/lib/restore-runbook";

pub(crate) const SPEC: &str = "/root/spec.yaml";
pub(crate) const PLAN: &str = "/root/plan.json";

/// A lab whose etcd holds data, with a snapshot of it, watched from outside.
pub(crate) struct Cluster {
    pub(crate) lab: Lab,
    pub(crate) snapshot: PathBuf,
    before: Dump,
    hashes: Vec<MemberHash>,
    pub(crate) watcher: Watcher,
    /// Where the tool's state can be seen from outside.
    pub(crate) state: PathBuf,
    /// Where etcd's certificates lie on the head node, as the tool is told.
    certificates: [(&'static str, String); 3],
}

/// How many labs may be up at once: each node is a small machine.
fn slot() -> &'static Slots {
    static SLOTS: OnceLock<Slots> = OnceLock::new();
    SLOTS.get_or_init(Slots::default)
}

impl Cluster {
    /// A cluster of this many members.
    pub(crate) fn of(members: u8) -> Self {
        Self::with(LabOptions {
            nodes: members,
            ..LabOptions::default()
        })
    }

    /// A cluster in a lab of this kind.
    pub(crate) fn with(mut options: LabOptions) -> Self {
        slot().take();
        let programs = build_programs().expect("programs");
        options
            .tools
            .push(programs.get("restore-runbook").expect("restore-runbook"));
        options
            .tools
            .push(programs.get("examples/embed").expect("embed"));
        let lab = Lab::start(&options).expect("lab");
        let first = lab.nodes()[0];
        lab.etcd().load(1000, 128, 7).expect("load");
        let before = lab.etcd().dump(first).expect("dump");
        let hashes = lab.etcd().hash_kv().expect("hashes");
        let snapshot = lab.snapshot(first).expect("snapshot");
        let watcher = Watcher::start(lab.etcd());
        let registry = before
            .keys
            .keys()
            .filter(|key| key.starts_with(b"/registry/"))
            .count();
        let least = |keys: usize| i64::try_from(keys).expect("a small number");
        watcher.arm(Armed {
            keys: least(before.keys.len()),
            registry: least(registry),
        });
        Self {
            state: lab.head_root().join(STATE.trim_start_matches('/')),
            lab,
            snapshot,
            before,
            hashes,
            watcher,
            certificates: [
                ("RESTORE_RUNBOOK_ETCD_CA", "etcd/ca.crt"),
                ("RESTORE_RUNBOOK_ETCD_CERT", "apiserver-etcd-client.crt"),
                ("RESTORE_RUNBOOK_ETCD_KEY", "apiserver-etcd-client.key"),
            ]
            .map(|(variable, file)| (variable, format!("{}/{file}", options.bcm.pki()))),
        }
    }

    pub(crate) fn nodes(&self) -> Vec<Node> {
        self.lab.nodes()
    }

    /// The total disaster, and the cluster manager has noticed it.
    pub(crate) fn lose_all_disks(&self) {
        self.lab.lose_all_disks().expect("disaster");
        until("every node is seen to be down", || {
            self.cmsh("device; status").matches("DOWN").count() == self.nodes().len()
        });
    }

    /// Writes the spec on the head node: every member, `reprovision` as asked.
    pub(crate) fn spec(&self, reprovision: impl Fn(Node) -> bool, extra: &str) {
        let spec = self.spec_text(reprovision, extra);
        fs::write(self.on_head(SPEC), spec).expect("spec");
    }

    /// The same as text.
    pub(crate) fn spec_text(&self, reprovision: impl Fn(Node) -> bool, extra: &str) -> String {
        let mut members = String::new();
        for node in self.nodes() {
            let word = if reprovision(node) { "yes" } else { "no" };
            writeln!(members, "  - node: {node}\n    reprovision: {word}").ok();
        }
        format!(
            "format: 1\ncluster: default\nsnapshot: {}\nmodule: etcd/kube-default/{}\nmembers:\n{members}\
             deadlines: {{quick_s: 60, stop_s: 120, reprovision_s: 300, restore_s: 180, start_s: 180, poll_s: 1}}\n{extra}",
            self.snapshot.display(),
            self.lab.etcd_version(),
        )
    }

    /// Where a file of the head node can be seen from outside.
    pub(crate) fn on_head(&self, path: &str) -> PathBuf {
        self.lab.head_root().join(path.trim_start_matches('/'))
    }

    /// Runs the tool on the head node to its end.
    pub(crate) fn tool(&self, args: &[&str]) -> Ran {
        self.on_head_runs("restore-runbook", args)
    }

    /// Runs any program on the head node to its end.
    pub(crate) fn on_head_runs(&self, program: &str, args: &[&str]) -> Ran {
        let output = self.command(Head::First, program, args).output();
        Ran::new(args, &output.expect("the program starts"))
    }

    /// A program on a head node, told where the certificates are.
    pub(crate) fn command(&self, head: Head, program: &str, args: &[&str]) -> Command {
        let mut command = self.lab.command_on(head, program, args);
        command.envs(self.certificates.clone()).stdin(Stdio::null());
        command
    }

    /// Makes a plan of the spec; its digest.
    pub(crate) fn plan(&self) -> String {
        let ran = self
            .tool(&["plan", "--spec", SPEC, "--out", PLAN, "--force"])
            .done();
        let digest = sha256(&self.on_head(PLAN));
        assert!(
            ran.stdout.contains(&digest),
            "the plan names its digest:\n{}",
            ran.stdout
        );
        format!("sha256:{digest}")
    }

    /// Plans and runs to the end.
    pub(crate) fn restore(&self) -> Ran {
        let digest = self.plan();
        self.run(&digest)
    }

    pub(crate) fn run(&self, digest: &str) -> Ran {
        self.tool(&["run", "--plan", PLAN, "--approve", digest])
    }

    /// Starts a run or its continuation, and leaves it running.
    pub(crate) fn start(&self, args: &[&str]) -> Child {
        let mut command = self.command(Head::First, "restore-runbook", args);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        command.spawn().expect("the tool starts")
    }

    pub(crate) fn start_run(&self, digest: &str) -> Child {
        self.start(&["run", "--plan", PLAN, "--approve", digest])
    }

    pub(crate) fn resume(&self) -> Ran {
        self.tool(&["resume", "--yes"])
    }

    /// The directories of all runs.
    pub(crate) fn runs(&self) -> Vec<PathBuf> {
        let runs = self.state.join("default/runs");
        let mut found: Vec<_> = fs::read_dir(runs)
            .into_iter()
            .flatten()
            .flatten()
            .map(|e| e.path())
            .collect();
        found.sort();
        found
    }

    /// The journal of the newest run, one record per line; what is torn is left out.
    pub(crate) fn journal(&self) -> Vec<Value> {
        let Some(run) = self.runs().pop() else {
            return Vec::new();
        };
        let text = fs::read_to_string(run.join("journal.jsonl")).unwrap_or_default();
        text.lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// The ids of the units with an entry of this kind, in order.
    pub(crate) fn entries(&self, kind: &str) -> Vec<String> {
        let of_kind = |record: &Value| {
            let entry = &record["entry"];
            (entry["kind"] == kind).then(|| entry["unit"].as_str().unwrap_or_default().to_owned())
        };
        self.journal().iter().filter_map(of_kind).collect()
    }

    /// Every key is back on every member, the hashes are what they were, the nodes are data nodes,
    /// and nobody ever saw less.
    pub(crate) fn everything_is_back(&self) {
        self.lab.etcd().wait_healthy().expect("healthy");
        let (before, after) = (&self.hashes[0], self.lab.etcd().hash_kv().expect("hashes"));
        let behind = |member: &&MemberHash| member.revision < before.revision;
        assert_eq!(after.iter().find(behind), None, "{before:?}");
        for node in self.nodes() {
            let after = self.lab.etcd().dump(node).expect("dump");
            assert_eq!(
                self.before.differences(&after, 10),
                Vec::<String>::new(),
                "{node}"
            );
            let name = node.to_string();
            assert_eq!(self.cmsh(&format!("device; get {name} datanode")), "yes");
            assert_eq!(
                self.cmsh(&format!("device; get {name} nextinstallmode")),
                ""
            );
        }
        self.nobody_saw_less();
    }

    pub(crate) fn nobody_saw_less(&self) {
        self.watcher
            .verdict()
            .expect("no etcd ever answered with less");
    }

    /// Nothing that the tool has said or written holds one of these, nor the key it asks etcd with; and what
    /// it keeps is private.
    pub(crate) fn nothing_tells(&self, secrets: &[&str], said: &[Ran]) {
        let key = self.on_head("/etc/kubernetes/pki/default/apiserver-etcd-client.key");
        let key = fs::read_to_string(key).expect("the key");
        let mut secrets = secrets.to_vec();
        secrets.push(key.lines().nth(1).expect("a line of the key"));
        let untold = |what: &str, text: &str| {
            let told = secrets.iter().find(|secret| text.contains(**secret));
            assert_eq!(told, None, "{what} tells a secret");
        };
        for ran in said {
            untold(&ran.what, &format!("{}{}", ran.stdout, ran.stderr));
        }
        let mut read = 0;
        let mut dirs = vec![self.on_head(STATE), self.lab.shared().join("backup/etcd")];
        while let Some(dir) = dirs.pop() {
            for entry in fs::read_dir(&dir).expect("a directory").flatten() {
                let (path, about) = (entry.path(), entry.metadata().expect("about it"));
                let right = if about.is_dir() { 0o700 } else { 0o600 };
                assert_eq!(about.mode() & 0o7777, right, "{}", path.display());
                if about.is_dir() {
                    dirs.push(path);
                } else if path.extension().is_none_or(|kind| kind != "db") {
                    // A backup itself is full of them, and private.
                    let bytes = fs::read(&path).expect("a file");
                    untold(
                        &path.display().to_string(),
                        &String::from_utf8_lossy(&bytes),
                    );
                    read += 1;
                }
            }
        }
        assert!(read > 4, "plan, journal, log, manifest, revision: {read}");
    }

    pub(crate) fn cmsh(&self, script: &str) -> String {
        self.lab.cmsh(script).expect("cmsh").trim().to_owned()
    }

    /// What the cluster manager was told to change, as its own log has it.
    pub(crate) fn changes(&self) -> Vec<Value> {
        let log = fs::read_to_string(self.lab.layout().standin_state().join("cmd.log"));
        let lines = log.unwrap_or_default();
        let lines = lines
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines
            .filter(|line| line["write"] == true && !line["client"].is_null())
            .collect()
    }

    pub(crate) fn hashes(&self) -> &[MemberHash] {
        &self.hashes
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if thread::panicking() {
            for run in self.runs() {
                for file in ["journal.jsonl", "commands.log"] {
                    let text = fs::read_to_string(run.join(file)).unwrap_or_default();
                    let lines: Vec<_> = text.lines().collect();
                    let tail = lines[lines.len().saturating_sub(30)..].join("\n");
                    eprintln!("--- {} {file}\n{tail}", run.display());
                }
            }
        }
        slot().give_back();
    }
}

/// How the tool ended, and what it said.
pub(crate) struct Ran {
    pub(crate) what: String,
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn new(args: &[&str], output: &Output) -> Self {
        Self {
            what: args.join(" "),
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// It must have succeeded.
    pub(crate) fn done(self) -> Self {
        assert_eq!(self.code, Some(0), "{self}");
        self
    }

    /// It must have refused or halted, and said why with this code.
    pub(crate) fn refused(self, code: &str) -> Self {
        assert!(!matches!(self.code, Some(0) | None), "{self}");
        assert!(self.stderr.contains(code), "no {code} in {self}");
        self
    }
}

impl std::fmt::Display for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            what,
            code,
            stdout,
            stderr,
        } = self;
        write!(
            f,
            "restore-runbook {what}: {code:?}\n--- stdout\n{stdout}\n--- stderr\n{stderr}"
        )
    }
}

/// Ctrl-C once; what a run that was started says until it has halted.
pub(crate) fn halt(life: &mut Child) -> String {
    let interrupted = Command::new("kill")
        .args(["-INT", &life.id().to_string()])
        .status();
    assert!(interrupted.expect("kill").success());
    let mut said = String::new();
    let stderr = life.stderr.take().expect("stderr");
    std::io::Read::read_to_string(&mut { stderr }, &mut said).expect("stderr");
    let status = life.wait().expect("wait");
    assert!(
        !status.success(),
        "it was through before it was halted: {said}"
    );
    said
}

/// Waits for something to come true.
pub(crate) fn until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < DEADLINE, "no {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// What `sha256sum` prints.
pub(crate) fn sha256(path: &Path) -> String {
    let output = Command::new("sha256sum")
        .arg(path)
        .output()
        .expect("sha256sum");
    String::from_utf8_lossy(&output.stdout)
        .split(' ')
        .next()
        .unwrap_or_default()
        .to_owned()
}

/// A counting semaphore: as many labs at once as the machine can bear. Most of the time each waits for boots,
/// elections and polls, so one more than there are cores.
struct Slots {
    free: std::sync::Mutex<usize>,
    given: std::sync::Condvar,
}

impl Default for Slots {
    fn default() -> Self {
        let cores = thread::available_parallelism().map_or(2, usize::from);
        Self {
            free: (cores + 1).into(),
            given: std::sync::Condvar::new(),
        }
    }
}

impl Slots {
    fn take(&self) {
        let mut free = self
            .free
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        while *free == 0 {
            free = self
                .given
                .wait(free)
                .unwrap_or_else(std::sync::PoisonError::into_inner);
        }
        *free -= 1;
    }

    fn give_back(&self) {
        *self
            .free
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner) += 1;
        self.given.notify_one();
    }
}

/// A number that differs from run to run, told when a test fails.
pub(crate) fn dice() -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(std::process::id())
}
