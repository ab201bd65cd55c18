//! Shows how far a long task is: with a bar in place on a terminal, otherwise with a line or an object a second.

use crate::output::{Output, Record};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

/// How often a line is printed.
const INTERVAL: Duration = Duration::from_secs(1);

pub struct Progress<'a> {
    output: &'a Output,
    bar: Option<ProgressBar>,
    /// The time at which the last line was printed.
    printed: Instant,
}

impl<'a> Progress<'a> {
    /// The bar is drawn on standard error. `unit` is the word after the numbers.
    pub fn new(output: &'a Output, unit: &str) -> Self {
        let bar = (io::stderr().is_terminal() && !output.is_json()).then(|| {
            let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
            let template = format!("{{bar:30}} {{pos}} of {{len}} {unit}, {{elapsed}} {{msg}}");
            ProgressStyle::with_template(&template).into_iter().for_each(|style| bar.set_style(style));
            bar
        });
        Self { output, bar, printed: Instant::now() }
    }

    /// Moves the bar, or prints a line if the last one is a second ago.
    pub fn show(&mut self, done: usize, all: usize, line: impl FnOnce(Duration) -> (String, Record)) {
        let since = self.printed.elapsed();
        if self.bar.is_some() || since >= INTERVAL {
            self.show_now(done, all, line);
        }
    }

    /// Moves the bar, or prints a line. `line` makes the text and the object from the time since the last one.
    pub fn show_now(&mut self, done: usize, all: usize, line: impl FnOnce(Duration) -> (String, Record)) {
        let since = self.printed.elapsed();
        match &self.bar {
            Some(bar) => {
                bar.set_length(all as u64);
                bar.set_position(done as u64);
                if since >= INTERVAL {
                    bar.set_message(line(since).0);
                    self.printed = Instant::now();
                }
            }
            None => {
                let (text, record) = line(since);
                self.output.say(text, record);
                self.printed = Instant::now();
            }
        }
    }
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
