//! The supervisor: the process that owns a lab, obeys its hooks, and takes it down without a trace.
//!
//! It lives in a mount namespace of its own, where all mounts and network namespaces of the lab are, so the
//! kernel removes those with the last process. It holds the read end of a pipe whose write end only its owner
//! has: when the owner ends, however it ends, the pipe does too, and the lab is taken down.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Child;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::fs::statfs;
use rustix::mount::{MountFlags, mount};

use crate::cgroup::{self, Group};
use crate::disk::{mount_tmpfs, mounts_below, remove_tree, unmount_below};
use crate::error::{Error, IoContext as _, Result};
use crate::layout::{Head, Layout, Node};
use crate::node::{Machine, Off};
use crate::pki::{self, Pki};
use crate::protocol::Reply;
use crate::run::Wait;
use crate::spec::{Ready, Spec, from_json, to_json};
use crate::{head, image, net};

mod heads;

/// A running lab.
struct Lab {
    layout: Layout,
    spec: Spec,
    group: Group,
    machines: Vec<Machine>,
    /// The head nodes' anchors: children that live as long as the lab.
    anchors: Vec<Child>,
    /// The stand-in for the cluster manager, while it runs.
    manager: Mutex<Option<Child>>,
    closing: AtomicBool,
}

/// Builds the lab at `layout`, serves it, and takes it down: the whole life of a supervisor.
///
/// # Errors
/// When the lab cannot be built (what was built is taken down again) or not be taken down.
pub(crate) fn supervise(layout: &Layout) -> Result<()> {
    let mut stdin = BufReader::new(io::stdin());
    let mut line = String::new();
    stdin
        .read_line(&mut line)
        .on("read the specification of", layout.dir())?;
    let spec: Spec = from_json("the lab's specification", &line)?;
    // Signals that a terminal sends to its jobs are meant for the owner. It fails only if we lead one already.
    let _ = rustix::process::setsid();
    let home = cgroup::own()?;
    let group = enter(layout)?;
    let keep = spec.keep;
    let outcome = build(layout, &spec, &group).and_then(|lab| {
        let lab = Arc::new(lab);
        let (down, wanted) = mpsc::channel();
        listen(&lab, &down)?;
        report(&lab)?;
        if !keep {
            watch_owner(stdin, down);
        }
        // An error means that nobody can ask any more, which is the same.
        let _ = wanted.recv();
        lab.closing.store(true, Ordering::SeqCst);
        Ok(())
    });
    let down = tear_down(layout, &group, &home);
    outcome.and(down)
}

/// Makes the supervisor's surroundings: its control group, private mounts, the lab's directory.
fn enter(layout: &Layout) -> Result<Group> {
    own_cgroup_view()?;
    // `ip netns` and systemd-nspawn keep their things in /run: let it be ours alone.
    mount_tmpfs(Path::new("/run"), None)?;
    let group = Group::of_lab(&layout.id())?;
    join_group(&group.child(cgroup::SUPERVISOR))?;
    let heads = Head::first(2).into_iter().map(Head::name);
    for name in heads.chain([cgroup::ANCHOR, cgroup::CMDAEMON]) {
        group.child(name).create()?;
    }
    fs::create_dir_all(layout.dir()).on("create", layout.dir())?;
    let log = layout.supervisor_log();
    let log = File::create(&log).on("create", log)?;
    rustix::stdio::dup2_stderr(&log).on("redirect messages to", layout.supervisor_log())?;
    Ok(group)
}

/// A `lab sweep` may take the group for that of a dead lab until we are in it.
fn join_group(group: &Group) -> Result<()> {
    let help = "another program removes control groups of labs";
    Wait {
        what: "a control group of our own",
        deadline: Duration::from_secs(5),
        help,
    }
    .until(|| {
        group
            .create()
            .and_then(|()| group.enter())
            .map_err(|e| e.to_string())
    })
}

