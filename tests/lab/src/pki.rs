//! Keys and certificates: etcd's TLS by openssl, ssh keys by ssh-keygen.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{IoContext as _, Result};
use crate::layout::{HEAD_IP, Layout, MAX_NODES, Node};
use crate::run::run;

/// Where etcd's certificates lie on nodes and on the head node, as the cluster manager has them from 10 on.
pub const PKI: &str = "/etc/kubernetes/pki/default";

/// The certificates of a lab, by what they are for.
#[derive(Debug, Clone)]
pub(crate) struct Pki {
    dir: PathBuf,
}

impl Pki {
    /// Those of the lab at `layout`.
    pub(crate) fn of(layout: &Layout) -> Self {
        Self { dir: layout.pki() }
    }

    pub(crate) fn ca(&self) -> PathBuf {
        self.dir.join("etcd/ca.crt")
    }

    /// Certificate and key of the members: server and peer.
    pub(crate) fn member(&self) -> (PathBuf, PathBuf) {
        (
            self.dir.join("etcd-member.crt"),
            self.dir.join("etcd-member.key"),
        )
    }

    /// Certificate and key for clients.
    pub(crate) fn client(&self) -> (PathBuf, PathBuf) {
        let name = "apiserver-etcd-client";
        (
            self.dir.join(format!("{name}.crt")),
            self.dir.join(format!("{name}.key")),
        )
    }

    /// Makes an authority, one certificate for all members, one for clients.
    pub(crate) fn create(&self) -> Result<()> {
        let ca_key = self.dir.join("etcd/ca.key");
        fs::create_dir_all(self.dir.join("etcd")).on("create", self.dir.join("etcd"))?;
        openssl(
            openssl_new_key(&ca_key, "/CN=etcd-ca").args(["-x509", "-days", "3650", "-out"]),
            &self.ca(),
        )?;
        let (crt, key) = self.member();
        self.sign(
            &crt,
            &key,
            "/CN=etcd-member",
            "serverAuth,clientAuth",
            &ca_key,
        )?;
        let (crt, key) = self.client();
        self.sign(
            &crt,
            &key,
            "/O=system:masters/CN=kube-apiserver-etcd-client",
            "clientAuth",
            &ca_key,
        )
    }

    fn sign(
        &self,
        crt: &Path,
        key: &Path,
        subject: &str,
        usage: &str,
        ca_key: &Path,
    ) -> Result<()> {
        let mut command = openssl_new_key(key, subject);
        command
            .arg("-CA")
            .arg(self.ca())
            .arg("-CAkey")
            .arg(ca_key)
            .args(["-days", "3650"]);
        command
            .arg("-addext")
            .arg(format!("extendedKeyUsage={usage}"));
        command
            .arg("-addext")
            .arg(format!("subjectAltName={}", subject_names()));
        openssl(
            command.args([
                "-addext",
                "basicConstraints=critical,CA:FALSE",
                "-x509",
                "-out",
            ]),
            crt,
        )
    }
}

/// Every name and address by which a member may be called.
fn subject_names() -> String {
    let mut names = format!("DNS:localhost,IP:127.0.0.1,DNS:head,DNS:master,IP:{HEAD_IP}");
    for node in Node::first(MAX_NODES) {
        let _ = write!(names, ",DNS:{node},IP:{}", node.ip());
    }
    names
}

fn openssl_new_key(key: &Path, subject: &str) -> Command {
    let mut command = Command::new("openssl");
    command.args([
        "req",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ]);
    command.args(["-subj", subject]).arg("-keyout").arg(key);
    command
}

fn openssl(command: &mut Command, out: &Path) -> Result<()> {
    run("make a certificate", command.arg(out)).map(drop)
}

/// Makes an ed25519 key pair at `path` and `path.pub`, replacing what is there.
pub(crate) fn ssh_key(path: &Path, comment: &str) -> Result<()> {
    for old in [path.to_owned(), path.with_extension("pub")] {
        match fs::remove_file(&old) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e).on("remove", &old),
            _ => {}
        }
    }
    let mut command = Command::new("ssh-keygen");
    command
        .args(["-q", "-t", "ed25519", "-N", "", "-C", comment, "-f"])
        .arg(path);
    run("make an ssh key", &mut command).map(drop)
}

/// The host key of a node.
pub(crate) fn host_key(layout: &Layout, node: Node) -> PathBuf {
    layout.keys().join(format!("host-{node}"))
}

/// The head node's key, which every node's root lets in.
pub(crate) fn root_key(layout: &Layout) -> PathBuf {
    layout.keys().join("id_ed25519")
}
