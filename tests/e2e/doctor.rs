//! `doctor` on the lab: good, broken in every way that can be thought of, and replayed from a bundle.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use bright_adapter::bundle::Bundle;
use lab::{Bcm, LabOptions};
use serde_json::Value;

use crate::harness::{Cluster, Ran, until};

/// Bundles of this lab that other tests replay; written anew with `UPDATE_EXPECTED=1`.
const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");

/// What every break may use, on the head node.
const PRELUDE: &str = r#"set -eu
# A cmsh in front of the real one: `wrap PATTERN COMMAND` answers scripts like that by itself.
wrap() {
  cat >/root/cmsh.new <<END
#!/bin/bash
real() { /cm/local/apps/cmd/bin/cmsh "\$@"; }
case "\${@: -1}" in
$1) $2;;
*) exec /cm/local/apps/cmd/bin/cmsh "\$@";;
esac
END
  install -m 755 /root/cmsh.new /root/cmsh
}
set_device() { cmsh -c "device; use node002; set $1 $2; commit"; }
role() { cmsh -c "configurationoverlay; use kube-default-etcd; $1; commit"; }
"#;

/// How long a break may take to be seen.
const PATIENCE: Duration = Duration::from_secs(20);

const WRAPPED: &[&str] = &["--cmsh", "/root/cmsh"];

/// One way to break it.
struct Break {
    check: &'static str,
    /// The node, where the check is made of each.
    about: &'static str,
    outcome: &'static str,
    /// What the finding must say.
    seen: &'static str,
    args: &'static [&'static str],
    /// On the head node.
    breaks: &'static str,
    /// None where it stays as it is.
    mends: Option<&'static str>,
}

/// A break that is nothing but another cmsh.
const fn wrapped(check: &'static str, seen: &'static str, breaks: &'static str) -> Break {
    Break {
        check,
        about: "",
        outcome: "differs",
        seen,
        args: WRAPPED,
        breaks,
        mends: Some(""),
    }
}

/// A break of the cluster manager's configuration, of a node, or of the head node.
const fn broken(
    check: &'static str,
    about: &'static str,
    seen: &'static str,
    breaks: &'static str,
    mends: &'static str,
) -> Break {
    Break {
        check,
        about,
        outcome: "differs",
        seen,
        args: &[],
        breaks,
        mends: Some(mends),
    }
}

/// A break that is nothing but an option.
const fn told(check: &'static str, seen: &'static str, args: &'static [&'static str]) -> Break {
    Break {
        check,
        about: "",
        outcome: "differs",
        seen,
        args,
        breaks: "",
        mends: Some(""),
    }
}

