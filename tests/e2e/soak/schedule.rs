//! A disaster to be, drawn from a seed: the cluster, what it loses, and what goes wrong while it is restored.

use std::fmt::{self, Display, Formatter, Write as _};

use fastrand::Rng;
use lab::{Bcm, EtcdVersion, HostKeyAfterWipe, LabOptions, Node};

/// One disaster, whole. The same seed gives the same one.
#[derive(Debug, Clone)]
pub(super) struct Schedule {
    pub(super) seed: u64,
    pub(super) members: u8,
    pub(super) etcd: EtcdVersion,
    pub(super) bcm: Bcm,
    pub(super) heads: u8,
    /// Whether a node that is wiped comes back with another host key.
    pub(super) new_host_keys: bool,
    pub(super) image_has_spool: bool,
    /// Of these the disk is lost, and they are off; of the others the database is unreadable.
    pub(super) lost: Vec<Node>,
    /// These are wiped and provisioned anew, the lost ones among them.
    pub(super) wiped: Vec<Node>,
    pub(super) way: Way,
    pub(super) parallel: u8,
    /// Settles what is not known of cmsh.
    pub(super) dialect: u64,
    /// What is odd about cmsh's output.
    pub(super) output: Vec<&'static str>,
    pub(super) faults: Vec<Fault>,
}

/// How a FULL install gets its leave, and when `datanode` is yes again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Article,
    DatanodeEarly,
    Confirm,
}

/// Something that goes wrong, once, while the run has come so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) what: What,
    pub(super) when: When,
    pub(super) mended: Mended,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// SIGKILL of the tool.
    Kill,
    /// Ctrl-C, once.
    Interrupt,
    /// A node loses its power.
    PowerLoss(Node),
    /// A node loses its power and its disk.
    DiskLost(Node),
    /// A node's network cable is out.
    Cut(Node),
    /// Nothing more goes onto a node's disk.
    DiskFull(Node),
    /// The cluster manager's daemon is killed.
    Daemon,
    /// The other head node becomes the active one; the programs on the old one may die with it.
    Failover { dies: bool },
    /// A session with the cluster manager goes wrong.
    Session(&'static str),
    /// What a node meets in its installer.
    Installer(Node, &'static str),
    /// The software image is locked.
    ImageLocked,
    /// A node's power control does not answer.
    BmcSilent(Node),
    /// A node boots as it is instead of being installed: its next install mode is cleared by hand.
    OldDisk(Node),
}

/// At which point of the run: the moment is looked for in the newest journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    /// As soon as the journal has so many lines.
    Line(usize),
    /// So long after the first record of a phase, in milliseconds.
    Phase(&'static str, u64),
}

/// Who puts it right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mended {
    /// It happens, and there is nothing to be put right.
    Never,
    /// Somebody, after so many milliseconds, whatever the run does.
    After(u64),
    /// The operator, when a run has halted.
    AtHalt,
}

pub(super) const PHASES: [&str; 9] = [
    "preflight",
    "stop",
    "move-spool",
    "reprovision",
    "restore",
    "chown",
    "reassign",
    "datanode",
    "verify",
];

/// What a session with cmsh may suffer and a run must cope with, by itself or with a halt.
const SESSIONS: [&str; 10] = [
    "no-daemon",
    "lost-answer",
    "half-answer",
    "session-ended",
    "session-ended-late",
    "refused",
    "warning",
    "no-effect",
    "left-modified",
    "hang-at-the-end",
];

const FATES: [&str; 5] = ["fails", "unreachable", "console", "never-up", "full-again"];

