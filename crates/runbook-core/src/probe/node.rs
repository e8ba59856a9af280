//! What a node is asked: its service, its ports, its disk, and what of the snapshot it sees.

use super::Finding::{self, Holds, NotYet};
use super::{holds_if, never};
use crate::digest::Digest;
use crate::names::{AbsPath, EtcdUrl, NodeName, Owner, RunId, ServiceName};
use crate::ports::{OLD_DATA_GONE, PortResult, Ports};
use crate::world::{InstallMode, ServiceState, SpoolState};

const DISK_NOT_WIPED: &str = "disk-not-wiped";

/// Free inodes: a restored tree has a handful of entries, and this leaves room.
const INODES: u64 = 64;

pub(super) async fn snapshot_seen(
    ports: &Ports,
    node: &NodeName,
    path: &AbsPath,
    (trailer, size_bytes): (Option<Digest>, u64),
    spool: &AbsPath,
    must_survive_wipe: bool,
) -> PortResult<Finding> {
    let Some(seen) = ports.nodes.snapshot(node, path, spool).await? else {
        return Ok(never(
            "snapshot-not-seen",
            format!("{path} is not there on {node}"),
            "mount the shared storage there, or copy the snapshot to the same path, then resume",
        ));
    };
    let other = trailer.is_some_and(|trailer| seen.trailer != trailer);
    if other || seen.size_bytes != size_bytes {
        return Ok(never(
            "snapshot-differs",
            format!(
                "{path} on {node} is another file ({} bytes, trailer {})",
                seen.size_bytes, seen.trailer
            ),
            "every node must see the very file that was proven on the head node",
        ));
    }
    if must_survive_wipe && seen.on_wiped_disk {
        return Ok(never(
            "snapshot-on-wiped-disk",
            format!("{path} on {node} lies on the disk that is going to be wiped"),
            "put the snapshot on shared storage, as the article does with /cm/shared",
        ));
    }
    Ok(Holds(format!("{node} sees the snapshot")))
}

pub(super) async fn room_for(
    ports: &Ports,
    node: &NodeName,
    dir: &AbsPath,
    disk_bytes: u64,
    memory_bytes: u64,
) -> PortResult<Finding> {
    let room = ports.nodes.room(node, dir).await?;
    let seen = format!(
        "{node} has {} bytes and {} inodes free below {dir}, {} bytes of memory",
        room.disk_bytes, room.inodes, room.memory_bytes
    );
    let enough =
        room.disk_bytes >= disk_bytes && room.memory_bytes >= memory_bytes && room.inodes >= INODES;
    Ok(if enough {
        Holds(seen)
    } else {
        never("room", seen, "make room on the node, then resume")
    })
}

pub(super) async fn service_stopped(
    ports: &Ports,
    node: &NodeName,
    service: &ServiceName,
) -> PortResult<Finding> {
    Ok(match ports.nodes.service(node, service).await? {
        ServiceState::Active => NotYet(format!("{service} on {node} is active")),
        ServiceState::Inactive | ServiceState::Failed => {
            Holds(format!("{service} on {node} is inactive"))
        }
    })
}

pub(super) async fn service_startable(
    ports: &Ports,
    node: &NodeName,
    service: &ServiceName,
) -> PortResult<Finding> {
    Ok(match ports.nodes.service(node, service).await? {
        ServiceState::Inactive => Holds(format!("{service} on {node} can be started")),
        ServiceState::Failed => NotYet(format!("{service} on {node} has failed before")),
        // Whoever starts it now has nothing held against it; Reassign looks at what comes up.
        ServiceState::Active => Holds(format!("{service} on {node} is starting already")),
    })
}

pub(super) async fn ports_closed(
    ports: &Ports,
    node: &NodeName,
    asked: &[u16],
) -> PortResult<Finding> {
    let open = ports.nodes.listening(node, asked).await?;
    Ok(holds_if(
        open.is_empty(),
        format!("{node} listens on {open:?} of {asked:?}"),
    ))
}

pub(super) async fn path_present(
    ports: &Ports,
    node: &NodeName,
    path: &AbsPath,
) -> PortResult<Finding> {
    Ok(if ports.nodes.exists(node, path).await? {
        Holds(format!("{path} on {node} is there"))
    } else {
        NotYet(format!("{path} on {node} is not there"))
    })
}

pub(super) async fn path_absent(
    ports: &Ports,
    node: &NodeName,
    path: &AbsPath,
) -> PortResult<Finding> {
    Ok(if ports.nodes.exists(node, path).await? {
        NotYet(format!("{path} on {node} is there"))
    } else {
        Holds(format!("{path} on {node} is gone"))
    })
}

pub(super) async fn guarded(
    ports: &Ports,
    node: &NodeName,
    spool: &AbsPath,
    run: RunId,
    instead_of: Option<RunId>,
) -> PortResult<Finding> {
    let found = ports.nodes.spool(node, spool).await?;
    let seen = format!("{spool} on {node}: {found}");
    Ok(match found {
        SpoolState::Guard(holder) if holder == run => Holds(seen),
        SpoolState::Guard(holder) if Some(holder) == instead_of => NotYet(seen),
        SpoolState::Guard(_) => never(
            "guard-of-another-run",
            seen,
            "resume or undo that run first: `restore-runbook status --all`",
        ),
        SpoolState::Absent
        | SpoolState::EmptyDirectory
        | SpoolState::Data
        | SpoolState::MountPoint
        | SpoolState::ForeignDirectory
        | SpoolState::Other => NotYet(seen),
    })
}

