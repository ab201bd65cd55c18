//! The traits, conversions and texts that users of Rust libraries expect without looking them up.

use crate::common::local::connected_pair;
use crate::common::{DEADLINE, builder};
use kaspa_peer::peer::{Capture, CaptureReader, Count, Counts, EventListener, Halves, Remote, Traffic};
use kaspa_peer::testing::{
    ConnectPeersError, DataStore, End, MemoryStream, ScriptError, ScriptedRemote, TestFrame, tcp_pair,
};
use kaspa_peer::wire::*;
use kaspa_peer::*;
use std::collections::HashSet;
use std::hash::{self, BuildHasher, BuildHasherDefault, DefaultHasher};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::{error::Error, fmt::Debug, io};

#[test]
fn types_are_send_sync_and_debug() {
    fn shared<T: Send + Sync + Debug + 'static>() {}
    shared::<Config>();
    shared::<ConfigBuilder>();
    shared::<Settings>();
    shared::<Peer>();
    shared::<Receipt>();
    shared::<Stats>();
    shared::<DisconnectReason>();
    shared::<PeerAddress>();
    shared::<Event>();
    shared::<EventListener>();
    shared::<Traffic>();
    shared::<Remote>();
    shared::<Capture>();
    shared::<CaptureReader<std::fs::File>>();
    shared::<Message>();
    shared::<Frame>();
    shared::<FrameDecoder>();
    shared::<MessageReader<std::net::TcpStream>>();
    shared::<Inbox>();
    shared::<DataStore>();
    shared::<MemoryStream>();
    shared::<ScriptedRemote>();
    // Each half moves to one thread, so a writer need not be `Sync`.
    fn sent<T: Send + Debug + 'static>() {}
    sent::<Halves>();
}

#[test]
fn data_types_are_clone_eq_and_hash() {
    fn data<T: Clone + Eq + hash::Hash + Debug>() {}
    data::<Message>();
    data::<Frame>();
    data::<TxRef<'_>>();
    data::<InputRef<'_>>();
    data::<OutputRef<'_>>();
    data::<Stats>();
    data::<Traffic>();
    data::<Count>();
    data::<Remote>();
    data::<EventKind>();
    data::<DisconnectReason>();
    data::<HandshakeError>();
    data::<ProtocolViolation>();
    data::<IoOperation>();
    data::<DecodeError>();
    data::<FrameError>();
    data::<StallRule>();
    data::<RateLimit>();
    data::<ScoreLimit>();
    data::<CustomCommands>();
    data::<WaitedFor>();
    data::<TestFrame>();
    data::<End>();
    fn ordered<T: Ord + hash::Hash + Debug>() {}
    ordered::<PeerAddress>();
    ordered::<Direction>();
    ordered::<NetAddress>();
    ordered::<TimedAddress>();
    ordered::<Network>();
    ordered::<UserAgent>();
}

#[test]
fn equal_values_have_equal_hashes_and_order() {
    let hash = |value: &dyn Fn(&mut DefaultHasher)| {
        let mut hasher = BuildHasherDefault::<DefaultHasher>::new().build_hasher();
        value(&mut hasher);
        hash::Hasher::finish(&hasher)
    };
    let block = Block::new(BlockHeader::default(), []).unwrap();
    let parsed = block.clone();
    assert_eq!(parsed.header(), &BlockHeader::default());
    assert_eq!(block, parsed);
    assert_eq!(hash(&|state| hash::Hash::hash(&block, state)), hash(&|state| hash::Hash::hash(&parsed, state)));
    let mainnet = Network::Custom(Network::Mainnet.magic());
    assert_eq!(mainnet.cmp(&Network::Mainnet), std::cmp::Ordering::Equal);
    assert!(Network::Mainnet < Network::Custom(u32::MAX) && Network::Mainnet > Network::Custom(0));
}

