//! What a lab is made of: the part that the supervisor is told.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::bcm::Bcm;
use crate::error::{Error, IoContext as _, Result};
use crate::run::run;

/// The directory of what `lab fetch-etcd` downloads.
pub(crate) const FETCHED: &str = "etcd-3.5";

/// Which etcd the nodes run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum EtcdVersion {
    /// The host's packages; on Debian 12 that is 3.4.23.
    #[default]
    Debian,
    /// 3.5, from a later Debian suite; must have been fetched by `lab fetch-etcd`.
    V3_5,
}

impl EtcdVersion {
    /// Finds the binaries.
    ///
    /// # Errors
    /// When they are not installed, with what to do about it.
    pub fn locate(self) -> Result<Etcd> {
        match self {
            Self::Debian => Etcd::in_directory(
                Path::new("/usr/bin"),
                "scripts/setup.sh installs etcd-server and etcd-client",
            ),
            Self::V3_5 => Etcd::in_directory(
                &cache().join(FETCHED).join("usr/bin"),
                "`lab fetch-etcd` downloads it (needs a Debian mirror)",
            ),
        }
    }
}

/// Every etcd to be had: the host's, the fetched 3.5, and whatever else somebody has put into
/// `etcd-<version>/usr/bin` where fetched versions are kept.
///
/// # Errors
/// When one of the first two is missing, or another has no etcd and etcdctl in it.
pub fn every_etcd() -> Result<Vec<Etcd>> {
    let mut found = vec![EtcdVersion::Debian.locate()?, EtcdVersion::V3_5.locate()?];
    let cache = cache();
    let mut others: Vec<_> = fs::read_dir(&cache)
        .on("list", &cache)?
        .flatten()
        .map(|entry| entry.file_name())
        .filter(|name| name != FETCHED)
        .filter(|name| name.to_str().is_some_and(|name| name.starts_with("etcd-")))
        .collect();
    others.sort();
    for name in others {
        let programs = cache.join(name).join("usr/bin");
        found.push(Etcd::in_directory(
            &programs,
            "remove it, or put etcd's programs into it",
        )?);
    }
    Ok(found)
}

/// Where fetched etcd versions are kept: `$LAB_CACHE`, or a directory under `/var/cache`.
pub(crate) fn cache() -> PathBuf {
    std::env::var_os("LAB_CACHE").map_or_else(
        || PathBuf::from("/var/cache/restore-runbook-lab"),
        PathBuf::from,
    )
}

/// etcd's programs, and their version.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Etcd {
    /// Such as `3.4.23`.
    pub version: String,
    /// etcd, etcdctl and, from 3.5 on, etcdutl.
    pub programs: Vec<PathBuf>,
}

impl Etcd {
    fn in_directory(dir: &Path, help: &str) -> Result<Self> {
        let programs: Vec<_> = ["etcd", "etcdctl", "etcdutl"]
            .iter()
            .map(|p| dir.join(p))
            .collect();
        let programs: Vec<_> = programs.into_iter().filter(|p| p.exists()).collect();
        let [server, _client, ..] = programs.as_slice() else {
            return Err(Error::refused(
                format!("no etcd and etcdctl in {}", dir.display()),
                help,
            ));
        };
        let text = run(
            "ask for etcd's version",
            Command::new(server).arg("--version"),
        )?;
        let version = text.lines().find_map(|l| l.strip_prefix("etcd Version: "));
        let version =
            version.ok_or_else(|| Error::refused(format!("odd version: {text:?}"), help))?;
        Ok(Self {
            version: version.trim().to_owned(),
            programs,
        })
    }
}

/// The host key of a node after its disk was wiped and installed anew.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum HostKeyAfterWipe {
    /// The same: the installation keeps it somewhere.
    #[default]
    Same,
    /// A new one: the head node's `known_hosts` is wrong then.
    New,
}

/// The stand-in for the cluster manager.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Standin {
    /// `cmdaemon-standin`.
    pub(crate) daemon: PathBuf,
    /// `cmsh`.
    pub(crate) cmsh: PathBuf,
    /// Its configuration, whole; `hook` is filled in by the lab.
    pub(crate) config: serde_json::Value,
}

/// All that a supervisor needs to know to build a lab.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Spec {
    pub(crate) nodes: u8,
    /// One or two head nodes.
    pub(crate) heads: u8,
    pub(crate) etcd: Etcd,
    pub(crate) bcm: Bcm,
    pub(crate) host_key_after_wipe: HostKeyAfterWipe,
    /// Whether a fresh image has an empty, etcd-owned `/var/lib/etcd`.
    pub(crate) precreate_spool: bool,
    /// Size of a node's disk in bytes; without one it is a directory, without a limit of its own.
    pub(crate) disk_bytes: Option<u64>,
    /// Programs to put on the head node's PATH.
    pub(crate) tools: Vec<PathBuf>,
    pub(crate) standin: Option<Standin>,
    /// The `lab` program, for the stand-in's hooks.
    pub(crate) lab_program: PathBuf,
    /// Whether the lab outlives its owner.
    pub(crate) keep: bool,
}

/// What the supervisor tells its owner when the lab is up.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Ready {
    /// The supervisor: `/proc/<pid>/root` shows all disks.
    pub(crate) pid: u32,
    /// The processes that keep the head nodes' namespaces.
    pub(crate) anchors: Vec<u32>,
    pub(crate) nodes: u8,
    pub(crate) etcd_version: String,
}

/// Reads a JSON file or text with a proper error.
pub(crate) fn from_json<T: serde::de::DeserializeOwned>(
    what: &'static str,
    text: &str,
) -> Result<T> {
    serde_json::from_str(text)
        .map_err(std::io::Error::from)
        .on("understand", what)
}

/// Writes a value as one line of JSON.
pub(crate) fn to_json<T: Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value)
        .map_err(std::io::Error::from)
        .on("serialise", "a lab message")
}

/// Copies a program so that a rebuild does not pull it away from under the lab.
pub(crate) fn install_program(from: &Path, to: &Path) -> Result<()> {
    if let Some(dir) = to.parent() {
        fs::create_dir_all(dir).on("create", dir)?;
    }
    fs::copy(from, to).map(drop).on("install", from)
}
