//! What is believed of cmsh, and of the cluster as it has it.

use std::collections::BTreeSet;

use runbook_core::error::AdapterError;
use runbook_core::names::OverlayName;
use runbook_core::ports::PortResult;
use runbook_core::world::{DeviceStatus, EtcdRole, RoleHolder, RoleSource};

use super::ask::{Asked, Asker};
use super::{Draft, Finding, Settings, checks, listed};
use crate::cmsh::provisioning::Queue;
use crate::cmsh::read::{DeviceRow, Overlay};
use crate::cmsh::{clusters, platform};
use crate::codes;
use crate::text::shown;

/// The releases for which something is known of cmsh.
const KNOWN: [&str; 5] = ["9.0", "9.1", "9.2", "10", "11"];

/// What cmsh had to say, for the checks that build on it.
pub(super) struct Seen {
    pub(super) devices: Asked<Vec<DeviceRow>>,
    pub(super) categories: Asked<Vec<(String, bool)>>,
    pub(super) role: Asked<EtcdRole>,
    overlays: Asked<Vec<Overlay>>,
}

impl Seen {
    /// The names of all devices.
    pub(super) fn names(&self) -> Vec<String> {
        let devices = self.devices.got.iter().flatten();
        devices.map(|device| device.hostname.clone()).collect()
    }

    pub(super) fn device(&self, name: &str) -> Option<&DeviceRow> {
        let mut devices = self.devices.got.iter().flatten();
        devices.find(|device| device.hostname == name)
    }

    /// How many head nodes there are.
    pub(super) fn heads(&self) -> Option<usize> {
        let devices = self.devices.got.as_ref().ok()?;
        Some(devices.iter().filter(|device| device.head_node).count())
    }

    pub(super) fn members(&self) -> impl Iterator<Item = &RoleHolder> {
        let role = self.role.got.iter();
        role.flat_map(|role| &role.holders)
            .filter(|holder| !holder.sources.is_empty())
    }

    /// The nodes that an enabled overlay makes API servers of.
    pub(super) fn api_servers(&self) -> BTreeSet<String> {
        let overlays = self.overlays.got.iter().flatten();
        overlays
            .filter(|overlay| overlay.enabled && overlay.api_server)
            .flat_map(|overlay| overlay.nodes().unwrap_or_default())
            .collect()
    }
}

pub(super) async fn examine(
    asker: &Asker,
    settings: &Settings,
    findings: &mut Vec<Finding>,
) -> Seen {
    let version = asker.cmsh(async |cmsh| cmsh.version().await).await;
    let devices = asker.cmsh(async |cmsh| cmsh.devices().await).await;
    let categories = asker.cmsh(async |cmsh| cmsh.categories().await).await;
    let overlays = asker.cmsh(async |cmsh| cmsh.overlays().await).await;
    let lists_any = devices.got.is_ok() || categories.got.is_ok() || overlays.got.is_ok();
    batch(&version, lists_any, findings);
    lists(&devices, &categories, &overlays, findings);
    let idle = asker.cmsh(async |cmsh| cmsh.queue().await).await;
    findings.push(provisioning(&idle));
    let locks = asker.cmsh(async |cmsh| cmsh.locked_images().await).await;
    findings.push(image_lock(&locks));
    let chosen = match &settings.overlay {
        Some(_) => None,
        None => Some(
            asker
                .cmsh(async |cmsh| cmsh.read_etcd_overlay(&settings.cluster).await)
                .await,
        ),
    };
    let by_label = chosen.as_ref().and_then(|chosen| chosen.got.as_ref().ok());
    let named = settings.overlay.clone().or_else(|| by_label.cloned());
    let role = asker
        .cmsh(async |cmsh| cmsh.read_etcd_role(named, &[]).await)
        .await;
    let seen = Seen {
        devices,
        categories,
        role,
        overlays,
    };
    etcd_overlays(settings, chosen.as_ref(), &seen, findings);
    members(&seen, findings);
    seen
}

