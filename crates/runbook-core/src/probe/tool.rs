//! What etcd's own tools are asked: the proof of the snapshot, and how far its restore has come.

use super::Finding::{self, Holds, NotYet, Stopped, Underway};
use super::never;
use crate::digest::Digest;
use crate::names::{AbsPath, ModuleName, NodeName, RunId};
use crate::ports::{PortResult, Ports};
use crate::version::{EtcdVersion, RestoreTool};
use crate::world::{Restored, SpoolState, Staged};

pub(super) async fn snapshot_proven(
    ports: &Ports,
    path: &AbsPath,
    sha256: Digest,
) -> PortResult<Finding> {
    let proof = ports.tool.prove(path, None).await?;
    Ok(if proof.sha256 == sha256 {
        Holds(format!("{path} is sound, content {}", proof.sha256))
    } else {
        never(
            "snapshot-changed",
            format!(
                "{path} is sound, but it is another snapshot: {}",
                proof.sha256
            ),
            "nothing has been destroyed by this run since it was proven, but do not reboot the nodes that `restore-runbook status` names. Put the proven file back and resume; or `undo` this run, and plan anew with the file that is there",
        )
    })
}

pub(super) async fn tools_match(
    ports: &Ports,
    node: &NodeName,
    module: &ModuleName,
    version: EtcdVersion,
) -> PortResult<Finding> {
    let tools = ports.tool.tools(node, Some(module.clone())).await?;
    let restore = match version.restore_tool() {
        RestoreTool::Etcdctl => tools.etcdctl,
        RestoreTool::Etcdutl => tools.etcdutl,
    };
    Ok(same_release(node, version, tools.etcd, restore))
}

fn same_release(
    node: &NodeName,
    version: EtcdVersion,
    etcd: EtcdVersion,
    restore: Option<EtcdVersion>,
) -> Finding {
    let program = version.restore_tool().program();
    let Some(restore) = restore else {
        return never(
            "tool-missing",
            format!("the module gives no {program} on {node}"),
            "etcd 3.4 restores with etcdctl, 3.5 and later with etcdutl; install it in the software image",
        );
    };
    let seen = format!("{node} has etcd {etcd} and {program} {restore}");
    if etcd.same_minor(version) && restore.same_minor(version) {
        // Both flags of the revision bump depend on the patch release as well.
        if restore.has_revision_bump() == version.has_revision_bump() {
            return Holds(seen);
        }
    }
    never(
        "tool-version",
        format!("{seen}, the plan is for {version}"),
        "restore tool and server must be of the release the plan was made for: mend the image, or plan again",
    )
}

pub(super) async fn staged(
    ports: &Ports,
    node: &NodeName,
    staging: &AbsPath,
    run: RunId,
) -> PortResult<Finding> {
    let staged = ports.tool.staged(node, staging, run).await?;
    Ok(describe_staged(node, staging, staged))
}

fn describe_staged(node: &NodeName, staging: &AbsPath, staged: Staged) -> Finding {
    match staged {
        Staged::Complete(Restored { db, .. }) | Staged::Taken(Restored { db, .. }) => {
            Holds(format!("{staging} on {node} is complete, db {db}"))
        }
        Staged::Running => Underway(format!("the restore on {node} is running")),
        Staged::Nothing => NotYet(format!("nothing is restored on {node}")),
        Staged::Partial => Stopped {
            code: "restore-cut-short",
            seen: format!("the restore on {node} was cut short"),
            hint: "resume: it is begun again in a clean staging directory",
        },
        Staged::Failed(said) => Stopped {
            code: "restore-failed",
            seen: format!("the restore on {node} failed: {said}"),
            hint: "mend what it complains of, then resume: it is begun again in a clean staging directory",
        },
    }
}

pub(super) async fn staged_alike(
    ports: &Ports,
    stagings: &[(NodeName, AbsPath)],
    run: RunId,
) -> PortResult<Finding> {
    let mut first = None;
    for (node, staging) in stagings {
        let content = match ports.tool.staged(node, staging, run).await? {
            Staged::Complete(made) | Staged::Taken(made) => made.content,
            other => return Ok(describe_staged(node, staging, other)),
        };
        let (model, of) = first.get_or_insert_with(|| (content.clone(), node));
        if *model != content {
            return Ok(never(
                "restores-differ",
                format!("member/snap/db holds {model} on {of}, but {content} on {node}"),
                "two nodes restored different data: compare their snapshot and tool, then `abandon` the run and plan anew, which restores every member once more",
            ));
        }
    }
    let content = first.map_or_else(String::new, |(content, _)| content);
    Ok(Holds(format!("member/snap/db holds {content} everywhere")))
}

pub(super) async fn armed(
    ports: &Ports,
    node: &NodeName,
    spool: &AbsPath,
    staging: &AbsPath,
    run: RunId,
) -> PortResult<Finding> {
    let found = ports.nodes.spool(node, spool).await?;
    let staged = ports.tool.staged(node, staging, run).await?;
    let (SpoolState::Data, Staged::Taken(made)) = (&found, &staged) else {
        return Ok(NotYet(format!("{spool} on {node}: {found}")));
    };
    let (db, there) = (made.db, ports.tool.db_digest(node, spool).await?);
    Ok(if there == Some(db) {
        Holds(format!(
            "{spool} on {node} holds the restored tree, db {db}"
        ))
    } else {
        never(
            "armed-data-changed",
            format!("{spool} on {node} holds other data than was restored"),
            "somebody started etcd on this node, or replaced its data: stop it and look before anything else. Resuming does not help where that data is not wanted: `restore-runbook abandon RUN --reason TEXT`, and make a new plan, whose spec says `allow: {guards: {RUN: \"<reason>\"}}`; it restores every member once more",
        )
    })
}
