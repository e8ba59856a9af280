//! The command line over the fake world: what it refuses, where it halts, how it goes on.

use std::os::unix::fs::PermissionsExt as _;

use runbook_core::spec::SPEC_LIMIT_BYTES;
use runbook_core::testkit::{Found, World};
use serde_json::Value;

use crate::exit::Exit;
use crate::testing::{Did, Head, text};

fn three() -> Head {
    Head::new(World::of(3).build())
}

pub(super) fn done(did: &Did) {
    assert_eq!(did.result, Ok(Exit::Done), "{did:?}");
}

pub(super) fn refused(did: &Did, exit: Exit, code: &str) {
    let failure = did.result.as_ref().unwrap_err();
    assert_eq!(
        (failure.exit, failure.code.as_str()),
        (exit, code),
        "{did:?}"
    );
}

#[test]
fn plan_then_run() {
    let head = Head::new(World::of(3).reprovision(&[1]).build());
    let run = head.planned();
    let did = head.tool(&run);
    done(&did);
    head.world.verdict().unwrap();
    head.world.restored().unwrap();
    assert!(
        did.stdout.is_empty(),
        "a run prints no data: {}",
        did.stdout
    );
    assert!(
        did.stderr.contains("restored and verified"),
        "{}",
        did.stderr
    );
    // Of the wiped one nothing old is left.
    let stays = [
        ", the old data, on node001, node003\n",
        ", the restore's log, on node001, node002, node003\n",
    ];
    for line in stays {
        assert!(did.stderr.contains(line), "{line} in {}", did.stderr);
    }
    // A plan is run once.
    refused(&head.tool(&run), Exit::Conflict, "world-drift");
    let all: Value = serde_json::from_str(&head.tool("status --all --format json").stdout).unwrap();
    assert_eq!(all[0]["state"], "completed");
}

#[test]
fn a_dry_run_leaves_no_trace() {
    let head = three();
    let before = head.world.log().len();
    done(&head.tool("discover --snapshot /cm/shared/backup/etcd/snapshot.db"));
    done(&head.tool("plan --spec @/spec.yaml"));
    done(&head.tool("plan --spec @/spec.yaml --format md"));
    let probed = head.tool("plan --spec @/spec.yaml --probe");
    assert_eq!(probed.result, Ok(Exit::Pending), "{probed:?}");
    assert_eq!(head.world.log().len(), before, "{}", head.world.story());
    assert!(!head.path("state").exists());
}

/// A page that shows a gate that fails does not end with the way to run the plan.
#[test]
fn a_probe_that_fails_advises_no_run() {
    let head = Head::new(World::of(3).every_node(Found::Serving).build());
    head.respec(|spec| spec.allow.quorum = None);
    for format in ["text", "md"] {
        let line = format!("plan --spec @/spec.yaml --out @/plan.json --force --format {format}");
        let did = head.tool(&line);
        done(&did);
        assert!(did.stdout.contains("--approve sha256:"), "{}", did.stdout);
        let did = head.tool(&format!("{line} --probe"));
        assert_eq!(did.result, Ok(Exit::Refused), "{did:?}");
        assert!(!did.stdout.contains("--approve"), "{}", did.stdout);
        assert!(did.stdout.contains("Do not run it yet"), "{}", did.stdout);
    }
}

/// What is pasted finds the same state directory, and etcd by the same files.
#[test]
fn the_next_command_repeats_what_was_typed() {
    let head = three();
    let state = head.path("state");
    let state = state.to_str().unwrap();
    let typed = format!("--state-dir {state} --host-keys replace-after-wipe");
    let did = head.tool("plan --spec @/spec.yaml --host-keys replace-after-wipe");
    let spec = head.path("spec.yaml");
    let line = format!("plan --spec {} --out plan.json {typed}", spec.display());
    assert!(did.stdout.contains(&line), "{}", did.stdout);
    let line = "plan --spec @/spec.yaml --out @/plan.json --host-keys replace-after-wipe";
    let did = head.tool(line);
    let digest = runbook_core::digest::Digest::of(&std::fs::read(head.path("plan.json")).unwrap());
    let next = format!(
        "run --plan {} --approve {digest} {typed}\n",
        head.path("plan.json").display()
    );
    assert!(did.stdout.contains(&next), "{}", did.stdout);
}

