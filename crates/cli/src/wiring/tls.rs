//! The client certificate for etcd: where it lies, and what to say when it does not.

use std::path::{Path, PathBuf};

use etcd_adapter::client::{TlsFiles, check_client_certificate};
use runbook_core::names::ClusterLabel;
use runbook_core::rundir::read_ordinary;

use crate::args::Global;
use crate::exit::Exit;
use crate::failure::Failure;

/// Where Base Command Manager keeps the certificates of a cluster, by its label.
const PKI: &str = "/etc/kubernetes/pki";

/// Far more than a bundle of CAs.
const LIMIT_BYTES: u64 = 1 << 20;

/// One file, and how to name another one.
struct Wanted<'a> {
    what: &'static str,
    given: Option<&'a Path>,
    usual: PathBuf,
    option: &'static str,
    variable: &'static str,
}

/// Where the files for etcd's TLS are, or should be.
pub(crate) struct Certificates {
    /// The directory of the cluster's certificates.
    pub(crate) pki: PathBuf,
    pub(crate) ca: PathBuf,
    pub(crate) certificate: PathBuf,
}

/// Where they are, by the options or by the cluster's label.
pub(crate) fn certificates(options: &Global, cluster: &ClusterLabel) -> Certificates {
    let [ca, certificate, _] = wanted(options, cluster).map(|file| file.path().to_owned());
    Certificates {
        pki: Path::new(PKI).join(cluster.as_str()),
        ca,
        certificate,
    }
}

/// CA, certificate and key.
fn wanted<'a>(options: &'a Global, cluster: &ClusterLabel) -> [Wanted<'a>; 3] {
    let pki = Path::new(PKI).join(cluster.as_str());
    [
        Wanted {
            what: "the CA of etcd's certificates",
            given: options.etcd_ca.as_deref(),
            usual: pki.join("etcd/ca.crt"),
            option: "--etcd-ca",
            variable: "RESTORE_RUNBOOK_ETCD_CA",
        },
        Wanted {
            what: "the client certificate for etcd",
            given: options.etcd_cert.as_deref(),
            usual: pki.join("apiserver-etcd-client.crt"),
            option: "--etcd-cert",
            variable: "RESTORE_RUNBOOK_ETCD_CERT",
        },
        Wanted {
            what: "the key of the client certificate for etcd",
            given: options.etcd_key.as_deref(),
            usual: pki.join("apiserver-etcd-client.key"),
            option: "--etcd-key",
            variable: "RESTORE_RUNBOOK_ETCD_KEY",
        },
    ]
}

/// Reads CA, certificate and key.
pub(super) fn read(options: &Global, cluster: &ClusterLabel) -> Result<TlsFiles, Failure> {
    let [ca, certificate, key] = wanted(options, cluster);
    let files = TlsFiles {
        ca: ca.read()?,
        certificate: certificate.read()?,
        key: key.read()?,
    };
    check_client_certificate(&files.certificate, jiff::Timestamp::now())?;
    Ok(files)
}

impl Wanted<'_> {
    fn path(&self) -> &Path {
        self.given.unwrap_or(&self.usual)
    }

    fn read(&self) -> Result<Vec<u8>, Failure> {
        let path = self.path();
        read_ordinary(path, LIMIT_BYTES).map_err(|error| {
            let what = format!("{} cannot be read from {}", self.what, path.display());
            Failure::new(Exit::Environment, "tls-missing", what)
                .caused_by(&error)
                .hint(format!(
                    "say where it is on this head node: {} FILE, or {}=FILE in the environment. From Bright 10 on each Kubernetes cluster has a folder of its label's below {PKI}; 9.x was seen to keep such files below /cm/local/apps/kubernetes/var/etc",
                    self.option, self.variable
                ))
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::Cli;

    #[test]
    fn a_missing_file_is_named_with_the_option_for_another() {
        let cli = Cli::parse_from(["restore-runbook", "status"]);
        let cluster = ClusterLabel::new("no-such-cluster").unwrap();
        let failure = read(&cli.global, &cluster).unwrap_err();
        assert_eq!(failure.code, "tls-missing");
        assert!(
            failure
                .what
                .contains("/etc/kubernetes/pki/no-such-cluster/etcd/ca.crt"),
            "{}",
            failure.what
        );
        assert!(failure.hint.unwrap().contains("--etcd-ca FILE"));
    }

    /// Neither waited for nor read without an end.
    #[test]
    fn what_is_no_certificate_s_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (fifo, file) = (dir.path().join("fifo"), dir.path().join("file"));
        let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::from(0o600));
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, kind, mode, 0).unwrap();
        let of_size = |bytes: u64| std::fs::File::create(&file).unwrap().set_len(bytes);
        let read = |option: &str, path: &Path| {
            let words = ["restore-runbook", "status", option, path.to_str().unwrap()];
            let cli = Cli::parse_from(words);
            let cluster = ClusterLabel::new("default").unwrap();
            let files = wanted(&cli.global, &cluster);
            let one = files.iter().find(|file| file.option == option).unwrap();
            one.read().map(|bytes| bytes.len() as u64)
        };
        for option in ["--etcd-ca", "--etcd-cert", "--etcd-key"] {
            for path in [&*fifo, Path::new("/dev/zero"), dir.path()] {
                let failure = read(option, path).unwrap_err();
                assert_eq!(failure.code, "tls-missing");
                let why = &failure.causes[0];
                assert!(why.contains("no ordinary file"), "{why}");
            }
            of_size(LIMIT_BYTES).unwrap();
            assert_eq!(read(option, &file), Ok(LIMIT_BYTES));
            of_size(LIMIT_BYTES + 1).unwrap();
            let failure = read(option, &file).unwrap_err();
            assert!(
                failure.causes[0].contains("over 1048576 bytes"),
                "{failure:?}"
            );
        }
    }
}
