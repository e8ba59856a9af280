//! The stand-in for `CMDaemon`: `cmdaemon-standin --config FILE --state DIR`.

use std::process::ExitCode;

fn main() -> ExitCode {
    standin::daemon_main(std::env::args().skip(1).collect())
}
