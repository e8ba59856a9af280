//! Virtual time: it stands still while somebody can work, and leaps to the next thing due.

use std::collections::BTreeMap;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use super::World;
use super::state::Happening;

/// What is due at some time.
#[derive(Debug)]
pub(super) enum Due {
    Wake(Waker),
    Happening(Happening),
}

/// Everything that is due, in order; what is due at the same time keeps the order it came in.
#[derive(Debug, Default)]
pub(super) struct Queue {
    due: BTreeMap<(Duration, u64), Due>,
    serial: u64,
}

impl Queue {
    pub(super) fn push(&mut self, at: Duration, due: Due) -> (Duration, u64) {
        self.serial += 1;
        self.due.insert((at, self.serial), due);
        (at, self.serial)
    }

    /// Wakes somebody else when a pause is over: who polls again may have another waker.
    fn rewake(&mut self, key: (Duration, u64), waker: Waker) {
        if let Some(due) = self.due.get_mut(&key) {
            *due = Due::Wake(waker);
        }
    }

    pub(super) fn pop(&mut self) -> Option<(Duration, Due)> {
        self.due.pop_first().map(|((at, _), due)| (at, due))
    }
}

/// Waits in virtual time.
pub(super) struct Pause {
    world: World,
    until: Duration,
    queued: Option<(Duration, u64)>,
}

impl Pause {
    pub(super) fn new(world: &World, time: Duration) -> Self {
        let until = world.state().now + time;
        Self {
            world: world.clone(),
            until,
            queued: None,
        }
    }
}

impl Future for Pause {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.world.state();
        let waker = cx.waker().clone();
        match self.queued {
            Some(_) if state.now >= self.until => return Poll::Ready(()),
            // Polled with others that were woken: one entry is enough.
            Some(key) => state.queue.rewake(key, waker),
            None => {
                let key = state.queue.push(self.until, Due::Wake(waker));
                drop(state);
                self.queued = Some(key);
            }
        }
        Poll::Pending
    }
}

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl World {
    /// Runs a future to its end in virtual time.
    ///
    /// # Panics
    /// When the future waits for something that this world will never bring.
    pub fn drive<F: Future>(&self, future: F) -> F::Output {
        match self.drive_until(future, u64::MAX) {
            Some(output) => output,
            None => unreachable!("it may be polled as often as it likes"),
        }
    }

    /// Runs a future until it has waited `waits` times, and then drops it: a crash. `None` if so.
    ///
    /// Exactly one thing happens between two waits, so every await point is reached by some number.
    ///
    /// # Panics
    /// When the future waits for something that this world will never bring.
    pub fn drive_until<F: Future>(&self, future: F, waits: u64) -> Option<F::Output> {
        self.drive_with(future, waits, |_| ())
    }

    /// As [`World::drive_until`]; `each` is called with the number of waits so far.
    ///
    /// # Panics
    /// When the future waits for something that this world will never bring.
    pub fn drive_with<F: Future>(
        &self,
        future: F,
        waits: u64,
        mut each: impl FnMut(u64),
    ) -> Option<F::Output> {
        let flag = Arc::new(Flag::default());
        let waker = Waker::from(Arc::clone(&flag));
        let mut cx = Context::from_waker(&waker);
        let mut future = pin!(future);
        let mut waited = 0;
        loop {
            flag.0.store(false, Ordering::Relaxed);
            if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
                return Some(output);
            }
            waited += 1;
            each(waited);
            if waited >= waits {
                return None;
            }
            while !flag.0.load(Ordering::Relaxed) {
                assert!(self.advance(), "nothing is due, and the future still waits");
            }
        }
    }

    /// Lets virtual time pass, with nobody looking.
    pub fn pass(&self, time: Duration) {
        self.drive(Pause::new(self, time));
    }

    /// Makes the next thing happen; false when nothing is due.
    fn advance(&self) -> bool {
        let mut state = self.state();
        let Some((at, due)) = state.queue.pop() else {
            return false;
        };
        state.now = state.now.max(at);
        match due {
            Due::Wake(waker) => {
                // A waker may run code of its own: not under the lock.
                drop(state);
                waker.wake();
            }
            Due::Happening(happening) => {
                state.happen(happening);
                state.watch();
            }
        }
        true
    }
}
