//! The terminal: the one place that writes to it or asks.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::sync::{Arc, Mutex, PoisonError};

use console::Term;
use etcd_adapter::tool::Watcher;
use indicatif::{MultiProgress, ProgressDrawTarget, TermLike};
use runbook_core::text::{steers, visible};

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};

use crate::args::Color;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::progress::bytes::{Bytes, LARGE};

/// Green: success, and commands to type.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
/// Cyan: hints and paths.
pub(crate) const HINT: Style = AnsiColor::Cyan.on_default();
/// Yellow: warnings.
pub(crate) const WARN: Style = AnsiColor::Yellow.on_default();
/// Red: errors, and what destroys.
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
/// Bold: headings.
pub(crate) const HEAD: Style = Style::new().bold();
/// Faint: what is read last.
pub(crate) const FAINT: Style = Style::new().dimmed();

/// Text in a style; the style is taken out again where there is no colour.
pub(crate) fn paint(style: Style, text: impl std::fmt::Display) -> String {
    format!("{style}{text}{style:#}")
}

/// Neutralises foreign text: escape sequences, control characters and invisible direction marks
/// become visible escapes, line feeds and tabs stay.
pub(crate) fn clean(text: &str) -> String {
    visible(&text.replace('\t', "    "))
}

/// The same on one line.
pub(crate) fn clean_line(text: &str) -> String {
    clean(text).replace('\n', " ⏎ ")
}

/// A terminal that may go away while something is drawn on it: indicatif panics where it cannot draw,
/// and a broken ssh session must not end a run.
#[derive(Debug)]
struct Steady<T>(T);

impl<T: TermLike> TermLike for Steady<T> {
    fn width(&self) -> u16 {
        self.0.width()
    }

    fn height(&self) -> u16 {
        self.0.height()
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        self.0.move_cursor_up(n).or(Ok(()))
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.0.move_cursor_down(n).or(Ok(()))
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        self.0.move_cursor_right(n).or(Ok(()))
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        self.0.move_cursor_left(n).or(Ok(()))
    }

    fn write_line(&self, line: &str) -> io::Result<()> {
        self.0.write_line(line).or(Ok(()))
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.0.write_str(text).or(Ok(()))
    }

    fn clear_line(&self) -> io::Result<()> {
        self.0.clear_line().or(Ok(()))
    }

    fn flush(&self) -> io::Result<()> {
        self.0.flush().or(Ok(()))
    }
}

/// The answer to a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Yes,
    No,
    Explain,
}

/// Standard output, standard error, and the person behind them, if any.
#[derive(Debug, Clone)]
pub(crate) struct Ui {
    out: ColorChoice,
    err: ColorChoice,
    /// Tests read what would be written; standard output, then standard error.
    captured: Option<Arc<Mutex<[Vec<u8>; 2]>>>,
    /// Whether somebody can be asked.
    pub(crate) person: bool,
    /// Where bars are drawn, if standard error can be drawn on.
    pub(crate) bars: Option<Bars>,
}

/// What is drawn below the lines.
#[derive(Debug, Clone)]
pub(crate) struct Bars {
    all: MultiProgress,
    /// A proof does not say when it is over: the next line takes its bar away.
    proof: Arc<Mutex<Option<Bytes>>>,
}

impl Bars {
    fn new() -> Self {
        let term = Steady(Term::buffered_stderr());
        let target = ProgressDrawTarget::term_like_with_hz(Box::new(term), 4);
        Self {
            all: MultiProgress::with_draw_target(target),
            proof: Arc::default(),
        }
    }

    pub(crate) const fn all(&self) -> &MultiProgress {
        &self.all
    }

    /// Nothing is drawn from here on.
    pub(crate) fn end(&self) {
        self.all.clear().ok();
        self.all.set_draw_target(ProgressDrawTarget::hidden());
    }

    /// Writes where nothing is drawn.
    fn aside(&self, write: impl FnOnce()) {
        let mut proof = self.proof.lock().unwrap_or_else(PoisonError::into_inner);
        drop(proof.take());
        drop(proof);
        self.all.suspend(write);
    }
}

impl Ui {
    pub(crate) fn new(color: Color) -> Self {
        let of = |auto| match color {
            Color::Auto => auto,
            Color::Always => ColorChoice::AlwaysAnsi,
            Color::Never => ColorChoice::Never,
        };
        let live = io::stderr().is_terminal();
        Self {
            out: of(AutoStream::choice(&io::stdout())),
            err: of(AutoStream::choice(&io::stderr())),
            captured: None,
            person: io::stdin().is_terminal() && live,
            bars: live.then(Bars::new),
        }
    }

