//! What the doctor asks of a machine beyond the questions of a run, and the reading of the answers.
//!
//! Each script prints no more than is needed: a bundle holds these answers.

use std::path::Path;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use runbook_core::names::{AbsPath, NodeName};
use runbook_core::ports::{PortResult, Shell};
use runbook_core::rundir::Place;

use crate::node::SshNode;
use crate::node::questions::Read;
use crate::node::scripts::{LOOK, set};

/// More entries of a directory are not listed: the newest are.
const LISTED: usize = 20;

const CERTIFICATE: &str = r#"
if ! there "$path"; then echo absent; exit 0; fi
command -v openssl >/dev/null || refuse 88 "there is no openssl"
echo "from $(openssl x509 -noout -startdate -in "$path")"
echo "to $(openssl x509 -noout -enddate -in "$path")"
echo "subject $(openssl x509 -noout -subject_hash -in "$path")"
echo "issuer $(openssl x509 -noout -issuer_hash -in "$path")""#;

const BACKUPS: &str = r#"
if ! there "$dir"; then echo absent; exit 0; fi
[ -d "$dir" ] || refuse 80 "$dir is no directory"
find -H "$dir" -maxdepth 1 -type f ! -name '.*' ! -name '*.part' ! -name '*.json' -printf '%T@ %s %f\n' | sort -rn | head -n "$most"
echo end"#;

const STORAGE: &str = r#"
until there "$dir"; do dir=${dir%/*}; dir=${dir:-/}; done
df --output=fstype,target -- "$dir" | tail -n 1"#;

/// A certificate, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Certificate {
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
    pub(super) subject: String,
    pub(super) issuer: String,
}

/// A file that may be a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Backup {
    pub(super) path: AbsPath,
    pub(super) size_bytes: u64,
    pub(super) modified: Timestamp,
}

impl<S: Shell> SshNode<S> {
    /// The first certificate of a file; none where there is no file.
    pub(super) async fn certificate(
        &self,
        node: &NodeName,
        path: &AbsPath,
    ) -> PortResult<Option<Certificate>> {
        let script = format!("{}{LOOK}{CERTIFICATE}", set(&[("path", path.as_str())]));
        let what = format!("the certificate {path}");
        self.ask(node, &what, &script, read_certificate).await
    }

    /// What may be a snapshot in a directory, the newest first; none where there is no directory.
    pub(super) async fn backups(
        &self,
        node: &NodeName,
        dir: &AbsPath,
    ) -> PortResult<Option<Vec<Backup>>> {
        let most = LISTED.to_string();
        let values = set(&[("dir", dir.as_str()), ("most", &most)]);
        let script = format!("{values}{LOOK}{BACKUPS}");
        let what = format!("the backups in {dir}");
        self.ask(node, &what, &script, |text| read_backups(dir, text))
            .await
    }

    /// Whether the other head node sees the same directory after a failover, and what it lies on.
    pub(super) async fn on_shared_storage(
        &self,
        node: &NodeName,
        dir: &str,
    ) -> PortResult<(bool, String)> {
        let script = format!("{}{LOOK}{STORAGE}", set(&[("dir", dir)]));
        let what = format!("the file system of {dir}");
        let read = |text: &str| {
            let (kind, mount) = text.strip_suffix('\n')?.split_once(' ')?;
            let mount = mount.trim();
            let fine = !kind.is_empty() && mount.starts_with('/') && !mount.contains('\n');
            fine.then(|| {
                let place = Place::told(Path::new(dir), Path::new(mount), kind);
                (place.goes_along(), kind.to_owned())
            })
        };
        self.ask(node, &what, &script, read).await
    }

    /// Its clock, in seconds since 1970, to be compared with another's: the name of the other makes the
    /// question its own, so that a replay does not mix up what was asked at the same time.
    pub(super) async fn clock(&self, node: &NodeName, other: &NodeName) -> PortResult<i64> {
        let read = |text: &str| text.strip_suffix('\n')?.parse().ok();
        let script = format!("{}date +%s", set(&[("other", other.as_str())]));
        self.ask(node, "the time", &script, read).await
    }
}

/// `notAfter=Nov  3 12:00:00 2036 GMT`, as openssl prints it.
fn moment(text: &str) -> Read<Timestamp> {
    let (_, date) = text.split_once('=')?;
    let words: Vec<&str> = date.split_whitespace().collect();
    let [month, day, time, year, "GMT"] = words.as_slice() else {
        return None;
    };
    let plain = format!("{year} {month} {day:0>2} {time}");
    let civil = DateTime::strptime("%Y %b %d %H:%M:%S", plain).ok()?;
    Some(civil.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

fn read_certificate(text: &str) -> Read<Option<Certificate>> {
    if text == "absent\n" {
        return Some(None);
    }
    let [from, to, subject, issuer] = text.lines().collect::<Vec<_>>().try_into().ok()?;
    let hash = |line: &str, key| {
        let hash = line.strip_prefix(key)?;
        let fine = !hash.is_empty() && hash.bytes().all(|b| b.is_ascii_hexdigit());
        fine.then(|| hash.to_owned())
    };
    Some(Some(Certificate {
        from: moment(from.strip_prefix("from ")?)?,
        to: moment(to.strip_prefix("to ")?)?,
        subject: hash(subject, "subject ")?,
        issuer: hash(issuer, "issuer ")?,
    }))
}

fn read_backups(dir: &AbsPath, text: &str) -> Read<Option<Vec<Backup>>> {
    if text == "absent\n" {
        return Some(None);
    }
    let rows = text.strip_suffix("end\n")?;
    let mut found = Vec::new();
    for row in rows.lines() {
        let (time, rest) = row.split_once(' ')?;
        let (size, name) = rest.split_once(' ')?;
        let seconds: i64 = time.split('.').next()?.parse().ok()?;
        let backup = Backup {
            // A name that no plan could carry is no backup of ours.
            path: match AbsPath::new(format!("{dir}/{name}")) {
                Ok(path) => path,
                Err(_) => continue,
            },
            size_bytes: size.parse().ok()?,
            modified: Timestamp::from_second(seconds).ok()?,
        };
        found.push(backup);
    }
    Some(Some(found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_openssl_prints() {
        let text = "from notBefore=Nov  3 01:02:03 2026 GMT\nto notAfter=Nov 30 12:00:00 2036 GMT\nsubject 1a2b\nissuer 99ff\n";
        let found = read_certificate(text).unwrap().unwrap();
        assert_eq!(found.from.to_string(), "2026-11-03T01:02:03Z");
        assert_eq!(found.to.to_string(), "2036-11-30T12:00:00Z");
        assert_eq!((&*found.subject, &*found.issuer), ("1a2b", "99ff"));
        assert_eq!(read_certificate("absent\n"), Some(None));
        for bad in [
            "",
            "from x\n",
            "from notBefore=Nov 99 1 2026 GMT\nto \nsubject \nissuer \n",
        ] {
            assert_eq!(read_certificate(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_lies_in_a_directory() {
        let dir = AbsPath::new("/b").unwrap();
        let text = "1790000000.5 32 etcd-1.db\n1780000000.0 8 a b\nend\n";
        let found = read_backups(&dir, text).unwrap().unwrap();
        assert_eq!(found.len(), 1, "a name with a blank cannot be used");
        assert_eq!(found[0].path.as_str(), "/b/etcd-1.db");
        assert_eq!(read_backups(&dir, "absent\n"), Some(None));
        assert_eq!(read_backups(&dir, "1 2 x\n"), None, "cut short");
    }
}
