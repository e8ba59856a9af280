//! A lab as its owner sees it.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::time::Duration;

use crate::cgroup::Group;
use crate::disk::unmount_below;
use crate::error::{Error, IoContext as _, Result};
use crate::etcd::EtcdAccess;
use crate::layout::{Head, Layout, Node, PREFIX};
use crate::options::LabOptions;
use crate::programs::{Programs, check_host};
use crate::protocol;
use crate::run::{self, Wait};
use crate::spec::{Ready, Spec, from_json, to_json};
use crate::standin::Manager;
use crate::{cgroup, head, supervisor, sweep};

mod bright;

/// A lab that is up. Dropping it takes it down, unless it was to be kept.
#[derive(Debug)]
pub struct Lab {
    layout: Layout,
    group: Group,
    ready: Ready,
    /// The supervisor, and the pipe that keeps it up; only the owner has them.
    owned: Option<(Child, ChildStdin)>,
}

impl Lab {
    /// Brings a lab up.
    ///
    /// # Errors
    /// When the machine lacks something, or a part of the lab does not come up; nothing stays behind then.
    pub fn start(options: &LabOptions) -> Result<Self> {
        if !rustix::process::geteuid().is_root() {
            return Err(Error::refused(
                "a lab needs root",
                "run it as root, on a machine to play with",
            ));
        }
        Node::new(options.nodes)?;
        Head::new(options.heads)?;
        check_host()?;
        let programs = Programs::locate()?;
        let program = programs.get("lab")?;
        let spec = Spec {
            nodes: options.nodes,
            heads: options.heads,
            etcd: options.etcd.locate()?,
            bcm: options.bcm,
            host_key_after_wipe: options.host_key_after_wipe,
            precreate_spool: options.precreate_spool,
            disk_bytes: options.disk_bytes,
            tools: options.tools.clone(),
            standin: options.standin(&programs)?,
            lab_program: program.clone(),
            keep: options.keep,
        };
        let base = options.base.canonicalize().on("use", &options.base)?;
        let random = uuid::Uuid::now_v7().simple().to_string();
        let layout = Layout::new(base.join(format!("{PREFIX}{}", &random[24..])));
        let group = Group::of_lab(&layout.id())?;
        let (child, pipe, ready) = start_supervisor(&program, &layout, &spec)?;
        let lab = Self {
            layout,
            group,
            ready,
            owned: Some((child, pipe)),
        };
        if let Err(e) = lab.finish_start(options) {
            // The lab is about to go, and its logs with it.
            let _ = writeln!(std::io::stderr(), "{}", lab.logs());
            return Err(e);
        }
        Ok(lab)
    }

    fn finish_start(&self, options: &LabOptions) -> Result<()> {
        if options.manager == Manager::Nobody {
            for node in self.nodes() {
                self.hook(&["role", &node.name(), "etcd", "on"])?;
                self.hook(&["service", &node.name(), "start", "etcd"])?;
            }
        }
        if options.wait_healthy {
            self.etcd().wait_healthy()?;
        }
        Ok(())
    }

    /// Finds a lab that is up already, by its directory. Dropping the result leaves it up.
    ///
    /// # Errors
    /// When no lab answers there.
    pub fn attach(dir: &Path) -> Result<Self> {
        let layout = Layout::new(dir.canonicalize().on("find the lab", dir)?);
        let ready = from_json(
            "the lab's description",
            &protocol::ask(&layout, &["info"])?.out,
        )?;
        Ok(Self {
            group: Group::of_lab(&layout.id())?,
            layout,
            ready,
            owned: None,
        })
    }

    /// Gives up ownership: the lab stays up when this value is dropped, if it was started to be kept.
    pub fn leave(mut self) -> PathBuf {
        self.owned = None;
        self.layout.dir().to_owned()
    }

    /// Where everything of the lab is.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Its nodes.
    pub fn nodes(&self) -> Vec<Node> {
        Node::first(self.ready.nodes)
    }

    /// The version of its etcd.
    pub fn etcd_version(&self) -> &str {
        &self.ready.etcd_version
    }

