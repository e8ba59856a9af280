//! The plan: the sorted list of units, sealed.

mod action;
mod check;
mod phase;
mod unit;

pub use action::{
    Action, ClientEffect, ManagerEffect, NodeEffect, OwnEffect, RestoreEffect, ToolEffect,
};
pub use check::Check;
pub use phase::Phase;
pub use unit::{Command, Place, Undo, Unit};
