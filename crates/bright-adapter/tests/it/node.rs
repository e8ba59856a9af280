//! Node scripts, run by a real `sh` on real files, through every crash window.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bright_adapter::{SshNode, codes};
use runbook_core::journal::Permit;
use runbook_core::names::{AbsPath, NodeName, Owner, RunId, ServiceName};
use runbook_core::plan::NodeEffect;
use runbook_core::ports::{Node, OLD_DATA_GONE, Output, PortResult, Shell};
use runbook_core::world::SpoolState;
use tempfile::TempDir;

use crate::support::{LocalShell, RUN, node, path, permit, program, run};

/// A disk with a spool's surroundings.
pub(crate) struct Disk {
    dir: TempDir,
    pub(crate) nodes: SshNode<LocalShell>,
}

impl Disk {
    pub(crate) fn new() -> Self {
        Self {
            dir: TempDir::new().unwrap(),
            nodes: SshNode::new(Arc::new(LocalShell)),
        }
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn abs(&self, name: &str) -> AbsPath {
        path(&self.at(name))
    }

    /// An etcd data directory.
    pub(crate) fn data(&self, name: &str, content: &str) {
        let snap = self.at(name).join("member/snap");
        fs::create_dir_all(&snap).unwrap();
        fs::write(snap.join("db"), content).unwrap();
    }

    pub(crate) fn guard(&self, name: &str) {
        fs::write(
            self.at(name),
            format!("restore-runbook guard {RUN}\nmore\n"),
        )
        .unwrap();
    }

    fn content(&self, name: &str) -> String {
        fs::read_to_string(self.at(name).join("member/snap/db")).unwrap_or_default()
    }

    async fn does(&self, effect: &NodeEffect) -> PortResult<()> {
        self.nodes.perform(&permit(), effect).await
    }

    async fn done(&self, effect: &NodeEffect) {
        self.does(effect).await.unwrap();
    }

    async fn refused(&self, effect: &NodeEffect) {
        let before = self.tree();
        let error = self.does(effect).await.unwrap_err();
        assert_eq!(error.code, codes::NODE_CONFLICT, "{}", error.chain());
        assert_eq!(
            self.tree(),
            before,
            "a refusal changes nothing: {}",
            error.chain()
        );
    }

    async fn spool(&self) -> SpoolState {
        self.nodes
            .spool(&node("node001"), &self.abs("etcd"))
            .await
            .unwrap()
    }

    /// Every path on the disk with its kind.
    fn tree(&self) -> Vec<String> {
        let mut all = Vec::new();
        let mut todo = vec![self.dir.path().to_owned()];
        while let Some(dir) = todo.pop() {
            for entry in fs::read_dir(dir).unwrap() {
                let entry = entry.unwrap();
                let kind = entry.file_type().unwrap();
                all.push(format!("{} {kind:?}", entry.path().display()));
                if kind.is_dir() {
                    todo.push(entry.path());
                }
            }
        }
        all.sort();
        all
    }

    pub(crate) fn set_aside(&self) -> NodeEffect {
        NodeEffect::SetAside {
            node: node("node001"),
            spool: self.abs("etcd"),
            aside: self.abs("etcd.old"),
            run: run(),
        }
    }

    pub(crate) fn place_guard(&self) -> NodeEffect {
        NodeEffect::PlaceGuard {
            node: node("node001"),
            spool: self.abs("etcd"),
            run: run(),
            instead_of: None,
        }
    }

    pub(crate) fn arm(&self) -> NodeEffect {
        NodeEffect::Arm {
            node: node("node001"),
            staged: self.abs("etcd.new/data"),
            spool: self.abs("etcd"),
            run: run(),
        }
    }

    pub(crate) fn disarm(&self) -> NodeEffect {
        NodeEffect::Disarm {
            node: node("node001"),
            staged: self.abs("etcd.new/data"),
            spool: self.abs("etcd"),
            run: run(),
        }
    }

    pub(crate) fn return_spool(&self) -> NodeEffect {
        NodeEffect::ReturnSpool {
            node: node("node001"),
            spool: self.abs("etcd"),
            aside: self.abs("etcd.old"),
            run: run(),
        }
    }

    /// The name beside the spool where a guard is written first.
    fn beside(&self) -> PathBuf {
        self.at(&format!("etcd.guard-{}", run().short()))
    }

    async fn is_set_aside(&self) {
        assert_eq!(self.content("etcd.old"), "old");
        assert_eq!(self.spool().await, SpoolState::Guard(run()));
        assert!(!self.beside().exists());
        let mode = fs::metadata(self.at("etcd")).unwrap().mode() & 0o777;
        assert_eq!(mode, 0o400);
    }
}

#[tokio::test]
async fn set_aside_moves_and_guards_and_is_idempotent() {
    let disk = Disk::new();
    disk.data("etcd", "old");
    for _ in 0..3 {
        disk.done(&disk.set_aside()).await;
        disk.is_set_aside().await;
    }
    let text = fs::read_to_string(disk.at("etcd")).unwrap();
    assert_eq!(
        text.lines().next(),
        Some(&*format!("restore-runbook guard {RUN}"))
    );
    assert!(text.contains("restore-runbook resume"));
}

#[tokio::test]
async fn set_aside_goes_on_from_every_window() {
    // Moved, no guard yet.
    let disk = Disk::new();
    disk.data("etcd.old", "old");
    disk.done(&disk.set_aside()).await;
    disk.is_set_aside().await;
    // Moved, the guard half written beside.
    let disk = Disk::new();
    disk.data("etcd.old", "old");
    fs::write(disk.beside(), "restore-run").unwrap();
    disk.done(&disk.set_aside()).await;
    disk.is_set_aside().await;
    // Moved, and CMDaemon has made an empty directory since.
    let disk = Disk::new();
    disk.data("etcd.old", "old");
    fs::create_dir(disk.at("etcd")).unwrap();
    disk.done(&disk.set_aside()).await;
    disk.is_set_aside().await;
    // Guarded, the name beside still there.
    let disk = Disk::new();
    disk.data("etcd.old", "old");
    disk.guard("etcd");
    fs::hard_link(disk.at("etcd"), disk.beside()).unwrap();
    disk.done(&disk.set_aside()).await;
    assert!(!disk.beside().exists());
}

#[tokio::test]
async fn set_aside_refuses_what_it_cannot_explain() {
    let cases: [fn(&Disk); 8] = [
        |_| {},
        |disk| {
            disk.data("etcd", "new");
            disk.data("etcd.old", "old");
        },
        |disk| disk.guard("etcd"),
        |disk| fs::write(disk.at("etcd"), "a file").unwrap(),
        |disk| {
            disk.data("real", "old");
            symlink(disk.at("real"), disk.at("etcd")).unwrap();
        },
        |disk| symlink(disk.at("nowhere"), disk.at("etcd")).unwrap(),
        |disk| {
            disk.data("etcd", "old");
            fs::write(disk.at("etcd.old"), "a file").unwrap();
        },
        |disk| {
            let other = RunId::parse("01936f6e-0000-7000-8000-000000000002").unwrap();
            disk.data("etcd.old", "old");
            fs::write(disk.at("etcd"), format!("restore-runbook guard {other}\n")).unwrap();
        },
    ];
    for case in cases {
        let disk = Disk::new();
        case(&disk);
        disk.refused(&disk.set_aside()).await;
    }
    // Its disk was lost since the plan was made: this run has no way on, and says so.
    let disk = Disk::new();
    let gone = disk.does(&disk.set_aside()).await.unwrap_err();
    assert_eq!(gone.code, codes::NODE_CONFLICT);
    assert!(gone.hint.unwrap().contains("abandon"));
}

#[tokio::test]
async fn place_guard_takes_only_an_empty_place() {
    let disk = Disk::new();
    for _ in 0..2 {
        disk.done(&disk.place_guard()).await;
        assert_eq!(disk.spool().await, SpoolState::Guard(run()));
    }
    let disk = Disk::new();
    fs::create_dir(disk.at("etcd")).unwrap();
    fs::write(disk.beside(), "half").unwrap();
    disk.done(&disk.place_guard()).await;
    assert_eq!(disk.spool().await, SpoolState::Guard(run()));
    assert!(!disk.beside().exists());

    let disk = Disk::new();
    disk.data("etcd", "started empty");
    disk.refused(&disk.place_guard()).await;
    let disk = Disk::new();
    fs::write(disk.at("etcd"), "").unwrap();
    disk.refused(&disk.place_guard()).await;
    let disk = Disk::new();
    fs::create_dir(disk.at("real")).unwrap();
    symlink(disk.at("real"), disk.at("etcd")).unwrap();
    disk.refused(&disk.place_guard()).await;
}

/// There is a guard at every moment: this run's is laid over the other's by a rename.
#[tokio::test]
async fn place_guard_takes_over_from_the_named_run_only() {
    let over = RunId::parse("01936f6e-0000-7000-8000-000000000099").unwrap();
    let another = "restore-runbook guard 01936f6e-0000-7000-8000-000000000098\n";
    let take_over = |disk: &Disk| match disk.place_guard() {
        NodeEffect::PlaceGuard {
            node, spool, run, ..
        } => NodeEffect::PlaceGuard {
            node,
            spool,
            run,
            instead_of: Some(over),
        },
        other => other,
    };
    let disk = Disk::new();
    fs::write(disk.at("etcd"), format!("restore-runbook guard {over}\n")).unwrap();
    disk.refused(&disk.place_guard()).await;
    // Cut short before the rename.
    fs::write(disk.beside(), "half").unwrap();
    for _ in 0..2 {
        disk.done(&take_over(&disk)).await;
        assert_eq!(disk.spool().await, SpoolState::Guard(run()));
        assert!(!disk.beside().exists());
    }
    // The node has come back with an empty disk meanwhile.
    let disk = Disk::new();
    disk.done(&take_over(&disk)).await;
    assert_eq!(disk.spool().await, SpoolState::Guard(run()));
    let disk = Disk::new();
    fs::write(disk.at("etcd"), another).unwrap();
    disk.refused(&take_over(&disk)).await;
    let disk = Disk::new();
    disk.data("etcd", "started empty");
    disk.refused(&take_over(&disk)).await;
}

#[tokio::test]
async fn arm_puts_the_tree_in_the_guards_place() {
    let disk = Disk::new();
    disk.guard("etcd");
    disk.data("etcd.new/data", "new");
    for _ in 0..3 {
        disk.done(&disk.arm()).await;
        assert_eq!(disk.content("etcd"), "new");
        assert!(!disk.at("etcd.new/data").exists());
    }
    // The guard is gone, the rename has not happened.
    let disk = Disk::new();
    disk.data("etcd.new/data", "new");
    disk.done(&disk.arm()).await;
    assert_eq!(disk.content("etcd"), "new");
}

#[tokio::test]
async fn arm_refuses_everything_but_its_own_guard() {
    let cases: [fn(&Disk); 7] = [
        |_| {},
        |disk| disk.guard("etcd"),
        |disk| {
            disk.data("etcd.new/data", "new");
            disk.data("etcd", "started empty");
        },
        |disk| {
            disk.data("etcd.new/data", "new");
            fs::create_dir(disk.at("etcd")).unwrap();
        },
        |disk| {
            disk.data("etcd.new/data", "new");
            let line = "restore-runbook guard 01936f6e-0000-7000-8000-000000000002\n";
            fs::write(disk.at("etcd"), line).unwrap();
        },
        |disk| {
            disk.guard("etcd");
            fs::create_dir_all(disk.at("etcd.new/data")).unwrap();
        },
        |disk| {
            disk.guard("etcd");
            disk.data("elsewhere", "new");
            fs::create_dir(disk.at("etcd.new")).unwrap();
            symlink(disk.at("elsewhere"), disk.at("etcd.new/data")).unwrap();
        },
    ];
    for case in cases {
        let disk = Disk::new();
        case(&disk);
        disk.refused(&disk.arm()).await;
    }
}

#[tokio::test]
async fn disarm_takes_back_only_a_restored_tree() {
    let disk = Disk::new();
    fs::create_dir(disk.at("etcd.new")).unwrap();
    disk.data("etcd", "new");
    for _ in 0..2 {
        disk.done(&disk.disarm()).await;
        assert_eq!(disk.content("etcd.new/data"), "new");
        assert_eq!(disk.spool().await, SpoolState::Guard(run()));
    }
    let disk = Disk::new();
    fs::create_dir(disk.at("etcd.new")).unwrap();
    disk.refused(&disk.disarm()).await;
    fs::create_dir(disk.at("etcd")).unwrap();
    disk.refused(&disk.disarm()).await;
    let disk = Disk::new();
    disk.data("etcd", "of another");
    disk.refused(&disk.disarm()).await;
}

#[tokio::test]
async fn return_spool_undoes_set_aside() {
    let disk = Disk::new();
    disk.data("etcd", "old");
    disk.done(&disk.set_aside()).await;
    for _ in 0..2 {
        disk.done(&disk.return_spool()).await;
        assert_eq!(disk.content("etcd"), "old");
        assert!(!disk.at("etcd.old").exists());
    }
    // The guard is gone, the rename has not happened.
    let disk = Disk::new();
    disk.data("etcd.old", "old");
    disk.done(&disk.return_spool()).await;
    assert_eq!(disk.content("etcd"), "old");

    let disk = Disk::new();
    disk.data("etcd.old", "old");
    disk.data("etcd", "another");
    disk.refused(&disk.return_spool()).await;
    // Somebody has moved it; or the disk was wiped meanwhile.
    for guarded in [true, false] {
        let disk = Disk::new();
        if guarded {
            disk.guard("etcd");
        }
        let before = disk.tree();
        let gone = disk.does(&disk.return_spool()).await.unwrap_err();
        assert_eq!(gone.code, OLD_DATA_GONE, "{}", gone.chain());
        assert!(gone.hint.unwrap().contains("`abandon` this undo"));
        assert_eq!(disk.tree(), before);
    }
}

/// The script is cut before each of its commands in turn, then run whole: a crash anywhere.
#[tokio::test]
async fn every_prefix_of_a_script_can_be_gone_on_from() {
    for cut in 0..12 {
        let disk = Disk::new();
        disk.data("etcd", "old");
        run_cut(&disk, &disk.set_aside(), cut);
        disk.done(&disk.set_aside()).await;
        disk.is_set_aside().await;

        disk.data("etcd.new/data", "new");
        run_cut(&disk, &disk.arm(), cut);
        disk.done(&disk.arm()).await;
        assert_eq!(disk.content("etcd"), "new", "cut {cut}");

        run_cut(&disk, &disk.disarm(), cut);
        disk.done(&disk.disarm()).await;
        assert_eq!(disk.content("etcd.new/data"), "new", "cut {cut}");
        assert_eq!(disk.spool().await, SpoolState::Guard(run()));

        let disk = Disk::new();
        run_cut(&disk, &disk.place_guard(), cut);
        disk.done(&disk.place_guard()).await;

        let disk = Disk::new();
        disk.data("etcd", "old");
        disk.done(&disk.set_aside()).await;
        run_cut(&disk, &disk.return_spool(), cut);
        disk.done(&disk.return_spool()).await;
        assert_eq!(disk.content("etcd"), "old", "cut {cut}");
    }
}

/// Runs a script with programs that kill it before the `cut`-th change.
fn run_cut(disk: &Disk, effect: &NodeEffect, cut: u32) {
    let bin = TempDir::new().unwrap();
    let count = bin.path().join("count");
    fs::write(&count, "0").unwrap();
    for name in ["mv", "ln", "rm", "rmdir", "sync"] {
        let script = format!(
            "n=$(cat {count}); echo $((n + 1)) >{count}\n\
             if [ \"$n\" -ge {cut} ]; then kill -9 $PPID; exit 1; fi\n\
             PATH=/usr/bin:/bin exec {name} \"$@\"",
            count = count.display()
        );
        program(bin.path(), name, &script);
    }
    let command = disk.nodes.render(effect).unwrap().remove(0);
    std::process::Command::new(&command.argv[0])
        .args(&command.argv[1..])
        .env("PATH", format!("{}:/usr/bin:/bin", bin.path().display()))
        .output()
        .unwrap();
}

#[tokio::test]
async fn own_tree_follows_no_link() {
    let disk = Disk::new();
    disk.data("tree", "x");
    fs::write(disk.at("outside"), "").unwrap();
    fs::set_permissions(disk.at("outside"), fs::Permissions::from_mode(0o644)).unwrap();
    symlink(disk.at("outside"), disk.at("tree/link")).unwrap();
    let owner = own_name();
    let own = |tree: &str| NodeEffect::OwnTree {
        node: node("node001"),
        tree: disk.abs(tree),
        owner: owner.clone(),
    };
    disk.done(&own("tree")).await;
    let state = disk
        .nodes
        .tree(&node("node001"), &disk.abs("tree"))
        .await
        .unwrap();
    assert_eq!(
        (state.owner.as_str(), state.mode, state.strangers),
        (owner.as_str(), 0o700, 0)
    );
    let mode = fs::metadata(disk.at("outside")).unwrap().mode() & 0o777;
    assert_eq!(mode, 0o644);
    symlink(disk.at("tree"), disk.at("alias")).unwrap();
    disk.refused(&own("alias")).await;
    disk.refused(&own("nothing")).await;
    assert!(
        disk.nodes
            .tree(&node("node001"), &disk.abs("nothing"))
            .await
            .is_err()
    );
}

/// The user and group this test runs as.
pub(crate) fn own_name() -> Owner {
    let id = |flag| {
        let out = std::process::Command::new("id").arg(flag).output().unwrap();
        String::from_utf8(out.stdout).unwrap().trim().to_owned()
    };
    Owner::new(format!("{}:{}", id("-un"), id("-gn"))).unwrap()
}

#[tokio::test]
async fn what_stands_at_the_spool() {
    let disk = Disk::new();
    assert_eq!(disk.spool().await, SpoolState::Absent);
    fs::create_dir(disk.at("etcd")).unwrap();
    assert_eq!(disk.spool().await, SpoolState::EmptyDirectory);
    fs::write(disk.at("etcd/x"), "").unwrap();
    assert_eq!(disk.spool().await, SpoolState::ForeignDirectory);
    fs::create_dir(disk.at("etcd/member")).unwrap();
    assert_eq!(disk.spool().await, SpoolState::Data);
    fs::remove_dir_all(disk.at("etcd")).unwrap();
    for (text, state) in [
        (
            format!("restore-runbook guard {RUN}\n"),
            SpoolState::Guard(run()),
        ),
        ("restore-runbook guard x\n".into(), SpoolState::Other),
        (String::new(), SpoolState::Other),
        ("\0\u{1b}[31m\n".into(), SpoolState::Other),
    ] {
        fs::write(disk.at("etcd"), text).unwrap();
        assert_eq!(disk.spool().await, state);
    }
    fs::remove_file(disk.at("etcd")).unwrap();
    symlink("/", disk.at("etcd")).unwrap();
    assert_eq!(disk.spool().await, SpoolState::Other);
    let proc = AbsPath::new("/proc").unwrap();
    let state = disk.nodes.spool(&node("node001"), &proc).await.unwrap();
    assert_eq!(state, SpoolState::MountPoint);
}

/// This machine, with a directory of programs that come before its own.
#[derive(Debug)]
struct With(TempDir);

#[async_trait]
impl Shell for With {
    async fn query(&self, _: &NodeName, argv: &[String]) -> PortResult<Output> {
        let path = format!("{}:/usr/bin:/bin", self.0.path().display());
        let mut command = std::process::Command::new(&argv[0]);
        let done = command.args(&argv[1..]).env("PATH", path).output().unwrap();
        Ok(Output {
            status: done.status.code().unwrap_or(255),
            stdout: done.stdout,
            stderr: done.stderr,
        })
    }

