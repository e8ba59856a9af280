//! `verify`: is this snapshot good? It only reads; cmsh, root and a state directory are not needed.

use std::fs::{self, Metadata};
use std::path::Path;

use etcd_adapter::snapshot::prove;
use jiff::Timestamp;

use super::{Context, folder};
use crate::args::{self, Listing};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::progress::bytes::{Bytes, LARGE};
use crate::render::verify::{Report, shown};
use crate::render::{json, short_size, size};
use crate::ui::Ui;
use crate::verdict::{Folder, Judged, Seen};

pub(super) fn verify(cx: Context<'_>, args: &args::Verify) -> Result<Exit, Failure> {
    let mut report = Report {
        quota_bytes: args.quota,
        now: Timestamp::now(),
        files: Vec::new(),
        folders: Vec::new(),
    };
    for path in &args.paths {
        if path.is_dir() {
            report.folders.push(judge_folder(cx.ui, path, args.newest));
        } else {
            report.files.push(judge(cx.ui, path));
        }
    }
    match args.format {
        Listing::Json => cx.ui.data(&json::document(&report.json()))?,
        Listing::Text => cx.ui.data(&report.text())?,
    }
    Ok(report.exit())
}

/// Proves one file.
fn judge(ui: &Ui, path: &Path) -> Judged {
    let about = fs::metadata(path).ok().filter(Metadata::is_file);
    let seen = about.map(|about| Seen::of(&about));
    let size_bytes = seen.map_or(0, |seen| seen.size_bytes);
    let mut reading = (size_bytes >= LARGE).then(|| {
        let name = shown(path);
        if ui.bars.is_none() {
            ui.note(&format!("proving {name}, {} …", size(size_bytes)));
        }
        Bytes::of(ui, name)
    });
    let verdict = prove(path, &mut |progress| {
        if let Some(reading) = &mut reading {
            reading.proving(progress);
        }
    });
    Judged {
        path: path.to_owned(),
        seen,
        verdict,
    }
}

/// Proves what may be a snapshot in a directory, from the newest to the oldest.
fn judge_folder(ui: &Ui, path: &Path, newest_only: bool) -> Folder {
    let found = match folder::candidates(path) {
        Ok(found) => found,
        Err(error) => return Folder::closed(path, format!("it cannot be listed: {error}")),
    };
    let total = found.paths.len();
    let mut judged: Vec<Judged> = Vec::new();
    for (at, candidate) in found.paths.iter().enumerate() {
        let file = judge(ui, candidate);
        let first_good = file.restorable() && !judged.iter().any(Judged::restorable);
        let size_bytes = file.seen.map_or(0, |seen| seen.size_bytes);
        let left = total - at - 1;
        if first_good && !newest_only && left > 0 && size_bytes >= LARGE {
            // Whoever cannot wait for the rest has what they need.
            let (name, size) = (shown(candidate), short_size(size_bytes));
            ui.note(&format!(
                "the newest good one is {name}, {size}; proving {left} more"
            ));
        }
        judged.push(file);
        if first_good && newest_only {
            break;
        }
    }
    Folder {
        path: path.to_owned(),
        not_proven: found.left_out + (total - judged.len()) as u64,
        passed_over: found.passed_over,
        trouble: (total == 0).then(|| "no file in it can be a snapshot".into()),
        files: Folder::ranked(judged),
    }
}
