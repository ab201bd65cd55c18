//! `kpeer listen` and `kpeer connect`, with each other and with nodes that the test plays.

use crate::support;
use crate::support::running::{Ended, Played, Running, run};
use kaspa_peer::wire::*;
use serde_json::Value;
use std::collections::BTreeSet;
use std::net::TcpListener;
use std::thread::{self, JoinHandle};

/// The public networks, and their genesis blocks according to kaspad v0.1.1.
const NETWORKS: [(&str, &str); 5] = [
    ("mainnet", "0f2bd52ea69aac311a59428cd5d17e3833e62706f68a1c7c50bef0664459229b"),
    ("testnet", "000008bc7b29e674048040796363c8979a856dc5251121cd47dd10ffa9341522"),
    ("regtest", "00001113619fc9b768207c5b1a5c0c7cc7291332bda5310f2ded7a796f1902fc"),
    ("simnet", "49cdaebb92e080a1c935332aaa76b70931df1b4f56434ed5f95b744545cc69ff"),
    ("devnet", "00005d2b0ceebe59530cf886c7f076e2cbf3ea29ff19bc1465511add095c5917"),
];

/// The commands that a node may use after the handshake.
fn ordinary() -> BTreeSet<String> {
    let ordinary = |command: &Command| !matches!(command, Command::Version | Command::VerAck);
    Command::ALL.into_iter().filter(ordinary).map(|command| command.to_string()).collect()
}

fn commands(events: &[Value]) -> BTreeSet<String> {
    events.iter().map(|event| event["command"].as_str().unwrap().to_owned()).collect()
}

