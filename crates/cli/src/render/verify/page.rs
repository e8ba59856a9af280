//! One file, in full: the verdict first, then why, then what to do, then what is in it.

use std::fmt::{Display, Write as _};

use etcd_adapter::snapshot::{Meaning, Proof, ProofError};

use super::super::{short_size, size, thousands, wrap};
use super::{Report, age_of, alarm, shown, warnings, ways_out};
use crate::exit::Exit;
use crate::ui::{BAD, FAINT, GOOD, HEAD, WARN, clean_line, paint};
use crate::verdict::{Judged, Layer};

/// Room for the label of a line.
const LABEL: usize = 10;
/// Prose is broken here.
const WIDTH: usize = 86;
/// Kinds of Kubernetes' objects that are named; the rest is summed.
const KINDS: usize = 10;

impl Report {
    /// One file, on a page of its own.
    pub(super) fn page(&self, file: &Judged) -> String {
        let style = match (file.exit(), file.starts_empty()) {
            (Exit::Done, None) => GOOD,
            (Exit::Done, Some(_)) => WARN,
            _ => BAD,
        };
        let mut page = format!("{}  {}\n\n", paint(style, file.word()), shown(&file.path));
        let alarm = alarm(file);
        if !alarm.is_empty() {
            page.push_str(&alarm);
            page.push('\n');
        }
        let [bytes, structure, meaning] = file.layers();
        layer(&mut page, "bytes", &bytes);
        layer(&mut page, "structure", &structure);
        layer(&mut page, "meaning", &meaning);
        self.outside(&mut page, file);
        if let Some(proof) = file.content() {
            if let Err(ProofError::NoTrailer { .. }) = &file.verdict {
                field(&mut page, "content", "unproven, as the copy has it:");
            }
            inside(&mut page, proof);
        }
        let warnings = warnings(file, self.quota_bytes, self.now);
        list(&mut page, "What to know", &warnings);
        list(&mut page, "What to do", &ways_out(file));
        if let Some(code) = file.code() {
            let more = format!("  more: restore-runbook explain {code}");
            writeln!(page, "{}", paint(FAINT, more)).ok();
        }
        page
    }

    fn outside(&self, page: &mut String, file: &Judged) {
        let Some(seen) = file.seen else { return };
        page.push('\n');
        let time = seen.modified.map(|at| format!(", written {at:.0}"));
        let age = age_of(file, self.now);
        field(page, "age", format!("{age}{}", time.unwrap_or_default()));
        let database = file.content().map(|proof| proof.database_bytes);
        let share = database.map(|bytes| self.of_quota(bytes));
        field(
            page,
            "size",
            format!("{}{}", size(seen.size_bytes), share.unwrap_or_default()),
        );
    }

    fn of_quota(&self, bytes: u64) -> String {
        let percent = u128::from(bytes) * 100 / u128::from(self.quota_bytes);
        let share = if percent == 0 {
            "less than 1".to_owned()
        } else {
            percent.to_string()
        };
        format!(", {share} % of a quota of {}", short_size(self.quota_bytes))
    }
}

fn inside(page: &mut String, proof: &Proof) {
    let meaning = &proof.meaning;
    let hex = proof.sha256.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").ok();
        hex
    });
    field(page, "sha256", hex);
    field(
        page,
        "status",
        format!(
            "hash {:x}, revision {}, total keys {} (etcd 3.6 counts {})",
            proof.status_hash, meaning.newest_record, proof.total_key, meaning.live_keys
        ),
    );
    let compacted = meaning
        .compact_revision
        .map_or("never compacted".to_owned(), |at| {
            format!("compacted up to {at}")
        });
    field(
        page,
        "revision",
        format!(
            "{}, {compacted}, {} revisions kept",
            meaning.revision,
            thousands(meaning.revisions)
        ),
    );
    keys(page, meaning);
    let leases = if meaning.leases == 0 {
        "none".to_owned()
    } else {
        let (leases, keys) = (thousands(meaning.leases), thousands(meaning.leased_keys));
        format!("{leases}, with {keys} keys")
    };
    field(page, "leases", leases);
    field(
        page,
        "hashkv",
        format!(
            "{} at revision {}: what each member must say after a plain restore",
            meaning.hash_kv.hash, meaning.hash_kv.revision
        ),
    );
    cluster(page, meaning);
}

