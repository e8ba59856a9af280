//! Where the snapshots lie, and whether the newest is worth something.

use jiff::SignedDuration;

use super::questions::Backup;
use super::{Doctor, Finding, checks};

/// A day, and an hour for a timer that is late.
const OLD: SignedDuration = SignedDuration::from_hours(25);

/// The newest backup, as this head node sees it.
pub(super) async fn examine(doctor: &Doctor, findings: &mut Vec<Finding>) -> Option<Backup> {
    let dir = &doctor.settings.backup_dir;
    let found = doctor
        .asker
        .head(async |head, name| head.backups(name, dir).await)
        .await;
    let there = checks::BACKUP_DIRECTORY.made().asked(&found);
    let age = checks::BACKUP_AGE.made().asked(&found);
    let proof = checks::BACKUP_PROOF.made();
    let newest = match &found.got {
        Ok(Some(found)) => found.first().cloned(),
        Ok(None) => None,
        Err(error) => {
            findings.push(there.failed(error));
            findings.push(age.blocked("the backups cannot be listed"));
            findings.push(proof.blocked("the backups cannot be listed"));
            return None;
        }
    };
    let Some(newest) = newest else {
        findings.push(there.differs(format!("there is nothing in {dir}")));
        findings.push(age.blocked("there is no backup"));
        findings.push(proof.blocked("there is no backup"));
        return None;
    };
    findings.push(there.holds(format!("the newest is {}", newest.path)));
    let old = doctor.settings.at.duration_since(newest.modified);
    let said = format!("written {}, {} h ago", newest.modified, old.as_hours());
    // A clock that was ahead, there or here, makes an age that means nothing.
    let ahead = old < -SignedDuration::from_mins(5);
    findings.push(age.if_so(old <= OLD && !ahead, said));
    let proven = doctor.prover.prove(&newest.path).await;
    findings.push(proof.if_so(proven.good, format!("{}: {}", newest.path, proven.text)));
    Some(newest)
}
