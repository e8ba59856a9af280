//! What to do with a plan that was shown.

use std::borrow::Cow;
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
    /// The plan's file, as a shell takes it.
    pub(crate) file: Option<String>,
}

impl Next<'_> {
    pub(crate) fn step(&self, plan: &SealedPlan) -> Step {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let (say, command) = if self.refused {
            let say = "Do not run it yet: Preflight does not hold, and a run would halt there, with nothing changed. Mend what fails above, then plan again.";
            (say, None)
        } else if let Some(file) = self.out {
            let (file, digest) = (text(file), plan.digest().to_string());
            let line = ["run", "--plan", &file, "--approve", &digest];
            ("Review it, then run it:", Some(self.options.line(&line)))
        } else {
            let say = "To have a plan reviewed and run, write it to a file; it is a plan of its own, for one run:";
            let spec = text(self.spec);
            let line = ["plan", "--spec", &spec, "--out", "plan.json"];
            (say, Some(self.options.line(&line)))
        };
        let file = self
            .out
            .and_then(|file| shlex::try_quote(file.to_str()?).ok().map(Cow::into_owned));
        Step { say, command, file }
    }
}

/// The command that runs an undo as it was shown.
pub(crate) fn approve_undo(options: &Global, of: RunId, plan: &SealedPlan) -> String {
    let (of, digest) = (of.to_string(), plan.digest().to_string());
    options.line(&["undo", &of, "--approve", &digest])
}
