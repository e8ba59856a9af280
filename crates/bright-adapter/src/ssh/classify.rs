//! What ssh's exit status 255 means.
//!
//! It stands for every failure of ssh itself, before the command and in the middle of it. The command's
//! own standard error arrives in the same stream, so only lines in ssh's own wording count.

/// Why ssh gave up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broken {
    /// No connection came about: the command was never started.
    Unreachable,
    /// The host key is not the known one: the command was never started.
    HostKey,
    /// The host key is one that must not be believed: the command was never started.
    Revoked,
    /// The node lets nobody in: the command was never started.
    Denied,
    /// The shared connection was dead: the command was never started.
    StaleMaster,
    /// Anything else: the command may have run.
    Lost,
}

const HOST_KEY: [&str; 4] = [
    "Host key verification failed.",
    "@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!",
    "No ED25519 host key is known for ",
    "No RSA host key is known for ",
];

const REVOKED: [&str; 2] = ["REVOKED HOST KEY DETECTED!", " is marked as revoked"];

const UNREACHABLE: [&str; 7] = [
    "ssh: connect to host ",
    "ssh: Could not resolve hostname ",
    "kex_exchange_identification: ",
    "ssh_exchange_identification: ",
    "banner exchange: ",
    "Connection timed out during banner exchange",
    "ssh: Could not bind to address",
];

const STALE_MASTER: [&str; 4] = [
    // The master dies before it has answered the request for a session.
    "mux_client_request_session: read from master failed",
    "mux_client_request_session: session request failed",
    "mux_client_hello_exchange: ",
    "mux_client_request_session: mux_client_hello_exchange: ",
];

/// Reads ssh's last words. `silent` says that the command has printed nothing to standard output.
pub(super) fn classify(stderr: &str, silent: bool) -> Broken {
    let lines: Vec<&str> = stderr
        .lines()
        .map(|line| line.trim_end_matches('\r'))
        .collect();
    let any = |starts: &[&str]| {
        lines
            .iter()
            .any(|line| starts.iter().any(|start| line.starts_with(start)))
    };
    let denied = lines
        .iter()
        .any(|line| line.contains(": Permission denied (") && line.ends_with(")."));
    if !silent {
        Broken::Lost
    } else if lines
        .iter()
        .any(|line| REVOKED.iter().any(|word| line.contains(word)))
    {
        Broken::Revoked
    } else if any(&HOST_KEY) {
        Broken::HostKey
    } else if denied {
        Broken::Denied
    } else if any(&UNREACHABLE) {
        Broken::Unreachable
    } else if only_stale_master(&lines) {
        Broken::StaleMaster
    } else {
        Broken::Lost
    }
}

/// ssh may go on with a connection of its own after such a line; only where it says nothing else has
/// nothing been started.
fn only_stale_master(lines: &[&str]) -> bool {
    let mut said = lines.iter().filter(|line| !line.is_empty()).peekable();
    said.peek().is_some()
        && said.all(|line| STALE_MASTER.iter().any(|start| line.starts_with(start)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sshs_own_words() {
        let of = |text| classify(text, true);
        for text in [
            "ssh: connect to host node001 port 22: Connection refused\r\n",
            "ssh: connect to host node001 port 22: Connection timed out",
            "ssh: connect to host node001 port 22: No route to host",
            "ssh: Could not resolve hostname node009: Name or service not known",
            "kex_exchange_identification: Connection closed by remote host\nConnection closed by 10.141.0.1 port 22",
            "kex_exchange_identification: read: Connection reset by peer",
            "Connection timed out during banner exchange",
        ] {
            assert_eq!(of(text), Broken::Unreachable, "{text}");
        }
        let changed = "@@@@\n@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\n@@@@\nHost key verification failed.";
        assert_eq!(of(changed), Broken::HostKey);
        let unknown = "No ED25519 host key is known for node001 and you have requested strict checking.\r\nHost key verification failed.\r\n";
        assert_eq!(of(unknown), Broken::HostKey);
        let revoked = "@@@@\n@       WARNING: REVOKED HOST KEY DETECTED!               @\n@@@@\nThe ED25519 host key for node001 is marked as revoked.\nHost key verification failed.";
        assert_eq!(of(revoked), Broken::Revoked);
        assert_eq!(
            of("root@node001: Permission denied (publickey,password)."),
            Broken::Denied
        );
        let stale = "mux_client_request_session: read from master failed: Broken pipe";
        assert_eq!(of(stale), Broken::StaleMaster);
    }

    #[test]
    fn what_broke_in_the_middle_may_have_run() {
        for text in [
            "",
            "Connection to node001 closed by remote host.",
            "client_loop: send disconnect: Broken pipe",
            "Timeout, server node001 not responding.",
            "Read from remote host node001: Connection reset by peer",
            "etcdctl: connection refused",
            "mux_client_request_session: read from master failed: Broken pipe\nConnection to node001 closed by remote host.",
        ] {
            assert_eq!(classify(text, true), Broken::Lost, "{text}");
        }
        let after_output = "ssh: connect to host x port 22: Connection refused";
        assert_eq!(classify(after_output, false), Broken::Lost);
    }
}
