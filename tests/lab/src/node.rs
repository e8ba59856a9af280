//! A compute node: power, disk, installation, services.

use std::fs::{self, File};
use std::io::Read as _;
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal};

use crate::bcm::API_SERVER_SETTINGS;
use crate::cgroup::Group;
use crate::disk::Disk;
use crate::error::{Error, IoContext as _, Result};
use crate::image::Tree;
use crate::layout::{Layout, Node};
use crate::member::Member;
use crate::net;
use crate::pki;
use crate::run::{self, Wait, run};
use crate::spec::{HostKeyAfterWipe, Spec};

/// A running or stopped machine.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) node: Node,
    layout: Layout,
    group: Group,
    disk: Disk,
    /// Power and disk are changed by one request at a time.
    power: Mutex<Option<Child>>,
}

/// How a machine is switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Off {
    /// It shuts its services down first.
    Orderly,
    /// The power fails: every process of it is killed, PID 1 included, at once.
    PowerFail,
}

impl Machine {
    pub(crate) fn new(node: Node, layout: &Layout, lab: &Group, spec: &Spec) -> Self {
        let disk = Disk::new(layout.node(node), layout.image(), spec.disk_bytes);
        Self {
            node,
            layout: layout.clone(),
            group: lab.child(&node.name()),
            disk,
            power: Mutex::new(None),
        }
    }

    /// Whether it has power; from its control group.
    pub(crate) fn on(&self) -> bool {
        self.group.populated()
    }

    /// Whether there is an operating system on its disk.
    pub(crate) fn installed(&self) -> bool {
        self.disk.installed()
    }

    fn power(&self) -> MutexGuard<'_, Option<Child>> {
        self.power.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Switches it on. Nothing happens when it is on.
    pub(crate) fn power_on(&self) -> Result<()> {
        let mut power = self.power();
        if self.on() {
            return Ok(());
        }
        if !self.installed() {
            return Err(Error::refused(
                format!(
                    "{} does not boot: nothing is installed on its disk",
                    self.node
                ),
                format!("lab hook LABDIR provisioned {}", self.node),
            ));
        }
        self.group.clear();
        net::unplug(self.node);
        net::plug(self.node)?;
        let console = self.layout.console(self.node);
        let out = File::options()
            .create(true)
            .append(true)
            .open(&console)
            .on("open", &console)?;
        let err = out.try_clone().on("share", &console)?;
        let mut command = self.boot_command();
        command.stdin(Stdio::null()).stdout(out).stderr(err);
        let started = command
            .spawn()
            .on("start the container of", self.layout.node(self.node))?;
        self.wait_in_group(power.insert(started))
    }

    /// Until it is in its control group nothing could find it to switch it off again.
    fn wait_in_group(&self, container: &mut Child) -> Result<()> {
        let help = format!("see {}", self.layout.console(self.node).display());
        let wait = Wait {
            what: "the start of a container",
            deadline: Duration::from_secs(30),
            help: &help,
        };
        let ended = wait.until(|| match container.try_wait() {
            _ if self.on() => Ok(None),
            Ok(Some(status)) => Ok(Some(status)),
            _ => Err("not started yet".to_owned()),
        })?;
        match ended {
            None => Ok(()),
            Some(status) => {
                let what = format!("the container of {} ended with {status}", self.node);
                Err(Error::refused(what, self.console_tail()))
            }
        }
    }

    fn boot_command(&self) -> Command {
        let name = self.node.name();
        let mut command = self.group.command("systemd-nspawn");
        command.args([
            "-q",
            "--boot",
            "--register=no",
            "--keep-unit",
            "--link-journal=no",
        ]);
        command.args(["--console=pipe", "--resolv-conf=off", "--timezone=off"]);
        command.args(["--bind-ro=/usr", "-D"]).arg(self.disk.root());
        command
            .arg(format!("--machine={name}"))
            .arg(format!("--hostname={name}"));
        command.arg(format!(
            "--network-namespace-path={}",
            net::namespace(&name).display()
        ));
        command.arg(format!(
            "--bind={}:/cm/shared",
            self.layout.shared().display()
        ));
        command
    }

