//! Taking a backup.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use runbook_core::digest::Digest;
use runbook_core::journal::Actor;
use runbook_core::names::{ClusterLabel, EtcdUrl};
use runbook_core::ports::EtcdClient as _;
use sha2::{Digest as _, Sha256};
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;

use super::changes::Changes;
use super::companions;
use super::error::{Attempt, BackupError, Fault};
use super::kept::{self, Line};
use super::manifest::{ClusterFacts, Content, MANIFEST_FORMAT, Manifest, MemberFacts};
use super::name::BackupName;
use super::place::{Part, Place, Published};
use super::receive::{Ended, receive, room};
use super::retention::Policy;
use super::revision::{self, Recorded};
use super::survey::{Survey, look};
use super::warning::Warning;
use crate::client::{GrpcClient, Vitals};
use crate::snapshot::{self, Progress, Proof};

/// How often a cluster that lost a member is looked at again.
const POLL: Duration = Duration::from_millis(250);

/// Bytes copied at a time.
const CHUNK: usize = 1 << 20;

/// What is wanted.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// What the cluster is filed under.
    pub label: ClusterLabel,
    /// Where its members are reached.
    pub endpoints: Vec<EtcdUrl>,
    /// Where the backup goes.
    pub dir: PathBuf,
    /// Where a second copy of it goes.
    pub copy_to: Option<PathBuf>,
    /// How long a member may take to tell its status.
    pub answer: Duration,
    /// How long a member may be silent in the middle of its snapshot.
    pub idle: Duration,
    /// How long the others may take to elect a leader, when the member that was asked is lost.
    pub settle: Duration,
    /// The members' quota in bytes, where they do not tell it themselves.
    pub quota_bytes: Option<u64>,
    /// Files and directories whose digests go into the manifest.
    pub companions: Vec<PathBuf>,
    /// Whether what would be suspicious was meant: the backup is trusted all the same.
    pub accept: bool,
    /// Who takes it.
    pub by: Actor,
    /// The moment it begins.
    pub now: Timestamp,
}

/// What is being done.
#[derive(Debug, Clone)]
pub enum Event {
    /// This member is asked for its snapshot.
    Asked(EtcdUrl),
    /// So much of it has come.
    Received {
        /// Bytes so far.
        done_bytes: u64,
        /// Bytes in all.
        total_bytes: u64,
    },
    /// Nothing came of a member; another is tried.
    GaveUp(String),
    /// A file is proven.
    Proving(Progress),
    /// The second copy is written.
    Copied {
        /// Bytes so far.
        done_bytes: u64,
        /// Bytes in all.
        total_bytes: u64,
    },
}

/// Who is told; from any thread.
pub type Watcher = Arc<dyn Fn(Event) + Send + Sync>;

/// A backup that was taken.
#[derive(Debug)]
pub struct Taken {
    /// Where it is.
    pub path: PathBuf,
    /// Where its copy is, if one was wanted.
    pub copy: Option<PathBuf>,
    /// What is known of it.
    pub manifest: Manifest,
    /// What the members said before.
    pub survey: Survey,
    /// What is different from the one before, if there is one.
    pub changes: Option<Changes>,
    /// What a person should look at.
    pub warnings: Vec<Warning>,
    /// What dead processes had left and is gone now.
    pub cleaned: Vec<PathBuf>,
    /// How long the snapshot took to come and to be proven.
    pub took: Duration,
}

/// What retention did, or would do, in one directory.
#[derive(Debug)]
pub struct Retained {
    /// Where.
    pub dir: PathBuf,
    /// Each backup, the newest first.
    pub lines: Vec<Line>,
    /// Whether what is to be dropped is gone.
    pub pruned: bool,
}

/// The directories, held, and what is wanted of them.
#[derive(Debug)]
pub struct Session {
    wanted: Wanted,
    main: Place,
    copy: Option<Place>,
    /// Why there is no place for the copy that was wanted; told once the backup is taken.
    no_copy: Mutex<Option<BackupError>>,
    cleaned: Vec<PathBuf>,
    /// What was published last; retention lets it be.
    fresh: Mutex<Option<BackupName>>,
}

