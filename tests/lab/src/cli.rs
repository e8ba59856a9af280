//! The command `lab`.

use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::bcm::Bcm;
use crate::error::{Error, IoContext as _, Result};
use crate::lab::{Lab, take_down};
use crate::layout::{Head, Layout};
use crate::options::LabOptions;
use crate::programs::Programs;
use crate::spec::{EtcdVersion, HostKeyAfterWipe, from_json, to_json};
use crate::standin::Manager;
use crate::{fetch, head, protocol, supervisor, sweep};

/// A real etcd cluster under a stand-in for Bright Cluster Manager, on this machine, to play with and to test on.
#[derive(Debug, Parser)]
#[command(name = "lab", version)]
struct Cli {
    /// Where lab directories are made and looked for.
    #[arg(long, global = true, default_value_os_t = std::env::temp_dir())]
    base: PathBuf,
    #[command(subcommand)]
    command: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Bring a lab up; it goes down with Ctrl-C, or stays with --keep.
    Up(Up),
    /// Take a lab down without a trace.
    Down(Which),
    /// Open a shell on the head node, or run a command there.
    Shell {
        #[command(flatten)]
        which: Which,
        /// Which head node, 1 or 2.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=2))]
        head: u8,
        /// The command, instead of a shell.
        #[arg(last = true)]
        command: Vec<String>,
    },
    /// Make the other head node the active one, as when the active one dies.
    Failover {
        #[command(flatten)]
        which: Which,
        /// Leave a copy of /cm/shared on the disk of the head node that is passive from now on.
        #[arg(long)]
        stale_copy: bool,
    },
    /// Set what is odd or goes wrong from now on, by a scenario of the stand-in; without a file, nothing.
    Scenario {
        #[command(flatten)]
        which: Which,
        /// A JSON file; `tests/standin` says what can be in it.
        file: Option<PathBuf>,
    },
    /// Show the nodes of a lab.
    Status(Which),
    /// List the labs on this machine.
    List,
    /// Remove what dead labs left behind.
    Sweep,
    /// Do something to a lab's nodes: power-on, power-off, power-fail, wipe, provisioned, cut, join, ssh-ok,
    /// pingable NODE; service NODE start|stop|status UNIT; role NODE etcd on|off; power-fail HEAD;
    /// cmdaemon start|stop.
    Hook {
        /// The lab's directory.
        lab: PathBuf,
        /// What to do.
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        request: Vec<String>,
    },
    /// Download etcd 3.5 for `lab up --etcd 3.5`.
    FetchEtcd,
    #[command(hide = true)]
    Supervise { lab: PathBuf },
    #[command(hide = true)]
    HeadAnchor {
        lab: PathBuf,
        head: String,
        heads: u8,
    },
}

#[derive(Debug, Args)]
struct Up {
    /// How many nodes.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=5))]
    nodes: u8,
    /// How many head nodes: with two, the first is active and `lab failover` changes that.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=2))]
    heads: u8,
    /// Return, and leave the lab up until `lab down`.
    #[arg(long)]
    keep: bool,
    /// Which etcd: 3.4 (the host's package) or 3.5 (after `lab fetch-etcd`).
    #[arg(long, default_value = "3.4", value_parser = ["3.4", "3.5"])]
    etcd: String,
    /// Which version of the cluster manager the lab is like; without it, none in particular.
    #[arg(long, value_enum)]
    bcm: Option<Bcm>,
    /// The host key of a node after its disk was wiped.
    #[arg(long, value_enum, default_value_t)]
    host_key_after_wipe: HostKeyAfterWipe,
    /// A fresh image has no /var/lib/etcd.
    #[arg(long)]
    no_spool: bool,
    /// Size of each node's disk, in MiB; in memory, and it can run full.
    #[arg(long)]
    disk_mib: Option<u64>,
    /// Without the stand-in for the cluster manager: etcd is started directly.
    #[arg(long)]
    no_cmdaemon: bool,
    /// Write this many keys into etcd.
    #[arg(long, default_value_t = 0)]
    keys: usize,
}

#[derive(Debug, Args)]
struct Which {
    /// The lab's directory; needed only when several are up.
    #[arg(long)]
    lab: Option<PathBuf>,
}

/// Runs the command line; the exit code is the program's.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.run() {
        Ok(code) => code,
        Err(e) => {
            // Nobody is left to tell when this fails.
            let _ = writeln!(io::stderr(), "lab: {e}");
            ExitCode::from(2)
        }
    }
}

