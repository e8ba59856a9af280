//! The command line of `restore-runbook`.
//!
//! The library crates know nothing of terminals, environments and signals; this crate knows nothing
//! else. One value, [`Exit`], says how a command ended; one type, `Ui`, writes to the terminal;
//! one module, [`wiring`], turns options into [`runbook_core::ports::Ports`].

mod actor;
mod args;
mod codes;
mod command_log;
mod commands;
mod exit;
mod failure;
mod progress;
mod render;
mod signals;
#[cfg(test)]
mod testing;
mod ui;
mod verdict;
pub mod wiring;

use std::ffi::OsString;
use std::io::Write as _;

use runbook_core::text::{steers, visible};

pub use crate::args::Global;
use crate::args::{Cli, Color};
pub use crate::exit::Exit;
pub use crate::failure::Failure;
use crate::ui::{Bars, Ui};
use crate::wiring::Wiring;

/// Runs one command line; the first argument is the program's name.
pub fn main(args: impl IntoIterator<Item = OsString>, wiring: &dyn Wiring) -> Exit {
    let cli = match Cli::read(args) {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let ui = Ui::new(cli.global.color);
    let done = match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
    {
        Ok(runtime) => {
            let done = runtime.block_on(commands::dispatch(&cli, &ui, wiring));
            // An interrupted proof may be reading still: it is neither waited for nor shown. What must be
            // finished, as a record of a journal, is written where it is awaited.
            ui.bars.iter().for_each(Bars::end);
            runtime.shutdown_background();
            done
        }
        Err(error) => Err(Failure::internal("the runtime cannot be started").caused_by(&error)),
    };
    match done {
        Ok(exit) => exit,
        Err(failure) => {
            ui.failure(&failure);
            failure.exit
        }
    }
}

/// `--help` and `--version` are answers, everything else clap says is a usage error.
fn usage(error: &clap::Error) -> Exit {
    if !error.use_stderr() {
        return answered(error);
    }
    let plain = error.render().to_string();
    // Nobody is there to be told when this cannot be printed.
    if plain.chars().any(|c| c != '\n' && steers(c)) {
        // What was typed, or pasted from somewhere, is shown, not obeyed.
        let safe = visible(&plain);
        std::io::stderr().lock().write_all(safe.as_bytes()).ok();
    } else {
        error.print().ok();
    }
    Exit::Usage
}

fn answered(answer: &clap::Error) -> Exit {
    let printed = answer.print().and_then(|()| std::io::stdout().flush());
    match ui::written(printed) {
        Ok(()) => Exit::Done,
        Err(failure) => {
            Ui::new(Color::Auto).failure(&failure);
            failure.exit
        }
    }
}
