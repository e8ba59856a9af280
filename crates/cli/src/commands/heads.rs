//! Two head nodes: where a run may be kept so that the other one can go on, and when it may.

use std::path::Path;

use runbook_core::journal::History;
use runbook_core::names::RunId;
use runbook_core::ports::Ports;
use runbook_core::rundir::{Locks, Place, RunDir};
use runbook_core::world::HeadRole;

use super::{Context, pick};
use crate::actor::actor;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::clean_line;

/// Where a cluster with two head nodes should keep its runs.
pub(super) const BETTER: &str = "/cm/shared/restore-runbook";

/// Refuses a place that a failover makes unsafe, and warns of one where a run would stay behind.
///
/// With one head node every place is as good as another.
pub(super) async fn fit(cx: Context<'_>, ports: &Ports) -> Result<(), Failure> {
    match ports.manager.head_role().await? {
        HeadRole::Single => Ok(()),
        HeadRole::Passive => Err(passive(Exit::Refused)),
        HeadRole::Active => {
            let dir = &cx.options.state_dir;
            for line in fits(&place(dir)?, dir)? {
                cx.ui.warning(&line);
            }
            Ok(())
        }
    }
}

/// What is to be warned of in such a place, of two head nodes.
fn fits(place: &Place, dir: &Path) -> Result<Vec<String>, Failure> {
    not_stale(place, dir)?;
    if place.locks() == Locks::ThisHostOnly {
        return Err(locks_are_local(place, dir));
    }
    Ok(warnings(place, dir))
}

/// Refuses a snapshot that may be what this head node had on its own disk before the last failover.
pub(super) async fn snapshot_is_shared(ports: &Ports, snapshot: &Path) -> Result<(), Failure> {
    match ports.manager.head_role().await? {
        HeadRole::Active => not_stale(&place(snapshot)?, snapshot),
        HeadRole::Single | HeadRole::Passive => Ok(()),
    }
}

/// Refuses to go on with a run that another host worked on last, unless that life has said that it stops
/// and the storage is one of both, or somebody vouches for its end.
pub(super) fn unless_elsewhere(
    cx: Context<'_>,
    dir: &RunDir,
    history: &History,
    take_over: Option<&str>,
) -> Result<(), Failure> {
    let lives = history.lives();
    let Some(last) = lives.last() else {
        return Ok(());
    };
    let host = last.by.host.as_str();
    if host == actor().host {
        return Ok(());
    }
    let shared = goes_along(dir.path());
    if last.ended && shared {
        return Ok(());
    }
    let host = clean_line(host);
    if take_over == Some(last.by.host.as_str()) {
        cx.ui.note(&format!(
            "taking over from {host}: somebody vouches that nothing works on the run there"
        ));
        return Ok(());
    }
    let why = if last.ended {
        "and this directory is no storage of both, so it may be a copy: the run may have gone on there since"
    } else {
        "and has not said that it stops: it may work still"
    };
    let what = format!(
        "run {} was last worked on at {host} (process {}, {:.0}), {why}",
        dir.run, last.by.pid, last.at
    );
    Err(Failure::new(Exit::Locked, "run-elsewhere", what).hint(format!(
        "two processes on one run can start an empty etcd. Make sure first: {host} is off or fenced, or `ssh {host} ps -p {}` there shows no restore-runbook{}. Then say so: `--take-over {host}`",
        last.by.pid,
        if last.ended { ", and `restore-runbook status` there has the run no further than here" } else { "" }
    )))
}

/// Whether the other head node sees this place as well, as far as can be told.
pub(super) fn goes_along(path: &Path) -> bool {
    Place::of(path).is_ok_and(|place| place.goes_along())
}

/// How to go on after a failover with a run that is kept here.
pub(super) fn way_on(run: RunId, state_dir: &Path, shared: bool) -> Vec<String> {
    let state = clean_line(&state_dir.display().to_string());
    let resume = format!("`restore-runbook resume {run} --state-dir {state}`");
    if shared {
        vec![format!(
            "at the other head node, once it is the active one and has {state} mounted: {resume}"
        )]
    } else {
        vec![
            format!("{state} lies on this head node's own disk, the other one does not have it"),
            format!(
                "either make this head node the active one again (`cmha makeactive` here), and: {resume}"
            ),
            format!(
                "or copy the run there, whole and with its modes, and never resume it here again: `rsync -a {state}/ OTHER-HEAD:{state}/`, then there {resume} --take-over {}",
                clean_line(&actor().host)
            ),
        ]
    }
}

/// What is to be known where no run is found: a place that ought to be a mount, and is none.
pub(super) fn nothing_mounted(dir: &Path) -> Option<String> {
    let folder = Place::of(dir).ok()?.unmounted()?;
    Some(format!(
        "nothing is mounted at {0} here, as on a passive head node: runs kept there do not show. See `cmha status` and `findmnt {0}`",
        folder.display()
    ))
}