#[test]
#[allow(clippy::mutable_key_type)]
fn handles_of_one_connection_are_equal() {
    let (listener, events) = events(100);
    let (out, inb) = connected_pair(builder(), builder());
    let same = out.peer.clone();
    assert_eq!((out.peer.id(), inb.peer.id()), (1, 1), "each node counts its own ids");
    assert_ne!(out.peer, inb.peer);
    let peers = HashSet::from([out.peer.clone(), inb.peer.clone(), same]);
    assert_eq!(peers.len(), 2);
    let third =
        Peer::outbound(tcp_pair().unwrap().0, "remote", &builder().listener(listener).build().unwrap()).unwrap();
    third.disconnect();
    assert_eq!(events.recv_timeout(DEADLINE).unwrap().peer, third);
    assert!(!peers.contains(&third));
}

#[test]
fn defaults_are_empty() {
    assert_eq!(NetAddress::default().to_string(), "[::]:0");
    assert_eq!(NetAddress::default().services, Services::empty());
    assert_eq!(TimedAddress::default(), TimedAddress { time: 0, address: NetAddress::default() });
    assert_eq!(GetAddr::default(), GetAddr::all());
    assert_eq!(Addr::default(), Addr { scope: AddressScope::All, addresses: vec![] });
}

#[test]
fn counts_add_up_and_saturate() {
    let counts = [Count::new(1, 10), Count::new(2, 20)];
    assert_eq!(counts[0] + counts[1], Count::new(3, 30));
    assert_eq!(counts.iter().sum::<Count>(), counts.into_iter().sum());
    assert_eq!(counts.into_iter().sum::<Count>(), Count::new(3, 30));
    let most = Count::new(u64::MAX, u64::MAX);
    assert_eq!(counts[0] + most, most);
}

#[test]
fn a_custom_command_is_read_and_shown_as_text() {
    let command: CustomCommand = "hello".parse().unwrap();
    assert_eq!((command.name(), command.as_ref()), ("hello", "hello"));
    assert_eq!(format!("{command}|{command:>7}|{command:?}"), "hello|  hello|hello");
    assert_eq!("hello".parse(), Ok(Command::from(command)));
    for invalid in ["ping", "", "thirteen bytes", "a b"] {
        assert!(invalid.parse::<CustomCommand>().is_err(), "{invalid:?}");
    }
}

#[test]
fn debug_output_does_not_contain_large_payloads() {
    let frame = Frame::encode(&CustomMessage::new("large", vec![0x77; 1_000_000]).unwrap(), Network::Simnet).unwrap();
    let mut decoder = FrameDecoder::new(Network::Simnet);
    for part in frame.as_bytes().chunks(300_000) {
        decoder.feed(part);
        // The decoder holds a part of a payload, and at last the whole frame.
        let text = format!("{decoder:?}");
        assert!(text.contains("network: Simnet") && text.len() < 300, "{text}");
        if let Some(raw) = decoder.next_frame().unwrap() {
            let text = format!("{raw:?}");
            assert!(text.contains("command: large") && text.contains("1000000") && text.len() < 300, "{text}");
            return;
        }
    }
    panic!("the frame is not complete");
}

#[test]
fn handles_can_be_used_after_a_caught_panic() {
    fn safe<T: UnwindSafe + RefUnwindSafe>() {}
    safe::<Peer>();
    safe::<Receipt>();
    safe::<Config>();
    safe::<ConfigBuilder>();
    safe::<Settings>();
    safe::<Inbox>();
    safe::<Capture>();
    safe::<Event>();
}

#[test]
fn error_types_implement_error() {
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
    error::<UserAgentError>();
    error::<ScriptError>();
    error::<ConnectPeersError>();
}

