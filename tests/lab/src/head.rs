//! The head nodes: namespaces kept by one process each (the anchor), a root of their own, and the way in.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_bind_recursive,
    mount_change, mount_remount, unmount,
};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::cgroup::{self, Group};
use crate::disk::{Disk, mount_tmpfs};
use crate::error::{Error, IoContext as _, Result};
use crate::image::Tree;
use crate::layout::{Head, Layout, Node};
use crate::pki;
use crate::run::{Wait, run};
use crate::spec::{self, Spec};

/// Where the programs under test are on the head node; it leads the PATH there.
pub const TOOLS: &str = "/cm/local/apps/restore-runbook/bin";
/// Where cmsh is on the head node.
pub const CMSH: &str = "/cm/local/apps/cmd/bin/cmsh";

const PATH: &str = "/cm/local/apps/restore-runbook/bin:/cm/local/apps/cmd/bin:/cm/local/apps/etcd/current/bin:\
                    /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Moves the calling thread, and only it, into a network namespace.
pub(crate) fn enter_network(namespace: &Path) -> Result<()> {
    let file = File::open(namespace).on("open the network namespace", namespace)?;
    move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
        .on("enter the network namespace", namespace)
}

/// Where a head node of a pair keeps the shared file system, to show it at `/cm/shared` while it is active.
const SHARED_STORAGE: &str = "run/shared-storage";

/// What a passive head node of a pair shows at `/cm/shared`: its own disk, not the shared file system.
const LOCAL_SHARED: &str = "\
This is the head node's own disk. The shared file system is at this path only while the head node is the
active one.
";

/// Lays a head node's disk: keys, names, programs.
pub(crate) fn install(layout: &Layout, head: Head, spec: &Spec) -> Result<()> {
    let disk = Disk::new(layout.head(head), layout.image(), None);
    disk.format()?;
    let tree = Tree::at(disk.root());
    tree.file(
        "etc/hostname",
        format!("{}\n", head.name()).as_bytes(),
        0o644,
    )?;
    if spec.heads == 2 {
        tree.file("cm/shared/README", LOCAL_SHARED.as_bytes(), 0o644)?;
    }
    tree.dir(Layout::STANDIN_STATE_ON_HEAD.trim_start_matches('/'), 0o755)?;
    let key = pki::root_key(layout);
    for (file, name, mode) in [
        (key.clone(), "id_ed25519", 0o600),
        (key.with_extension("pub"), "id_ed25519.pub", 0o644),
    ] {
        let text = fs::read(&file).on("read", &file)?;
        tree.file(&format!("root/.ssh/{name}"), &text, mode)?;
    }
    tree.file(
        "root/.ssh/known_hosts",
        known_hosts(layout, spec)?.as_bytes(),
        0o600,
    )?;
    tree.file(
        "etc/profile.d/head.sh",
        format!("export PATH={PATH}\n").as_bytes(),
        0o644,
    )?;
    for tool in &spec.tools {
        let name = tool.file_name().unwrap_or_default();
        spec::install_program(tool, &tree.path(TOOLS.trim_start_matches('/')).join(name))?;
    }
    spec.bcm.lay_on_head(&tree)?;
    if let Some(standin) = &spec.standin {
        spec::install_program(&standin.cmsh, &tree.path(CMSH.trim_start_matches('/')))?;
        // It is about this head node: no redirect to the active one.
        let cmha =
            format!("#!/bin/sh\nexec {CMSH} -n -r --color=no --hide-events -c \"cmha $*\"\n");
        tree.file("cm/local/apps/cmd/sbin/cmha", cmha.as_bytes(), 0o755)?;
    }
    Ok(())
}

fn known_hosts(layout: &Layout, spec: &Spec) -> Result<String> {
    let mut text = String::new();
    for node in Node::first(spec.nodes) {
        let file = pki::host_key(layout, node).with_extension("pub");
        let key = fs::read_to_string(&file).on("read", &file)?;
        let _ = write!(text, "{node},{} {key}", node.ip());
    }
    Ok(text)
}