impl Session {
    /// Takes the directories for this process, and removes what dead ones have left in them.
    ///
    /// # Errors
    /// When the first is not there, cannot be used, or another process has it. A second one that cannot
    /// be used is told by [`Session::take`].
    pub fn open(wanted: Wanted) -> Result<Self, BackupError> {
        let main = Place::open(&wanted.dir, &wanted.by)?;
        let mut cleaned = main.clean()?;
        // Storage for copies that is away is no reason to have no backup at all.
        let second = wanted.copy_to.as_deref().map(|dir| {
            let place = Place::open(dir, &wanted.by)?;
            Ok((place.clean()?, place))
        });
        let (copy, no_copy) = match second {
            None => (None, None),
            Some(Ok((dead, place))) => {
                cleaned.extend(dead);
                (Some(place), None)
            }
            Some(Err(error)) => (None, Some(error)),
        };
        Ok(Self {
            wanted,
            main,
            copy,
            no_copy: Mutex::new(no_copy),
            cleaned,
            fresh: Mutex::default(),
        })
    }

    fn fresh(&self) -> MutexGuard<'_, Option<BackupName>> {
        self.fresh.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn places(&self) -> impl Iterator<Item = &Place> {
        std::iter::once(&self.main).chain(&self.copy)
    }

    /// Takes one backup. Dropping the future leaves nothing behind that the next call would not remove.
    ///
    /// # Errors
    /// [`BackupError::Copy`] when the backup was taken and its copy was not; anything else means that
    /// there is no backup. The highest revision is recorded in any case, once a member has answered.
    pub async fn take(&self, client: &GrpcClient, watch: &Watcher) -> Result<Taken, BackupError> {
        let wanted = &self.wanted;
        let survey = look(client, &wanted.endpoints, wanted.answer).await;
        let mut warnings = Warning::before(&survey, wanted.quota_bytes);
        warnings.extend(self.places().filter_map(Warning::place));
        let recorded = self.record(&survey, &mut warnings);
        survey.one_cluster()?;
        let begun = Instant::now();
        let got = self.get(client, &survey, watch, &mut warnings).await?;
        let took = begun.elapsed();
        let mut manifest = self.manifest(&got);
        let before = kept::shelf(self.main.dir(), &wanted.label)?;
        warnings.extend(Warning::clock(&before, wanted.now));
        let changes = before
            .before(wanted.now)
            .map(|before| Changes::between(&before.manifest, &manifest));
        warnings.extend(Warning::after(&manifest, changes.as_ref(), &recorded));
        warnings.extend(before.refused.iter().map(Warning::record));
        manifest.doubts = doubts(&manifest, changes.as_ref(), wanted.accept);
        let published = self.main.publish(got.part, &got.name, &manifest)?;
        *self.fresh() = Some(got.name.clone());
        warnings.extend(Warning::unsynced(&published));
        let path = published.path;
        let second = self.second(&path, &got.name, &manifest, watch).await?;
        warnings.extend(second.as_ref().and_then(Warning::unsynced));
        let copy = second.map(|published| published.path);
        Ok(Taken {
            path,
            copy,
            manifest,
            survey,
            changes,
            warnings,
            cleaned: self.cleaned.clone(),
            took,
        })
    }

    /// Shows what a policy means for each directory; with `prune` it is done. The backup that this
    /// session has taken last stays in any case.
    ///
    /// # Errors
    /// When a directory cannot be read or changed.
    pub fn retain(&self, policy: Policy, prune: bool) -> Result<Vec<Retained>, BackupError> {
        let fresh = self.fresh().clone();
        let known = (fresh.as_ref(), self.wanted.now);
        let retained = self.places().map(|place| {
            Ok(Retained {
                dir: place.dir().to_owned(),
                lines: kept::retain(place, &self.wanted.label, policy, prune, known)?,
                pruned: prune,
            })
        });
        retained.collect()
    }

    /// Writes down how far the cluster has come. A record that refuses must not cost the backup.
    fn record(&self, survey: &Survey, warnings: &mut Vec<Warning>) -> Recorded {
        let told = survey.revisions();
        let mut known = Recorded::default();
        if told.is_empty() {
            return known;
        }
        for place in self.places() {
            match revision::record(place.dir(), &told, self.wanted.now) {
                Ok(recorded) => known.raise(recorded),
                Err(error) => warnings.push(Warning::unrecorded(place.dir(), &error)),
            }
        }
        known
    }

