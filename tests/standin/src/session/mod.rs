//! One `cmsh` session: where it stands in the modes, its uncommitted edits, and its commands.
//! What is not committed lives here only and is gone when the process ends.

mod devices;
mod listing;
mod modes;
mod objects;
mod services;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write;
use std::process::{Command as Process, Stdio};
use std::sync::Arc;

use crate::dialect::Stream;
use crate::lexer::{self, Command, Part, Tail, Word};
use crate::model::{Cluster, Object};
use crate::nodelist;
use crate::protocol::{Link, NodeView, Reply, Request, View, Welcome};
use crate::scenario::What;
use crate::schema::Kind;

/// A submode of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Sub {
    Roles(Option<String>),
    Services(Option<String>),
}

/// Where the session stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Position {
    kind: Option<Kind>,
    object: Option<String>,
    sub: Option<Sub>,
}

/// Which undocumented exit status a failure falls under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    Use,
    Set,
    Commit,
    Other,
    /// The daemon is gone.
    Lost,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Failure {
    sort: Sort,
    text: String,
}

impl Failure {
    fn new(sort: Sort, text: impl Into<String>) -> Self {
        Self {
            sort,
            text: text.into(),
        }
    }
}

type Done = Result<(), Failure>;

/// A command's words after the shell features were applied.
#[derive(Debug, Clone, Default)]
struct Line {
    words: Vec<String>,
    body: Option<String>,
}

pub(crate) struct Session<'l> {
    pub(crate) link: &'l mut dyn Link,
    pub(crate) welcome: Welcome,
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) done: bool,
    pub(crate) no_color: bool,
    at: Position,
    edits: BTreeMap<(Kind, String), Object>,
    aliases: BTreeMap<String, String>,
}

impl<'l> Session<'l> {
    pub(crate) fn new(link: &'l mut dyn Link, welcome: Welcome) -> Self {
        Self {
            link,
            welcome,
            out: String::new(),
            err: String::new(),
            done: false,
            no_color: false,
            at: Position::default(),
            edits: BTreeMap::new(),
            aliases: BTreeMap::new(),
        }
    }

    /// Runs one command. The result is the exit status the failure calls for, if it failed;
    /// an error means that the daemon is gone.
    pub(crate) fn run(&mut self, command: &Command) -> Result<Option<u8>, String> {
        let start = self.out.len();
        let outcome = self.interpret(command);
        if let Some(tail) = &command.tail {
            let text = self.out.split_off(start);
            self.divert(tail, &text);
        }
        match outcome {
            Ok(()) => Ok(None),
            Err(Failure {
                sort: Sort::Lost,
                text,
            }) => Err(text),
            Err(failure) => Ok(Some(self.report(&failure))),
        }
    }

    /// A batch that cannot be parsed.
    pub(crate) fn refuse(&mut self, problem: &str) -> u8 {
        self.report(&Failure::new(Sort::Other, problem))
    }

    fn report(&mut self, failure: &Failure) -> u8 {
        let dialect = &self.welcome.dialect;
        let to = match dialect.error_stream {
            Stream::Stdout => &mut self.out,
            Stream::Stderr => &mut self.err,
        };
        // Without a text the command has already printed what there is to say.
        if !failure.text.is_empty() {
            to.push_str(failure.text.trim_end());
            to.push('\n');
        }
        match failure.sort {
            Sort::Use => dialect.use_exit,
            Sort::Set => dialect.set_exit,
            Sort::Commit => dialect.commit_exit,
            Sort::Other | Sort::Lost => dialect.other_exit,
        }
    }

    fn interpret(&mut self, command: &Command) -> Done {
        let mut line = Line::default();
        for word in &command.words {
            match word {
                Word::Plain(parts) => line.words.push(substitute(parts)),
                Word::Group(body) => line.body = Some(body.clone()),
                Word::Bang(script) => {
                    let text = shell(script, None);
                    self.out.push_str(&text);
                    return Ok(());
                }
            }
        }
        let alias = line
            .words
            .first()
            .and_then(|first| self.aliases.get(first))
            .cloned();
        if let Some(meaning) = alias {
            return self.run_alias(&meaning, &line);
        }
        self.dispatch(&line)
    }

