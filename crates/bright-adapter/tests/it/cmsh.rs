//! The cluster manager's port against a program that answers like `cmsh`.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bright_adapter::programs::{Call, Failure, Finished, Programs};
use bright_adapter::{Cmsh, CmshConfig, Ssh, SshConfig, codes};
use runbook_core::error::Certainty;
use runbook_core::names::{CategoryName, OverlayName};
use runbook_core::plan::ManagerEffect;
use runbook_core::ports::ClusterManager;
use runbook_core::world::{
    DeviceStatus, HeadRole, InstallMode, InstallerAsks, InstallerStep, PowerState, RoleSource,
};
use tempfile::TempDir;

use crate::support::{Log, node, permit, program};

const DEVICES: &str = r#"Tue Mar 22 07:14:05 2022 [notice] node001: Service etcd was stopped
[ { "hostname (key)": "basecm", "type": "HeadNode", "category": "", "ip": "10.141.255.254", "status": "[ UP ]", "datanode": "", "nextinstallmode": "" },
  { "hostname (key)": "switch01", "type": "EthernetSwitch", "ip": "10.141.0.99", "status": "[ UP ]" },
  { "hostname (key)": "node001", "type": "PhysicalNode", "category": "default", "ip": "10.141.0.1", "status": "[ UP ]", "datanode": "yes", "nextinstallmode": "" },
  { "hostname (key)": "node002", "type": "PhysicalNode", "category": "gpu", "ip": "10.141.0.2", "status": "[ INSTALLING ] (provisioning started, waiting for completion)", "datanode": "no", "nextinstallmode": "FULL" } ]"#;

const CATEGORIES: &str = r#"[ { "name (key)": "default", "datanode": "no" }, { "name (key)": "gpu", "datanode": "yes" } ]"#;

/// A fake whose overlay's node list is a file, and whose other answers are fixed.
pub(crate) struct Fake {
    pub(crate) dir: TempDir,
    pub(crate) log: Log,
    pub(crate) cmsh: Cmsh,
}

impl Fake {
    pub(crate) fn new() -> Self {
        Self::answering("")
    }

    /// `first` are cases of the dispatcher that come before the usual ones.
    pub(crate) fn answering(first: &str) -> Self {
        Self::within(Duration::from_secs(90), first)
    }

    /// The same, and a call may take so long.
    pub(crate) fn within(timeout: Duration, first: &str) -> Self {
        let dir = TempDir::new().unwrap();
        std::fs::write(dir.path().join("devices"), DEVICES).unwrap();
        std::fs::write(dir.path().join("categories"), CATEGORIES).unwrap();
        std::fs::write(dir.path().join("nodes"), "node001..node002").unwrap();
        let log = Log::default();
        let mut config = CmshConfig::default();
        config.program = program(dir.path(), "cmsh", &dispatcher(dir.path(), first));
        config.timeout = timeout;
        config.cmha = dir.path().join("cmha");
        config.state_file = dir.path().join("state");
        config.etcd_manage = dir.path().join("cm-etcd-manage");
        let cmsh = Cmsh::new(config, Arc::new(log.clone()));
        Self { dir, log, cmsh }
    }

    pub(crate) fn nodes(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("nodes")).unwrap()
    }

    pub(crate) fn effects(&self) -> Vec<String> {
        let entries = self.log.entries();
        let effects = entries.iter().filter(|entry| entry.effect);
        effects.map(|entry| entry.command.argv[6].clone()).collect()
    }
}

fn dispatcher(dir: &Path, first: &str) -> String {
    let dir = dir.display();
    let name = r#"use "kube-default-etcd""#;
    format!(
        r#"[ "$1 $2 $3 $4 $5" = "-n --color=no --hide-events -q -c" ] || exit 9
d={dir}
case $6 in
{first}
"device; list "*) cat $d/devices;;
"category; list "*) cat $d/categories;;
"configurationoverlay; list "*)
  printf '[{{"name (key)": "kube-default-etcd", "priority": "500", "allheadnodes": "no", "nodes": "%s", "categories": "", "roles": "Etcd::Host"}},' "$(cat $d/nodes)"
  echo '{{"name (key)": "odd one!", "priority": "500", "allheadnodes": "no", "nodes": "<3 in submode>", "categories": "a b", "roles": "X"}}]';;
