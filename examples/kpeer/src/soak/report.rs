//! Prints the rows and the result of a soak, as text of 80 columns or as JSON.

use super::counts::{End, Tally};
use super::gauges::Gauges;
use crate::bench::print_line;
use serde_json::{Map, Value, json};
use std::time::Duration;

const LEGEND: &str = "
time s     since the beginning
peers      connections that are open; each has two ends, with three threads each
made       connections made so far
messages   messages queued so far
receipts   receipts taken so far
asked      questions asked so far
files      open descriptors
heap K     allocated memory in KiB
RSS M      resident memory in MiB";

pub struct Report {
    json: bool,
}

pub struct Row {
    pub time: Duration,
    pub phase: &'static str,
    pub gauges: Gauges,
    pub tally: Tally,
}

/// Everything that the last lines tell.
pub struct Summary<'a> {
    pub tally: Tally,
    /// The median round trip of the peer that pings: alone, under attack, and among the other connections.
    pub round_trips: [Option<Duration>; 3],
    pub pings: usize,
    pub attacks: u64,
    /// `None` if pauses were not asked for.
    pub pauses: Option<usize>,
    pub last_lost: Option<&'a str>,
    /// How long it ran, and how long it was meant to.
    pub time: [Duration; 2],
    pub interrupted: bool,
    /// The problems that were found.
    pub left: &'a [String],
}

impl Report {
    pub fn new(json: bool) -> Self {
        if !json {
            print_line!(
                "{:>6} {:<6} {:>5} {:>6} {:>8} {:>8} {:>7} {:>7} {:>5} {:>7} {:>5}",
                "time s",
                "phase",
                "peers",
                "made",
                "messages",
                "receipts",
                "asked",
                "threads",
                "files",
                "heap K",
                "RSS M"
            );
        }
        Self { json }
    }

    pub fn row(&self, row: &Row) {
        let Row { time, phase, gauges: Gauges { threads, files, heap, memory }, tally } = row;
        let seconds = time.as_secs_f64();
        if self.json {
            let object = json!({
                "seconds": tenths(seconds), "phase": phase, "alive": tally.alive, "made": tally.made,
                "messages": tally.messages, "cuts": ends(tally), "lost": tally.lost, "receipts": tally.receipts,
                "written": tally.written, "not_written": tally.not_written, "asked": tally.asked,
                "answered": tally.answered, "ended": tally.ended, "threads": threads, "files": files, "heap": heap,
                "memory": memory, "queued": tally.queued,
            });
            print_line!("{object}");
            return;
        }
        let text = |gauge: &Option<u64>, unit: u64| gauge.map_or("-".to_owned(), |value| (value / unit).to_string());
        print_line!(
            "{seconds:>6.0} {phase:<6} {:>5} {:>6} {:>8} {:>8} {:>7} {:>7} {:>5} {:>7} {:>5}",
            tally.alive,
            tally.made,
            tally.messages,
            tally.receipts,
            tally.asked,
            text(threads, 1),
            text(files, 1),
            heap >> 10,
            text(memory, 1 << 20),
        );
    }

    pub fn summary(&self, summary: &Summary<'_>) {
        if self.json { summary.print_json() } else { summary.print_text() }
    }
}

/// JSON needs no more digits.
fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

fn ends(tally: &Tally) -> Value {
    let counts = End::ALL.iter().zip(tally.ends).map(|(end, count)| (end.name().to_owned(), count.into()));
    Value::Object(counts.collect::<Map<_, _>>())
}