#[test]
fn a_plan_file_is_private_and_its_own_digest() {
    let head = three();
    let did = head.tool("plan --spec @/spec.yaml --out @/plan.json");
    done(&did);
    let about = std::fs::metadata(head.path("plan.json")).unwrap();
    assert_eq!(about.permissions().mode() & 0o777, 0o600);
    let digest = runbook_core::digest::Digest::of(&std::fs::read(head.path("plan.json")).unwrap());
    let line = format!("--approve {digest}");
    assert!(did.stdout.contains(&line), "{}", did.stdout);
    refused(
        &head.tool("plan --spec @/spec.yaml --out @/plan.json"),
        Exit::Environment,
        "plan-exists",
    );
    done(&head.tool("plan --spec @/spec.yaml --out @/plan.json --force"));
}

#[test]
fn approval() {
    let head = three();
    let run = head.planned();
    refused(
        &head.tool("run --plan @/plan.json"),
        Exit::Approval,
        "approval-needed",
    );
    let zeros = "0".repeat(64);
    let other = format!("run --plan @/plan.json --approve sha256:{zeros}");
    refused(&head.tool(&other), Exit::Approval, "approval-mismatch");
    let plan = text(&head.path("plan.json"));
    std::fs::write(head.path("plan.json"), plan.replacen(": ", ":  ", 1)).unwrap();
    refused(&head.tool(&run), Exit::Approval, "approval-mismatch");
    // Approving the changed bytes does not help: no build wrote them.
    let digest = runbook_core::digest::Digest::of(&std::fs::read(head.path("plan.json")).unwrap());
    let changed = format!("run --plan @/plan.json --approve {digest}");
    refused(&head.tool(&changed), Exit::Record, "plan-changed");
    refused(&head.tool("run"), Exit::Usage, "usage");
    refused(&head.tool("run --spec @/spec.yaml"), Exit::Usage, "usage");
}

#[test]
fn files_that_others_can_write_are_refused() {
    let head = three();
    let run = head.planned();
    let open_to_all = std::fs::Permissions::from_mode(0o666);
    std::fs::set_permissions(head.path("plan.json"), open_to_all.clone()).unwrap();
    refused(&head.tool(&run), Exit::Record, "state-unsafe");
    std::fs::set_permissions(head.path("spec.yaml"), open_to_all).unwrap();
    refused(
        &head.tool("plan --spec @/spec.yaml"),
        Exit::Record,
        "state-unsafe",
    );
}

/// A snapshot, say, that was named in the place of the spec.
#[test]
fn a_spec_that_is_too_long_is_no_fault_of_the_disk() {
    let head = three();
    let spec = std::fs::read_to_string(head.path("spec.yaml")).unwrap();
    for more in [1, 10 << 20] {
        let long = format!("{spec}#{}", "x".repeat(SPEC_LIMIT_BYTES - spec.len() - 1));
        std::fs::write(head.path("spec.yaml"), long.clone() + &"x".repeat(more)).unwrap();
        let did = head.tool("plan --spec @/spec.yaml");
        refused(&did, Exit::Refused, "spec-too-large");
        std::fs::write(head.path("spec.yaml"), long).unwrap();
        done(&head.tool("plan --spec @/spec.yaml"));
        std::fs::write(head.path("spec.yaml"), &spec).unwrap();
    }
}

#[test]
fn a_refusing_preflight_changes_nothing_and_can_be_run_again() {
    let head = Head::new(World::of(3).every_node(Found::Serving).build());
    head.respec(|spec| spec.allow.quorum = None);
    let run = head.planned();
    for _ in 0..2 {
        let did = head.tool(&run);
        assert_eq!(did.result, Ok(Exit::Refused), "{did:?}");
        assert!(did.stderr.contains("quorum-answers"), "{}", did.stderr);
        assert!(head.tool("status").stdout.contains("no open run"));
    }
    assert!(head.newest_run().join("journal-1.jsonl").exists());
    head.world.verdict().unwrap();
}

