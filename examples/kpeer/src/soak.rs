//! `kpeer soak`: keeps peers busy for a while, cuts them off, attacks them, and looks whether anything is left behind.

mod churn;
mod gauges;
mod hostile;
mod report;

use churn::Churn;
use clap::Args;
use gauges::Gauges;
use hostile::{Hostile, Pinger};
use kaspa_peer::{Config, wire::Network};
use report::{Report, Row};
use std::error::Error;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

const HELP: &str = "\
Shown at intervals are the threads and open files of the process, what it has
allocated, its memory, and the bytes that are queued. The last line tells the
median round trip of the peer that pings: alone, and under attack.

Exit status: 0 when in the end everything is as it was in the beginning, 1 when
something is left, 2 when it cannot be run.
";

/// Keeps peers busy for a while and looks whether anything is left behind
///
/// N connections between two nodes in this process, six threads each, say things small and large to one another, and are cut off at random: by disconnecting, by shutting the socket down, in the middle of a frame, by dropping the handle. Meanwhile a hostile remote floods one of the nodes, sends it garbage, never reads and dawdles, and another peer of the same node pings.
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub struct Options {
    /// How many connections to keep
    #[arg(long, value_name = "N", default_value = "20")]
    peers: usize,
    /// For how long; at most a minute longer where the machine is too slow for everything to happen by then
    #[arg(long, value_name = "S", default_value = "60", conflicts_with = "minutes")]
    seconds: u64,
    /// For how many minutes
    #[arg(long, value_name = "M")]
    minutes: Option<u64>,
    /// Print one JSON object a line instead of a table
    #[arg(long)]
    json: bool,
}

/// How long threads and sockets may take to go away after the last peer has ended.
const SETTLING: Duration = Duration::from_secs(10);

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

/// A node whose timeouts are short, so that what is cut off shows soon.
fn node(name: &str) -> Result<Config, Box<dyn Error>> {
    let config = Config::builder(Network::Simnet)
        .user_agent_with_comments(name, "1.0.0", ["soak"])
        .handshake_timeout(Duration::from_secs(5))
        .write_timeout(Duration::from_secs(2))
        .frame_timeout(Duration::from_secs(5))
        .build()?;
    Ok(config)
}

/// Whether nothing was left behind.
fn soak(options: &Options, time: Duration) -> Result<bool, Box<dyn Error>> {
    let (alice, bob) = (node("alice")?, node("bob")?);
    let report = Report::new(options.json);
    let interval = (time / 10).max(Duration::from_secs(1));

    // What is made once is there when everything has happened once.
    let mut rehearsal = Churn::new(&alice, &bob, options.peers)?;
    rehearsal.run(time / 10, Duration::MAX, |_| {});
    rehearsal.end();
    let mut left = rehearsal.complaints();
    drop(rehearsal);

    let mut churn = Churn::new(&alice, &bob, options.peers)?;
    let before = settled(|_| true);
    let start = Instant::now();
    let show = |phase: &'static str, churn: &Churn| {
        report.row(&Row { time: start.elapsed(), phase, gauges: Gauges::now(), tally: churn.tally() });
    };
    show("begin", &churn);

    let pinger = Pinger::start(&alice, &bob)?;
    thread::sleep(time / 10);
    let quiet = pinger.median();
    show("quiet", &churn);

    let hostile = Hostile::start(&bob)?;
    let attack_ends = Instant::now() + time / 5;
    while Instant::now() < attack_ends {
        thread::sleep(interval.min(attack_ends.saturating_duration_since(Instant::now())));
        show("attack", &churn);
    }
    let attacked = pinger.median();

    let mut amidst = None;
    churn.run((time * 6) / 10, interval, |churn| {
        amidst.get_or_insert_with(Gauges::now);
        show("churn", churn);
    });
    let amidst = amidst.unwrap_or(before);
    let crowded = pinger.median();
    churn.end();
    let attacks = hostile.stop();
    let pings = pinger.stop();
    let after = settled(|gauges| gauges.compared_with(before, amidst).is_empty());
    show("end", &churn);
    report.round_trips(quiet, attacked, crowded, pings, attacks);

    left.extend(churn.complaints());
    left.extend(after.compared_with(before, amidst));
    report.verdict(&left);
    Ok(left.is_empty())
}

/// The gauges once they stand still and are as they should be, or whatever they are in the end.
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
