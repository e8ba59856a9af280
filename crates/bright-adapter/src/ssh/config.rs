//! How to reach the nodes.

use std::path::PathBuf;
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
    /// [`Ssh::expect_new_key`](crate::Ssh::expect_new_key), may show up with a new one, once. It is
    /// written to this file, which belongs to the run; the user's own known hosts stay as they are.
    ReplaceAfterWipe {
        /// The run's own file of known hosts.
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
    /// The arguments before the destination.
    pub(super) fn arguments(&self, new_key: bool, socket: Option<&str>) -> Vec<String> {
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
        if let (HostKeys::ReplaceAfterWipe { run_known_hosts }, true) = (&self.host_keys, new_key) {
            option("StrictHostKeyChecking=accept-new".into());
            option(format!("UserKnownHostsFile={}", run_known_hosts.display()));
            option("GlobalKnownHostsFile=/dev/null".into());
            option("CheckHostIP=no".into());
        } else {
            option("StrictHostKeyChecking=yes".into());
            if let Some(file) = &self.known_hosts {
                option(format!("UserKnownHostsFile={}", file.display()));
            }
        }
        if let Some(socket) = socket {
            option("ControlMaster=auto".into());
            option(format!("ControlPath={socket}"));
            option("ControlPersist=60".into());
        } else {
            option("ControlMaster=no".into());
            option("ControlPath=none".into());
        }
        self.options.iter().for_each(|text| option(text.clone()));
        args
    }
}

fn seconds(time: Duration) -> u64 {
    time.as_secs().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(config: &SshConfig, new_key: bool) -> String {
        config.arguments(new_key, Some("/run/x/0")).join(" ")
    }

    #[test]
    fn keys_are_checked_unless_the_run_wiped_the_node() {
        let mut config = SshConfig::default();
        assert!(line(&config, true).contains("StrictHostKeyChecking=yes"));
        config.host_keys = HostKeys::ReplaceAfterWipe {
            run_known_hosts: "/runs/1/known_hosts".into(),
        };
        assert!(line(&config, false).contains("StrictHostKeyChecking=yes"));
        let wiped = line(&config, true);
        assert!(wiped.contains("StrictHostKeyChecking=accept-new"));
        assert!(wiped.contains("UserKnownHostsFile=/runs/1/known_hosts"));
        assert!(!wiped.contains("StrictHostKeyChecking=no"));
    }

    #[test]
    fn own_options_come_last_where_they_weaken_nothing() {
        let mut config = SshConfig::default();
        config.options.push("StrictHostKeyChecking=no".into());
        let text = line(&config, false);
        let (yes, no) = (text.find("Checking=yes"), text.find("Checking=no"));
        assert!(yes.is_some() && yes < no);
    }
}
