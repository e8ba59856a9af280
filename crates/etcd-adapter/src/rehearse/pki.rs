//! Certificates for one rehearsal, so that no other user of this machine can read the store.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use runbook_core::ports::PortResult;

use super::fault;
use super::scratch::unusable;
use crate::client::TlsFiles;

/// The authority's certificate in the scratch directory, which etcd holds clients against.
pub(super) const CA: &str = "ca.crt";
/// The server's certificate there.
pub(super) const CERTIFICATE: &str = "server.crt";
/// Its key.
pub(super) const KEY: &str = "server.key";

/// The client's name. Where authentication is on, etcd takes the common name of a client's certificate
/// for the user's, and `root` is the one user that such a store must have (`auth/store.go`).
const ROOT: &str = "root";

/// Makes an authority, a server's certificate in `dir`, and a client's, which stays in memory as the
/// authority's key does.
pub(super) fn make(dir: &Path) -> PortResult<TlsFiles> {
    let (files, client) = certificates().map_err(|error| {
        fault("rehearsal-certificates", "no certificate can be made").caused_by(error)
    })?;
    for (name, text) in files {
        let path = dir.join(name);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        options
            .open(&path)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .map_err(|error| unusable(&path, error))?;
    }
    Ok(client)
}

type Files = [(&'static str, String); 3];

fn certificates() -> Result<(Files, TlsFiles), rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut authority = named("rehearsal authority", Vec::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let ca = authority.self_signed(&key)?.pem();
    let issuer = Issuer::new(authority, key);
    let leaf = |name: &str| -> Result<(String, String), rcgen::Error> {
        let mut params = named(name, vec!["127.0.0.1".into()])?;
        // Both: etcd's gateway is a client of its own server, and shows it the server's certificate.
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let key = KeyPair::generate()?;
        Ok((params.signed_by(&key, &issuer)?.pem(), key.serialize_pem()))
    };
    let (certificate, key) = leaf("rehearsal server")?;
    let (client, client_key) = leaf(ROOT)?;
    let tls = TlsFiles {
        ca: ca.clone().into_bytes(),
        certificate: client.into_bytes(),
        key: client_key.into_bytes(),
    };
    Ok(([(CA, ca), (CERTIFICATE, certificate), (KEY, key)], tls))
}

fn named(name: &str, addresses: Vec<String>) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(addresses)?;
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(params)
}
