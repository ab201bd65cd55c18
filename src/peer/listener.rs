//! Callbacks: what a peer tells the program.

use super::{DisconnectReason, Peer};
use crate::wire::{unboxed, *};
use std::io;

macro_rules! listener {
    ($($variant:ident $type:ident $(in $box:ident)? $name:literal $limit:expr, $hook:ident, $doc:literal;)*) => {
        /// What a peer tells the program. Every method has a default that does nothing; implement those of interest.
        ///
        /// The methods for messages and [`on_read`](Self::on_read) run one after the other on the peer's reader thread,
        /// in the order in which things arrived: while one runs, nothing more is read from that remote, and no deadline
        /// of its is counted but that of the handshake and the write timeout. [`on_write`](Self::on_write) runs on its writer thread, at the same time as those.
        /// [`on_disconnect`](Self::on_disconnect) is the last of all, when the others have returned.
        ///
        /// They may queue messages, disconnect, and keep clones of the peer; they cannot wait for their own peer (that
        /// is refused with an error). A listener that keeps a `Peer` whose configuration holds the listener makes a
        /// cycle, and two callbacks that wait for each other's peers wait for ever: neither is prevented.
        ///
        /// The threads have stacks of 256 KiB: what recurses deeply is for another one.
        ///
        /// A panic in a method ends the peer with [`DisconnectReason::CallbackPanicked`], and nothing else.
        ///
        /// One listener can serve any number of peers. Programs that prefer a loop use [`events`](super::events()).
        ///
        /// ```
        /// use kaspa_peer::wire::{Hash, Inv, Inventory, Network};
        /// use kaspa_peer::{Config, Listener, Peer};
        /// use std::sync::{Arc, atomic::{AtomicUsize, Ordering}};
        /// # use std::net::{TcpListener, TcpStream};
        ///
        /// /// Counts what is announced.
        /// #[derive(Default)]
        /// struct Announced(AtomicUsize);
        ///
        /// impl Listener for Announced {
        ///     fn on_inv(&self, _: &Peer, inv: Inv) {
        ///         self.0.fetch_add(inv.items.len(), Ordering::Relaxed);
        ///     }
        /// }
        ///
        /// let announced = Arc::new(Announced::default());
        /// let config = Config::builder(Network::Simnet).shared_listener(announced.clone()).build()?;
        /// # let other = Config::builder(Network::Simnet).build()?;
        /// # let door = TcpListener::bind("127.0.0.1:0")?;
        /// # let remote = Peer::outbound(TcpStream::connect(door.local_addr()?)?, door.local_addr()?, &other)?;
        /// # let (stream, from) = door.accept()?;
        /// let peer = Peer::inbound(stream, from, &config)?;
        /// # remote.queue_message(&Inv { items: vec![Inventory::tx(Hash::ZERO); 2] })?;
        /// # remote.queue_message(&Inv { items: vec![Inventory::block(Hash::ZERO)] })?;
        /// # remote.ping()?;
        /// // … when the remote has announced two transactions and a block:
        /// assert_eq!(announced.0.load(Ordering::Relaxed), 3);
        /// # Ok::<(), Box<dyn std::error::Error>>(())
        /// ```
        #[allow(unused_variables)]
        pub trait Listener: Send + Sync + 'static {
            /// Any message arrived. Called before the method of its type.
            fn on_message(&self, peer: &Peer, message: &Message) {}

            $(
                #[doc = concat!("`", $name, "` arrived: ", $doc)]
                fn $hook(&self, peer: &Peer, message: $type) {}
            )*

            /// A message arrived whose command this crate does not know.
            fn on_custom(&self, peer: &Peer, message: CustomMessage) {}

            /// A frame was read: how many bytes it took, and its type or what is wrong with it. Called before the
            /// message's own methods.
            fn on_read(&self, peer: &Peer, bytes: usize, frame: Result<Command, &FrameError>) {}

            /// A frame was written, `bytes` long, or not, because of `error`. Called on the peer's writer thread; while
            /// it runs, nothing more is written to that remote.
            fn on_write(&self, peer: &Peer, command: Command, bytes: usize, error: Option<&io::Error>) {}

            /// Hands the message to [`on_message`](Self::on_message), then to the method of its type. Implement it instead of
            /// those to take every message by value, or to pass each on to another listener.
            fn deliver(&self, peer: &Peer, message: Message) {
                self.on_message(peer, &message);
                match message {
                    $(Message::$variant(message) => self.$hook(peer, unboxed!(message $(in $box)?)),)*
                    Message::Custom(message) => self.on_custom(peer, message),
                }
            }

            /// The peer is gone. Called once, after every other call for this peer has returned.
            fn on_disconnect(&self, peer: &Peer, reason: &DisconnectReason) {}
        }
    };
}

for_each_message!(listener);

/// Listens to nothing.
impl Listener for () {}
