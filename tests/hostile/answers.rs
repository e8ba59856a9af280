//! Through every answer of cmsh, of cmha and of a node: what is read is what was put there, or it is refused.

use std::sync::Arc;

use bright_adapter::{Cmsh, CmshConfig, SshNode};
use etcd_adapter::tool::RemoteTool;
use runbook_core::error::AdapterError;
use runbook_core::names::{
    AbsPath, CategoryName, ClusterLabel, EtcdUrl, MemberName, ModuleName, NodeName, OverlayName,
};
use runbook_core::ports::{ClusterManager as _, EtcdTool as _, NoLog, Node as _, PortResult};
use runbook_core::text::{steers, visible};
use runbook_core::world::{
    Device, DeviceStatus, EtcdRole, HeadRole, InstallMode, InstallerAsks, PowerState, RoleHolder,
    RoleSource, SpoolState,
};
use serde_json::json;

use crate::judges::cmsh::Answers;
use crate::judges::node::Said;
use crate::judges::now;
use crate::names;

/// Where a text can stand in what cmsh and cmha say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Hostname,
    Type,
    Category,
    Ip,
    Status,
    Datanode,
    NextInstallMode,
    ClearedAtBoot,
    CategoryDatanode,
    Overlay,
    Priority,
    AllHeadNodes,
    Nodes,
    Categories,
    Roles,
    Spool,
    Member,
    PeerUrl,
    PeerHost,
    ClientUrl,
    Origin,
    Cmha,
    StateFile,
    Release,
    Action,
    Power,
    Waiting,
    Image,
}

use Place as P;

/// Each place, with what usually stands there.
const PLACES: [(Place, &str); 28] = [
    (P::Hostname, "node001"),
    (P::Type, "PhysicalNode"),
    (P::Category, "default"),
    (P::Ip, "10.141.0.1"),
    (P::Status, "[ UP ]"),
    (P::Datanode, "yes"),
    (P::NextInstallMode, "FULL"),
    (P::ClearedAtBoot, "/dev/sdb"),
    (P::CategoryDatanode, "no"),
    (P::Overlay, "kube-default-etcd"),
    (P::Priority, "500"),
    (P::AllHeadNodes, "no"),
    (P::Nodes, "node001"),
    (P::Categories, "default"),
    (P::Roles, "Etcd::Host"),
    (P::Spool, "/var/lib/etcd"),
    (P::Member, "$hostname"),
    (P::PeerUrl, "https://$ip:2380"),
    (P::PeerHost, "$ip"),
    (P::ClientUrl, "https://$ip:2379"),
    (P::Origin, "overlay:kube-default-etcd"),
    (P::Cmha, "Node Status: running in active master mode"),
    (P::StateFile, "ACTIVE"),
    (P::Release, "11.0"),
    (P::Action, "Requesting FULL Install (x)"),
    (P::Power, "ON"),
    (P::Waiting, "node001"),
    (P::Image, "default-image"),
];

const HEADS: [(&str, &str); 2] = [("head1", "10.141.255.254"), ("head2", "10.141.255.253")];

/// A text at a place, and at all others the usual.
struct Put<'a> {
    place: Place,
    text: &'a str,
}