impl Schedule {
    pub(super) fn draw(seed: u64) -> Self {
        let rng = &mut Rng::with_seed(seed);
        let members = one_of(rng, &[1, 1, 3, 3, 3, 3, 5]);
        let nodes = nodes(members);
        let lost = some_of(rng, &nodes, &[0, 0, 0, 30, 100]);
        let wiped = some_of(rng, &nodes, &[0, 50, 100]);
        let wiped = nodes
            .iter()
            .copied()
            .filter(|node| lost.contains(node) || wiped.contains(node))
            .collect();
        let mut schedule = Self {
            seed,
            members,
            etcd: one_of(rng, &[EtcdVersion::Debian, EtcdVersion::V3_5]),
            bcm: one_of(
                rng,
                &[Bcm::Plain, Bcm::Plain, Bcm::V9_2, Bcm::V10, Bcm::V11],
            ),
            heads: one_of(rng, &[1, 1, 1, 2]),
            new_host_keys: percent(rng, 25),
            image_has_spool: percent(rng, 70),
            lost,
            wiped,
            way: one_of(
                rng,
                &[Way::Article, Way::Article, Way::DatanodeEarly, Way::Confirm],
            ),
            parallel: rng.u8(1..=members),
            dialect: rng.u64(..100),
            output: ["events", "colour", "echo"]
                .into_iter()
                .filter(|_| percent(rng, 20))
                .collect(),
            faults: Vec::new(),
        };
        schedule.draw_faults(rng);
        schedule
    }

    fn draw_faults(&mut self, rng: &mut Rng) {
        for _ in 0..rng.u8(1..=4) {
            let what = self.what(rng);
            let fault = self.fault(rng, what);
            self.faults.push(fault);
        }
        if self.heads == 2 {
            let what = What::Failover {
                dies: percent(rng, 50),
            };
            let fault = self.fault(rng, what);
            self.faults.push(fault);
        }
        // A disk that is wiped by others comes with a host key that nobody has foreseen.
        self.new_host_keys &= !self.faults.iter().any(|fault| fault.what.loses_a_disk());
    }

    fn what(&self, rng: &mut Rng) -> What {
        let node = one_of(rng, &nodes(self.members));
        let of_wiped = self.wiped.get(rng.usize(..self.wiped.len().max(1)));
        match (rng.u8(..26), of_wiped.copied()) {
            (5, _) => What::Interrupt,
            (6..10, _) => What::PowerLoss(node),
            (10..13, _) => What::Cut(node),
            (13..16, _) => What::DiskFull(node),
            (16..18, _) => What::Daemon,
            (18..20, _) => What::Session(one_of(rng, &SESSIONS)),
            (20, _) => What::DiskLost(node),
            (21..23, Some(node)) => What::Installer(node, one_of(rng, &FATES)),
            (23, Some(_)) => What::ImageLocked,
            (24, Some(node)) => What::BmcSilent(node),
            (25, Some(node)) => What::OldDisk(node),
            // Five of the numbers, and those of a wiped node where none is.
            _ => What::Kill,
        }
    }

    fn fault(&self, rng: &mut Rng, what: What) -> Fault {
        let when = match what {
            // What waits for a node in its installer is there before the node is.
            What::Installer(..) | What::ImageLocked | What::BmcSilent(_) => When::Line(1),
            What::OldDisk(_) => When::Phase("reprovision", 0),
            // Where the role is away: a member that is new to its disk would start empty otherwise.
            What::DiskLost(_) => When::Phase(
                one_of(rng, &["move-spool", "reprovision", "restore"]),
                rng.u64(..800),
            ),
            _ if percent(rng, 40) => When::Line(rng.usize(1..20 + 20 * usize::from(self.members))),
            _ => When::Phase(one_of(rng, &PHASES), rng.u64(..1200)),
        };
        let mended = match what {
            What::Kill | What::Interrupt | What::Failover { .. } | What::OldDisk(_) => {
                Mended::Never
            }
            What::DiskLost(_) => Mended::AtHalt,
            _ if percent(rng, 60) => Mended::After(rng.u64(100..4000)),
            _ => Mended::AtHalt,
        };
        Fault { what, when, mended }
    }

    /// The lab for it.
    pub(super) fn lab(&self) -> LabOptions {
        let full = |fault: &Fault| matches!(fault.what, What::DiskFull(_));
        LabOptions {
            nodes: self.members,
            heads: self.heads,
            etcd: self.etcd,
            bcm: self.bcm,
            host_key_after_wipe: if self.new_host_keys {
                HostKeyAfterWipe::New
            } else {
                HostKeyAfterWipe::Same
            },
            precreate_spool: self.image_has_spool,
            disk_bytes: self.faults.iter().any(full).then_some(768 << 20),
            ..LabOptions::default()
        }
    }

