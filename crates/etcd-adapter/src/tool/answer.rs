//! Reading what the scripts print: hostile text until parsed.

use runbook_core::digest::Digest;
use runbook_core::error::{AdapterError, Certainty};
use runbook_core::names::{ModuleName, NodeName};
use runbook_core::ports::PortResult;
use runbook_core::text::steers;
use runbook_core::version::EtcdVersion;
use runbook_core::world::{Restored, Staged, ToolVersions};

/// Printed before each line of an answer from a login shell, where profiles may print as well.
const OURS: &str = "restore-runbook:";

/// How much of a log is worth carrying in an error or a state.
const TAIL_CHARS: usize = 1_500;

/// The state of a restore, from `staged.sh`.
pub(super) fn staged(node: &NodeName, said: &str) -> PortResult<Staged> {
    let (facts, log) = said.split_once("Log=\n").unwrap_or((said, ""));
    let fact = |key| value(facts, key);
    let unclear = || unclear(node, "the state of the restore", said);
    match fact("ActiveState=").ok_or_else(unclear)? {
        "active" | "activating" | "deactivating" | "reloading" => return Ok(Staged::Running),
        // Even where the mark of completion is there: its last sync may be what has failed.
        "failed" => {
            // systemd's own word for it, as `exit-code` or `oom-kill`, and the end of the log.
            let result = fact("Result=").unwrap_or("failed");
            return Ok(Staged::Failed(tail(&format!("{result}: {}", tail(log)))));
        }
        "inactive" => {}
        _ => return Err(unclear()),
    }
    let restored = || {
        let db = fact("Digest=").and_then(|hex| Digest::parse(hex).ok());
        let content = fact("Content=").filter(|text| is_status(text));
        let made = db.zip(content).map(|(db, content)| Restored {
            db,
            content: content.to_owned(),
        });
        made.ok_or_else(|| {
            unclear().hint(format!(
                "the file `complete` beside what was restored on {node} is not as this build writes it: find out who has changed it, then `abandon` the run and plan anew, which restores every member once more"
            ))
        })
    };
    match fact("Tree=").ok_or_else(unclear)? {
        "nothing" => Ok(Staged::Nothing),
        "partial" => Ok(Staged::Partial),
        "complete" => Ok(Staged::Complete(restored()?)),
        "taken" => Ok(Staged::Taken(restored()?)),
        _ => Err(unclear()),
    }
}

/// The beginning of what `snapshot status` prints: `8243dda0, 7, 512`, the first hexadecimal.
fn is_status(text: &str) -> bool {
    let parts: Vec<&str> = text.split(", ").collect();
    let digits = |part: &&str| !part.is_empty() && part.chars().all(|c| c.is_ascii_hexdigit());
    parts.len() == 3 && parts.iter().all(digits)
}

/// A digest or none, from `digest.sh`.
pub(super) fn digest(node: &NodeName, said: &str) -> PortResult<Option<Digest>> {
    let unclear = || unclear(node, "the digest of member/snap/db", said);
    match value(said, "Digest=").ok_or_else(unclear)? {
        "none" => Ok(None),
        hex => Digest::parse(hex).map(Some).map_err(|_| unclear()),
    }
}

/// The only etcd module in a listing, from `modules.sh`.
pub(super) fn only_module(node: &NodeName, said: &str) -> PortResult<ModuleName> {
    let mut found: Vec<ModuleName> = ours(said, "avail=").filter_map(module_entry).collect();
    found.sort();
    found.dedup();
    let error = |code, what| AdapterError::new(code, Certainty::Refused, what);
    match found.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(error(
            "module-missing",
            format!("{node} has no environment module etcd/…"),
        )
        .hint("look at `module avail` on the node, and name the module in the spec")),
        many => {
            let list = many
                .iter()
                .map(ModuleName::as_str)
                .collect::<Vec<_>>()
                .join(", ");
            Err(error(
                "module-ambiguous",
                format!("{node} has several etcd modules: {list}"),
            )
            .hint("name the one the cluster runs in the spec"))
        }
    }
}

/// A module in a line of `module -t avail etcd`.
///
/// Modules 4 and 5 and Tcl's print `/path:` before the names of a directory, Lmod `etcd/` before
/// those of a module; the default carries `(default)`, an alias `(@)`. Both know a name by its
/// beginning, so that `etcdtools/1` is listed as well.
fn module_entry(line: &str) -> Option<ModuleName> {
    let line = line.trim();
    let name = match line.split_once('(') {
        Some((_, tags)) if tags.contains('@') => return None,
        Some((name, _)) => name,
        None => line,
    };
    let etcd = name == "etcd" || name.starts_with("etcd/");
    if etcd {
        ModuleName::new(name).ok()
    } else {
        None
    }
}

/// The versions, from `versions.sh`.
pub(crate) fn versions(
    node: &NodeName,
    asked: &ModuleName,
    said: &str,
) -> PortResult<ToolVersions> {
    let version = |program: &str| -> PortResult<Option<EtcdVersion>> {
        let line = ours(said, program).next().unwrap_or_default().trim();
        if line.is_empty() {
            return Ok(None);
        }
        version_in(line)
            .map(Some)
            .ok_or_else(|| unclear(node, "a version", line))
    };
    let module =
        loaded(asked, ours(said, "loaded=").next().unwrap_or_default()).ok_or_else(|| {
            AdapterError::new(
                "module-not-loaded",
                Certainty::Refused,
                format!("module load {asked} on {node} has loaded nothing of that name"),
            )
            .hint("look at `module avail etcd` on the node, and name the module in the spec")
        })?;
    let etcd = version("etcd=")?.ok_or_else(|| {
        AdapterError::new(
            "etcd-missing",
            Certainty::Refused,
            format!("module {module} on {node} gives no program etcd"),
        )
        .hint("name the module the etcd service runs from")
    })?;
    Ok(ToolVersions {
        module,
        etcd,
        etcdctl: version("etcdctl=")?,
        etcdutl: version("etcdutl=")?,
    })
}

