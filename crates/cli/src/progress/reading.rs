//! How far the proof of a large file has come: a bar on a terminal, now and then a line elsewhere.

use std::time::Instant;

use etcd_adapter::snapshot::{Phase, Progress};
use indicatif::{ProgressBar, ProgressStyle};

use super::REMIND;
use crate::render::{short_size, size};
use crate::ui::Ui;

/// A smaller file is proven before anybody looks.
pub(crate) const LARGE: u64 = 64 << 20;

/// One large file under proof. The bar goes when this is dropped.
pub(crate) struct Reading<'a> {
    ui: &'a Ui,
    name: String,
    bar: Option<ProgressBar>,
    phase: Option<Phase>,
    said: Instant,
}

impl<'a> Reading<'a> {
    /// Announces the file; none if it is a small one. `name` is clean.
    pub(crate) fn of(ui: &'a Ui, name: String, size_bytes: u64) -> Option<Self> {
        if size_bytes < LARGE {
            return None;
        }
        let bar = ui.bars.as_ref().map(|bars| {
            let bar = ProgressBar::new(size_bytes)
                .with_style(style())
                .with_message(name.clone());
            bars.all().add(bar)
        });
        if bar.is_none() {
            ui.note(&format!("proving {name}, {} …", size(size_bytes)));
        }
        Some(Self {
            ui,
            name,
            bar,
            phase: None,
            said: Instant::now(),
        })
    }

    /// Takes in how far the proof is.
    pub(crate) fn at(&mut self, progress: Progress) {
        let done = progress.done_bytes.min(progress.total_bytes);
        if let Some(bar) = &self.bar {
            if self.phase != Some(progress.phase) {
                self.phase = Some(progress.phase);
                bar.set_length(progress.total_bytes);
                bar.set_prefix(doing(progress.phase));
            }
            bar.set_position(done);
        } else if self.said.elapsed() >= REMIND {
            self.said = Instant::now();
            self.ui.note(&format!(
                "{}: {}, {} of {}",
                self.name,
                doing(progress.phase),
                short_size(done),
                short_size(progress.total_bytes)
            ));
        }
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

const fn doing(phase: Phase) -> &'static str {
    match phase {
        Phase::Reading => "reading",
        _ => "walking the tree",
    }
}

fn style() -> ProgressStyle {
    let template = "{prefix:>16}  {bar:24} {binary_bytes} of {binary_total_bytes}, {binary_bytes_per_sec}, {eta} left  {wide_msg}";
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}
