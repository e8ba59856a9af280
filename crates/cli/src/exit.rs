//! The exit codes, in one table.

use std::process::ExitCode;

/// How a command ended. The numbers are part of the interface and never change their meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Exit {
    /// What was asked for is done.
    Done = 0,
    /// A fault of this program.
    Internal = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// `plan --probe`: every gate holds, and there are changes to make.
    Pending = 3,
    /// The run halted; `resume` goes on.
    Halted = 4,
    /// An approval is missing or is not this plan's, or the operator said no.
    Approval = 5,
    /// The world is not what the plan saw, or is in the way.
    Conflict = 6,
    /// Another run is open on the cluster, or another process works on it.
    Locked = 7,
    /// A journal, a plan or a file of the state directory is refused.
    Record = 8,
    /// The plan cannot be made, or Preflight does not hold; nothing was changed.
    Refused = 9,
    /// A file, a program, a node or the cluster manager cannot be used; nothing was changed.
    Environment = 10,
    /// Interrupted twice: units were left in flight; `resume` looks at them.
    InFlight = 11,
    /// Interrupted before anything was begun; nothing was changed.
    Interrupted = 12,
}

impl Exit {
    /// Every exit code.
    pub const ALL: [Self; 13] = [
        Self::Done,
        Self::Internal,
        Self::Usage,
        Self::Pending,
        Self::Halted,
        Self::Approval,
        Self::Conflict,
        Self::Locked,
        Self::Record,
        Self::Refused,
        Self::Environment,
        Self::InFlight,
        Self::Interrupted,
    ];

    /// The number.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// What it means, in one line.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Done => "done: what was asked for is done",
            Self::Internal => "internal: a fault of this program, please report it",
            Self::Usage => "usage: the command line makes no sense",
            Self::Pending => {
                "pending: `plan --probe` found every gate holding, and changes to make"
            }
            Self::Halted => "halted: the run stopped at a barrier; `resume` goes on",
            Self::Approval => "approval: it is missing, is of another plan, or the answer was no",
            Self::Conflict => "conflict: the world is not what the plan saw",
            Self::Locked => "locked: another run is open on the cluster, or being worked on",
            Self::Record => "record: a journal, a plan or the state directory is refused",
            Self::Refused => {
                "refused: no plan can be made, or Preflight does not hold; nothing was changed"
            }
            Self::Environment => {
                "environment: a file, a program, a node or cmsh cannot be used; nothing was changed"
            }
            Self::InFlight => "in flight: interrupted twice; `resume` looks at what was left",
            Self::Interrupted => "interrupted: before anything was begun; nothing was changed",
        }
    }

    /// The table, for `--help` and the manual page.
    pub fn table() -> String {
        let rows = Self::ALL.map(|exit| format!("  {:>2}  {}", exit.code(), exit.meaning()));
        format!("Exit codes:\n{}", rows.join("\n"))
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_stable() {
        let numbers = Exit::ALL.map(Exit::code);
        assert_eq!(numbers, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    }
}
