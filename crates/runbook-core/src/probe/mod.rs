//! From facts to answers: whether a check holds.
//!
//! The only place that decides what a fact means. An unclear world is never read as a good one: what
//! cannot be seen is [`Finding::Blind`], and what can no longer come true is [`Finding::Never`].
//!
//! One function answers one check; they are filed by whom they ask.

mod client;
mod installer;
mod manager;
mod node;
mod tool;

use std::time::Duration;

use crate::error::AdapterError;
use crate::journal::Baseline;
use crate::names::NodeName;
use crate::plan::Check;
use crate::ports::{PortResult, Ports};

/// The answer to a check.
#[derive(Debug)]
pub enum Finding {
    /// It holds; what was seen.
    Holds(String),
    /// It does not hold; what was seen.
    NotYet(String),
    /// It does not hold, but the effect has begun: wait, and do not act again.
    Underway(String),
    /// It is under way and stands: somebody else has to do something, and then it goes on by itself.
    Held {
        /// The stable error code.
        code: &'static str,
        /// What was seen.
        seen: String,
        /// What to do.
        hint: &'static str,
    },
    /// It is under way and may take a while; where it takes longer than that, it stands as [`Self::Held`]
    /// does.
    Slow {
        /// The stable error code, once it stands.
        code: &'static str,
        /// What was seen.
        seen: String,
        /// What to do then.
        hint: &'static str,
    },
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

use Finding::{Blind, Held, Holds, Never, NotYet, Slow, Stopped, Underway};

impl Finding {
    /// What was seen, in one line.
    pub fn seen(&self) -> String {
        match self {
            Holds(seen)
            | NotYet(seen)
            | Underway(seen)
            | Slow { seen, .. }
            | Stopped { seen, .. }
            | Never { seen, .. } => seen.clone(),
            Held { code, seen, .. } => format!("{seen} [{code}]"),
            Blind(error) => format!("cannot be seen: {}", error.chain()),
        }
    }
}

/// How long what is slow has been seen in the same place, one look behind the other.
#[derive(Debug, Default)]
pub(crate) struct Slowness(Option<(&'static str, Duration)>);

impl Slowness {
    /// What is slow is under way at first, and stands behind `patience`.
    pub(crate) fn judge(&mut self, finding: Finding, now: Duration, patience: Duration) -> Finding {
        let (code, seen, hint) = match finding {
            Slow { code, seen, hint } => (code, seen, hint),
            // One look that tells nothing says nothing of the time either.
            Blind(_) => return finding,
            _ => {
                self.0 = None;
                return finding;
            }
        };
        let (_, since) = *match &mut self.0 {
            Some(same) if same.0 == code => same,
            other => other.insert((code, now)),
        };
        if now.saturating_sub(since) < patience {
            return Underway(seen);
        }
        Held { code, seen, hint }
    }
}

/// Asks the checks in order; the answer is the first one that does not hold, or that all do.
///
/// `before` is the world right before the unit's first action; none when there has been no intent.
pub async fn all(ports: &Ports, checks: &[Check], before: Option<&Baseline>) -> Finding {
    let mut seen = Vec::with_capacity(checks.len());
    let mut booted = false;
    let mut uncleared = None;
    for check in checks {
        match one(ports, check, before).await {
            Holds(fact) => {
                booted |= matches!(check, Check::Rebooted { .. } | Check::Provisioned { .. });
                seen.push(fact);
            }
            // The installer clears `nextinstallmode` in its own time. A node that has booted for this
            // run is not booted again for that: it would be wiped a second time. Meanwhile its disk
            // tells whether there was an installer at all.
            NotYet(fact) if booted => {
                uncleared.get_or_insert_with(|| installer::uncleared(fact));
            }
            other => return other,
        }
    }
    uncleared.unwrap_or_else(|| Holds(seen.join("; ")))
}

/// A node that gives no answer: what the cluster manager knows of it.
pub(crate) async fn silent(ports: &Ports, node: &NodeName, error: AdapterError) -> Finding {
    installer::silent(ports, node, error).await
}

/// Asks one check.
pub async fn one(ports: &Ports, check: &Check, before: Option<&Baseline>) -> Finding {
    answer(ports, check, before).await.unwrap_or_else(Blind)
}

/// Who answers which check. A new check does not compile before somebody does.
#[expect(
    clippy::too_many_lines,
    reason = "one arm a check: a list, however long"
)]
async fn answer(ports: &Ports, check: &Check, before: Option<&Baseline>) -> PortResult<Finding> {
    match check {
        Check::HeadIsActive => manager::head_is_active(ports).await,
        Check::RoleUnchanged {
            overlay,
            spool,
            nodes,
        } => manager::role_unchanged(ports, overlay, spool, nodes).await,
        Check::RoleAbsent { nodes } => manager::role_absent(ports, nodes).await,
        Check::RoleAssigned { overlay, nodes } => {
            manager::role_assigned(ports, overlay, nodes).await
        }
        Check::DatanodeIs { node, value } => manager::datanode_is(ports, node, *value).await,
        Check::CategoryDatanodeIs { category, value } => {
            manager::category_datanode_is(ports, category, *value).await
        }
        Check::DatanodeEffective { node, value } => {
            manager::datanode_effective(ports, node, *value).await
        }
        Check::NextInstallModeIs { node, mode } => {
            manager::next_install_mode_is(ports, node, *mode).await
        }
        Check::NextBootIsOrdinary { node } => manager::next_boot_is_ordinary(ports, node).await,
        Check::Rebooted { node, was_up } => installer::rebooted(ports, node, *was_up, before).await,
        Check::AtInstaller { node, was_up } => {
            installer::at_installer(ports, node, *was_up, before).await
        }
        Check::InstallerAsks { node } => installer::installer_asks(ports, node).await,
        Check::Provisioned { node } => installer::provisioned(ports, node).await,
        Check::OutOfInstaller { node, sent_from } => {
            installer::out_of_installer(ports, node, sent_from.as_ref()).await
        }
        Check::NothingClearedAtBoot { node } => {
            installer::nothing_cleared_at_boot(ports, node).await
        }

        Check::SnapshotSeen {
            node,
            path,
            trailer,
            size_bytes,
            spool,
            must_survive_wipe,
        } => {
            node::snapshot_seen(
                ports,
                node,
                path,
                (*trailer, *size_bytes),
                spool,
                *must_survive_wipe,
            )
            .await
        }
        Check::RoomFor {
            node,
            dir,
            disk_bytes,
            memory_bytes,
        } => node::room_for(ports, node, dir, *disk_bytes, *memory_bytes).await,
        Check::ServiceStopped { node, service } => {
            node::service_stopped(ports, node, service).await
        }
        Check::ServiceStartable { node, service } => {
            node::service_startable(ports, node, service).await
        }
        Check::PortsClosed { node, ports: asked } => node::ports_closed(ports, node, asked).await,
        Check::PathPresent { node, path } => node::path_present(ports, node, path).await,
        Check::PathAbsent { node, path } => node::path_absent(ports, node, path).await,
        Check::Guarded {
            node,
            spool,
            run,
            instead_of,
        } => node::guarded(ports, node, spool, *run, *instead_of).await,
        Check::NoDataAt { node, spool } => node::no_data_at(ports, node, spool).await,
        Check::SpoolHoldsData { node, spool } => node::spool_holds_data(ports, node, spool).await,
        Check::DiskIsFresh { node, spool, aside } => {
            node::disk_is_fresh(ports, node, spool, aside).await
        }
        Check::TreeOwned { node, tree, owner } => node::tree_owned(ports, node, tree, owner).await,

        Check::SnapshotProven { path, sha256 } => tool::snapshot_proven(ports, path, *sha256).await,
        Check::ToolsMatch {
            node,
            module,
            version,
        } => tool::tools_match(ports, node, module, *version).await,
        Check::Staged { node, staging, run } => tool::staged(ports, node, staging, *run).await,
        Check::StagedAlike { stagings, run } => tool::staged_alike(ports, stagings, *run).await,
        Check::Armed {
            node,
            spool,
            staging,
            run,
        } => tool::armed(ports, node, spool, staging, *run).await,

        Check::CredentialsGood => client::credentials_good(ports).await,
        Check::QuorumLost { members, allowed } => {
            client::quorum_lost(ports, members, allowed.as_deref()).await
        }
        Check::Identity {
            url,
            member,
            cluster,
            members,
        } => client::identity(ports, url, *member, *cluster, members).await,
        Check::OneLeader { urls } => client::one_leader(ports, urls).await,
        Check::HashesAlike { urls, predicted } => {
            client::hashes_alike(ports, urls, *predicted).await
        }
        Check::RevisionAtLeast { url, revision } => {
            client::revision_at_least(ports, url, *revision).await
        }
        Check::CountAtLeast {
            url,
            prefix,
            keys,
            revision,
        } => client::count_at_least(ports, url, prefix, *keys, *revision).await,
        Check::KeyReads { url, key, value } => {
            client::key_reads(ports, url, key, value.as_deref()).await
        }

        Check::ApiServerTold { node, members } => node::api_server_told(ports, node, members).await,
        Check::Own { kind, params } => own(ports, kind, params).await,
    }
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

fn holds_if(right: bool, seen: String) -> Finding {
    if right { Holds(seen) } else { NotYet(seen) }
}

const fn held(code: &'static str, seen: String, hint: &'static str) -> Finding {
    Held { code, seen, hint }
}

const fn slow(code: &'static str, seen: String, hint: &'static str) -> Finding {
    Slow { code, seen, hint }
}

const fn never(code: &'static str, seen: String, hint: &'static str) -> Finding {
    Never { code, seen, hint }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However long was waited for something else before: what is slow has its own time, in each place anew.
    #[test]
    fn what_is_slow_stands_after_its_own_time() {
        let mut slowness = Slowness::default();
        let mut judged = |finding, now| {
            let (now, patience) = (Duration::from_secs(now), Duration::from_secs(10));
            slowness.judge(finding, now, patience)
        };
        let slowly = |code| slow(code, "seen".into(), "hint");
        assert!(matches!(judged(slowly("a"), 100), Underway(_)));
        assert!(matches!(judged(slowly("a"), 109), Underway(_)));
        assert!(matches!(judged(slowly("a"), 110), Held { code: "a", .. }));
        assert!(matches!(judged(slowly("b"), 111), Underway(_)));
        assert!(matches!(judged(NotYet("other".into()), 120), NotYet(_)));
        assert!(matches!(judged(slowly("b"), 125), Underway(_)));
        assert!(matches!(judged(slowly("b"), 135), Held { code: "b", .. }));
    }
}
