//! From facts to answers: whether a check holds.
//!
//! The only place that decides what a fact means. An unclear world is never read as a good one: what
//! cannot be seen is [`Finding::Blind`], and what can no longer come true is [`Finding::Never`].

use std::collections::BTreeSet;

use crate::error::{AdapterError, Certainty};
use crate::identity::{ARTICLE_CLUSTER_ID, ClusterId, MemberId};
use crate::journal::Baseline;
use crate::names::{AbsPath, EtcdUrl, MemberName, NodeName, OverlayName, RunId};
use crate::plan::{Check, list, yes_no};
use crate::ports::{PortResult, Ports};
use crate::version::EtcdVersion;
use crate::world::{DeviceStatus, HeadRole, RoleSource, ServiceState, SpoolState, Staged};

/// The answer to a check.
#[derive(Debug)]
pub enum Finding {
    /// It holds; what was seen.
    Holds(String),
    /// It does not hold; what was seen.
    NotYet(String),
    /// It does not hold, but the effect has begun: wait, and do not act again.
    Underway(String),
    /// It does not hold: the effect was begun and ended without success. Acting again may help,
    /// waiting does not.
    Stopped {
        /// The stable error code.
        code: &'static str,
        /// What was seen.
        seen: String,
        /// What to do next.
        hint: &'static str,
    },
    /// It does not hold and never will by waiting: something else has to be done.
    Never {
        /// The stable error code.
        code: &'static str,
        /// What was seen.
        seen: String,
        /// What to do next.
        hint: &'static str,
    },
    /// It cannot be seen.
    Blind(AdapterError),
}

use Finding::{Blind, Holds, Never, NotYet, Stopped, Underway};

impl Finding {
    /// What was seen, in one line.
    pub fn seen(&self) -> String {
        match self {
            Holds(seen)
            | NotYet(seen)
            | Underway(seen)
            | Stopped { seen, .. }
            | Never { seen, .. } => seen.clone(),
            Blind(error) => format!("cannot be seen: {}", error.chain()),
        }
    }
}

/// Asks the checks in order; the answer is the first one that does not hold, or that all do.
///
/// `before` is the world right before the unit's first action; none when there has been no intent.
pub async fn all(ports: &Ports, checks: &[Check], before: Option<&Baseline>) -> Finding {
    let mut seen = Vec::with_capacity(checks.len());
    let mut booted = false;
    for check in checks {
        match one(ports, check, before).await {
            Holds(fact) => {
                booted |= matches!(check, Check::Rebooted { .. });
                seen.push(fact);
            }
            // The installer clears `nextinstallmode` in its own time. A node that has booted for this
            // run is not booted again for that: it would be wiped a second time.
            NotYet(fact) if booted => return Underway(fact),
            other => return other,
        }
    }
    Holds(seen.join("; "))
}

/// Asks one check.
pub async fn one(ports: &Ports, check: &Check, before: Option<&Baseline>) -> Finding {
    let answer = match check {
        Check::HeadIsActive
        | Check::RoleUnchanged { .. }
        | Check::RoleAbsent { .. }
        | Check::RoleAssigned { .. }
        | Check::DatanodeIs { .. }
        | Check::CategoryDatanodeIs { .. }
        | Check::DatanodeEffective { .. }
        | Check::NextInstallModeIs { .. }
        | Check::Rebooted { .. } => manager(ports, check, before).await,
        Check::SnapshotSeen { .. }
        | Check::RoomFor { .. }
        | Check::ServiceStopped { .. }
        | Check::ServiceStartable { .. }
        | Check::PortsClosed { .. }
        | Check::PathPresent { .. }
        | Check::PathAbsent { .. }
        | Check::Guarded { .. }
        | Check::SpoolHoldsData { .. }
        | Check::DiskIsFresh { .. }
        | Check::TreeOwned { .. } => node(ports, check).await,
        Check::SnapshotProven { .. }
        | Check::ToolsMatch { .. }
        | Check::Staged { .. }
        | Check::StagedAlike { .. }
        | Check::Armed { .. } => tool(ports, check).await,
        Check::CredentialsGood
        | Check::QuorumLost { .. }
        | Check::Identity { .. }
        | Check::OneLeader { .. }
        | Check::HashesAlike { .. }
        | Check::RevisionAtLeast { .. }
        | Check::CountAtLeast { .. }
        | Check::KeyReads { .. } => client(ports, check).await,
        Check::Own { kind, params } => own(ports, kind, params).await,
    };
    answer.unwrap_or_else(Blind)
}