    fn run_alias(&mut self, meaning: &str, line: &Line) -> Done {
        for command in lexer::parse(meaning).map_err(|e| Failure::new(Sort::Other, e))? {
            let mut words: Vec<String> = command
                .words
                .iter()
                .filter_map(|word| match word {
                    Word::Plain(parts) => Some(substitute(parts)),
                    _ => None,
                })
                .collect();
            words.extend(line.words.iter().skip(1).cloned());
            self.dispatch(&Line {
                words,
                body: line.body.clone(),
            })?;
        }
        Ok(())
    }

    fn divert(&mut self, tail: &Tail, text: &str) {
        match tail {
            Tail::Pipe(script) => {
                let filtered = shell(script, Some(text));
                self.out.push_str(&filtered);
            }
            Tail::Write { path, append } => {
                let opened = std::fs::OpenOptions::new()
                    .create(true)
                    .write(true)
                    .append(*append)
                    .truncate(!*append)
                    .open(path);
                let written = opened.and_then(|mut file| file.write_all(text.as_bytes()));
                if let Err(problem) = written {
                    let _ = writeln!(self.err, "{path}: {problem}");
                }
            }
        }
    }

    fn say(&mut self, line: &str) {
        self.out.push_str(line);
        self.out.push('\n');
    }

    fn call(&mut self, request: &Request) -> Result<Reply, Failure> {
        match self.link.call(request) {
            Ok(Reply::Denied(text)) => Err(Failure::new(Sort::Other, text)),
            Ok(reply) => Ok(reply),
            Err(text) => Err(Failure::new(Sort::Lost, text)),
        }
    }

    /// What the daemon has, with this session's edits on top.
    fn view(&mut self) -> Result<Arc<View>, Failure> {
        match self.call(&Request::Read)? {
            Reply::View(mut view) => {
                for ((kind, key), edited) in &self.edits {
                    if let Some(object) = Arc::make_mut(&mut view).cluster.find_mut(*kind, key) {
                        *object = edited.clone();
                    }
                }
                Ok(view)
            }
            _ => Err(Failure::new(
                Sort::Lost,
                "CMDaemon gave an unexpected answer",
            )),
        }
    }

    /// Several nodes as one word.
    fn nodes_text(&self, nodes: &[String]) -> String {
        nodelist::compress(nodes, self.welcome.dialect.grouping)
    }

    /// Whether this session is to suffer that fault.
    fn suffers(&self, what: What) -> bool {
        self.welcome
            .fault
            .as_ref()
            .is_some_and(|fault| fault.what == what)
    }

    fn no_command(&self, name: &str) -> Failure {
        Failure::new(Sort::Other, self.welcome.dialect.no_command(name))
    }

    fn no_object(&self, kind: Kind, name: &str) -> Failure {
        Failure::new(Sort::Use, self.welcome.dialect.no_object(kind.mode(), name))
    }
}

/// Names an object that must exist.
fn known(cluster: &Cluster, kind: Kind, name: &str) -> bool {
    cluster.find(kind, name).is_some()
}

fn status_of(view: &View, name: &str) -> NodeView {
    view.status.get(name).cloned().unwrap_or_default()
}

fn substitute(parts: &[Part]) -> String {
    parts
        .iter()
        .map(|part| match part {
            Part::Text(text) => text.clone(),
            Part::Backtick(script) => shell(script, None).trim_end().to_owned(),
        })
        .collect()
}

/// What `!`, back quotes and `|` come down to.
fn shell(script: &str, input: Option<&str>) -> String {
    let child = Process::new("sh")
        .args(["-c", script])
        .stdin(if input.is_some() {
            Stdio::piped()
        } else {
            Stdio::null()
        })
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        return String::new();
    };
    let feeder = child
        .stdin
        .take()
        .zip(input.map(str::to_owned))
        .map(|(mut pipe, text)| {
            std::thread::spawn(move || {
                let _ = pipe.write_all(text.as_bytes());
            })
        });
    let output = child.wait_with_output();
    if let Some(feeder) = feeder {
        let _ = feeder.join();
    }
    output
        .map(|o| String::from_utf8_lossy(&o.stdout).into_owned())
        .unwrap_or_default()
}
