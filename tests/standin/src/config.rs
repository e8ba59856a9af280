//! The daemon's configuration file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use crate::dialect::DialectConfig;
use crate::model::{Cluster, Object, Value};
use crate::schema::Kind;

/// The whole file; the README shows an example.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    #[serde(default = "default_cluster_name")]
    pub(crate) cluster: String,
    #[serde(default = "default_version")]
    pub(crate) version: String,
    pub(crate) head: Head,
    #[serde(default)]
    pub(crate) head_role: HeadRole,
    #[serde(default)]
    categories: Vec<Object>,
    #[serde(default)]
    nodes: Vec<Object>,
    #[serde(default)]
    overlays: Vec<Object>,
    #[serde(default)]
    etcd: Vec<Object>,
    #[serde(default)]
    kubernetes: Vec<Object>,
    #[serde(default)]
    pub(crate) initial_status: InitialStatus,
    /// Text after a node's state, for example `restart-required`.
    #[serde(default)]
    pub(crate) status_notes: BTreeMap<String, String>,
    /// Nodes whose BMC does not answer.
    #[serde(default)]
    pub(crate) bmc_failed: Vec<String>,
    #[serde(default)]
    pub(crate) hook: Vec<String>,
    /// Hooks beyond the basic contract that the hook command knows.
    #[serde(default)]
    pub(crate) extra_hooks: Vec<String>,
    #[serde(default)]
    pub(crate) cmshrc: Option<PathBuf>,
    #[serde(default)]
    pub(crate) delays_ms: Delays,
    #[serde(default)]
    pub(crate) dialect: DialectConfig,
}

/// The head node.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Head {
    pub(crate) name: String,
    pub(crate) ip: String,
    /// The other head node of a pair.
    #[serde(default = "default_peer")]
    pub(crate) peer: String,
    #[serde(default = "default_peer_ip")]
    pub(crate) peer_ip: String,
}

/// The part of the first head node when the cluster is set up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum HeadRole {
    Active,
    Passive,
    #[default]
    Single,
}

/// What the daemon believes of the nodes before it first looked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum InitialStatus {
    #[default]
    Up,
    Down,
}

/// How long things take, in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Delays {
    /// From a commit that takes the role away to the stop of etcd.
    pub(crate) service_stop: i64,
    /// From a commit that gives the role, or a node coming up with it, to the start of etcd.
    pub(crate) service_start: i64,
    /// Between two looks at a role's service.
    pub(crate) service_check: i64,
    /// From `reboot` or `shutdown` to the node being off.
    pub(crate) going_down: i64,
    /// Firmware and PXE.
    pub(crate) boot: i64,
    /// Each step of the node-installer.
    pub(crate) install_step: i64,
    /// From sshd's answer to UP.
    pub(crate) up: i64,
    /// How long `INSTALLER_CALLINGINIT` may last before it becomes `INSTALLER_FAILED`.
    pub(crate) calling_init_limit: i64,
    /// Between two looks at a node.
    pub(crate) poll: i64,
    /// How long a silent node is still shown UP.
    pub(crate) stale: i64,
    /// From UP to going down again, for a node that is to be installed twice.
    pub(crate) again: i64,
    /// The limit for one hook call.
    pub(crate) hook_limit: i64,
    /// How long `installerinteractions -w` and `commit -w` wait.
    pub(crate) wait_limit: i64,
}

impl Default for Delays {
    fn default() -> Self {
        Self {
            service_stop: 300,
            service_start: 1500,
            service_check: 1000,
            going_down: 200,
            boot: 200,
            install_step: 50,
            up: 200,
            calling_init_limit: 60_000,
            poll: 1000,
            stale: 2000,
            again: 3000,
            hook_limit: 60_000,
            wait_limit: 60_000,
        }
    }
}

