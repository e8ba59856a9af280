//! What differs between the versions of the cluster manager, as far as it is known: where etcd's certificates
//! lie, how API servers run, which of the vendor's scripts there are.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::error::Result;
use crate::image::Tree;
use crate::layout::Node;
use crate::pki::PKI;

/// Which version the lab is like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
pub enum Bcm {
    /// None in particular: etcd alone, its certificates where 10 and 11 have them, and no API servers.
    #[default]
    #[value(skip)]
    Plain,
    /// 9.2: API servers are services of the role `Kubernetes::ApiServer`, files lie below `/cm/local`.
    #[value(name = "9.2")]
    V9_2,
    /// 10: API servers are static pods by kubeadm, certificates lie in a directory per cluster.
    #[value(name = "10")]
    V10,
    /// 11: the same, and cmsh takes a certificate.
    #[value(name = "11")]
    V11,
}

/// Where 9.x keeps the files of Kubernetes.
const FILES_OF_9: &str = "/cm/local/apps/kubernetes/var/etc";
/// The vendor's scripts on the head node.
const SCRIPTS: &str = "cm/local/apps/cmd/scripts";
/// The static pod of kubeadm.
const MANIFEST: &str = "etc/kubernetes/manifests/kube-apiserver.yaml";
/// What the cluster manager tells an API server of 9.x. The real file's name is not known.
pub(crate) const API_SERVER_SETTINGS: &str = "cm/local/apps/kubernetes/var/etc/apiserver.env";

/// An API server of 9.x as far as the lab needs one: it has a name and arguments, and does not run without etcd.
const API_SERVER: &str = "\
#!/bin/sh
for argument; do
    [ \"$argument\" != --etcd-servers= ] || { echo 'Error: --etcd-servers must be specified' >&2; exit 1; }
done
sleep infinity &
wait
";

const API_SERVER_UNIT: &str = "\
[Unit]
Description=Kubernetes API Server
StartLimitIntervalSec=0

[Service]
EnvironmentFile=/cm/local/apps/kubernetes/var/etc/apiserver.env
ExecStart=/cm/local/apps/kubernetes/current/bin/kube-apiserver --allow-privileged=true --etcd-servers=${ETCD_SERVERS}
Restart=on-failure
RestartSec=1
";

/// All that is known of the vendor's script is how it is called.
const ETCD_MANAGE: &str = "\
#!/bin/sh
echo 'usage: cm-etcd-manage [-h] --kube-cluster KUBE_CLUSTER' >&2
echo '                      {status,remove,add,add-learner,promote,move-leader,backup,restore} ...' >&2
exit 2
";

impl Bcm {
    fn version(self) -> &'static str {
        match self {
            Self::Plain | Self::V9_2 => "9.2",
            Self::V10 => "10.0",
            Self::V11 => "11.0",
        }
    }

    fn by_kubeadm(self) -> bool {
        matches!(self, Self::V10 | Self::V11)
    }

    /// Where etcd's certificates lie, on nodes and on the head node.
    pub fn pki(self) -> &'static str {
        match self {
            Self::V9_2 => FILES_OF_9,
            _ => PKI,
        }
    }

    /// What the stand-in's configuration says differently.
    pub(crate) fn configure(self, config: &mut Value) {
        if self == Self::Plain {
            return;
        }
        config["version"] = json!(self.version());
        let pki = self.pki();
        let files = json!({
            "ca": format!("{pki}/etcd/ca.crt"), "cakey": format!("{pki}/etcd/ca.key"),
            "membercertificate": format!("{pki}/etcd-member.crt"),
            "membercertificatekey": format!("{pki}/etcd-member.key"),
            "clientcertificate": format!("{pki}/apiserver-etcd-client.crt"),
            "clientcertificatekey": format!("{pki}/apiserver-etcd-client.key"),
        });
        for cluster in config["etcd"].as_array_mut().into_iter().flatten() {
            if let (Some(cluster), Some(files)) = (cluster.as_object_mut(), files.as_object()) {
                cluster.extend(files.clone());
            }
        }
        if self == Self::V9_2 {
            let nodes = config["overlays"][0]["nodes"].clone();
            let role = json!({ "type": "Kubernetes::ApiServer", "kubecluster": "default" });
            let master = json!({ "name": "kube-default-master", "nodes": nodes, "roles": [role] });
            push(&mut config["overlays"], master);
            push(&mut config["extra_hooks"], json!("api-server"));
        }
    }

    /// The vendor's scripts.
    pub(crate) fn lay_on_head(self, tree: &Tree) -> Result<()> {
        if self.by_kubeadm() {
            tree.file(
                &format!("{SCRIPTS}/cm-etcd-manage"),
                ETCD_MANAGE.as_bytes(),
                0o755,
            )?;
        }
        Ok(())
    }

    /// What runs the API server of a node.
    pub(crate) fn lay_on_node(self, tree: &Tree, node: Node, members: &[Node]) -> Result<()> {
        if self.by_kubeadm() {
            return tree.file(
                MANIFEST,
                manifest(self.pki(), node, members).as_bytes(),
                0o600,
            );
        }
        if self == Self::V9_2 {
            let program = "cm/local/apps/kubernetes/current/bin/kube-apiserver";
            tree.file(program, API_SERVER.as_bytes(), 0o755)?;
            let unit = "etc/systemd/system/kube-apiserver.service";
            tree.file(unit, API_SERVER_UNIT.as_bytes(), 0o644)?;
        }
        Ok(())
    }
}

fn push(list: &mut Value, item: Value) {
    if let Some(list) = list.as_array_mut() {
        list.push(item);
    }
}

/// The pod as kubeadm writes it for an etcd of its own, shortened to what is about etcd.
fn manifest(pki: &str, node: Node, members: &[Node]) -> String {
    let urls: Vec<_> = members.iter().map(|member| member.client_url()).collect();
    format!(
        "apiVersion: v1\n\
         kind: Pod\n\
         metadata:\n\
        \x20 name: kube-apiserver\n\
        \x20 namespace: kube-system\n\
         spec:\n\
        \x20 containers:\n\
        \x20 - command:\n\
        \x20   - kube-apiserver\n\
        \x20   - --advertise-address={ip}\n\
        \x20   - --etcd-cafile={pki}/etcd/ca.crt\n\
        \x20   - --etcd-certfile={pki}/apiserver-etcd-client.crt\n\
        \x20   - --etcd-keyfile={pki}/apiserver-etcd-client.key\n\
        \x20   - --etcd-servers={urls}\n\
        \x20   name: kube-apiserver\n\
        \x20 hostNetwork: true\n",
        ip = node.ip(),
        urls = urls.join(",")
    )
}
