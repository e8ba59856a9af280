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
    /// The known keys; but a node that this run has wiped may show up with a new one, once for each wipe.
    /// It is kept below [`SshConfig::run_known_hosts`], once it has let root in; the user's known hosts stay
    /// as they are.
    ReplaceAfterWipe,
}

/// Against what a connection holds the node's key.
#[derive(Debug)]
pub(super) enum Trust {
    /// The known hosts, the user's and the system's.
    Known,
    /// The new keys that the run has taken.
    Own(Vec<PathBuf>),
    /// None: whichever it shows is written to this file.
    First(PathBuf),
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
    /// Where the run notes which nodes it has wiped, whatever `host_keys` says of their new keys: a later
    /// life may say otherwise. One or two files for each, with this path, a dot and the node's name.
    pub run_known_hosts: Option<PathBuf>,
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
            run_known_hosts: None,
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
    pub(super) fn arguments(&self, trust: &Trust, socket: Option<&Path>) -> Vec<String> {
        let mut args: Vec<String> = Vec::new();
        if let Some(file) = &self.config_file {
            args.extend(["-F".into(), file.to_string_lossy().into_owned()]);
        }
        // No terminal, no forwarding: only the command.
        args.extend(["-T", "-x", "-a"].map(String::from));
        let mut option = |text: String| args.extend(["-o".to_owned(), text]);
        option("BatchMode=yes".into());
        // What went wrong is read from what ssh says.
        option("LogLevel=INFO".into());
        option("ForwardAgent=no".into());
        option(format!("ConnectTimeout={}", seconds(self.connect_timeout)));
        option(format!(
            "ServerAliveInterval={}",
            seconds(self.alive_interval)
        ));
        option("ServerAliveCountMax=3".into());
        // Never a change to the user's known hosts, not even a well-meant one.
        option("UpdateHostKeys=no".into());
        let own = |files: &[PathBuf]| {
            let files: Vec<_> = files.iter().map(|file| quoted(file)).collect();
            [
                format!("UserKnownHostsFile={}", files.join(" ")),
                "GlobalKnownHostsFile=/dev/null".into(),
                "CheckHostIP=no".into(),
                "HashKnownHosts=no".into(),
            ]
        };
        match trust {
            Trust::Known => {
                option("StrictHostKeyChecking=yes".into());
                if let Some(file) = &self.known_hosts {
                    option(format!("UserKnownHostsFile={}", quoted(file)));
                }
            }
            Trust::Own(files) => {
                option("StrictHostKeyChecking=yes".into());
                own(files).into_iter().for_each(&mut option);
            }
            Trust::First(file) => {
                option("StrictHostKeyChecking=accept-new".into());
                own(std::slice::from_ref(file))
                    .into_iter()
                    .for_each(&mut option);
            }
        }
        if let Some(socket) = socket {
            option("ControlMaster=auto".into());
            option(format!("ControlPath={}", quoted(socket)));
            option("ControlPersist=60".into());
        } else {
            option("ControlMaster=no".into());
            option("ControlPath=none".into());
        }
        self.options.iter().for_each(|text| option(text.clone()));
        args
    }
}

/// A path as ssh takes it: unquoted it would end at a blank.
pub(super) fn quoted(path: &Path) -> String {
    format!("\"{}\"", path.display())
}

/// Whether every ssh takes a quoted path as it stands. From 8.4 on percent signs and `${}` in the names of
/// known hosts are ssh's own, from 8.7 on backslashes; what is written for one of them another misreads, and
/// then goes by a file that is not there.
pub(super) fn is_plain(path: &Path) -> bool {
    let own = |c: char| c.is_control() || "%\"\\$".contains(c);
    path.to_str().is_some_and(|path| !path.contains(own))
}

fn seconds(time: Duration) -> u64 {
    time.as_secs().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(config: &SshConfig, trust: &Trust) -> String {
        config
            .arguments(trust, Some(Path::new("/run/x/0")))
            .join(" ")
    }

    #[test]
    fn keys_are_always_checked() {
        let config = SshConfig {
            known_hosts: Some("/root/my hosts".into()),
            ..SshConfig::default()
        };
        let known = line(&config, &Trust::Known);
        assert!(known.contains("StrictHostKeyChecking=yes"));
        assert!(known.contains("UserKnownHostsFile=\"/root/my hosts\""));
        let own = line(&config, &Trust::Own(vec!["/a b".into(), "/c".into()]));
        assert!(own.contains("StrictHostKeyChecking=yes"));
        assert!(
            own.contains("UserKnownHostsFile=\"/a b\" \"/c\" -o GlobalKnownHostsFile=/dev/null")
        );
        let first = line(&config, &Trust::First("/shown".into()));
        assert!(first.contains("StrictHostKeyChecking=accept-new"));
        assert!(first.contains("UserKnownHostsFile=\"/shown\"") && !first.contains("my hosts"));
    }

    #[test]
    fn paths_that_one_ssh_or_another_would_misread_are_known() {
        for path in ["/a%b", "/a\"b", "/a\\b", "/${HOME}/b", "/a\nb"] {
            assert!(!is_plain(Path::new(path)), "{path}");
        }
        assert!(is_plain(Path::new("/state of today/runs")));
    }

    #[test]
    fn own_options_come_last_where_they_weaken_nothing() {
        let mut config = SshConfig::default();
        config.options.push("StrictHostKeyChecking=no".into());
        let text = line(&config, &Trust::Known);
        let (yes, no) = (text.find("Checking=yes"), text.find("Checking=no"));
        assert!(yes.is_some() && yes < no);
    }
}