const BREAKS: &[Break] = &[
    // cmsh and its answers.
    told(
        "cmsh-found",
        "it cannot be started",
        &["--cmsh", "/no/such/cmsh"],
    ),
    wrapped(
        "cmsh-batch",
        "unknown option",
        "wrap '*' 'echo \"unknown option -n\" >&2; exit 1'",
    ),
    wrapped(
        "cmsh-version",
        "12.0",
        "wrap '\"main versioninfo\"' 'echo Cluster Manager 12.0'",
    ),
    wrapped(
        "list-devices",
        "is no JSON",
        "wrap 'device\\;\\ list*' 'echo Type Hostname MAC'",
    ),
    wrapped(
        "list-categories",
        "column datanode is missing",
        r#"wrap 'category\;*' "echo '[{\"name (key)\":\"default\"}]'""#,
    ),
    wrapped(
        "list-overlays",
        "is no JSON",
        r#"wrap 'configurationoverlay\;\ list*' 'real "$@" | head -n 5'"#,
    ),
    wrapped(
        "provisioning",
        "node002",
        r#"wrap '*provisioningstatus' 'real "$@" | sed "s/<none>/node002/"'"#,
    ),
    wrapped(
        "image-lock",
        "default-image",
        "wrap '*islocked*' 'echo Name Locked; echo default-image yes'",
    ),
    // The etcd cluster as the manager has it.
    Break {
        args: &["--cmsh", "/root/cmsh", "--cluster", "third"],
        ..wrapped(
            "etcd-overlay",
            "kube-second-etcd",
            r#"wrap 'configurationoverlay\;\ list*' 'real "$@" | sed "1s/.*/[{\"name (key)\":\"kube-second-etcd\",\"priority\":\"500\",\"allheadnodes\":\"no\",\"nodes\":[],\"categories\":[],\"roles\":[\"Etcd::Host\"]},/"'"#,
        )
    },
    wrapped(
        "overlay-priority",
        "kube-second-etcd",
        r#"wrap 'configurationoverlay\;\ list*' 'real "$@" | sed "1s/.*/[{\"name (key)\":\"kube-second-etcd\",\"priority\":\"-1\",\"allheadnodes\":\"no\",\"nodes\":[],\"categories\":[],\"roles\":[\"Etcd::Host\"]},/"'"#,
    ),
    wrapped(
        "member-properties",
        "no single value",
        "wrap '*advertisepeerurls' 'echo https://10.141.0.1:2380 https://10.141.0.9:2380'",
    ),
    wrapped(
        "member-properties",
        "two members have",
        "wrap '*advertisepeerurls' 'echo https://10.141.0.1:2380'",
    ),
    broken(
        "member-count",
        "",
        "2 members",
        "role 'removefrom nodes node003'",
        "role 'append nodes node003'",
    ),
    broken(
        "role-source",
        "node001",
        "category default",
        "cmsh -c 'category; use default; roles; assign etcd::host; commit'",
        "cmsh -c 'category; use default; roles; unassign etcd::host; commit'",
    ),
    broken(
        "head-member",
        "head",
        "it is a head node",
        "role 'set allheadnodes yes'",
        "role 'set allheadnodes no'",
    ),
    // The nodes, by the manager's word.
    broken(
        "datanode",
        "node002",
        "node no",
        "set_device datanode no",
        "set_device datanode yes",
    ),
    broken(
        "category-datanode",
        "node001",
        "category default yes",
        "cmsh -c 'category; use default; set datanode yes; commit'",
        "cmsh -c 'category; use default; set datanode no; commit'",
    ),
    broken(
        "install-mode",
        "node002",
        "FULL",
        "set_device nextinstallmode FULL",
        "cmsh -c 'device; use node002; clear nextinstallmode; commit'",
    ),
    broken(
        "block-devices",
        "node002",
        "/dev/sdb",
        "set_device blockdevicesclearedonnextboot /dev/sdb",
        "cmsh -c 'device; use node002; clear blockdevicesclearedonnextboot; commit'",
    ),
    // The nodes, by their own.
    broken(
        "host-key",
        "node001",
        "unknown",
        "sed -i.away /^node001/d /root/.ssh/known_hosts",
        "mv /root/.ssh/known_hosts.away /root/.ssh/known_hosts",
    ),
    broken(
        "host-key",
        "node001",
        "CHANGED",
        "other=$(sed -n 's/^node002,[^ ]* //p' /root/.ssh/known_hosts); sed -i.away \"s|^\\(node001,[^ ]*\\) .*|\\1 $other|\" /root/.ssh/known_hosts",
        "mv /root/.ssh/known_hosts.away /root/.ssh/known_hosts",
    ),
    broken(
        "ssh",
        "node003",
        "does not let root in",
        "mv /root/.ssh/id_ed25519 /root/.ssh/away",
        "mv /root/.ssh/away /root/.ssh/id_ed25519",
    ),
    broken(
        "clock",
        "node002",
        "s off",
        "ssh node002 'mkdir /opt/fake; printf \"#!/bin/sh\\necho 99\\n\" >/opt/fake/date; chmod 755 /opt/fake/date; echo PATH=/opt/fake:\\$PATH >/root/.bashrc'",
        "ssh node002 'rm -r /opt/fake /root/.bashrc'",
    ),
    broken(
        "module",
        "node002",
        "no environment module",
        "ssh node002 'mv /cm/local/modulefiles/etcd /root/away'",
        "ssh node002 'mv /root/away /cm/local/modulefiles/etcd'",
    ),
    broken(
        "same-version",
        "",
        "node003 3.5.9",
        "ssh node003 'cd /cm/local/apps/etcd/current/bin; mv etcd away; printf \"#!/bin/sh\\necho etcd Version: 3.5.9\\n\" >etcd; chmod 755 etcd'",
        "ssh node003 'cd /cm/local/apps/etcd/current/bin; mv away etcd'",
    ),
    broken(
        "etcd-unit",
        "node003",
        "does not run",
        "ssh node003 'cd /etc/systemd/system; mv etcd.service /root/away; ln -s /dev/null etcd.service; systemctl daemon-reload; systemctl stop etcd'",
        "ssh node003 'mv /root/away /etc/systemd/system/etcd.service; systemctl daemon-reload; systemctl reset-failed etcd; systemctl start etcd'",
    ),
    broken(
        "etcd-owner",
        "node003",
        "they are not",
        "ssh node003 'sed -i.away s/^etcd:/ectd:/ /etc/passwd'",
        "ssh node003 'mv /etc/passwd.away /etc/passwd'",
    ),
    Break {
        about: "node001",
        ..wrapped(
            "spool",
            "nothing",
            "wrap '*get\\ spool' 'echo /var/lib/elsewhere'",
        )
    },
    // Certificates.
    told(
        "client-ca",
        "there is no",
        &["--etcd-ca", "/no/such/ca.crt"],
    ),
    Break {
        args: &["--etcd-cert", "/root/soon.crt"],
        ..broken(
            "client-certificate",
            "",
            "expires soon",
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout /root/soon.key -subj /CN=soon -days 2 -out /root/soon.crt 2>/dev/null",
            "",
        )
    },
    broken(
        "member-certificate",
        "node001",
        "of another CA",
        "cd /root; openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout other.key -subj /CN=other -days 90 -out other.crt 2>/dev/null; ssh node001 'cp /etc/kubernetes/pki/default/etcd-member.crt /root/away; cat >/etc/kubernetes/pki/default/etcd-member.crt' <other.crt",
        "ssh node001 'mv /root/away /etc/kubernetes/pki/default/etcd-member.crt'",
    ),
    broken(
        "member-certificate",
        "node001",
        "there is no",
        "ssh node001 'mv /etc/kubernetes/pki/default/etcd-member.crt /root/away'",
        "ssh node001 'mv /root/away /etc/kubernetes/pki/default/etcd-member.crt'",
    ),
    // API servers.
    broken(
        "api-server",
        "node002",
        "EMPTY",
        "ssh node002 'sed -i.away s/--etcd-servers=.*/--etcd-servers=/ /etc/kubernetes/manifests/kube-apiserver.yaml'",
        "ssh node002 'cd /etc/kubernetes/manifests; mv kube-apiserver.yaml.away kube-apiserver.yaml'",
    ),
    broken(
        "api-server",
        "node002",
        "https://10.141.0.9:2379",
        "ssh node002 'sed -i.away s/10.141.0.3/10.141.0.9/ /etc/kubernetes/manifests/kube-apiserver.yaml'",
        "ssh node002 'cd /etc/kubernetes/manifests; mv kube-apiserver.yaml.away kube-apiserver.yaml'",
    ),
    broken(
        "api-server",
        "node002",
        "or missing",
        "ssh node002 'sed -i.away /--etcd-servers/d /etc/kubernetes/manifests/kube-apiserver.yaml'",
        "ssh node002 'cd /etc/kubernetes/manifests; mv kube-apiserver.yaml.away kube-apiserver.yaml'",
    ),
    // Backups.
    told(
        "backup-directory",
        "nothing in /root/none",
        &["--backup-dir", "/root/none"],
    ),
    broken(
        "backup-age",
        "",
        "72 h ago",
        "touch -d '3 days ago' /cm/shared/backup/etcd/*.db",
        "touch /cm/shared/backup/etcd/*.db",
    ),
    Break {
        args: &["--backup-dir", "/cm/shared/bad"],
        ..broken(
            "backup-proof",
            "",
            "snapshot-bytes-damaged",
            "mkdir /cm/shared/bad; cp /cm/shared/backup/etcd/*.db /cm/shared/bad/one.db; printf x | dd of=/cm/shared/bad/one.db bs=1 seek=9000 conv=notrunc 2>/dev/null",
            "rm -r /cm/shared/bad",
        )
    },
    broken(
        "backup-on-node",
        "node003",
        "is not there",
        "ssh node003 'mount -t tmpfs none /cm/shared/backup'",
        "ssh node003 'umount /cm/shared/backup'",
    ),
    broken(
        "backup-survives",
        "node003",
        "own disk",
        "ssh node003 'cp -a /cm/shared/backup/etcd /root/away; mount -t tmpfs none /cm/shared/backup; mv /root/away /cm/shared/backup/etcd'",
        "ssh node003 'umount /cm/shared/backup'",
    ),
    // The head node.
    broken(
        "head-role",
        "",
        "PASSIVE",
        "echo PASSIVE >/var/spool/cmd/state",
        "rm /var/spool/cmd/state",
    ),
    wrapped(
        "state-directory",
        "lies on",
        r#"wrap 'device\;\ list*' 'real "$@" | sed "1s/.*/[{\"hostname (key)\":\"head2\",\"type\":\"HeadNode\",\"status\":\"[ UP ]\",\"datanode\":\"no\",\"nextinstallmode\":\"\"},/"'"#,
    ),
    Break {
        outcome: "does-not-apply",
        ..broken(
            "cm-etcd-manage",
            "",
            "it is not there",
            "mv /cm/local/apps/cmd/scripts/cm-etcd-manage /root/away",
            "mv /root/away /cm/local/apps/cmd/scripts/cm-etcd-manage",
        )
    },
    // The last: the node stays off.
    Break {
        mends: None,
        ..broken(
            "device-status",
            "node003",
            "DOWN",
            "cmsh -c 'device; power -n node003 off'",
            "",
        )
    },
];