    /// Has one member after the other send its snapshot until one is good.
    async fn get(
        &self,
        client: &GrpcClient,
        first: &Survey,
        watch: &Watcher,
        warnings: &mut Vec<Warning>,
    ) -> Result<Got, BackupError> {
        let mut attempts: Vec<Attempt> = Vec::new();
        let mut tried: Vec<EtcdUrl> = Vec::new();
        // One that its own member contradicts is better than none.
        let mut spare: Option<Got> = None;
        let (url, vitals) = first.choice(&tried).ok_or_else(|| first.nobody())?;
        let mut next = Some((url.clone(), vitals.clone()));
        while let Some((url, vitals)) = next {
            watch(Event::Asked(url.clone()));
            let fault = match self.from(client, &url, vitals, watch).await {
                Ok(got) => match got.contradicted() {
                    None => {
                        warnings.extend(attempts.iter().map(Warning::attempt));
                        return Ok(got);
                    }
                    Some(fault) => {
                        spare.get_or_insert(got);
                        fault
                    }
                },
                Err(Ended::Ours(_)) if spare.is_some() => break,
                Err(Ended::Ours(error)) => return Err(error),
                Err(Ended::Member(fault)) => fault,
            };
            tried.push(url.clone());
            let attempt = Attempt { url, fault };
            watch(Event::GaveUp(attempt.to_string()));
            attempts.push(attempt);
            next = self.another(client, &tried).await;
        }
        let Some(got) = spare else {
            return Err(BackupError::Failed { tries: attempts });
        };
        let others = attempts.iter().filter(|attempt| attempt.url != got.url);
        warnings.extend(others.map(Warning::attempt));
        Ok(got)
    }

    /// The next best member. If a leader was lost, the others need a moment to elect one.
    async fn another(&self, client: &GrpcClient, tried: &[EtcdUrl]) -> Option<(EtcdUrl, Vitals)> {
        let left = self
            .wanted
            .endpoints
            .iter()
            .filter(|url| !tried.contains(url));
        let left: Vec<_> = left.cloned().collect();
        let begun = Instant::now();
        while !left.is_empty() {
            let survey = look(client, &left, self.wanted.answer).await;
            if let Some((url, vitals)) = survey.choice(&[]) {
                return Some((url.clone(), vitals.clone()));
            }
            if begun.elapsed() > self.wanted.settle {
                break;
            }
            tokio::time::sleep(POLL).await;
        }
        None
    }

    /// The snapshot of one member: on the disk, synced, proven.
    async fn from(
        &self,
        client: &GrpcClient,
        url: &EtcdUrl,
        vitals: Vitals,
        watch: &Watcher,
    ) -> Result<Got, Ended> {
        let name = self.main.name(&self.wanted.label, self.wanted.now)?;
        let part = self.main.begin(&name)?;
        let to = (&self.main, &part);
        let sha256 = receive(client, url, self.wanted.idle, to, watch).await?;
        let proof = settle(&part, watch)
            .await?
            .map_err(|error| Ended::Member(Fault::Proof(error)))?;
        let predicted = proof.meaning.hash_kv;
        let told = client.hash_kv(url, predicted.revision).await.ok().flatten();
        let told = told.filter(|told| told.compact_revision == predicted.compact_revision);
        Ok(Got {
            name,
            part,
            sha256,
            proof,
            member_hash_kv: told.map(|told| told.hash),
            url: url.clone(),
            vitals,
        })
    }

    fn manifest(&self, got: &Got) -> Manifest {
        let (wanted, status) = (&self.wanted, &got.vitals.status);
        Manifest {
            format: MANIFEST_FORMAT,
            file: got.name.to_string(),
            size_bytes: got.proof.size_bytes,
            sha256: got.sha256,
            content_sha256: Digest::from_bytes(got.proof.sha256),
            taken: wanted.now,
            by: wanted.by.clone(),
            cluster: ClusterFacts {
                label: wanted.label.clone(),
                id: status.cluster,
                source: status.member,
                endpoint: got.url.clone(),
                etcd: status.version,
                quota_bytes: got.vitals.quota_bytes.or(wanted.quota_bytes),
                database_bytes: got.vitals.database_bytes,
                members: MemberFacts::of(&got.proof),
            },
            content: Content::of(&got.proof, got.member_hash_kv),
            companions: companions::digests(&wanted.companions),
            doubts: Vec::new(),
        }
    }

    /// The second copy, with the proof of the first.
    async fn second(
        &self,
        from: &Path,
        name: &BackupName,
        manifest: &Manifest,
        watch: &Watcher,
    ) -> Result<Option<Published>, BackupError> {
        let missing = self
            .no_copy
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let copied = match (&self.copy, missing) {
            (_, Some(error)) => Err(error),
            (None, None) => return Ok(None),
            (Some(place), None) => copy(from, place, name, manifest, watch).await,
        };
        copied.map(Some).map_err(|source| BackupError::Copy {
            backup: from.to_owned(),
            dir: self.wanted.copy_to.clone().unwrap_or_default(),
            source: Box::new(source),
        })
    }
}

/// Why a backup is not trusted. A person may have meant what is gone, but not that a member serves
/// another content than it sends.
fn doubts(manifest: &Manifest, changes: Option<&Changes>, accept: bool) -> Vec<String> {
    let mut doubts: Vec<_> = manifest.content.contradiction().into_iter().collect();
    if let Some(changes) = changes.filter(|_| !accept) {
        doubts.extend(changes.suspicious.iter().map(ToString::to_string));
    }
    doubts
}

