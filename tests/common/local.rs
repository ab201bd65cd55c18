//! Peers of ours, with a remote that the test controls or with another peer of ours.

use super::recorder::Recorder;
use super::{DEADLINE, builder};
use kaspa_peer::peer::Stream;
use kaspa_peer::testing::{ScriptedRemote, connect_remote_over_tcp, tcp_pair};
use kaspa_peer::wire::{ParseError, VerAck, Version};
use kaspa_peer::{Config, ConfigBuilder, Direction, DisconnectReason, Listener, Peer, PeerAddress};
use std::time::{Duration, Instant};

/// A peer of ours and the record of its callbacks.
pub struct Local {
    pub peer: Peer,
    pub recorder: Recorder,
}

impl Local {
    /// Waits for the end, and checks that the peer and the listener have the same reason.
    pub fn end_reason(&self) -> DisconnectReason {
        let reason = end_reason(&self.peer);
        assert_eq!(self.peer.disconnect_reason(), Some(reason.clone()));
        assert_eq!(self.recorder.look(|record| record.disconnects.clone()), vec![reason.clone()]);
        reason
    }
}

/// Waits for the end of a peer.
pub fn end_reason(peer: &Peer) -> DisconnectReason {
    peer.wait_for_disconnect_timeout(DEADLINE).unwrap()
}

/// `true` if the peer ended because a callback, or other code of the program, panicked.
#[allow(clippy::unneeded_struct_pattern)]
pub fn is_callback_panic(reason: &DisconnectReason) -> bool {
    matches!(reason, DisconnectReason::CallbackPanicked { .. })
}

/// Repeats an action until the peer has ended.
pub fn repeat_until_ended<T>(peer: &Peer, mut action: impl FnMut() -> T) -> DisconnectReason {
    let deadline = Instant::now() + DEADLINE;
    while peer.disconnect_reason().is_none() {
        assert!(Instant::now() < deadline, "the peer has not ended within {DEADLINE:?}");
        action();
    }
    end_reason(peer)
}

/// Waits until another peer has ended for an idle timeout of `limit`. If the remote of one's own peer was silent
/// meanwhile, it was silent for longer than `limit`.
pub fn wait_until_another_peer_is_idle(limit: Duration) {
    let (other, _silent) = connected_peer(builder().idle_timeout(limit));
    assert_eq!(end_reason(&other.peer), DisconnectReason::Idle { limit });
}

/// A peer before its handshake, and its remote.
pub fn new_peer(direction: Direction, builder: ConfigBuilder) -> (Local, ScriptedRemote) {
    new_peer_at(None, direction, builder)
}

/// Like [`new_peer`], with the address that the peer believes the remote to have.
pub fn new_peer_at(address: Option<&str>, direction: Direction, builder: ConfigBuilder) -> (Local, ScriptedRemote) {
    let recorder = Recorder::default();
    let config = builder.listener(recorder.clone()).build().unwrap();
    let (peer, remote) = match address {
        Some(address) => start_peer(address, direction, &config),
        None => connect_remote_over_tcp(direction, &config).unwrap(),
    };
    (Local { peer, recorder }, remote)
}

/// Like [`new_peer_at`], with another listener.
pub fn start_peer(address: &str, direction: Direction, config: &Config) -> (Peer, ScriptedRemote) {
    let (dialled, accepted) = tcp_pair().unwrap();
    let (peer, theirs) = match direction {
        Direction::Inbound => (Peer::inbound(accepted, address, config), dialled),
        Direction::Outbound => (Peer::outbound(dialled, address, config), accepted),
    };
    (peer.unwrap(), ScriptedRemote::new(theirs, config.network()))
}

/// The remote's part of the handshake, with more bytes right behind its `verack`, in the same write.
pub fn shake_hands_and_send(remote: &mut ScriptedRemote, version: &Version, next: &[u8]) {
    remote.send(version).unwrap();
    remote.expect::<Version>().unwrap();
    let rest = remote.send_part(&VerAck, 0).unwrap();
    remote.expect::<VerAck>().unwrap();
    remote.send_bytes(&[&rest, next].concat()).unwrap();
}

/// An inbound peer after its handshake, and its remote.
pub fn connected_peer(builder: ConfigBuilder) -> (Local, ScriptedRemote) {
    connected_peer_in(Direction::Inbound, builder)
}

/// Like [`connected_peer`], in either direction.
pub fn connected_peer_in(direction: Direction, builder: ConfigBuilder) -> (Local, ScriptedRemote) {
    let (local, mut remote) = new_peer(direction, builder);
    remote.shake_hands().unwrap();
    local.peer.wait_for_handshake().unwrap();
    (local, remote)
}

/// Like [`connected_peer`], for a configuration that may have other peers.
pub fn connected_peer_of(config: &Config) -> (Peer, ScriptedRemote) {
    let (peer, mut remote) = connect_remote_over_tcp(Direction::Inbound, config).unwrap();
    remote.shake_hands().unwrap();
    peer.wait_for_handshake().unwrap();
    (peer, remote)
}

/// Like [`connected_peer`], with another listener.
pub fn connected_peer_with(listener: impl Listener, builder: ConfigBuilder) -> (Peer, ScriptedRemote) {
    connected_peer_of(&builder.listener(listener).build().unwrap())
}

/// Two peers of ours that are connected to each other, the dialling and the accepting one, before their handshake.
pub fn new_pair(dialler: ConfigBuilder, acceptor: ConfigBuilder) -> (Local, Local) {
    let (dialled, accepted) = tcp_pair().unwrap();
    let addresses = [dialled.peer_addr(), accepted.peer_addr()].map(|address| PeerAddress::from(address.unwrap()));
    new_pair_over([dialled, accepted], addresses, dialler, acceptor)
}

/// Like [`new_pair`], over other streams and with other addresses.
pub fn new_pair_over(
    [dialled, accepted]: [impl Stream; 2],
    [to, from]: [impl TryInto<PeerAddress, Error: Into<ParseError>>; 2],
    dialler: ConfigBuilder,
    acceptor: ConfigBuilder,
) -> (Local, Local) {
    let [outbound, inbound] = [Recorder::default(), Recorder::default()];
    let dialler = dialler.listener(outbound.clone()).build().unwrap();
    let acceptor = acceptor.listener(inbound.clone()).build().unwrap();
    let accepted = Peer::inbound(accepted, from, &acceptor).unwrap();
    let dialled = Peer::outbound(dialled, to, &dialler).unwrap();
    (Local { peer: dialled, recorder: outbound }, Local { peer: accepted, recorder: inbound })
}

/// Like [`new_pair`], after the handshake.
pub fn connected_pair(dialler: ConfigBuilder, acceptor: ConfigBuilder) -> (Local, Local) {
    let (outbound, inbound) = new_pair(dialler, acceptor);
    outbound.peer.wait_for_handshake().unwrap();
    inbound.peer.wait_for_handshake().unwrap();
    (outbound, inbound)
}
