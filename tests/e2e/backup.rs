//! Backups under faults: what dies, stalls or runs full in the middle leaves nothing behind, and the next
//! member, or the next call, does it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use lab::Node;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::harness::{Cluster, Ran, sha256, until};

/// Where backups go when nobody says otherwise.
const USUAL: &str = "/cm/shared/backup/etcd";

/// More than all buffers between a member and the tool can hold.
const BIG: (usize, usize) = (6000, 8000);

/// A cluster with a big store, and the directory of its backups seen from outside.
fn big() -> (Cluster, PathBuf) {
    let cluster = Cluster::of(3);
    cluster.lab.etcd().load(BIG.0, BIG.1, 9).expect("load");
    let dir = cluster.lab.shared().join("backup/etcd");
    (cluster, dir)
}

/// What this tool has put into a directory, but for the lock.
fn ours(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("directory").flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<_> = names
        .filter(|name| name.contains(".db") || name.contains(".json"))
        .collect();
    names.sort();
    names
}

fn json(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout).expect("JSON")
}

fn codes(report: &Value) -> Vec<&str> {
    let warnings = report["warnings"].as_array().expect("warnings").iter();
    warnings
        .filter_map(|warning| warning["code"].as_str())
        .collect()
}

/// A backup, stopped in the middle: whatever happens next happens to it there.
struct Stopped {
    child: Child,
    args: Vec<String>,
}

impl Stopped {
    fn begin(cluster: &Cluster, dir: &Path, args: &[&str]) -> Self {
        let mut command = cluster.lab.head_command("restore-runbook", args);
        command.stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let stopped = Self {
            child: command.spawn().expect("the tool starts"),
            args: args.iter().map(ToString::to_string).collect(),
        };
        let part = || {
            let names = ours(dir).into_iter().find(|name| name.contains(".part"))?;
            fs::metadata(dir.join(names))
                .ok()
                .filter(|about| about.len() > 0)
        };
        until("bytes of a snapshot", || part().is_some());
        stopped.signal(Signal::STOP);
        stopped
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().cast_signed()).expect("a process");
        kill_process(pid, signal).expect("a signal");
    }

    fn go_on(self) -> Ran {
        self.signal(Signal::CONT);
        let args: Vec<_> = self.args.iter().map(String::as_str).collect();
        Ran::new(&args, &self.child.wait_with_output().expect("its end"))
    }
}

/// Taken by what the cluster manager says, cleaned up after a `kill -9`, and restored from.
#[test]
fn a_backup_is_taken_after_a_kill_and_restored_from() {
    let (mut cluster, dir) = big();
    let mut killed = Stopped::begin(&cluster, &dir, &["backup"]);
    let locked = cluster.tool(&["backup"]).refused("backup-locked");
    assert_eq!(locked.code, Some(7), "{locked}");
    killed.signal(Signal::KILL);
    killed.child.wait().expect("its end");
    assert_eq!(
        ours(&dir).len(),
        2,
        "{:?}: a part and the record",
        ours(&dir)
    );

    let report = json(&cluster.tool(&["backup", "--format", "json"]).done());
    assert_eq!(report["cleaned"].as_array().map(Vec::len), Some(1));
    assert_eq!(codes(&report), Vec::<&str>::new());
    let manifest = &report["manifest"];
    assert_eq!(
        manifest["content"]["hash_kv"],
        manifest["content"]["member_hash_kv"]
    );
    assert_eq!(
        manifest["companions"].as_array().map(Vec::is_empty),
        Some(false)
    );
    let file = manifest["file"].as_str().expect("a name").to_owned();
    assert_eq!(
        ours(&dir),
        [file.clone(), format!("{file}.json"), "revision.json".into()]
    );

    cluster.snapshot = Path::new(USUAL).join(&file);
    cluster.lose_all_disks();
    cluster.spec(|_| true, "");
    cluster.restore().done();
    cluster.lab.etcd().wait_healthy().expect("healthy");
    cluster.nobody_saw_less();

    // The restored cluster is another one, and as full.
    let report = json(&cluster.tool(&["backup", "--format", "json"]).done());
    assert_eq!(codes(&report), ["cluster-changed"]);
    let [before, now] = [0, 1].map(|at| report["changes"]["live_keys"][at].as_u64());
    assert!(before.is_some() && before == now, "{report}");
    assert_eq!(report["changes"]["suspicious"], serde_json::json!([]));
}

