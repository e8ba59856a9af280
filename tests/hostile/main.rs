//! What an enemy writes: names and values through every field, argument and answer; files that others can
//! write; links; full disks; and secrets that must not get out.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod answers;
mod arguments;
mod documents;
mod etcd;
mod full_disk;
#[path = "../fuzz/judges/mod.rs"]
mod judges;
mod limits;
#[path = "../../crates/bright-adapter/tests/it/local_shell.rs"]
mod local_shell;
mod names;
mod private;
mod records;
mod scripts;
mod secrets;

const PROGRAM: &str = env!("CARGO_BIN_EXE_restore-runbook");
