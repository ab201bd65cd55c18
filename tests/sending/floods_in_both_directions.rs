//! Both sides send much at the same time, and their callbacks queue answers. Neither side waits for the other without
//! end.

use crate::common::blocking::OnMessage;
use crate::common::frames::message_of_size;
use crate::common::{DEADLINE, builder, wait_until};
use kaspa_peer::testing::tcp_pair;
use kaspa_peer::wire::{Command, FeeFilter, Hash, Inv, Inventory, MAX_PAYLOAD, Message};
use kaspa_peer::{Config, Listener, Peer, QueueError, Receipt};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// A node that answers every custom message with `answer`, and the number of answers that it could not queue.
fn node(answer: impl Fn(&Peer) -> Result<Receipt, QueueError> + Send + Sync + 'static) -> (Config, Arc<AtomicUsize>) {
    let refused = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&refused);
    let listener = OnMessage(move |peer: &Peer, message: &Message| {
        if matches!(message, Message::Custom(_)) && answer(peer).is_err() {
            counted.fetch_add(1, Ordering::SeqCst);
        }
    });
    let builder = builder().max_custom_payload(u32::MAX).queue_limit(128 << 20).listener(listener);
    (builder.build().unwrap(), refused)
}

fn connect(out: &Config, inb: &Config) -> [Peer; 2] {
    let (dialled, accepted) = tcp_pair().unwrap();
    let (address, from) = (dialled.peer_addr().unwrap(), accepted.peer_addr().unwrap());
    let peers = [Peer::outbound(dialled, address, out).unwrap(), Peer::inbound(accepted, from, inb).unwrap()];
    peers.iter().for_each(|peer| peer.wait_for_handshake().unwrap());
    peers
}

fn received(peer: &Peer, command: Command) -> u64 {
    peer.stats().received.of(command).messages
}

#[test]
fn the_largest_message_in_both_directions_is_answered() {
    let answer = |peer: &Peer| peer.queue_message(&FeeFilter { min_fee: 1 });
    let ((out, refused_out), (inb, refused_in)) = (node(answer), node(answer));
    let peers = connect(&out, &inb);
    let largest = message_of_size(24 + MAX_PAYLOAD as usize);
    peers.iter().for_each(|peer| drop(peer.queue_message(&largest).unwrap()));
    for peer in &peers {
        wait_until("the answer", || received(peer, Command::FeeFilter) == 1 || peer.disconnect_reason().is_some());
        assert_eq!(peer.disconnect_reason(), None);
    }
    assert_eq!((refused_out.load(Ordering::SeqCst), refused_in.load(Ordering::SeqCst)), (0, 0));
}

#[test]
fn a_flood_in_both_directions_is_answered() {
    const COUNT: u64 = 150;
    let message = message_of_size(40_000);
    let answer = |peer: &Peer| peer.queue_message(&kaspa_peer::wire::FilterAdd { data: vec![7; 500] });
    let services = kaspa_peer::wire::Services::BLOOM;
    let node = || {
        let listener = OnMessage(move |peer: &Peer, message: &Message| {
            if matches!(message, Message::Custom(_)) {
                answer(peer).unwrap();
            }
        });
        builder().services(services).queue_limit(64 << 20).listener(listener).build().unwrap()
    };
    let peers = connect(&node(), &node());
    // Far more than the buffers of the sockets hold.
    for _ in 0..COUNT {
        peers.iter().for_each(|peer| drop(peer.queue_message(&message).unwrap()));
    }
    for peer in &peers {
        wait_until("the answers", || {
            let all = ["filler".parse().unwrap(), Command::FilterAdd].map(|command| received(peer, command));
            all == [COUNT; 2] || peer.disconnect_reason().is_some()
        });
        assert_eq!(peer.disconnect_reason(), None);
    }
}

/// Answers every custom message, and counts the answers that it could not queue.
struct Answers {
    answer: Inv,
    refused: Arc<AtomicUsize>,
    /// `true` if the writer blocks until an answer could not be queued, so that there is at least one.
    blocks_writer: bool,
}

impl Listener for Answers {
    fn on_message(&self, peer: &Peer, message: &Message) {
        if matches!(message, Message::Custom(_)) && peer.queue_message(&self.answer).is_err() {
            self.refused.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn on_write(&self, _: &Peer, command: Command, _: usize, _: Option<&io::Error>) {
        if self.blocks_writer && matches!(command, Command::Custom(_)) {
            wait_until("an answer does not fit into the queue", || self.refused.load(Ordering::SeqCst) > 0);
        }
    }
}

#[test]
fn answers_that_do_not_fit_into_the_queue_do_not_stop_reading() {
    const COUNT: u64 = 300;
    let message = message_of_size(40_000);
    let answer: Inv = (0..1000).map(|number| Inventory::tx(Hash::of(&[number as u8]))).collect();
    let refused = [Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0))];
    let [first, second] =
        refused.clone().map(|refused| Answers { answer: answer.clone(), refused, blocks_writer: false });
    let nodes = [Answers { blocks_writer: true, ..first }, second].map(|listener| {
        // The queue holds two messages, so that it is full most of the time.
        builder().queue_limit(100_000).high_water_mark(50_000).listener(listener).build().unwrap()
    });
    let peers = connect(&nodes[0], &nodes[1]);
    thread::scope(|scope| {
        for peer in &peers {
            scope.spawn(|| (0..COUNT).for_each(|_| drop(peer.send_message(&message, DEADLINE).unwrap())));
        }
    });
    for (peer, refused) in peers.iter().zip(refused.iter().rev()) {
        // The answers that this side received, and those that the other side could not queue.
        let answers = || received(peer, Command::Inv) + refused.load(Ordering::SeqCst) as u64;
        let all = || received(peer, "filler".parse().unwrap()) == COUNT && answers() == COUNT;
        wait_until("the answers", || all() || peer.disconnect_reason().is_some());
        assert_eq!(peer.disconnect_reason(), None);
    }
    assert!(refused[0].load(Ordering::SeqCst) > 0, "all answers fitted into the queue, so the test shows nothing");
}