/// Of the words of `versioninfo` little is known: a list that works tells just as well that a batch does.
fn batch(version: &Asked<String>, lists_any: bool, findings: &mut Vec<Finding>) {
    let found = checks::CMSH_FOUND.made().asked(version);
    let answers = checks::CMSH_BATCH.made().asked(version);
    let known = checks::CMSH_VERSION.made().asked(version);
    let code = version.got.as_ref().map_err(|error| error.code);
    if let (Err(codes::CMSH_MISSING | codes::CMSH_NOT_RUNNABLE), Err(error)) = (code, &version.got)
    {
        findings.push(found.failed(error));
        findings.push(answers.blocked("cmsh cannot be run"));
        findings.push(known.blocked("cmsh cannot be run"));
        return;
    }
    findings.push(found.holds("it runs"));
    match &version.got {
        Ok(text) => {
            // That something was printed is no answer yet.
            let read = lists_any || platform::release(text).is_some();
            let said = if read {
                "it answers".to_owned()
            } else {
                format!("what comes back cannot be read: {}", shown(text))
            };
            findings.push(answers.if_so(read, said));
            findings.push(release(known, text));
        }
        Err(error) if error.code == codes::CMSH_TIMEOUT => {
            findings.push(answers.differs(error.chain()));
            findings.push(known.blocked("cmsh gave no answer"));
        }
        Err(error) if lists_any => {
            findings.push(answers.holds("it answers"));
            findings.push(unsure(known, error));
        }
        Err(error) => {
            findings.push(answers.failed(error));
            findings.push(known.blocked("cmsh refuses every batch"));
        }
    }
}

fn release(draft: Draft, text: &str) -> Finding {
    let Some(number) = platform::release(text) else {
        return draft.unknown(format!("no release is named in {}", shown(text)));
    };
    let is = |known: &str| {
        let rest = number.strip_prefix(known);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '-']))
    };
    let known = KNOWN.iter().any(|known| is(known));
    draft.if_so(known, format!("Cluster Manager {number}"))
}

fn lists(
    devices: &Asked<Vec<DeviceRow>>,
    categories: &Asked<Vec<(String, bool)>>,
    overlays: &Asked<Vec<Overlay>>,
    findings: &mut Vec<Finding>,
) {
    let draft = checks::LIST_DEVICES.made().asked(devices);
    findings.push(match &devices.got {
        Ok(rows) => {
            let heads = rows.iter().filter(|row| row.head_node).count();
            let nodes = rows.iter().filter(|row| row.node).count() - heads;
            // A list without nodes parses, and is not what is relied on.
            draft.if_so(
                heads + nodes > 0,
                format!("head nodes: {heads}, other nodes: {nodes}"),
            )
        }
        Err(error) => draft.failed(error),
    });
    let draft = checks::LIST_CATEGORIES.made().asked(categories);
    findings.push(match &categories.got {
        Ok(rows) => draft.holds(listed(rows.iter().map(|(name, _)| &**name))),
        Err(error) => draft.failed(error),
    });
    let draft = checks::LIST_OVERLAYS.made().asked(overlays);
    findings.push(match &overlays.got {
        Ok(rows) => draft.holds(listed(rows.iter().map(|row| &*row.name))),
        Err(error) => draft.failed(error),
    });
}

fn provisioning(asked: &Asked<Option<Queue>>) -> Finding {
    let draft = checks::PROVISIONING.made().asked(asked);
    let queue = match &asked.got {
        Err(error) => return unsure(draft, error),
        Ok(None) => return draft.unknown("cmsh names no status"),
        Ok(Some(queue)) => queue,
    };
    let busy = queue.busy_with.as_ref();
    let waiting = Some(&queue.waiting).filter(|nodes| !nodes.is_empty());
    let said: Vec<String> = [
        queue.stopped.clone(),
        busy.map(|count| format!("nodes being provisioned: {count}")),
        waiting.map(|nodes| format!("waiting: {nodes}")),
    ]
    .into_iter()
    .flatten()
    .collect();
    if said.is_empty() {
        draft.holds("idle, and takes requests")
    } else {
        draft.differs(said.join("; "))
    }
}

