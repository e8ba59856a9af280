//! What is said of a unit that could not be done.

use std::fmt::Write as _;
use std::time::Duration;

use crate::error::AdapterError;
use crate::event::Failure;
use crate::names::RunId;
use crate::plan::{Action, Phase};
use crate::probe::Finding;

/// The code of a halt because of a failover.
pub const HEAD_CHANGED: &str = "head-changed";

impl From<&AdapterError> for Failure {
    fn from(error: &AdapterError) -> Self {
        Self {
            code: error.code.into(),
            seen: error.chain(),
            hint: error.hint.clone(),
        }
    }
}

impl Failure {
    /// What the action itself had reported, for whoever wonders why its effect never came.
    pub(super) fn after(mut self, error: &AdapterError) -> Self {
        self.seen = format!(
            "{}; the action had reported {}: {}",
            self.seen,
            error.code,
            error.chain()
        );
        self
    }
}

pub(super) fn failure(code: &str, seen: String, hint: &str) -> Failure {
    Failure {
        code: code.into(),
        seen,
        hint: Some(hint.into()),
    }
}

pub(super) fn unsafe_now(finding: &Finding, phase: Phase, run: RunId) -> Failure {
    let mut hint = String::from(
        "something has changed since the plan was made; nothing was done for this step. Mend it, then resume",
    );
    // What was on the node cannot be put there again by this run.
    if matches!(phase, Phase::Restore | Phase::Chown | Phase::Reassign) {
        let _ = write!(
            hint,
            ". Where a node has lost its disk once more, {}",
            plan_anew(run)
        );
    }
    let seen = format!("it is not safe to go on: {}", finding.seen());
    failure("not-safe", seen, &hint)
}

/// The way on from a run that has none of its own, for a hint.
pub fn plan_anew(run: RunId) -> String {
    format!(
        "resuming does not help: `restore-runbook abandon {run} --reason TEXT`, and make a new plan, whose spec says `allow: {{guards: {{{run}: \"<reason>\"}}}}`"
    )
}

pub(super) fn in_the_way(seen: String) -> Failure {
    let hint = "this run did not begin it, and does nothing to a node in such a state: wait for its end, then resume";
    failure("not-ours-underway", seen, hint)
}

pub(super) fn too_late(finding: &Finding, deadline: Duration, act: Option<&Action>) -> Failure {
    let after = deadline.as_secs();
    if let Finding::Held { code, seen, hint } = finding {
        return failure(code, format!("after {after} s: {seen}"), hint);
    }
    let mut seen = format!("after {after} s: {}", finding.seen());
    let general = if act.is_some_and(Action::boots) {
        "look at the node's console and at /var/log/node-installer on the head node, then resume: a node on its way is waited for and left alone; one that has not begun its boot is told again. The deadline is `reprovision_s` in the spec's `deadlines`"
    } else {
        "what was begun may still come true: look at it, then resume. The deadline is in the spec's `deadlines`"
    };
    let Finding::Blind(error) = finding else {
        return failure("deadline", seen, general);
    };
    // Why it cannot be seen is what has to be mended.
    let _ = write!(seen, " [{}]", error.code);
    let own = error.hint.as_deref();
    let hint = own.map_or_else(|| general.into(), |own| format!("{own}; {general}"));
    failure("deadline", seen, &hint)
}

/// This head node has handed the cluster over: whatever failed because of that is no fault of a unit.
pub(super) fn deposed(seen: &str) -> Failure {
    let hint = "nothing more is done from here, and what is in flight is left as it is. Go on with `resume` at the head node that `cmha status` calls active";
    failure(
        HEAD_CHANGED,
        format!("this head node may not act any more: {seen}"),
        hint,
    )
}

#[cfg(test)]
#[cfg(feature = "testkit")]
mod tests {
    use super::*;
    use crate::error::Certainty;
    use crate::plan::ManagerEffect;
    use crate::testkit::run_id;

    /// What lay on a node is gone: this run cannot put it there again, and says what can.
    #[test]
    fn a_disk_lost_once_more_has_its_way_on() {
        let gone = Finding::NotYet("/var/lib/etcd on node003: an empty directory".into());
        let run = run_id(1);
        let hint = |phase| unsafe_now(&gone, phase, run).hint.unwrap_or_default();
        for phase in [Phase::Restore, Phase::Chown, Phase::Reassign] {
            assert!(hint(phase).contains(&format!("restore-runbook abandon {run} --reason")));
            assert!(hint(phase).contains(&format!("guards: {{{run}: ")));
        }
        assert!(!hint(Phase::Reprovision).contains("abandon"));
    }

    /// Until the deadline it could not be seen: what its own error advises comes first.
    #[test]
    fn what_could_not_be_seen_keeps_its_own_hint() {
        let silent = || AdapterError::new("etcd-unreachable", Certainty::NotDone, "no answer");
        let late = |error| too_late(&Finding::Blind(error), Duration::from_secs(60), None);
        let told = late(silent().hint("`systemctl reset-failed etcd`"));
        assert_eq!(told.code, "deadline");
        let seen = "after 60 s: cannot be seen: no answer [etcd-unreachable]";
        assert_eq!(told.seen, seen);
        let hint = told.hint.unwrap();
        assert!(
            hint.starts_with("`systemctl reset-failed etcd`; what was begun"),
            "{hint}"
        );
        let bare = late(silent()).hint.unwrap();
        assert!(bare.starts_with("what was begun"), "{bare}");
    }

    /// Of a boot it says where to look, and that nothing is done to a node on its way.
    #[test]
    fn a_boot_that_is_late_has_a_hint_of_its_own() {
        let node = crate::names::NodeName::new("node001").unwrap();
        let boots = Action::Manager(ManagerEffect::Reboot { node });
        let hint = |act| {
            let finding = Finding::Underway("node001 is [INSTALLING]".into());
            let late = too_late(&finding, Duration::from_secs(60), act);
            assert_eq!(late.code, "deadline");
            late.hint.unwrap_or_default()
        };
        assert!(hint(Some(&boots)).contains("/var/log/node-installer"));
        assert!(hint(Some(&boots)).contains("left alone"));
        assert!(!hint(None).contains("node-installer"));
    }
}