#[test]
fn killed_at_many_moments_and_resumed() {
    for records in [1, 8, 20, 35, 60] {
        let head = Head::new(World::of(3).reprovision_all().build());
        let run = head.planned();
        let killed = head.killed_when(&run, || head.journal().lines().count() >= records);
        assert!(killed.is_none(), "{records}: {killed:?}");
        let status = head.tool("status");
        done(&status);
        assert!(
            status.stdout.contains("restore-runbook resume"),
            "{}",
            status.stdout
        );
        refused(&head.tool(&run), Exit::Locked, "run-open");
        done(&head.tool("resume --yes"));
        head.world.verdict().unwrap();
        head.world.restored().unwrap();
        refused(&head.tool("resume --yes"), Exit::Locked, "run-none");
    }
}

/// Kills a run of this world as soon as a unit is done.
fn killed_behind(head: &Head, unit: &str) {
    let done = format!("\"kind\":\"done\",\"unit\":\"{unit}\"");
    let killed = head.killed_when(&head.planned(), || head.journal().contains(&done));
    assert!(killed.is_none(), "it ended before {unit}: {killed:?}");
}

/// What `status` tells of a run that stands, its last life has told, and each of it once.
fn tells_every_danger(head: &Head, did: &Did, wanted: &[&str]) {
    let status: Value = serde_json::from_str(&head.tool("status --format json").stdout).unwrap();
    let dangers = status[0]["dangers"].as_array().unwrap();
    let dangers: Vec<&str> = dangers.iter().map(|one| one.as_str().unwrap()).collect();
    for words in wanted {
        assert!(
            dangers.iter().any(|one| one.contains(words)),
            "{words}: {dangers:?}"
        );
    }
    for danger in dangers {
        assert_eq!(
            did.stderr.matches(danger).count(),
            1,
            "{danger}: {}",
            did.stderr
        );
    }
}

/// Whoever reads the end of a life goes near the nodes next, not necessarily through `status`.
#[test]
fn the_end_of_a_life_tells_every_danger() {
    let head = Head::new(World::of(1).reprovision_all().build());
    let done = |step| format!("\"kind\":\"done\",\"unit\":\"reprovision/node001/{step}\"");
    let marked = || head.journal().contains(&done("install-mode"));
    let lost = || {
        if marked() {
            head.world.lose_snapshot();
        }
        false
    };
    let halted = head.killed_when(&head.planned(), lost).unwrap();
    assert_eq!(halted.result, Ok(Exit::Halted), "{halted:?}");
    let wanted = [
        "etcd is stopped",
        "datanode is off for node001",
        "nextinstallmode is FULL for node001",
    ];
    tells_every_danger(&head, &halted, &wanted);

    let head = Head::new(World::of(1).reprovision_all().build());
    let wiped = || {
        head.journal()
            .contains("\"kind\":\"intent\",\"unit\":\"reprovision/node001/boot\"")
    };
    let left = head.left_when(&head.planned(), wiped);
    assert_eq!(left.result, Ok(Exit::InFlight), "{left:?}");
    let wanted = [
        "node001: the disk is wiped, or about to be",
        "the point of no return is passed",
    ];
    tells_every_danger(&head, &left, &wanted);
}

#[test]
fn undo_puts_everything_back() {
    let head = Head::new(World::of(3).reprovision(&[0]).build());
    killed_behind(&head, "move-spool/node002/aside");
    let shown = head.tool("undo");
    refused(&shown, Exit::Approval, "approval-needed");
    let words: Vec<&str> = shown
        .stderr
        .split_whitespace()
        .filter(|w| w.starts_with("sha256:"))
        .collect();
    let digest = words.last().unwrap();
    assert!(
        shown.stdout.contains(digest),
        "the digest shown is the plan's"
    );
    let again = head.tool("undo");
    assert!(
        again.stderr.contains(digest),
        "asked again it is the same plan"
    );
    done(&head.tool(&format!("undo --approve {digest}")));
    refused(&head.tool("resume --yes"), Exit::Locked, "run-none");
    let all = head.tool("status --all").stdout;
    assert!(all.contains("undone") && all.contains("completed"), "{all}");
    head.world.verdict().unwrap();
}

#[test]
fn behind_the_point_of_no_return_there_is_no_undo() {
    let head = Head::new(World::of(1).reprovision_all().build());
    killed_behind(&head, "reprovision/node001/boot");
    refused(&head.tool("undo"), Exit::Refused, "past-no-return");
    let status = head.tool("status");
    assert!(
        status.stdout.contains("point of no return is passed"),
        "{}",
        status.stdout
    );
    done(&head.tool("resume --yes"));
}