/// systemd in the nodes shall see cgroup v2 only, also on a machine that has v1 with v2 beside it.
fn own_cgroup_view() -> Result<()> {
    const CGROUP2: i64 = 0x6367_7270;
    let dir = Path::new("/sys/fs/cgroup");
    let kind = statfs(dir).on("look at", dir)?.f_type;
    if kind == CGROUP2 {
        return Ok(());
    }
    mount("cgroup2", dir, "cgroup2", MountFlags::empty(), None).on("mount cgroup v2 on", dir)
}

fn build(layout: &Layout, spec: &Spec, group: &Group) -> Result<Lab> {
    let nodes = Node::first(spec.nodes);
    let heads = Head::first(spec.heads);
    make_file_systems(layout, &heads)?;
    fs::create_dir_all(layout.keys()).on("create", layout.keys())?;
    pki::ssh_key(&pki::root_key(layout), "root@head")?;
    Pki::of(layout).create()?;
    image::build(layout, spec)?;
    net::create(&heads, &nodes)?;
    let machines: Vec<_> = nodes
        .iter()
        .map(|n| Machine::new(*n, layout, group, spec))
        .collect();
    for machine in &machines {
        group.child(&machine.node.name()).create()?;
        machine.provision(spec, true)?;
        machine.power_on()?;
    }
    let mut anchors = Vec::new();
    for head in heads {
        head::install(layout, head, spec)?;
        anchors.push(head::start_anchor(layout, head, group, spec)?);
    }
    wait_for_ssh(&machines)?;
    let lab = Lab {
        layout: layout.clone(),
        spec: spec.clone(),
        group: group.clone(),
        machines,
        anchors,
        manager: Mutex::default(),
        closing: AtomicBool::new(false),
    };
    lab.start_manager()?;
    Ok(lab)
}

fn make_file_systems(layout: &Layout, heads: &[Head]) -> Result<()> {
    const OVERLAYFS: i64 = 0x794c_7630;
    let of_heads = heads
        .iter()
        .flat_map(|head| [layout.spool_of(*head), layout.head(*head)]);
    for dir in of_heads.chain([layout.shared(), layout.dir().join("nodes")]) {
        fs::create_dir_all(&dir).on("create", &dir)?;
    }
    // The shared file system is the host's disk: to a node it is one on a device that the node does not
    // have, as a server's would be. In memory it would not pass for shared.
    // An overlay cannot keep its upper layer on another overlay, as in a container's root.
    let kind = statfs(layout.dir()).on("look at", layout.dir())?.f_type;
    if kind == OVERLAYFS {
        mount_tmpfs(&layout.dir().join("nodes"), None)?;
        for head in heads {
            mount_tmpfs(&layout.head(*head), None)?;
        }
    }
    Ok(())
}

fn wait_for_ssh(machines: &[Machine]) -> Result<()> {
    thread::scope(|scope| {
        let waits: Vec<_> = machines
            .iter()
            .map(|m| scope.spawn(|| wait_for_login(m)))
            .collect();
        waits.into_iter().try_for_each(|wait| match wait.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })
}

fn wait_for_login(machine: &Machine) -> Result<()> {
    let help = "`systemd-nspawn` must be able to boot here: see the console above";
    Wait {
        what: "the first login by ssh",
        deadline: Duration::from_secs(90),
        help,
    }
    .until(|| {
        if machine.ssh_ok() {
            return Ok(());
        }
        Err(format!(
            "no login on {}, whose console says:\n{}",
            machine.node,
            machine.console_tail()
        ))
    })
}

/// Tells the owner that the lab is up; from here on it hears nothing more.
fn report(lab: &Lab) -> Result<()> {
    let mut out = io::stdout();
    writeln!(out, "{}", to_json(&Ok::<_, String>(lab.ready()))?)
        .and_then(|()| out.flush())
        .on("report on", lab.layout.dir())?;
    let null = File::options()
        .write(true)
        .open("/dev/null")
        .on("open", "/dev/null")?;
    rustix::stdio::dup2_stdout(&null).on("close the report of", lab.layout.dir())
}

/// Wants the lab down as soon as the owner's end of the pipe is closed.
fn watch_owner(mut stdin: BufReader<io::Stdin>, down: Sender<()>) {
    thread::spawn(move || {
        let mut rest = Vec::new();
        // Whatever comes, and an error too, ends with the owner gone.
        let _ = stdin.read_to_end(&mut rest);
        let _ = down.send(());
    });
}

fn listen(lab: &Arc<Lab>, down: &Sender<()>) -> Result<()> {
    let socket = lab.layout.socket();
    let listener = UnixListener::bind(&socket).on("listen on", &socket)?;
    let (lab, down) = (Arc::clone(lab), down.clone());
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (lab, down) = (Arc::clone(&lab), down.clone());
            thread::spawn(move || {
                if let Err(e) = lab.serve(&stream, &down) {
                    log(&format!("a request failed: {e}"));
                }
            });
        }
    });
    Ok(())
}

