//! `commands.log`: every command a run has run, for people and `jq`.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use runbook_core::ports::{CommandEntry, CommandLog};
use serde_json::json;

/// Lines kept until the run has a directory, and their number.
const KEPT_LINES: usize = 1000;

/// The most output kept of one command, in bytes.
const OUTPUT_BYTES: usize = 8 * 1024;

/// A log that waits for its file: commands are run before a run has a directory.
#[derive(Debug, Default)]
pub(crate) struct FileLog(Mutex<Sink>);

#[derive(Debug)]
enum Sink {
    Waiting(Vec<String>),
    File(File),
}

impl Default for Sink {
    fn default() -> Self {
        Self::Waiting(Vec::new())
    }
}

impl FileLog {
    /// From here on, and with everything so far, write to this file.
    pub(crate) fn attach(&self, path: &Path) -> io::Result<()> {
        let nofollow = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
        let mut options = OpenOptions::new();
        options
            .append(true)
            .create(true)
            .mode(0o600)
            .custom_flags(nofollow);
        let mut file = options.open(path)?;
        let mut sink = self.sink();
        if let Sink::Waiting(lines) = &*sink {
            file.write_all(lines.concat().as_bytes())?;
        }
        *sink = Sink::File(file);
        Ok(())
    }

    fn sink(&self) -> MutexGuard<'_, Sink> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CommandLog for FileLog {
    fn record(&self, entry: &CommandEntry) {
        let line = line(entry);
        match &mut *self.sink() {
            Sink::Waiting(lines) if lines.len() < KEPT_LINES => lines.push(line),
            Sink::Waiting(_) => {}
            // The journal decides what is known; a log that cannot be written stops nothing.
            Sink::File(file) => drop(file.write_all(line.as_bytes())),
        }
    }
}

fn line(entry: &CommandEntry) -> String {
    let mut end = entry.output.len().min(OUTPUT_BYTES);
    while !entry.output.is_char_boundary(end) {
        end -= 1;
    }
    let line = json!({
        "at": jiff::Timestamp::now(),
        "command": entry.command.to_string(),
        "effect": entry.effect,
        "status": entry.status,
        "took_ms": u64::try_from(entry.took.as_millis()).unwrap_or(u64::MAX),
        "output": &entry.output[..end],
        "cut_bytes": entry.output.len() - end,
    });
    format!("{line}\n")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use runbook_core::plan::Command;

    use super::*;

    #[test]
    fn what_ran_before_the_run_had_a_directory_is_logged_too() {
        let entry = |output: &str| CommandEntry {
            command: Command::on_head(["cmsh", "-c", "device; status"]),
            effect: false,
            status: Some(0),
            output: output.into(),
            took: Duration::from_millis(12),
        };
        let log = FileLog::default();
        log.record(&entry("one"));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("commands.log");
        log.attach(&path).unwrap();
        log.record(&entry(&"é".repeat(OUTPUT_BYTES)));
        let text = std::fs::read_to_string(path).unwrap();
        let lines: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines[0]["output"], "one");
        assert_eq!(lines[0]["command"], "cmsh -c 'device; status'");
        assert_eq!(lines[1]["cut_bytes"], OUTPUT_BYTES);
    }
}
