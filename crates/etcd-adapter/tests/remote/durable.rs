//! What a restore has marked as complete is complete, whenever the power goes.

use crate::power_cut::Watch;
use crate::tool::Bench;

/// What a `sync` does that the scripts may meet, the one before coreutils 8.24 without its work: it would sync
/// every disk of this machine.
const SYNCS: [&str; 2] = [
    "sync \"$@\"",
    "[ \"$1\" != --help ] || echo 'Usage: sync [OPTION]'",
];

/// Killed behind the mark too, and run again.
#[test]
fn a_complete_restore_survives_a_power_cut() {
    for sync in SYNCS {
        for cut in 0.. {
            let bench = Bench::new("snap-3.4.23.db");
            let watch = Watch::over(bench.shell.home());
            for (name, script) in watch.programs() {
                bench.shell.program(name, &script);
            }
            bench.shell.program("sync", &watch.program("sync", sync));
            watch.look();
            watch.kill_before(cut);
            let killed = bench.script("").status != 0;
            watch.let_live();
            assert_eq!(bench.script("").status, 0, "{sync}, killed before {cut}");
            assert!(bench.path("complete").exists());
            assert_eq!(watch.finds(), [""; 0], "{sync}, killed before {cut}");
            if !killed {
                assert!(cut > 4, "only {cut} programs");
                break;
            }
        }
    }
}

/// Whichever of its syncs fails, what may not be on the disk is not marked.
#[test]
fn a_restore_that_cannot_be_synced_is_not_complete() {
    let mut failed = 0;
    loop {
        let bench = Bench::new("snap-3.4.23.db");
        let sync = format!(
            "#!/bin/sh\n\
             case $1 in -f) echo >>\"$HOME/syncs\" ;; esac\n\
             [ \"$(grep -c '' \"$HOME/syncs\")\" -le {failed} ] || exit 1\n\
             PATH=/usr/bin:/bin exec sync \"$@\"\n"
        );
        std::fs::write(bench.shell.home().join("syncs"), "").unwrap();
        bench.shell.program("sync", &sync);
        if bench.script("").status == 0 {
            break;
        }
        assert!(!bench.path("complete").exists(), "sync {failed}");
        failed += 1;
    }
    assert_eq!(failed, 3, "one of them is passed over");
}
