//! Signals: drain first, leave what is in flight only when asked twice.
//!
//! `SIGINT` and `SIGTERM` ask for a halt at the next safe place, and so does `SIGHUP`: the ssh session
//! of whoever started this may break at any time, and that must not cut a run in the middle. A second
//! `SIGINT` gives up waiting. A third kind of end, `SIGKILL` or a power cut, needs no code: the
//! journal is written before every effect.

use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::failure::Failure;

/// What the signals so far have asked for.
#[derive(Debug, Clone)]
pub(crate) struct Halt {
    /// Finish what is in flight, begin nothing new.
    pub(crate) drain: CancellationToken,
    /// Do not even wait for that.
    pub(crate) leave: CancellationToken,
}

/// Listens from here on, for the rest of the process. `say` is told what was understood.
pub(crate) fn listen(say: Arc<dyn Fn(&str) + Send + Sync>) -> Result<Halt, Failure> {
    let halt = Halt {
        drain: CancellationToken::new(),
        leave: CancellationToken::new(),
    };
    let mut signals = Signals::open()?;
    let heard = halt.clone();
    tokio::spawn(async move {
        loop {
            let name = signals.next().await;
            heard.take(name, &*say);
        }
    });
    Ok(halt)
}

/// The signals that ask for an end.
pub(crate) struct Signals([Signal; 3]);

impl Signals {
    /// Hears them from here on, for the rest of the process.
    pub(crate) fn open() -> Result<Self, Failure> {
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
    pub(crate) async fn next(&mut self) -> &'static str {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => "Ctrl-C",
            _ = terminate.recv() => "SIGTERM",
            _ = hangup.recv() => "SIGHUP",
        }
    }
}

impl Halt {
    fn take(&self, name: &str, say: &(dyn Fn(&str) + Send + Sync)) {
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

    fn halt() -> Halt {
        Halt {
            drain: CancellationToken::new(),
            leave: CancellationToken::new(),
        }
    }

    #[test]
    fn only_a_second_interrupt_leaves_what_is_in_flight() {
        for first in ["Ctrl-C", "SIGTERM", "SIGHUP"] {
            let halt = halt();
            halt.take(first, &|_| {});
            assert!(halt.drain.is_cancelled() && !halt.leave.is_cancelled());
            halt.take("SIGTERM", &|_| {});
            halt.take("SIGHUP", &|_| {});
            assert!(!halt.leave.is_cancelled());
            halt.take("Ctrl-C", &|_| {});
            assert!(halt.leave.is_cancelled());
        }
    }
}
