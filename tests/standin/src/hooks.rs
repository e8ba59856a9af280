//! Runs the hook command that makes effects real.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// What came of a hook call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// The exit status; none when the hook was killed or could not be started.
    pub(crate) exit: Option<i32>,
    pub(crate) output: String,
}

impl Outcome {
    pub(crate) fn ok(&self) -> bool {
        self.exit == Some(0)
    }
}

/// Runs one hook to its end or the limit. Without a hook command everything succeeds.
pub(crate) fn run(
    command: &[String],
    args: &[&str],
    env: &[(String, String)],
    limit: Duration,
) -> Outcome {
    let Some((program, prefix)) = command.split_first() else {
        return Outcome {
            exit: Some(0),
            output: "(no hook)".to_owned(),
        };
    };
    let child = Command::new(program)
        .args(prefix)
        .args(args)
        .envs(env.iter().cloned())
        // A group of its own, so that a hook over its limit goes with all it started.
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    match child {
        Ok(child) => finish(child, limit),
        Err(e) => Outcome {
            exit: None,
            output: format!("{program}: {e}"),
        },
    }
}

fn finish(mut child: Child, limit: Duration) -> Outcome {
    let readers = [
        child.stdout.take().map(collect),
        child.stderr.take().map(collect),
    ];
    let status = wait(&mut child, limit);
    // A grandchild may hold the pipes open; the texts are only for the log, so do not wait long.
    let deadline = Instant::now() + Duration::from_millis(500);
    let mut output = String::new();
    for reader in readers.into_iter().flatten() {
        while !reader.is_finished() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
        if reader.is_finished() {
            output.push_str(&reader.join().unwrap_or_default());
        }
    }
    match status {
        Some(status) => Outcome {
            exit: status.code(),
            output,
        },
        None => Outcome {
            exit: None,
            output: format!("{output}(killed: over its time limit)"),
        },
    }
}

fn collect<R: Read + Send + 'static>(mut pipe: R) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn wait(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let deadline = Instant::now() + limit;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if Instant::now() < deadline => thread::sleep(Duration::from_millis(5)),
            _ => {
                let group = rustix::process::Pid::from_child(child);
                let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
                let _ = child.wait();
                return None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, limit: Duration) -> Outcome {
        let argv = ["sh", "-c", script, "hook"].map(str::to_owned);
        run(&argv, &["power-on", "node001"], &[], limit)
    }

    #[test]
    fn reports_status_and_output() {
        let outcome = sh("echo $1 $2; exit 3", Duration::from_secs(60));
        assert_eq!(
            outcome,
            Outcome {
                exit: Some(3),
                output: "power-on node001\n".to_owned()
            }
        );
    }

    #[test]
    fn kills_a_hook_over_its_limit() {
        assert_eq!(sh("sleep 600; true", Duration::from_millis(50)).exit, None);
    }

    #[test]
    fn a_missing_hook_command_is_a_failure() {
        let argv = ["/nonexistent/hook".to_owned()];
        assert!(!run(&argv, &["x"], &[], Duration::from_secs(1)).ok());
    }
}
