//! `kpeer sync` and `kpeer listen --dag`, with the DAG of a recorded session between two daemons.

use crate::support;
use crate::support::running::{Played, Running, run};
use crate::support::scratch::Scratch;
use kaspa_peer::wire::*;
use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::thread::{self, JoinHandle};
use std::time::Instant;

/// The messages that one node of the recorded session sent.
fn recorded(name: &str) -> Vec<Message> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/captures").join(name);
    let bytes = fs::read(path).unwrap();
    MessageReader::new(bytes.as_slice(), Network::Simnet).map(Result::unwrap).collect()
}

/// The blocks of the recorded session, parents first.
fn blocks() -> Vec<Block> {
    recorded("sync-from-node.bin").into_iter().filter_map(|message| Block::try_from(message).ok()).collect()
}

/// The blocks as a file.
fn file(blocks: &[Block]) -> Vec<u8> {
    let frame = |block: &Block| Frame::encode(block, Network::Simnet).unwrap().as_bytes().to_vec();
    blocks.iter().flat_map(frame).collect()
}

const SIMNET: [&str; 2] = ["--network", "simnet"];

fn serve(dag: &Scratch) -> (Running, String) {
    Running::listen(&[&SIMNET[..], &["--dag", dag.path()]].concat())
}

fn sync(address: &str, arguments: &[&str]) -> support::running::Ended {
    run("sync", &[&[address, "--json"], &SIMNET[..], arguments].concat())
}

#[test]
fn a_downloaded_file_equals_the_served_file() {
    let (blocks, out) = (blocks(), Scratch::new("whole"));
    assert_eq!(blocks.len(), 299);
    let dag = Scratch::with("whole-dag", &file(&blocks));
    let (_listen, address) = serve(&dag);
    let ended = sync(&address, &["--out", out.path()]);
    assert_eq!((ended.status, ended.err.as_str()), (0, ""), "{ended:#?}");
    assert!(out.content() == dag.content());
    let done = &ended.events("done")[0];
    assert_eq!((&done["blocks"], &done["new"]), (&299.into(), &299.into()), "{done}");
    assert_eq!((&done["bytes"], &done["tip"]), (&137_352.into(), &blocks[298].hash().to_string().into()), "{done}");
    // No request is for more than 50 blocks.
    let commands = |event: &str| -> Vec<_> { ended.events(event).iter().map(|e| e["command"].clone()).collect() };
    assert_eq!(commands("sent").iter().filter(|command| *command == "getdata").count(), 6);

    let again = sync(&address, &["--out", out.path()]);
    assert_eq!((again.status, &again.events("done")[0]["new"]), (0, &0.into()), "{again:#?}");
    assert!(out.content() == dag.content());
    let people = run("sync", &[&[address.as_str()], &SIMNET[..]].concat());
    assert!(
        people.status == 0 && people.out.last().unwrap().starts_with("done: 299 blocks, 299 of them new"),
        "{people:#?}"
    );
}

#[test]
fn a_stopped_download_continues_after_the_stored_blocks() {
    let blocks = blocks();
    let dag = Scratch::with("resume-dag", &file(&blocks));
    let (_listen, address) = serve(&dag);
    let whole = dag.content();
    // The file ends between two blocks, inside a header or inside a payload; after one block, some, or all but one.
    for (kept, cut) in [(1, 0), (1, 10), (120, 0), (120, 100), (298, 23)] {
        let end = file(&blocks[..kept]).len() + cut;
        let out = Scratch::with("resume", &whole[..end]);
        let ended = sync(&address, &["--out", out.path()]);
        assert_eq!(ended.status, 0, "{kept} {cut}: {ended:#?}");
        let (resumed, done) = (&ended.events("resumed")[0], &ended.events("done")[0]);
        assert_eq!((&resumed["blocks"], &resumed["cut"]), (&kept.into(), &cut.into()));
        assert_eq!(done["new"], 299 - kept, "{kept} {cut}");
        assert!(out.content() == whole, "{kept} {cut}");
    }
}