    /// Nobody is there, and what is written is kept.
    #[cfg(test)]
    pub(crate) fn captured(color: Color) -> Self {
        Self {
            captured: Some(Arc::default()),
            person: false,
            bars: None,
            ..Self::new(color)
        }
    }

    /// The same with bars, that nobody sees.
    #[cfg(test)]
    pub(crate) fn drawing() -> Self {
        Self {
            bars: Some(Bars {
                all: MultiProgress::with_draw_target(ProgressDrawTarget::hidden()),
                proof: Arc::default(),
            }),
            ..Self::captured(Color::Never)
        }
    }

    /// What was written so far.
    #[cfg(test)]
    pub(crate) fn taken(&self) -> (String, String) {
        let kept = self.captured.as_ref().unwrap().lock().unwrap();
        let text = |at: usize| String::from_utf8(kept[at].clone()).unwrap();
        (text(0), text(1))
    }

    fn keep(&self, at: usize, bytes: &[u8]) -> bool {
        let Some(captured) = &self.captured else {
            return false;
        };
        let mut kept = captured.lock().unwrap_or_else(PoisonError::into_inner);
        kept[at].extend_from_slice(bytes);
        true
    }

    /// Data, to standard output.
    pub(crate) fn data(&self, text: &str) -> Result<(), Failure> {
        self.bytes(shown(self.out, text).as_bytes())
    }

    /// Bytes as they are, to standard output.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> Result<(), Failure> {
        if self.keep(0, bytes) {
            return Ok(());
        }
        if let Some(bars) = &self.bars {
            bars.aside(|| ());
        }
        let mut out = io::stdout().lock();
        written(out.write_all(bytes).and_then(|()| out.flush()))
    }

    /// A line to standard error. A terminal that is gone is no reason to stop.
    pub(crate) fn note(&self, line: &str) {
        let text = format!("{}\n", shown(self.err, line));
        let write = || {
            if !self.keep(1, text.as_bytes()) {
                io::stderr().lock().write_all(text.as_bytes()).ok();
            }
        };
        match &self.bars {
            // The bars step aside for the line.
            Some(bars) => bars.aside(write),
            None => write(),
        }
    }

    /// Shows how far the proof of a snapshot has come.
    pub(crate) fn watcher(&self) -> Watcher {
        let ui = self.clone();
        // Where there are bars, showing is drawing; it writes no line, which would wait for this lock.
        let shown = ui.bars.as_ref().map(|bars| Arc::clone(&bars.proof));
        let shown = shown.unwrap_or_default();
        Arc::new(move |progress| {
            if progress.total_bytes >= LARGE {
                let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
                let new = || Bytes::of(&ui, "the snapshot".into());
                shown.get_or_insert_with(new).proving(progress);
            }
        })
    }

    pub(crate) fn warning(&self, text: &str) {
        self.note(&format!("{}: {}", paint(WARN, "warning"), clean(text)));
    }

    pub(crate) fn hint(&self, text: &str) {
        self.note(&format!("  {}: {}", paint(HINT, "hint"), clean(text)));
    }

    pub(crate) fn failure(&self, failure: &Failure) {
        let code = format!("error[{}]", clean_line(&failure.code));
        self.note(&format!("{}: {}", paint(BAD, code), clean(&failure.what)));
        for cause in &failure.causes {
            self.note(&format!("  caused by: {}", clean(cause)));
        }
        for line in &failure.details {
            self.note(&format!("  {}", clean(line)));
        }
        if let Some(hint) = &failure.hint {
            self.hint(hint);
        }
        if failure.exit != Exit::Usage {
            self.note(&paint(
                FAINT,
                format!(
                    "  more: restore-runbook explain {}",
                    clean_line(&failure.code)
                ),
            ));
        }
    }

    /// Asks until there is an answer; the end of the input is a no.
    pub(crate) async fn ask(&self, question: &str, explain: bool) -> Answer {
        let choices = if explain {
            "yes / no / explain"
        } else {
            "yes / no"
        };
        loop {
            let prompt = format!("{} [{choices}] ", paint(HEAD, question));
            if let Some(bars) = &self.bars {
                bars.aside(|| ());
            }
            let mut err = io::stderr().lock();
            err.write_all(shown(self.err, &prompt).as_bytes()).ok();
            err.flush().ok();
            drop(err);
            let Some(line) = read_line().await else {
                return Answer::No;
            };
            match line.trim().to_ascii_lowercase().as_str() {
                "n" | "no" => return Answer::No,
                // A single letter is typed by accident; this word is not.
                "yes" => return Answer::Yes,
                "e" | "explain" if explain => return Answer::Explain,
                _ => self.note("please write one of the words out"),
            }
        }
    }
}