#[test]
fn the_text_of_an_error_contains_its_cause_and_there_is_no_source() {
    let io = || io::Error::other("the cable is cut");
    let thread = StartError::Thread { thread: "reader", error: io() };
    let decode = DecodeError::Trailing { at: 7, left: 1 };
    let frame = FrameError::Payload { command: Command::Ping, error: decode.clone() };
    let handshake = HandshakeError::Malformed(frame.clone());
    let reason = DisconnectReason::Handshake(handshake.clone());
    let encode = EncodeError::BuiltInGas { gas: 7 };
    let closed = QueueError::Closed(reason.clone());
    let whole: [(&dyn Error, &dyn Error); 19] = [
        (&StartError::Stream(io()), &io()),
        (&thread, &io()),
        (&ReadError::from(io()), &io()),
        (&WriteError::from(io()), &io()),
        (&frame, &decode),
        (&handshake, &frame),
        (&reason, &handshake),
        (&DisconnectReason::Malformed(frame.clone()), &frame),
        (&closed, &reason),
        (&WaitError::from(closed.clone()), &reason),
        (&QueueError::from(encode.clone()), &encode),
        (&WaitError::from(QueueError::from(encode.clone())), &encode),
        (&ReadError::from(frame.clone()), &frame),
        (&ConfigError::from(UserAgentError::NoName), &UserAgentError::NoName),
        (&ScriptError::from(encode.clone()), &encode),
        (&ScriptError::Io { action: "sending ping".to_owned(), error: io() }, &io()),
        (&ScriptError::Malformed { expected: "pong".to_owned(), error: frame.clone() }, &frame),
        (&ConnectPeersError::from(io()), &io()),
        (&ConnectPeersError::from(WaitError::from(closed.clone())), &reason),
    ];
    for (error, inner) in whole {
        assert!(error.to_string().contains(&inner.to_string()), "{error}");
        assert!(error.source().is_none(), "{error}");
    }
}

