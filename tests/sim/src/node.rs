//! What a node's shell says to the adapters' scripts, and ssh where the node says nothing.

use bright_adapter::programs::{Call, Failure, Finished};
use runbook_core::digest::Digest;
use runbook_core::error::{AdapterError, Certainty};
use runbook_core::names::{AbsPath, NodeName, Owner, RunId, ServiceName};
use runbook_core::plan::{Action, NodeEffect, ToolEffect};
use runbook_core::platform::ApiServer;
use runbook_core::ports::{Clock as _, EtcdTool, Node, OLD_DATA_GONE, PortResult};
use runbook_core::testkit::World;
use runbook_core::version::EtcdVersion;
use runbook_core::world::{
    BootId, Restored, SeenSnapshot, ServiceState, SpoolState, Staged, ToolVersions,
};

use crate::scripts::{Kind, Script, UNIT, run_of, started};

/// What the first line of a guard begins with.
const MARK: &str = "restore-runbook guard";

/// The ports of this world's members; each node has sshd's too.
const PORTS: [u16; 2] = [2379, 2380];

/// Runs ssh on the head node.
///
/// # Panics
/// At what is no command line of the adapters'.
pub(crate) async fn ssh(world: &World, call: &Call) -> Result<Finished, Failure> {
    let Some((node, said)) = asked(world, &call.args).await else {
        panic!("nothing that the adapters write: {:?}", call.args.last());
    };
    // Chance, the same in the same history.
    let chance = world.now().as_millis();
    let error = match said {
        Ok(text) => return Ok(ended(0, &text, "")),
        Err(error) => error,
    };
    let hangs = error.certainty == Certainty::Unknown && chance.is_multiple_of(5);
    if hangs {
        world.sleep(call.timeout).await;
        return Err(Failure::Timeout(call.timeout));
    }
    Ok(match (error.certainty, error.code) {
        (Certainty::Unknown, _) => broken_off(&node, chance),
        (Certainty::NotDone, _) => not_reached(&node, chance),
        (Certainty::Refused, "denied" | "refused") => not_let_in(&node, chance),
        (Certainty::Refused, code) => ended(refusal(code), "", &error.what),
    })
}

fn ended(status: i32, stdout: &str, stderr: &str) -> Finished {
    Finished {
        status: Some(status),
        stdout: stdout.into(),
        stderr: stderr.into(),
    }
}

/// ssh's own end, with one of these sentences.
fn failed(node: &NodeName, chance: u128, ways: &[&str]) -> Finished {
    let at = usize::try_from(chance % ways.len() as u128);
    let said = ways[at.unwrap_or(0)].replace("NODE", node.as_str());
    ended(255, "", &(said + "\r\n"))
}

fn not_reached(node: &NodeName, chance: u128) -> Finished {
    let ways = [
        "ssh: connect to host NODE port 22: No route to host",
        "ssh: connect to host NODE port 22: Connection refused",
        "ssh: connect to host NODE port 22: Connection timed out",
        "kex_exchange_identification: Connection closed by remote host",
        "Connection timed out during banner exchange",
    ];
    failed(node, chance, &ways)
}

fn not_let_in(node: &NodeName, chance: u128) -> Finished {
    let ways = [
        "root@NODE: Permission denied (publickey,password).",
        "Host key verification failed.",
    ];
    failed(node, chance, &ways)
}

/// What was sent may have begun, be half done or be done.
fn broken_off(node: &NodeName, chance: u128) -> Finished {
    let ways = [
        "Connection to NODE closed by remote host.",
        "client_loop: send disconnect: Broken pipe",
        "Timeout, server NODE not responding.",
        "",
    ];
    match chance % 7 {
        0 => ended(137, "", ""),
        1 => ended(1, "", "sh: write error: No space left on device"),
        _ => failed(node, chance, &ways),
    }
}

/// The exit status of a script that refuses, by this world's word for why.
fn refusal(code: &str) -> i32 {
    match code {
        "no-tree" => 80,
        "spool-taken" | "not-the-guard" => 82,
        "aside-taken" | "rename" => 83,
        "spool-gone" | "not-restored" | OLD_DATA_GONE => 85,
        _ => 1,
    }
}

/// What the command line of an ssh comes to. None where it is none of the adapters'.
async fn asked(world: &World, args: &[String]) -> Option<(NodeName, PortResult<String>)> {
    let [.., to, dashes, line] = args else {
        return None;
    };
    let node = NodeName::new(to.strip_prefix("root@")?).ok()?;
    // As the login shell at the other end takes it to pieces.
    let command = shlex::split(line).filter(|_| dashes == "--")?;
    let script = Script::of(&command)?;
    if let Some(action) = action(&node, &script) {
        let done = world.send(action).await;
        return Some((node, done.map(|()| String::new())));
    }
    let said = answer(world, &node, &script).await?;
    Some((node, said))
}