/// What `status` says of a run that another host worked on last.
pub(super) fn remarks(dir: &RunDir, history: &History) -> Vec<String> {
    let elsewhere = history
        .lives()
        .last()
        .filter(|life| life.by.host != actor().host)
        .map(|life| clean_line(&life.by.host));
    let (Some(host), Ok(place)) = (elsewhere, Place::of(dir.path())) else {
        return Vec::new();
    };
    if place.goes_along() {
        return Vec::new();
    }
    vec![format!(
        "this is the disk of this host alone, and {host} worked on the run last: what stands here may be old. Look there, or where {} is mounted",
        place
            .unmounted()
            .unwrap_or(Path::new("the shared storage"))
            .display()
    )]
}

fn place(path: &Path) -> Result<Place, Failure> {
    Place::of(path).map_err(|error| {
        let what = format!("it cannot be told what {} lies on", path.display());
        Failure::new(Exit::Environment, "state-io", what).caused_by(&error)
    })
}

fn not_stale(place: &Place, path: &Path) -> Result<(), Failure> {
    let Some(folder) = place.unmounted() else {
        return Ok(());
    };
    let (folder, path) = (folder.display(), path.display());
    let what = format!(
        "{path} lies on this head node's own disk: of two head nodes the active one has {folder} mounted, and here it is not"
    );
    Err(Failure::new(Exit::Conflict, "shared-not-mounted", what).hint(format!(
        "what shows there may be from before the last failover. See `cmha status` and `findmnt {folder}`; mount it, or name a place that is not below {folder}"
    )))
}

fn locks_are_local(place: &Place, path: &Path) -> Failure {
    let what = format!(
        "{} lies on {} mounted at {} with locks of this host only: nothing keeps the other head node from the same run",
        path.display(),
        clean_line(place.kind()),
        place.mount().display()
    );
    Failure::new(Exit::Conflict, "state-locks-local", what).hint(
        "mount it with locks that the server keeps (NFS: without `nolock` and `local_lock`; Lustre: with `flock`), or name another --state-dir",
    )
}

fn warnings(place: &Place, path: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    if !place.goes_along() {
        lines.push(format!(
            "this cluster has two head nodes, and {} lies on the disk of this one: after a failover the run can only be resumed here, or from a copy. A place that goes along: --state-dir {BETTER}",
            path.display()
        ));
    } else if place.locks() == Locks::Unknown {
        lines.push(format!(
            "whether a lock on {} keeps the other head node out is not known: never work on one run from both. What the other one writes is noticed before each step",
            clean_line(place.kind())
        ));
    }
    lines
}

/// This head node is not the one to act.
pub(super) fn passive(exit: Exit) -> Failure {
    let [code, what, hint] = HeadRole::PASSIVE_REFUSED;
    Failure::new(exit, code, what).hint(hint)
}

/// As [`pick::open_record`], where this host may go on with the run.
pub(super) fn open_record(
    cx: Context<'_>,
    dir: &RunDir,
    take_over: Option<&str>,
) -> Result<pick::Record, Failure> {
    let record = pick::open_record(dir)?;
    unless_elsewhere(cx, dir, &record.history, take_over)?;
    Ok(record)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of a state directory in `/cm/shared`, by how that is mounted: by the table of mounts of
    /// somebody else, for this machine has no such storage.
    fn at(mount: &str, kind: &str) -> Result<Vec<String>, Failure> {
        let dir = Path::new("/cm/shared/state");
        fits(&Place::told(dir, Path::new(mount), kind), dir)
    }

    #[test]
    fn storage_with_locks_of_one_host_is_refused() {
        // Lustre without `flock`.
        let failure = at("/cm/shared", "lustre").unwrap_err();
        assert_eq!(
            (failure.exit, &*failure.code),
            (Exit::Conflict, "state-locks-local")
        );
        for word in ["/cm/shared/state", "lustre", "locks of this host only"] {
            assert!(failure.what.contains(word), "{}", failure.what);
        }
        assert!(failure.hint.unwrap().contains("--state-dir"));
    }

    #[test]
    fn storage_whose_locks_nobody_knows_is_warned_of() {
        let lines = at("/cm/shared", "9p").unwrap();
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains("is not known"), "{lines:?}");
        assert_eq!(at("/cm/shared", "nfs4"), Ok(Vec::new()));
    }

    #[test]
    fn what_a_head_node_has_on_its_own_disk_is_no_shared_folder() {
        let failure = at("/", "ext4").unwrap_err();
        assert_eq!(
            (failure.exit, &*failure.code),
            (Exit::Conflict, "shared-not-mounted")
        );
        assert!(failure.what.contains("/cm/shared/state"));
    }
}
