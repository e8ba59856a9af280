//! The stores, one for each thing that sets a snapshot apart.

use std::thread;

use etcd_adapter::snapshot::{AlarmKind, Emptiness};
use etcd_client::{DeleteOptions, PutOptions, Txn, TxnOp};

use crate::compare::{Taken, equal, foretells, same_status};
use crate::member::{Member, ROOT, Release};
use crate::workload::{Dice, bulk, compact, delete_all, history, pod, registry, revision};

/// Runs `scenario` on a new member of every release, compares, and restores what was taken.
fn on_every_release(name: &str, flags: &[&str], scenario: impl Fn(&mut Member) -> Checks) {
    for release in Release::every() {
        let mut member = Member::start(&release, flags);
        let checks = scenario(&mut member);
        let taken = equal(&member, name);
        member.end();
        (checks.of)(&taken);
        foretells(&release, &taken, checks.password, name);
    }
}

/// What must hold beyond the numbers, so that a scenario cannot silently become another.
struct Checks {
    of: Box<dyn Fn(&Taken)>,
    password: bool,
}

fn check(of: impl Fn(&Taken) + 'static) -> Checks {
    Checks {
        of: Box::new(of),
        password: false,
    }
}

#[test]
fn nothing_was_ever_written() {
    on_every_release("empty", &[], |_| {
        check(|taken| {
            let meaning = &taken.proof.meaning;
            assert_eq!(meaning.would_start_empty(), Some(Emptiness::NoLiveKey));
            assert_eq!((meaning.revision, meaning.newest_record), (1, 0));
        })
    });
}

#[test]
fn many_revisions() {
    on_every_release("revisions", &[], |member| {
        member.client(async |client| {
            registry(client, 20).await?;
            for round in 0..30 {
                let pods = (0..50).map(|n| (pod(n), format!("{round} of {n}").into_bytes()));
                bulk(client, pods).await?;
                client.delete(pod(round), None).await?;
            }
            Ok(())
        });
        check(|taken| assert!(taken.proof.meaning.revisions > 1500))
    });
}

#[test]
fn compacted_and_defragmented() {
    on_every_release("compacted", &[], |member| {
        member.client(async |client| {
            for round in 0..6 {
                let value = Dice::new(round).bytes(2000);
                bulk(client, (0..300).map(|n| (pod(n), value.clone()))).await?;
            }
            client.delete(pod(7), None).await?;
            let now = revision(client).await?;
            compact(client, now - 1).await?;
            client.defragment().await?;
            client.put(pod(1), "after", None).await.map(drop)
        });
        check(|taken| {
            let meaning = &taken.proof.meaning;
            assert_eq!(meaning.compact_revision, Some(meaning.revision - 2));
            assert!(taken.proof.size_bytes < 2 << 20, "it was defragmented");
        })
    });
}

#[test]
fn compacted_to_the_last_revision() {
    on_every_release("flush", &[], |member| {
        member.client(async |client| {
            registry(client, 9).await?;
            client.delete(pod(3), None).await?;
            let now = revision(client).await?;
            compact(client, now).await
        });
        check(|taken| {
            let meaning = &taken.proof.meaning;
            assert_eq!(meaning.compact_revision, Some(meaning.revision));
        })
    });
}

/// The newest records are removed by the compaction, so the file's newest is older than the store's.
#[test]
fn everything_deleted_and_swept() {
    for sweep in [false, true] {
        on_every_release("gone", &[], |member| {
            member.client(async |client| {
                registry(client, 9).await?;
                delete_all(client).await?;
                let now = revision(client).await?;
                compact(client, if sweep { now } else { now - 1 }).await
            });
            let old = member.release.minor() == 4;
            check(move |taken| {
                let meaning = &taken.proof.meaning;
                assert_eq!(meaning.would_start_empty(), Some(Emptiness::NoLiveKey));
                assert_eq!(meaning.newest_record < meaning.revision, sweep && old);
            })
        });
    }
}

#[test]
fn values_over_a_page_and_up_to_a_megabyte() {
    const LENGTHS: [usize; 7] = [4000, 4095, 4096, 5000, 70_000, 300_000, 1 << 20];
    on_every_release("large", &[], |member| {
        member.client(async |client| {
            let mut dice = Dice::new(5);
            for length in LENGTHS {
                let key = format!("/registry/configmaps/default/c{length}");
                client.put(key.clone(), dice.bytes(length), None).await?;
                client.put("small", "s", None).await?;
                client.put(key, dice.bytes(length), None).await?;
            }
            // The key may be large as well: it is in the record.
            client.put(dice.bytes(100_000), "", None).await.map(drop)
        });
        // Every value is still there; how many pages lie free between them is etcd's timing.
        let values: u64 = LENGTHS.iter().map(|&length| 2 * length as u64).sum();
        check(move |taken| assert!(taken.proof.size_bytes > values + 100_000))
    });
}

