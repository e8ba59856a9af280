//! What an error of `etcd-client` means for the run.
//!
//! The certainty follows the gRPC code; the texts of etcd tell apart what the codes do not
//! (`api/v3rpc/rpctypes/error.go`, the same words from 3.4 to 3.7).

use std::error::Error as StdError;
use std::fmt;

use etcd_client::Error;
use runbook_core::error::{AdapterError, Certainty};
use runbook_core::names::EtcdUrl;

use super::Login;
use super::hidden::without_secrets;

/// Whether a call may change something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    Read,
    Write,
}

impl Call {
    /// How sure one is after a call that was sent and not answered.
    const fn unanswered(self) -> Certainty {
        match self {
            Self::Read => Certainty::NotDone,
            Self::Write => Certainty::Unknown,
        }
    }
}

/// gRPC's status codes, by their numbers on the wire.
mod code {
    pub(super) const DEADLINE_EXCEEDED: i32 = 4;
    pub(super) const PERMISSION_DENIED: i32 = 7;
    pub(super) const OUT_OF_RANGE: i32 = 11;
    pub(super) const UNAVAILABLE: i32 = 14;
    pub(super) const UNAUTHENTICATED: i32 = 16;
    pub(super) const CANCELLED: i32 = 1;
    pub(super) const UNKNOWN: i32 = 2;
}

/// What the causes of an error say; `etcd-client` hides them from the usual walk.
#[derive(Debug)]
struct Causes(String);

impl fmt::Display for Causes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl StdError for Causes {}

/// The revision asked for has been compacted away.
pub(super) fn is_compacted(error: &Error) -> bool {
    matches!(error, Error::GRpcStatus(status)
        if i32::from(status.code()) == code::OUT_OF_RANGE
            && status.message().contains("required revision has been compacted"))
}

/// The connection was made, and closed before etcd had said anything.
pub(super) fn is_hangup(error: &Error) -> bool {
    let whole = error.to_string();
    let says = |word| whole.contains(word);
    says("tonic::transport::Error(Transport")
        && !says("ConnectError(")
        && !says("TimeoutExpired")
        && !says("fatal alert")
}

/// The member hangs up on us.
pub(super) fn hung_up(url: &EtcdUrl) -> AdapterError {
    AdapterError::new(
        "etcd-hangs-up",
        Certainty::Refused,
        format!("etcd at {url} takes the connection and closes it without an answer"),
    )
    .hint("its log says why: often it does not trust the client's certificate, or the URL should be https")
}

/// No client can be made of the certificate, the key and the authority.
pub(super) fn unusable(error: &Error) -> AdapterError {
    AdapterError::new(
        "etcd-tls",
        Certainty::Refused,
        "the client's certificate and key cannot be used",
    )
    .hint("check that the key belongs to the certificate, and that both are PEM")
    .caused_by(Causes(causes(error)))
}

/// No answer in time.
pub(super) fn timed_out(url: &EtcdUrl, call: Call) -> AdapterError {
    AdapterError::new(
        "etcd-timeout",
        call.unanswered(),
        format!("etcd at {url} did not answer in time"),
    )
    .hint("look at the member's log: a slow disk, an election, a firewall that swallows packets")
}

/// The error of a call; what was sent with it is not repeated.
pub(super) fn of(url: &EtcdUrl, call: Call, error: &Error, login: Option<&Login>) -> AdapterError {
    let said = without_secrets(&causes(error), login);
    judge(url, call, error).caused_by(Causes(said))
}

fn judge(url: &EtcdUrl, call: Call, error: &Error) -> AdapterError {
    // A status prints the types of its causes as well, which tell more than their texts.
    let whole = error.to_string();
    let says = |words: &[&str]| words.iter().any(|word| whole.contains(word));
    // Connections are lazy: this kind of error is about the PEM the client was made with.
    let unusable = matches!(error, Error::TransportError(_));
    if unusable
        || says(&[
            "invalid peer certificate",
            "fatal alert",
            "kind: InvalidData",
        ])
    {
        return AdapterError::new(
            "etcd-tls",
            Certainty::Refused,
            format!("no trusted connection to etcd at {url}"),
        )
        .hint("check the authority, the client's certificate and its key, and the clocks");
    }
    if says(&["ConnectError("]) {
        return AdapterError::new(
            "etcd-unreachable",
            Certainty::NotDone,
            format!("no connection to etcd at {url}"),
        )
        .hint("see `systemctl status etcd` and the journal on that node, and whether a firewall is between. Where too many starts have failed, as on a full disk: mend the cause, then `systemctl reset-failed etcd` there, and `device; services NODE; reset SERVICE` in cmsh where CMDaemon has given it up as well ([FAILING])");
    }
    let status = match error {
        Error::GRpcStatus(status) => Some(i32::from(status.code())),
        _ => None,
    };
    let unauthorised = matches!(
        status,
        Some(code::PERMISSION_DENIED | code::UNAUTHENTICATED)
    );
    if unauthorised
        || says(&[
            "authentication failed",
            "user name is empty",
            "user not found",
            "auth token",
        ])
    {
        return AdapterError::new(
            "etcd-auth",
            Certainty::Refused,
            format!("etcd at {url} does not let this user in"),
        )
        .hint("a restored store has the users and passwords of its snapshot");
    }
    match status {
        Some(code::DEADLINE_EXCEEDED) => timed_out(url, call),
        Some(code::CANCELLED) if says(&["Timeout expired"]) => timed_out(url, call),
        Some(code::UNAVAILABLE | code::UNKNOWN | code::CANCELLED) | None => AdapterError::new(
            "etcd-unavailable",
            call.unanswered(),
            format!("etcd at {url} cannot answer now"),
        )
        .hint("look at the member's log: usually it has no leader; the other members must be up"),
        Some(code::OUT_OF_RANGE) => AdapterError::new(
            "etcd-behind",
            Certainty::NotDone,
            format!("etcd at {url} does not have that revision"),
        )
        .hint("it may be catching up: try again; if it stays behind, compare it with the others"),
        Some(_) => AdapterError::new(
            "etcd-answer",
            Certainty::Refused,
            format!("etcd at {url} refuses the request"),
        )
        .hint("its own words are in the causes; look at the member's log"),
    }
}

/// The texts of an error and its causes, each that adds something, outermost first.
fn causes(error: &Error) -> String {
    let (mut text, mut cause) = match error {
        Error::GRpcStatus(status) => (status.message().to_owned(), status.source()),
        Error::TransportError(error) => (error.to_string(), error.source()),
        error => (error.to_string(), None),
    };
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}
