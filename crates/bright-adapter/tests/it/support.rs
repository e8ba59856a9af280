//! A permit, and programs made of a few lines.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use runbook_core::journal::Permit;
use runbook_core::names::{AbsPath, NodeName, RunId, UnitId};
use runbook_core::ports::{CommandEntry, CommandLog};

pub(crate) use crate::local_shell::LocalShell;

pub(crate) const RUN: &str = "01936f6e-0000-7000-8000-000000000001";

pub(crate) fn run() -> RunId {
    RunId::parse(RUN).unwrap()
}

pub(crate) fn node(name: &str) -> NodeName {
    NodeName::new(name).unwrap()
}

pub(crate) fn path(path: &Path) -> AbsPath {
    AbsPath::new(path.to_str().unwrap()).unwrap()
}

pub(crate) fn permit() -> Permit {
    runbook_core::testkit::permit(&UnitId::new("stop/node001").unwrap()).unwrap()
}

/// A log that remembers.
#[derive(Debug, Default, Clone)]
pub(crate) struct Log(Arc<Mutex<Vec<CommandEntry>>>);

impl CommandLog for Log {
    fn record(&self, entry: &CommandEntry) {
        self.0.lock().unwrap().push(entry.clone());
    }
}

impl Log {
    pub(crate) fn entries(&self) -> Vec<CommandEntry> {
        self.0.lock().unwrap().clone()
    }
}

/// An executable script.
pub(crate) fn program(dir: &Path, name: &str, script: &str) -> PathBuf {
    let (source, file) = (dir.join(format!("{name}.source")), dir.join(name));
    std::fs::write(&source, format!("#!/bin/sh\n{script}\n")).unwrap();
    // Written by another process: a file that any thread's fork holds open for writing cannot be run.
    let status = std::process::Command::new("install")
        .args(["-m", "755"])
        .args([&source, &file])
        .status();
    assert!(status.unwrap().success());
    file
}