#[test]
fn a_generated_dag_can_be_downloaded_and_served_on_each_network() {
    for network in ["mainnet", "testnet", "regtest", "simnet", "devnet", "0xcafe0001"] {
        let (_listen, address) = Running::listen(&["--network", network]);
        let out = Scratch::new(network);
        let ended = run("sync", &[&address, "--network", network, "--json", "--out", out.path()]);
        assert_eq!(ended.status, 0, "{network}: {ended:#?}");
        // The second tip is downloaded, too, though it is not in the past of the selected tip.
        assert_eq!(ended.events("done")[0]["blocks"], 300, "{network}");
        let (_second, address) = Running::listen(&["--network", network, "--dag", out.path()]);
        let copy = Scratch::new(&format!("{network}-copy"));
        let ended = run("sync", &[&address, "--network", network, "--json", "--out", copy.path()]);
        assert!(ended.status == 0 && copy.content() == out.content(), "{network}: {ended:#?}");
    }
}

#[test]
fn the_requests_of_a_recorded_daemon_get_the_recorded_blocks() {
    let dag = Scratch::with("daemon-dag", &file(&blocks()));
    let (_listen, address) = serve(&dag);
    let mut daemon = Played::dial(&address, Network::Simnet);
    let (mut locators, mut announced, mut got) = (Vec::new(), Vec::new(), Vec::new());
    for message in recorded("sync-to-node.bin") {
        daemon.send(&message);
        match message {
            Message::GetLocator(_) => locators.push(daemon.expect::<Locator>()),
            Message::GetBlockInvs(_) => announced.extend(daemon.expect::<Inv>().items),
            Message::GetData(request) => got.extend(request.items.iter().map(|_| daemon.expect::<Block>())),
            _ => {}
        }
    }
    // The recorded daemon selected other parents, so its locators differ in the middle.
    let asked =
        recorded("sync-to-node.bin").into_iter().find_map(|message| GetLocator::try_from(message).ok()).unwrap();
    assert_eq!(locators.len(), 4);
    assert_eq!(locators[3].hashes, [asked.low]);
    let known: Vec<Hash> = blocks().iter().map(Block::hash).chain([asked.low]).collect();
    assert!(locators.iter().flat_map(|locator| &locator.hashes).all(|hash| known.contains(hash)));
    assert!(announced.iter().all(|item| item.kind == InventoryType::SYNC_BLOCK));
    let hashes: Vec<Hash> = blocks().iter().map(Block::hash).collect();
    assert_eq!(announced.iter().map(|item| item.hash).collect::<Vec<_>>(), hashes);
    assert!(got == blocks());
}

/// A node with the recorded DAG, played by the test, which answers requests for blocks with `answer`.
fn node(answer: impl Fn(&mut Played, Vec<&Block>) + Send + 'static) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let thread = thread::spawn(move || {
        let blocks = blocks();
        let hashes: Vec<Hash> = blocks.iter().map(Block::hash).collect();
        let version = Version { selected_tip: hashes[298], ..support::version() };
        let mut played = Played::accept(&listener, &version, Network::Simnet);
        while let Some(message) = played.next() {
            match message {
                Message::GetLocator(request) => played.send(&Locator { hashes: vec![request.low] }),
                Message::GetBlockInvs(_) => {
                    // An announcement, which is not the answer.
                    played.send(&Inv::from(vec![Inventory::block(Hash::of(b"new"))]));
                    played.send(&hashes.iter().copied().map(Inventory::sync_block).collect::<Inv>());
                }
                Message::GetData(request) => {
                    let block = |item: &Inventory| hashes.iter().position(|hash| *hash == item.hash);
                    answer(&mut played, request.items.iter().map(|item| &blocks[block(item).unwrap()]).collect());
                }
                _ => {}
            }
        }
    });
    (address, thread)
}