/// What the doctor says.
struct Said {
    ran: Ran,
    findings: Vec<Value>,
}

impl Said {
    fn finding(&self, check: &str, about: &str) -> Option<&Value> {
        self.findings.iter().find(|finding| {
            finding["id"] == check && finding["about"].as_str().unwrap_or_default() == about
        })
    }

    /// Everything that is not as it should be, by name.
    fn troubles(&self) -> Vec<String> {
        let bad = |finding: &&Value| {
            finding["outcome"] == "differs" || finding["outcome"] == "could-not-be-checked"
        };
        let bad = self.findings.iter().filter(bad);
        bad.map(ToString::to_string).collect()
    }
}

fn doctor(cluster: &Cluster, args: &[&str]) -> Said {
    let args = [&["doctor", "--format", "json"], args].concat();
    let ran = cluster.tool(&args);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap_or_default();
    assert_eq!(report["exit"], ran.code.unwrap_or(-1), "{ran}");
    let findings = report["findings"].as_array().cloned();
    Said {
        findings: findings.unwrap_or_default(),
        ran,
    }
}

fn on_head(cluster: &Cluster, script: &str) {
    cluster
        .on_head_runs("bash", &["-c", &format!("{PRELUDE}{script}")])
        .done();
}

fn cluster_with_a_backup() -> Cluster {
    let cluster = Cluster::with(LabOptions {
        bcm: Bcm::V10,
        ..LabOptions::default()
    });
    // The harness has put a snapshot there already; the backup is newer, and has a manifest.
    on_head(
        &cluster,
        "rm -rf /cm/shared/backup/etcd; mkdir -p -m 700 /cm/shared/backup/etcd",
    );
    cluster.tool(&["backup"]).done();
    cluster
}