    async fn effect(&self, _: &Permit, node: &NodeName, argv: &[String]) -> PortResult<Output> {
        self.query(node, argv).await
    }
}

/// Where a dying disk cannot list a directory, nobody knows what is in it: no data is taken for an empty place.
#[tokio::test]
async fn a_directory_that_cannot_be_listed_is_not_empty() {
    let disk = Disk::new();
    let bin = TempDir::new().unwrap();
    let ls = "echo \"ls: reading directory '$3': Input/output error\" >&2; exit 2";
    program(bin.path(), "ls", ls);
    let nodes = SshNode::new(Arc::new(With(bin)));
    fs::create_dir(disk.at("etcd")).unwrap();
    let asked = nodes.spool(&node("node001"), &disk.abs("etcd")).await;
    let error = asked.unwrap_err();
    assert_eq!(error.code, codes::NODE_QUESTION, "{}", error.chain());
    assert!(error.chain().contains("Input/output error"), "{error:?}");
    disk.data("etcd.old", "old");
    for effect in [disk.place_guard(), disk.set_aside()] {
        let before = disk.tree();
        let error = nodes.perform(&permit(), &effect).await.unwrap_err();
        assert_eq!(error.code, codes::NODE_CONFLICT, "{}", error.chain());
        assert!(error.chain().contains("cannot list"), "{}", error.chain());
        assert_eq!(disk.tree(), before);
    }
}

#[tokio::test]
async fn questions_to_a_real_machine() {
    let disk = Disk::new();
    let (nodes, here) = (&disk.nodes, node("node001"));
    assert!(nodes.boot_id(&here).await.unwrap().is_some());
    symlink("nowhere", disk.at("dangling")).unwrap();
    assert!(nodes.exists(&here, &disk.abs("dangling")).await.unwrap());
    assert!(!nodes.exists(&here, &disk.abs("nothing")).await.unwrap());
    assert!(
        !nodes
            .exists(&here, &disk.abs("nothing/below"))
            .await
            .unwrap()
    );

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    assert_eq!(nodes.listening(&here, &[port]).await.unwrap(), [port]);

    let room = nodes.room(&here, &disk.abs("not/there/yet")).await.unwrap();
    assert!(room.disk_bytes > 0 && room.inodes > 0 && room.memory_bytes > 0);
}

#[tokio::test]
async fn how_a_snapshot_looks() {
    let disk = Disk::new();
    let here = node("node001");
    let look = async |name: &str| {
        let spool = disk.abs("not/there/etcd");
        disk.nodes.snapshot(&here, &disk.abs(name), &spool).await
    };
    assert_eq!(look("snapshot").await.unwrap(), None);
    let trailer = runbook_core::digest::Digest::of(b"x");
    let bytes = [&[0_u8; 512][..], &hex(&trailer.hex())].concat();
    fs::write(disk.at("snapshot"), &bytes).unwrap();
    let seen = look("snapshot").await.unwrap().unwrap();
    assert_eq!((seen.size_bytes, seen.trailer), (544, trailer));
    assert!(seen.on_wiped_disk);
    fs::write(disk.at("short"), "x").unwrap();
    assert_eq!(look("short").await.unwrap().unwrap().size_bytes, 1);
    fs::create_dir(disk.at("dir")).unwrap();
    assert!(look("dir").await.is_err());
}

fn hex(text: &str) -> Vec<u8> {
    let pair = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(pair).collect()
}

#[test]
fn a_service_is_stopped_by_its_name() {
    let disk = Disk::new();
    let effect = NodeEffect::StopService {
        node: node("node001"),
        service: ServiceName::new("etcd").unwrap(),
    };
    let command = disk.nodes.render(&effect).unwrap().remove(0);
    assert_eq!(command.argv[2], "systemctl stop -- etcd || [ $? -eq 5 ]");
}

/// Paths of the widest alphabet that core lets through stay one word each.
#[tokio::test]
async fn odd_paths_are_quoted() {
    let disk = Disk::new();
    let odd = disk.at("a=b,c:d@e%f+g");
    fs::create_dir(&odd).unwrap();
    let name = |n: &str| -> PathBuf { odd.join(Path::new(n)) };
    let effect = NodeEffect::PlaceGuard {
        node: node("node001"),
        spool: path(&name("et=cd")),
        run: run(),
        instead_of: None,
    };
    disk.done(&effect).await;
    assert!(name("et=cd").is_file());
}

/// A staging directory that leads elsewhere: nothing there is given away, and nothing there is armed.
#[tokio::test]
async fn a_linked_staging_directory_is_not_followed() {
    let disk = Disk::new();
    disk.guard("etcd");
    disk.data("precious/data", "somebody's");
    symlink(disk.at("precious"), disk.at("etcd.new")).unwrap();
    disk.refused(&disk.arm()).await;
    disk.refused(&NodeEffect::OwnTree {
        node: node("node001"),
        tree: disk.abs("etcd.new/data"),
        owner: Owner::new("nobody:nogroup").unwrap(),
    })
    .await;
    assert_eq!(disk.content("precious/data"), "somebody's");
}

/// The name where a guard is written first is a link to a file that must not be written.
#[tokio::test]
async fn a_guard_is_not_written_through_a_link() {
    let disk = Disk::new();
    fs::write(disk.at("precious"), "precious").unwrap();
    symlink(disk.at("precious"), disk.beside()).unwrap();
    disk.done(&disk.place_guard()).await;
    assert_eq!(disk.spool().await, SpoolState::Guard(run()));
    assert_eq!(fs::read_to_string(disk.at("precious")).unwrap(), "precious");
    // Aside leads elsewhere.
    let disk = Disk::new();
    disk.data("elsewhere", "somebody's");
    disk.data("etcd", "old");
    symlink(disk.at("elsewhere"), disk.at("etcd.old")).unwrap();
    disk.refused(&disk.set_aside()).await;
    disk.refused(&disk.return_spool()).await;
}
