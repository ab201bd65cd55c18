//! `kpeer crawl` in a network of twelve `listen` nodes, each of which knows only the one before it.

use crate::support;
use crate::support::running::{Ended, Played, Running, run};
use crate::support::scratch::Scratch;
use kaspa_peer::wire::*;
use serde_json::Value;
use socket2::Socket;
use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

/// The user agents of the nodes.
const ANNA: &str = concat!("/kaspa-peer:", env!("CARGO_PKG_VERSION"), "/anna:1.0/");
const BERT: &str = concat!("/kaspa-peer:", env!("CARGO_PKG_VERSION"), "/bert:2.0/");
/// The index of the node that knows two more addresses.
const WELL_CONNECTED: usize = 5;

/// Twelve programs in a ring, a node whose clock is late, and an address where no node listens.
struct Ring {
    _programs: Vec<Running>,
    nodes: Vec<String>,
    late: String,
    nobody: String,
    _socket: Socket,
}

fn ring() -> Ring {
    let (socket, nobody) = support::nobody();
    let (mut programs, mut nodes) = (Vec::new(), Vec::<String>::new());
    // The late node names the first node, and the well-connected node names the late one, so it starts between them.
    let mut late = String::new();
    for index in 0..12 {
        let mut arguments = vec!["--network", "simnet"];
        arguments.extend(if index < 8 { ["--user-agent", "anna:1.0"] } else { ["--user-agent", "bert:2.0"] });
        if index >= 9 {
            arguments.extend(["--services", "1"]);
        }
        if let Some(previous) = nodes.last() {
            arguments.extend(["--knows", previous]);
        }
        if index == WELL_CONNECTED {
            late = node_with_a_late_clock(nodes[0].clone());
            arguments.extend(["--knows", &nobody, "--knows", &late]);
        }
        let (program, address) = Running::listen(&arguments);
        programs.push(program);
        nodes.push(address);
    }
    // The first node started before the last, so it learns of the last from a message.
    let mut guest = Played::dial(&nodes[0], Network::Simnet);
    guest.send(&support::version());
    guest.send(&VerAck);
    guest.send(&addr(nodes.last().unwrap()));
    guest.send(&Ping { nonce: 1 });
    guest.expect::<Pong>();
    Ring { _programs: programs, nodes, late, nobody, _socket: socket }
}

fn addr(address: &str) -> Addr {
    let address = NetAddress::new(address.parse().unwrap(), Services::NETWORK);
    Addr { scope: AddressScope::FullNodes, addresses: vec![TimedAddress { time: 0, address }] }
}

fn node_with_a_late_clock(knows: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    // Ends with the process.
    thread::spawn(move || {
        loop {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().cast_signed();
            let user_agent = UserAgent::from_bytes("/late:1.0/");
            let version = Version { time: now - 3600, user_agent, ..support::version() };
            let mut node = Played::accept(&listener, &version, Network::Simnet);
            while let Some(message) = node.next() {
                match message {
                    Message::Ping(Ping { nonce }) => node.send(&Pong { nonce }),
                    Message::GetAddr(_) => node.send(&addr(&knows)),
                    _ => {}
                }
            }
        }
    });
    address
}

impl Ring {
    /// Which node knows which. Each program also names its own address.
    fn edges(&self) -> BTreeMap<&str, BTreeSet<&str>> {
        let mut edges: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (index, node) in self.nodes.iter().enumerate() {
            let previous = &self.nodes[(index + 11) % 12];
            edges.insert(node, BTreeSet::from([node.as_str(), previous]));
        }
        edges.get_mut(self.nodes[WELL_CONNECTED].as_str()).unwrap().extend([self.late.as_str(), &self.nobody]);
        edges.insert(&self.late, BTreeSet::from([self.nodes[0].as_str()]));
        edges
    }
}

/// A crawl that begins at this node. The timeout is long, because all answers come, however busy the machine is.
fn crawl(seed: &str, arguments: &[&str]) -> Ended {
    run("crawl", &[&[seed, "--network", "simnet", "--timeout", "30"], arguments].concat())
}

/// The rows of a table: the number of nodes, and the value.
fn table<'a>(summary: &'a [String], title: &str) -> Vec<(usize, &'a str)> {
    let start = summary.iter().position(|line| *line == format!(" nodes  {title}")).unwrap();
    let rows = summary[start + 1..].iter().take_while(|line| !line.is_empty());
    rows.map(|row| row.trim_start().split_once("  ").map(|(count, what)| (count.parse().unwrap(), what)).unwrap())
        .collect()
}

/// The line that begins and ends like this, without these parts.
fn line<'a>(summary: &'a [String], prefix: &str, suffix: &str) -> &'a str {
    summary.iter().find_map(|line| line.strip_prefix(prefix)?.strip_suffix(suffix)).unwrap()
}

fn microseconds(duration: &str) -> f64 {
    let (number, unit) = duration.split_at(duration.find(|c: char| c.is_alphabetic() || c == 'µ').unwrap());
    let factor = match unit {
        "µs" => 1.0,
        "ms" => 1e3,
        "s" => 1e6,
        other => panic!("{other}"),
    };
    number.parse::<f64>().unwrap() * factor
}

