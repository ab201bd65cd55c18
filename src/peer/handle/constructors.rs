//! The constructors of peers on connected streams. They connect the callbacks of a connection to the listener.

use crate::peer::address::{Direction, PeerAddress};
use crate::peer::config::Config;
use crate::peer::connection::{self, callbacks::Callbacks, program::Program, shared::Shared};
use crate::peer::disconnect::DisconnectReason;
use crate::peer::error::StartError;
use crate::peer::handle::Peer;
use crate::peer::listener::Listener;
use crate::peer::panic::drop_caught;
use crate::peer::stream::Stream;
use crate::wire::{Command, FrameError, Message, ParseError};
use std::{io, sync::Arc};

impl Peer {
    /// Starts a peer on a connection that the remote made.
    ///
    /// `address` is the remote's address, as `accept` returns it. The threads of the peer do the handshake; use
    /// [`wait_for_handshake`](Self::wait_for_handshake) to wait for it. Callbacks may run before this method returns,
    /// even the last callback, [`on_disconnect`](Listener::on_disconnect).
    ///
    /// ```
    /// use kaspa_peer::{Config, Peer, wire::Network};
    /// use std::net::TcpListener;
    ///
    /// let config = Config::builder(Network::Simnet).build()?;
    /// let server = TcpListener::bind("127.0.0.1:0")?;
    /// # let remote = std::net::TcpStream::connect(server.local_addr()?)?;
    /// let (stream, from) = server.accept()?;
    /// let peer = Peer::inbound(stream, from, &config)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`StartError`] if `address` is text that cannot be parsed, if the stream cannot be set up, or if a thread cannot
    /// be started. After an error, the connection is closed, and no callback has run.
    pub fn inbound(
        stream: impl Stream,
        address: impl TryInto<PeerAddress, Error: Into<ParseError>>,
        config: &Config,
    ) -> Result<Self, StartError> {
        start(stream, address.try_into().map_err(Into::into), Direction::Inbound, config)
    }

    /// Starts a peer on a connection that this side made, for example through a proxy. To dial directly, use
    /// [`connect`](Self::connect).
    ///
    /// `address` is the address of the remote, which may be a host name. If the connection goes through a proxy, pass
    /// the address of the node behind the proxy, not the address of the proxy. Callbacks may run before this method
    /// returns, even the last callback, [`on_disconnect`](Listener::on_disconnect).
    ///
    /// # Errors
    ///
    /// As [`inbound`](Self::inbound).
    pub fn outbound(
        stream: impl Stream,
        address: impl TryInto<PeerAddress, Error: Into<ParseError>>,
        config: &Config,
    ) -> Result<Self, StartError> {
        start(stream, address.try_into().map_err(Into::into), Direction::Outbound, config)
    }
}

fn start(
    stream: impl Stream,
    address: Result<PeerAddress, ParseError>,
    direction: Direction,
    config: &Config,
) -> Result<Peer, StartError> {
    let address = match address {
        Ok(address) => address,
        Err(error) => {
            drop_caught(stream);
            return Err(StartError::Address(error));
        }
    };
    let program = |shared: &Arc<Shared>| {
        let (listener, peer) = (Arc::clone(config.listener_pointer()), Peer::uncounted(Arc::clone(shared)));
        let callbacks = Box::new(ListenerOfPeer { listener, peer });
        Program { callbacks, dag: config.dag_pointer().cloned(), capture: config.capture().cloned() }
    };
    connection::start::start(stream, address, direction, config.settings(), program).map(Peer::first)
}

/// A listener, and the handle that its callbacks get.
struct ListenerOfPeer {
    listener: Arc<dyn Listener>,
    peer: Peer,
}

impl Callbacks for ListenerOfPeer {
    fn deliver(&self, message: Message) {
        self.listener.deliver(&self.peer, message);
    }

    fn on_handshake(&self) {
        self.listener.on_handshake(&self.peer);
    }

    fn on_read(&self, bytes: usize, frame: Result<Command, &FrameError>) {
        self.listener.on_read(&self.peer, bytes, frame);
    }

    fn on_write(&self, command: Command, bytes: usize, error: Option<&io::Error>) {
        self.listener.on_write(&self.peer, command, bytes, error);
    }

    fn on_disconnect(&self, reason: &DisconnectReason) {
        self.listener.on_disconnect(&self.peer, reason);
    }
}
