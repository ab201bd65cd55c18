//! What users of Rust libraries expect of types without looking it up.

use crate::common::local::connected_pair;
use crate::common::{DEADLINE, builder, sockets};
use kaspa_peer::peer::{Capture, CaptureReader, Count, Counts, EventListener, Halves, Remote, Traffic};
use kaspa_peer::wire::*;
use kaspa_peer::*;
use std::collections::HashSet;
use std::hash::{self, BuildHasher, BuildHasherDefault, DefaultHasher};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::{error::Error, fmt::Debug, io};

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
    shared::<Traffic>();
    shared::<Remote>();
    shared::<Capture>();
    shared::<CaptureReader<std::fs::File>>();
    shared::<Message>();
    shared::<Frame>();
    shared::<FrameDecoder>();
    shared::<MessageReader<std::net::TcpStream>>();
    // The halves are moved to a thread each, and a writer need not be `Sync`.
    fn sent<T: Send + Debug + 'static>() {}
    sent::<Halves>();
}

#[test]
fn what_is_data_can_be_copied_compared_and_be_a_key() {
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
    fn ordered<T: Ord + hash::Hash + Debug>() {}
    ordered::<PeerAddress>();
    ordered::<Direction>();
    ordered::<NetAddress>();
    ordered::<TimedAddress>();
    ordered::<Network>();
    ordered::<UserAgent>();
}

#[test]
fn what_is_equal_has_the_same_hash_and_place() {
    let hash = |value: &dyn Fn(&mut DefaultHasher)| {
        let mut hasher = BuildHasherDefault::<DefaultHasher>::new().build_hasher();
        value(&mut hasher);
        hash::Hasher::finish(&hasher)
    };
    let block = Block::new(BlockHeader::default(), []).unwrap();
    let looked_at = block.clone();
    assert_eq!(looked_at.header(), &BlockHeader::default());
    assert_eq!(block, looked_at);
    assert_eq!(hash(&|state| hash::Hash::hash(&block, state)), hash(&|state| hash::Hash::hash(&looked_at, state)));
    let mainnet = Network::Custom(Network::Mainnet.magic());
    assert_eq!(mainnet.cmp(&Network::Mainnet), std::cmp::Ordering::Equal);
    assert!(Network::Mainnet < Network::Custom(u32::MAX) && Network::Mainnet > Network::Custom(0));
}

#[test]
#[allow(clippy::mutable_key_type)]
fn handles_of_one_connection_are_one_peer() {
    let (listener, events) = events(100);
    let (out, inb) = connected_pair(builder(), builder());
    let same = out.peer.clone();
    assert_eq!((out.peer.id(), inb.peer.id()), (1, 1), "ids are a node's own");
    assert_ne!(out.peer, inb.peer);
    let peers = HashSet::from([out.peer.clone(), inb.peer.clone(), same]);
    assert_eq!(peers.len(), 2);
    let told = Peer::outbound(sockets().0, "remote", &builder().listener(listener).build().unwrap()).unwrap();
    told.disconnect();
    assert_eq!(events.recv_timeout(DEADLINE).unwrap().peer, told);
    assert!(!peers.contains(&told));
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
    let counts = [Count { messages: 1, bytes: 10 }, Count { messages: 2, bytes: 20 }];
    assert_eq!(counts[0] + counts[1], Count { messages: 3, bytes: 30 });
    assert_eq!(counts.iter().sum::<Count>(), counts.into_iter().sum());
    assert_eq!(counts.into_iter().sum::<Count>(), Count { messages: 3, bytes: 30 });
    let most = Count { messages: u64::MAX, bytes: u64::MAX };
    assert_eq!(counts[0] + most, most);
}

#[test]
fn an_unknown_command_is_text() {
    let command: CustomCommand = "hello".parse().unwrap();
    assert_eq!((command.name(), command.as_ref()), ("hello", "hello"));
    assert_eq!(format!("{command}|{command:>7}|{command:?}"), "hello|  hello|hello");
    assert_eq!("hello".parse(), Ok(Command::from(command)));
    for not_one in ["ping", "", "thirteen bytes", "a b"] {
        assert!(not_one.parse::<CustomCommand>().is_err(), "{not_one:?}");
    }
}

