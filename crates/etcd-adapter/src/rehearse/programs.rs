//! etcd's programs on this machine.

use std::ffi::OsString;
use std::fmt;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use runbook_core::error::AdapterError;
use runbook_core::names::{ModuleName, NodeName};
use runbook_core::ports::PortResult;
use runbook_core::version::{EtcdVersion, RestoreTool};
use tokio::io::AsyncReadExt as _;

use super::{Settings, fault};
use crate::snapshot::Proof;
use crate::tool::{VERSIONS, answer};

/// Becomes a program with a module loaded.
const BECOME: &str = include_str!("scripts/become.sh");
/// The most that is read of what a program says of its version, in bytes.
const SAID_BYTES: u64 = 64 * 1024;
/// How long it may take: a login shell runs the site's profiles.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where etcd's programs may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The first of these directories that has etcd, as with a shell's `PATH`.
    Directories(Vec<PathBuf>),
    /// An environment module in a login shell, as on a node.
    Module(ModuleName),
}

/// Which release is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The minor release of this one, which the nodes run; and one that can move the revision, if this
    /// one can.
    LikeNodes(EtcdVersion),
    /// The minor release that the snapshot was taken from, where it says so.
    LikeSnapshot,
    /// Whichever is there.
    Any,
}

/// The programs that rehearse.
#[derive(Clone, Debug)]
pub(super) struct Programs {
    pub(super) etcd: EtcdVersion,
    pub(super) tool: RestoreTool,
    place: Place,
}

#[derive(Clone, Debug)]
enum Place {
    Directory(PathBuf),
    Module(ModuleName),
}