fn keys(page: &mut String, meaning: &Meaning) {
    let registry = &meaning.registry;
    let line = format!(
        "{} live, {} of them Kubernetes' own",
        thousands(meaning.live_keys),
        thousands(registry.live_keys)
    );
    field(page, "keys", line);
    let mut kinds: Vec<(&String, u64)> = registry.kinds.iter().map(|(k, n)| (k, *n)).collect();
    kinds.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    for (kind, count) in kinds.iter().take(KINDS) {
        field(
            page,
            "",
            format!("{:>9}  {}", thousands(*count), clean_line(kind)),
        );
    }
    let rest = kinds.get(KINDS..).unwrap_or_default();
    if !rest.is_empty() {
        let sum = rest.iter().map(|(_, count)| count).sum();
        let line = format!("{:>9}  in {} other kinds", thousands(sum), rest.len());
        field(page, "", paint(FAINT, line));
    }
}

fn cluster(page: &mut String, meaning: &Meaning) {
    let version = meaning
        .cluster_version
        .as_deref()
        .unwrap_or("not agreed on");
    let storage = match &meaning.storage_version {
        Some(storage) => format!("storage version {storage}"),
        None => "no storage version (etcd writes it from 3.6 on)".into(),
    };
    let line = format!("version {version}, {storage}");
    field(page, "cluster", clean_line(&line));
    let term = meaning.term.map(|term| format!(", term {term}"));
    let line = format!(
        "index {}{}",
        meaning.consistent_index,
        term.unwrap_or_default()
    );
    field(page, "raft", line);
    for (at, member) in meaning.members.iter().enumerate() {
        let name = if member.name.is_empty() {
            "(never started)"
        } else {
            &member.name
        };
        let peers = member.peer_urls.join(", ");
        let learner = if member.learner { ", LEARNER" } else { "" };
        let line = format!("{name}, id {:x}, {peers}{learner}", member.id);
        let label = if at == 0 { "members" } else { "" };
        field(page, label, clean_line(&line));
    }
    if meaning.members.is_empty() {
        field(page, "members", "none");
    }
    let alarms: Vec<String> = meaning.alarms.iter().map(ToString::to_string).collect();
    if alarms.is_empty() {
        field(page, "alarms", "none");
    } else {
        field(page, "alarms", alarms.join(", "));
    }
    field(
        page,
        "auth",
        if meaning.auth_enabled { "on" } else { "off" },
    );
}

fn layer(page: &mut String, name: &str, layer: &Layer) {
    let (style, word, text) = match layer {
        Layer::Holds(text) => (GOOD, "good", (*text).to_owned()),
        Layer::Fails(text) => (BAD, "FAIL", clean_line(text)),
        Layer::Open(text) => (FAINT, "  ? ", clean_line(text)),
    };
    let lines = wrap(&text, WIDTH - 6);
    for (at, line) in lines.iter().enumerate() {
        if at == 0 {
            field(page, name, format!("{}  {line}", paint(style, word)));
        } else {
            field(page, "", format!("      {line}"));
        }
    }
}

fn field(page: &mut String, label: &str, value: impl Display) {
    writeln!(page, "  {label:<LABEL$} {value}").ok();
}

fn list(page: &mut String, heading: &str, points: &[String]) {
    if points.is_empty() {
        return;
    }
    writeln!(page, "\n{}", paint(HEAD, heading)).ok();
    for point in points {
        for (at, line) in wrap(point, WIDTH).iter().enumerate() {
            let bullet = if at == 0 { "*" } else { " " };
            writeln!(page, "  {bullet} {line}").ok();
        }
    }
}
