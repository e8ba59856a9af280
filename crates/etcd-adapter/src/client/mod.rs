//! etcd's client API over gRPC.
//!
//! Every call opens a connection of its own to exactly one member. `etcd-client` balances over the
//! endpoints it is given, and a status must be of one member; and a connection kept over a restore
//! would carry a token of a server that is gone. A connection costs a few milliseconds, and calls
//! are seconds apart.

mod certificate;
mod fault;
mod hidden;
mod settings;
mod snapshot;
mod vitals;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use etcd_client::{AlarmAction, AlarmType, Client, ConnectOptions, GetOptions, HashKvResponse};
use jiff::Timestamp;
use runbook_core::error::{AdapterError, Certainty};
use runbook_core::identity::MemberId;
use runbook_core::journal::Permit;
use runbook_core::names::EtcdUrl;
use runbook_core::plan::{ClientEffect, Command};
use runbook_core::ports::{CommandEntry, CommandLog, EtcdClient, NoLog, PortResult};
use runbook_core::world::{HashKv, ListedMember, MemberStatus};

use crate::snapshot::{Alarm, AlarmKind};
pub use certificate::{NotAfter, check_client_certificate};
use fault::Call;
pub use settings::{Login, Timeouts, TlsFiles};
pub use snapshot::SnapshotStream;
pub use vitals::Vitals;

/// etcd's client API, one connection per call.
pub struct GrpcClient {
    tls: TlsFiles,
    timeouts: Timeouts,
    login: Option<Login>,
    log: Arc<dyn CommandLog>,
}

impl fmt::Debug for GrpcClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GrpcClient")
            .field("timeouts", &self.timeouts)
            .field("login", &self.login)
            .finish_non_exhaustive()
    }
}

impl GrpcClient {
    /// A client; nothing is connected, and no file is read, before the first call.
    pub fn new(tls: TlsFiles, timeouts: Timeouts, login: Option<Login>) -> Self {
        Self {
            tls,
            timeouts,
            login,
            log: Arc::new(NoLog),
        }
    }

    /// Has a log take note of every write.
    #[must_use]
    pub fn logged(mut self, log: Arc<dyn CommandLog>) -> Self {
        self.log = log;
        self
    }

    /// Asks one member for something that changes nothing.
    async fn ask<T, F>(&self, url: &EtcdUrl, question: impl FnOnce(Client) -> F) -> PortResult<T>
    where
        F: Future<Output = Result<T, etcd_client::Error>>,
    {
        self.call(url, Call::Read, question).await
    }

    async fn call<T, F>(
        &self,
        url: &EtcdUrl,
        call: Call,
        body: impl FnOnce(Client) -> F,
    ) -> PortResult<T>
    where
        F: Future<Output = Result<T, etcd_client::Error>>,
    {
        let client = match self.open(url).await? {
            Some(client) => client,
            // A server that is going down may hang up once; one that does so again means it.
            None => self.open(url).await?.ok_or_else(|| fault::hung_up(url))?,
        };
        self.within(url, call, Box::pin(body(client))).await
    }

    /// A connection that has answered once; none when the other side has hung up instead.
    ///
    /// Connections are lazy, and with TLS 1.3 a server turns a client's certificate down only after
    /// the handshake, by hanging up. Asking for the status first tells a member that does not want
    /// us from one that cannot answer: the second has lost its quorum, the first has not. It also
    /// means that a write which fails without a doubt left was never sent.
    async fn open(&self, url: &EtcdUrl) -> PortResult<Option<Client>> {
        let opened = async {
            // With a login this is a call already.
            let endpoint = [url.as_str().to_owned()];
            let mut client = Client::connect(endpoint, Some(self.options(url))).await?;
            match client.status().await {
                Ok(_) => Ok(Some(client)),
                Err(error) if fault::is_hangup(&error) => Ok(None),
                Err(error) => Err(error),
            }
        };
        self.within(url, Call::Read, Box::pin(opened)).await
    }

    async fn within<T>(
        &self,
        url: &EtcdUrl,
        call: Call,
        body: Pin<Box<impl Future<Output = Result<T, etcd_client::Error>>>>,
    ) -> PortResult<T> {
        // The channel has the same limits; this one holds whatever state it is in.
        let limit = self.timeouts.connect + self.timeouts.request;
        match tokio::time::timeout(limit, body).await {
            Ok(answer) => answer.map_err(|error| fault::of(url, call, &error, self.login.as_ref())),
            Err(_) => Err(fault::timed_out(url, call)),
        }
    }

    /// Writes without a permit: only `perform`, and a rehearsal to an etcd of its own, may call it.
    pub(crate) async fn write(&self, effect: ClientEffect) -> PortResult<()> {
        match effect {
            ClientEffect::PutCanary { url, key, value } => {
                self.call(&url, Call::Write, |mut client| async move {
                    client.put(key, value, None).await.map(drop)
                })
                .await
            }
            ClientEffect::DeleteCanary { url, key } => {
                self.call(&url, Call::Write, |mut client| async move {
                    client.delete(key, None).await.map(drop)
                })
                .await
            }
        }
    }

    fn options(&self, url: &EtcdUrl) -> ConnectOptions {
        let mut options = ConnectOptions::new()
            .with_connect_timeout(self.timeouts.connect)
            .with_timeout(self.timeouts.request);
        // etcd-client refuses TLS options for a plain URL.
        if url.as_str().starts_with("https:") {
            options = options.with_tls(self.tls.options());
        }
        if let Some(login) = &self.login {
            options = options.with_user(&login.user, &login.password);
        }
        options
    }
}

