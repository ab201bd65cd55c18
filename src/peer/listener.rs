//! The listener: the callbacks by which a peer reports to the program.

use super::disconnect::DisconnectReason;
use super::handle::Peer;
use crate::wire::{unboxed, *};
use std::io;
use std::sync::Arc;

macro_rules! listener {
    ($($variant:ident $type:ident $(in $box:ident)? $name:literal $limit:expr, $callback:ident, $doc:literal;)*) => {
        /// The callbacks by which a peer reports to the program. Every method has a default that does nothing, except
        /// [`deliver`](Self::deliver), whose default calls the methods for messages.
        ///
        /// A peer calls the methods for messages, [`on_handshake`](Self::on_handshake) and [`on_read`](Self::on_read)
        /// one after the other on its reader thread, in the order in which the messages arrived. While one of these
        /// callbacks runs, the peer reads nothing more from the remote. The peer calls [`on_write`](Self::on_write) on
        /// its writer thread, possibly while another callback runs on the reader thread. The peer calls
        /// [`on_disconnect`](Self::on_disconnect) last, after all other callbacks have returned.
        ///
        /// While a callback runs on the reader thread, the peer reads nothing, even if the remote sends. Therefore the
        /// time in callbacks extends the idle timeout, the frame timeout and the timeouts for answers ([stall
        /// rules](super::StallRule)). In total, callbacks can at most double each of these timeouts. They do not extend
        /// the handshake timeout and the write timeout.
        ///
        /// A callback may queue messages, disconnect, and clone the peer. A call that would wait for the callback's own
        /// peer returns an error. The library does not detect two mistakes:
        ///
        /// - A listener that stores a clone of a peer that it serves keeps the connection of this peer open, even if
        ///   the program drops all other handles.
        /// - If a callback of one peer waits for a second peer, and a callback of the second peer waits for the first,
        ///   both wait for ever.
        ///
        /// By default, each thread that runs callbacks has a stack of 256 KiB, see
        /// [`ConfigBuilder::stack_size`](super::ConfigBuilder::stack_size).
        ///
        /// If a method panics, its peer disconnects with [`DisconnectReason::CallbackPanicked`]. Nothing else is
        /// affected.
        ///
        /// One listener can serve any number of peers, and an `Arc` of it can be shared with the rest of the program.
        /// To give each connection a listener of its own, use [`Config::with_listener`](super::Config::with_listener).
        /// To receive messages in a loop instead of in callbacks, use [`events`](super::events()).
        ///
        /// ```
        /// use kaspa_peer::wire::{Hash, Inv, Inventory, Network};
        /// use kaspa_peer::{Config, Listener, Peer};
        /// use std::sync::{Arc, atomic::{AtomicUsize, Ordering}};
        /// # use std::net::{TcpListener, TcpStream};
        ///
        /// /// Counts announced inventory items.
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
        /// let config = Config::builder(Network::Simnet).listener(announced.clone()).build()?;
        /// # let other = Config::builder(Network::Simnet).build()?;
        /// # let server = TcpListener::bind("127.0.0.1:0")?;
        /// # let remote = Peer::outbound(TcpStream::connect(server.local_addr()?)?, server.local_addr()?, &other)?;
        /// # let (stream, from) = server.accept()?;
        /// let peer = Peer::inbound(stream, from, &config)?;
        /// # remote.queue_message(&Inv { items: vec![Inventory::tx(Hash::ZERO); 2] })?;
        /// # remote.queue_message(&Inv { items: vec![Inventory::block(Hash::ZERO)] })?;
        /// # remote.ping()?;
        /// // After the remote has announced two transactions and a block:
        /// assert_eq!(announced.0.load(Ordering::Relaxed), 3);
        /// # Ok::<(), Box<dyn std::error::Error>>(())
        /// ```
        #[allow(unused_variables)]
        pub trait Listener: Send + Sync + 'static {
            /// A message arrived. Called before the method of its type.
            fn on_message(&self, peer: &Peer, message: &Message) {}

            $(
                #[doc = concat!("`", $name, "` arrived. This message ", $doc)]
                fn $callback(&self, peer: &Peer, message: $type) {}
            )*

            /// A message arrived whose command this crate does not know.
            fn on_custom(&self, peer: &Peer, message: CustomMessage) {}

            /// The handshake is done: both sides have sent `version` and `verack`. Called once, after the callbacks of
            /// the remote's `verack` and before those of any later message. Never called if the handshake fails.
            fn on_handshake(&self, peer: &Peer) {}

            /// A frame was read. `frame` is the command of the frame, or the error if the frame is malformed. `bytes`
            /// is the size of the frame. Called before the methods for its message.
            ///
            /// If the connection ends in the middle of a frame that is refused, `bytes` is the size of the part that
            /// was read. For a frame that is [skipped](crate::OversizeFrames::Skip), this method is called when the
            /// whole frame has arrived. The sum of `bytes` is the number of received bytes in the
            /// [statistics](Peer::stats).
            fn on_read(&self, peer: &Peer, bytes: usize, frame: Result<Command, &FrameError>) {}

            /// A frame was written, or, if `error` is `Some`, writing the frame failed. `bytes` is the size of the
            /// frame. Called on the writer thread. While this callback runs, the peer writes nothing more to the
            /// remote.
            fn on_write(&self, peer: &Peer, command: Command, bytes: usize, error: Option<&io::Error>) {}

            /// Calls [`on_message`](Self::on_message), then the method of the message's type. Implement `deliver`
            /// instead of these methods if the listener takes every message by value, or passes every message on to
            /// another listener.
            fn deliver(&self, peer: &Peer, message: Message) {
                self.on_message(peer, &message);
                match message {
                    $(Message::$variant(message) => self.$callback(peer, unboxed!(message $(in $box)?)),)*
                    Message::Custom(message) => self.on_custom(peer, message),
                }
            }

            /// The connection has ended. Called once, after every other callback of this peer has returned.
            fn on_disconnect(&self, peer: &Peer, reason: &DisconnectReason) {}
        }

        listener!(@forward Arc $($type, $callback;)*);
        listener!(@forward Box $($type, $callback;)*);
    };
    (@forward $pointer:ident $($type:ident, $callback:ident;)*) => {
        impl<T: Listener + ?Sized> Listener for $pointer<T> {
            fn on_message(&self, peer: &Peer, message: &Message) {
                (**self).on_message(peer, message);
            }

            $(
                fn $callback(&self, peer: &Peer, message: $type) {
                    (**self).$callback(peer, message);
                }
            )*

            fn on_custom(&self, peer: &Peer, message: CustomMessage) {
                (**self).on_custom(peer, message);
            }

            fn on_handshake(&self, peer: &Peer) {
                (**self).on_handshake(peer);
            }

            fn on_read(&self, peer: &Peer, bytes: usize, frame: Result<Command, &FrameError>) {
                (**self).on_read(peer, bytes, frame);
            }

            fn on_write(&self, peer: &Peer, command: Command, bytes: usize, error: Option<&io::Error>) {
                (**self).on_write(peer, command, bytes, error);
            }

            fn deliver(&self, peer: &Peer, message: Message) {
                (**self).deliver(peer, message);
            }

            fn on_disconnect(&self, peer: &Peer, reason: &DisconnectReason) {
                (**self).on_disconnect(peer, reason);
            }
        }
    };
}

for_each_message!(listener);

/// A listener that does nothing.
impl Listener for () {}
