//! The programs of a lab: those that the project builds, and those that the machine must have.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use crate::error::{Error, IoContext as _, Result};
use crate::run;

/// The programs a lab needs, as `cargo build` makes them.
#[derive(Debug, Clone)]
pub struct Programs {
    dir: PathBuf,
}

impl Programs {
    /// Finds them beside the running program, or where `$LAB_PROGRAMS` says.
    ///
    /// # Errors
    /// When they were not built.
    pub fn locate() -> Result<Self> {
        let dir = match std::env::var_os("LAB_PROGRAMS") {
            Some(dir) => PathBuf::from(dir),
            None => profile_directory()?,
        };
        let programs = Self { dir };
        programs.get("lab")?;
        Ok(programs)
    }

    /// One of them.
    ///
    /// # Errors
    /// When it was not built.
    pub fn get(&self, name: &str) -> Result<PathBuf> {
        let path = self.dir.join(name);
        if path.is_file() {
            return Ok(path);
        }
        Err(Error::refused(
            format!("the program {name} was not built"),
            "cargo build --workspace --bins, or say in $LAB_PROGRAMS where the programs are",
        ))
    }
}

/// Builds the programs, once per process, so that a test never meets old ones.
///
/// # Errors
/// When cargo fails.
pub fn build_programs() -> Result<Programs> {
    static BUILT: Mutex<bool> = Mutex::new(false);
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    let programs = Programs {
        dir: profile_directory()?,
    };
    if !*built && std::env::var_os("LAB_PROGRAMS").is_none() {
        run::run("build the programs of the lab", &mut cargo_build(&programs))?;
    }
    *built = true;
    Programs::locate()
}

fn cargo_build(programs: &Programs) -> Command {
    const ABOUT_THE_TEST: [&str; 5] = [
        "CARGO_PKG_",
        "CARGO_MANIFEST_",
        "CARGO_BIN_",
        "CARGO_CRATE_",
        "OUT_DIR",
    ];
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["build", "--quiet", "--workspace", "--bins", "--examples"]);
    command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    if let Some(target) = programs.dir.parent() {
        command.arg("--target-dir").arg(target);
    }
    if programs.dir.ends_with("release") {
        command.arg("--release");
    }
    // What the outer cargo says of the test's own package would make build scripts run again.
    for (name, _) in std::env::vars_os() {
        if ABOUT_THE_TEST
            .iter()
            .any(|prefix| name.to_string_lossy().starts_with(prefix))
        {
            command.env_remove(name);
        }
    }
    command
}

/// `target/<profile>`, from the place of the running program in it.
fn profile_directory() -> Result<PathBuf> {
    let exe = std::env::current_exe().on("find", "the running program")?;
    let mut dirs = exe.ancestors().skip(1);
    let dir = dirs.find(|d| !d.ends_with("deps") && !d.ends_with("examples"));
    Ok(dir.map(Path::to_owned).unwrap_or_default())
}

/// Whether the host has what a lab is made with.
pub(crate) fn check_host() -> Result<()> {
    const NEEDED: [&str; 9] = [
        "/usr/bin/systemd-nspawn",
        "/usr/lib/systemd/systemd",
        "/usr/sbin/sshd",
        "/usr/bin/ssh-keygen",
        "/usr/share/modules/init/bash",
        "/usr/bin/openssl",
        "/usr/bin/unshare",
        "/usr/bin/nsenter",
        "/usr/sbin/ip",
    ];
    let missing: Vec<_> = NEEDED
        .into_iter()
        .filter(|file| !Path::new(file).exists())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let what = format!("this machine lacks {}", missing.join(", "));
    Err(Error::refused(what, "scripts/setup.sh installs it"))
}
