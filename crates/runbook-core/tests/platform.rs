//! Which Bright it is: said in the plan, and what it means for the API servers looked at in Verify.
#![cfg(feature = "testkit")]
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use runbook_core::journal::{Entry, History};
use runbook_core::observe::drift;
use runbook_core::platform::Platform;
use runbook_core::run::RunEnd;
use runbook_core::testkit::{Builder, Found, Life, Lives, Mortal, World, run_id};

/// Bright 11, with an API server on each of three members.
fn static_pods() -> Builder {
    let names = ["node001", "node002", "node003"];
    World::of(3).platform(Platform {
        release: Some("11.0".into()),
        static_pods: names.map(|name| name.parse().unwrap()).to_vec(),
        etcd_manage: true,
        ..Platform::default()
    })
}

fn unknown() -> Builder {
    World::of(3).platform(Platform::default())
}

fn risk(world: &Builder, about: &str) -> String {
    let plan = world.clone().build().plan(run_id(1)).unwrap();
    let mut risks = plan.risks.iter().filter(|risk| risk.contains(about));
    risks.next().unwrap_or_else(|| panic!("{about}")).clone()
}

/// What Verify saw of each API server.
fn seen(lives: &Lives) -> Vec<String> {
    let history = History::read(&lives.journal(), "memory").unwrap();
    let of = |entry: &Entry| match entry {
        Entry::Done { unit, seen, .. } if unit.as_str().ends_with("/api-server") => {
            Some(seen.clone())
        }
        _ => None,
    };
    let records = history.records.iter();
    records.filter_map(|record| of(&record.entry)).collect()
}

#[test]
fn the_plan_says_which_world_it_is() {
    let services = risk(&World::of(3), "API servers are");
    assert!(services.contains("services of Bright's role"), "{services}");
    assert!(!services.contains("not documented"), "{services}");
    let pods = risk(&static_pods(), "API servers are");
    assert!(pods.contains("is not documented"), "{pods}");
    assert!(
        pods.contains("kube-apiserver.yaml on every control-plane node"),
        "{pods}"
    );
    assert!(!pods.contains("join again"), "nothing is wiped: {pods}");
    let wiped = risk(&static_pods().reprovision(&[1]), "cm-kubeadm-manage");
    assert!(
        wiped.starts_with(
            "An API server was seen on node002; with the disk there goes /etc/kubernetes"
        ),
        "{wiped}"
    );
    let down = |release: &str| {
        let release = Some(release.to_owned());
        let world = World::of(3).every_node(Found::Off).platform(Platform {
            release,
            ..Platform::default()
        });
        world
            .reprovision_all()
            .build()
            .plan(run_id(1))
            .unwrap()
            .risks
            .clone()
    };
    let silent = "the silent ones to be wiped, node001, node002, node003, could not be seen";
    assert!(down("11.0").iter().any(|risk| risk.contains(silent)));
    assert!(!down("9.2").iter().any(|risk| risk.contains(silent)));
    let open = risk(&unknown(), "was not seen");
    assert!(open.contains("Verify does not"), "{open}");
}

#[test]
fn bright_s_tool_is_named_where_it_is() {
    let why = |world: Builder| {
        let plan = world.build().plan(run_id(1)).unwrap();
        let id = "preflight/quorum".parse().unwrap();
        plan.unit(&id).unwrap().why.clone()
    };
    let with = why(static_pods());
    assert!(
        with.contains("cm-etcd-manage --kube-cluster default status"),
        "{with}"
    );
    assert!(!why(World::of(3)).contains("cm-etcd-manage"));
}

#[test]
fn verify_looks_at_every_api_server_that_the_plan_saw() {
    for world in [World::of(3), static_pods()] {
        let mut lives = Lives::of(&world.build());
        lives.live(Mortal::never());
        lives.completed().unwrap();
        let seen = seen(&lives);
        assert_eq!(seen.len(), 3);
        assert!(
            seen.iter()
                .all(|seen| seen.contains("10.141.0.1:2379") && !seen.contains("NOT"))
        );
    }
}

#[test]
fn what_cannot_be_seen_is_said_and_holds_nothing_up() {
    let mut lives = Lives::of(&static_pods().reprovision(&[0]).build());
    lives.live(Mortal::never());
    lives.completed().unwrap();
    let not_seen = seen(&lives)
        .into_iter()
        .filter(|seen| seen.starts_with("NOT seen"));
    assert_eq!(not_seen.count(), 1, "the manifest went with the disk");
    let mut lives = Lives::of(&unknown().build());
    lives.live(Mortal::never());
    lives.completed().unwrap();
    assert!(seen(&lives).is_empty());
}

#[test]
fn an_api_server_without_etcd_halts_verify() {
    for world in [World::of(1), static_pods()] {
        let world = world.build();
        let mut lives = Lives::of(&world);
        world.lose_etcd_servers();
        let Life::Ended(RunEnd::Halted { failures, .. }) = lives.live(Mortal::never()) else {
            panic!("it goes on");
        };
        let (unit, failure) = &failures[0];
        assert!(unit.as_str().ends_with("/api-server"), "{unit}");
        assert!(failure.seen.contains("--etcd-servers"), "{}", failure.seen);
        world.restored().unwrap();
    }
}

/// The platform is for people: a release that cannot be read just now is no reason to plan anew.
#[test]
fn the_platform_is_no_drift() {
    let planned = static_pods().build().observed().unwrap();
    let now = unknown().build().observed().unwrap();
    assert_ne!(planned.platform, now.platform);
    assert_eq!(drift(&planned, &now), []);
}
