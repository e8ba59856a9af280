//! What a node script has done when it says so stays done, whenever the power goes.

use std::fs;
use std::path::Path;
use std::process::Command;

use runbook_core::names::{Owner, RunId};
use runbook_core::plan::NodeEffect;
use runbook_core::ports::Node as _;
use tempfile::TempDir;

use crate::node::Disk;
use crate::power_cut::Watch;
use crate::support::{node, path, program};

/// The run whose guards are taken over.
const OVER: &str = "01936f6e-0000-7000-8000-000000000099";

/// What it is called, and what prepares it.
type Case = (&'static str, fn(&Disk) -> NodeEffect);

/// Every effect with a script that changes files, on a disk where there is something for it to do.
fn every_effect() -> [Case; 8] {
    [
        ("set aside", |disk| {
            disk.data("etcd", "old");
            disk.set_aside()
        }),
        ("set aside, and an empty directory since", |disk| {
            disk.data("etcd.old", "old");
            fs::create_dir(disk.at("etcd")).unwrap();
            disk.set_aside()
        }),
        ("guard", Disk::place_guard),
        ("take over", |disk| {
            fs::write(disk.at("etcd"), format!("restore-runbook guard {OVER}\n")).unwrap();
            let mut effect = disk.place_guard();
            if let NodeEffect::PlaceGuard { instead_of, .. } = &mut effect {
                *instead_of = Some(RunId::parse(OVER).unwrap());
            }
            effect
        }),
        ("own", |disk| {
            disk.data("etcd.new/data", "new");
            NodeEffect::OwnTree {
                node: node("node001"),
                tree: path(&disk.at("etcd.new/data")),
                owner: another_owner(),
            }
        }),
        ("arm", |disk| {
            disk.guard("etcd");
            disk.data("etcd.new/data", "new");
            disk.arm()
        }),
        ("disarm", |disk| {
            fs::create_dir(disk.at("etcd.new")).unwrap();
            disk.data("etcd", "new");
            disk.disarm()
        }),
        ("return", |disk| {
            disk.guard("etcd");
            disk.data("etcd.old", "old");
            disk.return_spool()
        }),
    ]
}

/// Killed before each of its programs, and run again: the second life makes durable what the first had left.
#[test]
fn what_a_script_has_done_survives_a_power_cut() {
    for (name, effect) in every_effect() {
        for cut in 0.. {
            let disk = Disk::new();
            let effect = effect(&disk);
            let watch = Watch::over(&disk.at(""));
            watch.kill_before(cut);
            let killed = !runs(&disk, &effect, &watch);
            watch.let_live();
            assert!(runs(&disk, &effect, &watch), "{name}, killed before {cut}");
            assert_eq!(watch.finds(), [""; 0], "{name}, killed before {cut}");
            if !killed {
                assert!(cut > 1, "{name} runs no programs");
                break;
            }
        }
    }
}

/// Whoever cannot sync has not done it.
#[test]
fn a_sync_that_fails_is_no_success() {
    for (name, effect) in every_effect() {
        let disk = Disk::new();
        let effect = effect(&disk);
        let bin = TempDir::new().unwrap();
        program(bin.path(), "sync", "exit 1");
        assert!(!with_programs(&disk, &effect, bin.path()), "{name}");
    }
}

/// The rules find what breaks them.
#[test]
fn what_a_power_cut_takes_back_is_found() {
    for (script, findings) in [
        ("echo x >a; sync -- $PWD/a; mv a b; sync -- $PWD", 0),
        ("echo x >a; mv a b; sync -- $PWD $PWD/b", 1),
        ("echo x >a; sync -- $PWD/a; ln a b; rm a", 1),
        ("echo x >a; sync -- $PWD/", 1),
        ("echo x >a; sync -f $PWD; chmod 0 a", 1),
        ("mkdir a; echo x >a/b; sync -- $PWD/a $PWD; mv a c; sync", 1),
        (
            "mkdir a; echo x >a/b; sync; rm a/b; rmdir a; sync -- $PWD",
            0,
        ),
        (
            "mkdir a; echo x >a/b; sync -f $PWD; mv a/b b; sync -- $PWD",
            1,
        ),
    ] {
        let disk = TempDir::new().unwrap();
        let watch = Watch::over(disk.path());
        let bin = installed(&watch);
        let done = Command::new("sh")
            .args(["-euc", script])
            .current_dir(disk.path())
            .env("PATH", format!("{}:/usr/bin:/bin", bin.path().display()))
            .status();
        assert!(done.unwrap().success(), "{script}");
        let found = watch.finds();
        assert_eq!(found.len(), findings, "{script}: {found:?}");
    }
}

fn runs(disk: &Disk, effect: &NodeEffect, watch: &Watch) -> bool {
    with_programs(disk, effect, installed(watch).path())
}

fn installed(watch: &Watch) -> TempDir {
    let bin = TempDir::new().unwrap();
    for (name, script) in watch.programs() {
        program(bin.path(), name, &script);
    }
    watch.look();
    bin
}

/// Runs an effect's script with these programs before the real ones; whether it says that it is done.
fn with_programs(disk: &Disk, effect: &NodeEffect, bin: &Path) -> bool {
    let command = disk.nodes.render(effect).unwrap().remove(0);
    let done = Command::new(&command.argv[0])
        .args(&command.argv[1..])
        .env("PATH", format!("{}:/usr/bin:/bin", bin.display()))
        .output();
    done.unwrap().status.success()
}

/// Somebody else than who runs this, where he may give files away.
fn another_owner() -> Owner {
    let own = crate::node::own_name();
    let other = own.as_str().starts_with("root:").then_some("daemon:daemon");
    other.map_or(own, |other| Owner::new(other).unwrap())
}
