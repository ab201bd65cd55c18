//! What all of these programs can be told, and how they begin and end.

use crate::output::Output;
use kaspa_peer::peer::Capture;
use kaspa_peer::wire::{Network, Services, SubnetworkId};
use kaspa_peer::{Config, ConfigBuilder};
use std::error::Error;
use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Anything that ends a program early.
pub type Failure = Box<dyn Error + Send + Sync>;

/// What the options below look like in `--help`.
pub const NODE_OPTIONS: &str = "  \
  --network NAME     mainnet (unless given), testnet, regtest, simnet, devnet, or a
                     magic number like 0xcafe0001
  --services BITS    what to offer: a number, or 0x and hex digits
  --user-agent NAME  what to be called, NAME or NAME:VERSION
  --subnetwork HEX   be a partial node of this subnetwork, 40 hex digits
  --capture FILE     record all that is said there; `inspect` reads it
  --json             one JSON object an event, one a line, instead of text
  -h, --help         this
";

/// A capture that has grown to so many bytes takes no more.
const CAPTURE_LIMIT: u64 = 1 << 30;

/// The node to be.
#[derive(Clone)]
pub struct Node {
    pub network: Network,
    pub services: Option<Services>,
    pub user_agent: Option<String>,
    pub subnetwork: Option<SubnetworkId>,
    pub capture: Option<PathBuf>,
    pub json: bool,
}

impl Node {
    pub fn new() -> Self {
        Self {
            network: Network::Mainnet,
            services: None,
            user_agent: None,
            subnetwork: None,
            capture: None,
            json: false,
        }
    }

    /// Takes one of the options that all programs have.
    pub fn take(&mut self, option: String, arguments: &mut lexopt::Parser) -> Result<(), lexopt::Error> {
        use lexopt::ValueExt;
        match option.as_str() {
            "network" => self.network = arguments.value()?.parse()?,
            "services" => self.services = Some(arguments.value()?.parse_with(services)?),
            "user-agent" => self.user_agent = Some(arguments.value()?.parse()?),
            "subnetwork" => self.subnetwork = Some(arguments.value()?.parse()?),
            "capture" => self.capture = Some(arguments.value()?.into()),
            "json" => self.json = true,
            other => return Err(lexopt::Error::UnexpectedOption(format!("--{other}"))),
        }
        Ok(())
    }

    /// A configuration for it. `program` is what it is called unless the user said otherwise.
    pub fn builder(&self, program: &str, services: Services) -> io::Result<ConfigBuilder> {
        let name = self.user_agent.as_deref().unwrap_or(program);
        let (name, version) = name.split_once(':').unwrap_or((name, env!("CARGO_PKG_VERSION")));
        let builder = Config::builder(self.network)
            .user_agent(name, version, [""; 0])
            .services(self.services.unwrap_or(services))
            .subnetwork(self.subnetwork);
        Ok(match &self.capture {
            Some(file) => builder.capture(Capture::new(File::create(file)?, self.network, CAPTURE_LIMIT)?),
            None => builder,
        })
    }
}

fn services(text: &str) -> Result<Services, std::num::ParseIntError> {
    let bits = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    bits.map(Services::from_bits_retain)
}

/// A number of seconds, which need not be a whole one.
#[allow(dead_code)] // Not everybody measures time.
pub fn seconds(text: &str) -> Result<Duration, Failure> {
    // Longer than anybody waits, and still a time that a clock can reach.
    const LONGEST: Duration = Duration::from_secs(100 * 365 * 86400);
    Ok(Duration::try_from_secs_f64(text.parse()?)?.min(LONGEST))
}

/// Runs a program: 0 when it says so or help was wanted, 1 when it failed, 2 when it was called wrongly.
pub fn run<O>(
    program: &str,
    usage: &str,
    options: Result<Option<O>, lexopt::Error>,
    json: impl FnOnce(&O) -> bool,
    body: impl FnOnce(O, &Output) -> Result<bool, Failure>,
) -> ExitCode {
    match options {
        Ok(None) => {
            // Whoever closes the pipe has read enough.
            let _ = io::stdout().write_all(usage.replace("{NODE_OPTIONS}\n", NODE_OPTIONS).as_bytes());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{program}: {error}\nTry `{program} --help`.");
            ExitCode::from(2)
        }
        Ok(Some(options)) => {
            let output = Output::new(json(&options));
            match body(options, &output) {
                Ok(true) => ExitCode::SUCCESS,
                Ok(false) => ExitCode::FAILURE,
                Err(error) => {
                    output.failed(program, &error.to_string());
                    ExitCode::FAILURE
                }
            }
        }
    }
}
