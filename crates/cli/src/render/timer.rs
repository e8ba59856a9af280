//! A systemd service and timer that take backups.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::args::{Backup, Global, Listing};
use crate::failure::Failure;

/// What the service may not do. It runs as root, for the keys it reads are root's; it needs the network,
/// its directories, and, where cmsh is asked, what cmsh needs. Nothing here keeps a process from being
/// started or from mapping memory as it likes, which cmsh may want to.
const HARDENING: &str = "\
UMask=0077
NoNewPrivileges=yes
CapabilityBoundingSet=CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH
ProtectSystem=strict
ProtectHome=read-only
PrivateTmp=yes
PrivateDevices=yes
ProtectControlGroups=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectKernelLogs=yes
ProtectClock=yes
ProtectHostname=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native
";

/// Both units, as one text with a heading over each.
pub(crate) fn units(options: &Global, args: &Backup) -> Result<String, Failure> {
    if args.on_calendar.chars().any(char::is_control) {
        return Err(Failure::usage("--on-calendar is one line"));
    }
    let program = std::env::current_exe()
        .map_err(|error| Failure::internal("this program cannot find itself").caused_by(&error))?;
    let words = words(program, options, args)?;
    // Only a command line has variables.
    let exec: Vec<_> = words
        .iter()
        .map(|word| quoted(word).replace('$', "$$"))
        .collect();
    let name = format!("restore-runbook-backup-{}", args.cluster);
    Ok(format!(
        "\
# /etc/systemd/system/{name}.service
[Unit]
Description=Backup of the etcd cluster {label}
Wants=network-online.target
After=network-online.target
{mounts}
[Service]
Type=oneshot
ExecStart={exec}
TimeoutStartSec=2h
Nice=10
IOSchedulingClass=best-effort
IOSchedulingPriority=7
{HARDENING}{writable}
# /etc/systemd/system/{name}.timer
[Unit]
Description=Backups of the etcd cluster {label}

[Timer]
OnCalendar={calendar}
RandomizedDelaySec=120
Persistent=yes

[Install]
WantedBy=timers.target

# Then: systemctl daemon-reload && systemctl enable --now {name}.timer
",
        label = args.cluster,
        calendar = args.on_calendar,
        exec = exec.join(" "),
        mounts = per_directory("RequiresMountsFor=", args)?,
        writable = writable(args)?,
    ))
}

/// The command line that the service runs: this one, without what is only for the printing.
fn words(program: PathBuf, options: &Global, args: &Backup) -> Result<Vec<String>, Failure> {
    let mut words = vec![program.into_os_string(), "backup".into()];
    let mut paths: Vec<(&str, &Path)> = vec![("--to", &args.to)];
    paths.extend(args.copy_to.iter().map(|path| ("--copy-to", &**path)));
    paths.extend(args.companion.iter().map(|path| ("--companion", &**path)));
    paths.extend(
        options
            .etcd_password_file
            .iter()
            .map(|path| ("--etcd-password-file", &**path)),
    );
    paths.extend(options.cmsh.iter().map(|path| ("--cmsh", &**path)));
    paths.extend(options.etcd_ca.iter().map(|path| ("--etcd-ca", &**path)));
    paths.extend(
        options
            .etcd_cert
            .iter()
            .map(|path| ("--etcd-cert", &**path)),
    );
    paths.extend(options.etcd_key.iter().map(|path| ("--etcd-key", &**path)));
    for (option, path) in paths {
        words.extend([option.into(), absolute(path)?.into_os_string()]);
    }
    let endpoints: Vec<_> = args.endpoints.iter().map(ToString::to_string).collect();
    let keep = &args.keep;
    let number = |n: u64| (n > 0).then(|| n.to_string());
    for (option, value) in [
        ("--cluster", Some(args.cluster.to_string())),
        ("--overlay", args.overlay.as_ref().map(ToString::to_string)),
        (
            "--endpoints",
            (!endpoints.is_empty()).then(|| endpoints.join(",")),
        ),
        ("--etcd-user", options.etcd_user.clone()),
        ("--idle-timeout", number(args.idle_timeout)),
        ("--quota", args.quota.and_then(number)),
        ("--keep-last", number(keep.last as u64)),
        ("--keep-hourly", number(keep.hourly as u64)),
        ("--keep-daily", number(keep.daily as u64)),
        ("--keep-weekly", number(keep.weekly as u64)),
    ] {
        words.extend(
            value
                .into_iter()
                .flat_map(|value| [option.into(), value.into()]),
        );
    }
    words.extend(keep.prune.then(|| "--prune".into()));
    if args.format == Listing::Json {
        words.extend(["--format".into(), "json".into()]);
    }
    words.into_iter().map(text).collect()
}

fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path)
        .map_err(|error| Failure::usage(format!("{} is no path", path.display())).caused_by(&error))
}