impl Cli {
    fn run(&self) -> Result<ExitCode> {
        let base = &self.base;
        match &self.command {
            Verb::Up(up) => up.run(base)?,
            Verb::Down(which) => take_down(&which.find(base)?)?,
            Verb::Shell {
                which,
                head,
                command,
            } => return shell(&which.find(base)?, Head::new(*head)?, command),
            Verb::Failover { which, stale_copy } => {
                Lab::attach(&which.find(base)?)?.fail_over(*stale_copy)?;
            }
            Verb::Scenario { which, file } => {
                let lab = Lab::attach(&which.find(base)?)?;
                let scenario = file.as_ref().map_or(Ok("{}".to_owned()), |file| {
                    std::fs::read_to_string(file).on("read", file)
                })?;
                lab.scenario(&from_json("the scenario", &scenario)?)?;
            }
            Verb::Status(which) => {
                let lab = Lab::attach(&which.find(base)?)?;
                say(&lab.hook(&["status"])?.1)?;
            }
            Verb::List => list(base)?,
            Verb::Sweep => {
                for dir in sweep::sweep(base)? {
                    say(&format!("removed {}\n", dir.display()))?;
                }
            }
            Verb::Hook { lab, request } => return hook(lab, request),
            Verb::FetchEtcd => say(&format!("etcd {}\n", fetch::fetch_etcd()?))?,
            Verb::Supervise { lab } => return supervise(lab),
            Verb::HeadAnchor { lab, head, heads } => {
                head::run_anchor(&Layout::new(lab), head.parse()?, *heads)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Up {
    fn run(&self, base: &Path) -> Result<()> {
        let options = LabOptions {
            nodes: self.nodes,
            heads: self.heads,
            etcd: if self.etcd == "3.5" {
                EtcdVersion::V3_5
            } else {
                EtcdVersion::Debian
            },
            bcm: self.bcm.unwrap_or_default(),
            host_key_after_wipe: self.host_key_after_wipe,
            precreate_spool: !self.no_spool,
            disk_bytes: self.disk_mib.map(|mib| mib * 1024 * 1024),
            tools: Programs::locate()?
                .get("restore-runbook")
                .into_iter()
                .collect(),
            base: base.to_owned(),
            keep: self.keep,
            manager: if self.no_cmdaemon {
                Manager::Nobody
            } else {
                Manager::Bright
            },
            ..LabOptions::default()
        };
        let start = std::time::Instant::now();
        let lab = Lab::start(&options)?;
        if self.keys > 0 {
            lab.etcd().load(self.keys, 256, 1)?;
        }
        let dir = lab.layout().dir().display().to_string();
        say(&format!(
            "{dir}: {} nodes, etcd {} healthy, after {:.1} s\n",
            self.nodes,
            lab.etcd_version(),
            start.elapsed().as_secs_f64()
        ))?;
        if self.keep {
            lab.leave();
            return say("lab shell: a shell on the head node; lab down: the end of it\n");
        }
        say("Ctrl-C takes it down\n")?;
        loop {
            std::thread::park();
        }
    }
}

impl Which {
    fn find(&self, base: &Path) -> Result<PathBuf> {
        if let Some(dir) = &self.lab {
            return Ok(dir.clone());
        }
        let mut labs: Vec<_> = sweep::find(base)?
            .into_iter()
            .filter(|lab| lab.alive)
            .collect();
        match (labs.pop(), labs.is_empty()) {
            (Some(only), true) => Ok(only.layout.dir().to_owned()),
            (None, _) => Err(Error::refused("no lab is up", "lab up --keep")),
            _ => Err(Error::refused(
                "several labs are up",
                "say which by --lab; `lab list` shows them",
            )),
        }
    }
}

fn shell(dir: &Path, head: Head, command: &[String]) -> Result<ExitCode> {
    let lab = Lab::attach(dir)?;
    if head == Head::Second && !lab.is_pair() {
        return Err(Error::refused(
            "this lab has one head node",
            "lab up --heads 2",
        ));
    }
    let mut shell = match command.split_first() {
        Some((program, args)) => lab.command_on(head, program, args),
        None => lab.command_on(head, "bash", ["-l"]),
    };
    let error = shell.exec();
    Err(error).on("start a shell on the head node of", dir)
}

fn hook(dir: &Path, request: &[String]) -> Result<ExitCode> {
    let settings = if matches!(request, [role, ..] if role == "role") {
        role_settings()
    } else {
        Vec::new()
    };
    let words: Vec<_> = request
        .iter()
        .chain(&settings)
        .map(String::as_str)
        .collect();
    let reply = protocol::ask(&Layout::new(dir), &words)?;
    if !reply.out.is_empty() {
        say(&format!("{}\n", reply.out.trim_end()))?;
    }
    Ok(ExitCode::from(reply.code))
}

/// What the stand-in says about the member, in the environment of its hooks.
fn role_settings() -> Vec<String> {
    let known = [
        ("name", "STANDIN_MEMBER_NAME"),
        ("spool", "STANDIN_SPOOL"),
        ("cluster", "STANDIN_INITIAL_CLUSTER"),
    ];
    let said = known
        .iter()
        .filter_map(|(key, variable)| Some((key, std::env::var(variable).ok()?)));
    said.map(|(key, value)| format!("{key}={value}")).collect()
}

fn list(base: &Path) -> Result<()> {
    for lab in sweep::find(base)? {
        let state = if lab.alive {
            "up"
        } else {
            "dead; `lab sweep` removes it"
        };
        say(&format!("{}  {state}\n", lab.layout.dir().display()))?;
    }
    Ok(())
}

/// The supervisor reports to its owner on standard output; after that it has only its log.
fn supervise(dir: &Path) -> Result<ExitCode> {
    match supervisor::supervise(&Layout::new(dir)) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(e) => {
            say(&format!("{}\n", to_json(&Err::<(), _>(e.to_string()))?))?;
            Ok(ExitCode::FAILURE)
        }
    }
}

fn say(text: &str) -> Result<()> {
    io::stdout()
        .lock()
        .write_all(text.as_bytes())
        .on("write to", "standard output")
}
