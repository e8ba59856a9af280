//! `doctor`: what is believed of this cluster, checked one by one. Nothing is changed.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bright_adapter::bundle::{Bundle, BundleError, Recorded, Tape};
use bright_adapter::doctor::{Doctor, Proven, Prover, Report, Settings, ToolOver};
use bright_adapter::programs::Programs;
use bright_adapter::{CmshConfig, Ssh};
use etcd_adapter::tool::RemoteTool;
use jiff::Timestamp;
use runbook_core::names::AbsPath;
use runbook_core::ports::{EtcdTool, Shell};

use super::Context;
use super::discover::fault;
use crate::args::{self, Listing};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::render::{doctor as render, json, thousands};
use crate::wiring::{Patience, Seams, certificates, seams};

/// The longest a question to cmsh and to a node may take: somebody watches. `cmha` needs up to half a
/// minute after a head node has died.
const PATIENCE: Patience = Patience {
    cmsh: Duration::from_secs(40),
    node: Duration::from_secs(20),
};

pub(super) async fn doctor(cx: Context<'_>, args: &args::Doctor) -> Result<Exit, Failure> {
    let report = match &args.replay {
        Some(file) => cx.halt.or(replay(file)).await?,
        None => cx.halt.or(examine(cx, args)).await?,
    };
    let exit = render::exit(&report);
    match args.format {
        Listing::Json => cx.ui.data(&json::document(&render::json(&report)))?,
        Listing::Text => cx.ui.data(&render::text(&report))?,
    }
    Ok(exit)
}

async fn examine(cx: Context<'_>, args: &args::Doctor) -> Result<Report, Failure> {
    // Before minutes of asking, and again when it is written.
    if let Some(file) = args.bundle.as_ref().filter(|file| file.exists()) {
        return Err(BundleError::Exists(file.clone()).into());
    }
    let settings = settings(cx, args)?;
    let purpose = cx.looking(&args.cluster);
    let Seams {
        programs,
        shell,
        cmsh,
    } = seams(cx.options, &purpose, &PATIENCE)?;
    cx.ui
        .note("asking the head node, cmsh and the nodes; nothing is changed …");
    let tool = RemoteTool::new(Arc::clone(&shell)).watched(purpose.watcher);
    let tape = Tape::default();
    let all = Asked {
        programs: tape.programs(programs),
        shell: tape.shell(Arc::<Ssh>::clone(&shell)),
        prover: tape.prover(Arc::new(Proof(tool))),
    };
    let report = all.examine(settings.clone(), cmsh).await;
    shell.close().await;
    if let Some(file) = &args.bundle {
        let (exchanges, proofs) = tape.taken();
        let bundle = Bundle {
            tool: concat!("restore-runbook ", env!("CARGO_PKG_VERSION")).into(),
            settings,
            exchanges,
            proofs,
            report: report.clone(),
        };
        bundle.redacted(&own_names())?.write(file)?;
        cx.ui.note(&format!(
            "a bundle is in {}; names, addresses and secrets are taken out of it. Read it before you send it",
            file.display()
        ));
    }
    Ok(report)
}

async fn replay(file: &Path) -> Result<Report, Failure> {
    let bundle = Bundle::read(file)?;
    let recorded = Arc::new(Recorded::new(&bundle));
    let all = Asked {
        programs: recorded.clone(),
        shell: recorded.clone(),
        prover: recorded,
    };
    Ok(all.examine(bundle.settings, CmshConfig::default()).await)
}

/// Whom the doctor asks.
struct Asked {
    programs: Arc<dyn Programs>,
    shell: Arc<dyn Shell>,
    prover: Arc<dyn Prover>,
}

impl Asked {
    async fn examine(self, settings: Settings, cmsh: CmshConfig) -> Report {
        let tool: ToolOver =
            Arc::new(|shell| Arc::new(RemoteTool::new(shell)) as Arc<dyn EtcdTool>);
        let doctor = Doctor::new(settings, cmsh, self.programs, self.shell, tool, self.prover);
        doctor.examine().await
    }
}

/// The proof that a plan would ask for.
struct Proof(RemoteTool<Ssh>);

#[async_trait]
impl Prover for Proof {
    async fn prove(&self, snapshot: &AbsPath) -> Proven {
        match self.0.prove(snapshot, None).await {
            Ok(proof) => match fault(&proof) {
                Some(fault) => Proven {
                    good: false,
                    text: fault,
                },
                None => Proven {
                    good: true,
                    text: format!(
                        "revision {}, {} keys, {} of them Kubernetes' own",
                        proof.content.revision,
                        thousands(proof.content.live_keys),
                        thousands(proof.content.registry_keys)
                    ),
                },
            },
            Err(error) => Proven {
                good: false,
                text: format!("{} [{}]", error.chain(), error.code),
            },
        }
    }
}

fn settings(cx: Context<'_>, args: &args::Doctor) -> Result<Settings, Failure> {
    let files = certificates(cx.options, &args.cluster);
    let [ca, client] = [&files.ca, &files.certificate].map(|file| path(file));
    let unusable = |error| Failure::usage("a path cannot be used").caused_by(&error);
    let mut settings = Settings::new(Timestamp::now(), args.cluster.clone(), &path(&files.pki)?)
        .map_err(unusable)?;
    settings.ca = ca?;
    settings.client_certificate = client?;
    settings.overlay.clone_from(&args.overlay);
    settings.nodes.clone_from(&args.node);
    settings.module.clone_from(&args.module);
    settings.backup_dir = args.backup_dir.clone();
    settings.state_dir = absolute(&cx.options.state_dir)?;
    let program = |path: &PathBuf| path.to_string_lossy().into_owned();
    settings.cmsh = cx.options.cmsh.as_ref().map(program);
    Ok(settings)
}

fn absolute(path: &Path) -> Result<String, Failure> {
    let path = std::path::absolute(path)
        .map_err(|error| Failure::usage("a path cannot be used").caused_by(&error))?;
    Ok(path.to_string_lossy().into_owned())
}

fn path(path: &Path) -> Result<AbsPath, Failure> {
    AbsPath::new(absolute(path)?)
        .map_err(|error| Failure::usage("a path cannot be used").caused_by(&error))
}

/// What this machine calls itself.
fn own_names() -> Vec<String> {
    let uname = rustix::system::uname();
    let name = uname.nodename().to_string_lossy().into_owned();
    if name.is_empty() {
        Vec::new()
    } else {
        vec![name]
    }
}
