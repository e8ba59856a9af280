//! What a test does to the cluster manager, and asks of it.

use std::fs;
use std::process::Command;

use super::Lab;
use crate::error::{IoContext as _, Result};
use crate::programs::Programs;
use crate::{head, run};

impl Lab {
    /// Makes the passive head node the active one, as when the active one dies. With `stale_copy` the head
    /// node that is passive from now on shows, at `/cm/shared`, a copy of what was there at this moment.
    ///
    /// # Errors
    /// When there is no other head node, or it cannot take over.
    pub fn fail_over(&self, stale_copy: bool) -> Result<()> {
        let words: &[&str] = if stale_copy {
            &["failover", "stale-copy"]
        } else {
            &["failover"]
        };
        self.hook(words).map(drop)
    }

    /// Sets what is odd or goes wrong from now on: a scenario of the stand-in; `{}` for nothing.
    ///
    /// # Errors
    /// When the stand-in does not take it.
    pub fn scenario(&self, scenario: &serde_json::Value) -> Result<()> {
        let dir = self.layout.standin_state();
        let new = dir.join("scenario.new");
        fs::write(&new, format!("{scenario:#}\n")).on("write", &new)?;
        let mut check = Command::new(Programs::locate()?.get("cmdaemon-standin")?);
        run::run("check a scenario", check.arg("--check-scenario").arg(&new))?;
        fs::rename(&new, dir.join("scenario.json")).on("put in place", &new)
    }

    /// Stops the cluster manager's daemon, as a crash would, or starts it again.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn cmdaemon(&self, run: bool) -> Result<()> {
        self.hook(&["cmdaemon", if run { "start" } else { "stop" }])
            .map(drop)
    }

    /// Runs cmsh in batch mode on the head node; its standard output.
    ///
    /// # Errors
    /// When it cannot be started or ends badly.
    pub fn cmsh(&self, script: &str) -> Result<String> {
        let args = ["-n", "--color=no", "--hide-events", "-q", "-c", script];
        run::run("run cmsh", &mut self.head_command(head::CMSH, args))
    }
}
