//! What is believed of the nodes: by the cluster manager's word, and by their own.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use runbook_core::error::Certainty;
use runbook_core::names::{AbsPath, EtcdUrl, NodeName, Owner, ServiceName};
use runbook_core::platform::ApiServer;
use runbook_core::ports::Node as _;
use runbook_core::version::EtcdVersion;
use runbook_core::world::{SeenSnapshot, ServiceState, SpoolState, ToolVersions};

use super::ask::{Asked, unusable};
use super::manager::{self, Seen};
use super::questions::Backup;
use super::report::{Check, Draft};
use super::{Doctor, Finding, certificates, checks, listed};
use crate::codes;

/// Clocks may differ by this much, in seconds.
const SKEW_S: i64 = 5;

/// What a member must not lack.
const OF_A_MEMBER: [&Check; 5] = [
    &checks::MODULE,
    &checks::UNIT,
    &checks::OWNER,
    &checks::SPOOL,
    &checks::MEMBER_CERTIFICATE,
];

/// What every node is held against.
struct Against<'a> {
    doctor: &'a Doctor,
    newest: Option<&'a Backup>,
    /// How that backup looks from this head node.
    here: Option<Asked<Option<SeenSnapshot>>>,
    authority: Option<&'a str>,
    /// The spool, where the role is known.
    spool: Option<AbsPath>,
    members: Vec<(NodeName, EtcdUrl)>,
}

/// What became of one node.
#[derive(Default)]
struct Examined {
    findings: Vec<Finding>,
    version: Option<EtcdVersion>,
    /// Whether an API server was looked for and found; none when nobody could look.
    api_server: Option<bool>,
}

pub(super) async fn examine(
    doctor: &Doctor,
    seen: &Seen,
    newest: Option<&Backup>,
    authority: Option<&str>,
    findings: &mut Vec<Finding>,
) {
    let members: BTreeSet<&str> = seen.members().map(|m| m.node.as_str()).collect();
    let wanted = |name: &str| {
        let asked = &doctor.settings.nodes;
        asked.is_empty() || asked.iter().any(|node| node.as_str() == name)
    };
    for name in members.iter().filter(|name| wanted(name)) {
        manager::node(seen, name, findings);
    }
    let spool = seen.role.got.as_ref().ok().map(|role| role.spool.clone());
    let mut here = None;
    if let (Some(newest), Some(spool)) = (newest, &spool) {
        let path = &newest.path;
        let asked = doctor
            .asker
            .head(async |head, name| head.snapshot(name, path, spool).await);
        here = Some(asked.await);
    }
    let against = Against {
        doctor,
        newest,
        here,
        authority,
        spool,
        members: seen
            .members()
            .map(|m| (m.node.clone(), m.client_url.clone()))
            .collect(),
    };
    // Without cmsh the nodes that are named can still be asked.
    let mut names: BTreeSet<String> = members.iter().map(|name| (*name).to_owned()).collect();
    names.extend(seen.api_servers());
    names.extend(doctor.settings.nodes.iter().map(ToString::to_string));
    names.retain(|name| wanted(name));
    let nodes: Vec<NodeName> = names
        .into_iter()
        .filter_map(|n| NodeName::new(n).ok())
        .collect();
    if nodes.is_empty() {
        findings.push(checks::SSH.made().blocked("no node is known to be asked"));
    }
    let each = nodes.iter().map(|node| {
        let member = members.contains(node.as_str()) || members.is_empty();
        against.examine(node, member)
    });
    let examined = join_all(each).await;
    findings.extend(same_version(&nodes, &examined));
    findings.extend(no_api_server(&examined));
    findings.extend(examined.into_iter().flat_map(|one| one.findings));
}

fn same_version(nodes: &[NodeName], examined: &[Examined]) -> Option<Finding> {
    let told: Vec<(&NodeName, EtcdVersion)> = nodes
        .iter()
        .zip(examined)
        .filter_map(|(node, one)| Some((node, one.version?)))
        .collect();
    let (_, first) = told.first()?;
    let all: Vec<String> = told.iter().map(|(node, v)| format!("{node} {v}")).collect();
    let same = told.iter().all(|(_, version)| version == first);
    Some(checks::SAME_VERSION.made().if_so(same, all.join(", ")))
}

/// Nodes could be asked, and none of them has an API server: it is elsewhere, and nobody looked.
fn no_api_server(examined: &[Examined]) -> Option<Finding> {
    let looked: Vec<bool> = examined.iter().filter_map(|one| one.api_server).collect();
    (!looked.is_empty() && !looked.contains(&true)).then(|| {
        checks::API_SERVER
            .made()
            .todo("name the nodes of the control plane: --node NODE")
            .unknown("no API server was found on the nodes asked")
    })
}