/// Starts the process that keeps a head node's namespaces, and waits until the root is in place.
pub(crate) fn start_anchor(layout: &Layout, head: Head, lab: &Group, spec: &Spec) -> Result<Child> {
    let mut command = lab.child(cgroup::ANCHOR).command("nsenter");
    command
        .arg(format!(
            "--net={}",
            crate::net::namespace(head.name()).display()
        ))
        .arg("--");
    command.args([
        "unshare",
        "--mount",
        "--uts",
        "--propagation",
        "private",
        "--",
    ]);
    command
        .arg(&spec.lab_program)
        .arg("head-anchor")
        .arg(layout.dir());
    command.arg(head.name()).arg(spec.heads.to_string());
    // It ends when this pipe does.
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .on("start the head node in", layout.dir())?;
    let mut ready = [0];
    let read = child
        .stdout
        .take()
        .map_or(Ok(0), |mut out| out.read(&mut ready));
    if matches!(read, Ok(1)) {
        return Ok(child);
    }
    Err(Error::refused(
        "the head node did not come up",
        format!("see {}", layout.supervisor_log().display()),
    ))
}

/// The anchor itself: builds the head node's root, goes into it, and stays.
///
/// # Errors
/// When a mount is refused.
pub(crate) fn run_anchor(layout: &Layout, head: Head, heads: u8) -> Result<()> {
    let root = layout.head(head).join("root");
    rustix::system::sethostname(head.name().as_bytes()).on("set the hostname of", &root)?;
    mount_root(layout, head, &root)?;
    mount_shared(layout, head, heads, &root)?;
    rustix::process::chdir(&root).on("enter", &root)?;
    // The old root ends up on top of the new one, and is taken away from there.
    rustix::process::pivot_root(".", ".").on("make the root", &root)?;
    unmount(".", UnmountFlags::DETACH).on("leave the old root for", &root)?;
    rustix::process::chdir("/").on("enter", "/")?;
    let mut out = io::stdout();
    out.write_all(b".")
        .and_then(|()| out.flush())
        .on("report to the supervisor from", &root)?;
    let mut rest = Vec::new();
    io::stdin()
        .read_to_end(&mut rest)
        .map(drop)
        .on("wait for the supervisor in", &root)
}

/// The shared file system; on a head node of a pair it is at `/cm/shared` only while the head is active.
fn mount_shared(layout: &Layout, head: Head, heads: u8, root: &Path) -> Result<()> {
    if heads == 2 {
        let storage = root.join(SHARED_STORAGE);
        fs::create_dir_all(&storage).on("create", &storage)?;
        mount_bind(layout.shared(), &storage).on("bind the shared file system on", &storage)?;
    }
    if head == Head::First {
        let shared = root.join("cm/shared");
        mount_bind(layout.shared(), &shared).on("bind the shared file system on", &shared)?;
    }
    Ok(())
}

/// Moves the shared file system from the head node that was active to the one that is now.
pub(crate) fn move_shared(from: u32, to: u32) -> Result<()> {
    // Files that are open on the old head stay open: that is the harder case for whoever has them.
    on_head_disk(
        from,
        "if mountpoint -q /cm/shared; then umount --lazy /cm/shared; fi",
    )?;
    let show = format!("mountpoint -q /cm/shared || mount --bind /{SHARED_STORAGE} /cm/shared");
    on_head_disk(to, &show)
}

/// Leaves on the active head node's own disk, below the mount point, what the shared file system holds now.
pub(crate) fn copy_shared_if_shown(anchor: u32) -> Result<()> {
    let script = "set -e; mountpoint -q /cm/shared || exit 0; mkdir -p /run/disk; mount --bind / /run/disk; \
                  cp -a /cm/shared/. /run/disk/cm/shared/; umount /run/disk";
    on_head_disk(anchor, script)
}

fn on_head_disk(anchor: u32, script: &str) -> Result<()> {
    let mut command = Command::new("nsenter");
    command.args([
        "--target",
        &anchor.to_string(),
        "--mount",
        "--",
        "sh",
        "-c",
        script,
    ]);
    run("change what a head node has mounted", &mut command).map(drop)
}

