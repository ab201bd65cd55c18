//! The listener of subcommands that dial a node and want something of it. It answers what a node may request, and
//! passes all messages on through a channel.
//!
//! kaspad disconnects a remote that does not answer its requests. A client has no DAG, and its answers say so.

use crate::output::Output;
use crossbeam_channel::{Receiver, RecvTimeoutError, SendTimeoutError, Sender, bounded};
use kaspa_peer::wire::*;
use kaspa_peer::{DagView, DisconnectReason, Listener, Peer, QueueError};
use log::debug;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The number of messages that may wait in the channel before the peer reads no more. Each may be a block of 32 MiB.
pub const WAITING: usize = 4;

pub struct Client {
    /// `None` after the end of the connection, so that the receiver is disconnected after the last message.
    sender: Mutex<Option<Sender<Message>>>,
    output: Output,
    responses: Responses,
}

/// The items that the client does have, by the hash under which a node requests them.
pub type Responses = Arc<Mutex<HashMap<Hash, Message>>>;

/// The result of waiting for a message.
pub enum Received {
    Message(Message),
    Gone(DisconnectReason),
    /// No message arrived before the deadline.
    Silence,
}

impl Client {
    /// A client, and the channel of the messages that it receives. Dropping the receiver is allowed. `getseltip` is
    /// answered by the library, from the view that the configuration has.
    pub fn new(output: &Output, responses: &Responses) -> (Self, Receiver<Message>) {
        let (sender, receiver) = bounded(WAITING);
        let sender = Mutex::new(Some(sender));
        (Self { sender, output: output.clone(), responses: Arc::clone(responses) }, receiver)
    }

    /// Sends a message to the channel. Drops it if the connection ends while the channel is full.
    fn pass_on(&self, peer: &Peer, mut message: Message) {
        let Some(sender) = self.sender.lock().clone() else { return };
        while let Err(SendTimeoutError::Timeout(unsent)) = sender.send_timeout(message, Duration::from_millis(100)) {
            if peer.disconnect_reason().is_some() {
                return;
            }
            message = unsent;
        }
    }

    fn answer_get_data(&self, peer: &Peer, items: &[Inventory]) {
        let responses = self.responses.lock();
        let mut missing = Vec::new();
        for item in items {
            match responses.get(&item.hash) {
                Some(message) => note(peer, peer.queue_message(message)),
                None => missing.push(*item),
            }
        }
        if !missing.is_empty() {
            note(peer, peer.queue_message(&NotFound::from(missing)));
        }
    }
}

/// Logs that an answer was not queued. A callback must not wait for room, so a remote that does not read gets no
/// answer.
fn note<T>(peer: &Peer, result: Result<T, QueueError>) {
    if let Err(error) = result {
        debug!("{peer}: not answered: {error}");
    }
}

impl Listener for Client {
    fn on_message(&self, peer: &Peer, message: &Message) {
        self.output.message(peer, message);
        match message {
            Message::GetLocator(range) => note(peer, peer.push_locator([range.low])),
            Message::GetBlockInvs(_) => note(peer, peer.queue_message(&Inv::default())),
            Message::GetHeaders(_) => note(peer, peer.queue_message(&Headers::default())),
            Message::GetData(request) => self.answer_get_data(peer, &request.items),
            _ => {}
        }
        self.pass_on(peer, message.clone());
    }

    fn on_write(&self, peer: &Peer, command: Command, bytes: usize, error: Option<&io::Error>) {
        if error.is_none() {
            self.output.sent(peer, command, bytes);
        }
    }

    fn on_disconnect(&self, peer: &Peer, reason: &DisconnectReason) {
        self.output.disconnected(peer, reason);
        self.sender.lock().take();
    }
}

/// The view of a node that has only one block.
pub struct OnlyTip(pub Hash);

impl DagView for OnlyTip {
    fn selected_tip(&self) -> Hash {
        self.0
    }

    fn is_known(&self, block: &Hash) -> bool {
        *block == self.0
    }
}

/// Waits for the next message of the channel.
pub fn next(peer: &Peer, received: &Receiver<Message>, deadline: Instant) -> Received {
    match received.recv_deadline(deadline) {
        Ok(message) => Received::Message(message),
        Err(RecvTimeoutError::Timeout) => Received::Silence,
        // The client drops the sender when there is a reason.
        Err(RecvTimeoutError::Disconnected) => {
            Received::Gone(peer.disconnect_reason().unwrap_or(DisconnectReason::Local))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use kaspa_peer::Config;
    use std::net::{Shutdown, TcpListener, TcpStream};

    #[test]
    fn the_end_is_received_after_all_messages_that_can_wait() {
        let quiet = Output::new(false).with(crate::output::Detail::Little);
        let (client, received) = Client::new(&quiet, &Responses::default());
        let config = Config::builder(Network::Simnet).user_agent("test", "0.0.1").listener(client);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let peer = Peer::outbound(TcpStream::connect(address).unwrap(), address, &config.build().unwrap()).unwrap();
        let mut remote = listener.accept().unwrap().0;
        let Message::Version(ours) = read_message(&mut remote, Network::Simnet).unwrap() else {
            panic!("no version");
        };
        let theirs = Version { nonce: ours.nonce.wrapping_add(1), ..*ours };
        write_message(&mut remote, &theirs, Network::Simnet).unwrap();
        write_message(&mut remote, &VerAck, Network::Simnet).unwrap();
        peer.wait_for_handshake().unwrap();
        // The messages of the handshake wait in the channel, too.
        for min_fee in 2..i64::try_from(WAITING).unwrap() {
            write_message(&mut remote, &FeeFilter { min_fee }, Network::Simnet).unwrap();
        }
        remote.shutdown(Shutdown::Write).unwrap();
        let reason = peer.wait_for_disconnect().unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        for _ in 0..WAITING {
            assert!(matches!(next(&peer, &received, deadline), Received::Message(_)));
        }
        let Received::Gone(end) = next(&peer, &received, deadline) else { panic!("no end") };
        assert_eq!(end, reason);
    }
}