impl Against<'_> {
    async fn examine(&self, node: &NodeName, member: bool) -> Examined {
        let mut done = Examined::default();
        if !self.reached(node, &mut done.findings).await {
            let silent = format!("{node} cannot be reached");
            let blocked = |check: &'static Check| check.of(node.as_str()).blocked(&silent);
            if member {
                done.findings.extend(OF_A_MEMBER.map(blocked));
                if self.newest.is_some() {
                    done.findings.push(blocked(&checks::BACKUP_ON_NODE));
                }
            }
            done.findings.push(blocked(&checks::API_SERVER));
            return done;
        }
        done.findings.push(self.clock(node).await);
        if member {
            self.tools(node, &mut done).await;
            done.findings.push(self.unit(node).await);
            done.findings.push(self.owner(node).await);
            done.findings.extend(self.spool(node).await);
            done.findings.push(self.certificate(node).await);
            self.backup(node, &mut done.findings).await;
        }
        self.api_server(node, &mut done).await;
        done
    }

    /// Whether the node answers at all; nothing else is asked of one that does not.
    async fn reached(&self, node: &NodeName, findings: &mut Vec<Finding>) -> bool {
        let asker = &self.doctor.asker;
        // Any question would do; this one's answer is needed by no other check.
        let here = asker
            .node(async |nodes| nodes.clock(node, node).await)
            .await;
        let ssh = checks::SSH.of(node.as_str()).asked(&here);
        let key = checks::HOST_KEY.of(node.as_str()).asked(&here);
        match &here.got {
            Ok(_) => {
                findings.push(ssh.holds("it answers"));
                findings.push(key.holds("it is the known one"));
                true
            }
            Err(error) if error.code == codes::SSH_HOST_KEY => {
                let chain = error.chain();
                let changed = chain.contains("CHANGED") || chain.contains("has changed");
                let how = if changed { "CHANGED" } else { "unknown" };
                findings.push(ssh.blocked("see host-key"));
                let hint = error.hint.clone().unwrap_or_default();
                findings.push(key.todo(hint).differs(format!("{how}: {chain}")));
                false
            }
            Err(error) => {
                findings.push(ssh.failed(error));
                // Whoever lets nobody in has shown its key before.
                findings.push(if error.code == codes::SSH_DENIED {
                    key.holds("it is the known one")
                } else {
                    key.blocked("the node does not answer")
                });
                false
            }
        }
    }

    /// The node's clock, between two looks at this one.
    async fn clock(&self, node: &NodeName) -> Finding {
        let asker = &self.doctor.asker;
        let before = asker
            .head(async |head, name| head.clock(name, node).await)
            .await;
        let there = asker
            .node(async |nodes| nodes.clock(node, node).await)
            .await;
        let after = asker
            .head(async |head, name| head.clock(name, node).await)
            .await;
        let draft = checks::CLOCK.of(node.as_str()).asked(&there);
        match (before.got, there.got, after.got) {
            (Ok(before), Ok(there), Ok(after)) => {
                let off = if there < before {
                    there.saturating_sub(before)
                } else {
                    there.saturating_sub(after).max(0)
                };
                draft.if_so(off.abs() <= SKEW_S, format!("{off} s off"))
            }
            (Err(error), ..) | (_, Err(error), _) | (.., Err(error)) => draft.failed(&error),
        }
    }

    async fn tools(&self, node: &NodeName, done: &mut Examined) {
        let module = self.doctor.settings.module.clone();
        let tools: Asked<ToolVersions> = self
            .doctor
            .asker
            .tool(async |tool| tool.tools(node, module).await)
            .await;
        let draft = checks::MODULE.of(node.as_str()).asked(&tools);
        done.findings.push(match tools.got {
            Ok(tools) => {
                done.version = Some(tools.etcd);
                let fit = |tool: Option<EtcdVersion>| {
                    tool.is_some_and(|tool| tool.same_minor(tools.etcd))
                };
                let said =
                    |tool: Option<EtcdVersion>| tool.map_or("none".into(), |v| v.to_string());
                draft.if_so(
                    fit(tools.etcdctl) || fit(tools.etcdutl),
                    format!(
                        "{}: etcd {}, etcdctl {}, etcdutl {}",
                        tools.module,
                        tools.etcd,
                        said(tools.etcdctl),
                        said(tools.etcdutl)
                    ),
                )
            }
            // No module, or several: the node has answered.
            Err(error) if error.certainty == Certainty::Refused => {
                draft.differs(format!("{} [{}]", error.chain(), error.code))
            }
            Err(error) => draft.failed(&error),
        });
    }

    async fn unit(&self, node: &NodeName) -> Finding {
        let asked = self
            .doctor
            .asker
            .node(async |nodes| {
                let unit = ServiceName::new("etcd").map_err(unusable)?;
                if !nodes.knows_service(node, &unit).await? {
                    return Ok(None);
                }
                nodes.service(node, &unit).await.map(Some)
            })
            .await;
        let draft = checks::UNIT.of(node.as_str()).asked(&asked);
        match asked.got {
            Ok(None) => draft.differs("there is no unit etcd"),
            Ok(Some(ServiceState::Active)) => draft.holds("it runs"),
            Ok(Some(ServiceState::Inactive)) => draft.differs("it does not run"),
            Ok(Some(ServiceState::Failed)) => draft.differs("it has failed"),
            Err(error) => draft.failed(&error),
        }
    }

    async fn owner(&self, node: &NodeName) -> Finding {
        let asked = self
            .doctor
            .asker
            .node(async |nodes| {
                let owner = Owner::new("etcd:etcd").map_err(unusable)?;
                nodes.knows_owner(node, &owner).await
            })
            .await;
        let draft = checks::OWNER.of(node.as_str()).asked(&asked);
        match asked.got {
            Ok(known) => draft.if_so(
                known,
                if known {
                    "they are there"
                } else {
                    "they are not"
                },
            ),
            Err(error) => draft.failed(&error),
        }
    }

    async fn spool(&self, node: &NodeName) -> Option<Finding> {
        let spool = self.spool.as_ref()?;
        let asked = self
            .doctor
            .asker
            .node(async |nodes| nodes.spool(node, spool).await)
            .await;
        let draft = checks::SPOOL.of(node.as_str()).asked(&asked);
        Some(match asked.got {
            Ok(state) => draft.if_so(state == SpoolState::Data, format!("{spool}: {state}")),
            Err(error) => draft.failed(&error),
        })
    }

    async fn certificate(&self, node: &NodeName) -> Finding {
        let settings = &self.doctor.settings;
        let path = &settings.member_certificate;
        let asked = self
            .doctor
            .asker
            .node(async |nodes| nodes.certificate(node, path).await)
            .await;
        let draft = checks::MEMBER_CERTIFICATE.of(node.as_str());
        certificates::judge(draft, &asked, path.as_str(), settings.at, self.authority)
    }

    async fn backup(&self, node: &NodeName, findings: &mut Vec<Finding>) {
        let (Some(newest), Some(spool), Some(here)) = (self.newest, &self.spool, &self.here) else {
            return;
        };
        let (asker, path) = (&self.doctor.asker, &newest.path);
        let there = asker
            .node(async |nodes| nodes.snapshot(node, path, spool).await)
            .await;
        let same = checks::BACKUP_ON_NODE.of(node.as_str()).asked(&there);
        let survives = checks::BACKUP_SURVIVES.of(node.as_str()).asked(&there);
        match (&here.got, &there.got) {
            (Ok(Some(here)), Ok(Some(there))) => {
                let alike = here.size_bytes == there.size_bytes && here.trailer == there.trailer;
                let said = if alike {
                    "the same"
                } else {
                    "ANOTHER FILE of that name"
                };
                findings.push(same.if_so(alike, said));
                let wiped = there.on_wiped_disk;
                let said = if wiped {
                    "it lies on the node's own disk, or on nothing known to be shared"
                } else {
                    "it lies elsewhere"
                };
                findings.push(survives.if_so(!wiped, said));
            }
            (Ok(_), Ok(None)) => findings.push(same.differs(format!("{path} is not there"))),
            (Ok(None), Ok(Some(_))) => findings.push(same.unknown("it is gone on this head node")),
            (Err(error), _) | (_, Err(error)) => findings.push(same.failed(error)),
        }
    }

    async fn api_server(&self, node: &NodeName, done: &mut Examined) {
        let asked = self
            .doctor
            .asker
            .node(async |nodes| nodes.api_server(node).await)
            .await;
        let draft = checks::API_SERVER.of(node.as_str()).asked(&asked);
        match asked.got {
            Err(error) => done.findings.push(draft.failed(&error)),
            Ok(found) => {
                done.api_server = Some(found.is_some());
                done.findings
                    .extend(found.map(|server| self.judge(draft, &server)));
            }
        }
    }

    fn judge(&self, draft: Draft, server: &ApiServer) -> Finding {
        let world = if server.static_pod {
            "static pod (10 and later)"
        } else {
            "service (up to 9.2)"
        };
        if server.etcd_servers.is_empty() {
            return draft.differs(format!("{world}: --etcd-servers is EMPTY or missing"));
        }
        // Where the members are not known, anybody may be one.
        let strangers = match self.members.as_slice() {
            [] => Vec::new(),
            members => server.strangers(members),
        };
        if strangers.is_empty() {
            let servers = server.etcd_servers.iter().map(String::as_str);
            draft.holds(format!("{world}: {}", listed(servers)))
        } else {
            let who = listed(strangers);
            draft.differs(format!(
                "{world}: --etcd-servers names what is no member: {who}"
            ))
        }
    }
}
