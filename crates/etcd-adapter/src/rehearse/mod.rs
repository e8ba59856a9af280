//! The rehearsal of a restore: a snapshot is restored into a scratch directory, started, and held
//! against what its proof foretells. Nothing outside the scratch directory is touched.
//!
//! [`Rehearsal::prepare`] proves the snapshot and finds etcd's programs; nothing is started yet, and a
//! snapshot that is not good ends it. [`Rehearsal::run`] restores with the same options as the real
//! restore, as a cluster of one; starts etcd; compares identity, revision, `HashKV` and counts with the
//! [`Prediction`]; writes, reads and deletes a key; and removes everything. `Ok` means that all of it
//! held.
//!
//! # Who can see it
//!
//! A Kubernetes store is full of secrets, and a head node has users. The scratch directory is `0700`;
//! etcd listens on 127.0.0.1 only, on ports that were unused, and takes nobody without a client
//! certificate of an authority that was made for this one rehearsal and whose key is nowhere on disk.
//!
//! # What is left behind
//!
//! Nothing, whether it ends well, ends badly, or its future is dropped: the process is killed and
//! waited for, then the directory goes. When this process is killed outright (`SIGKILL`, the
//! out-of-memory killer, a power cut), the directory stays, and the next rehearsal below the same
//! folder clears it: it knows by the lock on the directory's `owner` file that nobody works there any
//! more. The kernel ends the programs at the same moment if [`Settings::launcher`] asks for that;
//! otherwise the next rehearsal ends them too, if they are provably what the directory's `owner` file
//! noted: pid, start time, and a command line with this directory in it.
//!
//! So what remains is: until the next rehearsal, the data of a killed one, readable to its owner only;
//! and without a launcher, its etcd, behind its certificates; for ever, a program without launcher
//! whose parent was killed in the instant between its start and its being noted.
//!
//! # What it does not show
//!
//! Its quota is at least 8 GiB and twice the database, so that etcd's default does not stand in the
//! way: whether the members' own quota suffices is for the plan to say. One member restores here; on
//! the nodes several read the snapshot from shared storage at once.

mod etcd;
mod look;
mod pki;
mod process;
mod programs;
mod report;
mod scratch;

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use runbook_core::digest::Digest;
use runbook_core::error::{AdapterError, Certainty};
use runbook_core::identity::{cluster_id, member_id};
use runbook_core::names::{EtcdUrl, MemberName, RunId};
use runbook_core::ports::PortResult;
use runbook_core::spec::RevisionBump;
use runbook_core::version::EtcdVersion;

pub use look::{Comparison, Prediction, Seen, compare};
use process::Running;
use programs::Programs;
pub use programs::{Source, Wanted};
pub use report::{RehearseError, Report};
use scratch::Scratch;
pub use scratch::{Leftover, clear};

use crate::snapshot::{self, Proof, ProofError};
use crate::tool::prove::refused;
use crate::tool::restore::{NewMember, SKIP_HASH_CHECK};

/// The name of the only member.
const NAME: &str = "rehearsal";

/// etcd's write-ahead log allocates segments of 64 MB, the next one ahead; and some for logs.
const OVERHEAD_BYTES: u64 = 160 << 20;

/// How to rehearse.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where etcd's programs may be; the first place that has what is wanted is taken.
    pub sources: Vec<Source>,
    /// Which release it must be.
    pub wanted: Wanted,
    /// How far the restore moves the revision.
    pub revision_bump: RevisionBump,
    /// Folders for the scratch directory; the first with enough room is taken. All of them are
    /// searched for what a killed rehearsal left.
    pub scratch: Vec<PathBuf>,
    /// Words put before each program, which must end it when this process dies, as `setpriv
    /// --pdeathsig KILL --`; the words that follow are the command to become (`exec`).
    pub launcher: Vec<OsString>,
    /// The SHA-256 the snapshot must have, where one was promised.
    pub sha256: Option<Digest>,
    /// Whether a database that does not end with its SHA-256 is taken as well: nothing vouches for its bytes.
    pub without_trailer: bool,
    /// How long the restore may take.
    pub restore_deadline: Duration,
    /// How long etcd may take to serve, and to answer a question.
    pub start_deadline: Duration,
}