/// A snapshot that may be published.
struct Got {
    name: BackupName,
    part: Part,
    sha256: Digest,
    proof: Proof,
    member_hash_kv: Option<u32>,
    url: EtcdUrl,
    vitals: Vitals,
}

impl Got {
    /// What is wrong when the member that sent it says that its content is another.
    fn contradicted(&self) -> Option<Fault> {
        let ours = self.proof.meaning.hash_kv.hash;
        self.member_hash_kv
            .filter(|told| *told != ours)
            .map(|told| Fault::HashKv { ours, told })
    }
}

/// Syncs a part to the disk, and proves it at the same time.
async fn settle(
    part: &Part,
    watch: &Watcher,
) -> Result<Result<Proof, snapshot::ProofError>, BackupError> {
    let failed = |doing| BackupError::io(&part.path, doing);
    let file = part.file.try_clone().map_err(failed("synced"))?;
    let (path, told) = (part.path.clone(), Arc::clone(watch));
    let syncing = spawn_blocking(move || file.sync_all());
    let proving = spawn_blocking(move || {
        snapshot::prove(&path, &mut |progress| told(Event::Proving(progress)))
    });
    let (synced, proven) = tokio::join!(syncing, proving);
    synced
        .map_err(|error| failed("synced")(error.into()))?
        .map_err(failed("synced"))?;
    proven.map_err(|error| failed("proven")(error.into()))
}

async fn copy(
    from: &Path,
    place: &Place,
    name: &BackupName,
    manifest: &Manifest,
    watch: &Watcher,
) -> Result<Published, BackupError> {
    room(place, manifest.size_bytes)?;
    let part = place.begin(name)?;
    let source = File::open(from).map_err(BackupError::io(from, "read"))?;
    let to = part
        .file
        .try_clone()
        .map_err(BackupError::io(&part.path, "written"))?;
    let told = Arc::clone(watch);
    let total_bytes = manifest.size_bytes;
    // When this future is dropped, the copying ends.
    let (wanted, gone) = oneshot::channel::<()>();
    let copying = spawn_blocking(move || {
        stream(source, to, gone, |done_bytes| {
            told(Event::Copied {
                done_bytes,
                total_bytes,
            });
        })
    });
    let digest = copying
        .await
        .map_err(|error| BackupError::io(&part.path, "written")(error.into()))?
        .map_err(BackupError::io(&part.path, "written"))?;
    drop(wanted);
    let proof = settle(&part, watch).await?;
    let same = proof.is_ok_and(|proof| Digest::from_bytes(proof.sha256) == manifest.content_sha256);
    if digest != manifest.sha256 || !same {
        let path = part.path.clone();
        return Err(BackupError::Readback { path });
    }
    place.publish(part, name, manifest)
}

/// Copies until the end, or until nobody wants it any more.
fn stream(
    mut from: File,
    mut to: File,
    mut gone: oneshot::Receiver<()>,
    told: impl Fn(u64),
) -> io::Result<Digest> {
    let mut hash = Sha256::new();
    let mut chunk = vec![0; CHUNK];
    let mut done = 0;
    loop {
        let length = from.read(&mut chunk)?;
        if length == 0 {
            return Ok(Digest::from_bytes(hash.finalize().into()));
        }
        if gone.try_recv() == Err(oneshot::error::TryRecvError::Closed) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        to.write_all(&chunk[..length])?;
        hash.update(&chunk[..length]);
        done += length as u64;
        told(done);
    }
}

#[cfg(test)]
mod tests {
    use super::super::manifest::tests::sample;
    use super::*;

    #[test]
    fn what_the_member_contradicts_is_doubted_whatever_a_person_accepts() {
        let before = sample("etcd-a-20260101T000000Z.db", "2026-01-01T00:00:00Z");
        let mut now = before.clone();
        now.content.member_hash_kv = Some(now.content.hash_kv);
        now.content.live_keys = 1;
        let changes = Changes::between(&before, &now);
        assert_eq!(doubts(&now, Some(&changes), false).len(), 1);
        assert_eq!(doubts(&now, Some(&changes), true), Vec::<String>::new());
        now.content.member_hash_kv = Some(now.content.hash_kv + 1);
        assert_eq!(doubts(&now, Some(&changes), false).len(), 2);
        let [doubt] = &doubts(&now, None, true)[..] else {
            panic!("one doubt");
        };
        assert!(doubt.contains("HashKV of the backup is 7"), "{doubt}");
    }
}
