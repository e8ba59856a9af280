//! Signals: drain first, leave what is in flight only when asked twice.
//!
//! `SIGINT` and `SIGTERM` ask for a halt at the next safe place, and so does `SIGHUP`: the ssh session
//! of whoever started this may break at any time, and that must not cut a run in the middle. A second
//! `SIGINT` gives up waiting. A third kind of end, `SIGKILL` or a power cut, needs no code: the
//! journal is written before every effect.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::exit::Exit;
use crate::failure::Failure;

/// Says a line to whoever watches.
pub(crate) type Voice = Arc<dyn Fn(&str) + Send + Sync>;

/// What the signals so far have asked for.
#[derive(Clone, Default)]
pub(crate) struct Halt {
    /// Finish what is in flight, begin nothing new.
    pub(crate) drain: CancellationToken,
    /// Do not even wait for that.
    pub(crate) leave: CancellationToken,
    /// Told what was understood, once a run is at work.
    voice: Arc<Mutex<Option<Voice>>>,
}

/// Listens from here on, for the rest of the process.
pub(crate) fn listen() -> Result<Halt, Failure> {
    let halt = Halt::default();
    let mut signals = Signals::open()?;
    let heard = halt.clone();
    tokio::spawn(async move {
        loop {
            let name = signals.next().await;
            heard.take(name);
        }
    });
    Ok(halt)
}

/// The signals that ask for an end.
struct Signals([Signal; 3]);

impl Signals {
    /// Hears them from here on, for the rest of the process.
    fn open() -> Result<Self, Failure> {
        let open = |kind| {
            signal(kind).map_err(|e| Failure::internal("signals cannot be heard").caused_by(&e))
        };
        Ok(Self([
            open(SignalKind::interrupt())?,
            open(SignalKind::terminate())?,
            open(SignalKind::hangup())?,
        ]))
    }

    /// The name of the next one.
    async fn next(&mut self) -> &'static str {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => "Ctrl-C",
            _ = terminate.recv() => "SIGTERM",
            _ = hangup.recv() => "SIGHUP",
        }
    }
}

impl Halt {
    /// From here on there is something to finish first, and somebody to tell.
    pub(crate) fn speak_through(&self, voice: Voice) {
        *self.voice.lock().unwrap_or_else(PoisonError::into_inner) = Some(voice);
    }

    /// Does what changes nothing: a halt ends it at once.
    pub(crate) async fn or<T>(
        &self,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let what = "interrupted before anything was begun; nothing was changed";
        self.or_saying("interrupted", what, work).await
    }

    /// Does what leaves nothing half done when it is dropped: a halt ends it at once, with this code and
    /// these words.
    pub(crate) async fn or_saying<T>(
        &self,
        code: &str,
        what: &str,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        tokio::select! {
            biased;
            () = self.drain.cancelled() => Err(Failure::new(Exit::Interrupted, code, what)
                .hint("give the same command again when it shall be done")),
            done = work => done,
        }
    }

    /// The tool itself cannot go on, as on a full disk: what is in flight is finished, nothing is begun.
    pub(crate) fn because(&self, why: &str) {
        let voice = self.voice.lock().unwrap_or_else(PoisonError::into_inner);
        voice.iter().for_each(|say| {
            say(&format!(
                "{why}: halting; what is in flight is finished first"
            ));
        });
        self.drain.cancel();
    }

    fn take(&self, name: &str) {
        let voice = self.voice.lock().unwrap_or_else(PoisonError::into_inner);
        let say = |line: &str| voice.iter().for_each(|say| say(line));
        if !self.drain.is_cancelled() {
            say(&format!(
                "{name}: halting; what is in flight is finished first (Ctrl-C once more leaves it in flight, `resume` copes with both)"
            ));
            self.drain.cancel();
        } else if name == "Ctrl-C" {
            say("Ctrl-C again: leaving what is in flight");
            self.leave.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_second_interrupt_leaves_what_is_in_flight() {
        for first in ["Ctrl-C", "SIGTERM", "SIGHUP"] {
            let halt = Halt::default();
            halt.take(first);
            assert!(halt.drain.is_cancelled() && !halt.leave.is_cancelled());
            halt.take("SIGTERM");
            halt.take("SIGHUP");
            assert!(!halt.leave.is_cancelled());
            halt.take("Ctrl-C");
            assert!(halt.leave.is_cancelled());
        }
    }

    #[tokio::test]
    async fn what_changes_nothing_ends_at_once() {
        let halt = Halt::default();
        assert_eq!(halt.or(async { Ok(1) }).await, Ok(1));
        halt.take("SIGHUP");
        let never = std::future::pending::<Result<(), Failure>>();
        let ended = halt.or(never).await.unwrap_err();
        assert_eq!(ended.exit, Exit::Interrupted);
        assert!(ended.hint.is_some());
    }
}
