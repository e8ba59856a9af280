//! Running programs and waiting for things, with errors that say what happened.

use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

/// At most this much of a program's standard error goes into an error message.
const STDERR_SHOWN: usize = 2_000;

/// Runs a program to its end and returns its standard output; anything but success is an error.
pub(crate) fn run(doing: &str, command: &mut Command) -> Result<String> {
    let output = output(doing, command)?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(failed(doing, command, &output))
    }
}

/// Runs a program to its end, whatever that is.
pub(crate) fn output(doing: &str, command: &mut Command) -> Result<Output> {
    command
        .stdin(Stdio::null())
        .output()
        .map_err(|e| Error::Command {
            doing: doing.to_owned(),
            command: render(command),
            outcome: format!("could not be started: {e}"),
        })
}

/// The error for a program that ended badly.
pub(crate) fn failed(doing: &str, command: &Command, output: &Output) -> Error {
    let text = [output.stderr.as_slice(), output.stdout.as_slice()].concat();
    let text = String::from_utf8_lossy(&text);
    let shown: String = text.trim().chars().take(STDERR_SHOWN).collect();
    Error::Command {
        doing: doing.to_owned(),
        command: render(command),
        outcome: format!("ended with {}: {shown}", output.status),
    }
}

/// A command line as one would type it.
pub(crate) fn render(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(|w| w.to_string_lossy().into_owned()).collect();
    shlex::try_join(words.iter().map(String::as_str)).unwrap_or_else(|_| words.join(" "))
}

/// How long to wait for something, and what to say when it does not come.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wait<'a> {
    pub(crate) what: &'a str,
    pub(crate) deadline: Duration,
    pub(crate) help: &'a str,
}

impl Wait<'_> {
    /// Polls until `probe` gives a value; its `Err` text is what the deadline's error shows.
    pub(crate) fn until<T>(&self, mut probe: impl FnMut() -> Result<T, String>) -> Result<T> {
        const PAUSE: Duration = Duration::from_millis(10);
        let start = Instant::now();
        loop {
            let last = match probe() {
                Ok(value) => return Ok(value),
                Err(last) => last,
            };
            if start.elapsed() > self.deadline {
                return Err(Error::Deadline {
                    what: self.what.to_owned(),
                    waited: self.deadline,
                    last,
                    help: self.help.to_owned(),
                });
            }
            thread::sleep(PAUSE);
        }
    }
}
