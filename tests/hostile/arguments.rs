//! Through every argument of the command line that takes a name or a path.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;

use crate::{PROGRAM, names};

/// Command lines, `@` being where a name goes; a first word that is an option is named in a refusal.
const LINES: [&str; 32] = [
    "discover --cluster @",
    "discover --overlay @",
    "discover --snapshot @",
    "verify @",
    "verify --quota @ x",
    "plan --spec @",
    "plan --spec x --rehearse --module @",
    "plan --spec x --out @",
    "rehearse @",
    "rehearse x --scratch @",
    "rehearse x --etcd-bin @",
    "rehearse x --module @",
    "rehearse x --revision-bump @",
    "run --plan @",
    "run --plan x --approve @",
    "run --spec @",
    "resume @",
    "status @",
    "status --state-dir @",
    "status --format @",
    "undo @",
    "undo --approve @",
    "abandon @ --reason x",
    "explain @",
    "backup --cluster @",
    "backup --overlay @",
    "backup --endpoints @",
    "backup --to @ --print-timer",
    "backup --cmsh @",
    "backup --endpoints https://127.0.0.1:1 --etcd-ca @",
    "backup --endpoints https://127.0.0.1:1 --etcd-user @ --etcd-password-file x",
    "@",
];

fn ran(dir: &Path, line: &str, name: &str) -> Output {
    let words = line
        .split(' ')
        .map(|word| if word == "@" { name } else { word });
    let mut command = Command::new(PROGRAM);
    command
        .args(words)
        .current_dir(dir)
        .env_clear()
        .env("HOME", dir)
        .env("PATH", "/usr/bin:/bin");
    // No cmsh of this machine is asked, whatever passes.
    if !line.contains("--cmsh") {
        command.env("RESTORE_RUNBOOK_CMSH", dir.join("no-cmsh"));
    }
    if !line.contains("--state-dir") {
        command.env("RESTORE_RUNBOOK_STATE_DIR", dir.join("state"));
    }
    command.stdin(Stdio::null()).output().unwrap()
}

fn check(dir: &Path, line: &str, name: &str) {
    let done = ran(dir, line, name);
    let said = String::from_utf8(done.stderr).unwrap();
    let shown = String::from_utf8(done.stdout).unwrap();
    let at = format!("{line}, {name:?}: {:?}\n{said}", done.status);
    assert!(done.status.code().is_some_and(|code| code != 101), "{at}");
    assert!(
        names::harmless(&said) && names::harmless(&shown),
        "{at:?}\n{shown:?}"
    );
    assert!(
        done.status.success() || !(said.is_empty() && shown.is_empty()),
        "{at}"
    );
    assert!(said.len() < 24 << 10, "{} bytes: {line}", said.len());
    let mut left: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    left.retain(|name| name != "state");
    assert!(left.is_empty(), "{at}: {left:?}");
}

#[test]
fn no_argument_is_more_than_a_word() {
    let threads = 4;
    thread::scope(|scope| {
        for thread in 0..threads {
            scope.spawn(move || {
                let temp = tempfile::tempdir().unwrap();
                // `..` is a place of this test's own.
                let dir = temp.path().join("here");
                fs::create_dir(&dir).unwrap();
                for (n, line) in LINES.iter().enumerate().skip(thread).step_by(threads) {
                    let all = names::all();
                    let mine = all.iter().enumerate().filter(|(at, _)| at % 4 == n % 4);
                    for (_, name) in mine.filter(|(_, name)| !name.contains('\0')) {
                        check(&dir, line, name);
                    }
                }
            });
        }
    });
}

/// A refusal says which argument it is about, and shows what was given without obeying it.
#[test]
fn a_refusal_names_the_argument() {
    let temp = tempfile::tempdir().unwrap();
    for (line, option) in [
        ("discover --cluster @", "--cluster"),
        ("discover --overlay @", "--overlay"),
        ("discover --snapshot @", "--snapshot"),
        ("rehearse x --module @", "--module"),
        ("run --plan x --approve @", "--approve"),
        ("backup --endpoints @", "--endpoints"),
    ] {
        for name in ["a;b", "$(id)", "\u{1b}[2Jx", "a\u{202e}b", "a\nb"] {
            let done = ran(temp.path(), line, name);
            let said = String::from_utf8(done.stderr).unwrap();
            assert_eq!(done.status.code(), Some(2), "{line} {name:?}: {said}");
            assert!(said.contains(option) && names::harmless(&said), "{said:?}");
        }
    }
}