'configurationoverlay; {name}; removefrom nodes node001; commit') echo node002 >$d/nodes;;
'configurationoverlay; {name}; append nodes node001; commit') echo node001,node002 >$d/nodes;;
'configurationoverlay; {name}; roles; use etcd::host; get spool') echo /var/lib/etcd;;
*'use etcd::host; get membername') echo '$hostname';;
*'use etcd::host; get advertisepeerurls') echo 'https://$ip:2380';;
*'use etcd::host; get advertiseclienturls') echo 'https://$ip:2379';;
"home; "*) # Roles: every object's name before and after its list.
  echo "$6" | tr ';' '\n' | sed -n 's/^ use "\(.*\)"/\1/p';;
"device; reboot node001") echo "node001: Reboot in progress ...";;
*) echo "no answer to: $6" >&2; exit 3;;
esac"#
    )
}

pub(crate) fn overlay() -> OverlayName {
    OverlayName::new("kube-default-etcd").unwrap()
}

pub(crate) fn unassign(names: &[&str]) -> ManagerEffect {
    ManagerEffect::UnassignRole {
        overlay: overlay(),
        nodes: names.iter().map(|name| node(name)).collect(),
    }
}

#[tokio::test]
async fn the_role_and_its_holders() {
    let role = Fake::new().cmsh.etcd_role(None, &[]).await.unwrap();
    assert_eq!(
        (role.overlay, role.spool.as_str()),
        (overlay(), "/var/lib/etcd")
    );
    assert_eq!(role.holders.len(), 2);
    let first = &role.holders[0];
    assert_eq!(first.member.as_str(), "node001");
    assert_eq!(first.peer_url.as_str(), "https://10.141.0.1:2380");
    assert_eq!(first.sources, [RoleSource::OverlayNode(overlay())]);
}

#[tokio::test]
async fn which_bright_it_is() {
    let list = r#""configurationoverlay; list "*) echo '[{"name": "kube-default-master", "priority": 500, "allheadnodes": "no", "nodes": ["node001..node002"], "categories": [], "roles": ["Kubernetes::ApiServer", "Kubernetes::Controller"]}]';;"#;
    let told = "'main versioninfo') printf 'Product\\nCluster Manager   11.0\\nCMDaemon 3.1\\n';;";
    let fake = Fake::answering(&format!("{told}\n{list}"));
    std::fs::write(
        fake.dir.path().join("cm-etcd-manage"),
        "#!/bin/sh\nexit 1\n",
    )
    .unwrap();
    let platform = fake.cmsh.platform().await.unwrap();
    assert_eq!(platform.release.as_deref(), Some("11.0"));
    let role = platform.api_server_role.as_ref().unwrap();
    assert_eq!(role.overlay.as_str(), "kube-default-master");
    assert_eq!(role.nodes, [node("node001"), node("node002")]);
    assert!(platform.etcd_manage);
    // A command that this cmsh does not know, and none of the rest.
    let silent = Fake::answering("'main versioninfo') echo 'unknown command' >&2; exit 1;;");
    let platform = silent.cmsh.platform().await.unwrap();
    assert_eq!((platform.release, platform.api_server_role), (None, None));
    assert!(!platform.etcd_manage);
}

#[tokio::test]
async fn several_urls_are_refused() {
    let fake = Fake::answering(
        r"*'get advertisepeerurls') printf 'https://$ip:2380\nhttps://10.0.0.1:2380\n';;",
    );
    let error = fake.cmsh.etcd_role(None, &[]).await.unwrap_err();
    assert_eq!(
        (error.code, error.certainty),
        (codes::ETCD_ROLE, Certainty::Refused)
    );
}

#[tokio::test]
async fn two_etcd_overlays_need_a_name() {
    let list = r#""configurationoverlay; list "*) echo '[{"name": "a", "priority": 500, "allheadnodes": "no", "nodes": [], "categories": [], "roles": ["Etcd::Host"]},{"name": "b", "priority": 500, "allheadnodes": "no", "nodes": ["node002"], "categories": [], "roles": ["Etcd::Host"]},{"name": "off", "priority": -1, "allheadnodes": "yes", "nodes": ["node001"], "categories": [], "roles": ["Etcd::Host"]}]';;"#;
    let fake = Fake::answering(&format!("{list}\n*'get spool') echo /spool;;"));
    let error = fake.cmsh.etcd_role(None, &[]).await.unwrap_err();
    assert_eq!(error.code, codes::ETCD_OVERLAY);
    assert!(error.what.ends_with("a, b"), "{error}");
    let named = |name| {
        fake.cmsh
            .etcd_role(Some(OverlayName::new(name).unwrap()), &[])
    };
    let role = named("a").await.unwrap();
    assert!(role.holders.is_empty() && role.spool.as_str() == "/spool");
    let a = Some(OverlayName::new("a").unwrap());
    let role = fake.cmsh.etcd_role(a, &[node("node001")]).await.unwrap();
    assert_eq!(role.holders[0].peer_url.as_str(), "https://10.141.0.1:2380");
    assert!(role.holders.len() == 1 && role.holders[0].sources.is_empty());
    assert_eq!(named("off").await.unwrap_err().code, codes::ETCD_OVERLAY);
    assert_eq!(named("none").await.unwrap_err().code, codes::CMSH_ABSENT);
}

