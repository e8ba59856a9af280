//! What cmsh and cmha answer, through every question and every write.
//!
//! An input is the answers, one behind the other: the lists of devices, categories and overlays, the role's
//! four properties, the list of roles of an object, what `cmha status` says, the state file, what a write is
//! answered, the version, what an installer asks, a power control, the provisioning subsystem, the locked
//! images, and the etcd cluster that a role names. A list of roles stands between the marks that were asked
//! for, unless it has its own.

use std::io;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bright_adapter::programs::{Call, Failure, Finished, Programs};
use bright_adapter::{Cmsh, CmshConfig};
use runbook_core::names::{CategoryName, ClusterLabel, NodeName, OverlayName};
use runbook_core::plan::ManagerEffect;
use runbook_core::ports::{ClusterManager as _, NoLog};
use runbook_core::world::{DeviceStatus, InstallMode, InstallerAsks, PowerState};

use super::{GOOD, commands, judged, node, now, parts, permit};

/// The answers, by their number in an input.
pub(crate) struct Answers(pub(crate) Vec<Vec<u8>>);

impl Answers {
    fn part(&self, at: usize) -> &[u8] {
        self.0.get(at).map_or(b"", Vec::as_slice)
    }

    fn to(&self, script: &str) -> Vec<u8> {
        let plain = |at: usize| self.part(at).to_vec();
        let values = [
            ("get spool", 3),
            ("get membername", 4),
            ("get advertisepeerurls", 5),
            ("get advertiseclienturls", 6),
            ("get etcdcluster", 16),
        ];
        if let Some((_, at)) = values.iter().find(|(end, _)| script.ends_with(end)) {
            return self.value(*at);
        }
        match script {
            // The answer to it is a write.
            _ if script.ends_with("--confirm") => plain(10),
            _ if script.starts_with("device; list ") => plain(0),
            _ if script.starts_with("category; list ") => plain(1),
            _ if script.starts_with("configurationoverlay; list ") => plain(2),
            _ if script.starts_with("home; ") => self.roles(script),
            _ if script.starts_with("main versioninfo") => plain(11),
            _ if script.starts_with("device; installerinteractions ") => plain(12),
            _ if script.starts_with("device; power ") && script.ends_with(" status") => plain(13),
            "softwareimage; provisioningstatus" => plain(14),
            "softwareimage; islocked" => plain(15),
            _ => plain(10),
        }
    }

    /// A property's value on its line; or whatever stands there, raw, its end missing perhaps.
    fn value(&self, at: usize) -> Vec<u8> {
        match self.part(at).strip_prefix(b"raw:") {
            Some(raw) => raw.to_vec(),
            None => [self.part(at), b"\n"].concat(),
        }
    }

    /// Every object's name, the list, the name again; or whatever stands there, raw.
    fn roles(&self, script: &str) -> Vec<u8> {
        if let Some(raw) = self.part(7).strip_prefix(b"raw:") {
            return raw.to_vec();
        }
        let names = script.split("; use \"").skip(1);
        let names = names.map(|rest| rest.split('"').next().unwrap_or_default());
        let mut said = Vec::new();
        for (at, name) in names.enumerate() {
            said.extend([name.as_bytes(), b"\n"].concat());
            if at % 2 == 0 {
                said.extend([self.part(7), b"\n"].concat());
            }
        }
        said
    }
}

#[async_trait]
impl Programs for Answers {
    async fn run(&self, call: &Call) -> Result<Finished, Failure> {
        let done = |stdout: Vec<u8>| Finished {
            status: Some(0),
            stdout,
            stderr: Vec::new(),
        };
        if call.program.ends_with("cmha") {
            assert_eq!(call.args, ["status"]);
            return Ok(done(self.part(8).to_vec()));
        }
        let options = ["-n", "--color=no", "--hide-events", "-q", "-c"];
        assert_eq!(call.args[..5], options);
        let [.., script] = call.args.as_slice() else {
            panic!("no script");
        };
        commands::script(script);
        let answer = self.to(script);
        // Some answers come as complaints.
        let (stdout, stderr, status) = match answer.split_first() {
            Some((1, rest)) => (Vec::new(), rest.to_vec(), Some(1)),
            Some((2, rest)) => (Vec::new(), rest.to_vec(), Some(0)),
            Some((3, rest)) => (rest.to_vec(), Vec::new(), None),
            _ => return Ok(done(answer)),
        };
        Ok(Finished {
            status,
            stdout,
            stderr,
        })
    }

    async fn read(&self, _: &Path, limit: usize) -> io::Result<Vec<u8>> {
        let state = self.part(9);
        Ok(state[..state.len().min(limit)].to_vec())
    }
}