    /// So many lives are enough, if the tool is any good.
    pub(super) fn lives(&self) -> usize {
        8 + 4 * self.faults.len()
    }
}

impl What {
    fn loses_a_disk(self) -> bool {
        matches!(self, Self::DiskLost(_) | Self::Installer(_, "full-again"))
    }

    /// Without where and how: what the closing table counts.
    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::Kill => "SIGKILL",
            Self::Interrupt => "Ctrl-C",
            Self::PowerLoss(_) => "power loss of a node",
            Self::DiskLost(_) => "a disk lost once more",
            Self::Cut(_) => "network cut",
            Self::DiskFull(_) => "disk full",
            Self::Daemon => "CMDaemon killed",
            Self::Failover { .. } => "failover",
            Self::Session(_) => "a cmsh session gone wrong",
            Self::Installer(..) => "an installer that fails",
            Self::ImageLocked => "image locked",
            Self::BmcSilent(_) => "power control silent",
            Self::OldDisk(_) => "up with the old disk",
        }
    }
}

impl Display for What {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::PowerLoss(node)
            | Self::DiskLost(node)
            | Self::Cut(node)
            | Self::DiskFull(node)
            | Self::BmcSilent(node)
            | Self::OldDisk(node) => write!(f, "{} ({node})", self.kind()),
            Self::Installer(node, fate) => write!(f, "installer {fate} ({node})"),
            Self::Session(how) => write!(f, "cmsh {how}"),
            Self::Failover { dies: true } => write!(f, "failover, the head dies"),
            _ => f.write_str(self.kind()),
        }
    }
}

impl Display for Fault {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} at ", self.what)?;
        match self.when {
            When::Line(line) => write!(f, "line {line}")?,
            When::Phase(phase, later) => write!(f, "{phase}+{later}ms")?,
        }
        match self.mended {
            Mended::Never => Ok(()),
            Mended::After(later) => write!(f, " for {later}ms"),
            Mended::AtHalt => write!(f, " until a halt"),
        }
    }
}

impl Display for Schedule {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let release = match self.etcd {
            EtcdVersion::Debian => "3.4",
            EtcdVersion::V3_5 => "3.5",
        };
        write!(f, "{release}, {} members", self.members)?;
        let list = |what: &str, of: &[Node]| match of {
            [] => String::new(),
            all if all.len() == usize::from(self.members) => format!(", all {what}"),
            some => {
                let mut text = String::from(", ");
                for node in some {
                    let _ = write!(text, "{node} ");
                }
                text + what
            }
        };
        f.write_str(&list("lost", &self.lost))?;
        f.write_str(&list("wiped", &self.wiped))?;
        if self.bcm != Bcm::Plain {
            write!(f, ", like {:?}", self.bcm)?;
        }
        let words = [
            (self.heads == 2, "two heads"),
            (self.new_host_keys, "new host keys"),
            (self.way == Way::Confirm, "confirm"),
            (self.way == Way::DatanodeEarly, "datanode early"),
        ];
        for (_, word) in words.iter().filter(|(so, _)| *so) {
            write!(f, ", {word}")?;
        }
        for fault in &self.faults {
            write!(f, "; {fault}")?;
        }
        Ok(())
    }
}

fn nodes(members: u8) -> Vec<Node> {
    (1..=members).filter_map(|n| Node::new(n).ok()).collect()
}

fn one_of<T: Copy>(rng: &mut Rng, of: &[T]) -> T {
    of[rng.usize(..of.len())]
}

fn percent(rng: &mut Rng, chance: u8) -> bool {
    rng.u8(..100) < chance
}

/// Each with the same chance, in percent, which is one of these.
fn some_of(rng: &mut Rng, nodes: &[Node], chances: &[u8]) -> Vec<Node> {
    let chance = one_of(rng, chances);
    let drawn = nodes.iter().copied().filter(|_| percent(rng, chance));
    drawn.collect()
}
