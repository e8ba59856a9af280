//! The document of `verify --format json`; docs/verify.md tells each field.

use std::path::Path;

use serde_json::{Value, json};

use super::{Report, loud, warnings, ways_out};
use crate::actor::TOOL;
use crate::verdict::{Folder, Judged, Layer};

/// Raised when a reader of the format before would misread the document; new fields do not raise it.
const FORMAT: u32 = 1;

impl Report {
    /// The document.
    pub(crate) fn json(&self) -> Value {
        let files = self.files.iter().map(|file| self.file(file, None));
        let inside = self.folders.iter().flat_map(|folder| {
            let path = folder.path.as_path();
            folder
                .files
                .iter()
                .map(move |file| self.file(file, Some(path)))
        });
        json!({
            "format": FORMAT,
            "tool": TOOL,
            "at": format!("{:.0}", self.now),
            "quota_bytes": self.quota_bytes,
            "exit": self.exit().code(),
            "files": files.chain(inside).collect::<Vec<Value>>(),
            "folders": self.folders.iter().map(of_folder).collect::<Vec<Value>>(),
        })
    }

    fn file(&self, file: &Judged, folder: Option<&Path>) -> Value {
        let error = file.verdict.as_ref().err();
        let [bytes, structure, meaning] = file.layers().map(of_layer);
        json!({
            "path": text(&file.path),
            "folder": folder.map(text),
            "verdict": error.map_or("good", |error| error.code()),
            "exit": file.exit().code(),
            "code": file.code(),
            "reason": error.map(ToString::to_string),
            "what_to_do": ways_out(file),
            "starts_empty": file.starts_empty().map(|_| loud(file)),
            "warnings": warnings(file, self.quota_bytes, self.now),
            "size_bytes": file.seen.map(|seen| seen.size_bytes),
            "modified": file.seen.and_then(|seen| seen.modified),
            "age_s": file.age_s(self.now),
            "layers": {"bytes": bytes, "structure": structure, "meaning": meaning},
            "content": file.content(),
        })
    }
}

fn of_layer(layer: Layer) -> Value {
    let (state, text) = match layer {
        Layer::Holds(text) => ("holds", text.to_owned()),
        Layer::Fails(text) => ("fails", text),
        Layer::Open(text) => ("open", text),
    };
    json!({"state": state, "text": text})
}

fn of_folder(folder: &Folder) -> Value {
    json!({
        "path": text(&folder.path),
        "exit": folder.exit().code(),
        "code": folder.trouble.as_ref().map(|_| Folder::NONE),
        "reason": folder.trouble,
        "newest_good": folder.newest_good().map(|file| text(&file.path)),
        "not_proven": folder.not_proven,
        "passed_over": folder.passed_over,
    })
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
