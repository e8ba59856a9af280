//! What the doctor found.

use std::fmt::Write as _;

use anstyle::Style;
use bright_adapter::doctor::{Finding, Group, Outcome, Report};
use serde_json::{Value, json};

use super::wrap;
use crate::exit::Exit;
use crate::ui::{BAD, FAINT, GOOD, HEAD, HINT, WARN, clean_line, paint};

/// The format of the document.
const FORMAT: u32 = 1;

/// A line of text, indentation aside.
const WIDTH: usize = 84;

/// 0 only if all of it holds: what differs comes before what could not be checked.
pub(crate) fn exit(report: &Report) -> Exit {
    if report.count(Outcome::Differs) > 0 {
        Exit::Refused
    } else if report.count(Outcome::CouldNotBeChecked) > 0 {
        Exit::Environment
    } else {
        Exit::Done
    }
}

/// The report, for a program.
pub(crate) fn json(report: &Report) -> Value {
    json!({
        "format": FORMAT,
        "tool": concat!("restore-runbook ", env!("CARGO_PKG_VERSION")),
        "at": report.at,
        "exit": exit(report).code(),
        "summary": {
            "holds": report.count(Outcome::Holds),
            "differs": report.count(Outcome::Differs),
            "could-not-be-checked": report.count(Outcome::CouldNotBeChecked),
            "does-not-apply": report.count(Outcome::DoesNotApply),
        },
        "findings": report.findings,
    })
}

/// The report, for a terminal: what differs, what could not be checked, what holds, the sum.
pub(crate) fn text(report: &Report) -> String {
    let mut page = String::new();
    troubles(&mut page, report, Outcome::Differs, BAD);
    troubles(&mut page, report, Outcome::CouldNotBeChecked, WARN);
    fine(&mut page, report, Outcome::Holds);
    fine(&mut page, report, Outcome::DoesNotApply);
    page.push_str(&summary(report));
    page
}

const fn title(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Differs => "Differs",
        Outcome::CouldNotBeChecked => "Could not be checked",
        Outcome::Holds => "Holds",
        Outcome::DoesNotApply => "Does not apply",
    }
}

const fn group_title(group: Group) -> &'static str {
    match group {
        Group::Head => "this head node",
        Group::Manager => "the cluster manager",
        Group::Cluster => "the etcd cluster",
        Group::Nodes => "the nodes",
        Group::Certificates => "certificates",
        Group::ApiServers => "API servers",
        Group::Backups => "backups",
    }
}

/// Findings of one check that were seen alike.
struct Alike<'a> {
    first: &'a Finding,
    about: Vec<&'a str>,
}

fn alike(report: &Report, outcome: Outcome) -> Vec<Alike<'_>> {
    let mut found: Vec<Alike<'_>> = Vec::new();
    for finding in report.findings.iter().filter(|f| f.outcome == outcome) {
        let name = finding.about.as_deref();
        let same =
            |one: &&mut Alike<'_>| one.first.id == finding.id && one.first.seen == finding.seen;
        match (found.iter_mut().find(same), name) {
            (Some(one), Some(name)) => one.about.push(name),
            _ => found.push(Alike {
                first: finding,
                about: name.into_iter().collect(),
            }),
        }
    }
    found
}

fn troubles(page: &mut String, report: &Report, outcome: Outcome, style: Style) {
    let found = alike(report, outcome);
    if found.is_empty() {
        return;
    }
    writeln!(page, "{}", paint(style, title(outcome))).ok();
    for one in found {
        let finding = one.first;
        let about = clean_line(&one.about.join(", "));
        let id = paint(HEAD, &finding.id);
        writeln!(page, "\n{}", format!("  {id}  {about}").trim_end()).ok();
        field(page, "seen", &finding.seen, Style::new());
        field(page, "believed", &finding.believed, FAINT);
        field(page, "means", &finding.means, Style::new());
        field(page, "do", &finding.todo, HINT);
        if let Some(command) = finding.asked.last() {
            field(page, "asked", shown(command), FAINT);
        }
    }
    page.push('\n');
}

fn field(page: &mut String, label: &str, text: &str, style: Style) {
    if text.is_empty() {
        return;
    }
    for (at, line) in wrap(&clean_line(text), WIDTH).iter().enumerate() {
        let label = if at == 0 { label } else { "" };
        writeln!(page, "    {label:<8}  {}", paint(style, line)).ok();
    }
}

