//! The shell on the nodes against a program that behaves like `ssh`.

use std::path::Path;
use std::sync::Arc;

use bright_adapter::{HostKeys, Ssh, SshConfig, SshNode, codes};
use runbook_core::error::{AdapterError, Certainty};
use runbook_core::ports::{Node, Shell};
use tempfile::TempDir;

use crate::support::{Log, node, permit, program};

/// Runs the last argument as the remote shell would, unless `first` has exited; notes every call.
fn fake(dir: &Path, first: &str) -> SshConfig {
    let script = format!(
        "d={}\necho \"$*\" >>$d/calls\n{first}\nfor word; do last=$word; done\nexec sh -c \"$last\"",
        dir.display()
    );
    let mut config = SshConfig::default();
    config.program = program(dir, "ssh", &script);
    config
}

fn calls(dir: &TempDir) -> Vec<String> {
    let text = std::fs::read_to_string(dir.path().join("calls")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}

async fn both(ssh: &Ssh) -> (AdapterError, AdapterError) {
    let (here, argv) = (node("node001"), words(&["true"]));
    let query = ssh.query(&here, &argv).await.unwrap_err();
    let effect = ssh.effect(&permit(), &here, &argv).await.unwrap_err();
    (query, effect)
}

#[tokio::test]
async fn arguments_arrive_as_they_were() {
    let dir = TempDir::new().unwrap();
    let log = Log::default();
    let ssh = Ssh::new(fake(dir.path(), ""), Arc::new(log.clone())).unwrap();
    let hostile = "a b'c\"$(id)`id`\n;{x,y}|*\\~!";
    let argv = words(&["printf", "%s|%s", hostile, ""]);
    let output = ssh.query(&node("node001"), &argv).await.unwrap();
    assert_eq!(output.status, 0);
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        format!("{hostile}|")
    );
    let entry = &log.entries()[0];
    assert_eq!(
        (entry.command.argv.clone(), entry.effect, entry.status),
        (argv, false, Some(0))
    );
    let nul = ssh
        .query(&node("node001"), &words(&["a\0b"]))
        .await
        .unwrap_err();
    assert_eq!(
        (nul.code, nul.certainty),
        (codes::EFFECT_REFUSED, Certainty::Refused)
    );
}

#[tokio::test]
async fn a_commands_own_failure_is_an_answer() {
    let dir = TempDir::new().unwrap();
    let ssh = Ssh::new(fake(dir.path(), ""), Arc::new(Log::default())).unwrap();
    let argv = words(&["sh", "-c", "echo x; echo y >&2; exit 81"]);
    let output = ssh.query(&node("node001"), &argv).await.unwrap();
    assert_eq!(
        (output.status, &*output.stdout, &*output.stderr),
        (81, &b"x\n"[..], &b"y\n"[..])
    );
}

#[tokio::test]
async fn no_connection_means_not_done() {
    let dir = TempDir::new().unwrap();
    let first = "echo 'ssh: connect to host node001 port 22: Connection refused' >&2; exit 255";
    let ssh = Arc::new(Ssh::new(fake(dir.path(), first), Arc::new(Log::default())).unwrap());
    let (query, effect) = both(&ssh).await;
    for error in [query, effect] {
        assert_eq!(
            (error.code, error.certainty),
            (codes::SSH_UNREACHABLE, Certainty::NotDone)
        );
    }
    let nodes = SshNode::new(ssh);
    assert_eq!(nodes.boot_id(&node("node001")).await.unwrap(), None);
}

#[tokio::test]
async fn a_lost_connection_leaves_an_effect_unknown() {
    let dir = TempDir::new().unwrap();
    let first = "echo 'Connection to node001 closed by remote host.' >&2; exit 255";
    let ssh = Ssh::new(fake(dir.path(), first), Arc::new(Log::default())).unwrap();
    let (query, effect) = both(&ssh).await;
    assert_eq!(
        (query.code, query.certainty),
        (codes::SSH_LOST, Certainty::NotDone)
    );
    assert_eq!(
        (effect.code, effect.certainty),
        (codes::SSH_LOST, Certainty::Unknown)
    );
}

