//! `kpeer inspect`: prints the frames in a file or on standard input.
//!
//! `frames` finds the frames in a stream, `capture` the records in a capture; `json` and `text` print them; `replay` sends
//! them again.

mod capture;
mod frames;
mod json;
mod replay;
mod text;

use crate::options;
use capture::{Filter, Records};
use clap::Args;
use frames::{Found, Frames, network_of};
use kaspa_peer::wire::{Command, HEADER_SIZE, Network};
use replay::Side;
use std::error::Error;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

const HELP: &str = "\
A bad frame is reported and the next one read, as long as it is known where that
begins; in hex, the rest of the line is left out.

The objects are one of
  {\"ok\":true,\"command\":\"ping\",\"payload_len\":8,\"reencoded\":\"1df7…\",…}
  {\"ok\":false,\"kind\":\"checksum\",\"error\":\"checksum of ping: …\",…}
`reencoded` is the frame made again from what was decoded; it is null for what
can be received but not sent, and then `encode_error` says why. `unknown` is
true for a command that is none of the protocol's. `offset` is where in its
stream the frame begins, `line` the line of a stream in hex. The decoded fields
follow: hashes and ids as people write them (reversed), other bytes as hex in
their order, unsigned 64-bit numbers as decimal strings, times in unix seconds.
Text is made safe to print, and cut when long; its bytes are next to it, as
`…_hex`.

Records of captures have before that `captured_at` in unix microseconds, as a
string, `peer`, and `what`: sent, received, connected, gone or refused; the last
three have a `text`.

The kinds of errors are
  of frames       oversize, network, command, type_limit, truncated_stream,
                  checksum
  of payloads     truncated, trailing, too_many, non_canonical, not_zero
  of lines        hex

Exit status: 0 when all that was shown is well; 1 when a frame was bad, with
--replay when the node could not be reached, did not take everything or went
away; 2 when it was called wrongly, or when something could not be read to its
end, or written. What comes before that is shown, or said.
";

/// Prints what kaspa peer-to-peer frames are
///
/// Reads FILE, or standard input when there is none or it is `-`: the raw bytes of one direction of a connection; hex with one stream a line (blanks within a line do not matter); or a capture of a node's peers, as the library records it and `--capture FILE` of the other subcommands. Which it is shows in the first bytes.
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub struct Options {
    /// The file to read
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// mainnet, testnet, regtest, simnet, devnet, or a magic number like 0xcafe0001; unless given, the public network of the first frame (in hex, of each line's first), or else mainnet
    #[arg(long, value_name = "NAME")]
    network: Option<Network>,
    /// Print one JSON object a frame, one a line, instead of text
    #[arg(long, conflicts_with = "replay")]
    json: bool,
    /// Of a capture, print only frames of these commands, separated by commas
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    command: Vec<Command>,
    /// Of a capture, print only what has to do with the peer of this id
    #[arg(long, value_name = "N")]
    peer: Option<u64>,
    /// Of a capture, print only what is so much later than its first record
    #[arg(long, value_name = "SECONDS", value_parser = options::seconds, allow_negative_numbers = true)]
    since: Option<Duration>,
    /// Shake hands with the node at ADDR and send it what one side of a capture sent, except version, verack, ping and pong; what comes back is printed as text
    #[arg(long, value_name = "ADDR")]
    replay: Option<String>,
    /// Which side to replay, what was `sent` (the default) or what was `received`, of the first peer unless --peer says which
    #[arg(long, value_name = "SIDE", requires = "replay")]
    side: Option<Side>,
}

pub fn run(mut options: Options) -> ExitCode {
    options.file = options.file.filter(|file| file != Path::new("-"));
    let mut report = Report { out: BufWriter::new(io::stdout().lock()), json: options.json, bad: false };
    match inspect(&options, &mut report) {
        Err(Failure::Read(error)) => {
            let file = options.file.as_deref().unwrap_or(Path::new("standard input"));
            eprintln!("kpeer inspect: {}: {error}", file.display());
            ExitCode::from(2)
        }
        Err(Failure::Node(error)) => {
            eprintln!("kpeer inspect: {error}");
            ExitCode::FAILURE
        }
        Err(Failure::Write(error)) if error.kind() != io::ErrorKind::BrokenPipe => {
            eprintln!("kpeer inspect: {error}");
            ExitCode::from(2)
        }
        _ => ExitCode::from(u8::from(report.bad)),
    }
}

enum Failure {
    Read(io::Error),
    Write(io::Error),
    /// There is no node to say it to.
    Node(Box<dyn Error + Send + Sync>),
}

fn inspect<W: Write>(options: &Options, report: &mut Report<W>) -> Result<(), Failure> {
    let filter =
        Filter { commands: options.command.clone(), peer: options.peer, since: options.since.unwrap_or_default() };
    let mut input: Box<dyn Read + Send> = match &options.file {
        Some(file) => Box::new(File::open(file).map_err(Failure::Read)?),
        None => Box::new(io::stdin()),
    };
    let mut start = Vec::new();
    input.by_ref().take(HEADER_SIZE as u64).read_to_end(&mut start).map_err(Failure::Read)?;
    if start.starts_with(capture::MAGIC) {
        let records = Records::new(BufReader::new(start.chain(input)), filter);
        let records = records.map_err(Failure::Read)?;
        return match &options.replay {
            None => capture::show(records, report),
            Some(address) => {
                let side = options.side.unwrap_or(Side::Sent);
                replay::replay(records, address, side, &mut report.out).map(|heard| report.bad |= !heard)
            }
        };
    }
    if filter.is_set() || options.replay.is_some() || options.side.is_some() {
        let error = "not a capture, which --command, --peer, --since, --replay and --side are for";
        return Err(Failure::Read(io::Error::new(io::ErrorKind::InvalidInput, error)));
    }
    // The last byte of a length that is allowed is no text, so a header cannot be mistaken for hex.
    let is_text = start.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace());
    let network = options.network.unwrap_or_else(|| network_of(&start));
    let input = BufReader::new(start.chain(input));
    if is_text {
        inspect_lines(input, options.network, report)
    } else {
        inspect_stream(Frames::new(input, network), report)
    }
}

fn inspect_stream<R: Read, W: Write>(mut frames: Frames<R>, report: &mut Report<W>) -> Result<(), Failure> {
    while let Some(found) = frames.next_frame().map_err(Failure::Read)? {
        report.show(&found).map_err(Failure::Write)?;
        if !found.is_followed() {
            break;
        }
    }
    Ok(())
}

fn inspect_lines<R: BufRead, W: Write>(
    mut input: R,
    network: Option<Network>,
    report: &mut Report<W>,
) -> Result<(), Failure> {
    let mut digits = Vec::new();
    for line in 1.. {
        digits.clear();
        if input.read_until(b'\n', &mut digits).map_err(Failure::Read)? == 0 {
            break;
        }
        digits.retain(|digit| !digit.is_ascii_whitespace());
        let bytes = match hex::decode(&digits) {
            Ok(bytes) => bytes,
            Err(error) => {
                report.show(&Found::not_hex(line, error)).map_err(Failure::Write)?;
                continue;
            }
        };
        let network = network.unwrap_or_else(|| network_of(&bytes));
        let mut frames = Frames::new(bytes.as_slice(), network).of_line(line);
        while let Some(found) = frames.next_frame().map_err(Failure::Read)? {
            report.show(&found).map_err(Failure::Write)?;
            if found.content.is_err() {
                break;
            }
        }
    }
    Ok(())
}

/// Shows frames, and remembers whether one was bad.
struct Report<W> {
    out: W,
    json: bool,
    bad: bool,
}

impl<W: Write> Report<W> {
    fn show(&mut self, found: &Found) -> io::Result<()> {
        self.bad |= found.content.is_err();
        if self.json {
            json::write(&mut self.out, found)?
        } else {
            text::write(&mut self.out, found)?
        }
        // What comes in as it happens is shown as it happens.
        self.out.flush()
    }
}
