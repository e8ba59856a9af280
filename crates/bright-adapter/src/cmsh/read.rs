//! Questions about devices, categories and overlays.

use runbook_core::error::{AdapterError, Certainty};
use runbook_core::names::{CategoryName, NameError, NodeName, OverlayName};
use runbook_core::ports::PortResult;
use runbook_core::world::{Device, DeviceStatus, InstallMode};

use super::answer::Row;
use super::lexicon::{DeviceType, Install, Mode, Property, Role, Word as _};
use super::script::Script;
use super::{Cmsh, status};
use crate::codes;
use crate::text::shown;

/// A row of `device; list`.
#[derive(Debug)]
pub(crate) struct DeviceRow {
    row: Row,
    pub(crate) hostname: String,
    pub(crate) head_node: bool,
    /// Whether it has roles at all: switches and power distribution units have none.
    pub(crate) node: bool,
    /// Whether the block devices to be cleared could be asked for at all.
    tells_cleared: bool,
    /// Empty for a head node, which has none.
    pub(crate) category: String,
    pub(super) ip: String,
}

/// A row of `configurationoverlay; list`.
#[derive(Debug)]
pub(crate) struct Overlay {
    row: Row,
    pub(crate) name: String,
    /// Priority -1 disables an overlay (administrator manual 2.1.6).
    pub(crate) enabled: bool,
    pub(crate) etcd: bool,
    pub(crate) api_server: bool,
}

pub(super) fn absent(what: &str, name: &str) -> AdapterError {
    let what = format!("Bright knows no {what} {name}");
    AdapterError::new(codes::CMSH_ABSENT, Certainty::Refused, what)
        .hint("compare the spec with what `restore-runbook discover` finds")
}

/// A name that Bright has and this tool cannot use.
pub(super) fn unusable(error: NameError) -> AdapterError {
    let what = "Bright answered with a name that cannot be used";
    AdapterError::new(codes::CMSH_ANSWER, Certainty::Refused, what)
        .hint("give it a name of letters, digits, dots, dashes and underscores in Bright")
        .caused_by(error)
}

/// Whether cmsh answered, and not with what was asked for.
fn is_refusal(error: &AdapterError) -> bool {
    let codes = [codes::CMSH_REFUSED, codes::CMSH_ABSENT, codes::CMSH_ANSWER];
    codes.contains(&error.code)
}

impl DeviceRow {
    fn read(row: Row, tells_cleared: bool) -> PortResult<Self> {
        let kind = row.text(Property::Type)?;
        // Bright before 9 says MasterNode.
        let head_node = matches!(
            DeviceType::of(&kind),
            Some(DeviceType::Head | DeviceType::Master)
        );
        Ok(Self {
            hostname: row.text(Property::Hostname)?,
            head_node,
            node: DeviceType::Any.ends(&kind),
            category: row.text_or_empty(Property::Category)?,
            ip: row.text_or_empty(Property::Ip)?,
            tells_cleared,
            row,
        })
    }

    pub(crate) fn name(&self) -> PortResult<NodeName> {
        NodeName::new(self.hostname.as_str()).map_err(unusable)
    }

    pub(crate) fn status(&self) -> PortResult<(DeviceStatus, Vec<String>)> {
        Ok(status::parse(&self.row.printed(Property::Status)?))
    }

    pub(crate) fn datanode(&self) -> PortResult<bool> {
        self.row.flag(Property::Datanode)
    }

    pub(crate) fn next_install_mode(&self) -> PortResult<Option<InstallMode>> {
        let text = self.row.text(Property::NextInstallMode)?;
        if text.is_empty() {
            return Ok(None);
        }
        let mode = Install::of(&text).map(InstallMode::from).map(Some);
        mode.ok_or_else(|| {
            let what = format!("reads {}", shown(&text));
            self.row.bad(Property::NextInstallMode, &what)
        })
    }

    /// An empty list may be no column at all. None where cmsh does not know the property.
    pub(crate) fn cleared_at_boot(&self) -> PortResult<Option<Vec<String>>> {
        if !self.tells_cleared {
            return Ok(None);
        }
        let devices = self.row.items_or_none(Property::ClearedAtBoot)?;
        Ok(Some(devices.iter().map(|device| shown(device)).collect()))
    }
}

impl Cmsh {
    /// Every device. One property is only good to know: where cmsh refuses it, the rest must still be
    /// had.
    pub(crate) async fn devices(&self) -> PortResult<Vec<DeviceRow>> {
        match self.devices_with(true).await {
            Err(refused) if is_refusal(&refused) => {
                self.devices_with(false).await.map_err(|_| refused)
            }
            other => other,
        }
    }

    async fn devices_with(&self, cleared: bool) -> PortResult<Vec<DeviceRow>> {
        let mut columns = vec![
            Property::Hostname,
            Property::Type,
            Property::Category,
            Property::Ip,
            Property::Status,
            Property::Datanode,
            Property::NextInstallMode,
        ];
        columns.extend(cleared.then_some(Property::ClearedAtBoot));
        let script = Script::default().then(Mode::Device).list(&columns);
        let rows = self.ask(&script).await?.rows()?;
        let devices: Vec<DeviceRow> = rows
            .into_iter()
            .map(|row| DeviceRow::read(row, cleared))
            .collect::<PortResult<_>>()?;
        unique(
            &script,
            devices.iter().map(|device| device.hostname.as_str()),
        )?;
        Ok(devices)
    }

