//! Whether this head node may still act: a failover in mid-run hands the cluster to the other one.

use std::time::Duration;

use super::Run;
use super::failure::deposed;
use crate::event::Failure;
use crate::plan::Check;
use crate::probe::{self, Finding};

/// How often that is asked while a unit is waited for. Before each effect it is asked anyway.
pub(super) const ASK_EVERY: Duration = Duration::from_secs(30);

/// The part this head node plays right now.
pub(super) enum Head {
    /// It may act, or nobody can tell at the moment.
    NotDeposed,
    /// It may not.
    Passive(Failure),
}

impl Run<'_> {
    pub(super) async fn head(&self) -> Head {
        match probe::one(self.ports, &Check::HeadIsActive, None).await {
            Finding::Never { seen, .. } => Head::Passive(deposed(&seen)),
            _ => Head::NotDeposed,
        }
    }
}
