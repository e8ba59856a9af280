use std::os::unix::fs::PermissionsExt as _;

use super::*;

pub(super) fn label() -> ClusterLabel {
    ClusterLabel::new("default").unwrap()
}

pub(super) fn actor() -> Actor {
    Actor {
        tool: "test 0".into(),
        host: "head1".into(),
        user: "root".into(),
        pid: 7,
    }
}

fn place() -> (tempfile::TempDir, StateDir) {
    let dir = tempfile::tempdir().unwrap();
    let state = StateDir::open(&dir.path().join("state")).unwrap();
    (dir, state)
}

#[test]
fn a_cluster_is_held_by_one_and_says_by_whom() {
    let (_dir, state) = place();
    assert_eq!(state.holder(&label()).unwrap(), None);
    let lock = state.lock(&label(), &actor()).unwrap();
    let error = state.lock(&label(), &actor()).unwrap_err();
    assert!(
        error.to_string().contains("root on head1, process 7"),
        "{error}"
    );
    let Some(Holder(Some(note))) = state.holder(&label()).unwrap() else {
        panic!("it says whose it is");
    };
    assert_eq!(note.by, actor());
    assert!(note.boot_id.is_some() && note.since.is_some(), "{note:?}");
    drop(lock);
    assert!(state.lock(&label(), &actor()).is_ok());
}

/// Two labels may mean the same nodes.
#[test]
fn one_works_at_a_time_whatever_the_label() {
    let (_dir, state) = place();
    let other = ClusterLabel::new("other").unwrap();
    let lock = state.lock(&label(), &actor()).unwrap();
    assert_eq!(
        state.lock(&other, &actor()).unwrap_err().code(),
        "run-locked"
    );
    // With that lock removed by hand, each cluster still has its own.
    fs::remove_file(state.path().join(".lock")).unwrap();
    assert_eq!(
        state.lock(&label(), &actor()).unwrap_err().code(),
        "run-locked"
    );
    drop(lock);
    assert!(state.lock(&other, &actor()).is_ok());
}

#[test]
fn a_lock_of_the_other_head_may_outlive_it() {
    let (_dir, state) = place();
    let _lock = state.lock(&label(), &actor()).unwrap();
    let other = Actor {
        host: "head2".into(),
        ..actor()
    };
    let hint = |by| state.lock(&label(), by).unwrap_err().hint().unwrap();
    let theirs = hint(&other);
    assert!(
        theirs.contains("If head1 is off or was fenced, its lock ends with its lease"),
        "{theirs}"
    );
    let own = hint(&actor());
    assert!(own.contains("the lock ends with its process"), "{own}");
}

/// A link in a cluster's place leads to runs of somebody else's.
#[test]
fn a_cluster_that_is_a_link_is_refused() {
    let (dir, state) = place();
    let elsewhere = dir.path().join("elsewhere");
    fs::create_dir_all(elsewhere.join("runs")).unwrap();
    fs::write(elsewhere.join("lock"), "").unwrap();
    std::os::unix::fs::symlink(&elsewhere, state.path().join("default")).unwrap();
    let errors = [
        state.runs().unwrap_err(),
        state.open_runs().unwrap_err(),
        state.holder(&label()).unwrap_err(),
        state.lock(&label(), &actor()).unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.code(), "state-unsafe", "{error}");
    }
}

/// "There is no run" is not said of what cannot be looked at.
#[test]
fn runs_that_are_not_where_they_were_are_not_passed_over() {
    let (_dir, state) = place();
    fs::write(state.path().join("notes"), "").unwrap();
    let cluster = state.path().join("default");
    fs::create_dir(&cluster).unwrap();
    assert!(state.runs().unwrap().is_empty());
    std::os::unix::fs::symlink("/nowhere", cluster.join("runs")).unwrap();
    assert_eq!(state.runs().unwrap_err().code(), "state-unsafe");
}

#[test]
fn what_others_can_write_is_refused() {
    let (dir, state) = place();
    let file = dir.path().join("plan.json");
    fs::write(&file, "{}").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o664)).unwrap();
    assert_eq!(read_private(&file, 10).unwrap_err().code(), "state-unsafe");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(read_private(&file, 10).unwrap(), b"{}");
    assert_eq!(read_private(&file, 1).unwrap_err().code(), "state-io");
    fs::set_permissions(state.path(), fs::Permissions::from_mode(0o770)).unwrap();
    assert_eq!(
        StateDir::open(state.path()).unwrap_err().code(),
        "state-unsafe"
    );
    assert_eq!(
        StateDir::existing(state.path()).unwrap_err().code(),
        "state-unsafe"
    );
}

#[test]
fn a_file_is_written_whole_and_never_overwritten_unasked() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("plan.json");
    write_atomically(&file, b"one", false).unwrap();
    assert!(write_atomically(&file, b"two", false).is_err());
    assert_eq!(fs::read(&file).unwrap(), b"one");
    write_atomically(&file, b"two", true).unwrap();
    assert_eq!(fs::read(&file).unwrap(), b"two");
    let names = fs::read_dir(dir.path()).unwrap().count();
    assert_eq!(names, 1, "no draft stays");
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
}

#[test]
fn a_directory_that_is_not_there_holds_no_runs() {
    let dir = tempfile::tempdir().unwrap();
    assert!(
        StateDir::existing(&dir.path().join("none"))
            .unwrap()
            .is_none()
    );
    let (_dir, state) = place();
    assert!(state.runs().unwrap().is_empty());
}

#[test]
fn directories_are_private() {
    let (_dir, state) = place();
    state.lock(&label(), &actor()).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(state.path()), 0o700);
    assert_eq!(mode(&state.path().join("default")), 0o700);
    assert_eq!(mode(&state.path().join("default/lock")), 0o600);
}

#[test]
fn what_is_no_file_is_not_cured_by_its_mode() {
    let dir = tempfile::tempdir().unwrap();
    let error = read_private(dir.path(), 10).unwrap_err();
    assert_eq!(error.code(), "state-unsafe");
    assert!(
        !error.hint().unwrap().contains("chmod"),
        "{:?}",
        error.hint()
    );
}