    /// Switches it off. Nothing happens when it is off.
    pub(crate) fn power_off(&self, how: Off) -> Result<()> {
        let mut power = self.power();
        if how == Off::Orderly {
            self.shut_down(power.as_ref());
        }
        self.group.kill_all()?;
        if let Some(mut container) = power.take() {
            container
                .wait()
                .on("wait for the container of", self.layout.node(self.node))?;
        }
        net::unplug(self.node);
        self.group.clear();
        Ok(())
    }

    /// Asks for a shutdown and gives it time; a machine that hangs loses its power all the same.
    fn shut_down(&self, container: Option<&Child>) {
        let Some(pid) = container
            .and_then(|c| i32::try_from(c.id()).ok())
            .and_then(Pid::from_raw)
        else {
            return;
        };
        // SIGTERM makes systemd-nspawn shut the system inside down.
        let _ = rustix::process::kill_process(pid, Signal::TERM);
        let _ = Wait {
            what: "a shutdown",
            deadline: Duration::from_secs(20),
            help: "",
        }
        .until(|| {
            if self.on() {
                Err("still on".to_owned())
            } else {
                Ok(())
            }
        });
    }

    /// Deletes its disk; only while it is off.
    pub(crate) fn wipe(&self) -> Result<()> {
        let _power = self.power();
        if self.on() {
            return Err(Error::refused(
                format!("{} is on: its disk cannot be taken away", self.node),
                format!("lab hook LABDIR power-off {}", self.node),
            ));
        }
        self.disk.wipe()
    }

    /// What a FULL install leaves on the disk. The old content is gone.
    pub(crate) fn provision(&self, spec: &Spec, first: bool) -> Result<()> {
        let _power = self.power();
        if self.on() {
            return Err(Error::refused(
                format!("{} is on: it cannot be installed", self.node),
                format!("lab hook LABDIR power-off {}", self.node),
            ));
        }
        self.disk.format()?;
        let tree = Tree::at(self.disk.root());
        tree.file("etc/hostname", format!("{}\n", self.node).as_bytes(), 0o644)?;
        tree.file("etc/machine-id", machine_id().as_bytes(), 0o444)?;
        self.lay_host_key(
            &tree,
            first || spec.host_key_after_wipe == HostKeyAfterWipe::New,
        )?;
        let member = Member::of(self.node, spec);
        member.lay_module(&tree, &spec.etcd.version)?;
        member.lay_config(&tree)?;
        spec.bcm
            .lay_on_node(&tree, self.node, &Node::first(spec.nodes))?;
        if spec.precreate_spool {
            member.make_spool(&tree)?;
        }
        self.disk.mark_installed()
    }

    fn lay_host_key(&self, tree: &Tree, new: bool) -> Result<()> {
        let key = pki::host_key(&self.layout, self.node);
        if new {
            pki::ssh_key(&key, &format!("root@{}", self.node))?;
        }
        for (file, mode) in [(key.clone(), 0o600), (key.with_extension("pub"), 0o644)] {
            let text = fs::read(&file).on("read", &file)?;
            let suffix = if mode == 0o644 { ".pub" } else { "" };
            tree.file(
                &format!("etc/ssh/ssh_host_ed25519_key{suffix}"),
                &text,
                mode,
            )?;
        }
        Ok(())
    }

    /// What the cluster manager does to a node that is given or loses the role `Etcd::Host`.
    pub(crate) fn role(&self, spec: &Spec, assigned: bool, settings: &[&str]) -> Result<()> {
        let member = Member::of(self.node, spec).with(settings)?;
        if !assigned || !self.installed() {
            return Ok(());
        }
        let tree = Tree::at(self.disk.root());
        member.lay_config(&tree)?;
        member.make_spool(&tree)
    }

