//! A program whose output nobody reads ends, quietly, and does not claim that all went well.

use crate::support::kpeer;
use crate::support::running::Running;
use std::io;
use std::process::Stdio;

#[test]
fn who_is_not_read_does_not_succeed() {
    let (_listen, address) = Running::listen(&["--network", "simnet"]);
    let calls: [&[&str]; 6] = [
        &["connect", &address, "--for", "0.1"],
        &["sync", &address],
        &["sync", &address, "--json"],
        &["listen", "127.0.0.1:0"],
        &["crawl", &address],
        &["crawl", &address, "--json"],
    ];
    for call in calls {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let output = kpeer(call[0])
            .args(&call[1..])
            .args(["--network", "simnet"])
            .stdout(writer)
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(1), &[][..]), "{call:?}: {output:?}");
    }
}
