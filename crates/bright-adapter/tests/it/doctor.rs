//! The doctor where nothing answers, and the page that lists its checks.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bright_adapter::CmshConfig;
use bright_adapter::doctor::{CHECKS, Doctor, Outcome, Proven, Prover, Report, Settings, ToolOver};
use bright_adapter::programs::ThisHead;
use runbook_core::digest::Digest;
use runbook_core::error::{AdapterError, Certainty};
use runbook_core::journal::Permit;
use runbook_core::names::{AbsPath, ClusterLabel};
use runbook_core::names::{ModuleName, NodeName, OverlayName, RunId};
use runbook_core::plan::{Command, ToolEffect};
use runbook_core::ports::{EtcdTool, PortResult, Shell};
use runbook_core::world::{BumpRule, RecordedRevisions, SnapshotProof, Staged, ToolVersions};
use tempfile::TempDir;

use crate::support::{LocalShell, node, program};

const PAGE: &str = include_str!("../../../../docs/doctor.md");

/// No check that nobody could read about, and none that is not there.
#[test]
fn every_check_is_in_the_page_word_for_word() {
    let rows: Vec<&str> = PAGE
        .lines()
        .skip_while(|line| *line != "## The checks")
        .take_while(|line| !line.starts_with("## `--format"))
        .filter(|line| line.starts_with("| `"))
        .collect();
    let expected: Vec<String> = CHECKS
        .iter()
        .map(|check| format!("| `{}` | {} | {} |", check.id, check.believed, check.means))
        .collect();
    assert_eq!(rows, expected);
}

#[test]
fn an_id_stands_for_one_check() {
    for (at, check) in CHECKS.iter().enumerate() {
        assert!(CHECKS[at + 1..].iter().all(|other| other.id != check.id));
        let kebab = |c: char| c.is_ascii_lowercase() || c == '-';
        assert!(check.id.chars().all(kebab), "{}", check.id);
    }
}

struct NoProof;

#[async_trait]
impl Prover for NoProof {
    async fn prove(&self, _: &AbsPath) -> Proven {
        Proven {
            good: false,
            text: "not here".into(),
        }
    }
}

/// A node without etcd's programs.
struct NoTool;

#[async_trait]
impl EtcdTool for NoTool {
    fn render(&self, _: &ToolEffect) -> PortResult<Vec<Command>> {
        unreachable!("the doctor changes nothing")
    }

    async fn perform(&self, _: &Permit, _: &ToolEffect) -> PortResult<()> {
        unreachable!("the doctor changes nothing")
    }

    async fn prove(&self, _: &AbsPath, _: Option<BumpRule>) -> PortResult<SnapshotProof> {
        unreachable!("there is a prover for that")
    }

    async fn recorded(&self, _: &AbsPath) -> PortResult<Option<RecordedRevisions>> {
        unreachable!("the doctor does not ask for it")
    }

    async fn tools(&self, _: &NodeName, _: Option<ModuleName>) -> PortResult<ToolVersions> {
        let what = "there is no module command";
        Err(AdapterError::new(
            "module-missing",
            Certainty::Refused,
            what,
        ))
    }

    async fn staged(&self, _: &NodeName, _: &AbsPath, _: RunId) -> PortResult<Staged> {
        unreachable!("the doctor does not ask for it")
    }

    async fn db_digest(&self, _: &NodeName, _: &AbsPath) -> PortResult<Option<Digest>> {
        unreachable!("the doctor does not ask for it")
    }
}

/// A doctor with this cmsh, asked of this machine; etcd's tools are those of a fake world.
async fn examine(
    cmsh: &str,
    patience: Duration,
    change: impl FnOnce(&mut Settings),
) -> (Report, u32) {
    let dir = TempDir::new().unwrap();
    let calls = dir.path().join("calls");
    let script = format!("echo >>{}\n{cmsh}", calls.display());
    let mut config = CmshConfig::default();
    config.program = program(dir.path(), "cmsh", &script);
    config.cmha = dir.path().join("cmha");
    config.state_file = dir.path().join("state");
    config.timeout = patience;
    let missing = AbsPath::new("/no/such/directory").unwrap();
    let label = ClusterLabel::new("default").unwrap();
    let mut settings = Settings::new(jiff::Timestamp::UNIX_EPOCH, label, &missing).unwrap();
    settings.backup_dir = missing;
    change(&mut settings);
    let tool: ToolOver = Arc::new(|_: Arc<dyn Shell>| -> Arc<dyn EtcdTool> { Arc::new(NoTool) });
    let doctor = Doctor::new(
        settings,
        config,
        Arc::new(ThisHead),
        Arc::new(LocalShell),
        tool,
        Arc::new(NoProof),
    );
    let report = doctor.examine().await;
    let calls = std::fs::read_to_string(calls).unwrap_or_default();
    (report, u32::try_from(calls.len()).unwrap())
}

fn outcome(report: &Report, id: &str) -> Outcome {
    let found = report.findings.iter().find(|finding| finding.id == id);
    found.unwrap_or_else(|| panic!("no {id}")).outcome
}

