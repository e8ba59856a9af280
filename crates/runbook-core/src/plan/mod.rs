//! The plan: the sorted list of units, sealed.
//!
//! `Draft` → `SealedPlan` → `Run`: a draft can still be changed and cannot be run, a sealed plan can
//! be run and cannot be changed. The digest a reviewer approves is the SHA-256 of the plan file's own
//! bytes, so `sha256sum plan.json` prints it too.

mod action;
mod check;
mod phase;
mod seal;
mod unit;
mod words;

pub use action::{
    Action, ClientEffect, ManagerEffect, NodeEffect, OwnEffect, RestoreEffect, ToolEffect,
};
pub use check::{Check, PredictedHash};
pub use phase::Phase;
pub use seal::Broken;
pub use unit::{Command, Place, Script, Undo, Unit};
pub(crate) use words::{list, yes_no};

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::error::AdapterError;
use crate::identity::{ClusterId, MemberId};
use crate::names::{ClusterLabel, EtcdUrl, MemberName, NodeName, RunId, UnitId};
use crate::spec::Spec;
use crate::text::{shortened, visible_json};
use crate::version::EtcdVersion;
use crate::world::World;

/// The plan format this build writes and reads.
pub const PLAN_FORMAT: u32 = 1;

/// The largest plan read, in bytes.
pub const PLAN_LIMIT_BYTES: usize = 16 * 1024 * 1024;

/// A plan's content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Always 1 so far.
    pub format: u32,
    /// What it is for.
    pub kind: PlanKind,
    /// The run it is for; a plan is run once.
    pub run: RunId,
    /// The label of the cluster.
    pub cluster: ClusterLabel,
    /// The ids the restored cluster will have.
    pub identity: Identity,
    /// The etcd release on the nodes.
    pub etcd_version: EtcdVersion,
    /// How far the revision is moved past the snapshot's, if at all.
    pub revision_bump: Option<u64>,
    /// What a reviewer has to know, in words.
    pub risks: Vec<String>,
    /// The first unit that cannot be taken back.
    pub point_of_no_return: Option<UnitId>,
    /// The steps, in order.
    pub units: Vec<Unit>,
    /// What the operator asked for.
    pub spec: Spec,
    /// What was there when the plan was made.
    pub world: World,
}

/// What a plan is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlanKind {
    /// Restoring the cluster.
    Restore,
    /// Putting back what another run has done.
    Undo {
        /// The run.
        of: RunId,
        /// Its plan.
        plan: Digest,
    },
}

/// The ids a restored cluster will have, predicted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// The cluster token, fresh for the run: a member that was never stopped stays outside.
    pub token: String,
    /// The cluster's id.
    pub cluster: ClusterId,
    /// The members.
    pub members: Vec<PlannedMember>,
}

/// A member of the restored cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedMember {
    /// Its node.
    pub node: NodeName,
    /// Its name.
    pub name: MemberName,
    /// Its id.
    pub id: MemberId,
    /// Its peer URL.
    pub peer_url: EtcdUrl,
    /// Its client URL.
    pub client_url: EtcdUrl,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The world or the spec does not allow it.
    #[error("{what}")]
    Refused {
        /// The stable error code.
        code: &'static str,
        /// What is in the way.
        what: String,
        /// What to do about it.
        hint: String,
    },
    /// The units contradict each other; a fault of whoever wrote them.
    #[error(transparent)]
    Broken(#[from] Broken),
    /// An adapter cannot put an action into commands.
    #[error("unit {unit} cannot be put into commands")]
    Render {
        /// The unit.
        unit: UnitId,
        /// Why.
        #[source]
        source: AdapterError,
    },
    /// The file is no plan.
    #[error("the plan cannot be read: {0}")]
    Unreadable(String),
    /// The file is a plan, but not as this build writes it.
    #[error("the plan's bytes are not as restore-runbook writes them")]
    NotCanonical,
    /// This build would run other commands than the plan shows.
    #[error("unit {unit}: this build would run other commands than the plan shows")]
    RenderDrift {
        /// The unit.
        unit: UnitId,
    },
}

impl PlanError {
    /// The stable error code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Refused { code, .. } => code,
            Self::Broken(_) => "plan-broken",
            Self::Render { source, .. } => source.code,
            Self::Unreadable(_) => "plan-unreadable",
            Self::NotCanonical => "plan-changed",
            Self::RenderDrift { .. } => "plan-render-drift",
        }
    }

    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Refused { hint, .. } => hint.clone(),
            Self::Broken(_) => {
                "this is a fault of the program that made the plan: please report it".into()
            }
            Self::Render { source, .. } => return source.hint.clone(),
            Self::Unreadable(_) | Self::NotCanonical => {
                "make it again with `restore-runbook plan`; a plan is never edited".into()
            }
            Self::RenderDrift { .. } => {
                "run it with the version that made it, or make the plan again and have it reviewed"
                    .into()
            }
        })
    }

    pub(crate) fn refused(
        code: &'static str,
        what: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self::Refused {
            code,
            what: what.into(),
            hint: hint.into(),
        }
    }
}

