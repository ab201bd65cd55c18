//! The processes that `bench` starts, so that one end is alone in its process.
//!
//! A child prints one line when it is ready or done, and ends when its standard input does.

use super::kinds::idle;
use super::receiver::{Serving, serve};
use super::{Plan, Result};
use kaspa_peer::wire::{Command, FrameDecoder, Message, Network, VerAck, Version, write_message};
use std::io::{self, BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{self, Stdio};
use std::{env, thread};

/// The roles of children.
pub const ROLES: [&str; 4] = ["sink", "acceptor", "idle-library", "idle-floor"];

/// A running child.
pub struct Child {
    process: process::Child,
    /// The line that it printed.
    pub line: String,
}

impl Child {
    /// Starts a child, and waits for its line.
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
        // An error means that it has ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A child that accepts connections.
pub struct Remote {
    pub address: SocketAddr,
    _child: Child,
}

impl Remote {
    /// It does its part of the handshake, and drops everything that it receives.
    pub fn sink() -> Result<Self> {
        Self::start("sink")
    }

    /// Its connections are peers of the library, or floors.
    pub fn acceptor() -> Result<Self> {
        Self::start("acceptor")
    }

    fn start(role: &str) -> Result<Self> {
        let child = Child::start(role, &[])?;
        Ok(Self { address: child.line.trim().parse()?, _child: child })
    }
}

/// Runs in the child.
pub fn run(role: &str, plan: &Plan) -> Result<()> {
    match role {
        "sink" | "acceptor" => {
            let listener = TcpListener::bind("127.0.0.1:0")?;
            println!("{}", listener.local_addr()?);
            let is_sink = role == "sink";
            thread::spawn(move || if is_sink { drop_all(&listener) } else { serve(&listener, &Serving::default()) });
        }
        _ => println!("{}", idle::measure(role, plan)?),
    }
    // The parent writes nothing: this ends when the parent does.
    io::copy(&mut io::stdin().lock(), &mut io::sink())?;
    Ok(())
}

fn drop_all(listener: &TcpListener) {
    for stream in listener.incoming() {
        let result = stream.map_err(Into::into).and_then(|stream| {
            thread::Builder::new().stack_size(64 * 1024).spawn(move || {
                // An error means that the remote has disconnected.
                let _ = handshake(&stream).and_then(|()| drain(&stream));
            })?;
            Ok(())
        });
        if let Err(error) = result as Result<()> {
            eprintln!("kpeer bench: sink: {error}");
        }
    }
}

/// The accepting side of a handshake. Any other first message is dropped.
fn handshake(mut stream: &TcpStream) -> Result<()> {
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
    // Most connections are idle, and need no buffer.
    if stream.read(&mut one)? == 0 {
        return Ok(());
    }
    let mut buffer = vec![0; 64 * 1024];
    while stream.read(&mut buffer)? > 0 {}
    Ok(())
}