/// One that hangs costs its time-out once, and every check is in the report all the same.
#[tokio::test]
async fn a_cmsh_that_hangs_is_waited_for_once() {
    // Long enough for a busy machine to start it, which is what is counted.
    let (report, calls) = examine("exec sleep 600", Duration::from_secs(5), |_| ()).await;
    assert_eq!(calls, 1);
    assert_eq!(outcome(&report, "cmsh-found"), Outcome::Holds);
    assert_eq!(outcome(&report, "cmsh-batch"), Outcome::Differs);
    assert_eq!(outcome(&report, "list-devices"), Outcome::CouldNotBeChecked);
    // What does not hang on cmsh is still told.
    assert_eq!(outcome(&report, "backup-directory"), Outcome::Differs);
    assert_eq!(outcome(&report, "client-ca"), Outcome::Differs);
    for check in CHECKS {
        assert!(
            report.findings.iter().any(|finding| finding.id == check.id),
            "{}",
            check.id
        );
    }
    for finding in &report.findings {
        let fine = matches!(finding.outcome, Outcome::Holds | Outcome::DoesNotApply);
        assert_eq!(finding.todo.is_empty(), fine, "{finding:?}");
        assert!(!finding.seen.is_empty() && !finding.means.is_empty());
    }
}

/// What cannot be run is not said to run.
#[tokio::test]
async fn a_cmsh_that_cannot_be_run_is_not_found() {
    for program in ["/no/such/cmsh", "/"] {
        let (report, _) = examine("exit 0", Duration::from_secs(60), |settings| {
            settings.cmsh = Some(program.into());
        })
        .await;
        assert_eq!(
            outcome(&report, "cmsh-found"),
            Outcome::Differs,
            "{program}"
        );
        let batch = outcome(&report, "cmsh-batch");
        assert_eq!(batch, Outcome::CouldNotBeChecked, "{program}");
    }
}

/// A doctor has no log of commands, and this head node is no node to log in to.
#[tokio::test]
async fn a_question_that_fails_is_to_be_asked_by_hand() {
    let (report, _) = examine("exit 1", Duration::from_secs(60), |settings| {
        settings.backup_dir = AbsPath::new("/etc/passwd").unwrap();
    })
    .await;
    let mut findings = report.findings.iter();
    let finding = findings.find(|one| one.id == "backup-directory").unwrap();
    assert_eq!(finding.outcome, Outcome::CouldNotBeChecked);
    assert!(finding.seen.contains("is no directory"), "{finding:?}");
    assert!(finding.todo.contains("by hand"), "{finding:?}");
    assert!(!finding.todo.contains("commands.log"), "{finding:?}");
}

/// A node that is named is asked also where cmsh is dead.
#[tokio::test]
async fn a_node_can_be_asked_without_a_cmsh() {
    let patience = Duration::from_secs(60);
    let (report, _) = examine("exit 1", patience, |settings| {
        settings.nodes = vec![node("node001")];
    })
    .await;
    assert_eq!(outcome(&report, "cmsh-batch"), Outcome::Differs);
    let ssh = report
        .findings
        .iter()
        .find(|finding| finding.id == "ssh")
        .unwrap();
    assert_eq!(
        (ssh.outcome, ssh.about.as_deref()),
        (Outcome::Holds, Some("node001"))
    );
    assert!(
        ssh.asked[0].starts_with("ssh root@node001 -- "),
        "{}",
        ssh.asked[0]
    );
    assert_eq!(outcome(&report, "clock"), Outcome::Holds);
    assert_eq!(outcome(&report, "module"), Outcome::Differs);
    assert_eq!(outcome(&report, "member-certificate"), Outcome::Differs);
}

/// That something comes back is no answer yet.
#[tokio::test]
async fn what_cannot_be_read_is_no_answer() {
    let garbage = r"printf '<html>\033[1m502 Bad Gateway\n'";
    let (report, _) = examine(garbage, Duration::from_secs(60), |_| ()).await;
    assert_eq!(outcome(&report, "cmsh-found"), Outcome::Holds);
    let mut findings = report.findings.iter();
    let batch = findings.find(|one| one.id == "cmsh-batch").unwrap();
    assert_eq!(batch.outcome, Outcome::Differs);
    assert!(batch.seen.contains("502 Bad Gateway"), "{batch:?}");
    let named = examine("echo Cluster Manager 11.0", Duration::from_secs(60), |_| ());
    let (report, _) = named.await;
    assert_eq!(outcome(&report, "cmsh-batch"), Outcome::Holds);
}

/// The only overlay is taken whatever the label; one that is named after another cluster is told.
#[tokio::test]
async fn a_label_that_is_not_the_overlays() {
    let cmsh = |overlay: &str| {
        let list = format!(
            r#"[{{"name (key)":"{overlay}","priority":"500","allheadnodes":"no","nodes":["node001"],"categories":[],"roles":["Etcd::Host"]}}]"#
        );
        format!("case \"$*\" in *'configurationoverlay; list'*) echo '{list}';; *) exit 1;; esac")
    };
    let examined = async |overlay: &str, named: Option<&str>| {
        let (report, _) = examine(&cmsh(overlay), Duration::from_secs(60), |settings| {
            settings.overlay = named.map(|name| OverlayName::new(name).unwrap());
        })
        .await;
        let mut findings = report.findings.into_iter();
        findings.find(|one| one.id == "etcd-overlay").unwrap()
    };
    for (overlay, named, expected) in [
        ("kube-default-etcd", None, Outcome::Holds),
        ("etcd", None, Outcome::Holds),
        ("kube-prod-etcd", None, Outcome::Differs),
        ("kube-prod-etcd", Some("kube-prod-etcd"), Outcome::Holds),
    ] {
        let finding = examined(overlay, named).await;
        assert_eq!(finding.outcome, expected, "{finding:?}");
        let told = finding.todo.contains("--cluster LABEL");
        assert_eq!(told, expected == Outcome::Differs, "{finding:?}");
    }
}
