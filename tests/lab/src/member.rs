//! etcd on a node, as the cluster manager lays it down: configuration, environment module, data directory.

use std::fs;
use std::os::unix::fs::chown;

use crate::error::{Error, IoContext as _, Result};
use crate::image::{self, Tree};
use crate::layout::{CLIENT_PORT, Node, SPOOL};
use crate::spec::Spec;

/// The member on one node. `/etc/etcd/etcd.conf` says it to the unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    node: Node,
    /// Where certificates are.
    pki: &'static str,
    name: String,
    spool: String,
    initial_cluster: String,
}

impl Member {
    /// The member of a lab in which all of `nodes` nodes are members.
    pub(crate) fn of(node: Node, spec: &Spec) -> Self {
        let peers = Node::first(spec.nodes).into_iter();
        let peers: Vec<_> = peers
            .map(|n| format!("{n}=https://{}:2380", n.ip()))
            .collect();
        Self {
            node,
            pki: spec.bcm.pki(),
            name: node.name(),
            spool: SPOOL.to_owned(),
            initial_cluster: peers.join(","),
        }
    }

    /// Changes what the cluster manager says otherwise, as `key=value`.
    pub(crate) fn with(mut self, settings: &[&str]) -> Result<Self> {
        for setting in settings {
            match setting.split_once('=') {
                Some((_, "")) => {}
                Some(("name", name)) => name.clone_into(&mut self.name),
                Some(("cluster", peers)) => peers.clone_into(&mut self.initial_cluster),
                Some(("spool", path)) if path.starts_with('/') => path.clone_into(&mut self.spool),
                _ => {
                    let help = "name=MEMBER, cluster=MEMBER=URL,…, spool=/PATH";
                    return Err(Error::refused(format!("no such setting: {setting}"), help));
                }
            }
        }
        Ok(self)
    }

    /// Lays the configuration.
    pub(crate) fn lay_config(&self, tree: &Tree) -> Result<()> {
        let (ip, pki) = (self.node.ip(), self.pki);
        let text = format!(
            "ETCD_NAME={}\n\
             ETCD_DATA_DIR={}\n\
             ETCD_LISTEN_CLIENT_URLS=https://0.0.0.0:{CLIENT_PORT}\n\
             ETCD_ADVERTISE_CLIENT_URLS=https://{ip}:{CLIENT_PORT}\n\
             ETCD_LISTEN_PEER_URLS=https://0.0.0.0:2380\n\
             ETCD_INITIAL_ADVERTISE_PEER_URLS=https://{ip}:2380\n\
             ETCD_INITIAL_CLUSTER={}\n\
             ETCD_INITIAL_CLUSTER_STATE=new\n\
             ETCD_INITIAL_CLUSTER_TOKEN=etcd-cluster\n\
             ETCD_CLIENT_CERT_AUTH=true\n\
             ETCD_TRUSTED_CA_FILE={pki}/etcd/ca.crt\n\
             ETCD_CERT_FILE={pki}/etcd-member.crt\n\
             ETCD_KEY_FILE={pki}/etcd-member.key\n\
             ETCD_PEER_CLIENT_CERT_AUTH=true\n\
             ETCD_PEER_TRUSTED_CA_FILE={pki}/etcd/ca.crt\n\
             ETCD_PEER_CERT_FILE={pki}/etcd-member.crt\n\
             ETCD_PEER_KEY_FILE={pki}/etcd-member.key\n\
             ETCD_QUOTA_BACKEND_BYTES=8589934592\n\
             ETCD_LOGGER=zap\n",
            self.name, self.spool, self.initial_cluster
        );
        tree.file("etc/etcd/etcd.conf", text.as_bytes(), 0o644)
    }

    /// Lays the environment that `module load etcd/kube-default/<version>` gives.
    pub(crate) fn lay_module(&self, tree: &Tree, version: &str) -> Result<()> {
        let (url, pki) = (self.node.client_url(), self.pki);
        let text = format!(
            "#%Module1.0\n\
             module-whatis \"etcd {version} of kube-default\"\n\
             prepend-path PATH /cm/local/apps/etcd/current/bin\n\
             setenv ETCDCTL_API 3\n\
             setenv ETCDCTL_ENDPOINTS {url}\n\
             setenv ETCDCTL_CACERT {pki}/etcd/ca.crt\n\
             setenv ETCDCTL_CERT {pki}/apiserver-etcd-client.crt\n\
             setenv ETCDCTL_KEY {pki}/apiserver-etcd-client.key\n"
        );
        let path = format!("cm/local/modulefiles/etcd/kube-default/{version}");
        tree.file(&path, text.as_bytes(), 0o644)
    }

    /// An empty data directory, as long as nothing else is in its place.
    pub(crate) fn make_spool(&self, tree: &Tree) -> Result<()> {
        let relative = self.spool.trim_start_matches('/');
        let path = tree.path(relative);
        if fs::symlink_metadata(&path).is_ok() {
            return Ok(());
        }
        tree.dir(relative, 0o700)?;
        let (uid, gid) = image::etcd_owner()?;
        chown(&path, Some(uid), Some(gid)).on("change the owner of", path)
    }
}
