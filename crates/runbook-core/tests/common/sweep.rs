//! The same run, once for each place at which it can be ended.

use runbook_core::testkit::{Builder, Lives, Mortal, World};

/// This world anew for each await that a whole run of it has, with the await's number.
pub(crate) fn at_every_await(world: &Builder) -> impl Iterator<Item = (u64, World)> + use<> {
    let mut measure = Lives::of(&world.clone().build());
    measure.live(Mortal::never());
    let world = world.clone();
    (1..=measure.waits()).map(move |at| (at, world.clone().build()))
}