#[tokio::test]
async fn roles_of_categories_and_nodes_are_found() {
    let table = r"printf 'Name (key)\n------------\n[category:default] Etcd::Host\nEtcd::Host\n'";
    let json = r#"echo '[{"name (key)": "Etcd::Host"}]'"#;
    let fake = Fake::answering(&format!(
        r#""home; category; "*) echo default; {json}; echo default;;
"home; device; "*) echo node001; {table}; echo node001;;"#
    ));
    let sources = fake.cmsh.role_sources(&[node("node001")]).await.unwrap();
    let category = CategoryName::new("default").unwrap();
    assert_eq!(
        sources,
        [[
            RoleSource::OverlayNode(overlay()),
            RoleSource::Category(category),
            RoleSource::Node,
        ]]
    );
}

#[tokio::test]
async fn devices_and_categories() {
    let cmsh = Fake::new().cmsh;
    // The directory with the fake is gone: the port says so, not "no such device".
    let error = cmsh.device(&node("node001")).await.unwrap_err();
    assert_eq!(
        (error.code, error.certainty),
        (codes::CMSH_MISSING, Certainty::Refused)
    );

    let fake = Fake::new();
    let device = fake.cmsh.device(&node("node001")).await.unwrap();
    assert!(device.datanode && !device.category_datanode && !device.head_node);
    assert_eq!(
        (device.status, device.next_install_mode),
        (DeviceStatus::Up, None)
    );
    let device = fake.cmsh.device(&node("node002")).await.unwrap();
    assert!(!device.datanode && device.category_datanode);
    assert_eq!(device.next_install_mode, Some(InstallMode::Full));
    assert!(matches!(device.status, DeviceStatus::Booting(word) if word.contains("provisioning")));
    assert!(fake.cmsh.device(&node("basecm")).await.unwrap().head_node);
    let error = fake.cmsh.device(&node("node009")).await.unwrap_err();
    assert_eq!(error.code, codes::CMSH_ABSENT);
    let gpu = CategoryName::new("gpu").unwrap();
    let category = fake.cmsh.category(&gpu).await.unwrap();
    assert_eq!(category, (true, vec![node("node002")]));
}

#[tokio::test]
async fn unassign_runs_what_is_left_to_do_and_reads_it_back() {
    let fake = Fake::new();
    let effect = unassign(&["node001"]);
    fake.cmsh.perform(&permit(), &effect).await.unwrap();
    assert_eq!(fake.nodes().trim(), "node002");
    let rendered = fake.cmsh.render(&effect).unwrap();
    assert_eq!(fake.effects(), [rendered[0].argv[6].clone()]);
    // Done already: nothing is run.
    fake.cmsh.perform(&permit(), &effect).await.unwrap();
    fake.cmsh
        .perform(&permit(), &unassign(&["node001", "node001"]))
        .await
        .unwrap();
    assert_eq!(fake.effects().len(), 1);
    let assign = ManagerEffect::AssignRole {
        overlay: overlay(),
        nodes: vec![node("node001"), node("node002")],
    };
    fake.cmsh.perform(&permit(), &assign).await.unwrap();
    assert_eq!(fake.nodes().trim(), "node001,node002");
}