/// What a rehearsal is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stage {
    /// Proving the snapshot.
    Proving(snapshot::Progress),
    /// etcd's own tool restores it.
    Restoring,
    /// etcd starts from it.
    Starting,
    /// etcd serves, and is asked.
    Comparing,
    /// etcd stops, and the scratch directory goes.
    Clearing,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Proving(_) => "proving the snapshot",
            Self::Restoring => "restoring it into a scratch directory",
            Self::Starting => "starting etcd from it, on loopback",
            Self::Comparing => "comparing what came up with what was predicted",
            Self::Clearing => "stopping etcd and removing everything",
        })
    }
}

/// Who is told what a rehearsal is doing.
pub type Watcher = Arc<dyn Fn(Stage) + Send + Sync>;

/// A rehearsal that can begin.
pub struct Rehearsal {
    /// What must come up.
    pub prediction: Prediction,
    settings: Settings,
    snapshot: PathBuf,
    proof: Proof,
    trailer: bool,
    programs: Programs,
    bump: Option<u64>,
    cleared: Vec<Leftover>,
    watcher: Watcher,
}

impl fmt::Debug for Rehearsal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rehearsal")
            .field("snapshot", &self.snapshot)
            .field("prediction", &self.prediction)
            .finish_non_exhaustive()
    }
}

impl Rehearsal {
    /// Clears what killed rehearsals left, proves the snapshot, and finds the programs.
    ///
    /// # Errors
    /// [`AdapterError`]: the snapshot is not good (`snapshot-…`) or not the one promised, or no etcd of
    /// the wanted release is at hand.
    pub async fn prepare(
        settings: Settings,
        snapshot: &Path,
        watcher: Watcher,
    ) -> PortResult<Self> {
        let folders = settings.scratch.clone();
        let (path, told) = (snapshot.to_owned(), Arc::clone(&watcher));
        let without_trailer = settings.without_trailer;
        let work = move || {
            let cleared = folders.iter().flat_map(|folder| clear(folder)).collect();
            let mut progress = |progress| told(Stage::Proving(progress));
            let proof = match snapshot::prove(&path, &mut progress) {
                Ok(proof) => Ok((proof, true)),
                Err(ProofError::NoTrailer { content }) if without_trailer && content.is_ok() => {
                    (*content).map(|proof| (proof, false))
                }
                Err(error) => Err(error),
            };
            (
                cleared,
                proof.map_err(|error| refused(&path.display(), error)),
            )
        };
        let (cleared, proof): (Vec<Leftover>, _) = tokio::task::spawn_blocking(work)
            .await
            .map_err(|error| fault("rehearsal-died", "the proof did not end").caused_by(error))?;
        let (proof, trailer) = proof?;
        as_promised(&settings, snapshot, &proof)?;
        let programs = Programs::find(&settings, &proof).await?;
        let bump = bump(
            settings.revision_bump,
            programs.etcd,
            proof.meaning.revision,
        )?;
        Ok(Self {
            prediction: Prediction::of(&proof, bump)?,
            settings,
            snapshot: snapshot.to_owned(),
            proof,
            trailer,
            programs,
            bump,
            cleared,
            watcher,
        })
    }

    /// Rehearses. Dropping the future ends it, and leaves nothing behind.
    ///
    /// # Errors
    /// [`RehearseError::Differs`] when something came up that was not predicted, with the whole report;
    /// otherwise what did not work.
    pub async fn run(self) -> Result<Report, RehearseError> {
        let need = self.proof.database_bytes / 10 * 11 + OVERHEAD_BYTES;
        let scratch = Scratch::make(&self.settings.scratch, need)?;
        let done = self.inside(&scratch).await;
        let removed = scratch.remove();
        let report = done?;
        removed?;
        if report.holds() {
            Ok(report)
        } else {
            Err(RehearseError::Differs(Box::new(report)))
        }
    }

