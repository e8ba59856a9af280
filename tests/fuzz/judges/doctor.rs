//! What only the doctor asks a machine: a certificate, backups, storage, a clock; and what it makes of a whole
//! bundle.
//!
//! An input is the answers: a certificate, a listing of backups, a file system, a clock, an API server. What else
//! is asked has the answers of a cluster that is well.

use std::io;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bright_adapter::CmshConfig;
use bright_adapter::bundle::{Bundle, Recorded};
use bright_adapter::doctor::{CHECKS, Doctor, Outcome, Proven, Prover, Report, Settings, ToolOver};
use bright_adapter::programs::{Call, Failure, Finished, Programs};
use etcd_adapter::tool::RemoteTool;
use runbook_core::journal::Permit;
use runbook_core::names::{AbsPath, ClusterLabel, NodeName};
use runbook_core::ports::{EtcdTool, Output, PortResult, Shell};
use runbook_core::text::steers;

use super::cmsh::Answers;
use super::{GOOD, commands, now, parts};

const CLUSTER: &[u8] = include_bytes!("../corpus/cmsh/good");

/// The head node and the nodes: each says the same.
struct Everybody {
    cmsh: Answers,
    parts: Vec<Vec<u8>>,
}

impl Everybody {
    /// The answer to a script, by a word that no other has.
    fn to(&self, argv: &[String]) -> Vec<u8> {
        let words = ["x509", "find -H", "fstype", "date +%s", "kube-apiserver"];
        let script = argv.last().map(String::as_str).unwrap_or_default();
        let at = words.iter().position(|word| script.contains(word));
        at.and_then(|at| self.parts.get(at))
            .cloned()
            .unwrap_or_default()
    }
}

#[async_trait]
impl Programs for Everybody {
    async fn run(&self, call: &Call) -> Result<Finished, Failure> {
        if call.program != Path::new("sh") {
            return self.cmsh.run(call).await;
        }
        Ok(Finished {
            status: Some(0),
            stdout: self.to(&call.args),
            stderr: Vec::new(),
        })
    }

    async fn read(&self, path: &Path, limit: usize) -> io::Result<Vec<u8>> {
        self.cmsh.read(path, limit).await
    }
}

#[async_trait]
impl Shell for Everybody {
    async fn query(&self, node: &NodeName, argv: &[String]) -> PortResult<Output> {
        let words = argv.iter().map(String::as_str);
        commands::are_words(&runbook_core::plan::Command::on_node(node, words));
        Ok(Output {
            status: 0,
            stdout: self.to(argv),
            stderr: Vec::new(),
        })
    }

    async fn effect(&self, _: &Permit, _: &NodeName, _: &[String]) -> PortResult<Output> {
        panic!("the doctor changes nothing")
    }
}

#[async_trait]
impl Prover for Everybody {
    async fn prove(&self, _: &AbsPath) -> Proven {
        Proven {
            good: true,
            text: "5 keys".into(),
        }
    }
}

pub(super) fn judge(data: &[u8]) -> &'static str {
    let own = |data| parts(data).into_iter().map(<[u8]>::to_vec).collect();
    let everybody = Arc::new(Everybody {
        cmsh: Answers(own(CLUSTER)),
        parts: own(data),
    });
    let label = ClusterLabel::new("default").expect("a label");
    let pki = AbsPath::new("/etc/kubernetes/pki/default").expect("a path");
    let settings = Settings::new(jiff::Timestamp::UNIX_EPOCH, label, &pki).expect("paths");
    let report = examined(settings, everybody);
    // Each is one that the input alone decides.
    let wanted = ["client-ca", "backup-directory", "clock", "api-server"];
    let odd = report.findings.iter().find(|finding| {
        wanted.contains(&&*finding.id) && finding.outcome == Outcome::CouldNotBeChecked
    });
    odd.map_or(GOOD, |finding| {
        let known = wanted.iter().find(|id| **id == finding.id);
        known.expect("one of them")
    })
}

/// What the doctor makes of somebody's bundle.
pub(super) fn replayed(bundle: Bundle) {
    let recorded = Arc::new(Recorded::new(&bundle));
    examined(bundle.settings, recorded);
}

fn examined(settings: Settings, all: Arc<impl Programs + Shell + Prover + 'static>) -> Report {
    let tool: ToolOver = Arc::new(|shell| Arc::new(RemoteTool::new(shell)) as Arc<dyn EtcdTool>);
    let config = CmshConfig::default();
    let doctor = Doctor::new(settings, config, all.clone(), all.clone(), tool, all);
    let report = now(doctor.examine());
    for check in CHECKS {
        assert!(
            report.findings.iter().any(|found| found.id == check.id),
            "{}",
            check.id
        );
    }
    for finding in &report.findings {
        let texts = [&finding.seen, &finding.todo];
        for text in texts.into_iter().chain(&finding.about) {
            let long = text.len() > 16 << 10;
            assert!(
                !long && !text.chars().any(|c| c != '\n' && steers(c)),
                "{finding:?}"
            );
        }
    }
    report
}
