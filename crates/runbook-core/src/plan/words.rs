//! Actions and checks in words: what a reviewer reads in a plan.

use std::fmt;

use super::action::{Action, ClientEffect, ManagerEffect, NodeEffect, ToolEffect};
use super::check::Check;
use crate::names::NodeName;

/// The imperative one-line title of an action, as a plan prints it.
impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Manager(effect) => effect.fmt(f),
            Self::Node(effect) => effect.fmt(f),
            Self::Tool(ToolEffect::Restore(r)) => {
                write!(f, "restore the snapshot into {}", r.tree())
            }
            Self::Client(ClientEffect::PutCanary { url, .. }) => {
                write!(f, "write the canary key through {url}")
            }
            Self::Client(ClientEffect::DeleteCanary { .. }) => f.write_str("delete the canary key"),
            Self::Own(own) => write!(f, "{} {}", own.kind, own.params),
        }
    }
}

impl fmt::Display for ManagerEffect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnassignRole { overlay, nodes } => {
                write!(f, "take {} out of overlay {overlay}", list(nodes))
            }
            Self::AssignRole { overlay, nodes } => {
                write!(f, "put {} into overlay {overlay}", list(nodes))
            }
            Self::SetDatanode { node, value } => {
                write!(f, "set datanode of {node} to {}", yes_no(*value))
            }
            Self::SetCategoryDatanode { category, value } => {
                write!(
                    f,
                    "set datanode of category {category} to {}",
                    yes_no(*value)
                )
            }
            Self::SetNextInstallMode {
                node,
                mode: Some(mode),
            } => {
                write!(f, "set nextinstallmode of {node} to {mode}")
            }
            Self::SetNextInstallMode { node, mode: None } => {
                write!(f, "clear nextinstallmode of {node}")
            }
            Self::Reboot { node } => write!(f, "reboot {node}"),
            Self::PowerOn { node } => write!(f, "power on {node}"),
            Self::ConfirmInstall { node } => {
                write!(f, "let the installer of {node} install FULL")
            }
        }
    }
}

impl fmt::Display for NodeEffect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StopService { service, .. } => write!(f, "stop {service}"),
            Self::SetAside { spool, aside, .. } => {
                write!(f, "move {spool} to {aside}, guard {spool}")
            }
            Self::PlaceGuard {
                spool,
                instead_of: Some(over),
                ..
            } => write!(f, "guard {spool}, in place of the guard of run {over}"),
            Self::PlaceGuard { spool, .. } => write!(f, "guard {spool}"),
            Self::OwnTree { tree, owner, .. } => write!(f, "give {tree} to {owner}, mode 0700"),
            Self::Arm { staged, spool, .. } => {
                write!(f, "replace the guard at {spool} by {staged}")
            }
            Self::ClearFailures { service, .. } => {
                write!(f, "clear what systemd holds against {service}")
            }
            Self::Disarm { staged, spool, .. } => {
                write!(f, "move {spool} back to {staged}, guard {spool}")
            }
            Self::ReturnSpool { spool, aside, .. } => {
                write!(f, "replace the guard at {spool} by {aside}")
            }
        }
    }
}