fn text(word: OsString) -> Result<String, Failure> {
    let word = word.into_string().ok();
    word.filter(|word| !word.chars().any(char::is_control))
        .ok_or_else(|| Failure::usage("an argument cannot be written into a unit file"))
}

/// A line for each directory that is written to.
fn per_directory(key: &str, args: &Backup) -> Result<String, Failure> {
    let mut lines = String::new();
    for dir in std::iter::once(&args.to).chain(&args.copy_to) {
        let dir = text(absolute(dir)?.into_os_string())?;
        writeln!(lines, "{key}{}", quoted(&dir)).ok();
    }
    Ok(lines)
}

fn writable(args: &Backup) -> Result<String, Failure> {
    let mut lines = per_directory("ReadWritePaths=", args)?;
    if args.endpoints.is_empty() {
        // cmsh keeps its history there, and this program its sockets.
        lines.push_str("ReadWritePaths=-/root/.cm\nRuntimeDirectory=restore-runbook\nRuntimeDirectoryPreserve=yes\n");
    }
    Ok(lines)
}

/// A word as systemd.service(5) reads it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/-_.,:=+@".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    let mut text = String::from("\"");
    for c in word.chars() {
        match c {
            '"' | '\\' => text.extend(['\\', c]),
            '%' => text.push_str("%%"),
            c => text.push(c),
        }
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::*;
    use crate::args::{Cli, Command};

    const WITHOUT_CMSH: &[&str] = &[
        "--to=/b c",
        "--copy-to=/d",
        "--cluster=a",
        "--endpoints=https://10.141.0.1:2379,https://10.141.0.2:2379",
        "--etcd-user=root",
        "--etcd-password-file=/p%w",
        "--idle-timeout=7",
        "--quota=8",
        "--companion=/e$x",
        "--companion=/f",
        "--keep-last=1",
        "--keep-hourly=2",
        "--keep-daily=3",
        "--keep-weekly=4",
        "--prune",
        "--format=json",
        "--etcd-ca=/ca",
        "--etcd-cert=/crt",
        "--etcd-key=/key",
    ];
    const WITH_CMSH: &[&str] = &["--overlay=o", "--cmsh=/cmsh"];

    fn parsed(args: &[String]) -> (Global, Box<Backup>) {
        let head = ["restore-runbook", "backup"].map(String::from);
        match Cli::try_parse_from(head.iter().chain(args)).unwrap() {
            Cli {
                global,
                command: Command::Backup(args),
            } => (global, args),
            other => panic!("{other:?}"),
        }
    }

    /// The service is told what the command line said, and no option is forgotten.
    #[test]
    fn the_service_runs_the_same_command_line() {
        let mut given = String::new();
        for args in [WITHOUT_CMSH, WITH_CMSH] {
            let args: Vec<_> = args.iter().map(ToString::to_string).collect();
            let first = parsed(&args);
            let words = words("/rr".into(), &first.0, &first.1).unwrap();
            assert_eq!(words[..2], ["/rr", "backup"]);
            let again = parsed(&words[2..]);
            assert_eq!(format!("{again:?}"), format!("{first:?}"));
            given.push_str(&args.join(" "));
        }
        // A person accepts once; the rest is for the printing.
        let not_for_a_service = ["accept-smaller", "print-timer", "on-calendar", "help"];
        let command = Cli::command();
        let backup = command.find_subcommand("backup").unwrap();
        for option in backup.get_arguments().filter_map(clap::Arg::get_long) {
            let known = given.contains(&format!("--{option}"));
            assert!(known || not_for_a_service.contains(&option), "--{option}");
        }
    }

    #[test]
    fn no_argument_can_write_a_line_of_its_own() {
        let args = ["--on-calendar=hourly\nExecStart=x", "--print-timer"].map(String::from);
        let (global, args) = parsed(&args);
        assert_eq!(units(&global, &args).unwrap_err().code, "usage");
        let (global, args) = parsed(&["--to=/b\nExecStart=x".to_owned()]);
        assert_eq!(units(&global, &args).unwrap_err().code, "usage");
    }

    #[test]
    fn words_are_quoted_as_systemd_reads_them() {
        assert_eq!(quoted("/a/b-c=1,2:3@x"), "/a/b-c=1,2:3@x");
        assert_eq!(quoted("a b"), "\"a b\"");
        assert_eq!(quoted("a\"b\\c%d"), "\"a\\\"b\\\\c%%d\"");
        assert_eq!(quoted(""), "\"\"");
        let args = WITHOUT_CMSH
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>();
        let (global, args) = parsed(&args);
        let units = units(&global, &args).unwrap();
        assert!(units.contains("--to \"/b c\""), "{units}");
        assert!(units.contains("\"/e$$x\""), "{units}");
        assert!(
            units.contains("ReadWritePaths=\"/b c\"\nReadWritePaths=/d\n"),
            "{units}"
        );
        assert!(!units.contains("/root/.cm"), "{units}");
    }
}