async fn manager(ports: &Ports, check: &Check, before: Option<&Baseline>) -> PortResult<Finding> {
    let manager = &ports.manager;
    Ok(match check {
        Check::HeadIsActive => match manager.head_role().await? {
            HeadRole::Active => Holds("the active head node".into()),
            HeadRole::Single => Holds("the only head node".into()),
            HeadRole::Passive => Never {
                code: "head-passive",
                seen: "this is the passive head node".into(),
                hint: "log in to the active head node and go on there",
            },
        },
        Check::RoleUnchanged {
            overlay,
            spool,
            nodes,
        } => role_unchanged(ports, overlay, spool, nodes).await?,
        Check::RoleAbsent { nodes } => role_absent(ports, nodes).await?,
        Check::RoleAssigned { overlay, nodes } => role_assigned(ports, overlay, nodes).await?,
        Check::DatanodeIs { node, value } => {
            let read = manager.device(node).await?.datanode;
            equal(
                read == *value,
                format!("datanode of {node} reads {}", yes_no(read)),
            )
        }
        Check::DatanodeEffective { node, value } => {
            let read = manager.device(node).await?.effective_datanode();
            equal(
                read == *value,
                format!("datanode of {node} or its category is {}", yes_no(read)),
            )
        }
        Check::CategoryDatanodeIs { category, value } => {
            let (read, _) = manager.category(category).await?;
            equal(
                read == *value,
                format!("datanode of category {category} reads {}", yes_no(read)),
            )
        }
        Check::NextInstallModeIs { node, mode } => {
            let read = manager.device(node).await?.next_install_mode;
            let shown = read.map_or_else(|| "empty".into(), |mode| mode.to_string());
            equal(
                read == *mode,
                format!("nextinstallmode of {node} is {shown}"),
            )
        }
        Check::Rebooted { node, was_up } => rebooted(ports, node, *was_up, before).await?,
        _ => unreachable!("sorted by `one`"),
    })
}

async fn role_unchanged(
    ports: &Ports,
    overlay: &OverlayName,
    spool: &AbsPath,
    nodes: &[NodeName],
) -> PortResult<Finding> {
    let role = ports
        .manager
        .etcd_role(Some(overlay.clone()), nodes)
        .await?;
    if role.spool != *spool {
        return Ok(never(
            "role-changed",
            format!(
                "the role of overlay {overlay} names the spool {}, the plan is for {spool}",
                role.spool
            ),
            "etcd would start empty in the other place: set the spool back in the Etcd::Host role, then resume",
        ));
    }
    let holds = |holder: &&crate::world::RoleHolder| !holder.sources.is_empty();
    let stranger = role
        .holders
        .iter()
        .filter(holds)
        .find(|holder| !nodes.contains(&holder.node));
    Ok(match stranger {
        None => Holds(format!("overlay {overlay} names {spool}")),
        Some(stranger) => never(
            "role-changed",
            format!(
                "{} has Etcd::Host from {}, and is no member of this plan",
                stranger.node,
                from(&stranger.sources)
            ),
            "an etcd would start empty there: take the role from it, then resume",
        ),
    })
}

async fn role_absent(ports: &Ports, nodes: &[NodeName]) -> PortResult<Finding> {
    let sources = ports.manager.role_sources(nodes).await?;
    let held = nodes
        .iter()
        .zip(&sources)
        .find(|(_, sources)| !sources.is_empty());
    Ok(match held {
        None => Holds(format!("nothing gives Etcd::Host to {}", list(nodes))),
        Some((node, sources)) => NotYet(format!("{node} has Etcd::Host from {}", from(sources))),
    })
}

