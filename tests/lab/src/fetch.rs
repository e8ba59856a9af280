//! Other versions of etcd, from a later suite of the machine's own Debian mirror; nothing is installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{Error, IoContext as _, Result};
use crate::run::run;
use crate::spec::{EtcdVersion, FETCHED, cache};

/// The suite that has etcd 3.5.
const SUITE: &str = "trixie";

/// Downloads and unpacks etcd 3.5 into the cache, unless it is there; its version.
///
/// # Errors
/// When the mirror cannot be reached or does not have it.
pub(crate) fn fetch_etcd() -> Result<String> {
    if let Ok(etcd) = EtcdVersion::V3_5.locate() {
        return Ok(etcd.version);
    }
    let target = cache().join(FETCHED);
    let work = cache().join(format!("fetch-{}", std::process::id()));
    let done = download(&work)
        .and_then(|()| fs::rename(work.join("unpacked"), &target).on("put into place", &target));
    let removed = fs::remove_dir_all(&work).on("remove", &work);
    done.and(removed)?;
    EtcdVersion::V3_5.locate().map(|etcd| etcd.version)
}

fn download(work: &Path) -> Result<()> {
    for dir in ["lists/partial", "archives/partial", "unpacked"] {
        fs::create_dir_all(work.join(dir)).on("create", work.join(dir))?;
    }
    let list = work.join("sources.list");
    let line = format!("deb {} {SUITE} main\n", mirror()?);
    fs::write(&list, line).on("write", &list)?;
    run("fetch the list of packages", apt(work).arg("update"))?;
    run(
        "fetch etcd",
        apt(work)
            .current_dir(work)
            .args(["download", "etcd-server", "etcd-client"]),
    )?;
    let packages = fs::read_dir(work)
        .on("list", work)?
        .flatten()
        .map(|e| e.path());
    for package in packages.filter(|p| p.extension().is_some_and(|e| e == "deb")) {
        let mut command = Command::new("dpkg-deb");
        command.arg("-x").arg(package).arg(work.join("unpacked"));
        run("unpack etcd", &mut command)?;
    }
    Ok(())
}

fn apt(work: &Path) -> Command {
    let mut command = Command::new("apt-get");
    let mut option = |name: &str, value: &Path| {
        command.arg("-o").arg(format!("{name}={}", value.display()));
    };
    option("Dir::Etc::SourceList", &work.join("sources.list"));
    option("Dir::Etc::SourceParts", Path::new("/dev/null"));
    option("Dir::State::lists", &work.join("lists"));
    option("Dir::Cache", work);
    option("Dir::Cache::archives", &work.join("archives"));
    // The sandbox user may not write into our directory.
    option("APT::Sandbox::User", Path::new("root"));
    command.arg("-q");
    command
}

/// The mirror that the machine itself uses.
fn mirror() -> Result<String> {
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    let parts = fs::read_dir("/etc/apt/sources.list.d")
        .into_iter()
        .flatten()
        .flatten();
    files.extend(parts.map(|e| e.path()));
    let texts: String = files
        .iter()
        .filter_map(|f| fs::read_to_string(f).ok())
        .collect();
    let words = texts
        .lines()
        .filter(|l| !l.trim_start().starts_with('#'))
        .flat_map(str::split_whitespace);
    let mut urls =
        words.filter(|w| w.starts_with("http") && w.trim_end_matches('/').ends_with("/debian"));
    urls.next().map(str::to_owned).ok_or_else(|| {
        Error::refused(
            "no Debian mirror in /etc/apt",
            "add one, or put etcd 3.5 under $LAB_CACHE/etcd-3.5/usr/bin",
        )
    })
}
