//! What the doctor says: each finding is data.

use jiff::Timestamp;
use runbook_core::error::AdapterError;
use serde::{Deserialize, Serialize};

use super::ask::Asked;
use crate::codes;
use crate::text::shown;

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It is not as believed: a restore would fail on it, or do harm.
    Differs,
    /// It cannot be told: no answer, or none that can be read.
    CouldNotBeChecked,
    /// It is as believed.
    Holds,
    /// The question makes no sense here.
    DoesNotApply,
}

/// What a check is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Group {
    /// This head node.
    Head,
    /// cmsh and what it answers.
    Manager,
    /// The etcd cluster as the cluster manager has it.
    Cluster,
    /// The nodes, as the cluster manager has them and as they say themselves.
    Nodes,
    /// Certificates.
    Certificates,
    /// Kubernetes' API servers.
    ApiServers,
    /// Where the snapshots lie.
    Backups,
}

/// A belief that can be checked.
#[derive(Debug, PartialEq, Eq)]
pub struct Check {
    /// Its stable name.
    pub id: &'static str,
    /// What it is about.
    pub group: Group,
    /// What is believed.
    pub believed: &'static str,
    /// What it means for a restore if it is not so.
    pub means: &'static str,
    /// What to do then.
    pub todo: &'static str,
}

/// What became of one check, of one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The check.
    pub id: String,
    /// What the check is about.
    pub group: Group,
    /// The node or overlay, where the check is made of each.
    pub about: Option<String>,
    /// How it came out.
    pub outcome: Outcome,
    /// What is believed.
    pub believed: String,
    /// What was seen.
    pub seen: String,
    /// What it means for a restore if it is not as believed.
    pub means: String,
    /// What to do; empty where there is nothing to do.
    pub todo: String,
    /// The commands it was asked with.
    pub asked: Vec<String>,
}

/// Everything the doctor found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// When the doctor began.
    pub at: Timestamp,
    /// The findings, group by group.
    pub findings: Vec<Finding>,
    /// Every name of a machine that was met.
    #[serde(skip)]
    pub names: Vec<String>,
}

impl Report {
    /// How many findings came out like this.
    pub fn count(&self, outcome: Outcome) -> usize {
        let like = |finding: &&Finding| finding.outcome == outcome;
        self.findings.iter().filter(like).count()
    }
}

impl Check {
    /// The check of something that there is once.
    pub(super) const fn made(&'static self) -> Draft {
        Draft {
            check: self,
            about: None,
            asked: Vec::new(),
            todo: None,
        }
    }

    /// The check of one of several.
    pub(super) fn of(&'static self, about: &str) -> Draft {
        Draft {
            about: Some(about.to_owned()),
            ..self.made()
        }
    }
}

/// A finding in the making.
#[derive(Clone)]
pub(super) struct Draft {
    check: &'static Check,
    about: Option<String>,
    asked: Vec<String>,
    todo: Option<String>,
}

/// Errors that say: there was an answer, and it is not the one believed in.
const ANSWERED: [&str; 12] = [
    codes::CMSH_MISSING,
    codes::CMSH_NOT_RUNNABLE,
    codes::CMSH_NOT_PERMITTED,
    codes::CMSH_SESSION_ENDED,
    codes::CMSH_ANSWER,
    codes::CMSH_ABSENT,
    codes::CMSH_REFUSED,
    codes::ETCD_OVERLAY,
    codes::ETCD_ROLE,
    codes::HEAD_UNKNOWN,
    codes::SSH_HOST_KEY,
    codes::SSH_DENIED,
];

impl Draft {
    pub(super) fn asked<T>(mut self, asked: &Asked<T>) -> Self {
        self.asked.extend(asked.how.iter().cloned());
        self
    }

    pub(super) fn todo(mut self, todo: impl Into<String>) -> Self {
        self.todo = Some(todo.into());
        self
    }

    pub(super) fn holds(self, seen: impl Into<String>) -> Finding {
        self.end(Outcome::Holds, &seen.into())
    }

    pub(super) fn differs(self, seen: impl Into<String>) -> Finding {
        self.end(Outcome::Differs, &seen.into())
    }

    pub(super) fn unknown(self, seen: impl Into<String>) -> Finding {
        self.end(Outcome::CouldNotBeChecked, &seen.into())
    }

    pub(super) fn moot(self, seen: impl Into<String>) -> Finding {
        self.end(Outcome::DoesNotApply, &seen.into())
    }

    /// Holds or differs.
    pub(super) fn if_so(self, so: bool, seen: impl Into<String>) -> Finding {
        let outcome = if so { Outcome::Holds } else { Outcome::Differs };
        self.end(outcome, &seen.into())
    }

    /// An answer that is not the one believed in differs; no answer cannot be checked.
    pub(super) fn failed(mut self, error: &AdapterError) -> Finding {
        let outcome = if ANSWERED.contains(&error.code) {
            Outcome::Differs
        } else {
            Outcome::CouldNotBeChecked
        };
        if self.todo.is_none() {
            self.todo.clone_from(&error.hint);
        }
        let seen = format!("{} [{}]", error.chain(), error.code);
        self.end(outcome, &seen)
    }

    /// What cannot be asked because something else gave no answer.
    pub(super) fn blocked(self, by: &str) -> Finding {
        self.todo("mend what keeps it from being checked, and ask again")
            .unknown(by)
    }

    fn end(self, outcome: Outcome, seen: &str) -> Finding {
        let check = self.check;
        let fine = matches!(outcome, Outcome::Holds | Outcome::DoesNotApply);
        let todo = if fine {
            String::new()
        } else {
            let todo = self.todo.unwrap_or_else(|| check.todo.to_owned());
            // To be pasted, where it is known which node it is about.
            match &self.about {
                Some(name) => todo.replace("NODE", name),
                None => todo,
            }
        };
        Finding {
            id: check.id.to_owned(),
            group: check.group,
            about: self.about,
            outcome,
            believed: check.believed.to_owned(),
            seen: shown(seen),
            means: check.means.to_owned(),
            todo,
            asked: self.asked,
        }
    }
}
