//! The adapters' scripts as a node's shell gets them.
//!
//! No shell reads them here. A script is known by its body, which the adapters themselves have written for
//! other values; the values in front of it, and its arguments, are what it goes by. What its body does is
//! tried with a real shell elsewhere, by the tests of the adapters.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::task::{Context, Waker};

use async_trait::async_trait;
use bright_adapter::SshNode;
use etcd_adapter::tool::{RemoteTool, inner_script};
use runbook_core::digest::Digest;
use runbook_core::journal::Permit;
use runbook_core::names::{AbsPath, EtcdUrl, MemberName, NodeName, RunId};
use runbook_core::plan::{NodeEffect, RestoreEffect, ToolEffect};
use runbook_core::ports::{EtcdTool, Node, Output, PortResult, Shell};
use runbook_core::testkit::run_id;
use runbook_core::version::RestoreTool;

/// What a script is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    BootId,
    Spool,
    Exists,
    Service,
    Listening,
    Snapshot,
    Room,
    ApiServer,
    Owner,
    Tree,
    StopService,
    ClearFailures,
    SetAside,
    PlaceGuard,
    TakeOver,
    OwnTree,
    Arm,
    Disarm,
    ReturnSpool,
    Modules,
    Versions,
    Staged,
    DbDigest,
    Restore,
}

/// The unit of etcd, of which there is one in every world.
pub(crate) const UNIT: &str = "etcd";

static KNOWN: LazyLock<BTreeMap<String, Kind>> = LazyLock::new(|| {
    let scripts = of_the_nodes().into_iter().chain(of_the_tool());
    scripts
        .map(|(kind, argv)| (split(&argv).unwrap_or_default().0, kind))
        .collect()
});

static RESTORE: LazyLock<String> = LazyLock::new(|| {
    let script = inner_script(&restore()).unwrap_or_default();
    tool_and_body(&script).unwrap_or_default().1.to_owned()
});

/// A script and what it goes by.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) kind: Kind,
    values: BTreeMap<String, String>,
    args: Vec<String>,
}

impl Script {
    /// None for what none of the adapters writes.
    pub(crate) fn of(command: &[String]) -> Option<Self> {
        let (body, values, args) = split(command)?;
        let kind = *KNOWN.get(&body)?;
        Some(Self { kind, values, args })
    }

    /// A value by its name.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    pub(crate) fn path(&self, name: &str) -> Option<AbsPath> {
        AbsPath::new(self.value(name)?).ok()
    }

    /// An argument, counted from 1 as a shell does.
    pub(crate) fn arg(&self, at: usize) -> Option<&str> {
        self.args.get(at - 1).map(String::as_str)
    }
}

/// What a script is known by, its values, and its arguments.
type Parts = (String, BTreeMap<String, String>, Vec<String>);

fn split(command: &[String]) -> Option<Parts> {
    let [program, options, script, rest @ ..] = command else {
        return None;
    };
    let (mut head, mut values) = (0, BTreeMap::new());
    for (at, _) in script.match_indices('\n') {
        // A value may have line feeds in it: then what ends with the first of them is nothing whole.
        let Some(words) = shlex::split(&script[head..=at]) else {
            continue;
        };
        let set: Option<Vec<_>> = words.iter().map(|word| assignment(word)).collect();
        let Some(set) = set else {
            break;
        };
        values.extend(set);
        head = at + 1;
    }
    let body = format!("{program} {options} {}", &script[head..]);
    // The first word behind a script is its name.
    Some((body, values, rest.iter().skip(1).cloned().collect()))
}

fn assignment(word: &str) -> Option<(String, String)> {
    let (name, value) = word.split_once('=')?;
    let plain = !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    plain.then(|| (name.to_owned(), value.to_owned()))
}

/// The run in the name of a restore's unit.
pub(crate) fn run_of(unit: &str) -> Option<RunId> {
    let run = unit.strip_prefix("restore-runbook-")?;
    RunId::parse(run.strip_suffix(".service")?).ok()
}

