//! A restore of one's own: `embed spec.yaml` plans, `embed sha256:…` runs plan.json if that is its sum.

use std::{env::args, error::Error, fs, path::Path, sync::Arc};

use bright_adapter::{Cmsh, CmshConfig, Ssh, SshConfig, SshNode};
use etcd_adapter::{client, tool::RemoteTool};
use runbook_core::plan::{Draft, SealedPlan};
use runbook_core::ports::{NoLog, Ports, SystemClock};
use runbook_core::{event::Event, journal, names::RunId, observe, run::Run, spec::Spec};
use tokio_util::sync::CancellationToken;

#[tokio::main]
#[expect(clippy::print_stdout, reason = "an example talks to whoever runs it")]
async fn main() -> Result<(), Box<dyn Error>> {
    let order = args().nth(1).ok_or("name a spec, or an approved digest")?;
    let ports = ports(Path::new("/etc/kubernetes/pki/default"))?;
    if !order.starts_with("sha256:") {
        let spec = Spec::from_yaml(&fs::read_to_string(order)?)?;
        let world = observe::observe(&ports, &spec).await?;
        let plan = Draft::restore(&spec, &world, RunId::fresh())?.seal(&ports)?;
        let commands = plan.units.iter().flat_map(|unit| &unit.commands);
        commands.for_each(|command| println!("{command}"));
        return Ok(fs::write("plan.json", plan.bytes())?);
    }
    let plan = SealedPlan::read(&fs::read("plan.json")?)?;
    let drift = observe::drift(&plan.world, &observe::observe(&ports, &plan.spec).await?);
    if plan.digest().to_string() != order || !drift.is_empty() {
        return Err(format!("another plan was approved, or for another world: {drift:?}").into());
    }
    let by = journal::Actor {
        tool: "embed".into(),
        host: "head".into(),
        user: "root".into(),
        pid: std::process::id(),
    };
    let store = journal::FileStore::create(Path::new("journal.jsonl"))?;
    let run = Run::begin(&plan, &ports, Box::new(store), by)?;
    let show = |event: Event| println!("{event:?}");
    println!("{:?}", run.execute(&show, &CancellationToken::new()).await?);
    Ok(())
}

fn ports(pki: &Path) -> Result<Ports, Box<dyn Error>> {
    let tls = client::TlsFiles {
        ca: fs::read(pki.join("etcd/ca.crt"))?,
        certificate: fs::read(pki.join("apiserver-etcd-client.crt"))?,
        key: fs::read(pki.join("apiserver-etcd-client.key"))?,
    };
    let client = client::GrpcClient::new(tls, client::Timeouts::default(), None);
    let ssh = Arc::new(Ssh::new(SshConfig::default(), Arc::new(NoLog))?);
    Ok(Ports {
        manager: Arc::new(Cmsh::new(CmshConfig::default(), Arc::new(NoLog))),
        nodes: Arc::new(SshNode::new(Arc::clone(&ssh))),
        tool: Arc::new(RemoteTool::new(ssh)),
        client: Arc::new(client),
        clock: Arc::new(SystemClock::default()),
        own: Vec::new(),
    })
}
