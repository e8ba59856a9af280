//! What the operator wants: the spec, a small YAML file that `discover` writes and a person edits.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::names::{
    AbsPath, ClusterLabel, EtcdUrl, ModuleName, NodeName, OverlayName, Owner, ServiceName,
};
use crate::text::shortened;
use crate::version::EtcdVersion;
use crate::world::{BumpRule, RecordedRevisions};

/// The spec format this build writes and reads.
pub const SPEC_FORMAT: u32 = 1;

/// The largest spec read, in bytes: a spec is a page, not a database.
pub const SPEC_LIMIT_BYTES: usize = 256 * 1024;

/// What to restore, from which snapshot, onto which nodes, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Always 1 so far.
    pub format: u32,
    /// The label runs are filed under; Bright's own label of the Kubernetes cluster, as `default`.
    pub cluster: ClusterLabel,
    /// The overlay that carries `Etcd::Host`; found by its role where absent, and by the label where there
    /// are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlay: Option<OverlayName>,
    /// The snapshot on the head node, which every node must see under the same path.
    pub snapshot: AbsPath,
    /// The members: every node that carries the role, and only those.
    pub members: Vec<MemberSpec>,
    /// The environment module that puts etcd's tools on the path of a node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module: Option<ModuleName>,
    /// The etcd release on the nodes; read from a node or from the module's name where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etcd_version: Option<EtcdVersion>,
    /// The systemd unit of etcd on the nodes.
    #[serde(default = "default_service")]
    pub service: ServiceName,
    /// Who must own the restored data.
    #[serde(default = "default_owner")]
    pub owner: Owner,
    /// How the FULL install of a data node gets its leave.
    #[serde(default, skip_serializing_if = "FullInstall::is_default")]
    pub full_install: FullInstall,
    /// How far to move the revision past the snapshot's, so that watchers notice the restore.
    #[serde(default)]
    pub revision_bump: RevisionBump,
    /// When the members become data nodes again.
    #[serde(default, skip_serializing_if = "DatanodeAgain::is_default")]
    pub datanode_again: DatanodeAgain,
    /// How many members are worked on at once inside a phase.
    #[serde(default = "default_parallel")]
    pub parallel: u16,
    /// How long to wait for what.
    #[serde(default)]
    pub deadlines: Deadlines,
    /// Refusals the operator lifts, each with a reason that goes into plan and journal.
    #[serde(default, skip_serializing_if = "Allowances::is_empty")]
    pub allow: Allowances,
}

/// One member in the spec.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberSpec {
    /// The node.
    pub node: NodeName,
    /// Whether the node's disk is wiped and provisioned anew (FULL) before the restore.
    #[serde(with = "bright_word")]
    pub reprovision: bool,
    /// The member's client URL, where it is not what the role advertises.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_url: Option<EtcdUrl>,
    /// The member's peer URL, where it is not what the role advertises.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer_url: Option<EtcdUrl>,
}

/// How the installer of a data node, which asks before it wipes, gets its leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FullInstall {
    /// It does not ask: `datanode` is lowered before the reboot, as in the article.
    #[default]
    DatanodeNo,
    /// It asks, and the run answers with `installerinteractions`: `datanode` is never lowered.
    Confirm,
}

impl FullInstall {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// When the members become data nodes again, so that a FULL provisioning asks before it wipes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DatanodeAgain {
    /// In the article's order: when etcd is up again. Until then a reboot may wipe restored data.
    #[default]
    AfterReassign,
    /// As soon as the disks are provisioned: restored data never lies on a node that is no data node.
    AfterReprovision,
}

impl DatanodeAgain {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// How far the revision is moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevisionBump {
    /// Where the release has the flag, [`DEFAULT_BUMP`] past the highest revision that is on record
    /// beside the snapshot, or past the snapshot's own without a record. Otherwise none, and the plan
    /// says so.
    #[default]
    Auto,
    /// Not at all.
    None,
    /// By this many revisions; refused where the release lacks the flag.
    By(u64),
}

/// What etcd recommends for Kubernetes: more than a week at 1,500 writes a second.
pub const DEFAULT_BUMP: u64 = 1_000_000_000;

impl RevisionBump {
    /// What is asked of a restore, given what is on record.
    pub fn rule(self, recorded: Option<RecordedRevisions>) -> Option<BumpRule> {
        match self {
            Self::Auto => Some(BumpRule {
                by: DEFAULT_BUMP,
                past: recorded.map_or(0, |recorded| recorded.highest.revision),
            }),
            Self::None => None,
            Self::By(by) => Some(BumpRule { by, past: 0 }),
        }
    }
}

