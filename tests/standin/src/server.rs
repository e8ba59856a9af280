//! The daemon's socket: one thread per session, one JSON line per request.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::config::Config;
use crate::engine::{Daemon, Landing, spool};
use crate::protocol::{NodeResult, Reply, Request, Welcome};
use crate::scenario::{self, Fault, What};
use crate::spoil::spoilt;

const USAGE: &str = "usage: cmdaemon-standin --config FILE --state DIR [--until-stdin-closes]\n       \
                     cmdaemon-standin --state DIR --fail-over\n       \
                     cmdaemon-standin --check-scenario FILE\n";

const LOCK_TRIES: u32 = 100;
const LOCK_PAUSE: Duration = Duration::from_millis(50);

#[derive(Default)]
struct Arguments {
    config: Option<PathBuf>,
    state: PathBuf,
    until_stdin_closes: bool,
    fail_over: bool,
    check_scenario: Option<PathBuf>,
}

fn arguments(args: Vec<String>) -> Option<Arguments> {
    let mut read = Arguments::default();
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--config" => read.config = Some(args.next()?.into()),
            "--state" => read.state = args.next()?.into(),
            "--until-stdin-closes" => read.until_stdin_closes = true,
            "--fail-over" => read.fail_over = true,
            "--check-scenario" => read.check_scenario = Some(args.next()?.into()),
            _ => return None,
        }
    }
    let serves = !read.state.as_os_str().is_empty() && read.config.is_some() != read.fail_over;
    (serves || read.check_scenario.is_some()).then_some(read)
}