#[tokio::test]
async fn a_write_counts_when_it_reads_back() {
    // Silent, and without effect.
    let fake = Fake::answering("*removefrom*) exit 0;;");
    let error = fake
        .cmsh
        .perform(&permit(), &unassign(&["node001"]))
        .await
        .unwrap_err();
    assert_eq!(
        (error.code, error.certainty),
        (codes::CMSH_READ_BACK, Certainty::Unknown)
    );
    assert!(error.what.contains("still lists node001"), "{error}");
    // The validation table on standard output, and exit status 0.
    let fake = Fake::answering(
        "*removefrom*) printf 'Code Field Message\\n----- ---- ----\\n1 nodes An odd number of nodes is needed\\n';;",
    );
    let error = fake
        .cmsh
        .perform(&permit(), &unassign(&["node001"]))
        .await
        .unwrap_err();
    assert_eq!(
        (error.code, error.certainty),
        (codes::CMSH_INVALID, Certainty::Refused)
    );
    assert!(error.what.contains("An odd number"), "{error}");
    // A complaint and a bad status, and yet it is so.
    let fake = Fake::answering("*removefrom*) echo node002 >$d/nodes; echo error >&2; exit 1;;");
    fake.cmsh
        .perform(&permit(), &unassign(&["node001"]))
        .await
        .unwrap();
    // It happened, and nobody can look any more.
    let fake = Fake::answering("*removefrom*) echo node002 >$d/nodes; rm $d/cmsh;;");
    let error = fake
        .cmsh
        .perform(&permit(), &unassign(&["node001"]))
        .await
        .unwrap_err();
    assert_eq!(
        (error.code, error.certainty),
        (codes::CMSH_READ_BACK, Certainty::Unknown)
    );
}

#[tokio::test]
async fn power_commands() {
    let fake = Fake::new();
    let reboot = |name: &str| ManagerEffect::Reboot { node: node(name) };
    fake.cmsh
        .perform(&permit(), &reboot("node001"))
        .await
        .unwrap();
    let fake = Fake::answering("*reboot*) echo 'node001: not found';;\n*power*) exit 1;;");
    let error = fake
        .cmsh
        .perform(&permit(), &reboot("node001"))
        .await
        .unwrap_err();
    assert_eq!(
        (error.code, error.certainty),
        (codes::CMSH_ABSENT, Certainty::Refused)
    );
    let on = ManagerEffect::PowerOn {
        node: node("node001"),
    };
    // Neither the command nor the question after it is answered.
    let error = fake.cmsh.perform(&permit(), &on).await.unwrap_err();
    assert_eq!(
        (error.code, error.certainty),
        (codes::BMC_SILENT, Certainty::NotDone)
    );
    let fake =
        Fake::answering("*' status') echo 'ipmi0 .... [ OFF ] node001';;\n*power*) exit 1;;");
    let error = fake.cmsh.perform(&permit(), &on).await.unwrap_err();
    assert_eq!(
        (error.code, error.certainty),
        (codes::CMSH_REFUSED, Certainty::Unknown)
    );
    assert_eq!(
        fake.cmsh.power(&node("node001")).await.unwrap(),
        PowerState::Off
    );
    // Two supplies: one fails, and the node boots all the same.
    let fake = Fake::answering(
        "*' on') echo 'a:1 .... [ ON ] node001'; echo 'a:2 .... [ FAILED ] node001';;\n*' status') echo 'a:1 .... [ ON ] node001'; echo 'a:2 .... [ OFF ] node001';;",
    );
    let error = fake.cmsh.perform(&permit(), &on).await.unwrap_err();
    assert_eq!(
        (error.code, error.certainty),
        (codes::CMSH_REFUSED, Certainty::Unknown)
    );
}

/// The manual's sample, byte for byte but for the padding.
const QUESTION: &str = "echo 'Hostname  Action'; echo '--------- --------------------------------------------'; echo 'node001   Requesting FULL Install (partition mismatch)'";

#[tokio::test]
async fn an_installers_question_is_read_and_answered() {
    let n = node("node001");
    let confirm = ManagerEffect::ConfirmInstall { node: n.clone() };
    let fake = Fake::answering(&format!(
        r#""device; installerinteractions -n node001") [ -e $d/answered ] || {{ {QUESTION}; }};;
"device; installerinteractions -n node001 --confirm") {QUESTION}; touch $d/answered; exit $(cat $d/exit);;"#
    ));
    let exit = |status: &str| std::fs::write(fake.dir.path().join("exit"), status).unwrap();
    let asks = async || fake.cmsh.installer_asks(&n).await.unwrap();
    let full = InstallerAsks::Full("Requesting FULL Install (partition mismatch)".into());
    assert_eq!(asks().await, full);
    exit("0");
    fake.cmsh.perform(&permit(), &confirm).await.unwrap();
    assert_eq!(asks().await, InstallerAsks::Nothing);
    // Whatever the exit status: it does not ask any more.
    exit("1");
    fake.cmsh.perform(&permit(), &confirm).await.unwrap();
    assert_eq!(
        fake.effects(),
        ["device; installerinteractions -n node001 --confirm"; 2]
    );
}

