//! What a fault makes of a request before it comes to anything.

use crate::engine::FULL_QUESTION;
use crate::protocol::{NodeResult, PowerOperation, Problem, Reply, Request};
use crate::scenario::{Fault, What};

/// The answer in place of the daemon's own, if the fault is one for the daemon; `other` names the head node
/// that is not the active one.
pub(crate) fn spoilt(
    fault: &Fault,
    request: &Request,
    other: impl FnOnce() -> String,
) -> Option<Reply> {
    let refused = matches!(request, Request::Commit { .. });
    let silent = matches!(request, Request::Events { .. } | Request::Line { .. });
    match fault.what {
        What::NotPermitted if !silent => Some(Reply::Denied(not_permitted(request))),
        What::ReadOnly if request.changes() => Some(Reply::Denied(not_permitted(request))),
        What::SessionEnded if !silent => Some(Reply::Ended(other())),
        What::Refused if refused => {
            let message = fault.text.clone();
            Some(Reply::Problems(vec![Problem {
                field: "category".to_owned(),
                message: message.unwrap_or_else(|| "The category should be set".to_owned()),
            }]))
        }
        What::NoEffect if request.changes() => Some(pretended(request)),
        _ => None,
    }
}

/// The text that the JSON interface has for it, with the call that would be made.
fn not_permitted(request: &Request) -> String {
    let call = match request {
        Request::Commit { .. } => "CMDevice::updateDevice",
        Request::Power { .. } => "CMDevice::powerOperation",
        _ => "CMDevice::getDevices",
    };
    format!("Your certificate (profile:) does not allow access to {call}")
}

/// The answer to a request that would change something, as if it had.
fn pretended(request: &Request) -> Reply {
    let nodes = |nodes: &[String], text: &str| {
        let done = |node: &String| NodeResult {
            node: node.clone(),
            ok: true,
            text: text.to_owned(),
        };
        Reply::Results(nodes.iter().map(done).collect())
    };
    match request {
        Request::Power {
            operation,
            nodes: of,
        } => nodes(of, operation.done()),
        Request::Service { node, .. } => nodes(std::slice::from_ref(node), ""),
        Request::Interactions { nodes: of, .. } => nodes(of, FULL_QUESTION),
        _ => Reply::Problems(Vec::new()),
    }
}

impl Request {
    /// Whether it would change something.
    pub(crate) fn changes(&self) -> bool {
        match self {
            Self::Commit { .. } | Self::Service { .. } => true,
            Self::Power { operation, .. } => *operation != PowerOperation::Status,
            Self::Interactions { answer, .. } => answer.is_some(),
            _ => false,
        }
    }
}
