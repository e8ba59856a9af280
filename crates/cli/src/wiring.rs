//! From options to ports: the one place that knows the adapters.

use std::path::Path;
use std::sync::Arc;

use runbook_core::names::NodeName;
use runbook_core::ports::{CommandLog, Ports};

use crate::args::Global;
use crate::exit::Exit;
use crate::failure::Failure;

/// The ports, and what else an adapter wants to be told.
pub struct Wired {
    /// Everything outside.
    pub ports: Ports,
    /// Called with a node right before its disk is wiped: it may come back with a new host key.
    pub before_wipe: Arc<dyn Fn(&NodeName) + Send + Sync>,
}

impl std::fmt::Debug for Wired {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wired").finish_non_exhaustive()
    }
}

/// How options become ports; tests bring a world of their own.
pub trait Wiring: Sync {
    /// The ports for one command. `run_dir` is where a run keeps its own files, if there is one.
    ///
    /// # Errors
    /// When something a port needs is missing, as a certificate.
    fn wire(
        &self,
        options: &Global,
        log: Arc<dyn CommandLog>,
        run_dir: Option<&Path>,
    ) -> Result<Wired, Failure>;
}

/// The real world: cmsh, ssh, etcd.
#[derive(Debug, Clone, Copy)]
pub struct Real;

impl Wiring for Real {
    fn wire(
        &self,
        _options: &Global,
        _log: Arc<dyn CommandLog>,
        _run_dir: Option<&Path>,
    ) -> Result<Wired, Failure> {
        Err(Failure::new(
            Exit::Environment,
            "not-wired",
            "this build has no adapters yet",
        ))
    }
}
