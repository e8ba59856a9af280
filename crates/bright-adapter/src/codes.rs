//! The stable error codes of this crate; `restore-runbook explain` knows each of them.

/// The program `cmsh` is not where the configuration says.
pub const CMSH_MISSING: &str = "cmsh-missing";
/// The program `cmsh` is there and cannot be run.
pub const CMSH_NOT_RUNNABLE: &str = "cmsh-not-runnable";
/// The certificate's profile does not allow what was asked.
pub const CMSH_NOT_PERMITTED: &str = "cmsh-not-permitted";
/// A commit was refused with a table of what is wrong.
pub const CMSH_INVALID: &str = "cmsh-invalid";
/// The head nodes changed places while `cmsh` ran.
pub const CMSH_SESSION_ENDED: &str = "cmsh-session-ended";
/// `cmsh` gave no answer in time.
pub const CMSH_TIMEOUT: &str = "cmsh-timeout";
/// `cmsh` ran and refused.
pub const CMSH_REFUSED: &str = "cmsh-refused";
/// `cmsh` answered something that cannot be read, or that cannot be right.
pub const CMSH_ANSWER: &str = "cmsh-answer";
/// A write went through without complaint and does not read back.
pub const CMSH_READ_BACK: &str = "cmsh-read-back";
/// The node, category or overlay asked for is not there.
pub const CMSH_ABSENT: &str = "cmsh-absent";
/// No overlay, or more than one, carries `Etcd::Host`.
pub const ETCD_OVERLAY: &str = "etcd-overlay";
/// A property of the role cannot be used, as two URLs where one belongs.
pub const ETCD_ROLE: &str = "etcd-role";
/// It cannot be told which part this head node plays.
pub const HEAD_UNKNOWN: &str = "head-unknown";
/// An effect that makes no sense, as a change to no node at all.
pub const EFFECT_REFUSED: &str = "effect-refused";
/// A node's power control does not answer.
pub const BMC_SILENT: &str = "bmc-silent";
/// The program `ssh` is not where the configuration says.
pub const SSH_MISSING: &str = "ssh-missing";
/// The node does not answer; the command was never started.
pub const SSH_UNREACHABLE: &str = "ssh-unreachable";
/// The connection broke; the command may or may not have run.
pub const SSH_LOST: &str = "ssh-lost";
/// The command gave no result in time.
pub const SSH_TIMEOUT: &str = "ssh-timeout";
/// The node's host key is not the known one.
pub const SSH_HOST_KEY: &str = "ssh-host-key";
/// The node lets nobody in.
pub const SSH_DENIED: &str = "ssh-denied";
/// The directory for ssh's control sockets cannot be used.
pub const SSH_CONTROL_DIR: &str = "ssh-control-dir";
/// The note of the nodes that a run has wiped cannot be read or written.
pub const SSH_KNOWN_HOSTS: &str = "ssh-known-hosts";
/// A node answered something unexpected.
pub const NODE_ANSWER: &str = "node-answer";
/// A question on a node failed.
pub const NODE_QUESTION: &str = "node-question";
/// What stands on the node is not what this run may touch.
pub const NODE_CONFLICT: &str = "node-conflict";
/// An effect on a node failed; it may have happened in part.
pub const NODE_FAILED: &str = "node-failed";

/// Every code, for a test that each one is explained.
pub const ALL: [&str; 27] = [
    CMSH_MISSING,
    CMSH_NOT_RUNNABLE,
    CMSH_NOT_PERMITTED,
    CMSH_INVALID,
    CMSH_SESSION_ENDED,
    CMSH_TIMEOUT,
    CMSH_REFUSED,
    CMSH_ANSWER,
    CMSH_READ_BACK,
    CMSH_ABSENT,
    ETCD_OVERLAY,
    ETCD_ROLE,
    HEAD_UNKNOWN,
    EFFECT_REFUSED,
    BMC_SILENT,
    SSH_MISSING,
    SSH_UNREACHABLE,
    SSH_LOST,
    SSH_TIMEOUT,
    SSH_HOST_KEY,
    SSH_DENIED,
    SSH_CONTROL_DIR,
    SSH_KNOWN_HOSTS,
    NODE_ANSWER,
    NODE_QUESTION,
    NODE_CONFLICT,
    NODE_FAILED,
];
