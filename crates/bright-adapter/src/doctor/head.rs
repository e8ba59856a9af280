//! What is believed of this head node.

use runbook_core::names::AbsPath;
use runbook_core::ports::Node as _;
use runbook_core::world::HeadRole;

use super::ask::Asker;
use super::manager::Seen;
use super::{Finding, Settings, checks};

pub(super) async fn examine(
    asker: &Asker,
    settings: &Settings,
    seen: &Seen,
    findings: &mut Vec<Finding>,
) {
    let role = asker.cmsh(async |cmsh| cmsh.read_head_role().await).await;
    let draft = checks::HEAD_ROLE.made().asked(&role);
    findings.push(match &role.got {
        Ok(HeadRole::Single) => draft.holds("the only head node"),
        Ok(HeadRole::Active) => draft.holds("the active one"),
        Ok(HeadRole::Passive) => draft.differs("this is the PASSIVE head node"),
        Err(error) => draft.failed(error),
    });
    state_directory(asker, settings, seen, findings).await;
    let there = asker
        .head(async |head, name| match AbsPath::new(asker.etcd_manage()) {
            Ok(path) => head.exists(name, &path).await,
            Err(_) => Ok(false),
        })
        .await;
    let draft = checks::MEMBER_SCRIPT.made().asked(&there);
    findings.push(match there.got {
        Ok(true) => draft.holds(
            "it is there: while a quorum lives, replace a lost member with it instead of restoring",
        ),
        Ok(false) => {
            draft.moot("it is not there; it comes with 10.25.06 and 11.25.05, and runs on 9.2")
        }
        Err(error) => draft.failed(&error),
    });
}

async fn state_directory(
    asker: &Asker,
    settings: &Settings,
    seen: &Seen,
    findings: &mut Vec<Finding>,
) {
    let dir = &settings.state_dir;
    let storage = asker
        .head(async |head, name| head.on_shared_storage(name, dir).await)
        .await;
    let draft = checks::STATE_DIRECTORY.made().asked(&storage);
    findings.push(match (&storage.got, seen.heads()) {
        (_, None) => draft.blocked("the devices cannot be listed"),
        (_, Some(0 | 1)) => draft.moot("there is one head node"),
        (Ok((shared, kind)), Some(_)) => draft.if_so(*shared, format!("{dir} lies on {kind}")),
        (Err(error), Some(_)) => draft.failed(error),
    });
}