pub(super) async fn no_data_at(
    ports: &Ports,
    node: &NodeName,
    spool: &AbsPath,
) -> PortResult<Finding> {
    let found = ports.nodes.spool(node, spool).await?;
    let seen = format!("{spool} on {node}: {found}");
    Ok(match found {
        SpoolState::Data => never(
            "data-put-back",
            seen,
            "this run had moved it away, so somebody wants it, and an etcd may live on it; nothing was wiped. See who did, and whether a quorum answers: then `undo` this run. Otherwise see that etcd is stopped there, move the directory aside by hand (do not delete it), and resume",
        ),
        _ => Holds(seen),
    })
}

pub(super) async fn spool_holds_data(
    ports: &Ports,
    node: &NodeName,
    spool: &AbsPath,
) -> PortResult<Finding> {
    let found = ports.nodes.spool(node, spool).await?;
    Ok(old_data(&found, format!("{spool} on {node}: {found}")))
}

/// The run leaves its guard there, or nothing: an empty directory is of a disk that was wiped, or somebody's.
fn old_data(found: &SpoolState, seen: String) -> Finding {
    if *found == SpoolState::EmptyDirectory {
        return never(
            OLD_DATA_GONE,
            seen,
            "an EMPTY etcd would start there: give the node no role. Where the old data still lies beside it, take the directory away with `rmdir`, which leaves one alone that is not empty, and resume. Where its disk was wiped, `abandon` this undo and then the run, and restore from the snapshot with a new plan",
        );
    }
    holds_if(*found == SpoolState::Data, seen)
}

/// What of etcd lies there is from before the wipe: as long as it is asked for, nobody has the role, and
/// the run has put nothing on the disk since.
pub(super) async fn disk_is_fresh(
    ports: &Ports,
    node: &NodeName,
    spool: &AbsPath,
    aside: &AbsPath,
) -> PortResult<Finding> {
    let found = ports.nodes.spool(node, spool).await?;
    let left = match found {
        SpoolState::Guard(_) | SpoolState::Data => Some(format!("{spool} is {found}")),
        _ if ports.nodes.exists(node, aside).await? => Some(format!("{aside} is there")),
        _ => None,
    };
    let Some(left) = left else {
        return Ok(Holds(format!("the disk of {node} is fresh")));
    };
    let seen = format!("{node} came back with its old disk: {left}");
    Ok(match ports.manager.device(node).await?.next_install_mode {
        Some(InstallMode::Full) => never(
            DISK_NOT_WIPED,
            format!("{seen}, and its nextinstallmode is FULL as before"),
            "no installer was there, or it has failed; most likely the node has booted from its own disk: see /var/log/node-installer on the head node. Have it boot from the network (its boot order, DHCP, its cable; at its console, or `device; power -n NODE reset` in cmsh), see that nextinstallmode is still FULL, and resume at any time after that",
        ),
        _ => never(
            DISK_NOT_WIPED,
            seen,
            "FULL provisioning did not happen: see /var/log/node-installer on the head node, set nextinstallmode FULL, reboot the node, and resume. But look first whether etcd runs there (`systemctl status etcd`): on a disk that IS new it has started EMPTY, since the software image brings its data or has the unit enabled; remove that from the image, and disable the unit, or it comes again",
        ),
    })
}

pub(super) async fn tree_owned(
    ports: &Ports,
    node: &NodeName,
    tree: &AbsPath,
    owner: &Owner,
) -> PortResult<Finding> {
    let state = ports.nodes.tree(node, tree).await?;
    let right = state.owner == owner.as_str() && state.mode == 0o700 && state.strangers == 0;
    Ok(holds_if(
        right,
        format!(
            "{tree} on {node}: {} {:o}, {} entries of others",
            state.owner, state.mode, state.strangers
        ),
    ))
}

/// An API server that is not told of etcd is waited for: whoever writes its options may not have come to
/// it yet. One that cannot be seen is no reason to hold up a restore, and no reason to keep silent.
pub(super) async fn api_server_told(
    ports: &Ports,
    node: &NodeName,
    members: &[(NodeName, EtcdUrl)],
) -> PortResult<Finding> {
    let not_seen = |why: String| Ok(Holds(format!("NOT seen: the API server on {node}: {why}")));
    let told = match ports.nodes.api_server(node).await {
        Ok(Some(told)) => told,
        Ok(None) => return not_seen("there is neither a static pod nor a process of it".into()),
        Err(error) => return not_seen(error.chain()),
    };
    let place = if told.static_pod {
        "its static pod's manifest"
    } else {
        "its command line"
    };
    if told.etcd_servers.is_empty() {
        return Ok(NotYet(format!(
            "--etcd-servers of the API server on {node} is empty in {place}"
        )));
    }
    let servers = told.etcd_servers.join(",");
    let strangers = told.strangers(members);
    if strangers.len() == told.etcd_servers.len() {
        return Ok(NotYet(format!(
            "the API server on {node} is told of {servers} in {place}, and none of these is a member"
        )));
    }
    let mut seen = format!("the API server on {node} is told of {servers}");
    if !strangers.is_empty() {
        seen = format!("NOT all of these are members: {seen}");
    }
    Ok(Holds(seen))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Waiting for it would never end, and `resume` would wait again.
    #[test]
    fn old_data_is_not_waited_for_where_an_empty_directory_stands() {
        let look = |found| old_data(&found, "seen".into());
        let Finding::Never { code, hint, .. } = look(SpoolState::EmptyDirectory) else {
            panic!("it is gone");
        };
        assert_eq!(code, "old-data-gone");
        assert!(hint.contains("`abandon` this undo"), "{hint}");
        assert!(hint.contains("`rmdir`"), "{hint}");
        assert!(matches!(look(SpoolState::Data), Holds(_)));
        assert!(matches!(look(SpoolState::Absent), NotYet(_)));
    }
}
