//! The restore of one member, as the command that starts it.
//!
//! It runs as a transient systemd unit named after the run: a cut connection does not end it, a
//! second start finds it, and systemd refuses two units of one name. It has no `RemainAfterExit`:
//! success is the file `complete`, which outlives a reboot, and systemd forgets a unit that ended
//! well by itself; one that ended badly stays `failed` until it is started again or the node boots.
//! Nothing here needs more than systemd 219 and coreutils 8.22 (RHEL 7): output goes to
//! `<staging>/log`, not through `StandardOutput=append:`, which is of systemd 240.

use runbook_core::error::{AdapterError, Certainty};
use runbook_core::names::{EtcdUrl, MemberName, RunId};
use runbook_core::plan::{Command, RestoreEffect};
use runbook_core::ports::PortResult;
use runbook_core::version::RestoreTool;

use super::plain;

const LAUNCH: &str = include_str!("scripts/launch.sh");
const BODY: &str = include_str!("scripts/restore.sh");

/// The systemd unit a run's restore runs as, on every node.
pub fn unit_name(run: RunId) -> String {
    format!("restore-runbook-{run}.service")
}

/// The command that starts the restore, or finds it started.
pub(super) fn command(effect: &RestoreEffect) -> PortResult<Command> {
    let script = inner_script(effect)?;
    let unit = unit_name(effect.run);
    let argv = plain(LAUNCH, &[&unit, effect.staging.as_str(), &script]);
    Ok(Command::on_node(&effect.node, argv))
}

/// The script that restores, to be run by a login shell on the node.
///
/// # Errors
/// Refused when the staging directory does not carry the run's id: the script begins by removing
/// what an earlier attempt left there, and must never get at anything else.
pub fn inner_script(effect: &RestoreEffect) -> PortResult<String> {
    let staging = effect.staging.as_str();
    let own = staging
        .rsplit('/')
        .next()
        .is_some_and(|name| name.contains(&effect.run.short()));
    if !own {
        return Err(refused(format!(
            "the staging directory {staging} does not carry the id of run {}",
            effect.run
        )));
    }
    let head = [
        ("module", effect.module.as_str()),
        ("snapshot", effect.snapshot.as_str()),
        ("sha256", &effect.sha256.hex()),
        ("trailer", if effect.trailer { "yes" } else { "no" }),
        ("staging", staging),
    ]
    .into_iter()
    .map(|(name, value)| Ok(format!("{name}={}\n", quoted(value)?)))
    .collect::<PortResult<String>>()?;
    Ok(format!("{head}{}{BODY}", tool_line(effect)?))
}

/// The tool's own command line, as an array that the body of the script runs.
///
/// `--skip-hash-check` is among its words only for a file without a trailer, which the plan must
/// allow: else the trailer is the only proof the tool itself makes of the copy it has read.
fn tool_line(effect: &RestoreEffect) -> PortResult<String> {
    let member = NewMember {
        name: &effect.member,
        initial_cluster: &effect.initial_cluster,
        token: &effect.token,
        peer_url: &effect.peer_url,
        revision_bump: effect.revision_bump,
    };
    let mut words = vec![format!(
        "{} snapshot restore \"$snapshot\"",
        effect.tool.program()
    )];
    for option in member.options() {
        let quoted: PortResult<Vec<String>> = option.iter().map(|word| quoted(word)).collect();
        words.push(quoted?.join(" "));
    }
    if !effect.trailer {
        words.push(SKIP_HASH_CHECK.into());
    }
    words.push("--data-dir \"$staging/data\"".into());
    // etcdctl before 3.4 speaks the old API unless told; later ones do not mind.
    let api = match effect.tool {
        RestoreTool::Etcdctl => "export ETCDCTL_API=3\n",
        RestoreTool::Etcdutl => "",
    };
    Ok(format!("{api}restore=(\n  {}\n)\n", words.join("\n  ")))
}

/// For a file without a trailer, and no other.
pub(crate) const SKIP_HASH_CHECK: &str = "--skip-hash-check";

/// Who a restored member is: what the tool is told of it, on a node and in a rehearsal alike.
pub(crate) struct NewMember<'a> {
    pub(crate) name: &'a MemberName,
    pub(crate) initial_cluster: &'a [(MemberName, EtcdUrl)],
    pub(crate) token: &'a str,
    pub(crate) peer_url: &'a EtcdUrl,
    pub(crate) revision_bump: Option<u64>,
}

impl NewMember<'_> {
    /// The tool's options but `--data-dir`; what belongs together stands together.
    pub(crate) fn options(&self) -> Vec<Vec<String>> {
        let cluster: Vec<String> = self
            .initial_cluster
            .iter()
            .map(|(name, url)| format!("{name}={url}"))
            .collect();
        let option = |name: &str, value: &str| vec![name.to_owned(), value.to_owned()];
        let mut options = vec![
            option("--name", self.name.as_str()),
            option("--initial-cluster", &cluster.join(",")),
            option("--initial-cluster-token", self.token),
            option("--initial-advertise-peer-urls", self.peer_url.as_str()),
        ];
        if let Some(bump) = self.revision_bump {
            // Always both: 3.4.27 and later take one alone and silently do nothing.
            let mut both = option("--bump-revision", &bump.to_string());
            both.push("--mark-compacted".into());
            options.push(both);
        }
        options
    }
}

/// A word of the script.
///
/// The plan quotes the whole script once more, so plain words stay bare here although `shlex` would
/// quote a `=`, and the scripts hold neither backslash nor single quote: what a reviewer sees is
/// then the script itself between two quotes.
fn quoted(value: &str) -> PortResult<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/:.,=_@%+-".contains(c);
    if !value.is_empty() && value.chars().all(plain) {
        return Ok(value.to_owned());
    }
    shlex::try_quote(value)
        .map(std::borrow::Cow::into_owned)
        .map_err(|error| refused(format!("{value:?} cannot be quoted")).caused_by(error))
}

fn refused(what: String) -> AdapterError {
    AdapterError::new("restore-not-renderable", Certainty::Refused, what).hint(
        "the paths and names in the plan cannot be put into a command: change them in the spec",
    )
}
