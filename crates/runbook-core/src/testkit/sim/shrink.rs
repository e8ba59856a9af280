//! From a script that breaks a rule to a smaller one that does.

use super::super::{Fault, Faults, Mortal};
use super::Script;

/// The smallest script that still breaks a rule, found by leaving out one thing after another.
pub fn shrink(script: &Script, breaks: impl Fn(&Script) -> bool) -> Script {
    let mut smallest = script.clone();
    while let Some(smaller) = candidates(&smallest).into_iter().find(&breaks) {
        smallest = smaller;
    }
    smallest
}

/// Every script with one thing less, the boldest first.
fn candidates(script: &Script) -> Vec<Script> {
    let mut all = Vec::new();
    let mut less = |change: &dyn Fn(&mut Script)| {
        let mut smaller = script.clone();
        change(&mut smaller);
        if smaller != *script {
            all.push(smaller);
        }
    };
    less(&|s| {
        s.faults = Faults {
            percent: 0,
            budget: 0,
            ..s.faults
        }
    });
    for at in 0..script.lives.len() {
        less(&|s| drop(s.lives.remove(at)));
    }
    for (at, scene) in script.lives.iter().enumerate() {
        for incident in 0..scene.before.len() {
            less(&|s| _ = s.lives[at].before.remove(incident));
        }
        for incident in 0..scene.during.len() {
            less(&|s| _ = s.lives[at].during.remove(incident));
        }
        less(&|s| s.lives[at].undo = false);
        less(&|s| s.lives[at].ends = Mortal::never());
        less(&|s| s.lives[at].ends.power_cut = None);
        less(&|s| s.lives[at].ends.in_flight = Mortal::never().in_flight);
    }
    for kind in Fault::ALL {
        less(&|s| s.faults.kinds = s.faults.kinds.without(kind));
    }
    less(&|s| s.faults.budget = s.faults.budget.saturating_sub(1));
    less(&|s| s.world = s.world.clone().plain());
    less(&|s| s.dialect = 0);
    all
}