/// Why a download from this node failed, and how many blocks were stored.
fn failure(address: &str, arguments: &[&str]) -> (String, u64) {
    let ended = sync(address, arguments);
    assert_eq!(ended.status, 1, "{ended:#?}");
    let failed = &ended.events("failed")[0];
    let reason = failed["reason"].as_str().unwrap().to_owned();
    assert!(ended.err.contains(&reason), "{ended:#?}");
    (reason, failed["new"].as_u64().unwrap())
}

#[test]
fn a_download_continues_from_another_node_after_the_first_disconnected() {
    let all = blocks();
    let last = all[70].hash();
    let (address, node) = node(move |played, wanted| {
        for block in wanted {
            if block.hash() == last {
                return played.stream.shutdown(std::net::Shutdown::Both).unwrap();
            }
            played.send(block);
        }
    });
    let out = Scratch::new("gone");
    let (reason, new) = failure(&address, &["--out", out.path()]);
    node.join().unwrap();
    assert!(reason.contains("closed by the remote") || reason.contains("failed:"), "{reason}");
    assert!(out.content() == file(&all[..usize::try_from(new).unwrap()]), "{new}");
    assert!(new <= 70);

    let dag = Scratch::with("gone-dag", &file(&all));
    let (_listen, address) = serve(&dag);
    let ended = sync(&address, &["--out", out.path()]);
    assert!(ended.status == 0 && out.content() == dag.content(), "{ended:#?}");
    assert_eq!(ended.events("done")[0]["new"], 299 - new);
}

#[test]
fn a_block_that_was_not_requested_is_an_error() {
    let (address, node) = node(|played, wanted| {
        let mut fields = wanted[0].to_fields();
        fields.header.nonce += 1;
        played.send(&fields);
    });
    let (reason, new) = failure(&address, &[]);
    node.join().unwrap();
    assert!(reason.contains("a block that hashes to") && reason.contains("not requested"), "{reason}");
    assert_eq!(new, 0);
}

#[test]
fn a_block_before_its_parents_is_an_error() {
    let (address, node) = node(|played, wanted| wanted.into_iter().rev().for_each(|block| played.send(block)));
    let (reason, new) = failure(&address, &[]);
    node.join().unwrap();
    assert!(reason.contains("before its parent"), "{reason}");
    assert_eq!(new, 0);
}

#[test]
fn a_block_without_parents_is_an_error_and_not_stored() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let node = thread::spawn(move || {
        let block = Block::new(BlockHeader { nonce: 7, ..BlockHeader::default() }, []).unwrap();
        let version = Version { selected_tip: block.hash(), ..support::version() };
        let mut node = Played::accept(&listener, &version, Network::Simnet);
        while let Some(message) = node.next() {
            match message {
                Message::GetSelectedTip(_) => node.send(&SelectedTip { hash: block.hash() }),
                Message::GetLocator(request) => node.send(&Locator { hashes: vec![request.low] }),
                Message::GetBlockInvs(_) => node.send(&Inv::from(vec![Inventory::sync_block(block.hash())])),
                Message::GetData(_) => node.send(&block),
                _ => {}
            }
        }
    });
    let out = Scratch::new("orphan");
    let (reason, new) = failure(&address, &["--out", out.path()]);
    node.join().unwrap();
    assert!(reason.contains("has no parents") && new == 0, "{new}: {reason}");
    assert_eq!(out.content(), b"", "such a file can neither be continued nor served");
}

#[test]
fn an_announced_block_that_the_node_lacks_is_an_error() {
    let (address, node) = node(|played, wanted| {
        played.send(wanted[0]);
        played.send(&NotFound::from(vec![Inventory::sync_block(wanted[1].hash())]));
    });
    let (reason, new) = failure(&address, &[]);
    node.join().unwrap();
    assert!(reason.contains(&blocks()[1].hash().to_string()) && reason.contains("does not have"), "{reason}");
    assert_eq!(new, 1);
}

