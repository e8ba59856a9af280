//! `abandon`: end an open run for good, leaving everything as it is.

use runbook_core::journal::Outcome;
use runbook_core::run::replay;
use runbook_core::rundir::StateDir;

use super::{Context, open_state, pick};
use crate::actor::actor;
use crate::args::Abandon;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::render::status;
use crate::ui::{Answer, clean};

/// The longest reason kept, in characters.
const REASON_CHARS: usize = 500;

pub(super) fn abandon(cx: Context<'_>, args: &Abandon) -> Result<Exit, Failure> {
    let reason = args.reason.trim();
    if reason.is_empty() || reason.chars().count() > REASON_CHARS {
        return Err(Failure::usage(format!(
            "a reason is required, in at most {REASON_CHARS} characters"
        )));
    }
    if StateDir::existing(&cx.options.state_dir)?.is_none() {
        return Err(pick::only_open(None)
            .err()
            .unwrap_or_else(|| Failure::internal("no state")));
    }
    let state = open_state(cx)?;
    let dir = pick::named(&state, &args.run)?;
    let _lock = state.lock(&dir.cluster, &actor())?;
    super::undo::refuse_open_undo(&state, &dir)?;
    let history = pick::open_history(&dir)?;
    let plan = dir.plan()?;
    let machine = replay(&plan, &history)?;
    let standing = status::Standing {
        plan: &plan,
        history: &history,
        machine: &machine,
        working: None,
        place: dir.path().display().to_string(),
    };
    cx.ui.note(&standing.text());
    for danger in standing.dangers() {
        cx.ui.warning(&format!("it stays like this: {danger}"));
    }
    if !history.changed_nothing() {
        cx.ui.warning("guards, moved spools and staging directories with this run's id stay on the nodes; a later plan refuses a node that is still guarded");
    }
    if !args.yes && cx.ui.person && cx.ui.ask("End this run for good?", false) != Answer::Yes {
        return Err(Failure::new(
            Exit::Approval,
            "approval-declined",
            "the answer was no; nothing was changed",
        ));
    }
    dir.close(
        jiff::Timestamp::now(),
        Outcome::Abandoned(reason.to_owned()),
    )?;
    cx.ui
        .note(&format!("run {} is closed: {}", dir.run, clean(reason)));
    Ok(Exit::Done)
}
