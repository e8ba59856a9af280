//! One life of a run: from its beginning, or from where it was left, to its end, a halt or a signal.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use runbook_core::danger::found_lowered;
use runbook_core::event::Failure as UnitFailure;
use runbook_core::journal::{Actor, Entry, History, Outcome};
use runbook_core::machine::Machine;
use runbook_core::names::{ClusterLabel, NodeName, RunId, UnitId};
use runbook_core::plan::{Action, NodeEffect, PlanKind, SealedPlan, ToolEffect};
use runbook_core::run::{HEAD_CHANGED, Run, RunEnd};
use runbook_core::rundir::{ClusterLock, RunDir, Standing, StateDir};

use super::{Context, heads, host_keys, open_state};
use crate::actor::actor;
use crate::command_log::FileLog;
use crate::exit::Exit;
use crate::failure::{Failure, or_explained};
use crate::progress::Progress;
use crate::render::clock;
use crate::render::status;
use crate::ui::{GOOD, HEAD, WARN, clean_line, paint};
use crate::wiring::Wired;

/// A cluster, held for one life: `run`, `resume` and `undo` all work from here.
pub(super) struct Session<'a> {
    pub(super) cx: Context<'a>,
    pub(super) state: StateDir,
    pub(super) lock: ClusterLock,
    /// Whether the other head node sees the state directory as well; looked up before a failover takes
    /// the storage away.
    shared: bool,
    by: Actor,
    log: Arc<FileLog>,
}

impl<'a> Session<'a> {
    /// Takes the cluster for this process.
    pub(super) fn take(cx: Context<'a>, cluster: &ClusterLabel) -> Result<Self, Failure> {
        let state = open_state(cx)?;
        let by = actor();
        let lock = state.lock(cluster, &by)?;
        Ok(Self {
            cx,
            shared: heads::goes_along(state.path()),
            state,
            lock,
            by,
            log: Arc::new(FileLog::new(cx.halt.clone())),
        })
    }

    /// The ports; every command is logged with the run.
    pub(super) fn wire(&self, dir: &RunDir) -> Result<Wired, Failure> {
        let log = Arc::clone(&self.log);
        self.cx.wire(&dir.cluster, log, Some(dir.path()))
    }

    /// Begins the plan's run, and works on it.
    pub(super) async fn begin(&self, plan: &SealedPlan, wired: &Wired) -> Result<Exit, Failure> {
        let (dir, store) = self.state.create_run(&self.lock, plan)?;
        // The journal first: commands without it would look like a run whose journal is lost.
        let run = Run::begin(plan, &wired.ports, Box::new(store), self.by.clone())?;
        self.attach(&dir)?;
        self.life(&dir, plan).go(run).await
    }

    /// Goes on with a run.
    pub(super) async fn resume(
        &self,
        dir: &RunDir,
        plan: &SealedPlan,
        wired: &Wired,
    ) -> Result<Exit, Failure> {
        self.attach(dir)?;
        let store = Box::new(dir.store()?);
        let run = Run::resume(plan, &wired.ports, store, self.by.clone())?;
        self.life(dir, plan).go(run).await
    }

    /// From here on commands are logged to the run's own file.
    fn attach(&self, dir: &RunDir) -> Result<(), Failure> {
        let path = dir.commands_log();
        self.log.attach(&path).map_err(|error| {
            let what = format!("{} cannot be written", path.display());
            Failure::new(Exit::Environment, "state-io", what)
                .caused_by(&error)
                .hint("see what the system says of it: space, permissions, the disk; then resume")
        })
    }

    fn life<'b>(&'b self, dir: &'b RunDir, plan: &'b SealedPlan) -> Life<'b> {
        Life {
            cx: self.cx,
            state: &self.state,
            shared: self.shared,
            dir,
            plan,
        }
    }
}

/// What a life works with.
struct Life<'a> {
    cx: Context<'a>,
    state: &'a StateDir,
    shared: bool,
    dir: &'a RunDir,
    plan: &'a SealedPlan,
}

