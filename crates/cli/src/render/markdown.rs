//! A plan as Markdown, for a change ticket.

use std::fmt::Write as _;

use runbook_core::plan::{Place, PlanKind, SealedPlan, Undo, Unit};

use super::commands::{Commands, label};
use super::next::Next;
use super::order::WayBack;
use super::text::{before, unit_of_no_return};
use super::{article, order, recovery, size, thousands};
use crate::ui::clean_line;

/// The whole plan.
pub(crate) fn plan(plan: &SealedPlan) -> String {
    let mut page = String::new();
    header(&mut page, plan);
    members(&mut page, plan);
    points(&mut page, "What to know", &plan.risks);
    if plan.kind == PlanKind::Restore {
        points(&mut page, article::TITLE, &article::lines(plan));
    }
    let mut no_return_in = None;
    let mut shown = Commands::default();
    let mut phase = None;
    for unit in &plan.units {
        if phase != Some(unit.phase) {
            phase = Some(unit.phase);
            writeln!(
                page,
                "\n## {}\n\n{}.",
                unit.phase,
                escape(unit.phase.purpose())
            )
            .ok();
        }
        if unit_of_no_return(plan) == Some(&unit.id) {
            no_return_in = Some(unit.phase);
            let wiped = order::wiped(plan).map_or_else(String::new, |nodes| format!(" {nodes}."));
            writeln!(page, "\n---\n\n**POINT OF NO RETURN: what follows cannot be undone. Once this step, or one like it below, is sent, `undo` is refused.{wiped}**\n\n---").ok();
        }
        step(&mut page, unit, &mut shown);
        if plan.kind == PlanKind::Restore {
            way_back(&mut page, unit, order::way_back(unit, no_return_in));
        }
    }
    page
}

fn points(page: &mut String, title: &str, points: &[String]) {
    writeln!(page, "\n## {title}\n").ok();
    for point in points {
        writeln!(page, "* {}", escape(point)).ok();
    }
}

/// What to do with it.
pub(crate) fn next_step(plan: &SealedPlan, next: Next<'_>) -> String {
    let step = next.step(plan);
    let mut page = format!("\n## To run it\n\n{}\n", step.say);
    if let Some(line) = &step.command {
        let sum = step.file.as_deref().map_or_else(String::new, |file| {
            format!("sha256sum {file}   # {}\n", plan.digest().hex())
        });
        fenced(&mut page, "sh", &format!("{sum}{line}"));
    }
    page
}

/// How an undo is run that was shown.
pub(crate) fn to_approve(line: &str) -> String {
    let mut page = "\n## To run it\n".to_owned();
    fenced(&mut page, "sh", line);
    page
}

/// A block that nothing in it can leave.
fn fenced(page: &mut String, kind: &str, text: &str) {
    let fence = "`".repeat(longest_run(text, '`').max(2) + 1);
    writeln!(page, "\n{fence}{kind}\n{text}\n{fence}").ok();
}

fn header(page: &mut String, plan: &SealedPlan) {
    let title = match plan.kind {
        PlanKind::Restore => format!("Restore of the etcd cluster {}", plan.cluster),
        PlanKind::Undo { of, .. } => {
            format!("Undo of run {of} on the etcd cluster {}", plan.cluster)
        }
    };
    writeln!(page, "# {title}\n").ok();
    if plan.kind != PlanKind::Restore {
        let (run, digest) = (plan.run.to_string(), plan.digest().to_string());
        rows(page, &[("Run", code(&run)), ("Plan", code(&digest))]);
        return;
    }
    let snapshot = &plan.world.snapshot;
    let bump = plan.revision_bump.map_or_else(
        || "not moved".into(),
        |by| format!("moved by {}", thousands(by)),
    );
    let recovery: Vec<String> = recovery::lines(plan)
        .iter()
        .map(|line| escape(line))
        .collect();
    let recovery = recovery.join("; ");
    let platform = plan.world.platform.as_ref();
    let platform = platform.map_or_else(
        || "not asked".into(),
        |platform| escape(&platform.to_string()),
    );
    let all = [
        ("Run", code(&plan.run.to_string())),
        ("Plan", code(&plan.digest().to_string())),
        (
            "Snapshot",
            format!(
                "{}, {}",
                code(snapshot.path.as_str()),
                size(snapshot.size_bytes)
            ),
        ),
        (
            "Its content",
            format!(
                "{}, proven; {}",
                code(&snapshot.sha256.to_string()),
                recovery
            ),
        ),
        ("etcd", format!("{}, revision {bump}", plan.etcd_version)),
        (
            "Overlay, spool",
            format!(
                "{}, {}",
                code(plan.world.overlay.as_str()),
                code(plan.world.spool.as_str())
            ),
        ),
        ("Bright", platform),
        ("Order", order::of(plan)),
        ("Fresh token", code(&plan.identity.token)),
        (
            "Predicted cluster id",
            code(&plan.identity.cluster.to_string()),
        ),
    ];
    rows(page, &all);
}

