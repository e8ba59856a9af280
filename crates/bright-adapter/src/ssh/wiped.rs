//! Which nodes a run has had wiped: one name a line, beside the run's own file of known hosts.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use runbook_core::error::{AdapterError, Certainty};
use runbook_core::names::NodeName;
use runbook_core::ports::PortResult;
use rustix::fs::OFlags;

use crate::codes;

/// Far more than the names of all members.
const LIMIT_BYTES: u64 = 64 * 1024;

/// No link is followed, and no other end of a FIFO is waited for.
const PLAIN: i32 = OFlags::NOFOLLOW
    .union(OFlags::NONBLOCK)
    .bits()
    .cast_signed();

fn file(run_known_hosts: &Path) -> PathBuf {
    run_known_hosts.with_extension("wiped")
}

fn failed(path: &Path, error: io::Error) -> AdapterError {
    let what = format!("{} cannot be used", path.display());
    AdapterError::new(codes::SSH_KNOWN_HOSTS, Certainty::Refused, what)
        .hint("see what the system says of it: space, permissions, the disk; then resume")
        .caused_by(error)
}

/// The nodes noted so far. What is no name is a torn line, of a node that was not wiped yet.
pub(super) fn noted(run_known_hosts: &Path) -> PortResult<Vec<NodeName>> {
    let path = file(run_known_hosts);
    let mut text = String::new();
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(PLAIN)
        .open(&path);
    match opened.and_then(|file| file.take(LIMIT_BYTES).read_to_string(&mut text)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(failed(&path, error)),
        Ok(_) => {
            let whole = text
                .split_inclusive('\n')
                .filter(|line| line.ends_with('\n'));
            Ok(whole
                .filter_map(|line| NodeName::new(line.trim_end()).ok())
                .collect())
        }
    }
}

/// Notes a node, durably: its disk is wiped next.
pub(super) fn note(run_known_hosts: &Path, node: &NodeName) -> PortResult<()> {
    let path = file(run_known_hosts);
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o600);
    let opened: io::Result<File> = options.custom_flags(PLAIN).open(&path);
    opened
        // A torn line before it ends here.
        .and_then(|mut file| {
            file.write_all(format!("\n{node}\n").as_bytes())
                .and_then(|()| file.sync_all())
        })
        .map_err(|error| failed(&path, error))
}
