//! The certificates, of which only dates and the hashes of names are looked at.

use jiff::{SignedDuration, Timestamp};

use super::ask::{Asked, Asker};
use super::questions::Certificate;
use super::report::Draft;
use super::{Finding, Settings, checks};

/// A certificate that ends sooner is told of.
const SOON: SignedDuration = SignedDuration::from_hours(30 * 24);

/// The hash of the CA's name, where it can be read.
pub(super) async fn examine(
    asker: &Asker,
    settings: &Settings,
    findings: &mut Vec<Finding>,
) -> Option<String> {
    let ask = async |path| {
        asker
            .head(async |head, name| head.certificate(name, path).await)
            .await
    };
    let ca = ask(&settings.ca).await;
    let client = ask(&settings.client_certificate).await;
    let authority = match &ca.got {
        Ok(Some(ca)) => Some(ca.subject.clone()),
        _ => None,
    };
    let draft = checks::CLIENT_CA.made();
    findings.push(judge(draft, &ca, settings.ca.as_str(), settings.at, None));
    let path = settings.client_certificate.as_str();
    let draft = checks::CLIENT_CERTIFICATE.made();
    findings.push(judge(
        draft,
        &client,
        path,
        settings.at,
        authority.as_deref(),
    ));
    authority
}

/// Judges a certificate; `authority` is the hash of the name that it must be issued by.
pub(super) fn judge(
    draft: Draft,
    asked: &Asked<Option<Certificate>>,
    path: &str,
    at: Timestamp,
    authority: Option<&str>,
) -> Finding {
    let draft = draft.asked(asked);
    let certificate = match &asked.got {
        Err(error) => return draft.failed(error),
        Ok(None) => return draft.differs(format!("there is no {path}")),
        Ok(Some(certificate)) => certificate,
    };
    let (from, to) = (certificate.from, certificate.to);
    if at < from {
        return draft.differs(format!("{path} is not valid before {from}"));
    }
    if at > to {
        return draft.differs(format!("{path} EXPIRED at {to}"));
    }
    if to.duration_since(at) < SOON {
        return draft.differs(format!("{path} expires soon, at {to}"));
    }
    if authority.is_some_and(|name| name != certificate.issuer) {
        return draft.differs(format!("{path} is of another CA"));
    }
    draft.holds(format!("{path}, valid until {to}"))
}
