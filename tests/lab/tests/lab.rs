//! The lab itself: that what it promises to tests is true.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use lab::{
    Armed, HostKeyAfterWipe, Lab, LabOptions, Manager, Node, SPOOL, Watcher, bright_config,
    build_programs,
};

/// Polling gives up only after this long; nothing is timed.
const DEADLINE: Duration = Duration::from_secs(90);

fn start(options: &LabOptions) -> Lab {
    build_programs().expect("programs");
    Lab::start(options).expect("lab")
}

fn small(nodes: u8) -> LabOptions {
    LabOptions {
        nodes,
        ..LabOptions::default()
    }
}

fn node(number: u8) -> Node {
    Node::new(number).expect("node")
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < DEADLINE, "no {what}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// What the host shows of its namespaces, links and mounts.
fn host() -> BTreeSet<String> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mounts");
    let links = Command::new("ip")
        .args(["-o", "link"])
        .output()
        .expect("ip");
    let links = String::from_utf8_lossy(&links.stdout).into_owned();
    let links = links
        .lines()
        .filter_map(|l| l.split(':').nth(1).map(str::to_owned));
    let namespaces = fs::read_dir("/run/netns").into_iter().flatten().flatten();
    let namespaces = namespaces.map(|e| e.file_name().to_string_lossy().into_owned());
    mounts
        .lines()
        .map(str::to_owned)
        .chain(links)
        .chain(namespaces)
        .collect()
}

/// The lab's directory, its control group, and processes that were started with its name.
fn traces(dir: &Path) -> Vec<String> {
    let id = dir.file_name().expect("id").to_string_lossy().into_owned();
    let groups = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].map(|m| Path::new(m).join(&id));
    let files = groups
        .into_iter()
        .chain([dir.to_owned()])
        .filter(|p| p.exists());
    let processes = fs::read_dir("/proc")
        .expect("/proc")
        .flatten()
        .map(|e| e.path().join("cmdline"));
    let processes = processes.filter(|p| {
        // Our own command line may name the lab, as an argument of the test.
        !p.starts_with(format!("/proc/{}", std::process::id()))
            && fs::read(p).is_ok_and(|c| String::from_utf8_lossy(&c).contains(&id))
    });
    files
        .chain(processes)
        .map(|p| p.display().to_string())
        .collect()
}

fn assert_gone(dir: &Path) {
    until("end of all traces", || traces(dir).is_empty());
}

#[test]
fn comes_up_and_leaves_no_trace() {
    let before = host();
    let lab = start(&small(3));
    let dir = lab.layout().dir().to_owned();
    assert!(!traces(&dir).is_empty());
    assert_eq!(host(), before, "the host sees nothing of a lab");
    lab.etcd().load(200, 64, 1).expect("load");
    let hashes = lab.etcd().hash_kv().expect("hashes");
    assert!(
        hashes.iter().all(|h| h.hash == hashes[0].hash),
        "{hashes:?}"
    );
    assert_eq!(lab.etcd().dump(node(1)).expect("dump").keys.len(), 200);
    lab.down().expect("down");
    assert_eq!(traces(&dir), Vec::<String>::new());
    assert_eq!(host(), before);
}

