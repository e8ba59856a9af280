//! Feeds commands to a session, and prints what comes back.

use std::fmt::Write as _;
use std::io::{self, BufRead, IsTerminal, Write};

use crate::disturb::{disturbed, half};
use crate::options::{HELP, Options};
use crate::protocol::{Link, Reply, Request, Welcome, session_ended};
use crate::render;
use crate::scenario::{Oddity, What};
use crate::session::Session;

/// A whole session: the exit status, or the last words of one that could not go on.
pub(crate) fn converse(
    options: Options,
    argv: Vec<String>,
    script: Option<String>,
    link: &mut dyn Link,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<u8, String> {
    let hello = Request::Hello {
        pid: std::process::id(),
        argv,
        text: script.clone().unwrap_or_default(),
        redirect: !options.no_redirect,
    };
    let Reply::Welcome(welcome) = link.call(&hello)? else {
        return Err("CMDaemon gave an unexpected answer".to_owned());
    };
    knows_options(&options, &welcome.version)?;
    let mut shell = Shell {
        next_event: welcome.next_event,
        held: welcome.fault.as_ref().and_then(|fault| held(fault.what)),
        options,
        exit: 0,
        kept: String::new(),
        out,
        err,
    };
    if shell.held == Some(What::Hang) {
        return Err(link.wait_for_the_end());
    }
    let mut session = Session::new(link, *welcome);
    shell.source_rc(&mut session)?;
    match script {
        Some(script) => shell.batch(&mut session, &script)?,
        None => shell.lines(&mut session)?,
    }
    shell.finish(&mut session)
}

/// `-i` and `-k` are in the list of options of version 11 only.
fn knows_options(options: &Options, version: &str) -> Result<(), String> {
    let major = version
        .split('.')
        .next()
        .and_then(|major| major.parse().ok());
    match &options.certificate_option {
        Some(name) if major.unwrap_or(0_u32) < 11 => {
            Err(format!("cmsh: unrecognized option '{name}'\n{HELP}"))
        }
        _ => Ok(()),
    }
}

/// The faults for which the answer is held back until all is done.
fn held(what: What) -> Option<What> {
    match what {
        What::Hang
        | What::HangHalfWay
        | What::HangAtTheEnd
        | What::HalfAnswer
        | What::LostAnswer
        | What::SessionEndedLate => Some(what),
        _ => None,
    }
}

/// Feeds commands to the session and prints what comes back.
struct Shell<'t> {
    options: Options,
    next_event: u64,
    exit: u8,
    held: Option<What>,
    /// What was held back so far.
    kept: String,
    out: &'t mut dyn Write,
    err: &'t mut dyn Write,
}

impl Shell<'_> {
    /// The start-up file is read in batch mode too, unless `-n` is given (admin manual 2.5.1).
    fn source_rc(&mut self, session: &mut Session<'_>) -> Result<(), String> {
        let Welcome {
            cmshrc: Some(path), ..
        } = &session.welcome
        else {
            return Ok(());
        };
        if self.options.no_rc {
            return Ok(());
        }
        match std::fs::read_to_string(path) {
            Ok(text) => self.batch(session, &text),
            Err(_) => Ok(()),
        }
    }

    fn batch(&mut self, session: &mut Session<'_>, text: &str) -> Result<(), String> {
        let commands = match crate::lexer::parse(text) {
            Ok(commands) => commands,
            Err(problem) => {
                self.exit = session.refuse(&problem);
                return self.flush(session);
            }
        };
        for command in commands {
            if self.options.echo || session.welcome.output.contains(&Oddity::Echo) {
                let _ = writeln!(session.out, "{}", command.raw);
            }
            let failed = session.run(&command)?;
            self.exit = self.exit.max(failed.unwrap_or(0));
            self.flush(session)?;
            if session.done || (failed.is_some() && self.options.quit_on_error) {
                session.done = true;
                break;
            }
        }
        Ok(())
    }

    /// Commands from stdin are echoed into the output (admin manual 2.5.5), after a prompt with
    /// `--tty`. At a terminal there is a prompt, and the terminal echoes.
    fn lines(&mut self, session: &mut Session<'_>) -> Result<(), String> {
        let terminal = io::stdin().is_terminal();
        let mut lines = io::stdin().lock().lines();
        loop {
            if self.options.tty || terminal {
                session.out.push_str(&session.prompt());
                self.flush(session)?;
            }
            let Some(line) = lines.next() else { break };
            let line = line.map_err(|e| e.to_string())?;
            session.link.call(&Request::Line { text: line.clone() })?;
            if !terminal {
                let _ = writeln!(session.out, "{line}");
            }
            self.batch(session, &line)?;
            if session.done {
                break;
            }
        }
        self.flush(session)
    }

    fn flush(&mut self, session: &mut Session<'_>) -> Result<(), String> {
        let mut out = String::new();
        if !self.options.no_events {
            let since = self.next_event;
            if let Reply::Events { next, lines } = session.link.call(&Request::Events { since })? {
                self.next_event = next;
                for line in lines {
                    let _ = writeln!(out, "{line}");
                }
            }
        }
        out.push_str(&std::mem::take(&mut session.out));
        if !self.options.no_color && !session.no_color {
            out = render::coloured(&out);
        }
        if self.options.control_flag {
            out.push('\u{3}');
        }
        out = disturbed(out, &session.welcome);
        if self.held.is_some() {
            self.kept.push_str(&out);
            return Ok(());
        }
        write(self.out, &out)?;
        write(self.err, &std::mem::take(&mut session.err))
    }

    /// The end of the session, as the fault wants it.
    fn finish(self, session: &mut Session<'_>) -> Result<u8, String> {
        match self.held {
            Some(What::HalfAnswer) => {
                write(self.out, half(&self.kept))?;
                return Ok(session.welcome.dialect.other_exit);
            }
            Some(What::HangHalfWay) => write(self.out, half(&self.kept))?,
            Some(What::LostAnswer) => {
                return Err("Your session ended because: connection lost".to_owned());
            }
            Some(What::SessionEndedLate) => return Err(session_ended(&session.welcome.head)),
            _ => {}
        }
        match self.held {
            Some(_) => Err(session.link.wait_for_the_end()),
            None => Ok(self.exit),
        }
    }
}

fn write(to: &mut dyn Write, text: &str) -> Result<(), String> {
    to.write_all(text.as_bytes())
        .and_then(|()| to.flush())
        .map_err(|e| e.to_string())
}
