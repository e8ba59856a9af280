//! The recovery point of a plan: how old the snapshot is, and what is in it.

use runbook_core::plan::SealedPlan;
use runbook_core::world::SnapshotContent;

use super::{age, thousands};
use crate::ui::clean_line;

/// Kinds of Kubernetes' objects that are named; the rest is summed.
const KINDS: usize = 8;

/// What a reviewer must know of the snapshot before approving.
pub(crate) fn lines(plan: &SealedPlan) -> Vec<String> {
    let content = &plan.world.snapshot.content;
    let keys = format!(
        "revision {}, {} keys, {} of them Kubernetes' own",
        content.revision,
        thousands(content.live_keys),
        thousands(content.registry_keys)
    );
    [written(plan), Some(keys), kinds(content)]
        .into_iter()
        .flatten()
        .collect()
}

/// The age is that on the day of the plan, so that a plan reads the same for ever.
fn written(plan: &SealedPlan) -> Option<String> {
    let snapshot = &plan.world.snapshot;
    let (at, written) = match snapshot.taken {
        Some(at) => (at, "taken"),
        None => (snapshot.modified?, "by the file's own time written"),
    };
    let before = plan
        .run
        .made_at()
        .map(|made| made.as_second() - at.as_second());
    Some(match before {
        None => format!("{written} {at:.0}"),
        Some(seconds @ 0..) => {
            let age = age(seconds.unsigned_abs());
            format!("{written} {at:.0}, {age} before this plan: what came later is lost")
        }
        Some(_) => format!("{written} {at:.0}, AFTER this plan was made: look at the clocks"),
    })
}

fn kinds(content: &SnapshotContent) -> Option<String> {
    let mut kinds: Vec<(&String, u64)> = content.kinds.iter().map(|(k, n)| (k, *n)).collect();
    kinds.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let named = kinds.iter().take(KINDS);
    let mut words: Vec<String> = named
        .map(|(kind, count)| format!("{} {}", thousands(*count), clean_line(kind)))
        .collect();
    let rest = kinds.get(KINDS..).unwrap_or_default();
    if let [(kind, count)] = rest {
        words.push(format!("{} {}", thousands(*count), clean_line(kind)));
    } else if !rest.is_empty() {
        let sum = rest.iter().map(|(_, count)| count).sum();
        words.push(format!("{} in {} other kinds", thousands(sum), rest.len()));
    }
    (!words.is_empty()).then(|| words.join(", "))
}