impl Put<'_> {
    fn at(&self, place: Place) -> String {
        if self.place == place {
            return self.text.to_owned();
        }
        match place {
            // These are asked with what they make of silence elsewhere.
            P::Categories | P::Origin | P::Cmha | P::StateFile => String::new(),
            _ => usual(place).to_owned(),
        }
    }

    /// As a table or a value shows it: no blanks around it.
    fn cell(&self, place: Place) -> String {
        self.at(place).trim().to_owned()
    }

    /// As a plain answer shows it: colours are none of it.
    fn plain(&self, place: Place) -> String {
        plain(&self.at(place))
    }

    fn peer_of_host(&self) -> String {
        format!("https://{}:2380", self.at(P::PeerHost))
    }

    fn cmsh(&self) -> Cmsh {
        let answers = Answers(self.answers().map(String::into_bytes).to_vec());
        Cmsh::new(CmshConfig::default(), Arc::new(NoLog)).with_programs(Arc::new(answers))
    }

    fn answers(&self) -> [String; 16] {
        let at = |place| self.at(place);
        let head =
            |name: &str, ip: &str| json!({"hostname (key)": name, "type": "HeadNode", "ip": ip});
        let mut devices = vec![json!({
            "hostname (key)": at(P::Hostname), "type": at(P::Type), "category": at(P::Category),
            "ip": at(P::Ip), "status": at(P::Status), "datanode": at(P::Datanode),
            "nextinstallmode": at(P::NextInstallMode),
            "blockdevicesclearedonnextboot": [at(P::ClearedAtBoot)],
        })];
        // A head node that lists the role as inherited from nobody knows where is refused.
        if self.place != P::Origin {
            devices.extend(HEADS.map(|(name, ip)| head(name, ip)));
        }
        // As a text and as a list.
        let nodes = match self.place {
            P::Hostname => json!(at(P::Hostname)),
            _ => json!([at(P::Nodes)]),
        };
        let overlays = json!([{
            "name (key)": at(P::Overlay), "priority": at(P::Priority), "nodes": nodes,
            "allheadnodes": at(P::AllHeadNodes), "categories": [at(P::Categories)], "roles": at(P::Roles),
        }]);
        let peer = match self.place {
            P::PeerHost => self.peer_of_host(),
            _ => at(P::PeerUrl),
        };
        let origin = match self.place {
            P::Origin => format!("Name (key)\n-------\n[{}] Etcd::Host", at(P::Origin)),
            _ => String::new(),
        };
        [
            json!(devices).to_string(),
            json!([{"name": at(P::Category), "datanode": at(P::CategoryDatanode)}]).to_string(),
            overlays.to_string(),
            at(P::Spool),
            at(P::Member),
            peer,
            at(P::ClientUrl),
            origin,
            at(P::Cmha),
            at(P::StateFile),
            String::new(),
            format!("Cluster Manager {}", at(P::Release)),
            format!("Hostname Action\n---- ----\nnode001   {}", at(P::Action)),
            format!("ipmi0 ..... [ {} ] node001", at(P::Power)),
            format!(
                "Provisioning subsystem status: idle, accepting requests\nNodes currently provisioning: 0\nNodes waiting to be provisioned: {}",
                at(P::Waiting)
            ),
            format!("Name Locked\n---- ----\n{}  yes", at(P::Image)),
        ]
    }
}

fn plain(text: &str) -> String {
    let text = text.replace("\u{1b}[2J", "").replace("\u{1b}]0;x\u{7}", "");
    text.trim().to_owned()
}

fn usual(place: Place) -> &'static str {
    let found = PLACES.iter().find(|(one, _)| *one == place);
    found.unwrap().1
}

fn yes(word: &str) -> Option<bool> {
    match word.to_lowercase().as_str() {
        "yes" | "1" | "on" | "true" => Some(true),
        "no" | "0" | "off" | "false" => Some(false),
        _ => None,
    }
}

/// The role that is put there; none where a text is no name of its kind.
fn role(put: &Put<'_>) -> Option<EtcdRole> {
    let overlay = OverlayName::new(put.cell(P::Overlay)).ok()?;
    let priority = put.cell(P::Priority);
    let digits = priority.strip_prefix('+').unwrap_or(&priority);
    let roles = put.cell(P::Roles);
    let mut roles = roles.split([',', ' ', '\n', '\t']);
    if !digits.bytes().all(|b| b.is_ascii_digit())
        || !roles.any(|role| role.eq_ignore_ascii_case(usual(P::Roles)))
    {
        return None;
    }
    // A device that is no node has no roles.
    let is_node = put.cell(P::Type).to_lowercase().ends_with("node");
    let mut holders = Vec::new();
    let sources = sources(put, &overlay);
    if is_node && !sources.is_empty() {
        let (node, ip) = (put.cell(P::Hostname), put.cell(P::Ip));
        holders.push(holder(put, &node, &ip, sources)?);
    }
    if yes(&put.cell(P::AllHeadNodes))? {
        for (head, ip) in HEADS {
            let sources = vec![RoleSource::OverlayHeadNodes(overlay.clone())];
            holders.push(holder(put, head, ip, sources)?);
        }
    }
    Some(EtcdRole {
        overlay,
        spool: AbsPath::new(put.plain(P::Spool)).ok()?,
        holders,
    })
}

