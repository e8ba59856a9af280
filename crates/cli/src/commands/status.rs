//! `status`: where runs stand. It only reads, and may be asked while a run works.

use runbook_core::journal::{Entry, Outcome};
use runbook_core::plan::PlanKind;
use runbook_core::run::replay;
use runbook_core::rundir::{self, RunDir, StateDir};
use serde_json::{Value, json};

use super::{Context, pick};
use crate::args::{Listing, Status};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::render::{json, status};
use crate::ui::clean_line;

pub(super) fn status(cx: Context<'_>, args: &Status) -> Result<Exit, Failure> {
    let state = StateDir::existing(&cx.options.state_dir)?;
    let Some(state) = state else {
        return empty(cx, args, "no run was ever begun here");
    };
    if args.all {
        return list(cx, args, &state);
    }
    let dirs = match &args.run {
        Some(text) => vec![pick::named(&state, text)?],
        None => state.open_runs()?,
    };
    if dirs.is_empty() {
        return empty(cx, args, "there is no open run");
    }
    show(cx, args, &state, &dirs)?;
    Ok(Exit::Done)
}

fn empty(cx: Context<'_>, args: &Status, words: &str) -> Result<Exit, Failure> {
    match args.format {
        Listing::Json => cx.ui.data("[]\n")?,
        Listing::Text => {
            let place = cx.options.state_dir.display();
            cx.ui.data(&format!("{words} ({place})\n"))?;
        }
    }
    Ok(Exit::Done)
}

fn show(cx: Context<'_>, args: &Status, state: &StateDir, dirs: &[RunDir]) -> Result<(), Failure> {
    let mut pages = Vec::new();
    let mut values = Vec::new();
    for dir in dirs {
        let plan = dir.plan()?;
        let history = match dir.standing() {
            rundir::Standing::Open(history) | rundir::Standing::Over(_, history) => history,
            rundir::Standing::Unreadable(error) => return Err(error.into()),
            rundir::Standing::NeverBegan => {
                pages.push(format!(
                    "run {}: it never began, nothing was changed\n",
                    dir.run
                ));
                values
                    .push(json!({"run": dir.run, "cluster": dir.cluster, "state": "never began"}));
                continue;
            }
        };
        let machine = replay(&plan, &history)?;
        let standing = status::Standing {
            plan: &plan,
            history: &history,
            machine: &machine,
            working: pick::worker(state, &dir.cluster)?,
            place: dir.path().display().to_string(),
        };
        pages.push(standing.text());
        values.push(standing.json());
    }
    match args.format {
        Listing::Text => cx.ui.data(&pages.join("\n")),
        Listing::Json => cx.ui.data(&json::document(&Value::Array(values))),
    }
}

fn list(cx: Context<'_>, args: &Status, state: &StateDir) -> Result<Exit, Failure> {
    let rows: Vec<Row> = state.runs()?.iter().map(Row::of).collect();
    if rows.is_empty() {
        return empty(cx, args, "no run was ever begun here");
    }
    match args.format {
        Listing::Json => {
            let values = rows.iter().map(Row::json).collect();
            cx.ui.data(&json::document(&Value::Array(values)))?;
        }
        Listing::Text => {
            let lines: String = rows.iter().map(Row::text).collect::<Vec<_>>().join("\n");
            cx.ui.data(&format!("{lines}\n"))?;
        }
    }
    Ok(Exit::Done)
}

/// One run in the list.
struct Row {
    run: String,
    cluster: String,
    kind: &'static str,
    state: &'static str,
    begun: Option<jiff::Timestamp>,
    note: String,
}

impl Row {
    fn of(dir: &RunDir) -> Self {
        let kind = match dir.plan().map(|plan| plan.kind.clone()) {
            Ok(PlanKind::Restore) => "restore",
            Ok(PlanKind::Undo { .. }) => "undo",
            Err(_) => "unknown",
        };
        let begun =
            |history: &runbook_core::journal::History| history.records.first().map(|r| r.at);
        let (state, begun, note) = match dir.standing() {
            rundir::Standing::NeverBegan => ("never began", None, String::new()),
            rundir::Standing::Unreadable(error) => ("unreadable", None, error.to_string()),
            rundir::Standing::Open(history) => {
                let halted = history.records.iter().rev().find_map(|r| match &r.entry {
                    Entry::Halted { reason } => Some(reason.clone()),
                    _ => None,
                });
                ("open", begun(&history), halted.unwrap_or_default())
            }
            rundir::Standing::Over(outcome, history) => {
                let (state, note) = match outcome {
                    Outcome::Completed => ("completed", String::new()),
                    Outcome::Undone(by) => ("undone", format!("by run {by}")),
                    Outcome::Abandoned(reason) => ("abandoned", reason),
                };
                (state, begun(&history), note)
            }
        };
        Self {
            run: dir.run.to_string(),
            cluster: dir.cluster.to_string(),
            kind,
            state,
            begun,
            note,
        }
    }

    fn text(&self) -> String {
        let begun = self
            .begun
            .map_or_else(|| "-".into(), |at| format!("{at:.0}"));
        let Self {
            run,
            cluster,
            kind,
            state,
            note,
            ..
        } = self;
        let line = format!(
            "{run}  {begun:<20}  {cluster:<10}  {kind:<7}  {state:<11}  {}",
            clean_line(note)
        );
        line.trim_end().to_owned()
    }

    fn json(&self) -> Value {
        json!({
            "run": self.run,
            "cluster": self.cluster,
            "kind": self.kind,
            "state": self.state,
            "begun": self.begun,
            "note": self.note,
        })
    }
}
