//! Whether the client's certificate is valid, before a run depends on it.

use jiff::Timestamp;
use runbook_core::error::{AdapterError, Certainty};
use runbook_core::ports::PortResult;
use x509_cert::Certificate;
use x509_cert::der::DecodePem as _;
use x509_cert::time::Time;

/// The last moment of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct NotAfter(pub Timestamp);

/// Checks that a client's certificate (PEM; the first one of a chain) is valid at a moment.
///
/// # Errors
/// Refused with code `certificate-unreadable`, `certificate-early` or `certificate-expired`.
pub fn check_client_certificate(pem: &[u8], now: Timestamp) -> PortResult<NotAfter> {
    check("the client's certificate", pem, now)
}

/// The same for the certificate of the authority that the servers' come from.
pub(super) fn check_authority(pem: &[u8], now: Timestamp) -> PortResult<NotAfter> {
    check("the authority's certificate", pem, now)
}

fn check(whose: &str, pem: &[u8], now: Timestamp) -> PortResult<NotAfter> {
    let unreadable = |why: &str| {
        let what = format!("{whose} cannot be read: {why}");
        refused("certificate-unreadable", what)
    };
    let block = first_block(pem).ok_or_else(|| unreadable("it is not PEM of a certificate"))?;
    let first = Certificate::from_pem(block)
        .map_err(|error| unreadable("it is no certificate").caused_by(error))?;
    let validity = &first.tbs_certificate.validity;
    let moment = |time| moment(time).ok_or_else(|| unreadable("its dates are beyond reason"));
    let (from, to) = (moment(validity.not_before)?, moment(validity.not_after)?);
    if now < from {
        let what = format!("{whose} is not valid before {from}");
        return Err(refused("certificate-early", what).hint("check the clock of this machine"));
    }
    if now > to {
        let what = format!("{whose} expired at {to}");
        return Err(refused("certificate-expired", what)
            .hint("renew it before the run: nothing can be verified without it"));
    }
    Ok(NotAfter(to))
}

/// The first certificate in a text that may hold more: a description before it, a chain behind it.
///
/// `load_pem_chain` of x509-cert 0.2.5 panics on an empty file.
fn first_block(pem: &[u8]) -> Option<&str> {
    const END: &str = "-----END CERTIFICATE-----";
    let text = std::str::from_utf8(pem).ok()?;
    let text = &text[text.find("-----BEGIN CERTIFICATE-----")?..];
    Some(&text[..text.find(END)? + END.len()])
}

fn moment(time: Time) -> Option<Timestamp> {
    let seconds = i64::try_from(time.to_unix_duration().as_secs()).ok()?;
    Timestamp::from_second(seconds).ok()
}

fn refused(code: &'static str, what: String) -> AdapterError {
    AdapterError::new(code, Certainty::Refused, what)
}
