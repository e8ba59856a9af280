//! Several files: one line each, and below them what is wrong.

use std::fmt::Write as _;
use std::path::Path;

use super::super::{short_size, thousands, wrap};
use super::{Report, age_of, alarm, shown};
use crate::exit::Exit;
use crate::ui::{BAD, FAINT, GOOD, HEAD, WARN, clean_line, paint};
use crate::verdict::{Folder, Judged};

const WIDTH: usize = 92;

impl Report {
    /// A directory: the newest good one first.
    pub(super) fn folder(&self, folder: &Folder) -> String {
        let mut text = format!("{}\n", paint(HEAD, shown(&folder.path)));
        if let Some(trouble) = &folder.trouble {
            let (trouble, code) = (clean_line(trouble), Folder::NONE);
            writeln!(text, "  {}", paint(BAD, trouble)).ok();
            writeln!(text, "  more: restore-runbook explain {code}").ok();
        } else {
            text.push_str(&self.table(&folder.files, file_name));
        }
        let left_out = [
            (folder.not_proven, "older, not proven"),
            (
                folder.passed_over,
                "passed over: no ordinary files, or named like none",
            ),
        ];
        for (count, what) in left_out.iter().filter(|(count, _)| *count > 0) {
            let line = format!("  {} {what}", thousands(*count));
            writeln!(text, "{}", paint(FAINT, line)).ok();
        }
        if folder.trouble.is_none() {
            text.push_str(&best(folder));
        }
        text
    }

    /// Files, one line each.
    pub(super) fn table(&self, files: &[Judged], name: fn(&Judged) -> String) -> String {
        let head = ["verdict", "revision", "keys", "age", "size", "file"].map(str::to_owned);
        let rows: Vec<[String; 6]> = files
            .iter()
            .map(|file| self.row(file, name(file)))
            .collect();
        let width = |column: usize| {
            let cells = rows
                .iter()
                .chain([&head])
                .map(|row| row[column].chars().count());
            cells.max().unwrap_or(0)
        };
        let widths: [usize; 5] = std::array::from_fn(width);
        let mut text = String::new();
        let line = cells(&head, widths);
        writeln!(text, "  {}", paint(FAINT, line.concat())).ok();
        for (file, row) in files.iter().zip(&rows) {
            let [verdict, rest @ ..] = cells(row, widths);
            let style = match file.exit() {
                Exit::Done if file.restorable() => GOOD,
                Exit::Done => WARN,
                _ => BAD,
            };
            writeln!(text, "  {}{}", paint(style, verdict), rest.concat()).ok();
        }
        text.push_str(&troubles(files, name));
        text.push_str(&emptiness(files));
        text
    }

    fn row(&self, file: &Judged, name: String) -> [String; 6] {
        let meaning = file.content().map(|proof| &proof.meaning);
        let dash = || "-".to_owned();
        [
            file.word().to_owned(),
            meaning.map_or_else(dash, |meaning| meaning.revision.to_string()),
            meaning.map_or_else(dash, |meaning| thousands(meaning.live_keys)),
            age_of(file, self.now),
            file.seen
                .map_or_else(dash, |seen| short_size(seen.size_bytes)),
            name,
        ]
    }
}

/// Words to the left, numbers to the right, the file last: it may be long.
fn cells(row: &[String; 6], widths: [usize; 5]) -> [String; 6] {
    let [verdict, revision, keys, age, size, file] = row;
    let [w0, w1, w2, w3, w4] = widths;
    [
        format!("{verdict:<w0$}"),
        format!("  {revision:>w1$}"),
        format!("  {keys:>w2$}"),
        format!("  {age:>w3$}"),
        format!("  {size:>w4$}"),
        format!("  {file}"),
    ]
}

/// What is wrong with which file; nothing where all are good.
fn troubles(files: &[Judged], name: fn(&Judged) -> String) -> String {
    let mut text = String::new();
    for file in files {
        if let (Err(error), Some(code)) = (&file.verdict, file.code()) {
            writeln!(text, "\n  {}", name(file)).ok();
            let what = format!("[{code}] {}", clean_line(&error.to_string()));
            for line in wrap(&what, WIDTH) {
                writeln!(text, "    {line}").ok();
            }
        }
    }
    if !text.is_empty() {
        let more = "  what to do: `restore-runbook explain CODE`, or verify the file alone";
        writeln!(text, "\n{}", paint(FAINT, more)).ok();
    }
    text
}

/// The loud words of a single file's page, once for all.
fn emptiness(files: &[Judged]) -> String {
    let empty = |file: &&Judged| file.starts_empty().is_some();
    let Some(first) = files.iter().find(empty) else {
        return String::new();
    };
    let count = match files.iter().filter(empty).count() {
        1 => "one of these is of an empty store:".to_owned(),
        count => format!("{count} of these are of empty stores; the first:"),
    };
    let line = paint(WARN, format!("!! {count}"));
    format!("\n  {line}\n{}", alarm(first))
}

/// The name within the directory, which stands above the table.
fn file_name(file: &Judged) -> String {
    let name = file.path.file_name();
    shown(name.map_or(&*file.path, Path::new))
}

fn best(folder: &Folder) -> String {
    match folder.newest_good() {
        Some(file) => format!(
            "\n  the newest good one is {}\n",
            paint(GOOD, shown(&file.path))
        ),
        None if folder.exit() == Exit::Done => {
            format!(
                "\n  {}\n",
                paint(WARN, "every good one is of an EMPTY store")
            )
        }
        None => format!("\n  {}\n", paint(BAD, "none of them is good")),
    }
}
