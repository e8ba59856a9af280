//! The adapter against real processes: `sh` on this machine, and stand-ins for `cmsh` and `ssh`.

#[cfg(test)]
mod bundle;
#[cfg(test)]
mod cmsh;
#[cfg(test)]
mod doctor;
#[cfg(test)]
mod durable;
#[cfg(test)]
mod holders;
#[cfg(test)]
mod local_shell;
#[cfg(test)]
mod node;
#[cfg(test)]
mod power_cut;
#[cfg(test)]
mod ssh;
#[cfg(test)]
mod support;
#[cfg(test)]
mod survives;
