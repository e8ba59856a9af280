//! What properties each kind of object has. The names are the lower-cased field names of
//! `CMDaemon`; only `spool`, `nodes`, `datanode` and a few more are confirmed by documents.

use serde::{Deserialize, Serialize};

/// The kinds of objects, each with a mode of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Device,
    Category,
    ConfigurationOverlay,
    Etcd,
    Kubernetes,
    SoftwareImage,
}

/// What a property can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Text,
    Number,
    Flag,
    List,
    /// Names of nodes, shown as ranges in tables.
    Nodes,
    /// Names of categories.
    Categories,
    InstallMode,
    ReadOnly,
}

impl Shape {
    pub(crate) fn is_list(self) -> bool {
        matches!(self, Self::List | Self::Nodes | Self::Categories)
    }
}

/// One property.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    /// How `show` and a default table call it.
    pub(crate) title: &'static str,
    pub(crate) shape: Shape,
    pub(crate) default: &'static str,
}

const fn field(
    name: &'static str,
    title: &'static str,
    shape: Shape,
    default: &'static str,
) -> Field {
    Field {
        name,
        title,
        shape,
        default,
    }
}

const DEVICE: &[Field] = &[
    field("type", "Type", Shape::ReadOnly, "PhysicalNode"),
    field("hostname", "Hostname", Shape::Text, ""),
    field("mac", "MAC", Shape::Text, "00:00:00:00:00:00"),
    field("category", "Category", Shape::Text, ""),
    field("ip", "Ip", Shape::Text, ""),
    field("datanode", "Data node", Shape::Flag, "no"),
    field(
        "nextinstallmode",
        "Next boot install mode",
        Shape::InstallMode,
        "",
    ),
    field("installmode", "Install mode", Shape::InstallMode, ""),
    field(
        "blockdevicesclearedonnextboot",
        "Block devices cleared on next boot",
        Shape::List,
        "",
    ),
    field("powercontrol", "Power control", Shape::Text, "ipmi0"),
    field("notes", "Notes", Shape::Text, ""),
];

const CATEGORY: &[Field] = &[
    field("name", "Name", Shape::Text, ""),
    field(
        "softwareimage",
        "Software image",
        Shape::Text,
        "default-image",
    ),
    field("datanode", "Data node", Shape::Flag, "no"),
    field("installmode", "Install mode", Shape::InstallMode, "AUTO"),
    field(
        "newnodeinstallmode",
        "New node install mode",
        Shape::InstallMode,
        "FULL",
    ),
    field("notes", "Notes", Shape::Text, ""),
];

const OVERLAY: &[Field] = &[
    field("name", "Name", Shape::Text, ""),
    field("priority", "Priority", Shape::Number, "500"),
    field("allheadnodes", "All head nodes", Shape::Flag, "no"),
    field("nodes", "Nodes", Shape::Nodes, ""),
    field("categories", "Categories", Shape::Categories, ""),
];

const ETCD: &[Field] = &[
    field("name", "Name", Shape::Text, ""),
    field(
        "heartbeatinterval",
        "Heart beat interval",
        Shape::Number,
        "100",
    ),
    field("electiontimeout", "Election timeout", Shape::Number, "1000"),
    field(
        "ca",
        "CA",
        Shape::Text,
        "/etc/kubernetes/pki/default/etcd/ca.crt",
    ),
    field(
        "cakey",
        "CA key",
        Shape::Text,
        "/etc/kubernetes/pki/default/etcd/ca.key",
    ),
    field(
        "membercertificate",
        "Member certificate",
        Shape::Text,
        "/etc/kubernetes/pki/default/etcd-member.crt",
    ),
    field(
        "membercertificatekey",
        "Member certificate key",
        Shape::Text,
        "/etc/kubernetes/pki/default/etcd-member.key",
    ),
    field(
        "clientcertificate",
        "Client certificate",
        Shape::Text,
        "/etc/kubernetes/pki/default/apiserver-etcd-client.crt",
    ),
    field(
        "clientcertificatekey",
        "Client certificate key",
        Shape::Text,
        "/etc/kubernetes/pki/default/apiserver-etcd-client.key",
    ),
    field("clientca", "Client CA", Shape::Text, ""),
    field("notes", "Notes", Shape::Text, ""),
];

const KUBERNETES: &[Field] = &[
    field("name", "Name", Shape::Text, ""),
    field("etcdcluster", "Etcd cluster", Shape::Text, ""),
    field("version", "Version", Shape::Text, ""),
    field("notes", "Notes", Shape::Text, ""),
];