async fn role_assigned(
    ports: &Ports,
    overlay: &OverlayName,
    nodes: &[NodeName],
) -> PortResult<Finding> {
    let wanted = RoleSource::OverlayNode(overlay.clone());
    let sources = ports.manager.role_sources(nodes).await?;
    let missing = nodes
        .iter()
        .zip(&sources)
        .find(|(_, sources)| !sources.contains(&wanted));
    Ok(match missing {
        None => Holds(format!("overlay {overlay} lists {}", list(nodes))),
        Some((node, _)) => NotYet(format!("overlay {overlay} does not list {node}")),
    })
}

fn from(sources: &[RoleSource]) -> String {
    sources
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(" and ")
}

/// A boot is over when Bright says UP, ssh answers, and the boot id is another one.
///
/// `UP` alone may only mean that the node answers a ping; an answering sshd alone may be the
/// installer's. While the status says anything else the boot is under way: acting again would reboot
/// a node in the middle of its installation.
async fn rebooted(
    ports: &Ports,
    node: &NodeName,
    was_up: bool,
    before: Option<&Baseline>,
) -> PortResult<Finding> {
    let device = ports.manager.device(node).await?;
    let shown = format!("{node} is [{}]", device.status);
    match &device.status {
        DeviceStatus::Up => {}
        DeviceStatus::Booting(_) => return Ok(Underway(shown)),
        DeviceStatus::Failed(_) => {
            return Ok(never(
                "provisioning-failed",
                shown,
                "see /var/log/node-installer on the head node; once the node can install, reboot it by hand and resume",
            ));
        }
        // A node that was up and was told to reboot is on its way down; told again, it might be
        // caught in the middle of its installation.
        DeviceStatus::Down if was_up && before.is_some() => return Ok(Underway(shown)),
        DeviceStatus::Down | DeviceStatus::Unknown(_) => return Ok(NotYet(shown)),
    }
    let Some(now) = ports.nodes.boot_id(node).await? else {
        return Ok(Underway(format!("{shown}, but ssh does not answer")));
    };
    Ok(match before {
        None if was_up => NotYet(format!("{shown}, and nothing has rebooted it yet")),
        // To be powered on, it would stay up as it is, and its disk what it was.
        None => never(
            "node-came-up",
            format!("{shown}, but was off when the plan was made"),
            "somebody has powered it on: power it off again, then resume",
        ),
        Some(Baseline { boot_id: Some(old) }) if *old == now => {
            NotYet(format!("{shown}, still of the same boot"))
        }
        Some(_) => Holds(format!("{shown}, boot {}", now.0)),
    })
}