fn rows(page: &mut String, rows: &[(&str, String)]) {
    page.push_str("| | |\n|---|---|\n");
    for (label, value) in rows {
        writeln!(page, "| {label} | {value} |").ok();
    }
}

fn members(page: &mut String, plan: &SealedPlan) {
    if plan.kind != PlanKind::Restore {
        for seen in &plan.world.members {
            writeln!(page, "\n* {}, {}", seen.node, escape(&before(seen))).ok();
        }
        return;
    }
    page.push_str("\n| Node | Member | Predicted id | Peer URL | Status | Spool | Disk |\n|---|---|---|---|---|---|---|\n");
    let asked = plan.spec.members.iter();
    for ((member, seen), asked) in plan
        .identity
        .members
        .iter()
        .zip(&plan.world.members)
        .zip(asked)
    {
        let spool = seen
            .host
            .as_ref()
            .map_or_else(|| "does not answer".into(), |host| host.spool.to_string());
        let disk = if asked.reprovision {
            "**WIPED**"
        } else {
            "kept"
        };
        writeln!(
            page,
            "| {} | {} | {} | {} | {} | {} | {disk} |",
            member.node,
            member.name,
            code(&member.id.to_string()),
            code(member.peer_url.as_str()),
            escape(&seen.device.status_with_flags()),
            escape(&spool)
        )
        .ok();
    }
}

fn step(page: &mut String, unit: &Unit, shown: &mut Commands) {
    let place = unit
        .member
        .as_ref()
        .map_or_else(String::new, |node| format!("{node}: "));
    let mark = if unit.destructive {
        " — **DESTRUCTIVE**"
    } else {
        ""
    };
    writeln!(
        page,
        "\n### {place}{}{mark}\n\n{}",
        escape(&unit.title),
        code(unit.id.as_str())
    )
    .ok();
    if let Some(reason) = &unit.skip {
        writeln!(page, "\nSkipped: {}.", escape(reason)).ok();
        return;
    }
    if !unit.why.is_empty() {
        writeln!(page, "\nWhy: {}.", escape(&unit.why)).ok();
    }
    let mut blocks: Vec<(&str, String)> = Vec::new();
    for command in &unit.commands {
        // What can be pasted is marked so: a script runs where its first line says, a call is prose.
        let api = command.place == Place::Api;
        let pasted = !api && command.script().is_none();
        let text = shown.readable(command, &unit.id);
        let text = if api {
            format!("{}: {text}", label(command))
        } else {
            text
        };
        let kind = if pasted { "sh" } else { "text" };
        match blocks.last_mut() {
            Some((last, block)) if *last == kind => {
                block.push('\n');
                block.push_str(&text);
            }
            _ => blocks.push((kind, text)),
        }
    }
    for (kind, text) in &blocks {
        fenced(page, kind, text);
    }
    page.push('\n');
    for check in &unit.require {
        writeln!(page, "* only if {}", escape(&check.to_string())).ok();
    }
    for check in &unit.done_when {
        writeln!(page, "* done when {}", escape(&check.to_string())).ok();
    }
    if unit.act.is_some() {
        writeln!(page, "* waits for at most {} s", unit.deadline_s).ok();
    }
}

fn way_back(page: &mut String, unit: &Unit, way_back: WayBack) {
    if unit.act.is_some() && unit.skip.is_none() && way_back != WayBack::None {
        let undo = match &unit.undo {
            Undo::By(action) => format!("{}{}", way_back.until(), escape(&action.to_string())),
            Undo::Nothing(why) => format!("nothing to undo: {}", escape(why)),
            Undo::Impossible(why) => format!("**impossible**: {}", escape(why)),
        };
        writeln!(page, "* undo: {undo}").ok();
    }
}

/// Foreign text on one line, with everything escaped that Markdown or HTML could take for its own.
fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in clean_line(text).chars() {
        match c {
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            // A mention or a link in a ticket system.
            '@' => safe.push_str("&#64;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '!' | '~' | '$' => {
                safe.push('\\');
                safe.push(c);
            }
            c => safe.push(c),
        }
    }
    safe
}

/// Text in a code span, also when it holds backticks.
fn code(text: &str) -> String {
    let text = clean_line(text).replace('|', "\\|");
    let ticks = longest_run(&text, '`');
    let fence = "`".repeat(ticks + 1);
    if ticks > 0 {
        format!("{fence} {text} {fence}")
    } else {
        format!("{fence}{text}{fence}")
    }
}

fn longest_run(text: &str, of: char) -> usize {
    text.split(|c| c != of).map(str::len).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_stays_text() {
        assert_eq!(
            escape("<b>*x*</b> [a](b) @all"),
            "&lt;b&gt;\\*x\\*&lt;/b&gt; \\[a\\](b) &#64;all"
        );
        assert_eq!(escape("a|b\n# c"), "a\\|b ⏎ \\# c");
        assert_eq!(code("a`b``c"), "``` a`b``c ```");
        assert_eq!(code("plain"), "`plain`");
    }
}
