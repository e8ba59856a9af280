//! How to reach the nodes.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// What a node's host key is held against.
///
/// There is no setting that takes any key: whoever answers in a node's place would be given root
/// commands, and its answers would steer the restore.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum HostKeys {
    /// The known keys, always. Right where provisioning brings a node's keys back.
    Strict,
    /// The known keys; but a node that this run has wiped, and marked with
    /// [`Ssh::expect_new_key`](crate::Ssh::expect_new_key), may show up with a new one, once for each
    /// wipe. It is written to a file of the run's own; the user's known hosts stay as they are.
    ReplaceAfterWipe {
        /// Where the new keys are kept: a file for each node, with this path, a dot and the node's name.
        run_known_hosts: PathBuf,
    },
}

/// How to run `ssh`.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SshConfig {
    /// The program; a bare name is looked up as usual.
    pub program: PathBuf,
    /// `-F`: another configuration file than the user's.
    pub config_file: Option<PathBuf>,
    /// Further `-o` options, as `Port=2222`. They cannot weaken what this crate sets: ssh goes by the
    /// first value it sees.
    pub options: Vec<String>,
    /// The known hosts; ssh's own choice where absent.
    pub known_hosts: Option<PathBuf>,
    /// What a host key is held against.
    pub host_keys: HostKeys,
    /// How long a connection may take to come about.
    pub connect_timeout: Duration,
    /// How often a silent connection is asked for a sign of life. After the third question without
    /// one it is given up: a master connection to a node that has been reset must not hang.
    pub alive_interval: Duration,
    /// The longest one command may take.
    pub command_timeout: Duration,
    /// The most output kept of one command, in bytes; head and tail stay, the middle goes.
    pub output_limit: usize,
    /// A directory, private to this user, for the sockets of shared connections: one connection per
    /// node. Made when missing. Each command makes its own connection where absent.
    pub control_path_dir: Option<PathBuf>,
}

impl Default for SshConfig {
    fn default() -> Self {
        Self {
            program: "ssh".into(),
            config_file: None,
            options: Vec::new(),
            known_hosts: None,
            host_keys: HostKeys::Strict,
            connect_timeout: Duration::from_secs(10),
            alive_interval: Duration::from_secs(5),
            command_timeout: Duration::from_secs(600),
            output_limit: 1024 * 1024,
            control_path_dir: None,
        }
    }
}

impl SshConfig {
    /// The arguments before the destination. `new_key` names the file that alone says, or is to say,
    /// which key the node has.
    pub(super) fn arguments(&self, new_key: Option<&Path>, socket: Option<&Path>) -> Vec<String> {
        let mut args: Vec<String> = Vec::new();
        if let Some(file) = &self.config_file {
            args.extend(["-F".into(), file.to_string_lossy().into_owned()]);
        }
        // No terminal, no forwarding: only the command.
        args.extend(["-T", "-x", "-a"].map(String::from));
        let mut option = |text: String| args.extend(["-o".to_owned(), text]);
        option("BatchMode=yes".into());
        option("ForwardAgent=no".into());
        option(format!("ConnectTimeout={}", seconds(self.connect_timeout)));
        option(format!(
            "ServerAliveInterval={}",
            seconds(self.alive_interval)
        ));
        option("ServerAliveCountMax=3".into());
        // Never a change to the user's known hosts, not even a well-meant one.
        option("UpdateHostKeys=no".into());
        if let Some(file) = new_key {
            option("StrictHostKeyChecking=accept-new".into());
            option(format!("UserKnownHostsFile={}", literal(file)));
            option("GlobalKnownHostsFile=/dev/null".into());
            option("CheckHostIP=no".into());
        } else {
            option("StrictHostKeyChecking=yes".into());
            if let Some(file) = &self.known_hosts {
                option(format!("UserKnownHostsFile={}", literal(file)));
            }
        }
        if let Some(socket) = socket {
            option("ControlMaster=auto".into());
            option(format!("ControlPath={}", literal(socket)));
            option("ControlPersist=60".into());
        } else {
            option("ControlMaster=no".into());
            option("ControlPath=none".into());
        }
        self.options.iter().for_each(|text| option(text.clone()));
        args
    }
}

/// A path as ssh takes it as it is: unquoted it would end at a blank, and a percent sign is ssh's own.
pub(super) fn literal(path: &Path) -> String {
    let path = path.to_string_lossy().replace('%', "%%");
    format!("\"{}\"", path.replace('\\', r"\\").replace('"', "\\\""))
}

fn seconds(time: Duration) -> u64 {
    time.as_secs().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(config: &SshConfig, new_key: Option<&str>) -> String {
        let socket = Some(Path::new("/run/x/0"));
        config.arguments(new_key.map(Path::new), socket).join(" ")
    }

    #[test]
    fn keys_are_checked_with_or_without_a_new_one() {
        let config = SshConfig {
            known_hosts: Some("/root/my hosts".into()),
            ..SshConfig::default()
        };
        let known = line(&config, None);
        assert!(known.contains("StrictHostKeyChecking=yes"));
        assert!(known.contains("UserKnownHostsFile=\"/root/my hosts\""));
        let wiped = line(&config, Some("/runs/50%/known_hosts.node001"));
        assert!(wiped.contains("StrictHostKeyChecking=accept-new"));
        assert!(wiped.contains("UserKnownHostsFile=\"/runs/50%%/known_hosts.node001\""));
        assert!(!wiped.contains("StrictHostKeyChecking=no") && !wiped.contains("my hosts"));
    }

    #[test]
    fn own_options_come_last_where_they_weaken_nothing() {
        let mut config = SshConfig::default();
        config.options.push("StrictHostKeyChecking=no".into());
        let text = line(&config, None);
        let (yes, no) = (text.find("Checking=yes"), text.find("Checking=no"));
        assert!(yes.is_some() && yes < no);
    }
}
