//! Starting the three threads of a peer, or none.

use super::census::CENSUS;
use super::panic::catch_panic;
use super::shared::Shared;
use super::{Config, Direction, DisconnectReason, Halves, Peer, PeerAddress, StartError, Stream};
use super::{pinger, reader, threads, writer};
use crossbeam_channel::bounded;
use std::{
    io,
    sync::Arc,
    thread::{self, JoinHandle},
};

/// Callbacks run on these stacks; the peer itself needs a fraction.
const STACK_SIZE: usize = 256 * 1024;

type Body = Box<dyn FnOnce(Arc<Shared>) + Send>;

pub(super) fn start(
    stream: impl Stream,
    address: PeerAddress,
    direction: Direction,
    config: &Config,
) -> Result<Peer, StartError> {
    let place = CENSUS.enter()?;
    let halves = stream.split(writer::patience(config.settings().write_timeout)).map_err(StartError::Stream)?;
    let Halves { reader: source, writer: out, shutdown } = halves;
    let (alive, gone) = bounded(0);
    let (shared, ends) = Shared::new(config, direction, address, shutdown, gone);
    let shared = Arc::new(shared);
    let peer = Peer::counted(Arc::clone(&shared));

    let mut started_threads = shared.threads.start();
    let start = |name: &'static str, short: &str, body: Body| {
        let shared = Arc::clone(&shared);
        let thread = thread::Builder::new().name(format!("kpeer-{}-{short}", shared.id)).stack_size(STACK_SIZE);
        let body = move || {
            shared.key.adopt_thread();
            body(shared);
        };
        spawn(thread, body).map_err(|error| StartError::Thread { thread: name, error })
    };
    let pinger_bell = ends.pinger.clone();
    let pinger = move |shared: Arc<Shared>| {
        pinger::run(&shared, &pinger_bell);
        let own = shared.threads.join_others();
        // With the last share goes the program's listener, which may do as it likes when it is dropped.
        let _ = catch_panic(|| drop(shared));
        threads::leave(own);
        drop((alive, place));
    };
    let started = start("pinger", "ping", Box::new(pinger))
        .map(|thread| started_threads.push(thread))
        .and_then(|()| start("writer", "write", Box::new(move |shared| writer::run(&shared, out, &ends))))
        .map(|thread| started_threads.push(thread))
        // Last, since it calls the program back. The writer waits until it is there before it says anything: when a thread
        // cannot be started nobody has been told anything, neither the program nor the remote.
        .and_then(|()| start("reader", "read", Box::new(move |shared| reader::run(&shared, source))))
        .map(|thread| started_threads.push(thread));
    if started.is_err() {
        shared.end(DisconnectReason::Local);
    }
    drop(started_threads);
    if let Err(error) = started {
        shared.wait_until_gone();
        return Err(error);
    }
    Ok(peer)
}

fn spawn(thread: thread::Builder, body: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    #[cfg(test)]
    tests::spawn_fails()?;
    thread.spawn(body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Listener;
    use crate::wire::Message;
    use crate::wire::Network;
    use std::cell::Cell;
    use std::io::Read;
    use std::net::{TcpListener, TcpStream};
    use std::sync::atomic::{AtomicUsize, Ordering};

    thread_local! {
        /// How many threads can still be started from this one.
        static ROOM: Cell<usize> = const { Cell::new(usize::MAX) };
    }

    /// As if the process had too many.
    pub(super) fn spawn_fails() -> io::Result<()> {
        match ROOM.get() {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            room => {
                ROOM.set(room - 1);
                Ok(())
            }
        }
    }

    #[derive(Default)]
    struct Calls(AtomicUsize);

    impl Listener for Calls {
        fn on_message(&self, _: &Peer, _: &Message) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }

        fn on_disconnect(&self, _: &Peer, _: &DisconnectReason) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_thread_that_cannot_be_started_leaves_nothing_behind() {
        let door = TcpListener::bind("127.0.0.1:0").unwrap();
        for direction in [Direction::Inbound, Direction::Outbound] {
            for (room, missing) in ["pinger", "writer", "reader"].into_iter().enumerate() {
                let ours = TcpStream::connect(door.local_addr().unwrap()).unwrap();
                let (mut theirs, address) = door.accept().unwrap();
                let calls = Arc::new(Calls::default());
                let config = Config::builder(Network::Simnet).listener(calls.clone()).build().unwrap();
                ROOM.set(room);
                let result = start(ours, address.into(), direction, &config);
                ROOM.set(usize::MAX);
                assert!(matches!(result, Err(StartError::Thread { thread, .. }) if thread == missing), "{result:?}");
                drop(config);
                // Who was started had a share of the configuration, and is gone.
                assert_eq!(Arc::strong_count(&calls), 1, "{missing}, {direction}");
                assert_eq!(calls.0.load(Ordering::SeqCst), 0, "{missing}, {direction}");
                let mut told = Vec::new();
                theirs.read_to_end(&mut told).unwrap();
                assert!(told.is_empty(), "the remote was told {told:?}");
            }
        }
    }
}
