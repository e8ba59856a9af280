//! One program's turns: how long each takes, and how much memory.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use rustix::fs::{Advice, fadvise};
use rustix::io::{ReadWriteFlags, preadv2};
use wait4::Wait4 as _;

use crate::size;

/// What the page cache has of the file when a turn begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cache {
    /// All of it.
    Warm,
    /// Nothing. What lies below this machine, such as a hypervisor's cache, is not touched.
    Cold,
}

impl Cache {
    pub(crate) fn prepare(self, path: &Path) {
        let mut file = File::open(path).expect("the snapshot");
        match self {
            Self::Warm => drop(io::copy(&mut file, &mut io::sink()).expect("a read")),
            Self::Cold => {
                file.sync_all().expect("a sync");
                fadvise(&file, 0, None, Advice::DontNeed).expect("advice");
                let size = size(path);
                let still = (0..64)
                    .filter(|part| is_cached(&file, size / 64 * part))
                    .count();
                assert!(
                    still == 0,
                    "{still} of 64 probes of {} are still cached",
                    path.display()
                );
            }
        }
    }
}

fn is_cached(file: &File, offset: u64) -> bool {
    let mut byte = [0];
    let mut into = [IoSliceMut::new(&mut byte)];
    preadv2(file, &mut into, offset, ReadWriteFlags::NOWAIT) == Ok(1)
}

pub(crate) struct Rival {
    pub(crate) name: String,
    pub(crate) command: Command,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    pub(crate) seconds: f64,
    /// Largest resident size; a mapped file counts.
    pub(crate) peak_bytes: u64,
}

pub(crate) struct Series {
    pub(crate) rival: Rival,
    pub(crate) turns: Vec<Turn>,
}

impl Series {
    pub(crate) fn new(rival: Rival) -> Self {
        Self {
            rival,
            turns: Vec::new(),
        }
    }

    pub(crate) fn turn(&mut self) {
        let command = &mut self.rival.command;
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let started = Instant::now();
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let ended = child.wait4().expect("a child to wait for");
        let seconds = started.elapsed().as_secs_f64();
        assert!(ended.status.success(), "{command:?}: {}", ended.status);
        let peak_bytes = ended.rusage.maxrss;
        self.turns.push(Turn {
            seconds,
            peak_bytes,
        });
    }

    pub(crate) fn seconds(&self) -> impl Iterator<Item = f64> {
        self.turns.iter().map(|turn| turn.seconds)
    }
}
