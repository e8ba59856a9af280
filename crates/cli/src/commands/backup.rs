//! `backup`: one proven snapshot more, and those dropped that nobody needs.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use etcd_adapter::backup::{Event, Policy, Retained, Session, Taken, Wanted, Watcher};
use jiff::Timestamp;
use runbook_core::names::EtcdUrl;
use runbook_core::world::HeadRole;

use super::{Context, heads};
use crate::actor::actor;
use crate::args::{Backup, Listing};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::progress::bytes::Bytes;
use crate::render::{backup as render, json, timer};
use crate::ui::{Ui, clean_line};
use crate::wiring;

/// How long a member may take to tell its status.
const ANSWER: Duration = Duration::from_secs(10);

/// How long the others may take to elect a leader once a member is lost: some of etcd's election
/// timeouts (1 s by default, 10 s on slow networks).
const SETTLE: Duration = Duration::from_secs(30);

/// Where the API servers' keys and their encryption configuration are looked for. The first is Base
/// Command Manager's; the second is the directory of Kubernetes' own guide.
fn usual_companions(args: &Backup) -> Vec<PathBuf> {
    let usual = [
        Path::new("/etc/kubernetes/pki").join(args.cluster.as_str()),
        PathBuf::from("/etc/kubernetes/enc"),
    ];
    usual.into_iter().filter(|path| path.exists()).collect()
}

pub(super) async fn backup(cx: Context<'_>, args: &Backup) -> Result<Exit, Failure> {
    let policy = policy(args);
    if args.keep.prune && policy.is_unset() {
        return Err(
            Failure::usage("--prune drops what no --keep-… keeps: say what to keep")
                .hint("for example --keep-last 24 --keep-daily 14 --keep-weekly 8"),
        );
    }
    if args.print_timer {
        if policy.is_unset() || !args.keep.prune {
            cx.ui.warning("this timer keeps every backup until the disk is full: say what stays with --keep-… and --prune");
        }
        cx.ui.data(&timer::units(cx.options, args)?)?;
        return Ok(Exit::Done);
    }
    if let Some(copy) = &args.copy_to {
        apart(&args.to, copy)?;
    }
    let endpoints = endpoints(cx, args).await?;
    let client = wiring::etcd(cx.options, &args.cluster, &endpoints)?;
    let session = Session::open(wanted(args, endpoints))?;
    let watch = watcher(cx.ui);
    let taking = Box::pin(async { Ok(session.take(&client, &watch).await?) });
    let taken = or_ended(cx, ENDED, taking).await?;
    drop(watch);
    let retained = if policy.is_unset() {
        Vec::new()
    } else {
        let what = format!(
            "{} is taken; the retention was interrupted",
            taken.path.display()
        );
        or_ended(cx, &what, retain(session, policy, args.keep.prune)).await?
    };
    show(cx.ui, args, &taken, &retained)?;
    Ok(Exit::Done)
}

/// What to say once somebody wants the backup to end.
const ENDED: &str = "the backup was interrupted; what was not finished is gone";

async fn or_ended<T>(
    cx: Context<'_>,
    what: &str,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    cx.halt.or_saying("backup-interrupted", what, work).await
}

/// On a thread of its own: storage that hangs must not keep a signal from being heard.
async fn retain(session: Session, policy: Policy, prune: bool) -> Result<Vec<Retained>, Failure> {
    let work = move || session.retain(policy, prune);
    let retained = tokio::task::spawn_blocking(work).await;
    Ok(retained
        .map_err(|error| Failure::internal("the retention did not end").caused_by(&error))??)
}

fn policy(args: &Backup) -> Policy {
    Policy {
        last: args.keep.last,
        hourly: args.keep.hourly,
        daily: args.keep.daily,
        weekly: args.keep.weekly,
    }
}

/// A second copy in the same place is none.
fn apart(one: &Path, other: &Path) -> Result<(), Failure> {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    if real(one) == real(other) {
        return Err(Failure::usage("--to and --copy-to are the same directory"));
    }
    Ok(())
}