    /// Where a node's disk can be seen from outside, also while the node is off.
    pub fn disk(&self, node: Node) -> PathBuf {
        self.inside(&self.layout.node(node).join("root"))
    }

    /// Where the first head node's root can be seen from outside.
    pub fn head_root(&self) -> PathBuf {
        self.root_of(Head::First)
    }

    /// Where a head node's root can be seen from outside.
    ///
    /// # Panics
    /// When the lab has only one head node, and this is about the second.
    pub fn root_of(&self, head: Head) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root", self.anchor(head)))
    }

    pub(crate) fn is_pair(&self) -> bool {
        self.ready.anchors.len() == 2
    }

    fn anchor(&self, head: Head) -> u32 {
        let anchor = self.ready.anchors.get(head.index()).copied();
        anchor.unwrap_or_else(|| panic!("{} is no head node of this lab", head.name()))
    }

    /// Where the shared file system, `/cm/shared`, can be seen from outside.
    pub fn shared(&self) -> PathBuf {
        self.inside(&self.layout.shared())
    }

    /// The lab's mounts are in its supervisor's mount namespace; the kernel shows them below /proc.
    fn inside(&self, path: &Path) -> PathBuf {
        let path = path.strip_prefix("/").unwrap_or(path);
        Path::new("/proc")
            .join(self.ready.pid.to_string())
            .join("root")
            .join(path)
    }

    /// etcd's clients, with everything needed to reach it.
    pub fn etcd(&self) -> EtcdAccess {
        let namespace = PathBuf::from(format!("/proc/{}/ns/net", self.anchor(Head::First)));
        EtcdAccess::new(&self.layout, self.nodes(), namespace)
    }

    /// Does something to a node, in the words of `lab hook`; whether the answer was yes, and its text.
    ///
    /// # Errors
    /// When it cannot be done.
    pub fn hook(&self, request: &[&str]) -> Result<(bool, String)> {
        protocol::ask(&self.layout, request).map(|reply| (reply.code == 0, reply.out))
    }

    /// A program on the first head node. The process that is spawned *becomes* the program: a SIGKILL to it
    /// kills the program itself. Standard streams and further environment are the caller's.
    pub fn head_command<S: AsRef<OsStr>>(
        &self,
        program: &str,
        args: impl IntoIterator<Item = S>,
    ) -> Command {
        self.command_on(Head::First, program, args)
    }

    /// The same on either head node.
    ///
    /// # Panics
    /// When the lab has only one head node, and this is about the second.
    pub fn command_on<S: AsRef<OsStr>>(
        &self,
        head: Head,
        program: &str,
        args: impl IntoIterator<Item = S>,
    ) -> Command {
        let mut command = head::command(&self.group, head, self.anchor(head), program);
        command.args(args);
        command
    }

    /// The programs that run on a head node now, each with its command line.
    pub fn programs_on(&self, head: Head) -> Vec<String> {
        let command_line = |pid: i32| {
            let words = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
            Some(String::from_utf8_lossy(&words).replace('\0', " "))
        };
        let pids = self.group.child(head.name()).pids();
        pids.into_iter().filter_map(command_line).collect()
    }

    /// Runs a program on the head node to its end.
    ///
    /// # Errors
    /// When it cannot be started; how it ended is for the caller to judge.
    pub fn head_output<S: AsRef<OsStr>>(
        &self,
        program: &str,
        args: impl IntoIterator<Item = S>,
    ) -> Result<Output> {
        run::output(
            "run a program on the head node",
            &mut self.head_command(program, args),
        )
    }

    /// Runs a script in a login shell of a node, by ssh from the head node; its standard output.
    ///
    /// # Errors
    /// When the login or the script fails.
    pub fn ssh(&self, node: Node, script: &str) -> Result<String> {
        // As the tests' own way in it must not trip over a host key that changed, nor learn it.
        let name = node.name();
        let remote = format!("bash -lc {}", shlex::try_quote(script).unwrap_or_default());
        let args = [
            "-o",
            "BatchMode=yes",
            "-o",
            "ConnectTimeout=10",
            "-o",
            "LogLevel=ERROR",
            "-o",
            "StrictHostKeyChecking=no",
            "-o",
            "UserKnownHostsFile=/dev/null",
            &name,
            &remote,
        ];
        run::run(
            &format!("run a script on {node}"),
            &mut self.head_command("ssh", args),
        )
    }

    /// Waits until a node is up and root can log in.
    ///
    /// # Errors
    /// When that does not happen.
    pub fn wait_ssh(&self, node: Node) -> Result<()> {
        let help = format!("see {}", self.layout.console(node).display());
        Wait {
            what: "a login by ssh",
            deadline: Duration::from_secs(120),
            help: &help,
        }
        .until(|| match self.hook(&["ssh-ok", &node.name()]) {
            Ok((true, _)) => Ok(()),
            Ok((false, _)) => Err(format!("no login on {node}")),
            Err(e) => Err(e.to_string()),
        })
    }

    /// Takes a snapshot on a node, as the vendor's article says it; its path, the same on all machines.
    ///
    /// # Errors
    /// When a command of it fails.
    pub fn snapshot(&self, node: Node) -> Result<PathBuf> {
        let script = format!(
            "set -e; module load etcd/kube-default/{}; mkdir -p /cm/shared/backup/etcd; \
             f=/cm/shared/backup/etcd/etcd-$(hostname)-$(date +%Y%m%d%H%M%S); \
             etcdctl snapshot save $f >&2; echo $f",
            self.etcd_version()
        );
        self.ssh(node, &script)
            .map(|path| PathBuf::from(path.trim()))
    }

    /// The total disaster: all nodes lose their power at once, and all their disks are empty.
    ///
    /// # Errors
    /// When a node cannot be switched off.
    pub fn lose_all_disks(&self) -> Result<()> {
        let names: Vec<_> = self.nodes().into_iter().map(Node::name).collect();
        self.on_all(&names, "power-fail")?;
        self.on_all(&names, "wipe")
    }

    fn on_all(&self, nodes: &[String], deed: &str) -> Result<()> {
        std::thread::scope(|scope| {
            let all: Vec<_> = nodes
                .iter()
                .map(|n| scope.spawn(move || self.hook(&[deed, n])))
                .collect();
            all.into_iter().try_for_each(|one| match one.join() {
                Ok(result) => result.map(drop),
                Err(panic) => std::panic::resume_unwind(panic),
            })
        })
    }

    /// The other disaster: the disks are fine, but no etcd's database can be read any more.
    ///
    /// # Errors
    /// When a node does not answer.
    pub fn corrupt_all_databases(&self) -> Result<()> {
        // Masked, so that nothing restarts it on a database that is only half spoilt.
        let script = "set -e; systemctl mask --runtime -q etcd; systemctl kill -s KILL etcd || true; \
                      while systemctl is-active -q etcd; do sleep 0.02; done; \
                      head -c 65536 /dev/zero | tr '\\0' 'x' | \
                      dd of=/var/lib/etcd/member/snap/db conv=notrunc,fsync status=none; \
                      systemctl unmask --runtime -q etcd";
        self.nodes()
            .into_iter()
            .try_for_each(|node| self.ssh(node, script).map(drop))
    }

    /// The last lines of all logs of the lab, for a test that failed.
    pub fn logs(&self) -> String {
        let layout = &self.layout;
        let mut text = String::new();
        let mut section = |name: String, content: &str| {
            let lines: Vec<_> = content.lines().collect();
            let tail = &lines[lines.len().saturating_sub(30)..];
            let _ = writeln!(text, "--- {name}\n{}", tail.join("\n"));
        };
        for file in [layout.supervisor_log(), layout.standin_log()] {
            section(
                file.display().to_string(),
                &fs::read_to_string(&file).unwrap_or_default(),
            );
        }
        for node in self.nodes() {
            let journal = self.hook(&["journal", &node.name(), "etcd"]);
            section(
                format!("etcd on {node}"),
                &journal.map_or_else(|e| e.to_string(), |(_, t)| t),
            );
        }
        text
    }

    /// Takes it down, and waits until nothing of it is left.
    ///
    /// # Errors
    /// When something of it cannot be removed.
    pub fn down(mut self) -> Result<()> {
        self.take_down()
    }

    fn take_down(&mut self) -> Result<()> {
        match self.owned.take() {
            // The end of the pipe is the request.
            Some((mut child, pipe)) => {
                let down = protocol::ask(&self.layout, &["down"]);
                drop(pipe);
                let ended = child
                    .wait()
                    .on("wait for the supervisor of", self.layout.dir())?;
                if !ended.success() && down.is_ok() {
                    self.complain();
                }
            }
            None => drop(protocol::ask(&self.layout, &["down"])?),
        }
        self.wait_gone()
    }

    fn wait_gone(&self) -> Result<()> {
        let wait = Wait {
            what: "the end of the lab",
            deadline: Duration::from_secs(60),
            help: "`lab sweep` removes what is left when its supervisor has ended",
        };
        wait.until(|| {
            if self.group.child(cgroup::SUPERVISOR).populated() {
                Err(self.layout.id())
            } else {
                Ok(())
            }
        })?;
        if self.group.exists() || self.layout.dir().exists() {
            supervisor::bury(&self.layout)?;
        }
        Ok(())
    }

    fn complain(&self) {
        let log = fs::read_to_string(self.layout.supervisor_log()).unwrap_or_default();
        // The only place to say it: we are taking down.
        let _ = writeln!(
            std::io::stderr(),
            "lab {}: supervisor failed: {log}",
            self.layout.id()
        );
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if self.owned.is_some() && std::thread::panicking() {
            // A test failed; this is the last moment at which the lab can say why.
            let _ = writeln!(std::io::stderr(), "{}", self.logs());
        }
        if self.owned.is_some()
            && let Err(e) = self.take_down()
        {
            let _ = writeln!(std::io::stderr(), "lab {}: {e}", self.layout.id());
        }
    }
}