#[test]
fn several_changes_in_one_revision() {
    on_every_release("transactions", &[], |member| {
        member.client(async |client| {
            registry(client, 30).await?;
            for round in 0..20 {
                let puts = (0..100).map(|n| TxnOp::put(format!("k{n}"), format!("{round}"), None));
                let delete = TxnOp::delete(pod(round), None);
                client
                    .txn(Txn::new().and_then(puts.chain([delete]).collect::<Vec<_>>()))
                    .await?;
            }
            compact(client, 40).await?;
            let prefix = DeleteOptions::new().with_prefix();
            client.delete("k1", Some(prefix)).await.map(drop)
        });
        check(|taken| assert!(taken.proof.meaning.revisions > 100))
    });
}

#[test]
fn leases() {
    on_every_release("leases", &[], |member| {
        member.client(async |client| {
            registry(client, 3).await?;
            for number in 0..40 {
                let id = client.lease_grant(86_400, None).await?.id();
                for key in 0..number % 4 {
                    let leased = PutOptions::new().with_lease(id);
                    client
                        .put(format!("leased/{number}/{key}"), "", Some(leased))
                        .await?;
                }
            }
            // Its keys go with it.
            let leases = client.leases().await?;
            client.lease_revoke(leases.leases()[3].id()).await.map(drop)
        });
        check(|taken| {
            assert_eq!(taken.proof.meaning.leases, 39);
            assert!(taken.proof.meaning.leased_keys > 50);
        })
    });
}

#[test]
fn auth() {
    on_every_release("auth", &[], |member| {
        member.client(async |client| {
            registry(client, 3).await?;
            client.role_add("root").await.ok();
            client.user_add(ROOT.0, ROOT.1, None).await?;
            client.user_grant_role(ROOT.0, "root").await?;
            client.auth_enable().await.map(drop)
        });
        member.log_in();
        let is_on = check(|taken| assert!(taken.proof.meaning.auth_enabled));
        Checks {
            password: true,
            ..is_on
        }
    });
}

#[test]
fn an_alarm_for_want_of_space() {
    on_every_release("alarm", &["--quota-backend-bytes", "1000000"], |member| {
        member.client(async |client| {
            let mut dice = Dice::new(1);
            for number in 0.. {
                let put = client.put(pod(number), dice.bytes(100_000), None).await;
                if put.is_err() {
                    break;
                }
            }
            Ok(())
        });
        check(|taken| {
            let alarms = &taken.proof.meaning.alarms;
            assert!(matches!(alarms[..], [alarm] if alarm.kind == AlarmKind::NoSpace));
        })
    });
}

#[test]
fn a_learner() {
    on_every_release("learner", &[], |member| {
        member.client(async |client| {
            registry(client, 3).await?;
            let learner = etcd_client::MemberAddOptions::new().with_is_learner();
            client
                .member_add(["http://127.0.0.1:9"], Some(learner))
                .await
                .map(drop)
        });
        check(|taken| {
            let members = &taken.proof.meaning.members;
            let learners: Vec<_> = members.iter().map(|member| member.learner).collect();
            assert!(learners == [true, false] || learners == [false, true]);
        })
    });
}

/// More leaves than the grandchildren of one root page: 124 children fit into a branch.
#[test]
fn a_tree_of_four_levels() {
    on_every_release("deep", &["--quota-backend-bytes", "1000000000"], |member| {
        member.client(async |client| {
            let mut dice = Dice::new(9);
            let value = |n: usize| {
                (
                    format!("/registry/deep/{:05}", n % 50_000),
                    dice.bytes(1000),
                )
            };
            bulk(client, (0..62_000).map(value)).await
        });
        check(|taken| assert!(taken.proof.size_bytes > 60 << 20))
    });
}

#[test]
fn histories_that_nobody_planned() {
    let seeds: Vec<u64> = (1..=6).collect();
    thread::scope(|scope| {
        for pair in seeds.chunks(2) {
            scope.spawn(move || {
                for seed in pair {
                    on_every_release("history", &[], |member| {
                        member.client(async |client| history(client, *seed, 700).await);
                        check(|taken| assert!(taken.proof.meaning.revisions > 10))
                    });
                }
            });
        }
    });
}

/// A snapshot is restored with a later release than it was taken from, as an upgrade does.
#[test]
fn a_later_release_restores_to_the_same_hash() {
    let releases = Release::every();
    for old in &releases {
        let mut member = Member::start(old, &[]);
        member.client(async |client| history(client, 77, 300).await);
        let taken = equal(&member, "old");
        member.end();
        for new in releases.iter().filter(|new| new.minor() > old.minor()) {
            same_status(new, &taken.path, &taken.proof, "old");
            foretells(new, &taken, false, &format!("taken from {}", old.version()));
        }
    }
}