fn holder(put: &Put<'_>, node: &str, ip: &str, sources: Vec<RoleSource>) -> Option<RoleHolder> {
    let fill = |text: String| text.replace("$hostname", node).replace("$ip", ip);
    let peer_url = match put.place {
        P::PeerHost => put.peer_of_host(),
        _ => put.at(P::PeerUrl),
    };
    Some(RoleHolder {
        node: NodeName::new(node).ok()?,
        member: MemberName::new(fill(put.plain(P::Member))).ok()?,
        peer_url: EtcdUrl::new(fill(plain(&peer_url))).ok()?,
        client_url: EtcdUrl::new(fill(put.plain(P::ClientUrl))).ok()?,
        sources,
    })
}

fn sources(put: &Put<'_>, overlay: &OverlayName) -> Vec<RoleSource> {
    let nodes = put.cell(P::Nodes);
    let mut listed = nodes.split(|c: char| c == ',' || c.is_whitespace());
    let category = CategoryName::new("default").unwrap();
    let mut sources = Vec::new();
    if listed.any(|node| node == "node001" || node == "node001..node009") {
        sources.push(RoleSource::OverlayNode(overlay.clone()));
    }
    if put.at(P::Categories) == "default" {
        sources.push(RoleSource::OverlayCategory(
            overlay.clone(),
            category.clone(),
        ));
    }
    if put.place == P::Origin {
        sources.push(RoleSource::Category(category));
    }
    sources
}

/// The record that is put there; none as above.
fn device(put: &Put<'_>) -> Option<Device> {
    let mode = put.cell(P::NextInstallMode);
    let full = mode
        .eq_ignore_ascii_case("FULL")
        .then_some(InstallMode::Full);
    if full.is_none() && !mode.is_empty() {
        return None;
    }
    Some(Device {
        category: CategoryName::new(put.cell(P::Category)).ok()?,
        head_node: false,
        status: DeviceStatus::Up,
        flags: Vec::new(),
        datanode: yes(&put.cell(P::Datanode))?,
        category_datanode: yes(&put.cell(P::CategoryDatanode))?,
        next_install_mode: full,
        cleared_at_boot: Some(vec![usual(P::ClearedAtBoot).into()]),
        installer: None,
    })
}

/// A text for people is itself, or the beginning of what is too long; of several lines some may be another's.
fn told(read: &str, put: &str) -> bool {
    let (put, short) = (visible(put.trim()), read.strip_suffix('…'));
    let itself = read == put || short.is_some_and(|read| put.starts_with(read));
    names::harmless(read) && (itself || put.lines().count() > 1)
}

/// A refusal says in a few harmless words what to do.
fn refused<T>(place: Place, read: PortResult<T>) -> Option<T> {
    read.inspect_err(|error| {
        let said = error.chain();
        let fine = names::harmless(&said) && said.len() < 4096;
        assert!(fine && error.hint.is_some(), "{place:?}: {said:?}");
    })
    .ok()
}