fn image_lock(asked: &Asked<Option<Vec<String>>>) -> Finding {
    let draft = checks::IMAGE_LOCK.made().asked(asked);
    match &asked.got {
        Err(error) => unsure(draft, error),
        Ok(None) => draft.unknown("cmsh prints no table of images"),
        Ok(Some(locked)) if locked.is_empty() => draft.holds("none is locked"),
        Ok(Some(locked)) => draft.differs(locked.join(", ")),
    }
}

/// A question whose words are not sure: that cmsh refuses it says nothing about the cluster.
fn unsure(draft: Draft, error: &AdapterError) -> Finding {
    draft.unknown(format!("{} [{}]", error.chain(), error.code))
}

/// `chosen` is the one that the cluster's label names, where none was named outright.
fn etcd_overlays(
    settings: &Settings,
    chosen: Option<&Asked<OverlayName>>,
    seen: &Seen,
    findings: &mut Vec<Finding>,
) {
    let one = checks::ETCD_OVERLAY.made().asked(&seen.overlays);
    let one = match chosen {
        Some(chosen) => one.asked(chosen),
        None => one,
    };
    let disabled = checks::OVERLAY_PRIORITY.made().asked(&seen.overlays);
    let Ok(overlays) = &seen.overlays.got else {
        findings.push(one.blocked("the overlays cannot be listed"));
        findings.push(disabled.blocked("the overlays cannot be listed"));
        return;
    };
    let overlays: Vec<&Overlay> = overlays.iter().filter(|overlay| overlay.etcd).collect();
    let named = |enabled| -> Vec<&str> {
        let alike = overlays.iter().filter(|o| o.enabled == enabled);
        alike.map(|overlay| overlay.name.as_str()).collect()
    };
    let (enabled, off) = (named(true), named(false));
    let all = listed(enabled.iter().copied());
    findings.push(match &settings.overlay {
        Some(named) => one.if_so(
            enabled.contains(&named.as_str()),
            format!("asked for {named}; enabled with Etcd::Host: {all}"),
        ),
        None if enabled.len() > 1 => match chosen.map(|chosen| &chosen.got) {
            Some(Ok(name)) => one.holds(format!(
                "{name}, by the label {}; others: {all}",
                settings.cluster
            )),
            Some(Err(error)) => one.differs(error.chain()),
            None => one.differs(format!("several, each another etcd cluster: {all}")),
        },
        None => match (enabled.as_slice(), settings.cluster.as_str()) {
            // A run would take it all the same: there is no other. Certificates and runs go by the label.
            ([only], label) if clusters::label_of(only).is_some_and(|of| of != label) => one
                .differs(format!(
                    "{only} is the only one, and by its name not of the cluster {label}"
                )),
            _ => one.if_so(enabled.len() == 1, all),
        },
    });
    let none = off.is_empty();
    findings.push(disabled.if_so(none, format!("disabled: {}", listed(off))));
}

fn members(seen: &Seen, findings: &mut Vec<Finding>) {
    let properties = checks::MEMBER_PROPERTIES.made().asked(&seen.role);
    let count = checks::MEMBER_COUNT.made().asked(&seen.role);
    let role = match &seen.role.got {
        Ok(role) => role,
        Err(error) => {
            findings.push(properties.failed(error));
            findings.push(count.blocked("the members are not known"));
            return;
        }
    };
    findings.push(match distinct(&role.holders) {
        Ok(()) => properties.holds(format!(
            "spool {}; {}",
            role.spool,
            described(&role.holders)
        )),
        Err(fault) => properties.differs(fault),
    });
    let members: Vec<&RoleHolder> = seen.members().collect();
    let names = listed(members.iter().map(|holder| holder.node.as_str()));
    findings.push(count.if_so(
        members.len() % 2 == 1,
        format!("{} members in {}: {names}", members.len(), role.overlay),
    ));
    for holder in members {
        let name = holder.node.as_str();
        let own = RoleSource::OverlayNode(role.overlay.clone());
        let from: Vec<String> = holder.sources.iter().map(ToString::to_string).collect();
        findings.push(
            checks::ROLE_SOURCE
                .of(name)
                .asked(&seen.role)
                .if_so(holder.sources == [own], format!("from {}", from.join(", "))),
        );
        let head = seen.device(name).is_some_and(|device| device.head_node);
        let said = if head {
            "it is a head node"
        } else {
            "it is none"
        };
        findings.push(
            checks::HEAD_MEMBER
                .of(name)
                .asked(&seen.devices)
                .if_so(!head, said),
        );
    }
}