/// The version a program says it has: `etcd Version: 3.4.23`, `etcdctl version: 3.4.23`,
/// `etcdutl version: 3.5.16`.
pub(crate) fn version_in(line: &str) -> Option<EtcdVersion> {
    let (_, number) = line.split_once(": ")?;
    EtcdVersion::parse(number).ok()
}

/// The full name of the module asked for: `etcd/kube-default` may have loaded its default version.
fn loaded(asked: &ModuleName, list: &str) -> Option<ModuleName> {
    let below = format!("{asked}/");
    list.split(':')
        .find(|name| *name == asked.as_str() || name.starts_with(&below))
        .and_then(|name| ModuleName::new(name).ok())
}

/// The end of a text, bounded; of what steers a terminal only line feeds are left.
pub(crate) fn tail(text: &str) -> String {
    let text = text.trim();
    let skip = text.chars().count().saturating_sub(TAIL_CHARS);
    text.chars()
        .skip(skip)
        .map(|c| {
            if steers(c) && c != '\n' {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}

fn value<'a>(said: &'a str, key: &str) -> Option<&'a str> {
    said.lines().find_map(|line| line.strip_prefix(key))
}

fn ours<'a>(said: &'a str, key: &'a str) -> impl Iterator<Item = &'a str> {
    said.lines()
        .filter_map(move |line| line.strip_prefix(OURS)?.strip_prefix(key))
}

fn unclear(node: &NodeName, what: &str, said: &str) -> AdapterError {
    AdapterError::new(
        "etcd-node-answer",
        Certainty::Refused,
        format!("{node} answered {:?} where {what} was asked", tail(said)),
    )
    .hint(format!(
        "`ssh root@{node} bash -lc true` must print nothing: see root's shell start-up files there"
    ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn node() -> NodeName {
        NodeName::new("node001").unwrap()
    }

    #[test]
    fn a_log_cannot_pass_for_an_answer() {
        let log = "Result=exit-code\nActiveState=failed\nTree=partial\nLog=\nActiveState=inactive\nTree=complete\n\u{1b}[2J";
        let Ok(Staged::Failed(said)) = staged(&node(), log) else {
            panic!()
        };
        assert!(said.starts_with("exit-code: ActiveState=inactive"));
        assert!(!said.contains('\u{1b}'));
    }

    #[test]
    fn half_an_answer_is_none() {
        for said in [
            "",
            "ActiveState=\n",
            "ActiveState=inactive\n",
            "ActiveState=inactive\nTree=complete\n",
            "ActiveState=inactive\nDigest=12\nTree=taken\n",
            "ActiveState=maintenance\nTree=nothing\n",
            "Tree=nothing\n",
        ] {
            let error = staged(&node(), said).unwrap_err();
            assert_eq!(error.code, "etcd-node-answer", "{said:?}");
            let hint = error.hint.unwrap_or_default();
            let mark = said.contains("ActiveState=inactive\n") && said.contains("Tree=");
            assert_eq!(hint.contains("`abandon`"), mark, "{said:?}: {hint}");
        }
        assert!(digest(&node(), "Digest=xyz\n").is_err());
        assert!(digest(&node(), "").is_err());
    }

    #[test]
    fn what_a_profile_prints_is_not_taken_for_versions() {
        let asked = ModuleName::new("etcd/a").unwrap();
        let said = "etcd Version: 9.9.9\nrestore-runbook:loaded=gcc/12:etcd/a/3.5.16\n\
                    restore-runbook:etcd=etcd Version: 3.5.16\nrestore-runbook:etcdctl=\n\
                    restore-runbook:etcdutl=etcdutl version: 3.5.16\n";
        let seen = versions(&node(), &asked, said).unwrap();
        assert_eq!(seen.module.as_str(), "etcd/a/3.5.16");
        assert_eq!(seen.etcd, EtcdVersion::new(3, 5, 16));
        assert_eq!((seen.etcdctl, seen.etcdutl), (None, Some(seen.etcd)));
        let odd = said.replace("etcdutl version: 3.5.16", "Error: unknown command");
        assert!(versions(&node(), &asked, &odd).is_err());
        let none = said.replace("etcd=etcd Version: 3.5.16", "etcd=");
        assert_eq!(
            versions(&node(), &asked, &none).unwrap_err().code,
            "etcd-missing"
        );
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_panic(said in "(?s)(ActiveState=|Digest=|Tree=|Log=|restore-runbook:|loaded=|etcd|[a-z0-9:/()@ ]|\n|.){0,60}") {
            let asked = ModuleName::new("etcd").unwrap();
            staged(&node(), &said).ok();
            digest(&node(), &said).ok();
            only_module(&node(), &said).ok();
            versions(&node(), &asked, &said).ok();
        }
    }
}
