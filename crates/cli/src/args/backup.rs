//! What `backup` is told.

use std::path::PathBuf;

use clap::Args;
use runbook_core::names::{ClusterLabel, EtcdUrl, OverlayName};

use super::Listing;

#[derive(Debug, Args)]
pub(crate) struct Backup {
    /// Where the backup goes; its manifest and `revision.json` lie beside it
    #[arg(long, value_name = "DIR", default_value = "/cm/shared/backup/etcd")]
    pub(crate) to: PathBuf,
    /// Where a second copy goes, with the same proof; better on other storage
    #[arg(long, value_name = "DIR")]
    pub(crate) copy_to: Option<PathBuf>,
    /// The label of the cluster: in the names of its backups, and in the paths of its certificates
    #[arg(long, value_name = "LABEL", default_value = "default")]
    pub(crate) cluster: ClusterLabel,
    /// The overlay with the role `Etcd::Host`, where there are several and the label does not tell
    #[arg(long, value_name = "NAME", conflicts_with = "endpoints")]
    pub(crate) overlay: Option<OverlayName>,
    /// The members' client URLs, with commas between; cmsh is asked where they are not given. With them
    /// cmsh is not asked at all, not even whether this head node is the active one: on a passive one
    /// /cm/shared may be stale, so name another directory with --to
    #[arg(long, value_name = "URL", value_delimiter = ',')]
    pub(crate) endpoints: Vec<EtcdUrl>,
    /// How long a member may be silent in the middle of its snapshot
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) idle_timeout: u64,
    /// The quota of the members' databases, where it was changed; etcd tells it from 3.6 on
    #[arg(long, value_name = "BYTES")]
    pub(crate) quota: Option<u64>,
    /// A file or directory without which the backup is useless, as the API servers' encryption
    /// configuration: its SHA-256 goes into the manifest, never its content. Where none is given:
    /// /etc/kubernetes/pki/LABEL and /etc/kubernetes/enc, if they are there
    #[arg(long, value_name = "PATH")]
    pub(crate) companion: Vec<PathBuf>,
    /// What would be suspicious against the backup before was meant: trust this one
    #[arg(long)]
    pub(crate) accept_smaller: bool,
    /// Write a systemd service and timer for this very command line, and do nothing else
    #[arg(long)]
    pub(crate) print_timer: bool,
    /// When that timer goes off, as systemd.time(7) has it
    #[arg(
        long,
        value_name = "CALENDAR",
        default_value = "hourly",
        requires = "print_timer"
    )]
    pub(crate) on_calendar: String,
    /// How to show what was done
    #[arg(long, value_enum, default_value_t = Listing::Text)]
    pub(crate) format: Listing,
    // The heading of these holds for all that follows.
    #[command(flatten)]
    pub(crate) keep: Keep,
}

/// Which backups stay.
#[derive(Debug, Args)]
#[command(next_help_heading = "Retention (all in UTC; shown, and done only with --prune)")]
pub(crate) struct Keep {
    /// Keep the newest N
    #[arg(long = "keep-last", value_name = "N", default_value_t = 0)]
    pub(crate) last: usize,
    /// Keep the newest of each of the last N hours that have one
    #[arg(long = "keep-hourly", value_name = "N", default_value_t = 0)]
    pub(crate) hourly: usize,
    /// Keep the newest of each of the last N days that have one
    #[arg(long = "keep-daily", value_name = "N", default_value_t = 0)]
    pub(crate) daily: usize,
    /// Keep the newest of each of the last N weeks that have one
    #[arg(long = "keep-weekly", value_name = "N", default_value_t = 0)]
    pub(crate) weekly: usize,
    /// Drop the others; never the newest good one. Empty and suspicious ones are counted apart, so
    /// that they push no good one out
    #[arg(long)]
    pub(crate) prune: bool,
}
