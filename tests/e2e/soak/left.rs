//! That a disaster that is over has left nothing behind but what the runs say they leave.

use std::fs;

use lab::{Head, Node};

use super::operator::Operator;

/// What on a node would be a trace of a run, one per line. Moved spools are kept on purpose, and so is the mark of
/// a restore, beside which there is no data any more.
const TRACES: &str = "\
test -d /var/lib/etcd && test ! -L /var/lib/etcd || echo 'no directory at the spool path'
ls -d /var/lib/etcd.restore-*/* /var/lib/etcd.guard-* 2>/dev/null | grep -v -e '/complete$' -e '/log$'
systemctl list-units --all --plain --no-legend | grep -e runbook -e restore-
ls /run/systemd/transient 2>/dev/null
case $(systemctl is-enabled etcd 2>/dev/null) in masked*) echo 'etcd is masked';; esac
find /run /tmp /var/tmp -name '*runbook*' 2>/dev/null
pgrep -a -f 'etcdctl|etcdutl|restore-runbook' | grep -v pgrep
true";

pub(super) fn nothing_is_left(operator: &Operator) {
    let field = &operator.field;
    for node in field.cluster.nodes() {
        assert_eq!(traces(operator, node), Vec::<String>::new(), "{node}");
    }
    let status = operator.status();
    assert!(
        status.contains("no open run") || status.trim() == "[]",
        "{status}"
    );
    for head in [Head::First, Head::Second] {
        if head == Head::First || field.schedule.heads == 2 {
            let mut programs = field.cluster.lab.programs_on(head);
            // ssh's shared connections outlive a life that had no time to close them, by a minute.
            programs.retain(|program| !(operator.killed && program.contains(" [mux]")));
            assert_eq!(programs, Vec::<String>::new(), "{head:?}");
        }
    }
}

fn traces(operator: &Operator, node: Node) -> Vec<String> {
    let text = operator.field.cluster.lab.ssh(node, TRACES).expect("ssh");
    // What an abandoned run leaves, it says when it is abandoned.
    let short = |run: &String| run.rsplit('-').next().map(str::to_owned);
    let abandoned: Vec<_> = operator.abandoned.iter().filter_map(short).collect();
    let kept = |line: &&str| !abandoned.iter().any(|run| line.contains(run.as_str()));
    text.lines().filter(kept).map(str::to_owned).collect()
}

/// No directory, no mount, no control group and so no process.
pub(super) fn no_lab_is_left(id: &str) {
    let found = lab::find(&std::env::temp_dir()).expect("labs");
    let ours = found.iter().any(|found| found.layout.id() == id);
    assert!(!ours, "lab {id} is not gone");
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mounts");
    assert!(!mounts.contains(id), "mounts of {id} are left");
}