/// The results of the checks of this command.
fn results(ended: &Ended, command: Command) -> Vec<String> {
    let checks = ended.events("check").into_iter().filter(|check| check["command"] == command.name());
    checks.map(|check| check["result"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_exercise_passes_on_all_networks() {
    for (network, genesis) in NETWORKS {
        let (listen, address) = Running::listen(&["--network", network, "--once"]);
        let connect = run("connect", &[&address, "--network", network, "--exercise", "--json"]);
        assert_eq!(connect.status, 0, "{network}: {connect:#?}");
        let checks = connect.events("check");
        assert!(checks.iter().all(|check| check["result"] == "ok"), "{network}: {checks:#?}");
        assert_eq!((checks.len(), commands(&checks)), (25, ordinary()), "{network}");
        assert!(commands(&connect.events("sent")).is_superset(&ordinary()), "{network}");

        let listen = listen.end();
        assert_eq!((listen.status, listen.err.as_str()), (0, ""), "{network}");
        assert!(commands(&listen.events("message")).is_superset(&ordinary()), "{network}");
        let [connected, version] = ["connected", "version"].map(|event| listen.events(event));
        assert_eq!((connected.len(), &connected[0]["direction"]), (1, &Value::from("inbound")), "{network}");
        assert!(version[0]["user_agent"].as_str().unwrap().contains("/connect:"), "{network}");
        assert_eq!(version[0]["selected_tip"], genesis, "{network}");
        assert_eq!(listen.events("disconnected")[0]["reason"], "closed by the remote", "{network}");
    }
}

#[test]
fn without_json_the_exercise_prints_a_line_for_each_message() {
    let listen = Running::start("listen", &["127.0.0.1:0", "--network", "simnet", "--once"]);
    let address = listen.line("the address", |line| {
        line.strip_prefix("listening on ")?.strip_suffix(" (simnet): 301 blocks").map(str::to_owned)
    });
    let connect = run("connect", &[&address, "--network", "simnet", "--exercise", "--without-headers"]);
    assert_eq!(connect.status, 0, "{connect:#?}");
    let lines = |text: &str| connect.out.iter().filter(|line| line.contains(text)).count();
    assert_eq!((lines(" ok  "), lines("FAILED"), lines("headers")), (22, 0, 0), "{connect:#?}");
    assert!(connect.out.iter().any(|line| line.ends_with("22 ok, 0 excused, 0 failed")), "{connect:#?}");
    let listen = listen.end();
    assert_eq!(listen.status, 0);
    assert!(listen.out.iter().any(|line| line == "[1] <- getseltip"), "{:#?}", listen.out);
    assert!(listen.out.last().unwrap().ends_with("disconnected: closed by the remote"), "{:#?}", listen.out);
}

#[test]
fn connect_prints_the_version_and_the_messages_of_a_node() {
    let (_listen, address) = Running::listen(&["--network", "devnet", "--announce", "0.2", "--user-agent", "anna:3.1"]);
    let connect = Running::start("connect", &[&address, "--network", "devnet", "--json"]);
    let version = connect.event("version", |_| true);
    assert!(version["user_agent"].as_str().unwrap().ends_with("/anna:3.1/"), "{version}");
    assert_eq!(version["services"], "5");
    assert!(version["time_offset"].as_i64().unwrap().abs() < 60);
    assert!(connect.event("ping", |_| true)["milliseconds"].as_f64().unwrap() > 0.0);
    let of = |command: &'static str| move |event: &Value| event["command"] == command;
    let addr = connect.event("message", of("addr"));
    assert!(addr["summary"].as_str().unwrap().ends_with(&address), "{addr}");
    let inv = connect.event("message", of("inv"));
    assert!(inv["summary"].as_str().unwrap().starts_with("1 item: MSG_BLOCK"), "{inv}");

    let ended = run("connect", &[&address, "--network", "devnet", "--for", "0.1"]);
    assert_eq!(ended.status, 0);
    assert!(ended.out.last().unwrap().ends_with("disconnected by this side"), "{:#?}", ended.out);
}

#[test]
fn a_partial_node_connects_to_a_full_node_but_not_the_other_way_round() {
    let subnetwork = "00000000000000000000000000000000000000ab";
    let (listen, address) = Running::listen(&["--network", "simnet"]);
    let connect = run("connect", &[&address, "--network=simnet", "--subnetwork", subnetwork, "--exercise", "--json"]);
    assert_eq!(connect.status, 0, "{connect:#?}");
    assert_eq!(listen.event("version", |_| true)["subnetwork"], subnetwork);

    let (_listen, address) = Running::listen(&["--network", "simnet", "--subnetwork", subnetwork]);
    let connect = run("connect", &[&address, "--network", "simnet", "--for", "60", "--json"]);
    assert_eq!(connect.status, 1, "{connect:#?}");
    let reason = connect.events("disconnected")[0]["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("incompatible subnetworks"), "{reason}");
}

#[test]
fn a_node_without_the_bloom_service_may_disconnect_at_a_filter() {
    let (_listen, address) = Running::listen(&["--network", "simnet", "--services", "0x1"]);
    let connect = run("connect", &[&address, "--network", "simnet", "--exercise", "--json"]);
    assert_eq!(connect.status, 0, "{connect:#?}");
    assert_eq!(results(&connect, Command::FilterLoad), ["ok"]);
    assert_eq!(results(&connect, Command::FilterAdd), ["excused"]);
    assert_eq!(results(&connect, Command::FilterClear), ["excused"]);
}

/// Starts a node with one block, its tip, which passes each message to `answer`. The thread returns the commands of all
/// messages that the node received.
fn node(
    user_agent: &'static str,
    answer: impl Fn(&mut Played, &Block, Message) + Send + 'static,
) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let thread = thread::spawn(move || {
        let tx = Transaction::new(&TxFields { version: 1, ..TxFields::default() }).unwrap();
        let header = BlockHeader { parents: vec![Hash::of(b"parent")], ..BlockHeader::default() };
        let block = Block::new(header, [&tx]).unwrap();
        let version = Version {
            selected_tip: block.hash(),
            services: Services::NETWORK | Services::BLOOM,
            user_agent: UserAgent::from_bytes(user_agent),
            ..support::version()
        };
        let mut played = Played::accept(&listener, &version, Network::Simnet);
        let mut commands = Vec::new();
        while let Some(message) = played.next() {
            commands.push(message.command().to_string());
            if let Message::Ping(Ping { nonce }) = message {
                played.send(&Pong { nonce });
            }
            answer(&mut played, &block, message);
        }
        commands
    });
    (address, thread)
}

/// Exercises a node that leaves the commands `without_answer` without an answer. Returns the output, and the commands
/// that the node received. The wait for answers is short, because some never come. If another answer was late, as on a
/// busy machine, the exercise is repeated with a longer wait.
fn exercised(
    user_agent: &'static str,
    without_answer: &[Command],
    answer: fn(&mut Played, &Block, Message),
) -> (Ended, Vec<String>) {
    let exercise = |wait| {
        let (address, node) = node(user_agent, answer);
        let connect = run("connect", &[&address, "--network", "simnet", "--exercise", "--json", "--wait", wait]);
        (connect, node.join().unwrap())
    };
    let (connect, received) = exercise("0.5");
    let late = |check: &Value| {
        let note = check["note"].as_str().unwrap();
        let expected = without_answer.iter().any(|command| check["command"] == command.name());
        check["result"] != "ok" && !expected && (note.contains(" within ") || note.contains("did not ask for it"))
    };
    if connect.events("check").iter().any(late) { exercise("4") } else { (connect, received) }
}

const REQUESTS: [Command; 6] = [
    Command::GetAddr,
    Command::GetBlockInvs,
    Command::GetData,
    Command::GetHeaders,
    Command::GetLocator,
    Command::GetSelectedTip,
];

#[test]
fn requests_without_an_answer_fail() {
    let (connect, _) = exercised("/silent:1.0/", &REQUESTS, |_, _, _| {});
    assert_eq!(connect.status, 1, "{connect:#?}");
    let failed: Vec<Value> = connect.events("check").into_iter().filter(|check| check["result"] == "failed").collect();
    let expected = REQUESTS.map(|command| command.name().to_owned());
    assert_eq!((failed.len(), commands(&failed)), (8, BTreeSet::from(expected)));
    assert_eq!(results(&connect, Command::Ping), ["ok"]);
    assert_eq!(connect.events("exercised")[0]["failed"], 8);
}

#[test]
fn wrong_answers_fail() {
    let all_but_one = &REQUESTS[1..];
    let (connect, _) = exercised("/liar:1.0/", all_but_one, |played, block, message| match message {
        Message::GetData(_) => {
            let other = Block::new(BlockHeader { nonce: 1, ..block.header().clone() }, []).unwrap();
            played.send(&other);
            played.send(&NotFound::from(vec![Inventory::tx(Hash::ZERO)]));
        }
        // An announcement of a new block is not the answer.
        Message::GetBlockInvs(_) => played.send(&Inv::from(vec![Inventory::block(Hash::of(b"new"))])),
        Message::GetAddr(_) => played.send(&Reject::new("getaddr", RejectCode::INVALID, "no\x1b[2J")),
        _ => {}
    });
    assert_eq!(connect.status, 1);
    assert_eq!(results(&connect, Command::GetData), ["failed"; 3], "{connect:#?}");
    assert_eq!(results(&connect, Command::GetBlockInvs), ["failed"]);
    let note = connect.events("check").into_iter().find(|check| check["command"] == "getaddr").unwrap();
    assert!(note["note"].as_str().unwrap().contains(r"no\u{1b}[2J"), "{note}");
}

#[test]
fn all_checks_after_a_disconnect_fail() {
    let (connect, _) = exercised("/brief:1.0/", &REQUESTS, |played, _, message| {
        if matches!(message, Message::FeeFilter(_)) {
            played.stream.shutdown(std::net::Shutdown::Both).unwrap();
        }
    });
    assert_eq!(connect.status, 1);
    assert_eq!(results(&connect, Command::MerkleBlock), ["ok"]);
    for command in [Command::FeeFilter, Command::Tx, Command::SelectedTip, Command::FilterClear] {
        assert_eq!(results(&connect, command), ["failed"], "{command}: {connect:#?}");
    }
    assert_eq!(commands(&connect.events("check")), ordinary());
}

/// Answers the exercise as kaspad v0.1.1 does.
fn as_kaspad(played: &mut Played, block: &Block, message: Message) {
    match message {
        Message::GetSelectedTip(_) => played.send(&SelectedTip { hash: block.hash() }),
        Message::GetData(request) => {
            let (known, missing) = request.items.iter().partition::<Vec<_>, _>(|item| item.hash == block.hash());
            if !known.is_empty() {
                played.send(block);
            }
            played.send(&missing.into_iter().copied().collect::<NotFound>());
        }
        Message::GetLocator(request) => played.send(&Locator { hashes: vec![request.low] }),
        Message::GetBlockInvs(request) => played.send(&Inv::from(vec![Inventory::sync_block(request.high)])),
        // It requests the transaction only, as a node that is still syncing.
        Message::Inv(inv) => played.send(&inv.items.into_iter().take(1).collect::<GetData>()),
        // Its test of whether a filter is loaded is inverted.
        Message::Block(_) | Message::SelectedTip(_) | Message::FilterAdd(_) => {
            played.stream.shutdown(std::net::Shutdown::Both).unwrap()
        }
        _ => {}
    }
}

#[test]
fn the_exercise_does_not_send_kaspad_what_it_would_disconnect_at() {
    let excused = [
        Command::GetAddr,
        Command::GetHeaders,
        Command::Block,
        Command::SelectedTip,
        Command::FilterAdd,
        Command::FilterClear,
    ];
    let (connect, received) = exercised("/kaspad:0.1.1/kaspad:0.1.1/", &excused, as_kaspad);
    assert_eq!(connect.status, 0, "{connect:#?}");
    let excused = |check: &Value| check["result"] == "excused";
    let excused: Vec<Value> = connect.events("check").into_iter().filter(excused).collect();
    let expected =
        ["block", "filteradd", "filterclear", "getaddr", "getdata", "getheaders", "selectedtip"].map(str::to_owned);
    assert_eq!(commands(&excused), BTreeSet::from(expected), "{connect:#?}");
    assert_eq!(results(&connect, Command::Tx), ["ok"]);
    let unsent = ordinary().into_iter().filter(|command| !received.contains(command)).collect::<Vec<_>>();
    assert_eq!(unsent, ["block", "filterclear", "selectedtip"]);
}

#[test]
fn filteradd_that_a_kaspad_rejects_is_excused_and_of_another_node_is_not() {
    for (user_agent, result) in [("/kaspad:0.5.0/kaspad:0.5.0/", "excused"), ("/other:0.5.0/", "failed")] {
        let (connect, received) = exercised(user_agent, &REQUESTS, |played, _, message| {
            if matches!(message, Message::FilterAdd(_)) {
                played.send(&Reject::new("filteradd", RejectCode::INVALID, "a filter is loaded"));
            }
        });
        assert_eq!(results(&connect, Command::FilterAdd), [result], "{connect:#?}");
        // The reject did not end the exercise.
        assert_eq!(results(&connect, Command::FilterClear), ["ok"], "{connect:#?}");
        assert!(received.contains(&"filterclear".to_owned()));
    }
}

#[test]
fn the_exercise_offers_no_service() {
    let (listen, address) = Running::listen(&["--network", "simnet", "--once"]);
    assert_eq!(run("connect", &[&address, "--network", "simnet", "--exercise"]).status, 0);
    assert_eq!(listen.end().events("version")[0]["services"], "0");
}

#[test]
fn messages_of_kaspad_before_its_verack_are_answered() {
    let (listen, address) = Running::listen(&["--network", "testnet", "--once"]);
    let mut kaspad = Played::dial(&address, Network::Testnet);
    kaspad.send(&Version { user_agent: UserAgent::from_bytes("/kaspad:0.1.1/kaspad:0.1.1/"), ..support::version() });
    let scope = AddressScope::FullNodes;
    let here = NetAddress::new("203.0.113.9:16211".parse().unwrap(), Services::NETWORK);
    kaspad.send(&Addr { scope, addresses: vec![TimedAddress { time: 1_581_437_000, address: here }] });
    kaspad.send(&GetAddr { scope });
    let version = kaspad.expect::<Version>();
    kaspad.expect::<VerAck>();
    kaspad.send(&VerAck);
    kaspad.send(&GetSelectedTip);
    let addr = kaspad.expect::<Addr>();
    // kaspad disconnects at an addr for all subnetworks, and at one without addresses.
    assert_eq!((addr.scope, addr.addresses.len()), (scope, 2));
    assert!(addr.addresses.iter().any(|known| known.address == here));
    assert_eq!(kaspad.expect::<SelectedTip>().hash, version.selected_tip);
    // A second version is rejected, and the peer disconnected.
    kaspad.send(&support::version());
    assert_eq!(kaspad.expect::<Reject>().code, RejectCode::DUPLICATE);
    assert_eq!(kaspad.next(), None);
    let listen = listen.end();
    assert_eq!(listen.status, 0);
    assert!(listen.events("disconnected")[0]["reason"].as_str().unwrap().contains("second version"));
}

#[test]
fn ten_thousand_blocks_that_are_requested_at_once_all_arrive() {
    let (_listen, address) = Running::listen(&["--network", "simnet"]);
    let mut peer = Played::dial(&address, Network::Simnet);
    peer.send(&support::version());
    let version = peer.expect::<Version>();
    peer.send(&VerAck);
    // Some ten megabytes, of which nothing is read before everything is requested.
    for _ in 0..100 {
        peer.send(&GetData::from(vec![Inventory::block(version.selected_tip); 100]));
    }
    for _ in 0..10_000 {
        assert_eq!(peer.expect::<Block>().hash(), version.selected_tip);
    }
    peer.send(&Ping { nonce: 5 });
    peer.expect::<Pong>();
}
