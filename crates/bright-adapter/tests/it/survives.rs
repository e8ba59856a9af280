//! What cmsh may answer, each form with a test named after it. The texts are in `tests/fixtures`.

use std::path::PathBuf;
use std::time::Duration;

use bright_adapter::codes;
use runbook_core::error::{AdapterError, Certainty};
use runbook_core::names::OverlayName;
use runbook_core::plan::ManagerEffect;
use runbook_core::ports::ClusterManager;
use runbook_core::world::{Device, DeviceStatus, HeadRole};

use crate::cmsh::{Fake, overlay, unassign};
use crate::support::{node, permit, program};

const QUESTION: &str = r#""device; list "*)"#;

fn fixture(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let path = path.join("tests/fixtures").join(name);
    assert!(path.is_file(), "{}", path.display());
    path
}

fn text(name: &str) -> String {
    std::fs::read_to_string(fixture(name)).unwrap()
}

fn row(name: &str, status: &str) -> String {
    format!(
        r#"{{ "hostname (key)": "{name}", "type": "PhysicalNode", "category": "default", "ip": "10.141.0.1", "status": "{status}", "datanode": "yes", "nextinstallmode": "" }}"#
    )
}

/// `node001` when this is what `device; list` prints.
async fn device(printed: &str) -> Result<Device, AdapterError> {
    let fake = Fake::answering(&format!("{QUESTION} cat $d/printed;;"));
    std::fs::write(fake.dir.path().join("printed"), printed).unwrap();
    fake.cmsh.device(&node("node001")).await
}

async fn refused(fake: &Fake, effect: &ManagerEffect) -> (&'static str, Certainty, String) {
    let error = fake.cmsh.perform(&permit(), effect).await.unwrap_err();
    assert!(error.hint.is_some(), "{error}");
    (error.code, error.certainty, error.chain())
}

/// What cmsh may do with a text: nobody has written down which of these it does.
const ENDS: [&str; 4] = ["", ">&2", "; exit 1", ">&2; exit 1"];

#[tokio::test]
async fn events_and_colours_in_the_output() {
    let plain = device(&format!("[ {} ]", row("node001", "[ UP ]")))
        .await
        .unwrap();
    let events = text("events.txt");
    let (first, second) = (row("node000", "[ UP ]"), row("node001", "[ UP ]"));
    let colour = "\u{1b}[1;32m[\u{1b}[0m\u{1b}]0;a title\u{7}";
    let printed =
        format!("{events}{colour}\n{events}{first},\n{events}{second}\r\n{events}]\n{events}");
    assert_eq!(device(&printed).await.unwrap(), plain);
}

#[tokio::test]
async fn echo_lines() {
    let plain = device(&format!("[ {} ]", row("node001", "[ UP ]")))
        .await
        .unwrap();
    // The statement itself, as it is run.
    let asked = Fake::new();
    asked.cmsh.device(&node("node001")).await.unwrap();
    let entries = asked.log.entries();
    let script = entries[0].command.argv[6].clone();
    let list = script.strip_prefix("device; ").unwrap();
    let printed = format!(
        "device\n[basecm]% device\n[basecm->device]% {list}\n[ {} ]\n[basecm->device]%\n",
        row("node001", "[ UP ]")
    );
    assert_eq!(device(&printed).await.unwrap(), plain);
    // Between the marks of role lists too; but not where a node's name is one of the statements.
    let roles = r#"echo "$6" | tr ';' '\n' | sed 's/^ //'; echo node001; echo '[]'; echo node001"#;
    let fake = Fake::answering(&format!("*'use \"node001\"'*roles*) {roles};;"));
    let sources = fake.cmsh.role_sources(&[node("node001")]).await.unwrap();
    assert_eq!(sources[0].len(), 1);
}