#[async_trait]
impl EtcdClient for GrpcClient {
    fn render(&self, effect: &ClientEffect) -> PortResult<Vec<Command>> {
        let words = match effect {
            ClientEffect::PutCanary { url, key, .. } => format!("put {key} through {url}"),
            ClientEffect::DeleteCanary { url, key } => format!("delete {key} through {url}"),
        };
        Ok(vec![Command::api(words)])
    }

    async fn perform(&self, _: &Permit, effect: &ClientEffect) -> PortResult<()> {
        let begun = Instant::now();
        let written = self.write(effect.clone()).await;
        for command in self.render(effect)? {
            self.log.record(&CommandEntry {
                command,
                effect: true,
                status: written.is_ok().then_some(0),
                output: written
                    .as_ref()
                    .err()
                    .map_or_else(String::new, AdapterError::chain),
                took: begun.elapsed(),
            });
        }
        written
    }

    async fn credentials(&self) -> PortResult<String> {
        let now = Timestamp::now();
        certificate::check_authority(&self.tls.ca, now)?;
        let NotAfter(end) = check_client_certificate(&self.tls.certificate, now)?;
        // Making a client reads the key and compares it with the certificate; without a login it
        // connects to nobody.
        let options = ConnectOptions::new().with_tls(self.tls.options());
        Client::connect(["https://localhost:2379"], Some(options))
            .await
            .map_err(|error| fault::unusable(&error))?;
        Ok(format!("the client's certificate is valid until {end}"))
    }

    async fn status(&self, url: &EtcdUrl) -> PortResult<MemberStatus> {
        Ok(self.vitals(url).await?.status)
    }

    async fn members(&self, url: &EtcdUrl) -> PortResult<Vec<ListedMember>> {
        let list = self
            .ask(url, |mut client| async move { client.member_list().await })
            .await?;
        let listed = |member: &etcd_client::Member| ListedMember {
            id: MemberId(member.id()),
            name: member.name().to_owned(),
            peer_urls: member.peer_urls().to_vec(),
            learner: member.is_learner(),
        };
        Ok(list.members().iter().map(listed).collect())
    }

    async fn alarms(&self, url: &EtcdUrl) -> PortResult<Vec<String>> {
        let answer = self
            .ask(url, |mut client| async move {
                client.alarm(AlarmAction::Get, AlarmType::None, None).await
            })
            .await?;
        let words = |alarm: &etcd_client::AlarmMember| {
            let member = alarm.member_id();
            let kind = match alarm.alarm() {
                AlarmType::None => AlarmKind::Other(0),
                AlarmType::Nospace => AlarmKind::NoSpace,
                AlarmType::Corrupt => AlarmKind::Corrupt,
            };
            Alarm { member, kind }.to_string()
        };
        Ok(answer.alarms().iter().map(words).collect())
    }

    async fn hash_kv(&self, url: &EtcdUrl, revision: i64) -> PortResult<Option<HashKv>> {
        let answer = self.ask(url, |client| hash_kv(client, revision)).await?;
        Ok(answer.map(|answer| HashKv {
            hash: answer.hash(),
            compact_revision: answer.compact_version(),
        }))
    }

    async fn count(&self, url: &EtcdUrl, prefix: &str, revision: i64) -> PortResult<Option<u64>> {
        // Not serializable: the member must have caught up with the quorum to answer. The crate
        // turns the empty prefix into the range from \0 to \0: every key.
        let options = GetOptions::new()
            .with_prefix()
            .with_count_only()
            .with_revision(revision);
        let answer = self
            .ask(url, |mut client| async move {
                unless_compacted(client.get(prefix, Some(options)).await)
            })
            .await?;
        answer
            .map(|answer| {
                u64::try_from(answer.count()).map_err(|_| odd(url, "a negative count of keys"))
            })
            .transpose()
    }

    async fn get(&self, url: &EtcdUrl, key: &str) -> PortResult<Option<Vec<u8>>> {
        let answer = self
            .ask(url, |mut client| async move { client.get(key, None).await })
            .await?;
        Ok(answer.kvs().first().map(|pair| pair.value().to_vec()))
    }
}

/// `HashKV` at a revision, also at the one that was compacted last.
///
/// etcd 3.4.23 counts the compact revision itself as compacted, unless it is the newest and asked for
/// as 0 (seen with a snapshot that was compacted up to its end); etcd 3.5 answers with a hash that it
/// kept from before the compaction. So the newest is asked for first: a revision that is the newest
/// once the answer is there was the newest all along.
async fn hash_kv(
    mut client: Client,
    revision: i64,
) -> Result<Option<HashKvResponse>, etcd_client::Error> {
    let newest = client.hash_kv(0).await?;
    let now = newest.header().map(etcd_client::ResponseHeader::revision);
    if revision == 0 || now == Some(revision) {
        return Ok(Some(newest));
    }
    unless_compacted(client.hash_kv(revision).await)
}

fn unless_compacted<T>(
    answer: Result<T, etcd_client::Error>,
) -> Result<Option<T>, etcd_client::Error> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if fault::is_compacted(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn odd(url: &EtcdUrl, what: &str) -> AdapterError {
    AdapterError::new(
        "etcd-answer",
        Certainty::Refused,
        format!("etcd at {url} answered with {what}"),
    )
    .hint("is it really etcd that listens there? Look at the member's log")
}
