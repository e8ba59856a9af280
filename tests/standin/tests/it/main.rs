//! The built daemon and client, with nodes made of files; and `cmsh` in memory.

#[cfg(test)]
mod effects;
#[cfg(test)]
mod grammar;
#[cfg(test)]
mod heads;
#[cfg(test)]
mod installs;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod scenario;
#[cfg(test)]
mod support;
