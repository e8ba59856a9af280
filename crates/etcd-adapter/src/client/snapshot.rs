//! The stream of a snapshot from one member.
//!
//! etcd sends the database in messages of 32 KiB, each with the number of bytes that remain, and then
//! 32 bytes more: the SHA-256 of all of them (`server/etcdserver/api/v3rpc/maintenance.go`).

use std::time::Duration;

use etcd_client::{Client, SnapshotStreaming};
use runbook_core::error::{AdapterError, Certainty};
use runbook_core::names::EtcdUrl;
use runbook_core::ports::PortResult;

use super::fault::{self, Call};
use super::{GrpcClient, Login, odd};

/// Bytes of the hash behind the database.
const TRAILER: u64 = 32;

/// A snapshot on its way.
pub struct SnapshotStream {
    url: EtcdUrl,
    login: Option<Login>,
    idle: Duration,
    stream: SnapshotStreaming,
    /// The connection lives as long as the stream.
    _client: Client,
    received: u64,
    expected: Option<u64>,
}

impl std::fmt::Debug for SnapshotStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SnapshotStream")
            .field("url", &self.url)
            .field("received", &self.received)
            .field("expected", &self.expected)
            .finish_non_exhaustive()
    }
}

impl GrpcClient {
    /// Has a member send a snapshot of its own state, which is as far as this member has come.
    ///
    /// `idle` is how long it may be silent in between; the whole may take any time.
    ///
    /// # Errors
    /// With the code of what went wrong. With authentication on, only a user with the role `root`
    /// gets one.
    pub async fn snapshot(&self, url: &EtcdUrl, idle: Duration) -> PortResult<SnapshotStream> {
        let opened = self.ask(url, |mut client| async move {
            let stream = client.snapshot().await?;
            Ok((client, stream))
        });
        let (client, stream) = opened.await?;
        Ok(SnapshotStream {
            url: url.clone(),
            login: self.login.clone(),
            idle,
            stream,
            _client: client,
            received: 0,
            expected: None,
        })
    }
}

impl SnapshotStream {
    /// The next bytes; none when all have come, as many as were announced.
    ///
    /// # Errors
    /// `snapshot-stalled` when the member is silent for too long, `snapshot-broken` when it ends too
    /// early or too late, and the codes of every other call.
    pub async fn next(&mut self) -> PortResult<Option<Vec<u8>>> {
        let message = tokio::time::timeout(self.idle, self.stream.message())
            .await
            .map_err(|_| self.stalled())?
            .map_err(|error| fault::of(&self.url, Call::Read, &error, self.login.as_ref()))?;
        let Some(message) = message else {
            return match self.expected {
                Some(expected) if expected == self.received => Ok(None),
                _ => Err(self.broken("ended")),
            };
        };
        let bytes = message.blob().to_vec();
        self.received = self.received.saturating_add(bytes.len() as u64);
        let remaining = message.remaining_bytes();
        let total = self.received.saturating_add(remaining);
        if self.expected.is_none() {
            self.expected = Some(total.saturating_add(TRAILER));
        }
        if self.received > self.expected.unwrap_or(u64::MAX) {
            return Err(self.broken("went on"));
        }
        if bytes.is_empty() && remaining > 0 {
            return Err(odd(&self.url, "an empty part of a snapshot"));
        }
        Ok(Some(bytes))
    }

    /// Bytes in all, the hash at the end included; known after the first part.
    pub const fn expected(&self) -> Option<u64> {
        self.expected
    }

    fn so_far(&self) -> String {
        match self.expected {
            Some(expected) => format!("after {} of {expected} bytes", self.received),
            None => "before the first byte".into(),
        }
    }

    fn stalled(&self) -> AdapterError {
        let (url, so_far, idle) = (&self.url, self.so_far(), self.idle.as_secs_f64());
        let what = format!("etcd at {url} was silent for {idle} s {so_far} of a snapshot");
        AdapterError::new("snapshot-stalled", Certainty::NotDone, what)
    }

    fn broken(&self, how: &str) -> AdapterError {
        let (url, so_far) = (&self.url, self.so_far());
        let what = format!("the snapshot from etcd at {url} {how} {so_far}");
        AdapterError::new("snapshot-broken", Certainty::NotDone, what)
    }
}
