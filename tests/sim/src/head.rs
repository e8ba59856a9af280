//! The programs and files of a simulated head node.

use std::io;
use std::path::Path;

use async_trait::async_trait;
use bright_adapter::CmshConfig;
use bright_adapter::programs::{Call, Failure, Finished, Programs};
use runbook_core::ports::Clock as _;
use runbook_core::testkit::{Desk, Fault, Luck, World};
use standin::memory::{Ended, Mishap, Speech, cmsh};

use crate::node::ssh;
use crate::seen::{Keeper, release};

/// What becomes of an answer on its way.
pub type Says = fn(Finished) -> Finished;

/// A head node of a world: `cmsh`, `cmha`, `ssh`, and the daemon's note.
pub struct Head {
    world: World,
    seat: usize,
    speech: Speech,
    config: CmshConfig,
    says: Says,
}

impl std::fmt::Debug for Head {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Head({})", self.seat)
    }
}

impl Head {
    /// The one in a seat, whose programs speak this dialect.
    pub fn new(world: &World, seat: usize, dialect: u64, says: Says) -> Self {
        let version = world.at_desk(|desk| release(desk));
        Self {
            world: world.clone(),
            seat,
            speech: Speech::of(dialect, &version),
            config: CmshConfig::default(),
            says,
        }
    }

    /// The arguments of `cmsh` that a program comes down to.
    fn batch(&self, call: &Call) -> Option<Vec<String>> {
        if call.program == self.config.program {
            return Some(call.args.clone());
        }
        // It asks this head's own daemon, and follows no redirect.
        let cmha = ["-n", "-r", "--color=no", "--hide-events", "-c"].map(str::to_owned);
        let batch = format!("cmha {}", call.args.join(" "));
        let is_cmha = call.program == self.config.cmha;
        is_cmha.then(|| cmha.into_iter().chain([batch]).collect())
    }
}

#[async_trait]
impl Programs for Head {
    async fn run(&self, call: &Call) -> Result<Finished, Failure> {
        if call.program == Path::new("ssh") {
            return ssh(&self.world, call).await.map(self.says);
        }
        let Some(args) = self.batch(call) else {
            return Err(Failure::Start(io::ErrorKind::NotFound.into()));
        };
        let changes = changes(args.last().map_or("", String::as_str));
        let (seat, speech) = (self.seat, self.speech.clone());
        let reign = self.world.active_seat();
        let session = move |desk: &mut Desk<'_>, luck: Luck| {
            let mishap = if !desk.answers() {
                Some(Mishap::NoDaemon)
            } else if desk.active() != reign {
                Some(Mishap::SessionEnded)
            } else {
                mishap(luck, changes)
            };
            cmsh(&args, &speech, mishap, &mut Keeper::new(desk, seat))
        };
        if let Some(ended) = self.world.call(changes, session).await {
            return Ok((self.says)(finished(ended)));
        }
        self.world.sleep(call.timeout).await;
        Err(Failure::Timeout(call.timeout))
    }

    async fn read(&self, path: &Path, _: usize) -> io::Result<Vec<u8>> {
        let missing = || Err(io::ErrorKind::NotFound.into());
        let desk = |desk: &mut Desk<'_>| (desk.active(), desk.platform().etcd_manage);
        let (active, etcd_manage) = self.world.at_desk(desk);
        if path == self.config.etcd_manage && etcd_manage {
            return Ok(Vec::new());
        }
        match active.filter(|_| path == self.config.state_file) {
            Some(active) if active == self.seat => Ok(b"ACTIVE\n".to_vec()),
            Some(_) => Ok(b"PASSIVE\n".to_vec()),
            // With one head node there is no such note.
            None => missing(),
        }
    }
}

fn finished(ended: Ended) -> Finished {
    Finished {
        status: Some(ended.status.into()),
        stdout: ended.stdout,
        stderr: ended.stderr,
    }
}

/// Whether a batch would change something.
fn changes(batch: &str) -> bool {
    let mut statements = batch.split(';').map(|s| s.split_whitespace().collect());
    statements.any(|words: Vec<&str>| {
        let ends = |word: &str| words.last() == Some(&word);
        match words.first() {
            Some(&("commit" | "reboot")) => true,
            Some(&"power") => !ends("status"),
            Some(&"installerinteractions") => ends("--confirm"),
            _ => false,
        }
    })
}

/// What a fault of the world looks like from a `cmsh`.
fn mishap(luck: Luck, changes: bool) -> Option<Mishap> {
    let one_of = |ways: &[Mishap]| {
        let at = usize::try_from(luck.chance % ways.len() as u64);
        ways[at.unwrap_or(0)]
    };
    Some(match luck.fault? {
        Fault::NotDone => Mishap::NoDaemon,
        Fault::Refused => one_of(&[Mishap::Refused, Mishap::ReadOnly]),
        Fault::Denied => Mishap::NotPermitted,
        Fault::AnswerLost if changes => one_of(&[
            Mishap::LostAnswer,
            Mishap::HalfAnswer,
            Mishap::HangHalfWay,
            Mishap::HangAtTheEnd,
            Mishap::SessionEndedLate,
        ]),
        Fault::AnswerLost => one_of(&[
            Mishap::LostAnswer,
            Mishap::HalfAnswer,
            Mishap::HangHalfWay,
            Mishap::SessionEnded,
        ]),
        Fault::RequestLost => one_of(&[Mishap::Hang, Mishap::SessionEnded]),
        Fault::SaidDone => one_of(&[Mishap::NoEffect, Mishap::LeftModified]),
        Fault::Slow | Fault::Stale | Fault::Late => return None,
    })
}
