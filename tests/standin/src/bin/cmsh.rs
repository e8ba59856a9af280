//! The stand-in for `/cm/local/apps/cmd/bin/cmsh`.

use std::process::ExitCode;

fn main() -> ExitCode {
    standin::cmsh_main(std::env::args().skip(1).collect())
}
