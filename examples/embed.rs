//! A restore from a program of one's own: `embed spec.yaml` plans, `embed run` runs what was approved.

use std::{env::args, error::Error, fs, path::Path, sync::Arc};

use bright_adapter::{Cmsh, CmshConfig, Ssh, SshConfig, SshNode};
use etcd_adapter::client::{GrpcClient, Timeouts, TlsFiles};
use etcd_adapter::tool::RemoteTool;
use runbook_core::event::Event;
use runbook_core::journal::{Actor, FileStore};
use runbook_core::plan::{Draft, SealedPlan};
use runbook_core::ports::{NoLog, Ports, SystemClock};
use runbook_core::{names::RunId, observe::observe, run::Run, spec::Spec};
use tokio_util::sync::CancellationToken;

#[tokio::main]
#[expect(clippy::print_stdout, reason = "an example talks to whoever runs it")]
async fn main() -> Result<(), Box<dyn Error>> {
    let order = args().nth(1).ok_or("name a spec, or say run")?;
    let ports = ports(Path::new("/etc/kubernetes/pki/default"))?;
    if order != "run" {
        let spec = Spec::from_yaml(&fs::read_to_string(order)?)?;
        let world = observe(&ports, &spec).await?;
        let plan = Draft::restore(&spec, &world, RunId::fresh())?.seal(&ports)?;
        for command in plan.units.iter().flat_map(|unit| &unit.commands) {
            println!("{command}");
        }
        return Ok(fs::write("plan.json", plan.bytes())?);
    }
    let plan = SealedPlan::read(&fs::read("plan.json")?)?;
    let (tool, host, user, pid) = ("embed".into(), "head".into(), "root".into(), 1);
    let by = Actor {
        tool,
        host,
        user,
        pid,
    };
    let store = FileStore::create(Path::new("journal.jsonl"))?;
    let run = Run::begin(&plan, &ports, Box::new(store), by)?;
    let show = |event: Event| println!("{event:?}");
    println!("{:?}", run.execute(&show, &CancellationToken::new()).await?);
    Ok(())
}

fn ports(pki: &Path) -> Result<Ports, Box<dyn Error>> {
    let tls = TlsFiles {
        ca: fs::read(pki.join("etcd/ca.crt"))?,
        certificate: fs::read(pki.join("apiserver-etcd-client.crt"))?,
        key: fs::read(pki.join("apiserver-etcd-client.key"))?,
    };
    let ssh = Arc::new(Ssh::new(SshConfig::default(), Arc::new(NoLog))?);
    Ok(Ports {
        manager: Arc::new(Cmsh::new(CmshConfig::default(), Arc::new(NoLog))),
        nodes: Arc::new(SshNode::new(Arc::clone(&ssh))),
        tool: Arc::new(RemoteTool::new(ssh)),
        client: Arc::new(GrpcClient::new(tls, Timeouts::default(), None)),
        clock: Arc::new(SystemClock::default()),
        own: Vec::new(),
    })
}
