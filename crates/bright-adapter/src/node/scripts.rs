//! The scripts that change something on a node.
//!
//! Every one reads the state first and goes on from there, whatever an earlier, interrupted run of the
//! same script has left; every window is in the tests. Nothing is ever overwritten: names are taken by
//! `ln` and by `mv -n`, which fail where something stands. Whoever says "done" has synced it, what an
//! earlier run had left too: it may have been cut off right before its own sync. Exit statuses 80 to 89
//! say "not ours to touch", with a sentence on standard error.

use runbook_core::names::{AbsPath, Owner, RunId, ServiceName};
use runbook_core::plan::NodeEffect;

/// The first word of a guard's first line; the run's id follows.
pub(crate) const GUARD_MARK: &str = "restore-runbook guard";

/// Exit statuses with which a script refuses.
pub(crate) const REFUSALS: std::ops::RangeInclusive<i32> = 80..=89;

/// The one of them for what is to be moved and is nowhere.
pub(super) const NOTHING_THERE: i32 = 85;

/// Looking at a path. An error that is no "not there" must not pass for it, nor for "empty": a stale mount, a
/// dying disk.
pub(crate) const LOOK: &str = r#"
refuse() { echo "$2" >&2; exit "$1"; }
there() {
  seen=$(LC_ALL=C stat -c %F -- "$1" 2>&1) && return 0
  case $seen in *'No such file or directory'|*'Not a directory') return 1;; esac
  refuse 89 "cannot look at $1: $seen"
}
real_dir() { there "$1" && [ -d "$1" ] && [ ! -L "$1" ]; }
empty_dir() {
  real_dir "$1" || return 1
  listed=$(LC_ALL=C ls -A -- "$1" 2>&1) || refuse 89 "cannot list $1: $listed"
  [ -z "$listed" ]
}
mounted() {
  at=$(cd -- "$1" && pwd -P) || refuse 89 "cannot look at $1"
  while read -r _ _ _ _ point _; do [ "$point" = "$at" ] && return 0; done </proc/self/mountinfo
  return 1
}"#;

/// Knowing a guard by its first line.
const OURS: &str = r#"
guard_of() { there "$1" && [ -f "$1" ] && [ ! -L "$1" ] && [ "$(head -c 200 -- "$1" | head -n 1)" = "$2" ]; }
ours() { guard_of "$1" "$mark"; }"#;

/// Making the guard. `ln` takes the name in one step and never overwrites; a guard that was cut short
/// by a crash is only ever the file beside, which `set -C` never writes through a link.
const GUARD: &str = r#"
write_guard() {
  rm -f -- "$beside"
  (umask 0377; set -C; printf '%s\n' "$mark" "$text" >"$beside")
  sync -- "$beside"
}
guard() {
  write_guard
  ln -T -- "$beside" "$spool" || refuse 82 "something has taken $spool just now"
  rm -f -- "$beside"
  sync -- "${spool%/*}/"
}"#;