const IMAGE: &[Field] = &[
    field("name", "Name", Shape::Text, ""),
    field("path", "Path", Shape::Text, "/cm/images/default-image"),
    field("notes", "Notes", Shape::Text, ""),
];

const ETCD_HOST: &[Field] = &[
    field("type", "Type", Shape::ReadOnly, "Etcd::Host"),
    field("membername", "Member name", Shape::Text, "$hostname"),
    field("spool", "Spool", Shape::Text, "/var/lib/etcd"),
    field(
        "listenclienturls",
        "Listen client URLs",
        Shape::List,
        "https://0.0.0.0:2379",
    ),
    field(
        "listenpeerurls",
        "Listen peer URLs",
        Shape::List,
        "https://0.0.0.0:2380",
    ),
    field(
        "advertiseclienturls",
        "Advertise client URLs",
        Shape::List,
        "https://$ip:2379",
    ),
    field(
        "advertisepeerurls",
        "Advertise peer URLs",
        Shape::List,
        "https://$ip:2380",
    ),
    field("snapshotcount", "Snapshot count", Shape::Number, "100000"),
    field("maxsnapshots", "Max snapshots", Shape::Number, "5"),
    field("loglevel", "Log level", Shape::Text, "INFO"),
    field("options", "Options", Shape::List, ""),
    field("etcdcluster", "Etcd cluster", Shape::Text, ""),
    field("membercertificate", "Member certificate", Shape::Text, ""),
    field(
        "membercertificatekey",
        "Member certificate key",
        Shape::Text,
        "",
    ),
];

const API_SERVER: &[Field] = &[
    field("type", "Type", Shape::ReadOnly, "Kubernetes::ApiServer"),
    field("options", "Options", Shape::List, ""),
    field("kubecluster", "Kube cluster", Shape::Text, ""),
];

const OTHER_ROLE: &[Field] = &[
    field("type", "Type", Shape::ReadOnly, ""),
    field("options", "Options", Shape::List, ""),
];

impl Kind {
    pub(crate) const ALL: [Self; 6] = [
        Self::Device,
        Self::Category,
        Self::ConfigurationOverlay,
        Self::Etcd,
        Self::Kubernetes,
        Self::SoftwareImage,
    ];

    /// The word that enters the mode.
    pub(crate) fn mode(self) -> &'static str {
        match self {
            Self::Device => "device",
            Self::Category => "category",
            Self::ConfigurationOverlay => "configurationoverlay",
            Self::Etcd => "etcd",
            Self::Kubernetes => "kubernetes",
            Self::SoftwareImage => "softwareimage",
        }
    }

    /// The word in `Successfully committed 1 Devices`; only that one is documented.
    pub(crate) fn plural(self) -> &'static str {
        match self {
            Self::Device => "Devices",
            Self::Category => "Categories",
            Self::ConfigurationOverlay => "ConfigurationOverlays",
            Self::Etcd => "EtcdClusters",
            Self::Kubernetes => "KubeClusters",
            Self::SoftwareImage => "SoftwareImages",
        }
    }

    pub(crate) fn key(self) -> &'static str {
        if self == Self::Device {
            "hostname"
        } else {
            "name"
        }
    }

    pub(crate) fn fields(self) -> &'static [Field] {
        match self {
            Self::Device => DEVICE,
            Self::Category => CATEGORY,
            Self::ConfigurationOverlay => OVERLAY,
            Self::Etcd => ETCD,
            Self::Kubernetes => KUBERNETES,
            Self::SoftwareImage => IMAGE,
        }
    }

    pub(crate) fn has_roles(self) -> bool {
        matches!(
            self,
            Self::Device | Self::Category | Self::ConfigurationOverlay
        )
    }
}

/// The properties of a role.
pub(crate) fn role_fields(role: &str) -> &'static [Field] {
    match role.to_ascii_lowercase().as_str() {
        "etcd::host" => ETCD_HOST,
        "kubernetes::apiserver" => API_SERVER,
        _ => OTHER_ROLE,
    }
}

/// The install modes (admin manual 5.4.4); empty means "inherit".
pub(crate) const INSTALL_MODES: [&str; 5] = ["AUTO", "FULL", "MAIN", "NOSYNC", "SKIP"];

/// Booleans as `set` takes them (admin manual 2.5.3).
pub(crate) fn parse_flag(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "yes" | "1" | "on" | "true" => Some(true),
        "no" | "0" | "off" | "false" => Some(false),
        _ => None,
    }
}