#[test]
fn a_good_lab_holds_and_one_broken_in_any_way_is_seen() {
    let cluster = cluster_with_a_backup();
    let changes = cluster.changes().len();
    let good = doctor(&cluster, &[]);
    assert_eq!(good.troubles(), Vec::<String>::new(), "{}", good.ran);
    assert!(good.findings.len() > 60, "{}", good.ran);
    assert_eq!(cluster.changes().len(), changes, "it changes nothing");
    let ids: std::collections::BTreeSet<_> = BREAKS.iter().map(|one| one.check).collect();
    assert!(ids.len() >= 30, "{} checks are broken", ids.len());
    let unseen: Vec<String> = BREAKS
        .iter()
        .filter_map(|one| unseen(&cluster, one))
        .collect();
    assert_eq!(unseen, Vec::<String>::new());
}

/// Breaks it, looks, and mends it; what was seen instead, if it was not seen.
fn unseen(cluster: &Cluster, one: &Break) -> Option<String> {
    on_head(cluster, one.breaks);
    let begun = Instant::now();
    // The manager takes its time to act on a commit, and to see a node go down.
    let missed = loop {
        let said = doctor(cluster, one.args);
        let finding = said.finding(one.check, one.about);
        let text = finding.map_or("", |f| f["seen"].as_str().unwrap_or_default());
        let as_expected = finding.is_some_and(|f| f["outcome"] == one.outcome);
        let told = (one.outcome == "differs") == (said.ran.code == Some(9));
        if as_expected && text.contains(one.seen) && told {
            break None;
        }
        if begun.elapsed() > PATIENCE {
            let outcome = finding.map(|f| &f["outcome"]);
            break Some(format!("{} {}: {outcome:?}, {text}", one.check, one.about));
        }
    };
    if let Some(mends) = one.mends {
        on_head(cluster, mends);
        until("way back", || {
            let troubles = doctor(cluster, &[]).troubles();
            troubles.is_empty()
        });
    }
    missed
}