#[tokio::test]
async fn a_confirmation_that_is_refused() {
    let n = node("node001");
    let confirm = ManagerEffect::ConfirmInstall { node: n.clone() };
    for (asks, certainty) in [
        (QUESTION, Certainty::Refused),
        ("exit 1", Certainty::Unknown),
    ] {
        let fake = Fake::answering(&format!(
            r#""device; installerinteractions -n node001") {asks};;
*--confirm) echo 'not allowed by your profile' >&2; exit 1;;"#
        ));
        let error = fake.cmsh.perform(&permit(), &confirm).await.unwrap_err();
        assert_eq!(
            (error.code, error.certainty),
            (codes::CMSH_REFUSED, certainty)
        );
        assert!(error.what.contains("profile"), "{error}");
    }
}

#[tokio::test]
async fn what_keeps_a_node_from_being_provisioned() {
    let status = r#""softwareimage; provisioningstatus") echo 'Provisioning subsystem status: idle, accepting requests'; echo 'Nodes currently provisioning: 1'; echo 'Nodes waiting to be provisioned: node002';;"#;
    let locked = r#""softwareimage; islocked") echo 'Name           Locked'; echo '-------------- -------'; echo 'default-image  yes';;"#;
    let fake = Fake::answering(&format!("{status}\n{locked}"));
    let all = fake.cmsh.provisioning().await.unwrap();
    assert_eq!(
        (all.stopped, all.waiting.as_str(), all.locked_images),
        (None, "node002", vec!["default-image".to_owned()])
    );
    // One half is better than none, and none is said.
    let fake = Fake::answering(status);
    assert_eq!(fake.cmsh.provisioning().await.unwrap().waiting, "node002");
    assert!(Fake::new().cmsh.provisioning().await.is_err());
}

/// A release without `blockdevicesclearedonnextboot`: the rest is had all the same, and nobody takes it
/// for an empty list.
#[tokio::test]
async fn a_property_that_is_only_good_to_know() {
    for refusal in [
        "echo 'Unknown parameter: x' >&2; exit 1",
        "echo 'No such property: x'; exit 0",
    ] {
        let fake = Fake::answering(&format!(
            r#""device; list "*blockdevices*) {refusal};;
"device; list "*) echo '[{{"hostname (key)": "node001", "type": "PhysicalNode", "category": "default", "ip": "", "status": "[ UP ]", "datanode": "yes", "nextinstallmode": ""}}]';;"#
        ));
        let device = fake.cmsh.device(&node("node001")).await.unwrap();
        assert_eq!(device.cleared_at_boot, None);
        assert!(device.datanode && device.clears_at_boot().is_empty());
    }
}

#[tokio::test]
async fn what_the_installer_of_a_device_says() {
    let devices = |status: &str, cleared: &str| {
        format!(
            r#""device; list "*) echo '[{{"hostname (key)": "node001", "type": "PhysicalNode", "category": "default", "ip": "", "status": "{status}", "datanode": "yes", "nextinstallmode": "FULL", "Block devices cleared on next boot": {cleared}}}]';;"#
        )
    };
    let asking = devices(
        "[ INSTALLING ] (waiting for user input)",
        r#""/dev/sda /dev/sdb""#,
    );
    let fake = Fake::answering(&asking);
    let device = fake.cmsh.device(&node("node001")).await.unwrap();
    assert_eq!(device.installer, Some(InstallerStep::WaitsForUser));
    assert_eq!(device.clears_at_boot(), ["/dev/sda", "/dev/sdb"]);
    let fake = Fake::answering(&devices("[ INSTALLER_UNREACHABLE ]", "[]"));
    let device = fake.cmsh.device(&node("node001")).await.unwrap();
    assert!(matches!(device.status, DeviceStatus::Unreachable(_)));
    assert!(device.installer.is_none() && device.clears_at_boot().is_empty());
}

