//! The `cmsh` process: options, the connection, and where the commands come from.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, IsTerminal, Write};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use crate::disturb::{disturbed, half};
use crate::options::{self, Options};
use crate::protocol::{DEFAULT_SOCKET, Reply, Request, SOCKET_VARIABLE, Welcome};
use crate::render;
use crate::scenario::{Oddity, What};
use crate::session::Session;

const HELP: &str = "usage:\n  cmsh [options] [hostname[:port]]\n  cmsh [options] -c <command>\n  \
                    cmsh [options] -f <filename>\n";

/// The connection to the daemon.
pub(crate) struct Link {
    writer: UnixStream,
    reader: BufReader<UnixStream>,
}

impl Link {
    fn open() -> io::Result<Self> {
        let path =
            std::env::var_os(SOCKET_VARIABLE).unwrap_or_else(|| DEFAULT_SOCKET.to_owned().into());
        let writer = UnixStream::connect(path)?;
        let reader = BufReader::new(writer.try_clone()?);
        Ok(Self { writer, reader })
    }

    /// Waits for what never comes: until this process or the daemon is killed.
    fn wait_for_the_end(&mut self) {
        let _ = io::copy(&mut self.reader, &mut io::sink());
    }

    /// Asks the daemon; losing it ends the session.
    pub(crate) fn call(&mut self, request: &Request) -> Result<Reply, String> {
        let lost = |e: io::Error| format!("Your session ended because: connection lost ({e})");
        let mut text = serde_json::to_string(request).map_err(|e| e.to_string())?;
        text.push('\n');
        self.writer.write_all(text.as_bytes()).map_err(lost)?;
        let mut line = String::new();
        if self.reader.read_line(&mut line).map_err(lost)? == 0 {
            return Err("Your session ended because: CMDaemon closed the connection".to_owned());
        }
        match serde_json::from_str(&line).map_err(|e| e.to_string())? {
            Reply::Error(problem) => Err(problem),
            Reply::Ended(active) => Err(session_ended(&active)),
            reply => Ok(reply),
        }
    }
}

/// The two lines that a failover ends a session with (admin manual 15).
fn session_ended(active: &str) -> String {
    format!(
        "Your session ended because: CMDaemon failover, no longer master\n\
         {active} became active master, reconnecting your cmsh ..."
    )
}

/// Runs `cmsh`.
pub fn cmsh_main(args: Vec<String>) -> ExitCode {
    let options = match options::parse(&args) {
        Ok(options) => options,
        Err(problem) => return complain(&format!("{problem}\n{HELP}")),
    };
    if options.help {
        let _ = io::stdout().write_all(HELP.as_bytes());
        return ExitCode::SUCCESS;
    }
    match run(options, args) {
        Ok(code) => ExitCode::from(code),
        Err(problem) => complain(&format!("{problem}\n")),
    }
}

/// A call that cannot connect was seen to return 1.
fn complain(text: &str) -> ExitCode {
    let _ = io::stderr().write_all(text.as_bytes());
    ExitCode::FAILURE
}

fn run(options: Options, argv: Vec<String>) -> Result<u8, String> {
    let script = match (&options.batch, &options.file) {
        (Some(batch), _) => Some(batch.clone()),
        (None, Some(path)) => {
            Some(std::fs::read_to_string(path).map_err(|e| format!("{path}: {e}"))?)
        }
        (None, None) => None,
    };
    if options.no_connect {
        return Err("Not connected to CMDaemon".to_owned());
    }
    // Without a daemon there is no dialect to speak; its own texts vary.
    let mut link =
        Link::open().map_err(|e| format!("Unable to connect to CMDaemon on localhost: {e}"))?;
    let text = script.clone().unwrap_or_default();
    let hello = Request::Hello {
        pid: std::process::id(),
        argv,
        text,
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
    };
    if shell.held == Some(What::Hang) {
        link.wait_for_the_end();
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
struct Shell {
    options: Options,
    next_event: u64,
    exit: u8,
    held: Option<What>,
    /// What was held back so far.
    kept: String,
}

impl Shell {
    /// The start-up file is read in batch mode too, unless `-n` is given (admin manual 2.5.1).
    fn source_rc(&mut self, session: &mut Session) -> Result<(), String> {
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

    fn batch(&mut self, session: &mut Session, text: &str) -> Result<(), String> {
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
    fn lines(&mut self, session: &mut Session) -> Result<(), String> {
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

    fn flush(&mut self, session: &mut Session) -> Result<(), String> {
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
        write(&mut io::stdout().lock(), &out)?;
        write(&mut io::stderr().lock(), &std::mem::take(&mut session.err))
    }

    /// The end of the session, as the fault wants it.
    fn finish(mut self, session: &mut Session) -> Result<u8, String> {
        let kept = std::mem::take(&mut self.kept);
        let half_of_it = || write(&mut io::stdout().lock(), half(&kept));
        match self.held {
            Some(What::HalfAnswer) => {
                half_of_it()?;
                return Ok(session.welcome.dialect.other_exit);
            }
            Some(What::HangHalfWay) => half_of_it()?,
            Some(What::LostAnswer) => {
                return Err("Your session ended because: connection lost".to_owned());
            }
            Some(What::SessionEndedLate) => return Err(session_ended(&session.welcome.head)),
            _ => {}
        }
        if self.held.is_some() {
            session.link.wait_for_the_end();
        }
        Ok(self.exit)
    }
}

fn write(to: &mut dyn Write, text: &str) -> Result<(), String> {
    to.write_all(text.as_bytes())
        .and_then(|()| to.flush())
        .map_err(|e| e.to_string())
}
