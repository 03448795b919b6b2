//! Words for people: chapters, progress bars and plain lines, all on stderr.
//!
//! On a terminal long work shows a live bar; in a pipe each chapter prints plain lines. Stdout belongs to machines.

use std::{
    io::{self, IsTerminal, Write},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::exit::escaped;

/// How often a bar is redrawn at most, in hertz.
const REDRAWS_PER_SECOND: u8 = 10;

/// Prints one line for people.
pub(crate) fn say(line: &str) {
    let mut stderr = io::stderr().lock();
    // A closed stderr is no reason to stop the work.
    let _ = writeln!(stderr, "{}", escaped(line));
}

/// Prints one line for machines. A reader that has seen enough and closed the pipe is no error.
pub(crate) fn tell(line: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match writeln!(stdout, "{line}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        told => told,
    }
}

/// A chapter of long work: says its title, shows progress, and ends with one line.
pub(crate) struct Chapter {
    title: String,
    started: Instant,
    bar: Option<ProgressBar>,
}

impl Chapter {
    /// Begins a chapter of `total` steps (0 when they are not counted).
    pub(crate) fn begin(number: u8, title: &str, total: u64) -> Self {
        let title = format!("{number}. {title}");
        let bar = (io::stderr().is_terminal() && total > 0).then(|| bar(&title, total));
        Self {
            title,
            started: Instant::now(),
            bar,
        }
    }

    /// Moves the bar.
    pub(crate) fn advance(&self, steps: u64) {
        if let Some(bar) = &self.bar {
            bar.inc(steps);
        }
    }

    /// Ends the chapter with a line and gives the seconds it took.
    pub(crate) fn end(self, result: &str) -> f64 {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        let seconds = self.started.elapsed().as_secs_f64();
        say(&format!("{:<22} {result}  ({seconds:.1} s)", self.title));
        seconds
    }
}

fn bar(title: &str, total: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(
        Some(total),
        ProgressDrawTarget::stderr_with_hz(REDRAWS_PER_SECOND),
    );
    let style = ProgressStyle::with_template("{prefix:<22} {bar:32} {pos}/{len}  {per_sec}  {eta}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.set_style(style);
    bar.set_prefix(title.to_owned());
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
