//! The `cmsh` process: options, the connection, and where the commands come from.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use crate::options::{self, HELP, Options};
use crate::protocol::{DEFAULT_SOCKET, Link, Reply, Request, SOCKET_VARIABLE};
use crate::shell;

/// The connection to the daemon.
struct Socket {
    writer: UnixStream,
    reader: BufReader<UnixStream>,
}

impl Socket {
    fn open() -> io::Result<Self> {
        let path =
            std::env::var_os(SOCKET_VARIABLE).unwrap_or_else(|| DEFAULT_SOCKET.to_owned().into());
        let writer = UnixStream::connect(path)?;
        let reader = BufReader::new(writer.try_clone()?);
        Ok(Self { writer, reader })
    }
}

impl Link for Socket {
    /// Until this process or the daemon is killed.
    fn wait_for_the_end(&mut self) -> String {
        let _ = io::copy(&mut self.reader, &mut io::sink());
        "Your session ended because: connection lost".to_owned()
    }

    fn call(&mut self, request: &Request) -> Result<Reply, String> {
        let lost = |e: io::Error| format!("Your session ended because: connection lost ({e})");
        let mut text = serde_json::to_string(request).map_err(|e| e.to_string())?;
        text.push('\n');
        self.writer.write_all(text.as_bytes()).map_err(lost)?;
        let mut line = String::new();
        if self.reader.read_line(&mut line).map_err(lost)? == 0 {
            return Err("Your session ended because: CMDaemon closed the connection".to_owned());
        }
        let reply: Reply = serde_json::from_str(&line).map_err(|e| e.to_string())?;
        reply.heard()
    }
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
    let mut socket =
        Socket::open().map_err(|e| format!("Unable to connect to CMDaemon on localhost: {e}"))?;
    let (mut out, mut err) = (io::stdout().lock(), io::stderr().lock());
    shell::converse(options, argv, script, &mut socket, &mut out, &mut err)
}
