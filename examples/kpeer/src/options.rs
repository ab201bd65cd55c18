//! The options that all subcommands with peers have.

use clap::Args;
use kaspa_peer::peer::Capture;
use kaspa_peer::wire::{Network, Services, SubnetworkId};
use kaspa_peer::{Config, ConfigBuilder};
use std::error::Error;
use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

/// Any error that ends a subcommand.
pub type Failure = Box<dyn Error + Send + Sync>;

/// A capture takes no more records once it has this many bytes.
const CAPTURE_LIMIT: u64 = 1 << 30;

/// How this node presents itself, and how it prints.
#[derive(Args, Clone, Debug)]
pub struct NodeOptions {
    /// mainnet, testnet, regtest, simnet, devnet, or a magic number like 0xcafe0001
    #[arg(long, value_name = "NAME", default_value = "mainnet")]
    pub network: Network,
    /// The services to offer: a number, or 0x and hex digits
    #[arg(long, value_name = "BITS", value_parser = services)]
    pub services: Option<Services>,
    /// The name in our version message: NAME or NAME:VERSION
    #[arg(long, value_name = "NAME")]
    pub user_agent: Option<String>,
    /// Be a partial node of this subnetwork, 40 hex digits
    #[arg(long, value_name = "HEX")]
    pub subnetwork: Option<SubnetworkId>,
    /// Record every frame in FILE; `kpeer inspect` reads it
    #[arg(long, value_name = "FILE")]
    pub capture: Option<PathBuf>,
    /// Print one JSON object per event and line instead of text
    #[arg(long)]
    pub json: bool,
}

impl NodeOptions {
    /// Starts a configuration. `name` and `services` are used unless the user gave others.
    pub fn builder(&self, name: &str, services: Services) -> Result<ConfigBuilder, Failure> {
        let name = self.user_agent.as_deref().unwrap_or(name);
        let (name, version) = name.split_once(':').unwrap_or((name, env!("CARGO_PKG_VERSION")));
        let builder = Config::builder(self.network)
            .user_agent(name, version)
            .services(self.services.unwrap_or(services))
            .subnetwork(self.subnetwork);
        let Some(path) = &self.capture else { return Ok(builder) };
        let failed = |error| format!("--capture {}: cannot be created: {error}", path.display());
        let file = File::create(path).map_err(failed)?;
        Ok(builder.capture(Capture::new(file, self.network, CAPTURE_LIMIT).map_err(failed)?))
    }
}

fn services(text: &str) -> Result<Services, Failure> {
    let bits = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    bits.map(Services::from_bits_retain).map_err(|_| "not a number of 64 bits, decimal or 0x and hex digits".into())
}

/// Parses a number of seconds, which may have a fraction.
pub fn seconds(text: &str) -> Result<Duration, Failure> {
    // Adding much more to the current time fails.
    const LONGEST: f64 = 100.0 * 365.0 * 86400.0;
    match text.parse::<f64>() {
        Ok(seconds) if seconds < 0.0 => Err("a time must not be negative".into()),
        Ok(seconds) if seconds.is_finite() => Ok(Duration::try_from_secs_f64(seconds.min(LONGEST))?),
        _ => Err("not a number of seconds".into()),
    }
}

/// Parses a number of seconds that is at least `MILLISECONDS`.
pub fn seconds_from<const MILLISECONDS: u64>(text: &str) -> Result<Duration, Failure> {
    let least = Duration::from_millis(MILLISECONDS);
    let time = seconds(text)?;
    if time < least { Err(format!("must be at least {}", least.as_secs_f64()).into()) } else { Ok(time) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn times_that_make_no_sense_are_refused() {
        for (text, error) in [
            ("-1", "a time must not be negative"),
            ("-inf", "a time must not be negative"),
            ("nan", "not a number of seconds"),
            ("inf", "not a number of seconds"),
            ("soon", "not a number of seconds"),
        ] {
            assert_eq!(seconds(text).unwrap_err().to_string(), error, "{text}");
        }
        for text in ["0", "0.001"] {
            assert_eq!(seconds_from::<10>(text).unwrap_err().to_string(), "must be at least 0.01", "{text}");
        }
        assert_eq!(
            (seconds("0.5").unwrap(), seconds_from::<500>("0.5").unwrap()),
            (Duration::from_millis(500), Duration::from_millis(500))
        );
        assert!(seconds("1e300").is_ok());
    }
}