/// Moving a directory to a name that is free. `mv -n` says nothing when the name is taken.
const MOVE: &str = r#"
move() {
  [ "$(stat -c %d -- "$1")" = "$(stat -c %d -- "${2%/*}/")" ] || refuse 84 "$1 and $2 are on different filesystems"
  mv -T -n -- "$1" "$2"
  if there "$1"; then refuse 83 "$2 has been taken just now, $1 is still there"; fi
  sync -- "${1%/*}/" "${2%/*}/"
}"#;

const SET_ASIDE: &str = r#"
if ours "$spool"; then
  there "$aside" || refuse 81 "$spool is guarded, and nothing lies at $aside"
  rm -f -- "$beside"
  sync -- "${spool%/*}/" "${aside%/*}/"
  exit 0
fi
if ! there "$aside"; then
  there "$spool" || refuse 85 "there is nothing at $spool to move"
  real_dir "$spool" || refuse 80 "$spool is no directory"
  if mounted "$spool"; then refuse 86 "$spool is a mount point of its own"; fi
  move "$spool" "$aside"
fi
real_dir "$aside" || refuse 83 "$aside is no directory"
if there "$spool"; then
  empty_dir "$spool" || refuse 83 "$aside is taken, and there is something at $spool too"
  if mounted "$spool"; then refuse 86 "$spool is a mount point of its own"; fi
  rmdir -- "$spool"
fi
sync -- "${aside%/*}/"
guard"#;

/// Before the steps of [`SET_ASIDE`], with the staging directory in the place of the old data's: what
/// goes back there must be a restored tree.
const DISARM: &str = r#"
if ! there "$aside" && there "$spool" && ! ours "$spool"; then
  [ -f "$spool/member/snap/db" ] || refuse 85 "$spool holds no restored tree"
fi"#;

const PLACE_GUARD: &str = r#"
if ours "$spool"; then
  rm -f -- "$beside"
  sync -- "${spool%/*}/"
  exit 0
fi
if there "$spool"; then
  real_dir "$spool" || refuse 80 "$spool is no directory, and no guard of this run"
  if mounted "$spool"; then refuse 86 "$spool is a mount point of its own"; fi
  empty_dir "$spool" || refuse 82 "$spool holds something: an etcd may have started here"
  rmdir -- "$spool"
fi
guard"#;

/// Before [`PLACE_GUARD`]: the guard of a run that is over is replaced by a rename, so that there is
/// one at every moment.
const TAKE_OVER: &str = r#"
if guard_of "$spool" "$over"; then
  write_guard
  mv -T -f -- "$beside" "$spool"
  sync -- "${spool%/*}/"
  exit 0
fi"#;

const OWN_TREE: &str = r#"
real_dir "$tree" || refuse 80 "$tree is no directory"
real_dir "${tree%/*}" || refuse 80 "${tree%/*} is a symbolic link"
chown -R -h -- "$owner" "$tree"
chmod -- 0700 "$tree"
find "$tree" \( -type f -o -type d \) -exec sync -- {} +"#;

const ARM: &str = r#"
etcd_data() { real_dir "$1" && [ -f "$1/member/snap/db" ] && [ ! -L "$1/member" ]; }
if ! there "$staged"; then
  etcd_data "$spool" && real_dir "${staged%/*}" || refuse 85 "there is no restored tree at $staged"
  sync -- "${staged%/*}/" "${spool%/*}/"
  exit 0
fi
etcd_data "$staged" || refuse 85 "$staged holds no etcd data"
real_dir "${staged%/*}" || refuse 80 "${staged%/*} is a symbolic link"
[ "$(stat -c %d -- "$staged")" = "$(stat -c %d -- "${spool%/*}/")" ] || refuse 84 "$staged and $spool are on different filesystems"
if there "$spool"; then
  ours "$spool" || refuse 82 "$spool is not the guard of this run"
  rm -f -- "$spool"
fi
move "$staged" "$spool""#;

const RETURN_SPOOL: &str = r#"
if ! there "$aside"; then
  real_dir "$spool" || refuse 85 "there is old data neither at $aside nor at $spool"
  sync -- "${spool%/*}/"
  exit 0
fi
real_dir "$aside" || refuse 80 "$aside is no directory"
if there "$spool"; then
  ours "$spool" || refuse 82 "$spool is not the guard of this run"
  rm -f -- "$spool"
fi
move "$aside" "$spool""#;

/// The script of an effect.
pub(super) fn of(effect: &NodeEffect) -> String {
    match effect {
        NodeEffect::StopService { service, .. } => stop(service),
        NodeEffect::ClearFailures { service, .. } => clear_failures(service),
        NodeEffect::SetAside {
            spool, aside, run, ..
        } => {
            let values = [("spool", spool.as_str()), ("aside", aside.as_str())];
            script(&[
                &set(&values),
                &guard_values(spool, *run),
                LOOK,
                OURS,
                GUARD,
                MOVE,
                SET_ASIDE,
            ])
        }
        NodeEffect::Disarm {
            staged, spool, run, ..
        } => {
            let values = [("spool", spool.as_str()), ("aside", staged.as_str())];
            let values = [set(&values), guard_values(spool, *run)].concat();
            script(&[&values, LOOK, OURS, GUARD, MOVE, DISARM, SET_ASIDE])
        }
        NodeEffect::PlaceGuard {
            spool,
            run,
            instead_of,
            ..
        } => {
            let values = set(&[("spool", spool.as_str())]);
            let values = values + &guard_values(spool, *run);
            let Some(over) = instead_of else {
                return script(&[&values, LOOK, OURS, GUARD, PLACE_GUARD]);
            };
            let over = set(&[("over", &first_line(*over))]);
            script(&[&values, &over, LOOK, OURS, GUARD, TAKE_OVER, PLACE_GUARD])
        }
        NodeEffect::OwnTree { tree, owner, .. } => own(tree, owner),
        NodeEffect::Arm {
            staged, spool, run, ..
        } => {
            let values = [("staged", staged.as_str()), ("spool", spool.as_str())];
            script(&[&set(&values), &mark_value(*run), LOOK, OURS, MOVE, ARM])
        }
        NodeEffect::ReturnSpool {
            spool, aside, run, ..
        } => {
            let values = [("spool", spool.as_str()), ("aside", aside.as_str())];
            script(&[
                &set(&values),
                &mark_value(*run),
                LOOK,
                OURS,
                MOVE,
                RETURN_SPOOL,
            ])
        }
    }
}

fn script(parts: &[&str]) -> String {
    parts.concat()
}

/// `etcd` may hand its leadership over first, which takes seconds. Status 5: no such unit, nothing to
/// stop.
fn stop(service: &ServiceName) -> String {
    let unit = quoted(service.as_str());
    format!("systemctl stop -- {unit} || [ $? -eq 5 ]")
}

/// Only a unit that is loaded can have failed.
fn clear_failures(service: &ServiceName) -> String {
    let unit = quoted(service.as_str());
    format!("systemctl reset-failed -- {unit}")
}

fn own(tree: &AbsPath, owner: &Owner) -> String {
    let values = [("tree", tree.as_str()), ("owner", owner.as_str())];
    script(&[&set(&values), LOOK, OWN_TREE])
}

/// The text after the guard's first line, for whoever wonders why etcd does not start.
fn guard_values(spool: &AbsPath, run: RunId) -> String {
    let text = format!(
        "A restore of this etcd cluster is under way, and this file keeps etcd from starting empty.\n\
         An empty etcd would make Kubernetes end every workload. Do not remove this file by hand.\n\
         On the head node: `restore-runbook status` shows run {run}, `restore-runbook resume` goes\n\
         on with it, `restore-runbook undo` gives the old data back where that is still possible."
    );
    let beside = spool.with_suffix(&format!(".guard-{}", run.short()));
    let values = [("beside", beside.as_str()), ("text", text.as_str())];
    format!("{}{}", mark_value(run), set(&values))
}

fn mark_value(run: RunId) -> String {
    set(&[("mark", &first_line(run))])
}

fn first_line(run: RunId) -> String {
    format!("{GUARD_MARK} {run}")
}

/// `name=value` lines, each value quoted.
pub(crate) fn set(values: &[(&str, &str)]) -> String {
    values.iter().fold(String::new(), |lines, (name, value)| {
        lines + name + "=" + &quoted(value) + "\n"
    })
}

fn quoted(value: &str) -> String {
    // Checked names and this module's own text hold no NUL, the one thing that cannot be quoted.
    shlex::try_quote(value).map_or_else(|_| "''".into(), String::from)
}
