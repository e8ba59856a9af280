//! etcd, started from the scratch directory.

use std::net::TcpListener;
use std::process::Command;
use std::time::{Duration, Instant};

use runbook_core::names::EtcdUrl;
use runbook_core::ports::{EtcdClient as _, PortResult};
use runbook_core::world::MemberStatus;

use super::process::Running;
use super::scratch::Scratch;
use super::{NAME, Rehearsal, fault, pki};
use crate::client::{GrpcClient, Timeouts, TlsFiles};

/// How often etcd is asked whether it serves.
const POLL: Duration = Duration::from_millis(50);
/// Unused ports are looked for, not held; somebody may be faster this many times.
const TRIES: u8 = 3;

/// An etcd that serves.
pub(super) struct Serving {
    pub(super) process: Running,
    pub(super) client: GrpcClient,
    pub(super) url: EtcdUrl,
    /// What it said when it first had a leader, itself.
    pub(super) status: MemberStatus,
    /// How long it took from its start to that moment.
    pub(super) open: Duration,
}

/// A URL on loopback with a port that nobody listens on right now.
pub(super) fn unused_url() -> PortResult<EtcdUrl> {
    let port = TcpListener::bind(("127.0.0.1", 0))
        .and_then(|listener| listener.local_addr())
        .map_err(|error| fault("rehearsal-port", "no port on 127.0.0.1").caused_by(error))?
        .port();
    EtcdUrl::new(format!("https://127.0.0.1:{port}"))
        .map_err(|error| fault("rehearsal-port", "no URL on 127.0.0.1").caused_by(error))
}

/// Starts etcd, and waits until it serves.
pub(super) async fn start(
    rehearsal: &Rehearsal,
    scratch: &Scratch,
    tls: &TlsFiles,
    token: &str,
    peer: &EtcdUrl,
) -> PortResult<Serving> {
    let timeouts = Timeouts {
        request: rehearsal.settings.start_deadline,
        ..Timeouts::default()
    };
    for _ in 0..TRIES {
        let client = GrpcClient::new(tls.clone(), timeouts, None);
        let (url, listen) = (unused_url()?, unused_url()?);
        let mut command = rehearsal
            .programs
            .command(&rehearsal.settings.launcher, "etcd");
        flags(&mut command, rehearsal, scratch, [&url, &listen, peer]);
        command.args(["--initial-cluster-token", token]);
        let begun = Instant::now();
        let mut process = Running::start(command, scratch, "etcd.log")?;
        if let Some(status) = serves(rehearsal, &mut process, &client, &url).await? {
            return Ok(Serving {
                process,
                client,
                url,
                status,
                open: begun.elapsed(),
            });
        }
    }
    Err(fault(
        "rehearsal-port",
        "every port that was unused was taken before etcd had it",
    )
    .hint("try again"))
}

fn flags(command: &mut Command, rehearsal: &Rehearsal, scratch: &Scratch, urls: [&EtcdUrl; 3]) {
    let [client, listen, peer] = urls.map(EtcdUrl::as_str);
    let quota = rehearsal
        .proof
        .database_bytes
        .saturating_mul(2)
        .max(8 << 30);
    command
        .args(["--name", NAME])
        .arg("--data-dir")
        .arg(scratch.data())
        .args(["--listen-client-urls", client])
        .args(["--advertise-client-urls", client])
        .args(["--listen-peer-urls", listen])
        .args(["--initial-advertise-peer-urls", peer])
        .args(["--initial-cluster", &format!("{NAME}={peer}")])
        .args(["--quota-backend-bytes", &quota.to_string()])
        .args(["--client-cert-auth", "--peer-client-cert-auth"]);
    let files = [
        ("trusted-ca-file", pki::CA),
        ("cert-file", pki::CERTIFICATE),
        ("key-file", pki::KEY),
    ];
    for (flag, name) in files {
        let path = scratch.path().join(name);
        command.arg(format!("--{flag}")).arg(&path);
        command.arg(format!("--peer-{flag}")).arg(&path);
    }
}

/// Its status once it serves; none when somebody else had taken a port.
async fn serves(
    rehearsal: &Rehearsal,
    process: &mut Running,
    client: &GrpcClient,
    url: &EtcdUrl,
) -> PortResult<Option<MemberStatus>> {
    let asking = async {
        loop {
            match client.status(url).await {
                Ok(status) if status.leader.is_some() => return status,
                _ => tokio::time::sleep(POLL).await,
            }
        }
    };
    let deadline = rehearsal.settings.start_deadline;
    let ended = tokio::select! {
        status = asking => return Ok(Some(status)),
        ended = process.ended() => Some(ended?),
        () = tokio::time::sleep(deadline) => None,
    };
    let said = process.said();
    match ended {
        Some(_) if said.contains("address already in use") => Ok(None),
        Some(status) => Err(fault(
            "rehearsal-etcd-died",
            format!("etcd did not start from the restored data ({status})"),
        )
        .hint("a restore of this snapshot would end the same way: read what etcd said, or try an older snapshot")
        .caused_by(said)),
        None => Err(fault(
            "rehearsal-etcd-silent",
            format!("etcd did not serve within {} s", deadline.as_secs()),
        )
        .hint("look at the load of this machine and its disk, and at what etcd said")
        .caused_by(said)),
    }
}