/// The member that sends it loses its cable, or its power.
#[test]
fn a_member_that_goes_away_in_the_middle_is_replaced() {
    let (cluster, dir) = big();
    let args = ["backup", "--format", "json", "--idle-timeout", "2"];
    // An idle cluster has the same member asked again.
    let asked = || {
        let report = json(&cluster.tool(&args).done());
        let endpoint = report["manifest"]["cluster"]["endpoint"].as_str();
        let endpoint = endpoint.expect("an endpoint").to_owned();
        let address = |node: &Node| endpoint.contains(&format!(".{}:", node.number()));
        let node = cluster.nodes().into_iter().find(address).expect("its node");
        (endpoint, node.to_string())
    };
    for (fault, back) in [("cut", "join"), ("power-fail", "power-on")] {
        // Unless an election has just changed who is asked; then the fault hit another one.
        let hit = (0..5).any(|_| {
            let (endpoint, node) = asked();
            let stopped = Stopped::begin(&cluster, &dir, &args);
            cluster.lab.hook(&[fault, &node]).expect("the fault");
            let ran = stopped.go_on().done();
            let report = json(&ran);
            let hit = codes(&report).contains(&"backup-retried");
            if hit {
                assert_ne!(
                    report["manifest"]["cluster"]["endpoint"], *endpoint,
                    "{ran}"
                );
            }
            assert!(
                !ours(&dir).iter().any(|name| name.contains(".part")),
                "{fault}"
            );
            cluster.lab.hook(&[back, &node]).expect("the repair");
            cluster.lab.etcd().wait_healthy().expect("healthy");
            hit
        });
        assert!(hit, "{fault} never hit the member that was asked");
    }
    // Nobody else is there to ask.
    let (endpoint, node) = asked();
    let backups = ours(&dir);
    let mut alone = args.to_vec();
    alone.extend(["--endpoints", &endpoint]);
    let stopped = Stopped::begin(&cluster, &dir, &alone);
    cluster.lab.hook(&["cut", &node]).expect("the fault");
    let ran = stopped.go_on().refused("snapshot-stalled");
    assert_eq!(ran.code, Some(10), "{ran}");
    assert_eq!(ours(&dir), backups);
    cluster.lab.hook(&["join", &node]).expect("the repair");
    cluster.nobody_saw_less();
}

/// No room at all, none for the last file, none half-way, none for the copy: each is told, and none
/// leaves anything behind.
#[test]
fn a_full_disk_leaves_nothing_but_an_error() {
    let (cluster, usual) = big();
    let mount = |at: &str, options: &str| {
        let script =
            format!("mkdir -p -m 0700 {at} && mount -t tmpfs -o mode=0700,{options} tmpfs {at}");
        let output = cluster
            .lab
            .head_output("bash", ["-c", &script])
            .expect("bash");
        assert!(output.status.success(), "{output:?}");
        cluster.on_head(at)
    };
    let small = mount("/mnt/small", "size=4m");
    let ran = cluster
        .tool(&["backup", "--to", "/mnt/small"])
        .refused("backup-space");
    assert!(ran.stderr.contains("bytes are needed"), "{ran}");
    assert_eq!(ours(&small), ["revision.json"]);

    // The directory, the lock, the record, the backup; and no file more for the manifest.
    let files = mount("/mnt/files", "nr_inodes=4");
    cluster
        .tool(&["backup", "--to", "/mnt/files"])
        .refused("backup-space");
    assert_eq!(ours(&files), ["revision.json"]);

    // Somebody else fills it while the snapshot comes.
    let shared = mount("/mnt/shared", "size=400m");
    let stopped = Stopped::begin(&cluster, &shared, &["backup", "--to", "/mnt/shared"]);
    let filled = "dd if=/dev/zero of=/mnt/shared/other bs=1M 2>/dev/null; true";
    cluster.lab.head_output("bash", ["-c", filled]).expect("dd");
    let ran = stopped.go_on().refused("backup-space");
    assert!(ran.stderr.contains("No space left on device"), "{ran}");
    assert_eq!(ours(&shared), ["revision.json"]);

    // The backup is good, and says where its copy is missing.
    let before = ours(&usual).len();
    let ran = cluster
        .tool(&["backup", "--copy-to", "/mnt/small"])
        .refused("backup-copy");
    assert!(ran.stderr.contains(USUAL), "{ran}");
    assert_eq!(ours(&usual).len(), before + 3, "{:?}", ours(&usual));
    assert_eq!(ours(&small), ["revision.json"]);
    cluster.nobody_saw_less();
}

