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
//! * [`spec`] is what the operator wants, [`world`] what is there; [`observe`] looks, and tells what has
//!   drifted since.
//! * [`platform`] says which Bright it is: no step hangs on it.
//! * `phases`, one file each, turn both into [`plan`] units: data that says what is done, why, how it
//!   is checked, how it is undone. [`plan::Draft`] becomes [`plan::SealedPlan`], which has a [`digest`].
//! * [`machine`] is one transition table and the barrier between phases. No I/O, no clock.
//! * [`exposure`] tells from plan and machine where a reboot would wipe restored data; [`danger`] whatever else is
//!   dangerous as long as a run stands where it does.
//! * [`journal`] puts every intent on disk before its effect; only then is there a
//!   [`journal::Permit`], and nothing changes the world without one.
//! * [`run`] is the one routine for every unit: look, intend, act, look again, record. It tells whoever
//!   watches by [`event`].
//! * [`probe`] decides what a fact means; [`ports`] are the traits that adapters implement, [`error`] is
//!   what they report.
//! * [`rundir`] keeps plan, journal and log of every run, and the lock of a cluster.
//! * [`names`], [`identity`], [`version`] and [`text`] are the small types: names that cannot harm a script,
//!   the ids etcd will compute, releases and what they can do, foreign text made harmless.
//!
//! This crate never prints, never reads the environment or `$HOME`, and opens no connection.
//!
//! # Embedding
//!
//! Everything outside is behind [`ports::Ports`]: the cluster manager, the nodes, etcd's tools, etcd's
//! client API and the clock, each an `Arc` of a trait. The crates `bright-adapter` and `etcd-adapter`
//! implement them for real (the last section shows how they are joined), the feature `testkit` has a
//! fake world, the feature `mocks` a mock of each; any of them can be your own.
//!
//! What follows is the whole way. It runs as a test of this page, in the fake world.
//!
//! ```
//! use std::error::Error;
//! use std::path::Path;
//!
//! use runbook_core::digest::Digest;
//! use runbook_core::event::Event;
//! use runbook_core::journal::Actor;
//! use runbook_core::names::RunId;
//! use runbook_core::observe::{drift, observe};
//! use runbook_core::plan::{Draft, SealedPlan};
//! use runbook_core::ports::Ports;
//! use runbook_core::run::{Run, RunEnd};
//! use runbook_core::rundir::StateDir;
//! use runbook_core::spec::Spec;
//! use tokio_util::sync::CancellationToken;
//!
//! /// Nothing is changed. What is returned is the file to review: its SHA-256 is what is approved.
//! async fn plan(ports: &Ports, spec: &Spec) -> Result<Vec<u8>, Box<dyn Error>> {
//!     let world = observe(ports, spec).await?;
//!     let plan = Draft::restore(spec, &world, RunId::fresh())?.seal(ports)?;
//!     for unit in &plan.units {
//!         println!("{} {}: {}", unit.id, unit.title, unit.why);
//!         unit.commands.iter().for_each(|command| println!("    {command}"));
//!     }
//!     println!("cannot be taken back from {:?} on", plan.point_of_no_return);
//!     Ok(plan.bytes().to_vec())
//! }
//!
//! /// Begins what was approved, if it is that plan and the world is still the one it was made for.
//! async fn begin(
//!     ports: &Ports, file: &[u8], approved: Digest, state: &Path, stop: &CancellationToken,
//! ) -> Result<RunEnd, Box<dyn Error>> {
//!     let plan = SealedPlan::read(file)?;
//!     if plan.digest() != approved {
//!         return Err("another plan was approved".into());
//!     }
//!     let state = StateDir::open(state)?;
//!     // One process at a time; the lock ends with this value.
//!     let lock = state.lock(&plan.cluster, &me())?;
//!     if !state.open_runs()?.is_empty() {
//!         return Err("another run is open: resume it, or undo it".into());
//!     }
//!     if let Some(drift) = drift(&plan.world, &observe(ports, &plan.spec).await?).first() {
//!         return Err(format!("plan again: {drift}").into());
//!     }
//!     let (_dir, journal) = state.create_run(&lock, &plan)?;
//!     let run = Run::begin(&plan, ports, Box::new(journal), me())?;
//!     Ok(run.execute(&|event: Event| println!("{event:?}"), stop).await?)
//! }
//!
//! /// Goes on after a halt, a crash or a power cut: the same routine, the same plan, the same journal.
//! async fn resume(
//!     ports: &Ports, state: &Path, stop: &CancellationToken,
//! ) -> Result<RunEnd, Box<dyn Error>> {
//!     let state = StateDir::open(state)?;
//!     let dir = state.open_runs()?.pop().ok_or("no run is open")?;
//!     let _lock = state.lock(&dir.cluster, &me())?;
//!     let plan = dir.plan()?;
//!     let run = Run::resume(&plan, ports, Box::new(dir.store()?), me())?;
//!     Ok(run.execute(&|event: Event| println!("{event:?}"), stop).await?)
//! }
//!
//! /// Who stands in the journal.
//! fn me() -> Actor {
//!     let pid = std::process::id();
//!     Actor { tool: "mine 1.0".into(), host: "head".into(), user: "root".into(), pid }
//! }
//! # #[cfg(not(feature = "testkit"))]
//! # fn main() {}
//! # #[cfg(feature = "testkit")]
//! # fn main() -> Result<(), Box<dyn Error>> {
//! #     let world = runbook_core::testkit::World::of(3).reprovision_all().build();
//! #     let (ports, state) = (world.ports(), tempfile::tempdir()?);
//! #     let file = world.drive(plan(&ports, &world.spec()))?;
//! #     assert!(world.log().is_empty());
//! #     let go = CancellationToken::new();
//! #     let other = world.drive(begin(&ports, &file, Digest::of(b"another"), state.path(), &go));
//! #     assert_eq!(other.unwrap_err().to_string(), "another plan was approved");
//! #     let halted = CancellationToken::new();
//! #     halted.cancel();
//! #     let end = world.drive(begin(&ports, &file, Digest::of(&file), state.path(), &halted))?;
//! #     assert!(matches!(end, RunEnd::Halted { .. }));
//! #     let again = world.drive(begin(&ports, &file, Digest::of(&file), state.path(), &go));
//! #     assert_eq!(again.unwrap_err().to_string(), "another run is open: resume it, or undo it");
//! #     assert_eq!(world.drive(resume(&ports, state.path(), &go))?, RunEnd::Completed);
//! #     world.restored()?;
//! #     Ok(())
//! # }
//! ```
//!
//! [`run::RunEnd::Halted`] names each failure with a stable code and the way on; mend it, then resume.
//! Cancelling `stop` halts as soon as what is in flight is finished; dropping the future leaves it in
//! flight. [`plan::Draft::undo`] makes the plan that takes a run back, up to its point of no return: it
//! is sealed, approved and run as any other, and [`rundir::RunDir::close`] then ends the run as undone.
//!
//! # Own steps
//!
//! A step of your own is a [`plan::Unit`] with a [`plan::OwnEffect`], put into the draft by
//! [`plan::Draft::insert_after`] and done by a [`ports::OwnHandler`] registered in [`ports::Ports`].
//! The handler must describe itself, so that a review stays readable, and it must be there before
//! the plan is sealed, and again whenever the plan is run. `examples/own_step.rs` has one.
//!
//! # Features
//!
//! * `mocks`: a mockall mock of every port, as `ports::MockNode`.
//! * `testkit`: a stateful fake world with seeded latency, and a [`journal::Permit`] for tests of
//!   adapters and handlers.
//!
//! # With the real adapters
//!
//! A whole program, `examples/embed.rs` of this repository:
//!
//! ```rust,ignore
#![doc = include_str!("../../../examples/embed.rs")]
//! ```

pub mod danger;
pub mod digest;
pub mod error;
pub mod event;
pub mod exposure;
pub mod identity;
pub mod journal;
pub mod machine;
pub mod names;
pub mod observe;
mod phases;
pub mod plan;
pub mod platform;
pub mod ports;
pub mod probe;
pub mod run;
pub mod rundir;
pub mod spec;
#[cfg(feature = "testkit")]
pub mod testkit;
pub mod text;
pub mod version;
pub mod world;
