//! How many bytes are done: a bar on a terminal, now and then a line elsewhere.

use std::fmt::{self, Debug, Formatter};
use std::time::Instant;

use etcd_adapter::snapshot::{Phase, Progress};
use indicatif::{ProgressBar, ProgressStyle};

use super::REMIND;
use crate::render::short_size;
use crate::ui::Ui;

/// A smaller file is proven before anybody looks.
pub(crate) const LARGE: u64 = 64 << 20;

/// One long reading or copying. Its bar goes when this is dropped.
pub(crate) struct Bytes {
    ui: Ui,
    name: String,
    bar: Option<ProgressBar>,
    doing: &'static str,
    said: Instant,
}

impl Bytes {
    /// Nothing is drawn before something is done. `name` is clean.
    pub(crate) fn of(ui: &Ui, name: String) -> Self {
        let bar = ui.bars.as_ref().map(|bars| {
            let bar = ProgressBar::no_length()
                .with_style(style())
                .with_message(name.clone());
            bars.all().add(bar)
        });
        Self {
            ui: ui.clone(),
            name,
            bar,
            doing: "",
            said: Instant::now(),
        }
    }

    /// From here on it is about something else.
    pub(crate) fn turn_to(&mut self, name: String) {
        if let Some(bar) = &self.bar {
            bar.set_message(name.clone());
        }
        self.name = name;
    }

    /// Takes in how far it has come.
    pub(crate) fn at(&mut self, doing: &'static str, done: u64, total: u64) {
        let done = done.min(total);
        let turned = self.doing != doing;
        self.doing = doing;
        if let Some(bar) = &self.bar {
            if turned {
                bar.reset();
                bar.set_length(total);
                bar.set_prefix(doing);
            }
            bar.set_position(done);
        } else if turned {
            self.said = Instant::now();
        } else if self.said.elapsed() >= REMIND {
            self.said = Instant::now();
            self.ui.note(&format!(
                "{}: {doing}, {} of {}",
                self.name,
                short_size(done),
                short_size(total)
            ));
        }
    }
}

impl Bytes {
    /// Takes in how far a proof has come.
    pub(crate) fn proving(&mut self, progress: Progress) {
        let doing = match progress.phase {
            Phase::Reading => "reading",
            _ => "walking the tree",
        };
        self.at(doing, progress.done_bytes, progress.total_bytes);
    }
}

impl Debug for Bytes {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bytes")
            .field("name", &self.name)
            .field("doing", &self.doing)
            .finish_non_exhaustive()
    }
}

impl Drop for Bytes {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn style() -> ProgressStyle {
    let template = "{prefix:>16}  {bar:24} {binary_bytes} of {binary_total_bytes}, {binary_bytes_per_sec}, {eta} left  {wide_msg}";
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}
