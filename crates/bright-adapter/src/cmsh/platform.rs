//! Which Bright this is. No step depends on it: what cannot be told is left open.

use runbook_core::names::{NodeName, OverlayName};
use runbook_core::platform::{ApiServerRole, Platform};
use runbook_core::ports::PortResult;

use super::Cmsh;
use super::lexicon::{Mode, Verb, VersionLine, Word as _};
use super::script::Script;

/// A release is a few digits and dots.
const RELEASE_CHARS: usize = 24;

/// `Cluster Manager 11.0` in `main versioninfo`; only seen by third parties.
pub(crate) fn release(text: &str) -> Option<String> {
    let line = VersionLine::ClusterManager.text().to_lowercase();
    let rest = text.lines().find_map(|found| {
        let found = found.trim();
        let (head, rest) = found.split_at_checked(line.len())?;
        (head.to_lowercase() == line).then_some(rest)
    })?;
    let word = rest.trim_start_matches([' ', '\t', ':']);
    let word = word.split_whitespace().next()?;
    let fine = word.len() <= RELEASE_CHARS
        && word.starts_with(|c: char| c.is_ascii_digit())
        && word
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-'));
    fine.then(|| word.to_owned())
}

impl Cmsh {
    /// What is said of this release, as `Cluster Manager 11.0`.
    pub(crate) async fn version(&self) -> PortResult<String> {
        let script = Script::default().then(Mode::Main).with(Verb::VersionInfo);
        Ok(self.ask(&script).await?.stdout)
    }

    pub(super) async fn read_platform(&self) -> PortResult<Platform> {
        let told = self.version().await.ok();
        let overlays = self.overlays().await?;
        let role = overlays.iter().find(|o| o.enabled && o.api_server);
        let api_server_role = role.map(|overlay| -> PortResult<_> {
            let names = overlay.nodes()?;
            Ok(ApiServerRole {
                overlay: OverlayName::new(overlay.name.as_str()).map_err(super::read::unusable)?,
                nodes: names
                    .into_iter()
                    .filter_map(|name| NodeName::new(name).ok())
                    .collect(),
            })
        });
        let manage = self.programs.read(&self.config.etcd_manage, 1).await;
        Ok(Platform {
            release: told.and_then(|text| release(&text)),
            api_server_role: api_server_role.transpose()?,
            static_pods: Vec::new(),
            etcd_manage: manage.is_ok(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_read_and_nothing_else() {
        let text = "Product                Value\nCluster Manager        11.0\nCMDaemon 3.1\n";
        assert_eq!(release(text).as_deref(), Some("11.0"));
        assert_eq!(
            release("cluster manager: 9.2-12\n").as_deref(),
            Some("9.2-12")
        );
        for none in ["", "Cluster Manager", "Cluster Manager is down", "é"] {
            assert_eq!(release(none), None, "{none:?}");
        }
        let long = format!("Cluster Manager 9{}", "0".repeat(90));
        assert_eq!(release(&long), None);
    }
}