/// What a script does.
fn action(node: &NodeName, script: &Script) -> Option<Action> {
    if script.kind == Kind::Restore {
        let effect = started(node, script)?;
        return Some(Action::Tool(ToolEffect::Restore(Box::new(effect))));
    }
    let node = node.clone();
    let run = |name| guarding(script.value(name)?);
    let service = || ServiceName::new(UNIT).ok();
    let path = |name| script.path(name);
    Some(Action::Node(match script.kind {
        Kind::StopService => NodeEffect::StopService {
            node,
            service: service()?,
        },
        Kind::ClearFailures => NodeEffect::ClearFailures {
            node,
            service: service()?,
        },
        Kind::SetAside => NodeEffect::SetAside {
            node,
            spool: path("spool")?,
            aside: path("aside")?,
            run: run("mark")?,
        },
        Kind::PlaceGuard | Kind::TakeOver => NodeEffect::PlaceGuard {
            node,
            spool: path("spool")?,
            run: run("mark")?,
            instead_of: match script.kind {
                Kind::TakeOver => Some(run("over")?),
                _ => None,
            },
        },
        Kind::OwnTree => NodeEffect::OwnTree {
            node,
            tree: path("tree")?,
            owner: Owner::new(script.value("owner")?).ok()?,
        },
        Kind::Arm => NodeEffect::Arm {
            node,
            staged: path("staged")?,
            spool: path("spool")?,
            run: run("mark")?,
        },
        Kind::Disarm => NodeEffect::Disarm {
            node,
            staged: path("aside")?,
            spool: path("spool")?,
            run: run("mark")?,
        },
        Kind::ReturnSpool => NodeEffect::ReturnSpool {
            node,
            spool: path("spool")?,
            aside: path("aside")?,
            run: run("mark")?,
        },
        _ => return None,
    }))
}

/// The run in a guard's first line.
fn guarding(line: &str) -> Option<RunId> {
    let run = line.strip_prefix(MARK)?.strip_prefix(' ')?;
    RunId::parse(run).ok()
}

/// What a script that asks prints.
async fn answer(world: &World, node: &NodeName, script: &Script) -> Option<PortResult<String>> {
    let path = |name| script.path(name);
    let arg = |at| AbsPath::new(script.arg(at)?).ok();
    Some(match script.kind {
        Kind::BootId => match Node::boot_id(world, node).await {
            Ok(Some(id)) => Ok(boot_id(&id)),
            Ok(None) => Err(silent()),
            Err(error) => Err(error),
        },
        Kind::Spool => {
            let mark = script.value("mark")?;
            let state = Node::spool(world, node, &path("path")?).await;
            state.map(|state| spool(&state, mark))
        }
        Kind::Exists => yes_or_no(Node::exists(world, node, &path("path")?).await),
        Kind::Service => {
            let unit = ServiceName::new(script.value("unit")?).ok()?;
            let state = Node::service(world, node, &unit).await;
            state.map(|state| service(state, &unit))
        }
        Kind::Listening => Node::listening(world, node, &PORTS)
            .await
            .map(|open| listening(&open)),
        Kind::Snapshot => Node::snapshot(world, node, &path("path")?, &path("spool")?)
            .await
            .map(|seen| snapshot(seen.as_ref())),
        Kind::Room => Node::room(world, node, &path("dir")?).await.map(|room| {
            let (bytes, inodes, kib) = (room.disk_bytes, room.inodes, room.memory_bytes / 1024);
            format!("{bytes} {inodes} 99999999\nMemAvailable:   {kib} kB\n")
        }),
        Kind::ApiServer => Node::api_server(world, node).await.map(api_server),
        Kind::Owner => {
            let [user, group] = [script.value("user")?, script.value("group")?];
            let owner = Owner::new(format!("{user}:{group}")).ok()?;
            yes_or_no(Node::knows_owner(world, node, &owner).await)
        }
        Kind::Tree => Node::tree(world, node, &path("tree")?)
            .await
            .map(|tree| format!("{} {:o}\n{}\n", tree.owner, tree.mode, tree.strangers)),
        Kind::Modules => EtcdTool::tools(world, node, None)
            .await
            .map(|tools| format!("restore-runbook:avail={}\n", tools.module)),
        Kind::Versions => {
            let module = script.arg(1)?.parse().ok()?;
            EtcdTool::tools(world, node, Some(module))
                .await
                .map(|tools| versions(&tools))
        }
        Kind::Staged => {
            let run = run_of(script.arg(1)?)?;
            EtcdTool::staged(world, node, &arg(2)?, run)
                .await
                .map(staged)
        }
        Kind::DbDigest => {
            let dir = script.arg(1)?.strip_suffix("/member/snap/db")?;
            let db = EtcdTool::db_digest(world, node, &AbsPath::new(dir).ok()?).await;
            let hex = |db: Option<Digest>| db.map_or_else(|| "none".into(), |db| db.hex());
            db.map(|db| format!("Digest={}\n", hex(db)))
        }
        _ => return None,
    })
}