/// The restore that a script starts on a node.
pub(crate) fn started(node: &NodeName, script: &Script) -> Option<RestoreEffect> {
    let (head, body) = tool_and_body(script.arg(3)?)?;
    if body != *RESTORE {
        return None;
    }
    let words = shlex::split(head)?;
    let at = words.iter().position(|word| word == "restore=(")?;
    let values: BTreeMap<_, _> = words[..at]
        .iter()
        .filter_map(|word| assignment(word))
        .collect();
    let value = |name: &str| values.get(name).map(String::as_str);
    let tool = |program: &String| {
        let tools = [RestoreTool::Etcdctl, RestoreTool::Etcdutl];
        tools.into_iter().find(|tool| tool.program() == program)
    };
    let (program, words) = words[at + 1..].split_first()?;
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let [
        "snapshot",
        "restore",
        "$snapshot",
        options @ ..,
        "--data-dir",
        "$staging/data",
    ] = &words[..]
    else {
        return None;
    };
    let behind = |name: &str| {
        let at = options.iter().position(|word| *word == name)?;
        options.get(at + 1).copied()
    };
    let has = |name: &str| options.contains(&name);
    let trailer = value("trailer")? == "yes";
    if trailer == has("--skip-hash-check") || value("staging") != script.arg(2) {
        return None;
    }
    let member = |pair: &str| {
        let (name, url) = pair.split_once('=')?;
        Some((MemberName::new(name).ok()?, EtcdUrl::new(url).ok()?))
    };
    let bump = behind("--bump-revision").filter(|_| has("--mark-compacted"));
    Some(RestoreEffect {
        node: node.clone(),
        run: run_of(script.arg(1)?)?,
        module: value("module")?.parse().ok()?,
        tool: tool(program)?,
        snapshot: value("snapshot")?.parse().ok()?,
        sha256: Digest::parse(value("sha256")?).ok()?,
        staging: value("staging")?.parse().ok()?,
        member: behind("--name")?.parse().ok()?,
        peer_url: behind("--initial-advertise-peer-urls")?.parse().ok()?,
        initial_cluster: behind("--initial-cluster")?
            .split(',')
            .map(member)
            .collect::<Option<_>>()?,
        trailer,
        token: behind("--initial-cluster-token")?.to_owned(),
        revision_bump: bump.and_then(|by| by.parse().ok()),
    })
}

/// The restore's own words, up to the end of the tool's command line, and what is the same in every one.
fn tool_and_body(script: &str) -> Option<(&str, &str)> {
    script.split_once("\n)\n")
}

/// A shell that takes note of what is asked, and does nothing.
#[derive(Debug, Default)]
struct Ear(Mutex<Vec<String>>);

#[async_trait]
impl Shell for Ear {
    async fn query(&self, _: &NodeName, argv: &[String]) -> PortResult<Output> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = argv.to_vec();
        Ok(Output {
            status: 1,
            stdout: Vec::new(),
            stderr: Vec::new(),
        })
    }

    async fn effect(&self, _: &Permit, node: &NodeName, argv: &[String]) -> PortResult<Output> {
        self.query(node, argv).await
    }
}

impl Ear {
    fn hears<T>(&self, asked: impl Future<Output = PortResult<T>>) -> Vec<String> {
        let mut cx = Context::from_waker(Waker::noop());
        // It waits for nothing, and what comes of it is no matter.
        let _ = pin!(asked).poll(&mut cx);
        let heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        heard.clone()
    }
}

/// This module's own text, which parses.
fn named<T: std::str::FromStr>(text: &str) -> T {
    let good = text.parse().ok();
    good.unwrap_or_else(|| unreachable!("{text} is a good name"))
}

