//! `status`: where runs stand. It only reads, and may be asked while a run works.

use std::fmt::Write as _;

use runbook_core::journal::{Entry, History, Outcome};
use runbook_core::plan::PlanKind;
use runbook_core::rundir::{self, GivenUp, RunDir, StateDir};
use serde_json::{Value, json};

use super::pick::Record;
use super::{Context, heads, pick};
use crate::args::{Listing, Status};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::render::{json, wrap};
use crate::ui::{BAD, HEAD, WARN, clean_line, paint};

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
    show(cx, args, &state, &dirs)
}

fn empty(cx: Context<'_>, args: &Status, words: &str) -> Result<Exit, Failure> {
    match args.format {
        Listing::Json => cx.ui.data("[]\n")?,
        Listing::Text => {
            let place = clean_line(&cx.options.state_dir.display().to_string());
            cx.ui.data(&format!("{words} ({place})\n"))?;
        }
    }
    if let Some(line) = heads::nothing_mounted(&cx.options.state_dir) {
        cx.ui.warning(&line);
    }
    Ok(Exit::Done)
}

/// Every one of them; what cannot be read of one hides no other.
fn show(
    cx: Context<'_>,
    args: &Status,
    state: &StateDir,
    dirs: &[RunDir],
) -> Result<Exit, Failure> {
    let mut pages = Vec::new();
    let mut values = Vec::new();
    let mut exit = Exit::Done;
    for dir in dirs {
        let (page, value) = match one(state, dir) {
            Ok(shown) => shown,
            Err(failure) => {
                exit = failure.exit;
                (damaged_text(dir, &failure), damaged_json(dir, &failure))
            }
        };
        pages.push(page);
        values.push(value);
    }
    match args.format {
        Listing::Text => cx.ui.data(&pages.join("\n"))?,
        Listing::Json => cx.ui.data(&json::document(&Value::Array(values)))?,
    }
    Ok(exit)
}

fn one(state: &StateDir, dir: &RunDir) -> Result<(String, Value), Failure> {
    let (run, cluster) = (dir.run, &dir.cluster);
    let history = match dir.standing() {
        rundir::Standing::Open(history) | rundir::Standing::Over(_, history) => history,
        rundir::Standing::Unreadable(error) => return Err(error.into()),
        rundir::Standing::NeverBegan => {
            let page = format!("run {run}: it never began, nothing was changed\n");
            let value = json!({"run": run, "cluster": cluster, "state": "never began"});
            return Ok((page, value));
        }
        rundir::Standing::GivenUp(GivenUp {
            at,
            by,
            reason,
            damage,
        }) => {
            let page = format!(
                "run {run}: abandoned, {at:.0} by {}\n  given up   {}\n  record     {}\n",
                clean_line(&by.to_string()),
                clean_line(&reason),
                clean_line(&damage)
            );
            let value = json!({"run": run, "cluster": cluster, "state": "abandoned", "at": at, "by": by, "note": reason, "damage": damage});
            return Ok((page, value));
        }
    };
    let record = Record::read(dir, history)?;
    let mut standing = record.standing(dir, pick::worker(state, cluster)?);
    let undo = pick::begun_undo(state, dir)?;
    standing.undone = undo.map(|undo| (undo.run, pick::way_behind(&undo, run)));
    Ok((standing.text(), standing.json()))
}

/// A run whose record is damaged: nobody knows how far it came.
fn damaged_text(dir: &RunDir, failure: &Failure) -> String {
    let mut page = format!(
        "{} {}: of cluster {}, {}\n  directory  {}\n  error      [{}] {}\n",
        paint(HEAD, "run"),
        dir.run,
        dir.cluster,
        paint(BAD, "damaged"),
        clean_line(&dir.path().display().to_string()),
        failure.code,
        clean_line(&failure.what)
    );
    for cause in &failure.causes {
        writeln!(page, "  caused by  {}", clean_line(cause)).ok();
    }
    writeln!(page, "\n{}", paint(WARN, "While it stands like this")).ok();
    let danger = "it may have changed anything: etcd may be stopped, datanode may be off, disks may be wiped. No other run begins on the cluster";
    for (n, line) in wrap(danger, 92).iter().enumerate() {
        writeln!(page, "  {} {line}", if n == 0 { "*" } else { " " }).ok();
    }
    writeln!(page, "\n{}", paint(HEAD, "How to go on")).ok();
    for line in wrap(&way_on(dir, failure), 92) {
        writeln!(page, "  {line}").ok();
    }
    page
}