/// Whether the role and the record of the node were taken, just as they were put there.
fn taken(put: &Put<'_>) -> bool {
    let (place, text, cmsh) = (put.place, put.text, put.cmsh());
    let read = refused(place, now(cmsh.etcd_role(None, &[])));
    let mut all = read.is_some();
    if let Some(read) = read {
        assert_eq!(Some(read), role(put), "{place:?}: {text:?}");
    }
    let label = ClusterLabel::new("default").unwrap();
    if let Some(read) = refused(place, now(cmsh.etcd_overlay(&label))) {
        assert_eq!(read.as_str(), put.cell(P::Overlay), "{place:?}");
    }
    let node = NodeName::new(put.cell(P::Hostname));
    let category = CategoryName::new(put.cell(P::Category));
    let (Ok(node), Ok(category)) = (node, category) else {
        let nobody = NodeName::new(usual(P::Hostname)).unwrap();
        let read = refused(place, now(cmsh.device(&nobody)));
        assert_eq!(
            read, None,
            "{place:?}: {text:?} is taken for {nobody}, or its category"
        );
        return false;
    };
    let read = refused(place, now(cmsh.device(&node)));
    all &= read.is_some();
    if let Some(mut read) = read {
        if place == P::Status {
            is_status(&read, put);
            (read.status, read.flags) = (DeviceStatus::Up, Vec::new());
        }
        if place == P::ClearedAtBoot {
            let cleared = read.cleared_at_boot.unwrap();
            assert!(
                matches!(&*cleared, [one] if told(one, text) || one == "nothing"),
                "{text:?}"
            );
            read.cleared_at_boot = Some(vec![usual(place).into()]);
        }
        assert_eq!(Some(read), device(put), "{place:?}: {text:?}");
    }
    if let Some((datanode, members)) = refused(place, now(cmsh.category(&category))) {
        assert_eq!(
            Some(datanode),
            yes(&put.cell(P::CategoryDatanode)),
            "{text:?}"
        );
        assert_eq!(members, [node], "{place:?}: {text:?}");
    }
    all && others(&cmsh, put)
}

/// A word that is no state is never taken for one.
fn is_status(read: &Device, put: &Put<'_>) {
    let text = put.cell(P::Status);
    match &read.status {
        DeviceStatus::Up => assert!(text.starts_with(usual(P::Status)), "{text:?}"),
        DeviceStatus::Unknown(kept) => {
            let all: String = text.chars().filter(|c| !steers(*c)).collect();
            assert!(
                all.starts_with(&**kept) && (all == *kept || kept.len() >= 120),
                "{text:?}"
            );
        }
        other => panic!("{text:?} is taken for {other:?}"),
    }
    assert!(
        read.flags
            .iter()
            .all(|flag| names::harmless(flag) && flag.len() < 256)
    );
}

/// What else is asked, at the places where it is.
fn others(cmsh: &Cmsh, put: &Put<'_>) -> bool {
    let (place, text) = (put.place, put.text);
    let node = NodeName::new("node001").unwrap();
    let all = put.plain(place);
    let first = all.lines().next().unwrap_or_default().trim();
    let is_usual = |text: &str| text.eq_ignore_ascii_case(usual(place));
    match place {
        P::Cmha | P::StateFile => {
            let role = refused(place, now(cmsh.head_role()));
            let says = match place {
                P::Cmha => first.contains("active master mode"),
                _ => is_usual(text.trim()),
            };
            assert_eq!(role, says.then_some(HeadRole::Active), "{text:?}");
            says
        }
        P::Release => {
            let read = refused(place, now(cmsh.platform())).and_then(|read| read.release);
            let mut words = first.split_whitespace();
            assert!(
                read.is_none() || read.as_deref() == words.next(),
                "{text:?}: {read:?}"
            );
            read.is_some()
        }
        P::Action => match refused(place, now(cmsh.installer_asks(&node))).unwrap() {
            InstallerAsks::Nothing => first.is_empty(),
            InstallerAsks::Full(read) => {
                assert!(first.starts_with("Requesting FULL Install") && told(&read, first));
                true
            }
            InstallerAsks::Other(read) => told(&read, first),
        },
        P::Power => match refused(place, now(cmsh.power(&node))) {
            Some(PowerState::On) => is_usual(&all),
            Some(PowerState::Silent(said)) => !is_usual(&all) && names::harmless(&said),
            _ => false,
        },
        P::Waiting | P::Image => {
            let read = refused(place, now(cmsh.provisioning())).unwrap();
            let last = all.lines().last().unwrap_or_default().trim();
            let (read, put) = match place {
                P::Waiting => (read.waiting, first),
                _ => (read.locked_images.concat(), last),
            };
            assert!(
                told(&read, put) || text.contains('\n'),
                "{text:?}: {read:?}"
            );
            true
        }
        _ => true,
    }
}

