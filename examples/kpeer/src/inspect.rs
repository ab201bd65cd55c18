//! Says what the frames in a file or on standard input are; see `--help`.
//!
//! `frames` finds the frames in a stream, `capture` the records in a capture; `json` and `text` show them; `replay` says
//! them again.

mod capture;
#[path = "../shared/dial.rs"]
mod dial;
mod frames;
mod json;
mod replay;
mod text;

use capture::{Filter, Records};
use frames::{Found, Frames, network_of};
use kaspa_peer::wire::{HEADER_SIZE, Network};
use replay::Side;
use std::error::Error;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

const USAGE: &str = "\
Says what kaspa peer-to-peer frames are.

Usage: inspect [--network NAME] [--json] [FILE]
       inspect [--command NAME] [--peer N] [--since SECONDS] [--json] CAPTURE
       inspect … --replay ADDR [--side sent|received] CAPTURE

Reads FILE, or standard input when there is none or it is `-`: the raw bytes of
one direction of a connection; hex with one stream a line (blanks within a line
do not matter); or a capture of a node's peers, as the library records it and
`--capture FILE` of the other programs. Which it is shows in the first bytes.

Options:
  --network NAME  mainnet, testnet, regtest, simnet, devnet, or a magic number
                  like 0xcafe0001; unless given, the public network of the first
                  frame (in hex, of each line's first), or else mainnet
  --json          one JSON object a frame, one a line, instead of text

Of a capture, show only:
  --command NAME  frames of this command, or of several, parted by commas
  --peer N        what has to do with the peer of this id
  --since SECONDS what is so much later than the file's first record
and say it again:
  --replay ADDR   shake hands with the node at ADDR and send it what one side
                  said, but for version, verack, ping and pong; what comes back is
                  shown as text
  --side SIDE     which: what was `sent` (unless given) or what was `received`,
                  of the first peer unless --peer says which

  -h, --help      this

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

Records of captures have before that `captured_at` in unix microseconds, as a string,
`peer`, and `what`: sent, received, connected, gone or refused; the last three
have a `text`.

The kinds of errors are
  of frames       oversize, network, command, type_limit, truncated_stream,
                  checksum
  of payloads     truncated, trailing, too_many, non_canonical, not_zero
  of lines        hex

Exit status: 0 when all that was shown is well; 1 when a frame was bad, with --replay
when the node could not be reached, did not take everything or went away; 2 when it
was called wrongly, or when something could not be read to its end, or written. What
comes before that is shown, or said.
";

struct Options {
    network: Option<Network>,
    json: bool,
    filter: Filter,
    replay: Option<String>,
    side: Option<Side>,
    /// Standard input when there is none.
    file: Option<PathBuf>,
}

impl Options {
    /// `None` when help is wanted.
    fn from_args() -> Result<Option<Self>, lexopt::Error> {
        use lexopt::prelude::*;
        let filter = Filter::default();
        let mut options = Self { network: None, json: false, filter, replay: None, side: None, file: None };
        let mut file = None;
        let mut arguments = lexopt::Parser::from_env();
        while let Some(argument) = arguments.next()? {
            match argument {
                Short('h') | Long("help") => return Ok(None),
                Long("network") => options.network = Some(arguments.value()?.parse()?),
                Long("json") => options.json = true,
                Long("command") => {
                    for name in arguments.value()?.string()?.split(',') {
                        options.filter.commands.push(name.trim().parse().map_err(lexopt_error)?);
                    }
                }
                Long("peer") => options.filter.peer = Some(arguments.value()?.parse()?),
                Long("since") => {
                    let seconds = arguments.value()?.parse()?;
                    options.filter.since = Duration::try_from_secs_f64(seconds).map_err(lexopt_error)?;
                }
                Long("replay") => options.replay = Some(arguments.value()?.string()?),
                Long("side") => options.side = Some(arguments.value()?.parse()?),
                Value(value) if file.is_none() => file = Some(value),
                other => return Err(other.unexpected()),
            }
        }
        let (replays, sides) = (options.replay.is_some(), options.side.is_some());
        if (options.json && replays) || (sides && !replays) {
            return Err("--json is not for --replay, and --side is for nothing else".into());
        }
        options.file = file.filter(|file| file != "-").map(PathBuf::from);
        Ok(Some(options))
    }
}

fn lexopt_error(error: impl Error + Send + Sync + 'static) -> lexopt::Error {
    lexopt::Error::Custom(Box::new(error))
}

fn main() -> ExitCode {
    let mut options = match Options::from_args() {
        Ok(Some(options)) => options,
        Ok(None) => {
            // Whoever closes the pipe has read enough.
            let _ = io::stdout().write_all(USAGE.as_bytes());
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("inspect: {error}\nTry `inspect --help`.");
            return ExitCode::from(2);
        }
    };
    let mut report = Report { out: BufWriter::new(io::stdout().lock()), json: options.json, bad: false };
    match inspect(&mut options, &mut report) {
        Err(Failure::Read(error)) => {
            let file = options.file.as_deref().unwrap_or(Path::new("standard input"));
            eprintln!("inspect: {}: {error}", file.display());
            ExitCode::from(2)
        }
        Err(Failure::Node(error)) => {
            eprintln!("inspect: {error}");
            ExitCode::FAILURE
        }
        Err(Failure::Write(error)) if error.kind() != io::ErrorKind::BrokenPipe => {
            eprintln!("inspect: {error}");
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

fn inspect<W: Write>(options: &mut Options, report: &mut Report<W>) -> Result<(), Failure> {
    let mut input: Box<dyn Read + Send> = match &options.file {
        Some(file) => Box::new(File::open(file).map_err(Failure::Read)?),
        None => Box::new(io::stdin()),
    };
    let mut start = Vec::new();
    input.by_ref().take(HEADER_SIZE as u64).read_to_end(&mut start).map_err(Failure::Read)?;
    if start.starts_with(capture::MAGIC) {
        let records = Records::new(BufReader::new(start.chain(input)), std::mem::take(&mut options.filter));
        let records = records.map_err(Failure::Read)?;
        return match &options.replay {
            None => capture::show(records, report),
            Some(address) => {
                let side = options.side.unwrap_or(Side::Sent);
                replay::replay(records, address, side, &mut report.out).map(|heard| report.bad |= !heard)
            }
        };
    }
    if options.filter.is_set() || options.replay.is_some() || options.side.is_some() {
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
