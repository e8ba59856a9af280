//! The simulator: kept histories, the same seed twice, and many seeds.
#![cfg(feature = "testkit")]

use runbook_core::testkit::sim::{Script, simulate};

#[test]
fn seeds() {
    for seed in 0..2000 {
        let script = Script::draw(seed);
        let history = simulate(&script);
        if let Some(broken) = &history.broken {
            panic!("seed {seed}: {broken}\n{script:?}\n{}", history.text());
        }
    }
}
