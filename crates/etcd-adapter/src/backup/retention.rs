//! Which backups stay: the newest few, and the newest of each of the last hours, days and weeks.

use std::collections::BTreeSet;

use jiff::Timestamp;
use jiff::civil::ISOWeekDate;
use jiff::tz::TimeZone;
use serde::Serialize;

/// How many stay for which reason. An hour, a day or a week counts if it has a backup at all, so a
/// cluster that was off for a month loses nothing by it. Weeks are ISO weeks; all times are UTC.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Policy {
    /// The newest.
    pub last: usize,
    /// The newest of each of this many hours.
    pub hourly: usize,
    /// The newest of each of this many days.
    pub daily: usize,
    /// The newest of each of this many weeks.
    pub weekly: usize,
}

/// A backup, as far as retention is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// When it was taken.
    pub taken: Timestamp,
    /// Whether one would restore from it without a second thought: it was proven, it is still there as
    /// its manifest says, Kubernetes would not start empty from it, and nothing about it was suspicious.
    pub proven: bool,
    /// Whether it says that it was taken later than now: some clock was wrong, and nobody knows which.
    pub ahead: bool,
}

/// Whether it is proven, and whether it is ahead.
type Kind = (bool, bool);

const KINDS: [Kind; 4] = [(true, false), (true, true), (false, false), (false, true)];

impl Candidate {
    const fn kind(&self) -> Kind {
        (self.proven, self.ahead)
    }
}

/// Why a backup stays, or that it does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It is one of the newest.
    Last,
    /// It is the newest of its hour.
    Hourly,
    /// It is the newest of its day.
    Daily,
    /// It is the newest of its week.
    Weekly,
    /// It is the newest of all; no policy drops it.
    Newest,
    /// It goes.
    Dropped,
}

impl Policy {
    /// Whether anything is dropped at all.
    pub const fn is_unset(&self) -> bool {
        self.last + self.hourly + self.daily + self.weekly == 0
    }

    /// The fate of each backup, in the order given.
    ///
    /// Proven and doubtful ones are judged apart, and so are those from a time to come: each kind as if
    /// the others were not there. So a run of empty or damaged backups never pushes a good one out,
    /// nor does one that a wrong clock has dated, however long it goes on; and none of them pile up.
    /// An unset policy drops nothing; a set one never drops the newest of its kind.
    pub fn fates(&self, backups: &[Candidate]) -> Vec<Fate> {
        let mut fates = vec![Fate::Newest; backups.len()];
        for kind in KINDS {
            let alike = |at: &usize| backups[*at].kind() == kind;
            let mut order: Vec<usize> = (0..backups.len()).filter(alike).collect();
            // The newest first; of one moment the one that was named last.
            order.sort_by_key(|at| std::cmp::Reverse((backups[*at].taken, *at)));
            let taken: Vec<_> = order.iter().map(|at| backups[*at].taken).collect();
            for (at, fate) in order.into_iter().zip(self.of_one_kind(&taken)) {
                fates[at] = fate;
            }
        }
        fates
    }

    /// The newest first.
    fn of_one_kind(&self, taken: &[Timestamp]) -> Vec<Fate> {
        let mut buckets = [
            (Fate::Hourly, self.hourly, BTreeSet::new()),
            (Fate::Daily, self.daily, BTreeSet::new()),
            (Fate::Weekly, self.weekly, BTreeSet::new()),
        ];
        let mut fates = Vec::with_capacity(taken.len());
        for (nth, at) in taken.iter().enumerate() {
            let mut fate = match nth {
                _ if nth < self.last => Fate::Last,
                _ if self.is_unset() || nth == 0 => Fate::Newest,
                _ => Fate::Dropped,
            };
            for ((reason, most, seen), span) in buckets.iter_mut().zip(spans(*at)) {
                if seen.len() < *most && seen.insert(span) && fate == Fate::Dropped {
                    fate = *reason;
                }
            }
            fates.push(fate);
        }
        fates
    }
}

