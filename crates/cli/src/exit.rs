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
    /// The plan cannot be made, Preflight does not hold, or `doctor` has found what differs; nothing was
    /// changed.
    Refused = 9,
    /// A file, a program, a node or the cluster manager cannot be used; of `doctor`: something could not be
    /// checked, and nothing differs. Nothing was changed, but that a backup may be there whose copy or
    /// retention failed.
    Environment = 10,
    /// Interrupted twice: units were left in flight; `resume` looks at them.
    InFlight = 11,
    /// Interrupted before anything was begun; nothing was changed.
    Interrupted = 12,
    // `verify`, from the verdict that leaves most to the one that leaves least; good is `Done`.
    /// A database file out of a data directory: no hash proves its bytes.
    Copied = 20,
    /// A snapshot that ends too early.
    Truncated = 21,
    /// Bytes that are not the ones that were saved.
    BytesDamaged = 22,
    /// The bytes that were saved, but not a sound store of etcd's.
    StructureDamaged = 23,
    /// Something else.
    NotASnapshot = 24,
    /// No byte at all.
    EmptyFile = 25,
    /// Not an ordinary file, or one that does not keep still, or cannot be read.
    Unreadable = 26,
    /// Larger or deeper than this build takes on.
    Unproven = 27,
}

impl Exit {
    /// Every exit code.
    pub const ALL: [Self; 21] = [
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
        Self::Copied,
        Self::Truncated,
        Self::BytesDamaged,
        Self::StructureDamaged,
        Self::NotASnapshot,
        Self::EmptyFile,
        Self::Unreadable,
        Self::Unproven,
    ];

    /// The number.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// What it means, in one line.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Done => {
                "done: what was asked for is done; a backup that is doubted, and says so, is done too"
            }
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
                "refused: no plan can be made, Preflight does not hold, or `doctor` sees a difference"
            }
            Self::Environment => {
                "environment: a file, a program, a node or cmsh cannot be used, or `doctor` cannot tell"
            }
            Self::InFlight => "in flight: interrupted twice; `resume` looks at what was left",
            Self::Interrupted => "interrupted: nothing was begun, or nothing of it is left",
            Self::Copied => {
                "copied: `verify`: out of a data directory, without the snapshot's SHA-256"
            }
            Self::Truncated => "truncated: `verify`: the snapshot ends too early",
            Self::BytesDamaged => "bytes: `verify`: they are not the ones that were saved",
            Self::StructureDamaged => {
                "structure: `verify`: the SHA-256 fits, but the store inside is damaged"
            }
            Self::NotASnapshot => "foreign: `verify`: not a snapshot of etcd",
            Self::EmptyFile => "empty: `verify`: the file has no bytes",
            Self::Unreadable => {
                "unreadable: `verify`: not an ordinary file, or it changes, or cannot be read"
            }
            Self::Unproven => "unproven: `verify`: larger or deeper than this build takes on",
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
        let expected: Vec<u8> = (0..=12).chain(20..=27).collect();
        assert_eq!(numbers.as_slice(), expected);
    }
}
