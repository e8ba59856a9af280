//! The command `lab`; see the crate's README.

use std::process::ExitCode;

fn main() -> ExitCode {
    lab::cli::main()
}
