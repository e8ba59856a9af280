//! From options to ports: the one place that knows the adapters.

mod tls;

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bright_adapter::programs::{Programs, ThisHead};
use bright_adapter::{Cmsh, CmshConfig, HostKeys, Ssh, SshConfig, SshNode};
use etcd_adapter::client::{GrpcClient, Login, Timeouts, TlsFiles};
use etcd_adapter::tool::{RemoteTool, Watcher};
use runbook_core::names::{ClusterLabel, EtcdUrl};
use runbook_core::ports::{CommandLog, Ports, SystemClock};
use runbook_core::rundir::read_private;

use crate::args::{Global, HostKeyPolicy};
use crate::failure::Failure;
pub(crate) use tls::certificates;

/// Bytes of a password.
const PASSWORD_LIMIT_BYTES: u64 = 4096;

/// The ports, and how to take leave of them.
pub struct Wired {
    /// Everything outside.
    pub ports: Ports,
    /// Called at the end: shared connections are ended, so that no process stays behind.
    pub close: Box<dyn Fn() -> Closing + Send + Sync>,
}

/// Saying goodbye.
pub type Closing = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Wired {
    /// Ports alone, with nothing to be closed afterwards.
    pub fn plain(ports: Ports) -> Self {
        Self {
            ports,
            close: Box::new(|| Box::pin(std::future::ready(()))),
        }
    }

    /// Works with the ports, and closes what they have opened.
    pub(crate) async fn during<T>(&self, work: impl Future<Output = T>) -> T {
        let done = work.await;
        (self.close)().await;
        done
    }
}

impl std::fmt::Debug for Wired {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wired").finish_non_exhaustive()
    }
}

/// What the ports are for.
#[derive(Clone)]
pub struct Purpose<'a> {
    /// The cluster: its label says where its certificates lie.
    pub cluster: &'a ClusterLabel,
    /// Whether etcd itself will be asked.
    pub asks_etcd: bool,
    /// Where the run notes which nodes it has wiped, if there is one.
    pub run_dir: Option<&'a Path>,
    /// Takes note of every command.
    pub log: Arc<dyn CommandLog>,
    /// Told how far the proof of a snapshot has come; often, and from any thread.
    pub watcher: Watcher,
}

impl std::fmt::Debug for Purpose<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Purpose")
            .field("cluster", self.cluster)
            .finish_non_exhaustive()
    }
}