#[test]
fn a_download_stops_at_its_limits_and_continues_with_higher_ones() {
    let all = blocks();
    let dag = Scratch::with("limits-dag", &file(&all));
    let (_listen, address) = serve(&dag);
    let bytes = (file(&all[..200]).len() + 1).to_string();
    for (option, limit, kept) in [("--max-blocks", "100", 100), ("--max-bytes", &bytes, 200)] {
        let out = Scratch::new(&option[2..]);
        // The second time, the file has that many already.
        for new in [kept, 0] {
            let (reason, came) = failure(&address, &["--out", out.path(), option, limit]);
            assert!(reason.contains(option) && came == new, "{came}: {reason}");
            assert!(out.content() == file(&all[..usize::try_from(kept).unwrap()]), "{option}");
        }
        let ended = sync(&address, &["--out", out.path()]);
        assert!(ended.status == 0 && out.content() == dag.content(), "{ended:#?}");
    }
    // A limit that equals the number of blocks is not exceeded.
    assert_eq!(sync(&address, &["--max-blocks", "299"]).status, 0);
}

#[test]
fn a_dag_above_another_genesis_block_is_an_error() {
    let dag = Scratch::with("genesis-dag", &file(&blocks()));
    let (_listen, address) = serve(&dag);
    let other = "00".repeat(32);
    let (reason, _) = failure(&address, &["--genesis", &other]);
    assert!(reason.contains("no block in common") && reason.contains("--genesis"), "{reason}");
    let (reason, _) = failure(&address, &["--genesis", &other, "--out", dag.path()]);
    assert!(reason.contains("the file is of a DAG above 49cdaebb"), "{reason}");
}

#[test]
fn a_file_of_another_kind_is_neither_served_nor_overwritten() {
    let blocks = blocks();
    let swapped = file(&[blocks[2].clone(), blocks[0].clone()]);
    let mut corrupt = file(&blocks[..3]);
    corrupt[500] ^= 1;
    let ping = Frame::encode(&Ping { nonce: 1 }, Network::Simnet).unwrap();
    let after = [file(&blocks[..1]), b"note".to_vec()].concat();
    let foreign = Frame::encode(&blocks[0], Network::Mainnet).unwrap();
    let orphan = Block::new(BlockHeader { nonce: 7, ..BlockHeader::default() }, []).unwrap();
    let cases: [(&str, &[u8], &str); 12] = [
        ("text", b"this is not a file of blocks", "at byte 0"),
        ("note", b"note", "at byte 0: not a kaspa node: the first four bytes are \"note\""),
        ("after", &after, "at byte 372: this is not the start of a block"),
        ("cut-ping", &ping.as_bytes()[..20], "at byte 0: this is not the start of a block"),
        ("most-of-ping", &ping.as_bytes()[..30], "at byte 0: this is not the start of a block"),
        ("foreign", &foreign.as_bytes()[..20], "at byte 0: this is not the start of a block"),
        ("corrupt", &corrupt, "at byte 372: the payload of block does not match its checksum"),
        ("swapped", &swapped, "comes before its parent"),
        ("ping", ping.as_bytes(), "ping instead of a block"),
        ("twice", &file(&[blocks[0].clone(), blocks[0].clone()]), "is there twice"),
        ("orphan", &file(std::slice::from_ref(&orphan)), "a block without parents"),
        ("later-orphan", &file(&[blocks[0].clone(), orphan]), "a block without parents"),
    ];
    for (name, content, expected) in cases {
        let scratch = Scratch::with(name, content);
        for arguments in [["listen", "127.0.0.1:0", "--dag"], ["sync", "127.0.0.1:1", "--out"]] {
            let [program, address, option] = arguments;
            let ended = run(program, &[address, option, scratch.path(), "--network", "simnet", "--json"]);
            assert_eq!(ended.status, 1, "{name}: {ended:#?}");
            assert!(ended.err.contains(expected), "{name}: {}", ended.err);
            assert_eq!(scratch.content(), content, "{name}");
        }
    }
}