async fn node(ports: &Ports, check: &Check) -> PortResult<Finding> {
    let nodes = &ports.nodes;
    Ok(match check {
        Check::ServiceStopped { node, service } => match nodes.service(node, service).await? {
            ServiceState::Active => NotYet(format!("{service} on {node} is active")),
            ServiceState::Inactive | ServiceState::Failed => {
                Holds(format!("{service} on {node} is inactive"))
            }
        },
        Check::ServiceStartable { node, service } => match nodes.service(node, service).await? {
            ServiceState::Inactive => Holds(format!("{service} on {node} can be started")),
            ServiceState::Failed => NotYet(format!("{service} on {node} has failed before")),
            // Whoever starts it now has nothing held against it; Reassign looks at what comes up.
            ServiceState::Active => Holds(format!("{service} on {node} is starting already")),
        },
        Check::PortsClosed { node, ports } => {
            let open = nodes.listening(node, ports).await?;
            equal(
                open.is_empty(),
                format!("{node} listens on {open:?} of {ports:?}"),
            )
        }
        Check::PathPresent { node, path } => {
            let there = nodes.exists(node, path).await?;
            equal(
                there,
                format!(
                    "{path} on {node} is {}",
                    if there { "there" } else { "not there" }
                ),
            )
        }
        Check::PathAbsent { node, path } => {
            let there = nodes.exists(node, path).await?;
            equal(
                !there,
                format!(
                    "{path} on {node} is {}",
                    if there { "there" } else { "gone" }
                ),
            )
        }
        Check::Guarded { node, spool, run } => guarded(ports, node, spool, *run).await?,
        Check::SpoolHoldsData { node, spool } => {
            let found = nodes.spool(node, spool).await?;
            equal(
                found == SpoolState::Data,
                format!("{spool} on {node}: {found}"),
            )
        }
        Check::DiskIsFresh {
            node,
            spool,
            aside,
            run,
        } => disk_is_fresh(ports, node, spool, aside, *run).await?,
        Check::TreeOwned { node, tree, owner } => {
            let state = nodes.tree(node, tree).await?;
            let right =
                state.owner == owner.as_str() && state.mode == 0o700 && state.strangers == 0;
            equal(
                right,
                format!(
                    "{tree} on {node}: {} {:o}, {} entries of others",
                    state.owner, state.mode, state.strangers
                ),
            )
        }
        Check::SnapshotSeen { .. } => snapshot_seen(ports, check).await?,
        Check::RoomFor {
            node,
            dir,
            disk_bytes,
            memory_bytes,
        } => {
            let room = nodes.room(node, dir).await?;
            let seen = format!(
                "{node} has {} bytes and {} inodes free below {dir}, {} bytes of memory",
                room.disk_bytes, room.inodes, room.memory_bytes
            );
            let enough = room.disk_bytes >= *disk_bytes
                && room.memory_bytes >= *memory_bytes
                && room.inodes >= 64;
            if enough {
                Holds(seen)
            } else {
                never("room", seen, "make room on the node, then resume")
            }
        }
        _ => unreachable!("sorted by `one`"),
    })
}

async fn guarded(
    ports: &Ports,
    node: &NodeName,
    spool: &AbsPath,
    run: RunId,
) -> PortResult<Finding> {
    let found = ports.nodes.spool(node, spool).await?;
    let seen = format!("{spool} on {node}: {found}");
    Ok(match found {
        SpoolState::Guard(holder) if holder == run => Holds(seen),
        SpoolState::Guard(_) => never(
            "guard-of-another-run",
            seen,
            "resume or undo that run first: `restore-runbook status --all`",
        ),
        _ => NotYet(seen),
    })
}

async fn disk_is_fresh(
    ports: &Ports,
    node: &NodeName,
    spool: &AbsPath,
    aside: &AbsPath,
    run: RunId,
) -> PortResult<Finding> {
    let found = ports.nodes.spool(node, spool).await?;
    let old = found == SpoolState::Guard(run) || ports.nodes.exists(node, aside).await?;
    Ok(if old {
        never(
            "disk-not-wiped",
            format!("{node} came back with its old disk"),
            "FULL provisioning did not happen: see /var/log/node-installer on the head node, set nextinstallmode FULL, reboot the node, and resume",
        )
    } else {
        Holds(format!("the disk of {node} is fresh"))
    })
}

async fn snapshot_seen(ports: &Ports, check: &Check) -> PortResult<Finding> {
    let Check::SnapshotSeen {
        node,
        path,
        sha256,
        size_bytes,
        spool,
        must_survive_wipe,
    } = check
    else {
        unreachable!("asked for nothing else")
    };
    let Some(seen) = ports.nodes.snapshot(node, path, spool).await? else {
        return Ok(never(
            "snapshot-not-seen",
            format!("{path} is not there on {node}"),
            "mount the shared storage there, or copy the snapshot to the same path, then resume",
        ));
    };
    if seen.trailer != *sha256 || seen.size_bytes != *size_bytes {
        return Ok(never(
            "snapshot-differs",
            format!(
                "{path} on {node} is another file ({} bytes, trailer {})",
                seen.size_bytes, seen.trailer
            ),
            "every node must see the very file that was proven on the head node",
        ));
    }
    if *must_survive_wipe && seen.on_wiped_disk {
        return Ok(never(
            "snapshot-on-wiped-disk",
            format!("{path} on {node} lies on the disk that is going to be wiped"),
            "put the snapshot on shared storage, as the article does with /cm/shared",
        ));
    }
    Ok(Holds(format!("{node} sees the snapshot")))
}

