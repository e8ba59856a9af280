//! Who runs this: what goes into a journal's records.

use runbook_core::journal::Actor;
use runbook_core::text::steers;

pub(crate) const TOOL: &str = concat!("restore-runbook ", env!("CARGO_PKG_VERSION"));

/// Host, user and process of this life. The user behind `sudo` is named, too.
pub(crate) fn actor() -> Actor {
    let host = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    Actor {
        tool: TOOL.into(),
        host: bounded(&host),
        user: bounded(&user()),
        pid: std::process::id(),
    }
}

fn user() -> String {
    let uid = rustix::process::getuid().as_raw();
    let named = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let user = if uid == 0 {
        "root".to_owned()
    } else {
        named("USER").unwrap_or_else(|| format!("user {uid}"))
    };
    match named("SUDO_USER") {
        Some(behind) => format!("{user} (sudo by {behind})"),
        None => user,
    }
}

/// The environment is not trusted to be short.
fn bounded(text: &str) -> String {
    text.chars().filter(|c| !steers(*c)).take(80).collect()
}