/// Takes down the lab in `dir`, living or dead.
///
/// # Errors
/// When something of it cannot be removed.
pub(crate) fn take_down(dir: &Path) -> Result<()> {
    let layout = Layout::new(dir);
    if !layout.id().starts_with(PREFIX) {
        return Err(Error::refused(
            format!("{} is no lab", dir.display()),
            "`lab list` shows the labs",
        ));
    }
    if sweep::alive(&layout.id())? {
        return Lab::attach(dir)?.down();
    }
    unmount_below(layout.dir())?;
    supervisor::bury(&layout)
}

fn start_supervisor(
    program: &Path,
    layout: &Layout,
    spec: &Spec,
) -> Result<(Child, ChildStdin, Ready)> {
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--propagation", "private", "--"])
        .arg(program)
        .arg("supervise")
        .arg(layout.dir());
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .on("start the supervisor of", layout.dir())?;
    let (Some(mut stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(Error::refused(
            "the supervisor has no pipes",
            "this is a defect of the lab",
        ));
    };
    let sent = writeln!(stdin, "{}", to_json(spec)?);
    let mut line = String::new();
    let read = BufReader::new(stdout).read_line(&mut line);
    if sent.is_ok() && read.is_ok() && line.ends_with('\n') {
        match from_json::<std::result::Result<Ready, String>>("the supervisor's report", &line)? {
            Ok(ready) => return Ok((child, stdin, ready)),
            Err(message) => {
                let _ = child.wait();
                return Err(Error::Supervisor {
                    lab: layout.id(),
                    request: "up".to_owned(),
                    message,
                });
            }
        }
    }
    let mut text = String::new();
    drop(stdin);
    if let Some(mut stderr) = child.stderr.take() {
        // It adds to an error that is there already.
        let _ = stderr.read_to_string(&mut text);
    }
    let _ = child.wait();
    Err(Error::refused(
        format!("the supervisor of the lab ended: {}", text.trim()),
        "`lab sweep`, then again",
    ))
}
