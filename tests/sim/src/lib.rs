//! The simulator behind the real adapters: the same scripts, rules and operator as in the core's testkit.

mod head;
mod node;
mod scripts;
mod seen;
mod tool;

use std::sync::Arc;

use bright_adapter::{Cmsh, CmshConfig, Ssh, SshConfig, SshNode};
use runbook_core::ports::{NoLog, Ports};
use runbook_core::testkit::World;
use runbook_core::testkit::sim::{History, Script, simulate, simulate_through};

pub use head::{Head, Says};
use tool::Tool;

/// How often a run behind the adapters waits where it waits once behind the world's own ports: a question to
/// `cmsh` is several programs.
const STRETCH: u64 = 3;

/// What a run asks the world through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Through {
    /// The world's own ports.
    #[default]
    Ports,
    /// The real adapters of the cluster manager, the nodes and etcd's tools: their scripts, and the texts of the
    /// stand-in's `cmsh`, of ssh and of the nodes' programs.
    Adapters,
}

impl Through {
    /// The script of a seed.
    pub fn draw(self, seed: u64) -> Script {
        match self {
            Self::Ports => Script::draw(seed),
            Self::Adapters => Script::draw(seed).stretched(STRETCH),
        }
    }

    /// Where scripts are kept that once broke a rule.
    pub const fn kept(self) -> &'static str {
        match self {
            Self::Ports => "crates/runbook-core/tests/kept.jsonl",
            Self::Adapters => "tests/sim/tests/kept.jsonl",
        }
    }

    /// Plays a script.
    pub fn play(self, script: &Script) -> History {
        match self {
            Self::Ports => simulate(script),
            Self::Adapters => play_behind(script, |finished| finished),
        }
    }
}

/// Plays a script behind the adapters, with somebody between that changes what the programs say.
pub fn play_behind(script: &Script, says: Says) -> History {
    simulate_through(script, &|world, seat| {
        let head = Head::new(world, seat, script.dialect, says);
        ports(world, seat, Arc::new(head))
    })
}

fn ports(world: &World, seat: usize, head: Arc<Head>) -> Ports {
    let log = Arc::new(NoLog);
    let cmsh = Cmsh::new(CmshConfig::default(), log.clone()).with_programs(head.clone());
    let ssh = Ssh::new(SshConfig::default(), log);
    let ssh = ssh.unwrap_or_else(|error| unreachable!("it makes no files here: {error}"));
    let shell = Arc::new(ssh.with_programs(head));
    Ports {
        manager: Arc::new(cmsh),
        nodes: Arc::new(SshNode::new(Arc::clone(&shell))),
        tool: Arc::new(Tool::new(world, shell)),
        ..world.ports_at(seat)
    }
}
