//! The command line, as clap reads it.

mod backup;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{
    ArgMatches, Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum,
};
use runbook_core::digest::Digest;
use runbook_core::names::{AbsPath, ClusterLabel, ModuleName, NodeName, OverlayName};
use runbook_core::spec::RevisionBump;

pub(crate) use backup::Backup;

use crate::exit::Exit;

/// Where the vendor's article keeps snapshots.
pub(crate) const BACKUP_DIR: &str = "/cm/shared/backup/etcd";

/// Restores the etcd cluster of a Bright-managed Kubernetes from a snapshot.
///
/// The way through: `discover` writes a spec; edit it; `plan` shows every step and command; `run` does
/// what was approved. Whatever ends a run half-way, `status` tells where it stands and `resume` goes on.
#[derive(Debug, Parser)]
#[command(name = "restore-runbook", version, after_help = Exit::table(), max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
#[non_exhaustive]
pub struct Global {
    /// Where runs are kept, private to root: the head node's own disk, or with two head nodes storage of
    /// both, as /cm/shared/restore-runbook
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "RESTORE_RUNBOOK_STATE_DIR",
        hide_env_values = true,
        default_value = "/var/lib/restore-runbook"
    )]
    pub state_dir: PathBuf,
    /// When to use colour; everything reads without it
    #[arg(long, global = true, value_name = "WHEN", value_enum, default_value_t = Color::Auto)]
    pub color: Color,
    /// The program cmsh
    #[arg(
        long,
        global = true,
        value_name = "PATH",
        env = "RESTORE_RUNBOOK_CMSH",
        hide_env_values = true
    )]
    pub cmsh: Option<PathBuf>,
    /// A configuration file for ssh, instead of root's own
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "RESTORE_RUNBOOK_SSH_CONFIG",
        hide_env_values = true
    )]
    pub ssh_config: Option<PathBuf>,
    /// What the nodes' host keys are held against
    #[arg(long, global = true, value_name = "POLICY", value_enum, env = "RESTORE_RUNBOOK_HOST_KEYS", hide_env_values = true, default_value_t = HostKeyPolicy::Strict)]
    pub host_keys: HostKeyPolicy,
    /// CA that signed the members' certificates, on this head node
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "RESTORE_RUNBOOK_ETCD_CA",
        hide_env_values = true
    )]
    pub etcd_ca: Option<PathBuf>,
    /// Client certificate for etcd, on this head node
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "RESTORE_RUNBOOK_ETCD_CERT",
        hide_env_values = true
    )]
    pub etcd_cert: Option<PathBuf>,
    /// Key of the client certificate
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "RESTORE_RUNBOOK_ETCD_KEY",
        hide_env_values = true
    )]
    pub etcd_key: Option<PathBuf>,
    /// A user of etcd with the role root, where its authentication is on
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        requires = "etcd_password_file",
        env = "RESTORE_RUNBOOK_ETCD_USER",
        hide_env_values = true
    )]
    pub etcd_user: Option<String>,
    /// The file with that user's password, private to its owner
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        requires = "etcd_user",
        env = "RESTORE_RUNBOOK_ETCD_PASSWORD_FILE",
        hide_env_values = true
    )]
    pub etcd_password_file: Option<PathBuf>,
    /// Those of them that stood on the command line, word by word, for the next one.
    #[arg(skip)]
    given: Vec<String>,
}

impl Cli {
    /// Reads a command line; the first word is the program's name.
    pub(crate) fn read<T: Into<OsString> + Clone>(
        line: impl IntoIterator<Item = T>,
    ) -> Result<Self, clap::Error> {
        let matches = Self::command().try_get_matches_from(line)?;
        let mut cli = Self::from_arg_matches(&matches)?;
        cli.global.given = given(&matches);
        Ok(cli)
    }
}

