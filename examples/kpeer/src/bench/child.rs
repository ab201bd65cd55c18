//! The processes that this program starts itself, so that what is measured is alone in its process.
//!
//! A child prints one line when it is ready or done, and ends when its standard input does.

use super::kinds::idle;
use super::{Plan, Result};
use kaspa_peer::wire::{Command, FrameDecoder, Message, Network, VerAck, Version, write_message};
use std::io::{self, BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{self, Stdio};
use std::{env, thread};

/// What one can be.
pub const ROLES: [&str; 3] = ["sink", "idle-library", "idle-floor"];

/// A running child.
pub struct Child {
    process: process::Child,
    /// What it said.
    pub line: String,
}

impl Child {
    /// Starts one, and waits for its line.
    pub fn start(role: &str, more: &[String]) -> Result<Self> {
        let mut process = process::Command::new(env::current_exe()?)
            .args(["bench", "--role", role])
            .args(more)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let out = process.stdout.take().ok_or("a child without output")?;
        let mut child = Self { process, line: String::new() };
        BufReader::new(out).read_line(&mut child.line)?;
        if child.line.is_empty() { Err("a child failed".into()) } else { Ok(child) }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A child that shakes hands with whoever connects and swallows what they send.
pub struct Sink {
    pub address: SocketAddr,
    _child: Child,
}

impl Sink {
    pub fn start() -> Result<Self> {
        let child = Child::start("sink", &[])?;
        Ok(Self { address: child.line.trim().parse()?, _child: child })
    }
}

/// The child's side.
pub fn run(role: &str, plan: &Plan) -> Result<()> {
    match role {
        "sink" => {
            let listener = TcpListener::bind("127.0.0.1:0")?;
            println!("{}", listener.local_addr()?);
            thread::spawn(move || swallow(&listener));
        }
        _ => println!("{}", idle::measure(role, plan)?),
    }
    // The parent says nothing, until it goes.
    io::copy(&mut io::stdin().lock(), &mut io::sink())?;
    Ok(())
}

fn swallow(listener: &TcpListener) {
    for stream in listener.incoming() {
        let result = stream.map_err(Into::into).and_then(|stream| {
            thread::Builder::new().stack_size(64 * 1024).spawn(move || {
                // Whoever went away is not missed.
                let _ = greet(&stream).and_then(|()| drain(&stream));
            })?;
            Ok(())
        });
        if let Err(error) = result as Result<()> {
            eprintln!("kpeer bench: sink: {error}");
        }
    }
}

/// A node's half of the handshake, as the one that was dialled; any other first message is swallowed.
fn greet(mut stream: &TcpStream) -> Result<()> {
    let mut decoder = FrameDecoder::new(Network::Simnet);
    while decoder.read_from(&mut stream)? > 0 {
        while let Some(frame) = decoder.next_frame()? {
            match frame.command() {
                Command::Version => {
                    if let Message::Version(theirs) = frame.decode()? {
                        let ours = Version { nonce: theirs.nonce.wrapping_add(1), ..*theirs };
                        write_message(&mut stream, &ours, Network::Simnet)?;
                        write_message(&mut stream, &VerAck, Network::Simnet)?;
                    }
                }
                _ => return Ok(()),
            }
        }
    }
    Ok(())
}

fn drain(mut stream: &TcpStream) -> Result<()> {
    let mut one = [0];
    // The buffer is for those who send more.
    if stream.read(&mut one)? == 0 {
        return Ok(());
    }
    let mut buffer = vec![0; 64 * 1024];
    while stream.read(&mut buffer)? > 0 {}
    Ok(())
}