fn damaged_json(dir: &RunDir, failure: &Failure) -> Value {
    json!({
        "run": dir.run,
        "cluster": dir.cluster,
        "directory": dir.path().display().to_string(),
        "state": "damaged",
        "code": failure.code,
        "note": failure.what,
        "causes": failure.causes,
        "go_on": [way_on(dir, failure)],
    })
}

fn way_on(dir: &RunDir, failure: &Failure) -> String {
    match dir.standing() {
        rundir::Standing::Unreadable(error) if !error.is_damage() => {
            failure.hint.as_deref().unwrap_or_default().to_owned()
        }
        _ => pick::way_out(dir),
    }
}

fn list(cx: Context<'_>, args: &Status, state: &StateDir) -> Result<Exit, Failure> {
    let rows: Vec<Row> = state
        .runs()?
        .iter()
        .map(|dir| Row::of(state, dir))
        .collect();
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
    let damaged = rows.iter().any(|row| row.code.is_some());
    Ok(if damaged { Exit::Record } else { Exit::Done })
}

/// One run in the list.
struct Row {
    run: String,
    cluster: String,
    kind: &'static str,
    state: &'static str,
    begun: Option<jiff::Timestamp>,
    note: String,
    /// What is wrong with its record, if anything.
    code: Option<String>,
}

impl Row {
    fn of(state: &StateDir, dir: &RunDir) -> Self {
        let plan = dir.plan();
        let kind = match plan.as_ref().map(|plan| &plan.kind) {
            Ok(PlanKind::Restore) => "restore",
            Ok(PlanKind::Undo { .. }) => "undo",
            Err(_) => "unknown",
        };
        let row = |state, begun, note| Self {
            run: dir.run.to_string(),
            cluster: dir.cluster.to_string(),
            kind,
            state,
            begun,
            note,
            code: None,
        };
        let begun = |history: &History| history.records.first().map(|r| r.at);
        match dir.standing() {
            rundir::Standing::NeverBegan => row("never began", None, String::new()),
            rundir::Standing::GivenUp(given_up) => row("abandoned", None, given_up.reason),
            rundir::Standing::Over(outcome, history) => {
                let (state, note) = match outcome {
                    Outcome::Completed => ("completed", String::new()),
                    Outcome::Undone(by) => ("undone", format!("by run {by}")),
                    Outcome::Abandoned(reason) => ("abandoned", reason),
                };
                row(state, begun(&history), note)
            }
            rundir::Standing::Open(history) if one(state, dir).is_ok() => {
                let halted = history.records.iter().rev().find_map(|r| match &r.entry {
                    Entry::Halted { reason } => Some(reason.clone()),
                    _ => None,
                });
                row("open", begun(&history), halted.unwrap_or_default())
            }
            rundir::Standing::Open(_) | rundir::Standing::Unreadable(_) => {
                let mut row = row("damaged", None, String::new());
                if let Err(failure) = one(state, dir) {
                    row.note = format!(
                        "{}; `restore-runbook status {}` says how to go on",
                        failure.what, dir.run
                    );
                    row.code = Some(failure.code);
                }
                row
            }
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
        let code = self.code.as_ref();
        let code = code.map_or_else(String::new, |code| format!("[{code}] "));
        let line = format!(
            "{run}  {begun:<20}  {cluster:<10}  {kind:<7}  {state:<11}  {code}{}",
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
            "code": self.code,
        })
    }
}