/// A command, where a person would type it; the document has the scripts, too.
fn shown(command: &str) -> &str {
    if command.lines().count() == 1 {
        command
    } else {
        "a script, which --format json shows"
    }
}

fn fine(page: &mut String, report: &Report, outcome: Outcome) {
    let found = alike(report, outcome);
    if found.is_empty() {
        return;
    }
    let style = if outcome == Outcome::Holds {
        GOOD
    } else {
        FAINT
    };
    writeln!(page, "{}", paint(style, title(outcome))).ok();
    let mut group = None;
    for one in found {
        let finding = one.first;
        if outcome == Outcome::Holds && group != Some(finding.group) {
            group = Some(finding.group);
            writeln!(page, "  {}", paint(FAINT, group_title(finding.group))).ok();
        }
        let about = if one.about.is_empty() {
            String::new()
        } else {
            format!("{}: ", one.about.join(", "))
        };
        let text = clean_line(&format!("{about}{}", finding.seen));
        for (at, line) in wrap(&text, WIDTH - 12).iter().enumerate() {
            let id = if at == 0 { finding.id.as_str() } else { "" };
            writeln!(page, "    {id:<18}  {line}").ok();
        }
    }
    page.push('\n');
}

fn summary(report: &Report) -> String {
    let count = |outcome| report.count(outcome);
    let (differ, blind) = (count(Outcome::Differs), count(Outcome::CouldNotBeChecked));
    let counts = format!(
        "{} hold, {differ} differ, {blind} could not be checked, {} do not apply",
        count(Outcome::Holds),
        count(Outcome::DoesNotApply)
    );
    let (style, advice) = match exit(report) {
        Exit::Done => (GOOD, "a restore would find everything as it expects it"),
        Exit::Refused => (
            BAD,
            "see to what differs now, while nothing is lost; then ask again",
        ),
        _ => (
            WARN,
            "nothing differs, but that is not all: what could not be checked is unknown, not good",
        ),
    };
    format!("{}\n  {advice}\n", paint(style, counts))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(id: &str, about: Option<&str>, outcome: Outcome, seen: &str) -> Finding {
        Finding {
            id: id.into(),
            group: Group::Nodes,
            about: about.map(str::to_owned),
            outcome,
            believed: "it is so".into(),
            seen: seen.into(),
            means: "much".into(),
            todo: if outcome == Outcome::Differs {
                "this"
            } else {
                ""
            }
            .into(),
            asked: vec!["date +%s".into()],
        }
    }

    fn report(findings: Vec<Finding>) -> Report {
        Report {
            at: jiff::Timestamp::UNIX_EPOCH,
            findings,
            names: Vec::new(),
        }
    }

    #[test]
    fn only_what_holds_ends_well() {
        let one = |outcome| report(vec![finding("clock", None, outcome, "x")]);
        assert_eq!(exit(&one(Outcome::Holds)), Exit::Done);
        assert_eq!(exit(&one(Outcome::DoesNotApply)), Exit::Done);
        assert_eq!(exit(&one(Outcome::CouldNotBeChecked)), Exit::Environment);
        let mut both = one(Outcome::CouldNotBeChecked);
        both.findings.extend(one(Outcome::Differs).findings);
        assert_eq!(exit(&both), Exit::Refused);
    }

    #[test]
    fn a_page() {
        let page = text(&report(vec![
            finding("clock", Some("node001"), Outcome::Holds, "0 s off"),
            finding("clock", Some("node002"), Outcome::Holds, "0 s off"),
            finding(
                "clock",
                Some("node003"),
                Outcome::Differs,
                "99 s off\u{1b}[2J",
            ),
        ]));
        let plain = anstream::adapter::strip_str(&page).to_string();
        assert_eq!(
            plain,
            "Differs\n\n  clock  node003\n    seen      99 s off\\u{1b}[2J\n    believed  it is so\n    \
             means     much\n    do        this\n    asked     date +%s\n\nHolds\n  the nodes\n    \
             clock               node001, node002: 0 s off\n\n2 hold, 1 differ, 0 could not be checked, \
             0 do not apply\n  see to what differs now, while nothing is lost; then ask again\n"
        );
    }
}
