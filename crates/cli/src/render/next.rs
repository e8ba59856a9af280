//! What to do with a plan that was shown.

use std::path::Path;

use runbook_core::names::RunId;
use runbook_core::plan::SealedPlan;

use crate::args::Global;

/// The command line that made the plan, as far as the next one repeats it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Next<'a> {
    pub(crate) options: &'a Global,
    pub(crate) spec: &'a Path,
    /// Where the plan was written.
    pub(crate) out: Option<&'a Path>,
    /// Preflight was asked, and does not hold.
    pub(crate) refused: bool,
}

/// What to do, in words, and the command for it.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) say: &'static str,
    pub(crate) command: Option<String>,
}

impl Next<'_> {
    pub(crate) fn step(&self, plan: &SealedPlan) -> Step {
        if self.refused {
            let say = "Do not run it yet: Preflight does not hold, and a run would halt there, with nothing changed. Mend what fails above, then plan again.";
            return Step { say, command: None };
        }
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let Some(file) = self.out else {
            return Step {
                say: "To have a plan reviewed and run, write it to a file; it is a plan of its own, for one run.",
                command: Some(self.options.line(&[
                    "plan",
                    "--spec",
                    &text(self.spec),
                    "--out",
                    "plan.json",
                ])),
            };
        };
        let digest = plan.digest().to_string();
        Step {
            say: "Review it, then run it:",
            command: Some(
                self.options
                    .line(&["run", "--plan", &text(file), "--approve", &digest]),
            ),
        }
    }
}

/// The command that runs an undo as it was shown.
pub(crate) fn approve_undo(options: &Global, of: RunId, plan: &SealedPlan) -> String {
    let (of, digest) = (of.to_string(), plan.digest().to_string());
    options.line(&["undo", &of, "--approve", &digest])
}