fn silent() -> AdapterError {
    AdapterError::new("ssh-unreachable", Certainty::NotDone, "")
}

fn yes_or_no(answer: PortResult<bool>) -> PortResult<String> {
    answer.map(|yes| if yes { "yes\n" } else { "no\n" }.to_owned())
}

/// A boot of this world in the kernel's form.
fn boot_id(id: &BootId) -> String {
    let hex = Digest::of(id.0.as_bytes()).hex();
    let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|part| &hex[part]);
    parts.join("-") + "\n"
}

fn spool(state: &SpoolState, mark: &str) -> String {
    let word = match state {
        SpoolState::Absent => "absent",
        SpoolState::EmptyDirectory => "empty",
        SpoolState::Data => "data",
        SpoolState::ForeignDirectory => "foreign",
        SpoolState::MountPoint => "mounted",
        SpoolState::Guard(run) if mark == MARK => return format!("guard {run}\n"),
        SpoolState::Guard(_) | SpoolState::Other => "other",
    };
    format!("{word}\n")
}

fn service(state: ServiceState, unit: &ServiceName) -> String {
    let load = if unit.as_str() == UNIT {
        "loaded"
    } else {
        "not-found"
    };
    let active = match state {
        ServiceState::Active => "active",
        ServiceState::Inactive => "inactive",
        ServiceState::Failed => "failed",
    };
    format!("LoadState={load}\nActiveState={active}\n")
}

/// Rows of `/proc/net/tcp`; sshd's is always there.
fn listening(open: &[u16]) -> String {
    let rows = [22].iter().chain(open).enumerate().map(|(at, port)| {
        format!("{at:4}: 00000000:{port:04X} 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1\n")
    });
    rows.collect::<String>() + "end\n"
}

fn snapshot(seen: Option<&SeenSnapshot>) -> String {
    let Some(seen) = seen else {
        return "absent\n".into();
    };
    let (disks, mount) = if seen.on_wiped_disk {
        ("66305 66305 66305", "here ext4")
    } else {
        ("40 66305 66305", "elsewhere nfs4")
    };
    let (size, trailer) = (seen.size_bytes, seen.trailer.hex());
    format!("size {size}\ntrailer {trailer}\ndisks {disks}\nmount {mount}\n")
}

fn api_server(server: Option<ApiServer>) -> String {
    let Some(server) = server else {
        return "none\n".into();
    };
    let from = if server.static_pod {
        "manifest"
    } else {
        "process"
    };
    format!("{from}\n{}\n", server.etcd_servers.join(","))
}

fn versions(tools: &ToolVersions) -> String {
    let says = |program: &str, word: &str, version| {
        let version: Option<EtcdVersion> = version;
        let line = version.map_or_else(String::new, |version| format!("{word}: {version}"));
        format!("restore-runbook:{program}={line}\n")
    };
    [
        format!("restore-runbook:loaded={}\n", tools.module),
        says("etcd", "etcd Version", Some(tools.etcd)),
        says("etcdctl", "etcdctl version", tools.etcdctl),
        says("etcdutl", "etcdutl version", tools.etcdutl),
    ]
    .concat()
}

fn staged(staged: Staged) -> String {
    let unit = |state, result| format!("ActiveState={state}\nResult={result}\n");
    let idle = |tree: &str| unit("inactive", "success") + tree;
    // In this world the content is the file, so its words can be made of its digest.
    let made = |restored: Restored, tree| {
        let hex = restored.db.hex();
        idle(&format!(
            "Digest={hex}\nContent={}, 7, 512\nTree={tree}\n",
            &hex[..8]
        ))
    };
    match staged {
        Staged::Nothing => idle("Tree=nothing\n"),
        Staged::Partial => idle("Tree=partial\n"),
        Staged::Running => unit("active", "success") + "Tree=partial\n",
        Staged::Failed(said) => unit("failed", "exit-code") + "Tree=partial\nLog=\n" + &said,
        Staged::Complete(restored) => made(restored, "complete"),
        Staged::Taken(restored) => made(restored, "taken"),
    }
}