impl Programs {
    /// The first source that has what is wanted; otherwise why the last has not.
    pub(super) async fn find(settings: &Settings, proof: &Proof) -> PortResult<Self> {
        let mut last = missing("nowhere to look for etcd's programs".into());
        for source in &settings.sources {
            let found = match source {
                Source::Directories(dirs) => in_directories(dirs).await,
                Source::Module(module) => in_module(module).await,
            };
            match found.and_then(|found| fits(found, settings.wanted, proof)) {
                Ok(found) => return Ok(found),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Where they come from, in words.
    pub(super) fn place(&self) -> String {
        self.place.to_string()
    }

    /// The release of the cluster, where these are of another.
    pub(super) fn other_release(&self, wanted: Wanted, proof: &Proof) -> Option<EtcdVersion> {
        match wanted {
            Wanted::LikeNodes(nodes) => Some(nodes).filter(|nodes| *nodes != self.etcd),
            Wanted::LikeSnapshot | Wanted::Any => {
                release_of(proof).filter(|release| !release.same_minor(self.etcd))
            }
        }
    }

    /// A command that the launcher becomes.
    pub(super) fn command(&self, launcher: &[OsString], program: &str) -> Command {
        let mut words = launcher.to_vec();
        match &self.place {
            Place::Directory(dir) => {
                words.push(dir.join(program).into());
                bare(&words)
            }
            Place::Module(module) => {
                let shell = ["bash", "-lc", BECOME, "restore-runbook", module.as_str()];
                words.extend(shell.map(OsString::from));
                words.push(program.into());
                login(&words)
            }
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(dir) => write!(f, "{}", dir.display()),
            Self::Module(module) => write!(f, "module {module}"),
        }
    }
}

/// A program by its path, which inherits nothing: etcd refuses a variable (`ETCD_NAME`) beside a flag of
/// the same meaning.
fn bare(words: &[OsString]) -> Command {
    command(words, Command::env_clear)
}

/// A login shell, whose profiles and modules may need what there is.
fn login(words: &[OsString]) -> Command {
    command(words, |command| command)
}

fn command(words: &[OsString], within: fn(&mut Command) -> &mut Command) -> Command {
    let mut words = words.iter();
    let mut command = Command::new(
        words
            .next()
            .map_or_else(Default::default, OsString::as_os_str),
    );
    // etcdctl before 3.4 speaks the old API unless told; the others do not mind.
    within(command.args(words)).env("ETCDCTL_API", "3");
    command
}

async fn in_directories(dirs: &[PathBuf]) -> PortResult<Programs> {
    let Some(dir) = dirs.iter().find(|dir| is_program(&dir.join("etcd"))) else {
        let list: Vec<String> = dirs.iter().map(|dir| dir.display().to_string()).collect();
        return Err(missing(format!("no program etcd in {}", list.join(":"))));
    };
    let etcd = version(&dir.join("etcd"), "--version").await?;
    let tool = etcd.restore_tool();
    let program = tool.program();
    // Not one from elsewhere on the path: it may be of another release.
    if !is_program(&dir.join(program)) {
        let what = format!(
            "etcd {etcd} in {} has no {program} beside it",
            dir.display()
        );
        return Err(missing(what));
    }
    let restores = version(&dir.join(program), "version").await?;
    let place = Place::Directory(dir.clone());
    alike(etcd, tool, restores, place)
}

async fn in_module(module: &ModuleName) -> PortResult<Programs> {
    let here =
        NodeName::new("localhost").unwrap_or_else(|_| unreachable!("a constant that parses"));
    let words = ["bash", "-lc", VERSIONS, "restore-runbook", module.as_str()];
    let said = said(login(&words.map(OsString::from))).await?;
    let found = answer::versions(&here, module, &said)?;
    let tool = found.etcd.restore_tool();
    let restores = match tool {
        RestoreTool::Etcdctl => found.etcdctl,
        RestoreTool::Etcdutl => found.etcdutl,
    };
    let place = Place::Module(found.module);
    let Some(restores) = restores else {
        let what = format!(
            "{place} gives etcd {}, but no {}",
            found.etcd,
            tool.program()
        );
        return Err(missing(what));
    };
    alike(found.etcd, tool, restores, place)
}

fn alike(
    etcd: EtcdVersion,
    tool: RestoreTool,
    restores: EtcdVersion,
    place: Place,
) -> PortResult<Programs> {
    if etcd.same_minor(restores) && etcd.has_revision_bump() == restores.has_revision_bump() {
        return Ok(Programs { etcd, tool, place });
    }
    let program = tool.program();
    Err(other_version(format!(
        "{place} has etcd {etcd} beside {program} {restores}"
    )))
}

/// The same rule as for the nodes: one minor release, and the same flags.
fn fits(found: Programs, wanted: Wanted, proof: &Proof) -> PortResult<Programs> {
    let (etcd, place) = (found.etcd, &found.place);
    match (wanted, release_of(proof)) {
        (Wanted::LikeNodes(nodes), _)
            if !etcd.same_minor(nodes) || etcd.has_revision_bump() != nodes.has_revision_bump() =>
        {
            let what = format!("the nodes run etcd {nodes}, {place} has {etcd}");
            Err(other_version(what))
        }
        (Wanted::LikeSnapshot, Some(source)) if !etcd.same_minor(source) => {
            let what = format!(
                "the snapshot is of a cluster of version {source}, {place} has etcd {etcd}"
            );
            Err(other_version(what))
        }
        _ => Ok(found),
    }
}

/// The release of the cluster that the snapshot is of, where it says so; its patch level is always 0.
fn release_of(proof: &Proof) -> Option<EtcdVersion> {
    let text = proof.meaning.cluster_version.as_deref()?;
    EtcdVersion::parse(text).ok()
}

fn is_program(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0)
}

async fn version(program: &Path, option: &str) -> PortResult<EtcdVersion> {
    let said = said(bare(&[program.into(), option.into()])).await?;
    let line = said.lines().next().unwrap_or_default();
    answer::version_in(line).ok_or_else(|| {
        let what = format!(
            "{} {option} answered {:?}",
            program.display(),
            answer::tail(line)
        );
        fault("rehearsal-programs", what)
    })
}

/// What a program prints on standard output, bounded in length and time; it must end well.
async fn said(command: Command) -> PortResult<String> {
    let program = command.get_program().display().to_string();
    let failed = |why: String| {
        fault("rehearsal-programs", format!("{program} {why}"))
            .hint("run it by hand; name other programs with --etcd-bin or --module")
    };
    let started = tokio::process::Command::from(command)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    let mut child = started.map_err(|error| failed("cannot be started".into()).caused_by(error))?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let read = async {
        let (out, err) = tokio::join!(bounded(out), bounded(err));
        (out, err, child.wait().await)
    };
    let late = |_| failed(format!("gave no answer within {} s", PATIENCE.as_secs()));
    let (out, err, status) = tokio::time::timeout(PATIENCE, read).await.map_err(late)?;
    match status {
        Ok(status) if status.success() => Ok(out),
        Ok(status) => Err(failed(format!(
            "ended with {status}: {}",
            answer::tail(&err)
        ))),
        Err(error) => Err(failed("cannot be waited for".into()).caused_by(error)),
    }
}

async fn bounded(from: Option<impl tokio::io::AsyncRead + Unpin>) -> String {
    let mut bytes = Vec::new();
    if let Some(from) = from {
        // What was read before an error is what there is.
        from.take(SAID_BYTES).read_to_end(&mut bytes).await.ok();
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn missing(what: String) -> AdapterError {
    fault("rehearsal-no-etcd", what).hint(
        "name the directory of etcd's programs with --etcd-bin, or their environment module with --module",
    )
}

fn other_version(what: String) -> AdapterError {
    fault("rehearsal-version", what).hint(
        "another release may read, restore and hash otherwise: name the programs of the nodes' release with --etcd-bin or --module",
    )
}
