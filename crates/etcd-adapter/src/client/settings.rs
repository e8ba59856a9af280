//! What a client needs to be told.

use std::fmt;
use std::time::Duration;

use etcd_client::{Certificate, Identity, TlsOptions};

/// The files of a TLS client, read: PEM, as etcd's own tools take them.
#[derive(Clone)]
pub struct TlsFiles {
    /// The authority the servers' certificates must come from.
    pub ca: Vec<u8>,
    /// The client's certificate, with its chain if it has one.
    pub certificate: Vec<u8>,
    /// The client's private key.
    pub key: Vec<u8>,
}

impl TlsFiles {
    pub(super) fn options(&self) -> TlsOptions {
        TlsOptions::new()
            .ca_certificate(Certificate::from_pem(&self.ca))
            .identity(Identity::from_pem(&self.certificate, &self.key))
    }
}

impl fmt::Debug for TlsFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsFiles(…)")
    }
}

/// A user of an etcd whose authentication is on. A restored store brings its users along.
#[derive(Clone)]
pub struct Login {
    /// The user; one with the role `root`.
    pub user: String,
    /// The password.
    pub password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Login({:?}, …)", self.user)
    }
}

/// How long a call may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// To connect.
    pub connect: Duration,
    /// From the request to its answer. `HashKV` reads the whole store.
    pub request: Duration,
}

impl Default for Timeouts {
    /// 5 s to connect; 30 s for an answer: a `HashKV` over 8 GiB, the largest size etcd suggests,
    /// at 0.3 GB/s.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            request: Duration::from_secs(30),
        }
    }
}