#[test]
fn no_text_of_cmsh_is_more_than_itself() {
    let (mut refusals, mut others) = (0, 0);
    for (place, usual) in PLACES {
        assert!(taken(&Put { place, text: usual }), "{place:?}");
        for name in names::all() {
            // Before and behind what would be right: nothing of it is cut away, and the rest taken.
            for text in [format!("{usual}{name}"), format!("{name}{usual}"), name] {
                let taken = taken(&Put { place, text: &text });
                *(if taken { &mut others } else { &mut refusals }) += 1;
            }
        }
    }
    assert!(refusals > 3000 && others > 1000, "{refusals} {others}");
}

/// What a node says, by the question that it is the answer to.
fn node_says(name: &str) -> [String; 7] {
    [
        name.to_owned(),
        format!("{name}\n"),
        format!("{name}:{name} 700\n0\n"),
        format!("guard {name}\n"),
        format!("\u{3}\n%%\n{name}"),
        format!("manifest\n{name}\n"),
        format!(
            "restore-runbook:avail=etcd/{name}\nrestore-runbook:loaded=etcd/{name}\nrestore-runbook:etcd=etcd Version: 3.4.23\n"
        ),
    ]
}

#[test]
fn nothing_a_node_says_is_more_than_text() {
    let node = NodeName::new("node001").unwrap();
    let path = AbsPath::new("/var/lib/etcd").unwrap();
    let check = |error: &AdapterError| {
        let said = error.chain();
        assert!(names::harmless(&said) && said.len() < 16 << 10, "{said:?}");
    };
    let (mut owners, mut modules) = (0, 0);
    // A line of that one's own ends what is said.
    for name in names::all().into_iter().filter(|name| name != "%%") {
        for said in node_says(&name) {
            let nodes = SshNode::new(Arc::new(Said::of(said.as_bytes())));
            let tool = RemoteTool::new(Arc::new(Said::of(said.as_bytes())));
            match now(nodes.tree(&node, &path)) {
                Ok(tree) => {
                    assert_eq!(tree.owner, format!("{name}:{name}"));
                    owners += 1;
                }
                Err(error) => check(&error),
            }
            match now(nodes.spool(&node, &path)) {
                // No name is a run's id.
                Ok(state) => assert!(!matches!(state, SpoolState::Guard(_)), "{name:?}"),
                Err(error) => check(&error),
            }
            now(nodes.boot_id(&node)).err().iter().for_each(check);
            match now(nodes.api_server(&node)) {
                Ok(server) => {
                    let first = name.lines().next().unwrap_or_default();
                    let put = first
                        .split(',')
                        .map(str::trim)
                        .filter(|put| !put.is_empty());
                    let read = server.map(|server| server.etcd_servers).unwrap_or_default();
                    assert_eq!(read.len(), put.clone().count(), "{name:?}");
                    assert!(
                        read.iter().zip(put).all(|(read, put)| told(read, put)),
                        "{read:?}"
                    );
                }
                Err(error) => check(&error),
            }
            match now(tool.tools(&node, None)) {
                // Several that were loaded are printed with colons between them.
                Ok(tools) => {
                    let whole = format!("etcd/{name}");
                    let mut loaded = whole.lines().next().unwrap_or_default().split(':');
                    assert!(loaded.any(|one| one == tools.module.as_str()), "{name:?}");
                    modules += 1;
                }
                Err(error) => check(&error),
            }
            let module = ModuleName::new("etcd").unwrap();
            now(tool.tools(&node, Some(module)))
                .err()
                .iter()
                .for_each(check);
        }
    }
    assert!(owners > 9 && modules > 3, "{owners} {modules}");
}