/// The global options that were typed, and not left to the environment.
fn given(matches: &ArgMatches) -> Vec<String> {
    let options = Global::augment_args(clap::Command::new(""));
    let mut words = Vec::new();
    for option in options.get_arguments() {
        let id = option.get_id().as_str();
        if matches.value_source(id) != Some(ValueSource::CommandLine) {
            continue;
        }
        let values = matches.get_raw(id).into_iter().flatten();
        for value in values {
            words.extend(option.get_long().map(|long| format!("--{long}")));
            words.push(value.to_string_lossy().into_owned());
        }
    }
    words
}

impl Global {
    /// A command line of this program to be pasted, which repeats the options that were typed.
    pub(crate) fn line(&self, words: &[&str]) -> String {
        let program = std::iter::once("restore-runbook");
        let words = program.chain(words.iter().copied());
        let words = words.chain(self.given.iter().map(String::as_str));
        // No argument of a process holds a NUL byte.
        shlex::try_join(words).unwrap_or_default()
    }
}

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` or the like says otherwise.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What a node's host key is held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum HostKeyPolicy {
    /// The known keys, always: right where provisioning brings a node's keys back
    Strict,
    /// A node this run has wiped may show up with a new key, once for each wipe; it is kept with the run
    ReplaceAfterWipe,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Take a backup of etcd: from the best member, proven, with a manifest beside it
    Backup(Box<Backup>),
    /// Look at what is there and write a spec to edit
    Discover(Discover),
    /// Check one by one what this program believes of the cluster; nothing is changed
    Doctor(Box<Doctor>),
    /// Prove snapshots: bytes, structure, meaning; nothing is changed
    Verify(Verify),
    /// Show what would be done, every step and command; nothing is changed
    Plan(PlanArgs),
    /// Restore a snapshot into a scratch directory, start it, compare, and remove everything
    Rehearse(Rehearse),
    /// Do what an approved plan says
    Run(RunArgs),
    /// Go on with a run that halted or broke off
    Resume(Resume),
    /// Show where a run stands; nothing is changed, also while it works
    Status(Status),
    /// Put back what a run has done, before its point of no return
    Undo(UndoArgs),
    /// End an open run for good, leaving everything as it is
    Abandon(Abandon),
    /// Say what an error code means and what to do
    Explain(Explain),
    /// Write a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write the manual page
    Man,
    /// Become a command that ends when this program does: a rehearsal's way to start another
    #[command(hide = true)]
    Hold {
        /// The process it must not outlive
        parent: i32,
        /// The command
        #[arg(last = true, required = true)]
        command: Vec<OsString>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Discover {
    /// The label of the cluster
    #[arg(long, value_name = "LABEL", default_value = "default")]
    pub(crate) cluster: ClusterLabel,
    /// The overlay with the role `Etcd::Host`, where there are several and the label does not tell
    #[arg(long, value_name = "NAME")]
    pub(crate) overlay: Option<OverlayName>,
    /// The snapshot; the newest good one in /cm/shared/backup/etcd where it is not given
    #[arg(long, value_name = "PATH")]
    pub(crate) snapshot: Option<AbsPath>,
    /// `text` is the spec, `json` the observation
    #[arg(long, value_enum, default_value_t = Listing::Text)]
    pub(crate) format: Listing,
}

/// Check one by one what this program believes of the cluster; nothing is changed.
///
/// For any day before the disaster, on any head node. Each belief holds, differs, could not be checked,
/// or does not apply. The status is 0 if all of it holds, 9 if anything differs, and 10 if nothing
/// differs but something could not be checked. docs/doctor.md lists the checks.
///
/// A check that gets no answer keeps no other from being made.
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// The label of the cluster: where its certificates lie, and which overlay is its own where there are several
    #[arg(long, value_name = "LABEL", default_value = "default")]
    pub(crate) cluster: ClusterLabel,
    /// The overlay with the role `Etcd::Host`, where there are several
    #[arg(long, value_name = "NAME")]
    pub(crate) overlay: Option<OverlayName>,
    /// Ask only this node over ssh, also where it is no member; may be repeated
    #[arg(long, value_name = "NODE")]
    pub(crate) node: Vec<NodeName>,
    /// The module of etcd's programs on the nodes, where there are several
    #[arg(long, value_name = "MODULE")]
    pub(crate) module: Option<ModuleName>,
    /// Where backups lie
    #[arg(long, value_name = "DIR", default_value = BACKUP_DIR)]
    pub(crate) backup_dir: AbsPath,
    /// `json` is documented in docs/doctor.md
    #[arg(long, value_enum, default_value_t = Listing::Text)]
    pub(crate) format: Listing,
    /// Also write what was asked and answered to this file, without names, addresses and secrets, to
    /// go with a report of a bug
    #[arg(long, value_name = "FILE")]
    pub(crate) bundle: Option<PathBuf>,
    /// Find again what such a file holds, instead of asking anybody
    #[arg(long, value_name = "FILE", conflicts_with_all = ["bundle", "overlay", "node", "module"])]
    pub(crate) replay: Option<PathBuf>,
}

/// Prove snapshots: bytes, structure, meaning; nothing is changed.
///
/// One file gives a report, several give a table, a directory gives its candidates, the newest good
/// one first. The status is 0 if every file named is good and every directory named has a good one,
/// and otherwise the highest of the verdicts' (20 to 27). A good snapshot of an empty store is good,
/// with a loud warning; `plan` and `run` refuse it.
///
/// A directory is not searched below itself. Names that begin with a dot or end in .part or .json are
/// passed over, and so is what is no ordinary file.
#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// Snapshots, or directories of them
    #[arg(value_name = "SNAPSHOT", required = true)]
    pub(crate) paths: Vec<PathBuf>,
    /// In a directory, stop at the newest good one
    #[arg(long)]
    pub(crate) newest: bool,
    /// The quota of the members, --quota-backend-bytes; etcd's own default is 2 GiB
    #[arg(long, value_name = "BYTES", default_value_t = 2 << 30, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) quota: u64,
    /// `json` is documented in docs/verify.md
    #[arg(long, value_enum, default_value_t = Listing::Text)]
    pub(crate) format: Listing,
}

#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    /// The spec
    #[arg(long, value_name = "FILE")]
    pub(crate) spec: PathBuf,
    /// Also ask every gate of Preflight, and what each step would find; nothing is changed
    #[arg(long)]
    pub(crate) probe: bool,
    /// Also rehearse the restore on this machine, with the nodes' release of etcd; no plan unless all
    /// of it holds
    #[arg(long)]
    pub(crate) rehearse: bool,
    /// `md` is for a change ticket
    #[arg(long, value_enum, default_value_t = PlanFormat::Text)]
    pub(crate) format: PlanFormat,
    /// Write the plan to this file, for `run --plan`
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Overwrite that file
    #[arg(long, requires = "out")]
    pub(crate) force: bool,
    // The heading of these holds for all that follows.
    #[command(flatten)]
    pub(crate) rehearsal: RehearsalArgs,
}

/// Restore a snapshot into a scratch directory, start it, compare, and remove everything.
///
/// The snapshot is proven first, then restored by etcd's own program as a cluster of one; etcd is
/// started from it on loopback, behind certificates made for this once. `HashKV`, revision, key counts
/// and ids must be what the proof foretells, and a key must be written, read and deleted. Nothing is
/// left, also after Ctrl-C; after a kill -9 the next rehearsal clears what is.
#[derive(Debug, Args)]
pub(crate) struct Rehearse {
    /// The snapshot
    pub(crate) snapshot: PathBuf,
    /// How far to move the revision: `auto` as the restore does by default, `none`, or a number
    #[arg(long, value_name = "REVISIONS", default_value = "auto", value_parser = revision_bump)]
    pub(crate) revision_bump: RevisionBump,
    /// How to show it
    #[arg(long, value_enum, default_value_t = Listing::Text)]
    pub(crate) format: Listing,
    // The heading of these holds for all that follows.
    #[command(flatten)]
    pub(crate) with: RehearsalArgs,
}

/// Where and with what to rehearse.
#[derive(Debug, Args)]
#[command(next_help_heading = "Rehearsal")]
pub(crate) struct RehearsalArgs {
    /// The folder for the scratch directory; /var/tmp or else the system's own where it is not given
    #[arg(long, value_name = "DIR")]
    pub(crate) scratch: Option<PathBuf>,
    /// The directory of etcd's programs. `rehearse` takes whatever release lies there, `plan --rehearse` only
    /// the minor release of the nodes
    #[arg(long, value_name = "DIR", conflicts_with = "module")]
    pub(crate) etcd_bin: Option<PathBuf>,
    /// The environment module of etcd's programs, with the same conditions as --etcd-bin
    #[arg(long, value_name = "MODULE")]
    pub(crate) module: Option<ModuleName>,
}

impl RehearsalArgs {
    /// Whether any of them is given.
    pub(crate) const fn given(&self) -> bool {
        self.scratch.is_some() || self.etcd_bin.is_some() || self.module.is_some()
    }
}

fn revision_bump(text: &str) -> Result<RevisionBump, String> {
    match text {
        "auto" => Ok(RevisionBump::Auto),
        "none" => Ok(RevisionBump::None),
        number => number
            .parse()
            .map(RevisionBump::By)
            .map_err(|_| "say auto, none, or a number of revisions".into()),
    }
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The plan, as `plan --out` wrote it
    #[arg(long, value_name = "FILE", conflicts_with = "spec")]
    pub(crate) plan: Option<PathBuf>,
    /// The digest of the plan that was reviewed
    #[arg(long, value_name = "DIGEST", requires = "plan")]
    pub(crate) approve: Option<Digest>,
    /// On a terminal: plan from this spec, show, ask, and go on
    #[arg(long, value_name = "FILE")]
    pub(crate) spec: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Resume {
    /// The run, or the end of its id; the only open one where it is not given
    pub(crate) run: Option<String>,
    /// Go on although this host was the last to work on the run, and has not said that it stopped: you
    /// have made sure that nothing works on it there
    #[arg(long, value_name = "HOST")]
    pub(crate) take_over: Option<String>,
    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Status {
    /// The run, or the end of its id; the open ones where it is not given
    #[arg(conflicts_with = "all")]
    pub(crate) run: Option<String>,
    /// List the past runs, too
    #[arg(long)]
    pub(crate) all: bool,
    /// How to show it
    #[arg(long, value_enum, default_value_t = Listing::Text)]
    pub(crate) format: Listing,
}

#[derive(Debug, Args)]
pub(crate) struct UndoArgs {
    /// The run, or the end of its id; the only open one where it is not given
    pub(crate) run: Option<String>,
    /// Go on although this host was the last to work on the run, and has not said that it stopped: you
    /// have made sure that nothing works on it there
    #[arg(long, value_name = "HOST")]
    pub(crate) take_over: Option<String>,
    /// The digest of the undo plan, as it was shown
    #[arg(long, value_name = "DIGEST")]
    pub(crate) approve: Option<Digest>,
    /// How to show the undo plan
    #[arg(long, value_enum, default_value_t = PlanFormat::Text)]
    pub(crate) format: PlanFormat,
}

#[derive(Debug, Args)]
pub(crate) struct Abandon {
    /// The run, or the end of its id
    pub(crate) run: String,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    /// Go on although this host was the last to work on the run, and has not said that it stopped: you
    /// have made sure that nothing works on it there
    #[arg(long, value_name = "HOST")]
    pub(crate) take_over: Option<String>,
    /// Also where the run's record is damaged or missing; what is left of it is kept under another name
    #[arg(long)]
    pub(crate) damaged: bool,
    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// The code, as printed between the brackets of `error[…]`; all of them where it is not given
    pub(crate) code: Option<String>,
    /// How to show it
    #[arg(long, value_enum, default_value_t = Listing::Text)]
    pub(crate) format: Listing,
}

/// How a list is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Listing {
    Text,
    Json,
}

/// How a plan is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PlanFormat {
    Text,
    Json,
    Md,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