impl Life<'_> {
    /// Works, and says how it ended.
    async fn go(&self, run: Run<'_>) -> Result<Exit, Failure> {
        let since = Instant::now();
        let progress = Arc::new(Progress::new(self.cx.ui.clone()));
        let voice = Arc::clone(&progress);
        self.cx
            .halt
            .speak_through(Arc::new(move |line: &str| voice.say(line)));
        let end = self.work(&run, &progress).await;
        progress.clear();
        match end.map_err(|failure| self.taken_away(failure))? {
            None => Ok(self.left_in_flight(&run.machine())),
            Some(RunEnd::Completed) => self.completed(since),
            Some(RunEnd::Halted {
                reason,
                failures,
                open,
                ..
            }) => self.halted(run, &reason, failures, &open),
        }
    }

    /// A failover takes shared storage away before the run has noticed: the way on is the same.
    fn taken_away(&self, failure: Failure) -> Failure {
        if failure.code != "journal-overtaken" {
            return failure;
        }
        let ways = heads::way_on(self.plan.run, self.state.path(), self.shared);
        failure.details(
            ways.into_iter()
                .map(|way| format!("after a failover: {way}")),
        )
    }

    /// None when it was left in flight.
    async fn work(&self, run: &Run<'_>, progress: &Progress) -> Result<Option<RunEnd>, Failure> {
        let halt = self.cx.halt;
        tokio::select! {
            biased;
            () = halt.leave.cancelled() => Ok(None),
            end = run.execute(progress, &halt.drain) => Ok(Some(end?)),
        }
    }

    fn left_in_flight(&self, machine: &Machine) -> Exit {
        let run = self.plan.run;
        self.cx.ui.note(&format!(
            "\nrun {run} was left with steps in flight; what they began may still come true"
        ));
        self.warn_of_dangers(machine);
        self.cx.ui.hint(&format!(
            "look with `restore-runbook status {run}`, go on with `restore-runbook resume {run}`"
        ));
        Exit::InFlight
    }

    /// The same as `status` says, for whoever goes near the nodes now.
    fn warn_of_dangers(&self, machine: &Machine) {
        for danger in status::dangers_in_words(self.plan, machine, true) {
            self.cx.ui.warning(&danger);
        }
    }

    fn completed(&self, since: Instant) -> Result<Exit, Failure> {
        let ui = self.cx.ui;
        let run = self.plan.run;
        let took = clock(since.elapsed());
        match self.plan.kind {
            PlanKind::Restore => {
                let left_out = match self.dir.standing() {
                    Standing::Over(_, history) => unverified(&history),
                    _ => Vec::new(),
                };
                let line = verdict(&self.plan.cluster, left_out.len());
                ui.note(&format!("\n{line}, run {run}, {took} in this life"));
                for line in left_out {
                    ui.warning(&line);
                }
                for category in found_lowered(&self.plan.spec, &self.plan.world) {
                    ui.warning(&status::found_lowered(category));
                }
                for line in stays(self.plan) {
                    ui.note(&format!("  stays, until you remove it: {line}"));
                }
            }
            PlanKind::Undo { of, .. } => {
                close_undone(self.state, of, run)?;
                let line = format!("run {of} is undone");
                ui.note(&format!(
                    "\n{} by run {run}, {took} in this life",
                    paint(GOOD, line)
                ));
                for line in not_taken_back(self.plan) {
                    ui.note(&format!("  not taken back: {line}"));
                }
            }
        }
        ui.note(&format!(
            "  plan, journal and every command: {}",
            clean_line(&self.dir.path().display().to_string())
        ));
        host_keys::hand_over(self.cx, self.dir.path());
        Ok(Exit::Done)
    }

    fn halted(
        &self,
        run: Run<'_>,
        reason: &str,
        failures: Vec<(UnitId, UnitFailure)>,
        open: &[UnitId],
    ) -> Result<Exit, Failure> {
        let machine = run.machine();
        let nothing_changed = !self
            .plan
            .units
            .iter()
            .any(|unit| machine.intended(&unit.id));
        let refused = nothing_changed && !failures.is_empty();
        let exit = if refused { Exit::Refused } else { Exit::Halted };
        let failed_over = failures
            .iter()
            .any(|(_, failure)| failure.code == HEAD_CHANGED);
        self.cx.ui.note("");
        for (unit, failure) in failures {
            let what = format!("{unit}: {}", failure.seen);
            let mut shown = Failure::new(exit, &failure.code, what);
            shown.hint = or_explained(failure.hint, &failure.code);
            self.cx.ui.failure(&shown);
        }
        if refused {
            run.close(Outcome::Abandoned(short(reason)))?;
            self.cx.ui.note("\nnothing was changed, and the run is closed: mend this, then run the same plan again");
            return Ok(exit);
        }
        let open: Vec<String> = open.iter().map(ToString::to_string).collect();
        let id = self.plan.run;
        self.cx.ui.note(&format!(
            "\n{}; still open: {}",
            paint(HEAD, format!("run {id} has halted")),
            open.join(", ")
        ));
        self.warn_of_dangers(&machine);
        if failed_over {
            for line in heads::way_on(id, self.state.path(), self.shared) {
                self.cx.ui.hint(&line);
            }
            return Ok(exit);
        }
        self.cx.ui.hint(&format!(
            "look with `restore-runbook status {id}`, go on with `restore-runbook resume {id}`"
        ));
        Ok(exit)
    }
}

