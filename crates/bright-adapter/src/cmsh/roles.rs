//! Who has `Etcd::Host`, and from where.
//!
//! A role comes from an overlay's nodes, categories or `allheadnodes`, from the node's category, or
//! from the node itself (administrator manual 2.1.5). The overlay is found by its role: its name,
//! `kube-default-etcd` or another, is only a habit.

use std::collections::{BTreeMap, BTreeSet};

use runbook_core::error::{AdapterError, Certainty};
use runbook_core::names::{
    AbsPath, CategoryName, EtcdUrl, MemberName, NameError, NodeName, OverlayName,
};
use runbook_core::ports::PortResult;
use runbook_core::world::{EtcdRole, RoleHolder, RoleSource};
use serde_json::Value;

use super::Cmsh;
use super::answer::unreadable;
use super::lexicon::{Argument, Mode, Placeholder, Property, Role, Verb, Word as _};
use super::read::{DeviceRow, Overlay, absent, unusable};
use super::script::{Name, Script};
use crate::codes;
use crate::text::shown;

/// How many objects one batch asks about.
const CHUNK: usize = 40;

/// Where `roles; list` says an `Etcd::Host` comes from; none when it says nothing.
type Origin = Option<String>;

impl Cmsh {
    pub(super) async fn read_role_sources(
        &self,
        nodes: &[NodeName],
    ) -> PortResult<Vec<Vec<RoleSource>>> {
        let mut overlays = self.overlays().await?;
        overlays.retain(Overlay::gives_etcd);
        let devices = self.devices().await?;
        let mut rows = Vec::new();
        for node in nodes {
            let row = devices.iter().find(|d| d.hostname == node.as_str());
            rows.push(row.ok_or_else(|| absent("device", node.as_str()))?);
        }
        self.sources(&overlays, &rows).await
    }

    async fn sources(
        &self,
        overlays: &[Overlay],
        rows: &[&DeviceRow],
    ) -> PortResult<Vec<Vec<RoleSource>>> {
        let wanted: BTreeSet<&str> = rows
            .iter()
            .filter(|row| !row.head_node && !row.category.is_empty())
            .map(|row| row.category.as_str())
            .collect();
        let categories = wanted
            .into_iter()
            .map(|name| CategoryName::new(name).map_err(unusable))
            .collect::<PortResult<Vec<_>>>()?;
        let nodes = rows
            .iter()
            .map(|row| row.name())
            .collect::<PortResult<Vec<_>>>()?;
        let by_category = self
            .roles_of(Mode::Category, Property::Name, &categories)
            .await?;
        let by_node = self
            .roles_of(Mode::Device, Property::Hostname, &nodes)
            .await?;
        let mut all = Vec::new();
        for (row, node) in rows.iter().zip(&nodes) {
            let mut sources = from_overlays(overlays, row)?;
            if by_category
                .get(&row.category)
                .is_some_and(|roles| !roles.is_empty())
            {
                let category = CategoryName::new(row.category.as_str()).map_err(unusable)?;
                sources.push(RoleSource::Category(category));
            }
            let listed = by_node.get(node.as_str()).map_or(&[][..], Vec::as_slice);
            if own_role(node, listed, &sources)? {
                sources.push(RoleSource::Node);
            }
            all.push(sources);
        }
        Ok(all)
    }

    /// The origins of `Etcd::Host` as the roles submode of each object lists it.
    ///
    /// How an empty list is printed is not documented. So the object's name is printed before and
    /// after each list: what stands between them is the list, and that they are there says that the
    /// batch came so far. `home; <mode>; use "x"` is what `path` prints (administrator manual 2.5.2).
    async fn roles_of(
        &self,
        mode: Mode,
        name_of: Property,
        names: &[impl Name],
    ) -> PortResult<BTreeMap<String, Vec<Origin>>> {
        let mut found = BTreeMap::new();
        for chunk in names.chunks(CHUNK) {
            let mut script = Script::default();
            for name in chunk {
                let enter = |script: Script| script.then(Mode::Home).then(mode).enter(name);
                script = enter(script).then(Verb::Get).with(name_of);
                script = script
                    .then(Mode::Roles)
                    .then(Verb::List)
                    .with(Argument::Json);
                script = enter(script).then(Verb::Get).with(name_of);
            }
            let answer = self.ask(&script).await?;
            let marks: Vec<&str> = chunk.iter().map(Name::text).collect();
            for (mark, section) in marks.iter().zip(answer.sections(&marks)?) {
                let origins = origins(&section)
                    .map_err(|fault| unreadable(&answer.script, &format!("on {mark} {fault}")))?;
                found.insert((*mark).to_owned(), origins);
            }
        }
        Ok(found)
    }