/// The hour, the day and the week of a moment, each as a number of its own.
fn spans(at: Timestamp) -> [(i16, i64); 3] {
    let civil = at.to_zoned(TimeZone::UTC).datetime();
    let week: ISOWeekDate = civil.date().iso_week_date();
    let day = i64::from(civil.day_of_year());
    [
        (civil.year(), day * 24 + i64::from(civil.hour())),
        (civil.year(), day),
        (week.year(), i64::from(week.week())),
    ]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Fate::{Daily, Dropped, Hourly, Last, Newest, Weekly};
    use super::*;

    fn backup(taken: &str) -> Candidate {
        Candidate {
            taken: taken.parse().unwrap(),
            proven: true,
            ahead: false,
        }
    }

    /// A clock that was years ahead for a while, or is years behind now.
    #[test]
    fn what_a_wrong_clock_has_dated_pushes_nothing_out() {
        let mut backups: Vec<_> = (10..20)
            .map(|day| backup(&format!("2026-03-{day}T00:00:00Z")))
            .collect();
        for year in [2030, 2031, 2032] {
            backups.push(Candidate {
                ahead: true,
                ..backup(&format!("{year}-01-01T00:00:00Z"))
            });
        }
        let policy = Policy {
            last: 2,
            ..Policy::default()
        };
        let fates = policy.fates(&backups);
        assert_eq!(fates[..8], [Dropped; 8]);
        assert_eq!(fates[8..], [Last, Last, Dropped, Last, Last]);
    }

    #[test]
    fn the_newest_of_each_span_stays() {
        let backups = [
            backup("2026-03-02T10:00:00Z"), // Monday
            backup("2026-03-02T09:50:00Z"),
            backup("2026-03-02T09:10:00Z"),
            backup("2026-03-01T23:59:59Z"), // Sunday, the week before
            backup("2026-03-01T00:00:00Z"),
            backup("2026-01-01T00:00:00Z"),
        ];
        let fates = |last, hourly, daily, weekly| {
            let policy = Policy {
                last,
                hourly,
                daily,
                weekly,
            };
            policy.fates(&backups)
        };
        assert_eq!(
            fates(2, 0, 0, 0),
            [Last, Last, Dropped, Dropped, Dropped, Dropped]
        );
        assert_eq!(
            fates(0, 2, 0, 0),
            [Newest, Hourly, Dropped, Dropped, Dropped, Dropped]
        );
        assert_eq!(
            fates(0, 0, 3, 0),
            [Newest, Dropped, Dropped, Daily, Dropped, Daily]
        );
        assert_eq!(
            fates(0, 0, 0, 2),
            [Newest, Dropped, Dropped, Weekly, Dropped, Dropped]
        );
        assert_eq!(
            fates(1, 2, 2, 9),
            [Last, Hourly, Dropped, Daily, Dropped, Weekly]
        );
        assert_eq!(
            fates(0, 0, 0, 0),
            [Newest; 6],
            "an unset policy drops nothing"
        );
    }

    #[test]
    fn empty_ones_never_push_a_good_one_out() {
        let mut backups: Vec<_> = (10..20)
            .map(|day| backup(&format!("2026-03-{day}T00:00:00Z")))
            .collect();
        for backup in &mut backups[1..] {
            backup.proven = false;
        }
        let policy = Policy {
            last: 2,
            hourly: 3,
            daily: 3,
            weekly: 1,
        };
        let fates = policy.fates(&backups);
        assert_eq!(fates[0], Last);
        assert_eq!(fates[1..7], [Dropped; 6]);
        assert_eq!(fates[7..], [Hourly, Last, Last]);
    }

    fn any_backups() -> impl Strategy<Value = Vec<Candidate>> {
        // Some at one moment, some apart by hours, days and years.
        let second = prop_oneof![0..10i64, 0..200_000i64, 0..100_000_000i64];
        let flags = (prop::bool::weighted(0.7), prop::bool::weighted(0.1));
        let one = (second, flags).prop_map(|(second, (proven, ahead))| Candidate {
            taken: Timestamp::from_second(1_700_000_000 + second).unwrap(),
            proven,
            ahead,
        });
        prop::collection::vec(one, 0..60)
    }

    fn any_policy() -> impl Strategy<Value = Policy> {
        (0..5usize, 0..5usize, 0..5usize, 0..5usize).prop_map(|(last, hourly, daily, weekly)| {
            Policy {
                last,
                hourly,
                daily,
                weekly,
            }
        })
    }

    proptest! {
        #[test]
        fn the_newest_of_each_kind_always_stays(backups in any_backups(), policy in any_policy()) {
            let fates = policy.fates(&backups);
            for kind in KINDS {
                let newest = backups.iter().filter(|b| b.kind() == kind).map(|b| b.taken).max();
                if let Some(newest) = newest {
                    let stays = backups.iter().zip(&fates)
                        .any(|(b, fate)| b.kind() == kind && b.taken == newest && *fate != Dropped);
                    prop_assert!(stays);
                }
            }
        }

        #[test]
        fn the_kinds_do_not_touch_each_other(
            backups in any_backups(),
            policy in any_policy(),
        ) {
            let fates = policy.fates(&backups);
            for kind in KINDS {
                let alone: Vec<_> = backups.iter().copied().filter(|b| b.kind() == kind).collect();
                let among: Vec<_> = backups.iter().zip(&fates)
                    .filter(|(b, _)| b.kind() == kind).map(|(_, fate)| *fate).collect();
                prop_assert_eq!(policy.fates(&alone), among);
            }
        }

        #[test]
        fn as_many_stay_as_was_asked_for(backups in any_backups(), policy in any_policy()) {
            let proven: Vec<_> = backups.into_iter().filter(|b| b.kind() == KINDS[0]).collect();
            let fates = policy.fates(&proven);
            let stay = fates.iter().filter(|fate| **fate != Dropped).count();
            let count = |span: usize| {
                let spans: BTreeSet<_> = proven.iter().map(|b| spans(b.taken)[span]).collect();
                spans.len()
            };
            let least = [
                policy.last.min(proven.len()),
                policy.hourly.min(count(0)),
                policy.daily.min(count(1)),
                policy.weekly.min(count(2)),
            ];
            if policy.is_unset() {
                prop_assert_eq!(stay, proven.len());
            } else {
                prop_assert!(stay >= *least.iter().max().unwrap());
                prop_assert!(stay <= least.iter().sum::<usize>().max(1));
            }
        }

        /// Dropping what goes changes nothing about what stays.
        #[test]
        fn pruning_twice_is_pruning_once(backups in any_backups(), policy in any_policy()) {
            let fates = policy.fates(&backups);
            let left: Vec<_> = backups.iter().zip(&fates)
                .filter(|(_, fate)| **fate != Dropped).map(|(b, _)| *b).collect();
            prop_assert!(!policy.fates(&left).contains(&Dropped));
        }

        #[test]
        fn the_order_of_the_list_does_not_matter(backups in any_backups(), policy in any_policy()) {
            let mut moments = BTreeSet::new();
            let mut backups = backups;
            backups.retain(|b| moments.insert(b.taken));
            let mut reversed = backups.clone();
            reversed.reverse();
            let mut fates = policy.fates(&reversed);
            fates.reverse();
            prop_assert_eq!(fates, policy.fates(&backups));
        }
    }
}
