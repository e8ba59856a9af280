//! The part this head node plays.

use runbook_core::error::{AdapterError, Certainty};
use runbook_core::plan::Command;
use runbook_core::ports::PortResult;
use runbook_core::world::HeadRole;

use super::Cmsh;
use super::lexicon::{Cmha, Part, Word as _};
use super::noise::clean;
use crate::codes;
use crate::text::shown;

/// What one witness says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Says {
    Active,
    Passive,
    Nothing,
}

/// `Node Status: running in active master mode`, the first line of `cmha status` (chapter 15).
fn cmha_says(text: &str) -> Says {
    let first = text.lines().map(str::trim).find(|line| !line.is_empty());
    let line = first.unwrap_or_default().to_lowercase();
    match (Part::Active.is_in(&line), Part::Passive.is_in(&line)) {
        (true, false) if Part::MasterMode.is_in(&line) => Says::Active,
        (false, true) => Says::Passive,
        _ => Says::Nothing,
    }
}

fn state_says(text: &str) -> Says {
    match Part::of(text.trim()) {
        Some(Part::Active) => Says::Active,
        Some(Part::Passive | Part::BecomePassive) => Says::Passive,
        Some(Part::MasterMode) | None => Says::Nothing,
    }
}

/// Weighs the witnesses. What `cmha` prints on a cluster with one head node is not documented, so
/// there the list of devices decides.
fn decide(cmha: Says, state: Says, heads: Option<usize>) -> Option<HeadRole> {
    match (cmha, state, heads) {
        (Says::Passive, Says::Passive | Says::Nothing, _) | (Says::Nothing, Says::Passive, _) => {
            Some(HeadRole::Passive)
        }
        (Says::Nothing, _, Some(1)) => Some(HeadRole::Single),
        (Says::Active, Says::Active | Says::Nothing, _)
        | (Says::Nothing, Says::Active, Some(2)) => Some(HeadRole::Active),
        _ => None,
    }
}

impl Cmsh {
    pub(crate) async fn read_head_role(&self) -> PortResult<HeadRole> {
        let command = Command::on_head([&*self.config.cmha.to_string_lossy(), Cmha::Status.text()]);
        // A cluster without a second head may have no cmha: that it cannot be run says nothing.
        let said = match self.execute(&self.config.cmha, command, false).await {
            Ok(done) => clean(&done.out()),
            Err(failure) => failure.to_string(),
        };
        let state = self.programs.read(&self.config.state_file, 64).await;
        let state = String::from_utf8_lossy(&state.unwrap_or_default()).into_owned();
        let (cmha, file) = (cmha_says(&said), state_says(&state));
        if let Some(role) = decide(cmha, file, None) {
            return Ok(role);
        }
        let heads = self.devices().await?.iter().filter(|d| d.head_node).count();
        decide(cmha, file, Some(heads)).ok_or_else(|| {
            let what = format!(
                "it cannot be told whether this head node is the active one: {heads} head nodes, \
                 cmha says {}, {} says {}",
                shown(&said),
                self.config.state_file.display(),
                shown(&state)
            );
            AdapterError::new(codes::HEAD_UNKNOWN, Certainty::Refused, what)
                .hint("run `cmha status`; go on where it says \"running in active master mode\"")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_of_cmha() {
        let text = "Node Status: running in active master mode\n\nFailover status:\nbasecm11* -> master2\n";
        assert_eq!(cmha_says(text), Says::Active);
        let text = "Node Status: running in passive master mode\nx active\n";
        assert_eq!(cmha_says(text), Says::Passive);
        assert_eq!(
            cmha_says("no failover configured, activate it"),
            Says::Nothing
        );
        assert_eq!(cmha_says("active or passive master mode?"), Says::Nothing);
        assert_eq!(cmha_says(""), Says::Nothing);
    }

    #[test]
    fn the_daemons_note() {
        use Says::{Active, Nothing, Passive};
        let says = ["ACTIVE\n", "PASSIVE", "BECOMEPASSIVE", "FENCING", "", "\0"].map(state_says);
        assert_eq!(says, [Active, Passive, Passive, Nothing, Nothing, Nothing]);
    }

    #[test]
    fn witnesses_must_not_contradict_each_other() {
        use Says::{Active, Nothing, Passive};
        assert_eq!(decide(Active, Passive, Some(2)), None);
        assert_eq!(decide(Passive, Active, Some(2)), None);
        assert_eq!(decide(Active, Nothing, None), Some(HeadRole::Active));
        assert_eq!(decide(Passive, Nothing, None), Some(HeadRole::Passive));
        assert_eq!(decide(Nothing, Passive, None), Some(HeadRole::Passive));
        assert_eq!(decide(Nothing, Nothing, Some(1)), Some(HeadRole::Single));
        assert_eq!(decide(Nothing, Active, Some(2)), Some(HeadRole::Active));
        assert_eq!(decide(Nothing, Nothing, Some(2)), None);
        assert_eq!(decide(Nothing, Nothing, Some(0)), None);
        assert_eq!(decide(Nothing, Nothing, None), None);
    }
}