#[test]
fn goes_down_with_an_owner_that_is_killed() {
    let programs = build_programs().expect("programs");
    let mut owner = Command::new(programs.get("lab").expect("lab"))
        .args(["up", "--nodes", "1"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("owner");
    let mut line = String::new();
    BufReader::new(owner.stdout.take().expect("stdout"))
        .read_line(&mut line)
        .expect("line");
    let dir = Path::new(line.split(':').next().expect("directory")).to_owned();
    assert!(!traces(&dir).is_empty(), "{line}");
    owner.kill().expect("kill");
    owner.wait().expect("wait");
    assert_gone(&dir);
}

#[test]
fn what_a_killed_supervisor_leaves_is_swept() {
    let base = tempfile::tempdir().expect("base");
    let lab = start(&LabOptions {
        keep: true,
        base: base.path().to_owned(),
        ..small(1)
    });
    let (_, pid) = lab.hook(&["info"]).expect("info");
    let pid: serde_json::Value = serde_json::from_str(&pid).expect("json");
    let dir = lab.leave();
    let killed = Command::new("kill")
        .args(["-9", &pid["pid"].to_string()])
        .status()
        .expect("kill");
    assert!(killed.success());
    until("death", || {
        lab::find(base.path())
            .expect("labs")
            .iter()
            .any(|l| l.layout.dir() == dir && !l.alive)
    });
    lab::sweep_dead(base.path()).expect("sweep");
    assert_gone(&dir);
}

#[test]
fn a_killed_head_command_is_the_program_itself() {
    let lab = start(&LabOptions {
        wait_healthy: false,
        ..small(1)
    });
    // The head node sees every process of the machine: this one is like no other.
    let time = format!("600.{}", std::process::id());
    let mut child = lab.head_command("sleep", [&time]).spawn().expect("sleep");
    let name = format!("/proc/{}/comm", child.id());
    until("program", || {
        fs::read_to_string(&name).is_ok_and(|c| c == "sleep\n")
    });
    child.kill().expect("kill");
    child.wait().expect("wait");
    let left = lab
        .head_output("pgrep", ["-x", "-f", &format!("sleep {time}")])
        .expect("pgrep");
    assert_eq!(left.status.code(), Some(1), "{left:?}");
    let answer = lab
        .head_output("sh", ["-c", "hostname; pwd; command -v cmsh; exit 7"])
        .expect("sh");
    assert_eq!(answer.status.code(), Some(7));
    assert_eq!(
        String::from_utf8_lossy(&answer.stdout),
        "head\n/root\n/cm/local/apps/cmd/bin/cmsh\n"
    );
}

/// Logs in as a careful tool does, with the host keys that the head node knows.
fn careful_login(lab: &Lab, node: Node) -> bool {
    let args = [
        "-o",
        "BatchMode=yes",
        "-o",
        "StrictHostKeyChecking=yes",
        &node.name(),
        "true",
    ];
    lab.head_output("ssh", args).expect("ssh").status.success()
}

fn reinstall(lab: &Lab, node: Node) {
    let name = node.name();
    for deed in ["power-off", "wipe", "provisioned", "power-on"] {
        lab.hook(&[deed, &name]).expect(deed);
    }
    lab.wait_ssh(node).expect("ssh");
}

#[test]
fn a_wipe_takes_everything_but_the_shared_file_system() {
    let lab = start(&LabOptions {
        manager: Manager::Nobody,
        ..small(1)
    });
    let one = node(1);
    lab.ssh(
        one,
        "echo precious >/root/file; echo shared >/cm/shared/file",
    )
    .expect("write");
    let boot_id = || {
        lab.ssh(one, "cat /proc/sys/kernel/random/boot_id")
            .expect("boot id")
    };
    let before = boot_id();
    assert!(
        lab.hook(&["wipe", "node001"]).is_err(),
        "a running node keeps its disk"
    );
    lab.hook(&["power-off", "node001"]).expect("off");
    assert!(!lab.hook(&["pingable", "node001"]).expect("ping").0);
    lab.hook(&["power-on", "node001"]).expect("on");
    lab.wait_ssh(one).expect("ssh");
    assert_eq!(lab.ssh(one, "cat /root/file").expect("read"), "precious\n");
    assert_ne!(boot_id(), before);
    assert!(lab.disk(one).join("var/lib/etcd/member").exists());

    reinstall(&lab, one);
    assert_eq!(
        lab.ssh(one, "ls -A /var/lib/etcd; cat /cm/shared/file")
            .expect("read"),
        "shared\n"
    );
    assert!(lab.ssh(one, "cat /root/file").is_err());
    assert!(careful_login(&lab, one), "the host key is the same");
}

#[test]
fn a_wiped_node_can_come_back_with_another_host_key() {
    let options = LabOptions {
        manager: Manager::Nobody,
        host_key_after_wipe: HostKeyAfterWipe::New,
        precreate_spool: false,
        wait_healthy: false,
        ..small(1)
    };
    let lab = start(&options);
    assert!(careful_login(&lab, node(1)));
    reinstall(&lab, node(1));
    assert!(!careful_login(&lab, node(1)));
    assert!(lab.ssh(node(1), "test ! -e /var/lib/etcd").is_ok());
}

#[test]
fn a_node_can_be_cut_off_and_lose_its_power() {
    let lab = start(&LabOptions {
        manager: Manager::Nobody,
        ..small(3)
    });
    lab.hook(&["cut", "node003"]).expect("cut");
    assert!(!lab.hook(&["ssh-ok", "node003"]).expect("ssh").0);
    assert!(!lab.hook(&["pingable", "node003"]).expect("ping").0);
    lab.hook(&["join", "node003"]).expect("join");
    lab.wait_ssh(node(3)).expect("ssh");
    lab.hook(&["power-fail", "node002"]).expect("fail");
    assert!(!lab.hook(&["power-status", "node002"]).expect("power").0);
    lab.hook(&["power-on", "node002"]).expect("on");
    lab.wait_ssh(node(2)).expect("ssh");
    assert!(
        !lab.hook(&["service", "node002", "status", "etcd"])
            .expect("status")
            .0,
        "not enabled at boot"
    );
}

#[test]
fn a_small_disk_runs_full() {
    let options = LabOptions {
        manager: Manager::Nobody,
        wait_healthy: false,
        disk_bytes: Some(200 << 20),
        ..small(1)
    };
    let lab = start(&options);
    let error = lab
        .ssh(node(1), "dd if=/dev/zero of=/root/big bs=1M count=300")
        .expect_err("full");
    assert!(
        error.to_string().contains("No space left on device"),
        "{error}"
    );
}

#[test]
fn snapshots_are_taken_as_the_article_says_and_databases_can_be_spoilt() {
    let lab = start(&small(1));
    lab.etcd().load(100, 64, 1).expect("load");
    let snapshot = lab.snapshot(node(1)).expect("snapshot");
    let name = snapshot
        .strip_prefix("/cm/shared")
        .expect("on the shared file system");
    assert!(
        fs::metadata(lab.shared().join(name))
            .expect("snapshot")
            .len()
            > 10_000
    );
    assert!(
        lab.head_root()
            .join(snapshot.strip_prefix("/").expect("absolute"))
            .exists()
    );
    lab.corrupt_all_databases().expect("corrupt");
    assert!(lab.etcd().healthy().is_err());
}

#[test]
fn the_cluster_manager_stops_and_starts_etcd_by_role() {
    let lab = start(&small(3));
    let overlay = "configurationoverlay; use kube-default-etcd;";
    let active = |n: u8| {
        lab.hook(&["service", &node(n).name(), "status", "etcd"])
            .expect("status")
            .0
    };
    lab.cmsh(&format!("{overlay} removefrom nodes node002; commit"))
        .expect("cmsh");
    until("stop", || !active(2));
    assert!(active(1) && active(3));
    lab.cmsh(&format!("{overlay} append nodes node002; commit"))
        .expect("cmsh");
    until("start", || active(2));
    lab.etcd().wait_healthy().expect("healthy");
}

#[test]
fn the_watcher_hears_an_etcd_that_starts_empty() {
    let lab = start(&LabOptions {
        manager: Manager::BrightWith(bright_config(1)),
        ..small(1)
    });
    lab.etcd().load(500, 64, 1).expect("load");
    let watcher = Watcher::start(lab.etcd());
    watcher.arm(Armed {
        keys: 500,
        registry: 450,
    });
    until("answers", || {
        watcher.seen().values().any(|seen| seen.answers > 10)
    });
    watcher.verdict().expect("nothing wrong so far");

    // The article's warning: the disk is gone, and the role still assigned when the node comes back.
    lab.lose_all_disks().expect("loss");
    until("notice", || {
        lab.cmsh("device status node001")
            .is_ok_and(|text| text.contains("DOWN"))
    });
    let script = "device use node001; set datanode no; set nextinstallmode full; commit; power on";
    lab.cmsh(script).expect("cmsh");
    until("empty etcd", || watcher.verdict().is_err());
    let breach = watcher.verdict().expect_err("breach");
    assert_eq!(breach.guilty[0].0, node(1));
    assert_eq!(breach.guilty[0].1.keys.0, 0, "{breach}");
}

fn restore_by_hand(lab: &Lab, node: Node, snapshot: &Path) {
    let peers: Vec<_> = lab
        .nodes()
        .into_iter()
        .map(|n| format!("{n}=https://{}:2380", n.ip()))
        .collect();
    let script = format!(
        "set -e; module load etcd/kube-default/{}; rmdir {SPOOL}; \
         etcdctl snapshot restore {} --data-dir={SPOOL} --name={node} --initial-cluster={} \
         --initial-cluster-token=by-hand --initial-advertise-peer-urls=https://{}:2380 2>/dev/null; \
         chmod 700 {SPOOL}; chown -R etcd:etcd {SPOOL}",
        lab.etcd_version(),
        snapshot.display(),
        peers.join(","),
        node.ip()
    );
    lab.ssh(node, &script).expect("restore");
}

/// What the tool is to do, by hand: the lab must let it succeed, and the watcher must be content.
#[test]
fn the_whole_procedure_succeeds_by_hand() {
    let lab = start(&small(3));
    lab.etcd().load(2_000, 128, 7).expect("load");
    let before = lab.etcd().dump(node(1)).expect("dump");
    let hash = lab.etcd().hash_kv().expect("hashes")[0].hash;
    let snapshot = lab.snapshot(node(1)).expect("snapshot");
    let watcher = Watcher::start(lab.etcd());
    watcher.arm(Armed {
        keys: 2_000,
        registry: 1_800,
    });
    lab.lose_all_disks().expect("loss");

    let all = "node001 node002 node003";
    let overlay = "configurationoverlay; use kube-default-etcd;";
    lab.cmsh(&format!("{overlay} removefrom nodes {all}; commit"))
        .expect("unassign");
    let silent = |name: &str| {
        lab.cmsh(&format!("device status {name}"))
            .is_ok_and(|text| text.contains("DOWN"))
    };
    until("notice", || all.split(' ').all(silent));
    for name in all.split(' ') {
        let script = "set datanode no; set nextinstallmode full; commit; power on";
        lab.cmsh(&format!("device use {name}; {script}"))
            .expect("install");
    }
    for node in lab.nodes() {
        let get = format!("device use {node}; get nextinstallmode");
        until("install", || {
            lab.cmsh(&get).is_ok_and(|mode| mode.trim().is_empty())
        });
        lab.wait_ssh(node).expect("ssh");
        restore_by_hand(&lab, node, &snapshot);
    }
    lab.cmsh(&format!("{overlay} append nodes {all}; commit"))
        .expect("assign");
    lab.etcd().wait_healthy().expect("healthy");

    let after = lab.etcd().dump(node(3)).expect("dump");
    assert_eq!(before.differences(&after, 10), Vec::<String>::new());
    let hashes = lab.etcd().hash_kv().expect("hashes");
    assert!(hashes.iter().all(|h| h.hash == hash), "{hash} {hashes:?}");
    until("answers", || watcher.seen().len() == 3);
    watcher.verdict().expect("content");
}

#[test]
#[ignore = "needs `lab fetch-etcd`"]
fn runs_etcd_3_5() {
    let lab = start(&LabOptions {
        etcd: lab::EtcdVersion::V3_5,
        ..small(3)
    });
    assert!(lab.etcd_version().starts_with("3.5."));
    let version = lab.ssh(
        node(1),
        &format!(
            "module load etcd/kube-default/{}; etcdutl version",
            lab.etcd_version()
        ),
    );
    assert!(version.expect("etcdutl").contains(lab.etcd_version()));
}
