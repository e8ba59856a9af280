//! Who may read and write what this tool writes, and what it takes from whom.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use bright_adapter::bundle::Bundle;
use bright_adapter::{Ssh, SshConfig};
use runbook_core::names::NodeName;
use runbook_core::plan::SealedPlan;
use runbook_core::ports::NoLog;
use runbook_core::rundir::{RunDir, Standing, StateDir, read_private, write_atomically};
use runbook_core::testkit::{World, actor, run_id};

use crate::full_disk::BUNDLE;
use crate::judges::now;

/// Runs one of the ignored tests in a process of its own, with a directory of the caller's; `before` ends
/// with what executes it.
pub(crate) fn child(before: &str, test: &str, dir: &Path) {
    let script = format!("{before} \"$0\" --exact {test} --ignored --nocapture");
    let done = Command::new("/bin/sh")
        .args(["-c", &script])
        .arg(std::env::current_exe().unwrap())
        .env("HOSTILE_DIR", dir)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(
        done.status.success() && said.contains("1 passed"),
        "{said}\n{}",
        String::from_utf8_lossy(&done.stderr)
    );
}

pub(crate) fn given_directory() -> PathBuf {
    std::env::var_os("HOSTILE_DIR").unwrap().into()
}

pub(crate) fn begun(state: &StateDir) -> (SealedPlan, RunDir) {
    let plan = World::of(1).build().plan(run_id(1)).unwrap();
    let lock = state.lock(&plan.cluster, &actor()).unwrap();
    let (run, _) = state.create_run(&lock, &plan).unwrap();
    (plan, run)
}

fn wiped(dir: &Path) -> Result<(), runbook_core::error::AdapterError> {
    let mut config = SshConfig::default();
    config.run_known_hosts = Some(dir.join("known_hosts"));
    let ssh = Ssh::new(config, Arc::new(NoLog))?;
    now(ssh.expect_new_key(&NodeName::new("node001").unwrap()))
}

/// Of `commands.log`, backups and rehearsals there are tests beside them.
#[test]
#[ignore = "run by everything_is_private_whatever_the_umask"]
fn everything_that_is_written() {
    let dir = given_directory();
    let state = StateDir::open(&dir.join("deep/state")).unwrap();
    let (plan, run) = begun(&state);
    wiped(run.path()).unwrap();
    write_atomically(&dir.join("plan.json"), plan.bytes(), false).unwrap();
    let bundle = Bundle::read(Path::new(BUNDLE)).unwrap();
    bundle.write(&dir.join("bundle.tgz")).unwrap();
    let journal = run.path().join("journal.jsonl");
    fs::remove_file(&journal).unwrap();
    let lock = state.lock(&plan.cluster, &actor()).unwrap();
    run.give_up(&lock, jiff::Timestamp::now(), actor(), "lost")
        .unwrap();
}

fn walk(dir: &Path, each: &mut dyn FnMut(&Path, &fs::Metadata)) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let about = fs::symlink_metadata(&path).unwrap();
        each(&path, &about);
        if about.is_dir() {
            walk(&path, each);
        }
    }
}

#[test]
fn everything_is_private_whatever_the_umask() {
    for umask in ["0", "022", "077"] {
        let dir = tempfile::tempdir().unwrap();
        let before = format!("umask {umask}; exec");
        child(&before, "private::everything_that_is_written", dir.path());
        let mut seen = 0;
        walk(dir.path(), &mut |path, about| {
            let right = if about.is_dir() { 0o700 } else { 0o600 };
            assert_eq!(about.mode() & 0o7777, right, "{}", path.display());
            seen += 1;
        });
        assert!(seen > 9, "{seen}");
    }
}

