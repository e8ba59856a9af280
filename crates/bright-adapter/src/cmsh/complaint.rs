//! What in cmsh's words is a refusal, and of which kind.
//!
//! None of it decides alone: a write is read back, and a question counts only when its answer is there.

use runbook_core::error::{AdapterError, Certainty};

use super::lexicon::{Message, Suspect, Word as _};
use super::noise::is_warning;
use crate::codes;
use crate::text::shown;

/// A refusal as far as cmsh's words tell it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Complaint {
    pub(super) kind: Kind,
    /// What cmsh said, for people.
    pub(super) text: String,
}

/// What kind of refusal it is. No wording but these is documented, and none decides alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The daemon became passive, or its peer active, while the batch ran.
    SessionEnded,
    /// The certificate's profile forbids it.
    NotPermitted,
    /// The commit was refused: `Code Field Message`.
    Invalid,
    /// Some object is not there.
    Absent,
    /// Anything else.
    Other,
}

impl Complaint {
    /// The refusal in these outputs of one batch, if there is one.
    pub(super) fn within(streams: &[&str]) -> Option<Self> {
        let lines: Vec<&str> = streams
            .iter()
            .flat_map(|text| text.lines())
            .map(str::trim)
            .filter(|line| !is_warning(line))
            .collect();
        let tells = |message: Message| {
            let line = lines
                .iter()
                .find(|line| message.is_in(&line.to_lowercase()));
            line.map(|line| shown(line))
        };
        let told = |kind, text| Some(Self { kind, text });
        if let Some(text) = tells(Message::SessionEnded).or_else(|| tells(Message::OtherHead)) {
            return told(Kind::SessionEnded, text);
        }
        if let Some(text) = tells(Message::NotPermitted) {
            return told(Kind::NotPermitted, text);
        }
        let titles = Message::ValidationTable.text();
        let is_table = |line: &&str| line.split_whitespace().eq(titles.split_whitespace());
        if let Some(at) = lines.iter().position(is_table) {
            return told(Kind::Invalid, shown(&lines[at..].join("\n")));
        }
        if let Some(text) = tells(Message::NotFound) {
            return told(Kind::Absent, text);
        }
        let complains = |line: &&&str| {
            let line = line.to_lowercase();
            Suspect::ALL.iter().any(|word| word.is_in(&line))
        };
        let line = lines.iter().find(complains)?;
        told(Kind::Other, shown(line))
    }

    /// An error of this kind: what was asked, and what came of it.
    pub(super) fn error(&self, certainty: Certainty, what: String) -> AdapterError {
        let code = match self.kind {
            Kind::SessionEnded => codes::CMSH_SESSION_ENDED,
            Kind::NotPermitted => codes::CMSH_NOT_PERMITTED,
            Kind::Invalid => codes::CMSH_INVALID,
            Kind::Absent => codes::CMSH_ABSENT,
            Kind::Other => codes::CMSH_REFUSED,
        };
        let hint = match self.kind {
            Kind::SessionEnded => {
                "the head nodes may have changed places: see `cmha status`, and go on at the active one; where they have not, see whether CMDaemon runs: systemctl status cmd"
            }
            Kind::NotPermitted => {
                "run this as root on the head node, whose certificate has the profile admin"
            }
            Kind::Invalid => {
                "nothing of it was committed: mend in cmsh what the message says, then resume"
            }
            Kind::Absent => "compare the spec with what `restore-runbook discover` finds",
            Kind::Other => {
                "mend what cmsh says; where it says nothing, see whether CMDaemon runs: systemctl status cmd"
            }
        };
        AdapterError::new(code, certainty, what).hint(hint)
    }
}