/// One line for the supervisor's log.
fn log(message: &str) {
    // Nobody is left to hear about a failure of this.
    let _ = writeln!(io::stderr(), "{} {message}", jiff::Timestamp::now());
}

impl Lab {
    fn serve(&self, mut stream: &UnixStream, down: &Sender<()>) -> Result<()> {
        let socket = self.layout.socket();
        let mut line = String::new();
        BufReader::new(stream)
            .read_line(&mut line)
            .on("read a request on", &socket)?;
        let request: Vec<String> = from_json("a request", &line)?;
        let words: Vec<&str> = request.iter().map(String::as_str).collect();
        let reply = self.answer(&words).unwrap_or_else(|e| Reply {
            code: 2,
            out: String::new(),
            error: Some(e.to_string()),
        });
        if !only_looks(&words) {
            let error = reply.error.as_deref().unwrap_or_default();
            log(&format!(
                "{} -> {} {}{error}",
                words.join(" "),
                reply.code,
                reply.out.trim()
            ));
        }
        writeln!(stream, "{}", to_json(&reply)?).on("answer on", &socket)?;
        if words == ["down"] {
            // The other end waits in the same function; it cannot be gone.
            let _ = down.send(());
        }
        Ok(())
    }

    fn answer(&self, request: &[&str]) -> Result<Reply> {
        if self.closing.load(Ordering::SeqCst) {
            return Err(Error::refused(
                "the lab is being taken down",
                "wait for it, then `lab up`",
            ));
        }
        match *request {
            ["down"] => Ok(Reply::done("")),
            ["info"] => Ok(Reply::done(to_json(&self.ready())?)),
            ["status"] => Ok(Reply::done(self.status())),
            ["failover", ref rest @ ..] => self.fail_over(rest),
            ["head-active", head] => self.move_shared(head.parse()?),
            ["power-fail", head] if head.parse::<Head>().is_ok() => self.kill_head(head.parse()?),
            ["cmdaemon", "stop"] => self.stop_manager().map(|()| Reply::done("")),
            ["cmdaemon", "start"] => self.start_manager().map(|()| Reply::done("")),
            [deed, node, ref rest @ ..] => self.on_node(self.machine(node)?, deed, rest),
            _ => Err(unknown(request)),
        }
    }

    fn ready(&self) -> Ready {
        Ready {
            pid: std::process::id(),
            anchors: self.anchors.iter().map(Child::id).collect(),
            nodes: self.spec.nodes,
            etcd_version: self.spec.etcd.version.clone(),
        }
    }

    fn machine(&self, name: &str) -> Result<&Machine> {
        let node: Node = name.parse()?;
        self.machines
            .iter()
            .find(|m| m.node == node)
            .ok_or_else(|| {
                Error::refused(
                    format!("this lab has no {node}"),
                    format!("it has {} nodes", self.machines.len()),
                )
            })
    }

