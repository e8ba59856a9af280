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

use crate::config::{Config, HeadRole};
use crate::engine::Daemon;
use crate::protocol::{Reply, Request, Welcome};

const USAGE: &str = "usage: cmdaemon-standin --config FILE --state DIR [--until-stdin-closes]\n";

const LOCK_TRIES: u32 = 100;
const LOCK_PAUSE: Duration = Duration::from_millis(50);

struct Arguments {
    config: PathBuf,
    state: PathBuf,
    until_stdin_closes: bool,
}

fn arguments(args: Vec<String>) -> Option<Arguments> {
    let (mut config, mut state, mut until_stdin_closes) = (None, None, false);
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--config" => config = Some(args.next()?.into()),
            "--state" => state = Some(args.next()?.into()),
            "--until-stdin-closes" => until_stdin_closes = true,
            _ => return None,
        }
    }
    Some(Arguments {
        config: config?,
        state: state?,
        until_stdin_closes,
    })
}

/// Runs the daemon until it is killed.
pub fn daemon_main(args: Vec<String>) -> ExitCode {
    let Some(arguments) = arguments(args) else {
        let _ = std::io::stderr().write_all(USAGE.as_bytes());
        return ExitCode::from(2);
    };
    match serve(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            let _ = writeln!(std::io::stderr(), "cmdaemon-standin: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn serve(arguments: &Arguments) -> Result<(), String> {
    let dir = &arguments.state;
    let shown = |e: std::io::Error| format!("{}: {e}", dir.display());
    std::fs::create_dir_all(dir).map_err(shown)?;
    let _lock = lock(dir)?;
    let daemon = Daemon::open(Config::load(&arguments.config)?, dir)?;
    let socket = dir.join("standin.sock");
    // We hold the lock, so a socket found here is left over from a killed daemon.
    let _ = std::fs::remove_file(&socket);
    let listener = UnixListener::bind(&socket).map_err(shown)?;
    daemon
        .journal
        .note("start", false, json!({ "pid": std::process::id() }));
    daemon.start();
    let served = Arc::clone(&daemon);
    let accept = move || {
        for stream in listener.incoming().flatten() {
            let daemon = Arc::clone(&served);
            thread::spawn(move || session(&daemon, stream));
        }
    };
    if arguments.until_stdin_closes {
        // Whoever started us holds the other end, and its death closes it in any case.
        thread::spawn(accept);
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        daemon.rest();
    } else {
        accept();
    }
    Ok(())
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

fn session(daemon: &Daemon, stream: UnixStream) {
    let Ok(mut writer) = stream.try_clone() else {
        return;
    };
    let mut pid = 0;
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        let reply = match serde_json::from_str(&line) {
            Ok(request) => answer(daemon, &mut pid, request),
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

fn answer(daemon: &Daemon, client: &mut u32, request: Request) -> Reply {
    match request {
        Request::Hello { pid, argv, text } => {
            *client = pid;
            let fields = json!({ "client": pid, "argv": argv, "text": text });
            daemon.journal.note("batch", false, fields);
            let welcome = welcome(daemon);
            daemon.noise();
            Reply::Welcome(Box::new(welcome))
        }
        Request::Line { text } => {
            daemon
                .journal
                .note("line", false, json!({ "client": *client, "text": text }));
            Reply::Results(Vec::new())
        }
        Request::Read => {
            noted_read(daemon, *client);
            Reply::View(Box::new(daemon.view()))
        }
        Request::Commit {
            kind,
            objects,
            wait,
        } => Reply::Problems(daemon.commit(*client, kind, objects, wait)),
        Request::Validate { kind, object } => {
            noted_read(daemon, *client);
            Reply::Problems(daemon.cluster().problems(kind, &object))
        }
        Request::Power { operation, nodes } => {
            Reply::Results(daemon.power(*client, operation, &nodes))
        }
        Request::Service {
            node,
            service,
            action,
        } => Reply::Results(vec![daemon.service(*client, &node, &service, action)]),
        Request::Interactions {
            nodes,
            answer,
            wait,
        } => {
            noted_read(daemon, *client);
            Reply::Results(daemon.interactions(*client, &nodes, answer, wait))
        }
        Request::Events { since } => {
            let (next, lines) = daemon.events(since);
            Reply::Events { next, lines }
        }
    }
}

fn noted_read(daemon: &Daemon, client: u32) {
    let fields = json!({ "client": client });
    daemon.journal.note("read", false, fields);
}

fn welcome(daemon: &Daemon) -> Welcome {
    let config = &daemon.config;
    Welcome {
        cluster: config.cluster.clone(),
        version: config.version.clone(),
        head: config.head.name.clone(),
        cmha: cmha(config),
        dialect: daemon.dialect.clone(),
        cmshrc: config.cmshrc.clone(),
        next_event: daemon.events(u64::MAX).0,
    }
}

/// `cmha status` (admin manual 15); with one head node its output is not known.
fn cmha(config: &Config) -> Option<String> {
    let (here, peer) = (&config.head.name, &config.head.peer);
    let (mode, first, second) = match config.head_role {
        HeadRole::Single => return None,
        HeadRole::Active => ("active master", format!("{here}*"), peer.clone()),
        HeadRole::Passive => ("passive", here.clone(), format!("{peer}*")),
    };
    let checks = "  failoverping [  OK  ]\n  mysql        [  OK  ]\n  ping         [  OK  ]\n  \
                  status       [  OK  ]\n";
    Some(format!(
        "Node Status: running in {mode} mode\n\nFailover status:\n{first} -> {second}\n{checks}\
         {second} -> {first}\n{checks}"
    ))
}