/// As given, or as the cluster manager has them.
async fn endpoints(cx: Context<'_>, args: &Backup) -> Result<Vec<EtcdUrl>, Failure> {
    if !args.endpoints.is_empty() {
        let mut endpoints = args.endpoints.clone();
        endpoints.sort();
        endpoints.dedup();
        return Ok(endpoints);
    }
    let wired = cx.wiring.wire(cx.options, &cx.looking(&args.cluster))?;
    let manager = Arc::clone(&wired.ports.manager);
    let found = async {
        let head = manager.head_role().await?;
        let overlay = match &args.overlay {
            Some(overlay) => overlay.clone(),
            None => manager.etcd_overlay(&args.cluster).await?,
        };
        let role = manager.etcd_role(Some(overlay), &[]).await?;
        Ok::<_, Failure>((head, role))
    };
    let (head, role) = wired.during(or_ended(cx, ENDED, found)).await?;
    if head == HeadRole::Passive {
        return Err(heads::passive(Exit::Environment));
    }
    if role.holders.is_empty() {
        let what = format!("no node has Etcd::Host from overlay {}", role.overlay);
        return Err(Failure::new(Exit::Environment, "backup-no-member", what)
            .hint("name the members with --endpoints"));
    }
    let holders = role.holders.into_iter();
    Ok(holders.map(|holder| holder.client_url).collect())
}

fn wanted(args: &Backup, endpoints: Vec<EtcdUrl>) -> Wanted {
    let companions = if args.companion.is_empty() {
        usual_companions(args)
    } else {
        args.companion.clone()
    };
    Wanted {
        label: args.cluster.clone(),
        endpoints,
        dir: args.to.clone(),
        copy_to: args.copy_to.clone(),
        answer: ANSWER,
        idle: Duration::from_secs(args.idle_timeout),
        settle: SETTLE,
        quota_bytes: args.quota,
        companions,
        accept: args.accept_smaller,
        by: actor(),
        now: Timestamp::now(),
    }
}

fn show(ui: &Ui, args: &Backup, taken: &Taken, retained: &[Retained]) -> Result<(), Failure> {
    match args.format {
        Listing::Json => ui.data(&json::document(&render::json(taken, retained))),
        Listing::Text => {
            for warning in &taken.warnings {
                ui.warning(&format!("[{}] {}", warning.code, warning.text));
            }
            ui.data(&render::text(taken, retained))
        }
    }
}

/// Shows how far it has come, until whoever holds it drops it, and what did not go well.
fn watcher(ui: &Ui) -> Watcher {
    let ui = ui.clone();
    let bytes = Mutex::new(Bytes::of(&ui, "the members".into()));
    Arc::new(move |event| {
        let mut bytes = bytes.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Asked(url) => bytes.turn_to(url.to_string()),
            Event::Received {
                done_bytes,
                total_bytes,
            } => bytes.at("receiving", done_bytes, total_bytes),
            Event::Proving(progress) => bytes.proving(progress),
            Event::Copied {
                done_bytes,
                total_bytes,
            } => bytes.at("copying", done_bytes, total_bytes),
            Event::GaveUp(what) => ui.note(&clean_line(&format!("gave up: {what}"))),
        }
    })
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn giving_up_a_member_is_told_above_the_bar() {
        let ui = Ui::drawing();
        let watch = watcher(&ui);
        let (done, ended) = mpsc::channel();
        std::thread::spawn(move || {
            let url = EtcdUrl::new("https://10.141.0.1:2379").unwrap();
            watch(Event::Asked(url));
            watch(Event::Received {
                done_bytes: 1,
                total_bytes: 2,
            });
            watch(Event::GaveUp("it fell silent".into()));
            done.send(()).unwrap();
        });
        let waited = ended.recv_timeout(Duration::from_secs(60));
        waited.expect("the watcher does not wait for itself");
        assert_eq!(ui.taken().1, "gave up: it fell silent\n");
    }
}
