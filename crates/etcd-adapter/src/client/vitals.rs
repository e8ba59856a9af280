//! What one member says of itself.

use runbook_core::identity::{ClusterId, MemberId};
use runbook_core::names::EtcdUrl;
use runbook_core::ports::PortResult;
use runbook_core::version::EtcdVersion;
use runbook_core::world::MemberStatus;

use super::{GrpcClient, odd};

/// A member's whole status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vitals {
    /// What every command wants to know.
    pub status: MemberStatus,
    /// Whether it has no vote.
    pub learner: bool,
    /// Raft index of the last entry it has applied: how far it has come.
    pub applied_index: u64,
    /// Bytes of its database file.
    pub database_bytes: u64,
    /// Bytes of it that are in use; the rest goes with a defragmentation.
    pub in_use_bytes: u64,
    /// The quota in bytes, which etcd tells from 3.6 on.
    pub quota_bytes: Option<u64>,
}

impl GrpcClient {
    /// Asks one member for its status.
    ///
    /// # Errors
    /// With the code of what went wrong, as `etcd-unreachable`, `etcd-timeout` or `etcd-tls`.
    pub async fn vitals(&self, url: &EtcdUrl) -> PortResult<Vitals> {
        let status = self
            .ask(url, |mut client| async move { client.status().await })
            .await?;
        let header = status
            .header()
            .ok_or_else(|| odd(url, "a status without header"))?;
        let version = EtcdVersion::parse(status.version())
            .map_err(|error| odd(url, "a status with an odd version").caused_by(error))?;
        let bytes = |number: i64| u64::try_from(number).unwrap_or(0);
        Ok(Vitals {
            status: MemberStatus {
                cluster: ClusterId(header.cluster_id()),
                member: MemberId(header.member_id()),
                leader: (status.leader() != 0).then_some(MemberId(status.leader())),
                revision: header.revision(),
                version,
                errors: status.errors().to_vec(),
            },
            learner: status.is_learner(),
            applied_index: status.raft_applied_index(),
            database_bytes: bytes(status.db_size()),
            in_use_bytes: bytes(status.raft_used_db_size()),
            quota_bytes: Some(bytes(status.db_size_quota())).filter(|quota| *quota > 0),
        })
    }
}