/// How a restore ended, in one line.
fn verdict(cluster: &ClusterLabel, left_out: usize) -> String {
    if left_out == 0 {
        paint(GOOD, format!("cluster {cluster} is restored and verified"))
    } else {
        let line =
            format!("cluster {cluster} is restored; {left_out} of its checks could NOT be made");
        paint(WARN, line)
    }
}

/// What a check says where it could not be made, and the run went on all the same: a finding whose part
/// begins with `NOT`. The journal has those of earlier lives as well.
fn unverified(history: &History) -> Vec<String> {
    let of = |record: &runbook_core::journal::Record| match &record.entry {
        Entry::Done { unit, seen, .. } => {
            let lines = not_made(seen).map(|part| format!("{unit}: {}", clean_line(part)));
            lines.collect()
        }
        _ => Vec::new(),
    };
    history.records.iter().flat_map(of).collect()
}

/// What a complete restore leaves beside the spool, for somebody to remove once he trusts the cluster.
fn stays(plan: &SealedPlan) -> Vec<String> {
    let wiped: BTreeSet<&NodeName> = plan
        .units
        .iter()
        .filter(|unit| unit.destructive)
        .filter_map(|unit| unit.member.as_ref())
        .collect();
    let mut nodes: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for unit in &plan.units {
        let (node, what) = match &unit.act {
            Some(Action::Node(NodeEffect::SetAside { node, aside, .. }))
                if !wiped.contains(node) =>
            {
                (node, format!("{aside}, the old data"))
            }
            Some(Action::Tool(ToolEffect::Restore(restore))) => (
                &restore.node,
                format!("{}, the restore's log", restore.staging),
            ),
            _ => continue,
        };
        nodes.entry(what).or_default().push(node.as_str());
    }
    let line = |(what, nodes): (String, Vec<&str>)| format!("{what}, on {}", nodes.join(", "));
    nodes.into_iter().map(line).collect()
}

/// What an undo does not take back, each with the reason.
fn not_taken_back(undo: &SealedPlan) -> impl Iterator<Item = String> {
    undo.units.iter().filter_map(|unit| {
        let why = unit.skip.as_ref()?;
        Some(format!("{}: {}", unit.id, clean_line(why)))
    })
}

/// The parts of what was seen that say what was not.
fn not_made(seen: &str) -> impl Iterator<Item = &str> {
    seen.split("; ").filter(|part| part.starts_with("NOT "))
}

/// Closes a run that another one has undone.
pub(super) fn close_undone(state: &StateDir, of: RunId, by: RunId) -> Result<(), Failure> {
    let runs = state.runs()?;
    let Some(dir) = runs.iter().find(|dir| dir.run == of) else {
        return Ok(());
    };
    Ok(dir.close(jiff::Timestamp::now(), Outcome::Undone(by))?)
}

fn short(reason: &str) -> String {
    format!(
        "refused before anything was changed: {}",
        reason.chars().take(400).collect::<String>()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_verified_stands_in_the_last_line() {
        let seen = "NOT compared with the prediction, revision 9 was compacted since; HashKV at revision 12 is 5 on every member";
        let left_out: Vec<&str> = not_made(seen).collect();
        assert_eq!(
            left_out,
            ["NOT compared with the prediction, revision 9 was compacted since"]
        );
        assert_eq!(not_made("3 keys; HashKV is 5, as predicted").count(), 0);
        let cluster = ClusterLabel::new("default").unwrap();
        assert!(verdict(&cluster, 0).contains("restored and verified"));
        let line = verdict(&cluster, 1);
        assert!(
            line.contains("1 of its checks could NOT be made") && !line.contains("verified"),
            "{line}"
        );
    }
}