/// What is asked at the same time ends in any order.
fn in_order(mut finding: Value) -> Value {
    if let Some(asked) = finding["asked"].as_array_mut() {
        asked.sort_by_key(ToString::to_string);
    }
    finding
}

/// A bundle holds nothing of the house, and says the same as the doctor did: of a good lab, and of one
/// with a node that is off, an unknown host key and a bomb.
#[test]
fn a_bundle_replays() {
    let cluster = cluster_with_a_backup();
    let breaks = "set_device nextinstallmode FULL; sed -i /^node001/d /root/.ssh/known_hosts; cmsh -c 'device; power -n node003 off'";
    for (name, breaks) in [("good", ""), ("broken", breaks)] {
        on_head(&cluster, breaks);
        let file = format!("/root/{name}.tgz");
        let said = doctor(&cluster, &["--bundle", &file]);
        let path = cluster.on_head(&file);
        let bundle = Bundle::read(&path).expect("a bundle");
        let text = format!("{bundle:?}");
        for own in ["node00", "10.141", "02:00:0A"] {
            assert!(!text.contains(own), "{own} in {text}");
        }
        let replayed = doctor(&cluster, &["--replay", &file]);
        assert_eq!(replayed.ran.code, said.ran.code, "{}", replayed.ran);
        let found = serde_json::to_value(&bundle.report.findings).expect("JSON");
        let found = found.as_array().cloned().unwrap_or_default();
        assert_eq!(replayed.findings.len(), found.len());
        for (again, found) in replayed.findings.into_iter().zip(found) {
            assert_eq!(in_order(again), in_order(found));
        }
        cluster
            .tool(&["doctor", "--bundle", &file])
            .refused("bundle-exists");
        if std::env::var_os("UPDATE_EXPECTED").is_some() {
            fs::create_dir_all(FIXTURES).expect("a directory");
            fs::copy(
                &path,
                Path::new(FIXTURES).join(format!("doctor-{name}.tgz")),
            )
            .expect("a copy");
        }
    }
}