async fn tool(ports: &Ports, check: &Check) -> PortResult<Finding> {
    Ok(match check {
        Check::SnapshotProven { path, sha256 } => {
            let proof = ports.tool.prove(path).await?;
            if proof.sha256 == *sha256 {
                Holds(format!("{path} is sound, content {}", proof.sha256))
            } else {
                never(
                    "snapshot-changed",
                    format!(
                        "{path} is sound, but it is another snapshot: {}",
                        proof.sha256
                    ),
                    "nothing has been destroyed by this run since it was proven; find out who replaced the file, and plan again",
                )
            }
        }
        Check::ToolsMatch {
            node,
            module,
            version,
        } => {
            let tools = ports.tool.tools(node, Some(module.clone())).await?;
            let restore = match version.restore_tool() {
                crate::version::RestoreTool::Etcdctl => tools.etcdctl,
                crate::version::RestoreTool::Etcdutl => tools.etcdutl,
            };
            tools_match(node, *version, tools.etcd, restore)
        }
        Check::Staged { node, staging, run } => {
            let staged = ports.tool.staged(node, staging, *run).await?;
            describe_staged(node, staging, staged)
        }
        Check::StagedAlike { stagings, run } => staged_alike(ports, stagings, *run).await?,
        Check::Armed {
            node,
            spool,
            staging,
            run,
        } => armed(ports, node, spool, staging, *run).await?,
        _ => unreachable!("sorted by `one`"),
    })
}

