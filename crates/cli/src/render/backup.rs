//! A backup as people and programs read it.

use std::fmt::Write as _;

use etcd_adapter::backup::{Changes, Fate, Line, Manifest, Retained, Taken};
use serde_json::{Value, json};

use super::{size, thousands};
use crate::ui::{BAD, FAINT, GOOD, HEAD, clean_line, paint};

/// What was done, for programs.
pub(crate) fn json(taken: &Taken, retained: &[Retained]) -> Value {
    let members: Vec<Value> = taken
        .survey
        .members
        .iter()
        .map(|seen| {
            let vitals = seen.vitals.as_ref().ok();
            json!({
                "endpoint": seen.url,
                "unfit": seen.unfit(),
                "member": vitals.map(|v| v.status.member),
                "leads": vitals.map(|v| v.status.leader == Some(v.status.member)),
                "revision": vitals.map(|v| v.status.revision),
                "applied_index": vitals.map(|v| v.applied_index),
                "etcd": vitals.map(|v| v.status.version),
                "database_bytes": vitals.map(|v| v.database_bytes),
                "in_use_bytes": vitals.map(|v| v.in_use_bytes),
                "quota_bytes": vitals.and_then(|v| v.quota_bytes),
            })
        })
        .collect();
    let retention: Vec<Value> = retained
        .iter()
        .map(|r| json!({"directory": r.dir, "pruned": r.pruned, "backups": r.lines}))
        .collect();
    json!({
        "backup": taken.path,
        "copy": taken.copy,
        "manifest": taken.manifest,
        "members": members,
        "changes": taken.changes,
        "warnings": taken.warnings,
        "cleaned": taken.cleaned,
        "took_s": taken.took.as_secs_f64(),
        "retention": retention,
    })
}

/// The same for people.
pub(crate) fn text(taken: &Taken, retained: &[Retained]) -> String {
    let mut page = String::new();
    let path = clean_line(&taken.path.display().to_string());
    writeln!(page, "{} {path}", paint(GOOD, "Backup")).ok();
    facts(&mut page, taken);
    if let Some(copy) = &taken.copy {
        row(&mut page, "copy", &copy.display().to_string());
    }
    for gone in &taken.cleaned {
        row(
            &mut page,
            "cleaned",
            &format!("{}, left by a process that died", gone.display()),
        );
    }
    for place in retained {
        retention(&mut page, place);
    }
    page
}

fn row(page: &mut String, name: &str, text: &str) {
    writeln!(page, "  {name:<11}{}", clean_line(text)).ok();
}

fn facts(page: &mut String, taken: &Taken) {
    let manifest = &taken.manifest;
    let (cluster, content) = (&manifest.cluster, &manifest.content);
    let took = taken.took.as_secs_f64();
    row(
        page,
        "proven",
        &format!("{}, in {took:.1} s", size(manifest.size_bytes)),
    );
    row(page, "sha256", &manifest.sha256.hex());
    let compacted = content.compact_revision.map_or_else(
        || "never compacted".into(),
        |revision| format!("compacted up to {revision}"),
    );
    row(
        page,
        "revision",
        &format!("{}, {compacted}", content.revision),
    );
    let (all, own) = (
        thousands(content.live_keys),
        thousands(content.registry_keys),
    );
    row(
        page,
        "keys",
        &format!("{all}, {own} of them Kubernetes' own"),
    );
    let told = match content.member_hash_kv {
        Some(told) if told == content.hash_kv => "as the member says".to_owned(),
        Some(told) => format!("but the member says {told}"),
        None => "the member could not tell its own".into(),
    };
    row(page, "HashKV", &format!("{}, {told}", content.hash_kv));
    let from = format!(
        "{} (member {} of {}, etcd {}, cluster {})",
        cluster.endpoint,
        cluster.source,
        cluster.members.len(),
        cluster.etcd,
        cluster.id
    );
    row(page, "from", &from);
    row(
        page,
        "since",
        &taken
            .changes
            .as_ref()
            .map_or_else(|| "this is the first here".into(), since),
    );
    row(page, "companions", &companions(manifest));
}

fn companions(manifest: &Manifest) -> String {
    let (found, missing): (Vec<_>, Vec<_>) =
        manifest.companions.iter().partition(|c| c.sha256.is_some());
    let mut text = match found.len() {
        0 => "none; Secrets encrypted at rest need the API servers' configuration, see --companion"
            .to_owned(),
        1 => "the digest of 1 file".into(),
        many => format!("the digests of {many} files"),
    };
    for companion in missing {
        let why = companion.missing.as_deref().unwrap_or("unreadable");
        write!(text, "; not {}: {why}", companion.path.display()).ok();
    }
    text
}

fn since(changes: &Changes) -> String {
    let keys = difference(changes.live_keys);
    let own = difference(changes.registry_keys);
    let bytes = difference(changes.size_bytes);
    let mut text = format!(
        "{}: {keys} keys ({own} of Kubernetes), {bytes} bytes",
        changes.since
    );
    if changes.same_cluster {
        let (before, now) = changes.revision;
        write!(text, ", {:+} revisions", now.saturating_sub(before)).ok();
    } else {
        text.push_str(", another cluster id");
    }
    text
}

fn difference((before, now): (u64, u64)) -> String {
    let sign = if now < before { '-' } else { '+' };
    format!("{sign}{}", thousands(now.abs_diff(before)))
}

fn retention(page: &mut String, place: &Retained) {
    let dropped = place.lines.iter().filter(|line| line.fate == Fate::Dropped);
    let (count, bytes) = dropped.fold((0, 0), |(n, bytes), line| (n + 1, bytes + line.size_bytes));
    let what = match (count, place.pruned) {
        (0, _) => "nothing goes".to_owned(),
        (_, true) => format!("{count} dropped, {}", size(bytes)),
        (_, false) => format!("{count} would go with --prune, {}", size(bytes)),
    };
    let dir = clean_line(&place.dir.display().to_string());
    writeln!(page, "{} {dir}: {what}", paint(HEAD, "Retention")).ok();
    for line in &place.lines {
        writeln!(page, "  {}", retained(line)).ok();
    }
}

fn retained(line: &Line) -> String {
    let word = match line.fate {
        Fate::Last => "last",
        Fate::Hourly => "hourly",
        Fate::Daily => "daily",
        Fate::Weekly => "weekly",
        Fate::Newest => "newest",
        Fate::Dropped => "goes",
    };
    let doubt = if line.doubtful { "  doubtful" } else { "" };
    let bytes = size(line.size_bytes);
    let text = format!("{word:<11}{}  {bytes}{doubt}", clean_line(&line.file));
    match (line.fate, line.doubtful) {
        (Fate::Dropped, _) => paint(FAINT, text),
        (_, true) => paint(BAD, text),
        _ => text,
    }
}