    /// What the cluster manager of 9.x does when the etcd servers change: the API server starts again with them.
    pub(crate) fn api_server(&self, urls: &str) -> Result<()> {
        let tree = Tree::at(self.disk.root());
        tree.file(
            API_SERVER_SETTINGS,
            format!("ETCD_SERVERS={urls}\n").as_bytes(),
            0o644,
        )?;
        let mut command = self.command("systemctl")?;
        command.args(["restart", "--no-block", "kube-apiserver"]);
        run("restart an API server", &mut command).map(drop)
    }

    /// PID 1 of the machine, as the host numbers it.
    fn init(&self) -> Option<i32> {
        self.group.pids().into_iter().find(|pid| {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let pids = status
                .lines()
                .find_map(|l| l.strip_prefix("NSpid:"))
                .unwrap_or_default();
            let mut pids = pids.split_whitespace().skip(1);
            pids.next() == Some("1") && pids.next().is_none()
        })
    }

    /// A program on the machine, started by root at its console.
    pub(crate) fn command(&self, program: &str) -> Result<Command> {
        let init = self.init().ok_or_else(|| {
            Error::refused(
                format!("{} is off", self.node),
                format!("lab hook LABDIR power-on {}", self.node),
            )
        })?;
        let mut command = Command::new("nsenter");
        command.args([
            "--target",
            &init.to_string(),
            "--mount",
            "--uts",
            "--ipc",
            "--net",
            "--pid",
            "--root",
        ]);
        command.args(["--wdns=/", "--", program]);
        Ok(command)
    }

    /// `systemctl start|stop|status` of one of its services; the state and whether it is active.
    pub(crate) fn service(&self, action: &str, unit: &str) -> Result<(String, bool)> {
        if action == "status" {
            let mut command = self.command("systemctl")?;
            let output = run::output(
                "ask for the state of a service",
                command.args(["is-active", unit]),
            )?;
            let state = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            return Ok((state, output.status.success()));
        }
        let mut command = self.command("systemctl")?;
        command.arg(action);
        if action == "start" {
            // A member that waits for its peers would hold us for as long.
            command.arg("--no-block");
        }
        run("command a service", command.arg(unit)).map(|_| (String::new(), true))
    }

    /// The last lines that a unit has logged.
    pub(crate) fn journal(&self, unit: &str) -> Result<String> {
        let mut command = self.command("journalctl")?;
        run(
            "read a journal",
            command.args(["-q", "--no-pager", "-o", "cat", "-n", "30", "-u", unit]),
        )
    }

    /// Whether it answers on the network at all.
    pub(crate) fn pingable(&self) -> bool {
        const LIMIT: Duration = Duration::from_secs(1);
        if !self.on() {
            return false;
        }
        let address = (self.node.ip(), 22).into();
        // A refused connection is an answer as well: the kernel of the machine gave it.
        on_head_network(move || match TcpStream::connect_timeout(&address, LIMIT) {
            Ok(_) => true,
            Err(e) => e.kind() == std::io::ErrorKind::ConnectionRefused,
        })
        .unwrap_or(false)
    }

    /// The last lines of its console.
    pub(crate) fn console_tail(&self) -> String {
        let text = fs::read(self.layout.console(self.node)).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// Whether its sshd answers. Whether it lets someone in is between it and them.
    pub(crate) fn ssh_ok(&self) -> bool {
        const LIMIT: Duration = Duration::from_secs(1);
        if !self.on() {
            return false;
        }
        let address = (self.node.ip(), 22).into();
        let banner = on_head_network(move || {
            let mut stream = TcpStream::connect_timeout(&address, LIMIT)?;
            stream.set_read_timeout(Some(LIMIT))?;
            let mut banner = [0; 4];
            stream.read_exact(&mut banner).map(|()| banner)
        });
        matches!(banner, Some(Ok(banner)) if &banner == b"SSH-")
    }
}

/// Runs `work` on a thread that has moved into the head node's network.
fn on_head_network<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let namespace = net::head_namespace();
    let thread = thread::spawn(move || {
        crate::head::enter_network(&namespace).ok()?;
        Some(work())
    });
    thread.join().ok().flatten()
}

fn machine_id() -> String {
    format!("{}\n", uuid::Uuid::now_v7().simple())
}