    pub(crate) async fn read_etcd_role(
        &self,
        named: Option<OverlayName>,
        asked: &[NodeName],
    ) -> PortResult<EtcdRole> {
        let mut overlays = self.overlays().await?;
        let overlay = self.choose(&overlays, named.as_ref()).await?;
        let role = RoleText::read(self, &overlay).await?;
        overlays.retain(Overlay::gives_etcd);
        let devices = self.devices().await?;
        let is_asked = |row: &DeviceRow| asked.iter().any(|node| node.as_str() == row.hostname);
        if let Some(lost) = asked.iter().find(|node| {
            let known = |row: &DeviceRow| row.hostname == node.as_str();
            !devices.iter().any(known)
        }) {
            return Err(absent("device", lost.as_str()));
        }
        let rows: Vec<&DeviceRow> = devices
            .iter()
            .filter(|row| row.node || is_asked(row))
            .collect();
        let mut holders = Vec::new();
        for (row, sources) in rows.iter().zip(self.sources(&overlays, &rows).await?) {
            // The role of another overlay belongs to another etcd cluster.
            if is_asked(row) || sources.iter().any(|source| of_overlay(source, &overlay)) {
                holders.push(role.holder(row, sources)?);
            }
        }
        Ok(EtcdRole {
            overlay,
            spool: role.spool,
            holders,
        })
    }

    /// One property of the role, which must be a single word.
    pub(super) async fn role_property(
        &self,
        overlay: &OverlayName,
        property: Property,
    ) -> PortResult<String> {
        let script = Script::default().then(Mode::Overlay).enter(overlay);
        let script = script
            .then(Mode::Roles)
            .then(Verb::Use)
            .with(Role::EtcdHost);
        let script = script.then(Verb::Get).with(property);
        let answer = self.ask(&script).await?;
        if let [_] = answer.words().as_slice() {
            return answer.line();
        }
        if answer.complaint().is_some() {
            return Err(answer.unreadable(&format!("is no value: {}", shown(&answer.stdout))));
        }
        let what = format!(
            "{} of Etcd::Host in {overlay} gives no single value but {}",
            property.text(),
            shown(&answer.stdout)
        );
        Err(role_error(what).hint(
            "a restored member has one name, one peer URL and one client URL: leave one in the role",
        ))
    }
}

/// The role's properties, `$hostname` and `$ip` not yet substituted.
struct RoleText {
    spool: AbsPath,
    member: String,
    peer_url: String,
    client_url: String,
}

impl RoleText {
    async fn read(cmsh: &Cmsh, overlay: &OverlayName) -> PortResult<Self> {
        let (spool, member, peer_url, client_url) = tokio::try_join!(
            cmsh.role_property(overlay, Property::Spool),
            cmsh.role_property(overlay, Property::MemberName),
            cmsh.role_property(overlay, Property::AdvertisePeerUrls),
            cmsh.role_property(overlay, Property::AdvertiseClientUrls),
        )?;
        let spool = AbsPath::new(spool).map_err(bad_role)?;
        Ok(Self {
            spool,
            member,
            peer_url,
            client_url,
        })
    }

    fn holder(&self, row: &DeviceRow, sources: Vec<RoleSource>) -> PortResult<RoleHolder> {
        let fill = |text: &str| fill(text, &row.hostname, &row.ip);
        Ok(RoleHolder {
            node: row.name()?,
            member: MemberName::new(fill(&self.member)?).map_err(bad_role)?,
            peer_url: EtcdUrl::new(fill(&self.peer_url)?).map_err(bad_role)?,
            client_url: EtcdUrl::new(fill(&self.client_url)?).map_err(bad_role)?,
            sources,
        })
    }
}

fn role_error(what: String) -> AdapterError {
    AdapterError::new(codes::ETCD_ROLE, Certainty::Refused, what).hint(
        "look at the role in cmsh: `configurationoverlay; use OVERLAY; roles; use etcd::host; show`",
    )
}

fn bad_role(error: NameError) -> AdapterError {
    role_error("a property of the role Etcd::Host cannot be used".into()).caused_by(error)
}

fn fill(text: &str, hostname: &str, ip: &str) -> PortResult<String> {
    let filled = text
        .replace(Placeholder::Hostname.text(), hostname)
        .replace(Placeholder::Ip.text(), ip);
    if filled.contains('$') || (text.contains(Placeholder::Ip.text()) && ip.is_empty()) {
        let what = format!("{} cannot be filled in for {hostname}", shown(text));
        return Err(role_error(what));
    }
    Ok(filled)
}

fn of_overlay(source: &RoleSource, overlay: &OverlayName) -> bool {
    match source {
        RoleSource::OverlayNode(name)
        | RoleSource::OverlayCategory(name, _)
        | RoleSource::OverlayHeadNodes(name) => name == overlay,
        RoleSource::Category(_) | RoleSource::Node => true,
    }
}

fn from_overlays(overlays: &[Overlay], row: &DeviceRow) -> PortResult<Vec<RoleSource>> {
    let mut sources = Vec::new();
    for overlay in overlays {
        let name = || OverlayName::new(overlay.name.as_str()).map_err(unusable);
        if overlay.nodes()?.contains(&row.hostname) {
            sources.push(RoleSource::OverlayNode(name()?));
        }
        if !row.head_node && overlay.categories()?.contains(&row.category) {
            let category = CategoryName::new(row.category.as_str()).map_err(unusable)?;
            sources.push(RoleSource::OverlayCategory(name()?, category));
        }
        if row.head_node && overlay.all_head_nodes()? {
            sources.push(RoleSource::OverlayHeadNodes(name()?));
        }
    }
    Ok(sources)
}