impl Summary<'_> {
    /// The medians in microseconds, and the last two in proportion to the first.
    fn micros(&self) -> ([Option<f64>; 3], [Option<f64>; 2]) {
        let micros = self.round_trips.map(|time| time.map(|time| time.as_secs_f64() * 1e6));
        let [alone, ..] = micros;
        let ratio = |time: Option<f64>| Some(time? / alone?);
        let [_, attack, churn] = micros;
        (micros, [ratio(attack), ratio(churn)])
    }

    fn print_json(&self) {
        let (micros, ratios) = self.micros();
        let ([quiet, attack, churn], [attack_ratio, churn_ratio]) =
            (micros.map(|value| value.map(tenths)), ratios.map(|value| value.map(tenths)));
        let Tally { receipts, written, not_written, asked, answered, ended, refused, .. } = self.tally;
        print_line!(
            "{}",
            json!({
                "round_trip_us": {"quiet": quiet, "attack": attack, "churn": churn},
                "ratio": {"attack": attack_ratio, "churn": churn_ratio},
                "pings": self.pings, "attacks": self.attacks,
            })
        );
        print_line!(
            "{}",
            json!({
                "ends": ends(&self.tally), "lost": self.tally.lost, "lost_handshakes": self.tally.lost_handshakes, "last_lost": self.last_lost,
                "receipts": {"taken": receipts, "written": written, "not_written": not_written},
                "questions": {"asked": asked, "answered": answered, "ended": ended, "refused": refused},
                "closes": {"in_order": self.tally.closed, "cut_short": self.tally.closed_short},
                "rejects": self.tally.rejects, "pauses": self.pauses,
            })
        );
        let [ran, planned] = self.time.map(|time| tenths(time.as_secs_f64()));
        print_line!(
            "{}",
            json!({
                "left_behind": self.left, "interrupted": self.interrupted, "seconds": ran, "planned_seconds": planned,
            })
        );
    }

    fn print_text(&self) {
        let Tally { receipts, written, not_written, asked, answered, ended, refused, .. } = self.tally;
        print_line!("{LEGEND}\n");
        let ends: Vec<String> =
            End::ALL.iter().zip(self.tally.ends).map(|(end, count)| format!("{} {count}", end.name())).collect();
        for (label, ends) in ["ends:", "", ""].iter().zip(ends.chunks(End::ALL.len().div_ceil(3))) {
            print_line!("{label:<11}{}", ends.join(", "));
        }
        let Tally { lost, lost_handshakes, .. } = self.tally;
        print_line!(
            "lost:      {lost} open connections and {lost_handshakes} in their handshake, ended by nothing above"
        );
        if let Some(reason) = self.last_lost {
            print_line!("           the last: {reason}");
        }
        print_line!("receipts:  {receipts} taken = {written} written + {not_written} not written");
        print_line!("questions: {asked} asked = {answered} answered + {ended} ended with their connection");
        print_line!("           {refused} not asked, because a queue was full");
        print_line!("closes:    {} in order, {} cut short", self.tally.closed, self.tally.closed_short);
        print_line!("rejects:   {} received", self.tally.rejects);
        if let Some(pauses) = self.pauses {
            print_line!("pauses:    {pauses} of the whole process");
        }
        print_line!("attacks:   {} of the hostile remote", self.attacks);
        let (micros, ratios) = self.micros();
        let micros = micros.map(|value| value.map_or("-".to_owned(), |value| format!("{value:.0} us")));
        let ratios = ratios.map(|value| value.map_or("-".to_owned(), |value| format!("{value:.1}")));
        let ([alone, attack, churn], [attack_ratio, churn_ratio]) = (micros, ratios);
        print_line!("pings:     {}; median round trip {alone} alone,", self.pings);
        print_line!(
            "           {attack} under attack ({attack_ratio} times), {churn} among all ({churn_ratio} times)\n"
        );
        let [ran, planned] = self.time.map(|time| time.as_secs_f64());
        let interrupted = match self.interrupted {
            true => format!("interrupted after {ran:.1} s of {planned:.0} s; "),
            false => String::new(),
        };
        if self.left.is_empty() {
            print_line!("{interrupted}nothing is left behind");
        } else {
            print_line!("{interrupted}left behind: {}", self.left.join("; "));
        }
    }
}
