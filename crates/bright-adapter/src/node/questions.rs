//! Questions to a node: one small script each, and the strict reading of its answer.

use runbook_core::digest::Digest;
use runbook_core::names::{AbsPath, Owner, RunId, ServiceName};
use runbook_core::platform::{ApiServer, MANIFEST};
use runbook_core::rundir::is_network;
use runbook_core::world::{BootId, Room, SeenSnapshot, ServiceState, SpoolState, TreeState};

use super::scripts::{GUARD_MARK, LOOK, set};
use crate::text::shown;

/// What a reader of an answer says when it cannot read it.
pub(crate) type Read<T> = Option<T>;

const SPOOL: &str = r#"
if ! there "$path"; then echo absent
elif [ -L "$path" ]; then echo other
elif [ -d "$path" ]; then
  if mounted "$path"; then echo mounted
  elif empty_dir "$path"; then echo empty
  elif there "$path/member"; then echo data
  else echo foreign; fi
elif [ -f "$path" ]; then
  line=$(head -c 200 -- "$path" | head -n 1)
  case $line in "$mark "*) echo "guard ${line#"$mark "}";; *) echo other;; esac
else echo other; fi"#;

const SNAPSHOT: &str = r#"
if ! there "$path"; then echo absent; exit 0; fi
[ -f "$path" ] || refuse 80 "$path is no file"
near=$spool
until there "$near"; do near=${near%/*}; near=${near:-/}; done
stat -L -c 'size %s' -- "$path"
echo "trailer $(tail -c 32 -- "$path" | od -An -v -tx1 | tr -d ' \n')"
echo "disks $(stat -L -c %d -- "$path") $(stat -L -c %d -- "$near") $(stat -c %d -- /)"
# The last mount on a mount point is the one that is seen. Behind the dash: type, source, options.
point=$(stat -L -c %m -- "$path") mount=
while read -r _ _ _ _ at rest; do
  if [ "$at" = "$point" ]; then mount=${rest#* - }; fi
done </proc/self/mountinfo
source=${mount#* }; source=${source%% *}
if [ -b "$source" ]; then device=here; else device=elsewhere; fi
echo "mount $device ${mount%% *}""#;

/// Far more members than an etcd cluster has.
const MOST_SERVERS: usize = 64;

/// The manifest of a static pod comes first: in that world a process shows only what it was started with.
/// Only the file of this program's name counts as a process of it.
const API_SERVER: &str = r#"
if there "$manifest"; then
  echo manifest
  sed -n 's/.*--etcd-servers=\([^"'"'"' ]*\).*/\1/p' -- "$manifest" | head -n 1
  exit 0
fi
for comm in $(grep -lx kube-apiserver /proc/[0-9]*/comm 2>/dev/null || true); do
  words=$(tr '\0' '\n' 2>/dev/null <"${comm%comm}cmdline") || continue
  echo process
  printf '%s\n' "$words" | sed -n 's/^--etcd-servers=//p' | head -n 1
  exit 0
done
echo none"#;

const OWNER: &str = r#"
if getent passwd -- "$user" >/dev/null && getent group -- "$group" >/dev/null; then echo yes; else echo no; fi"#;

/// File systems on block devices. On one that this node has, FULL provisioning may repartition it,
/// whatever is mounted where (administrator manual 5.4.4).
const ON_DISK: [&str; 6] = ["btrfs", "ext2", "ext3", "ext4", "f2fs", "xfs"];

/// Whether a file system outlives a FULL provisioning of the node. In memory, layered over another, or
/// unknown: not that anybody knows. One of other machines is left alone.
fn survives_wipe(kind: &str, device_is_here: bool) -> bool {
    is_network(kind) || (ON_DISK.contains(&kind) && !device_is_here)
}

const ROOM: &str = r#"
until there "$dir"; do dir=${dir%/*}; dir=${dir:-/}; done
df --output=avail,iavail,itotal -B1 -- "$dir" | tail -n 1
grep '^MemAvailable:' /proc/meminfo"#;

const TREE: &str = r#"
there "$tree" || refuse 85 "there is nothing at $tree"
stat -c '%U:%G %a' -- "$tree"
user=$(stat -c %u -- "$tree"); group=$(stat -c %g -- "$tree")
strangers=$(find "$tree" '(' ! -uid "$user" -o ! -gid "$group" ')' -printf x)
echo "${#strangers}""#;

/// Listening sockets only (state 0A): a busy node has thousands of others. No match is status 1.
const LISTENING: &str = r#"for table in /proc/net/tcp /proc/net/tcp6; do
  [ ! -e "$table" ] || grep -E '^ *[0-9]+: [0-9A-F]+:[0-9A-F]{4} [0-9A-F]+:[0-9A-F]{4} 0A ' "$table" || [ $? -eq 1 ]
done
echo end"#;

pub(super) const BOOT_ID: &str = "cat /proc/sys/kernel/random/boot_id";

pub(super) fn spool(path: &AbsPath) -> String {
    let values = [("path", path.as_str()), ("mark", GUARD_MARK)];
    format!("{}{LOOK}{SPOOL}", set(&values))
}

pub(super) fn exists(path: &AbsPath) -> String {
    let values = set(&[("path", path.as_str())]);
    format!("{values}{LOOK}\nif there \"$path\"; then echo yes; else echo no; fi")
}

/// Without `--value`, which the oldest systemd of a supported Bright does not know.
pub(super) fn service(service: &ServiceName) -> String {
    let values = set(&[("unit", service.as_str())]);
    format!("{values}systemctl show -p LoadState -p ActiveState -- \"$unit\"")
}

pub(super) fn api_server() -> String {
    api_server_of(MANIFEST)
}

fn api_server_of(manifest: &str) -> String {
    format!("{}{LOOK}{API_SERVER}", set(&[("manifest", manifest)]))
}

pub(super) fn read_api_server(text: &str) -> Read<Option<ApiServer>> {
    let mut lines = text.lines();
    let static_pod = match lines.next()? {
        "manifest" => true,
        "process" => false,
        "none" => return Some(None),
        _ => return None,
    };
    let servers = lines.next().unwrap_or_default().split(',').map(str::trim);
    let servers = servers.filter(|server| !server.is_empty()).map(shown);
    Some(Some(ApiServer {
        static_pod,
        etcd_servers: servers.take(MOST_SERVERS).collect(),
    }))
}

pub(super) fn owner(owner: &Owner) -> String {
    let (user, group) = owner.as_str().split_once(':').unwrap_or_default();
    format!("{}{OWNER}", set(&[("user", user), ("group", group)]))
}

pub(super) fn listening() -> String {
    LISTENING.to_owned()
}

pub(super) fn snapshot(path: &AbsPath, spool: &AbsPath) -> String {
    let values = [("path", path.as_str()), ("spool", spool.as_str())];
    format!("{}{LOOK}{SNAPSHOT}", set(&values))
}

pub(super) fn room(dir: &AbsPath) -> String {
    format!("{}{LOOK}{ROOM}", set(&[("dir", dir.as_str())]))
}

pub(super) fn tree(tree: &AbsPath) -> String {
    format!("{}{LOOK}{TREE}", set(&[("tree", tree.as_str())]))
}

pub(super) fn read_boot_id(text: &str) -> Read<BootId> {
    let id = text.trim_end_matches('\n');
    let fine = id.len() == 36 && id.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    fine.then(|| BootId(id.to_owned()))
}

pub(super) fn read_spool(text: &str) -> Read<SpoolState> {
    Some(match text.strip_suffix('\n')? {
        "absent" => SpoolState::Absent,
        "empty" => SpoolState::EmptyDirectory,
        "data" => SpoolState::Data,
        "foreign" => SpoolState::ForeignDirectory,
        "mounted" => SpoolState::MountPoint,
        "other" => SpoolState::Other,
        // A file that begins as a guard and names no run is nobody's guard.
        guard => match RunId::parse(guard.strip_prefix("guard ")?) {
            Ok(run) if guard == format!("guard {run}") => SpoolState::Guard(run),
            _ => SpoolState::Other,
        },
    })
}

pub(super) fn read_exists(text: &str) -> Read<bool> {
    match text {
        "yes\n" => Some(true),
        "no\n" => Some(false),
        _ => None,
    }
}

pub(super) fn read_service(text: &str) -> Read<ServiceState> {
    let value = |key: &str| {
        let mut found = text.lines().filter_map(|line| line.strip_prefix(key));
        found.next().filter(|_| found.next().is_none())
    };
    value("LoadState=")?;
    match value("ActiveState=")? {
        "inactive" => Some(ServiceState::Inactive),
        "failed" => Some(ServiceState::Failed),
        "active" | "activating" | "deactivating" | "reloading" | "refreshing" | "maintenance" => {
            Some(ServiceState::Active)
        }
        _ => None,
    }
}

/// `systemctl show` answers for a unit that is nowhere, too, and ends with 0.
pub(super) fn read_known_service(text: &str) -> Read<bool> {
    read_service(text)?;
    Some(!text.lines().any(|line| line == "LoadState=not-found"))
}

/// The ports of `/proc/net/tcp` and `tcp6`, in hexadecimal behind the local address.
pub(super) fn read_listening(text: &str) -> Read<Vec<u16>> {
    let rows = text.strip_suffix("end\n")?;
    rows.lines()
        .map(|line| {
            let local = line.split_whitespace().nth(1)?;
            u16::from_str_radix(local.rsplit_once(':')?.1, 16).ok()
        })
        .collect()
}

pub(super) fn read_snapshot(text: &str) -> Read<Option<SeenSnapshot>> {
    if text == "absent\n" {
        return Some(None);
    }
    let [size, trailer, disks, mount] = text.lines().collect::<Vec<_>>().try_into().ok()?;
    let disks: Vec<u64> = disks
        .strip_prefix("disks ")?
        .split(' ')
        .map(|disk| disk.parse().ok())
        .collect::<Option<_>>()?;
    let [own, spool, root] = disks.try_into().ok()?;
    let (device, kind) = mount.strip_prefix("mount ")?.split_once(' ')?;
    let device_is_here = match device {
        "here" => true,
        "elsewhere" => false,
        _ => return None,
    };
    Some(Some(SeenSnapshot {
        size_bytes: size.strip_prefix("size ")?.parse().ok()?,
        trailer: digest(trailer.strip_prefix("trailer ")?)?,
        on_wiped_disk: own == spool || own == root || !survives_wipe(kind, device_is_here),
    }))
}

/// A file under 32 bytes has no trailer; all zeroes match no snapshot.
fn digest(hex: &str) -> Option<Digest> {
    if hex.len() < 64 && hex.bytes().all(|b| b.is_ascii_hexdigit()) {
        return super::digest_of_hex(&"0".repeat(64));
    }
    super::digest_of_hex(hex)
}

pub(super) fn read_room(text: &str) -> Read<Room> {
    let [disk, memory] = text.lines().collect::<Vec<_>>().try_into().ok()?;
    let [bytes, free, total] = disk
        .split_whitespace()
        .collect::<Vec<_>>()
        .try_into()
        .ok()?;
    let memory = memory.strip_prefix("MemAvailable:")?.trim();
    let kib: u64 = memory.strip_suffix("kB")?.trim().parse().ok()?;
    // Some filesystems (btrfs, NFS) count no inodes: they do not run out of them.
    let inodes = if matches!(total, "0" | "-") {
        u64::MAX
    } else {
        free.parse().ok()?
    };
    Some(Room {
        disk_bytes: bytes.parse().ok()?,
        inodes,
        memory_bytes: kib.checked_mul(1024)?,
    })
}

pub(super) fn read_tree(text: &str) -> Read<TreeState> {
    let [top, strangers] = text.lines().collect::<Vec<_>>().try_into().ok()?;
    let (owner, mode) = top.split_once(' ')?;
    // A user's and a group's name, of at most 32 bytes each.
    let fine = |c: char| c.is_ascii_graphic();
    if owner.len() > 80 || !owner.chars().all(fine) {
        return None;
    }
    Some(TreeState {
        owner: owner.to_owned(),
        mode: u32::from_str_radix(mode, 8).ok()?,
        strangers: strangers.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_outlives_a_full_provisioning() {
        let on_wiped = |disks: &str, mount: &str| {
            let trailer = "0".repeat(64);
            let text = format!("size 9\ntrailer {trailer}\ndisks {disks}\nmount {mount}\n");
            read_snapshot(&text).map(|seen| seen.unwrap().on_wiped_disk)
        };
        let other_disk = "40 66305 66305";
        for kind in [
            "nfs",
            "nfs4",
            "lustre",
            "gpfs",
            "beegfs",
            "ceph",
            "cifs",
            "9p",
            "fuse.sshfs",
        ] {
            assert_eq!(
                on_wiped(other_disk, &format!("elsewhere {kind}")),
                Some(false),
                "{kind}"
            );
        }
        for kind in ["tmpfs", "ramfs", "overlay", "zfs", "fuseblk", "newfs", ""] {
            assert_eq!(
                on_wiped(other_disk, &format!("elsewhere {kind}")),
                Some(true),
                "{kind}"
            );
        }
        assert_eq!(
            on_wiped(other_disk, "here ext4"),
            Some(true),
            "another partition"
        );
        assert_eq!(
            on_wiped(other_disk, "elsewhere ext4"),
            Some(false),
            "of another machine"
        );
        assert_eq!(
            on_wiped("66305 66305 66305", "elsewhere nfs"),
            Some(true),
            "the spool's"
        );
        assert_eq!(on_wiped(other_disk, "ext4"), None);
    }

    #[test]
    fn a_unit_that_is_nowhere_is_not_known() {
        let known =
            |load: &str| read_known_service(&format!("LoadState={load}\nActiveState=inactive\n"));
        assert_eq!(known("loaded"), Some(true));
        assert_eq!(known("masked"), Some(true));
        assert_eq!(known("not-found"), Some(false));
        assert_eq!(read_known_service("nonsense"), None);
    }

    /// What the script makes of a manifest.
    fn told(manifest: &str) -> Read<ApiServer> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kube-apiserver.yaml");
        std::fs::write(&path, manifest).unwrap();
        let done = std::process::Command::new("sh")
            .args(["-euc", &api_server_of(path.to_str().unwrap())])
            .output()
            .unwrap();
        assert!(done.status.success(), "{done:?}");
        read_api_server(&String::from_utf8(done.stdout).unwrap()).unwrap()
    }

    #[test]
    fn an_api_server_says_what_it_was_told_of_etcd() {
        let with = |line: &str| {
            let text = format!(
                "    - --etcd-servers-overrides=/events#https://x:1\n{line}\n    - --v=2\n"
            );
            told(&text).unwrap()
        };
        let two = ["https://10.141.0.1:2379", "https://10.141.0.2:2379"];
        for line in [
            "    - --etcd-servers=https://10.141.0.1:2379,https://10.141.0.2:2379",
            "    - \"--etcd-servers=https://10.141.0.1:2379,https://10.141.0.2:2379\"",
        ] {
            assert_eq!(with(line).etcd_servers, two);
            assert!(with(line).static_pod);
        }
        for line in ["    - --etcd-servers=", "    - --etcd-servers=\"\"", ""] {
            assert!(with(line).etcd_servers.is_empty(), "{line}");
        }
        assert_eq!(read_api_server("none\n"), Some(None));
        assert_eq!(
            read_api_server("process\n").unwrap().unwrap().etcd_servers,
            [""; 0]
        );
        assert_eq!(read_api_server("motd of the day\n"), None);
        assert_eq!(read_api_server(""), None);
    }
}
