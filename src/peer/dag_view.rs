//! The program's block DAG, as far as its peers need it.

use crate::wire::Hash;
use std::sync::Arc;

/// A view of the block DAG that the program keeps, see [`ConfigBuilder::dag`](super::ConfigBuilder::dag). The default
/// methods describe an empty DAG.
///
/// Peers call these methods on their own threads. A view that the rest of the program also uses can be an `Arc`.
///
/// A peer drops its reference to the view when it ends, after the last callback. A view that stores a handle of a peer
/// that uses it keeps the connection of this peer open until then, even if the program drops all other handles.
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
/// # let server = TcpListener::bind("127.0.0.1:0")?;
/// # let remote = Peer::outbound(TcpStream::connect(server.local_addr()?)?, server.local_addr()?, &other)?;
/// # let (stream, from) = server.accept()?;
/// let peer = Peer::inbound(stream, from, &config)?;
/// peer.wait_for_handshake()?; // with a remote of the same DAG
/// assert_eq!(peer.remote().ok_or("no version")?.selected_tip, genesis);
/// assert!(peer.is_selected_tip_known());
/// # peer.set_selected_tip(Hash::ZERO);
/// # assert!(!peer.is_selected_tip_known());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait DagView: Send + Sync + 'static {
    /// The selected tip, which each remote receives in our `version` and in answer to `getseltip`. [`Hash::ZERO`] if
    /// there is none. [`ConfigBuilder::answer_selected_tip`](super::ConfigBuilder::answer_selected_tip) turns the
    /// answers off.
    fn selected_tip(&self) -> Hash {
        Hash::ZERO
    }

    /// `true` if the DAG contains a block.
    fn is_known(&self, block: &Hash) -> bool {
        let _ = block;
        false
    }
}

/// An empty DAG.
impl DagView for () {}

macro_rules! forward {
    ($($pointer:ident)*) => {$(
        impl<T: DagView + ?Sized> DagView for $pointer<T> {
            fn selected_tip(&self) -> Hash {
                (**self).selected_tip()
            }

            fn is_known(&self, block: &Hash) -> bool {
                (**self).is_known(block)
            }
        }
    )*};
}

forward! { Arc Box }
