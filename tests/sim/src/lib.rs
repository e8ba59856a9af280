//! The simulator behind real adapters: the same scripts, rules and operator as in the core's testkit.

mod head;
mod seen;

use std::sync::Arc;

use bright_adapter::{Cmsh, CmshConfig};
use runbook_core::ports::{NoLog, Ports};
use runbook_core::testkit::World;
use runbook_core::testkit::sim::{History, Script, simulate, simulate_through};

pub use head::{Head, Says};

/// How often a run behind `cmsh` waits where it waits once behind the world's own ports: a question is
/// several programs there.
const STRETCH: u64 = 3;

/// What a run asks the world through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Through {
    /// The world's own ports.
    #[default]
    Ports,
    /// The real adapter of the cluster manager, its scripts, and the texts of the stand-in's `cmsh`.
    Cmsh,
}

impl Through {
    /// The script of a seed.
    pub fn draw(self, seed: u64) -> Script {
        match self {
            Self::Ports => Script::draw(seed),
            Self::Cmsh => Script::draw(seed).stretched(STRETCH),
        }
    }

    /// Plays a script.
    pub fn play(self, script: &Script) -> History {
        match self {
            Self::Ports => simulate(script),
            Self::Cmsh => play_behind(script, |finished| finished),
        }
    }
}

/// Plays a script through `cmsh`, with somebody between that changes what it says.
pub fn play_behind(script: &Script, says: Says) -> History {
    simulate_through(script, &|world, seat| {
        let head = Head::new(world, seat, script.dialect, says);
        ports(world, seat, head)
    })
}

fn ports(world: &World, seat: usize, head: Head) -> Ports {
    let cmsh = Cmsh::new(CmshConfig::default(), Arc::new(NoLog)).with_programs(Arc::new(head));
    Ports {
        manager: Arc::new(cmsh),
        ..world.ports_at(seat)
    }
}
