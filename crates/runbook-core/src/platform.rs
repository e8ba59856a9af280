//! Which Bright this is, as far as it matters to a restore: how Kubernetes' API servers are run, and
//! whether Bright brings a tool for replacing a single member.
//!
//! Up to 9.2 the API servers are services of a role, and without an etcd node they are restarted with an
//! empty `--etcd-servers` and fail (the vendor's article). From 10.0 on kubeadm runs them as static pods;
//! what Bright does to those meanwhile is written nowhere. So the plan says which it is, and Verify looks.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::names::{AbsPath, EtcdUrl, NodeName, OverlayName};
use crate::plan::list;
use crate::ports::Ports;
use crate::world::ObservedMember;

/// Where kubelet looks for the static pod (kubeadm's default).
pub const MANIFEST: &str = "/etc/kubernetes/manifests/kube-apiserver.yaml";

/// What the cluster manager says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Platform {
    /// Its release, as "9.2"; none where it did not tell.
    pub release: Option<String>,
    /// The overlay that gives the role `Kubernetes::ApiServer`, with the nodes it lists.
    pub api_server_role: Option<ApiServerRole>,
    /// Members that have the static pod's manifest.
    #[serde(default)]
    pub static_pods: Vec<NodeName>,
    /// Whether the head node has `cm-etcd-manage`.
    pub etcd_manage: bool,
}

/// A role `Kubernetes::ApiServer`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiServerRole {
    /// The overlay.
    pub overlay: OverlayName,
    /// The nodes it lists.
    pub nodes: Vec<NodeName>,
}

/// How the API servers are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApiServers {
    /// As services of a role: up to Bright 9.2.
    Services,
    /// As static pods of kubeadm: from 10.0 on.
    StaticPods,
    /// There is a role as well as a manifest.
    Both,
    /// Neither was seen.
    Unknown,
}

/// What an API server on a node was told of etcd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiServer {
    /// Whether that stands in the manifest of a static pod; else it is a process's own.
    pub static_pod: bool,
    /// `--etcd-servers`; empty where the option is missing or empty.
    pub etcd_servers: Vec<String>,
}

impl Platform {
    /// How the API servers are run, going by the role and by the manifests alone.
    pub const fn api_servers(&self) -> ApiServers {
        match (&self.api_server_role, self.static_pods.is_empty()) {
            (Some(_), true) => ApiServers::Services,
            (None, false) => ApiServers::StaticPods,
            (Some(_), false) => ApiServers::Both,
            (None, true) => ApiServers::Unknown,
        }
    }

    /// Whether a node that was not seen may be one of kubeadm's: from 10.0 on; and where nothing tells.
    pub(crate) fn may_have_static_pods(&self) -> bool {
        match self.major() {
            Some(major) => major >= 10,
            None => self.api_server_role.is_none(),
        }
    }

    fn major(&self) -> Option<u32> {
        self.release.as_ref()?.split('.').next()?.parse().ok()
    }

    /// The nodes on which an API server is known to run, each once.
    pub fn api_server_nodes(&self) -> Vec<NodeName> {
        let listed = self.api_server_role.iter().flat_map(|role| &role.nodes);
        let mut nodes: Vec<NodeName> = listed.chain(&self.static_pods).cloned().collect();
        nodes.sort();
        nodes.dedup();
        nodes
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.release {
            Some(release) => write!(f, "release {release}; ")?,
            None => f.write_str("release unknown; ")?,
        }
        let role = || {
            let overlay = self.api_server_role.as_ref().map(|role| &role.overlay);
            overlay.map_or("", OverlayName::as_str)
        };
        match self.api_servers() {
            ApiServers::Services => {
                write!(f, "API servers are services of a role (overlay {})", role())
            }
            ApiServers::StaticPods => write!(
                f,
                "API servers are kubeadm's static pods (on {})",
                list(&self.static_pods)
            ),
            ApiServers::Both => write!(
                f,
                "API servers: a role (overlay {}) as well as static pods (on {})",
                role(),
                list(&self.static_pods)
            ),
            ApiServers::Unknown => {
                f.write_str("how the API servers are run was not seen")?;
                f.write_str(match self.major() {
                    Some(10..) => " (from 10.0 on they are kubeadm's static pods, as a rule)",
                    Some(9) => " (up to 9.2 they are services of a role, as a rule)",
                    _ => "",
                })
            }
        }
    }
}

