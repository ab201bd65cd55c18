//! `kpeer inspect --replay` to where there is no node.

use crate::support::running::run;
use kaspa_peer::peer::Capture;
use kaspa_peer::wire::Network;
use std::fs::File;
use std::path::PathBuf;

#[test]
fn a_node_that_cannot_be_reached_is_named_and_not_the_capture() {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("unreachable.kpcap");
    drop(Capture::new(File::create(&path).unwrap(), Network::Simnet, 1000).unwrap());
    let file = path.to_str().unwrap();
    assert_eq!(run("inspect", &[file]).status, 0);
    let told = run("inspect", &["--replay", "127.0.0.1:1", file]);
    assert_eq!((told.status, told.out.len()), (1, 0), "{told:#?}");
    assert!(told.err.starts_with("kpeer inspect: 127.0.0.1:1: ") && !told.err.contains(file), "{}", told.err);
}
