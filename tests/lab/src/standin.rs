//! The stand-in for the cluster manager: its configuration for a lab.

use serde_json::{Value, json};

use crate::layout::{HEAD_IP, Head, Node};

/// What manages the nodes of a lab.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Manager {
    /// The stand-in for Bright Cluster Manager, with [`bright_config`].
    #[default]
    Bright,
    /// The same with another configuration; its hook command is set by the lab.
    BrightWith(Value),
    /// None: etcd is started by hooks, and nobody starts it again.
    Nobody,
}

/// The usual configuration of the stand-in: the overlay `kube-default-etcd` gives all nodes the role
/// `Etcd::Host`, the nodes are data nodes, and everything takes a fraction of its real time.
pub fn bright_config(nodes: u8) -> Value {
    let nodes = Node::first(nodes);
    let names: Vec<_> = nodes.iter().map(ToString::to_string).collect();
    let devices: Vec<_> = nodes.iter().copied().map(device).collect();
    json!({
        "head": { "name": "head", "ip": HEAD_IP },
        "categories": [{ "name": "default" }],
        "nodes": devices,
        "overlays": [{
            "name": "kube-default-etcd",
            "priority": 500,
            "nodes": names,
            "roles": [{ "type": "Etcd::Host", "etcdcluster": "kube-default" }],
        }],
        "etcd": [{ "name": "kube-default" }],
        "kubernetes": [{ "name": "default", "etcdcluster": "kube-default" }],
        "extra_hooks": ["disk-ok", "power-status", "power-fail"],
        "delays_ms": {
            "service_stop": 150, "service_start": 300, "service_check": 300, "going_down": 50,
            "boot": 100, "install_step": 30, "up": 50, "poll": 200, "stale": 600,
        },
    })
}

/// Gives a configuration a second, passive head node.
pub(crate) fn make_pair(config: &mut Value) {
    let second = Head::Second;
    config["head"]["peer"] = json!(second.name());
    config["head"]["peer_ip"] = json!(second.ip());
    config["head_role"] = json!("active");
    if let Some(hooks) = config["extra_hooks"].as_array_mut() {
        hooks.push(json!("head-active"));
    }
}

fn device(node: Node) -> Value {
    json!({
        "hostname": node, "ip": node.ip(), "category": "default", "datanode": true,
        "mac": format!("02:00:0A:8D:00:{:02X}", node.number()),
    })
}