#[test]
fn headers_are_served_from_the_file() {
    let all = blocks();
    let dag = Scratch::with("headers-dag", &file(&all));
    let (_listen, address) = serve(&dag);
    let mut peer = Played::dial(&address, Network::Simnet);
    peer.send(&support::version());
    peer.expect::<Version>();
    peer.send(&VerAck);
    peer.send(&GetHeaders { low: all[0].header().parents[0], high: all[298].hash() });
    let expected: Vec<BlockHeader> = all.iter().map(|block| block.header().clone()).collect();
    assert!(peer.expect::<Headers>().headers == expected);
}

#[test]
fn a_second_sync_into_the_same_file_is_refused() {
    let (first, node) = node(|_, _| {});
    let dag = Scratch::with("twice-dag", &file(&blocks()[..5]));
    let before = dag.content();
    let running = Running::start("sync", &[&[first.as_str(), "--json", "--out", dag.path()], &SIMNET[..]].concat());
    // It has locked the file, and waits for blocks that the node does not send.
    running.event("sent", |event| event["command"] == "getdata");

    let (_listen, address) = Running::listen(&SIMNET);
    let second = sync(&address, &["--out", dag.path()]);
    assert_eq!(second.status, 1, "{second:#?}");
    let reason = second.events("failed")[0]["reason"].to_string();
    assert!(reason.contains(dag.path()) && reason.contains("another process"), "{reason}");
    assert!(dag.content() == before);

    drop(running);
    node.join().unwrap();
    let (_listen, address) = serve(&Scratch::with("twice-whole", &file(&blocks())));
    assert_eq!(sync(&address, &["--out", dag.path()]).status, 0);
}

#[test]
fn a_dag_of_any_height_can_be_downloaded_at_once_or_after_a_stop() {
    let all = blocks();
    for height in [1, 2, 3, 5, 7, 33, 70, 299] {
        let whole = file(&all[..height]);
        let (_listen, address) = serve(&Scratch::with("heights-dag", &whole));
        for kept in [0, height / 3, height - 1] {
            let out = Scratch::with("heights", &file(&all[..kept]));
            let ended = sync(&address, &["--out", out.path()]);
            assert_eq!(ended.status, 0, "{kept} of {height}: {ended:#?}");
            assert!(out.content() == whole, "{kept} of {height}");
        }
    }
}

#[test]
fn a_tip_that_moves_all_the_time_makes_no_more_than_a_line_a_second() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let node = thread::spawn(move || {
        let blocks = blocks();
        let hashes: Vec<Hash> = blocks.iter().map(Block::hash).collect();
        let mut tip = 0;
        let version = Version { selected_tip: hashes[0], ..support::version() };
        let mut node = Played::accept(&listener, &version, Network::Simnet);
        while let Some(message) = node.next() {
            match message {
                Message::GetSelectedTip(_) => {
                    // The tip moves each time that the program has caught up.
                    tip = (tip + 1).min(hashes.len() - 1);
                    node.send(&SelectedTip { hash: hashes[tip] });
                }
                Message::GetLocator(request) => node.send(&Locator { hashes: vec![request.low] }),
                Message::GetBlockInvs(_) => {
                    node.send(&hashes[..=tip].iter().copied().map(Inventory::sync_block).collect::<Inv>());
                }
                Message::GetData(request) => {
                    for item in request.items {
                        node.send(&blocks[hashes.iter().position(|hash| *hash == item.hash).unwrap()]);
                    }
                }
                _ => {}
            }
        }
    });
    let start = Instant::now();
    let ended = run("sync", &[&[address.as_str()], &SIMNET[..]].concat());
    let seconds = usize::try_from(start.elapsed().as_secs()).unwrap();
    node.join().unwrap();
    assert!(ended.out.last().unwrap().starts_with("done: 299 blocks, 299 of them new"), "{ended:#?}");
    let lines = ended.out.iter().filter(|line| line.contains("blocks/s")).count();
    // One more comes at the end.
    assert!((1..=seconds + 1).contains(&lines), "{lines} lines in {seconds} s");
}
