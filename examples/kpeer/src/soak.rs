//! `kpeer soak`: keeps peers busy for a while, ends them in every way, attacks them, and checks that nothing is left behind.
//!
//! `churn` makes, uses and ends the connections, `workers` asks and closes, `hostile` attacks, `pauses` stops the process.

mod churn;
mod counts;
mod gauges;
mod hostile;
mod link;
mod node;
mod pair;
mod pauses;
mod report;
mod workers;

use crate::interrupt;
use churn::Churn;
use clap::Args;
use counts::Counts;
use crossbeam_channel::{Receiver, RecvTimeoutError};
use gauges::Gauges;
use hostile::{Hostile, Pinger};
use pauses::Pauses;
use report::{Report, Row, Summary};
use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

const HELP: &str = "\
A connection ends in one of nine ways: disconnect, close, drop of the last
handle, shutdown of its socket, the same in the middle of a frame, reset, a
reject from a callback (disconnect_with), a remote that stops reading (stall),
and a question without an answer (silence). Meanwhile ends read slowly, flood
each other and ask each other.

The table has a row for each interval. Below it, the columns are explained, and
every receipt and every question is accounted for: it resolved exactly once.

SIGINT and SIGTERM end the soak in order; the last line says so.

Exit status: 0 if in the end everything is as it was in the beginning, also
after a signal; 1 if something is left behind or a promise was broken; 2 if the
soak cannot run.
";

/// Keeps peers busy for a while and checks that nothing is left behind
///
/// Keeps N connections between two nodes in this process, with six threads each. They send each other small and large messages and are ended at random in every way. Meanwhile a hostile remote floods one of the nodes, sends it garbage, never reads and sends one byte at a time, and another peer of the same node pings.
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub struct Options {
    /// How many connections to keep, at least 1
    #[arg(long, value_name = "N", default_value = "20", value_parser = peers, allow_negative_numbers = true)]
    peers: usize,
    /// How long it runs, in seconds; at most a minute longer where the machine is too slow for everything to happen by then
    #[arg(long, value_name = "S", default_value = "60", conflicts_with = "minutes", allow_negative_numbers = true)]
    seconds: u64,
    /// The same in minutes
    #[arg(long, value_name = "M", allow_negative_numbers = true)]
    minutes: Option<u64>,
    /// Pause the whole process now and then for up to 10 seconds: a child process sends SIGSTOP and SIGCONT (Unix)
    #[arg(long)]
    pauses: bool,
    /// Print one JSON object per line instead of a table
    #[arg(long)]
    json: bool,
}

fn peers(text: &str) -> Result<usize, Box<dyn Error + Send + Sync>> {
    match text.parse()? {
        0 => Err("a soak needs at least 1 connection".into()),
        peers => Ok(peers),
    }
}

/// How long threads and sockets may take to go away after the last peer has ended.
const SETTLING: Duration = Duration::from_secs(10);

/// The phases before the churn last at most this long.
const LONGEST_PHASE: Duration = Duration::from_secs(30);

pub fn run(options: Options) -> ExitCode {
    let time = options.minutes.map_or(options.seconds, |minutes| minutes.saturating_mul(60));
    match soak(&options, Duration::from_secs(time)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("kpeer soak: {error}");
            ExitCode::from(2)
        }
    }
}

/// SIGINT or SIGTERM.
struct Signal(Receiver<()>);

impl Signal {
    /// Waits until `deadline` or until the signal arrives.
    fn wait(&self, deadline: Instant) {
        // Nothing is ever sent, so this ends by the time or by the signal.
        let _ = self.0.recv_deadline(deadline);
    }

    fn has_arrived(&self) -> bool {
        self.0.recv_timeout(Duration::ZERO) == Err(RecvTimeoutError::Disconnected)
    }
}

/// Returns whether nothing is left behind.
fn soak(options: &Options, time: Duration) -> Result<bool, Box<dyn Error>> {
    let signal = Signal(interrupt::channel().map_err(|error| error.to_string())?);
    let stop = || signal.has_arrived();
    let report = Report::new(options.json);
    let phase = (time / 10).min(LONGEST_PHASE);
    let interval = (time / 20).max(Duration::from_secs(1));

    // Allocates what is allocated once per process, and shows how much memory peers need.
    let rehearsal = Arc::new(Counts::default());
    let (alice, bob) = (node::config("alice", &rehearsal)?, node::config("bob", &rehearsal)?);
    let mut churn = Churn::new(&alice, &bob, options.peers, &rehearsal)?;
    churn.run(phase, false, &stop, Duration::MAX, |_| {});
    churn.end();
    drop((alice, bob));

    let counts = Arc::new(Counts::default());
    let (alice, bob) = (node::config("alice", &counts)?, node::config("bob", &counts)?);
    let before = settled(|_| true);
    let start = Instant::now();
    let pauses = if options.pauses { Some(Pauses::start(time)?) } else { None };
    let mut churn = Churn::new(&alice, &bob, options.peers, &counts)?;
    let row = |phase, tally| report.row(&Row { time: start.elapsed(), phase, gauges: Gauges::now(), tally });
    row("begin", churn.tally());

    let pinger = Pinger::start(&alice, &bob)?;
    signal.wait(Instant::now() + phase);
    let alone = pinger.median();
    row("quiet", churn.tally());

    let hostile = Hostile::start(&bob)?;
    signal.wait(Instant::now() + phase);
    let attacked = pinger.median();
    row("attack", churn.tally());

    let mut amid = None;
    churn.run(time.saturating_sub(start.elapsed()), true, &stop, interval, |churn| {
        amid.get_or_insert_with(Gauges::now);
        row("churn", churn.tally());
    });
    let crowded = pinger.median();
    let last_lost = churn.last_lost().map(str::to_owned);
    let tally = churn.end();
    let attacks = hostile.stop();
    let pings = pinger.stop();
    let pauses = pauses.map(Pauses::stop).transpose()?;
    let amid = amid.unwrap_or(before);
    let after = settled(|gauges| gauges.compared_with(before, amid).is_empty());
    row("end", tally);

    let mut left = rehearsal.complaints();
    left.extend(counts.complaints());
    left.extend(after.compared_with(before, amid));
    report.summary(&Summary {
        tally,
        round_trips: [alone, attacked, crowded],
        pings,
        attacks,
        pauses,
        last_lost: last_lost.as_deref(),
        time: [start.elapsed(), time],
        interrupted: signal.has_arrived(),
        left: &left,
    });
    Ok(left.is_empty())
}

/// The gauges once they stand still and are as they should be, or after [`SETTLING`] as they are.
fn settled(as_they_should: impl Fn(Gauges) -> bool) -> Gauges {
    let deadline = Instant::now() + SETTLING;
    loop {
        let gauges = Gauges::now();
        thread::sleep(Duration::from_millis(200));
        let still = Gauges::now().same_threads_and_files(gauges);
        if (still && as_they_should(gauges)) || Instant::now() > deadline {
            return gauges;
        }
    }
}