#[test]
fn large_payloads_are_not_printed() {
    let frame = Frame::encode(&CustomMessage::new("large", vec![0x77; 1_000_000]).unwrap(), Network::Simnet).unwrap();
    let mut decoder = FrameDecoder::new(Network::Simnet);
    for part in frame.as_bytes().chunks(300_000) {
        decoder.feed(part);
        // What is not taken yet is a header, then a part of a payload, then a whole one.
        let text = format!("{decoder:?}");
        assert!(text.contains("network: Simnet") && text.len() < 300, "{text}");
        if let Some(raw) = decoder.next_frame().unwrap() {
            let text = format!("{raw:?}");
            assert!(text.contains("command: large") && text.contains("1000000") && text.len() < 300, "{text}");
            return;
        }
    }
    panic!("there is no frame");
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
    error::<UserAgentError>();
}

#[test]
fn an_error_says_everything_and_has_no_source_that_says_it_again() {
    let io = || io::Error::other("the cable is cut");
    let thread = StartError::Thread { thread: "reader", error: io() };
    let decode = DecodeError::Trailing { at: 7, left: 1 };
    let frame = FrameError::Payload { command: Command::Ping, error: decode.clone() };
    let handshake = HandshakeError::Malformed(frame.clone());
    let reason = DisconnectReason::Handshake(handshake.clone());
    let encode = EncodeError::BuiltInGas { gas: 7 };
    let closed = QueueError::Closed(reason.clone());
    let whole: [(&dyn Error, &dyn Error); 14] = [
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
    ];
    for (error, inner) in whole {
        assert!(error.to_string().contains(&inner.to_string()), "{error}");
        assert!(error.source().is_none(), "{error}");
    }
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
fn what_names_a_part_of_a_message_can_be_parsed() {
    let outpoint = Outpoint { id: Hash::from_bytes([0xab; 32]), index: 7 };
    assert_eq!(outpoint.to_string().parse(), Ok(outpoint));
    let id = outpoint.id;
    for not_one in [format!("{id}"), format!("{id}:"), format!("{id}:+7"), format!("{id}:7:7"), ":7".to_owned()] {
        assert!(not_one.parse::<Outpoint>().is_err(), "{not_one}");
    }
    for number in (0..9).chain([u32::MAX]) {
        let kind = InventoryType::from(number);
        assert_eq!((kind.to_string().parse(), u32::from(kind)), (Ok(kind), number));
    }
    for not_one in ["", "TX", "MSG_", "MSG_+7", "MSG_4294967296", "msg_tx"] {
        assert!(not_one.parse::<InventoryType>().is_err(), "{not_one}");
    }
    for direction in [Direction::Inbound, Direction::Outbound] {
        assert_eq!(direction.to_string().parse(), Ok(direction));
    }
    assert!("Inbound".parse::<Direction>().is_err());
}

#[test]
fn numbers_and_bytes_turn_into_names_and_back() {
    let (hash, subnetwork) = ([7; 32], [9; 20]);
    assert_eq!(<[u8; 32]>::from(Hash::from(hash)), hash);
    assert_eq!(<[u8; 20]>::from(SubnetworkId::from(subnetwork)), subnetwork);
    assert_eq!((RejectCode::from(0x41), u8::from(RejectCode::DUST)), (RejectCode::DUST, 0x41));
}

#[test]
fn text_from_the_wire_is_made_of_bytes_and_compared_with_text() {
    let text = WireString::from("dust");
    for same in [WireString::from("dust".to_owned()), b"dust".to_vec().into(), b"dust".as_slice().into()] {
        assert_eq!(same, text);
    }
    assert!(text == "dust" && text == *"dust" && text != "dus" && WireString::from(vec![0xff]) != "\u{fffd}");
    assert_eq!(text.as_ref(), b"dust");
    assert_eq!(UserAgent::from_bytes("/a:1/").as_ref(), b"/a:1/");
}

#[test]
fn transactions_and_blocks_are_made_of_their_parts_and_taken_apart() {
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
fn addresses_are_made_of_a_host_and_a_port() {
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
fn traffic_is_gone_through() {
    let (out, _inb) = connected_pair(builder(), builder());
    let traffic = out.peer.stats().received;
    let commands: Vec<Command> = (&traffic).into_iter().map(|(command, _)| command).collect();
    assert_eq!(commands, [Command::Version, Command::VerAck]);
    for (command, count) in &traffic {
        assert_eq!(count, traffic.of(command));
    }
}

#[test]
fn an_iterator_that_has_ended_stays_so() {
    fn fused<I: std::iter::FusedIterator>() {}
    fused::<Transactions<'_>>();
    fused::<Inputs<'_>>();
    fused::<Outputs<'_>>();
    fused::<Counts<'_>>();
    fused::<MessageReader<&[u8]>>();
    fused::<CaptureReader<&[u8]>>();
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
