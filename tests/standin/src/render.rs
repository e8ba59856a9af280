//! How things are printed.

use serde_json::{Map, Value as Json};
use std::fmt::Write as _;

use crate::protocol::{NodeView, Problem};
use crate::state::Phase;

/// The name of the state, as the admin manual 5.5 and the device status metric have them.
pub(crate) fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Up => "UP",
        Phase::Down => "DOWN",
        Phase::GoingDown { .. } => "GOING_DOWN",
        Phase::Booting => "BOOTING",
        Phase::Installing { .. } | Phase::Waiting | Phase::Console | Phase::Maintenance => {
            "INSTALLING"
        }
        Phase::Unreachable => "INSTALLER_UNREACHABLE",
        Phase::CallingInit { .. } => "INSTALLER_CALLINGINIT",
        Phase::Failed => "INSTALLER_FAILED",
    }
}

/// `[   UP   ]`, `[STOPPED ]`, `[ INSTALLER_CALLINGINIT ]`.
pub(crate) fn bracket(state: &str) -> String {
    if state.len() > 8 {
        format!("[ {state} ]")
    } else {
        format!("[{state:^8}]")
    }
}

/// The state with what follows it.
pub(crate) fn status_text(view: &NodeView) -> String {
    if let Some(text) = &view.verbatim {
        return text.clone();
    }
    let mut text = bracket(&view.state);
    if !view.message.is_empty() {
        let _ = write!(text, " ({})", view.message);
    }
    if !view.note.is_empty() {
        text.push(' ');
        text.push_str(&view.note);
    }
    text
}

/// `node001 .................. [   UP   ]`.
pub(crate) fn dotted(name: &str, rest: &str) -> String {
    let dots = ".".repeat(25_usize.saturating_sub(name.chars().count()).max(1));
    format!("{name} {dots} {rest}")
}

/// A column of a table; width 0 means as wide as it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) title: String,
    pub(crate) width: usize,
}

impl Column {
    pub(crate) fn new(title: &str, width: usize) -> Self {
        Self {
            title: title.to_owned(),
            width,
        }
    }
}

/// An over-long cell is cut and marked with `+`.
pub(crate) fn cell(text: &str, width: usize) -> String {
    if text.chars().count() > width {
        let mut cut: String = text.chars().take(width - 1).collect();
        cut.push('+');
        cut
    } else {
        format!("{text:<width$}")
    }
}

/// A table with header and dashes; `between` is the delimiter.
pub(crate) fn table(columns: &[Column], rows: &[Vec<String>], between: &str) -> String {
    let widths: Vec<usize> = columns
        .iter()
        .enumerate()
        .map(|(at, column)| match column.width {
            0 => rows
                .iter()
                .filter_map(|row| row.get(at))
                .map(|text| text.chars().count())
                .chain([column.title.chars().count()])
                .max()
                .unwrap_or(0),
            width => width,
        })
        .collect();
    let line = |cells: Vec<String>| {
        let cells: Vec<String> = cells
            .iter()
            .zip(&widths)
            .map(|(text, width)| cell(text, *width))
            .collect();
        format!("{}\n", cells.join(between).trim_end())
    };
    let mut text = line(columns.iter().map(|column| column.title.clone()).collect());
    text.push_str(&line(
        widths.iter().map(|width| "-".repeat(*width)).collect(),
    ));
    for row in rows {
        text.push_str(&line(row.clone()));
    }
    text
}

/// `list -d {}`: an array of objects; the order of their keys means nothing. Empty values may be left out.
pub(crate) fn json_table(
    names: &[String],
    rows: &[Vec<Json>],
    indent: usize,
    without_empty: bool,
) -> String {
    let objects: Vec<Json> = rows
        .iter()
        .map(|row| {
            Json::Object(
                names
                    .iter()
                    .cloned()
                    .zip(row.iter().cloned())
                    .filter(|(_, value)| !without_empty || !is_empty(value))
                    .collect::<Map<_, _>>(),
            )
        })
        .collect();
    let pad = " ".repeat(indent);
    let mut bytes = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(pad.as_bytes());
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
    let _ = serde::Serialize::serialize(&objects, &mut serializer);
    format!("{}\n", String::from_utf8_lossy(&bytes))
}

fn is_empty(value: &Json) -> bool {
    value.as_str().is_some_and(str::is_empty) || value.as_array().is_some_and(Vec::is_empty)
}

/// The table of a refused commit (admin manual 2.5.3).
pub(crate) fn problems(problems: &[Problem]) -> String {
    let columns = [
        Column::new("Code", 5),
        Column::new("Field", 24),
        Column::new("Message", 0),
    ];
    let rows: Vec<Vec<String>> = problems
        .iter()
        .map(|problem| {
            vec![
                "1".to_owned(),
                problem.field.clone(),
                problem.message.clone(),
            ]
        })
        .collect();
    table(&columns, &rows, " ")
}

/// Colours, which stay on unless `--color=no` is given.
pub(crate) fn coloured(text: &str) -> String {
    let mut painted = String::new();
    for line in text.split_inclusive('\n') {
        let bare = line.trim_end_matches('\n');
        let colour = if bare.contains("[   UP   ]") {
            "32"
        } else if bare.contains("[  DOWN  ]") {
            "31"
        } else {
            "0"
        };
        let _ = write!(painted, "\x1b[{colour}m{bare}\x1b[0m");
        painted.push_str(&line[bare.len()..]);
    }
    painted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(state: &str, message: &str, note: &str) -> NodeView {
        NodeView {
            state: state.to_owned(),
            message: message.to_owned(),
            note: note.to_owned(),
            ..NodeView::default()
        }
    }

    #[test]
    fn status_lines_as_in_real_transcripts() {
        assert_eq!(
            dotted("node001", &status_text(&view("UP", "", ""))),
            "node001 .................. [   UP   ]"
        );
        assert_eq!(
            dotted("node001", &status_text(&view("UP", "", "state flapping"))),
            "node001 .................. [   UP   ] state flapping"
        );
        assert_eq!(bracket("DOWN"), "[  DOWN  ]");
        assert_eq!(bracket("STOPPED"), "[STOPPED ]");
    }

    #[test]
    fn long_cells_are_cut_as_in_a_real_listing() {
        let status = status_text(&view(
            "INSTALLER_CALLINGINIT",
            "switching to local root",
            "",
        ));
        assert_eq!(cell(&status, 32), "[ INSTALLER_CALLINGINIT ] (swit+");
    }

    #[test]
    fn the_overlay_row_is_the_one_seen_in_the_field() {
        let columns = [18, 10, 14, 16, 17, 16].map(|width| Column::new("", width));
        let row = ["kube-runai-etcd", "500", "no", "node001", "", "Etcd::Host"].map(str::to_owned);
        let text = table(&columns, &[row.to_vec()], " ");
        assert_eq!(
            text.lines().last(),
            Some(
                "kube-runai-etcd    500        no             node001                            Etcd::Host"
            )
        );
    }

    #[test]
    fn a_refused_commit_shows_the_documented_table() {
        let problem = Problem {
            field: "category".to_owned(),
            message: "The category should be set".to_owned(),
        };
        assert_eq!(
            problems(&[problem]),
            "Code  Field                    Message\n\
             ----- ------------------------ --------------------------\n\
             1     category                 The category should be set\n"
        );
    }
}
