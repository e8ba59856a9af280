//! The program; everything it does is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    restore_runbook::main(std::env::args_os(), &restore_runbook::wiring::Real).into()
}