/// How long each kind of wait may take, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Deadlines {
    /// A question to cmsh or a node, or a quick effect.
    pub quick_s: u32,
    /// etcd to stop. 120: a leadership transfer alone may take 7 s, and `CMDaemon` acts after a delay.
    pub stop_s: u32,
    /// A FULL provisioning, from reboot to a shell. 5 to 20 minutes are reported from the field.
    pub reprovision_s: u32,
    /// `snapshot restore` on a node.
    pub restore_s: u32,
    /// etcd to come up on every member once the role is back; `CMDaemon` starts it "after some delays".
    pub start_s: u32,
    /// Seconds between two looks while waiting.
    pub poll_s: u32,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            quick_s: 60,
            stop_s: 120,
            reprovision_s: 3600,
            restore_s: 1800,
            start_s: 600,
            poll_s: 5,
        }
    }
}

/// Refusals lifted by name, each with the operator's reason.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Allowances {
    /// Go on although a quorum of the old cluster still answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quorum: Option<String>,
    /// Restore a snapshot without a single Kubernetes key: a started etcd would look empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub empty_snapshot: Option<String>,
    /// Restore a database file that was copied out of a data directory: it lacks the SHA-256 that a
    /// snapshot ends with, so that only its structure and its meaning are proven.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_trailer: Option<String>,
    /// Lower `datanode` on these categories while their members are reprovisioned.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub category_datanode: BTreeMap<crate::names::CategoryName, String>,
    /// Take over the guards that these runs, which are over, have left behind.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub guards: BTreeMap<crate::names::RunId, String>,
}

impl Allowances {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A spec that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// Not YAML, an unknown field, or a value of the wrong kind.
    #[error("the spec cannot be read: {0}")]
    Syntax(String),
    /// Larger than [`SPEC_LIMIT_BYTES`].
    #[error("the spec is larger than {SPEC_LIMIT_BYTES} bytes")]
    TooLarge,
    /// Another format number.
    #[error("the spec has format {0}, this build reads format {SPEC_FORMAT}")]
    Format(u32),
    /// Readable, but it says something impossible.
    #[error("{field}: {problem}")]
    Value {
        /// The field, as `members[1].node`.
        field: String,
        /// What is wrong with it.
        problem: String,
    },
}

impl SpecError {
    /// The stable error code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Syntax(_) => "spec-syntax",
            Self::TooLarge => "spec-too-large",
            Self::Format(_) => "spec-format",
            Self::Value { .. } => "spec-value",
        }
    }

    /// What to do next.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Format(_) => {
                "write a fresh spec with `restore-runbook discover` and carry your edits over"
            }
            _ => "`restore-runbook discover` writes a correct spec to start from",
        }
    }
}

impl Spec {
    /// Reads and checks a spec.
    ///
    /// # Errors
    /// [`SpecError`], naming the field.
    pub fn from_yaml(text: &str) -> Result<Self, SpecError> {
        if text.len() > SPEC_LIMIT_BYTES {
            return Err(SpecError::TooLarge);
        }
        let spec: Self = serde_yaml::from_str(text).map_err(|error: serde_yaml::Error| {
            // The line itself is not shown: a file that was mistaken for a spec may hold a secret.
            SpecError::Syntax(shortened(&error.without_snippet().to_string()))
        })?;
        spec.check()?;
        Ok(spec)
    }

    /// Writes the spec.
    ///
    /// # Errors
    /// [`SpecError::Syntax`] should the writer fail, which no checked spec is known to cause.
    pub fn to_yaml(&self) -> Result<String, SpecError> {
        serde_yaml::to_string(self).map_err(|e| SpecError::Syntax(e.to_string()))
    }

    /// Whether some member's disk is wiped.
    pub fn reprovisions(&self) -> bool {
        self.members.iter().any(|m| m.reprovision)
    }

    fn check(&self) -> Result<(), SpecError> {
        let wrong = |field: String, problem: &str| {
            Err(SpecError::Value {
                field,
                problem: problem.into(),
            })
        };
        if self.format != SPEC_FORMAT {
            return Err(SpecError::Format(self.format));
        }
        if self.members.len().is_multiple_of(2) {
            return wrong(
                "members".into(),
                "Bright's etcd clusters have an odd number of members",
            );
        }
        if self.members.len() > 9 {
            return wrong(
                "members".into(),
                "more than nine members is no etcd cluster",
            );
        }
        for (at, member) in self.members.iter().enumerate() {
            if self.members[..at].iter().any(|m| m.node == member.node) {
                return wrong(format!("members[{at}].node"), "this node is listed twice");
            }
        }
        if self.parallel == 0 {
            return wrong(
                "parallel".into(),
                "at least one member must be worked on at a time",
            );
        }
        let d = &self.deadlines;
        if [
            d.quick_s,
            d.stop_s,
            d.reprovision_s,
            d.restore_s,
            d.start_s,
            d.poll_s,
        ]
        .contains(&0)
        {
            return wrong(
                "deadlines".into(),
                "a wait of zero seconds can never succeed",
            );
        }
        if d.poll_s > 60 {
            return wrong(
                "deadlines.poll_s".into(),
                "looking less than once a minute is not watching",
            );
        }
        if matches!(self.revision_bump, RevisionBump::By(by) if by > 1 << 48) {
            return wrong(
                "revision_bump".into(),
                "more than 2^48 revisions is no plausible distance",
            );
        }
        let reasons = self
            .allow
            .quorum
            .iter()
            .chain(&self.allow.empty_snapshot)
            .chain(&self.allow.no_trailer)
            .chain(self.allow.category_datanode.values())
            .chain(self.allow.guards.values());
        if reasons
            .map(|r| r.trim().len())
            .any(|len| len == 0 || len > 500)
        {
            return wrong("allow".into(), "a reason is required, in at most 500 bytes");
        }
        Ok(())
    }
}