#[tokio::test]
async fn answers_that_are_none() {
    for (answer, code) in [
        (
            "echo 'Connection to CMDaemon lost' >&2; exit 1",
            codes::CMSH_REFUSED,
        ),
        ("exit 0", codes::CMSH_ANSWER),
        ("echo '[]'; echo '[]'", codes::CMSH_ANSWER),
        (
            r#"echo '[{"hostname (key)": "node001"}]'"#,
            codes::CMSH_ANSWER,
        ),
        (
            r"cat $d/devices; echo 'session ended' >&2",
            codes::CMSH_REFUSED,
        ),
    ] {
        let fake = Fake::answering(&format!(r#""device; list "*) {answer};;"#));
        let error = fake.cmsh.device(&node("node001")).await.unwrap_err();
        assert_eq!(
            (error.code, error.certainty),
            (code, Certainty::NotDone),
            "{answer}: {error}"
        );
    }
}

#[tokio::test]
async fn the_part_of_this_head_node() {
    let fake = Fake::new();
    assert_eq!(fake.cmsh.head_role().await.unwrap(), HeadRole::Single);
    for (word, role) in [("active", HeadRole::Active), ("passive", HeadRole::Passive)] {
        let line = format!("[ $1 = status ] && echo 'Node Status: running in {word} master mode'");
        program(fake.dir.path(), "cmha", &line);
        assert_eq!(fake.cmsh.head_role().await.unwrap(), role);
    }
    std::fs::write(fake.dir.path().join("state"), "ACTIVE\n").unwrap();
    assert_eq!(
        fake.cmsh.head_role().await.unwrap_err().code,
        codes::HEAD_UNKNOWN
    );
}

#[tokio::test]
async fn a_node_that_is_about_to_be_wiped_may_come_back_with_a_new_key() {
    let mut fake =
        Fake::answering(r#""device; reboot node002") echo "node002: Reboot in progress ...";;"#);
    let known_hosts = fake.dir.path().join("known_hosts");
    let mut config = SshConfig::default();
    config.run_known_hosts = Some(known_hosts.clone());
    let ssh = Arc::new(Ssh::new(config, Arc::new(Log::default())).unwrap());
    fake.cmsh = fake.cmsh.telling(ssh);
    for name in ["node001", "node002"] {
        let effect = ManagerEffect::Reboot { node: node(name) };
        fake.cmsh.perform(&permit(), &effect).await.unwrap();
    }
    // Only node002 has FULL as its next install mode.
    let noted = |name: &str| known_hosts.with_extension(name).exists();
    assert!(noted("node002") && !noted("node001"));

    // From when it is told to be wiped at its next boot, whoever asks for that one; and before it is told.
    // This cmsh does nothing about it: its node001 has no mode, and stays so.
    for (mode, expected) in [(Some(InstallMode::Full), true), (None, false)] {
        let node = node("node001");
        let effect = ManagerEffect::SetNextInstallMode { node, mode };
        let done = fake.cmsh.perform(&permit(), &effect).await;
        assert_eq!(done.is_err(), expected);
        assert_eq!(noted("node001"), expected);
    }
}

/// A head node made of answers: no program is run, no file read.
struct Answers;

#[async_trait::async_trait]
impl Programs for Answers {
    async fn run(&self, call: &Call) -> Result<Finished, Failure> {
        let said = match call.args.last().map(String::as_str) {
            Some("status") => "Node Status: running in passive master mode\n",
            Some(script) if script.starts_with("category;") => CATEGORIES,
            _ => return Err(Failure::Start(std::io::ErrorKind::NotFound.into())),
        };
        Ok(Finished {
            status: Some(0),
            stdout: said.into(),
            stderr: Vec::new(),
        })
    }

    async fn read(&self, path: &Path, limit: usize) -> std::io::Result<Vec<u8>> {
        assert_eq!(path, Path::new("/var/spool/cmd/state"));
        Ok(b"PASSIVE\n"[..limit.min(8)].to_vec())
    }
}

#[tokio::test]
async fn any_head_node_can_stand_below_cmsh() {
    let log = Log::default();
    let cmsh = Cmsh::new(CmshConfig::default(), Arc::new(log.clone()));
    let cmsh = cmsh.with_programs(Arc::new(Answers));
    assert_eq!(cmsh.head_role().await.unwrap(), HeadRole::Passive);
    let gone = cmsh.device(&node("node001")).await.unwrap_err();
    assert_eq!(gone.code, codes::CMSH_MISSING);
    assert_eq!(
        log.entries().len(),
        2,
        "what is asked is logged all the same"
    );
}