/// A line of standard input; none at its end. Read on a thread of its own, so that a signal need not wait
/// for the line.
async fn read_line() -> Option<String> {
    let (send, receive) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        let read = io::stdin().lock().read_line(&mut line);
        send.send(matches!(read, Ok(1..)).then_some(line)).ok();
    });
    receive.await.ok().flatten()
}

/// What became of writing to standard output. A reader that has gone away has seen enough.
pub(crate) fn written(done: io::Result<()>) -> Result<(), Failure> {
    match done {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            let what = "standard output cannot be written";
            let failure = Failure::new(Exit::Environment, "output", what).caused_by(&error);
            Err(failure.hint(
                "make room where it goes; what was done is done, only the report of it is lost",
            ))
        }
        _ => Ok(()),
    }
}

fn shown(choice: ColorChoice, text: &str) -> String {
    if choice == ColorChoice::Never {
        guarded(&anstream::adapter::strip_str(text).to_string())
    } else {
        guarded(text)
    }
}

/// The last line of defence, behind [`clean`]: of what steers a terminal nothing but this program's own
/// colours gets there.
fn guarded(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let colour = colour_at(rest);
        if c == '\n' || c == '\t' || !steers(c) || colour > 0 {
            let length = colour.max(c.len_utf8());
            safe.push_str(&rest[..length]);
            rest = &rest[length..];
        } else {
            safe.extend(c.escape_unicode());
            rest = &rest[c.len_utf8()..];
        }
    }
    safe
}

/// The length of a colour's escape sequence (`ESC [ 1 ; 31 m`) that a text begins with; else 0.
fn colour_at(text: &str) -> usize {
    let Some(inside) = text.strip_prefix("\u{1b}[") else {
        return 0;
    };
    let digits = inside
        .bytes()
        .take_while(|b| b.is_ascii_digit() || *b == b';');
    let digits = digits.count();
    if inside[digits..].starts_with('m') {
        digits + 3
    } else {
        0
    }
}

#[cfg(test)]
mod tests {
    use etcd_adapter::snapshot::{Phase, Progress};
    use indicatif::ProgressBar;

    use super::*;

    /// A terminal that has been hung up.
    #[derive(Debug)]
    struct Gone;

    impl TermLike for Gone {
        fn width(&self) -> u16 {
            80
        }
        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn write_line(&self, _: &str) -> io::Result<()> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn write_str(&self, _: &str) -> io::Result<()> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn clear_line(&self) -> io::Result<()> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&self) -> io::Result<()> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }

    #[test]
    fn a_terminal_that_goes_away_ends_nothing() {
        // Without `Steady` indicatif panics here.
        let target = ProgressDrawTarget::term_like(Box::new(Steady(Gone)));
        let bars = Bars {
            all: MultiProgress::with_draw_target(target),
            proof: Arc::default(),
        };
        let bar = bars.all.add(ProgressBar::new_spinner());
        bar.tick();
        let mut written = false;
        bars.aside(|| written = true);
        bar.finish_and_clear();
        assert!(written);
    }

    #[test]
    fn the_next_line_takes_the_bar_of_a_proof_away() {
        let ui = Ui::drawing();
        let at = |total_bytes| Progress {
            phase: Phase::Reading,
            done_bytes: 1,
            total_bytes,
        };
        let proof = Arc::clone(&ui.bars.as_ref().unwrap().proof);
        let watch = ui.watcher();
        watch(at(LARGE - 1));
        assert!(proof.lock().unwrap().is_none());
        watch(at(LARGE));
        assert!(proof.lock().unwrap().is_some());
        ui.note("the next line");
        assert!(proof.lock().unwrap().is_none());
    }

    #[test]
    fn foreign_text_cannot_steer_the_terminal() {
        assert_eq!(clean("a\x1b[2Jb\u{9b}c\x07"), "a\\u{1b}[2Jb\\u{9b}c\\u{7}");
        assert_eq!(
            clean("x\u{202e}y\u{200b}z\r"),
            "x\\u{202e}y\\u{200b}z\\u{d}"
        );
        assert_eq!(clean("a\tb\nc"), "a    b\nc");
        assert_eq!(clean_line("a\nb"), "a ⏎ b");
        // What somebody forgot to clean does nothing either, and our own colours stay.
        let text = format!("{}\x1b[2J\x1b]0;x\x07\r\u{202e}\t.\n", paint(BAD, "bad"));
        let own = paint(BAD, "bad");
        assert_eq!(
            guarded(&text),
            format!("{own}\\u{{1b}}[2J\\u{{1b}}]0;x\\u{{7}}\\u{{d}}\\u{{202e}}\t.\n")
        );
        assert_eq!(guarded("\x1b[31"), "\\u{1b}[31");
    }
}