/// The check in words, as a plan prints it.
impl fmt::Display for Check {
    #[expect(
        clippy::too_many_lines,
        reason = "one arm a check: a list, however long"
    )]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HeadIsActive => f.write_str("this head node is the active one"),
            Self::SnapshotProven { path, sha256 } => {
                write!(f, "{path} is sound and its content is {sha256}")
            }
            Self::SnapshotSeen {
                node,
                path,
                must_survive_wipe,
                ..
            } => {
                write!(f, "{node} sees the same snapshot at {path}")?;
                if *must_survive_wipe {
                    f.write_str(", on storage that its provisioning does not wipe")?;
                }
                Ok(())
            }
            Self::CredentialsGood => f.write_str("the client certificate towards etcd is valid"),
            Self::QuorumLost { allowed: None, .. } => {
                f.write_str("no quorum of the old cluster answers, and those of its members that may be alive are too few for one")
            }
            Self::QuorumLost {
                allowed: Some(reason),
                ..
            } => {
                write!(
                    f,
                    "no quorum of the old cluster answers or may be alive, or one is and it was allowed: {reason}"
                )
            }
            Self::RoomFor {
                node,
                dir,
                disk_bytes,
                memory_bytes,
            } => {
                write!(
                    f,
                    "{node} has at least {} MiB free below {dir} and {} MiB of memory",
                    disk_bytes.div_ceil(1 << 20),
                    memory_bytes.div_ceil(1 << 20)
                )
            }
            Self::ToolsMatch {
                node,
                module,
                version,
            } => write!(
                f,
                "module {module} on {node} gives etcd {}.{} and a restore tool of the same minor release",
                version.major, version.minor
            ),
            Self::RoleUnchanged {
                overlay,
                spool,
                nodes,
            } => write!(
                f,
                "the role of overlay {overlay} still names {spool}, and reaches no node but {}",
                list(nodes)
            ),
            Self::RoleAbsent { nodes } => {
                write!(
                    f,
                    "no overlay, category or node gives Etcd::Host to {}",
                    list(nodes)
                )
            }
            Self::RoleAssigned { overlay, nodes } => {
                write!(f, "overlay {overlay} lists {}", list(nodes))
            }
            Self::ServiceStopped { node, service } => {
                write!(f, "{service} on {node} is inactive")
            }
            Self::ServiceStartable { node, service } => {
                write!(
                    f,
                    "systemd on {node} holds no failed start against {service}"
                )
            }
            Self::PortsClosed { node, ports } => {
                let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
                let ports = ports.join(" and ");
                write!(f, "nothing listens on ports {ports} of {node}")
            }
            Self::PathPresent { node, path } => write!(f, "{path} is there on {node}"),
            Self::PathAbsent { node, path } => write!(f, "{path} is gone on {node}"),
            Self::Guarded { node, spool, .. } => {
                write!(f, "this run's guard stands at {spool} on {node}")
            }
            Self::NoDataAt { node, spool } => {
                write!(f, "nobody has put etcd data back at {spool} on {node}")
            }
            Self::SpoolHoldsData { node, spool } => write!(f, "{spool} on {node} holds etcd data"),
            Self::DatanodeIs { node, value } => {
                write!(f, "datanode of {node} reads {}", yes_no(*value))
            }
            Self::CategoryDatanodeIs { category, value } => {
                write!(
                    f,
                    "datanode of category {category} reads {}",
                    yes_no(*value)
                )
            }
            Self::DatanodeEffective { node, value: true } => {
                write!(f, "{node} or its category is a data node")
            }
            Self::DatanodeEffective { node, value: false } => {
                write!(f, "neither {node} nor its category is a data node")
            }
            Self::NextInstallModeIs {
                node,
                mode: Some(mode),
            } => {
                write!(f, "nextinstallmode of {node} reads {mode}")
            }
            Self::NextInstallModeIs { node, mode: None } | Self::NextBootIsOrdinary { node } => {
                write!(f, "nextinstallmode of {node} is empty")
            }
            Self::Rebooted { node, .. } => {
                write!(f, "{node} is UP, answers ssh, and has a new boot id")
            }
            Self::InstallerAsks { node } => {
                write!(
                    f,
                    "the installer of {node} asks for a FULL install, and for nothing else"
                )
            }
            Self::AtInstaller { node, .. } => {
                write!(
                    f,
                    "the installer of {node} asks for a FULL install, or is through"
                )
            }
            Self::Provisioned { node } => {
                write!(
                    f,
                    "{node} is through with its installer, UP, and answers ssh"
                )
            }
            Self::OutOfInstaller { node, sent_from } => {
                write!(f, "{node} is out of its installer, UP, and answers ssh")?;
                match sent_from {
                    Some(_) => f.write_str(", after its reboot"),
                    None => Ok(()),
                }
            }
            Self::NothingClearedAtBoot { node } => {
                write!(f, "blockdevicesclearedonnextboot of {node} is empty")
            }
            Self::DiskIsFresh { node, spool, aside } => {
                write!(
                    f,
                    "no guard and no data of etcd at {spool}, and no {aside}, is on the disk of {node}"
                )
            }
            Self::Staged { node, staging, .. } => {
                write!(f, "{staging} on {node} holds a complete, synced tree")
            }
            Self::StagedAlike { .. } => {
                f.write_str("member/snap/db holds the same on every member")
            }
            Self::TreeOwned { node, tree, owner } => {
                write!(f, "all of {tree} on {node} belongs to {owner}, mode 0700")
            }
            Self::Armed { node, spool, .. } => {
                write!(f, "{spool} on {node} holds the restored tree")
            }
            Self::Identity {
                url,
                member,
                cluster,
                ..
            } => write!(
                f,
                "{url} is member {member} of cluster {cluster} and lists exactly the planned members"
            ),
            Self::OneLeader { .. } => {
                f.write_str("all members follow one leader and report no error or alarm")
            }
            Self::HashesAlike { predicted, .. } => {
                write!(
                    f,
                    "HashKV at revision {} is {} on every member, as the snapshot's proof predicts",
                    predicted.revision, predicted.hash
                )
            }
            Self::RevisionAtLeast { url, revision } => {
                write!(f, "{url} is at revision {revision} or later")
            }
            Self::CountAtLeast {
                url,
                prefix,
                keys,
                revision,
            } => {
                let what = if prefix.is_empty() { "all" } else { prefix };
                write!(
                    f,
                    "{url} counts at least {keys} keys ({what}) at revision {revision}"
                )
            }
            Self::KeyReads {
                url,
                value: Some(_),
                ..
            } => {
                write!(f, "{url} reads the canary key back")
            }
            Self::KeyReads {
                url, value: None, ..
            } => {
                write!(f, "{url} has no canary key any more")
            }
            Self::ApiServerTold { node, .. } => write!(
                f,
                "--etcd-servers of the API server on {node} is not empty, and names members"
            ),
            Self::Own { kind, params } => write!(f, "{kind} {params} is done"),
        }
    }
}

pub(crate) const fn yes_no(value: bool) -> &'static str {
    if value { "yes" } else { "no" }
}

pub(crate) fn list(nodes: &[NodeName]) -> String {
    nodes
        .iter()
        .map(NodeName::as_str)
        .collect::<Vec<_>>()
        .join(", ")
}