fn default_service() -> ServiceName {
    ServiceName::new("etcd").unwrap_or_else(|_| unreachable!("a constant that parses"))
}

fn default_owner() -> Owner {
    Owner::new("etcd:etcd").unwrap_or_else(|_| unreachable!("a constant that parses"))
}

const fn default_parallel() -> u16 {
    3
}

/// Bright's booleans: yes/1/on/true and no/0/off/false in any case (administrator manual 2.5.3).
/// YAML 1.2 reads a bare `yes` as a string, so both spellings have to be taken.
mod bright_word {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Word {
        Bool(bool),
        Text(String),
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    pub(super) fn serialize<S: Serializer>(value: &bool, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(if *value { "yes" } else { "no" })
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<bool, D::Error> {
        match Word::deserialize(input)? {
            Word::Bool(value) => Ok(value),
            Word::Text(text) => match text.to_ascii_lowercase().as_str() {
                "yes" | "on" | "true" | "1" => Ok(true),
                "no" | "off" | "false" | "0" => Ok(false),
                _ => Err(D::Error::custom("write yes or no")),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THREE: &str = "\
format: 1
cluster: default
snapshot: /cm/shared/backup/etcd/etcd-node001-20220321135652
members:
  - node: node001
    reprovision: yes
  - node: node002
    reprovision: no
  - node: node003
    reprovision: true
";

    #[test]
    fn brights_words_are_booleans() {
        let spec = Spec::from_yaml(THREE).unwrap();
        let wiped: Vec<bool> = spec.members.iter().map(|m| m.reprovision).collect();
        assert_eq!(wiped, [true, false, true]);
    }

    #[test]
    fn a_spec_survives_its_text() {
        let mut spec = Spec::from_yaml(THREE).unwrap();
        spec.revision_bump = RevisionBump::By(7);
        spec.allow.quorum = Some("lab: the other two: #comment".into());
        assert_eq!(Spec::from_yaml(&spec.to_yaml().unwrap()), Ok(spec));
    }

    /// The page has every field, in a spec that can be read and in its table.
    #[test]
    fn the_page_of_the_spec_is_whole() {
        fn fields(value: &serde_json::Value, found: &mut Vec<String>) {
            match value {
                serde_json::Value::Object(map) => {
                    for (name, value) in map {
                        found.push(name.clone());
                        fields(value, found);
                    }
                }
                serde_json::Value::Array(items) => items.iter().for_each(|one| fields(one, found)),
                _ => {}
            }
        }
        let page = include_str!("../../../docs/spec.md");
        let (_, rest) = page.split_once("```yaml\n").unwrap();
        let (yaml, table) = rest.split_once("```").unwrap();
        let spec = Spec::from_yaml(yaml).unwrap();
        let mut found = Vec::new();
        fields(&serde_json::to_value(&spec).unwrap(), &mut found);
        let missing = |name: &&String| {
            let named = [format!("`{name}`"), format!(".{name}`")];
            !named.iter().any(|name| table.contains(name.as_str()))
        };
        let keys_of_maps = ["by", "default", "01936f6e-0000-7000-8000-000000000001"];
        found.retain(|name| !keys_of_maps.contains(&name.as_str()));
        assert!(found.len() > 25, "{found:?}");
        assert_eq!(found.iter().find(missing), None);
        // What is left out where it is as usual would not be found.
        for value in ["confirm", "after_reprovision"] {
            assert!(yaml.contains(value) && table.contains(value));
        }
    }

    #[test]
    fn nonsense_is_refused_with_its_field() {
        let cases = [
            ("reprovision: yes", "reprovision: maybe", "spec-syntax"),
            ("node: node002", "node: node001", "spec-value"),
            ("node: node002", "node: \"node002;reboot\"", "spec-syntax"),
            ("format: 1", "format: 2", "spec-format"),
            (
                "cluster: default",
                "cluster: default\nparallel: 0",
                "spec-value",
            ),
            (
                "cluster: default",
                "cluster: default\ncolour: red",
                "spec-syntax",
            ),
            ("snapshot: /cm", "snapshot: ../cm", "spec-syntax"),
        ];
        for (from, to, code) in cases {
            let error = Spec::from_yaml(&THREE.replacen(from, to, 1)).unwrap_err();
            assert_eq!(error.code(), code, "{to}: {error}");
        }
        let two: String = THREE.split_inclusive('\n').take(8).collect();
        assert_eq!(Spec::from_yaml(&two).unwrap_err().code(), "spec-value");
    }
}