/// Every `Etcd::Host` of a role list, in JSON or as a plain table, with its mark of origin:
/// `[category:default] Etcd::Host` (administrator manual 2.5.2).
fn origins(section: &str) -> Result<Vec<Origin>, String> {
    let section = section.trim();
    if section.is_empty() {
        return Ok(Vec::new());
    }
    let mut texts = Vec::new();
    match serde_json::from_str::<Value>(section) {
        Ok(Value::Array(rows)) => {
            for cell in rows
                .iter()
                .filter_map(Value::as_object)
                .flat_map(|row| row.values())
            {
                texts.extend(cell.as_str().map(str::to_owned));
            }
        }
        Ok(_) => return Err("is no list".into()),
        Err(_) => {
            let mut lines = section.lines().skip_while(|line| !is_rule(line));
            if lines.next().is_none() {
                return Err(format!("is neither JSON nor a table: {}", shown(section)));
            }
            texts.extend(lines.map(str::to_owned));
        }
    }
    Ok(texts.iter().filter_map(|text| origin(text)).collect())
}

/// The line of dashes below a table's titles.
fn is_rule(line: &str) -> bool {
    line.contains("---") && line.chars().all(|c| c == '-' || c == ' ')
}

fn origin(text: &str) -> Option<Origin> {
    let lower = text.to_ascii_lowercase();
    let at = lower.find(Role::EtcdHost.text())?;
    let mark = text[..at].trim().trim_matches(['[', ']']).trim();
    Some((!mark.is_empty()).then(|| mark.to_owned()))
}

/// Whether the node has the role by itself.
///
/// Only the mark of a category has been seen, none of an overlay. So a single unmarked role of a node
/// that an overlay gives the role to counts as the overlay's; once the overlay has let go of the node,
/// an own role is the only one left, and is found.
fn own_role(node: &NodeName, listed: &[Origin], sources: &[RoleSource]) -> PortResult<bool> {
    let unmarked = listed.iter().any(Option::is_none);
    let marked = listed.iter().flatten().next();
    match (unmarked, marked) {
        (true, Some(_)) => Ok(true),
        (true, None) => Ok(sources.is_empty()),
        (false, Some(mark)) if sources.is_empty() => {
            let what = format!(
                "{node} lists Etcd::Host as inherited from {}, and nothing found gives it the role",
                shown(mark)
            );
            Err(
                AdapterError::new(codes::CMSH_ANSWER, Certainty::NotDone, what)
                    .hint("see `device; use NODE; roles; list` in cmsh"),
            )
        }
        (false, _) => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(listed: &[Option<&str>], sources: &[RoleSource]) -> PortResult<bool> {
        let listed: Vec<Origin> = listed.iter().map(|o| o.map(str::to_owned)).collect();
        own_role(&NodeName::new("node001").unwrap(), &listed, sources)
    }

    #[test]
    fn role_lists_in_either_form() {
        let table = "Name (key)\n----------------------------\n[category:default] slurmclient\n\
                     [category:default] Etcd::Host\nEtcd::Host\n";
        let category = Some("category:default".to_owned());
        assert_eq!(origins(table).unwrap(), [category.clone(), None]);
        let json = r#"[{"name (key)": "[category:default] etcd::host"}, {"name (key)": "x"}]"#;
        assert_eq!(origins(json).unwrap(), [category]);
        assert!(origins(" \n").unwrap().is_empty());
        assert!(origins("[ ]").unwrap().is_empty());
        assert!(origins("list: command not found").is_err());
        assert!(origins("{}").is_err());
    }

    #[test]
    fn an_own_role_is_told_from_an_inherited_one() {
        let overlay = RoleSource::OverlayNode(OverlayName::new("e").unwrap());
        let overlay = std::slice::from_ref(&overlay);
        assert!(!own(&[], &[]).unwrap());
        assert!(own(&[None], &[]).unwrap());
        assert!(!own(&[None], overlay).unwrap());
        assert!(own(&[None, Some("overlay:e")], overlay).unwrap());
        assert!(!own(&[Some("overlay:e")], overlay).unwrap());
        assert_eq!(
            own(&[Some("overlay:x")], &[]).unwrap_err().code,
            codes::CMSH_ANSWER
        );
    }

    #[test]
    fn placeholders_are_filled_in() {
        let filled = fill("https://$ip:2380", "node001", "10.141.0.1").unwrap();
        assert_eq!(filled, "https://10.141.0.1:2380");
        assert_eq!(fill("$hostname", "node001", "").unwrap(), "node001");
        assert!(fill("https://$ip:2380", "node001", "").is_err());
        assert!(fill("$fqdn", "node001", "10.141.0.1").is_err());
    }
}