/// Somebody who can write to a directory above can put another state directory in its place.
#[test]
fn a_state_directory_below_one_of_others_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let open = dir.path().join("open");
    fs::create_dir(&open).unwrap();
    let state = open.join("state");
    StateDir::open(&state).unwrap();
    let mode = |mode| fs::set_permissions(&open, fs::Permissions::from_mode(mode)).unwrap();
    for bad in [0o777, 0o775, 0o722] {
        mode(bad);
        for error in [
            StateDir::open(&state).unwrap_err(),
            StateDir::existing(&state).unwrap_err(),
        ] {
            assert_eq!(error.code(), "state-unsafe");
            assert!(error.to_string().contains("/open "), "{error}");
            assert!(
                error.hint().unwrap().contains("chmod go-w"),
                "{:?}",
                error.hint()
            );
        }
    }
    // As in /tmp, where nobody can rename what is not theirs.
    mode(0o1777);
    StateDir::open(&state).unwrap();
}

/// A link in the middle of the way is followed, as that of `/var/run` is, and leads to the same place in the next
/// life: nobody else can have another one put there.
#[test]
fn a_link_on_the_way_is_followed_where_nobody_else_could_turn_it() {
    let dir = tempfile::tempdir().unwrap();
    let (real, holds) = (dir.path().join("real"), dir.path().join("holds"));
    fs::create_dir(&real).unwrap();
    fs::create_dir_all(holds.join("deep")).unwrap();
    for target in ["../real", "deep/../../real", real.to_str().unwrap()] {
        let alias = holds.join("alias");
        symlink(target, &alias).unwrap();
        let state = alias.join("deep/state");
        let opened = || [StateDir::open(&state).map(Some), StateDir::existing(&state)];
        let mode = |mode| fs::set_permissions(&holds, fs::Permissions::from_mode(mode)).unwrap();
        assert!(opened().into_iter().all(|state| state.unwrap().is_some()));
        assert!(real.join("deep/state").is_dir());
        // Whoever can write there can turn it to another state directory, in which no run is open.
        mode(0o777);
        for error in opened().map(Result::unwrap_err) {
            assert_eq!(error.code(), "state-unsafe");
            assert!(error.to_string().contains("/holds "), "{error}");
        }
        mode(0o1777);
        assert!(opened().into_iter().all(|state| state.unwrap().is_some()));
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::lchown(&alias, Some(65_534), None).unwrap();
            for error in opened().map(Result::unwrap_err) {
                assert_eq!(error.code(), "state-unsafe");
                let said = error.to_string();
                assert!(
                    said.ends_with("a symbolic link of somebody else's"),
                    "{said}"
                );
            }
        }
        mode(0o755);
        fs::remove_file(&alias).unwrap();
    }
    // And a link that a link leads through.
    let open = dir.path().join("open");
    fs::create_dir(&open).unwrap();
    symlink(&real, open.join("alias")).unwrap();
    symlink(open.join("alias"), holds.join("alias")).unwrap();
    let state = holds.join("alias/deep/state");
    StateDir::open(&state).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
    let error = StateDir::open(&state).unwrap_err();
    assert!(error.to_string().contains("/open "), "{error}");
}

#[test]
fn what_belongs_to_somebody_else_is_refused() {
    let nobody = 65_534;
    if !rustix::process::geteuid().is_root() {
        // Nobody else can give files away; `make test` runs this as root.
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("spec.yaml");
    fs::write(&file, "x").unwrap();
    let state = dir.path().join("state");
    StateDir::open(&state).unwrap();
    for path in [&file, &state] {
        std::os::unix::fs::chown(path, Some(nobody), None).unwrap();
    }
    let errors = [
        read_private(&file, 9).unwrap_err(),
        StateDir::open(&state).unwrap_err(),
        StateDir::existing(&state).unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.code(), "state-unsafe");
        assert!(
            error.to_string().contains("belongs to user 65534"),
            "{error}"
        );
        assert!(
            error.hint().unwrap().contains("chown root"),
            "{:?}",
            error.hint()
        );
    }
}