/// How options become ports; tests bring a world of their own.
pub trait Wiring: Sync {
    /// The ports for one command.
    ///
    /// # Errors
    /// When something a port needs is missing, as a certificate.
    fn wire(&self, options: &Global, purpose: &Purpose<'_>) -> Result<Wired, Failure>;
}

/// The real world: cmsh, ssh, etcd.
#[derive(Debug, Clone, Copy)]
pub struct Real;

impl Wiring for Real {
    fn wire(&self, options: &Global, purpose: &Purpose<'_>) -> Result<Wired, Failure> {
        let log = &purpose.log;
        let shell = Arc::new(Ssh::new(ssh(options, purpose), Arc::clone(log))?);
        let client = client(options, purpose)?;
        let ports = Ports {
            manager: Arc::new(
                Cmsh::new(cmsh(options), Arc::clone(log)).telling(Arc::clone(&shell)),
            ),
            nodes: Arc::new(SshNode::new(Arc::clone(&shell))),
            tool: Arc::new(
                RemoteTool::new(Arc::clone(&shell)).watched(Arc::clone(&purpose.watcher)),
            ),
            client: Arc::new(client.logged(Arc::clone(log))),
            clock: Arc::new(SystemClock::default()),
            own: Vec::new(),
        };
        Ok(Wired {
            ports,
            close: Box::new(move || {
                let shell = Arc::clone(&shell);
                Box::pin(async move { shell.close().await })
            }),
        })
    }
}

/// The ways to ask below the ports: this head node's programs, and the nodes' shell.
pub(crate) struct Seams {
    pub(crate) programs: Arc<dyn Programs>,
    pub(crate) shell: Arc<Ssh>,
    pub(crate) cmsh: CmshConfig,
}

/// The longest one question may take.
pub(crate) struct Patience {
    pub(crate) cmsh: Duration,
    pub(crate) node: Duration,
}

/// The same ways as the ports of [`Real`] go.
pub(crate) fn seams(
    options: &Global,
    purpose: &Purpose<'_>,
    patience: &Patience,
) -> Result<Seams, Failure> {
    let mut ssh = ssh(options, purpose);
    ssh.command_timeout = patience.node;
    let mut cmsh = cmsh(options);
    cmsh.timeout = patience.cmsh;
    Ok(Seams {
        programs: Arc::new(ThisHead),
        shell: Arc::new(Ssh::new(ssh, Arc::clone(&purpose.log))?),
        cmsh,
    })
}

fn cmsh(options: &Global) -> CmshConfig {
    let mut config = CmshConfig::default();
    if let Some(program) = &options.cmsh {
        config.program.clone_from(program);
    }
    config
}

fn ssh(options: &Global, purpose: &Purpose<'_>) -> SshConfig {
    let mut config = SshConfig::default();
    config.config_file.clone_from(&options.ssh_config);
    config.control_path_dir = control_path_dir();
    config.host_keys = match options.host_keys {
        HostKeyPolicy::Strict => HostKeys::Strict,
        HostKeyPolicy::ReplaceAfterWipe => HostKeys::ReplaceAfterWipe,
    };
    config.run_known_hosts = purpose.run_dir.map(run_known_hosts);
    config
}

/// Where a run keeps the host keys of the nodes that it has had wiped.
pub(crate) fn run_known_hosts(run_dir: &Path) -> PathBuf {
    run_dir.join("known_hosts")
}

/// Where each process makes a directory of its own for the sockets of its shared connections.
fn control_path_dir() -> Option<PathBuf> {
    let run = if rustix::process::geteuid().is_root() {
        PathBuf::from("/run")
    } else {
        PathBuf::from(std::env::var_os("XDG_RUNTIME_DIR")?)
    };
    run.is_dir().then(|| run.join("restore-runbook"))
}

fn client(options: &Global, purpose: &Purpose<'_>) -> Result<GrpcClient, Failure> {
    let files = if purpose.asks_etcd {
        tls::read(options, purpose.cluster)?
    } else {
        no_files()
    };
    Ok(GrpcClient::new(files, Timeouts::default(), login(options)?))
}

fn no_files() -> TlsFiles {
    TlsFiles {
        ca: Vec::new(),
        certificate: Vec::new(),
        key: Vec::new(),
    }
}

/// A client for these members alone, for a command that needs no other port. Without TLS no
/// certificate is needed.
pub(crate) fn etcd(
    options: &Global,
    cluster: &ClusterLabel,
    members: &[EtcdUrl],
) -> Result<GrpcClient, Failure> {
    let plain = members.iter().all(|url| url.as_str().starts_with("http:"));
    let files = if plain {
        no_files()
    } else {
        tls::read(options, cluster)?
    };
    Ok(GrpcClient::new(files, Timeouts::default(), login(options)?))
}

/// Who asks, where etcd's authentication is on.
fn login(options: &Global) -> Result<Option<Login>, Failure> {
    let (Some(user), Some(path)) = (&options.etcd_user, &options.etcd_password_file) else {
        return Ok(None);
    };
    let bytes = read_private(path, PASSWORD_LIMIT_BYTES)?;
    let password = String::from_utf8(bytes)
        .map_err(|_| Failure::usage(format!("{} is not UTF-8 text", path.display())))?;
    Ok(Some(Login {
        user: user.clone(),
        password: password.trim_end_matches(['\r', '\n']).to_owned(),
    }))
}