#[test]
fn a_crawl_finds_counts_and_draws_every_node() {
    let ring = ring();
    let dot = Scratch::new("crawl-dot");
    let ended = crawl(&ring.nodes[0], &["--dot", dot.path(), "--threads", "3"]);
    // Where standard error is no terminal, there is no progress bar.
    assert_eq!((ended.status, ended.err.as_str()), (0, ""), "{ended:#?}");
    // A slow machine prints progress lines before the summary.
    let start = ended.out.iter().position(|line| !line.ends_with(" nodes visited")).unwrap();
    let summary = &ended.out[start..];
    assert_eq!(summary[0], "14 nodes, 13 reached");
    let agents = [(8, ANNA), (4, BERT), (1, "/late:1.0/")];
    assert_eq!(table(summary, "user agent"), agents);
    assert_eq!(table(summary, "version"), [(13, "1")]);
    assert_eq!(table(summary, "services"), [(9, "SFNodeNetwork|SFNodeBloom"), (4, "SFNodeNetwork")]);
    assert_eq!(table(summary, "unreachable because"), [(1, "connection refused")]);

    let latency = line(summary, "latency: half within ", "");
    let (half, rest) = latency.split_once(", 90 % within ").unwrap();
    let (most, all) = rest.split_once(", all within ").unwrap();
    let [half, most, all] = [half, most, all].map(microseconds);
    assert!(0.0 < half && half <= most && most <= all, "{latency}");
    let (late, agree) = line(summary, "clocks: ", " seconds from ours").split_once(" to ").unwrap();
    assert!((-3660..=-3540).contains(&late.parse::<i64>().unwrap()), "{late}");
    assert!((-60..=60).contains(&agree.parse::<i64>().unwrap()), "{agree}");

    let graph = std::fs::read_to_string(dot.path()).unwrap();
    assert!(graph.starts_with("digraph network {\n") && graph.ends_with("}\n"), "{graph}");
    let drawn = graph.lines().filter_map(|line| line.trim().strip_suffix(';')?.split_once(" -> "));
    let mut edges: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (from, to) in drawn.map(|(from, to)| (from.trim_matches('"'), to.trim_matches('"'))) {
        edges.entry(from).or_default().insert(to);
    }
    assert_eq!(edges, ring.edges());
    for node in ring.nodes.iter().chain([&ring.late]) {
        assert!(graph.contains(&format!("  \"{node}\" [color=black];\n")), "{graph}");
    }
    assert!(graph.contains(&format!("  \"{}\" [color=gray];\n", ring.nobody)), "{graph}");
}

#[test]
fn the_json_objects_have_the_same_facts() {
    let (ring, capture) = (ring(), Scratch::new("crawl-capture"));
    let ended = crawl(&ring.nodes[0], &["--json", "--capture", capture.path()]);
    assert_eq!((ended.status, ended.err.as_str()), (0, ""), "{ended:#?}");
    let nodes = ended.events("node");
    assert_eq!(nodes.len(), 14);
    let reached = |node: &&Value| node["reached"] == true;
    let (mut edges, mut rtts) = (BTreeMap::new(), 0);
    for node in nodes.iter().filter(reached) {
        let address = node["address"].as_str().unwrap();
        let place = ring.nodes.iter().position(|known| known == address);
        let (agent, services) = match place {
            Some(0..8) => (ANNA, "SFNodeNetwork|SFNodeBloom"),
            Some(8) => (BERT, "SFNodeNetwork|SFNodeBloom"),
            Some(_) => (BERT, "SFNodeNetwork"),
            None => ("/late:1.0/", "SFNodeNetwork"),
        };
        assert_eq!((&node["user_agent"], &node["services"]), (&agent.into(), &services.into()), "{node}");
        assert_eq!((&node["version"], node["selected_tip"].as_str().unwrap().len()), (&1.into(), 64), "{node}");
        let clock = if place.is_some() { -60..=60 } else { -3660..=-3540 };
        assert!(clock.contains(&node["time_offset"].as_i64().unwrap()), "{node}");
        rtts += u64::from(node["rtt_us"].as_u64().unwrap() > 0);
        let knows = node["knows"].as_array().unwrap().iter().map(|known| known.as_str().unwrap());
        edges.insert(address, knows.collect::<BTreeSet<&str>>());
    }
    assert_eq!((edges, rtts), (ring.edges(), 13));
    let unreached: Vec<&Value> = nodes.iter().filter(|node| !reached(node)).collect();
    let nobody = serde_json::json!({
        "event": "node", "address": ring.nobody, "reached": false, "reason": "connection refused",
    });
    assert_eq!(unreached, [&nobody]);
    let done = &ended.events("done")[0];
    assert_eq!((&done["nodes"], &done["reached"]), (&14.into(), &13.into()));

    let inspected = run("inspect", &["--json", capture.path()]);
    let rows = inspected.out.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let peers = rows.filter(|row| row["what"] == "connected").map(|row| row["peer"].to_string());
    assert_eq!(peers.collect::<BTreeSet<String>>().len(), 13);
}

#[test]
fn a_crawl_visits_at_most_max_nodes() {
    let ring = ring();
    let ended = crawl(&ring.nodes[0], &["--max", "5", "--json"]);
    assert_eq!((ended.status, ended.events("node").len()), (0, 5), "{ended:#?}");
}

#[test]
fn a_crawl_that_reaches_no_node_fails() {
    let (_socket, nobody) = support::nobody();
    let ended = crawl(&nobody, &["--json"]);
    assert_eq!((ended.status, ended.err.as_str()), (1, "crawl: no node was reached\n"), "{ended:#?}");
    assert_eq!(ended.events("node")[0]["reason"], "connection refused");
    assert_eq!(ended.events("failed")[0]["reason"], "no node was reached");
}