/// Puts an action into the exact commands that will run.
pub trait Render {
    /// The commands, in order.
    ///
    /// # Errors
    /// What the adapter reports.
    fn render(&self, action: &Action) -> Result<Vec<Command>, AdapterError>;
}

/// A plan that can still be changed, and cannot be run.
///
/// There are two ways to one: [`Draft::restore`], the procedure, and [`Draft::undo`], which takes back
/// what a run has done. Own steps go in by [`Draft::insert_after`]; [`Draft::seal`] is the way on.
#[derive(Debug, Clone)]
pub struct Draft {
    plan: Plan,
}

impl Draft {
    pub(crate) const fn new(plan: Plan) -> Self {
        Self { plan }
    }

    /// Looks at the plan so far.
    pub const fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Adds an embedder's own unit behind an existing one: it joins that one's phase, needs it, and
    /// whatever else of the phase needed that one now needs the new unit too.
    ///
    /// # Errors
    /// [`Broken`] when there is no such unit.
    pub fn insert_after(mut self, unit: &UnitId, mut own: Unit) -> Result<Self, Broken> {
        let at = self.plan.units.iter().position(|u| u.id == *unit);
        let at = at.ok_or_else(|| Broken::new(&own.id, format!("there is no unit {unit}")))?;
        own.phase = self.plan.units[at].phase;
        own.needs.push(unit.clone());
        for later in &mut self.plan.units[at + 1..] {
            if later.needs.contains(unit) {
                later.needs.push(own.id.clone());
            }
        }
        self.plan.units.insert(at + 1, own);
        Ok(self)
    }

    /// Renders every command, checks the invariants, and seals the plan.
    ///
    /// # Errors
    /// [`PlanError::Render`] or [`PlanError::Broken`].
    pub fn seal(mut self, renderer: &dyn Render) -> Result<SealedPlan, PlanError> {
        for unit in &mut self.plan.units {
            unit.commands = render(unit, renderer)?;
        }
        self.plan.point_of_no_return = seal::point_of_no_return(&self.plan.units);
        seal::check(&self.plan)?;
        SealedPlan::of(self.plan)
    }
}

fn render(unit: &Unit, renderer: &dyn Render) -> Result<Vec<Command>, PlanError> {
    let Some(action) = &unit.act else {
        return Ok(Vec::new());
    };
    renderer.render(action).map_err(|source| PlanError::Render {
        unit: unit.id.clone(),
        source,
    })
}

/// A plan that can be run, and cannot be changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedPlan {
    plan: Plan,
    bytes: Vec<u8>,
    digest: Digest,
}

impl SealedPlan {
    fn of(plan: Plan) -> Result<Self, PlanError> {
        let unreadable = |e: serde_json::Error| PlanError::Unreadable(shortened(&e.to_string()));
        let mut text = visible_json(serde_json::to_string_pretty(&plan).map_err(unreadable)?);
        text.push('\n');
        let bytes = text.into_bytes();
        let digest = Digest::of(&bytes);
        Ok(Self {
            plan,
            bytes,
            digest,
        })
    }

    /// Reads a plan file.
    ///
    /// # Errors
    /// [`PlanError`] for bytes that no build wrote, and for a plan that breaks an invariant.
    pub fn read(bytes: &[u8]) -> Result<Self, PlanError> {
        if bytes.len() > PLAN_LIMIT_BYTES {
            return Err(PlanError::Unreadable(format!(
                "it is over {PLAN_LIMIT_BYTES} bytes"
            )));
        }
        let plan: Plan = serde_json::from_slice(bytes)
            .map_err(|e| PlanError::Unreadable(shortened(&e.to_string())))?;
        if plan.format != PLAN_FORMAT {
            return Err(PlanError::Unreadable(format!(
                "it has format {}",
                plan.format
            )));
        }
        seal::check(&plan)?;
        let sealed = Self::of(plan)?;
        if sealed.bytes == bytes {
            Ok(sealed)
        } else {
            Err(PlanError::NotCanonical)
        }
    }

    /// Makes sure that this build runs exactly the commands the plan shows.
    ///
    /// # Errors
    /// [`PlanError::RenderDrift`] naming the first unit that differs.
    pub fn check_commands(&self, renderer: &dyn Render) -> Result<(), PlanError> {
        for unit in &self.plan.units {
            if render(unit, renderer)? != unit.commands {
                return Err(PlanError::RenderDrift {
                    unit: unit.id.clone(),
                });
            }
        }
        Ok(())
    }

    /// The plan file's bytes; the same inputs and run id give the same bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What a reviewer approves: SHA-256 of [`SealedPlan::bytes`].
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// A unit by its id.
    pub fn unit(&self, id: &UnitId) -> Option<&Unit> {
        self.plan.units.iter().find(|unit| unit.id == *id)
    }
}

impl std::ops::Deref for SealedPlan {
    type Target = Plan;
    fn deref(&self) -> &Plan {
        &self.plan
    }
}