#[test]
fn messages_with_lists_work_like_collections() {
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
fn payloads_convert_into_messages_and_back() {
    let message = Message::from(Ping { nonce: 7 });
    let message = Pong::try_from(message).unwrap_err();
    assert_eq!(Ping::try_from(message), Ok(Ping { nonce: 7 }));
    let reject = Reject::new("tx", RejectCode::DUST, "dust");
    assert_eq!(Reject::try_from(Message::from(reject.clone())), Ok(reject));
}

#[test]
fn texts_of_display_can_be_parsed() {
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
fn outpoints_inventory_types_and_directions_can_be_parsed() {
    let outpoint = Outpoint { id: Hash::from_bytes([0xab; 32]), index: 7 };
    assert_eq!(outpoint.to_string().parse(), Ok(outpoint));
    let id = outpoint.id;
    for invalid in [format!("{id}"), format!("{id}:"), format!("{id}:+7"), format!("{id}:7:7"), ":7".to_owned()] {
        assert!(invalid.parse::<Outpoint>().is_err(), "{invalid}");
    }
    for number in (0..9).chain([u32::MAX]) {
        let kind = InventoryType::from(number);
        assert_eq!((kind.to_string().parse(), u32::from(kind)), (Ok(kind), number));
    }
    for invalid in ["", "TX", "MSG_", "MSG_+7", "MSG_4294967296", "msg_tx"] {
        assert!(invalid.parse::<InventoryType>().is_err(), "{invalid}");
    }
    for direction in [Direction::Inbound, Direction::Outbound] {
        assert_eq!(direction.to_string().parse(), Ok(direction));
    }
    assert!("Inbound".parse::<Direction>().is_err());
}

#[test]
fn hashes_ids_and_codes_convert_from_bytes_and_back() {
    let (hash, subnetwork) = ([7; 32], [9; 20]);
    assert_eq!(<[u8; 32]>::from(Hash::from(hash)), hash);
    assert_eq!(<[u8; 20]>::from(SubnetworkId::from(subnetwork)), subnetwork);
    assert_eq!((RejectCode::from(0x41), u8::from(RejectCode::DUST)), (RejectCode::DUST, 0x41));
}

#[test]
fn text_from_the_wire_can_be_compared_with_strings() {
    let text = WireString::from("dust");
    for same in [WireString::from("dust".to_owned()), b"dust".to_vec().into(), b"dust".as_slice().into()] {
        assert_eq!(same, text);
    }
    assert!(text == "dust" && text == *"dust" && text != "dus" && WireString::from(vec![0xff]) != "\u{fffd}");
    assert_eq!(text.as_ref(), b"dust");
    assert_eq!(UserAgent::from_bytes("/a:1/").as_ref(), b"/a:1/");
}

#[test]
fn transactions_and_blocks_convert_into_their_fields_and_back() {
    let fields = TxFields { version: 1, ..TxFields::default() };
    let tx = Transaction::try_from(fields.clone()).unwrap();
    assert_eq!((Transaction::try_from(&fields), tx.to_fields()), (Ok(tx.clone()), fields.clone()));
    assert_eq!((tx.as_ref().to_transaction(), Transaction::from(tx.as_ref())), (tx.clone(), tx.clone()));
    assert_eq!(tx.clone().into_bytes(), tx.as_bytes());
    let fields = BlockFields { header: BlockHeader::default(), transactions: vec![fields] };
    let block = Block::try_from(fields.clone()).unwrap();
    assert_eq!((Block::try_from(&fields), block.to_fields()), (Ok(block.clone()), fields.clone()));
    assert_eq!(block.clone().into_bytes(), block.as_bytes());
    let native = TxFields { gas: 1, ..TxFields::default() };
    assert!(Transaction::try_from(native.clone()).is_err());
    assert!(Block::try_from(BlockFields { transactions: vec![native], ..fields }).is_err());
}

#[test]
fn peer_addresses_convert_from_a_host_and_a_port() {
    let ip = std::net::IpAddr::from([203, 0, 113, 7]);
    let address = PeerAddress::from((ip, 7));
    assert_eq!(address, PeerAddress::Ip((ip, 7).into()));
    assert_eq!(
        (PeerAddress::from((ip.to_string(), 7)), PeerAddress::from(("203.0.113.7", 7))),
        (address.clone(), address)
    );
    assert_eq!(PeerAddress::from(("node".to_owned(), 7)), PeerAddress::Host { host: "node".to_owned(), port: 7 });
}

#[test]
fn traffic_can_be_iterated() {
    let (out, _inb) = connected_pair(builder(), builder());
    let traffic = out.peer.stats().received;
    let commands: Vec<Command> = (&traffic).into_iter().map(|(command, _)| command).collect();
    assert_eq!(commands, [Command::Version, Command::VerAck]);
    for (command, count) in &traffic {
        assert_eq!(count, traffic.of(command));
    }
}

#[test]
fn iterators_are_fused() {
    fn fused<I: std::iter::FusedIterator>() {}
    fused::<Transactions<'_>>();
    fused::<Inputs<'_>>();
    fused::<Outputs<'_>>();
    fused::<Counts<'_>>();
    fused::<MessageReader<&[u8]>>();
    fused::<CaptureReader<&[u8]>>();
}

#[test]
fn network_addresses_are_shown_like_socket_addresses() {
    for text in ["203.0.113.7:16111", "[2001:db8::1]:5"] {
        let address = NetAddress::new(text.parse().unwrap(), Services::NETWORK);
        assert_eq!(address.to_string(), text);
    }
}

#[test]
fn outpoints_and_transactions_are_shown_by_their_ids() {
    let id = Hash::from_bytes([0xab; 32]);
    assert_eq!(Outpoint { id, index: 3 }.to_string(), format!("{id}:3"));
    let output = TxOutput { value: 1, script: vec![0x77; 1000] };
    let tx = Transaction::new(&TxFields { version: 1, outputs: vec![output], ..TxFields::default() }).unwrap();
    for text in [format!("{tx:?}"), format!("{:?}", tx.as_ref())] {
        assert!(text.contains(&tx.id().to_string()) && text.contains("outputs: 1") && text.len() < 300, "{text}");
    }
}
