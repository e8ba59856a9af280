//! A stand-in for Bright Cluster Manager's `cmsh` and `CMDaemon`, for tests only.
//!
//! It speaks the documented grammar and turns commits and power commands into real, delayed
//! effects through hook commands. What the vendor does not document is varied by a seed, so that
//! no test can come to rely on it. See the crate's README for the configuration and the hooks.

mod client;
mod config;
mod dialect;
mod disturb;
mod engine;
mod hooks;
mod journal;
pub mod lexer;
pub mod memory;
mod model;
mod nodelist;
mod options;
mod protocol;
mod render;
mod scenario;
mod schema;
mod server;
mod session;
mod shell;
mod spoil;
mod state;

pub use client::cmsh_main;
pub use server::daemon_main;