#[test]
fn an_abandoned_run_is_over() {
    let head = three();
    killed_behind(&head, "stop/unassign");
    let run = head
        .newest_run()
        .file_name()
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned();
    let did = head.tool(&format!("abandon {} --reason test", &run[24..]));
    done(&did);
    assert!(
        did.stderr.contains("it stays like this: etcd is stopped"),
        "{}",
        did.stderr
    );
    refused(
        &head.tool(&format!("resume {run} --yes")),
        Exit::Record,
        "run-over",
    );
}

/// What only the run knows would keep the next one from its nodes.
#[test]
fn the_host_keys_that_a_run_has_accepted_are_handed_over() {
    let head = three();
    let run = head.planned();
    let notes = |head: &Head| {
        let dir = head.newest_run();
        let note = |name: &str, keys: &str| {
            let file = dir.join(format!("known_hosts.{name}"));
            std::fs::write(file, format!("# a note\n{keys}")).unwrap();
        };
        note("node003", "node003 ssh-ed25519 new\n");
        note("node002", "node002 ssh-ed25519 newer\n");
        note("node002~earlier", "node002 ssh-ed25519 old\n");
        note("node001", "");
        dir
    };
    let begun = || head.journal().contains("move-spool/node001");
    assert!(head.killed_when(&run, begun).is_none());
    let dir = notes(&head);
    let taken = |said: &str| {
        let command = said
            .split('`')
            .find(|word| word.starts_with("(echo; grep "));
        let home = head.dir.path();
        std::fs::create_dir_all(home.join(".ssh")).unwrap();
        let known = home.join(".ssh/known_hosts");
        // Its last line has no end.
        std::fs::write(&known, "node002 ssh-ed25519 before").unwrap();
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", command.unwrap()]).env("HOME", home);
        assert!(shell.status().unwrap().success(), "{said}");
        text(&known)
    };
    let keys = "node002 ssh-ed25519 before\nnode002 ssh-ed25519 newer\nnode003 ssh-ed25519 new\n";
    let completed = head.tool("resume --yes");
    done(&completed);
    let known = "the new host keys of node002, node003:";
    assert!(completed.stderr.contains(known), "{}", completed.stderr);
    assert_eq!(taken(&completed.stderr), keys);
    assert!(text(&dir.join("known_hosts.node003")).ends_with("new\n"));

    let head = three();
    assert!(
        head.killed_when(&head.planned(), || head
            .journal()
            .contains("move-spool/node001"))
            .is_none()
    );
    notes(&head);
    let abandoned = head.tool(&format!("abandon {} --reason test", newest(&head)));
    done(&abandoned);
    assert!(abandoned.stderr.contains(known), "{}", abandoned.stderr);
    assert_eq!(taken(&abandoned.stderr), keys);
}

/// The id of the newest run.
fn newest(head: &Head) -> String {
    let dir = head.newest_run();
    dir.file_name().unwrap().to_str().unwrap().to_owned()
}

#[test]
fn a_lost_journal_blocks_until_somebody_answers_for_it() {
    let head = three();
    killed_behind(&head, "stop/unassign");
    let run = newest(&head);
    std::fs::remove_file(head.newest_run().join("journal.jsonl")).unwrap();
    for line in ["status", "status --all"] {
        let did = head.tool(line);
        assert_eq!(did.result, Ok(Exit::Record), "{did:?}");
        assert!(did.stdout.contains("[journal-missing]"), "{}", did.stdout);
    }
    let status = head.tool("status").stdout;
    assert!(
        status.contains(&format!("abandon {run} --damaged")),
        "{status}"
    );
    refused(&head.tool("resume --yes"), Exit::Record, "journal-missing");
    refused(
        &head.tool(&format!("abandon {run} --reason x")),
        Exit::Record,
        "journal-missing",
    );
    done(&head.tool(&format!("abandon {run} --damaged --reason looked")));
    assert!(head.tool("status").stdout.contains("no open run"));
    let all = head.tool("status --all");
    done(&all);
    assert!(all.stdout.contains("abandoned"), "{}", all.stdout);
    refused(
        &head.tool(&format!("resume {run} --yes")),
        Exit::Record,
        "run-over",
    );
}

