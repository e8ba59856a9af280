//! What a rehearsal found.

use std::fmt::Write as _;
use std::time::Duration;

use etcd_adapter::rehearse::{Comparison, Report};
use serde_json::Value;

use super::{clock, size, thousands, wrap};
use crate::ui::{BAD, GOOD, HEAD, WARN, clean_line, paint};

/// Where the second column begins.
const INDENT: &str = "             ";

/// The report, for a terminal.
pub(crate) fn text(report: &Report) -> String {
    let mut page = format!(
        "{}\n\n",
        paint(HEAD, "Rehearsed on this machine; nothing of it is left")
    );
    let line = |page: &mut String, label: &str, text: &str| {
        for (at, part) in wrap(&clean_line(text), 84).iter().enumerate() {
            let label = if at == 0 { label } else { "" };
            writeln!(page, "  {label:<9}  {part}").ok();
        }
    };
    let snapshot = report.snapshot.display();
    line(
        &mut page,
        "snapshot",
        &format!("{snapshot}, {}", size(report.size_bytes)),
    );
    line(&mut page, "etcd", &programs(report));
    for compared in &report.compared {
        page.push_str(&comparison(compared));
    }
    line(&mut page, "write", "a key was written, read and deleted");
    line(
        &mut page,
        "restore",
        &format!(
            "took {} for a database of {}: so long the step takes on a node as fast as this machine, with a disk like that of {} and the snapshot as near",
            took(report.restore),
            size(report.database_bytes),
            report.scratch.display(),
        ),
    );
    let open = format!(
        "served {} after its start, an election included",
        took(report.open)
    );
    line(&mut page, "opening", &open);
    if let Some(bytes) = report.peak_rss_bytes {
        let text = format!("etcd had at most {} resident", size(bytes));
        line(&mut page, "memory", &text);
    }
    for warning in warnings(report) {
        for (at, part) in wrap(&clean_line(&warning), 84).iter().enumerate() {
            let label = if at == 0 { "warning" } else { "" };
            writeln!(page, "  {}  {part}", paint(WARN, format!("{label:<9}"))).ok();
        }
    }
    page
}

/// The same for a change ticket, as one block that nothing in it can leave.
pub(crate) fn markdown(report: &Report) -> String {
    let text = anstream::adapter::strip_str(&text(report)).to_string();
    let text = text.replace("```", "` ` `");
    let body = text
        .split_once("\n\n")
        .map_or(text.as_str(), |(_, body)| body);
    format!("\n## Rehearsed on this machine; nothing of it is left\n\n```text\n{body}```\n")
}

/// The report, for a program.
pub(crate) fn json(report: &Report) -> Value {
    let mut value = serde_json::to_value(report).unwrap_or_default();
    value["holds"] = report.holds().into();
    value
}

/// What was predicted and did not come up, one line each.
pub(crate) fn differences(report: &Report) -> Vec<String> {
    let differs = report.compared.iter().filter(|compared| !compared.holds());
    differs
        .map(|c| format!("{}: predicted {}, seen {}", c.what, c.predicted, c.seen))
        .collect()
}

fn programs(report: &Report) -> String {
    let moved = report.revision_bump.map_or_else(
        || "the revision is not moved".to_owned(),
        |by| format!("the revision is moved by {}", thousands(by)),
    );
    format!(
        "{} from {}, restored by {}; {moved}",
        report.etcd, report.programs, report.tool
    )
}

fn comparison(compared: &Comparison) -> String {
    let Comparison {
        what,
        predicted,
        seen,
    } = compared;
    if compared.holds() {
        let text = clean_line(&format!("{what} {seen}, as predicted"));
        format!("  {}  {text}\n", paint(GOOD, format!("{:>9}", "holds")))
    } else {
        format!(
            "  {}  {what}\n{INDENT}predicted {predicted}\n{INDENT}seen      {}\n",
            paint(BAD, format!("{:>9}", "DIFFERS")),
            clean_line(seen)
        )
    }
}

fn warnings(report: &Report) -> Vec<String> {
    let mut warnings: Vec<String> = report
        .starts_empty
        .iter()
        .map(ToString::to_string)
        .collect();
    if let Some(release) = report.other_release {
        warnings.push(format!(
            "the cluster's etcd is {release}, and {} rehearsed: what the cluster's own makes of it is not shown",
            report.etcd
        ));
    }
    for left in &report.cleared {
        let path = left.path.display();
        let mut text = format!("an earlier rehearsal was killed and had left {path}; ");
        match (&left.stays, left.ended.len()) {
            (Some(why), _) => write!(text, "it cannot be cleared: {why}"),
            (None, 0) => write!(text, "it is cleared"),
            (None, _) => write!(text, "it is cleared, and what still ran of it was ended"),
        }
        .ok();
        warnings.push(text);
    }
    warnings
}

fn took(time: Duration) -> String {
    if time.as_secs() < 60 {
        format!("{:.2} s", time.as_secs_f64())
    } else {
        clock(time)
    }
}

#[cfg(test)]
mod tests {
    use etcd_adapter::rehearse::Leftover;
    use etcd_adapter::snapshot::Emptiness;
    use insta::assert_snapshot;
    use runbook_core::digest::Digest;
    use runbook_core::version::EtcdVersion;

    use super::*;

    fn report() -> Report {
        let same = |what, value: &str| Comparison {
            what,
            predicted: value.into(),
            seen: value.into(),
        };
        Report {
            snapshot: "/cm/shared/backup/etcd/etcd-node001-20220321135652".into(),
            size_bytes: 13_000_032,
            database_bytes: 13_000_000,
            sha256: Digest::of(b"snapshot"),
            starts_empty: None,
            etcd: EtcdVersion::new(3, 5, 16),
            other_release: None,
            tool: "etcdutl",
            programs: "module etcd/kube-default/3.5.16".into(),
            revision_bump: Some(1_000_000_000),
            compared: vec![
                same("revision", "1000020005"),
                same("HashKV", "4123, never compacted"),
            ],
            scratch: "/var/tmp".into(),
            restore: Duration::from_millis(1234),
            open: Duration::from_secs(65),
            peak_rss_bytes: Some(64 << 20),
            cleared: Vec::new(),
        }
    }

    fn plain(report: &Report) -> String {
        anstream::adapter::strip_str(&text(report)).to_string()
    }

    #[test]
    fn a_rehearsal_that_holds() {
        assert_snapshot!(plain(&report()));
        assert_eq!(json(&report())["holds"], true);
        assert_eq!(differences(&report()), Vec::<String>::new());
    }

    #[test]
    fn a_rehearsal_with_everything_to_say() {
        let mut report = report();
        report.compared[1].seen = "4124, never \u{1b}[2J".into();
        report.starts_empty = Some(Emptiness::NoLiveKey);
        report.revision_bump = None;
        report.other_release = Some(EtcdVersion::new(3, 4, 0));
        let left = |ended, stays: Option<&str>| Leftover {
            path: "/var/tmp/restore-runbook-rehearsal-1".into(),
            ended,
            stays: stays.map(Into::into),
        };
        report.cleared = vec![left(vec![12], None), left(Vec::new(), Some("```"))];
        assert_snapshot!(plain(&report));
        assert_eq!(json(&report)["holds"], false);
        let lines = differences(&report);
        assert!(lines[0].starts_with("HashKV: predicted 4123, never compacted, seen 4124"));
        // One fence opens, one closes.
        assert_eq!(markdown(&report).matches("```").count(), 2);
    }
}