/// Runs the daemon until it is killed.
pub fn daemon_main(args: Vec<String>) -> ExitCode {
    let Some(arguments) = arguments(args) else {
        let _ = std::io::stderr().write_all(USAGE.as_bytes());
        return ExitCode::from(2);
    };
    let outcome = match (&arguments.check_scenario, &arguments.config) {
        (Some(file), _) => scenario::read(file).map(drop),
        (None, Some(config)) => Config::load(config).and_then(|config| serve(&arguments, config)),
        (None, None) => fail_over(&arguments.state),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            let _ = writeln!(std::io::stderr(), "cmdaemon-standin: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn serve(arguments: &Arguments, config: Config) -> Result<(), String> {
    let dir = &arguments.state;
    std::fs::create_dir_all(dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    let _lock = lock(dir)?;
    let daemon = Daemon::open(config, dir)?;
    let mut listeners = Vec::new();
    // The first head's socket comes last: who can reach it can reach all.
    for (head, _) in daemon.config.heads().into_iter().rev() {
        let socket = spool(&daemon.config, dir, &head).join("standin.sock");
        // We hold the lock, so a socket found here is left over from a killed daemon.
        let _ = std::fs::remove_file(&socket);
        let listener =
            UnixListener::bind(&socket).map_err(|e| format!("{}: {e}", socket.display()))?;
        listeners.push((head, listener));
    }
    let fields = json!({ "pid": std::process::id() });
    daemon.journal.note("start", false, fields);
    daemon.start();
    for (head, listener) in listeners {
        let daemon = Arc::clone(&daemon);
        thread::spawn(move || accept(&daemon, &head, &listener));
    }
    if arguments.until_stdin_closes {
        // Whoever started us holds the other end, and its death closes it in any case.
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        daemon.rest();
        return Ok(());
    }
    loop {
        thread::park();
    }
}

fn accept(daemon: &Arc<Daemon>, head: &str, listener: &UnixListener) {
    for stream in listener.incoming().flatten() {
        let (daemon, head) = (Arc::clone(daemon), head.to_owned());
        thread::spawn(move || Session::new(&daemon, head).serve(stream));
    }
}

/// Asks the daemon that runs in the directory for a failover, as it happens when the active head dies.
fn fail_over(dir: &Path) -> Result<(), String> {
    let socket = dir.join("standin.sock");
    let shown = |e: std::io::Error| format!("{}: {e}", socket.display());
    let mut stream = UnixStream::connect(&socket).map_err(shown)?;
    let order = Request::MakeActive {
        head: None,
        automatic: true,
    };
    let order = serde_json::to_string(&order).map_err(|e| e.to_string())?;
    writeln!(stream, "{order}").map_err(shown)?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).map_err(shown)?;
    match serde_json::from_str(&line).map_err(|e| e.to_string())? {
        Reply::Error(problem) => Err(problem),
        _ => Ok(()),
    }
}

/// One daemon per state directory. A killed one's lock can outlive it for a moment, in a hook
/// that was just being started, so try for a while.
fn lock(dir: &Path) -> Result<File, String> {
    let path = dir.join("daemon.lock");
    let file = File::create(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let mut tries = LOCK_TRIES;
    while let Err(problem) = file.try_lock() {
        tries -= 1;
        if tries == 0 {
            return Err(format!(
                "{}: another daemon runs here: {problem}",
                path.display()
            ));
        }
        thread::sleep(LOCK_PAUSE);
    }
    Ok(file)
}

/// One session, as the daemon sees it.
struct Session<'a> {
    daemon: &'a Daemon,
    /// The head node whose daemon was asked.
    asked: String,
    client: u32,
    landing: Option<Landing>,
    fault: Option<Fault>,
}

impl<'a> Session<'a> {
    fn new(daemon: &'a Daemon, asked: String) -> Self {
        Self {
            daemon,
            asked,
            client: 0,
            landing: None,
            fault: None,
        }
    }

    fn serve(&mut self, stream: UnixStream) {
        let Ok(mut writer) = stream.try_clone() else {
            return;
        };
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            let reply = match serde_json::from_str(&line) {
                Ok(request) => self.answer(request),
                Err(problem) => Reply::Error(problem.to_string()),
            };
            let Ok(mut text) = serde_json::to_string(&reply) else {
                return;
            };
            text.push('\n');
            if writer.write_all(text.as_bytes()).is_err() {
                return;
            }
        }
    }

    fn answer(&mut self, request: Request) -> Reply {
        if let Some(landing) = &self.landing {
            if let Some(active) = self.daemon.ended(landing) {
                return Reply::Ended(active);
            }
            if !landing.active && request.changes() {
                return Reply::Denied(self.daemon.dialect().passive_refuses().to_owned());
            }
        }
        match self.spoilt(&request) {
            Some(reply) => reply,
            None => self.obey(request),
        }
    }

    /// What the session's fault makes of a request, if it is one that the daemon knows about.
    fn spoilt(&self, request: &Request) -> Option<Reply> {
        let daemon = self.daemon;
        let other = || daemon.config.other_head(&daemon.active_head());
        let fault = self.fault.as_ref()?;
        if fault.what == What::NoEffect && request.changes() {
            let fields = json!({ "client": self.client, "text": "no effect" });
            daemon.journal.note("error", false, fields);
        }
        spoilt(fault, request, other)
    }

    fn obey(&mut self, request: Request) -> Reply {
        let (daemon, client) = (self.daemon, self.client);
        match request {
            Request::Hello {
                pid,
                argv,
                text,
                redirect,
            } => {
                let fields =
                    json!({ "client": pid, "argv": argv, "text": text, "head": self.asked });
                daemon.journal.note("batch", false, fields);
                self.client = pid;
                self.welcome(redirect, &text)
            }
            Request::Line { text } => {
                let fields = json!({ "client": client, "text": text });
                daemon.journal.note("line", false, fields);
                Reply::Results(Vec::new())
            }
            Request::Read => {
                noted_read(daemon, client);
                Reply::View(Arc::new(daemon.view()))
            }
            Request::Commit {
                kind,
                objects,
                wait,
            } => Reply::Problems(daemon.commit(client, kind, objects, wait)),
            Request::Validate { kind, object } => {
                noted_read(daemon, client);
                Reply::Problems(daemon.cluster().problems(kind, &object))
            }
            Request::Power { operation, nodes } => {
                Reply::Results(daemon.power(client, operation, &nodes))
            }
            Request::Service {
                node,
                service,
                action,
            } => Reply::Results(vec![daemon.service(client, &node, &service, action)]),
            Request::Interactions {
                nodes,
                answer,
                wait,
            } => {
                noted_read(daemon, client);
                Reply::Results(daemon.interactions(client, &nodes, answer, wait))
            }
            Request::Events { since } => {
                let (next, lines) = daemon.events(since);
                Reply::Events { next, lines }
            }
            Request::MakeActive { head, automatic } => {
                let to = head.unwrap_or_else(|| daemon.config.other_head(&daemon.active_head()));
                match daemon.make_active(&to, automatic) {
                    Ok(text) => {
                        // Who made it so is told, before the session ends as all others do.
                        self.landing = daemon.land(&to, false).ok();
                        Reply::Results(vec![NodeResult {
                            node: to,
                            ok: true,
                            text,
                        }])
                    }
                    Err(problem) => Reply::Error(problem),
                }
            }
        }
    }

    fn welcome(&mut self, redirect: bool, commands: &str) -> Reply {
        let daemon = self.daemon;
        match daemon.stage.strike(&daemon.config, commands) {
            Ok(fault) => self.fault = fault,
            Err(problem) => return Reply::Error(problem),
        }
        let settled = daemon.settled();
        if self
            .fault
            .as_ref()
            .is_some_and(|fault| fault.what == What::NoDaemon)
        {
            let text = settled.dialect.no_daemon("localhost", "Connection refused");
            return Reply::Error(text);
        }
        let landing = match daemon.land(&self.asked, redirect) {
            Ok(landing) => landing,
            Err(problem) => return Reply::Error(problem),
        };
        let config = &daemon.config;
        let welcome = Welcome {
            cluster: config.cluster.clone(),
            version: settled.version.clone(),
            head: landing.head.clone(),
            cmha: daemon.cmha(&landing.head),
            dialect: settled.dialect.clone(),
            cmshrc: config.cmshrc.clone(),
            output: settled.output(),
            fault: self.fault.clone(),
            next_event: daemon.events(u64::MAX).0,
        };
        self.landing = Some(landing);
        daemon.noise();
        Reply::Welcome(Box::new(welcome))
    }
}

fn noted_read(daemon: &Daemon, client: u32) {
    let fields = json!({ "client": client });
    daemon.journal.note("read", false, fields);
}
