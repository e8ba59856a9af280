//! One program's turns: how long each takes, and how much memory.

use std::fs::File;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::fs::{Advice, fadvise};
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
                // Pages that another processor is just about to file stay, until the next attempt.
                for _ in 0..20 {
                    fadvise(&file, 0, None, Advice::DontNeed).expect("advice");
                    if resident(path) < size(path) / 100 {
                        return;
                    }
                    sleep(Duration::from_millis(50));
                }
                panic!(
                    "{} stays in the page cache: does anything map it?",
                    path.display()
                );
            }
        }
    }
}

/// Bytes of the file in the page cache.
fn resident(path: &Path) -> u64 {
    let mut fincore = Command::new("fincore");
    fincore
        .args(["--bytes", "--noheadings", "--output", "RES"])
        .arg(path);
    let output = fincore.output().expect("util-linux is installed");
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().expect("a number of bytes")
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
