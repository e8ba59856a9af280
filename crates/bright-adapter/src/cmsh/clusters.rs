//! Which overlay makes the members of which etcd cluster: there may be several on one head node.
//!
//! The role names its etcd cluster; an overlay's name, `kube-<label>-etcd`, is only a habit. Neither has
//! been seen on a real cluster, so both are asked only where there is something to choose.

use runbook_core::error::{AdapterError, Certainty};
use runbook_core::names::{ClusterLabel, OverlayName};
use runbook_core::ports::PortResult;

use super::Cmsh;
use super::lexicon::{Habit, Property, Word as _};
use super::read::{Overlay, absent, unusable};
use crate::codes;
use crate::text::shown;

/// An enabled overlay that carries the role.
struct Candidate {
    name: OverlayName,
    /// The etcd cluster that the role names, where it can be read.
    cluster: Option<String>,
}

impl Cmsh {
    /// The only overlay there is, or the one of this label.
    pub(crate) async fn read_etcd_overlay(&self, label: &ClusterLabel) -> PortResult<OverlayName> {
        let overlays = self.overlays().await?;
        let candidates = self.candidates(&overlays).await?;
        if let [one] = candidates.as_slice() {
            return Ok(one.name.clone());
        }
        let fitting: Vec<&Candidate> = candidates.iter().filter(|one| one.is(label)).collect();
        if let [one] = fitting.as_slice() {
            return Ok(one.name.clone());
        }
        if candidates.is_empty() {
            return Err(none());
        }
        let all = list(&candidates);
        let what = match fitting.len() {
            0 => {
                format!("several overlays carry Etcd::Host, and none is of cluster {label}: {all}")
            }
            _ => format!("several overlays carry Etcd::Host for cluster {label}: {all}"),
        };
        Err(refused(what).hint("say which: --cluster LABEL, or --overlay NAME"))
    }

    /// The overlay of this name, or the only one there is, if it makes all members of its cluster.
    pub(super) async fn choose(
        &self,
        overlays: &[Overlay],
        named: Option<&OverlayName>,
    ) -> PortResult<OverlayName> {
        if let Some(name) = named {
            usable(overlays, name)?;
        }
        let candidates = self.candidates(overlays).await?;
        let chosen = match (named, candidates.as_slice()) {
            (Some(name), _) => candidates.iter().find(|one| one.name == *name),
            (None, [one]) => Some(one),
            (None, []) => None,
            (None, _) => {
                let what = format!("several overlays carry Etcd::Host: {}", list(&candidates));
                return Err(refused(what)
                    .hint("each is another etcd cluster: name the overlay of the one to restore"));
            }
        };
        let chosen = chosen.ok_or_else(none)?;
        let twin = candidates.iter().find(|other| other.shares(chosen));
        match twin {
            None => Ok(chosen.name.clone()),
            Some(twin) => {
                let what = format!(
                    "overlays {} and {} both make members of one etcd cluster: {}",
                    chosen.name,
                    twin.name,
                    list(&candidates)
                );
                let hint = "a restore must have all of its members: list their nodes in one of the overlays, and disable the other (priority -1)";
                Err(refused(what).hint(hint))
            }
        }
    }

    /// The enabled overlays with the role; their clusters are asked where there are several.
    async fn candidates(&self, overlays: &[Overlay]) -> PortResult<Vec<Candidate>> {
        let enabled: Vec<&Overlay> = overlays.iter().filter(|o| o.gives_etcd()).collect();
        let mut candidates = Vec::new();
        for overlay in &enabled {
            let name = OverlayName::new(overlay.name.as_str()).map_err(unusable)?;
            let cluster = match enabled.len() {
                1 => None,
                _ => self.etcd_cluster(&name).await?,
            };
            candidates.push(Candidate { name, cluster });
        }
        Ok(candidates)
    }

    /// That a role names no cluster, or under another property, is no reason to stop.
    async fn etcd_cluster(&self, overlay: &OverlayName) -> PortResult<Option<String>> {
        match self.role_property(overlay, Property::EtcdCluster).await {
            Ok(cluster) => Ok(Some(cluster)),
            Err(error) if UNKNOWN.contains(&error.code) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// What a question about a property that is not there may end in: no wording of it is known.
const UNKNOWN: [&str; 4] = [
    codes::ETCD_ROLE,
    codes::CMSH_ANSWER,
    codes::CMSH_ABSENT,
    codes::CMSH_REFUSED,
];

impl Candidate {
    fn is(&self, label: &ClusterLabel) -> bool {
        let label = label.as_str();
        let cluster = format!("{}{label}", Habit::Prefix.text());
        let of_role = self.cluster.as_deref();
        match of_role {
            // What the role says counts more than a name.
            Some(named) => named == label || named == cluster,
            None => label_of(self.name.as_str()) == Some(label),
        }
    }

    fn shares(&self, other: &Self) -> bool {
        self.name != other.name && self.cluster.is_some() && self.cluster == other.cluster
    }
}

/// The label of the cluster that an overlay is named after, where its name follows the habit.
pub(crate) fn label_of(overlay: &str) -> Option<&str> {
    let rest = overlay.strip_prefix(Habit::Prefix.text())?;
    rest.strip_suffix(Habit::Suffix.text())
        .filter(|label| !label.is_empty())
}

fn list(candidates: &[Candidate]) -> String {
    let one = |one: &Candidate| match &one.cluster {
        Some(cluster) => format!("{} (etcd cluster {})", one.name, shown(cluster)),
        None => one.name.to_string(),
    };
    candidates.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn refused(what: String) -> AdapterError {
    AdapterError::new(codes::ETCD_OVERLAY, Certainty::Refused, what)
}

fn none() -> AdapterError {
    refused("no enabled configuration overlay carries the role Etcd::Host".into())
        .hint("name the overlay; a disabled one (priority -1) must be enabled first")
}

/// Whether the overlay named can be restored at all.
fn usable(overlays: &[Overlay], name: &OverlayName) -> PortResult<()> {
    let Some(overlay) = overlays.iter().find(|o| o.name == name.as_str()) else {
        return Err(absent("configuration overlay", name.as_str()));
    };
    if !overlay.etcd {
        let what = format!("overlay {name} does not carry the role Etcd::Host");
        return Err(refused(what).hint("see `configurationoverlay; list` in cmsh"));
    }
    if !overlay.enabled {
        let what = format!("overlay {name} is disabled: its priority is negative");
        return Err(refused(what).hint(
            "nothing it lists has the role; give it a priority of its own (the default is 500)",
        ));
    }
    Ok(())
}
