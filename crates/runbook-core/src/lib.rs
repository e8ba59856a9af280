//! The disaster restore of an etcd cluster under Bright Cluster Manager (NVIDIA Base Command
//! Manager), as a typed, resumable state machine.
//!
//! ```text
//! preflight → stop → move spool → reprovision → restore → chown → reassign → datanode → verify
//! ```
//!
//! One sentence holds whatever crashes: *no member can start before every member holds data restored
//! from the proven snapshot, and nothing is destroyed before that snapshot is proven.*
//!
//! # The story, file by file
//!
//! * [`spec`] is what the operator wants, [`world`] what is there, [`observe`] looks.
//! * `phases`, one file each, turn both into [`plan`] units: data that says what is done, why, how it
//!   is checked, how it is undone. [`plan::Draft`] becomes [`plan::SealedPlan`], which has a digest.
//! * [`machine`] is one transition table and the barrier between phases. No I/O, no clock.
//! * [`journal`] puts every intent on disk before its effect; only then is there a
//!   [`journal::Permit`], and nothing changes the world without one.
//! * [`run`] is the one routine for every unit: look, intend, act, look again, record.
//! * [`probe`] decides what a fact means; [`ports`] are the traits that adapters implement.
//!
//! This crate never prints, never reads the environment or `$HOME`, and opens no connection.
//!
//! # Embedding
//!
//! ```no_run
//! use runbook_core::journal::{Actor, FileStore};
//! use runbook_core::names::RunId;
//! use runbook_core::observe::observe;
//! use runbook_core::plan::Draft;
//! use runbook_core::ports::Ports;
//! use runbook_core::run::{Run, RunEnd};
//! use runbook_core::spec::Spec;
//! use tokio_util::sync::CancellationToken;
//!
//! # async fn example(ports: Ports) -> Result<(), Box<dyn std::error::Error>> {
//! // `ports` comes from the adapters: bright-adapter, etcd-adapter, or your own.
//! let spec = Spec::from_yaml(&std::fs::read_to_string("spec.yaml")?)?;
//! let world = observe(&ports, &spec).await?;
//! let plan = Draft::restore(&spec, &world, RunId::fresh())?.seal(&ports)?;
//! for unit in &plan.units {
//!     for command in &unit.commands {
//!         println!("{}: {command}", unit.id);
//!     }
//! }
//! // Somebody reads this, and approves plan.digest(). Keep plan.bytes(): resuming needs the plan.
//! std::fs::write("plan.json", plan.bytes())?;
//!
//! let journal = FileStore::create("journal.jsonl".as_ref())?;
//! let by = Actor { tool: "mine 1.0".into(), host: "head".into(), user: "root".into(), pid: 1 };
//! let run = Run::begin(&plan, &ports, Box::new(journal), by)?;
//! let stop = CancellationToken::new();
//! match run.execute(&|event| println!("{event:?}"), &stop).await? {
//!     RunEnd::Completed => println!("every member is back"),
//!     // Mend what it names, then `Run::resume` with the same plan and journal: the same routine.
//!     RunEnd::Halted { reason, .. } => println!("halted: {reason}"),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Own steps
//!
//! A step of your own is a [`plan::Unit`] with a [`plan::OwnEffect`], put into the draft by
//! [`plan::Draft::insert_after`] and done by a [`ports::OwnHandler`] registered in [`ports::Ports`].
//! The handler must describe itself, so that a review stays readable, and it must be there before
//! the plan is sealed.
//!
//! # Features
//!
//! * `mocks`: a mockall mock of every port. * `testkit`: a stateful fake world with seeded latency.

pub mod digest;
pub mod error;
pub mod event;
pub mod identity;
pub mod journal;
pub mod machine;
pub mod names;
pub mod observe;
mod phases;
pub mod plan;
pub mod ports;
pub mod probe;
pub mod run;
pub mod rundir;
pub mod spec;
#[cfg(feature = "testkit")]
pub mod testkit;
pub mod version;
pub mod world;
