//! A table, or JSON.

use super::churn::Tally;
use super::gauges::Gauges;
use std::time::Duration;

pub struct Report {
    json: bool,
}

pub struct Row {
    pub time: Duration,
    pub phase: &'static str,
    pub gauges: Gauges,
    pub tally: Tally,
}

impl Report {
    pub fn new(json: bool) -> Self {
        if !json {
            println!(
                "{:>7} {:7} {:>5} {:>7} {:>9} {:>23} {:>17} {:>7} {:>5} {:>7} {:>8} {:>9}",
                "seconds",
                "phase",
                "alive",
                "made",
                "messages",
                "cut: off/shut/mid/drop",
                "written/not",
                "threads",
                "files",
                "heap K",
                "memory M",
                "queued K"
            );
        }
        Self { json }
    }

    pub fn row(&self, row: &Row) {
        let Row { time, phase, gauges: Gauges { threads, files, heap, memory }, tally } = row;
        let [off, shut, mid, drop] = tally.cuts;
        let Tally { alive, made, messages, written, not_written, queued, .. } = tally;
        let seconds = time.as_secs_f64();
        if self.json {
            let json = |gauge: &Option<u64>| gauge.map_or("null".to_owned(), |value| value.to_string());
            println!(
                "{{\"seconds\":{seconds:.1},\"phase\":\"{phase}\",\"alive\":{alive},\"made\":{made},\
                 \"messages\":{messages},\"cuts\":{{\"disconnect\":{off},\"shutdown\":{shut},\"mid_frame\":{mid},\
                 \"drop\":{drop}}},\"written\":{written},\"not_written\":{not_written},\"threads\":{},\"files\":{},\
                 \"heap\":{heap},\"memory\":{},\"queued\":{queued}}}",
                json(threads),
                json(files),
                json(memory)
            );
        } else {
            let text =
                |gauge: &Option<u64>, unit: u64| gauge.map_or("-".to_owned(), |value| (value / unit).to_string());
            println!(
                "{seconds:>7.1} {phase:7} {alive:>5} {made:>7} {messages:>9} {:>23} {:>17} {:>7} {:>5} {:>7} {:>8} {:>9}",
                format!("{off}/{shut}/{mid}/{drop}"),
                format!("{written}/{not_written}"),
                text(threads, 1),
                text(files, 1),
                heap >> 10,
                text(memory, 1 << 20),
                queued >> 10
            );
        }
    }

    pub fn round_trips(
        &self,
        quiet: Option<Duration>,
        attacked: Option<Duration>,
        crowded: Option<Duration>,
        pings: usize,
        attacks: u64,
    ) {
        let micros = |time: Option<Duration>| time.map_or(f64::NAN, |time| time.as_secs_f64() * 1e6);
        let (quiet, attacked, crowded) = (micros(quiet), micros(attacked), micros(crowded));
        let (under, among) = (attacked / quiet, crowded / quiet);
        if self.json {
            // There is no NaN in JSON.
            let json = |value: f64| if value.is_finite() { format!("{value:.1}") } else { "null".to_owned() };
            println!(
                "{{\"round_trip_us\":{{\"quiet\":{},\"attack\":{},\"churn\":{}}},\"ratio\":{{\"attack\":{},\
                 \"churn\":{}}},\"pings\":{pings},\"attacks\":{attacks}}}",
                json(quiet),
                json(attacked),
                json(crowded),
                json(under),
                json(among)
            );
        } else {
            println!(
                "\nround trip, median: {quiet:.0} us alone, {attacked:.0} us under attack ({under:.1} times), {crowded:.0} us \
                 among all ({among:.1} times); {pings} pings, {attacks} attacks"
            );
        }
    }

    pub fn verdict(&self, left: &[String]) {
        if self.json {
            let list: Vec<String> = left.iter().map(|text| format!("{text:?}")).collect();
            println!("{{\"left_behind\":[{}]}}", list.join(","));
        } else if left.is_empty() {
            println!("nothing is left behind");
        } else {
            println!("left behind: {}", left.join("; "));
        }
    }
}
