//! The head nodes and the cluster manager's daemon: failover, crashes, another start.

use std::process::{Child, Command};
use std::sync::PoisonError;

use super::{Lab, unknown};
use crate::error::{Error, IoContext as _, Result};
use crate::layout::Head;
use crate::protocol::Reply;
use crate::run::run;
use crate::{cgroup, head};

impl Lab {
    /// Starts the stand-in for the cluster manager, unless it runs, and waits for its first answer.
    pub(super) fn start_manager(&self) -> Result<()> {
        let mut manager = self.manager.lock().unwrap_or_else(PoisonError::into_inner);
        if manager.is_some() {
            return Ok(());
        }
        let Some(started) = head::start_standin(&self.layout, &self.group, &self.spec)? else {
            return Ok(());
        };
        let daemon = manager.insert(started);
        head::wait_for_standin(&self.group, self.anchor(Head::First)?, daemon, &self.layout)
    }

    /// Kills the stand-in, hooks under way included, as a crash would.
    pub(super) fn stop_manager(&self) -> Result<()> {
        let mut manager = self.manager.lock().unwrap_or_else(PoisonError::into_inner);
        self.group.child(cgroup::CMDAEMON).kill_all()?;
        match manager.take() {
            Some(mut daemon) => daemon
                .wait()
                .map(drop)
                .on("wait for cmdaemon in", self.layout.dir()),
            None => Ok(()),
        }
    }

    pub(super) fn anchor(&self, head: Head) -> Result<u32> {
        let anchor = self.anchors.get(head.index()).map(Child::id);
        anchor.ok_or_else(|| Error::refused("this lab has one head node", "lab up --heads 2"))
    }

    /// The failover as it happens by itself: the cluster manager decides, and asks back for `head-active`.
    pub(super) fn fail_over(&self, options: &[&str]) -> Result<Reply> {
        self.anchor(Head::Second)?;
        let standin = self.spec.standin.as_ref();
        let standin = standin.ok_or_else(|| {
            Error::refused(
                "this lab has no cluster manager",
                "lab up without --no-cmdaemon",
            )
        })?;
        match options {
            [] => {}
            ["stale-copy"] => {
                for anchor in &self.anchors {
                    head::copy_shared_if_shown(anchor.id())?;
                }
            }
            _ => return Err(unknown(&[&["failover"], options].concat())),
        }
        let mut order = Command::new(&standin.daemon);
        order
            .arg("--state")
            .arg(self.layout.standin_state())
            .arg("--fail-over");
        run("make the other head node active", &mut order).map(Reply::done)
    }

    pub(super) fn move_shared(&self, to: Head) -> Result<Reply> {
        let (from, to) = (self.anchor(to.other())?, self.anchor(to)?);
        head::move_shared(from, to).map(|()| Reply::done(""))
    }

    /// All programs on the head node end at once, as when its power fails. Its disk and network stay.
    pub(super) fn kill_head(&self, head: Head) -> Result<Reply> {
        self.group
            .child(head.name())
            .kill_all()
            .map(|()| Reply::done(""))
    }
}