fn described(holders: &[RoleHolder]) -> String {
    let one = |holder: &RoleHolder| format!("{} ({})", holder.member, holder.peer_url);
    holders.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// Two members with one name or one URL would be one member.
fn distinct(holders: &[RoleHolder]) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for holder in holders {
        for text in [
            holder.member.to_string(),
            format!("peer {}", holder.peer_url),
            format!("client {}", holder.client_url),
        ] {
            if !seen.insert(text.clone()) {
                return Err(format!("two members have {text}"));
            }
        }
    }
    Ok(())
}

/// What the manager says of one node, each in a finding of its own.
pub(super) fn node(seen: &Seen, name: &str, findings: &mut Vec<Finding>) {
    let Some(device) = seen.device(name) else {
        findings.push(
            checks::DEVICE_STATUS
                .of(name)
                .asked(&seen.devices)
                .blocked("the devices cannot be listed"),
        );
        return;
    };
    findings.push(status(seen, name, device));
    if device.head_node {
        return;
    }
    findings.extend(datanode(seen, name, device));
    let draft = checks::INSTALL_MODE.of(name).asked(&seen.devices);
    findings.push(match device.next_install_mode() {
        Ok(None) => draft.holds("nothing is set"),
        Ok(Some(mode)) => draft.differs(format!("nextinstallmode is {mode}")),
        Err(error) => draft.failed(&error),
    });
    let draft = checks::BLOCK_DEVICES.of(name).asked(&seen.devices);
    findings.push(match device.cleared_at_boot() {
        Ok(None) => draft.blocked("cmsh does not know the property"),
        Ok(Some(devices)) if devices.is_empty() => draft.holds("none"),
        Ok(Some(devices)) => draft.differs(devices.join(", ")),
        Err(error) => draft.failed(&error),
    });
}

fn status(seen: &Seen, name: &str, device: &DeviceRow) -> Finding {
    let draft = checks::DEVICE_STATUS.of(name).asked(&seen.devices);
    match device.status() {
        Ok((status, flags)) => {
            let said: Vec<String> = [status.to_string()].into_iter().chain(flags).collect();
            draft.if_so(status == DeviceStatus::Up, said.join(", "))
        }
        Err(error) => draft.failed(&error),
    }
}

fn datanode(seen: &Seen, name: &str, device: &DeviceRow) -> [Finding; 2] {
    let both = checks::DATANODE
        .of(name)
        .asked(&seen.devices)
        .asked(&seen.categories);
    let category = checks::CATEGORY_DATANODE.of(name).asked(&seen.categories);
    let inherited: PortResult<Option<bool>> = match &seen.categories.got {
        Err(_) => Ok(None),
        Ok(rows) => Ok(rows
            .iter()
            .find(|(name, _)| *name == device.category)
            .map(|(_, datanode)| *datanode)),
    };
    let of = &device.category;
    match (device.datanode(), inherited) {
        (Err(error), _) | (_, Err(error)) => [
            both.failed(&error),
            category.blocked("the flag cannot be read"),
        ],
        (Ok(own), Ok(None)) => [
            if own {
                both.holds("yes, the node's own")
            } else {
                both.unknown("no, the node's own; the category's cannot be read")
            },
            category.unknown(format!("the flag of category {of} cannot be read")),
        ],
        (Ok(own), Ok(Some(inherited))) => {
            let word = |value| if value { "yes" } else { "no" };
            let said = format!("node {}, category {of} {}", word(own), word(inherited));
            [
                both.if_so(own || inherited, &*said),
                category.if_so(!inherited, said),
            ]
        }
    }
}
