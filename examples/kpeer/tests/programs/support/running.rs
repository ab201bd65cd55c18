//! A program that runs while the test goes on, and nodes that the test plays by hand.

use kaspa_peer::wire::*;
use parking_lot::{Condvar, Mutex};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command as Program, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// Longer than anything here takes on a busy machine. A test that waits this long fails.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// A program that is killed when this is dropped.
pub struct Running {
    child: Child,
    said: Arc<Said>,
}

#[derive(Default)]
struct Said {
    lines: Mutex<Lines>,
    more: Condvar,
}

#[derive(Default)]
struct Lines {
    out: Vec<String>,
    err: String,
    /// How many of the two have ended.
    ended: usize,
}

/// The output of a program that has ended.
#[derive(Debug)]
pub struct Ended {
    pub status: i32,
    pub out: Vec<String>,
    pub err: String,
}

impl Running {
    pub fn start(name: &str, arguments: &[&str]) -> Self {
        let mut child = super::kpeer(name)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let said = Arc::new(Said::default());
        let (out, mut err) = (BufReader::new(child.stdout.take().unwrap()), child.stderr.take().unwrap());
        let to = Arc::clone(&said);
        thread::spawn(move || {
            // `lines` would remove a carriage return.
            for line in out.split(b'\n') {
                let line = String::from_utf8(line.unwrap()).unwrap();
                to.change(|lines| lines.out.push(line));
            }
            to.change(|lines| lines.ended += 1);
        });
        let to = Arc::clone(&said);
        thread::spawn(move || {
            let mut text = String::new();
            err.read_to_string(&mut text).unwrap();
            to.change(|lines| {
                lines.err = text;
                lines.ended += 1;
            });
        });
        Self { child, said }
    }

    /// `listen` on a free port, and its address.
    pub fn listen(arguments: &[&str]) -> (Self, String) {
        let listen = Self::start("listen", &[&["127.0.0.1:0", "--json"], arguments].concat());
        let object = listen.event("listening", |_| true);
        (listen, object["address"].as_str().unwrap().to_owned())
    }

    /// The first line for which `wanted` returns something.
    pub fn line<T>(&self, what: &str, mut wanted: impl FnMut(&str) -> Option<T>) -> T {
        self.wait(what, |lines| lines.out.iter().find_map(|line| wanted(line)))
    }

    /// The first event of this name that is `wanted`, of a program with `--json`.
    pub fn event(&self, name: &str, mut wanted: impl FnMut(&Value) -> bool) -> Value {
        self.line(name, |line| {
            let object = object(line);
            (object["event"] == name && wanted(&object)).then_some(object)
        })
    }

    /// The id of the process.
    #[cfg(target_os = "linux")]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it has ended without help.
    pub fn end(mut self) -> Ended {
        self.wait("the end", |lines| (lines.ended == 2).then_some(()));
        let status = self.child.wait().unwrap().code().unwrap();
        let lines = self.said.lines.lock();
        Ended { status, out: lines.out.clone(), err: lines.err.clone() }
    }

    /// Sends the signal of Ctrl-C.
    #[cfg(unix)]
    pub fn interrupt(&self) {
        self.signal("INT");
    }

    /// Sends a signal.
    #[cfg(unix)]
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Program::new("sh").args(["-c", "kill -\"$1\" \"$0\"", &pid, name]).status().unwrap().success());
    }

    fn wait<T>(&self, what: &str, mut ready: impl FnMut(&Lines) -> Option<T>) -> T {
        let deadline = Instant::now() + DEADLINE;
        let mut lines = self.said.lines.lock();
        loop {
            if let Some(found) = ready(&lines) {
                return found;
            }
            let timed_out = self.said.more.wait_until(&mut lines, deadline).timed_out();
            assert!(!timed_out, "not within {DEADLINE:?}: {what}; got {:#?}\n{}", lines.out, lines.err);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Said {
    fn change(&self, change: impl FnOnce(&mut Lines)) {
        change(&mut self.lines.lock());
        self.more.notify_all();
    }
}

impl Ended {
    /// The events of this name. Every line must be JSON.
    pub fn events(&self, name: &str) -> Vec<Value> {
        self.out.iter().map(|line| object(line)).filter(|object| object["event"] == name).collect()
    }
}

/// Runs a program to its end, however long that takes.
pub fn run_without_deadline(name: &str, arguments: &[&str]) -> Ended {
    let output = super::kpeer(name).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let out = text(output.stdout).lines().map(str::to_owned).collect();
    Ended { status: output.status.code().unwrap(), out, err: text(output.stderr) }
}

/// Runs a program to its end.
pub fn run(name: &str, arguments: &[&str]) -> Ended {
    Running::start(name, arguments).end()
}

fn object(line: &str) -> Value {
    let object: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    assert!(object["event"].is_string(), "{line}");
    object
}

/// One end of a connection to a program, played by the test.
pub struct Played {
    pub stream: TcpStream,
    messages: MessageReader<TcpStream>,
    network: Network,
}

impl Played {
    pub fn new(stream: TcpStream, network: Network) -> Self {
        // A read that takes longer fails the test.
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let messages = MessageReader::new(stream.try_clone().unwrap(), network);
        Self { stream, messages, network }
    }

    /// Dials a program.
    pub fn dial(address: &str, network: Network) -> Self {
        Self::new(TcpStream::connect(address).unwrap(), network)
    }

    /// Waits for a program that dials, and does the handshake.
    pub fn accept(listener: &TcpListener, version: &Version, network: Network) -> Self {
        let mut played = Self::new(listener.accept().unwrap().0, network);
        played.expect::<Version>();
        played.send(version);
        played.send(&VerAck);
        played.expect::<VerAck>();
        played
    }

    /// Sends a message. If the program has disconnected, the next read fails.
    pub fn send<M: Encode>(&mut self, message: &M) {
        let _ = write_message(&mut self.stream, message, self.network);
    }

    /// The next message; `None` if the program has disconnected.
    pub fn next(&mut self) -> Option<Message> {
        self.messages.read_message().unwrap_or_default()
    }

    /// The next message of this type; others are ignored.
    pub fn expect<T: Payload>(&mut self) -> T {
        loop {
            let message = self.next().unwrap_or_else(|| panic!("disconnected before {}", T::COMMAND));
            if let Ok(payload) = T::try_from(message) {
                return payload;
            }
        }
    }
}