#[tokio::test]
async fn a_changed_host_key_is_refused_with_advice() {
    let dir = TempDir::new().unwrap();
    let first = "printf '@@@@\\n@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\\n@@@@\\n\
                 IT IS POSSIBLE THAT SOMEONE IS DOING SOMETHING NASTY!\\n\
                 SHA256:x.\\nHost key verification failed.\\n' >&2; exit 255";
    let ssh = Arc::new(Ssh::new(fake(dir.path(), first), Arc::new(Log::default())).unwrap());
    let (query, _) = both(&ssh).await;
    assert_eq!(
        (query.code, query.certainty),
        (codes::SSH_HOST_KEY, Certainty::Refused)
    );
    assert!(
        query
            .what
            .ends_with(": SHA256:x. | Host key verification failed.")
    );
    assert!(query.hint.unwrap().contains("ssh-keygen -R node001"));
    let nodes = SshNode::new(ssh);
    let error = nodes.boot_id(&node("node001")).await.unwrap_err();
    assert_eq!(error.code, codes::SSH_HOST_KEY);
}

#[tokio::test]
async fn a_dead_master_is_replaced_once() {
    let dir = TempDir::new().unwrap();
    let first = "case \"$*\" in *'-O exit'*) exit 0;; esac\n\
                 if [ ! -e $d/once ]; then touch $d/once\n\
                 echo 'mux_client_request_session: read from master failed: Broken pipe' >&2; exit 255; fi";
    let mut config = fake(dir.path(), first);
    config.control_path_dir = Some(dir.path().join("c"));
    let ssh = Ssh::new(config, Arc::new(Log::default())).unwrap();
    let output = ssh
        .effect(&permit(), &node("node001"), &words(&["echo", "x"]))
        .await
        .unwrap();
    assert_eq!(output.stdout, b"x\n");
    let calls = calls(&dir);
    assert_eq!(calls.len(), 3, "{calls:#?}");
    assert!(calls[1].contains("-O exit"));
    let socket = |call: &str| {
        call.split("ControlPath=")
            .nth(1)
            .unwrap()
            .split(' ')
            .next()
            .unwrap()
            .to_owned()
    };
    assert_eq!(socket(&calls[0]), socket(&calls[1]));
    assert_ne!(socket(&calls[0]), socket(&calls[2]));
}

/// A node that shows another key than the known one: it is met only where it is written down.
const OTHER_KEY: &str = "case \"$*\" in\n\
    *Checking=accept-new*) f=${*#*UserKnownHostsFile=\\\"}; echo 'node001 ssh-ed25519 x' >\"${f%%\\\"*}\";;\n\
    *known_hosts.node001*) ;;\n\
    *) echo 'Host key verification failed.' >&2; exit 255;; esac";

fn replacing(mut config: SshConfig, run_dir: &Path) -> SshConfig {
    config.host_keys = HostKeys::ReplaceAfterWipe;
    config.run_known_hosts = Some(run_dir.join("known_hosts"));
    config
}

#[tokio::test]
async fn only_a_wiped_node_may_have_a_new_key() {
    let dir = TempDir::new().unwrap();
    let mut config = replacing(fake(dir.path(), OTHER_KEY), dir.path());
    let argv = words(&["echo", "x"]);
    // It is noted in any life, and counts where it is asked for.
    config.host_keys = HostKeys::Strict;
    let strict = Ssh::new(config.clone(), Arc::new(Log::default())).unwrap();
    strict.expect_new_key(&node("node001")).await.unwrap();
    let refused = strict.query(&node("node001"), &argv).await.unwrap_err();
    assert!(
        refused
            .hint
            .unwrap()
            .contains("--host-keys replace-after-wipe")
    );
    drop(strict);
    config.host_keys = HostKeys::ReplaceAfterWipe;
    let ssh = Ssh::new(config, Arc::new(Log::default())).unwrap();
    for _ in 0..2 {
        let output = ssh.query(&node("node001"), &argv).await.unwrap();
        assert_eq!(output.stdout, b"x\n");
    }
    let refused = ssh.query(&node("node002"), &argv).await.unwrap_err();
    assert_eq!(refused.code, codes::SSH_HOST_KEY);
    let of = |call: &String| {
        assert!(call.contains("UpdateHostKeys=no"));
        assert!(!call.contains("StrictHostKeyChecking=no"));
        let own = format!("\"{}/known_hosts.node001\"", dir.path().display());
        let last = call.rsplit(' ').next().unwrap().to_owned();
        (
            call.contains("StrictHostKeyChecking=yes"),
            call.contains(&own),
            last,
        )
    };
    let of: Vec<_> = calls(&dir).iter().map(of).collect();
    let of: Vec<_> = of
        .iter()
        .map(|(yes, own, last)| (*yes, *own, &**last))
        .collect();
    let wanted = [
        (true, false, "x"),
        (true, false, "x"),
        // Met with nothing at stake, kept, and only then believed.
        (false, false, "true"),
        (true, true, "x"),
        (true, true, "x"),
        (true, false, "x"),
    ];
    assert_eq!(of, wanted);
}