fn of_the_nodes() -> Vec<(Kind, Vec<String>)> {
    let ear = Arc::new(Ear::default());
    let nodes = SshNode::new(Arc::clone(&ear));
    let (node, path) = (named::<NodeName>("n"), named::<AbsPath>("/p"));
    let questions = [
        (Kind::BootId, ear.hears(nodes.boot_id(&node))),
        (Kind::Spool, ear.hears(nodes.spool(&node, &path))),
        (Kind::Exists, ear.hears(nodes.exists(&node, &path))),
        (Kind::Service, ear.hears(nodes.service(&node, &named("u")))),
        (Kind::Listening, ear.hears(nodes.listening(&node, &[]))),
        (
            Kind::Snapshot,
            ear.hears(nodes.snapshot(&node, &path, &path)),
        ),
        (Kind::Room, ear.hears(nodes.room(&node, &path))),
        (Kind::ApiServer, ear.hears(nodes.api_server(&node))),
        (
            Kind::Owner,
            ear.hears(nodes.knows_owner(&node, &named("u:g"))),
        ),
        (Kind::Tree, ear.hears(nodes.tree(&node, &path))),
    ];
    let effects = effects(&node, &path).into_iter().map(|(kind, effect)| {
        let commands = nodes.render(&effect).unwrap_or_default();
        let argv = commands.into_iter().next().map(|command| command.argv);
        (kind, argv.unwrap_or_default())
    });
    questions.into_iter().chain(effects).collect()
}

fn effects(node: &NodeName, path: &AbsPath) -> Vec<(Kind, NodeEffect)> {
    let (node, run) = (node.clone(), run_id(1));
    let [spool, aside, staged, tree] = [(); 4].map(|()| path.clone());
    let guard = |instead_of| NodeEffect::PlaceGuard {
        node: node.clone(),
        spool: path.clone(),
        run,
        instead_of,
    };
    vec![
        (Kind::PlaceGuard, guard(None)),
        (Kind::TakeOver, guard(Some(run))),
        (
            Kind::StopService,
            NodeEffect::StopService {
                node: node.clone(),
                service: named(UNIT),
            },
        ),
        (
            Kind::ClearFailures,
            NodeEffect::ClearFailures {
                node: node.clone(),
                service: named(UNIT),
            },
        ),
        (
            Kind::SetAside,
            NodeEffect::SetAside {
                node: node.clone(),
                spool: spool.clone(),
                aside: aside.clone(),
                run,
            },
        ),
        (
            Kind::OwnTree,
            NodeEffect::OwnTree {
                node: node.clone(),
                tree,
                owner: named("u:g"),
            },
        ),
        (
            Kind::Arm,
            NodeEffect::Arm {
                node: node.clone(),
                staged: staged.clone(),
                spool: spool.clone(),
                run,
            },
        ),
        (
            Kind::Disarm,
            NodeEffect::Disarm {
                node: node.clone(),
                staged,
                spool: spool.clone(),
                run,
            },
        ),
        (
            Kind::ReturnSpool,
            NodeEffect::ReturnSpool {
                node,
                spool,
                aside,
                run,
            },
        ),
    ]
}

fn of_the_tool() -> Vec<(Kind, Vec<String>)> {
    let ear = Arc::new(Ear::default());
    let tool = RemoteTool::new(Arc::clone(&ear));
    let (node, path) = (named::<NodeName>("n"), named::<AbsPath>("/p"));
    let starts = tool.render(&ToolEffect::Restore(Box::new(restore())));
    let argv = starts.unwrap_or_default().into_iter().next();
    vec![
        (Kind::Modules, ear.hears(tool.tools(&node, None))),
        (
            Kind::Versions,
            ear.hears(tool.tools(&node, Some(named("etcd")))),
        ),
        (
            Kind::Staged,
            ear.hears(tool.staged(&node, &path, run_id(1))),
        ),
        (Kind::DbDigest, ear.hears(tool.db_digest(&node, &path))),
        (
            Kind::Restore,
            argv.map_or_else(Vec::new, |command| command.argv),
        ),
    ]
}

fn restore() -> RestoreEffect {
    let url: EtcdUrl = named("https://10.0.0.1:2380");
    RestoreEffect {
        node: named("n"),
        run: run_id(1),
        module: named("etcd"),
        tool: RestoreTool::Etcdctl,
        snapshot: named("/s"),
        sha256: Digest::of(b""),
        staging: named(&format!("/p.{}", run_id(1).short())),
        member: named("n"),
        peer_url: url.clone(),
        initial_cluster: vec![(named("n"), url)],
        trailer: true,
        token: "t".into(),
        revision_bump: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_script_is_known_from_each_other() {
        let all = of_the_nodes().len() + of_the_tool().len();
        assert_eq!((KNOWN.len(), all), (24, 24));
        assert!(!RESTORE.is_empty());
    }
}
