//! `cmd.log`: one JSON line for all that was asked and done, so that a test can prove what a run
//! changed, and that a dry run changed nothing.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde_json::{Map, Value, json};

pub(crate) struct Journal {
    file: Mutex<File>,
}

impl Journal {
    pub(crate) fn open(path: &Path) -> Result<Self, String> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .map_err(|e| format!("{}: {e}", path.display()))?;
        Ok(Self {
            file: Mutex::new(file),
        })
    }

    /// Appends a line. `write` says whether this changed or tried to change anything.
    pub(crate) fn note(&self, kind: &str, write: bool, fields: Value) {
        let mut line = Map::new();
        line.insert("time".to_owned(), json!(jiff::Timestamp::now().to_string()));
        line.insert("kind".to_owned(), json!(kind));
        line.insert("write".to_owned(), json!(write));
        if let Value::Object(fields) = fields {
            line.extend(fields);
        }
        let mut text = Value::Object(line).to_string();
        text.push('\n');
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        // A log that cannot be written is no reason to behave unlike the real daemon.
        let _ = file.write_all(text.as_bytes());
    }
}
