//! What users of Rust libraries expect of types without looking it up.
#![allow(missing_docs)]

use kaspa_peer::peer::{Capture, EventListener};
use kaspa_peer::wire::*;
use kaspa_peer::*;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::{error::Error, fmt::Debug};

#[test]
fn what_is_shared_between_threads_can_be() {
    fn shared<T: Send + Sync + Debug + 'static>() {}
    shared::<Config>();
    shared::<ConfigBuilder>();
    shared::<Peer>();
    shared::<Receipt>();
    shared::<Stats>();
    shared::<DisconnectReason>();
    shared::<PeerAddress>();
    shared::<Event>();
    shared::<EventListener>();
    shared::<Capture>();
    shared::<Message>();
    shared::<Frame>();
    shared::<FrameDecoder>();
}

#[test]
fn a_program_that_catches_panics_can_keep_its_peers() {
    fn safe<T: UnwindSafe + RefUnwindSafe>() {}
    safe::<Peer>();
    safe::<Receipt>();
}

#[test]
fn errors_are_errors() {
    fn error<T: Error + Send + Sync + 'static>() {}
    error::<DisconnectReason>();
    error::<HandshakeError>();
    error::<ConfigError>();
    error::<StartError>();
    error::<QueueError>();
    error::<WaitError>();
    error::<DecodeError>();
    error::<EncodeError>();
    error::<FrameError>();
    error::<ReadError>();
    error::<WriteError>();
    error::<ParseError>();
}

#[test]
fn lists_are_lists() {
    let items = [1, 2, 3].map(|byte| Inventory::tx(Hash::from_bytes([byte; 32])));
    let mut inv: Inv = items.iter().copied().take(2).collect();
    inv.extend([items[2]]);
    assert!((&inv).into_iter().eq(&items));
    assert_eq!(inv.into_iter().collect::<GetData>(), GetData::from(items.to_vec()));
    let locator: Locator = items.iter().map(|item| item.hash).collect();
    assert_eq!((&locator).into_iter().count(), 3);
    let headers = Headers::from(vec![BlockHeader::default()]);
    assert_eq!(headers.into_iter().next(), Some(BlockHeader::default()));
}

#[test]
fn payloads_and_messages_turn_into_one_another() {
    let message = Message::from(Ping { nonce: 7 });
    let message = Pong::try_from(message).unwrap_err();
    assert_eq!(Ping::try_from(message), Ok(Ping { nonce: 7 }));
    let reject = Reject::new("tx", RejectCode::DUST, "dust");
    assert_eq!(Reject::try_from(Message::from(reject.clone())), Ok(reject));
}

#[test]
fn what_is_shown_can_be_parsed() {
    let hash = Hash::from_bytes([0xab; 32]);
    assert_eq!(hash.to_string().parse(), Ok(hash));
    assert_eq!(SubnetworkId::COINBASE.to_string().parse(), Ok(SubnetworkId::COINBASE));
    for network in Network::PUBLIC.into_iter().chain([Network::Custom(7)]) {
        assert_eq!(network.to_string().parse(), Ok(network));
    }
    for command in Command::ALL {
        assert_eq!(command.to_string().parse(), Ok(command));
    }
    for address in ["203.0.113.7:16111", "[2001:db8::1]:5", "node.example:7"] {
        assert_eq!(address.parse::<PeerAddress>().unwrap().to_string(), address);
    }
}

#[test]
fn addresses_on_the_wire_are_shown_as_sockets_are() {
    for text in ["203.0.113.7:16111", "[2001:db8::1]:5"] {
        let address = NetAddress::new(text.parse().unwrap(), Services::NETWORK);
        assert_eq!(address.to_string(), text);
    }
}

#[test]
fn outputs_and_transactions_are_shown_by_their_ids() {
    let id = Hash::from_bytes([0xab; 32]);
    assert_eq!(Outpoint { id, index: 3 }.to_string(), format!("{id}:3"));
    let output = TxOutput { value: 1, script: vec![0x77; 1000] };
    let tx = Transaction::new(&TxFields { version: 1, outputs: vec![output], ..TxFields::default() }).unwrap();
    for text in [format!("{tx:?}"), format!("{:?}", tx.as_ref())] {
        assert!(text.contains(&tx.id().to_string()) && text.contains("outputs: 1") && text.len() < 300, "{text}");
    }
}