#[test]
fn a_damaged_run_hides_no_other_and_can_be_given_up() {
    let head = three();
    killed_behind(&head, "move-spool/node001/aside");
    let run = newest(&head);
    // Its undo is a second run of the same cluster.
    let shown = head.tool("undo").stderr;
    let digest = shown
        .split_whitespace()
        .rfind(|w| w.starts_with("sha256:"))
        .unwrap();
    let begun = || newest(&head) != run && head.journal().contains("\"kind\":\"intent\"");
    assert!(
        head.killed_when(&format!("undo --approve {digest}"), begun)
            .is_none()
    );
    let undo = newest(&head);
    let journal = head.newest_run().join("journal.jsonl");
    let damaged = text(&journal).replacen("intent", "intemt", 1);
    std::fs::write(&journal, &damaged).unwrap();
    let status = head.tool("status");
    assert_eq!(status.result, Ok(Exit::Record), "{status:?}");
    assert!(
        status.stdout.contains(&format!("undone by  run {undo}")),
        "{}",
        status.stdout
    );
    assert!(
        !status.stdout.contains(&format!("resume {run}")),
        "{}",
        status.stdout
    );
    assert!(
        status.stdout.contains("[journal-damaged]"),
        "{}",
        status.stdout
    );
    let json: Value = serde_json::from_str(&head.tool("status --format json").stdout).unwrap();
    assert_eq!(json[1]["code"], "journal-damaged");
    done(&head.tool(&format!("abandon {undo} --damaged --reason looked")));
    assert_eq!(
        text(&journal.with_file_name("journal-damaged-1.jsonl")),
        damaged
    );
    // What the lost undo has changed nobody knows: the run does not simply go forward.
    refused(
        &head.tool(&format!("resume {run} --yes")),
        Exit::Conflict,
        "run-being-undone",
    );
}

#[test]
fn an_edited_plan_does_not_keep_a_run_open_for_ever() {
    let head = three();
    killed_behind(&head, "stop/unassign");
    let run = newest(&head);
    std::fs::write(head.newest_run().join("plan.json"), "{}").unwrap();
    let status = head.tool("status");
    assert!(status.stdout.contains("[run-plan-refused]"), "{status:?}");
    refused(
        &head.tool(&format!("abandon {run} --reason x")),
        Exit::Record,
        "run-plan-refused",
    );
    done(&head.tool(&format!("abandon {run} --damaged --reason looked")));
    assert!(head.tool("status").stdout.contains("no open run"));
}

#[test]
fn a_failing_step_says_why_once() {
    let head = Head::new(World::of(3).every_node(Found::Serving).build());
    head.respec(|spec| spec.allow.quorum = None);
    let did = head.tool(&head.planned());
    let why = "a quorum answers through";
    assert_eq!(did.stderr.matches(why).count(), 1, "{}", did.stderr);
}

#[test]
fn an_owner_or_a_unit_that_is_not_there_is_noticed_before_anything_is_stopped() {
    let head = three();
    let plan = "plan --spec @/spec.yaml";
    head.respec(|spec| spec.owner = runbook_core::names::Owner::new("etdc:etcd").unwrap());
    refused(&head.tool(plan), Exit::Refused, "owner-unknown");
    head.respec(|spec| spec.service = runbook_core::names::ServiceName::new("etdc").unwrap());
    refused(&head.tool(plan), Exit::Refused, "service-unknown");
}

#[test]
fn the_plan_of_an_undo_tells_of_before_the_run_and_of_no_undo() {
    let head = three();
    killed_behind(&head, "move-spool/node002/aside");
    let shown = head.tool("undo").stdout;
    assert!(
        shown.contains("before the run: the role, spool: etcd data"),
        "{shown}"
    );
    let ticket = head.tool("undo --format md").stdout;
    for wrong in [
        "nothing to undo",
        "restored in place",
        "proven",
        "NO RETURN",
        "run --plan",
    ] {
        assert!(!shown.contains(wrong), "{wrong}: {shown}");
        assert!(!ticket.contains(wrong), "{wrong}: {ticket}");
    }
}

