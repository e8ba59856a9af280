//! This machine as a node.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use runbook_core::digest::Digest;
use runbook_core::journal::Permit;
use runbook_core::names::{AbsPath, NodeName};
use runbook_core::ports::{Output, PortResult, Shell};

pub(crate) fn node() -> NodeName {
    NodeName::new("node001").unwrap()
}

/// A snapshot of the fixtures, and what its trailer says.
pub(crate) fn fixture(name: &str) -> (PathBuf, Digest) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name);
    let bytes = std::fs::read(&path).unwrap();
    let content = &bytes[..bytes.len() - 32];
    let digest = Digest::of(content);
    assert_eq!(
        digest.hex(),
        Digest::from_bytes(bytes[bytes.len() - 32..].try_into().unwrap()).hex(),
        "{name} is whole"
    );
    (path, digest)
}

pub(crate) fn abs(path: &Path) -> AbsPath {
    AbsPath::new(path.to_str().unwrap()).unwrap()
}

/// This machine as a node: programs run as children, with a home of their own whose profile has
/// the `module` command, and with stand-ins for systemd's programs before the real ones.
#[derive(Debug)]
pub(crate) struct LocalShell {
    dir: tempfile::TempDir,
}

/// `module` as Environment Modules 5 behaves: listings on standard error, status 1 for what is not
/// there. `etcd/silent` loads nothing and says so to nobody, as Modules 3 does.
const PROFILE: &str = r#"
echo "a profile that talks"
PATH="$STAND_INS:$PATH"
module() {
  case "$1 ${2-}" in
    "load etcd/silent") ;;
    "load etcd/kube-default") export LOADEDMODULES=other/1:etcd/kube-default/3.4.4 ;;
    "load etcd/"*) export LOADEDMODULES=other/1:$2 ;;
    "load "*) echo "ERROR: Unable to locate a modulefile for '$2'" >&2; return 1 ;;
    "-t avail") cat "$HOME/avail" >&2 ;;
  esac
}
"#;

/// Answers from `$HOME/unit`, which holds the unit's state while systemd knows it.
const SYSTEMCTL: &str = r#"#!/bin/sh
echo "systemctl $*" >>"$HOME/calls"
case "$1" in
  show)
    case "$*" in *Result*) echo Result=exit-code ;; esac
    echo "ActiveState=$(cat "$HOME/unit" 2>/dev/null || echo inactive)"
    ;;
  reset-failed) rm "$HOME/unit" ;;
esac
"#;

/// Runs the unit to its end at once, with systemd's treatment of `$$` in a command line.
const SYSTEMD_RUN: &str = r#"#!/bin/bash
echo "systemd-run $1" >>"$HOME/calls"
if test -e "$HOME/unit"; then echo "Unit was already loaded" >&2; exit 1; fi
shift 2
words=()
for word in "$@"; do
  case "$word" in *[^\$]\$[^\$]*) echo "systemd would expand: $word" >&2; exit 1 ;; esac
  words+=("${word//\$\$/\$}")
done
echo active >"$HOME/unit"
if env -i HOME="$HOME" STAND_INS="$STAND_INS" "${words[@]}" </dev/null >"$HOME/journal" 2>&1
then rm "$HOME/unit"; else echo failed >"$HOME/unit"; fi
"#;

impl LocalShell {
    pub(crate) fn new() -> Self {
        let shell = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        std::fs::create_dir(shell.home().join("bin")).unwrap();
        std::fs::write(shell.home().join(".bash_profile"), PROFILE).unwrap();
        shell.program("systemctl", SYSTEMCTL);
        shell.program("systemd-run", SYSTEMD_RUN);
        shell.program("journalctl", "#!/bin/sh\ncat \"$HOME/journal\"\n");
        shell
    }

    pub(crate) fn home(&self) -> &Path {
        self.dir.path()
    }

    /// Puts a program before the real ones.
    pub(crate) fn program(&self, name: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.home().join("bin").join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// What was asked of systemd so far.
    pub(crate) fn calls(&self) -> String {
        std::fs::read_to_string(self.home().join("calls")).unwrap_or_default()
    }

    /// Runs words with this node's environment.
    pub(crate) fn run(&self, argv: &[String]) -> Output {
        let bin = self.home().join("bin");
        let path = format!("{}:/usr/local/bin:/usr/bin:/bin", bin.display());
        let output = std::process::Command::new(&argv[0])
            .args(&argv[1..])
            .env_clear()
            .env("HOME", self.home())
            .env("STAND_INS", &bin)
            .env("PATH", path)
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        Output {
            status: output.status.code().unwrap_or(-1),
            stdout: output.stdout,
            stderr: output.stderr,
        }
    }
}

#[async_trait]
impl Shell for LocalShell {
    async fn query(&self, _: &NodeName, argv: &[String]) -> PortResult<Output> {
        Ok(self.run(argv))
    }

    async fn effect(&self, _: &Permit, _: &NodeName, argv: &[String]) -> PortResult<Output> {
        Ok(self.run(argv))
    }
}
