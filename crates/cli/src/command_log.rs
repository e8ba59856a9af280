//! `commands.log`: every command a run has run, for people and `jq`.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use runbook_core::ports::{CommandEntry, CommandLog};
use runbook_core::text::visible_json;
use rustix::fs::OFlags;
use serde_json::json;

use crate::signals::Halt;

/// Lines kept until the run has a directory, and their number.
const KEPT_LINES: usize = 1000;

/// The most output kept of one command, in bytes.
const OUTPUT_BYTES: usize = 8 * 1024;

/// A log that waits for its file: commands are run before a run has a directory.
pub(crate) struct FileLog {
    sink: Mutex<Sink>,
    halt: Halt,
}

#[derive(Debug)]
enum Sink {
    Waiting(Vec<String>),
    File(File),
    /// It could not be written, and the run halts.
    Broken,
}

impl Default for Sink {
    fn default() -> Self {
        Self::Waiting(Vec::new())
    }
}

impl FileLog {
    /// A log that asks for a halt when it cannot be written.
    pub(crate) fn new(halt: Halt) -> Self {
        Self {
            sink: Mutex::default(),
            halt,
        }
    }

    /// From here on, and with everything so far, write to this file.
    pub(crate) fn attach(&self, path: &Path) -> io::Result<()> {
        // Opening a FIFO would wait for its other end, under the locks.
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let mut options = OpenOptions::new();
        options
            .append(true)
            .create(true)
            .mode(0o600)
            .custom_flags(flags.bits().cast_signed());
        let file = options.open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("something else has taken its place"));
        }
        self.begin(file)
    }

    fn begin(&self, mut file: File) -> io::Result<()> {
        let mut sink = self.sink();
        if let Sink::Waiting(lines) = &*sink {
            file.write_all(lines.concat().as_bytes())?;
        }
        *sink = Sink::File(file);
        Ok(())
    }

    fn sink(&self) -> MutexGuard<'_, Sink> {
        self.sink.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CommandLog for FileLog {
    fn record(&self, entry: &CommandEntry) {
        let line = line(entry);
        let mut sink = self.sink();
        match &mut *sink {
            Sink::Waiting(lines) if lines.len() < KEPT_LINES => lines.push(line),
            Sink::Waiting(_) | Sink::Broken => {}
            Sink::File(file) => {
                // The journal decides what is known. But what was run must be on record as well.
                if let Err(error) = file.write_all(line.as_bytes()) {
                    *sink = Sink::Broken;
                    drop(sink);
                    let why = format!("commands.log cannot be written ({error})");
                    self.halt.because(&why);
                }
            }
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
    // Foreign text, which somebody may read on a terminal.
    visible_json(format!("{line}\n"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::sync::Arc;
    use std::time::Duration;

    use runbook_core::plan::Command;

    use super::*;

    fn entry(output: &str) -> CommandEntry {
        CommandEntry {
            command: Command::on_head(["cmsh", "-c", "device; status"]),
            effect: false,
            status: Some(0),
            output: output.into(),
            took: Duration::from_millis(12),
        }
    }

    #[test]
    #[ignore = "run by nobody_else_may_read_it_whatever_the_umask"]
    fn begun_in_a_given_directory() {
        let dir = std::env::var_os("LOG_DIR").unwrap();
        let path = Path::new(&dir).join("commands.log");
        FileLog::new(Halt::default()).attach(&path).unwrap();
    }

    #[test]
    fn nobody_else_may_read_it_whatever_the_umask() {
        for umask in ["0", "022", "077"] {
            let dir = tempfile::tempdir().unwrap();
            let test = "command_log::tests::begun_in_a_given_directory";
            let script = format!("umask {umask}; exec \"$0\" --exact {test} --ignored");
            let done = std::process::Command::new("sh")
                .args(["-c", &script])
                .arg(std::env::current_exe().unwrap())
                .env("LOG_DIR", dir.path())
                .output()
                .unwrap();
            assert!(done.status.success(), "{done:?}");
            let about = dir.path().join("commands.log").metadata().unwrap();
            assert_eq!(about.permissions().mode() & 0o7777, 0o600);
        }
    }

    #[test]
    fn a_log_on_a_full_disk_asks_for_a_halt_once_and_says_why() {
        let halt = Halt::default();
        let said = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&said);
        halt.speak_through(Arc::new(move |line: &str| {
            heard.lock().unwrap().push(line.to_owned());
        }));
        let full = || File::options().append(true).open("/dev/full").unwrap();
        let log = FileLog::new(halt.clone());
        log.begin(full()).unwrap();
        assert!(!halt.drain.is_cancelled());
        log.record(&entry("one"));
        log.record(&entry("two"));
        assert!(halt.drain.is_cancelled() && !halt.leave.is_cancelled());
        let said = said.lock().unwrap();
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].contains("commands.log") && said[0].contains("No space left"));
        // A log that cannot even be begun is refused before anything is run.
        let late = FileLog::new(Halt::default());
        late.record(&entry("before"));
        assert!(late.begin(full()).is_err());
    }

    /// It is opened while the cluster is held: nothing may be waited for.
    #[test]
    fn what_has_taken_the_log_s_place_is_neither_waited_for_nor_written_to() {
        let dir = tempfile::tempdir().unwrap();
        let [fifo, link, file] = ["fifo", "link", "file"].map(|name| dir.path().join(name));
        let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::from(0o600));
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, kind, mode, 0).unwrap();
        std::fs::write(&file, "precious").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let log = FileLog::new(Halt::default());
        log.record(&entry("one"));
        let nonblock = OFlags::NONBLOCK.bits().cast_signed();
        for path in [&*fifo, &*link, dir.path(), Path::new("/dev/null")] {
            assert!(log.attach(path).is_err(), "{}", path.display());
        }
        // Also where somebody reads at its other end.
        let mut reader = File::options();
        let _reader = reader
            .read(true)
            .custom_flags(nonblock)
            .open(&fifo)
            .unwrap();
        assert!(log.attach(&fifo).is_err());
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
    }

    #[test]
    fn foreign_text_in_the_log_cannot_steer_a_terminal() {
        let line = line(&entry("a\x1b[2J\u{9b}1m\u{202e}b"));
        assert!(
            !line.trim_end().chars().any(runbook_core::text::steers),
            "{line}"
        );
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["output"], "a\x1b[2J\u{9b}1m\u{202e}b");
    }

    #[test]
    fn what_ran_before_the_run_had_a_directory_is_logged_too() {
        let log = FileLog::new(Halt::default());
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
