//! `kpeer inspect`: prints the frames in a file or on standard input.
//!
//! `frames` reads the frames of a stream, `capture` the records of a capture. `json` and `text` print them, `replay` sends them
//! again, `export` and `pcapng` write them for Wireshark. `packets`, `tcp`, `stream`, `held` and `connections` make records
//! from the packets of a pcapng or pcap file.

mod capture;
mod connections;
mod export;
mod frames;
mod held;
mod json;
mod packets;
mod pcapng;
mod replay;
mod stream;
mod tcp;
mod text;

use crate::options;
use capture::{Filter, Records};
use clap::Args;
use connections::Connections;
use frames::{Found, Frames, network_of};
use kaspa_peer::wire::{Command, HEADER_SIZE, Network};
use packets::Segments;
use replay::Side;
use std::error::Error;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use text::count;

const HELP: &str = "\
A bad frame is reported, and the next one is read if it is known where it
begins. In hex, the rest of the line is left out.

The objects are one of
  {\"ok\":true,\"command\":\"ping\",\"payload_len\":8,\"reencoded\":\"1df7…\",…}
  {\"ok\":false,\"kind\":\"checksum\",\"error\":\"checksum of ping: …\",…}
`reencoded` is the decoded message, encoded again. It is null for a message that
can be received but not sent; then `encode_error` has the reason. `unknown` is
true for a command that the protocol does not have. `offset` is the position of
the frame in its stream, `line` the line of a stream in hex. The decoded fields
follow: hashes and ids as people write them (reversed), other bytes as hex in
their order, unsigned 64-bit numbers as decimal strings, times in unix seconds.
Text is made safe to print, and cut if it is long; its bytes are next to it, as
`…_hex`.

The records of captures have three fields before those: `captured_at` in unix
microseconds (a string), `peer`, and `what`: sent, received, connected, gone,
refused or missing. The last four have a `text`.

The kinds of errors are
  of frames       oversize, network, command, type_limit, truncated_stream,
                  checksum
  of payloads     truncated, trailing, too_many, non_canonical, not_zero
  of lines        hex

A pcapng or pcap file is what tcpdump records with a filter such as `port
16111`. Each TCP connection with kaspa frames becomes a peer. Segments that
were sent again or arrived out of order are put in order. Bytes that were not
captured are reported, and reading goes on with the next frame. If the file
does not tell the direction of packets, the side that dialled is this side. The
last line (with --json an object with `what` summary) counts what is not shown.

--pcap makes up the packets, since a capture has only frames. Addresses that it
does not have are 192.0.2.1, 198.51.100.x and 2001:db8::1.

Exit status: 0 if everything that was shown is well-formed; 1 if the input is
empty, a frame was bad, bytes were not captured, or no record matches; with
--replay also 1 if the node could not be reached, did not take everything or
disconnected; 2 if the call was wrong, or something could not be read to its
end, or written.
Everything before that is shown, sent or written.
";

/// Prints what kaspa peer-to-peer frames are
///
/// Reads FILE, or standard input if there is none or it is `-`: the raw bytes of one direction of a connection; hex with one stream per line (blanks within a line do not matter); a capture of a node's peers, as the library and `--capture FILE` of the other subcommands record it; or a pcapng or pcap file, as tcpdump and Wireshark record it. The first bytes tell which of them it is.
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub struct Options {
    /// The file to read
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// mainnet, testnet, regtest, simnet, devnet, or a magic number like 0xcafe0001; unless given, the public network of the first frame (in hex, of the first frame of each line), or mainnet
    #[arg(long, value_name = "NAME")]
    network: Option<Network>,
    /// Print one JSON object per frame and line instead of text
    #[arg(long, conflicts_with_all = ["replay", "pcap"])]
    json: bool,
    /// Of a capture, print only frames of these commands, separated by commas
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    command: Vec<Command>,
    /// Of a capture, print only the records of the peer with this id
    #[arg(long, value_name = "N")]
    peer: Option<u64>,
    /// Of a capture, print only records that are at least this much later than the first
    #[arg(long, value_name = "SECONDS", value_parser = options::seconds, allow_negative_numbers = true)]
    since: Option<Duration>,
    /// Write the records of a capture to OUT instead, as TCP connections in a pcapng file for Wireshark and tshark
    #[arg(long, value_name = "OUT", conflicts_with = "replay")]
    pcap: Option<PathBuf>,
    /// Connect to the node at ADDR and send it the frames that one side of a capture sent, except version, verack, ping and pong; print its messages as text
    #[arg(long, value_name = "ADDR")]
    replay: Option<String>,
    /// The side to replay: the frames that were `sent` (the default) or `received`, of the first peer unless --peer is given
    #[arg(long, value_name = "SIDE", requires = "replay")]
    side: Option<Side>,
}

pub fn run(mut options: Options) -> ExitCode {
    options.file = options.file.filter(|file| file != Path::new("-"));
    let mut report = Report { out: BufWriter::new(io::stdout().lock()), json: options.json, bad: false };
    let file = options.file.as_deref().unwrap_or(Path::new("standard input")).display();
    match inspect(&options, &mut report) {
        Ok(Some((0, read))) => {
            eprintln!("kpeer inspect: {file}: 0 of {read} records match");
            ExitCode::FAILURE
        }
        Ok(_) => ExitCode::from(u8::from(report.bad)),
        Err(Failure::Empty) => {
            eprintln!("kpeer inspect: {file}: there is nothing to inspect: the input is empty");
            ExitCode::FAILURE
        }
        Err(Failure::Read(error)) => {
            eprintln!("kpeer inspect: {file}: {error}");
            ExitCode::from(2)
        }
        Err(Failure::Node(error)) => {
            eprintln!("kpeer inspect: {error}");
            ExitCode::FAILURE
        }
        Err(Failure::Out(error)) => {
            eprintln!("kpeer inspect: {error}");
            ExitCode::from(2)
        }
        // The reader of a pipe has seen enough.
        Err(Failure::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::from(u8::from(report.bad)),
        Err(Failure::Write(error)) => {
            eprintln!("kpeer inspect: standard output: {error}");
            ExitCode::from(2)
        }
    }
}

enum Failure {
    /// The input has no byte.
    Empty,
    /// The input cannot be read.
    Read(io::Error),
    /// Standard output cannot be written.
    Write(io::Error),
    /// Another file cannot be written: its option, its name, and the reason.
    Out(String),
    /// The node cannot be reached.
    Node(Box<dyn Error + Send + Sync>),
}

/// A failure with the file of an option.
fn in_file(option: &str, file: &Path, error: io::Error) -> Failure {
    Failure::Out(format!("{option} {}: {error}", file.display()))
}

/// Returns how many records a filter took and of how many; `None` without a filter.
fn inspect<W: Write>(options: &Options, report: &mut Report<W>) -> Result<Option<(u64, u64)>, Failure> {
    let filter =
        Filter { commands: options.command.clone(), peer: options.peer, since: options.since.unwrap_or_default() };
    let mut input: Box<dyn Read + Send> = match &options.file {
        Some(file) => Box::new(File::open(file).map_err(Failure::Read)?),
        None => Box::new(io::stdin()),
    };
    let mut start = Vec::new();
    input.by_ref().take(HEADER_SIZE as u64).read_to_end(&mut start).map_err(Failure::Read)?;
    if start.is_empty() {
        return Err(Failure::Empty);
    }
    if start.starts_with(capture::MAGIC) {
        let input = BufReader::new(io::Cursor::new(start).chain(input));
        let records = Records::of_capture(Box::new(input), filter).map_err(Failure::Read)?;
        return inspect_records(records, options, report);
    }
    if packets::is_pcap(&start) {
        let segments = Segments::new(&start, input).map_err(|error| Failure::Read(capture::cut_off(error)))?;
        let records = Records::of_packets(Connections::new(segments, options.network), filter);
        return inspect_records(records, options, report);
    }
    if filter.is_set() || options.replay.is_some() || options.side.is_some() || options.pcap.is_some() {
        let error = "not a capture, which --command, --peer, --since, --pcap, --replay and --side are for";
        return Err(Failure::Read(io::Error::new(io::ErrorKind::InvalidInput, error)));
    }
    // The last byte of a length that is allowed is no text, so a header cannot be mistaken for hex.
    let is_text = start.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace());
    let network = options.network.unwrap_or_else(|| network_of(&start));
    let input = BufReader::new(start.chain(input));
    if is_text {
        inspect_lines(input, options.network, report)?;
    } else {
        inspect_stream(Frames::new(input, network), report)?;
    }
    Ok(None)
}

fn inspect_records<W: Write>(
    mut records: Records,
    options: &Options,
    report: &mut Report<W>,
) -> Result<Option<(u64, u64)>, Failure> {
    if let Some(address) = &options.replay {
        let side = options.side.unwrap_or(Side::Sent);
        let is_well = replay::replay(&mut records, address, side, &mut report.out)?;
        report.bad |= !is_well;
    } else if let Some(to) = &options.pcap {
        let written = export::export(&mut records, options.file.as_deref(), to)?;
        let (packets, connections) = (count(written.packets, "packet"), count(written.connections, "connection"));
        writeln!(report.out, "{packets} of {connections} written to {}", to.display())
            .and_then(|()| report.out.flush())
            .map_err(Failure::Write)?;
    } else {
        capture::show(&mut records, report)?;
    }
    Ok(records.filtered())
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

/// Prints frames, and remembers whether one was bad.
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
        // A stream that is read while it arrives is shown while it arrives.
        self.out.flush()
    }
}
