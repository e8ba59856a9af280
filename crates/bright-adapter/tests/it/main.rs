//! The adapter against real processes: `sh` on this machine, and stand-ins for `cmsh` and `ssh`.

mod cmsh;
mod node;
mod ssh;
mod support;
