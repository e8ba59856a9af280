//! Bright Cluster Manager (NVIDIA Base Command Manager), and its nodes: two of `runbook-core`'s ports.
//!
//! * [`Cmsh`] is the cluster manager, through `cmsh` in batch mode.
//! * [`SshNode`] is the nodes, through any [`Shell`](runbook_core::ports::Shell).
//! * [`Ssh`] is such a shell: plain `ssh`, one shared connection per node.
//!
//! Beside them the [`doctor`] asks the same questions before any disaster, and changes nothing. A [`bundle`]
//! holds what it was answered, and can stand in the place of the head node ([`programs`]) and the nodes.
//!
//! What a plan shows is what runs: `perform` runs the argument vectors of `render`. There are two
//! exceptions, both smaller than the plan: a change to an overlay leaves out the nodes for which it is
//! true already, and is not run at all when nothing is left.
//!
//! # What is believed of cmsh
//! Neither its exit codes, nor its wording, nor which stream an error goes to is documented. So every
//! write is read back, and a read counts only when all of it parses as what was asked for. What is
//! still relied on stands, word by word, in the ledger, `docs/bright-beliefs.md`: where it comes from, how
//! sure it is, what happens if it is wrong, which test holds it. The code has every word of cmsh's in
//! one table, the lexicon, and a test compares the two.
//!
//! # What is needed on a node
//! A POSIX `sh`, GNU coreutils (`mv -T -n`, `ln -T`, `stat -c`, `df --output`), `findutils`, `grep`,
//! `systemctl` and `/proc`. Root's start-up files must print nothing for `ssh node true`.
//!
//! # Errors
//! Every error has one of the stable codes in [`codes`], a certainty, and where there is something to
//! do, a hint.
//!
//! # Example
//! ```no_run
//! use std::sync::Arc;
//! use bright_adapter::{Cmsh, CmshConfig, Ssh, SshConfig, SshNode};
//! use runbook_core::ports::{ClusterManager, Node, NoLog};
//!
//! # async fn example() -> Result<(), runbook_core::error::AdapterError> {
//! let manager = Cmsh::new(CmshConfig::default(), Arc::new(NoLog));
//! let mut config = SshConfig::default();
//! config.control_path_dir = Some("/run/restore-runbook".into());
//! let shell = Arc::new(Ssh::new(config, Arc::new(NoLog))?);
//! let nodes = SshNode::new(Arc::clone(&shell));
//!
//! let role = manager.etcd_role(None, &[]).await?;
//! for holder in &role.holders {
//!     let state = nodes.spool(&holder.node, &role.spool).await?;
//!     assert_eq!(state.to_string(), "etcd data");
//! }
//! shell.close().await;
//! # Ok(())
//! # }
//! ```

pub mod bundle;
mod cmsh;
pub mod codes;
pub mod doctor;
mod node;
mod process;
pub mod programs;
mod ssh;
mod text;

pub use cmsh::{Cmsh, CmshConfig};
pub use node::SshNode;
pub use ssh::{AcceptedKeys, HostKeys, Ssh, SshConfig};
