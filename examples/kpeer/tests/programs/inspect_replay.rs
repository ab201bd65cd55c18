//! `kpeer inspect --replay` to an address without a node.

use crate::support::running::run;
use kaspa_peer::peer::Capture;
use kaspa_peer::wire::Network;
use std::fs::File;
use std::path::PathBuf;

#[test]
fn an_unreachable_node_is_named_and_the_capture_is_not() {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("unreachable.kpcap");
    drop(Capture::new(File::create(&path).unwrap(), Network::Simnet, 1000).unwrap());
    let file = path.to_str().unwrap();
    assert_eq!(run("inspect", &[file]).status, 0);
    let ended = run("inspect", &["--replay", "127.0.0.1:1", file]);
    assert_eq!((ended.status, ended.out.len()), (1, 0), "{ended:#?}");
    assert!(ended.err.starts_with("kpeer inspect: 127.0.0.1:1: ") && !ended.err.contains(file), "{}", ended.err);
}