#[tokio::test]
async fn truncated_cells() {
    let seen = device(&format!(
        "[ {} ]",
        row("node001", "[ INSTALLER_CALLINGINIT ] (swit+")
    ))
    .await;
    let booting = DeviceStatus::Booting("INSTALLER_CALLINGINIT (swit+)".into());
    assert_eq!(seen.unwrap().status, booting);
    // Anywhere else half a value is no value.
    let cut = row("node001", "[ UP ]").replace(r#""default""#, r#""defa+""#);
    let error = device(&format!("[ {cut} ]")).await.unwrap_err();
    assert_eq!(
        (error.code, error.certainty),
        (codes::CMSH_ANSWER, Certainty::NotDone)
    );
    assert!(error.what.contains("category is cut short"), "{error}");
    let list = |nodes, roles| {
        format!(
            r#""configurationoverlay; list "*) echo '[{{"name": "kube-default-etcd", "priority": 500, "allheadnodes": "no", "nodes": "{nodes}", "categories": "", "roles": "{roles}"}}]';;"#
        )
    };
    for list in [
        list("node001,node0+", "Etcd::Host"),
        list("node001", "Etcd::Ho+"),
    ] {
        let error = Fake::answering(&list)
            .cmsh
            .etcd_role(None, &[])
            .await
            .unwrap_err();
        assert_eq!(error.code, codes::CMSH_ANSWER, "{error}");
    }
}

#[tokio::test]
async fn missing_empty_columns() {
    // Where some row has it, it is empty in the others.
    let (full, empty) = (r#""nextinstallmode": "FULL""#, r#", "nextinstallmode": """#);
    let first = row("node000", "[ UP ]").replace(r#""nextinstallmode": """#, full);
    let second = row("node001", "[ UP ]").replace(empty, "");
    assert_eq!(
        device(&format!("[{first},{second}]"))
            .await
            .unwrap()
            .next_install_mode,
        None
    );
    // Where no row has it, the property has another name: an empty value would be a guess.
    let error = device(&format!("[{second}]")).await.unwrap_err();
    assert_eq!(
        (error.code, error.certainty),
        (codes::CMSH_ANSWER, Certainty::NotDone)
    );
    assert!(error.what.contains("nextinstallmode is missing"), "{error}");
    // And no value is no `no`.
    let second = row("node001", "[ UP ]").replace(r#", "datanode": "yes""#, "");
    let error = device(&format!("[{first},{second}]")).await.unwrap_err();
    assert!(error.what.contains("neither yes nor no"), "{error}");
}

#[tokio::test]
async fn dot_and_bracket_ranges() {
    for nodes in [
        "node001..node002",
        "node00[1-2]",
        "node001,node002",
        "node001 node002",
        "node[001-002]",
    ] {
        let fake = Fake::new();
        std::fs::write(fake.dir.path().join("nodes"), nodes).unwrap();
        let role = fake.cmsh.etcd_role(None, &[]).await.unwrap();
        let names: Vec<&str> = role
            .holders
            .iter()
            .map(|holder| holder.node.as_str())
            .collect();
        assert_eq!(names, ["node001", "node002"], "{nodes}");
    }
}

#[tokio::test]
async fn the_key_suffix() {
    let with = row("node001", "[ UP ]");
    let without = with.replace("hostname (key)", "hostname");
    let seen = device(&format!("[ {with} ]")).await.unwrap();
    assert_eq!(device(&format!("[ {without} ]")).await.unwrap(), seen);
    // Both at once would be two answers.
    let both = with.replace('}', r#", "Hostname": "node002" }"#);
    let error = device(&format!("[ {both} ]")).await.unwrap_err();
    assert_eq!(error.code, codes::CMSH_ANSWER);
}

#[tokio::test]
async fn the_manuals_list_of_devices_is_one() {
    // It lacks what this tool asks for, and that is what the error says.
    let error = device(&text("devices.json")).await.unwrap_err();
    assert!(error.what.contains("column type is missing"), "{error}");
}

#[tokio::test]
async fn bracketed_status_with_flags() {
    let statuses = text("statuses.txt");
    assert!(statuses.lines().count() > 20);
    let rows: Vec<Vec<&str>> = statuses
        .lines()
        .map(|line| line.split('\t').collect())
        .collect();
    let list: Vec<String> = rows
        .iter()
        .enumerate()
        .map(|(n, row)| self::row(&format!("node{n:03}"), row[0]))
        .collect();
    let fake = Fake::answering(&format!("{QUESTION} cat $d/printed;;"));
    std::fs::write(
        fake.dir.path().join("printed"),
        format!("[{}]", list.join(",\n")),
    )
    .unwrap();
    for (n, row) in rows.iter().enumerate() {
        let seen = fake
            .cmsh
            .device(&node(&format!("node{n:03}")))
            .await
            .unwrap();
        let flags = seen.flags.join(", ");
        assert_eq!(
            [seen.status.to_string().as_str(), &flags],
            row[1..],
            "{}",
            row[0]
        );
        assert!(
            !matches!(seen.status, DeviceStatus::Unknown(_)),
            "{}",
            row[0]
        );
    }
}

#[tokio::test]
async fn unknown_status_words() {
    for word in [
        "[ MELTING ]",
        "no data",
        "[ CLOSED ]",
        "",
        "UNDEFINED",
        "[ UP",
    ] {
        let seen = device(&format!("[ {} ]", row("node001", word)))
            .await
            .unwrap();
        assert_eq!(seen.status, DeviceStatus::Unknown(word.into()), "{word}");
    }
}

#[tokio::test]
async fn failed_commits() {
    for end in ENDS {
        let table = fixture("commit-refused.txt");
        let fake = Fake::answering(&format!("*removefrom*) cat {} {end};;", table.display()));
        let (code, certainty, what) = refused(&fake, &unassign(&["node001"])).await;
        assert_eq!(
            (code, certainty),
            (codes::CMSH_INVALID, Certainty::Refused),
            "{end}: {what}"
        );
        assert!(what.contains("The category should be set"), "{what}");
        assert!(what.contains("still lists node001"), "{what}");
    }
}

#[tokio::test]
async fn warnings() {
    let warning = fixture("warning.txt");
    for end in ["", ">&2"] {
        // Beside an answer, and one that says `failed` and `not found` at that.
        let say = format!(
            "cat {} {end}; echo 'Warning: it failed, not found' {end}",
            warning.display()
        );
        let fake = Fake::answering(&format!("{QUESTION} {say}; cat $d/devices;;"));
        assert!(fake.cmsh.device(&node("node001")).await.unwrap().datanode);
        // Beside a write that went through, and beside a power command, which nothing is read back of.
        let wrote = "echo node002 >$d/nodes";
        let fake = Fake::answering(&format!(
            "*removefrom*) {say}; {wrote};;\n*reboot*) {say};;"
        ));
        fake.cmsh
            .perform(&permit(), &unassign(&["node001"]))
            .await
            .unwrap();
        let reboot = ManagerEffect::Reboot {
            node: node("node001"),
        };
        fake.cmsh.perform(&permit(), &reboot).await.unwrap();
    }
}

#[tokio::test]
async fn objects_left_modified() {
    // The first commit is refused; its session ends with the object modified, and takes that along.
    let table = fixture("commit-refused.txt");
    let once = format!(
        "*removefrom*) if [ ! -e $d/tried ]; then touch $d/tried; cat {}; else echo node002 >$d/nodes; fi;;",
        table.display()
    );
    let fake = Fake::answering(&once);
    let (code, ..) = refused(&fake, &unassign(&["node001"])).await;
    assert_eq!(code, codes::CMSH_INVALID);
    fake.cmsh
        .perform(&permit(), &unassign(&["node001"]))
        .await
        .unwrap();
    let effects = fake.effects();
    assert_eq!(effects[0], effects[1], "the next batch stands for itself");
    assert!(
        effects.iter().all(|batch| batch.ends_with("; commit")),
        "{effects:?}"
    );
}

#[tokio::test]
async fn an_object_that_somebody_else_holds_modified() {
    // Their commit, of the whole object as they had read it, comes right after ours.
    let fake =
        Fake::answering("*removefrom*) echo 'Successfully committed 1 ConfigurationOverlays';;");
    let (code, certainty, what) = refused(&fake, &unassign(&["node001"])).await;
    assert_eq!(
        (code, certainty),
        (codes::CMSH_READ_BACK, Certainty::Unknown)
    );
    assert!(what.contains("still lists node001"), "{what}");
}

#[tokio::test]
async fn a_session_ended_by_failover() {
    for end in ENDS {
        for line in text("failover.txt").lines() {
            let say = format!("echo '{line}' {end}");
            // A question: nothing has happened. Also when a whole answer stands beside it: whose is it?
            for answer in [say.clone(), format!("cat $d/devices; {say}")] {
                let fake = Fake::answering(&format!("{QUESTION} {answer};;"));
                let error = fake.cmsh.device(&node("node001")).await.unwrap_err();
                let is = (error.code, error.certainty);
                assert_eq!(
                    is,
                    (codes::CMSH_SESSION_ENDED, Certainty::NotDone),
                    "{answer}: {error}"
                );
                assert!(error.hint.unwrap().contains("cmha status"));
            }
            // A write that is not there yet may have been committed all the same.
            let fake = Fake::answering(&format!("*removefrom*) {say};;\n*reboot*) {say};;"));
            let (code, certainty, _) = refused(&fake, &unassign(&["node001"])).await;
            assert_eq!(
                (code, certainty),
                (codes::CMSH_SESSION_ENDED, Certainty::Unknown),
                "{say}"
            );
            let reboot = ManagerEffect::Reboot {
                node: node("node001"),
            };
            let (code, certainty, _) = refused(&fake, &reboot).await;
            assert_eq!(
                (code, certainty),
                (codes::CMSH_SESSION_ENDED, Certainty::Unknown),
                "{say}"
            );
            // One that is there is done.
            let fake = Fake::answering(&format!("*removefrom*) echo node002 >$d/nodes; {say};;"));
            fake.cmsh
                .perform(&permit(), &unassign(&["node001"]))
                .await
                .unwrap();
        }
    }
}

#[tokio::test]
async fn redirect_to_the_active_head() {
    // Redirects are followed: only the active head's daemon answers for the cluster.
    let fake = Fake::new();
    let command = &fake.cmsh.render(&unassign(&["node001"])).unwrap()[0];
    assert_eq!(
        command.argv[1..6],
        ["-n", "--color=no", "--hide-events", "-q", "-c"]
    );
    // So an answer does not say that this head node is the active one. That is asked elsewhere.
    program(
        fake.dir.path(),
        "cmha",
        "echo 'Node Status: running in passive master mode'",
    );
    assert!(fake.cmsh.device(&node("node001")).await.is_ok());
    assert_eq!(fake.cmsh.head_role().await.unwrap(), HeadRole::Passive);
    // A line that tells of it, in whatever words, is no answer to a question.
    let fake = Fake::answering(&format!(
        "{QUESTION} echo 'Redirecting to basecm2'; cat $d/devices;;"
    ));
    let error = fake.cmsh.device(&node("node001")).await.unwrap_err();
    assert_eq!(
        (error.code, error.certainty),
        (codes::CMSH_ANSWER, Certainty::NotDone)
    );
    assert!(error.what.contains("Redirecting to basecm2"), "{error}");
}

#[tokio::test]
async fn cmsh_hanging() {
    let fake = Fake::within(
        Duration::from_millis(50),
        &format!("{QUESTION} sleep 600;;"),
    );
    let error = fake.cmsh.device(&node("node001")).await.unwrap_err();
    assert_eq!(
        (error.code, error.certainty),
        (codes::CMSH_TIMEOUT, Certainty::NotDone)
    );
    assert!(error.hint.unwrap().contains("systemctl status cmd"));
    let fake = Fake::within(
        Duration::from_secs(3),
        "*removefrom*) sleep 600;;\n*reboot*) sleep 600;;",
    );
    let (_, certainty, _) = refused(&fake, &unassign(&["node001"])).await;
    assert_eq!(certainty, Certainty::Unknown);
    let reboot = ManagerEffect::Reboot {
        node: node("node001"),
    };
    let (code, certainty, _) = refused(&fake, &reboot).await;
    assert_eq!((code, certainty), (codes::CMSH_TIMEOUT, Certainty::Unknown));
}

#[tokio::test]
async fn cmsh_missing() {
    let fake = Fake::new();
    std::fs::remove_file(fake.dir.path().join("cmsh")).unwrap();
    let error = fake.cmsh.device(&node("node001")).await.unwrap_err();
    assert_eq!(
        (error.code, error.certainty),
        (codes::CMSH_MISSING, Certainty::Refused)
    );
    assert!(error.hint.unwrap().contains("--cmsh"));
}

#[tokio::test]
async fn cmsh_not_executable() {
    use std::os::unix::fs::PermissionsExt as _;
    let fake = Fake::new();
    let cmsh = fake.dir.path().join("cmsh");
    std::fs::set_permissions(&cmsh, std::fs::Permissions::from_mode(0o644)).unwrap();
    let error = fake.cmsh.device(&node("node001")).await.unwrap_err();
    assert_eq!(
        (error.code, error.certainty),
        (codes::CMSH_NOT_RUNNABLE, Certainty::Refused)
    );
    // A directory in its place, too.
    std::fs::remove_file(&cmsh).unwrap();
    std::fs::create_dir(&cmsh).unwrap();
    let reboot = ManagerEffect::Reboot {
        node: node("node001"),
    };
    let (code, certainty, _) = refused(&fake, &reboot).await;
    assert_eq!(
        (code, certainty),
        (codes::CMSH_NOT_RUNNABLE, Certainty::Refused)
    );
}

#[tokio::test]
async fn not_permitted_by_its_profile() {
    for end in ENDS {
        let say = format!("cat {} {end}", fixture("not-permitted.txt").display());
        let fake = Fake::answering(&format!(
            "{QUESTION} {say};;\n*removefrom*) {say};;\n*power*) {say};;\n*interactions*) {say};;"
        ));
        let error = fake.cmsh.device(&node("node001")).await.unwrap_err();
        assert_eq!(
            (error.code, error.certainty),
            (codes::CMSH_NOT_PERMITTED, Certainty::Refused),
            "{end}"
        );
        assert!(error.hint.unwrap().contains("profile admin"));
        for effect in [
            unassign(&["node001"]),
            ManagerEffect::PowerOn {
                node: node("node001"),
            },
            ManagerEffect::ConfirmInstall {
                node: node("node001"),
            },
        ] {
            let (code, certainty, _) = refused(&fake, &effect).await;
            assert_eq!(
                (code, certainty),
                (codes::CMSH_NOT_PERMITTED, Certainty::Refused),
                "{end}"
            );
        }
    }
}

/// Wordings, exit statuses and streams that nobody has written down: whichever it is, what fails is no
/// answer, and what took effect is done.
#[tokio::test]
async fn unknown_exit_statuses_streams_and_wordings() {
    for end in ENDS {
        for words in [
            "Object does not exist",
            "?",
            "node001: unknown object",
            "no such entity (node001)",
        ] {
            let say = format!("echo '{words}' {end}");
            let fake = Fake::answering(&format!("{QUESTION} {say};;"));
            let error = fake.cmsh.device(&node("node001")).await.unwrap_err();
            assert_ne!(error.certainty, Certainty::Unknown, "{say}: {error}");
            assert!(error.what.contains(words), "{say}: {error}");
            let fake = Fake::answering(&format!("*'get spool') {say};;"));
            let error = fake.cmsh.etcd_role(Some(overlay()), &[]).await.unwrap_err();
            assert_ne!(error.certainty, Certainty::Unknown, "{say}: {error}");
            let fake = Fake::answering(&format!("*removefrom*) {say};;"));
            let (_, certainty, what) = refused(&fake, &unassign(&["node001"])).await;
            assert_ne!(certainty, Certainty::NotDone, "{say}: {what}");
            let fake = Fake::answering(&format!("*removefrom*) echo node002 >$d/nodes; {say};;"));
            fake.cmsh
                .perform(&permit(), &unassign(&["node001"]))
                .await
                .unwrap();
        }
    }
    let none = OverlayName::new("none").unwrap();
    let error = Fake::new()
        .cmsh
        .etcd_role(Some(none), &[])
        .await
        .unwrap_err();
    assert_eq!(
        (error.code, error.certainty),
        (codes::CMSH_ABSENT, Certainty::Refused)
    );
}