/// Where it cannot be kept it is not gone by.
#[tokio::test]
async fn a_new_key_that_ssh_could_not_write_down_is_refused() {
    let dir = TempDir::new().unwrap();
    let lost =
        "case \"$*\" in *Checking=yes*) echo 'Host key verification failed.' >&2; exit 255;; esac";
    let ssh = replacing(fake(dir.path(), lost), dir.path());
    let ssh = Ssh::new(ssh, Arc::new(Log::default())).unwrap();
    ssh.expect_new_key(&node("node001")).await.unwrap();
    let error = ssh
        .effect(&permit(), &node("node001"), &words(&["touch", "x"]))
        .await
        .unwrap_err();
    assert_eq!(error.code, codes::SSH_KNOWN_HOSTS);
    assert!(
        !calls(&dir)
            .iter()
            .any(|call| call.contains("accept-new") && call.contains("touch"))
    );
}

#[tokio::test]
async fn a_revoked_key_is_never_a_new_one() {
    let dir = TempDir::new().unwrap();
    let revoked = "printf '@@@\\n@       WARNING: REVOKED HOST KEY DETECTED!               @\\n@@@\\n\
                   Host key verification failed.\\n' >&2; exit 255";
    let ssh = replacing(fake(dir.path(), revoked), dir.path());
    let ssh = Ssh::new(ssh, Arc::new(Log::default())).unwrap();
    ssh.expect_new_key(&node("node001")).await.unwrap();
    let error = ssh
        .query(&node("node001"), &words(&["true"]))
        .await
        .unwrap_err();
    assert_eq!(error.code, codes::SSH_HOST_KEY);
    assert!(error.what.contains("revoked"), "{error}");
    assert_eq!(calls(&dir).len(), 1);
}

#[test]
fn a_place_that_ssh_would_misread_is_refused() {
    let config = replacing(SshConfig::default(), Path::new("/state/50%"));
    let refused = Ssh::new(config, Arc::new(Log::default())).unwrap_err();
    assert_eq!(refused.code, codes::SSH_KNOWN_HOSTS);
}

/// What a run knows of new keys lies in its directory, and goes to another head node with it.
#[tokio::test]
async fn the_other_head_knows_which_nodes_were_wiped() {
    let (dir, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let config = replacing(fake(dir.path(), OTHER_KEY), dir.path());
    let first = Ssh::new(config, Arc::new(Log::default())).unwrap();
    first.expect_new_key(&node("node001")).await.unwrap();
    let note = "known_hosts.node001";
    std::fs::copy(dir.path().join(note), other.path().join(note)).unwrap();
    let config = replacing(fake(other.path(), OTHER_KEY), other.path());
    // The first one, with its sockets, is somewhere else, and may be there for ever.
    let second = Ssh::new(config, Arc::new(Log::default())).unwrap();
    let argv = words(&["true"]);
    second.query(&node("node001"), &argv).await.unwrap();
    let kept = std::fs::read_to_string(other.path().join(note)).unwrap();
    assert!(kept.ends_with("\nnode001 ssh-ed25519 x\n"), "{kept}");
    assert!(calls(&dir).is_empty());
}

#[tokio::test]
async fn time_runs_out() {
    let dir = TempDir::new().unwrap();
    let mut config = fake(dir.path(), "exec sleep 600");
    config.command_timeout = std::time::Duration::from_millis(50);
    let ssh = Ssh::new(config, Arc::new(Log::default())).unwrap();
    let (query, effect) = both(&ssh).await;
    assert_eq!(
        (query.code, query.certainty),
        (codes::SSH_TIMEOUT, Certainty::NotDone)
    );
    assert_eq!(
        (effect.code, effect.certainty),
        (codes::SSH_TIMEOUT, Certainty::Unknown)
    );
}

#[tokio::test]
async fn chatter_is_no_answer() {
    let dir = TempDir::new().unwrap();
    let ssh = Ssh::new(fake(dir.path(), "echo welcome"), Arc::new(Log::default())).unwrap();
    let error = SshNode::new(Arc::new(ssh))
        .boot_id(&node("node001"))
        .await
        .unwrap_err();
    assert_eq!(error.code, codes::NODE_ANSWER);
    assert!(error.what.contains("welcome"));
}
