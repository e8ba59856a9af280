//! The lab's network: one namespace per machine, and a bridge that lives in the head node's.
//!
//! All names are private to the lab: `/run` in the supervisor's mount namespace is its own, so that
//! `ip netns` neither shows nor touches anything of the host, and the kernel takes it all back with the
//! last process.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::error::{Error, Result};
use crate::layout::{HEAD_IP, Head, Node};
use crate::run;

const HEAD: &str = "head";

/// The first head node's namespace with the bridge, one plugged into it for a second head node, and an empty
/// one for each node.
pub(crate) fn create(heads: &[Head], nodes: &[Node]) -> Result<()> {
    let mut namespaces = format!("netns add {HEAD}\n");
    for node in nodes {
        let _ = writeln!(namespaces, "netns add {node}");
    }
    batch(None, &namespaces)?;
    batch(
        Some(HEAD),
        &format!(
            "link set lo up\nlink add br0 type bridge\naddr add {HEAD_IP}/16 dev br0\nlink set br0 up\n"
        ),
    )?;
    if heads.contains(&Head::Second) {
        add_second_head()?;
    }
    nodes
        .iter()
        .try_for_each(|node| batch(Some(&node.name()), "link set lo up\n"))
}

fn add_second_head() -> Result<()> {
    let (name, ip) = (Head::Second.name(), Head::Second.ip());
    batch(None, &format!("netns add {name}\n"))?;
    batch(
        Some(HEAD),
        &format!(
            "link add vhead2 type veth peer name eth0 netns {name}\nlink set vhead2 master br0 up\n"
        ),
    )?;
    batch(
        Some(name),
        &format!("link set lo up\naddr add {ip}/16 dev eth0\nlink set eth0 up\n"),
    )
}

/// Gives a node its network card; one without power has none, and so answers no ping.
pub(crate) fn plug(node: Node) -> Result<()> {
    let (n, ip) = (node.number(), node.ip());
    batch(
        Some(HEAD),
        // The hardware address stays the same, as that of a real machine does.
        &format!(
            "link add v{n} type veth peer name eth0 address 02:00:0a:8d:00:{n:02x} netns {node}\n\
             link set v{n} master br0 up\n"
        ),
    )?;
    batch(
        Some(&node.name()),
        &format!("addr add {ip}/16 dev eth0\nlink set eth0 up\nroute add default via {HEAD_IP}\n"),
    )
}

/// Takes the network card away again; no error when there is none.
pub(crate) fn unplug(node: Node) {
    // Absent on a node that was never switched on.
    let _ = batch(Some(HEAD), &format!("link del v{}\n", node.number()));
}

/// Pulls the cable out of the switch, or puts it back.
pub(crate) fn set_link(node: Node, up: bool) -> Result<()> {
    let state = if up { "up" } else { "down" };
    batch(
        Some(HEAD),
        &format!("link set v{} {state}\n", node.number()),
    )
}

/// The file that stands for a machine's network namespace, within the supervisor's mount namespace.
pub(crate) fn namespace(machine: &str) -> PathBuf {
    PathBuf::from("/run/netns").join(machine)
}

/// The head node's namespace.
pub(crate) fn head_namespace() -> PathBuf {
    namespace(HEAD)
}

fn batch(namespace: Option<&str>, script: &str) -> Result<()> {
    let doing = "set up the lab's network";
    let mut command = Command::new("ip");
    if let Some(namespace) = namespace {
        command.args(["-n", namespace]);
    }
    command.args(["-batch", "-"]);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let error = |e: std::io::Error, command: &Command| Error::Command {
        doing: doing.to_owned(),
        command: run::render(command),
        outcome: format!("could not be run: {e}"),
    };
    let mut child = command.spawn().map_err(|e| error(e, &command))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin
            .write_all(script.as_bytes())
            .map_err(|e| error(e, &command))?;
    }
    let output = child.wait_with_output().map_err(|e| error(e, &command))?;
    if output.status.success() {
        Ok(())
    } else {
        Err(run::failed(doing, &command, &output))
    }
}
