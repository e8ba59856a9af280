//! What `discover` prints: what it found, and the spec to edit.

use std::fmt::Write as _;

use runbook_core::world::{HeadRole, ObservedMember};

use super::{Found, SNAPSHOTS};
use crate::render::{size, thousands};
use crate::ui::{HEAD, WARN, clean_line, paint};

/// What was found, for people.
pub(super) fn report(found: &Found) -> String {
    let mut page = String::new();
    let head = match found.head {
        HeadRole::Single => "the only head node",
        HeadRole::Active => "the active head node",
        HeadRole::Passive => "the PASSIVE head node",
    };
    writeln!(page, "{}", paint(HEAD, "Found")).ok();
    writeln!(
        page,
        "  head       {head}\n  overlay    {}, spool {}",
        found.overlay, found.spool
    )
    .ok();
    writeln!(
        page,
        "  Bright     {}",
        clean_line(&found.platform.to_string())
    )
    .ok();
    for member in &found.members {
        writeln!(page, "  member     {}", of_member(member)).ok();
    }
    if found.platform.etcd_manage {
        let tool = format!("cm-etcd-manage --kube-cluster {} status", found.cluster);
        writeln!(
            page,
            "  tool       {tool}: while a quorum answers, replacing single members is better"
        )
        .ok();
    }
    if let Some(proof) = &found.snapshot {
        let content = &proof.content;
        writeln!(
            page,
            "  snapshot   {}, {}",
            proof.path,
            size(proof.size_bytes)
        )
        .ok();
        writeln!(
            page,
            "             proven; revision {}, {} keys, {} of them Kubernetes' own",
            content.revision,
            thousands(content.live_keys),
            thousands(content.registry_keys)
        )
        .ok();
    }
    for other in found.snapshots.iter().take(5) {
        let at = other
            .modified
            .map_or_else(String::new, |at| format!("{at:.0}  "));
        writeln!(
            page,
            "  file       {at}{}  {}",
            other.path,
            size(other.size_bytes)
        )
        .ok();
    }
    for problem in &found.problems {
        writeln!(
            page,
            "  {}    {}",
            paint(WARN, "problem"),
            clean_line(problem)
        )
        .ok();
    }
    page
}

fn of_member(member: &ObservedMember) -> String {
    let host = member.host.as_ref().map_or_else(
        || "does not answer ssh".to_owned(),
        |host| {
            let tools = host.tools.as_ref();
            let etcd = tools.map_or_else(
                || "no etcd module".into(),
                |t| format!("etcd {} ({})", t.etcd, t.module),
            );
            format!("spool: {}, {etcd}", host.spool)
        },
    );
    let device = &member.device;
    let datanode = if device.effective_datanode() {
        "yes"
    } else {
        "no"
    };
    clean_line(&format!(
        "{} ({}), {}, datanode {datanode}, {host}",
        member.node,
        member.client_url,
        device.status_with_flags()
    ))
}

/// The spec. Everything in it was parsed into names of a narrow alphabet, so nothing needs quoting.
pub(super) fn spec(found: &Found) -> String {
    let mut page = String::from(
        "# What to restore, and onto which nodes. Lines with EDIT need your decision.\nformat: 1\n",
    );
    writeln!(
        page,
        "# The label runs are filed under.\ncluster: {}",
        found.cluster
    )
    .ok();
    writeln!(page, "overlay: {}", found.overlay).ok();
    match &found.snapshot {
        Some(proof) => {
            page.push_str("# EDIT: proven just now; is it the one you want? Everything written after it is lost.\n");
            writeln!(page, "snapshot: {}", proof.path).ok();
        }
        None => {
            writeln!(
                page,
                "# EDIT: no proven snapshot was found.\nsnapshot: {SNAPSHOTS}/NAME-THE-FILE"
            )
            .ok();
        }
    }
    page.push_str("# EDIT: `reprovision: yes` WIPES the node's disk and provisions it anew; say it where the disk was\n# lost or replaced. `no` keeps the old data aside, as the way back.\nmembers:\n");
    for member in &found.members {
        writeln!(page, "  - node: {}", member.node).ok();
        let note = match (member.device.head_node, &member.host) {
            (true, _) => "   # a head node: never yes",
            (false, None) => "   # EDIT: it does not answer; power it on, or say yes",
            (false, Some(_)) => "",
        };
        writeln!(page, "    reprovision: no{note}").ok();
    }
    tools(&mut page, found);
    page.push_str(TAIL);
    page
}

fn tools(page: &mut String, found: &Found) {
    let tools = found
        .members
        .iter()
        .find_map(|m| m.host.as_ref()?.tools.as_ref().map(|t| (m, t)));
    match tools {
        Some((member, tools)) => {
            writeln!(
                page,
                "# As {} has it.\nmodule: {}\netcd_version: {}",
                member.node, tools.module, tools.etcd
            )
            .ok();
        }
        None => match found.head_modules.as_slice() {
            [only] => {
                writeln!(page, "# EDIT: no node could tell; this is the one etcd module of the head node. Its release must be the nodes'.\nmodule: {only}").ok();
            }
            several => {
                page.push_str("# EDIT: no node could tell which module has etcd's tools, and which release it is.\n");
                let taken_on = found
                    .snapshot
                    .as_ref()
                    .and_then(|s| s.content.cluster_version.as_ref());
                if let Some(version) = taken_on {
                    writeln!(
                        page,
                        "# The snapshot's cluster was at version {}.",
                        clean_line(version)
                    )
                    .ok();
                }
                for module in several {
                    writeln!(page, "# module: {module}").ok();
                }
                page.push_str("# module: etcd/kube-default/3.4.4\n");
            }
        },
    }
}

const TAIL: &str = "\
# What follows are the defaults; take the # away to change one.
# service: etcd
# owner: etcd:etcd
# full_install: datanode_no           # as the article has it; confirm: datanode stays, the run answers the installers
# revision_bump: auto
# datanode_again: after_reassign      # as the article has it; after_reprovision: before anything is restored
# parallel: 3
# deadlines: {quick_s: 60, stop_s: 120, reprovision_s: 3600, restore_s: 1800, start_s: 600, poll_s: 5}
# Refusals to lift, each with a reason that the plan and the journal keep:
# allow:
#   quorum: \"why a quorum that still answers may be stopped\"
#   category_datanode: {default: \"why datanode of this category may be lowered meanwhile\"}
";