fn tools_match(
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

fn describe_staged(node: &NodeName, staging: &AbsPath, staged: Staged) -> Finding {
    match staged {
        Staged::Complete(db) | Staged::Taken(db) => {
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

async fn staged_alike(
    ports: &Ports,
    stagings: &[(NodeName, AbsPath)],
    run: RunId,
) -> PortResult<Finding> {
    let mut first = None;
    for (node, staging) in stagings {
        let db = match ports.tool.staged(node, staging, run).await? {
            Staged::Complete(db) | Staged::Taken(db) => db,
            other => return Ok(describe_staged(node, staging, other)),
        };
        let (model, of) = *first.get_or_insert((db, node));
        if model != db {
            return Ok(never(
                "restores-differ",
                format!("member/snap/db is {model} on {of}, but {db} on {node}"),
                "two nodes restored different data: compare their snapshot and tool, remove both staging directories by hand, and begin again",
            ));
        }
    }
    let db = first.map_or_else(String::new, |(db, _)| db.to_string());
    Ok(Holds(format!("member/snap/db is {db} everywhere")))
}

async fn armed(
    ports: &Ports,
    node: &NodeName,
    spool: &AbsPath,
    staging: &AbsPath,
    run: RunId,
) -> PortResult<Finding> {
    let found = ports.nodes.spool(node, spool).await?;
    let staged = ports.tool.staged(node, staging, run).await?;
    let (SpoolState::Data, Staged::Taken(db)) = (&found, &staged) else {
        return Ok(NotYet(format!("{spool} on {node}: {found}")));
    };
    let there = ports.tool.db_digest(node, spool).await?;
    Ok(if there == Some(*db) {
        Holds(format!(
            "{spool} on {node} holds the restored tree, db {db}"
        ))
    } else {
        never(
            "armed-data-changed",
            format!("{spool} on {node} holds other data than was restored"),
            "somebody started etcd on this node, or replaced its data: stop it and look before anything else",
        )
    })
}

async fn client(ports: &Ports, check: &Check) -> PortResult<Finding> {
    let client = &ports.client;
    Ok(match check {
        Check::CredentialsGood => Holds(client.credentials().await?),
        Check::QuorumLost { members, allowed } => {
            quorum_lost(ports, members, allowed.as_deref()).await?
        }
        Check::Identity {
            url,
            member,
            cluster,
            members,
        } => identity(ports, url, *member, *cluster, members).await?,
        Check::OneLeader { urls } => one_leader(ports, urls).await?,
        Check::HashesAlike {
            urls,
            revision,
            hash,
        } => hashes_alike(ports, urls, *revision, *hash).await?,
        Check::RevisionAtLeast { url, revision } => {
            let now = client.status(url).await?.revision;
            equal(now >= *revision, format!("{url} is at revision {now}"))
        }
        Check::CountAtLeast {
            url,
            prefix,
            keys,
            revision,
        } => match client.count(url, prefix, *revision).await? {
            Some(counted) if counted >= *keys => Holds(format!("{counted} keys below {prefix:?}")),
            Some(counted) => never(
                "keys-missing",
                format!("{url} counts {counted} keys below {prefix:?} of {keys}"),
                "this is not the data of the snapshot: stop etcd on every member before Kubernetes acts on it",
            ),
            None => Holds(format!(
                "NOT counted, revision {revision} was compacted since"
            )),
        },
        Check::KeyReads { url, key, value } => {
            let read = client.get(url, key).await?;
            let right = read.as_deref() == value.as_deref().map(str::as_bytes);
            equal(
                right,
                format!(
                    "{key} through {url}: {}",
                    if read.is_some() { "there" } else { "not there" }
                ),
            )
        }
        _ => unreachable!("sorted by `one`"),
    })
}

async fn quorum_lost(
    ports: &Ports,
    members: &[(NodeName, EtcdUrl)],
    allowed: Option<&str>,
) -> PortResult<Finding> {
    for (node, url) in members {
        // Only a linearizable read proves a quorum; a lone member answers status and stale reads.
        match ports.client.get(url, "restore-runbook/quorum").await {
            Ok(_) => return Ok(quorum_answers(url, allowed)),
            // A refused certificate or password says nothing about the quorum.
            Err(error) if error.certainty == Certainty::Refused => return Ok(Blind(error)),
            // Neither does a broken network between here and there.
            Err(error) if !silence_counts(ports, node).await? => return Ok(Blind(error)),
            Err(_) => {}
        }
    }
    Ok(Holds("no quorum answers".into()))
}

/// Whether a member's silence is its own: its node can be reached, or is known to be down.
async fn silence_counts(ports: &Ports, node: &NodeName) -> PortResult<bool> {
    if ports.nodes.boot_id(node).await?.is_some() {
        return Ok(true);
    }
    Ok(ports.manager.device(node).await?.status == DeviceStatus::Down)
}

fn quorum_answers(url: &EtcdUrl, allowed: Option<&str>) -> Finding {
    let seen = format!("a quorum answers through {url}");
    match allowed {
        Some(reason) => Holds(format!("{seen}; allowed: {reason}")),
        None => never(
            "quorum-answers",
            seen,
            "replace the broken members one by one instead; to restore all the same, give a reason: `allow: {quorum: \"<reason>\"}` in the spec",
        ),
    }
}

async fn identity(
    ports: &Ports,
    url: &EtcdUrl,
    member: MemberId,
    cluster: ClusterId,
    members: &[(MemberId, MemberName, EtcdUrl)],
) -> PortResult<Finding> {
    let status = ports.client.status(url).await?;
    let seen = format!(
        "{url} is member {} of cluster {}",
        status.member, status.cluster
    );
    if status.cluster != cluster || status.member != member {
        let hint = if status.cluster == ARTICLE_CLUSTER_ID {
            "this member was restored without member flags, as in the article: stop etcd here, and find out who did it"
        } else {
            "this is not the restored cluster: an old member that was never stopped, or one that started empty; stop etcd here at once"
        };
        return Ok(never("identity", seen, hint));
    }
    let wanted: BTreeSet<_> = members
        .iter()
        .map(|(id, _, peer)| (*id, vec![peer.to_string()], false))
        .collect();
    let listed: BTreeSet<_> = ports
        .client
        .members(url)
        .await?
        .into_iter()
        .map(|listed| (listed.id, listed.peer_urls, listed.learner))
        .collect();
    Ok(if listed == wanted {
        Holds(seen)
    } else {
        never(
            "identity-members",
            format!("{seen}, but it lists other members than planned"),
            "compare `etcdctl member list` with the plan before anything else",
        )
    })
}

async fn one_leader(ports: &Ports, urls: &[EtcdUrl]) -> PortResult<Finding> {
    let mut leaders = BTreeSet::new();
    for url in urls {
        let status = ports.client.status(url).await?;
        let Some(leader) = status.leader else {
            return Ok(NotYet(format!("{url} has no leader")));
        };
        if let Some(error) = status.errors.first() {
            return Ok(NotYet(format!("{url} reports: {error}")));
        }
        if let Some(alarm) = ports.client.alarms(url).await?.first() {
            return Ok(NotYet(format!("{url} has an alarm: {alarm}")));
        }
        leaders.insert(leader);
    }
    let names = leaders
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ");
    Ok(equal(leaders.len() == 1, format!("leader {names}")))
}

async fn hashes_alike(
    ports: &Ports,
    urls: &[EtcdUrl],
    revision: Option<i64>,
    hash: Option<u32>,
) -> PortResult<Finding> {
    let mut first = None;
    let mut at = revision.unwrap_or(0);
    for url in urls {
        if at == 0 {
            // One revision for all members, which may be written to in between.
            at = ports.client.status(url).await?.revision;
        }
        let Some(answer) = ports.client.hash_kv(url, at).await? else {
            // Somebody has compacted since, as API servers do every few minutes: the prediction cannot be
            // asked for any more, but the members can still be compared with each other.
            return match revision {
                Some(_) => alike_only(ports, urls, at).await,
                None => Ok(NotYet(format!("{url} has compacted revision {at}"))),
            };
        };
        let model = *first.get_or_insert(answer);
        if model.compact_revision != answer.compact_revision {
            return Ok(NotYet(format!(
                "{url} has compacted further than the others"
            )));
        }
        if model.hash != answer.hash {
            return Ok(never(
                "members-diverge",
                format!(
                    "HashKV at revision {at} is {} on one member, {} on {url}",
                    model.hash, answer.hash
                ),
                "the members hold different data: stop etcd on all of them and keep their data",
            ));
        }
    }
    let got = first.map_or(0, |answer| answer.hash);
    Ok(match hash {
        Some(hash) if hash != got => never(
            "hash-differs",
            format!("HashKV at revision {at} is {got} on every member, the snapshot's is {hash}"),
            "the cluster does not hold the snapshot's data: stop etcd on every member before Kubernetes acts on it",
        ),
        Some(_) => Holds(format!(
            "HashKV at revision {at} is {got} on every member, as predicted"
        )),
        None => Holds(format!("HashKV at revision {at} is {got} on every member")),
    })
}

/// The members among themselves, at a revision of now.
async fn alike_only(ports: &Ports, urls: &[EtcdUrl], compacted: i64) -> PortResult<Finding> {
    Ok(
        match Box::pin(hashes_alike(ports, urls, None, None)).await? {
            Holds(seen) => Holds(format!(
                "NOT compared with the prediction, revision {compacted} was compacted since; {seen}"
            )),
            other => other,
        },
    )
}

async fn own(ports: &Ports, kind: &str, params: &serde_json::Value) -> PortResult<Finding> {
    match ports.own(kind) {
        Some(handler) => Ok(match handler.done(params).await? {
            Ok(()) => Holds(format!("{kind} is done")),
            Err(missing) => NotYet(missing),
        }),
        None => Ok(never(
            "own-handler-missing",
            format!("no handler is registered for {kind}"),
            "run the plan with the program that made it",
        )),
    }
}

fn equal(right: bool, seen: String) -> Finding {
    if right { Holds(seen) } else { NotYet(seen) }
}

const fn never(code: &'static str, seen: String, hint: &'static str) -> Finding {
    Never { code, seen, hint }
}