pub(super) fn judge(data: &[u8]) -> &'static str {
    let answers = Answers(parts(data).into_iter().map(<[u8]>::to_vec).collect());
    let cmsh = Cmsh::new(CmshConfig::default(), Arc::new(NoLog)).with_programs(Arc::new(answers));
    let overlay = OverlayName::new("kube-default-etcd").expect("a name");
    judged(now(cmsh.head_role())).ok();
    judged(now(cmsh.role_sources(&[node()]))).ok();
    judged(now(cmsh.etcd_role(Some(overlay.clone()), &[node()]))).ok();
    let label = ClusterLabel::new("default").expect("a label");
    judged(now(cmsh.etcd_overlay(&label))).ok();
    device(&cmsh, &node());
    provisioned(&cmsh, &node());
    let category = CategoryName::new("default").expect("a name");
    if let Ok((_, members)) = judged(now(cmsh.category(&category))) {
        assert!(members.len() <= 1 << 20);
    }
    if let Ok(platform) = judged(now(cmsh.platform())) {
        bounded(platform.release.as_deref().unwrap_or_default());
    }
    for effect in effects(overlay, category) {
        judged(now(cmsh.perform(&permit(), &effect))).ok();
    }
    match judged(now(cmsh.etcd_role(None, &[]))) {
        Ok(role) => {
            for holder in role.holders.iter().take(3) {
                device(&cmsh, &holder.node);
            }
            GOOD
        }
        Err(code) => code,
    }
}

/// What is shown to people of a foreign text.
fn bounded(text: &str) {
    assert!(text.chars().count() <= 4000, "{text}");
    assert!(!text.chars().any(runbook_core::text::steers), "{text:?}");
}

fn device(cmsh: &Cmsh, node: &NodeName) {
    let Ok(device) = judged(now(cmsh.device(node))) else {
        return;
    };
    device.flags.iter().for_each(|flag| bounded(flag));
    device
        .cleared_at_boot
        .iter()
        .flatten()
        .for_each(|block| bounded(block));
    match device.status {
        DeviceStatus::Up | DeviceStatus::Down => {}
        DeviceStatus::Booting(text)
        | DeviceStatus::Failed(text)
        | DeviceStatus::Unreachable(text)
        | DeviceStatus::Unknown(text) => {
            assert!(text.chars().count() <= 200, "{text}");
            bounded(&text);
        }
    }
}

/// What keeps a node from being installed.
fn provisioned(cmsh: &Cmsh, node: &NodeName) {
    match judged(now(cmsh.installer_asks(node))) {
        Ok(InstallerAsks::Full(text) | InstallerAsks::Other(text)) => bounded(&text),
        Ok(InstallerAsks::Nothing) | Err(_) => {}
    }
    match judged(now(cmsh.power(node))) {
        Ok(PowerState::Silent(text)) => bounded(&text),
        Ok(PowerState::On | PowerState::Off) | Err(_) => {}
    }
    if let Ok(seen) = judged(now(cmsh.provisioning())) {
        let stopped = seen.stopped.iter();
        stopped
            .chain([&seen.waiting])
            .for_each(|text| bounded(text));
        seen.locked_images.iter().for_each(|image| bounded(image));
    }
}

/// Each there is, one after the other.
fn effects(overlay: OverlayName, category: CategoryName) -> impl Iterator<Item = ManagerEffect> {
    use ManagerEffect as E;
    let nodes = vec![node()];
    let first = E::UnassignRole { overlay, nodes };
    std::iter::successors(Some(first), move |effect| {
        let node = node();
        let mode = |mode| {
            Some(E::SetNextInstallMode {
                node: super::node(),
                mode,
            })
        };
        match effect {
            E::UnassignRole { overlay, nodes } => Some(E::AssignRole {
                overlay: overlay.clone(),
                nodes: nodes.clone(),
            }),
            E::AssignRole { .. } => Some(E::SetDatanode { node, value: false }),
            E::SetDatanode { .. } => Some(E::SetCategoryDatanode {
                category: category.clone(),
                value: true,
            }),
            E::SetCategoryDatanode { .. } => mode(Some(InstallMode::Full)),
            E::SetNextInstallMode { mode: Some(_), .. } => mode(None),
            E::SetNextInstallMode { mode: None, .. } => Some(E::Reboot { node }),
            E::Reboot { .. } => Some(E::PowerOn { node }),
            E::PowerOn { .. } => Some(E::ConfirmInstall { node }),
            E::ConfirmInstall { .. } => None,
        }
    })
}
