//! Through every answer of cmsh and of a node.

use std::fmt::Write as _;
use std::sync::Arc;

use bright_adapter::{Cmsh, CmshConfig, SshNode};
use etcd_adapter::tool::RemoteTool;
use runbook_core::error::AdapterError;
use runbook_core::names::{AbsPath, ModuleName, NodeName};
use runbook_core::ports::{ClusterManager as _, EtcdTool as _, NoLog, Node as _};
use runbook_core::world::EtcdRole;
use serde_json::json;

use crate::judges::cmsh::Answers;
use crate::judges::node::Said;
use crate::judges::now;
use crate::names;

/// Where a name can stand in what cmsh says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Overlay,
    Device,
    Category,
    Nodes,
    Spool,
    Member,
    PeerUrl,
    PeerHost,
    ClientUrl,
    Ip,
    Origin,
}

const PLACES: [Place; 11] = [
    Place::Overlay,
    Place::Device,
    Place::Category,
    Place::Nodes,
    Place::Spool,
    Place::Member,
    Place::PeerUrl,
    Place::PeerHost,
    Place::ClientUrl,
    Place::Ip,
    Place::Origin,
];

fn asked(place: Place, name: &str) -> Result<EtcdRole, AdapterError> {
    let or = |at: Place, usual: &str| {
        if at == place {
            name.to_owned()
        } else {
            usual.to_owned()
        }
    };
    let device = or(Place::Device, "node001");
    let devices = json!([{
        "hostname (key)": device, "type": "PhysicalNode", "category": or(Place::Category, "default"),
        "ip": or(Place::Ip, "10.141.0.1"), "status": "[ UP ]", "datanode": "yes", "nextinstallmode": "",
    }]);
    let overlays = json!([{
        "name (key)": or(Place::Overlay, "kube-default-etcd"), "priority": "500", "allheadnodes": "no",
        "nodes": [or(Place::Nodes, &device)], "categories": [], "roles": "Etcd::Host",
    }]);
    let peer = match place {
        Place::PeerHost => format!("https://{name}:2380"),
        _ => or(Place::PeerUrl, "https://$ip:2380"),
    };
    let origin = match place {
        Place::Origin => format!("Name (key)\n-------\n[{name}] Etcd::Host"),
        _ => String::new(),
    };
    let answers = [
        devices.to_string(),
        "[]".into(),
        overlays.to_string(),
        or(Place::Spool, "/var/lib/etcd"),
        or(Place::Member, "$hostname"),
        peer,
        or(Place::ClientUrl, "https://$ip:2379"),
        origin,
    ];
    // Each script that the answers lead to is read back by the judge behind it.
    let answers = Answers(answers.map(String::into_bytes).to_vec());
    let cmsh = Cmsh::new(CmshConfig::default(), Arc::new(NoLog)).with_programs(Arc::new(answers));
    now(cmsh.etcd_role(None, &[]))
}

#[test]
fn no_name_of_cmsh_is_more_than_a_name() {
    asked(Place::Spool, "/var/lib/etcd").unwrap();
    let (mut refused, mut taken) = (0, String::new());
    for place in PLACES {
        for name in names::all() {
            match asked(place, &name) {
                // What passes is written as it is, or is not part of the role at all.
                Ok(role) => {
                    let read = format!("{role:?}");
                    let plain =
                        |c: char| c.is_ascii_graphic() && !"`$;|<>&!*?'\\~#(){}".contains(c);
                    let holds = role.holders.iter().all(|holder| {
                        let urls = [holder.peer_url.as_str(), holder.client_url.as_str()];
                        urls.iter()
                            .all(|url| url.chars().all(plain) && !url.contains(','))
                            && holder.node.as_str().chars().all(plain)
                            && holder.member.as_str().chars().all(plain)
                    });
                    assert!(holds && role.spool.as_str().chars().all(plain), "{read}");
                    writeln!(taken, "{place:?} {name:?}").unwrap();
                }
                Err(error) => {
                    let said = error.chain();
                    assert!(
                        names::harmless(&said) && said.len() < 4096,
                        "{place:?}: {said:?}"
                    );
                    assert!(error.hint.is_some(), "{said}");
                    refused += 1;
                }
            }
        }
    }
    assert!(refused > 700, "{refused} are refused; taken:\n{taken}");
}

#[test]
fn nothing_a_node_says_is_more_than_text() {
    let node = NodeName::new("node001").unwrap();
    let path = AbsPath::new("/var/lib/etcd").unwrap();
    let module = ModuleName::new("etcd").unwrap();
    let check = |error: &AdapterError| {
        let said = error.chain();
        assert!(names::harmless(&said) && said.len() < 16 << 10, "{said:?}");
    };
    for name in names::all() {
        for said in [
            name.clone(),
            format!("{name}\n"),
            format!("{name}:{name} 700\n0\n"),
            format!("guard {name}\n"),
            format!("\u{3}\n%%\n{name}"),
            format!("restore-runbook:avail=etcd/{name}\n"),
            format!(
                "restore-runbook:loaded=etcd/{name}\nrestore-runbook:etcd=etcd Version: {name}\n"
            ),
        ] {
            let nodes = SshNode::new(Arc::new(Said::of(said.as_bytes())));
            let tool = RemoteTool::new(Arc::new(Said::of(said.as_bytes())));
            match now(nodes.tree(&node, &path)) {
                Ok(tree) => assert!(names::harmless(&tree.owner), "{tree:?}"),
                Err(error) => check(&error),
            }
            now(nodes.spool(&node, &path)).err().iter().for_each(check);
            now(nodes.boot_id(&node)).err().iter().for_each(check);
            match now(tool.tools(&node, None)) {
                Ok(tools) => assert!(tools.module.as_str().chars().all(|c| c.is_ascii_graphic())),
                Err(error) => check(&error),
            }
            now(tool.tools(&node, Some(module.clone())))
                .err()
                .iter()
                .for_each(check);
        }
    }
}
