//! What the peer asks about the caller's block DAG.

use crate::wire::Hash;

/// A view of the caller's block DAG. The default knows no block.
///
/// ```
/// use kaspa_peer::wire::{Hash, Network};
/// use kaspa_peer::{Config, DagView, Peer};
/// # use std::net::{TcpListener, TcpStream};
///
/// /// A DAG of one block.
/// struct Genesis(Hash);
///
/// impl DagView for Genesis {
///     fn selected_tip(&self) -> Hash {
///         self.0
///     }
///
///     fn is_known(&self, block: &Hash) -> bool {
///         *block == self.0
///     }
/// }
///
/// let genesis = Hash::of(b"genesis");
/// let config = Config::builder(Network::Simnet).dag(Genesis(genesis)).build()?;
/// # let other = Config::builder(Network::Simnet).dag(Genesis(genesis)).build()?;
/// # let door = TcpListener::bind("127.0.0.1:0")?;
/// # let remote = Peer::outbound(TcpStream::connect(door.local_addr()?)?, door.local_addr()?, &other)?;
/// # let (stream, from) = door.accept()?;
/// let peer = Peer::inbound(stream, from, &config)?;
/// peer.wait_for_handshake()?; // with a remote of the same DAG
/// assert_eq!(peer.remote().ok_or("no version")?.selected_tip, genesis);
/// assert!(peer.is_selected_tip_known());
/// # peer.set_selected_tip(Hash::ZERO);
/// # assert!(!peer.is_selected_tip_known());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait DagView: Send + Sync + 'static {
    /// The selected tip, told to each remote in our `version`; [`Hash::ZERO`] when there is none. It answers no `getseltip`:
    /// that is for [`Listener::on_get_selected_tip`](super::Listener::on_get_selected_tip).
    fn selected_tip(&self) -> Hash {
        Hash::ZERO
    }

    /// Whether a block is in the DAG.
    fn is_known(&self, block: &Hash) -> bool {
        let _ = block;
        false
    }
}

/// Knows no block.
impl DagView for () {}
