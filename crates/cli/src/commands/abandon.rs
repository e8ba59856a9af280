//! `abandon`: end an open run for good, leaving everything as it is.

use runbook_core::journal::Outcome;
use runbook_core::rundir::{RunDir, Standing};

use super::pick::Record;
use super::{Context, heads, host_keys, open_state, pick};
use crate::actor::actor;
use crate::args::Abandon;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::clean;

/// The longest reason kept, in characters.
const REASON_CHARS: usize = 500;

pub(super) async fn abandon(cx: Context<'_>, args: &Abandon) -> Result<Exit, Failure> {
    let reason = args.reason.trim();
    if reason.is_empty() || reason.chars().count() > REASON_CHARS {
        return Err(Failure::usage(format!(
            "a reason is required, in at most {REASON_CHARS} characters"
        )));
    }
    let dir = pick::one(cx, Some(&args.run))?;
    let state = open_state(cx)?;
    let lock = state.lock(&dir.cluster, &actor())?;
    super::undo::refuse_open_undo(&state, &dir)?;
    let record = match heads::open_record(cx, &dir, args.take_over.as_deref()) {
        Ok(record) => Some(record),
        Err(failure) if args.damaged && failure.code != "run-elsewhere" && may_be_open(&dir) => {
            cx.ui
                .warning(&format!("[{}] {}", failure.code, failure.what));
            None
        }
        Err(failure) => return Err(failure),
    };
    warn(cx, &dir, record.as_ref());
    if !args.yes {
        cx.confirm("End this run for good?").await?;
    }
    let now = jiff::Timestamp::now();
    match &record {
        Some(_) => dir.close(now, Outcome::Abandoned(reason.to_owned()))?,
        None => dir.give_up(&lock, now, actor(), reason)?,
    }
    cx.ui
        .note(&format!("run {} is closed: {}", dir.run, clean(reason)));
    host_keys::hand_over(cx, dir.path());
    Ok(Exit::Done)
}

/// Whether nothing says that the run is over.
fn may_be_open(dir: &RunDir) -> bool {
    matches!(dir.standing(), Standing::Open(_) | Standing::Unreadable(_))
}

/// What stays as it is.
fn warn(cx: Context<'_>, dir: &RunDir, record: Option<&Record>) {
    let unchanged = match record {
        None => {
            cx.ui.warning("its record does not say how far it came: etcd may be stopped, datanode may be off, disks may be wiped; look at each node");
            false
        }
        Some(record) => {
            let standing = record.standing(dir, None);
            cx.ui.note(&standing.text());
            for danger in standing.dangers_while(false) {
                cx.ui.warning(&format!("it stays like this: {danger}"));
            }
            record.history.changed_nothing()
        }
    };
    if !unchanged {
        cx.ui.warning("guards, moved spools and staging directories with this run's id stay on the nodes; a later plan refuses a node that is still guarded");
    }
}