impl Delays {
    /// These, with others in place of some of them.
    pub(crate) fn with(&self, others: &Map<String, Json>) -> Result<Self, String> {
        let mut all = serde_json::to_value(self).map_err(|e| e.to_string())?;
        if let Some(all) = all.as_object_mut() {
            all.extend(others.clone());
        }
        serde_json::from_value(all).map_err(|e| format!("delays_ms: {e}"))
    }
}

fn default_cluster_name() -> String {
    "cluster".to_owned()
}

fn default_version() -> String {
    "9.2".to_owned()
}

fn default_peer() -> String {
    "master2".to_owned()
}

fn default_peer_ip() -> String {
    "10.141.255.253".to_owned()
}

impl Config {
    pub(crate) fn load(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
        let config: Self =
            serde_json::from_str(&text).map_err(|e| format!("{}: {e}", path.display()))?;
        config.initial_cluster()?;
        Ok(config)
    }

    pub(crate) fn knows_hook(&self, name: &str) -> bool {
        self.extra_hooks.iter().any(|known| known == name)
    }

    /// The objects a new cluster starts with.
    pub(crate) fn initial_cluster(&self) -> Result<Cluster, String> {
        let mut devices: Vec<Object> = self.heads().iter().map(head_device).collect();
        devices.extend(self.nodes.iter().cloned());
        let mut objects = BTreeMap::from([
            (Kind::Device, devices),
            (Kind::Category, self.categories.clone()),
            (Kind::ConfigurationOverlay, self.overlays.clone()),
            (Kind::Etcd, self.etcd.clone()),
            (Kind::Kubernetes, self.kubernetes.clone()),
            (
                Kind::SoftwareImage,
                vec![Object::named("name", "default-image")],
            ),
        ]);
        for (kind, list) in &mut objects {
            for object in list {
                let name = object.text(kind.key());
                object
                    .normalise(kind.fields())
                    .map_err(|problem| format!("{} {name:?}: {problem}", kind.mode()))?;
            }
        }
        Ok(Cluster { objects })
    }

    /// The head nodes, one or two, with their addresses.
    pub(crate) fn heads(&self) -> Vec<(String, String)> {
        let Head {
            name,
            ip,
            peer,
            peer_ip,
        } = &self.head;
        let mut heads = vec![(name.clone(), ip.clone())];
        if self.head_role != HeadRole::Single {
            heads.push((peer.clone(), peer_ip.clone()));
        }
        heads
    }

    pub(crate) fn is_head(&self, name: &str) -> bool {
        self.heads().iter().any(|(head, _)| head == name)
    }

    /// The other head node of the pair.
    pub(crate) fn other_head(&self, head: &str) -> String {
        let Head { name, peer, .. } = &self.head;
        if head == name { peer } else { name }.clone()
    }
}

fn head_device((name, ip): &(String, String)) -> Object {
    let mut head = Object::named("hostname", name);
    head.set("type", Value::Text("HeadNode".to_owned()));
    head.set("ip", Value::Text(ip.clone()));
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_readme_is_valid_and_has_the_defaults() {
        let readme = include_str!("../README.md");
        let (_, rest) = readme.split_once("```json\n").unwrap();
        let (example, _) = rest.split_once("```").unwrap();
        let config: Config = serde_json::from_str(example).unwrap();
        let cluster = config.initial_cluster().unwrap();
        let role = cluster
            .effective_role("node001", crate::model::ETCD_HOST)
            .unwrap();
        let mut bare = Object::named("type", crate::model::ETCD_HOST);
        bare.set("etcdcluster", Value::Text("kube-default".to_owned()));
        bare.normalise(crate::schema::role_fields(crate::model::ETCD_HOST))
            .unwrap();
        assert_eq!(*role, bare);
        assert_eq!(config.delays_ms, Delays::default());
    }

    #[test]
    fn misspelt_properties_are_refused() {
        let text = r#"{ "head": { "name": "h", "ip": "1" }, "nodes": [{ "hostnam": "node001" }] }"#;
        let config: Config = serde_json::from_str(text).unwrap();
        assert!(config.initial_cluster().is_err());
    }
}
