//! `kpeer relay`: a hub that fetches once what one peer announces, and announces it to all the others.

use crate::dial::{self, DialOptions};
use crate::options::{Failure, NodeOptions};
use crate::output::{Output, Record};
use crate::{accept, interrupt};
use clap::Args;
use crossbeam_channel::RecvTimeoutError;
use hashlink::LinkedHashMap;
use kaspa_peer::wire::*;
use kaspa_peer::{DisconnectReason, Listener, Peer, QueueError};
use parking_lot::Mutex;
use std::{collections::HashMap, net::TcpListener, sync::Arc, thread, time::Duration};

const HELP: &str = "\
Offers SFNodeNetwork unless told otherwise. Checks nothing, keeps 64 MiB, takes
125 guests at a time. Ctrl-C ends it.

The objects of --json are connected, version, disconnected and failed as of
`listen`, {\"event\":\"listening\",\"address\":…}, {\"event\":\"goodbye\"}, every 10
seconds and last {\"event\":\"status\",\"peers\":3,\"relayed\":7,\"dropped\":0},
dropped being the slow ones.

Exit status: 0 after Ctrl-C, 1 when it could not go on, 2 when called wrongly.
";

/// Fetches once what one peer announces, announces it to all the others, and serves it
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub struct Options {
    /// Where to listen
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    listen: String,
    /// Dial this node; can be given more than once
    #[arg(long, value_name = "ADDR")]
    connect: Vec<String>,
    #[command(flatten)]
    dial: DialOptions,
    #[command(flatten)]
    pub node: NodeOptions,
}

/// How many bytes of transactions and blocks are kept, and how many of either are remembered as announced or kept.
const STORE_BYTES: usize = 64 << 20;
const MAX_ITEMS: usize = 20_000;

/// One listener for all peers. It keeps them, which is a cycle; that is broken when they go.
#[derive(Default)]
struct Hub {
    output: Output,
    peers: HashMap<u64, Peer>,
    /// What was announced and has not come, and the ids of who announced it; the first was asked. Oldest forgotten first.
    announced: LinkedHashMap<Inventory, Vec<u64>>,
    /// What came, encoded once and sent to whoever asks. Oldest forgotten first.
    store: LinkedHashMap<Inventory, Frame>,
    bytes: usize,
    relayed: u64,
    dropped: u64,
}

impl Hub {
    fn fetch(&mut self, peer: &Peer, mut items: Vec<Inventory>) {
        items.retain(|item| !self.store.contains_key(item));
        items.retain(|item| {
            let by = self.announced.entry(*item).or_insert_with(Vec::new);
            let is_again = by.contains(&peer.id());
            by.extend((!is_again).then_some(peer.id()));
            by.len() == 1 && !is_again
        });
        while self.announced.len() > MAX_ITEMS && self.announced.pop_front().is_some() {}
        items.chunks(50).for_each(|batch| self.judge(peer, peer.queue_message(&GetData::from(batch.to_vec()))));
    }

    /// Who does not have these, or has gone, is no longer asked for them, but the next that announced them.
    fn ask_others(&mut self, peer: &Peer, items: Vec<Inventory>) {
        for item in items {
            let Some(by) = self.announced.get_mut(&item) else { continue };
            let was_asked = by.first() == Some(&peer.id());
            by.retain(|id| *id != peer.id());
            match by.first().and_then(|next| self.peers.get(next)).cloned() {
                Some(next) if was_asked => self.judge(&next, next.queue_message(&GetData::from(vec![item]))),
                Some(_) => {}
                None => _ = self.announced.remove(&item),
            }
        }
    }

    /// Keeps what came, and tells everybody but who sent it.
    fn relay<M: Encode>(&mut self, from: &Peer, item: Inventory, message: &M) {
        self.announced.remove(&item);
        let frame = Frame::encode(message, from.config().network()).ok().filter(|_| !self.store.contains_key(&item));
        let Some(frame) = frame else { return };
        self.relayed += 1;
        self.bytes += frame.as_bytes().len();
        self.store.insert(item, frame);
        while (self.bytes > STORE_BYTES || self.store.len() > MAX_ITEMS)
            && let Some((_, oldest)) = self.store.pop_front()
        {
            self.bytes -= oldest.as_bytes().len();
        }
        let others: Vec<Peer> = self.peers.values().filter(|peer| peer.id() != from.id()).cloned().collect();
        others.iter().for_each(|peer| self.judge(peer, peer.queue_inventory(item)));
    }

    fn serve(&mut self, peer: &Peer, mut items: Vec<Inventory>) {
        items.retain(|item| {
            let frame = self.store.get(item).cloned();
            frame.map(|frame| self.judge(peer, peer.queue_frame(&frame))).is_none()
        });
        if !items.is_empty() {
            self.judge(peer, peer.queue_message(&NotFound::from(items)));
        }
    }

    /// The policy for slow peers: who has so much waiting that nothing more fits has to go.
    fn judge<T>(&mut self, peer: &Peer, result: Result<T, QueueError>) {
        if let Err(QueueError::Full { .. } | QueueError::InventoryFull { .. }) = result {
            self.dropped += u64::from(peer.disconnect_reason().is_none());
            peer.disconnect();
        }
    }

    fn status(&self) {
        let (peers, relayed, dropped) = (self.peers.len(), self.relayed, self.dropped);
        let record = Record::new("status").field("peers", peers).field("relayed", relayed).field("dropped", dropped);
        self.output.say(format_args!("{peers} peers, {relayed} relayed, {dropped} slow ones dropped"), record);
    }
}

struct Shared(Mutex<Hub>);

impl Listener for Shared {
    fn deliver(&self, peer: &Peer, message: Message) {
        let mut hub = self.0.lock();
        match message {
            Message::Version(version) => {
                hub.output.version(peer, &version);
                hub.peers.insert(peer.id(), peer.clone());
            }
            // A real node leaves who does not answer. The hub has no tip.
            Message::GetSelectedTip(_) => hub.judge(peer, peer.queue_message(&SelectedTip::default())),
            Message::Inv(inv) => hub.fetch(peer, inv.items),
            Message::NotFound(missing) => hub.ask_others(peer, missing.items),
            Message::Tx(tx) => hub.relay(peer, Inventory::tx(tx.id()), &tx),
            Message::Block(block) => hub.relay(peer, Inventory::block(block.hash()), &block),
            Message::GetData(wanted) => hub.serve(peer, wanted.items),
            _ => {}
        }
    }

    fn on_disconnect(&self, peer: &Peer, reason: &DisconnectReason) {
        let mut hub = self.0.lock();
        hub.peers.remove(&peer.id());
        let all = hub.announced.keys().copied().collect();
        hub.ask_others(peer, all);
        hub.output.disconnected(peer, reason);
    }
}

pub fn run(Options { listen, connect, dial, node }: Options, output: &Output) -> Result<bool, Failure> {
    let hub = Arc::new(Shared(Mutex::new(Hub { output: output.clone(), ..Hub::default() })));
    let builder = node.builder("relay", Services::NETWORK)?.shared_listener(hub.clone());
    let config = dial.configure(builder).build()?;
    let mut dialled = Vec::new();
    for address in connect {
        let (stream, address) = dial.dial(&address, node.network)?;
        dialled.push(Peer::outbound(stream, address, &config)?);
    }
    let listener = TcpListener::bind(dial::with_port(&listen, node.network))?;
    let address = listener.local_addr()?;
    let interrupted = interrupt::channel()?;
    output.say(format_args!("listening on {address}"), Record::new("listening").text("address", address));
    let guests = output.clone();
    // Ends with the process; the program owns the listening socket, not the library.
    thread::spawn(move || accept::accept("relay", &listener, &config, false, &guests));

    while interrupted.recv_timeout(Duration::from_secs(10)) == Err(RecvTimeoutError::Timeout) {
        hub.0.lock().status();
    }
    let peers: Vec<Peer> = hub.0.lock().peers.values().cloned().collect();
    output.say("saying goodbye", Record::new("goodbye"));
    peers.iter().for_each(Peer::disconnect);
    peers.iter().try_for_each(|peer| peer.wait_for_disconnect().map(drop))?;
    hub.0.lock().status();
    Ok(true)
}
