//! How a lab's supervisor is spoken to: one line of JSON each way, on a Unix socket.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;

use serde::{Deserialize, Serialize};

use crate::error::{Error, IoContext as _, Result};
use crate::layout::Layout;
use crate::spec::{from_json, to_json};

/// The answer to a request.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Reply {
    /// 0 for done or yes, 1 for no; as an exit code.
    pub(crate) code: u8,
    /// What is to be printed.
    pub(crate) out: String,
    /// Why it could not be done.
    pub(crate) error: Option<String>,
}

impl Reply {
    /// Done, with something to print.
    pub(crate) fn done(out: impl Into<String>) -> Self {
        Self {
            out: out.into(),
            ..Self::default()
        }
    }

    /// The answer to a question.
    pub(crate) fn yes_no(yes: bool, out: impl Into<String>) -> Self {
        Self {
            code: u8::from(!yes),
            out: out.into(),
            error: None,
        }
    }
}

/// Asks the supervisor of a lab for something, in the words of `lab hook`.
pub(crate) fn ask(layout: &Layout, request: &[&str]) -> Result<Reply> {
    let socket = layout.socket();
    let mut stream = UnixStream::connect(&socket).map_err(|e| {
        Error::refused(
            format!("no lab answers in {}: {e}", layout.dir().display()),
            "`lab list` shows the labs that are up; `lab sweep` removes what dead ones left",
        )
    })?;
    writeln!(stream, "{}", to_json(&request)?).on("send a request to", &socket)?;
    let mut line = String::new();
    BufReader::new(&stream)
        .read_line(&mut line)
        .on("read the answer of", &socket)?;
    let reply: Reply = from_json("the supervisor's answer", &line)?;
    match reply.error {
        Some(message) => Err(Error::Supervisor {
            lab: layout.id(),
            request: request.join(" "),
            message,
        }),
        None => Ok(reply),
    }
}