    async fn inside(&self, scratch: &Scratch) -> PortResult<Report> {
        let tls = pki::make(scratch.path())?;
        let token = format!("{NAME}-{}", RunId::fresh());
        let peer = etcd::unused_url()?;
        (self.watcher)(Stage::Restoring);
        let restore = self.restore(scratch, &token, &peer).await?;
        (self.watcher)(Stage::Starting);
        let serving = etcd::start(self, scratch, &tls, &token, &peer).await?;
        (self.watcher)(Stage::Comparing);
        let own = member_id(std::slice::from_ref(&peer), &token);
        let seen = look::look(&serving, &self.prediction).await?;
        let compared = compare(&self.prediction, (own, cluster_id(&[own])), &seen);
        look::canary(&serving).await?;
        (self.watcher)(Stage::Clearing);
        let peak_rss_bytes = serving.process.peak_rss_bytes();
        let open = serving.open;
        serving.process.stop().await?;
        Ok(Report {
            snapshot: self.snapshot.clone(),
            size_bytes: self.proof.size_bytes,
            database_bytes: self.proof.database_bytes,
            sha256: Digest::from_bytes(self.proof.sha256),
            starts_empty: self.proof.meaning.would_start_empty(),
            etcd: self.programs.etcd,
            other_release: self
                .programs
                .other_release(self.settings.wanted, &self.proof),
            tool: self.programs.tool.program(),
            programs: self.programs.place(),
            revision_bump: self.bump,
            compared,
            scratch: scratch.folder(),
            restore,
            open,
            peak_rss_bytes,
            cleared: self.cleared.clone(),
        })
    }

    /// Restores the snapshot to `data` in the scratch directory; how long the tool took.
    async fn restore(
        &self,
        scratch: &Scratch,
        token: &str,
        peer: &EtcdUrl,
    ) -> PortResult<Duration> {
        let name = name();
        let member = NewMember {
            name: &name,
            initial_cluster: &[(name.clone(), peer.clone())],
            token,
            peer_url: peer,
            revision_bump: self.bump,
        };
        let tool = self.programs.tool.program();
        let mut command = self.programs.command(&self.settings.launcher, tool);
        command
            .args(["snapshot", "restore"])
            .arg(&self.snapshot)
            .args(member.options().concat())
            .args((!self.trailer).then_some(SKIP_HASH_CHECK))
            .arg("--data-dir")
            .arg(scratch.data());
        let begun = Instant::now();
        let mut process = Running::start(command, scratch, "restore.log")?;
        let deadline = self.settings.restore_deadline;
        let how = match tokio::time::timeout(deadline, process.ended()).await {
            Ok(status) => {
                let status = status?;
                if status.success() {
                    return Ok(begun.elapsed());
                }
                format!("failed ({status})")
            }
            Err(_) => format!("took longer than {} s", deadline.as_secs()),
        };
        Err(fault("rehearsal-restore", format!("{tool} snapshot restore {how}"))
            .hint("the snapshot's proof holds: look at what the tool said, and at the disk and the memory of this machine")
            .caused_by(process.said()))
    }
}

fn as_promised(settings: &Settings, snapshot: &Path, proof: &Proof) -> PortResult<()> {
    match settings.sha256 {
        Some(promised) if promised != Digest::from_bytes(proof.sha256) => Err(fault(
            "rehearsal-other-snapshot",
            format!(
                "{} is not the snapshot that the plan saw",
                snapshot.display()
            ),
        )
        .hint("something writes to it: make the plan again once it stays as it is")),
        _ => Ok(()),
    }
}

/// How far the revision of a snapshot is moved.
fn bump(asked: RevisionBump, version: EtcdVersion, revision: i64) -> PortResult<Option<u64>> {
    if version.has_revision_bump() {
        return Ok(asked.rule(None).map(|rule| rule.amount(revision)));
    }
    match asked {
        RevisionBump::Auto | RevisionBump::None => Ok(None),
        RevisionBump::By(_) => Err(fault(
            "revision-bump-missing",
            format!("etcd {version} cannot move the revision"),
        )
        .hint("the flags exist from 3.4.27, 3.5.10 and 3.6.0 on; rehearse without a bump")),
    }
}

fn name() -> MemberName {
    MemberName::new(NAME).unwrap_or_else(|_| unreachable!("a constant that parses"))
}

/// What went wrong; nothing outside the scratch directory has changed.
fn fault(code: &'static str, what: impl Into<String>) -> AdapterError {
    AdapterError::new(code, Certainty::Refused, what)
}
