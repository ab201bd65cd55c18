//! `kpeer`, a tool for the kaspa peer-to-peer protocol. `kpeer --help` lists its subcommands, each of which is a
//! module.

mod accept;
mod bench;
mod client;
mod connect;
mod crawl;
mod dag;
mod dag_file;
mod dial;
mod generated_dag;
mod genesis;
mod heap;
mod inspect;
mod interrupt;
mod listen;
mod options;
mod output;
mod progress;
mod relay;
mod soak;
mod socks5;
mod sync;

use clap::{Parser, Subcommand};
use options::Failure;
use output::Output;
use std::process::ExitCode;

/// A tool for the kaspa peer-to-peer protocol
#[derive(Parser)]
#[command(
    name = "kpeer",
    version,
    max_term_width = 80,
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Connect(connect::Options),
    Listen(listen::Options),
    Sync(sync::Options),
    Crawl(crawl::Options),
    Relay(relay::Options),
    Inspect(inspect::Options),
    Bench(bench::Options),
    Soak(soak::Options),
}

fn main() -> ExitCode {
    // Prints help, or the error in the arguments, and ends with status 2 in the latter case.
    match Arguments::parse().command {
        Command::Connect(options) => run("connect", options.node.json, |output| connect::run(options, output)),
        Command::Listen(options) => run_node("listen", options.node.json, |output| listen::run(options, output)),
        Command::Sync(options) => run("sync", options.node.json, |output| sync::run(options, output)),
        Command::Crawl(options) => run("crawl", options.node.json, |output| crawl::run(options, output)),
        Command::Relay(options) => run_node("relay", options.node.json, |output| relay::run(options, output)),
        Command::Inspect(options) => inspect::run(options),
        Command::Bench(options) => bench::run(options),
        Command::Soak(options) => soak::run(options),
    }
}

/// Runs a subcommand whose output waits for the reader.
fn run(name: &str, json: bool, body: impl FnOnce(&Output) -> Result<bool, Failure>) -> ExitCode {
    finish(name, &Output::new(json), body)
}

/// Runs a subcommand that goes on when nobody reads its output.
fn run_node(name: &str, json: bool, body: impl FnOnce(&Output) -> Result<bool, Failure>) -> ExitCode {
    match Output::of_node(json) {
        Ok(output) => finish(name, &output, body),
        Err(error) => finish(name, &Output::new(json), |_| Err(error.into())),
    }
}

/// The exit status is 0 if the body returns true, otherwise 1.
fn finish(name: &str, output: &Output, body: impl FnOnce(&Output) -> Result<bool, Failure>) -> ExitCode {
    let status = match body(output) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            output.failed(name, &error.to_string());
            ExitCode::FAILURE
        }
    };
    output.flush();
    status
}

/// Ends the process as clap does for wrong arguments: a message, the usage, and status 2.
fn wrong_usage(subcommand: &str, message: impl std::fmt::Display) -> ! {
    use clap::CommandFactory;
    let mut command = Arguments::command();
    command.build();
    let kind = clap::error::ErrorKind::ValueValidation;
    match command.find_subcommand_mut(subcommand) {
        Some(subcommand) => subcommand.error(kind, message).exit(),
        None => command.error(kind, message).exit(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn no_line_of_a_help_text_has_more_than_80_columns() {
        // clap breaks such lines, and their rest stands on a line of its own.
        let command = Arguments::command();
        let mut wide = Vec::new();
        for subcommand in command.get_subcommands() {
            let text = subcommand.get_after_help().unwrap().to_string();
            wide.extend(text.lines().filter(|line| line.chars().count() > 80).map(str::to_owned));
        }
        assert!(wide.is_empty(), "{wide:#?}");
    }
}