    fn on_node(&self, machine: &Machine, deed: &str, rest: &[&str]) -> Result<Reply> {
        let done = |()| Reply::done("");
        match (deed, rest) {
            ("power-on", []) => machine.power_on().map(done),
            ("power-off", []) => machine.power_off(Off::Orderly).map(done),
            ("power-fail", []) => machine.power_off(Off::PowerFail).map(done),
            ("power-status", []) => Ok(Reply::yes_no(
                machine.on(),
                if machine.on() { "on" } else { "off" },
            )),
            ("wipe", []) => machine.wipe().map(done),
            ("provisioned", []) => machine.provision(&self.spec, false).map(done),
            ("ssh-ok", []) => Ok(Reply::yes_no(machine.ssh_ok(), "")),
            ("pingable", []) => Ok(Reply::yes_no(machine.pingable(), "")),
            ("cut", []) => net::set_link(machine.node, false).map(done),
            ("join", []) => net::set_link(machine.node, true).map(done),
            ("service", [action @ ("start" | "stop" | "status"), unit]) => machine
                .service(action, unit)
                .map(|(text, active)| Reply::yes_no(active, text)),
            ("role", ["etcd", state @ ("on" | "off"), settings @ ..]) => {
                machine.role(&self.spec, *state == "on", settings).map(done)
            }
            ("api-server", [urls]) => machine.api_server(urls).map(done),
            ("journal", [unit]) => machine.journal(unit).map(Reply::done),
            ("disk-ok", []) => Ok(Reply::yes_no(machine.installed(), "")),
            _ => Err(unknown(&[&[deed, "NODE"], rest].concat())),
        }
    }

    fn status(&self) -> String {
        let rows = self.machines.iter().map(|m| {
            let power = if m.on() { "on" } else { "off" };
            let disk = if m.installed() { "installed" } else { "empty" };
            let etcd = if m.on() {
                m.service("status", "etcd")
                    .map_or_else(|_| String::new(), |(s, _)| s)
            } else {
                String::new()
            };
            format!(
                "{}  {}  power {power}  disk {disk}  etcd {etcd}\n",
                m.node,
                m.node.ip()
            )
        });
        rows.collect()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let heads = Head::first(2).into_iter().map(Head::name);
        for name in heads.chain([cgroup::CMDAEMON, cgroup::ANCHOR]) {
            self.group.child(name).kill();
        }
        let manager = self
            .manager
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        for child in manager.iter_mut().chain(&mut self.anchors) {
            let _ = child.wait();
        }
    }
}

/// Whether a request changes nothing; there are too many of these to log.
fn only_looks(request: &[&str]) -> bool {
    const LOOKS: [&str; 7] = [
        "ssh-ok",
        "pingable",
        "power-status",
        "disk-ok",
        "journal",
        "info",
        "status",
    ];
    request.first().is_some_and(|deed| LOOKS.contains(deed))
        || matches!(request, ["service", _, "status", ..])
}

fn unknown(request: &[&str]) -> Error {
    Error::refused(
        format!("no such request: {}", request.join(" ")),
        "power-on|power-off|power-fail|power-status|wipe|provisioned|disk-ok|ssh-ok|pingable|cut|join \
         NODE; journal NODE UNIT; service NODE start|stop|status UNIT; role NODE etcd on|off; api-server NODE URLS; failover [stale-copy]; head-active HEAD; power-fail HEAD; \
         cmdaemon start|stop; status; down",
    )
}

/// Ends all processes of the lab, then removes its mounts, its directory and its control groups.
fn tear_down(layout: &Layout, group: &Group, home: &Group) -> Result<()> {
    for child in group
        .children()
        .iter()
        .filter(|g| g.name() != cgroup::SUPERVISOR)
    {
        child.kill_all()?;
        child.remove()?;
    }
    unmount_below(layout.dir())?;
    remove_tree(layout.dir())?;
    // From here on the lab counts as dead: the group is the last trace of it.
    home.enter().or_else(|_| Group::of_lab("")?.enter())?;
    group.kill_all()?;
    group.remove()
}

/// Removes what a dead lab left behind. Mounts and network namespaces went with its processes.
pub(crate) fn bury(layout: &Layout) -> Result<()> {
    let group = Group::of_lab(&layout.id())?;
    group.kill_all()?;
    // Seen only if someone mounted in the host's namespace, by hand.
    if !mounts_below(layout.dir())?.is_empty() {
        unmount_below(layout.dir())?;
    }
    remove_tree(layout.dir())?;
    group.remove()
}