fn mount_root(layout: &Layout, head: Head, root: &Path) -> Result<()> {
    mount_change(
        "/",
        MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
    )
    .on("make private", "/")?;
    // A root must be a mount point of this very namespace.
    mount_bind_recursive(root, root).on("bind", root)?;
    let usr = root.join("usr");
    mount_bind("/usr", &usr).on("bind /usr on", &usr)?;
    mount_remount(&usr, MountFlags::BIND | MountFlags::RDONLY, c"").on("make read-only", &usr)?;
    for dir in ["dev", "sys"] {
        let target = root.join(dir);
        mount_bind_recursive(Path::new("/").join(dir), &target).on("bind", &target)?;
    }
    let proc = root.join("proc");
    mount("proc", &proc, "proc", MountFlags::empty(), None).on("mount proc on", &proc)?;
    mount_tmpfs(&root.join("run"), None)?;
    let (spool, state) = (
        layout.spool_of(head),
        root.join(Layout::STANDIN_STATE_ON_HEAD.trim_start_matches('/')),
    );
    mount_bind(spool, &state).on("bind the cluster manager's state on", &state)
}

/// Starts the stand-in for the cluster manager: in the head node's network, but with the lab's own view
/// of the disks, for its hooks.
pub(crate) fn start_standin(layout: &Layout, lab: &Group, spec: &Spec) -> Result<Option<Child>> {
    let Some(standin) = &spec.standin else {
        return Ok(None);
    };
    let mut config = standin.config.clone();
    config["hook"] = serde_json::json!([&spec.lab_program, "hook", layout.dir()]);
    let file = layout.standin_config();
    fs::write(&file, format!("{config:#}\n")).on("write", &file)?;
    let log_file = layout.standin_log();
    let log = File::options().create(true).append(true).open(&log_file);
    let log = log.on("open", &log_file)?;
    let err = log.try_clone().on("share", &log_file)?;
    let mut command = lab.child(cgroup::CMDAEMON).command("nsenter");
    command
        .arg(format!("--net={}", crate::net::head_namespace().display()))
        .arg("--");
    command
        .arg(&standin.daemon)
        .arg("--config")
        .arg(file)
        .arg("--state")
        .arg(layout.standin_state());
    command.stdin(Stdio::null()).stdout(log).stderr(err);
    command.spawn().on("start", &standin.daemon).map(Some)
}

/// Waits until cmsh gets an answer.
pub(crate) fn wait_for_standin(
    lab: &Group,
    anchor: u32,
    daemon: &mut Child,
    layout: &Layout,
) -> Result<()> {
    let wait = Wait {
        what: "an answer of the stand-in cmdaemon",
        deadline: Duration::from_secs(30),
        help: "run cmdaemon-standin by hand to see more",
    };
    let ended = wait.until(|| {
        if let Ok(Some(status)) = daemon.try_wait() {
            return Ok(Some(status));
        }
        let mut command = command(lab, Head::First, anchor, CMSH);
        match command
            .args(["-n", "-c", "device list"])
            .stdin(Stdio::null())
            .output()
        {
            Ok(output) if output.status.success() => Ok(None),
            Ok(output) => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
            Err(e) => Err(e.to_string()),
        }
    })?;
    match ended {
        None => Ok(()),
        Some(status) => {
            let said = fs::read_to_string(layout.standin_log()).unwrap_or_default();
            Err(Error::refused(
                format!("cmdaemon-standin ended with {status}"),
                said,
            ))
        }
    }
}

/// A program on a head node. The process that is spawned *becomes* the program: killing it leaves no
/// wrapper, and its exit status is the program's.
pub(crate) fn command(lab: &Group, head: Head, anchor: u32, program: &str) -> Command {
    let mut command = lab.child(head.name()).command("nsenter");
    command.args([
        "--target",
        &anchor.to_string(),
        "--mount",
        "--uts",
        "--net",
        "--wdns=/root",
        "--",
        program,
    ]);
    command.env_clear().envs([
        ("HOME", "/root"),
        ("USER", "root"),
        ("LOGNAME", "root"),
        ("SHELL", "/bin/bash"),
    ]);
    command.envs([("PATH", PATH), ("LANG", "C.UTF-8")]);
    if let Ok(term) = std::env::var("TERM") {
        command.env("TERM", term);
    }
    command
}
