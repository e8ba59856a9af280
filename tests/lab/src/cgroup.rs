//! Control groups (v2): who belongs to a lab, whether it lives, and how it is ended.
//!
//! A lab owns one group, `<cgroup2>/<lab id>`, with a group per node, one for each head node's programs,
//! one for the cluster manager, one for the processes that keep the head nodes' namespaces, and one for
//! the supervisor. Liveness is read
//! from these groups and nowhere else; there are no pid files.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::{Pid, Signal};

use crate::error::{Error, IoContext as _, Result};
use crate::run::Wait;

/// The stand-in for the cluster manager.
pub(crate) const CMDAEMON: &str = "cmdaemon";
/// The processes that keep the head nodes' namespaces alive.
pub(crate) const ANCHOR: &str = "anchor";
/// The supervisor; a lab is alive exactly while this group is populated.
pub(crate) const SUPERVISOR: &str = "supervisor";

/// Where cgroup v2 is mounted: alone, or beside v1 (`/sys/fs/cgroup/unified`).
pub(crate) fn mount_point() -> Result<PathBuf> {
    let table = "/proc/self/mountinfo";
    let text = fs::read_to_string(table).on("read", table)?;
    text.lines()
        .filter(|line| line.contains(" - cgroup2 "))
        .filter_map(|line| line.split(' ').nth(4))
        .next_back()
        .map(PathBuf::from)
        .ok_or_else(|| {
            Error::refused(
                "no cgroup v2 hierarchy is mounted",
                "mkdir -p /sys/fs/cgroup/unified && mount -t cgroup2 none /sys/fs/cgroup/unified",
            )
        })
}

/// The group this process is in, so that it can go back there.
pub(crate) fn own() -> Result<Group> {
    let table = "/proc/self/cgroup";
    let text = fs::read_to_string(table).on("read", table)?;
    let path = text
        .lines()
        .find_map(|l| l.strip_prefix("0::/"))
        .unwrap_or_default();
    Ok(Group {
        path: mount_point()?.join(path),
    })
}

/// A control group, existing or not.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    path: PathBuf,
}

impl Group {
    /// The group of a whole lab.
    pub(crate) fn of_lab(id: &str) -> Result<Self> {
        Ok(Self {
            path: mount_point()?.join(id),
        })
    }

    /// A group below this one.
    pub(crate) fn child(&self, name: &str) -> Self {
        Self {
            path: self.path.join(name),
        }
    }

    /// Whether it is there at all.
    pub(crate) fn exists(&self) -> bool {
        self.path.exists()
    }

    /// Makes it.
    pub(crate) fn create(&self) -> Result<()> {
        fs::create_dir_all(&self.path).on("make the control group", &self.path)
    }

    /// Moves this process (all its threads) into it.
    pub(crate) fn enter(&self) -> Result<()> {
        let file = self.path.join("cgroup.procs");
        fs::write(&file, "0").on("enter the control group", &file)
    }

    /// A command whose process enters the group first and then *becomes* the program: no wrapper stays
    /// behind, and nothing can be started in a lab whose groups are gone.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", r#"echo 0 >"$0" && exec "$@""#]);
        command.arg(self.path.join("cgroup.procs")).arg(program);
        command
    }

    /// Whether any process lives in it or below.
    pub(crate) fn populated(&self) -> bool {
        fs::read_to_string(self.path.join("cgroup.events"))
            .is_ok_and(|text| text.lines().any(|l| l == "populated 1"))
    }

    /// Processes in it and below.
    pub(crate) fn pids(&self) -> Vec<i32> {
        let mut pids = Vec::new();
        self.walk(&mut |dir| {
            let text = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
            pids.extend(text.lines().filter_map(|l| l.parse::<i32>().ok()));
        });
        pids
    }

    /// Kills everything in it and below, once.
    pub(crate) fn kill(&self) {
        // Linux 5.14 and later kill a whole tree at once; before that, one by one, and again.
        if fs::write(self.path.join("cgroup.kill"), "1").is_ok() {
            return;
        }
        for pid in self.pids().into_iter().filter_map(Pid::from_raw) {
            // It may be gone by now, which is what we want.
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
    }

    /// Kills everything in it and below until nothing is left.
    pub(crate) fn kill_all(&self) -> Result<()> {
        Wait {
            what: "the end of all processes of a control group",
            deadline: Duration::from_secs(60),
            help: "a process that cannot be killed waits in the kernel: see `ps -eo pid,stat,wchan,cmd`",
        }
        .until(|| {
            self.kill();
            if self.populated() {
                Err(format!("{} holds processes {:?}", self.path.display(), self.pids()))
            } else {
                Ok(())
            }
        })
    }

    /// Removes the empty groups below it, which a container leaves behind.
    pub(crate) fn clear(&self) {
        let own = &self.path;
        self.walk(&mut |dir| {
            if dir != own {
                // Still busy ones stay; whoever needs them gone removes them by `remove`.
                let _ = fs::remove_dir(dir);
            }
        });
    }

    /// Removes it with everything below; all must be empty of processes.
    pub(crate) fn remove(&self) -> Result<()> {
        if !self.exists() {
            return Ok(());
        }
        Wait {
            what: "the removal of a control group",
            deadline: Duration::from_secs(20),
            help: "see which processes its cgroup.procs files list",
        }
        .until(|| {
            self.clear();
            match fs::remove_dir(&self.path) {
                Err(e) if self.exists() => Err(format!("{}: {e}", self.path.display())),
                _ => Ok(()),
            }
        })
    }

    /// The groups directly below.
    pub(crate) fn children(&self) -> Vec<Self> {
        subdirectories(&self.path)
            .into_iter()
            .map(|path| Self { path })
            .collect()
    }

    /// Its name.
    pub(crate) fn name(&self) -> String {
        self.path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    }

    /// Visits the tree, children before parents.
    fn walk(&self, visit: &mut dyn FnMut(&Path)) {
        for child in self.children() {
            child.walk(visit);
        }
        visit(&self.path);
    }
}

fn subdirectories(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else {
        return Vec::new();
    };
    let dirs = entries
        .flatten()
        .filter(|e| e.file_type().is_ok_and(|t| t.is_dir()));
    dirs.map(|e| e.path()).collect()
}

/// The groups of all labs of this project, living or dead.
pub(crate) fn all_labs(prefix: &str) -> Result<Vec<Group>> {
    let root = mount_point()?;
    let all = subdirectories(&root).into_iter().map(|path| Group { path });
    Ok(all.filter(|g| g.name().starts_with(prefix)).collect())
}