/// A certificate that etcd does not trust, and an authority that is not etcd's.
#[test]
fn a_wrong_certificate_gets_no_backup() {
    let cluster = Cluster::of(1);
    let script = "cd /root && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=root -keyout w.key -out w.crt";
    let output = cluster
        .lab
        .head_output("bash", ["-c", script])
        .expect("openssl");
    assert!(output.status.success(), "{output:?}");
    for wrong in [
        &[
            "backup",
            "--etcd-cert",
            "/root/w.crt",
            "--etcd-key",
            "/root/w.key",
        ][..],
        &["backup", "--etcd-ca", "/root/w.crt"],
    ] {
        let ran = cluster.tool(wrong).refused("backup-no-member");
        assert_eq!(ran.code, Some(10), "{ran}");
    }
    assert_eq!(
        ours(&cluster.lab.shared().join("backup/etcd")),
        Vec::<String>::new()
    );
    cluster.nobody_saw_less();
}

const PASSWORD: &str = "planted-password-5d1f";
/// What a Kubernetes secret holds.
const VALUE: &str = "planted-value-5d1f";

/// Where etcd asks for a user, a backup and a whole restore work with one, and say so without; and no secret
/// gets out.
#[test]
fn authentication_is_on() {
    let mut cluster = Cluster::of(1);
    let node = cluster.nodes()[0];
    let version = cluster.lab.etcd_version().to_owned();
    for command in [
        &format!("put /registry/secrets/default/planted {VALUE}"),
        &format!("user add root:{PASSWORD}"),
        "user grant-role root root",
        "auth enable",
    ] {
        let line = format!("module load etcd/kube-default/{version}; etcdctl {command}");
        cluster.lab.ssh(node, &line).expect("etcdctl");
    }
    let dir = cluster.lab.shared().join("backup/etcd");
    let mut said = vec![cluster.tool(&["backup"]).refused("etcd-auth")];
    // The status is told to everybody, and with it the revision.
    assert_eq!(ours(&dir), ["revision.json"]);
    let secret = cluster.on_head("/root/secret");
    fs::write(&secret, format!("{PASSWORD}\n")).expect("secret");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("mode");
    let user = [
        "--etcd-user",
        "root",
        "--etcd-password-file",
        "/root/secret",
    ];
    said.push(cluster.tool(&[&["backup"], &user[..]].concat()).done());
    // Its manifest comes behind it.
    cluster.snapshot = Path::new(USUAL).join(&ours(&dir)[0]);

    cluster.lab.corrupt_all_databases().expect("disaster");
    cluster.spec(|_| false, "");
    let plan = [
        "plan",
        "--spec",
        "/root/spec.yaml",
        "--out",
        "/root/plan.json",
    ];
    let shown = cluster.tool(&[&plan, &user[..]].concat()).done();
    assert!(shown.stdout.contains("authentication on"), "{shown}");
    said.push(shown);
    let digest = format!("sha256:{}", sha256(&cluster.on_head("/root/plan.json")));
    let run = ["run", "--plan", "/root/plan.json", "--approve", &digest];
    // Without the user it goes as far as it can, and says what it lacks.
    said.push(cluster.tool(&run).refused("etcd-auth"));
    let resumed = cluster.tool(&[&["resume", "--yes"], &user[..]].concat());
    said.push(resumed.done());
    let all = ["status", "--all", "--format", "json"];
    said.push(cluster.tool(&all).done());
    cluster.nothing_tells(&[PASSWORD, VALUE, "$2a$"], &said);
    cluster.nobody_saw_less();
}
