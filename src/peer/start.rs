//! Starting the three threads of a peer, or none.

use super::census::CENSUS;
use super::shared::Shared;
use super::{Config, Direction, DisconnectReason, Halves, Peer, PeerAddress, StartError, Stream};
use super::{pinger, reader, writer};
use crossbeam_channel::bounded;
use std::{sync::Arc, thread};

/// Callbacks run on these stacks; the peer itself needs a fraction.
const STACK_SIZE: usize = 256 * 1024;

type Body = Box<dyn FnOnce(&Arc<Shared>) + Send>;

pub(super) fn start(
    stream: impl Stream,
    address: PeerAddress,
    direction: Direction,
    config: &Config,
) -> Result<Peer, StartError> {
    let place = CENSUS.enter()?;
    let halves = stream.split(config.settings().write_timeout).map_err(StartError::Stream)?;
    let Halves { reader: source, writer: out, shutdown } = halves;
    let (alive, gone) = bounded(0);
    let (shared, ends) = Shared::new(config, direction, address, shutdown, gone);
    let shared = Arc::new(shared);
    let peer = Peer::counted(Arc::clone(&shared));

    // Locked until all are there, so that a callback that comes early and another thread that waits find them.
    let mut threads = shared.threads.lock();
    let spawn = |name: &'static str, short: &str, body: Body| {
        let (shared, alive, place) = (Arc::clone(&shared), alive.clone(), Arc::clone(&place));
        thread::Builder::new()
            .name(format!("kpeer-{}-{short}", shared.id))
            .stack_size(STACK_SIZE)
            .spawn(move || {
                shared.key.adopt_thread();
                body(&shared);
                drop((alive, place));
            })
            .map_err(|error| StartError::Thread { thread: name, error })
    };
    let pinger_bell = ends.pinger.clone();
    let started = spawn("pinger", "ping", Box::new(move |shared| pinger::run(shared, &pinger_bell)))
        .map(|thread| threads.push(thread))
        .and_then(|()| spawn("writer", "write", Box::new(move |shared| writer::run(shared, out, &ends))))
        .map(|thread| threads.push(thread))
        // Last, since all begins with it, our `version` included: when it cannot be started nobody has been told anything,
        // neither the program nor the remote.
        .and_then(|()| spawn("reader", "read", Box::new(move |shared| reader::run(shared, source))))
        .map(|thread| threads.push(thread));
    if let Err(error) = started {
        shared.end(DisconnectReason::Local);
        threads.drain(..).for_each(|thread| drop(thread.join()));
        return Err(error);
    }
    drop(threads);
    Ok(peer)
}
