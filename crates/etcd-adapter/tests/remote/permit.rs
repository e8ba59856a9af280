//! Leave to change the world, for tests.

use runbook_core::journal::Permit;
use runbook_core::names::{RunId, UnitId};

pub(crate) fn run_id() -> RunId {
    RunId::parse("01936f6e-0000-7000-8000-0123456789ab").unwrap()
}

pub(crate) fn permit() -> Permit {
    runbook_core::testkit::permit(&UnitId::new("stop/node001").unwrap()).unwrap()
}