impl ApiServer {
    /// Those of its etcd servers that are none of these members, nor this node itself.
    pub fn strangers(&self, members: &[(NodeName, EtcdUrl)]) -> Vec<&str> {
        let known = |server: &&String| {
            // The one thing that etcd's clients take besides the plain spelling.
            let Ok(url) = server.trim_end_matches('/').parse::<EtcdUrl>() else {
                return false;
            };
            let host = url.host();
            let near = ["127.0.0.1", "localhost", "[::1]", "::1"].contains(&host.as_str());
            let named = |(node, member): &(NodeName, EtcdUrl)| {
                member.host() == host || node.as_str() == host.split('.').next().unwrap_or_default()
            };
            near || members.iter().any(named)
        };
        let servers = self.etcd_servers.iter();
        servers
            .filter(|server| !known(server))
            .map(String::as_str)
            .collect()
    }
}

/// What can be told of the platform; what cannot is left open, for no step depends on it.
pub async fn platform(ports: &Ports, members: &[ObservedMember]) -> Platform {
    let mut found = ports.manager.platform().await.unwrap_or_default();
    let Ok(manifest) = AbsPath::new(MANIFEST) else {
        return found;
    };
    for member in members.iter().filter(|member| member.host.is_some()) {
        if let Ok(true) = ports.nodes.exists(&member.node, &manifest).await {
            found.static_pods.push(member.node.clone());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> NodeName {
        NodeName::new(name).unwrap()
    }

    #[test]
    fn role_and_manifests_tell_the_worlds_apart() {
        let mut platform = Platform::default();
        assert_eq!(platform.api_servers(), ApiServers::Unknown);
        platform.static_pods = vec![node("node002")];
        assert_eq!(platform.api_servers(), ApiServers::StaticPods);
        platform.api_server_role = Some(ApiServerRole {
            overlay: OverlayName::new("kube-default-master").unwrap(),
            nodes: vec![node("node002"), node("node001")],
        });
        assert_eq!(platform.api_servers(), ApiServers::Both);
        assert_eq!(
            platform.api_server_nodes(),
            [node("node001"), node("node002")]
        );
        platform.static_pods.clear();
        assert_eq!(platform.api_servers(), ApiServers::Services);
        assert_eq!(
            platform.to_string(),
            "release unknown; API servers are services of a role (overlay kube-default-master)"
        );
        let seen_nothing = |release: &str| {
            let release = Some(release.to_owned());
            Platform {
                release,
                ..Platform::default()
            }
            .to_string()
        };
        assert!(seen_nothing("11.0").contains("from 10.0 on they are kubeadm's static pods"));
        assert!(seen_nothing("9.2").contains("up to 9.2 they are services"));
        assert!(seen_nothing("trunk").ends_with("was not seen"));
    }

    #[test]
    fn servers_are_told_from_strangers() {
        let url = |text: &str| text.parse::<EtcdUrl>().unwrap();
        let members = [(node("node001"), url("https://10.141.0.1:2379"))];
        let servers = [
            "https://10.141.0.1:2379",
            "https://node001.cm.cluster:2379",
            "https://127.0.0.1:2379",
            "https://10.141.0.1:2379/",
            "https://10.141.0.9:2379",
            "nonsense",
        ];
        let told = ApiServer {
            static_pod: true,
            etcd_servers: servers.map(str::to_owned).to_vec(),
        };
        assert_eq!(
            told.strangers(&members),
            ["https://10.141.0.9:2379", "nonsense"]
        );
    }
}