#[test]
fn no_link_in_the_state_directory_is_followed() {
    let dir = tempfile::tempdir().unwrap();
    let precious = dir.path().join("precious");
    fs::write(&precious, "precious").unwrap();
    let root = dir.path().join("state");
    let state = StateDir::open(&root).unwrap();
    let (plan, run) = begun(&state);
    let replaced = |path: &Path| {
        let kept = path.with_extension("kept");
        fs::rename(path, &kept).unwrap();
        symlink(&precious, path).unwrap();
        kept
    };
    let back = |kept: &Path, path: &Path| fs::rename(kept, path).unwrap();

    let lock = root.join("default/lock");
    let kept = replaced(&lock);
    assert_eq!(
        state.lock(&plan.cluster, &actor()).unwrap_err().code(),
        "state-io"
    );
    assert_eq!(state.holder(&plan.cluster).unwrap_err().code(), "state-io");
    back(&kept, &lock);

    let journal = run.path().join("journal.jsonl");
    let kept = replaced(&journal);
    // A link's own mode is open to all.
    assert_eq!(run.store().unwrap_err().code(), "state-unsafe");
    assert!(matches!(run.standing(), Standing::Unreadable(_)));
    back(&kept, &journal);

    // Also where it leads to the plan itself.
    let file = run.path().join("plan.json");
    let kept = file.with_extension("kept");
    fs::rename(&file, &kept).unwrap();
    symlink(&kept, &file).unwrap();
    assert_eq!(run.plan().unwrap_err().code(), "state-io");
    back(&kept, &file);
    run.plan().unwrap();

    symlink(&precious, run.path().join("given-up.json")).unwrap();
    assert!(matches!(run.standing(), Standing::Unreadable(_)));
    fs::remove_file(run.path().join("given-up.json")).unwrap();

    let alias = dir.path().join("alias");
    symlink(&root, &alias).unwrap();
    // With a slash at its end the system itself would follow it.
    for alias in [alias.clone(), alias.join("")] {
        assert_eq!(StateDir::open(&alias).unwrap_err().code(), "state-unsafe");
        assert_eq!(
            StateDir::existing(&alias).unwrap_err().code(),
            "state-unsafe"
        );
    }
    // A link at the name is replaced, never written through.
    let out = dir.path().join("out.json");
    symlink(&precious, &out).unwrap();
    assert!(write_atomically(&out, b"x", false).is_err());
    write_atomically(&out, b"x", true).unwrap();
    symlink(&precious, run.path().join("known_hosts.node001")).unwrap();
    wiped(run.path()).unwrap();
    assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
}

/// Opening one for reading waits for a writer, for ever.
#[test]
fn no_fifo_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let fifo = |path: &Path| {
        let kind = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(
            rustix::fs::CWD,
            path,
            kind,
            rustix::fs::Mode::from(0o600),
            0,
        )
        .unwrap();
    };
    let plan = dir.path().join("plan.json");
    fifo(&plan);
    assert_eq!(read_private(&plan, 9).unwrap_err().code(), "state-unsafe");
    assert_eq!(Bundle::read(&plan).unwrap_err().code(), "bundle-not-one");
    let state = StateDir::open(&dir.path().join("state")).unwrap();
    let (plan, run) = begun(&state);
    fs::remove_file(run.path().join("plan.json")).unwrap();
    fifo(&run.path().join("plan.json"));
    assert_eq!(run.plan().unwrap_err().code(), "state-unsafe");
    let lock = state.path().join("default/lock");
    fs::remove_file(&lock).unwrap();
    fifo(&lock);
    assert_eq!(
        state.holder(&plan.cluster).unwrap_err().code(),
        "state-unsafe"
    );
    assert_eq!(
        state.lock(&plan.cluster, &actor()).unwrap_err().code(),
        "state-unsafe"
    );
    // A pipe in the place of a note is replaced, and no ssh is sent to read it.
    fifo(&run.path().join("known_hosts.node001"));
    wiped(run.path()).unwrap();
    let note = run.path().join("known_hosts.node001");
    assert!(fs::symlink_metadata(note).unwrap().is_file());
}
