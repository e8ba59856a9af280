//! The table, and the machine that it is of.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use crate::measure::Series;

/// What was measured on.
pub(crate) fn machine() -> String {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        let value = line
            .and_then(|line| line.split_once(':'))
            .map(|(_, value)| value.trim());
        value.unwrap_or("?").to_owned()
    };
    let cpus = read("/proc/cpuinfo");
    let count = cpus
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    let sha = if field(&cpus, "flags").contains("sha_ni") {
        "sha_ni"
    } else {
        "no sha_ni"
    };
    let openssl = Command::new("openssl").arg("version").output();
    let openssl = openssl.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    format!(
        "{count} × {} ({sha}), {} of memory, Linux {}, {}, load {}",
        field(&cpus, "model name"),
        field(&read("/proc/meminfo"), "MemTotal"),
        read("/proc/sys/kernel/osrelease").trim(),
        openssl.unwrap_or_default(),
        read("/proc/loadavg").trim(),
    )
}

/// A table: medians, and the least and the most. A ratio is that of two turns of the same round.
pub(crate) fn of(title: &str, bytes: u64, base: &Series, all: &[Series]) -> String {
    let mut table = format!("\n{title}\n");
    let ratio = format!("× {}", base.rival.name);
    let _ = writeln!(
        table,
        "{:<33} {:>5} {:>24} {:>7} {:>8}  {ratio}",
        "", "turns", "seconds", "GB/s", "peak MB"
    );
    for one in all {
        let seconds = Spread::of(one.seconds());
        let ratios = Spread::of(
            one.seconds()
                .zip(base.seconds())
                .map(|(ours, base)| ours / base),
        );
        let peak = one
            .turns
            .iter()
            .map(|turn| turn.peak_bytes)
            .max()
            .unwrap_or(0);
        let _ = writeln!(
            table,
            "{:<33} {:>5} {:>24} {:>7.2} {:>8}  {}",
            one.rival.name,
            one.turns.len(),
            seconds.to_string(),
            as_f64(bytes) / 1e9 / seconds.median,
            peak / 1_000_000,
            ratios,
        );
    }
    table
}

struct Spread {
    least: f64,
    median: f64,
    most: f64,
}

impl Spread {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<_> = values.collect();
        values.sort_by(f64::total_cmp);
        let at = |i: usize| values.get(i).copied().unwrap_or(f64::NAN);
        Self {
            least: at(0),
            median: at(values.len() / 2),
            most: at(values.len().saturating_sub(1)),
        }
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:.2} ({:.2}..{:.2})",
            self.median, self.least, self.most
        )
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a size in bytes is far below 2^52"
)]
fn as_f64(bytes: u64) -> f64 {
    bytes as f64
}