    pub(super) async fn device_row(&self, node: &NodeName) -> PortResult<DeviceRow> {
        let devices = self.devices().await?;
        let found = devices.into_iter().find(|d| d.hostname == node.as_str());
        found.ok_or_else(|| absent("device", node.as_str()))
    }

    pub(super) async fn read_device(&self, node: &NodeName) -> PortResult<Device> {
        let device = self.device_row(node).await?;
        let (status, flags) = device.status()?;
        let installer = status::installer(&status);
        if device.head_node {
            // A head node is in no category and never provisioned: it has no use for the rest.
            let category = CategoryName::new(Device::HEAD_NODE).map_err(unusable)?;
            return Ok(Device {
                category,
                head_node: true,
                status,
                flags,
                datanode: false,
                category_datanode: false,
                next_install_mode: None,
                cleared_at_boot: Some(Vec::new()),
                installer: None,
            });
        }
        let category = CategoryName::new(device.category.as_str()).map_err(unusable)?;
        Ok(Device {
            category_datanode: self.category_datanode(&category).await?,
            category,
            head_node: false,
            status,
            flags,
            datanode: device.datanode()?,
            next_install_mode: device.next_install_mode()?,
            cleared_at_boot: device.cleared_at_boot()?,
            installer,
        })
    }

    /// `datanode` of every category, by name.
    pub(crate) async fn categories(&self) -> PortResult<Vec<(String, bool)>> {
        let script = Script::default()
            .then(Mode::Category)
            .list(&[Property::Name, Property::Datanode]);
        let rows = self.ask(&script).await?.rows()?;
        let flag = |row: &Row| Ok((row.text(Property::Name)?, row.flag(Property::Datanode)?));
        rows.iter().map(flag).collect()
    }

    pub(super) async fn category_datanode(&self, category: &CategoryName) -> PortResult<bool> {
        let categories = self.categories().await?;
        let found = categories
            .iter()
            .find(|(name, _)| name == category.as_str());
        found
            .map(|(_, datanode)| *datanode)
            .ok_or_else(|| absent("category", category.as_str()))
    }

    pub(super) async fn read_category(
        &self,
        category: &CategoryName,
    ) -> PortResult<(bool, Vec<NodeName>)> {
        let datanode = self.category_datanode(category).await?;
        let devices = self.devices().await?;
        let members = devices.iter().filter(|d| d.category == category.as_str());
        Ok((
            datanode,
            members.map(DeviceRow::name).collect::<PortResult<_>>()?,
        ))
    }

    pub(crate) async fn overlays(&self) -> PortResult<Vec<Overlay>> {
        let script = Script::default().then(Mode::Overlay).list(&[
            Property::Name,
            Property::Priority,
            Property::AllHeadNodes,
            Property::Nodes,
            Property::Categories,
            Property::Roles,
        ]);
        let rows = self.ask(&script).await?.rows()?;
        let overlays: Vec<Overlay> = rows
            .into_iter()
            .map(Overlay::read)
            .collect::<PortResult<_>>()?;
        unique(
            &script,
            overlays.iter().map(|overlay| overlay.name.as_str()),
        )?;
        Ok(overlays)
    }

    pub(super) async fn overlay(&self, name: &OverlayName) -> PortResult<Overlay> {
        let overlays = self.overlays().await?;
        let found = overlays.into_iter().find(|o| o.name == name.as_str());
        found.ok_or_else(|| absent("configuration overlay", name.as_str()))
    }
}

impl Overlay {
    fn read(row: Row) -> PortResult<Self> {
        let priority = row.text(Property::Priority)?;
        let priority: i64 = priority
            .parse()
            .map_err(|_| row.bad(Property::Priority, &format!("reads {}", shown(&priority))))?;
        let roles = row.items(Property::Roles)?;
        let has = |wanted| roles.iter().any(|role| Role::of(role) == Some(wanted));
        Ok(Self {
            name: row.text(Property::Name)?,
            enabled: priority >= 0,
            etcd: has(Role::EtcdHost),
            api_server: has(Role::ApiServer),
            row,
        })
    }

    /// Whether it makes members of whatever it applies to.
    pub(super) const fn gives_etcd(&self) -> bool {
        self.etcd && self.enabled
    }

    pub(crate) fn nodes(&self) -> PortResult<Vec<String>> {
        self.row.nodes(Property::Nodes)
    }

    pub(super) fn categories(&self) -> PortResult<Vec<String>> {
        self.row.items(Property::Categories)
    }

    pub(super) fn all_head_nodes(&self) -> PortResult<bool> {
        self.row.flag(Property::AllHeadNodes)
    }
}

fn unique<'a>(script: &Script, names: impl Iterator<Item = &'a str>) -> PortResult<()> {
    let mut seen = std::collections::BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            let what = format!("names {} twice", shown(name));
            return Err(super::answer::unreadable(script.text(), &what));
        }
    }
    Ok(())
}