#[test]
fn a_half_done_undo_keeps_the_run_from_going_forward() {
    let head = three();
    killed_behind(&head, "move-spool/node003/aside");
    let shown = head.tool("undo");
    let digest = shown
        .stderr
        .split_whitespace()
        .rfind(|w| w.starts_with("sha256:"))
        .unwrap();
    let original = head
        .newest_run()
        .file_name()
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned();
    let undo = format!("undo --approve {digest}");
    let begun =
        || !head.newest_run().ends_with(&original) && head.journal().contains("\"kind\":\"done\"");
    assert!(head.killed_when(&undo, begun).is_none());
    refused(
        &head.tool(&format!("resume {original} --yes")),
        Exit::Conflict,
        "run-being-undone",
    );
    // Nor does anybody say that it could, and etcd still is stopped.
    let (shown, undo) = (head.tool("status").stdout, newest(&head));
    assert!(!shown.contains(&format!("resume {original}")), "{shown}");
    assert_eq!(
        shown.matches(&format!("resume {undo}")).count(),
        2,
        "{shown}"
    );
    assert_eq!(shown.matches("etcd is stopped").count(), 2, "{shown}");
    // Where nobody knows what the second run is, it is no other than the undo.
    let plan = head.newest_run().join("plan.json");
    let whole = text(&plan);
    std::fs::write(&plan, &whole[..whole.len() - 5]).unwrap();
    for line in ["resume --yes", "undo", "abandon --reason x"] {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let did = head.tool(&format!("{verb} {original} {rest}"));
        let code = &did.result.as_ref().unwrap_err().code;
        assert_eq!(code, "run-being-undone", "{did:?}");
        let way = format!("abandon {undo} --damaged");
        assert!(did.stderr.contains(&way), "{}", did.stderr);
    }
    std::fs::write(&plan, whole).unwrap();
    // Without a name the undo is meant.
    done(&head.tool("resume --yes"));
    refused(
        &head.tool(&format!("resume {original} --yes")),
        Exit::Record,
        "run-over",
    );
    refused(&head.tool("resume --yes"), Exit::Locked, "run-none");
    head.world.verdict().unwrap();
}

#[test]
fn what_is_left_of_an_undo_without_its_plan_can_be_given_up_and_the_undo_begun_again() {
    let head = three();
    killed_behind(&head, "move-spool/node003/aside");
    let original = newest(&head);
    let digest = |shown: &Did| {
        let mut words = shown.stderr.split_whitespace();
        let digest = words.rfind(|w| w.starts_with("sha256:"));
        digest.unwrap().to_owned()
    };
    let undo = format!("undo --approve {}", digest(&head.tool("undo")));
    let begun = || newest(&head) != original && head.journal().contains("\"kind\":\"done\"");
    assert!(head.killed_when(&undo, begun).is_none());
    let lost = newest(&head);
    std::fs::write(head.newest_run().join("plan.json"), "{").unwrap();
    done(&head.tool(&format!("abandon {lost} --damaged --reason looked")));
    refused(
        &head.tool(&format!("resume {original} --yes")),
        Exit::Conflict,
        "run-being-undone",
    );
    let again = format!("undo {original}");
    let again = format!("{again} --approve {}", digest(&head.tool(&again)));
    done(&head.tool(&again));
    head.world.verdict().unwrap();
}

#[test]
fn every_command_is_logged_privately() {
    let head = three();
    done(&head.tool(&head.planned()));
    let dir = head.newest_run();
    for name in ["plan.json", "journal.jsonl", "commands.log"] {
        let mode = std::fs::metadata(dir.join(name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[test]
fn discover_writes_a_spec_that_plans() {
    let head = three();
    let snapshot = head.world.spec().snapshot;
    let did = head.tool(&format!("discover --snapshot {snapshot}"));
    done(&did);
    std::fs::write(head.path("found.yaml"), &did.stdout).unwrap();
    done(&head.tool("plan --spec @/found.yaml"));
    let json: Value = serde_json::from_str(
        &head
            .tool(&format!("discover --snapshot {snapshot} --format json"))
            .stdout,
    )
    .unwrap();
    assert_eq!(json["members"].as_array().unwrap().len(), 3);
}

#[test]
fn a_timer_that_fills_the_disk_says_so() {
    let head = three();
    for (keep, warned) in [
        ("", true),
        ("--keep-last 3", true),
        ("--keep-last 3 --prune", false),
    ] {
        let did = head.tool(&format!("backup --print-timer {keep}"));
        done(&did);
        assert_eq!(did.stderr.contains("disk is full"), warned, "{did:?}");
    }
}
